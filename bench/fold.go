package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/internal/jsonpatch"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/evidence"
	"github.com/actorlog/actorlog/replay/verify"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// fold measures the reading of a history: by a raw consumer, by our tail, and with everything that
// makes states of it; and by verification. They take turns; the median of their rounds counts.
func (b *bench) fold(ctx context.Context, prefix string, h *history) error {
	b.report.progress("fold: raw consume, tail and fold of %d events, %d rounds", h.events, b.rounds)
	ways := []struct {
		name string
		read func(context.Context) error
	}{
		{"raw-consume", func(ctx context.Context) error { return b.rawConsume(ctx, prefix+"."+eventlog.Events.String(), h) }},
		{"tail", func(ctx context.Context) error { return h.tail(ctx, func([]eventlog.Record) error { return nil }) }},
		{"fold", h.fold},
		{"verify", h.verify},
		{"audit", h.audit},
	}
	took := make([][]time.Duration, len(ways))
	for range b.rounds {
		for i, way := range ways {
			runtime.GC()
			began := time.Now()
			if err := way.read(ctx); err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	for i, way := range ways {
		slices.Sort(took[i])
		b.report.add(result{Name: way.name, Events: &h.events, EventsPerS: round(float64(h.events) / took[i][b.rounds/2].Seconds())})
	}
	return b.foldInMemory(ctx, h)
}

// rawConsume reads the topic as a plain consumer does, and counts.
func (b *bench) rawConsume(ctx context.Context, topic string, h *history) error {
	cl, err := b.newClient(fromTheStart(topic))
	if err != nil {
		return err
	}
	defer cl.Close()
	left := h.left()
	for left.partitions > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			left.seen(r.Partition, r.Offset)
		}
	}
	return nil
}

// left is what is still to be read.
type left struct {
	ends       *[partitions]int64
	partitions int
}

func (h *history) left() left { return left{ends: &h.ends, partitions: partitions} }

func (l *left) seen(p int32, offset int64) {
	if offset == l.ends[p]-1 {
		l.partitions--
	}
}

// tail reads the events of all shards and hands each poll to fn.
func (h *history) tail(ctx context.Context, fn func([]eventlog.Record) error) error {
	tail, err := h.log.Tail(eventlog.Events)
	if err != nil {
		return err
	}
	defer tail.Close()
	for p := range int32(partitions) {
		tail.Add(p, 0)
	}
	left := h.left()
	for left.partitions > 0 {
		records, err := tail.Poll(ctx)
		if err != nil {
			return err
		}
		for i := range records {
			left.seen(records[i].Partition, records[i].Offset)
		}
		if err := fn(records); err != nil {
			return err
		}
	}
	return nil
}

// audit compares every shard with its hash chain, one shard per processor.
func (h *history) audit(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for p := range int32(partitions) {
		group.Go(func() error {
			r, err := evidence.Verify(ctx, h.log, p, nil, nil)
			if err == nil && (r.Finding != nil || r.Counted != h.ends[p]) {
				err = fmt.Errorf("shard %d: %d of %d records count, and %v", p, r.Counted, h.ends[p], r.Finding)
			}
			return err
		})
	}
	return group.Wait()
}

// shardFold is the fold of one shard, as host does it in a recovery: fence, decode, apply.
type shardFold struct {
	fence  machine.Fence
	actors map[schemas.Hash]*machine.Actor
}

func newShardFold() *shardFold {
	return &shardFold{fence: machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace), actors: make(map[schemas.Hash]*machine.Actor)}
}

func (f *shardFold) take(r *eventlog.Record) error {
	t := schemas.Type(r.Header(schemas.HeaderType))
	if t == schemas.TypeClaim {
		claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value)
		if err == nil {
			f.fence.Claim(r.Offset, claim)
		}
		return err
	}
	o, err := schemas.DecodeAs[*actorlogv1.Outcome](t, r.Value)
	if err != nil {
		return err
	}
	return f.apply(r, o)
}

