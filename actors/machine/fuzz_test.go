package machine_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Whatever outcomes stand in the log, Apply does not panic: a record that makes no sense stops
// its actor, never the reader. Afterwards
//
//   - the actor can be written down and read again, and is the same;
//   - an actor that lives has a state and a generation, or is broken;
//   - what was applied is answered, and is not applied again.
func FuzzActor_Apply(f *testing.F) {
	b := newBench(f)
	seed := func(o *actorlogv1.Outcome) []byte {
		value, err := schemas.Encode(o)
		require.NoError(f, err)
		return value
	}
	first := seed(b.ask(invoke()))
	for _, o := range []*actorlogv1.Outcome{
		b.ask(invoke(func(a *actorlogv1.Action) { a.IdempotencyKey = "k" })),
		b.ask(invoke(body(&actorlogv1.Destroy{}))),
		{Ref: 4, RefusedSince: proto.Int64(9)},
		{Ref: 4, Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED},
		{Ref: 4, Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED, Actor: &actorlogv1.Actor{}},
		{Ref: 4, Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED, StateJson: []byte("1")},
		{Ref: 4, Action: &actorlogv1.Action{IdempotencyKey: "k"}, TimeUnixMs: -1 << 63},
		{Ref: 4, Action: &actorlogv1.Action{IdempotencyKey: "k"}, TimeUnixMs: 1<<63 - 1},
		{Ref: 4, Actor: &actorlogv1.Actor{}, PatchJson: []byte("[{}]")},
	} {
		f.Add(first, seed(o))
		f.Add(seed(o), first)
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a := machine.NewActor(orgHash)
		for i, value := range [][]byte{one, two, two, one} {
			o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeOutcome, value)
			if err != nil {
				return
			}
			before := a
			counts, err := a.Apply(int64(i), o)
			require.True(t, counts || err == nil)
			require.False(t, counts && i >= 2, "a second outcome of one action counts")
			if !counts {
				require.Equal(t, before, a)
				continue
			}
			require.True(t, a.Answered(o.Ref) || o.RefusedSince != nil)
			require.Equal(t, int64(i), a.LastOffset)
			if a.Broken == "" {
				require.Equal(t, a.Alive, a.State != nil)
				require.False(t, a.Alive && a.Generation == 0)
			}
			value, err := schemas.Encode(a.Snapshot())
			require.NoError(t, err)
			s, err := schemas.DecodeAs[*actorlogv1.Snapshot](schemas.TypeSnapshot, value)
			require.NoError(t, err)
			again, err := machine.Restore(orgHash, s)
			require.NoError(t, err)
			require.Equal(t, a.Answered(o.Ref), again.Answered(o.Ref))
			require.True(t, proto.Equal(s, again.Snapshot()))
		}
	})
}

// Whatever is asked, of an actor that lives or does not, Step has exactly one effect, and its
// outcome can be recorded.
func FuzzActor_Step(f *testing.F) {
	for _, action := range []*actorlogv1.Action{
		{}, invoke(), invoke(creation(nil)), invoke(body(nil)), invoke(body(&actorlogv1.Read{})), invoke(body(&actorlogv1.Resolve{})),
		invoke(body(&actorlogv1.Destroy{})), invoke(address(&actorlogv1.Actor{Generation: 1})),
		invoke(creation(&actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT, InputJson: []byte(`{"start":-1}`)})),
		invoke(func(a *actorlogv1.Action) { a.IdempotencyKey, a.TimeUnixMs = "k", 1<<63-1 }),
	} {
		value, err := schemas.Encode(action)
		require.NoError(f, err)
		f.Add(true, value)
		f.Add(false, value)
	}
	f.Fuzz(func(t *testing.T, alive bool, value []byte) {
		action, err := schemas.DecodeAs[*actorlogv1.Action](schemas.TypeAction, value)
		if err != nil {
			return
		}
		b := newBench(t)
		if alive {
			b.ask(invoke(func(a *actorlogv1.Action) { a.IdempotencyKey = "k" }))
		}
		eff := b.a.Step(machine.Ask{Ref: 5, Action: action, Rules: ruled(all)})
		require.Equal(t, 1, bools(eff.Skip, eff.Run != nil, eff.Outcome != nil))
		if eff.Run != nil {
			var created []byte
			if eff.Run.Create {
				created = []byte("{}")
			}
			eff = b.a.Step(ran{Run: eff.Run, Created: created, State: []byte("{}"), Effects: actor.Effects{Destroyed: action.TimeUnixMs%2 == 0}}.returned())
		}
		_, err = schemas.Encode(eff.Outcome)
		require.NoError(t, err)
		if meta := eff.Outcome.GetError().GetMetadataJson(); meta != nil {
			require.True(t, json.Valid(meta))
		}
		require.False(t, eff.Outcome.Error == nil && eff.Outcome.Repeats == nil && eff.Outcome.ResultJson == nil, "an answer that is none")
		b.a.Appended(b.next, eff.Outcome)
		require.True(t, b.a.Step(machine.Ask{Ref: 5, Action: action, Rules: ruled(all)}).Skip)
		require.True(t, b.a.Step(machine.Refuse{Ref: 5, Action: action, Since: 5}).Skip)
	})
}
