package machine_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var (
	orgKey  = schemas.Key{"org", "42"}
	orgHash = schemas.HashOf("default", "counter", orgKey)
)

// ruled is rules without hooks, for the kinds that it says are known. Every kind has a queue "jobs".
type ruled func(kind string) bool

func (r ruled) Known(kind string) bool             { return r(kind) }
func (ruled) Runs(string, *actorlogv1.Action) bool { return false }
func (ruled) Queue(_, name string) bool            { return name == "jobs" }
func (ruled) Loads(_ string, state []byte, version uint32) error {
	if version > 7 || state[0] == '[' {
		return errors.New("not a state of this kind")
	}
	return nil
}

// ran is what user code came back with: Created is the state that a creation made.
type ran struct {
	Run            *machine.Run
	Created, State []byte
	Result         []byte
	Err            error
	Detail         string
	Effects        actor.Effects
	DurationUs     int64
}

func (r ran) returned() machine.Returned {
	done := actor.Done{Created: r.Created != nil, Base: r.Created, State: r.State, Result: r.Result, Err: r.Err, Effects: r.Effects}
	return machine.Returned{Run: r.Run, Done: done, Detail: r.Detail, DurationUs: r.DurationUs}
}

func all(string) bool  { return true }
func none(string) bool { return false }

// bench is one actor and the offset of its next outcome.
type bench struct {
	t    testing.TB
	a    machine.Actor
	next int64
	ref  int64
}

func newBench(t testing.TB) *bench { return &bench{t: t, a: machine.NewActor(orgHash)} }

// ask gives the actor its next action, and runs the counter if need be.
func (b *bench) ask(action *actorlogv1.Action) *actorlogv1.Outcome {
	b.t.Helper()
	return b.askOf(action, all)
}

func (b *bench) askOf(action *actorlogv1.Action, known func(string) bool) *actorlogv1.Outcome {
	b.t.Helper()
	eff := b.a.Step(machine.Ask{Ref: b.ref, Action: action, Rules: ruled(known)})
	if eff.Run != nil {
		eff = b.a.Step(counter(eff.Run, b.a.State))
	}
	require.NotNil(b.t, eff.Outcome)
	b.a.Appended(b.next, eff.Outcome)
	b.next++
	b.ref++
	return eff.Outcome
}

// invoke is increment(1), asked of the living or new actor org/42.
func invoke(change ...func(*actorlogv1.Action)) *actorlogv1.Action {
	a := &actorlogv1.Action{
		Actor:     &actorlogv1.Actor{Namespace: "default", Kind: "counter", Key: orgKey},
		RequestId: "r", Creation: &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT},
		Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "increment", ArgsJson: []byte("[1]")}},
	}
	for _, c := range change {
		c(a)
	}
	return a
}

func address(a *actorlogv1.Actor) func(*actorlogv1.Action) {
	return func(action *actorlogv1.Action) { action.Actor = a }
}

func creation(c *actorlogv1.Creation) func(*actorlogv1.Action) {
	return func(action *actorlogv1.Action) { action.Creation = c }
}

func body(b any) func(*actorlogv1.Action) {
	return func(action *actorlogv1.Action) {
		action.Body = nil
		switch b := b.(type) {
		case *actorlogv1.Resolve:
			action.Body = &actorlogv1.Action_Resolve{Resolve: b}
		case *actorlogv1.Read:
			action.Body = &actorlogv1.Action_Read{Read: b}
		case *actorlogv1.Destroy:
			action.Body = &actorlogv1.Action_Destroy{Destroy: b}
		case *actorlogv1.Connect:
			action.Body = &actorlogv1.Action_Connect{Connect: b}
		}
	}
}

