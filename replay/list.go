package replay

import (
	"context"
	"errors"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
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
	// Broken says why it is out of service; empty otherwise.
	Broken string
}

// ErrEnough ends a list early.
var ErrEnough = errors.New("enough")

// Actors lists the actors of a shard, in no order, from its snapshots and the events since its last checkpoint: it reads no history, and holds
// those for which wanted returns true. An actor that never lived is none. fn may return ErrEnough.
func (r *Reader) Actors(ctx context.Context, partition int32, wanted func(*actorlogv1.Actor) bool, fn func(Listed) error) error {
	mark, err := r.Checkpoint(ctx, partition)
	if err != nil {
		return err
	}
	all := make(map[schemas.Hash]Listed)
	take := func(l Listed) {
		if l.Actor.GetGeneration() > 0 && wanted(l.Actor) {
			all[l.Hash] = l
		}
	}
	from, fence := int64(0), machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	start, end, err := r.bounds(ctx, partition)
	if err != nil {
		return err
	}
	if from = start; mark != nil {
		from, fence = mark.EventsOffset, machine.NewFence(mark.Epoch, mark.Version, mark.EventsOffset-1)
		if err := r.listSnapshots(ctx, partition, all, take); err != nil {
			return err
		}
	}
	s := scan{r: r, partition: partition, from: from, to: end, fn: func(e *Event) error {
		o := e.Outcome
		if o == nil {
			return nil
		}
		l := Listed{Hash: e.Hash, Actor: o.Actor, Alive: all[e.Hash].Alive, Last: time.UnixMilli(o.TimeUnixMs)}
		switch o.Lifecycle {
		case actorlogv1.Lifecycle_LIFECYCLE_CREATED:
			l.Alive = true
		case actorlogv1.Lifecycle_LIFECYCLE_DESTROYED, actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED:
			l.Alive = false
		}
		if l.Actor.GetKind() == "" { // asked for by its id
			l.Actor = all[e.Hash].Actor
		}
		take(l)
		return nil
	}}
	if err := s.run(ctx, from, fence); err != nil {
		return err
	}
	for _, l := range all {
		if err := fn(l); errors.Is(err, ErrEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// listSnapshots takes in the latest snapshot of each actor. One that cannot be read is passed over.
func (r *Reader) listSnapshots(ctx context.Context, partition int32, all map[schemas.Hash]Listed, take func(Listed)) error {
	start, end, err := r.src.Bounds(ctx, eventlog.Snapshots, partition)
	if err != nil {
		return err
	}
	return eventlog.Scan(ctx, r.src, eventlog.Snapshots, partition, start, end, func(rec *eventlog.Record) error {
		hash, ok := schemas.ParseHash(rec.Key)
		if !ok {
			return nil
		}
		delete(all, hash)
		if rec.Value == nil {
			return nil
		}
		s, err := schemas.DecodeAs[*actorlogv1.Snapshot](schemas.Type(rec.Header(schemas.HeaderType)), rec.Value)
		if err == nil {
			take(Listed{Hash: hash, Actor: s.Actor, Alive: s.Alive, Last: time.UnixMilli(s.TimeUnixMs), Broken: s.Broken})
		}
		return nil
	})
}
