package actor_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
)

func noop(*counter, *actor.Ctx, int64) (n int64, err error) { return n, nil }

// Mistakes in a contract or its rules are found when the worker starts, and say where they are.
func TestPanics(t *testing.T) {
	t.Parallel()
	state := func(r *actor.Registry) { actor.InitialState(r, kind, counter{}) }
	create := func(r *actor.Registry) {
		actor.CreateState(r, kind, func(*actor.Ctx, actor.None) (c counter, err error) { return c, nil })
	}
	for _, tc := range []struct {
		name, want string
		f          func(r *actor.Registry)
	}{
		{"New without a name", `actor: New(""): the kind is empty`, func(*actor.Registry) { actor.New[int]("") }},
		{"New with a name that addresses cannot hold", `actor: New("a/b"): the kind contains '/'`, func(*actor.Registry) { actor.New[int]("a/b") }},
		{"Action without a name", `actor: an action of kind "counter" has no name`, func(*actor.Registry) { actor.Action[int, int](kind, "") }},
		{"Event without a name", `actor: an event of kind "counter" has no name`, func(*actor.Registry) { actor.Event[int](kind, "") }},
		{"a kind that New did not make", `actor: the kind was not made by New`, func(r *actor.Registry) { actor.Register(r, actor.KindOf[int]{}) }},
		{"two rules for one action", `actor: action "increment" of kind "counter" has two rules`, func(r *actor.Registry) {
			actor.On(r, increment, noop)
			actor.On(r, increment, noop)
		}},
		{"two kinds of one name", `actor: kind "counter" is registered with state actor_test.counter and with state string`, func(r *actor.Registry) {
			actor.Register(r, kind)
			actor.Register(r, actor.New[string]("counter"))
		}},
		{"InitialState twice", `actor: the initial state of kind "counter" is set twice`, func(r *actor.Registry) { state(r); state(r) }},
		{"CreateState twice", `actor: the initial state of kind "counter" is set twice`, func(r *actor.Registry) { create(r); create(r) }},
		{"InitialState and CreateState", `actor: the initial state of kind "counter" is set twice`, func(r *actor.Registry) { state(r); create(r) }},
		{"CreateState and InitialState", `actor: the initial state of kind "counter" is set twice`, func(r *actor.Registry) { create(r); state(r) }},
		{"an initial state that is no JSON", `actor: the initial state of kind "f": json: unsupported value: NaN`, func(r *actor.Registry) {
			actor.InitialState(r, actor.New[float64]("f"), math.NaN())
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, panicOf(func() { tc.f(actor.NewRegistry()) }))
		})
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := actor.NewRegistry()
	require.Empty(t, r.Kinds())
	require.Nil(t, r.Kind("counter"))
	actor.Register(r, actor.New[int]("zebra"))
	actor.On(r, increment, noop)
	actor.Register(r, kind) // again: the same kind
	require.Equal(t, []string{"counter", "zebra"}, r.Kinds())
	require.NotNil(t, r.Kind("counter"))
}