// Who an action reaches: an actor that never lived, one that lives in its second generation,
// and one whose second generation is over.
func TestStep_Address(t *testing.T) {
	t.Parallel()
	const ok = ""
	for _, tc := range []struct {
		name               string
		action             *actorlogv1.Action
		never, lives, dead string
	}{
		{"by kind and key", invoke(), ok, ok, ok},
		{"by kind and key, without creation", invoke(creation(nil)), "actor.not_found", ok, "actor.not_found"},
		{"by id of the life", invoke(address(&actorlogv1.Actor{Generation: 2})), "actor.not_found", ok, "actor.not_found"},
		{"by id of an older life", invoke(address(&actorlogv1.Actor{Generation: 1})), "actor.not_found", "actor.not_found", "actor.not_found"},
		{"by id of a later life", invoke(address(&actorlogv1.Actor{Generation: 3})), "actor.not_found", "actor.not_found", "actor.not_found"},
		{"by id of no life", invoke(address(&actorlogv1.Actor{})), "actor.not_found", "actor.not_found", "actor.not_found"},
		{"by kind, key and the generation", invoke(address(&actorlogv1.Actor{Namespace: "default", Kind: "counter", Key: orgKey, Generation: 2})), "actor.not_found", ok, "actor.not_found"},
		{"by kind, key and an older generation", invoke(address(&actorlogv1.Actor{Namespace: "default", Kind: "counter", Key: orgKey, Generation: 1})), "actor.not_found", "actor.not_found", "actor.not_found"},
		{"no address", invoke(address(nil)), "actor.invalid_request", "actor.invalid_request", "actor.invalid_request"},
		{"no request id", invoke(func(a *actorlogv1.Action) { a.RequestId = "" }), "actor.invalid_request", "actor.invalid_request", "actor.invalid_request"},
		{"another key than the record's", invoke(address(&actorlogv1.Actor{Namespace: "default", Kind: "counter", Key: []string{"org/42"}})), "actor.invalid_request", "actor.invalid_request", "actor.invalid_request"},
		{"another kind", invoke(address(&actorlogv1.Actor{Namespace: "default", Kind: "meter", Key: orgKey})), "actor.invalid_request", "actor.invalid_request", "actor.invalid_request"},
		{"another namespace", invoke(address(&actorlogv1.Actor{Kind: "counter", Key: orgKey})), "actor.invalid_request", "actor.invalid_request", "actor.invalid_request"},

		{"insisting on a new one", invoke(creation(&actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT})), ok, "actor.duplicate_key", ok},
		{"insisting on a new one by id", invoke(address(&actorlogv1.Actor{Generation: 2}), creation(&actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT})), "actor.not_found", "actor.duplicate_key", "actor.not_found"},
		{"creation without a policy", invoke(creation(&actorlogv1.Creation{})), "actor.invalid_request", "actor.invalid_request", "actor.invalid_request"},
		{"creation with a policy of a newer version", invoke(creation(&actorlogv1.Creation{Policy: 9})), "actor.invalid_request", "actor.invalid_request", "actor.invalid_request"},
		{"a body of a newer version", invoke(body(nil)), "actor.invalid_request", "actor.invalid_request", "actor.invalid_request"},
		{"looked up", invoke(body(&actorlogv1.Resolve{}), creation(nil)), "actor.not_found", ok, "actor.not_found"},
		{"looked up or created", invoke(body(&actorlogv1.Resolve{})), ok, ok, ok},
		{"read", invoke(body(&actorlogv1.Read{}), creation(nil)), "actor.not_found", ok, "actor.not_found"},
		{"read or created", invoke(body(&actorlogv1.Read{})), ok, ok, ok},
		{"destroyed", invoke(body(&actorlogv1.Destroy{}), creation(nil)), "actor.not_found", ok, "actor.not_found"},
		{"destroyed, if need be after creating it", invoke(body(&actorlogv1.Destroy{})), "actor.not_found", ok, "actor.not_found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for state, want := range map[string]string{"never lived": tc.never, "lives": tc.lives, "is dead": tc.dead} {
				b := newBench(t)
				if state != "never lived" {
					b.ask(invoke())
					b.ask(invoke(body(&actorlogv1.Destroy{})))
					b.ask(invoke())
				}
				if state == "is dead" {
					b.ask(invoke(body(&actorlogv1.Destroy{})))
				}
				before := b.a
				o := b.ask(proto.Clone(tc.action).(*actorlogv1.Action))
				got := ""
				if o.Error != nil {
					got = o.Error.Group + "." + o.Error.Code
					require.Nil(t, o.ResultJson)
					require.Equal(t, before.State, b.a.State)
					require.Equal(t, before.Generation, b.a.Generation)
					require.Zero(t, o.Lifecycle)
				} else {
					require.NotNil(t, o.ResultJson)
				}
				require.Equal(t, want, got, state)
				require.Nil(t, o.Action.Actor, "the outcome says it once")
				require.Equal(t, before.Generation+btoi(o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED), o.Actor.Generation)
			}
		})
	}
}

