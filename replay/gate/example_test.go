package gate_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay/gate"
)

// A program that hosts actors lets its operators verify what they did, at an address that only they reach.
func ExampleHandler() {
	actortest.Run(func(w *actortest.World) {
		if _, err := counter.Increment.Call(context.Background(), counter.Kind.GetOrCreate(w.Client, "org", "42"), 3); err != nil {
			panic(err)
		}
		log := w.Cluster.Client()
		defer log.Close()

		registry := actor.NewRegistry()
		counter.Register(registry) // as the worker has it
		verify := gate.Handler(registry, log)
		mux := http.NewServeMux()
		mux.Handle("/admin/verify", verify)
		mux.Handle("/admin/verify/", verify)
		operators := httptest.NewServer(mux)
		defer operators.Close()

		resp, err := http.Post(operators.URL+"/admin/verify/counter/org/42", "", nil)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		lines, err := io.ReadAll(resp.Body)
		fmt.Print(string(lines), err)
	}, counter.Register)
	// Output:
	// {"type":"summary","clean":true,"actors":1,"actorsDiffering":0,"outcomes":1,"same":1,"differing":0,"notChecked":0}
	// <nil>
}
