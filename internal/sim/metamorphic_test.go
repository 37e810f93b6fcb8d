package sim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var scripts = flag.Int("scripts", 2, "how many scripts TestMetamorphic plays")

// TestMetamorphic plays the same operations with other settings and other accidents, and compares what anybody could observe: what callers were
// told, what subscribers heard, what the log says of every actor, how often steps reached the outside.
//
// The comparison is fair because one driver asks for one thing at a time, and gives it the time that it needs, accidents
// included: operations begin a slot apart; what they schedule fires in the second half of a slot, and what fires again and again near its end, in an
// order of its own; and what an operation causes at one actor has a single order, that of whoever asked. Left out is what may honestly differ: offsets, times, ids, the order between
// actors, and what repeats, wakes or sends to sleep and has no effect.
func TestMetamorphic(t *testing.T) {
	t.Parallel()
	for i := range *scripts {
		seed := *start + uint64(i)
		if *first != 0 {
			seed = *first
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := write(seed)
			plain := s.play(t, variation{shards: 4, checkpoint: never})
			require.Greater(t, len(plain.Answers), len(s)/2)
			for name, v := range variations(seed) {
				t.Run(name, func(t *testing.T) {
					require.Equal(t, plain, s.play(t, v), "to run it again: go test ./internal/sim -run TestMetamorphic/%d/%s -args -seed=%d\n%s differs", seed, name, seed, name)
				})
			}
		})
	}
}

// slot is the time from one operation to the next.
const slot = 10 * time.Second

// variation is the settings of a performance, and its accidents.
type variation struct {
	shards int32
	// checkpoint is how many bytes of events bring one.
	checkpoint int64
	// hibernate puts actors to sleep between operations.
	hibernate bool
	// standby has a second worker, and both follow what the other one owns.
	standby bool
	// keep the local store when a worker is followed by another.
	keep bool
	// between operations, or after appends, this happens to the worker.
	between accident
	after   accident
}

type accident string

const (
	restart  accident = "restart"
	handOver accident = "hand-over"
	// A worker dies when it has written something: before it learns of it, or with enough time for a checkpoint.
	unacknowledged accident = "unacknowledged"
	acknowledged   accident = "acknowledged"
)

// Bytes of events between two checkpoints.
const (
	never   = 1 << 40
	ten     = 3000 // some ten outcomes
	eachOne = 1
)

func variations(seed uint64) map[string]variation {
	all := map[string]variation{
		"snapshot-every-1":       {shards: 4, checkpoint: eachOne, between: restart},
		"snapshot-every-10":      {shards: 4, checkpoint: ten, between: restart},
		"snapshot-never":         {shards: 4, checkpoint: never, after: acknowledged},
		"shards-1":               {shards: 1, checkpoint: never},
		"shards-16":              {shards: 16, checkpoint: never},
		"store-kept":             {shards: 4, checkpoint: ten, keep: true, between: restart},
		"hibernate":              {shards: 4, checkpoint: never, hibernate: true},
		"hibernate-store-kept":   {shards: 4, checkpoint: ten, hibernate: true, keep: true, between: restart},
		"hand-over":              {shards: 4, checkpoint: never, between: handOver},
		"crash-unacknowledged":   {shards: 4, checkpoint: never, after: unacknowledged},
		"crash-snapshot-every-1": {shards: 4, checkpoint: eachOne, after: acknowledged},
		"standby":                {shards: 4, checkpoint: never, standby: true, between: handOver},
		"standby-hibernate":      {shards: 4, checkpoint: ten, standby: true, hibernate: true, between: handOver},
		"standby-crash":          {shards: 4, checkpoint: ten, standby: true, after: acknowledged},
		"standby-unacknowledged": {shards: 1, checkpoint: never, standby: true, hibernate: true, after: unacknowledged},
	}
	dice := rand.New(rand.NewPCG(seed, 1))
	for i := range 4 {
		v := variation{
			shards: []int32{1, 2, 16}[dice.IntN(3)], checkpoint: []int64{never, ten, eachOne}[dice.IntN(3)],
			hibernate: dice.IntN(2) == 0, keep: dice.IntN(2) == 0,
		}
		switch accident := []accident{"", restart, handOver, unacknowledged, acknowledged}[dice.IntN(5)]; accident {
		case restart, handOver:
			v.between = accident
		default:
			v.after = accident
		}
		all[fmt.Sprintf("random-%d", i)] = v
	}
	for name, v := range all {
		v.keep = v.keep && v.between != handOver && !v.standby // two workers never share a store
		all[name] = v
	}
	return all
}

