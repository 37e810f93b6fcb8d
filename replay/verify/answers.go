package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// caller is an action that calls other actors.
type caller struct {
	partition int32
	ref       int64
	actor     schemas.Hash
}

// call is one call of it.
type call struct {
	to     schemas.Hash
	number uint32
}

// answer is an outcome of who was called, with as much of it as the caller gets.
type answer struct {
	outcome *actorlogv1.Outcome
	// kept: the actor remembers it, and answers with it whoever makes the call again.
	kept bool
}

// answers finds what actors were answered in the history. It is safe for concurrent use.
type answers interface {
	// to returns all answers to a call, oldest first. whole says that there are no others: the history of who was called is kept.
	to(ctx context.Context, by caller, c call) (all []answer, whole bool, err error)
	// calls that an action made, as far as it is known.
	made(by caller) []call
}

// pick chooses the answer that an action got whose outcome is recorded. Usually there is one. But an action whose worker dies runs again, and where the mailbox of
// who was called was full for one of the runs, that run got another answer: which of them the outcome builds on, only trying tells. nth is 0 for
// the one that the called actor remembers, and else which of all to try.
func pick(all []answer, nth int) *actorlogv1.Outcome {
	if len(all) == 0 {
		return nil
	}
	i := min(nth-1, len(all)-1)
	if nth == 0 {
		if i = slices.IndexFunc(all, func(a answer) bool { return a.kept }); i < 0 {
			i = len(all) - 1
		}
	}
	return all[i].outcome
}

// answerOf is what an outcome says to an actor that called; false if it was none that did, or one that sent.
func answerOf(o *actorlogv1.Outcome) (by caller, number uint32, a answer, ok bool) {
	origin := o.GetAction().GetOrigin()
	hash, whole := schemas.ParseHash(origin.GetActor())
	if origin == nil || !whole || origin.Number&actor.SendNumbers != 0 {
		return by, 0, a, false
	}
	by = caller{partition: origin.Partition, ref: origin.Ref, actor: hash}
	a.outcome = &actorlogv1.Outcome{
		Ref: o.Ref, Actor: o.Actor, ResultJson: o.ResultJson, Error: o.Error, Lifecycle: o.Lifecycle, Repeats: o.Repeats, Enqueued: o.Enqueued,
		RefusedSince: o.RefusedSince, Sealed: o.Sealed,
	}
	a.kept = o.RefusedSince == nil && !isError(o.Error, actor.ErrStaleCall) && !isError(o.Error, actor.ErrTooLate) &&
		!isError(o.Error, actor.ErrActionNotFound) && !isError(o.Error, actor.ErrKindNotFound)
	return by, origin.Number, a, true
}

// resolve gives a repeat the outcome that it repeats, and leaves it out if that is among the others.
func resolve(ctx context.Context, src eventlog.Source, to schemas.Hash, all []answer) ([]answer, error) {
	if !slices.ContainsFunc(all, func(a answer) bool { return a.outcome.Repeats != nil }) {
		return all, nil
	}
	first := slices.ContainsFunc(all, func(a answer) bool { return a.outcome.Repeats == nil && a.kept })
	var list []answer
	for _, a := range all {
		if a.outcome.Repeats == nil {
			list = append(list, a)
			continue
		}
		if first {
			continue
		}
		o, err := outcomeAt(ctx, src, to, *a.outcome.Repeats)
		if err != nil {
			return nil, err
		}
		if o != nil {
			list = append(list, answer{outcome: o, kept: true})
		}
	}
	return list, nil
}

func outcomeAt(ctx context.Context, src eventlog.Source, hash schemas.Hash, offset int64) (o *actorlogv1.Outcome, err error) {
	p := hash.Shard(src.Partitions())
	err = eventlog.Scan(ctx, src, eventlog.Events, p, offset, offset+1, func(rec *eventlog.Record) error {
		if found, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.Type(rec.Header(schemas.HeaderType)), rec.Value); err == nil && string(rec.Key) == string(hash[:]) {
			o = found
		}
		return nil
	})
	if errors.Is(err, eventlog.ErrOffsetOutOfRange) {
		return nil, nil
	}
	return o, err
}

// lazyAnswers reads the history of an actor when it turns out that it was called. It is not safe for concurrent use.
type lazyAnswers struct {
	r      *replay.Reader
	actors map[schemas.Hash]*calledActor
}

type calledActor struct {
	answers map[caller]map[uint32][]answer
	whole   bool
}

func (l *lazyAnswers) to(ctx context.Context, by caller, c call) ([]answer, bool, error) {
	a := l.actors[c.to]
	if a == nil {
		a = &calledActor{answers: make(map[caller]map[uint32][]answer), whole: true}
		for e, err := range l.r.History(ctx, c.to, replay.Range{}) {
			if err != nil {
				return nil, false, fmt.Errorf("reading the history of an actor that was called: %w", err)
			}
			if len(a.answers) == 0 && e.Outcome != nil && e.Outcome.Prev != nil {
				a.whole = false
			}
			if by, number, found, ok := answerOf(e.Outcome); ok {
				if a.answers[by] == nil {
					a.answers[by] = make(map[uint32][]answer)
				}
				a.answers[by][number] = append(a.answers[by][number], found)
			}
		}
		if l.actors == nil {
			l.actors = make(map[schemas.Hash]*calledActor)
		}
		l.actors[c.to] = a
	}
	all, err := resolve(ctx, l.r.Source(), c.to, a.answers[by][c.number])
	return all, a.whole, err
}

func (l *lazyAnswers) made(by caller) []call {
	var list []call
	for to, a := range l.actors {
		for number := range a.answers[by] {
			list = append(list, call{to: to, number: number})
		}
	}
	return list
}

// surveyedAnswers has those of the whole log.
type surveyedAnswers struct {
	src   eventlog.Source
	calls map[caller]map[call][]answer
	whole bool
}

// take notes an outcome of who was called.
func (s *surveyedAnswers) take(hash schemas.Hash, o *actorlogv1.Outcome) {
	by, number, a, ok := answerOf(o)
	if !ok {
		return
	}
	if s.calls[by] == nil {
		s.calls[by] = make(map[call][]answer)
	}
	c := call{to: hash, number: number}
	s.calls[by][c] = append(s.calls[by][c], a)
}

func (s *surveyedAnswers) to(ctx context.Context, by caller, c call) ([]answer, bool, error) {
	all, err := resolve(ctx, s.src, c.to, s.calls[by][c])
	return all, s.whole, err
}

func (s *surveyedAnswers) made(by caller) []call {
	var list []call
	for c := range s.calls[by] {
		list = append(list, c)
	}
	return list
}

// hasOrigin says whether the action of an outcome was asked by an actor, without decoding it.
func hasOrigin(outcome []byte) bool {
	const action, origin = 4, 9
	return len(field(field(outcome, action), origin)) > 0
}

// field is a field of a message that is a message, nil if it is not set.
func field(m []byte, number protowire.Number) []byte {
	for len(m) > 0 {
		n, t, size := protowire.ConsumeTag(m)
		if size < 0 {
			return nil
		}
		m = m[size:]
		if n == number && t == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(m)
			return v
		}
		if size = protowire.ConsumeFieldValue(n, t, m); size < 0 {
			return nil
		}
		m = m[size:]
	}
	return nil
}
