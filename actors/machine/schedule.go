package machine

import (
	"slices"

	"github.com/actorlog/actorlog/actors/actor"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// missedAfter is how late a firing may be, in ms, before its time counts as missed: longer than a hand-over of its shard.
const missedAfter = 10_000

// fire runs a schedule that is due, or passes over it.
func (a *Actor) fire(in Ask, run *Run, f *actorlogv1.Fire) Effects {
	s := a.Schedule(f.ScheduleId)
	if s == nil || s.DueUnixMs != f.DueUnixMs {
		// It was cancelled or set anew since, or has fired: whoever asked did not know yet.
		return a.answer(in.Ref, in.Action, []byte{}, nil)
	}
	if s.Missed == actorlogv1.Schedule_MISSED_SKIP && s.Failed == 0 && a.missed(s, run.TimeMs) {
		o := a.outcome(in.Ref, in.Action)
		o.ResultJson = []byte{}
		a.moveOn(o, s, false)
		a.advance(o, a.State)
		return Effects{Outcome: o}
	}
	run.Schedule = s
	run.Invoke = &actorlogv1.Invoke{Name: s.Action, ArgsJson: s.ArgsJson}
	return Effects{Run: run}
}

// missed says that a firing is so late that it does not count as one any more: by missedAfter, or by a whole interval.
func (a *Actor) missed(s *actorlogv1.Schedule, nowMs int64) bool {
	return nowMs-s.OccurrenceUnixMs > missedAfter || (s.EveryMs > 0 && nowMs-s.OccurrenceUnixMs >= s.EveryMs)
}

// moveOn records what becomes of a schedule that has fired: another attempt, the next time, or the end. What the action itself did
// to it goes before.
func (a *Actor) moveOn(o *actorlogv1.Outcome, s *actorlogv1.Schedule, failed bool) {
	if slices.Contains(o.Unscheduled, s.Id) || slices.ContainsFunc(o.Scheduled, func(other *actorlogv1.Schedule) bool { return other.Id == s.Id }) {
		return
	}
	next := &actorlogv1.Schedule{
		Id: s.Id, Action: s.Action, ArgsJson: s.ArgsJson, EveryMs: s.EveryMs, Cron: s.Cron, TimeZone: s.TimeZone,
		Missed: s.Missed, MaxAttempts: s.MaxAttempts, BackoffMs: s.BackoffMs, MaxBackoffMs: s.MaxBackoffMs, SetUnixMs: s.SetUnixMs,
	}
	if failed && s.Failed+1 < s.MaxAttempts {
		next.Failed, next.OccurrenceUnixMs = s.Failed+1, s.OccurrenceUnixMs
		next.DueUnixMs = o.TimeUnixMs + min(s.BackoffMs<<min(s.Failed, 30), s.MaxBackoffMs)
		o.Scheduled = append(slices.Clip(o.Scheduled), next)
		return
	}
	after := o.TimeUnixMs
	if s.Missed == actorlogv1.Schedule_MISSED_FIRE_ALL {
		after = s.OccurrenceUnixMs
	}
	due, err := int64(0), error(nil)
	if s.EveryMs > 0 || s.Cron != "" {
		due, err = actor.NextTime(s, max(after, s.OccurrenceUnixMs))
	}
	if due == 0 {
		if err != nil {
			o.Warnings = append(o.Warnings, clean("the schedule "+s.Id+" is over: "+err.Error()))
		}
		o.Unscheduled = append(slices.Clip(o.Unscheduled), s.Id)
		return
	}
	next.DueUnixMs, next.OccurrenceUnixMs = due, due
	o.Scheduled = append(slices.Clip(o.Scheduled), next)
}
