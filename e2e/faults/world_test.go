package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
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

// world is what is hurt: three workers and two gateways on brokers.
type world struct {
	t       *testing.T
	brokers brokers
	// session is after how long a silent worker is taken for dead.
	session  time.Duration
	gateways [2]*process.Process
	listen   [2]string
	workers  [3]*process.Process
	data     [3]string // local stores, which outlive their workers
	proxy    *socks5.Proxy
	// machines of the gateways and workers, nil where they need not be hurt.
	gatewayMachines [2]*process.Machine
	workerMachines  [3]*process.Machine
	// refuses is that brokers refuse appends for good, so that calls between actors may fail.
	refuses  bool
	injected tally
}

// tally counts by name.
type tally map[string]int

func (n tally) String() string {
	var all []string
	for _, what := range slices.Sorted(maps.Keys(n)) {
		all = append(all, fmt.Sprintf("%d %s", n[what], what))
	}
	return strings.Join(all, ", ")
}

func newWorld(t *testing.T, s scenario, b brokers) *world {
	w := &world{t: t, brokers: b, session: process.SessionTimeout, refuses: s.tinyBroker, injected: make(tally)}
	if slices.Contains(b.flags(), "consumer") {
		w.session = process.KafkaConsumerSession
	}
	if s.proxied {
		p, err := socks5.Start()
		require.NoError(t, err)
		t.Cleanup(p.Close)
		w.proxy = p
	}
	for i := range w.data {
		w.data[i] = t.TempDir()
	}
	if s.tiny {
		tinyDisk(t, w.data[0], "16")
	}
	if s.machines {
		for i := range w.gatewayMachines {
			w.gatewayMachines[i] = process.NewMachine(t)
		}
		for i := range w.workerMachines {
			w.workerMachines[i] = process.NewMachine(t)
		}
	}
	for i := range w.gateways {
		w.listen[i] = process.Address(t)
		w.startGateway(i)
	}
	for i := range w.workers {
		w.startWorker(i)
	}
	return w
}

// stop ends all in peace, and says if anybody does not.
func (w *world) stop() {
	w.t.Helper()
	all := slices.Concat(w.gateways[:], w.workers[:])
	for _, p := range all {
		p.Signal(w.t, syscall.SIGTERM)
	}
	for i, p := range all {
		require.Zero(w.t, p.Wait(w.t), "exit code of process %d, first the gateways and then the workers", i)
	}
}

func (w *world) pause(d time.Duration) { process.Pause(w.t.Context(), d) }

func (w *world) startWorker(i int) {
	w.t.Helper()
	// It sleeps and writes checkpoints as often as it can: recovery is what is looked at.
	args := slices.Concat(w.brokers.flags(), process.Blameless, []string{"--data", w.data[i], "--checkpoint-every", "1s", "--sleep-after", "500ms"})
	if i == 0 && w.proxy != nil {
		args = append(args, "--broker-proxy", w.proxy.URL())
	}
	w.workers[i] = w.workerMachines[i].Start(w.t, "worker", args...)
}

func (w *world) killWorker(i int) {
	w.injected["worker SIGKILL"]++
	w.workers[i].Kill()
}

func (w *world) freezeWorker(i int, d time.Duration) {
	w.injected["worker SIGSTOP"]++
	w.freeze(w.workers[i], d)
}

func (w *world) freeze(p *process.Process, d time.Duration) {
	p.Signal(w.t, syscall.SIGSTOP)
	w.pause(d)
	p.Signal(w.t, syscall.SIGCONT)
}

func (w *world) startGateway(i int) {
	w.t.Helper()
	w.gateways[i] = w.gatewayMachines[i].Start(w.t, "gateway", slices.Concat(w.brokers.flags(), process.Unlimited, []string{"--listen", w.listen[i]})...)
	process.Ready(w.t, w.listen[i], w.gateways[i])
}

func (w *world) killGateway(i int) {
	w.injected["gateway SIGKILL"]++
	w.gateways[i].Kill()
}

