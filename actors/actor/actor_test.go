package actor_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

func TestError(t *testing.T) {
	t.Parallel()
	refused := actor.UserError("bad_step", "step must be positive")
	require.Equal(t, "user.bad_step: step must be positive", refused.Error())
	require.Equal(t, "user_error", actor.UserError("", "no").Code)

	// The same is whatever has the same group and code.
	wrapped := fmt.Errorf("incrementing: %w", refused.With(7))
	require.ErrorIs(t, wrapped, refused)
	require.ErrorIs(t, wrapped, actor.UserError("bad_step", "other words"))
	require.NotErrorIs(t, wrapped, actor.UserError("bad_stop", "step must be positive"))
	require.NotErrorIs(t, refused, &actor.Error{Group: "actor", Code: "bad_step"})
	require.NotErrorIs(t, refused, errors.New("step must be positive"))
	require.NotErrorIs(t, errors.New("x"), refused)
	require.ErrorIs(t, refused, fmt.Errorf("as another says: %w", refused))
	var e *actor.Error
	require.ErrorAs(t, wrapped, &e)
	require.Equal(t, "7", string(e.Metadata))

	// With and Messagef return copies: the errors of the package stay what they are.
	require.Nil(t, refused.Metadata)
	before := *actor.ErrNotFound
	require.Equal(t, "no 1", actor.ErrNotFound.Messagef("no %d", 1).Message)
	require.ErrorIs(t, actor.ErrNotFound.Messagef("no"), actor.ErrNotFound)
	require.Equal(t, before, *actor.ErrNotFound)

	require.Equal(t, `{"a":null}`, string(refused.With(map[string]any{"a": nil}).Metadata))
	require.Equal(t, "null", string(refused.With(nil).Metadata))
	require.Equal(t, "actor: metadata of error user.bad_step: json: unsupported value: NaN", panicOf(func() { _ = refused.With(math.NaN()) }))
}

// The names of the runtime's errors are part of the protocol.
func TestErrors_Names(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*actor.Error{
		"actor.not_found":              actor.ErrNotFound,
		"actor.kind_not_found":         actor.ErrKindNotFound,
		"actor.action_not_found":       actor.ErrActionNotFound,
		"actor.duplicate_key":          actor.ErrDuplicateKey,
		"actor.invalid_request":        actor.ErrInvalidRequest,
		"actor.action_timed_out":       actor.ErrTimedOut,
		"actor.overloaded":             actor.ErrOverloaded,
		"message.outgoing_too_long":    actor.ErrTooLarge,
		"actor.idempotency_key_reused": actor.ErrKeyReused,
		"rivetkit.internal_error":      actor.ErrInternal,
	} {
		require.Equal(t, want, e.Group+"."+e.Code)
		require.NotEmpty(t, e.Message)
	}
}

// SplitMix64 from seed 0, and from 1234567: the values of its published test vectors. The dice
// of an action are part of its history: a replay with others would not be one.
func TestRand_KnownAnswers(t *testing.T) {
	t.Parallel()
	// A run of a zero id at ref 0 has seed 0.
	c := actor.NewCtx(t.Context(), &actor.Job{})
	for _, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f, 0xf88bb8a8724c81ec, 0x1b39896a51a8749b} {
		require.Equal(t, want, c.Rand().Uint64())
	}
	// The first half of the hash is mixed into the seed in the order of its bytes, lowest first.
	c = actor.NewCtx(t.Context(), &actor.Job{ID: schemas.ActorID{Hash: schemas.Hash{0x87, 0xd6, 0x12}}})
	for _, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		require.Equal(t, want, c.Rand().Uint64())
	}
	// And a run like real ones, computed by a few lines of Python.
	c = newCtx(t)
	require.Equal(t, uint64(0xd5244804990477e0), c.Rand().Uint64())
	require.Equal(t, "8497e120-568c-8b07-8f13-b756e67037a8", c.NewID())
	require.Equal(t, 440, c.Rand().IntN(1000))
	require.InDelta(t, 0.9281075833461611, c.Rand().Float64(), 1e-15)
}