// part is one operation, and what an actor is asked.
type part struct {
	Do    string   `json:"do"`
	Token string   `json:"token"`
	To    []string `json:"to,omitempty"`
	Times int      `json:"times,omitempty"`

	key, conn string
	// at is when it is asked, from the beginning of its slot.
	at time.Duration
}

type script []part

// write draws a script.
func write(seed uint64) script {
	dice := rand.New(rand.NewPCG(seed, 2))
	var s script
	var conns []part
	for i := range 40 {
		p := part{
			Do: []string{
				"note", "refuse", "panic", "call", "send", "chain", "after", "every", "stumble", "steps", "leave", "destroy",
				"read", "queue", "wait", "connect", "connect", "whisper", "whisper", "close", "again",
			}[dice.IntN(21)],
			Token: fmt.Sprint(i), Times: 1 + dice.IntN(3), key: keys[dice.IntN(len(keys))],
		}
		for range 1 + dice.IntN(3) {
			p.To = append(p.To, keys[dice.IntN(len(keys))])
		}
		switch p.Do {
		case "every":
			p.at = slot*8/10 + time.Duration(i)*20*time.Millisecond
		case "connect":
			p.conn = "conn-" + p.Token
			conns = append(conns, p)
		case "whisper", "close":
			if len(conns) == 0 {
				continue
			}
			n := conns[dice.IntN(len(conns))]
			p.key, p.conn = n.key, n.conn
		case "again": // a repeat of what was asked before
			if len(s) == 0 {
				continue
			}
			before := s[dice.IntN(len(s))]
			p.Token, p.key = before.Token, before.key
		}
		s = append(s, p)
	}
	return s
}

// player is the actor of these plays.
type player struct {
	Lines []string `json:"lines"`
}

var (
	players = actor.New[player]("player")
	perform = actor.Action[part, string](players, "perform")
	catch   = actor.Action[taken, string](players, "catch")
	said    = actor.Event[string](players, "said")
	letters = actor.Queue[string, string](players, "letters")
)

// halfTime is how long actions and loops wait in the middle: long enough to die after what went before was written.
const halfTime = 20 * time.Millisecond

// stage is where a script is played.
type stage struct {
	variation
	cluster *memlog.Cluster
	dir     string
	client  *remote.Client

	mu      sync.Mutex
	workers []*worker
	outside map[string]int
}

// register is the rules of one worker. dead says that it was killed: what it still does, a process that was killed would not.
func (g *stage) register(r *actor.Registry, dead func() bool) {
	actor.On(r, perform, func(s *player, c *actor.Ctx, p part) (string, error) { return g.perform(s, c, p, dead) })
	actor.OnConnect(r, players, func(s *player, c *actor.Ctx, n *actor.Conn) error {
		s.Lines = append(s.Lines, "met "+n.ID())
		n.Send(said.With("welcome"))
		return nil
	})
	actor.OnDisconnect(r, players, func(s *player, c *actor.Ctx, n *actor.Conn) error {
		s.Lines = append(s.Lines, "lost "+n.ID())
		c.Broadcast(said.With("lost " + n.ID()))
		return nil
	})
	actor.Accept(r, letters)
	actor.On(r, catch, func(s *player, c *actor.Ctx, m taken) (string, error) {
		letters.Complete(c, m.ID, "thanks for "+m.Token)
		s.Lines = append(s.Lines, "caught "+m.Token)
		return m.Token, nil
	})
	actor.OnRun(r, players, func(l *actor.Loop) error {
		for {
			m, err := letters.Next(l)
			if err != nil {
				return nil //nolint:nilerr // the activation is over
			}
			time.Sleep(halfTime)
			if _, err := catch.Call(l, players.Self(l), taken{ID: m.ID, Token: m.Body}); err != nil && !errors.Is(err, actor.ErrCompleted) {
				return nil // the next activation takes it again
			}
		}
	})
}

