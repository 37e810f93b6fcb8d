package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// origins makes the policy of a world.
func origins(t *testing.T, rules ...string) func(*setup) {
	t.Helper()
	o, err := gateway.ParseOrigins(rules...)
	require.NoError(t, err)
	return config(func(c *gateway.Config) { c.Origins = o })
}

func TestParseOrigins(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		"":                              "is empty",
		"app.example.com":               "no scheme",
		"https://":                      "not scheme, host and port",
		"https://app.example.com/":      "without a path",
		"https://app.example.com?x":     "without a path",
		"https://app.example.com#":      "without a path",
		"https://app.example.com:":      "without a path",
		"https://u@app.example.com":     "without a path",
		"https://b\u00fccher.example":   "ASCII",
		"https://app.*.example.com":     "first part",
		"https://*":                     "first part",
		"https://*.com":                 "too short",
		"https://*.127.0.0.1":           "too short",
		"=https://app.example.com":      "the kind is empty",
		"a/b=https://app.example.com":   "the kind contains",
		"chatRoom=":                     "is empty",
		"chatRoom=*.example.com":        "no scheme",
		"https://a.example https://b.e": "without a path",
	} {
		_, err := gateway.ParseOrigins(rule)
		require.ErrorContains(t, err, want, "%q", rule)
	}
	o, err := gateway.ParseOrigins("chatRoom=https://chat.example.com", " * ", "same-origin")
	require.NoError(t, err)
	require.Equal(t, "*, chatRoom=https://chat.example.com, same-origin", o.String())
	require.Equal(t, "loopback, same-origin", gateway.Origins{}.String())
}

func TestOriginRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rules           string
		allowed, denied string
	}{
		{"", // the default
			"http://localhost http://localhost:3000 https://localhost:5173 http://app.localhost:1 http://127.0.0.1 http://127.1.2.3:80 http://[::1]:3000 " +
				"http://gateway.example http://gateway.example:80 https://gateway.example HTTP://Gateway.Example",
			"https://evil.example http://gateway.example:81 http://localhost.evil.example http://127.0.0.1.evil.example http://evillocalhost null file:// " +
				"http://sub.gateway.example http://128.0.0.1 http://[::2] http://localhost/ http://u@localhost http://localhost,http://evil.example " +
				"capacitor://localhost capacitor://gateway.example"},
		{"https://app.example.com",
			"https://app.example.com https://app.example.com:443 https://APP.example.com",
			"http://app.example.com https://app.example.com:8443 https://example.com https://x.app.example.com https://app.example.com.evil.example " +
				"http://localhost:3000 http://gateway.example null"},
		{"https://*.example.com",
			"https://a.example.com https://a.b.example.com",
			"https://example.com http://a.example.com https://a.example.com:8443 https://evilexample.com https://a.example.com.evil.example"},
		{"https://*.example.com:8443 loopback", "https://a.example.com:8443 http://localhost:9", "https://a.example.com http://gateway.example"},
		{"capacitor://localhost same-origin", "capacitor://localhost http://gateway.example", "http://localhost ionic://localhost"},
		{"*", "https://evil.example null file:// http://localhost", ""},
	} {
		w := newWorld(t, origins(t, strings.Fields(c.rules)...))
		get := func(from string) reply {
			return w.do("GET", "/metadata", "", header{"Origin": from, "Host": "gateway.example"})
		}
		for from := range strings.FieldsSeq(c.allowed) {
			r := get(from)
			require.Equal(t, 200, r.status, "%s with %q", from, c.rules)
			require.Equal(t, from, r.header.Get("Access-Control-Allow-Origin"))
		}
		for from := range strings.FieldsSeq(c.denied) {
			r := get(from)
			require.Equal(t, "403 auth.forbidden", r.failure(), "%s with %q", from, c.rules)
			require.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
			require.Contains(t, r.body, "--allow-origin")
		}
		require.Equal(t, 200, w.do("GET", "/metadata", "").status, "no origin")
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, origins(t, "https://page.example"))
	page := header{"Origin": "https://page.example"}
	for _, target := range []string{"/metadata", "/actors?name=counter&key=x", "/nothing", "/actors/counter/x/state", "/gateway/counter/action/get"} {
		r := w.do("GET", target, "", page)
		require.Equal(t, "https://page.example", r.header.Get("Access-Control-Allow-Origin"), target)
		require.Equal(t, "true", r.header.Get("Access-Control-Allow-Credentials"))
		require.Contains(t, r.header.Get("Vary"), "Origin")
		require.Contains(t, strings.ToLower(r.header.Get("Access-Control-Expose-Headers")), "x-rivet-ray-id")
	}
	preflight := header{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-rivet-encoding"}
	for _, target := range []string{"/metadata", "/nothing", "/actors", "/gateway/counter/action/increment" + getOrCreate + "x", "/actors/counter/x"} {
		r := w.do("OPTIONS", target, "", page, preflight)
		require.Equal(t, 204, r.status, target)
		require.Equal(t, "https://page.example", r.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "content-type,x-rivet-encoding", r.header.Get("Access-Control-Allow-Headers"))
		require.Equal(t, "GET, POST, PUT, DELETE, OPTIONS, PATCH", r.header.Get("Access-Control-Allow-Methods"))
		require.Equal(t, "86400", r.header.Get("Access-Control-Max-Age"))
		r = w.do("OPTIONS", target, "", header{"Origin": "https://evil.example"}, preflight)
		require.Equal(t, 204, r.status)
		for name := range r.header {
			require.False(t, strings.HasPrefix(name, "Access-Control-"), "%s: %s", target, name)
		}
	}
	require.Empty(t, w.do("GET", "/metadata", "").header.Get("Access-Control-Allow-Origin"))
	w.dial("/gateway/counter/connect"+getOrCreate+"x", http.Header{"Origin": {"https://page.example"}}).init()
	// Nothing of this reached an actor, but for the look-ups and the connection.
	for _, a := range w.worker.actions() {
		require.Nil(t, a.GetInvoke())
	}
}