func TestRand(t *testing.T) {
	t.Parallel()
	t.Run("the same run has the same dice, and no other run has", func(t *testing.T) {
		t.Parallel()
		seen := make(map[uint64]bool)
		for ref := range int64(100) {
			for generation := range uint32(10) {
				run := &actor.Job{ID: schemas.ActorID{Hash: schemas.HashOf("n", "k", nil), Generation: generation}, Ref: ref}
				first := actor.NewCtx(t.Context(), run).Rand().Uint64()
				require.Equal(t, first, actor.NewCtx(t.Context(), run).Rand().Uint64())
				require.False(t, seen[first])
				seen[first] = true
			}
		}
	})
	t.Run("IntN and Float64 stay in range", func(t *testing.T) {
		t.Parallel()
		dice := newCtx(t).Rand()
		var counts [6]int
		for range 6000 {
			counts[dice.IntN(6)]++
			f := dice.Float64()
			require.True(t, 0 <= f && f < 1)
			require.Zero(t, dice.IntN(1))
			require.GreaterOrEqual(t, dice.IntN(math.MaxInt), 0)
		}
		for _, n := range counts {
			require.InDelta(t, 1000, n, 200)
		}
		require.Equal(t, "actor: Rand.IntN with n <= 0", panicOf(func() { dice.IntN(0) }))
		require.Equal(t, "actor: Rand.IntN with n <= 0", panicOf(func() { dice.IntN(-1) }))
	})
	t.Run("is a source of math/rand", func(t *testing.T) {
		t.Parallel()
		a, b := rand.New(newCtx(t).Rand()), rand.New(newCtx(t).Rand())
		require.Equal(t, a.Perm(10), b.Perm(10))
	})
}

func TestCtx(t *testing.T) {
	t.Parallel()
	t.Run("what it tells", func(t *testing.T) {
		t.Parallel()
		c := newCtx(t)
		require.Equal(t, "default", c.Namespace())
		require.Equal(t, "probe", c.Kind())
		require.Equal(t, time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC), c.Now())
		require.Equal(t, schemas.ActorID{Hash: schemas.HashOf("default", "probe", schemas.Key{"a"}), Generation: 1}.String(), c.ActorID())
		c.Key()[0] = "changed"
		require.Equal(t, []string{"a"}, c.Key())
		require.Empty(t, c.RequestID())
	})
	t.Run("ids look like UUIDs of version 8 and differ", func(t *testing.T) {
		t.Parallel()
		c := newCtx(t)
		seen := make(map[string]bool)
		for range 1000 {
			id := c.NewID()
			require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
			require.False(t, seen[id])
			seen[id] = true
		}
	})
	t.Run("effects, in the order of the calls", func(t *testing.T) {
		t.Parallel()
		c := newCtx(t)
		eff, err := c.Effects()
		require.NoError(t, err)
		require.Zero(t, eff)
		c.Broadcast(changed.With(1))
		c.Broadcast(actor.Event[actor.None](kind, "done").With(actor.None{}))
		c.Broadcast(actor.Event[move](kind, "moved").With(move{X: 1, Y: 2}))
		c.Destroy()
		eff, err = c.Effects()
		require.NoError(t, err)
		require.True(t, eff.Destroyed)
		require.Equal(t, []*actorlogv1.Broadcast{
			{Name: "count", ArgsJson: []byte("[1]")}, {Name: "done", ArgsJson: []byte("[]")},
			{Name: "moved", ArgsJson: []byte("[1,2,null,null,null]")},
		}, eff.Broadcasts)
	})
	t.Run("an event that is no JSON fails the action", func(t *testing.T) {
		t.Parallel()
		c := newCtx(t)
		c.Broadcast(actor.Event[float64](kind, "first").With(math.NaN()))
		c.Broadcast(actor.Event[float64](kind, "second").With(math.NaN()))
		_, err := c.Effects()
		require.ErrorContains(t, err, "event first of kind counter: ")
	})
}