func (g *stage) perform(s *player, c *actor.Ctx, p part, dead func() bool) (string, error) {
	s.Lines = append(s.Lines, p.Do+" "+p.Token)
	c.Broadcast(said.With(p.Token))
	other := func(i int) (actor.Handle[player], part) {
		return players.GetOrCreate(c.Client(), p.To[i]), part{Do: "note", Token: fmt.Sprintf("%s/%s%d", p.Token, p.Do, i)}
	}
	switch p.Do {
	case "refuse":
		to, what := other(0)
		perform.Send(c, to, what)
		c.After(time.Second, perform.With(what))
		return "", actor.UserError("refused", "as asked")
	case "panic":
		panic("as asked")
	case "call":
		for i := range p.To {
			to, what := other(i)
			answer, err := perform.Call(c, to, what)
			if err != nil {
				return "", err
			}
			s.Lines = append(s.Lines, answer)
		}
	case "send":
		for i := range p.To {
			perform.Send(c, players.GetOrCreate(c.Client(), p.To[i]), part{Do: "note", Token: fmt.Sprintf("%s/send%d", p.Token, i)})
		}
	case "chain":
		if len(p.To) > 0 {
			perform.Send(c, players.GetOrCreate(c.Client(), p.To[0]), part{Do: "chain", Token: p.Token + "/next", To: p.To[1:]})
		}
	case "after":
		c.After(slot/2, perform.With(part{Do: "note", Token: p.Token + "/later"}))
	case "every":
		c.Every(slot, perform.With(part{Do: "tick", Token: p.Token, Times: p.Times}), actor.ScheduleID(p.Token))
	case "tick":
		if n := countOf(s.Lines, "tick "+p.Token); n >= p.Times {
			c.Cancel(p.Token)
		}
	case "stumble":
		c.After(slot/2, perform.With(part{Do: "fall", Token: p.Token}), actor.OnFailure(actor.Retry{Attempts: 3, Backoff: 100 * time.Millisecond}))
	case "fall":
		return "", errors.New("as asked")
	case "steps":
		for _, step := range []string{"first", "second"} {
			receipt, err := actor.Run(c, step, func(context.Context) (string, error) {
				g.mu.Lock()
				defer g.mu.Unlock()
				if !dead() {
					g.outside[p.Token+" "+step]++
				}
				return fmt.Sprint(step, g.outside[p.Token+" "+step]), nil
			})
			if err != nil {
				return "", err
			}
			s.Lines = append(s.Lines, receipt)
			time.Sleep(halfTime)
		}
	case "leave":
		c.Destroy()
	case "whisper":
		if n := c.Conn(); n != nil {
			n.Send(said.With("psst " + p.Token))
		}
	}
	return fmt.Sprintf("%s: %d", p.Token, len(s.Lines)), nil
}

func countOf(lines []string, line string) (n int) {
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}

// history is what anybody could observe.
type history struct {
	// Answers of callers, in order.
	Answers []string
	// Heard is what the subscribers of each actor heard, Logged what the log says of it.
	Heard, Logged map[string][]string
	// Outside is how often each step was run.
	Outside map[string]int
}