// However a foreign page asks, nothing is appended, and sockets are told why.
func TestForeignPagesHaveNoEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.do("PUT", "/actors/counter/x", "").header.Get("Actorlog-Actor")
	require.NotEmpty(t, id)
	before := len(w.worker.actions())
	evil := header{"Origin": "https://evil.example"}
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/actors/counter/x/actions/increment", "1"},
		{"POST", "/gateway/counter/action/increment" + getOrCreate + "x", `{"args":[1]}`},
		{"POST", "/gateway/" + id + "/action/increment", `{"args":[1]}`},
		{"PUT", "/actors", `{"name":"counter","key":"y"}`},
		{"POST", "/actors", `{"name":"counter","key":"y"}`},
		{"GET", "/actors?name=counter&key=x", ""},
		{"GET", "/actors?actor_ids=" + id, ""},
		{"PUT", "/actors/counter/y", ""},
		{"POST", "/actors/counter/y", ""},
		{"DELETE", "/actors/counter/x", ""},
		{"GET", "/actors/counter/x/state", ""},
		{"GET", "/actors/counter/x/events", ""},
		{"GET", "/metadata", ""},
		{"GET", "/admin/gateway", ""},
		{"GET", "/nothing", ""},
	} {
		r := w.do(c.method, c.target, c.body, evil)
		require.Equal(t, "403 auth.forbidden", r.failure(), "%s %s", c.method, c.target)
		require.Contains(t, r.body, "Start the gateway with --allow-origin https://evil.example ")
		require.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "Origin", r.header.Get("Vary"))
	}
	for _, target := range []string{"/gateway/counter/connect" + getOrCreate + "x", "/gateway/" + id + "/connect", "/gateway/counter/websocket/" + getOrCreate + "x", "/connect"} {
		s := w.dial(target, http.Header{"Origin": {"https://evil.example"}}, "rivet", "rivet_encoding.json", "rivet_target.actor", "rivet_actor."+id)
		reason, told := s.closed()
		require.Equal(t, "1011 auth.forbidden", reason, target)
		want := []string{"Error - auth.forbidden"}
		if strings.Contains(target, "/websocket/") {
			want = nil // what it is sent is the actor's
		}
		require.Equal(t, want, told, target)
	}
	twice, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/actors/counter/x/actions/increment", strings.NewReader("1"))
	require.NoError(t, err)
	twice.Header["Origin"] = []string{"http://localhost", "https://evil.example"}
	resp, err := w.server.Client().Do(twice)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 403, resp.StatusCode)
	require.Len(t, w.worker.actions(), before)
}