func TestStep_ConnLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ask(invoke())
	connect := func() *actorlogv1.Outcome {
		return b.ask(invoke(body(&actorlogv1.Connect{}), func(a *actorlogv1.Action) { a.Handshake = &actorlogv1.Handshake{ConnectionId: "new"} }))
	}
	for range actor.MaxConns - 1 {
		b.a.Connections = append(b.a.Connections, &actorlogv1.Connection{Id: "other"})
	}
	require.Nil(t, connect().Error)
	b.a.Connections = append(b.a.Connections, &actorlogv1.Connection{Id: "other"})
	e := connect().Error
	require.Equal(t, actor.ErrConnLimit.Group+"."+actor.ErrConnLimit.Code, e.GetGroup()+"."+e.GetCode())
}

func btoi(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// The rules of a kind come and go with deployments.
func TestStep_KindNotFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.askOf(invoke(), none)
	require.Equal(t, "kind_not_found", o.Error.Code)
	require.Equal(t, "No actor kind `counter` is defined by the workers.", o.Error.Message)
	require.False(t, b.a.Alive)

	keyed := func(a *actorlogv1.Action) { a.IdempotencyKey = "k" }
	first := b.ask(invoke(keyed))
	require.Nil(t, first.Error)
	for _, action := range []*actorlogv1.Action{invoke(), invoke(address(&actorlogv1.Actor{Generation: 1})), invoke(body(&actorlogv1.Read{}))} {
		require.Equal(t, "kind_not_found", b.askOf(action, none).Error.Code)
	}
	// A repeat needs no rules.
	require.EqualValues(t, 1, b.askOf(invoke(keyed), none).GetRepeats())
}

func TestStep_PanicsOnWhatCannotBe(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.Panics(t, func() { b.a.Step(nil) })
}

// A state may be any JSON, and change into any other.
func TestStep_StateOfAnyType(t *testing.T) {
	t.Parallel()
	states := []string{`null`, `0`, `"text"`, `true`, `[]`, `{}`, `[null]`, `{"":{"":null}}`, `1e400`, `9007199254740993`}
	for _, before := range states {
		for _, after := range states {
			a, folded := machine.NewActor(orgHash), machine.NewActor(orgHash)
			eff := a.Step(machine.Ask{Ref: 0, Action: invoke(), Rules: ruled(all)})
			eff = a.Step(ran{Run: eff.Run, Created: []byte(before), State: []byte(before)}.returned())
			a.Appended(0, eff.Outcome)
			_, err := folded.Apply(0, eff.Outcome)
			require.NoError(t, err)
			eff = a.Step(machine.Ask{Ref: 1, Action: invoke(), Rules: ruled(all)})
			eff = a.Step(ran{Run: eff.Run, State: []byte(after)}.returned())
			a.Appended(1, eff.Outcome)
			require.Equal(t, before == after, eff.Outcome.PatchJson == nil)
			require.Nil(t, eff.Outcome.StateJson)
			_, err = folded.Apply(1, eff.Outcome)
			require.NoError(t, err)
			require.True(t, sameJSON([]byte(after), folded.State), "from %s to %s", before, after)
			require.True(t, folded.Alive)
		}
	}
}

// The whole state is recorded instead of a patch that is longer than it; but small patches
// are always recorded, so that a reader of the log sees what changed.
func TestStep_PatchOrState(t *testing.T) {
	t.Parallel()
	list := func(n int, element string) []byte {
		return []byte(`{"list":[` + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + `]}`)
	}
	for _, tc := range []struct {
		name          string
		before, after []byte
		whole         bool
	}{
		{"a short patch of a shorter state", []byte(`1`), []byte(`2`), false},
		{"few changes to a long state", list(500, "1"), append(list(500, "1")[:1000], "3]}"...), false},
		{"many changes to a long state", list(500, "1"), list(500, "2"), true},
		{"many changes to a state with longer parts", list(50, `"`+strings.Repeat("x", 100)+`"`), append(list(50, `"`+strings.Repeat("x", 100)+`"`)[:3000], []byte(`"]}`)...), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := machine.NewActor(orgHash)
			eff := a.Step(machine.Ask{Ref: 0, Action: invoke(), Rules: ruled(all)})
			a.Appended(0, a.Step(ran{Run: eff.Run, Created: tc.before, State: tc.before}.returned()).Outcome)
			eff = a.Step(machine.Ask{Ref: 1, Action: invoke(), Rules: ruled(all)})
			o := a.Step(ran{Run: eff.Run, State: tc.after}.returned()).Outcome
			require.Equal(t, tc.whole, o.StateJson != nil)
			require.Equal(t, !tc.whole, o.PatchJson != nil)
		})
	}
}

