package machine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// TestStories plays the scripts in testdata/stories. Each is one partition, with workers that come
// and go; the input is written by hand, the output by
//
//	go test ./actors/machine -run TestStories -args -rewrite
//
// and then read. The commands:
//
//	claim worker=w1                 w1 claims the shard and recovers it from the log
//	renew worker=w1                 w1 repeats its claim
//	ask ref=0 key=org/42 action=increment args=[3]
//	                                the owner is given the action at ref; see below
//	read|resolve|destroy ref=0 key=org/42
//	                                the same, for the other things that can be asked
//	again ref=0                     the owner is given an action that was asked before
//	refuse ref=5 since=4 key=...    the owner answers an action out of turn: its mailbox is full
//	return ref=0                    the user code that "ask ... hold" started comes back
//	snapshot                        the owner saves its actors; the next recovery starts there
//	crash                           the owner is gone, and what it had in memory
//	damage key=org/42 ref=3 patch=[...]
//	                                an outcome whose patch does not fit stands in the log
//	state key=org/42                what the actor is, by the log alone
//	log [from=3]                    every record, and whether it counts
//
// What can be added to an ask: create[=<input>] or create-new[=<input>] (the two policies),
// id=<generation> (addressed by id, not by kind and key), idempotency=<key>, at=<duration>
// (the time, since the beginning), kind=<kind>, worker=<worker> (another than the last that claimed),
// limit=<bytes> (the largest record), hold (the user code does not come back yet),
// origin=<partition>/<actor>/<ref>/<number> (another actor calls; a number that begins with s is of a message), settled=<ref> (of its shard),
// deadline=<duration> (the caller waits until then), now=<duration> (the worker's clock).
//
// The user code is the counter in this file: {"count":n} with the actions increment, get, reset,
// shout, destroy, boom and forget.
//
// Behind every command stand two checks: a reader who knows nothing but the log comes to the same
// actors as the owner, and so does one who starts from the owner's snapshot.
func TestStories(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		t.Parallel()
		w := &world{workers: make(map[string]*worker), asked: make(map[int64]asked)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.out.Reset()
			w.do(t, d)
			w.check(t)
			return w.out.String()
		})
	})
}

// world is one partition of events, and its workers.
type world struct {
	out     strings.Builder
	events  []event
	workers map[string]*worker
	// owner is the worker that claimed last, nil after a crash.
	owner *worker
	asked map[int64]asked
	// saved is the owner's snapshots, and savedAt the events that they stand for.
	saved   map[schemas.Hash]*actorlogv1.Snapshot
	savedAt int
	epochAt int64
}

type event struct {
	by      string
	hash    schemas.Hash
	claim   *actorlogv1.Claim
	outcome *actorlogv1.Outcome
}

type asked struct {
	hash   schemas.Hash
	action *actorlogv1.Action
}

// worker is a process that is, or believes that it is, the owner.
type worker struct {
	name  string
	epoch int64
	heads map[schemas.Hash]*machine.Actor
	held  map[int64]*machine.Run
}

func (w *worker) head(hash schemas.Hash) *machine.Actor {
	if w.heads[hash] == nil {
		a := machine.NewActor(hash)
		w.heads[hash] = &a
	}
	return w.heads[hash]
}

