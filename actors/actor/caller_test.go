package actor_test

import (
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
)

// recorder is a Caller that notes what it was asked, and answers what it is told to.
type recorder struct {
	target actor.Target
	action string
	args   json.RawMessage
	calls  int
	answer json.RawMessage
	err    error
}

func (c *recorder) note(t actor.Target) { c.target, c.calls = t, c.calls+1 }

func (c *recorder) Invoke(_ context.Context, t actor.Target, action string, args json.RawMessage) (json.RawMessage, error) {
	c.note(t)
	c.action, c.args = action, args
	return c.answer, c.err
}

func (c *recorder) Resolve(_ context.Context, t actor.Target) (string, bool, error) {
	c.note(t)
	return string(c.answer), false, c.err
}

func (c *recorder) Read(_ context.Context, t actor.Target) (json.RawMessage, error) {
	c.note(t)
	return c.answer, c.err
}

func (c *recorder) Enqueue(_ context.Context, t actor.Target, queue string, body json.RawMessage, _ bool) (json.RawMessage, error) {
	c.note(t)
	c.action, c.args = queue, body
	return c.answer, c.err
}

func (c *recorder) Destroy(_ context.Context, t actor.Target) error {
	c.note(t)
	return c.err
}

type counter struct {
	Count int64 `json:"count"`
}

var (
	kind      = actor.New[counter]("counter")
	increment = actor.Action[int64, int64](kind, "increment")
	reset     = actor.Action[actor.None, actor.None](kind, "reset")
	changed   = actor.Event[int64](kind, "count")
)

func TestHandle(t *testing.T) {
	t.Parallel()
	t.Run("Get", func(t *testing.T) {
		t.Parallel()
		c := &recorder{answer: json.RawMessage(`7`)}
		n, err := increment.Call(t.Context(), kind.Get(c, "org", "42"), 3)
		require.NoError(t, err)
		require.EqualValues(t, 7, n)
		require.Equal(t, actor.Target{Namespace: "default", Kind: "counter", Key: schemas.Key{"org", "42"}}, c.target)
		require.Equal(t, "increment", c.action)
	})
	t.Run("GetOrCreate", func(t *testing.T) {
		t.Parallel()
		c := new(recorder)
		_, err := reset.Call(t.Context(), kind.GetOrCreate(c).WithInput(map[string]int{"start": 1}).InNamespace("n").Idempotent("k"), actor.None{})
		require.NoError(t, err)
		require.Equal(t, actor.Target{
			Namespace: "n", Kind: "counter", Presence: actor.CreateIfAbsent, Input: json.RawMessage(`{"start":1}`), IdempotencyKey: "k",
		}, c.target)
	})
	t.Run("GetForID", func(t *testing.T) {
		t.Parallel()
		c := &recorder{answer: json.RawMessage(`{"count":3}`)}
		s, err := kind.GetForID(c, "some id").Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, counter{3}, s)
		require.Equal(t, actor.Target{Kind: "counter", ID: "some id"}, c.target)
	})
	t.Run("Create", func(t *testing.T) {
		t.Parallel()
		c := &recorder{answer: json.RawMessage("the id")}
		h, err := kind.Create(t.Context(), c, nil, "a")
		require.NoError(t, err)
		require.Equal(t, actor.Target{Namespace: "default", Kind: "counter", Key: schemas.Key{"a"}, Presence: actor.MustBeAbsent}, c.target)
		require.NoError(t, h.Destroy(t.Context()))
		require.Equal(t, actor.Target{Kind: "counter", ID: "the id"}, c.target)
	})
	t.Run("a handle is a value: what is derived from it leaves it alone", func(t *testing.T) {
		t.Parallel()
		c := &recorder{answer: json.RawMessage("id")}
		h := kind.Get(c, "a")
		h.WithInput(1).InNamespace("n").Idempotent("k")
		_, err := h.Resolve(t.Context())
		require.NoError(t, err)
		require.Equal(t, actor.Target{Namespace: "default", Kind: "counter", Key: schemas.Key{"a"}}, c.target)
	})
	t.Run("an input that is no JSON is an error of every call", func(t *testing.T) {
		t.Parallel()
		c := new(recorder)
		h := kind.GetOrCreate(c, "a").WithInput(math.NaN())
		_, err := increment.Call(t.Context(), h, 1)
		require.ErrorContains(t, err, "the input of kind counter: ")
		_, err = h.Read(t.Context())
		require.Error(t, err)
		_, err = h.Resolve(t.Context())
		require.Error(t, err)
		require.Error(t, h.Destroy(t.Context()))
		_, err = kind.Create(t.Context(), c, math.NaN(), "a")
		require.Error(t, err)
		require.Zero(t, c.calls)
		// A good one takes the error away.
		_, err = increment.Call(t.Context(), h.WithInput(nil), 1)
		require.NoError(t, err)
		require.Nil(t, c.target.Input)
	})
	t.Run("an argument that is no JSON", func(t *testing.T) {
		t.Parallel()
		c := new(recorder)
		_, err := actor.Action[float64, actor.None](kind, "set").Call(t.Context(), kind.Get(c), math.Inf(1))
		require.ErrorContains(t, err, "the argument of action set of kind counter: ")
		require.Zero(t, c.calls)
	})
	t.Run("a result of another type", func(t *testing.T) {
		t.Parallel()
		_, err := increment.Call(t.Context(), kind.Get(&recorder{answer: json.RawMessage(`"7"`)}), 1)
		require.ErrorContains(t, err, "the result of action increment of kind counter: ")
		_, err = kind.Get(&recorder{answer: json.RawMessage(`[]`)}).Read(t.Context())
		require.ErrorContains(t, err, "the state of kind counter: ")
	})
	t.Run("no result is the zero value", func(t *testing.T) {
		t.Parallel()
		n, err := increment.Call(t.Context(), kind.Get(new(recorder)), 1)
		require.NoError(t, err)
		require.Zero(t, n)
	})
	t.Run("errors of the caller come through as they are", func(t *testing.T) {
		t.Parallel()
		c := &recorder{err: actor.ErrNotFound}
		_, err := increment.Call(t.Context(), kind.Get(c), 1)
		require.Equal(t, actor.ErrNotFound, err)
		_, err = kind.Get(c).Read(t.Context())
		require.Equal(t, actor.ErrNotFound, err)
		require.Equal(t, actor.ErrNotFound, kind.Get(c).Destroy(t.Context()))
		_, err = kind.Create(t.Context(), c, nil)
		require.Equal(t, actor.ErrNotFound, err)
	})
}
