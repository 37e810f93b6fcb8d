package verify_test

import (
	"context"
	"fmt"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/verify"
	"github.com/actorlog/actorlog/schemas"
)

// Code that is about to go out would have counted otherwise.
func ExampleActor() {
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		if _, err := counter.Increment.Call(ctx, counter.Kind.GetOrCreate(w.Client, "org", "42"), 3); err != nil {
			panic(err)
		}
		log := w.Cluster.Client()
		defer log.Close()

		next := actor.NewRegistry()
		actor.On(next, counter.Increment, func(s *counter.Counter, c *actor.Ctx, by int64) (int64, error) {
			s.Count += 2 * by
			c.Broadcast(counter.Changed.With(s.Count))
			return s.Count, nil
		})
		sum, err := verify.Actor(ctx, replay.NewReader(log, replay.Options{}), schemas.HashOf(actor.DefaultNamespace, "counter", []string{"org", "42"}), verify.Config{
			Registry: next,
			Differs: func(d *verify.Difference) {
				for _, f := range d.Fields {
					if f.Name == "result" {
						fmt.Printf("%s returned %s, and now %s\n", d.Action, f.Recorded, f.Now)
					}
				}
			},
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(sum.Clean(), sum.Outcomes, sum.Differing)
	}, counter.Register)
	// Output:
	// increment returned 3, and now 6
	// false 1 1
}

// All actors of a log on the same code: nothing differs. A sample of them is verified with a number in place of 0.
func ExampleAll() {
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		for _, key := range []string{"a", "b", "c"} {
			if _, err := counter.Increment.Call(ctx, counter.Kind.GetOrCreate(w.Client, key), 3); err != nil {
				panic(err)
			}
		}
		log := w.Cluster.Client()
		defer log.Close()
		code := actor.NewRegistry()
		counter.Register(code)
		sum, err := verify.All(ctx, replay.NewReader(log, replay.Options{}), 0, 0, verify.Config{Registry: code})
		fmt.Println(sum.Actors, sum.Clean(), err)
	}, counter.Register)
	// Output: 3 true <nil>
}
