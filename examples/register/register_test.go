package register_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/register"
)

// Of two that think that the value is the same, one wins.
func TestCompareAndSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, register.Register)
		leader := register.Kind.GetOrCreate(w.Client, "leader")
		_, err := register.Write.Call(ctx, leader, 1)
		require.NoError(t, err)
		won, err := register.CompareAndSet.Call(ctx, leader, register.Swap{Old: 1, New: 2})
		require.NoError(t, err)
		require.True(t, won)
		won, err = register.CompareAndSet.Call(ctx, leader, register.Swap{Old: 1, New: 3})
		require.NoError(t, err)
		require.False(t, won)
		v, err := register.Read.Call(ctx, leader, actor.None{})
		require.NoError(t, err)
		require.EqualValues(t, 2, v)
	})
}
