package webclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/webclient"
	"github.com/actorlog/actorlog/examples/chat"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
)

// served runs fn with the address of a gateway.
func served(fn func(ctx context.Context, endpoint string)) {
	actortest.Run(func(w *actortest.World) {
		gw, err := gateway.New(w.Client, gateway.Config{})
		if err != nil {
			panic(err)
		}
		server := httptest.NewServer(gw.Handler())
		defer server.Close()
		defer func() { _ = gw.Shutdown(context.Background()) }()
		fn(context.Background(), server.URL)
	}, counter.Register, chat.Register)
}

func ExampleNew() {
	served(func(ctx context.Context, endpoint string) {
		client, err := webclient.New(endpoint, webclient.Config{})
		if err != nil {
			panic(err)
		}
		defer client.Close()

		visits := counter.Kind.GetOrCreate(client, "org", "42")
		n, err := counter.Increment.Call(ctx, visits, 3)
		fmt.Println(n, err)

		// What the actor refuses is an *actor.Error; nothing happened then.
		_, err = counter.Increment.Call(ctx, visits, -1)
		var refusal *actor.Error
		if errors.As(err, &refusal) {
			fmt.Println(refusal.Code, string(refusal.Metadata))
		}
	})
	// Output:
	// 3 <nil>
	// bad_step {"step":-1}
}

// A call that must not be made twice, even if this program dies and starts again: its key comes from what it is for.
func ExampleClient_Invoke() {
	served(func(ctx context.Context, endpoint string) {
		client, err := webclient.New(endpoint, webclient.Config{})
		if err != nil {
			panic(err)
		}
		defer client.Close()

		order := counter.Kind.GetOrCreate(client, "orders").Idempotent("order-1")
		for range 2 {
			n, err := counter.Increment.Call(ctx, order, 1)
			switch {
			case errors.Is(err, webclient.ErrUnavailable):
				fmt.Println("nothing happened: try again later")
			case errors.Is(err, webclient.ErrUnknownOutcome):
				fmt.Println("it may have happened: try again with the same key")
			default:
				fmt.Println(n, err)
			}
		}
	})
	// Output:
	// 1 <nil>
	// 1 <nil>
}

func ExampleClient_Subscribe() {
	served(func(ctx context.Context, endpoint string) {
		client, err := webclient.New(endpoint, webclient.Config{})
		if err != nil {
			panic(err)
		}
		defer client.Close()

		room := chat.Kind.GetOrCreate(client, "lobby")
		heard := make(chan chat.Message, 16)
		err = chat.Said.Subscribe(ctx, room, func(m chat.Message) { heard <- m }, func(err error) {
			fmt.Println("read the history anew:", err) // when Close ends it, too
		})
		if err != nil {
			panic(err)
		}
		_, err = chat.Say.Call(ctx, room, chat.Line{Author: "ann", Text: "hello"})
		m := <-heard
		fmt.Println(m.Author, m.Text, err)
	})
	// Output:
	// ann hello <nil>
	// read the history anew: client closed
}
