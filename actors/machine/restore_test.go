package machine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var absent = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT}

func restoring(r *actorlogv1.Restore, c *actorlogv1.Creation) *actorlogv1.Action {
	return invoke(creation(c), func(a *actorlogv1.Action) { a.Body = &actorlogv1.Action_Restore{Restore: r} })
}

// folded is the actor as a reader of the log has it, who sees outcomes only.
func folded(t *testing.T, outcomes ...*actorlogv1.Outcome) machine.Actor {
	t.Helper()
	a := machine.NewActor(orgHash)
	for i, o := range outcomes {
		_, err := a.Apply(int64(i), proto.CloneOf(o))
		require.NoError(t, err)
	}
	return a
}

// An actor that lives gets an earlier state back as a change like any other, and what is recorded says where it is from.
func TestRestore_Undo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := b.ask(invoke()), b.ask(invoke())
	source := &actorlogv1.Source{Actor: first.Actor, Partition: 3, Offset: 0}
	undone := b.ask(restoring(&actorlogv1.Restore{StateJson: first.StateJson, KeepSchedules: true, Source: source, Reason: "fat finger"}, nil))
	require.Nil(t, undone.Error)
	require.JSONEq(t, `[{"op":"replace","path":"/count","value":1}]`, string(undone.PatchJson))
	require.JSONEq(t, string(first.StateJson), string(b.a.State))
	require.Equal(t, "fat finger", undone.Action.GetRestore().Reason)
	require.Empty(t, undone.Action.GetRestore().StateJson, "it stands in the outcome already")
	require.Equal(t, uint32(1), b.a.Generation)
	third := b.ask(invoke())
	require.JSONEq(t, `{"count":2}`, string(b.a.State))
	require.Equal(t, b.a, folded(t, first, second, undone, third))
}

// A copy begins a life with a state and schedules from elsewhere; where somebody lives it is refused.
func TestRestore_Fork(t *testing.T) {
	t.Parallel()
	daily := &actorlogv1.Schedule{Id: "daily", Action: "reset", DueUnixMs: 99, EveryMs: 10}
	r := &actorlogv1.Restore{StateJson: []byte(`{"count":7}`), StateVersion: 2, Schedules: []*actorlogv1.Schedule{daily}}
	b := newBench(t)
	born := b.ask(restoring(r, absent))
	require.Nil(t, born.Error)
	require.Equal(t, actorlogv1.Lifecycle_LIFECYCLE_CREATED, born.Lifecycle)
	require.True(t, b.a.Alive)
	require.Equal(t, uint32(2), b.a.StateVersion)
	require.NotNil(t, b.a.Schedule("daily"))
	again := b.ask(restoring(r, absent))
	require.Equal(t, actor.ErrDuplicateKey.Code, again.Error.GetCode())
	// Restored without schedules, and without keeping those there are.
	none := b.ask(restoring(&actorlogv1.Restore{StateJson: []byte(`{"count":7}`), StateVersion: 2}, nil))
	require.Equal(t, []string{"daily"}, none.Unscheduled)
	require.Empty(t, b.a.Schedules)
	require.Equal(t, b.a, folded(t, born, again, none))
}

// Who moves a whole log keeps generations: ids stay what they were, and those of the dead stay dead.
func TestRestore_Move(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	moved := b.ask(restoring(&actorlogv1.Restore{StateJson: []byte(`{"count":7}`), Generation: 5, CreatedUnixMs: 123}, absent))
	require.Equal(t, uint32(5), b.a.Generation)
	require.Equal(t, int64(123), b.a.CreatedMs)
	dead := newBench(t)
	ended := dead.ask(restoring(&actorlogv1.Restore{Ended: true, Generation: 4}, absent))
	require.False(t, dead.a.Alive)
	next := dead.ask(invoke())
	require.Equal(t, uint32(5), next.Actor.Generation)
	require.Equal(t, dead.a, folded(t, ended, next))
	require.Equal(t, b.a, folded(t, moved))
}

func TestRestore_Refused(t *testing.T) {
	t.Parallel()
	state := []byte(`{"count":7}`)
	for name, c := range map[string]struct {
		lives    bool
		r        *actorlogv1.Restore
		creation *actorlogv1.Creation
		want     *actor.Error
		text     string
	}{
		"nobody lives":            {false, &actorlogv1.Restore{StateJson: state}, nil, actor.ErrNotFound, ""},
		"perhaps somebody lives":  {false, &actorlogv1.Restore{StateJson: state}, &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT}, actor.ErrInvalidRequest, "must be absent"},
		"not JSON":                {true, &actorlogv1.Restore{StateJson: []byte("{")}, nil, actor.ErrInvalidRequest, "not JSON"},
		"no state":                {true, &actorlogv1.Restore{}, nil, actor.ErrInvalidRequest, "not JSON"},
		"not a state of the kind": {true, &actorlogv1.Restore{StateJson: []byte("[]")}, nil, actor.ErrInvalidRequest, "cannot read"},
		"of a newer version":      {true, &actorlogv1.Restore{StateJson: state, StateVersion: 8}, nil, actor.ErrInvalidRequest, "cannot read"},
		"a generation of a life":  {true, &actorlogv1.Restore{StateJson: state, Generation: 9}, nil, actor.ErrInvalidRequest, "life that begins"},
		"an end of a life":        {true, &actorlogv1.Restore{Ended: true}, nil, actor.ErrInvalidRequest, "life that begins"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if c.lives {
				b.ask(invoke())
			}
			before := b.a.State
			o := b.ask(restoring(c.r, c.creation))
			require.Equal(t, c.want.Code, o.Error.GetCode())
			require.Contains(t, o.Error.Message, c.text)
			require.Equal(t, before, b.a.State)
			require.Equal(t, c.lives, b.a.Alive)
		})
	}
	b := newBench(t)
	b.ask(restoring(&actorlogv1.Restore{Ended: true, Generation: 4}, absent))
	o := b.ask(restoring(&actorlogv1.Restore{StateJson: state, Generation: 4}, absent))
	require.Contains(t, o.Error.GetMessage(), "Generation 4")
}
