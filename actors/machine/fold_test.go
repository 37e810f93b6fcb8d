package machine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// The owner's view of an actor and the log's are the same, at every outcome, whatever happens:
//
//   - Step and Appended on the head == Apply of the recorded outcomes == Restore of a snapshot
//     from anywhere, and Apply of what follows it (and of some of what it holds already);
//   - every action has exactly one outcome that counts, through crashes and refusals;
//   - in turn, refs grow and time does not go back; generations begin and end one after the other;
//   - prev leads from the last outcome to the first.
func TestFold_OwnerAndLogAgree(t *testing.T) {
	t.Parallel()
	seed := seed.New(t)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 150 {
		l := &life{t: t, stateMaker: stateMaker{r}, head: machine.NewActor(orgHash), folded: machine.NewActor(orgHash), refuseSince: -1, answers: make(map[int64]int)}
		for range 200 {
			l.happen()
		}
		l.drain()
		l.check()
	}
}

// life is one actor with its owner, as package host runs it, and the log.
type life struct {
	t *testing.T
	stateMaker
	// actions is the actor's part of the actions topic, and read how far the owner has read it.
	actions []machine.Ask
	read    int
	// What the owner has in memory.
	head        machine.Actor
	mailbox     []machine.Ask
	running     *machine.Run
	refuseSince int64
	// outcomes is the actor's part of the events topic, and folded the actor by it.
	outcomes []stored
	folded   machine.Actor
	views    []machine.Actor // folded after each outcome
	answers  map[int64]int
	nowMs    int64
}

type stored struct {
	offset  int64
	outcome *actorlogv1.Outcome
}

const mailboxSize = 3

func (l *life) happen() {
	switch n := l.IntN(20); {
	case n < 7:
		l.actions = append(l.actions, l.action())
	case n < 12:
		l.offer()
	case n < 19:
		l.work()
	default:
		l.crash()
	}
}

// action is what anybody may ask next.
func (l *life) action() machine.Ask {
	ref := int64(l.IntN(3))
	if n := len(l.actions); n > 0 {
		ref += l.actions[n-1].Ref + 1
	}
	switch l.IntN(10) {
	case 0:
		l.nowMs -= int64(l.IntN(1000)) // another gateway's clock
	case 1:
		l.nowMs += 9 * 60 * 60 * 1000
	default:
		l.nowMs += int64(l.IntN(1000))
	}
	a := invoke(func(a *actorlogv1.Action) {
		a.TimeUnixMs, a.Sequence, a.Caller = l.nowMs, uint64(ref), &actorlogv1.Caller{Gateway: "g"}
	})
	a.GetInvoke().Name = l.name()
	if l.IntN(4) == 0 {
		a.IdempotencyKey = fmt.Sprint("k", l.IntN(6))
		a.GetInvoke().Name = fmt.Sprint("for ", a.IdempotencyKey, l.IntN(10) == 0)
	}
	switch l.IntN(12) {
	case 0:
		a.Creation = nil
	case 1:
		a.Creation.Policy = actorlogv1.Creation_POLICY_MUST_BE_ABSENT
	case 2:
		a.Actor = &actorlogv1.Actor{Generation: uint32(l.IntN(4))}
	case 3:
		a.Actor.Key = []string{"another"}
	}
	switch l.IntN(12) {
	case 0:
		body(&actorlogv1.Resolve{})(a)
	case 1:
		body(&actorlogv1.Read{})(a)
	case 2:
		body(&actorlogv1.Destroy{})(a)
	case 3:
		body(nil)(a)
	}
	return machine.Ask{Ref: ref, Action: a, Rules: ruled(all)}
}

// offer is the owner reading one action.
func (l *life) offer() {
	if l.read == len(l.actions) {
		return
	}
	ask := l.actions[l.read]
	l.read++
	load := len(l.mailbox)
	if l.running != nil {
		load++
	}
	if load < mailboxSize {
		l.refuseSince = -1
		l.mailbox = append(l.mailbox, ask)
		return
	}
	if l.refuseSince < 0 {
		l.refuseSince = ask.Ref
	}
	eff := l.head.Step(machine.Refuse{Ref: ask.Ref, Action: ask.Action, Since: l.refuseSince})
	require.Equal(l.t, l.answers[ask.Ref] > 0, eff.Skip)
	if !eff.Skip {
		l.append(eff.Outcome)
	}
}

// work is the actor taking its next action, or user code coming back.
func (l *life) work() {
	before := l.head
	var eff machine.Effects
	var ask machine.Ask
	switch {
	case l.running != nil:
		ask = machine.Ask{Ref: l.running.Ref, Action: l.running.Action}
		eff = l.head.Step(l.user(l.running))
		l.running = nil
	case len(l.mailbox) > 0:
		ask = l.mailbox[0]
		l.mailbox = l.mailbox[1:]
		eff = l.head.Step(ask)
		require.Equal(l.t, l.answers[ask.Ref] > 0, eff.Skip)
	default:
		return
	}
	switch {
	case eff.Skip:
	case eff.Run != nil:
		l.running = eff.Run
		require.Equal(l.t, before, l.head, "nothing has happened yet")
		require.Equal(l.t, max(before.TimeMs, ask.Action.TimeUnixMs), eff.Run.TimeMs)
	case l.IntN(15) == 0:
		l.head = before
		l.append(l.head.TooLarge(ask.Ref, ask.Action, 2000, l.IntN(300)))
	default:
		require.Equal(l.t, eff.Outcome.Repeats != nil, eff.Settle)
		asked := proto.Clone(ask.Action).(*actorlogv1.Action)
		asked.Actor = nil
		require.True(l.t, proto.Equal(asked, eff.Outcome.Action), "an outcome says what was asked")
		l.append(eff.Outcome)
	}
}

