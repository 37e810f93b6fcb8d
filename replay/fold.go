package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
)

// Moment is an event with the actor as it was and as it became. The actors are snapshots: keep them, do not change what they point to.
type Moment struct {
	*Event
	Before, After machine.Actor
}

// Entry shows the event, with the name of the action that a schedule ran.
func (m *Moment) Entry() *Entry {
	v := m.Event.Entry()
	if f := m.Outcome.GetAction().GetFire(); f != nil {
		for _, s := range m.Before.Schedules {
			if s.Id == f.ScheduleId {
				v.Action = s.Action
			}
		}
	}
	return v
}

// FoldShard goes through the events of a partition below offset to (0: where it ends now), and folds the actors that are wanted; nil: all. It holds them all in memory. An
// actor whose beginning is not kept is left out until its next life. The sequence ends after an error.
func (r *Reader) FoldShard(ctx context.Context, partition int32, to int64, wanted func(schemas.Hash) bool) iter.Seq2[Moment, error] {
	return func(yield func(Moment, error) bool) {
		f := folds{actors: make(map[schemas.Hash]machine.Actor)}
		for e, err := range r.Shard(ctx, partition, Range{To: to}) {
			if err != nil {
				yield(Moment{}, err)
				return
			}
			if wanted != nil && !wanted(e.Hash) {
				continue
			}
			if m, ok := f.fold(e); ok && !yield(m, nil) {
				return
			}
		}
	}
}

// Fold goes through the events of one actor that stand below offset to (0: all), oldest first, and folds it. The beginning is found by the chain of previous events, or by a
// scan of the partition where that is shorter. Where it is not kept, the first event is the first one of a life that is kept whole; ErrGone if there is none.
// The sequence ends after an error.
func (r *Reader) Fold(ctx context.Context, hash schemas.Hash, to int64) iter.Seq2[Moment, error] {
	return func(yield func(Moment, error) bool) {
		f := folds{actors: make(map[schemas.Hash]machine.Actor, 1)}
		for e, err := range r.Events(ctx, hash, to) {
			if err != nil {
				yield(Moment{}, err)
				return
			}
			if m, ok := f.fold(e); ok && !yield(m, nil) {
				return
			}
		}
		if f.gone != nil {
			yield(Moment{}, f.gone)
		}
	}
}

// Events goes through the events of one actor that stand below offset to (0: all), oldest first: from what the chain of previous events finds if they are few, else by a
// scan of the partition. Where not all are kept, it begins with the first that is. The sequence ends after an error.
func (r *Reader) Events(ctx context.Context, hash schemas.Hash, to int64) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		events, err := r.recent(ctx, hash, to, maxCollected)
		if errors.Is(err, errEnough) {
			r.History(ctx, hash, Range{To: to})(yield)
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Head is the actor after its last event: from its snapshot and what was written since. One without events is machine.NewActor.
func (r *Reader) Head(ctx context.Context, hash schemas.Hash) (machine.Actor, error) {
	_, end, err := r.bounds(ctx, r.Partition(hash))
	if err != nil {
		return machine.Actor{}, err
	}
	return r.At(ctx, hash, end)
}

// At is the actor after its last event at or before an offset. One that had none is machine.NewActor. ErrGone when what it was made of is not kept.
func (r *Reader) At(ctx context.Context, hash schemas.Hash, offset int64) (machine.Actor, error) {
	a, err := r.fromSnapshot(ctx, hash, offset)
	if !errors.Is(err, errEnough) {
		return a, err
	}
	a = machine.NewActor(hash)
	if offset < 0 {
		return a, nil
	}
	for m, err := range r.Fold(ctx, hash, offset+1) {
		if err != nil {
			return a, err
		}
		a = m.After
	}
	return a, nil
}

// fromSnapshot is At when the snapshot is not of later. errEnough when it is, or there is none.
func (r *Reader) fromSnapshot(ctx context.Context, hash schemas.Hash, offset int64) (machine.Actor, error) {
	mark, err := r.Checkpoint(ctx, r.Partition(hash))
	if err != nil {
		return machine.Actor{}, err
	}
	if mark == nil || mark.EventsOffset > offset+1 {
		// Whether the snapshot is of later, only reading it tells; that is as long as what it would save.
		return machine.Actor{}, errEnough
	}
	snapshot, err := r.snapshot(ctx, hash)
	if err != nil {
		return machine.Actor{}, err
	}
	f := folds{actors: make(map[schemas.Hash]machine.Actor, 1)}
	if snapshot != nil {
		a, err := machine.Restore(hash, snapshot)
		if err != nil || snapshot.LastOffset > offset {
			return machine.Actor{}, errEnough
		}
		f.actors[hash] = a
	}
	err = r.since(ctx, r.Partition(hash), mark, &hash, func(e *Event) error {
		if e.Position.Offset > offset {
			return errEnough
		}
		f.fold(e)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return machine.Actor{}, err
	}
	if a, ok := f.actors[hash]; ok && f.gone == nil {
		return a, nil
	}
	return machine.Actor{}, errEnough
}

// Bounds of what is collected by the chain.
const (
	maxCollected = 1 << 12
	maxBytes     = 32 << 20
	// A read somewhere in the partition takes about as long as going through that many records.
	recordsPerLoad = 8000
	minLoads       = 8
)

// recent is all events of an actor below an offset, oldest first, if they are at most so many, and found faster than by a scan; errEnough if not.
func (r *Reader) recent(ctx context.Context, hash schemas.Hash, to int64, most int) ([]*Event, error) {
	partition := r.Partition(hash)
	start, end, err := r.bounds(ctx, partition)
	if err != nil {
		return nil, err
	}
	if to > 0 {
		end = min(end, to)
	}
	loads := int(max((end-start)/recordsPerLoad, minLoads))
	c := chain{r: r, partition: partition, hash: hash}
	var events []*Event
	bytes := 0
	e, err := c.latest(ctx, to)
	for ; e != nil && err == nil; e, err = c.previous(ctx, e) {
		events = append(events, e)
		if bytes += e.size(); len(events) > most || bytes > maxBytes || c.block.loads > loads {
			return nil, errEnough
		}
	}
	if err != nil && (!errors.Is(err, ErrGone) || len(events) == 0) {
		return nil, err
	}
	slices.Reverse(events)
	return events, nil
}

// folds is actors in the making.
type folds struct {
	actors map[schemas.Hash]machine.Actor
	// gone is set while the actor met last cannot be folded because its beginning is not kept.
	gone error
}

// fold takes in an event, and returns false if it is of an actor whose beginning is not known.
func (f *folds) fold(e *Event) (Moment, bool) {
	before, ok := f.actors[e.Hash]
	if !ok {
		before = machine.NewActor(e.Hash)
		if prev, has := e.prev(); has && !e.creates() {
			f.gone = fmt.Errorf("%w: what actor %s was before %s; its event before stood at %d", ErrGone, e.Hash, e.Position, prev)
			return Moment{}, false
		}
	}
	f.gone = nil
	after := before
	switch {
	case e.Outcome != nil:
		_, _ = after.Apply(e.Position.Offset, e.Outcome) // an error leaves the actor Broken
	case e.Step != nil:
		after.ApplyStep(e.Position.Offset, e.Step)
	default:
		after.Broken, after.LastOffset = e.Err.Error(), e.Position.Offset
	}
	f.actors[e.Hash] = after
	return Moment{Event: e, Before: before, After: after}, true
}
