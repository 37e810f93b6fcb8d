package verify

import (
	"context"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/replay"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Reasons for which an outcome is not run at all.
const (
	reasonGone    = "what the actor was before is not kept any more"
	reasonBroken  = "the history of the actor cannot be read"
	reasonEnough  = "the actor differs too often: the rest of its history was not run"
	reasonTimeout = "it had timed out"
	reasonParked  = "it had been set aside, and did not run"
	reasonLarge   = "it had made more than fits into a record"
	reasonErased  = "its contents were erased"
)

// ReasonNoKind is that of all outcomes of an actor whose kind the registry does not have.
const ReasonNoKind = "its kind is not registered here"

// history is one actor on the way through its events.
type history struct {
	c *checker
	// now is the actor before the next event; nil as long as its beginning is not known.
	now    *machine.Actor
	events int
	// vars of the activation, if they are made.
	vars    any
	summary Summary
}

// take verifies an event, if it is an outcome, and folds it.
func (h *history) take(ctx context.Context, e *replay.Event) error {
	h.events++
	o := e.Outcome
	if h.now == nil && (previous(e) < 0 || creates(o)) {
		fresh := machine.NewActor(e.Hash)
		h.now = &fresh
	}
	if prev := previous(e); h.now != nil && prev > h.now.LastOffset {
		h.now = nil // one is missing
	}
	if o != nil && !time.UnixMilli(o.TimeUnixMs).Before(h.c.cfg.Since) {
		if err := h.check(ctx, e); err != nil {
			return err
		}
	}
	if h.now == nil {
		return nil
	}
	after := *h.now
	switch {
	case o != nil:
		_, _ = after.Apply(e.Position.Offset, o) // an error leaves the actor Broken
	case e.Step != nil:
		after.ApplyStep(e.Position.Offset, e.Step)
	default:
		after.Broken, after.LastOffset = e.Err.Error(), e.Position.Offset
	}
	h.now = &after
	return nil
}

// previous is where the event before an event stood, or stands later, as its writer foretold it; -1 if it is the first.
func previous(e *replay.Event) int64 {
	switch {
	case e.Outcome != nil && e.Outcome.Prev != nil:
		return *e.Outcome.Prev
	case e.Step != nil && e.Step.Prev != nil:
		return *e.Step.Prev
	}
	return -1
}

func creates(o *actorlogv1.Outcome) bool {
	l := o.GetLifecycle()
	return l == actorlogv1.Lifecycle_LIFECYCLE_CREATED || l == actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
}

// check verifies one outcome.
func (h *history) check(ctx context.Context, e *replay.Event) error {
	o, s, cfg := e.Outcome, &h.summary, &h.c.cfg
	if s.Outcomes++; s.Outcomes == 1 {
		s.Actors = 1
	}
	reason := ""
	switch {
	case h.now == nil:
		reason = reasonGone
	case h.now.Broken != "":
		reason = reasonBroken
	case o.GetSealed().GetErased() || (h.now.Erased() && !creates(o)):
		reason = reasonErased
	case cfg.MaxDifferences > 0 && s.Differing >= cfg.MaxDifferences:
		reason = reasonEnough
	case o.Parked > 0:
		reason = reasonParked
	case isError(o.Error, actor.ErrTimedOut):
		reason, h.vars = reasonTimeout, nil
	case isError(o.Error, actor.ErrTooLarge):
		reason = reasonLarge
	case cfg.Registry.Kind(o.GetActor().GetKind()) == nil && !isError(o.Error, actor.ErrKindNotFound):
		reason = ReasonNoKind
	}
	var fields []Field
	if reason == "" {
		var err error
		if fields, reason, err = h.c.verify(ctx, h, e); err != nil {
			return err
		}
	}
	switch {
	case reason != "":
		s.NotChecked++
		if s.Reasons == nil {
			s.Reasons = make(map[string]int)
		}
		s.Reasons[reason]++
		cfg.NotChecked(&Unchecked{Place: h.place(e), Reason: reason})
	case len(fields) > 0:
		s.Differing++
		s.ActorsDiffering = 1
		cfg.Differs(&Difference{Place: h.place(e), Fields: fields})
	default:
		s.Same++
	}
	return nil
}

func isError(e *actorlogv1.Error, is *actor.Error) bool {
	return e != nil && e.Group == is.Group && e.Code == is.Code
}

func (h *history) place(e *replay.Event) Place {
	o := e.Outcome
	return Place{
		Position: e.Position, Actor: o.Actor, ActorID: e.ID().String(), Event: h.events, Time: e.Time(),
		Action: nameOf(h.now, o.Action), RequestID: o.GetAction().GetRequestId(), CodeVersion: o.CodeVersion,
	}
}

// nameOf is what an action does, for people.
func nameOf(before *machine.Actor, a *actorlogv1.Action) string {
	if i := a.GetInvoke(); i != nil {
		return i.Name
	}
	if f := a.GetFire(); f != nil && before != nil {
		if s := before.Schedule(f.ScheduleId); s != nil {
			return s.Action
		}
	}
	if a == nil {
		return ""
	}
	m := a.ProtoReflect()
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("body")); f != nil {
		return string(f.Name())
	}
	return ""
}