// A state that is not JSON fails the action and nothing else. (encoding/json writes none, but
// a state may have methods of its own.)
func TestStep_MalformedStateFailsTheAction(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ask(invoke())
	before := b.a
	eff := b.a.Step(machine.Ask{Ref: 1, Action: invoke(), Rules: ruled(all)})
	o := b.a.Step(ran{Run: eff.Run, State: []byte(`{"count":`), Result: []byte("1"), Effects: actor.Effects{Destroyed: true}}.returned()).Outcome
	require.Equal(t, "internal_error", o.Error.GetCode())
	require.Nil(t, o.PatchJson)
	require.Nil(t, o.StateJson)
	require.Nil(t, o.ResultJson)
	require.Equal(t, before.State, b.a.State)
	require.True(t, b.a.Alive)
}

// Texts of user code are made fit for the record: a broken character must not stop a shard.
func TestStep_TextsOfUsersAreCleaned(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	eff := b.a.Step(machine.Ask{Ref: 0, Action: invoke(), Rules: ruled(all)})
	o := b.a.Step(ran{Run: eff.Run, Err: fmt.Errorf("while \xff: %w", errors.New("x")), Detail: "stack \xfe"}.returned()).Outcome
	require.Equal(t, "while \uFFFD: x\nstack \uFFFD", o.Error.Detail)
	_, err := schemas.Encode(o)
	require.NoError(t, err)

	b = newBench(t)
	eff = b.a.Step(machine.Ask{Ref: 0, Action: invoke(), Rules: ruled(all)})
	o = b.a.Step(ran{Run: eff.Run, Err: &actor.Error{Group: "us\xffer", Code: "c\xff", Message: "m\xff"}}.returned()).Outcome
	_, err = schemas.Encode(o)
	require.NoError(t, err)

	broken := machine.NewActor(orgHash)
	broken.Broken = "why \xff"
	_, err = schemas.Encode(broken.Snapshot())
	require.NoError(t, err)
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	keyed := func(key string) func(*actorlogv1.Action) {
		return func(a *actorlogv1.Action) { a.IdempotencyKey = key }
	}
	long := func(a *actorlogv1.Action) {
		a.GetInvoke().Name = "shout"
		a.GetInvoke().ArgsJson = []byte(`[1, "` + strings.Repeat("x", 10_000) + `"]`)
		a.Creation.InputJson = bytes.Repeat([]byte(" "), 10_000)
	}
	t.Run("arguments that are large themselves are left out", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		o := b.a.TooLarge(0, invoke(long, keyed("k")), 30_000, 5_000)
		require.Less(t, proto.Size(o), 1_000)
		require.Equal(t, "shout", o.Action.GetInvoke().Name)
		require.Equal(t, "outgoing_too_long", o.Error.Code)
		require.Contains(t, o.Error.Message, "30000 bytes, more than the 5000")
		b.a.Appended(0, o)
		require.True(t, b.a.Answered(0))
		require.False(t, b.a.Alive)

		// The key of such a request is not remembered: without its arguments, the log cannot
		// tell a repeat from another request.
		b.next, b.ref = 1, 1
		again := b.ask(invoke(long, keyed("k")))
		require.NotEqual(t, "idempotency_key_reused", again.GetError().GetCode())
		require.Nil(t, again.Repeats)
	})
	t.Run("other arguments are kept, and so is the key", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		o := b.a.TooLarge(0, invoke(keyed("k")), 30_000, 5_000)
		require.Equal(t, "[1]", string(o.Action.GetInvoke().ArgsJson))
		b.a.Appended(0, o)
		b.next, b.ref = 1, 1
		require.EqualValues(t, 0, b.ask(invoke(keyed("k"))).GetRepeats())
	})
	t.Run("an actor that lived stays what it was", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.ask(invoke())
		before := b.a
		o := b.a.TooLarge(1, invoke(long), 30_000, 5_000)
		b.a.Appended(1, o)
		require.Equal(t, before.State, b.a.State)
		require.Equal(t, int64(1), b.a.LastRef)
		require.Equal(t, int64(0), o.GetPrev())
	})
	t.Run("a read whose result does not fit", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.ask(invoke())
		o := b.a.TooLarge(1, invoke(body(&actorlogv1.Read{})), 30_000, 5_000)
		require.Nil(t, o.ResultJson)
		require.NotNil(t, o.Action.GetRead())
	})
}