// A kind's own rules stand in place of the global ones, however the kind is found out.
func TestOriginsOfOneKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, origins(t, "https://all.example", "counter=https://counter.example", "other=https://other.example"))
	id := w.do("PUT", "/actors/counter/x", "").header.Get("Actorlog-Actor")
	require.NotEmpty(t, id)
	all, counter, other := header{"Origin": "https://all.example"}, header{"Origin": "https://counter.example"}, header{"Origin": "https://other.example"}
	const denied = "403 auth.forbidden"
	t.Run("URLNamesIt", func(t *testing.T) {
		require.Equal(t, 200, w.do("POST", "/actors/counter/x/actions/increment", "1", counter).status)
		require.Equal(t, 200, w.do("POST", "/gateway/counter/action/increment"+getOrCreate+"x", `{"args":[1]}`, counter).status)
		for _, from := range []header{all, other} {
			r := w.do("POST", "/actors/counter/x/actions/increment", "1", from)
			require.Equal(t, denied, r.failure())
			require.Contains(t, r.body, "--allow-origin counter="+from["Origin"])
			require.Equal(t, denied, w.do("POST", "/gateway/counter/action/increment"+getOrCreate+"x", `{"args":[1]}`, from).failure())
			require.Equal(t, denied, w.do("GET", "/actors?name=counter&key=x", "", from).failure())
		}
		require.Equal(t, "404 actor.kind_not_found", w.do("POST", "/actors/third/x/actions/increment", "1", all).failure())
		require.Equal(t, denied, w.do("POST", "/actors/third/x/actions/increment", "1", counter).failure())
	})
	t.Run("BodyNamesIt", func(t *testing.T) {
		require.Equal(t, 200, w.do("PUT", "/actors", `{"name":"counter","key":"z"}`, counter).status)
		for _, method := range []string{"PUT", "POST"} {
			r := w.do(method, "/actors", `{"name":"counter","key":"never"}`, other)
			require.Equal(t, denied, r.failure())
			require.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
		}
		require.Equal(t, "404 actor.not_found", w.do("GET", "/actors/counter/never", "").failure())
	})
	t.Run("IDHidesIt", func(t *testing.T) {
		count := w.do("GET", "/actors/counter/x/state", "").body
		target := "/gateway/" + id + "/action/increment"
		for _, from := range []header{all, other} {
			require.Equal(t, 204, w.do("OPTIONS", target, "", from).status)
			r := w.do("POST", target, `{"args":[1]}`, from)
			require.Equal(t, denied, r.failure())
			require.Empty(t, r.header.Get("Access-Control-Allow-Origin"))
			require.JSONEq(t, `{"actors":[],"pagination":{"cursor":null}}`, w.do("GET", "/actors?actor_ids="+id, "", from).body)
			s := w.dial("/gateway/"+id+"/connect", http.Header{"Origin": {from["Origin"]}}, "rivet", "rivet_encoding.json")
			reason, _ := s.closed()
			require.Equal(t, "1011 auth.forbidden", reason)
			s = w.dial("/connect", http.Header{"Origin": {from["Origin"]}}, "rivet", "rivet_encoding.json", "rivet_target.actor", "rivet_actor."+id)
			reason, _ = s.closed()
			require.Equal(t, "1011 auth.forbidden", reason)
		}
		require.Equal(t, count, w.do("GET", "/actors/counter/x/state", "").body)
		require.Equal(t, 200, w.do("POST", target, `{"args":[1]}`, counter).status)
		w.dial("/gateway/"+id+"/connect", http.Header{"Origin": {"https://counter.example"}}, "rivet", "rivet_encoding.json").init()
		require.Equal(t, "404 actor.not_found", w.do("POST", "/gateway/"+strings.Repeat("a", 30)+"/action/increment", `{"args":[1]}`, counter).failure())
		require.Contains(t, w.do("GET", "/actors?actor_ids="+id, "", counter).body, id)
	})
	t.Run("NobodysRoutes", func(t *testing.T) {
		for _, from := range []header{all, counter, other} {
			require.Equal(t, 200, w.do("GET", "/metadata", "", from).status)
		}
		require.Equal(t, denied, w.do("GET", "/admin/gateway", "", counter).failure())
		require.Equal(t, denied, w.do("GET", "/metadata", "", header{"Origin": "https://evil.example"}).failure())
	})
	for _, a := range w.worker.actions() {
		require.False(t, a.Actor.GetKind() == "counter" && strings.Join(a.Actor.Key, "/") == "never" && a.GetCreation() != nil, "%v", a)
		_, isRead := a.Body.(*actorlogv1.Action_Read)
		require.True(t, isRead || a.GetResolve() != nil || a.GetInvoke() != nil || a.GetConnect() != nil || a.GetDisconnect() != nil, "%v", a)
	}
}
