package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// How long things take in a run, in virtual time.
const (
	// trouble is how long there are faults.
	trouble = 40 * time.Second
	// patience is how long a caller waits for an answer: longer than any outage.
	patience = 5 * time.Minute
)

// run is one simulation.
type run struct {
	dice    *rand.Rand
	cluster *memlog.Cluster
	cfg     host.Config
	world   *outside
	started time.Time
	rates   rates

	mu       sync.Mutex // guards dice among callers and faults, and what follows
	workers  []*worker
	callers  []*caller
	requests []*request
	conns    []*conn
	problems []string
	faults   Tally
}

// rates is how likely faults are, of each write.
type rates struct{ slow, fail, lie float64 }

type worker struct {
	log    *memlog.Log
	worker *host.Worker
	stop   context.CancelFunc
	done   chan struct{}
	// killed: what it says does not count any more.
	killed atomic.Bool
}

// caller is one gateway, with the subscriber that follows through it.
type caller struct {
	log    *memlog.Log
	client *remote.Client
}

// request is one thing that was asked.
type request struct {
	token, kind, key string
	order            order
	idempotent       bool
	// open: an attempt ended without an answer.
	open   bool
	err    error
	done   bool
	result int
}

type conn struct {
	id, key string
	opened  bool
	err     error
	// gone: its client left, or its gateway died.
	gone bool
}

// Tally counts by name.
type Tally map[string]int

// Run runs the simulation of one seed, in a synctest bubble, and returns what went wrong, and by how many faults.
func Run(seed uint64) (problems []string, faults Tally) {
	r := &run{dice: rand.New(rand.NewPCG(seed, 0)), world: &outside{runs: make(map[string]int)}, started: time.Now(), faults: make(Tally)}
	r.setUp()
	stop := r.subscribe()
	r.live()
	r.settle()
	stop()
	r.check()
	r.tearDown()
	return r.problems, r.faults
}

// hit counts a fault.
func (r *run) hit(fault string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[fault]++
}

func (r *run) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// draw is a number in [0, n).
func (r *run) draw(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dice.IntN(n)
}

func (r *run) chance(p float64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dice.Float64() < p
}

func pick[T any](r *run, of ...T) T { return of[r.draw(len(of))] }

func (r *run) setUp() {
	r.cluster = memlog.NewCluster(int32(pick(r, 1, 2, 5)))
	r.cluster.SetAppendTimeout(pick(r, 3*time.Second, 30*time.Second))
	r.cfg = host.Config{
		SleepAfter:      pick(r, time.Millisecond, time.Second, 30*time.Second),
		CheckpointEvery: pick(r, 100*time.Millisecond, 5*time.Second, time.Hour),
		CheckpointBytes: int64(pick(r, 1000, 64<<20)),
		MailboxSize:     pick(r, 3, 1000),
		MaxQueued:       pick(r, 5, 100_000),
		ReclaimAfter:    2 * time.Second,
		Standby:         r.draw(2) == 0,
		// Workers die here of other things than what they do, again and again within seconds.
		ParkAfter: 1_000_000,
	}
	if r.chance(0.7) {
		r.rates = rates{slow: 0.05, fail: 0.01, lie: 0.01}
	}
	r.cluster.SetFaults(r.fault)
	for range 1 + r.draw(2) {
		r.startWorker()
	}
	for range 1 + r.draw(2) {
		r.openCaller()
	}
}

// fault decides about one write. It is called under the cluster's lock.
func (r *run) fault(w memlog.Write) (f memlog.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.started) > trouble {
		return f
	}
	ms := func(n int) time.Duration { return time.Duration(r.dice.IntN(n)) * time.Millisecond }
	if r.dice.Float64() < r.rates.slow {
		f.Delay = ms(3000)
		r.faults["slow append"]++
	}
	if r.dice.Float64() < r.rates.slow {
		f.AckDelay = ms(3000)
		r.faults["slow acknowledgement"]++
	}
	switch p := r.dice.Float64(); {
	case w.Topic == eventlog.Gateways:
	case p < r.rates.fail:
		f.Err = errors.New("the brokers refuse")
		r.faults["refused append"]++
	case p < r.rates.fail+r.rates.lie:
		f.Err, f.Written = errors.New("the acknowledgement was lost"), true
		r.faults["lost acknowledgement"]++
	}
	return f
}

func (r *run) startWorker() {
	log := r.cluster.Client()
	registry := actor.NewRegistry()
	register(r.world)(registry)
	hosted, err := host.Open(log, registry, r.cfg)
	if err != nil {
		panic(err) // the simulation is wrong
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &worker{log: log, worker: hosted, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		if err := hosted.Run(ctx); err != nil && !w.killed.Load() {
			r.problem("a worker ended: %v", err)
		}
		if err := hosted.Close(); err != nil && !w.killed.Load() {
			r.problem("closing a worker: %v", err)
		}
		log.Close()
	}()
	r.mu.Lock()
	r.workers = append(r.workers, w)
	r.mu.Unlock()
}

func (r *run) openCaller() {
	log := r.cluster.Client()
	client, err := remote.Open(log, remote.Config{RequestTimeout: patience})
	if err != nil {
		panic(err) // the simulation is wrong
	}
	r.mu.Lock()
	r.callers = append(r.callers, &caller{log: log, client: client})
	r.mu.Unlock()
}

// someWorker takes a worker out of the list.
func (r *run) someWorker() *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.workers) == 0 {
		return nil
	}
	i := r.dice.IntN(len(r.workers))
	w := r.workers[i]
	r.workers = slices.Delete(r.workers, i, i+1)
	return w
}

