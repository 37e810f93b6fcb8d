package projector

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/schemas"
)

// reader is the reading half of a projector: one goroutine's, but for what is said to be shared.
type reader struct {
	p      *Projector
	tail   eventlog.Tail
	shards []projection.Shard
	// whole says of a shard that it was read from its beginning, and that no actor of it has left the cache: one that is not there has no outcome yet.
	whole []bool
	cache *cache
	now   *batch
	// Batches go round: free ones to the reader, full ones to the writer, which notes the number of the last one that is safe.
	free, full   chan *batch
	acknowledged atomic.Uint64
}

// batch is rows on their way.
type batch struct {
	projection.Batch
	number uint64
	// since it has something.
	since time.Time
	// changed are the entries of the cache whose actors are part of it, and moved the shards that went on.
	changed []*entry
	moved   map[int32]bool
}

func (b *batch) empty() {
	clear(b.Events) // they hold memory of records
	clear(b.Actors)
	b.Events, b.Actors, b.Places, b.Erasures, b.Bytes = b.Events[:0], b.Actors[:0], b.Places[:0], b.Erasures[:0], 0
	b.since, b.changed = time.Time{}, b.changed[:0]
	clear(b.moved)
}

func newReader(p *Projector, tail eventlog.Tail) *reader {
	r := &reader{
		p: p, tail: tail, shards: make([]projection.Shard, p.log.Partitions()), whole: make([]bool, p.log.Partitions()),
		free: make(chan *batch, 2), full: make(chan *batch),
	}
	r.cache = newCache(p.cfg.CacheBytes, func(shard int32) { r.whole[shard] = false })
	for range cap(r.free) {
		r.free <- &batch{moved: make(map[int32]bool)}
	}
	return r
}

// begin starts to read a shard.
func (r *reader) begin(ctx context.Context, place projection.Place) error {
	start, end, err := r.p.log.Bounds(ctx, eventlog.Events, place.Shard)
	if err != nil {
		return fmt.Errorf("asking for the bounds of events[%d]: %w", place.Shard, err)
	}
	if place.Next > end {
		return fmt.Errorf("events[%d] ends at %d, and %d was to be projected next: %w", place.Shard, end, place.Next, errBehind)
	}
	r.whole[place.Shard] = place.Next == 0 && start == 0
	if place.Next < start {
		if r.p.cfg.Events.Gap != nil {
			r.p.cfg.Events.Gap(place.Shard, place.Next, start)
		}
		// Nothing is known of the terms before: what counts is certain from the next claim on.
		from := projection.Start(place.Shard)
		from.Next = start
		place = from
	}
	r.shards[place.Shard] = projection.NewShard(place)
	r.p.next[place.Shard].Store(place.Next)
	r.p.ends[place.Shard].Store(end)
	r.tail.Add(place.Shard, place.Next)
	return nil
}

// foldAtOnce is how many records are folded before it is asked whether the batch is full.
const foldAtOnce = 512

// read polls, folds, and hands batches over.
func (r *reader) read(ctx context.Context) error {
	if err := r.take(ctx); err != nil {
		return err
	}
	for {
		records, err := r.poll(ctx)
		if err != nil {
			return err
		}
		for len(records) > 0 {
			n := r.fits(records)
			if err := r.fold(ctx, records[:n]); err != nil {
				return err
			}
			records = records[n:]
			if err := r.maybeHand(ctx); err != nil {
				return err
			}
		}
		if err := r.maybeHand(ctx); err != nil {
			return err
		}
	}
}

// fits is how many of the records are folded into the batch before it is looked at again: one at least, and no more than have room in it, as far as their own sizes tell.
func (r *reader) fits(records []eventlog.Record) int {
	n, room := 0, r.p.cfg.MaxBytes-r.now.Bytes
	for n < min(len(records), r.p.cfg.MaxRows-len(r.now.Events), foldAtOnce) && (n == 0 || room > 0) {
		room -= len(records[n].Value)
		n++
	}
	return n
}

// poll waits for records, but not longer than the batch may.
func (r *reader) poll(ctx context.Context) ([]eventlog.Record, error) {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if !r.now.since.IsZero() {
		limited, cancel = context.WithDeadline(ctx, r.now.since.Add(r.p.cfg.MaxDelay))
		if time.Since(r.now.since) >= r.p.cfg.MaxDelay { // the writer is at work: look for it now and then
			cancel()
			limited, cancel = context.WithTimeout(ctx, r.p.cfg.MaxDelay/10+time.Millisecond)
		}
	}
	defer cancel()
	records, err := r.tail.Poll(limited)
	var gone *eventlog.PartitionError
	switch {
	case err == nil:
		return records, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, nil
	case errors.As(err, &gone) && errors.Is(err, eventlog.ErrOffsetOutOfRange):
		// They expired before they were read.
		return nil, r.begin(ctx, r.shards[gone.Partition].Place())
	}
	return nil, fmt.Errorf("reading events: %w", err)
}

