package gateway_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/audit/overlog"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
)

// overWorld answers from the log of a world, which is there before its gateway.
func overWorld(s *setup) {
	late := new(struct{ audit.Store })
	s.noWorker, s.gateway.Audit = true, late
	s.log = func(l eventlog.Log) eventlog.Log {
		late.Store = overlog.New(l)
		return l
	}
}

// Every question has its route, which answers it from the events that were, page by page.
func TestAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.Loopback = true }), overWorld)
	registry := actor.NewRegistry()
	counter.Register(registry)
	w.hostOf(registry)
	for _, by := range []string{"3", "4", "-1"} { // the last one is refused
		w.do("POST", "/actors/counter/org/42/actions/increment", by)
	}
	require.Equal(t, 200, w.do("POST", "/actors/counter/other/actions/increment", "1").status)
	get := func(path string, into any) {
		t.Helper()
		r := w.do("GET", "/admin/audit/"+path, "")
		require.Equal(t, 200, r.status, r.body)
		require.NoError(t, json.Unmarshal([]byte(r.body), into))
	}
	const of = "kind=counter&key=org&key=42"

	var changes audit.Page[audit.Entry]
	get("changes?"+of+"&path=/count", &changes)
	require.Len(t, changes.Items, 2)
	require.JSONEq(t, `{"op":"replace","path":"/count","value":7}`, string(changes.Items[1].Changes[0]))
	var first, second audit.Page[audit.Entry]
	get("events?"+of+"&limit=2", &first)
	require.Len(t, first.Items, 2)
	get("events?"+of+"&limit=2&cursor="+url.QueryEscape(first.Next), &second)
	require.Len(t, second.Items, 1)
	require.Equal(t, "bad_step", second.Items[0].Error.Code)
	require.Empty(t, second.Next)
	var did audit.Page[audit.Entry]
	get("caller?connection="+url.QueryEscape(first.Items[0].Connection), &did)
	require.Len(t, did.Items, 1)
	get("slowest?limit=1", &did)
	require.Len(t, did.Items, 1)

	var groups audit.Page[audit.Group]
	get("errors?by=kind", &groups)
	require.Equal(t, []audit.Group{{Of: []string{"counter"}, Calls: 4, Errors: 1, Rate: 0.25, TotalUs: groups.Items[0].TotalUs, MaxUs: groups.Items[0].MaxUs}}, groups.Items)
	get("talkers", &groups)
	require.EqualValues(t, 4, groups.Items[0].Calls)
	var actors audit.Page[audit.Actor]
	get("actors?kind=counter&where="+url.QueryEscape("count > 5"), &actors)
	require.Len(t, actors.Items, 1)
	require.JSONEq(t, `{"count":7}`, string(actors.Items[0].State))

	for _, path := range []string{
		"changes?path=/count", "caller", "events?limit=0", "events?limit=1001", "events?since=yesterday", "events?timeout=1h", "events?cursor=x",
		"actors?where=" + url.QueryEscape("count > "), "errors?by=moon", "slowest?order=moon",
	} {
		require.Equal(t, "400 audit.invalid_request", w.do("GET", "/admin/audit/"+path, "").failure(), path)
	}
}

// Who may not see states may not ask about them either.
func TestAudit_Token(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) {
		c.AdminTokens = func() gateway.AdminTokens { return gateway.AdminTokens{"a-token-of-the-test"} }
	}), overWorld)
	require.Equal(t, 401, w.do("GET", "/admin/audit/events", "").status)
	require.Equal(t, 200, w.do("GET", "/admin/audit/events", "", header{"Authorization": "Bearer a-token-of-the-test"}).status)
}
