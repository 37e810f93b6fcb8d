package actorhttp_test

import (
	"fmt"
	"net/http"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actorhttp"
)

// A page that counts its views, and forgets them on demand.
func ExampleHandle() {
	r := actor.NewRegistry()
	actorhttp.Handle(r, kind, func(s *page, c *actor.Ctx, w http.ResponseWriter, r *http.Request) error {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
			s.Views++
			fmt.Fprintf(w, "seen %d times", s.Views)
		})
		mux.HandleFunc("DELETE /views", func(w http.ResponseWriter, _ *http.Request) {
			s.Views = 0
			w.WriteHeader(http.StatusNoContent)
		})
		mux.ServeHTTP(w, r)
		return nil
	})
}
