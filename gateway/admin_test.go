package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/docs"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/gateway/wire"
)

// failureCode is group.code of an answer that is an error.
func failureCode(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var e wire.Error
	require.NoError(t, json.Unmarshal(b, &e))
	return e.Group + "." + e.Code
}

var adminPaths = []string{"/admin/sessions", "/admin/gateway", "/admin/parked", "/admin/state/counter/x?at=1h", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap?debug=1"}

func TestAdminToken(t *testing.T) {
	t.Parallel()
	const first, second = "first token of the test", "second token of the test"
	var token atomic.Value
	token.Store(first)
	w := newWorld(t, config(func(c *gateway.Config) {
		c.AdminTokens = func() gateway.AdminTokens { return gateway.AdminTokens{token.Load().(string)} }
		c.Loopback = true // is no excuse once there is a token
	}))
	for _, path := range adminPaths {
		for _, h := range []header{{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer " + second}, {"Authorization": first},
			{"Authorization": "Basic " + first}, {"Authorization": "Bearer " + first + "x"}} {
			r := w.do("GET", path, "", h)
			require.Equal(t, "401 auth.unauthorized", r.failure(), "%s %v", path, h)
			require.Contains(t, r.body, "--admin-token")
			require.Contains(t, r.header.Get("WWW-Authenticate"), "Bearer")
		}
		for _, h := range []header{{"Authorization": "Bearer " + first}, {"Authorization": "bearer  " + first}} {
			r := w.do("GET", path, "", h)
			require.Equal(t, 200, r.status, path)
			require.Equal(t, "no-store", r.header.Get("Cache-Control"))
		}
	}
	token.Store(second)
	require.Equal(t, 401, w.do("GET", "/admin/gateway", "", header{"Authorization": "Bearer " + first}).status)
	require.Equal(t, 200, w.do("GET", "/admin/gateway", "", header{"Authorization": "Bearer " + second}).status)
	for _, unusable := range []string{"", "short"} {
		token.Store(unusable)
		require.Equal(t, 401, w.do("GET", "/admin/gateway", "", header{"Authorization": "Bearer " + unusable}).status)
	}
}

// Who sees and ends actors past their own rules is an operator, where there is a token to know one by.
func TestAdminToken_StateAndDestroy(t *testing.T) {
	t.Parallel()
	const token = "the token of this test"
	w := newWorld(t, config(func(c *gateway.Config) {
		c.AdminTokens = func() gateway.AdminTokens { return gateway.AdminTokens{token} }
	}))
	require.Equal(t, 200, w.do("POST", "/actors/counter/x/actions/increment", "1").status)
	operator := header{"Authorization": "Bearer " + token}
	require.Equal(t, "401 auth.unauthorized", w.do("GET", "/actors/counter/x/state", "").failure())
	require.Equal(t, "401 auth.unauthorized", w.do("DELETE", "/actors/counter/x", "", header{"Authorization": "Bearer another token of mine"}).failure())
	require.Equal(t, 200, w.do("GET", "/actors/counter/x/state", "", operator).status)
	require.Equal(t, 204, w.do("DELETE", "/actors/counter/x", "", operator).status)
	require.Equal(t, "404 actor.not_found", w.do("GET", "/actors/counter/x/state", "", operator).failure())
}

func TestInspectorState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.Loopback = true }))
	const target = "/gateway/counter/inspector/state" + getOrCreate + "inspected"
	r := w.do("GET", target, "")
	require.Equal(t, 200, r.status, r.body)
	require.JSONEq(t, `{"state":{"count":0},"isStateEnabled":true}`, r.body)
	require.Equal(t, 405, w.do("POST", target, "").status)
	require.Equal(t, "403 auth.forbidden", w.do("GET", target, "", header{"X-Forwarded-For": "192.0.2.1"}).failure())
	require.Equal(t, "404 api.not_found", w.do("GET", "/gateway/counter/inspector/else"+getOrCreate+"inspected", "").failure())
}

func TestAdminWithoutToken(t *testing.T) {
	t.Parallel()
	const denied = "403 auth.forbidden"
	t.Run("ForThisMachine", func(t *testing.T) {
		t.Parallel()
		// Even if all pages are let in elsewhere.
		w := newWorld(t, origins(t, "*"), config(func(c *gateway.Config) { c.Loopback = true }))
		for _, path := range adminPaths {
			for _, h := range []header{{}, {"Origin": "http://localhost:5173"}, {"Host": "localhost:6420"}, {"Host": "[::1]"}, {"Sec-Fetch-Site": "same-site"}} {
				require.Equal(t, 200, w.do("GET", path, "", h).status, "%s %v", path, h)
			}
			for _, h := range []header{
				{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:6420"}, {"Origin": "http://evil.example:6420", "Host": "evil.example:6420"},
				{"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"Via": "1.1 proxy"}, {"Sec-Fetch-Site": "cross-site"},
			} {
				r := w.do("GET", path, "", h)
				require.Equal(t, denied, r.failure(), "%s %v", path, h)
				require.Contains(t, r.body, "--admin-token")
			}
		}
	})
	t.Run("NotIfOthersReachTheGateway", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, path := range adminPaths {
			require.Equal(t, denied, w.do("GET", path, "").failure())
		}
	})
}

// What a gateway cannot do says who can.
func TestAdmin_NotHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.Loopback = true }))
	for path, want := range map[string]string{
		"POST /admin/verify?all=true":     "501 history.no_code",
		"POST /admin/verify/counter/x":    "501 history.no_code",
		"GET /admin/projection":           "501 projection.none",
		"POST /admin/projection/2/switch": "501 projection.none",
		"POST /admin/archive":             "501 history.no_archive",
		"GET /admin/verify/counter/x":     "405 actor.method_not_allowed",
	} {
		method, target, _ := strings.Cut(path, " ")
		require.Equal(t, want, w.do(method, target, "").failure(), path)
	}
	require.Contains(t, w.do("POST", "/admin/verify", "").body, "--ops-listen")
}

func TestAdminSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.Loopback = true }))
	type session struct {
		ID, Type, Route, State, Address string
		Since                           time.Time
		Queued, QueuedBytes             *int
		Actor                           struct {
			ActorID, Namespace, Kind string
			Key                      []string
		}
	}
	list := func(query string) (total int, all []session) {
		r := w.do("GET", "/admin/sessions"+query, "")
		require.Equal(t, 200, r.status)
		var answer struct {
			Total    int
			Sessions []session
		}
		require.NoError(t, json.Unmarshal([]byte(r.body), &answer))
		return answer.Total, answer.Sessions
	}
	total, all := list("")
	require.Zero(t, total)
	require.NotNil(t, all, "an empty list, not null")
	s := w.dial("/gateway/counter/connect"+getOrCreate+"a,b", nil, "rivet", "rivet_encoding.json")
	actorID, connID := s.init()
	w.eventually(func() bool { _, all = list(""); return all[0].State == "open" })
	stream := w.stream("/actors/counter/c/events", "")
	stream.ready()
	total, all = list("")
	require.Equal(t, 2, total)
	socket, events := all[0], all[1]
	require.Equal(t, "socket", socket.Type)
	require.Equal(t, connID, socket.ID)
	require.Equal(t, "/gateway/:actor/connect", socket.Route)
	require.Equal(t, "127.0.0.1", socket.Address)
	require.Equal(t, actorID, socket.Actor.ActorID)
	require.Equal(t, "default/counter", socket.Actor.Namespace+"/"+socket.Actor.Kind)
	require.Equal(t, []string{"a", "b"}, socket.Actor.Key)
	require.NotNil(t, socket.QueuedBytes)
	require.WithinDuration(t, time.Now(), socket.Since, time.Minute)
	require.Equal(t, "stream", events.Type)
	require.Equal(t, stream.resp.Header.Get("X-Rivet-Ray-Id"), events.ID)
	require.Equal(t, "/actors/:kind/*key/events", events.Route)
	require.Equal(t, []string{"c"}, events.Actor.Key)
	require.NotNil(t, events.Queued)

	total, all = list("?limit=1")
	require.Equal(t, 2, total)
	require.Len(t, all, 1)
	for _, query := range []string{"?limit=0", "?limit=x", "?limit=100001"} {
		require.Equal(t, "400 actor.invalid_request", w.do("GET", "/admin/sessions"+query, "").failure())
	}
	stream.cancel()
	require.NoError(t, s.conn.Close())
	w.eventually(func() bool { total, _ = list(""); return total == 0 })
}

func TestAdminGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.Loopback, c.MaxInputBytes = true, 1000 }))
	w.connect("x")
	done := make(chan reply)
	go func() { done <- w.do("POST", "/actors/counter/x/actions/hold", `"it"`) }()
	w.eventually(func() bool { return w.worker.holds("it") })
	r := w.do("GET", "/admin/gateway", "")
	require.Equal(t, 200, r.status)
	var g struct {
		Version, ID, AllowedOrigins                   string
		StartedAt                                     time.Time
		PendingRequests, Sockets, Streams, Partitions int
		Limits                                        map[string]int
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &g))
	require.Equal(t, "test gw", g.Version+" "+g.ID)
	require.Equal(t, []int{1, 1, 0, partitions}, []int{g.PendingRequests, g.Sockets, g.Streams, g.Partitions})
	require.Equal(t, "loopback, same-origin", g.AllowedOrigins)
	require.WithinDuration(t, time.Now(), g.StartedAt, time.Minute)
	require.Equal(t, 1000, g.Limits["inputBytes"])
	require.Equal(t, 16384, g.Limits["pendingRequests"])
	w.worker.release("it")
	<-done
}

// Whatever the document has below /admin, and the metrics, is for operators alone.
func TestAdmin_EveryRouteIsForOperators(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]map[string]any
	}
	require.NoError(t, yaml.Unmarshal(docs.OpenAPI, &doc))
	const token = "the token of this test"
	everything := func(c *gateway.Config) {
		reached := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic(r.URL.Path + " was reached") })
		c.Verify, c.Archive, c.Projection, c.Metrics = reached, reached, reached, reached
		c.Operate = func(*remote.Client) http.Handler { return reached }
		c.Audit = struct{ audit.Store }{}
	}
	withToken := newWorld(t, config(everything), config(func(c *gateway.Config) {
		c.Loopback, c.AdminTokens = true, func() gateway.AdminTokens { return gateway.AdminTokens{token} }
	}))
	everywhere := newWorld(t, config(everything))
	n := 0
	for path, operations := range doc.Paths {
		if !strings.HasPrefix(path, "/admin/") && path != "/metrics" {
			continue
		}
		path = strings.NewReplacer("{kind}", "counter", "{key}", "x", "{position}", "0:1", "{build}", "1").Replace(path)
		require.NotContains(t, path, "{")
		for method := range operations {
			n++
			method = strings.ToUpper(method)
			require.Equal(t, "401 auth.unauthorized", withToken.do(method, path, "").failure(), method+path)
			require.Equal(t, "401 auth.unauthorized", withToken.do(method, path, "", header{"Authorization": "Bearer another token of ours"}).failure(), method+path)
			require.Equal(t, "403 auth.forbidden", everywhere.do(method, path, "").failure(), method+path)
		}
	}
	require.Greater(t, n, 30)
}
