package file_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/replay/restore"
	"github.com/actorlog/actorlog/schemas"
)

// The history of an actor goes into a file. Whoever has it reads it without brokers, and makes an actor of it in any log (import).
func ExampleExport() {
	ctx := context.Background()
	var exported bytes.Buffer
	actortest.Run(func(w *actortest.World) {
		for _, by := range []int64{3, 4} {
			if _, err := counter.Increment.Call(ctx, counter.Kind.GetOrCreate(w.Client, "org", "42"), by); err != nil {
				panic(err)
			}
		}
		org42 := schemas.HashOf(actor.DefaultNamespace, "counter", []string{"org", "42"})
		done, err := file.Export(ctx, &exported, replay.NewReader(w.Client.Log(), replay.Options{}), org42, file.Options{})
		if err != nil {
			panic(err)
		}
		fmt.Println(done.Events, "events, whole:", done.Whole)
	}, counter.Register)

	history, err := file.Read(&exported)
	if err != nil {
		panic(err)
	}
	r := replay.NewReader(history, replay.Options{})
	for e, err := range r.Entries(ctx, history.Hash(), replay.Query{}) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s%s = %s\n", e.Action, e.Args, e.Result)
	}
	actortest.Run(func(w *actortest.World) { // another log
		_, err := restore.Fork(ctx, w.Client, r, history.Hash(), replay.Point{}, restore.Target{Key: []string{"imported"}}, restore.Options{Log: history.Header().Log})
		if err != nil {
			panic(err)
		}
		n, err := counter.Get.Call(ctx, counter.Kind.Get(w.Client, "imported"), actor.None{})
		fmt.Println(n, err)
	}, counter.Register)
	// Output:
	// 2 events, whole: true
	// increment[3] = 3
	// increment[4] = 7
	// 7 <nil>
}
