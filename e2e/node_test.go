package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nodeTimeout bounds one run of the script. It takes about half a minute.
const nodeTimeout = 4 * time.Minute

// The published npm clients, newest and oldest, in all their encodings, against real
// programs: a broker, a worker, and two gateways behind a balancer, which the script has
// restarted and killed under its connections. What is expected stands in node/client.test.mjs.
func TestNode(t *testing.T) {
	t.Parallel()
	node := os.Getenv("ACTORLOG_TEST_NODE")
	if node == "" {
		t.Skip("ACTORLOG_TEST_NODE does not name a node binary (20 or later): the published npm clients are not tested")
	}
	for _, pkg := range []string{"rivetkit", "rivetkit-oldest", "ws"} {
		_, err := os.Stat(filepath.Join("node", "node_modules", pkg, "package.json"))
		require.NoError(t, err, "e2e/node/node_modules is missing or incomplete: run `npm ci` in e2e/node")
	}

	w := newNodeWorld(t, node)
	for _, client := range []string{"rivetkit", "rivetkit-oldest"} {
		for _, encoding := range []string{"default", "cbor", "json"} {
			// Not in parallel: every run restarts the gateways.
			t.Run(client+"/"+encoding, func(t *testing.T) { w.run(t, client, encoding) })
		}
	}
}

// nodeWorld is what the clients talk to.
type nodeWorld struct {
	t        *testing.T
	node     string
	kafka    string
	gateways []*nodeGateway
	balancer *balancer
	control  *httptest.Server
	orders   chan order
}

type nodeGateway struct {
	listen string
	*process
}

// order is a request of the script: what to do with the gateways, and where to say that it
// is done. It is carried out by the test's own goroutine.
type order struct {
	what string
	done chan<- struct{}
}

func newNodeWorld(t *testing.T, node string) *nodeWorld {
	w := &nodeWorld{t: t, node: node, kafka: address(t), orders: make(chan order)}
	start(t, "actorlog", "broker", "--data", t.TempDir(), "--kafka-listen", w.kafka)
	w.await("broker", w.kafka)
	start(t, "worker", "--brokers", w.kafka, "--partitions", "8", "--data", t.TempDir())
	for range 2 {
		g := &nodeGateway{listen: address(t)}
		w.gateways = append(w.gateways, g)
		w.open(g)
	}
	w.balancer = newBalancer(t, w.gateways[0].listen, w.gateways[1].listen)
	w.control = httptest.NewServer(w)
	t.Cleanup(w.control.Close)
	return w
}

// await waits until somebody listens.
func (w *nodeWorld) await(what, addr string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the %s does not listen on %s: %v", what, addr, err)
		}
		pause(w.t.Context(), 20*time.Millisecond)
	}
}

// open starts a gateway where it was before.
func (w *nodeWorld) open(g *nodeGateway) {
	g.process = start(w.t, "gateway", "--brokers", w.kafka, "--partitions", "8", "--listen", g.listen)
	ready(w.t, g.listen, g.process)
}

// ServeHTTP takes the script's orders: POST /restart (SIGTERM) and POST /kill (SIGKILL). Both end
// the gateways one after the other and start each again, so that one is always there and no
// connection stays where it was.
func (w *nodeWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	done := make(chan struct{})
	select {
	case w.orders <- order{strings.TrimPrefix(r.URL.Path, "/"), done}:
	case <-r.Context().Done():
		return
	}
	select {
	case <-done:
	case <-r.Context().Done():
	}
}

func (w *nodeWorld) carryOut(t *testing.T, o order) {
	defer close(o.done)
	for _, g := range w.gateways {
		switch o.what {
		case "restart":
			require.Zero(t, g.stop(t), "exit code of a gateway that was asked to stop")
		case "kill":
			g.kill()
		default:
			t.Fatalf("the script asks for %q", o.what)
		}
		w.open(g)
	}
}

// run runs the script with one client and one encoding, "default" being the client's own.
func (w *nodeWorld) run(t *testing.T, client, encoding string) {
	ctx, cancel := context.WithTimeout(t.Context(), nodeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.node, "--test", "--test-reporter=spec", "client.test.mjs")
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(),
		"ACTORLOG_ENDPOINT=http://"+w.balancer.addr(),
		"ACTORLOG_CONTROL="+w.control.URL,
		"ACTORLOG_CLIENT="+client,
		"ACTORLOG_ENCODING="+strings.TrimPrefix(encoding, "default"),
	)
	var out syncBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case o := <-w.orders:
			w.carryOut(t, o)
		case err := <-ended:
			if ctx.Err() != nil {
				err = fmt.Errorf("no end after %v: %w", nodeTimeout, err)
			}
			t.Logf("%s --test says:\n%s", w.node, out.tail(20_000))
			require.NoError(t, err)
			return
		}
	}
}

// balancer hands TCP connections to backends in turn, and passes over those that are
// down: what stands before gateways anywhere, for the newest clients give a connection up for good when
// one attempt is refused.
type balancer struct {
	listener net.Listener
	backends []string
	wg       sync.WaitGroup
}

func newBalancer(t *testing.T, backends ...string) *balancer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &balancer{listener: l, backends: backends}
	ctx, cancel := context.WithCancel(context.Background())
	b.wg.Go(func() { b.accept(ctx) })
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		b.wg.Wait()
	})
	return b
}

func (b *balancer) addr() string { return b.listener.Addr().String() }

func (b *balancer) accept(ctx context.Context) {
	for next := 0; ; next++ {
		front, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.wg.Go(func() { b.serve(ctx, front, next) })
	}
}

// serve joins one connection to a backend until either side ends it.
func (b *balancer) serve(ctx context.Context, front net.Conn, next int) {
	defer front.Close()
	for i := range b.backends {
		back, err := net.Dial("tcp", b.backends[(next+i)%len(b.backends)])
		if err != nil {
			continue
		}
		defer back.Close()
		defer context.AfterFunc(ctx, func() {
			_ = front.Close()
			_ = back.Close()
		})()
		copied := make(chan struct{}, 2)
		pipe := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			copied <- struct{}{}
		}
		b.wg.Go(func() { pipe(back, front) })
		b.wg.Go(func() { pipe(front, back) })
		<-copied
		return
	}
}
