package machine

import actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"

// Answers is which actions of an actor have their outcome: the half of the rule which outcomes count that is the actor's. The other half is the
// [Fence]'s. Copies are snapshots.
type Answers struct {
	// LastRef is the ref of the last outcome in turn, -1 before the first.
	LastRef int64
	// Refused is the runs of actions beyond LastRef that were refused out of turn.
	Refused []RefRange
}

// RefRange is a run of action offsets, both ends included.
type RefRange struct{ First, Last int64 }

// NoAnswers is those of an actor without outcomes.
func NoAnswers() Answers { return Answers{LastRef: -1} }

// Take takes in an outcome that the [Fence] admitted. It returns false, and changes nothing, when its action was answered before: the outcome is void.
func (a *Answers) Take(o *actorlogv1.Outcome) bool {
	if a.Answered(o.Ref) {
		return false
	}
	a.note(o)
	return true
}

// Answered says whether the action at ref has its outcome.
func (a *Answers) Answered(ref int64) bool {
	if ref <= a.LastRef {
		return true
	}
	for _, r := range a.Refused {
		if r.First <= ref && ref <= r.Last {
			return true
		}
	}
	return false
}

// LastAnswered is the highest ref that is answered, in turn or out of turn; -1 when there is none.
func (a *Answers) LastAnswered() int64 {
	if n := len(a.Refused); n > 0 {
		return max(a.LastRef, a.Refused[n-1].Last)
	}
	return a.LastRef
}

func (a *Answers) note(o *actorlogv1.Outcome) {
	if o.RefusedSince != nil {
		a.refuse(min(*o.RefusedSince, o.Ref), o.Ref)
		return
	}
	a.LastRef = o.Ref
	a.pruneRefused()
}

func (a *Answers) refuse(since, ref int64) {
	if n := len(a.Refused); n > 0 && a.Refused[n-1].First == since {
		// A copy, not a change in place: older copies keep their view.
		a.Refused = append(a.Refused[:n-1:n-1], RefRange{First: since, Last: ref})
		return
	}
	n := len(a.Refused)
	a.Refused = append(a.Refused[:n:n], RefRange{First: since, Last: ref})
}

func (a *Answers) pruneRefused() {
	i := 0
	for i < len(a.Refused) && a.Refused[i].Last <= a.LastRef {
		i++
	}
	if a.Refused = a.Refused[i:]; len(a.Refused) == 0 {
		a.Refused = nil
	}
}
