package machine

import (
	"github.com/actorlog/actorlog/actors/actor"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// errInService refuses to repair what is not broken.
var errInService = actor.ErrInvalidRequest.Messagef("The actor is in service.")

// repair brings an actor back that is out of service: as it was before what cannot be read, or as its host has read it again. Whoever reads the log takes
// it over as it stands in the outcome, whether he could read what was before or not.
func (a *Actor) repair(in Ask, skip bool) Effects {
	next := *a
	switch {
	case a.Broken == "":
		return a.answer(in.Ref, in.Action, nil, errInService)
	case skip:
	case in.Again == nil || in.Again.Broken != "":
		return a.answer(in.Ref, in.Action, nil, errBroken)
	default:
		next = *in.Again
		next.Refused, next.TimeMs, next.LastOffset = a.Refused, max(a.TimeMs, next.TimeMs), max(a.LastOffset, next.LastOffset)
	}
	next.Broken = ""
	o := next.outcome(in.Ref, in.Action)
	o.Repaired, o.ResultJson = next.Snapshot(), []byte{}
	a.record(o, nil)
	return Effects{Outcome: o}
}

// restoreTo makes the actor what a snapshot says, but for what it has answered.
func (a *Actor) restoreTo(s *actorlogv1.Snapshot) {
	restored, err := Restore(a.Hash, s)
	if err != nil { // it names no actor: Snapshot writes none like that
		a.Broken = err.Error()
		return
	}
	restored.Refused, restored.LastRef, restored.LastOffset = a.Refused, a.LastRef, a.LastOffset
	*a = restored
}
