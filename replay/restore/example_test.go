package restore_test

import (
	"context"
	"fmt"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/restore"
	"github.com/actorlog/actorlog/schemas"
)

// twice runs fn with a counter org/42 that was incremented by 3, and by 4.
func twice(fn func(ctx context.Context, w *actortest.World, r *replay.Reader, org42 schemas.Hash)) {
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		for _, by := range []int64{3, 4} {
			if _, err := counter.Increment.Call(ctx, counter.Kind.GetOrCreate(w.Client, "org", "42"), by); err != nil {
				panic(err)
			}
		}
		fn(ctx, w, replay.NewReader(w.Client.Log(), replay.Options{}), schemas.HashOf(actor.DefaultNamespace, "counter", []string{"org", "42"}))
	}, counter.Register)
}

// A copy of an actor, as it was after its first event, to try something on.
func ExampleFork() {
	twice(func(ctx context.Context, w *actortest.World, r *replay.Reader, org42 schemas.Hash) {
		_, err := restore.Fork(ctx, w.Client, r, org42, replay.Point{Number: 1}, restore.Target{Key: []string{"org", "42-copy"}},
			restore.Options{Reason: "what if", By: "ann"})
		if err != nil {
			panic(err)
		}
		n, err := counter.Increment.Call(ctx, counter.Kind.Get(w.Client, "org", "42-copy"), 10)
		fmt.Println(n, err)
	})
	// Output: 13 <nil>
}

// The last change is taken back, by an action that is recorded like any other.
func ExampleUndo() {
	twice(func(ctx context.Context, w *actortest.World, r *replay.Reader, org42 schemas.Hash) {
		done, err := restore.Undo(ctx, w.Client, r, org42, replay.Point{}, restore.Options{Reason: "fat finger", By: "ann"})
		if err != nil {
			panic(err)
		}
		for _, e := range done.Undone {
			fmt.Printf("undone: %s%s\n", e.Action, e.Args)
		}
		n, err := counter.Get.Call(ctx, counter.Kind.Get(w.Client, "org", "42"), actor.None{})
		fmt.Println(n, err)
	})
	// Output:
	// undone: increment[4]
	// 3 <nil>
}