func (w *world) printf(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

func (w *world) do(t *testing.T, d *datadriven.TestData) {
	worker := w.owner
	if d.HasArg("worker") && d.Cmd != "claim" {
		worker = w.workers[text(t, d, "worker")]
		require.NotNil(t, worker, "%s: no such worker", d.Pos)
	}
	switch d.Cmd {
	case "claim":
		w.claim(t, text(t, d, "worker"))
	case "renew":
		offset := w.append(event{by: worker.name, claim: &actorlogv1.Claim{Worker: worker.name, RenewsEpoch: proto.Int64(worker.epoch)}})
		w.printf("append @%d: %s renews epoch %d", offset, worker.name, worker.epoch)
	case "ask", "read", "resolve", "destroy":
		a := w.action(t, d)
		w.asked[ref(t, d)] = a
		w.ask(t, d, worker, ref(t, d), a)
	case "again":
		w.ask(t, d, worker, ref(t, d), w.asked[ref(t, d)])
	case "refuse":
		a := w.action(t, d)
		w.asked[ref(t, d)] = a
		since, err := strconv.ParseInt(text(t, d, "since"), 10, 64)
		require.NoError(t, err)
		eff := worker.head(a.hash).Step(machine.Refuse{Ref: ref(t, d), Action: a.action, Since: since})
		w.carryOut(t, d, worker, a, nil, eff)
	case "return":
		run := worker.held[ref(t, d)]
		require.NotNil(t, run, "%s: nothing is held at that ref", d.Pos)
		delete(worker.held, ref(t, d))
		a := w.asked[ref(t, d)]
		before := *worker.head(a.hash)
		w.carryOut(t, d, worker, a, &before, worker.head(a.hash).Step(counter(run, before.State)))
	case "snapshot":
		w.snapshot(t)
	case "crash":
		delete(w.workers, w.owner.name)
		w.printf("%s is gone", w.owner.name)
		w.owner = nil
	case "damage":
		key := schemas.ParseKey(text(t, d, "key"))
		hash := schemas.HashOf("default", "counter", key)
		a := w.fold(t, len(w.events))[hash]
		fence := w.fence(len(w.events))
		offset := w.append(event{by: "somebody", hash: hash, outcome: &actorlogv1.Outcome{
			Ref: ref(t, d), Epoch: fence.Epoch(), TimeUnixMs: a.TimeMs,
			Actor:  &actorlogv1.Actor{Namespace: "default", Kind: "counter", Key: key, Generation: a.Generation},
			Action: &actorlogv1.Action{RequestId: "damaged"}, PatchJson: []byte(text(t, d, "patch")), ResultJson: []byte{},
		}})
		w.printf("append @%d: %s", offset, text(t, d, "patch"))
	case "state":
		hash := schemas.HashOf("default", "counter", schemas.ParseKey(text(t, d, "key")))
		a, ok := w.fold(t, len(w.events))[hash]
		if !ok {
			w.printf("nothing is known of it")
			return
		}
		w.printf("%s", describe(a))
	case "log":
		from := 0
		d.MaybeScanArgs(t, "from", &from)
		w.log(from)
	default:
		d.Fatalf(t, "unknown command")
	}
}

func text(t *testing.T, d *datadriven.TestData, name string) string {
	t.Helper()
	arg, ok := d.Arg(name)
	require.True(t, ok, "%s: %s is missing", d.Pos, name)
	return arg.SingleVal(t)
}

func ref(t *testing.T, d *datadriven.TestData) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text(t, d, "ref"), 10, 64)
	require.NoError(t, err)
	return n
}

// action builds the action that a command describes.
func (w *world) action(t *testing.T, d *datadriven.TestData) asked {
	kind, key, at := "counter", schemas.ParseKey(text(t, d, "key")), time.Duration(0)
	d.MaybeScanArgs(t, "kind", &kind)
	if d.HasArg("at") {
		var err error
		at, err = time.ParseDuration(text(t, d, "at"))
		require.NoError(t, err)
	}
	a := &actorlogv1.Action{
		Actor:     &actorlogv1.Actor{Namespace: "default", Kind: kind, Key: key},
		RequestId: fmt.Sprintf("r%d", ref(t, d)), TimeUnixMs: at.Milliseconds(),
	}
	hash := schemas.HashOf("default", kind, key)
	if d.HasArg("id") {
		generation, err := strconv.ParseUint(text(t, d, "id"), 10, 32)
		require.NoError(t, err)
		a.Actor = &actorlogv1.Actor{Generation: uint32(generation)}
	}
	d.MaybeScanArgs(t, "idempotency", &a.IdempotencyKey)
	if d.HasArg("origin") {
		a.Origin = origin(t, text(t, d, "origin"))
		a.Origin.Settled = int64(number(t, d, "settled"))
	}
	a.DeadlineUnixMs = millis(t, d, "deadline")
	for name, policy := range map[string]actorlogv1.Creation_Policy{
		"create": actorlogv1.Creation_POLICY_IF_ABSENT, "create-new": actorlogv1.Creation_POLICY_MUST_BE_ABSENT,
	} {
		if arg, ok := d.Arg(name); ok {
			a.Creation = &actorlogv1.Creation{Policy: policy}
			if len(arg.Vals) > 0 {
				a.Creation.InputJson = []byte(arg.Vals[0])
			}
		}
	}
	switch d.Cmd {
	case "read":
		a.Body = &actorlogv1.Action_Read{Read: &actorlogv1.Read{}}
	case "resolve":
		a.Body = &actorlogv1.Action_Resolve{Resolve: &actorlogv1.Resolve{}}
	case "destroy":
		a.Body = &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{}}
	default:
		invoke := &actorlogv1.Invoke{Name: text(t, d, "action")}
		if d.HasArg("args") {
			invoke.ArgsJson = []byte(text(t, d, "args"))
		}
		a.Body = &actorlogv1.Action_Invoke{Invoke: invoke}
	}
	return asked{hash, a}
}

