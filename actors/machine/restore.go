package machine

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/actorlog/actorlog/actors/actor"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// restore gives the actor a state from elsewhere. No user code runs: what was recorded is restored, not what the code would make of it. It is
// checked that the code can read it, for an actor that cannot be loaded helps nobody.
func (a *Actor) restore(in Ask, run *Run, r *actorlogv1.Restore) Effects {
	refuse := func(err error) Effects { return a.answer(in.Ref, in.Action, nil, err) }
	state := r.StateJson
	switch {
	case r.Replaces != nil && *r.Replaces != StateFingerprint(a.State):
		return refuse(actor.ErrConflict)
	case !run.Create && (r.Generation != 0 || r.Ended):
		return refuse(actor.ErrInvalidRequest.Messagef("Only a life that begins can have a generation of one's choice."))
	case run.Create && in.Action.Creation.Policy != actorlogv1.Creation_POLICY_MUST_BE_ABSENT:
		return refuse(actor.ErrInvalidRequest.Messagef("A state is restored into an actor that lives, or into one that must be absent."))
	case r.Generation != 0 && r.Generation <= a.Generation:
		return refuse(actor.ErrInvalidRequest.Messagef("Generation %d of this actor has been already: the last one was %d.", r.Generation, a.Generation))
	case r.Ended:
		state = []byte("null")
	case !json.Valid(state):
		return refuse(actor.ErrInvalidRequest.Messagef("The state to be restored is not JSON."))
	default:
		if err := in.Rules.Loads(run.Kind, state, r.StateVersion); err != nil {
			return refuse(actor.ErrInvalidRequest.Messagef("The workers' code cannot read the state to be restored: %v", err))
		}
	}
	o := a.outcome(in.Ref, in.Action)
	o.ResultJson = []byte{}
	before := a.State
	if run.Create {
		before = nil
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED
		o.Actor.Generation, o.Actor.CreatedUnixMs = run.ID.Generation, o.TimeUnixMs
		if r.Generation != 0 {
			o.Actor.Generation = r.Generation
		}
		if r.CreatedUnixMs != 0 {
			o.Actor.CreatedUnixMs = r.CreatedUnixMs
		}
	}
	if err := a.change(o, before, state, r.StateVersion); err != nil {
		return refuse(err)
	}
	switch {
	case r.Ended:
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
	case !r.KeepSchedules:
		o.Scheduled = slices.Clone(r.Schedules)
		slices.SortFunc(o.Scheduled, func(x, y *actorlogv1.Schedule) int { return strings.Compare(x.Id, y.Id) })
		for _, had := range a.Schedules {
			if !slices.ContainsFunc(o.Scheduled, func(s *actorlogv1.Schedule) bool { return s.Id == had.Id }) {
				o.Unscheduled = append(o.Unscheduled, had.Id)
			}
		}
	}
	a.record(o, state)
	return Effects{Outcome: o}
}

// StateFingerprint tells states apart, for Restore.replaces. A missing state has the one of no bytes.
func StateFingerprint(state []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range state {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// withoutState is a Restore as its outcome repeats it.
func withoutState(r *actorlogv1.Restore) *actorlogv1.Restore {
	return &actorlogv1.Restore{
		StateVersion: r.StateVersion, KeepSchedules: r.KeepSchedules, Generation: r.Generation, CreatedUnixMs: r.CreatedUnixMs, Ended: r.Ended,
		Source: r.Source, Reason: r.Reason, Replaces: r.Replaces,
	}
}