// play performs a script.
func (s script) play(t *testing.T, v variation) (h history) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := &stage{variation: v, cluster: memlog.NewCluster(v.shards), dir: dir, outside: make(map[string]int)}
		g.cluster.SetSessionTimeout(100 * time.Millisecond)
		log := g.cluster.Client()
		defer log.Close()
		client, err := remote.Open(log, remote.Config{ID: "driver"})
		require.NoError(t, err)
		defer client.Close()
		g.client = client
		heard := make(map[string]*follower)
		for _, key := range keys {
			f := new(follower)
			heard[key] = f
			client.Watch(playerHash(key), &remote.Watch{Outcome: f.take})
		}
		g.start(t)
		if g.standby {
			g.start(t)
		}
		defer g.end()
		var crashes sync.WaitGroup
		defer crashes.Wait()
		over := make(chan struct{})
		defer close(over)
		hits := make(chan *memlog.Log, 10_000)
		if v.after != "" {
			g.cluster.SetFaults(g.hurt(hits))
			crashes.Go(func() { g.crash(t, hits, over) })
		}
		for _, p := range s {
			began := time.Now()
			time.Sleep(p.at)
			h.Answers = append(h.Answers, p.Do+" "+p.Token+": "+g.ask(t.Context(), p))
			require.Less(t, time.Since(began), max(slot*4/10, p.at+slot/10), "%+v reaches into the firings: %s", p, h.Answers[len(h.Answers)-1])
			time.Sleep(slot*2/5 - time.Since(began))
			g.meanwhile(t)
			time.Sleep(slot - time.Since(began))
		}
		time.Sleep(4 * slot) // for what is scheduled
		g.mu.Lock()
		h.Outside = maps.Clone(g.outside)
		g.mu.Unlock()
		h.Heard, h.Logged = make(map[string][]string), g.logged(t)
		for key, f := range heard {
			f.mu.Lock()
			h.Heard[key] = slices.Clone(f.tokens)
			f.mu.Unlock()
		}
	})
	return h
}

func playerHash(key string) schemas.Hash {
	return schemas.HashOf(actor.DefaultNamespace, players.Name(), []string{key})
}

func (g *stage) start(t *testing.T) {
	w := &worker{log: g.cluster.Client(), done: make(chan struct{})}
	registry := actor.NewRegistry()
	g.register(registry, w.killed.Load)
	cfg := host.Config{CheckpointBytes: g.checkpoint, CheckpointEvery: 1000 * time.Hour, SleepAfter: time.Hour, Standby: g.standby}
	if g.hibernate {
		cfg.SleepAfter = 400 * time.Millisecond
	}
	if g.after != "" {
		cfg.DrainTimeout = time.Millisecond // a process that was killed finishes nothing
	}
	if g.keep {
		cfg.DataDir = g.dir
	}
	hosted, err := host.Open(w.log, registry, cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() {
		defer close(w.done)
		if err := hosted.Run(ctx); err != nil && !w.killed.Load() {
			t.Errorf("running a worker: %v", err)
		}
		if err := hosted.Close(); err != nil && !w.killed.Load() {
			t.Errorf("closing a worker: %v", err)
		}
		w.log.Close()
	}()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.workers = append(g.workers, w)
}

// end stops the workers in peace.
func (g *stage) end() {
	for w := g.take(nil); w != nil; w = g.take(nil) {
		w.stop()
		<-w.done
	}
}

// take takes a worker out of the list, the oldest one if log is nil; nil if there is none.
func (g *stage) take(log *memlog.Log) *worker {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.workers, func(w *worker) bool { return log == nil || w.log == log })
	if i < 0 {
		return nil
	}
	w := g.workers[i]
	g.workers = slices.Delete(g.workers, i, i+1)
	return w
}

// meanwhile is what happens between operations.
func (g *stage) meanwhile(t *testing.T) {
	switch g.between {
	case restart:
		old := g.take(nil)
		old.stop()
		<-old.done
		g.start(t)
	case handOver:
		old := g.take(nil)
		g.start(t)
		time.Sleep(200 * time.Millisecond)
		old.stop()
		<-old.done
	}
}

