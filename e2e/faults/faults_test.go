package faults

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
	"github.com/actorlog/actorlog/internal/socks5"
)

func TestMain(m *testing.M) { process.Main(m) }

var duration = flag.Duration("faults.duration", 0, "how long each scenario goes on; 0 is one round of its faults")

// scenario is a fault and what it happens to.
type scenario struct {
	name string
	// protocol of the workers' group on Apache Kafka.
	protocol string
	// proxied has worker 0 reach the brokers through a proxy that can be hurt, and tiny gives it a disk that can be filled.
	proxied, tiny bool
	// machines are what the programs run on, and can be hurt. The embedded broker waits for its disk then.
	machines bool
	// tinyBroker gives the embedded broker a disk that can be filled.
	tinyBroker bool
	// brief scenarios are those that run with -short.
	brief bool
	// round injects the fault, and what follows from it, once.
	round func(w *world)
}

// scenarios for any brokers.
var scenarios = []scenario{
	{name: "worker killed", protocol: "classic", brief: true, round: func(w *world) {
		for i := range w.workers {
			w.killWorker(i)
			w.pause(300 * time.Millisecond)
			w.startWorker(i)
			w.pause(time.Second)
		}
	}},
	{name: "worker frozen", protocol: "consumer", brief: true, round: func(w *world) {
		// Too short for anybody to notice, and long enough for its shards to have been given away: then it is a zombie.
		w.freezeWorker(0, w.session/2)
		w.pause(w.session / 2)
		w.freezeWorker(1, w.session+1500*time.Millisecond)
		w.pause(time.Second)
	}},
	{name: "gateway killed", protocol: "classic", round: func(w *world) {
		for i := range w.gateways {
			w.killGateway(i)
			w.pause(500 * time.Millisecond)
			w.startGateway(i)
			w.pause(time.Second)
		}
	}},
	{name: "gateway frozen", protocol: "consumer", round: func(w *world) {
		for i := range w.gateways {
			w.freezeGateway(i, time.Duration(1+2*i)*time.Second)
			w.pause(500 * time.Millisecond)
		}
	}},
	{name: "worker cut off", protocol: "classic", proxied: true, brief: true, round: func(w *world) {
		w.hold("network cut", w.session+1500*time.Millisecond, socks5.Out, socks5.In)
		w.pause(time.Second)
		w.hold("network cut", w.session/2, socks5.Out, socks5.In)
		w.pause(time.Second)
	}},
	{name: "worker hears nothing", protocol: "consumer", proxied: true, brief: true, round: func(w *world) {
		// What it appends is written, and it is not told.
		w.hold("acknowledgements held", w.session/2, socks5.In)
		w.pause(time.Second)
		w.hold("acknowledgements held", w.session+1500*time.Millisecond, socks5.In)
		w.pause(time.Second)
	}},
	{name: "worker is not heard", protocol: "classic", proxied: true, round: func(w *world) {
		// What it appends arrives late: when it is no longer the owner.
		w.hold("appends held", w.session+1500*time.Millisecond, socks5.Out)
		w.pause(time.Second)
	}},
	{name: "worker far away", protocol: "classic", proxied: true, round: func(w *world) {
		w.delay(socks5.Out, 150*time.Millisecond, 1500*time.Millisecond)
		w.delay(socks5.In, 150*time.Millisecond, 1500*time.Millisecond)
		for range 5 {
			w.resetConnections()
			w.pause(200 * time.Millisecond)
		}
	}},
	{name: "local disk full", protocol: "classic", tiny: true, round: func(w *world) {
		w.fillDisk()
		w.pause(time.Second)
	}},
	{name: "clock jumps", protocol: "classic", machines: true, round: func(w *world) {
		w.jumpClocks()
		w.pause(time.Second)
	}},
	{name: "slow disks", protocol: "classic", machines: true, round: func(w *world) {
		w.slowDisks(30*time.Millisecond, 500*time.Millisecond, 3*time.Second)
		w.pause(time.Second)
		w.slowDisks(300*time.Millisecond, 3*time.Second, 3*time.Second)
		w.pause(time.Second)
	}},
	{name: "rolling restart", protocol: "consumer", brief: true, round: (*world).rollingRestart},
	{name: "everything", protocol: "classic", proxied: true, round: func(w *world) {
		for range 5 {
			w.anything()
			w.pause(time.Duration(rand.IntN(500)) * time.Millisecond)
		}
	}},
}