func (w *world) freezeGateway(i int, d time.Duration) {
	w.injected["gateway SIGSTOP"]++
	w.freeze(w.gateways[i], d)
}

func (w *world) killBroker(node int, away time.Duration) {
	w.injected["broker SIGKILL"]++
	w.brokers.signal(w.t, node, syscall.SIGKILL)
	w.brokers.end(w.t, node)
	w.pause(away)
	w.brokers.revive(w.t)
}

func (w *world) freezeBroker(node int, d time.Duration) {
	w.injected["broker SIGSTOP"]++
	w.brokers.signal(w.t, node, syscall.SIGSTOP)
	w.pause(d)
	w.brokers.signal(w.t, node, syscall.SIGCONT)
}

func (w *world) restartBroker(node int) {
	w.injected["broker restart"]++
	w.brokers.signal(w.t, node, syscall.SIGTERM)
	w.brokers.end(w.t, node)
	w.brokers.revive(w.t)
}

// hold keeps what worker 0 says, hears, or both.
func (w *world) hold(what string, d time.Duration, directions ...socks5.Direction) {
	w.injected[what]++
	for _, direction := range directions {
		w.proxy.Hold(direction)
	}
	w.pause(d)
	w.proxy.Heal()
}

func (w *world) delay(direction socks5.Direction, by, d time.Duration) {
	w.injected["one-way delay"]++
	w.proxy.Delay(direction, by)
	w.pause(d)
	w.proxy.Heal()
}

func (w *world) resetConnections() {
	w.injected["connections reset"]++
	w.proxy.Reset()
}

// rollingRestart has everything restarted by SIGTERM, one after the other.
func (w *world) rollingRestart() {
	w.t.Helper()
	for i, p := range w.workers {
		w.injected["worker restart"]++
		require.Zero(w.t, p.Stop(w.t), "exit code of a worker that was asked to stop")
		w.startWorker(i)
		w.pause(500 * time.Millisecond)
	}
	for i := range w.brokers.nodes() {
		w.restartBroker(i)
		w.pause(500 * time.Millisecond)
	}
	for i, p := range w.gateways {
		w.injected["gateway restart"]++
		require.Zero(w.t, p.Stop(w.t), "exit code of a gateway that was asked to stop")
		w.startGateway(i)
		w.pause(500 * time.Millisecond)
	}
}

// anything injects one fault, by dice.
func (w *world) anything() {
	worker, gateway := rand.IntN(len(w.workers)), rand.IntN(len(w.gateways))
	some := func(most time.Duration) time.Duration { return rand.N(most) }
	faults := []func(){
		func() {
			w.killWorker(worker)
			w.pause(some(time.Second))
			w.startWorker(worker)
		},
		func() { w.freezeWorker(worker, some(2*w.session)) },
		func() {
			w.killGateway(gateway)
			w.pause(some(time.Second))
			w.startGateway(gateway)
		},
		func() { w.freezeGateway(gateway, some(4*time.Second)) },
		func() { w.hold("network cut", some(2*w.session), socks5.Out, socks5.In) },
		func() { w.hold("acknowledgements held", some(2*w.session), socks5.In) },
		func() { w.hold("appends held", some(2*w.session), socks5.Out) },
		func() { w.delay(socks5.Direction(rand.IntN(2)), some(300*time.Millisecond), some(3*time.Second)) },
		w.resetConnections,
	}
	if w.brokers.nodes() > 0 {
		node := rand.IntN(w.brokers.nodes())
		faults = append(faults,
			func() { w.killBroker(node, some(time.Second)) },
			func() { w.freezeBroker(node, some(4*time.Second)) },
			func() { w.restartBroker(node) })
	}
	faults[rand.IntN(len(faults))]()
}

// url of an actor at the gateway with this number, modulo their number.
func (w *world) url(gateway int, actor string) string {
	return "http://" + w.listen[gateway%len(w.listen)] + "/actors/" + actor
}

func name(kind string, i int) string { return kind + "/" + strconv.Itoa(i) }