// Fingerprints are in snapshots: were they computed differently one day, every remembered key
// would be taken for one that was used for something else.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	of := func(name, args, input string) *actorlogv1.Action {
		return &actorlogv1.Action{Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: name, ArgsJson: []byte(args), InputJson: []byte(input)}}}
	}
	seen := make(map[uint64]string)
	for name, action := range map[string]*actorlogv1.Action{
		"increment(3)":         of("increment", "[3]", ""),
		"increment(4)":         of("increment", "[4]", ""),
		"increment of input 3": of("increment", "", "3"),
		"incremen, t[3]":       of("incremen", "t[3]", ""),
		"name with the args":   of("increment[3]", "", ""),
		"nothing":              of("", "", ""),
		"resolve":              invoke(body(&actorlogv1.Resolve{})),
		"read":                 invoke(body(&actorlogv1.Read{})),
		"destroy":              invoke(body(&actorlogv1.Destroy{})),
	} {
		f := machine.Fingerprint(action)
		require.Empty(t, seen[f], name)
		seen[f] = name
	}
	require.Equal(t, uint64(0xa504a1dd5a0effdc), machine.Fingerprint(of("increment", "[3]", "")))
	require.Equal(t, uint64(0x4a529adfdc400932), machine.Fingerprint(of("move", "", `{"x":1}`)))
	require.Equal(t, uint64(0xaf63b94c8601b113), machine.Fingerprint(invoke(body(&actorlogv1.Destroy{}))))

	// It is what was asked, not who asked, when, or with which creation.
	a, b := invoke(), invoke(creation(nil))
	b.RequestId, b.TimeUnixMs, b.Caller, b.Sequence = "other", 7, &actorlogv1.Caller{Gateway: "g"}, 9
	require.Equal(t, machine.Fingerprint(a), machine.Fingerprint(b))
}

func TestActor_Recent(t *testing.T) {
	t.Parallel()
	keyed := func(i int, ms int64) *actorlogv1.Action {
		return invoke(func(a *actorlogv1.Action) { a.IdempotencyKey, a.TimeUnixMs = fmt.Sprint("k", i), ms })
	}
	t.Run("bounded by count", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		for i := range machine.MaxRecent + 10 {
			require.Nil(t, b.ask(keyed(i, 0)).Repeats)
		}
		require.Len(t, b.a.Recent, machine.MaxRecent)
		require.Equal(t, "k10", b.a.Recent[0].Key)
		require.NotNil(t, b.ask(keyed(10, 0)).Repeats)
		require.Nil(t, b.ask(keyed(9, 0)).Repeats)
	})
	t.Run("bounded by age", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.ask(keyed(1, 0))
		b.ask(keyed(2, 1))
		require.NotNil(t, b.ask(keyed(1, machine.MaxRecentAge)).Repeats)
		b.ask(keyed(3, machine.MaxRecentAge+1))
		require.Len(t, b.a.Recent, 2)
		require.Nil(t, b.ask(keyed(1, machine.MaxRecentAge+1)).Repeats)
	})
}

