// Package actortest runs actors in a test: a whole worker and a client over a log in memory, no
// broker and no network. Nothing of it is a stand-in but the log: what a test sees is what users
// see, down to the records.
//
//	func TestCounter(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) { // time is virtual: an hour takes no time
//			w := actortest.New(t, counter.Register)
//			c := counter.Kind.GetOrCreate(w.Client, "org", "42")
//			events := w.Watch("counter", "org", "42")
//
//			n, err := counter.Increment.Call(t.Context(), c, 1)
//			...
//			w.Crash() // the worker dies; nothing but the log survives
//			time.Sleep(time.Hour)
//			require.Equal(t, actortest.Event{Name: "count", Args: "[1]"}, events.Next(t))
//		})
//	}
//
// Outside a testing/synctest bubble it works as well, in real time. examples/ has tests that
// read as stories. The log outlives its workers; [memlog.Cluster] has its faults: appends that
// fail or are slow, records of somebody else, retention.
package actortest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/verify"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// World is one log with workers and a client. Its methods are for the test's goroutine.
type World struct {
	// Client calls actors. It is safe for concurrent use.
	Client *remote.Client
	// Cluster is the log, with its faults.
	Cluster *memlog.Cluster
	// Config of workers started from now on.
	Config host.Config

	t        testing.TB
	registry *actor.Registry
	workers  []*Worker
	// connections that were opened.
	connections int
	// mixed: workers with other rules than those of the World were started.
	mixed bool
}

// Worker is one running worker.
type Worker struct {
	log    *memlog.Log
	worker *host.Worker
	cancel context.CancelFunc
	done   sync.WaitGroup
	failed chan error
	over   bool
	// crashed: its membership ends with an error.
	crashed bool
}

// Workers that run, oldest first.
func (w *World) Workers() []*Worker {
	var running []*Worker
	for _, worker := range w.workers {
		if !worker.over {
			running = append(running, worker)
		}
	}
	return running
}

// Log is the worker's client of the log. Disconnect makes the worker a zombie: it knows no better than that it owns its shards.
func (w *Worker) Log() *memlog.Log { return w.log }

// Shards is the number of partitions of a World.
const Shards = 4

// New starts a log, one worker with the kinds that register defines, and a client; all end with the test.
func New(t testing.TB, register ...func(*actor.Registry)) *World {
	t.Helper()
	return NewWith(t, host.Config{}, register...)
}

// NewWith is New with settings for the workers.
func NewWith(t testing.TB, cfg host.Config, register ...func(*actor.Registry)) *World {
	t.Helper()
	return open(t, memlog.NewCluster(Shards), cfg, register...)
}

// NewOn is New on a log that is there already.
func NewOn(t testing.TB, cluster *memlog.Cluster, register ...func(*actor.Registry)) *World {
	t.Helper()
	return open(t, cluster, host.Config{}, register...)
}

func open(t testing.TB, cluster *memlog.Cluster, cfg host.Config, register ...func(*actor.Registry)) *World {
	t.Helper()
	w := &World{t: t, Cluster: cluster, Config: cfg, registry: actor.NewRegistry()}
	for _, r := range register {
		r(w.registry)
	}
	log := w.Cluster.Client()
	client, err := remote.Open(log, remote.Config{})
	if err != nil {
		t.Fatalf("opening a client: %v", err)
	}
	w.Client = client
	t.Cleanup(func() {
		client.Close()
		for _, worker := range w.workers {
			w.end(worker)
		}
		if os.Getenv("ACTORLOG_TEST_VERIFY") != "" && !w.mixed {
			w.Verify(verify.Config{Vars: true})
		}
		log.Close()
	})
	w.StartWorker()
	return w
}

// Run is New for a Go example, which has no testing.T: it calls fn with a World that ends when fn
// returns. What would fail a test panics.
func Run(fn func(w *World), register ...func(*actor.Registry)) {
	t := new(example)
	defer t.end()
	fn(New(t, register...))
}

// example is as much of a testing.TB as a World needs. Its other methods are nil.
type example struct {
	testing.TB
	cleanup []func()
}

func (*example) Helper()                           {}
func (*example) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (e *example) Cleanup(fn func())               { e.cleanup = append(e.cleanup, fn) }

func (e *example) end() {
	for _, fn := range e.cleanup {
		fn()
	}
}

// StartWorker starts another worker on the same log. The workers share the actors among themselves.
func (w *World) StartWorker() *Worker {
	w.t.Helper()
	return w.start(w.Config, w.registry)
}

// StartWorkerWith starts a worker that has other settings and rules than those of the World: another version of the code.
func (w *World) StartWorkerWith(cfg host.Config, register ...func(*actor.Registry)) *Worker {
	w.t.Helper()
	registry := actor.NewRegistry()
	for _, r := range register {
		r(registry)
	}
	w.mixed = true
	return w.start(cfg, registry)
}

