package projection

import (
	"errors"
	"fmt"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Place is how far a projection has come in a shard, with what it must know to go on from there.
type Place struct {
	Shard int32
	// Next is the offset of the first record of events that is not projected.
	Next int64
	// Epoch, Version and Last are what machine.NewFence takes.
	Epoch   int64
	Version uint64
	Last    int64
}

// Start is the place before a shard's first record.
func Start(shard int32) Place {
	return Place{Shard: shard, Epoch: machine.NoEpoch, Last: schemas.NoPlace}
}

// Shard says which records of a shard count. Feed it all of them in order, from its place on.
type Shard struct {
	shard int32
	next  int64
	fence machine.Fence
}

// NewShard goes on from a place.
func NewShard(p Place) Shard {
	return Shard{shard: p.Shard, next: p.Next, fence: machine.NewFence(p.Epoch, p.Version, p.Last)}
}

// Place to go on from after the last record that was taken.
func (s *Shard) Place() Place {
	return Place{Shard: s.shard, Next: s.next, Epoch: s.fence.Epoch(), Version: s.fence.Version(), Last: s.fence.Last()}
}

// Certain says whether it is known which records count from here on; before it is, none does.
func (s *Shard) Certain() bool { return s.fence.Certain() }

// Admitted is an outcome that the fence lets through. Whether it counts is for [Actor.Take] to say.
type Admitted struct {
	Hash   schemas.Hash
	Offset int64
	// Outcome is nil where Err says why it cannot be read: its actor is out of service.
	Outcome *actorlogv1.Outcome
	Err     error
}

// Admit takes in the next record, and returns false when it is no outcome, or void. An error, which wraps schemas.ErrUnknownType, says that the record is of a newer
// version, which may change what those behind it mean: nothing can be done but to run that version.
func (s *Shard) Admit(r *eventlog.Record) (Admitted, bool, error) {
	t := schemas.Type(r.Header(schemas.HeaderType))
	admitted, ok := Admitted{Offset: r.Offset}, false
	switch t {
	case schemas.TypeClaim:
		// One that cannot be read was written by no owner.
		if claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value); err == nil {
			s.fence.Claim(r.Offset, claim)
		}
	case schemas.TypeStep:
		s.fence.Admits(schemas.PlaceOf(r.Value))
	case schemas.TypeOutcome:
		if admitted.Hash, ok = schemas.ParseHash(r.Key); !s.fence.Admits(schemas.PlaceOf(r.Value)) || !ok {
			ok = false
			break
		}
		admitted.Outcome, admitted.Err = schemas.DecodeAs[*actorlogv1.Outcome](t, r.Value)
		if admitted.Err == nil && admitted.Outcome.Actor == nil {
			admitted.Outcome, admitted.Err = nil, errNoActor
		}
	case "": // every version of a worker writes a type
	default:
		return Admitted{}, false, fmt.Errorf("the record at %d of events[%d]: %w %q: run a newer version", r.Offset, r.Partition, schemas.ErrUnknownType, t)
	}
	s.next = r.Offset + 1
	return admitted, ok, nil
}

var errNoActor = errors.New("the outcome names no actor")
