package replay_test

import (
	"context"
	"fmt"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

// counted runs fn with a log in which counter org/42 was incremented by 3 and by 4, and refused -1. A program on the brokers opens the log with kafkalog.Open; here it is one in memory.
func counted(fn func(ctx context.Context, w *actortest.World, r *replay.Reader, org42 schemas.Hash)) {
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		visits := counter.Kind.GetOrCreate(w.Client, "org", "42")
		for _, by := range []int64{3, 4, -1} {
			_, _ = counter.Increment.Call(ctx, visits, by) // the last one is refused
		}
		log := w.Cluster.Client()
		defer log.Close()
		fn(ctx, w, replay.NewReader(log, replay.Options{}), schemas.HashOf(actor.DefaultNamespace, "counter", []string{"org", "42"}))
	}, counter.Register)
}

// What happened to an actor, oldest first.
func ExampleReader_Entries() {
	counted(func(ctx context.Context, _ *actortest.World, r *replay.Reader, org42 schemas.Hash) {
		for e, err := range r.Entries(ctx, org42, replay.Query{}) {
			if err != nil {
				panic(err)
			}
			fmt.Printf("%d %s%s", e.Number, e.Action, e.Args)
			if e.Error != nil {
				fmt.Printf(": %s\n", e.Error.Message)
				continue
			}
			fmt.Printf(" = %s\n", e.Result)
		}
	})
	// Output:
	// 1 increment[3] = 3
	// 2 increment[4] = 7
	// 3 increment[-1]: step must be positive
}

// The last event, and then what happens from now on, until somebody has enough.
func ExampleReader_Entries_follow() {
	counted(func(ctx context.Context, w *actortest.World, r *replay.Reader, org42 schemas.Hash) {
		ctx, enough := context.WithCancel(ctx)
		defer enough()
		for e, err := range r.Entries(ctx, org42, replay.Query{Since: replay.Point{Number: 2}, Follow: true}) {
			if err != nil {
				panic(err)
			}
			fmt.Printf("%d %s%s\n", e.Number, e.Action, e.Args)
			if e.Error != nil { // the last one of what was
				_, _ = counter.Increment.Call(ctx, counter.Kind.Get(w.Client, "org", "42"), 5)
			}
			if string(e.Result) == "12" {
				return
			}
		}
	})
	// Output:
	// 2 increment[4]
	// 3 increment[-1]
	// 4 increment[5]
}

// What an actor was after its first event: time travel. A Point may also be a position, or a time; ParsePoint reads all of them.
func ExampleReader_State() {
	counted(func(ctx context.Context, _ *actortest.World, r *replay.Reader, org42 schemas.Hash) {
		for _, at := range []replay.Point{{Number: 1}, {}} {
			a, err := r.State(ctx, org42, at)
			if err != nil {
				panic(err)
			}
			fmt.Printf("after %s: %s\n", at, replay.ViewOf(&a, r.Partition(org42)).State)
		}
	})
	// Output:
	// after 1: {"count":3}
	// after now: {"count":7}
}

// What changed between two points.
func ExampleDiff() {
	counted(func(ctx context.Context, _ *actortest.World, r *replay.Reader, org42 schemas.Hash) {
		before, after, err := r.Between(ctx, org42, replay.Point{Number: 1}, replay.Point{})
		if err != nil {
			panic(err)
		}
		d, err := replay.Diff(&before, &after)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(d.Patch))
		for _, c := range d.Changes {
			fmt.Printf("%s: %s -> %s\n", c.Path, c.Before, c.After)
		}
	})
	// Output:
	// [{"op":"replace","path":"/count","value":7}]
	// /count: 3 -> 7
}

// Step by step: the actor before and after each event.
func ExampleReader_Fold() {
	counted(func(ctx context.Context, _ *actortest.World, r *replay.Reader, org42 schemas.Hash) {
		for m, err := range r.Fold(ctx, org42, 0) {
			if err != nil {
				panic(err)
			}
			fmt.Printf("%s: %s -> %s\n", m.Outcome.GetAction().GetInvoke().GetName(), m.Before.State, m.After.State)
		}
	})
	// Output:
	// increment:  -> {"count":3}
	// increment: {"count":3} -> {"count":7}
	// increment: {"count":7} -> {"count":7}
}

// Why an event happened: who asked, and what came of it.
func ExampleReader_Why() {
	counted(func(ctx context.Context, _ *actortest.World, r *replay.Reader, org42 schemas.Hash) {
		last, err := r.Find(ctx, org42, replay.Point{Number: -1})
		if err != nil {
			panic(err)
		}
		x, err := r.Why(ctx, last.Position)
		if err != nil {
			panic(err)
		}
		fmt.Println(x.Entry.Action, x.Entry.Caller.Gateway != "", len(x.Causes), len(x.Effects))
	})
	// Output: increment true 0 0
}