func TestActor_Apply(t *testing.T) {
	t.Parallel()
	outcomes := func(t *testing.T) []*actorlogv1.Outcome {
		b := newBench(t)
		return []*actorlogv1.Outcome{b.ask(invoke()), b.ask(invoke()), b.ask(invoke())}
	}
	t.Run("an outcome that was applied before changes nothing", func(t *testing.T) {
		t.Parallel()
		a := machine.NewActor(orgHash)
		for i, o := range outcomes(t) {
			ok, err := a.Apply(int64(i), o)
			require.NoError(t, err)
			require.True(t, ok)
		}
		before := a
		for i, o := range outcomes(t) {
			ok, err := a.Apply(int64(i), o)
			require.NoError(t, err)
			require.False(t, ok)
		}
		require.Equal(t, before, a)
	})
	t.Run("a second outcome for one action is void", func(t *testing.T) {
		t.Parallel()
		a := machine.NewActor(orgHash)
		o := outcomes(t)
		_, _ = a.Apply(0, o[0])
		_, _ = a.Apply(1, o[1])
		before := a
		ok, err := a.Apply(2, o[1])
		require.NoError(t, err)
		require.False(t, ok)
		ok, err = a.Apply(3, o[0])
		require.NoError(t, err)
		require.False(t, ok)
		require.Equal(t, before, a)
	})
	t.Run("a refusal of an action that was answered is void", func(t *testing.T) {
		t.Parallel()
		a := machine.NewActor(orgHash)
		o := outcomes(t)
		_, _ = a.Apply(0, o[0])
		before := a
		ok, err := a.Apply(1, &actorlogv1.Outcome{Ref: 0, RefusedSince: proto.Int64(0)})
		require.NoError(t, err)
		require.False(t, ok)
		require.Equal(t, before, a)
	})
	t.Run("ErrCorrupt", func(t *testing.T) {
		t.Parallel()
		for name, patch := range map[string]string{
			"a place that is not there": `[{"op":"replace","path":"/nope","value":1}]`,
			"not a patch":               `{"count":3}`,
			"not JSON":                  `[{"op":`,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a := machine.NewActor(orgHash)
				o := outcomes(t)
				_, _ = a.Apply(0, o[0])
				state := a.State
				o[1].PatchJson = []byte(patch)
				ok, err := a.Apply(1, o[1])
				require.ErrorIs(t, err, machine.ErrCorrupt)
				require.ErrorContains(t, err, a.ID().String())
				require.ErrorContains(t, err, "offset 1")
				require.True(t, ok)
				require.Equal(t, err.Error(), a.Broken)
				require.Equal(t, state, a.State, "the last state that is known")
				require.True(t, a.Answered(1))

				// It says so once, and then only keeps count.
				ok, err = a.Apply(2, o[2])
				require.NoError(t, err)
				require.True(t, ok)
				require.Equal(t, state, a.State)
				require.True(t, a.Answered(2))
			})
		}
	})
	t.Run("ErrCorrupt for outcomes that make no sense", func(t *testing.T) {
		t.Parallel()
		for name, o := range map[string]*actorlogv1.Outcome{
			"no actor":              {StateJson: []byte("1")},
			"created, but no actor": {StateJson: []byte("1"), Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED},
			"created, but no state": {Actor: &actorlogv1.Actor{Generation: 2}, Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED},
			"the same life again":   {Actor: &actorlogv1.Actor{Generation: 1}, StateJson: []byte("1"), Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED},
			"no life":               {Actor: &actorlogv1.Actor{}, StateJson: []byte("1"), Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED},
		} {
			a := machine.NewActor(orgHash)
			_, err := a.Apply(0, outcomes(t)[0])
			require.NoError(t, err)
			id, state := a.ID(), a.State
			o.Ref = 1
			ok, err := a.Apply(1, o)
			require.ErrorIs(t, err, machine.ErrCorrupt, name)
			require.True(t, ok)
			require.Equal(t, id, a.ID())
			require.Equal(t, state, a.State)
			require.True(t, a.Answered(1))
		}
	})
	t.Run("a patch of an actor without state", func(t *testing.T) {
		t.Parallel()
		a := machine.NewActor(orgHash)
		_, err := a.Apply(0, &actorlogv1.Outcome{Actor: &actorlogv1.Actor{}, PatchJson: []byte(`[{"op":"add","path":"/a","value":1}]`)})
		require.ErrorIs(t, err, machine.ErrCorrupt)
	})
}

func TestRestore_ErrCorruptWithoutAnActor(t *testing.T) {
	t.Parallel()
	_, err := machine.Restore(orgHash, &actorlogv1.Snapshot{Alive: true})
	require.ErrorIs(t, err, machine.ErrCorrupt)
	require.ErrorContains(t, err, orgHash.String())
}

// A copy of an actor is a snapshot: what happens to the original afterwards does not show in it.
func TestActor_CopiesAreSnapshots(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var copies []machine.Actor
	var snapshots []*actorlogv1.Snapshot
	for i := range 60 {
		copies = append(copies, b.a)
		snapshots = append(snapshots, b.a.Snapshot())
		refused := int64(i % 3)
		for ref := b.ref + 1; ref <= b.ref+refused; ref++ {
			o := b.a.Step(machine.Refuse{Ref: ref, Action: invoke(), Since: b.ref + 1}).Outcome
			b.a.Appended(b.next, o)
			b.next++
		}
		b.ask(invoke(func(a *actorlogv1.Action) { a.IdempotencyKey = fmt.Sprint(i) }))
		b.ref += refused
		for j := range copies {
			require.True(t, proto.Equal(snapshots[j], copies[j].Snapshot()), "copy %d after %d", j, i)
		}
	}
}
