package e2e

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
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

	b, _ := process.EmbeddedBroker(t)
	w := newNodeWorld(t, node, b, 2)
	for _, client := range []string{"rivetkit", "rivetkit-oldest"} {
		for _, encoding := range []string{"default", "cbor", "json"} {
			// Not in parallel: every run restarts the gateways.
			t.Run(client+"/"+encoding, func(t *testing.T) { w.run(t, client, encoding) })
		}
	}
	t.Run("kafka", func(t *testing.T) {
		newNodeWorld(t, node, process.ApacheKafka(t, "consumer"), 2).run(t, "rivetkit", "default")
	})
}

// nodeWorld is what the clients talk to.
type nodeWorld struct {
	t        *testing.T
	node     string
	brokers  process.Brokers
	worker   *process.Process
	gateways []*nodeGateway
	balancer *balancer // of the gateways
}

type nodeGateway struct {
	listen string
	*process.Process
}

func newNodeWorld(t *testing.T, node string, b process.Brokers, gateways int) *nodeWorld {
	// For raw requests of 20 MiB.
	w := &nodeWorld{t: t, node: node, brokers: append(b, "--max-record-bytes", "58720256")}
	w.startWorker()
	var listen []string
	for range gateways {
		g := &nodeGateway{listen: process.Address(t)}
		w.gateways = append(w.gateways, g)
		w.open(g)
		listen = append(listen, g.listen)
	}
	w.balancer = newBalancer(t, listen...)
	return w
}

// open starts a gateway where it was before.
func (w *nodeWorld) open(g *nodeGateway) { g.Process = w.brokers.Gateway(w.t, g.listen) }

func (w *nodeWorld) startWorker() { w.worker = w.brokers.Worker(w.t) }

// carryOut ends the gateways one after the other, by SIGTERM (restart) or SIGKILL (kill), and starts
// each again, so that one is always there and no connection stays where it was. kill-worker is the same for the worker.
func (w *nodeWorld) carryOut(t *testing.T, what string) {
	if what == "kill-worker" {
		w.worker.Kill()
		w.startWorker()
		return
	}
	for _, g := range w.gateways {
		switch what {
		case "restart":
			require.Zero(t, g.Stop(t), "exit code of a gateway that was asked to stop")
		case "kill":
			g.Kill()
		default:
			t.Fatalf("the script asks for %q", what)
		}
		w.open(g)
	}
}

// run runs the script with one client and one encoding, "default" being the client's own.
func (w *nodeWorld) run(t *testing.T, client, encoding string) {
	script{
		dir: "node", file: "client.test.mjs", timeout: nodeTimeout, carryOut: w.carryOut,
		env: []string{
			"ACTORLOG_ENDPOINT=http://" + w.balancer.addr(),
			"ACTORLOG_CLIENT=" + client,
			"ACTORLOG_ENCODING=" + strings.TrimPrefix(encoding, "default"),
		},
	}.run(t, w.node)
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
