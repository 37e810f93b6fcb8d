package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/examples/counter"
)

// replay measures how fast history is read and folded, and how long a worker takes to come back, over
// histories of different lengths.
func (b *bench) replay(ctx context.Context) error {
	for i, n := range b.histories {
		fold := i == len(b.histories)-1 && b.wants("fold")
		recovery := b.wants(fmt.Sprintf("recovery/%d", n))
		if !fold && !recovery {
			continue
		}
		b.report.progress("writing a history of %d events", n)
		prefix := fmt.Sprintf("history%d", n)
		log, err := b.logTo(ctx, prefix)
		if err != nil {
			return err
		}
		h, err := writeHistory(ctx, log, n)
		if err == nil && fold {
			err = b.fold(ctx, prefix, h)
		}
		log.Close()
		if err != nil {
			return err
		}
		if !recovery {
			continue
		}
		b.report.progress("recovery/%d", n)
		r, err := b.recover(ctx, prefix)
		if err != nil {
			return err
		}
		r.Events = &n
		b.report.add(r)
		if i > 0 {
			continue
		}
		// That worker wrote a checkpoint when it stopped: this one has nothing to fold.
		b.report.progress("recovery/0")
		if r, err = b.recover(ctx, prefix); err != nil {
			return err
		}
		r.Events = new(int)
		b.report.add(r)
	}
	return nil
}

// recover starts a worker with an empty local store and waits until it serves every shard.
func (b *bench) recover(ctx context.Context, prefix string) (r result, err error) {
	log, err := b.logTo(ctx, prefix)
	if err != nil {
		return r, err
	}
	defer log.Close()
	client, err := remote.Open(log, remote.Config{})
	if err != nil {
		return r, err
	}
	defer client.Close()
	for client.Ready(ctx) != nil {
		if !pause(ctx, 10*time.Millisecond) {
			return r, context.Cause(ctx)
		}
	}

	var (
		mu     sync.Mutex
		shards []time.Duration
		opened = make(chan struct{})
		failed = make(chan error, partitions)
	)
	began := time.Now()
	worker, err := startWorker(log, host.Config{CheckpointEvery: time.Hour, CheckpointBytes: 1 << 40, Events: host.EventListener{
		ShardOpened: func(e host.ShardOpened) {
			mu.Lock()
			defer mu.Unlock()
			if shards = append(shards, e.Duration); len(shards) == partitions {
				close(opened)
			}
		},
		ShardRetry: func(p int32, err error) {
			select {
			case failed <- fmt.Errorf("opening shard %d: %w", p, err):
			default:
			}
		},
	}})
	if err != nil {
		return r, err
	}
	defer func() {
		if stopErr := worker.stop(); err == nil {
			err = stopErr
		}
	}()
	select {
	case <-opened:
	case err := <-failed:
		return r, err
	case <-ctx.Done():
		return r, context.Cause(ctx)
	}
	r.RecoveredMs = milliseconds(time.Since(began))
	if err := callEveryShard(ctx, client); err != nil {
		return r, err
	}
	r.ServingMs = milliseconds(time.Since(began))
	mu.Lock()
	defer mu.Unlock()
	var sum time.Duration
	for _, d := range shards {
		sum += d
	}
	r.Name, r.ShardMs = "recovery", milliseconds(sum/partitions)
	return r, nil
}

// callEveryShard calls one actor in each at the same time. The calls stand behind all actions
// that the dead worker had answered and the new one has to pass over.
func callEveryShard(ctx context.Context, client *remote.Client) error {
	var (
		wg   sync.WaitGroup
		errs = make(chan error, partitions)
	)
	for p := range int32(partitions) {
		i := slices.IndexFunc(keys[:], func(k key) bool { return k.shard == p })
		wg.Go(func() {
			_, err := counter.Get.Call(ctx, counter.Kind.Get(client, keys[i].name), struct{}{})
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return fmt.Errorf("calling after a recovery: %w", err)
		}
	}
	return nil
}
