package archive_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/archive"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

// Events go into files, the brokers forget them, and history is what it was.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		for _, by := range []int64{3, 4} {
			if _, err := counter.Increment.Call(ctx, counter.Kind.GetOrCreate(w.Client, "org", "42"), by); err != nil {
				panic(err)
			}
		}
		log := w.Cluster.Client()
		defer log.Close()
		if err := archive.Copy(ctx, log, dir, archive.Options{}, nil); err != nil {
			panic(err)
		}
		org42 := schemas.HashOf(actor.DefaultNamespace, "counter", []string{"org", "42"})
		shard := org42.Shard(log.Partitions())
		_, end, err := log.Bounds(ctx, eventlog.Events, shard)
		if err != nil {
			panic(err)
		}
		w.Cluster.Truncate(eventlog.Events, shard, end)

		whole, err := archive.Open(log, dir)
		if err != nil {
			panic(err)
		}
		for _, from := range []eventlog.Source{log, whole} {
			a, err := replay.NewReader(from, replay.Options{}).State(ctx, org42, replay.Point{Number: 1})
			fmt.Println(string(a.State), errors.Is(err, replay.ErrGone) || errors.Is(err, replay.ErrPoint))
		}
	}, counter.Register)
	// Output:
	//  true
	// {"count":3} false
}
