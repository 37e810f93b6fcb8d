// Package counter is the smallest useful actor: a number that many can change at once.
package counter

import "github.com/actorlog/actorlog/actors/actor"

// Counter is everything that survives.
type Counter struct {
	Count int64 `json:"count"`
}

// Input of a creation.
type Input struct {
	Start int64 `json:"start"`
}

// The contract.
var (
	Kind      = actor.New[Counter]("counter")
	Increment = actor.Action[int64, int64](Kind, "increment")
	Get       = actor.Action[actor.None, int64](Kind, "get")
	Reset     = actor.Action[actor.None, actor.None](Kind, "reset")
	Destroy   = actor.Action[actor.None, actor.None](Kind, "destroy")
	Changed   = actor.Event[int64](Kind, "count")
)

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.CreateState(r, Kind, func(_ *actor.Ctx, in Input) (Counter, error) {
		return Counter{Count: in.Start}, nil
	})
	actor.On(r, Increment, (*Counter).increment)
	actor.On(r, Get, func(s *Counter, _ *actor.Ctx, _ actor.None) (int64, error) { return s.Count, nil })
	actor.On(r, Reset, (*Counter).reset)
	actor.On(r, Destroy, func(_ *Counter, c *actor.Ctx, _ actor.None) (n actor.None, err error) {
		c.Destroy()
		return n, nil
	})
}

func (s *Counter) increment(c *actor.Ctx, by int64) (int64, error) {
	if by <= 0 {
		return 0, actor.UserError("bad_step", "step must be positive").With(map[string]int64{"step": by})
	}
	s.Count += by
	c.Broadcast(Changed.With(s.Count))
	return s.Count, nil
}

func (s *Counter) reset(c *actor.Ctx, _ actor.None) (actor.None, error) {
	s.Count = 0
	c.Broadcast(Changed.With(0))
	return actor.None{}, nil
}
