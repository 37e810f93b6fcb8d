package replay

import (
	"context"
	"iter"
	"time"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Listed is an actor in a list.
type Listed struct {
	Hash schemas.Hash
	// Actor is who it is; its generation is the latest, living or not.
	Actor *actorlogv1.Actor
	Alive bool
	// Last is the actor's time when something last happened to it.
	Last time.Time
	// Broken says why it is out of service; empty otherwise, and until the next checkpoint where an event can be read but not applied.
	Broken string
}

// Actors lists the actors of a partition, in no order, from its snapshots and the events since its last checkpoint: it reads no history and no states, and holds
// those for which wanted returns true. An actor that never lived is none. A snapshot that cannot be read is passed over. The sequence ends after an error.
// [Reader.Heads] has the same actors with their states.
func (r *Reader) Actors(ctx context.Context, partition int32, wanted func(*actorlogv1.Actor) bool) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		all, err := r.list(ctx, partition, wanted)
		if err != nil {
			yield(Listed{}, err)
			return
		}
		for _, l := range all {
			if !yield(l, nil) {
				return
			}
		}
	}
}

func (r *Reader) list(ctx context.Context, partition int32, wanted func(*actorlogv1.Actor) bool) (map[schemas.Hash]Listed, error) {
	all := make(map[schemas.Hash]Listed)
	take := func(l Listed) {
		if l.Actor.GetGeneration() > 0 && wanted(l.Actor) {
			all[l.Hash] = l
		}
	}
	event := func(e *Event) error {
		l, o := all[e.Hash], e.Outcome
		switch {
		case e.Err != nil && l.Broken == "":
			l.Broken = e.Err.Error()
			take(l)
			return nil
		case o == nil || o.RefusedSince != nil: // nothing happened to the actor
			return nil
		case o.Repaired != nil:
			l.Broken, l.Alive = o.Repaired.Broken, o.Repaired.Alive
		}
		l.Hash, l.Last = e.Hash, time.UnixMilli(o.TimeUnixMs)
		if o.Actor.GetKind() != "" { // otherwise asked for by its id
			l.Actor = o.Actor
		}
		switch o.Lifecycle {
		case actorlogv1.Lifecycle_LIFECYCLE_CREATED:
			l.Alive = true
		case actorlogv1.Lifecycle_LIFECYCLE_DESTROYED, actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED:
			l.Alive = false
		}
		take(l)
		return nil
	}
	mark, err := r.Checkpoint(ctx, partition)
	if err != nil {
		return nil, err
	}
	if mark == nil {
		return all, r.scan(ctx, partition, Range{}, nil, event)
	}
	err = r.latestSnapshots(ctx, partition, func(hash schemas.Hash, s *actorlogv1.Snapshot, err error) error {
		delete(all, hash)
		if err == nil && s != nil {
			take(Listed{Hash: hash, Actor: s.Actor, Alive: s.Alive, Last: time.UnixMilli(s.TimeUnixMs), Broken: s.Broken})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, r.since(ctx, partition, mark, nil, event)
}
