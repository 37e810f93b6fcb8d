package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Back goes through the events of one actor newest first, from the last one that stands below offset before; 0 is the last one of all. It follows the chain
// of previous events, so that recent history costs what it is long, however much of other actors stands between. The sequence ends after an error; one
// that is ErrGone says that there were earlier events.
func (r *Reader) Back(ctx context.Context, hash schemas.Hash, before int64) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		c := chain{r: r, partition: r.Partition(hash), hash: hash}
		e, err := c.latest(ctx, before)
		for e != nil && err == nil {
			if !yield(e, nil) {
				return
			}
			e, err = c.previous(ctx, e)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// chain is the events of one actor, as each names the one before it.
type chain struct {
	r         *Reader
	partition int32
	hash      schemas.Hash
	block     block
}

// previous returns the event before e, nil when it is the first.
//
// What e says is where its writer meant that event to stand. The writer knew where those stood that were there when its term began. Those of its own term it
// foretold, and something of somebody else's may have come between: then the event stands later, and its place still says what was foretold.
func (c *chain) previous(ctx context.Context, e *Event) (*Event, error) {
	prev, ok := e.prev()
	if !ok {
		return nil, nil
	}
	rec, err := c.block.at(ctx, c.r, c.partition, prev, e.Position.Offset)
	switch {
	case errors.Is(err, eventlog.ErrOffsetOutOfRange):
		return nil, fmt.Errorf("%w: the events of the actor before %s", ErrGone, e.Position)
	case err != nil:
		return nil, err
	}
	if rec != nil && prev < e.Position.Offset {
		t := schemas.Type(rec.Header(schemas.HeaderType))
		if (t == schemas.TypeOutcome || t == schemas.TypeStep) && bytes.Equal(rec.Key, c.hash[:]) {
			epoch, place := schemas.PlaceOf(rec.Value)
			own, _ := schemas.PlaceOf(e.Record.Value)
			if prev < own || (epoch == own && (place == prev || place == schemas.NoPlace)) {
				return eventOf(rec, t, c.hash), nil
			}
		}
	}
	before, err := c.search(ctx, e.Position.Offset, 0)
	if before == nil && err == nil {
		err = fmt.Errorf("%w: the event of the actor before %s", ErrGone, e.Position)
	}
	return before, err
}

// latest returns the last event that counts and stands below offset before; 0: of all. Nil when there is none.
func (c *chain) latest(ctx context.Context, before int64) (*Event, error) {
	if before == 0 {
		return c.head(ctx)
	}
	e, err := c.search(ctx, before, nearby)
	if e != nil || (err != nil && !errors.Is(err, errEnough)) {
		return e, err
	}
	near := err == nil // and there is none that is kept
	if start, _, boundsErr := c.r.bounds(ctx, c.partition); boundsErr != nil || (near && start == 0) {
		return nil, boundsErr
	}
	// Perhaps it is closer from the end, with the others of its actor only. They also tell whether there were any that are not kept.
	e, err = c.head(ctx)
	for range maxHops {
		if e == nil || err != nil || e.Position.Offset < before {
			return e, err
		}
		e, err = c.previous(ctx, e)
	}
	if near {
		return nil, fmt.Errorf("%w: events of the actor before %d:%d", ErrGone, c.partition, before)
	}
	return c.search(ctx, before, 0)
}

// How far is searched back for an actor's last event, in records, and how many events are gone through, before another way is tried.
const (
	nearby  = 32 * machine.ReadBack
	maxHops = 10_000
)

// search reads the partition back from an offset for the actor's last event below it, at most so many records, 0: all. errEnough: not within those.
func (c *chain) search(ctx context.Context, before, most int64) (last *Event, err error) {
	start, end, err := c.r.bounds(ctx, c.partition)
	if err != nil {
		return nil, err
	}
	before = min(before, end)
	for hi, size := before, int64(machine.ReadBack); hi > start; size = min(2*size, 1<<20) {
		if most > 0 && before-hi >= most {
			return nil, errEnough
		}
		in := Range{From: max(start, hi-size), To: hi}
		if hi = in.From; in.From == start {
			in.From = 0
		}
		err := c.r.scan(ctx, c.partition, in, &c.hash, func(e *Event) error {
			last = e
			return nil
		})
		if last != nil || err != nil {
			return last, err
		}
	}
	return nil, nil
}

// head is the actor's last event: after the last checkpoint, or else where its snapshot says.
func (c *chain) head(ctx context.Context) (last *Event, err error) {
	_, end, err := c.r.bounds(ctx, c.partition)
	if err != nil {
		return nil, err
	}
	if last, err = c.search(ctx, end, 2*machine.ReadBack); last != nil || !errors.Is(err, errEnough) {
		return last, err // one that is busy
	}
	mark, err := c.r.Checkpoint(ctx, c.partition)
	if err != nil {
		return nil, err
	}
	if mark == nil {
		return c.search(ctx, end, 0)
	}
	err = c.r.since(ctx, c.partition, mark, &c.hash, func(e *Event) error {
		last = e
		return nil
	})
	if last != nil || err != nil {
		return last, err
	}
	snapshot, err := c.r.snapshot(ctx, c.hash)
	if err != nil {
		return nil, err
	}
	if snapshot != nil && snapshot.LastOffset >= 0 {
		rec, err := c.block.at(ctx, c.r, c.partition, snapshot.LastOffset, 0)
		switch {
		case errors.Is(err, eventlog.ErrOffsetOutOfRange):
			return nil, fmt.Errorf("%w: the last event of the actor, at %d:%d", ErrGone, c.partition, snapshot.LastOffset)
		case err != nil:
			return nil, err
		case rec != nil && bytes.Equal(rec.Key, c.hash[:]):
			return eventOf(rec, schemas.Type(rec.Header(schemas.HeaderType)), c.hash), nil
		}
	}
	// It never lived, as far as its worker remembers, or its snapshot cannot be read.
	return c.search(ctx, mark.EventsOffset, 0)
}

// block is a run of a partition's records, for those who go backwards and need some of them.
type block struct {
	records []eventlog.Record
	lo, hi  int64 // what is there
	loads   int   // how often something was read
	fit     int64 // how many records fitted when not all did; 0: all did
}

// A read brings about as many records whether few or many are wanted, so it takes in as many as are likely to be: some steps back of the width of the last one, and
// twice as many each time, for who has gone far goes on.
const (
	minBlock = 64
	maxBlock = 4096
	maxWalk  = 1 << 15
	stepsIn  = 64
	// maxBlockBytes is of how many bytes of records a block keeps the last ones, at least one.
	maxBlockBytes = 16 << 20
)

// at returns the record at an offset, nil if there is none. ErrOffsetOutOfRange when it is not kept. from is where the one is that was looked at before.
func (b *block) at(ctx context.Context, r *Reader, partition int32, offset, from int64) (*eventlog.Record, error) {
	if offset < b.lo || offset >= b.hi {
		size := int64(minBlock)
		if step := from - offset; step > 0 && step < maxBlock {
			size = min(max(stepsIn*step, minBlock), maxBlock)
			size = min(size<<min(b.loads, 8), maxWalk)
		}
		if b.fit > 0 {
			size = min(size, b.fit)
		}
		b.loads++
		start, _, err := r.bounds(ctx, partition)
		if err != nil {
			return nil, err
		}
		if offset < start {
			return nil, fmt.Errorf("%w: %d:%d; the first one kept is %d", eventlog.ErrOffsetOutOfRange, partition, offset, start)
		}
		b.lo, b.hi = max(start, offset+1-size), offset+1
		b.records = nil // what was given away keeps the old ones
		var held int
		err = eventlog.Scan(ctx, r.src, eventlog.Events, partition, b.lo, b.hi, func(rec *eventlog.Record) error {
			b.records = append(b.records, *rec)
			for held += len(rec.Value); held > maxBlockBytes && len(b.records) > 1; b.records = b.records[1:] {
				held -= len(b.records[0].Value)
				b.lo = b.records[0].Offset + 1
				b.records[0] = eventlog.Record{}
				b.fit = -1
			}
			return nil
		})
		if err != nil {
			b.lo, b.hi = 0, 0
			return nil, err
		}
		if b.fit < 0 {
			b.fit = int64(len(b.records))
		}
	}
	i := sort.Search(len(b.records), func(i int) bool { return b.records[i].Offset >= offset })
	if i == len(b.records) || b.records[i].Offset != offset {
		return nil, nil
	}
	return apart(&b.records[i]), nil
}

// apart is a copy of a record that shares no memory with those that were read with it: one that is kept must not keep them all.
func apart(r *eventlog.Record) *eventlog.Record {
	c := *r
	c.Key, c.Value, c.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return &c
}

// Checkpoint reads a shard's latest checkpoint, back from the end; nil when there is none that can be read, or the events since it are no longer kept.
func (r *Reader) Checkpoint(ctx context.Context, partition int32) (*actorlogv1.Checkpoint, error) {
	mark, err := latest[*actorlogv1.Checkpoint](ctx, r, partition, []byte(schemas.CheckpointKey))
	if err != nil || mark == nil {
		return nil, err
	}
	if start, _, err := r.bounds(ctx, partition); err != nil || mark.EventsOffset < start {
		return nil, err
	}
	return mark, nil
}

// snapshot reads an actor's latest snapshot, back from the end; nil when there is none that can be read.
func (r *Reader) snapshot(ctx context.Context, hash schemas.Hash) (*actorlogv1.Snapshot, error) {
	return latest[*actorlogv1.Snapshot](ctx, r, r.Partition(hash), hash[:])
}

// latest reads the latest of a key in a partition of snapshots; nil when there is none that can be read.
func latest[M proto.Message](ctx context.Context, r *Reader, partition int32, key []byte) (m M, err error) {
	rec, err := eventlog.Latest(ctx, r.src, eventlog.Snapshots, partition, key)
	if err != nil || rec == nil || rec.Value == nil {
		return m, err
	}
	if found, err := schemas.DecodeAs[M](schemas.Type(rec.Header(schemas.HeaderType)), rec.Value); err == nil {
		m = found
	}
	return m, nil
}

// latestSnapshots calls fn with the snapshots of a partition, in the order in which they were written: the last one of an actor counts. It is nil where the actor's was
// deleted, and when there is an err: that of one that cannot be read.
func (r *Reader) latestSnapshots(ctx context.Context, partition int32, fn func(schemas.Hash, *actorlogv1.Snapshot, error) error) error {
	start, end, err := r.src.Bounds(ctx, eventlog.Snapshots, partition)
	if err != nil {
		return fmt.Errorf("asking for the bounds of snapshots[%d]: %w", partition, err)
	}
	return eventlog.Scan(ctx, r.src, eventlog.Snapshots, partition, start, end, func(rec *eventlog.Record) error {
		hash, ok := schemas.ParseHash(rec.Key)
		if !ok { // the checkpoint
			return nil
		}
		if rec.Value == nil {
			return fn(hash, nil, nil)
		}
		snapshot, err := schemas.DecodeAs[*actorlogv1.Snapshot](schemas.Type(rec.Header(schemas.HeaderType)), rec.Value)
		if err != nil {
			return fn(hash, nil, fmt.Errorf("%w: the snapshot at %d of snapshots[%d] cannot be read: %w", ErrGone, rec.Offset, partition, err))
		}
		return fn(hash, snapshot, nil)
	})
}

// since scans what was written after a checkpoint.
func (r *Reader) since(ctx context.Context, partition int32, mark *actorlogv1.Checkpoint, only *schemas.Hash, fn func(*Event) error) error {
	_, end, err := r.bounds(ctx, partition)
	if err != nil {
		return err
	}
	s := scan{r: r, partition: partition, from: mark.EventsOffset, to: end, only: only, fn: fn}
	return s.run(ctx, mark.EventsOffset, machine.NewFence(mark.Epoch, mark.Version, mark.EventsOffset-1))
}
