package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay/evidence"
)

// Heads are taken and kept elsewhere; later the log is compared with them, and is still what it was.
func ExampleAll() {
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		visits := counter.Kind.GetOrCreate(w.Client, "org", "42")
		log := w.Cluster.Client()
		defer log.Close()
		_, err := counter.Increment.Call(ctx, visits, 3)
		taken, verifyErr := evidence.All(ctx, log, evidence.Options{}, nil)
		if err := errors.Join(err, verifyErr); err != nil {
			panic(err)
		}
		var kept bytes.Buffer
		if err := taken.Heads.Write(&kept); err != nil {
			panic(err)
		}

		_, err = counter.Increment.Call(ctx, visits, 4)
		anchors, readErr := evidence.ReadHeads(&kept)
		if err := errors.Join(err, readErr); err != nil {
			panic(err)
		}
		sum, err := evidence.All(ctx, log, evidence.Options{Anchors: &anchors}, func(r *evidence.Report) error {
			if r.Finding != nil {
				fmt.Println(r)
			}
			return nil
		})
		fmt.Println(sum.Clean(), sum.Shards == int(log.Partitions()), err)
	}, counter.Register)
	// Output: true true <nil>
}