// keys of the actors. Few, so that they get in each other's way.
var keys = []string{"a", "b", "c", "d", "other"}

// live lets callers call and faults happen.
func (r *run) live() {
	var busy sync.WaitGroup
	for i := range 1 + r.draw(6) {
		busy.Go(func() { r.call(i) })
	}
	busy.Go(r.hurt)
	busy.Wait()
}

// hurt does to workers and callers what the seed says.
func (r *run) hurt() {
	var later sync.WaitGroup
	for time.Since(r.started) < trouble {
		time.Sleep(time.Duration(r.draw(8000)) * time.Millisecond)
		switch r.draw(8) {
		case 0: // SIGKILL
			if w := r.someWorker(); w != nil {
				r.hit("worker crash")
				w.killed.Store(true)
				w.log.Crash()
				w.stop()
				<-w.done
			}
		case 1: // a peaceful stop
			if w := r.someWorker(); w != nil {
				r.hit("worker stop")
				w.stop()
				<-w.done
			}
		case 2:
			r.hit("worker start")
			r.startWorker()
		case 3: // cut off, and back: perhaps as a zombie
			if w := r.someWorker(); w != nil {
				r.hit("worker cut off")
				w.log.Disconnect()
				if r.chance(0.5) {
					r.hit("zombie")
					w.log.Expire(time.Duration(r.draw(4000)) * time.Millisecond)
				}
				outage := time.Duration(r.draw(15_000)) * time.Millisecond
				later.Go(func() {
					time.Sleep(outage)
					w.log.Connect()
					r.mu.Lock()
					r.workers = append(r.workers, w)
					r.mu.Unlock()
				})
			}
		case 4: // a caller is cut off, and back
			r.mu.Lock()
			c := r.callers[r.dice.IntN(len(r.callers))]
			outage := time.Duration(r.dice.IntN(6000)) * time.Millisecond
			r.mu.Unlock()
			r.hit("caller cut off")
			c.log.Disconnect()
			later.Go(func() {
				time.Sleep(outage)
				c.log.Connect()
			})
		case 5: // a copy of an action that the transport makes
			r.copyAction()
		case 6: // somebody writes into events who may not
			r.forge()
		case 7: // a gateway dies with its connections
			r.killCaller()
		}
	}
	later.Wait()
	r.mu.Lock()
	none := len(r.workers) == 0
	r.mu.Unlock()
	if none {
		r.startWorker()
	}
}

func (r *run) copyAction() {
	p := int32(r.draw(int(r.cluster.Client().Partitions())))
	records := r.cluster.Records(eventlog.Actions, p)
	if len(records) > 0 {
		r.hit("copied action")
		r.cluster.Inject(eventlog.Actions, p, records[r.draw(len(records))])
	}
}

// forge repeats an old outcome, as a zombie would whose request was long under way.
func (r *run) forge() {
	p := int32(r.draw(int(r.cluster.Client().Partitions())))
	records := r.cluster.Records(eventlog.Events, p)
	if len(records) == 0 {
		return
	}
	old := records[r.draw(len(records))]
	if schemas.Type(old.Header(schemas.HeaderType)) == schemas.TypeOutcome {
		r.hit("forged outcome")
		r.cluster.Inject(eventlog.Events, p, old)
	}
}

// killCaller ends one gateway as SIGKILL does. Another one takes its place; requests through it stay open.
func (r *run) killCaller() {
	r.openCaller()
	r.mu.Lock()
	if len(r.callers) < 3 {
		r.mu.Unlock()
		return
	}
	r.faults["caller crash"]++
	i := 1 + r.dice.IntN(len(r.callers)-1) // the first one follows events
	c := r.callers[i]
	r.callers = slices.Delete(r.callers, i, i+1)
	for _, n := range r.conns {
		if n.gone || len(n.id) < len(c.client.ID()) || n.id[:len(c.client.ID())] != c.client.ID() {
			continue
		}
		n.gone = true
	}
	r.mu.Unlock()
	c.log.Crash()
	c.client.Close()
}