func (w *world) append(e event) int64 {
	w.events = append(w.events, e)
	return int64(len(w.events) - 1)
}

// claim makes a worker the owner: it recovers what the log says up to its claim.
func (w *world) claim(t *testing.T, name string) {
	offset := w.append(event{by: name, claim: &actorlogv1.Claim{Worker: name}})
	w.owner = &worker{name: name, epoch: offset, heads: w.fold(t, int(offset)), held: make(map[int64]*machine.Run)}
	w.workers[name] = w.owner
	w.printf("append @%d: %s claims, epoch %d", offset, name, offset)
	for _, a := range sorted(w.owner.heads) {
		w.printf("recovered %s", describe(a))
	}
}

func (w *world) ask(t *testing.T, d *datadriven.TestData, by *worker, ref int64, a asked) {
	head := by.head(a.hash)
	before := *head
	eff := head.Step(machine.Ask{Ref: ref, Action: a.action, Rules: ruled(func(kind string) bool { return kind == "counter" }), NowMs: millis(t, d, "now")})
	if eff.Run == nil {
		w.carryOut(t, d, by, a, &before, eff)
		return
	}
	what := "create"
	if eff.Run.Invoke != nil {
		what = call(eff.Run.Invoke)
		if eff.Run.Create {
			what = "create, then " + what
		}
	}
	w.printf("run %s", what)
	if d.HasArg("hold") {
		by.held[ref] = eff.Run
		return
	}
	w.carryOut(t, d, by, a, &before, head.Step(counter(eff.Run, head.State)))
}

// carryOut does what the machine asked for.
func (w *world) carryOut(t *testing.T, d *datadriven.TestData, by *worker, a asked, before *machine.Actor, eff machine.Effects) {
	require.Equal(t, 1, bools(eff.Skip, eff.Run != nil, eff.Outcome != nil), "exactly one effect")
	if eff.Skip {
		w.printf("skip: answered already")
		return
	}
	if eff.Settle {
		w.printf("settle")
	}
	o, head := eff.Outcome, by.head(a.hash)
	if limit := number(t, d, "limit"); limit > 0 && proto.Size(o) > limit {
		w.printf("too large")
		*head = *before
		// Not the exact size, for the text of a story.
		o = head.TooLarge(o.Ref, a.action, 10*limit, limit)
		require.LessOrEqual(t, proto.Size(o), limit+200)
	}
	o.Epoch = by.epoch
	value, err := schemas.Encode(o)
	require.NoError(t, err)
	stored, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeOutcome, value)
	require.NoError(t, err)
	offset := w.append(event{by: by.name, hash: a.hash, outcome: stored})
	head.Appended(offset, o)
	w.printf("append @%d%s", offset, outcome(stored))
}

func number(t *testing.T, d *datadriven.TestData, name string) int {
	if !d.HasArg(name) {
		return 0
	}
	n, err := strconv.Atoi(text(t, d, name))
	require.NoError(t, err)
	return n
}

func millis(t *testing.T, d *datadriven.TestData, name string) int64 {
	if !d.HasArg(name) {
		return 0
	}
	v, err := time.ParseDuration(text(t, d, name))
	require.NoError(t, err)
	return v.Milliseconds()
}

