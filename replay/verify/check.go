package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// checker verifies the outcomes of one shard, one after the other.
type checker struct {
	r       *replay.Reader
	cfg     Config
	answers answers
	runner  runner
}

func newChecker(r *replay.Reader, cfg Config, a answers) *checker {
	return &checker{r: r, cfg: cfg.withDefaults(), answers: a}
}

func (c *checker) close()            { c.runner.close() }
func (c *checker) history() *history { return &history{c: c} }

// variant is what an outcome leaves open: each is one way in which it may have come about.
type variant struct {
	action *actorlogv1.Action
	// original: it is the action as it was asked, headers and all.
	original bool
	// awake: an activation was under way.
	awake bool
	// answer is which one to take where a call has several.
	answer int
}

// withAnswers is the variants with other answers to calls.
func (v variant) withAnswers(a *attempt) (all []variant) {
	if a.ambiguous > 1 {
		for v.answer = 1; v.answer <= a.ambiguous; v.answer++ {
			all = append(all, v)
		}
	}
	return all
}

// verify makes an outcome again. If it is not the same it returns what differs, or why nobody can tell.
func (c *checker) verify(ctx context.Context, h *history, e *replay.Event) (fields []Field, reason string, err error) {
	o := e.Outcome
	v := variant{action: addressed(o), awake: true}
	if r := o.GetAction().GetRestore(); r != nil && o.Error == nil {
		v.action.Body = &actorlogv1.Action_Restore{Restore: restored(h.now, o, r)}
	}
	a, err := c.attempt(ctx, h, e, v)
	if err != nil || len(a.fields) == 0 {
		return nil, "", err
	}
	// Perhaps it came about in another way.
	var others []variant
	if o.GetAction().GetSleep() != nil {
		others = append(others, variant{action: v.action})
	}
	others = append(others, v.withAnswers(a)...)
	if a.looked[actor.UnrecordedHeaders] || refusedUnseen(o) {
		asked, err := c.asked(ctx, e)
		if err != nil {
			return nil, "", err
		}
		if asked != nil {
			original := variant{action: asked, original: true, awake: true}
			others = append(append(others, original), original.withAnswers(a)...)
		}
	}
	for _, v := range others {
		b, err := c.attempt(ctx, h, e, v)
		if err != nil || len(b.fields) == 0 {
			return nil, "", err
		}
		if v.original {
			a = b // it knows best
		}
	}
	return a.fields, a.unsure(), nil
}

// addressed is the action of an outcome as it was asked, as far as the outcome tells.
func addressed(o *actorlogv1.Outcome) *actorlogv1.Action {
	a := o.GetAction()
	if a == nil {
		a = new(actorlogv1.Action)
	}
	return &actorlogv1.Action{
		Actor:     &actorlogv1.Actor{Namespace: o.GetActor().GetNamespace(), Kind: o.GetActor().GetKind(), Key: o.GetActor().GetKey()},
		RequestId: a.RequestId, IdempotencyKey: a.IdempotencyKey, Caller: a.Caller, TimeUnixMs: a.TimeUnixMs, Creation: a.Creation, Sequence: a.Sequence,
		Handshake: a.Handshake, Origin: a.Origin, Chain: a.Chain, DeadlineUnixMs: a.DeadlineUnixMs, Unparks: a.Unparks, Body: a.Body,
	}
}

// restored is a Restore as it was asked: what its outcome leaves out is what it made of the actor.
func restored(before *machine.Actor, o *actorlogv1.Outcome, r *actorlogv1.Restore) *actorlogv1.Restore {
	r = proto.CloneOf(r)
	state := before.State
	if creates(o) {
		state = nil
	}
	r.StateJson, _ = stateAfter(state, o) // if it cannot be made, that is what differs
	r.Schedules = o.Scheduled
	return r
}

// refusedUnseen says that an outcome may be a refusal which depends on what it does not repeat: how the actor was addressed, what was to be restored.
func refusedUnseen(o *actorlogv1.Outcome) bool {
	if o.GetAction().GetRestore() != nil && o.Error != nil {
		return true
	}
	return isError(o.Error, actor.ErrNotFound) || isError(o.Error, actor.ErrInvalidRequest)
}

