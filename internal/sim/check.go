package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/evidence"
	"github.com/actorlog/actorlog/replay/verify"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// follower is a subscriber of one actor that resumes where it was cut off.
type follower struct {
	mu     sync.Mutex
	tokens []string
}

// subscribe follows all actors through the first caller, from before anything happened, by the rule of gateway/recovery: watch, then read
// history up to the watch. What it got is checked when it is stopped.
func (r *run) subscribe() (stop func()) {
	client := r.callers[0].client
	var ends []func()
	for _, key := range keys {
		f := new(follower)
		hash := schemas.HashOf(actor.DefaultNamespace, "node", []string{key})
		w := &remote.Watch{Outcome: f.take, Gap: func() { r.problem("the subscriber of %s missed events", key) }}
		client.Watch(hash, w)
		ends = append(ends, func() {
			client.Unwatch(w)
			f.mu.Lock()
			defer f.mu.Unlock()
			if want := r.read(key).Tokens; !slices.Equal(want, f.tokens) {
				r.problem("the subscriber of %s got %v, and the actor noted %v", key, f.tokens, want)
			}
		})
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

func (f *follower) take(d *remote.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range d.Outcome.Broadcasts {
		var args []string
		if err := json.Unmarshal(b.ArgsJson, &args); err == nil && len(args) == 1 {
			f.tokens = append(f.tokens, args[0])
		}
	}
}

// read asks a worker for the state of an actor; the zero node if it does not live. An actor is overloaded when its messages come once more,
// because a shard moved only now: its worker may hear that it lost the shard when it writes a checkpoint.
func (r *run) read(key string) node {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		n, err := nodeKind.Get(r.callers[0].client, key).Read(ctx)
		if errors.Is(err, actor.ErrOverloaded) && ctx.Err() == nil {
			time.Sleep(time.Second)
			continue
		}
		if err != nil && !errors.Is(err, actor.ErrNotFound) {
			r.problem("reading %s after %v: %v\n%s", key, time.Since(r.started), err, r.dump(key))
		}
		return n
	}
}

func (r *run) check() {
	states := make(map[string]node)
	for _, key := range keys {
		states[key] = r.read(key)
	}
	counts := make(map[string]map[string]int)
	for key, s := range states {
		counts[key] = make(map[string]int)
		for _, token := range s.Tokens {
			counts[key][token]++
			if counts[key][token] > 1 {
				r.problem("%s has %q twice", key, token)
			}
		}
	}
	for _, q := range r.requests {
		r.checkRequest(q, counts)
		if s := states[q.key]; q.kind == "pay" && q.err == nil && q.done && s.Charged[q.token] != q.result {
			r.problem("%s was charged %d for %q, and the caller was told %d", q.key, s.Charged[q.token], q.token, q.result)
		}
	}
	for _, early := range r.world.early {
		r.problem("%s", early)
	}
	r.checkConns(counts)
	r.checkLog(states)
	r.checkChains()
	r.verify()
}

// checkChains compares the log with the heads of its hash chains: nobody has changed what was written, so they agree.
func (r *run) checkChains() {
	client := r.cluster.Client()
	defer client.Close()
	for p := range client.Partitions() {
		report, err := evidence.Verify(context.Background(), client, p, nil, nil)
		switch {
		case err != nil:
			r.problem("%v", err)
		case report.Finding != nil:
			r.problem("the hash chain of shard %d: %s", p, report.Finding)
		case report.Counted > machine.RenewEvery && report.Heads == 0:
			r.problem("shard %d has %d events, and no head of its hash chain", p, report.Counted)
		case len(report.Anew) > 0:
			r.problem("the hash chain of shard %d was begun anew at %d", p, report.Anew)
		}
	}
}

// checkRequest checks a request and all that follows from it.
func (r *run) checkRequest(q *request, counts map[string]map[string]int) {
	if q.kind == "connect" {
		return
	}
	if !q.done {
		r.problem("%s %q of %s was never answered", q.kind, q.token, q.key)
		return
	}
	has := func(key, token string) bool { return counts[key][token] > 0 }
	refused := new(actor.Error)
	acknowledged, certainly := q.err == nil, !q.open && (errors.As(q.err, &refused) || errors.Is(q.err, remote.ErrNotAppended))
	happened := has(q.key, q.token)
	switch {
	case acknowledged && !happened:
		r.problem("%s %q of %s was acknowledged, and is lost", q.kind, q.token, q.key)
	case certainly && happened:
		r.problem("%s %q of %s was refused (%v), and is there", q.kind, q.token, q.key, q.err)
	case q.kind == "refuse" && acknowledged:
		r.problem("%s %q of %s was acknowledged", q.kind, q.token, q.key)
	case q.err != nil && !errors.As(q.err, &refused) && !errors.Is(q.err, remote.ErrNotAppended) && !errors.Is(q.err, remote.ErrUnknownOutcome):
		r.problem("%s %q of %s: an error that says nothing: %v", q.kind, q.token, q.key, q.err)
	}
	must := func(key, token string) {
		if happened && !has(key, token) {
			r.problem("%s %q of %s happened, and %q of %s did not\n%s\n%s", q.kind, q.token, q.key, token, key, r.dump(q.key), r.dump(key))
		}
		if !happened && has(key, token) && q.kind != "fan" { // a fan that failed may have called some
			r.problem("%s %q of %s did not happen, and %q of %s did", q.kind, q.token, q.key, token, key)
		}
	}
	switch q.kind {
	case "fan":
		for i, to := range q.order.To {
			must(to, q.token+"/call"+strconv.Itoa(i))
		}
	case "spread":
		for i, to := range q.order.To {
			must(to, q.token+"/send"+strconv.Itoa(i))
		}
	case "chain":
		token := q.token
		for _, to := range q.order.To {
			token += "/next"
			must(to, token)
		}
	case "later":
		must(q.key, q.token+"/later")
	case "often":
		for i := range q.order.Times {
			must(q.key, q.token+"/tick"+strconv.Itoa(i))
		}
		if has(q.key, q.token+"/tick"+strconv.Itoa(q.order.Times)) {
			r.problem("often %q of %s fired more than %d times", q.token, q.key, q.order.Times)
		}
	case "refuse":
		for _, key := range keys {
			if has(key, q.token+"/never") {
				r.problem("%q was refused, and sent or scheduled something", q.token)
			}
		}
	}
}

// checkConns checks that connections that are gone have ended once, and others have not.
func (r *run) checkConns(counts map[string]map[string]int) {
	for _, n := range r.conns {
		began, ended := counts[n.key]["connect "+n.id] > 0, counts[n.key]["disconnect "+n.id] > 0
		switch {
		case n.opened && !began:
			r.problem("connection %s of %s was opened, and did not begin", n.id, n.key)
		case ended && !began:
			r.problem("connection %s of %s ended, and did not begin", n.id, n.key)
		case began && n.gone && !ended:
			r.problem("connection %s of %s is gone, and did not end", n.id, n.key)
		}
	}
}

// verify runs all that was recorded again: whatever went wrong, each action came to what its actor's state and the record make of it.
func (r *run) verify() {
	client := r.cluster.Client()
	defer client.Close()
	registry := actor.NewRegistry()
	register(&outside{runs: make(map[string]int)})(registry)
	s, err := verify.All(context.Background(), replay.NewReader(client, replay.Options{}), 0, 0, verify.Config{
		Registry: registry, Differs: func(d *verify.Difference) { r.problem("%s", d) },
	})
	if err != nil {
		r.problem("verifying the history: %v", err)
	}
	if s.Same == 0 {
		r.problem("verifying the history ran nothing: %+v", s)
	}
}

// checkLog reads the log from scratch.
func (r *run) checkLog(states map[string]node) {
	client := r.cluster.Client()
	defer client.Close()
	actors := make(map[schemas.Hash]*machine.Actor)
	for p := range client.Partitions() {
		fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		for _, record := range r.cluster.Records(eventlog.Events, p) {
			r.fold(&fence, &record, actors)
		}
	}
	for key, want := range states {
		a := actors[schemas.HashOf(actor.DefaultNamespace, "node", []string{key})]
		if a == nil || !a.Alive {
			if len(want.Tokens) > 0 {
				r.problem("the log does not know %s", key)
			}
			continue
		}
		var got node
		if err := json.Unmarshal(a.State, &got); err != nil || !slices.Equal(got.Tokens, want.Tokens) {
			r.problem("the log says that %s noted %v, its worker says %v", key, got.Tokens, want.Tokens)
		}
		if len(a.Steps) > 0 {
			r.problem("%s has steps of an action that is over", key)
		}
		for _, s := range a.Schedules {
			if s.DueUnixMs < time.Now().Add(-10*time.Second).UnixMilli() {
				r.problem("schedule %s of %s was due %v ago", s.Id, key, time.Since(time.UnixMilli(s.DueUnixMs)))
			}
		}
		if len(a.Queue) > 0 {
			r.problem("%d messages wait in the queues of %s", len(a.Queue), key)
		}
	}
}

func (r *run) fold(fence *machine.Fence, record *eventlog.Record, actors map[schemas.Hash]*machine.Actor) {
	t := schemas.Type(record.Header(schemas.HeaderType))
	m, err := schemas.Decode(t, record.Value)
	if err != nil {
		r.problem("the record at %d of events: %v", record.Offset, err)
		return
	}
	hash, _ := schemas.ParseHash(record.Key)
	if actors[hash] == nil {
		a := machine.NewActor(hash)
		actors[hash] = &a
	}
	switch m := m.(type) {
	case *actorlogv1.Claim:
		fence.Claim(record.Offset, m)
	case *actorlogv1.Outcome:
		if !fence.Admits(schemas.PlaceOf(record.Value)) {
			return
		}
		step := actors[hash].StepOf(m.Ref, 0)
		counts, err := actors[hash].Apply(record.Offset, m)
		if err != nil {
			r.problem("the outcome at %d of events: %v\n%s", record.Offset, err, r.dump(m.Actor.Key[0]))
		}
		if counts && step != nil && m.Error == nil && !bytes.Equal(step.ResultJson, m.ResultJson) {
			r.problem("the outcome at %d of events says %s, and its step was recorded as %s", record.Offset, m.ResultJson, step.ResultJson)
		}
	case *actorlogv1.Step:
		if fence.Admits(schemas.PlaceOf(record.Value)) {
			actors[hash].ApplyStep(record.Offset, m)
		}
	}
}