// origin reads <partition>/<actor>/<ref>/<number>.
func origin(t *testing.T, text string) *actorlogv1.Origin {
	parts := strings.Split(text, "/")
	require.Len(t, parts, 4)
	numeral, sent := strings.CutPrefix(parts[3], "s")
	var n [3]int64
	for i, s := range []string{parts[0], parts[2], numeral} {
		var err error
		n[i], err = strconv.ParseInt(s, 10, 32)
		require.NoError(t, err)
	}
	o := &actorlogv1.Origin{Partition: int32(n[0]), Actor: []byte(parts[1]), Ref: n[1], Number: uint32(n[2])}
	if sent {
		o.Number |= actor.SendNumbers
	}
	return o
}

func bools(b ...bool) (n int) {
	for _, v := range b {
		if v {
			n++
		}
	}
	return n
}

// fence is the fence after the first n events.
func (w *world) fence(n int) machine.Fence {
	f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	for i, e := range w.events[:n] {
		if e.claim != nil {
			f.Claim(int64(i), e.claim)
		}
	}
	return f
}

// fold is what a reader of the first n events knows, starting from the snapshots if there are any.
func (w *world) fold(t *testing.T, n int) map[schemas.Hash]*machine.Actor {
	if w.saved == nil || w.savedAt > n {
		return w.foldFrom(t, make(map[schemas.Hash]*machine.Actor), machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace), 0, n)
	}
	actors := make(map[schemas.Hash]*machine.Actor)
	for hash, s := range w.saved {
		a, err := machine.Restore(hash, s)
		require.NoError(t, err)
		actors[hash] = &a
	}
	return w.foldFrom(t, actors, machine.NewFence(w.epochAt, 0, schemas.NoPlace), w.savedAt, n)
}

func (w *world) foldFrom(t *testing.T, actors map[schemas.Hash]*machine.Actor, f machine.Fence, from, to int) map[schemas.Hash]*machine.Actor {
	for i, e := range w.events[:to] {
		switch {
		case i < from:
		case e.claim != nil:
			f.Claim(int64(i), e.claim)
		case f.Admits(e.outcome.Epoch, schemas.NoPlace):
			if actors[e.hash] == nil {
				a := machine.NewActor(e.hash)
				actors[e.hash] = &a
			}
			if _, err := actors[e.hash].Apply(int64(i), e.outcome); err != nil {
				require.ErrorIs(t, err, machine.ErrCorrupt)
			}
		}
	}
	return actors
}

func (w *world) snapshot(t *testing.T) {
	saved := make(map[schemas.Hash]*actorlogv1.Snapshot)
	for _, a := range sorted(w.owner.heads) {
		value, err := schemas.Encode(a.Snapshot())
		require.NoError(t, err)
		saved[a.Hash], err = schemas.DecodeAs[*actorlogv1.Snapshot](schemas.TypeSnapshot, value)
		require.NoError(t, err)
		w.printf("saved %s", describe(a))
	}
	w.saved, w.savedAt, w.epochAt = saved, len(w.events), w.owner.epoch
}

// check compares the owner's actors with the log's.
func (w *world) check(t *testing.T) {
	whole := w.foldFrom(t, make(map[schemas.Hash]*machine.Actor), machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace), 0, len(w.events))
	tail := w.fold(t, len(w.events))
	for hash, a := range whole {
		require.NotNil(t, tail[hash])
		requireSameActor(t, *a, *tail[hash], "recovered from snapshots")
		if w.owner != nil {
			requireSameActor(t, *a, *w.owner.head(hash), "as the owner sees it")
		}
	}
}