// asked reads the action of an event from the actions topic; nil if it is not kept any more.
func (c *checker) asked(ctx context.Context, e *replay.Event) (found *actorlogv1.Action, err error) {
	p, ref := e.Position.Partition, e.Outcome.Ref
	start, end, err := c.r.Source().Bounds(ctx, eventlog.Actions, p)
	if err != nil || ref < start || ref >= end {
		return nil, err
	}
	err = eventlog.Scan(ctx, c.r.Source(), eventlog.Actions, p, ref, ref+1, func(rec *eventlog.Record) error {
		a, err := schemas.DecodeAs[*actorlogv1.Action](schemas.Type(rec.Header(schemas.HeaderType)), rec.Value)
		if err == nil && a.RequestId == e.Outcome.GetAction().GetRequestId() {
			found = a
		}
		return nil // what cannot be read does not help
	})
	if errors.Is(err, eventlog.ErrOffsetOutOfRange) {
		err = nil // it expired just now
	}
	return found, err
}

// attempt makes an outcome again, in one way, and compares it.
func (c *checker) attempt(ctx context.Context, h *history, e *replay.Event, v variant) (*attempt, error) {
	o := e.Outcome
	x := &attempt{c: c, ctx: ctx, partition: e.Position.Partition, before: h.now, recorded: o, variant: v, looked: make(map[actor.Unrecorded]bool)}
	after := *h.now // takes the steps of machine
	if o.RefusedSince != nil {
		x.compare(after.Step(machine.Refuse{Ref: o.Ref, Action: v.action, Since: *o.RefusedSince}))
		return x, nil
	}
	ask := machine.Ask{Ref: o.Ref, Action: v.action, Rules: c.cfg.Registry, Awake: v.awake}
	if d := v.action.DeadlineUnixMs; d != 0 && isError(o.Error, actor.ErrTooLate) {
		ask.NowMs = d + 1 // by the worker's clock it was too late
	}
	eff := after.Step(ask)
	if eff.Run == nil {
		x.compare(eff)
		return x, nil
	}
	x.run = eff.Run
	x.calls = eff.Run.Calls()
	x.def = c.cfg.Registry.Kind(eff.Run.Kind)
	job := eff.Run.Job(h.now, actor.Env{
		CodeVersion: o.CodeVersion, Peers: x, Steps: x, Attempt: attemptTo, Progress: x, SkipVars: !c.cfg.Vars,
		Unrecorded: func(what actor.Unrecorded) { x.mu.Lock(); defer x.mu.Unlock(); x.looked[what] = true },
	})
	if job.Wake = eff.Run.Create || o.Woke; !job.Wake {
		job.Vars = h.vars
	}
	done, err := x.do(&job)
	if err != nil {
		return nil, err
	}
	if done.Woke {
		h.vars = done.Vars
	}
	x.done = &done
	x.compare(after.Step(machine.Returned{Run: eff.Run, Done: done, StateVersion: x.def.StateVersion()}))
	if !after.Alive || o.GetAction().GetSleep() != nil {
		h.vars = nil
	}
	return x, x.err
}

// unsure is why a difference may be none: empty if it certainly is one.
func (x *attempt) unsure() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.recorded
	if slices.ContainsFunc(x.unanswered, func(u unanswered) bool { return !u.known || o.Error != nil }) {
		return "a call of it was not answered, or the answer is not kept any more"
	}
	if x.erased {
		return "what a call of it was answered was erased"
	}
	if x.ambiguous > 1 {
		return "a call of it was answered more than once, in different ways"
	}
	if len(x.made) > 0 && isError(o.Error, actor.ErrInternal) {
		return "it had failed after it called others: what it was told of a call that went wrong on its way is not recorded"
	}
	if x.late {
		return "a call of it was not answered in time"
	}
	for _, what := range []actor.Unrecorded{actor.UnrecordedVars, actor.UnrecordedHeaders, actor.UnrecordedWorker} {
		if x.looked[what] && (what != actor.UnrecordedHeaders || !x.original) {
			return fmt.Sprintf("it asks for %s, which %s", what, kept[what])
		}
	}
	switch {
	case isError(o.Error, actor.ErrKindNotFound) || isError(o.Error, actor.ErrActionNotFound):
		return "the code that answered it had no such kind or action"
	case refusedUnseen(o) && !x.original:
		return "it was refused, perhaps for what the history does not repeat: how the actor was addressed, or what was to be restored"
	case x.varsMayTell():
		return "CreateVars, which was not run, may have made the rest of it"
	}
	return ""
}

var kept = map[actor.Unrecorded]string{
	actor.UnrecordedVars: "are not recorded", actor.UnrecordedHeaders: "are not kept any more", actor.UnrecordedWorker: "is not recorded",
}

// varsMayTell says that CreateVars was left out, and all that is missing is what it may have asked for.
func (x *attempt) varsMayTell() bool {
	if x.c.cfg.Vars || x.done == nil || !x.done.Woke || !x.def.MakesVars() {
		return false
	}
	for _, f := range x.fields {
		if !f.fewer {
			return false
		}
	}
	return true
}
