package main

import (
	"math/rand/v2"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// dice throws what no second run throws again, so that it shows whose run it was that counts. Sum is recorded as a whole, and so rests on the throws before.
type dice struct {
	Throws []int64 `json:"throws"`
	Sum    int64   `json:"sum"`
}

// throw is one, and how it leaves the dice.
type throw struct {
	N     int   `json:"n"`
	Value int64 `json:"value"`
	Sum   int64 `json:"sum"`
}

func registerDice(r *actor.Registry) {
	kind := actor.New[dice]("dice")
	actor.On(r, actor.Action[int64, throw](kind, "throw"), func(s *dice, c *actor.Ctx, ms int64) (throw, error) {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-c.Done():
			return throw{}, c.Err()
		}
		value := rand.Int64N(1 << 32)
		s.Throws, s.Sum = append(s.Throws, value), s.Sum+value
		return throw{len(s.Throws), value, s.Sum}, nil
	})
	actor.On(r, actor.Action[actor.None, dice](kind, "get"), func(s *dice, _ *actor.Ctx, _ actor.None) (dice, error) { return *s, nil })
}