// log prints every event and whether it counts.
func (w *world) log(from int) {
	f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	actors := make(map[schemas.Hash]*machine.Actor)
	for i, e := range w.events {
		line := fmt.Sprintf("@%d", i)
		if e.claim != nil {
			was := f.Epoch()
			f.Claim(int64(i), e.claim)
			line += " " + e.by + " claims"
			if e.claim.RenewsEpoch != nil {
				line = fmt.Sprintf("@%d %s renews epoch %d", i, e.by, *e.claim.RenewsEpoch)
			}
			if was != f.Epoch() {
				line += fmt.Sprintf(": epoch %d", f.Epoch())
			} else {
				line += fmt.Sprintf(": the epoch stays %d", was)
			}
		} else {
			if actors[e.hash] == nil {
				a := machine.NewActor(e.hash)
				actors[e.hash] = &a
			}
			line += fmt.Sprintf(" %s answers %d (epoch %d)", e.by, e.outcome.Ref, e.outcome.Epoch)
			if !f.Admits(e.outcome.Epoch, schemas.NoPlace) {
				line += fmt.Sprintf(": VOID, the epoch is %d", f.Epoch())
			} else if counts, err := actors[e.hash].Apply(int64(i), e.outcome); err != nil {
				line += ": BREAKS the actor"
			} else if !counts {
				line += ": VOID, answered before"
			}
		}
		if i >= from {
			w.printf("%s", line)
		}
	}
}

func sorted(actors map[schemas.Hash]*machine.Actor) []*machine.Actor {
	var all []*machine.Actor
	for _, a := range actors {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *machine.Actor) int {
		return strings.Compare(a.Key.String()+a.ID().String(), b.Key.String()+b.ID().String())
	})
	return all
}

func call(invoke *actorlogv1.Invoke) string {
	return invoke.Name + strings.NewReplacer("[", "(", "]", ")").Replace(string(invoke.ArgsJson))
}

// outcome is what an outcome says, for people.
func outcome(o *actorlogv1.Outcome) string {
	var b strings.Builder
	if o.Prev != nil {
		fmt.Fprintf(&b, " after @%d", *o.Prev)
	}
	fmt.Fprintf(&b, ": %s %s#%d", o.Actor.Kind, schemas.Key(o.Actor.Key), o.Actor.Generation)
	switch body := o.Action.Body.(type) {
	case *actorlogv1.Action_Invoke:
		b.WriteString(" " + call(body.Invoke))
	case *actorlogv1.Action_Read:
		b.WriteString(" read")
	case *actorlogv1.Action_Resolve:
		b.WriteString(" resolve")
	case *actorlogv1.Action_Destroy:
		b.WriteString(" destroy")
	}
	if o.TimeUnixMs != 0 {
		fmt.Fprintf(&b, " at %v", time.Duration(o.TimeUnixMs)*time.Millisecond)
	}
	switch o.Lifecycle {
	case actorlogv1.Lifecycle_LIFECYCLE_CREATED:
		b.WriteString("\n  created")
	case actorlogv1.Lifecycle_LIFECYCLE_DESTROYED:
		b.WriteString("\n  destroyed")
	case actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED:
		b.WriteString("\n  created and destroyed")
	}
	if len(o.StateJson) > 0 {
		fmt.Fprintf(&b, "\n  state %s", shorten(o.StateJson))
	}
	if len(o.PatchJson) > 0 {
		fmt.Fprintf(&b, "\n  patch %s", shorten(o.PatchJson))
	}
	for _, e := range o.Broadcasts {
		fmt.Fprintf(&b, "\n  broadcast %s%s", e.Name, shorten(e.ArgsJson))
	}
	switch {
	case o.Repeats != nil:
		fmt.Fprintf(&b, "\n  reply as at @%d", *o.Repeats)
	case o.Error != nil:
		fmt.Fprintf(&b, "\n  reply error %s.%s: %s", o.Error.Group, o.Error.Code, o.Error.Message)
		if len(o.Error.MetadataJson) > 0 {
			fmt.Fprintf(&b, " %s", o.Error.MetadataJson)
		}
		if o.Error.Detail != "" {
			fmt.Fprintf(&b, "\n  for operators: %s", strings.ReplaceAll(o.Error.Detail, "\n", " / "))
		}
	case len(o.ResultJson) == 0:
		b.WriteString("\n  reply nothing")
	default:
		fmt.Fprintf(&b, "\n  reply %s", shorten(o.ResultJson))
	}
	if o.RefusedSince != nil {
		fmt.Fprintf(&b, "\n  refused since %d", *o.RefusedSince)
	}
	return b.String()
}