// hurt says which appends are the last of their worker. It is called under the cluster's lock.
func (g *stage) hurt(hits chan<- *memlog.Log) func(memlog.Write) memlog.Fault {
	return func(w memlog.Write) (f memlog.Fault) {
		if w.Topic != eventlog.Events {
			return f
		}
		// Only what is new: a worker that died of a repeat as well would never get beyond it.
		switch m, _ := schemas.Decode(schemas.Type(w.Records[0].Header(schemas.HeaderType)), w.Records[0].Value); m := m.(type) {
		case *actorlogv1.Outcome:
			if !observable(m) {
				return f
			}
		case *actorlogv1.Claim:
			return f
		}
		hits <- w.Client
		if g.after == unacknowledged {
			f.AckDelay = time.Hour
		}
		return f
	}
}

// crash kills the worker a moment after each of the hits, and starts another one.
func (g *stage) crash(t *testing.T, hits <-chan *memlog.Log, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case log := <-hits:
			w := g.take(log)
			if w == nil {
				continue // it is dead
			}
			time.Sleep(halfTime / 2)
			w.killed.Store(true)
			w.log.Crash()
			w.stop()
			<-w.done
			g.start(t)
		}
	}
}

// ask does one operation, and returns what its caller is told.
func (g *stage) ask(ctx context.Context, p part) string {
	h := players.GetOrCreate(g.client, p.key)
	var result any
	var err error
	switch p.Do {
	case "again":
		result, err = perform.Call(ctx, h.Idempotent(p.Token), part{Do: "note", Token: p.Token})
	case "note":
		result, err = perform.Call(ctx, h.Idempotent(p.Token), p)
	case "destroy":
		err = h.Destroy(ctx)
	case "read":
		result, err = h.Read(ctx)
	case "queue":
		err = letters.Send(ctx, h, p.Token)
	case "wait":
		result, err = letters.SendAndWait(ctx, h, p.Token)
	case "connect":
		result, err = g.do(ctx, p, &actorlogv1.Action{
			Body: &actorlogv1.Action_Connect{Connect: new(actorlogv1.Connect)}, Handshake: &actorlogv1.Handshake{ConnectionId: p.conn},
		}, actor.CreateIfAbsent)
	case "close":
		result, err = g.do(ctx, p, &actorlogv1.Action{
			Body: &actorlogv1.Action_Disconnect{Disconnect: &actorlogv1.Disconnect{ConnectionId: p.conn, Reason: "bye"}},
		}, actor.MustExist)
	case "whisper":
		args, marshalErr := json.Marshal([]part{p})
		if marshalErr != nil {
			return marshalErr.Error()
		}
		result, err = g.do(ctx, p, &actorlogv1.Action{
			Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: perform.Name(), ArgsJson: args}}, Caller: &actorlogv1.Caller{ConnectionId: p.conn},
		}, actor.MustExist)
	default:
		result, err = perform.Call(ctx, h, p)
	}
	if refused := new(actor.Error); errors.As(err, &refused) {
		return refused.Group + "." + refused.Code
	}
	return fmt.Sprint(result, err)
}

// do appends an action of a connection.
func (g *stage) do(ctx context.Context, p part, a *actorlogv1.Action, presence actor.Presence) (string, error) {
	handshake := a.Handshake
	hash, err := actor.Address(a, actor.Target{Namespace: actor.DefaultNamespace, Kind: players.Name(), Key: []string{p.key}, Presence: presence})
	if err != nil {
		return "", err
	}
	a.Handshake = handshake
	d, _, err := g.client.Do(ctx, remote.Request{Hash: hash, Action: a})
	if err != nil {
		return "", err
	}
	return string(d.Outcome.ResultJson), actor.OutcomeError(d.Outcome)
}

