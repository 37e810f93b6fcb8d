package gateway_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/replay"
)

func TestHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.Loopback = true }), func(s *setup) { s.noWorker = true })
	registry := actor.NewRegistry()
	counter.Register(registry)
	w.hostOf(registry)
	positions := make([]string, 8)
	for i := 1; i <= 7; i++ {
		r := w.do("POST", "/actors/counter/org/a%2Fb/actions/increment", "2")
		require.Equal(t, 200, r.status)
		positions[i] = r.header.Get("Actorlog-Position")
	}
	const actor = "/counter/org/a%2Fb"
	get := func(path string, into any) {
		t.Helper()
		r := w.do("GET", path, "")
		require.Equal(t, 200, r.status, r.body)
		require.NoError(t, json.Unmarshal([]byte(r.body), into))
	}
	type page struct {
		Entries   []replay.Entry
		Truncated bool
		Next      string
	}

	// Pages lead from the newest to the oldest, each in the order in which it happened.
	var seen []string
	path := "/admin/history" + actor + "?limit=3"
	for next := path; next != ""; {
		var p page
		get(next, &p)
		require.False(t, p.Truncated)
		var some []string
		for _, v := range p.Entries {
			some = append(some, v.Position)
		}
		seen = append(some, seen...)
		if next = ""; p.Next != "" {
			next = path + "&before=" + p.Next
		}
	}
	require.Equal(t, positions[1:], seen)

	var p page
	get("/admin/history"+actor+"?since="+positions[5], &p)
	require.Len(t, p.Entries, 3)
	get("/admin/history"+actor+"?since=now", &p)
	require.Empty(t, p.Entries)
	get("/admin/history"+actor+"?grep="+url.QueryEscape(`"result":(4|6)\b`), &p)
	require.Len(t, p.Entries, 2)
	require.Equal(t, "increment", p.Entries[0].Action)

	var v replay.View
	get("/admin/state"+actor+"?at=3", &v)
	require.JSONEq(t, `{"count":6}`, string(v.State))
	require.Equal(t, []string{"org", "a/b"}, v.Key)
	get("/admin/state"+actor, &v)
	require.JSONEq(t, `{"count":14}`, string(v.State))
	get("/admin/state/"+v.ActorID+"?at="+positions[2], &v)
	require.JSONEq(t, `{"count":4}`, string(v.State))
	var d replay.Difference
	get("/admin/diff"+actor+"?from=2&to=-1", &d)
	require.JSONEq(t, `[{"op":"replace","path":"/count","value":14}]`, string(d.Patch))
	get("/admin/diff"+actor, &d)
	require.JSONEq(t, `12`, string(d.Changes[0].Before))
	get("/admin/diff"+actor+"?from=2&with=org&with="+url.QueryEscape("a/b"), &d) // with itself, of now
	require.JSONEq(t, `[{"op":"replace","path":"/count","value":14}]`, string(d.Patch))
	get("/admin/diff"+actor+"?with="+v.ActorID+"&to=2", &d)
	require.JSONEq(t, `14`, string(d.Changes[0].Before))
	var x replay.Explanation
	get("/admin/why/"+positions[4], &x)
	require.Equal(t, positions[4], x.Entry.Position)
	get("/admin/why?request="+x.Entry.RequestID, &x)
	require.Equal(t, positions[4], x.Entry.Position)

	for path, want := range map[string]string{
		"/admin/history/counter/nobody":        "404 history.not_found",
		"/admin/state/counter/nobody":          "404 history.not_found",
		"/admin/diff/counter/nobody":           "404 history.not_found",
		"/admin/diff/counter/nobody?with=org":  "404 history.not_found",
		"/admin/diff" + actor + "?with=nobody": "404 history.not_found",
		"/admin/history" + actor + "?limit=0":  "400 actor.invalid_request",
		"/admin/history" + actor + "?limit=1e": "400 actor.invalid_request",
		"/admin/history" + actor + "?grep=(":   "400 actor.invalid_request",
		"/admin/history" + actor + "?before=x": "400 actor.invalid_request",
		"/admin/history" + actor + "?since=x":  "400 history.no_such_point",
		"/admin/state" + actor + "?at=99":      "400 history.no_such_point",
		"/admin/why":                           "400 actor.invalid_request",
		"/admin/why/x":                         "400 actor.invalid_request",
		"/admin/why/0:999999":                  "404 history.not_found",
		"/admin/why?request=nobody-asked":      "404 history.not_found",
	} {
		require.Equal(t, want, w.do("GET", path, "").failure(), path)
	}
	require.Contains(t, w.do("GET", "/openapi.yaml", "").body, "openapi: 3.1.0")
}