// brokerScenarios are for brokers of the test's own. One node at a time: with two of three away, nobody can write.
var brokerScenarios = []scenario{
	{name: "broker killed", protocol: "classic", round: func(w *world) {
		w.killBroker(rand.IntN(w.brokers.nodes()), 500*time.Millisecond)
		w.pause(2 * time.Second)
	}},
	{name: "broker frozen", protocol: "consumer", round: func(w *world) {
		w.freezeBroker(rand.IntN(w.brokers.nodes()), time.Second)
		w.pause(time.Second)
		w.freezeBroker(rand.IntN(w.brokers.nodes()), 3*time.Second)
		w.pause(time.Second)
	}},
	{name: "broker restarted", protocol: "classic", brief: true, round: func(w *world) {
		w.restartBroker(rand.IntN(w.brokers.nodes()))
		w.pause(2 * time.Second)
	}},
}

// embeddedScenarios are for the embedded broker.
var embeddedScenarios = []scenario{
	{name: "broker's disk full", protocol: "classic", tinyBroker: true, round: func(w *world) {
		w.fillBroker(2 * time.Second)
		w.pause(time.Second)
		w.killBroker(0, 100*time.Millisecond) // what it has written meanwhile can be read
		w.pause(time.Second)
	}},
}

// asked skips the matrix where nobody has asked for it: it takes minutes, and whole processors.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv("ACTORLOG_TEST_FAULTS") == "" {
		t.Skip("ACTORLOG_TEST_FAULTS is not set: make faults runs the fault matrix")
	}
}

// nodeScenarios are for nodes of Apache Kafka.
var nodeScenarios = []scenario{
	{name: "broker's disk full", protocol: "classic", round: func(w *world) {
		w.fillNode(rand.IntN(w.brokers.nodes()))
		w.pause(2 * time.Second)
	}},
}

// chosen scenarios of these lists: all, or with -short the brief ones.
func chosen(lists ...[]scenario) (all []scenario) {
	for _, s := range slices.Concat(lists...) {
		if s.brief || !testing.Short() {
			all = append(all, s)
		}
	}
	return all
}

// TestMatrixEmbedded hurts workers, gateways and the embedded broker.
func TestMatrixEmbedded(t *testing.T) {
	t.Parallel()
	asked(t)
	for _, s := range chosen(embeddedScenarios, brokerScenarios, scenarios) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, newEmbedded(t, s))
		})
	}
}

// TestMatrixKafka hurts workers and gateways of the cluster that ACTORLOG_TEST_KAFKA names, which others use too.
func TestMatrixKafka(t *testing.T) {
	t.Parallel()
	asked(t)
	for _, s := range chosen(scenarios) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, shared{process.ApacheKafka(t, s.protocol)})
		})
	}
}

// TestMatrixKafkaNodes hurts the nodes of a cluster of three, and so moves leaders of partitions and coordinators of groups and transactions.
func TestMatrixKafkaNodes(t *testing.T) {
	t.Parallel()
	asked(t)
	if os.Getenv("ACTORLOG_TEST_KAFKA") == "" {
		t.Skip("ACTORLOG_TEST_KAFKA is not set: nobody wants Apache Kafka started")
	}
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("there is no java for a cluster of its own")
	}
	dir := filepath.Join(t.TempDir(), "kafka")
	addresses := ops(t, "start", "--nodes", "3", "--port", "0", "--dir", dir)
	t.Cleanup(func() { ops(t, "stop", "--dir", dir) })
	for _, s := range chosen(brokerScenarios, nodeScenarios) { // one after the other: they share the nodes
		t.Run(s.name, func(t *testing.T) {
			s.run(t, &cluster{dir: dir, f: process.KafkaFlags(addresses, s.protocol)})
		})
	}
}