// The life of a state: made, changed by actions, written down, and read again.
func TestDefinition(t *testing.T) {
	t.Parallel()
	r := actor.NewRegistry()
	actor.On(r, increment, func(s *counter, c *actor.Ctx, by int64) (int64, error) {
		if by < 0 {
			return 0, actor.UserError("bad_step", "step must be positive")
		}
		s.Count += by
		return s.Count, nil
	})
	actor.On(r, reset, func(s *counter, _ *actor.Ctx, _ actor.None) (n actor.None, err error) {
		s.Count = 0
		return n, nil
	})
	actor.On(r, actor.Action[actor.None, float64](kind, "half"), func(s *counter, _ *actor.Ctx, _ actor.None) (float64, error) {
		return math.NaN(), nil
	})
	def := r.Kind("counter")

	state, err := def.Create(newCtx(t), nil)
	require.NoError(t, err)
	result, err := def.Invoke(newCtx(t), state, "increment", json.RawMessage(`[3]`), nil)
	require.NoError(t, err)
	require.Equal(t, `3`, string(result))
	saved, err := def.Save(state)
	require.NoError(t, err)
	require.Equal(t, `{"count":3}`, string(saved))
	loaded, err := def.Load(saved, 0)
	require.NoError(t, err)
	require.Equal(t, state, loaded)
	require.NotSame(t, state, loaded)

	result, err = def.Invoke(newCtx(t), loaded, "reset", nil, nil)
	require.NoError(t, err)
	require.Empty(t, result, "None is no result")
	require.Equal(t, &counter{}, loaded)
	require.Equal(t, &counter{3}, state)

	_, err = def.Invoke(newCtx(t), state, "increment", json.RawMessage(`[-1]`), nil)
	require.ErrorIs(t, err, actor.UserError("bad_step", ""))
	_, err = def.Invoke(newCtx(t), state, "fly", nil, nil)
	require.ErrorIs(t, err, actor.ErrActionNotFound)
	require.ErrorContains(t, err, "Action `fly` was not found.")
	_, err = def.Invoke(newCtx(t), state, "half", nil, nil)
	require.ErrorContains(t, err, "the result of action half of kind counter: ")
	require.NotErrorIs(t, err, actor.ErrInvalidRequest)
	_, err = def.Load(json.RawMessage(`{"count":"3"}`), 0)
	require.ErrorContains(t, err, "reading the state of kind counter: ")

	unsavable := actor.New[chan int]("channel")
	actor.Register(r, unsavable)
	state, err = r.Kind("channel").Create(newCtx(t), nil)
	require.NoError(t, err)
	_, err = r.Kind("channel").Save(state)
	require.ErrorContains(t, err, "writing the state of kind channel: ")
}

func TestInitialState(t *testing.T) {
	t.Parallel()
	r := actor.NewRegistry()
	list := actor.New[[]int]("list")
	actor.InitialState(r, list, []int{1, 2})
	first, err := r.Kind("list").Create(newCtx(t), nil)
	require.NoError(t, err)
	(*first.(*[]int))[0] = 9
	second, err := r.Kind("list").Create(newCtx(t), json.RawMessage(`"input that nobody takes"`))
	require.NoError(t, err)
	require.Equal(t, &[]int{1, 2}, second, "every actor has its own")
}

func TestCreateState(t *testing.T) {
	t.Parallel()
	type input struct {
		Start int64 `json:"start"`
	}
	withStruct, withPointer := actor.NewRegistry(), actor.NewRegistry()
	actor.CreateState(withStruct, kind, func(_ *actor.Ctx, in input) (counter, error) {
		if in.Start < 0 {
			return counter{}, actor.UserError("bad_start", "no")
		}
		if in.Start > 100 {
			return counter{}, errors.New("internal")
		}
		return counter{in.Start}, nil
	})
	actor.CreateState(withPointer, kind, func(_ *actor.Ctx, in *input) (counter, error) {
		if in == nil {
			return counter{-1}, nil
		}
		return counter{in.Start}, nil
	})
	for _, tc := range []struct {
		name, input string
		r           *actor.Registry
		want        int64
		err         string
	}{
		{"no input is the zero value", ``, withStruct, 0, ""},
		{"undefined is no input", undefined, withStruct, 0, ""},
		{"an object", `{"start":7}`, withStruct, 7, ""},
		{"no input tells from one by a pointer", ``, withPointer, -1, ""},
		{"null is none for a pointer", `null`, withPointer, -1, ""},
		{"an object for a pointer", `{}`, withPointer, 0, ""},
		{"refused", `{"start":-1}`, withStruct, 0, "user.bad_start: no"},
		{"failed", `{"start":101}`, withStruct, 0, "internal"},
		{"null", `null`, withStruct, 0, "actor.invalid_request: the input is null"},
		{"of another type", `[1]`, withStruct, 0, "actor.invalid_request: the input: an array where an object belongs"},
		{"a field of another type", `{"start":"1"}`, withStruct, 0, "actor.invalid_request: the input, field start: a string where a whole number belongs"},
		{"no JSON", `{`, withStruct, 0, "actor.invalid_request: the input: not valid JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			state, err := tc.r.Kind("counter").Create(newCtx(t), json.RawMessage(tc.input))
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				require.Nil(t, state)
				return
			}
			require.NoError(t, err)
			require.Equal(t, &counter{tc.want}, state)
		})
	}
}
