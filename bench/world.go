package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/schemas"
)

const (
	partitions = 32
	keyCount   = 1000
	maxCallers = 1 << 14 // remote.Config.MaxPending
)

// key of one of the actors that are called.
type key struct {
	name  string
	hash  schemas.Hash
	shard int32
}

var keys = func() (ks [keyCount]key) {
	for i := range ks {
		ks[i] = keyOf("k" + strconv.Itoa(i))
	}
	return ks
}()

func keyOf(name string) key {
	hash := schemas.HashOf(actor.DefaultNamespace, counter.Kind.Name(), schemas.Key{name})
	return key{name: name, hash: hash, shard: hash.Shard(partitions)}
}

// world is what `actorlog dev` runs, without its command line: one client of the log, worker and
// gateway in this process.
type world struct {
	log    *kafkalog.Log
	client *remote.Client
	addr   string // of the gateway
	stops  []func() error
}

// startWorld returns when the counters of all keys are there.
func (b *bench) startWorld(ctx context.Context) (_ *world, err error) {
	w := new(world)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.log, err = b.logTo(ctx, "bench"); err != nil {
		return nil, err
	}
	w.stops = append(w.stops, func() error { w.log.Close(); return nil })
	worker, err := startWorker(w.log, host.Config{DataDir: b.data + "/worker"})
	if err != nil {
		return nil, err
	}
	w.stops = append(w.stops, worker.stop)
	if w.client, err = remote.Open(w.log, remote.Config{}); err != nil {
		return nil, err
	}
	w.stops = append(w.stops, func() error { w.client.Close(); return nil })
	if err := w.serve(); err != nil {
		return nil, err
	}
	if err := createCounters(ctx, w.client, keyCount, func(i int) string { return keys[i].name }); err != nil {
		return nil, err
	}
	return w, nil
}

// serve starts a gateway, set up as cmd/gateway does it.
func (w *world) serve() error {
	gw, err := gateway.New(w.client, gateway.Config{})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("opening a port for the gateway: %w", err)
	}
	server := &http.Server{Handler: gw.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	served := make(chan struct{})
	go func() { // ends with Close
		defer close(served)
		_ = server.Serve(l)
	}()
	w.addr = l.Addr().String()
	w.stops = append(w.stops, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := errors.Join(gw.Shutdown(ctx), server.Close())
		<-served
		return err
	})
	return nil
}

func (w *world) close() error {
	var err error
	for i := len(w.stops) - 1; i >= 0; i-- {
		err = errors.Join(err, w.stops[i]())
	}
	return err
}

// running is a worker that runs.
type running struct {
	worker *host.Worker
	cancel context.CancelFunc
	ended  chan error
}

func startWorker(log *kafkalog.Log, cfg host.Config) (*running, error) {
	registry := actor.NewRegistry()
	counter.Register(registry)
	registerSluggish(registry)
	registerRelay(registry)
	worker, err := host.Open(log, registry, cfg)
	if err != nil {
		return nil, err
	}
	r := &running{worker: worker, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- worker.Run(ctx) }() // ends with stop
	return r, nil
}

func (r *running) stop() error {
	r.cancel()
	return errors.Join(<-r.ended, r.worker.Close())
}

// createCounters creates n counters, many at a time.
func createCounters(ctx context.Context, client *remote.Client, n int, name func(int) string) error {
	const atOnce = 4096
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan int, atOnce)
	group.Go(func() error {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range min(atOnce, n) {
		group.Go(func() error {
			for i := range next {
				if _, err := counter.Kind.GetOrCreate(client, name(i)).Resolve(ctx); err != nil {
					return fmt.Errorf("creating a counter: %w", err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// lazy is something that is made when it is first asked for.
type lazy[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (l *lazy[T]) get(start func() (T, error)) (T, error) {
	l.once.Do(func() { l.value, l.err = start() })
	return l.value, l.err
}