// fold makes rows of records.
func (r *reader) fold(ctx context.Context, records []eventlog.Record) error {
	if len(records) > 0 && r.now.since.IsZero() {
		r.now.since = time.Now()
	}
	if err := r.load(ctx, records); err != nil {
		return err
	}
	for i := range records {
		record := &records[i]
		if record.Mark {
			continue
		}
		admitted, ok, err := r.shards[record.Partition].Admit(record)
		if err != nil {
			return err
		}
		r.now.moved[record.Partition] = true
		if ok {
			r.apply(record.Partition, &admitted)
		}
	}
	return nil
}

// load brings the actors that records are about into the cache.
func (r *reader) load(ctx context.Context, records []eventlog.Record) error {
	var missing []schemas.Hash
	var asked map[schemas.Hash]bool
	for i := range records {
		record := &records[i]
		hash, ok := schemas.ParseHash(record.Key)
		if !ok || r.whole[record.Partition] || asked[hash] || r.cache.has(hash) || schemas.Type(record.Header(schemas.HeaderType)) != schemas.TypeOutcome {
			continue
		}
		if asked == nil {
			asked = make(map[schemas.Hash]bool)
		}
		asked[hash] = true
		missing = append(missing, hash)
	}
	if len(missing) == 0 {
		return nil
	}
	var actors []projection.Actor
	err := r.p.retry(ctx, "loading actors", func(ctx context.Context) (err error) {
		actors, err = r.p.sink.Load(ctx, missing)
		return err
	})
	if err != nil {
		return err
	}
	for i := range actors {
		r.cache.put(actors[i])
	}
	return nil
}

// apply folds one outcome into its actor, and adds its row to the batch.
func (r *reader) apply(shard int32, admitted *projection.Admitted) {
	e := r.cache.get(shard, admitted.Hash)
	broken := e.actor.Broken
	if admitted.Err == nil && projection.Erases(admitted.Outcome) {
		// Also one that the actor is ahead of: whoever wrote that may have died before it was carried out.
		r.now.Erasures = append(r.now.Erasures, projection.Erasure{Actor: admitted.Hash, Position: schemas.Position{Partition: shard, Offset: admitted.Offset}})
	}
	if admitted.Err != nil {
		e.actor.Break(admitted.Offset, admitted.Err)
	} else if row, counts := e.actor.Take(admitted.Offset, admitted.Outcome); counts {
		r.now.Events = append(r.now.Events, row)
		r.now.Bytes += row.Bytes()
	} else {
		return
	}
	if broken == "" && e.actor.Broken != "" && r.p.cfg.Events.ActorBroken != nil {
		r.p.cfg.Events.ActorBroken(e.actor.ID().String(), e.actor.Broken)
	}
	before := e.bytes
	r.cache.changed(e)
	if e.batch == r.now.number {
		r.now.Bytes += e.bytes - before
		return
	}
	e.batch = r.now.number
	r.now.changed = append(r.now.changed, e)
	r.now.Bytes += e.bytes
}

// maybeHand hands the batch over when it is time.
func (r *reader) maybeHand(ctx context.Context) error {
	b := r.now
	switch {
	case b.since.IsZero():
		return nil
	case len(b.Events) >= r.p.cfg.MaxRows, b.Bytes >= r.p.cfg.MaxBytes:
		r.seal()
		select {
		case r.full <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	case time.Since(b.since) >= r.p.cfg.MaxDelay:
		if len(r.free) == 0 {
			return nil // the other batch is being written: this one can still grow
		}
		r.seal()
		select {
		case r.full <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	default:
		return nil
	}
	return r.take(ctx)
}

// seal takes the actors and places of the batch as they are now.
func (r *reader) seal() {
	b := r.now
	for _, e := range b.changed {
		b.Actors = append(b.Actors, e.actor)
	}
	for shard := range r.p.log.Partitions() {
		if b.moved[shard] {
			b.Places = append(b.Places, r.shards[shard].Place())
		}
	}
}

// take waits for an empty batch, and makes room in the cache.
func (r *reader) take(ctx context.Context) error {
	var number uint64 = 1
	if r.now != nil {
		number = r.now.number + 1
	}
	select {
	case r.now = <-r.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.now.number = number
	r.cache.evict(r.acknowledged.Load())
	return nil
}
