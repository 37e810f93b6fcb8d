package projection

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Actor is an actor as it is after its last outcome: the row of actors, and what the fold needs of it to go on. Of machine.Actor it leaves out what only a worker
// needs: queues, steps, and requests that may come again. Like it, an Actor value is a snapshot: slices are replaced, never changed in place.
type Actor struct {
	machine.Actor
	Shard int32
	// Parked is the actions of it that are set aside, oldest first.
	Parked []Parked
}

// Parked is an action that was set aside, for workers did not survive it.
type Parked struct {
	// Ref of the action; Offset of its outcome.
	Ref, Offset int64
	TimeMs      int64
	// Body and Action are as in Event.
	Body, Action, RequestID string
	// Workers that it ended.
	Workers uint32
}

// NewActor is an actor without outcomes.
func NewActor(shard int32, hash schemas.Hash) Actor {
	return Actor{Actor: machine.NewActor(hash), Shard: shard}
}

// Name of the actor, in its latest life.
func (a *Actor) Name() Name {
	return Name{Hash: a.Hash, Namespace: a.Namespace, Kind: a.Kind, Key: a.Key, Generation: a.Generation}
}

// Take folds an outcome that [Shard.Admit] let through, which stands at offset, and returns its row. It returns false, and changes nothing, when the outcome is
// void, for its action was answered before, or when the actor has it already.
func (a *Actor) Take(offset int64, o *actorlogv1.Outcome) (Event, bool) {
	before := a.Actor
	applied, _ := a.Apply(offset, o) // an error is in a.Broken
	if !applied {
		return Event{}, false
	}
	e := EventOf(schemas.Position{Partition: a.Shard, Offset: offset}, o, &before)
	a.Recent, a.Queue, a.Asked, a.Settled, a.Steps = nil, nil, nil, nil, nil
	if o.RefusedSince == nil {
		a.park(&e)
	}
	return e, true
}

// Break takes the actor out of service: the event at offset cannot be read.
func (a *Actor) Break(offset int64, cause error) {
	if offset > a.LastOffset {
		a.Broken, a.LastOffset = cause.Error(), offset
	}
}

func (a *Actor) park(e *Event) {
	if e.Unparks >= 0 {
		if i := slices.IndexFunc(a.Parked, func(p Parked) bool { return p.Ref == e.Unparks }); i >= 0 {
			a.Parked = slices.Delete(slices.Clone(a.Parked), i, i+1)
		}
	}
	if e.Parked > 0 {
		a.Parked = append(slices.Clip(a.Parked), Parked{
			Ref: e.Ref, Offset: e.Position.Offset, TimeMs: e.TimeMs, Body: e.Body, Action: e.Action, RequestID: e.RequestID, Workers: e.Parked,
		})
	}
}

// Rest is all of the actor that its row does not have in columns of its own, for [Restore]. State and Parked are not in it.
func (a *Actor) Rest() []byte {
	s := a.Snapshot()
	s.StateJson = nil
	b, err := proto.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("projection: a snapshot of what was read cannot be written: %v", err)) // texts were valid when they came
	}
	return b
}

// Restore is the inverse of [Actor.Rest].
func Restore(shard int32, hash schemas.Hash, rest, state []byte, parked []Parked) (Actor, error) {
	s := new(actorlogv1.Snapshot)
	if err := proto.Unmarshal(rest, s); err != nil {
		return Actor{}, fmt.Errorf("reading the row of actor %s: %w", hash, err)
	}
	if s.Alive {
		s.StateJson = state
	}
	a, err := machine.Restore(hash, s)
	if err != nil {
		return Actor{}, fmt.Errorf("reading the row: %w", err)
	}
	return Actor{Actor: a, Shard: shard, Parked: parked}, nil
}

// Bytes is about how much memory the actor holds.
func (a *Actor) Bytes() int {
	n := 700 + len(a.State) + 150*len(a.Parked) + 32*len(a.Refused)
	for _, c := range a.Connections {
		n += 200 + len(c.ParamsJson) + len(c.StateJson)
	}
	for _, s := range a.Schedules {
		n += 250 + len(s.ArgsJson)
	}
	return n
}
