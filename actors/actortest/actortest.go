// Package actortest runs actors in a test: a whole worker and a client over a log in memory, no
// broker and no network. Inside a testing/synctest bubble, time is virtual.
//
//	w := actortest.New(t, counter.Register)
//	n, err := counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(w.Client, "a"), 1)
//
// The log outlives its workers: Crash kills the worker, and the next one recovers from it.
package actortest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
)

// World is one log with workers and a client. Its methods are for the test's goroutine.
type World struct {
	// Client calls actors. It is safe for concurrent use.
	Client *remote.Client
	// Cluster is the log, with its faults.
	Cluster *memlog.Cluster
	// Config of workers started from now on.
	Config host.Config

	t        testing.TB
	registry *actor.Registry
	workers  []*Worker
}

// Worker is one running worker.
type Worker struct {
	log    *memlog.Log
	worker *host.Worker
	cancel context.CancelFunc
	done   sync.WaitGroup
	over   bool
}

// Shards is the number of partitions of a World.
const Shards = 4

// New starts a log, one worker with the kinds that register defines, and a client; all end with the test.
func New(t testing.TB, register ...func(*actor.Registry)) *World {
	t.Helper()
	return NewWith(t, host.Config{}, register...)
}

// NewWith is New with settings for the workers.
func NewWith(t testing.TB, cfg host.Config, register ...func(*actor.Registry)) *World {
	t.Helper()
	w := &World{t: t, Cluster: memlog.NewCluster(Shards), Config: cfg, registry: actor.NewRegistry()}
	for _, r := range register {
		r(w.registry)
	}
	log := w.Cluster.Client()
	client, err := remote.Open(log, remote.Config{})
	if err != nil {
		t.Fatalf("opening a client: %v", err)
	}
	w.Client = client
	t.Cleanup(func() {
		client.Close()
		for _, worker := range w.workers {
			w.end(worker)
		}
		log.Close()
	})
	w.StartWorker()
	return w
}

// StartWorker starts another worker on the same log.
func (w *World) StartWorker() *Worker {
	w.t.Helper()
	log := w.Cluster.Client()
	hosted, err := host.Open(log, w.registry, w.Config)
	if err != nil {
		w.t.Fatalf("opening a worker: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	worker := &Worker{log: log, worker: hosted, cancel: cancel}
	worker.done.Go(func() {
		if err := hosted.Run(ctx); err != nil {
			w.t.Errorf("running a worker: %v", err)
		}
	})
	w.workers = append(w.workers, worker)
	return worker
}

// Stop ends a worker in peace: its shards are handed over.
func (w *World) Stop(worker *Worker) {
	w.t.Helper()
	w.end(worker)
}

// Crash kills all workers: nothing but the log survives. Then it starts a new one.
func (w *World) Crash() *Worker {
	w.t.Helper()
	for _, worker := range w.workers {
		if !worker.over {
			worker.log.Crash()
			w.end(worker)
		}
	}
	return w.StartWorker()
}

func (w *World) end(worker *Worker) {
	if worker.over {
		return
	}
	worker.over = true
	worker.cancel()
	worker.done.Wait()
	if err := worker.worker.Close(); err != nil {
		w.t.Errorf("closing a worker: %v", err)
	}
	worker.log.Close()
}

// Events records the broadcasts of one actor.
type Events struct {
	ch    chan Event
	watch *remote.Watch
}

// Event is one broadcast.
type Event struct {
	Name string
	// Args is a JSON array.
	Args string
}

// Watch records the broadcasts of an actor from now on.
func (w *World) Watch(kind string, key ...string) *Events {
	e := &Events{ch: make(chan Event, 1024)}
	e.watch = &remote.Watch{Outcome: func(d *remote.Delivery) {
		for _, b := range d.Outcome.Broadcasts {
			e.ch <- Event{Name: b.Name, Args: string(b.ArgsJson)}
		}
	}}
	w.Client.Watch(schemas.HashOf(actor.DefaultNamespace, kind, key), e.watch)
	return e
}

// Next waits for the next broadcast.
func (e *Events) Next(t testing.TB) Event {
	t.Helper()
	select {
	case ev := <-e.ch:
		return ev
	case <-time.After(10 * time.Second):
		t.Fatal("no broadcast within 10 s")
		return Event{}
	}
}