func shorten(b []byte) string {
	if len(b) > 120 {
		return fmt.Sprintf("%s... (%d bytes)", b[:60], len(b))
	}
	return string(b)
}

// describe is all that an actor is.
func describe(a *machine.Actor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s#%d", a.Kind, a.Key, a.Generation)
	switch {
	case a.Generation == 0:
		b.Reset()
		b.WriteString("an actor that never lived")
	case a.Alive:
		fmt.Fprintf(&b, " %s", shorten(a.State))
	default:
		b.WriteString(" destroyed")
	}
	fmt.Fprintf(&b, ", answered to %d", a.LastRef)
	for _, r := range a.Refused {
		fmt.Fprintf(&b, " and %d to %d", r.First, r.Last)
	}
	fmt.Fprintf(&b, ", last @%d", a.LastOffset)
	for _, r := range a.Recent {
		fmt.Fprintf(&b, ", remembers %q @%d", r.Key, r.Offset)
	}
	for _, asked := range a.Asked {
		by, sent := asked.Origin, ""
		if by.Number&actor.SendNumbers != 0 {
			sent = "s"
		}
		fmt.Fprintf(&b, "\n  asked by %d/%s/%d/%s%d @%d", by.Partition, by.Actor, by.Ref, sent, by.Number&^actor.SendNumbers, asked.Offset)
	}
	for _, s := range a.Settled {
		fmt.Fprintf(&b, "\n  nobody of shard %d asks again for what is below %d", s.Partition, s.Ref)
	}
	if a.Broken != "" {
		b.WriteString("\n  BROKEN: " + a.Broken)
	}
	return b.String()
}

// counter is the user code of the stories.
func counter(run *machine.Run, state []byte) machine.Returned {
	return count(run, state).returned()
}

func count(run *machine.Run, state []byte) (r ran) {
	r.Run = run
	r.State = state
	var s struct {
		Count int64 `json:"count"`
	}
	if run.Create {
		var in struct {
			Start int64 `json:"start"`
		}
		if len(run.Input) > 0 {
			if r.Err = json.Unmarshal(run.Input, &in); r.Err != nil {
				return r
			}
		}
		if in.Start < 0 {
			r.Err = actor.UserError("bad_start", "a counter starts at 0 or above")
			return r
		}
		s.Count = in.Start
		r.Created, _ = json.Marshal(s)
	} else if err := json.Unmarshal(state, &s); err != nil {
		r.Err = err
		return r
	}
	if run.Create {
		r.State = r.Created
	}
	if run.Invoke == nil {
		return r
	}
	var args []json.RawMessage
	_ = json.Unmarshal(run.Invoke.ArgsJson, &args)
	var n int64
	if len(args) > 0 {
		_ = json.Unmarshal(args[0], &n)
	}
	broadcast := func(name, args string) {
		r.Effects.Broadcasts = append(r.Effects.Broadcasts, &actorlogv1.Broadcast{Name: name, ArgsJson: json.RawMessage(args)})
	}
	switch run.Invoke.Name {
	case "increment":
		if n <= 0 {
			r.Err = fmt.Errorf("incrementing: %w", actor.UserError("bad_step", "step must be positive").With(map[string]int64{"step": n}))
			return r
		}
		s.Count += n
		broadcast("count", fmt.Sprintf("[%d]", s.Count))
		r.Result = []byte(strconv.FormatInt(s.Count, 10))
	case "get":
		r.Result = []byte(strconv.FormatInt(s.Count, 10))
	case "reset":
		s.Count = 0
		broadcast("count", "[0]")
	case "shout":
		broadcast("shout", `["`+strings.Repeat("a", int(n))+`"]`)
	case "destroy":
		r.Effects.Destroyed = true
		r.Result = []byte(`"bye"`)
	case "boom":
		r.Err, r.Detail = errors.New("the database password is wrong"), "stack of the panic"
		return r
	default:
		r.Err = actor.ErrActionNotFound.Messagef("Action `%s` was not found.", run.Invoke.Name)
		return r
	}
	r.State, _ = json.Marshal(s)
	return r
}