// logged is the outcomes of each actor that can be observed, as the log says.
func (g *stage) logged(t *testing.T) map[string][]string {
	t.Helper()
	lines := make(map[string][]string)
	for _, key := range keys {
		hash := playerHash(key)
		a, fence := machine.NewActor(hash), machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		for _, r := range g.cluster.Records(eventlog.Events, hash.Shard(g.shards)) {
			m, err := schemas.Decode(schemas.Type(r.Header(schemas.HeaderType)), r.Value)
			require.NoError(t, err)
			switch m := m.(type) {
			case *actorlogv1.Claim:
				fence.Claim(r.Offset, m)
			case *actorlogv1.Step:
				if fence.Admits(schemas.PlaceOf(r.Value)) && string(r.Key) == string(hash[:]) && a.ApplyStep(r.Offset, m) {
					lines[key] = append(lines[key], fmt.Sprintf("step %d %s: %s", m.Number, m.Name, m.ResultJson))
				}
			case *actorlogv1.Outcome:
				if !fence.Admits(schemas.PlaceOf(r.Value)) || string(r.Key) != string(hash[:]) {
					continue
				}
				counts, err := a.Apply(r.Offset, m)
				require.NoError(t, err)
				if counts && observable(m) {
					lines[key] = append(lines[key], lineOf(m, &a))
				}
			}
		}
	}
	return lines
}

// observable says whether an outcome is more than an answer to somebody who asks again, or than an actor that wakes or goes to sleep.
func observable(o *actorlogv1.Outcome) bool {
	silent := len(o.PatchJson)+len(o.StateJson)+len(o.Broadcasts)+len(o.Sends)+len(o.Scheduled)+len(o.Unscheduled)+len(o.Completed) == 0
	switch o.GetAction().GetBody().(type) {
	case *actorlogv1.Action_Sleep, *actorlogv1.Action_Wake, *actorlogv1.Action_Fire:
		return !silent || o.Error != nil
	}
	again := o.Repeats != nil || o.GetError().GetCode() == actor.ErrStaleCall.Code
	// A loop asks again as well, for a message that its predecessor has had completed.
	return !silent || (!(again && o.Action.Origin != nil) && o.GetError().GetCode() != actor.ErrCompleted.Code)
}

// lineOf is an outcome without what may honestly differ.
func lineOf(o *actorlogv1.Outcome, a *machine.Actor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "life %d, %v", o.Actor.Generation, o.Lifecycle)
	switch body := o.Action.Body.(type) {
	case *actorlogv1.Action_Invoke:
		fmt.Fprintf(&b, " %s", body.Invoke.Name)
		if body.Invoke.Name != catch.Name() { // whose arguments have an id
			fmt.Fprintf(&b, " %s", body.Invoke.ArgsJson)
		}
	default:
		fmt.Fprintf(&b, " %T", body)
	}
	fmt.Fprintf(&b, " through %q: repeats %v, enqueued %v, result %s, error %s", o.Action.GetCaller().GetConnectionId(), o.Repeats != nil, o.Enqueued, o.ResultJson, o.GetError().GetCode())
	for _, cast := range o.Broadcasts {
		fmt.Fprintf(&b, ", says %s %s to %q", cast.Name, cast.ArgsJson, cast.To)
	}
	for _, send := range o.Sends {
		fmt.Fprintf(&b, ", sends %v %s", send.Actor.GetKey(), send.Invoke.GetArgsJson())
	}
	for _, s := range o.Scheduled {
		fmt.Fprintf(&b, ", schedules %s, failed %d times", s.ArgsJson, s.Failed)
	}
	fmt.Fprintf(&b, ", %d schedules over", len(o.Unscheduled))
	for _, done := range o.Completed {
		fmt.Fprintf(&b, ", completes %s", done.ResponseJson)
	}
	for _, n := range o.Connected {
		fmt.Fprintf(&b, ", meets %s", n.Id)
	}
	for _, n := range o.Disconnected {
		fmt.Fprintf(&b, ", loses %s (%s)", n.Id, n.Reason)
	}
	ids := make([]string, 0, len(a.Connections))
	for _, n := range a.Connections {
		ids = append(ids, n.Id)
	}
	slices.Sort(ids)
	fmt.Fprintf(&b, "; then %s, connections %v, %d schedules, %d letters", a.State, ids, len(a.Schedules), len(a.Queue))
	return b.String()
}
