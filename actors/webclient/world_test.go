package webclient_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/actors/webclient"
	"github.com/actorlog/actorlog/examples/chat"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// echo is an actor whose actions take and give what is hard to carry.
type echo struct{ Calls int }

// pair is two positional arguments.
type pair struct {
	actor.Positional
	A any `json:"a"`
	B any `json:"b"`
}

// solo is one positional argument.
type solo struct {
	actor.Positional
	A any `json:"a"`
}

var (
	echoKind = actor.New[echo]("echo kind\u00fc")
	one      = actor.Action[any, any](echoKind, "one & only")
	list     = actor.Action[[]any, []any](echoKind, "list")
	two      = actor.Action[pair, []any](echoKind, "two")
	single   = actor.Action[solo, any](echoKind, "single")
	none     = actor.Action[actor.None, actor.None](echoKind, "none")
	calls    = actor.Action[actor.None, int](echoKind, "calls")
)

func registerEcho(r *actor.Registry) {
	actor.On(r, one, func(s *echo, _ *actor.Ctx, v any) (any, error) { s.Calls++; return v, nil })
	actor.On(r, list, func(_ *echo, _ *actor.Ctx, v []any) ([]any, error) { return v, nil })
	actor.On(r, two, func(_ *echo, _ *actor.Ctx, v pair) ([]any, error) { return []any{v.A, v.B}, nil })
	actor.On(r, single, func(_ *echo, _ *actor.Ctx, v solo) (any, error) { return v.A, nil })
	actor.On(r, none, func(_ *echo, _ *actor.Ctx, v actor.None) (actor.None, error) { return v, nil })
	actor.On(r, calls, func(s *echo, _ *actor.Ctx, _ actor.None) (int, error) { return s.Calls, nil })
}

// world is a worker, and a gateway that can be restarted at its address.
type world struct {
	t *testing.T
	*actortest.World
	// wrap, if set, stands before the gateways that start from now on.
	wrap func(http.Handler) http.Handler
	tls  bool

	address string
	gateway *gateway.Gateway
	server  *httptest.Server
	behind  *remote.Client
	over    sync.Once
}

func newWorld(t *testing.T, options ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, address: "127.0.0.1:0", World: actortest.New(t, counter.Register, chat.Register, registerEcho, registerDesk)}
	for _, option := range options {
		option(w)
	}
	w.startGateway()
	t.Cleanup(w.stopGateway)
	return w
}

func (w *world) startGateway() {
	w.t.Helper()
	log := w.Cluster.Client()
	var err error
	w.behind, err = remote.Open(log, remote.Config{RequestTimeout: patience})
	require.NoError(w.t, err)
	w.gateway, err = gateway.New(w.behind, gateway.Config{Version: "test", RejectDelay: -1})
	require.NoError(w.t, err)
	handler := w.gateway.Handler()
	if w.wrap != nil {
		handler = w.wrap(handler)
	}
	var listener net.Listener
	require.Eventually(w.t, func() bool {
		listener, err = net.Listen("tcp", w.address)
		return err == nil
	}, patience, 10*time.Millisecond)
	w.address = listener.Addr().String()
	w.server = httptest.NewUnstartedServer(handler)
	require.NoError(w.t, w.server.Listener.Close())
	w.server.Listener = listener
	if w.server.EnableHTTP2 = w.tls; w.tls {
		w.server.StartTLS()
	} else {
		w.server.Start()
	}
	w.over = sync.Once{}
	client, closing := w.behind, log
	w.t.Cleanup(func() {
		client.Close()
		closing.Close()
	})
}

// stopGateway drains the gateway and ends it.
func (w *world) stopGateway() {
	w.over.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(w.t, w.gateway.Shutdown(ctx))
		w.server.CloseClientConnections()
		w.server.Close()
	})
}

// killGateway cuts everybody off first.
func (w *world) killGateway() {
	w.server.CloseClientConnections()
	w.stopGateway()
}

func (w *world) endpoint() string {
	if w.tls {
		return "https://" + w.address
	}
	return "http://" + w.address
}

// client of the world's gateway.
func (w *world) client(cfg webclient.Config) *webclient.Client {
	w.t.Helper()
	return newClient(w.t, w.endpoint(), cfg)
}

func newClient(t *testing.T, endpoint string, cfg webclient.Config) *webclient.Client {
	t.Helper()
	c, err := webclient.New(endpoint, cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// next takes what must come.
func next[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