// Verify runs all that was recorded again, on the rules of the World, and fails the test if something comes out otherwise: an action that looks at a clock or dice of its
// own, or at what others may change, cannot be replayed. The registry of cfg is that of the World if it is nil.
//
// With ACTORLOG_TEST_VERIFY=1 in the environment every World does it at its end, unless [World.StartWorkerWith] was used.
func (w *World) Verify(cfg verify.Config) verify.Summary {
	w.t.Helper()
	if cfg.Registry == nil {
		cfg.Registry = w.registry
	}
	differs := cfg.Differs
	cfg.Differs = func(d *verify.Difference) {
		if differs != nil {
			differs(d)
			return
		}
		w.t.Errorf("%s", d)
	}
	log := w.Cluster.Client()
	defer log.Close()
	s, err := verify.All(context.Background(), replay.NewReader(log, replay.Options{}), 0, 0, cfg)
	if err != nil {
		w.t.Fatalf("verifying: %v", err)
	}
	return s
}

func (w *World) start(cfg host.Config, registry *actor.Registry) *Worker {
	w.t.Helper()
	log := w.Cluster.Client()
	hosted, err := host.Open(log, registry, cfg)
	if err != nil {
		w.t.Fatalf("opening a worker: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	worker := &Worker{log: log, worker: hosted, cancel: cancel, failed: make(chan error, 1)}
	worker.done.Go(func() {
		if err := hosted.Run(ctx); err != nil {
			worker.failed <- err
		}
	})
	w.workers = append(w.workers, worker)
	return worker
}

// Failed waits until the worker has ended by itself, which it does when it cannot serve what is recorded, and returns why. It fails the test
// after a minute. A worker that fails unasked fails the test.
func (w *World) Failed(worker *Worker) error {
	w.t.Helper()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case err := <-worker.failed:
		return err
	case <-timeout.C:
		w.t.Fatalf("the worker still runs")
		return nil
	}
}

// Stop ends a worker in peace: it finishes what runs, writes its checkpoints and hands its shards
// over.
func (w *World) Stop(worker *Worker) {
	w.t.Helper()
	w.end(worker)
}

// Crash kills all workers as SIGKILL would: nothing but the log survives. Then it starts a new
// one, which gets the shards when the log notices that the old ones are dead (6 s later). Calls
// under way wait, and are answered then.
func (w *World) Crash() *Worker {
	w.t.Helper()
	w.Kill()
	return w.StartWorker()
}

// Kill is Crash without a new worker.
func (w *World) Kill() {
	w.t.Helper()
	for _, worker := range w.Workers() {
		w.KillOne(worker)
	}
}

// KillOne is Kill for one worker, whose shards others get when the log notices (6 s later).
func (w *World) KillOne(worker *Worker) {
	w.t.Helper()
	worker.crashed = true
	worker.log.Crash()
	w.end(worker)
}

func (w *World) end(worker *Worker) {
	if worker.over {
		return
	}
	worker.over = true
	worker.cancel()
	worker.done.Wait()
	select {
	case err := <-worker.failed:
		if !worker.crashed {
			w.t.Errorf("running a worker: %v", err)
		}
	default:
	}
	if err := worker.worker.Close(); err != nil {
		w.t.Errorf("closing a worker: %v", err)
	}
	worker.log.Close()
}

// Events records the broadcasts of one actor.
type Events struct {
	watch *remote.Watch
	more  chan struct{} // capacity 1: there may be more

	mu     sync.Mutex
	events []Event
}

// Event is one broadcast.
type Event struct {
	Name string
	// Args is a JSON array, as it stands in the log.
	Args string
}

// Watch records the broadcasts of an actor from now on. The actor need not exist.
func (w *World) Watch(kind string, key ...string) *Events {
	e := &Events{more: make(chan struct{}, 1)}
	e.watch = &remote.Watch{Outcome: e.take}
	w.Client.Watch(schemas.HashOf(actor.DefaultNamespace, kind, key), e.watch)
	return e
}

func (e *Events) take(d *remote.Delivery) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range d.Outcome.Broadcasts {
		if b.To == "" {
			e.add(b)
		}
	}
}

func (e *Events) record(b *actorlogv1.Broadcast) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.add(b)
}

// add notes a broadcast. e.mu is held.
func (e *Events) add(b *actorlogv1.Broadcast) {
	e.events = append(e.events, Event{Name: b.Name, Args: string(b.ArgsJson)})
	select {
	case e.more <- struct{}{}:
	default:
	}
}

func (e *Events) pop() (Event, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.events) == 0 {
		return Event{}, false
	}
	first := e.events[0]
	e.events = e.events[1:]
	return first, true
}

// Next waits for the next broadcast that was not taken yet. It fails the test after 10 s.
func (e *Events) Next(t testing.TB) Event {
	t.Helper()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for {
		if event, ok := e.pop(); ok {
			return event
		}
		select {
		case <-e.more:
		case <-timeout.C:
			t.Fatal("no broadcast within 10 s")
		}
	}
}

// Worker is the one that was started last.
func (w *World) Worker() *Worker { return w.workers[len(w.workers)-1] }