// call makes requests, one after the other, until the trouble is over.
func (r *run) call(number int) {
	for i := 0; time.Since(r.started) < trouble; i++ {
		time.Sleep(time.Duration(r.draw(2000)) * time.Millisecond)
		r.mu.Lock()
		q := &request{
			token: fmt.Sprintf("%d-%d", number, i), key: keys[r.dice.IntN(len(keys))], idempotent: r.dice.IntN(3) == 0,
			kind: []string{"note", "note", "refuse", "fan", "spread", "chain", "later", "often", "pay", "queue", "connect"}[r.dice.IntN(11)],
		}
		q.order = order{Token: q.token, Ms: int64(200 + r.dice.IntN(8000)), Times: 1 + r.dice.IntN(4)}
		for range 1 + r.dice.IntN(4) {
			if to := keys[r.dice.IntN(len(keys))]; to != q.key {
				q.order.To = append(q.order.To, to)
			}
		}
		c := r.callers[r.dice.IntN(len(r.callers))]
		r.requests = append(r.requests, q)
		r.mu.Unlock()
		r.ask(c, q)
	}
}

func (r *run) ask(c *caller, q *request) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > patience-time.Second {
			r.problem("%s %q of %s was not answered for %v: %v", q.kind, q.token, q.key, took, q.err)
		}
	}()
	if q.kind == "connect" {
		r.connect(ctx, c, q)
		return
	}
	h := nodeKind.GetOrCreate(c.client, q.key)
	if q.idempotent {
		h = h.Idempotent(q.token)
	}
	for attempt := 0; ; attempt++ {
		result, err := invoke(ctx, h, q)
		if err != nil && q.idempotent && errors.Is(err, remote.ErrUnknownOutcome) && attempt < 20 {
			time.Sleep(time.Second)
			r.mu.Lock()
			q.open = true
			h = nodeKind.GetOrCreate(r.callers[r.dice.IntN(len(r.callers))].client, q.key).Idempotent(q.token)
			r.mu.Unlock()
			continue
		}
		r.mu.Lock()
		q.result, q.err, q.done = result, err, true
		r.mu.Unlock()
		return
	}
}

func invoke(ctx context.Context, h actor.Handle[node], q *request) (int, error) {
	switch q.kind {
	case "note":
		return note.Call(ctx, h, q.order)
	case "refuse":
		return refuse.Call(ctx, h, q.order)
	case "fan":
		return fan.Call(ctx, h, q.order)
	case "spread":
		return spread.Call(ctx, h, q.order)
	case "chain":
		return chain.Call(ctx, h, q.order)
	case "later":
		return later.Call(ctx, h, q.order)
	case "often":
		return often.Call(ctx, h, q.order)
	case "pay":
		return pay.Call(ctx, h, q.order)
	case "queue":
		return 0, inbox.Send(ctx, h, q.order)
	}
	panic("sim: unknown kind of request " + q.kind)
}

// connect opens a connection, and closes it after a while, unless its gateway dies before.
func (r *run) connect(ctx context.Context, c *caller, q *request) {
	n := &conn{id: c.client.ID() + "." + q.token, key: q.key}
	r.mu.Lock()
	r.conns = append(r.conns, n)
	r.mu.Unlock()
	a := &actorlogv1.Action{Body: &actorlogv1.Action_Connect{Connect: new(actorlogv1.Connect)}}
	hash, err := actor.Address(a, actor.Target{Namespace: actor.DefaultNamespace, Kind: "node", Key: []string{q.key}, Presence: actor.CreateIfAbsent})
	if err != nil {
		panic(err)
	}
	a.Handshake = &actorlogv1.Handshake{ConnectionId: n.id}
	d, _, err := c.client.Do(ctx, remote.Request{Hash: hash, Action: a})
	if err == nil {
		err = actor.OutcomeError(d.Outcome)
	}
	r.mu.Lock()
	n.opened, n.err = err == nil, err
	q.err, q.done = err, true
	r.mu.Unlock()
	if err != nil || r.chance(0.3) {
		return // it stays, or nobody knows: then its gateway has to end it
	}
	time.Sleep(time.Duration(r.draw(5000)) * time.Millisecond)
	r.disconnect(ctx, c, n, hash)
}

func (r *run) disconnect(ctx context.Context, c *caller, n *conn, hash schemas.Hash) {
	for ctx.Err() == nil {
		_, _, err := c.client.Do(ctx, remote.Request{Hash: hash, Action: &actorlogv1.Action{
			Actor: &actorlogv1.Actor{Namespace: actor.DefaultNamespace, Kind: "node", Key: []string{n.key}},
			Body:  &actorlogv1.Action_Disconnect{Disconnect: &actorlogv1.Disconnect{ConnectionId: n.id}},
		}})
		r.mu.Lock()
		over := n.gone || err == nil
		n.gone = over
		r.mu.Unlock()
		if over || errors.Is(err, eventlog.ErrClosed) {
			return
		}
		time.Sleep(time.Second)
	}
}

// settle ends the faults and waits until all is quiet.
func (r *run) settle() {
	// Zombies find out, leases run out, schedules fire, messages arrive.
	time.Sleep(2 * time.Minute)
	synctest.Wait()
}

func (r *run) tearDown() {
	r.mu.Lock()
	workers, callers := r.workers, r.callers
	r.mu.Unlock()
	for _, c := range callers {
		c.client.Close()
		c.log.Close()
	}
	for _, w := range workers {
		w.stop()
		<-w.done
	}
}
