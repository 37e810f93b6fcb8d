package replay

import (
	"context"
	"errors"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// notYet is why an event is not found that may still come.
func (r *Reader) notYet() string {
	if part, ok := r.src.(interface{ Absent() string }); ok {
		return "has not happened yet, or is " + part.Absent()
	}
	return "has not happened yet"
}

// effects finds what came of an event.
func (r *Reader) effects(ctx context.Context, e *Event, x *Explanation) error {
	o := e.Outcome
	if o == nil {
		return nil
	}
	if err := r.called(ctx, e, x); err != nil {
		return err
	}
	for _, s := range o.Sends {
		hash, ok := schemas.ParseHash(s.To)
		if !ok {
			continue
		}
		got, err := r.lookFor(ctx, hash, o.TimeUnixMs, func(c *Event) order {
			switch {
			case asks(c.Outcome, e, s.Number):
				return found
			case c.Outcome != nil && c.Outcome.RefusedSince == nil && c.Outcome.TimeUnixMs < o.TimeUnixMs-slackMs:
				return tooEarly
			}
			return unknown
		})
		if err != nil && !errors.Is(err, ErrGone) {
			return err
		}
		to := actorOf(s.Actor)
		x.Effects = append(x.Effects, link("sent to", got, r.notYet(), &to))
	}
	if len(o.Scheduled) == 0 && !o.Enqueued {
		return nil
	}
	return r.later(ctx, e, x)
}

// asks says that an outcome is of what an event's action asked.
func asks(o *actorlogv1.Outcome, e *Event, number uint32) bool {
	by := o.GetAction().GetOrigin()
	return by != nil && o.Repeats == nil && by.Partition == e.Position.Partition && by.Ref == e.Outcome.Ref && by.Number == number && string(by.Actor) == string(e.Hash[:])
}

// later finds what came of an event at its own actor: schedules that fired, messages that were completed.
func (r *Reader) later(ctx context.Context, e *Event, x *Explanation) error {
	o := e.Outcome
	pending := make(map[string]*Event, len(o.Scheduled))
	for _, s := range o.Scheduled {
		pending[s.Id] = nil
	}
	open, wait := len(pending), o.Enqueued
	why := make(map[string]string)
	var completed *Event
	for c, err := range r.History(ctx, e.Hash, Range{From: e.Position.Offset + 1}) {
		if err != nil {
			return err
		}
		if f := c.Outcome.GetAction().GetFire(); f != nil {
			if was, ok := pending[f.ScheduleId]; ok && was == nil && why[f.ScheduleId] == "" {
				pending[f.ScheduleId] = c
				open--
			}
		}
		for _, id := range c.Outcome.GetUnscheduled() {
			if was, ok := pending[id]; ok && was == nil && why[id] == "" {
				why[id] = "was cancelled at " + c.Position.String()
				open--
			}
		}
		for _, done := range c.Outcome.GetCompleted() {
			if wait && done.MessageId == o.Ref {
				completed, wait = c, false
			}
		}
		if open == 0 && !wait {
			break
		}
		if l := c.Outcome.GetLifecycle(); l == actorlogv1.Lifecycle_LIFECYCLE_DESTROYED || c.creates() {
			for id, was := range pending {
				if was == nil && why[id] == "" {
					why[id] = "the actor was destroyed before, at " + c.Position.String()
				}
			}
			break
		}
	}
	own := actorOf(o.Actor)
	for _, s := range o.Scheduled {
		missing := why[s.Id]
		if missing == "" {
			missing = "is due at " + scheduleOf(s).Due.Format("2006-01-02T15:04:05.000Z07:00")
		}
		l := link("scheduled", pending[s.Id], s.Action+" "+missing, &own)
		if l.Entry != nil {
			l.Entry.Action = s.Action
		}
		x.Effects = append(x.Effects, l)
	}
	if o.Enqueued {
		x.Effects = append(x.Effects, link("was completed by", completed, r.notYet(), &own))
	}
	return nil
}

// called finds the calls that an action made, in all shards: they ran while it ran.
func (r *Reader) called(ctx context.Context, e *Event, x *Explanation) error {
	o := e.Outcome
	if o.RefusedSince != nil || o.Repeats != nil {
		return nil
	}
	// A call is asked by the clock of the worker, after it has read the action; that may have waited.
	begin, end := o.TimeUnixMs-1000, o.TimeUnixMs+slackMs+o.DurationUs/1000
	for p := range r.src.Partitions() {
		from, err := r.seek(ctx, p, begin)
		if err != nil {
			return err
		}
		_, last, err := r.bounds(ctx, p)
		if err != nil {
			return err
		}
		for c, err := range r.Shard(ctx, p, Range{From: from, To: min(last, from+maxCalled)}) {
			if err != nil {
				return orNil(err, ErrGone)
			}
			if c.Outcome.GetTimeUnixMs() > end {
				break
			}
			if by := c.Outcome.GetAction().GetOrigin(); by != nil && by.Number&actor.SendNumbers == 0 && asks(c.Outcome, e, by.Number) {
				x.Effects = append(x.Effects, Link{How: "called", Entry: c.Entry()})
			}
		}
	}
	return nil
}
