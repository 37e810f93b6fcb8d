// Package register is one value that clients read, write, and exchange if it is what they think it is: what distributed
// systems are measured by, and how a lock or a leader is made.
package register

import "github.com/actorlog/actorlog/actors/actor"

// State is everything that survives.
type State struct {
	Value int64 `json:"value"`
}

// Swap of one value for another.
type Swap struct {
	actor.Positional
	Old, New int64
}

// The contract.
var (
	Kind  = actor.New[State]("register")
	Read  = actor.Action[actor.None, int64](Kind, "read")
	Write = actor.Action[int64, actor.None](Kind, "write")
	// CompareAndSet writes New if the value is Old, and says whether it was.
	CompareAndSet = actor.Action[Swap, bool](Kind, "compareAndSet")
)

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.On(r, Read, func(s *State, _ *actor.Ctx, _ actor.None) (int64, error) { return s.Value, nil })
	actor.On(r, Write, func(s *State, _ *actor.Ctx, v int64) (none actor.None, err error) {
		s.Value = v
		return none, nil
	})
	actor.On(r, CompareAndSet, func(s *State, _ *actor.Ctx, swap Swap) (bool, error) {
		if s.Value != swap.Old {
			return false, nil
		}
		s.Value = swap.New
		return true, nil
	})
}
