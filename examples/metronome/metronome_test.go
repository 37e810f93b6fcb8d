package metronome_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/metronome"
)

// A piece of ten beats, with a crash in the middle.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, metronome.Register)
		m := metronome.Kind.GetOrCreate(w.Client, "hall")

		_, err := metronome.Start.Call(ctx, m, metronome.Piece{EveryMs: 1, Beats: 10})
		require.ErrorIs(t, err, actor.UserError("bad_piece", ""))

		_, err = metronome.Start.Call(ctx, m, metronome.Piece{EveryMs: 500, Beats: 10})
		require.NoError(t, err)
		time.Sleep(2200 * time.Millisecond)
		s, err := metronome.Get.Call(ctx, m, actor.None{})
		require.NoError(t, err)
		require.Len(t, s.Beats, 4)

		// While nobody is there to beat, time goes on. The next worker makes up for it, and the piece ends by itself.
		w.Crash()
		time.Sleep(time.Hour)
		s, err = metronome.Get.Call(ctx, m, actor.None{})
		require.NoError(t, err)
		require.Len(t, s.Beats, 10)
		require.Zero(t, s.Early)
		for i := 1; i < len(s.Beats); i++ {
			require.EqualValues(t, 500, s.Beats[i]-s.Beats[i-1])
		}

		// A piece can be stopped.
		_, err = metronome.Start.Call(ctx, m, metronome.Piece{EveryMs: 1000, Beats: 10})
		require.NoError(t, err)
		time.Sleep(2500 * time.Millisecond)
		_, err = metronome.Stop.Call(ctx, m, actor.None{})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		s, err = metronome.Get.Call(ctx, m, actor.None{})
		require.NoError(t, err)
		require.Len(t, s.Beats, 2)
	})
}
