package replay

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Event is one record of events that counts: an outcome, or a recorded step of an action whose outcome comes later. It belongs to who gets it, but shares
// memory with other events: keep it, do not change it.
type Event struct {
	// Position in the events topic.
	Position schemas.Position
	// Hash of the actor.
	Hash schemas.Hash
	// Outcome, or Step. One of them is set, unless Err is.
	Outcome *actorlogv1.Outcome
	Step    *actorlogv1.Step
	// Err is why the event cannot be read: its actor is out of service from here on.
	Err error
	// Record as it stands in the log.
	Record *eventlog.Record
}

// eventOf decodes a record of type outcome or step.
func eventOf(r *eventlog.Record, t schemas.Type, hash schemas.Hash) *Event {
	e := &Event{Position: schemas.Position{Partition: r.Partition, Offset: r.Offset}, Hash: hash, Record: r}
	m, err := schemas.Decode(t, r.Value)
	switch m := m.(type) {
	case *actorlogv1.Outcome:
		e.Outcome = m
	case *actorlogv1.Step:
		e.Step = m
	default:
		e.Err = err
	}
	return e
}

// Ref of the action: its offset in the actions topic of the same partition. -1 when the event cannot be read.
func (e *Event) Ref() int64 {
	switch {
	case e.Outcome != nil:
		return e.Outcome.Ref
	case e.Step != nil:
		return e.Step.Ref
	}
	return -1
}

// Actor that the event is of; nil when it cannot be read.
func (e *Event) Actor() *actorlogv1.Actor {
	if e.Step != nil {
		return e.Step.Actor
	}
	return e.Outcome.GetActor()
}

// ID of the actor's life that the event is part of.
func (e *Event) ID() schemas.ActorID {
	return schemas.ActorID{Hash: e.Hash, Generation: e.Actor().GetGeneration()}
}

// Time of an outcome is the actor's, of a step the worker's; in UTC. Zero when the event cannot be read.
func (e *Event) Time() time.Time {
	switch {
	case e.Outcome != nil:
		return time.UnixMilli(e.Outcome.TimeUnixMs).UTC()
	case e.Step != nil:
		return time.UnixMilli(e.Step.TimeUnixMs).UTC()
	}
	return time.Time{}
}

// prev is the offset of the actor's previous event, as its writer had it.
func (e *Event) prev() (offset int64, ok bool) {
	switch {
	case e.Outcome != nil && e.Outcome.Prev != nil:
		return *e.Outcome.Prev, true
	case e.Step != nil && e.Step.Prev != nil:
		return *e.Step.Prev, true
	}
	return 0, false
}

// HasPrevious says whether the actor had an event before this one.
func (e *Event) HasPrevious() bool {
	_, ok := e.prev()
	return ok
}

// creates says that a life began with the event: nothing before it matters to what the actor is.
func (e *Event) creates() bool {
	l := e.Outcome.GetLifecycle()
	return l == actorlogv1.Lifecycle_LIFECYCLE_CREATED || l == actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
}

// size is about what the event takes in memory.
func (e *Event) size() int {
	if e.Outcome != nil {
		return len(e.Record.Value) + proto.Size(e.Outcome)
	}
	return 2 * len(e.Record.Value)
}
