package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway"
)

func TestConnParamsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	most := `"` + strings.Repeat("p", 4094) + `"`
	tooLong := `"` + strings.Repeat("p", 4095) + `"`
	target := "/gateway/counter/action/increment" + getOrCreate + "x"
	require.Equal(t, 200, w.do("POST", target, `{"args":[1]}`, header{"X-Rivet-Conn-Params": most}).status)
	r := w.do("POST", target, `{"args":[1]}`, header{"X-Rivet-Conn-Params": tooLong})
	require.Equal(t, "400 actor.invalid_request", r.failure())
	require.Contains(t, r.body, "4097 bytes, more than 4096")

	connect := "/gateway/counter/connect" + getOrCreate + "x"
	w.dial(connect, nil, "rivet", "rivet_encoding.json", "rivet_conn_params."+url.PathEscape(most)).init()
	reason, _ := w.dial(connect, nil, "rivet", "rivet_encoding.json", "rivet_conn_params."+url.PathEscape(tooLong)).closed()
	require.Equal(t, "1011 actor.invalid_request", reason)
	reason, _ = w.dial(connect, http.Header{"X-Rivet-Conn-Params": {tooLong}}, "rivet", "rivet_encoding.json").closed()
	require.Equal(t, "1011 actor.invalid_request", reason)
}

// A client that sends its body drop by drop gives up its place.
func TestBodyMustArriveInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.BodyTimeout = 250 * time.Millisecond }))
	body, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write([]byte("1")) }()
	r, err := w.try("POST", "/actors/counter/x/actions/increment", body)
	require.NoError(t, err)
	require.Equal(t, "400 actor.invalid_request", r.failure())
	require.False(t, w.worker.ran("increment"))

	// The time is the body's, not the action's.
	done := make(chan reply)
	go func() { done <- w.do("POST", "/actors/counter/x/actions/hold", `"it"`) }()
	w.eventually(func() bool { return w.worker.holds("it") })
	select {
	case r := <-done:
		require.FailNow(t, "answered before its outcome", r.body)
	case <-time.After(600 * time.Millisecond):
	}
	w.worker.release("it")
	require.Equal(t, 204, (<-done).status)
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/metadata", "/nothing", "/actors/counter/x/state", "/admin/gateway"} {
		r := w.do("GET", path, "")
		require.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"), path)
		require.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"))
		require.Empty(t, r.header.Get("Strict-Transport-Security"))
	}
	secure := httptest.NewTLSServer(w.gateway.Handler())
	defer secure.Close()
	for host, want := range map[string]string{"gateway.example": "max-age=31536000", "localhost:6420": "", "127.0.0.1": ""} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL+"/metadata", nil)
		require.NoError(t, err)
		req.Host = host
		resp, err := secure.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.Header.Get("Strict-Transport-Security"), host)
	}
	// A page that somebody on its way may have written is not of the same origin as HTTPS.
	for from, want := range map[string]int{"https://gateway.example": 200, "http://gateway.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL+"/metadata", nil)
		require.NoError(t, err)
		req.Host = "gateway.example"
		req.Header.Set("Origin", from)
		resp, err := secure.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, from)
	}
}