// user is what user code may come back with.
func (l *life) user(run *machine.Run) machine.Returned {
	r := ran{Run: run, DurationUs: int64(l.IntN(10))}
	state := l.head.State
	if run.Create {
		if l.IntN(8) == 0 {
			r.Err = actor.UserError("no", "not created")
			return r.returned()
		}
		state = l.state()
		r.Created = state
	}
	r.State = state
	if run.Invoke == nil {
		return r.returned()
	}
	switch l.IntN(8) {
	case 0:
		r.Err = actor.UserError("no", "refused").With("why")
	case 1:
		r.Err, r.Detail = errors.New("disk \xff on fire"), "stack"
	case 2:
		r.Effects.Destroyed = true
	case 3:
	default:
		r.State = l.change(state)
		r.Result = l.state()
		r.Effects.Broadcasts = []*actorlogv1.Broadcast{{Name: "e", ArgsJson: []byte("[]")}}
	}
	return r.returned()
}

// append stores an outcome, and lets a reader of the log see it.
func (l *life) append(o *actorlogv1.Outcome) {
	offset := int64(l.IntN(3)) // other actors' outcomes stand between
	if n := len(l.outcomes); n > 0 {
		offset += l.outcomes[n-1].offset + 1
		require.NotNil(l.t, o.Prev)
		require.Equal(l.t, l.outcomes[n-1].offset, *o.Prev)
	} else {
		require.Nil(l.t, o.Prev)
	}
	value, err := schemas.Encode(o)
	require.NoError(l.t, err)
	read, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeOutcome, value)
	require.NoError(l.t, err)

	l.head.Appended(offset, o)
	was := l.folded
	counts, err := l.folded.Apply(offset, read)
	require.NoError(l.t, err)
	require.True(l.t, counts)
	requireSameActor(l.t, l.folded, l.head)
	l.outcomes = append(l.outcomes, stored{offset, read})
	l.views = append(l.views, l.folded)
	l.answers[o.Ref]++
	require.Equal(l.t, 1, l.answers[o.Ref])

	// What an outcome may say.
	require.False(l.t, len(read.PatchJson) > 0 && len(read.StateJson) > 0)
	require.False(l.t, read.Error != nil && (read.ResultJson != nil || len(read.Broadcasts) > 0 || len(read.PatchJson) > 0))
	if read.RefusedSince != nil {
		require.Equal(l.t, was.State, l.folded.State)
		require.Equal(l.t, was.LastRef, l.folded.LastRef)
		require.Equal(l.t, was.TimeMs, l.folded.TimeMs)
		return
	}
	require.Greater(l.t, read.Ref, was.LastRef)
	require.GreaterOrEqual(l.t, read.TimeUnixMs, was.TimeMs)
	created := read.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED || read.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
	if created {
		require.False(l.t, was.Alive)
		require.NotEmpty(l.t, read.StateJson)
	}
	require.Equal(l.t, was.Generation+btoi(created), l.folded.Generation)
	require.Equal(l.t, l.folded.Generation, read.Actor.Generation)
	require.Equal(l.t, l.folded.Alive, l.folded.State != nil)
}

// crash loses all that the owner had in memory. The next one starts from some snapshot, and
// reads the actions again from the first that has no answer, or from before it.
func (l *life) crash() {
	l.head = l.recover(l.IntN(len(l.outcomes) + 1))
	requireSameActor(l.t, l.folded, l.head)
	l.mailbox, l.running, l.refuseSince = nil, nil, -1
	for i := range l.read {
		if l.answers[l.actions[i].Ref] == 0 {
			l.read = i
			break
		}
	}
	l.read -= l.IntN(min(l.read, 10) + 1)
}

// recover is the actor by a snapshot after n outcomes, and all outcomes from some before that on.
func (l *life) recover(n int) machine.Actor {
	a := machine.NewActor(orgHash)
	if n > 0 {
		value, err := schemas.Encode(l.views[n-1].Snapshot())
		require.NoError(l.t, err)
		s, err := schemas.DecodeAs[*actorlogv1.Snapshot](schemas.TypeSnapshot, value)
		require.NoError(l.t, err)
		a, err = machine.Restore(orgHash, s)
		require.NoError(l.t, err)
		requireSameActor(l.t, l.views[n-1], a)
		require.True(l.t, proto.Equal(s, a.Snapshot()))
	}
	for i := l.IntN(n + 1); i < len(l.outcomes); i++ {
		counts, err := a.Apply(l.outcomes[i].offset, l.outcomes[i].outcome)
		require.NoError(l.t, err)
		require.Equal(l.t, i >= n, counts)
	}
	return a
}

func (l *life) drain() {
	for l.read < len(l.actions) || len(l.mailbox) > 0 || l.running != nil {
		l.offer()
		l.work()
	}
}

func (l *life) check() {
	for _, a := range l.actions {
		require.Equal(l.t, 1, l.answers[a.Ref])
		require.True(l.t, l.folded.Answered(a.Ref))
		require.True(l.t, l.head.Step(a).Skip)
	}
	for n := range len(l.outcomes) + 1 {
		requireSameActor(l.t, l.folded, l.recover(n))
	}
	// The views that were taken on the way are still what they were.
	a := machine.NewActor(orgHash)
	for i, o := range l.outcomes {
		_, err := a.Apply(o.offset, o.outcome)
		require.NoError(l.t, err)
		requireSameActor(l.t, a, l.views[i])
	}
}
