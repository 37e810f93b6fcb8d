package remote_test

import (
	"context"
	"fmt"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/examples/counter"
)

// A program on the brokers opens the log with kafkalog.Open. Here it is one in memory.
func ExampleOpen() {
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		log := w.Cluster.Client()
		defer log.Close()

		client, err := remote.Open(log, remote.Config{})
		if err != nil {
			panic(err)
		}
		defer client.Close()

		visits := counter.Kind.GetOrCreate(client, "org", "42")
		heard := make(chan int64, 16)
		err = counter.Changed.Subscribe(ctx, visits, func(n int64) { heard <- n }, nil)
		if err != nil {
			panic(err)
		}
		n, err := counter.Increment.Call(ctx, visits, 3)
		fmt.Println(n, <-heard, err)
	}, counter.Register)
	// Output: 3 3 <nil>
}
