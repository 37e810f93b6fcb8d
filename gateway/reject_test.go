package gateway_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway"
)

// A client that connects again at once, for ever, is put off, and no other is.
func TestRejectedTooOften(t *testing.T) {
	t.Parallel()
	const burst, held = 1, 3 // a token a minute
	var gone atomic.Int64
	w := newWorld(t, config(func(c *gateway.Config) {
		c.Listener.SessionClosed = func(gateway.SessionInfo) { gone.Add(1) }
		c.MaxRejections, c.MaxRejectDelay, c.MaxDelayed = burst, time.Hour, held
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}))
	looping, other := http.Header{"X-Forwarded-For": {"192.0.2.1"}}, http.Header{"X-Forwarded-For": {"192.0.2.2"}}
	const nothing = "/gateway/nothing/connect" + getOrCreate + "x"
	// One more than the burst owes a token: it was let in while there was no debt.
	for range burst + 1 {
		reason, _ := w.dial(nothing, looping, "rivet", "rivet_encoding.json").closed()
		require.Equal(t, "1011 actor.kind_not_found", reason)
	}
	// Until then they take a place of those that are held.
	w.eventually(func() bool { return gone.Load() == burst+1 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type dialed struct {
		resp *http.Response
		err  error
	}
	dial := func(ctx context.Context) dialed {
		d := websocket.Dialer{Subprotocols: []string{"rivet", "rivet_encoding.json"}, HandshakeTimeout: patience}
		d.NetDialContext = func(_ context.Context, network, address string) (net.Conn, error) {
			conn, err := net.Dial(network, address)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err
		}
		conn, resp, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(w.server.URL, "http")+nothing, looping)
		if err == nil {
			_ = conn.Close()
		}
		return dialed{resp, err}
	}
	// Many at once: some are held, all others are answered without an upgrade.
	answers := make(chan dialed)
	const reconnects = 50
	for range reconnects {
		go func() { answers <- dial(ctx) }()
	}
	for range reconnects - held {
		a := <-answers
		require.ErrorIs(t, a.err, websocket.ErrBadHandshake)
		require.Equal(t, http.StatusTooManyRequests, a.resp.StatusCode)
		require.Equal(t, "guard.rate_limit", failureCode(t, a.resp))
		require.NotEmpty(t, a.resp.Header.Get("Retry-After"))
		require.True(t, a.resp.Close)
	}
	// Meanwhile others connect, and also the looping client may call.
	w.dial("/gateway/counter/connect"+getOrCreate+"x", other, "rivet", "rivet_encoding.json").init()
	require.Equal(t, "1", w.do("POST", "/actors/counter/x/actions/increment", "1", header{"X-Forwarded-For": "192.0.2.1"}).body)
	cancel()
	for range held {
		require.ErrorIs(t, (<-answers).err, net.ErrClosed)
	}
	// Their places are free again, and a gateway that shuts down keeps nobody waiting.
	w.eventually(func() bool {
		probe, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		return dial(probe).resp == nil // held until it gives up
	})
	late := make(chan dialed)
	go func() { late <- dial(t.Context()) }()
	require.NoError(t, w.gateway.Shutdown(t.Context()))
	a := <-late
	require.NotErrorIs(t, a.err, context.DeadlineExceeded)
}

// Refusals for which clients come back with growing pauses of their own are not counted.
func TestRetriedRefusalsAreNotRejections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.MaxRejections, c.MaxRejectDelay = 1, time.Hour }))
	for range 5 {
		reason, _ := w.dial("/gateway/counter/connect?rvt-namespace=default&rvt-method=get&rvt-key=absent", nil, "rivet", "rivet_encoding.json").closed()
		require.Equal(t, "1011 actor.not_found", reason)
	}
	w.connect("x")
}