func (f *shardFold) apply(r *eventlog.Record, o *actorlogv1.Outcome) error {
	hash, ok := schemas.ParseHash(r.Key)
	if !ok || !f.fence.Admits(schemas.PlaceOf(r.Value)) {
		return fmt.Errorf("the outcome at %d is void", r.Offset)
	}
	a := f.actors[hash]
	if a == nil {
		fresh := machine.NewActor(hash)
		a = &fresh
		f.actors[hash] = a
	}
	if applied, err := a.Apply(r.Offset, o); err != nil || !applied {
		return errors.Join(fmt.Errorf("the outcome at %d was not applied", r.Offset), err)
	}
	return nil
}

// fold reads the events of all shards and folds them, the shards spread over the processors.
func (h *history) fold(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg      sync.WaitGroup
		folders = make([]chan []eventlog.Record, runtime.GOMAXPROCS(0))
	)
	for i := range folders {
		folders[i] = make(chan []eventlog.Record, 64)
		wg.Go(func() {
			shards := make(map[int32]*shardFold)
			for records := range folders[i] {
				f := shards[records[0].Partition]
				if f == nil {
					f = newShardFold()
					shards[records[0].Partition] = f
				}
				for i := range records {
					if err := f.take(&records[i]); err != nil {
						cancel(err)
						return
					}
				}
			}
		})
	}
	err := h.tail(ctx, func(records []eventlog.Record) error {
		for len(records) > 0 {
			p, n := records[0].Partition, 1
			for n < len(records) && records[n].Partition == p {
				n++
			}
			select {
			case folders[int(p)%len(folders)] <- records[:n]:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			records = records[n:]
		}
		return nil
	})
	for _, f := range folders {
		close(f)
	}
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// verify runs all of the history again, on the code that it is of.
func (h *history) verify(ctx context.Context) error {
	registry := actor.NewRegistry()
	counter.Register(registry)
	s, err := verify.All(ctx, replay.NewReader(h.log, replay.Options{}), 0, 0, verify.Config{Registry: registry})
	if err == nil && s.Same != h.events {
		err = fmt.Errorf("of %d events %d are the same: %v", h.events, s.Same, s.Reasons)
	}
	return err
}

// foldInMemory takes the fold apart: what decoding, applying and, within applying, the patch
// take, on one processor and with the records in memory.
func (b *bench) foldInMemory(ctx context.Context, h *history) error {
	const most = 100_000
	enough := errors.New("enough")
	var records []eventlog.Record
	err := h.tail(ctx, func(polled []eventlog.Record) error {
		if records = append(records, polled...); len(records) >= most {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return err
	}
	type event struct {
		record  *eventlog.Record
		outcome *actorlogv1.Outcome
	}
	events := make([]event, 0, len(records))
	shards := make(map[int32]*shardFold)
	var outcomes []*eventlog.Record
	for i := range records {
		r := &records[i]
		if shards[r.Partition] == nil {
			shards[r.Partition] = newShardFold()
		}
		if schemas.Type(r.Header(schemas.HeaderType)) == schemas.TypeOutcome {
			outcomes = append(outcomes, r)
		} else if err := shards[r.Partition].take(r); err != nil {
			return err
		}
	}
	timed := func(name string, do func() error) error {
		runtime.GC()
		began := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.report.add(result{Name: name, NsPerEvent: round(float64(time.Since(began)) / float64(len(outcomes)))})
		return nil
	}
	return errors.Join(
		timed("decode", func() error {
			for _, r := range outcomes {
				o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeOutcome, r.Value)
				if err != nil {
					return err
				}
				events = append(events, event{r, o})
			}
			return nil
		}),
		timed("apply", func() error {
			for _, e := range events {
				if err := shards[e.record.Partition].apply(e.record, e.outcome); err != nil {
					return err
				}
			}
			return nil
		}),
		timed("patch", func() error {
			state := []byte(`{"count":0}`)
			for _, e := range events {
				if len(e.outcome.PatchJson) == 0 {
					continue
				}
				if _, err := jsonpatch.Apply(state, e.outcome.PatchJson); err != nil {
					return err
				}
			}
			return nil
		}),
	)
}