// run hurts a world under load, and then asks everybody what they know.
func (s scenario) run(t *testing.T, b brokers) {
	w := newWorld(t, s, b)
	l := startLoad(t, w)
	w.pause(500 * time.Millisecond)
	for began, rounds := time.Now(), 0; rounds == 0 || time.Since(began) < *duration; rounds++ {
		s.round(w)
	}
	w.pause(500 * time.Millisecond)
	ended := time.Now()
	l.stop()
	settled := time.Now()
	checked := l.check()
	t.Logf("faults: %s; checked: %s; the slowest call took %v, the clients were done after %v, the actors had settled after %v",
		w.injected, checked, time.Duration(l.slowest.Load()).Round(time.Millisecond), settled.Sub(ended).Round(time.Millisecond), time.Since(settled).Round(time.Millisecond))
	w.stop()
}

// brokers that workers and gateways share a log on.
type brokers interface {
	flags() process.Brokers
	// nodes that can be hurt, and their lives. Those of others are none.
	nodes() int
	signal(t *testing.T, node int, s syscall.Signal)
	// end waits until a node has ended, and revive starts it again, with its data.
	end(t *testing.T, node int)
	revive(t *testing.T)
}

// shared brokers belong to others too.
type shared struct{ f process.Brokers }

func (s shared) flags() process.Brokers                 { return s.f }
func (s shared) nodes() int                             { return 0 }
func (s shared) signal(*testing.T, int, syscall.Signal) { panic("these brokers are not ours") }
func (s shared) end(*testing.T, int)                    { panic("these brokers are not ours") }
func (s shared) revive(*testing.T)                      { panic("these brokers are not ours") }

// embedded is a process of actorlog broker.
type embedded struct {
	data, address string
	machine       *process.Machine
	f             process.Brokers
	p             *process.Process
}

func newEmbedded(t *testing.T, s scenario) *embedded {
	e := &embedded{data: t.TempDir(), address: process.Address(t)}
	if s.tinyBroker {
		tinyDisk(t, e.data, "512")
	}
	if s.machines {
		e.machine = process.NewMachine(t)
	}
	e.f = process.KafkaFlags(e.address, "classic")
	e.revive(t)
	return e
}

func (e *embedded) flags() process.Brokers { return e.f }
func (e *embedded) nodes() int             { return 1 }

func (e *embedded) signal(t *testing.T, _ int, s syscall.Signal) { e.p.Signal(t, s) }

func (e *embedded) end(t *testing.T, _ int) { e.p.Wait(t) }

func (e *embedded) revive(t *testing.T) {
	args := []string{"broker", "--data", e.data, "--kafka-listen", e.address}
	if e.machine != nil {
		args = append(args, "--fsync")
	}
	e.p = e.machine.Start(t, "actorlog", args...)
}

// cluster is nodes of Apache Kafka that ops/kafka has started.
type cluster struct {
	dir string
	f   process.Brokers
}

func (c *cluster) flags() process.Brokers { return c.f }
func (c *cluster) nodes() int             { return 3 }

func (c *cluster) pid(t *testing.T, node int) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, strconv.Itoa(node+1), "pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return pid
}

func (c *cluster) signal(t *testing.T, node int, s syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(c.pid(t, node), s))
}

func (c *cluster) end(t *testing.T, node int) {
	t.Helper()
	pid := c.pid(t, node)
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil || defunct(pid) }, 30*time.Second, 20*time.Millisecond, "the node does not end")
}

// defunct processes have ended, and nobody has asked how.
func defunct(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, after, _ := strings.Cut(string(stat), ") ")
	return err == nil && strings.HasPrefix(after, "Z")
}

func (c *cluster) revive(t *testing.T) { ops(t, "revive", "--dir", c.dir) }

// ops runs ops/kafka.
func ops(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("../../ops/kafka", args...)
	cmd.Stderr = new(process.Output)
	out, err := cmd.Output()
	require.NoError(t, err, "%s", cmd.Stderr)
	return strings.TrimSpace(string(out))
}
