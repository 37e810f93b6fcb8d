package fanout_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/fanout"
)

// One asks a hundred, and the worker dies while it does.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, fanout.Register)
		total := fanout.TotalKind.GetOrCreate(w.Client, "a")

		// All hundred are made by being asked. Each says that it was asked once.
		answered, err := fanout.Call.Call(ctx, total, 100)
		require.NoError(t, err)
		require.EqualValues(t, 100, answered)

		// The messages go out with the outcome. Nobody waits for the replies; they come all the same, and a crash loses none.
		_, err = fanout.Message.Call(ctx, total, 100)
		require.NoError(t, err)
		w.Crash()
		time.Sleep(10 * time.Second)

		answered, err = fanout.Call.Call(ctx, total, 100)
		require.NoError(t, err)
		require.EqualValues(t, 100, answered)
		s, err := fanout.Get.Call(ctx, total, actor.None{})
		require.NoError(t, err)
		require.EqualValues(t, 2, s.Calls)
		require.EqualValues(t, 100*1+100*2, s.Sum)
		require.Len(t, s.Replies, 100)
		for i := range 100 {
			part := strconv.Itoa(i)
			require.EqualValues(t, 1, s.Replies[part])
			p, err := fanout.GetPart.Call(ctx, fanout.PartKind.Get(w.Client, part), actor.None{})
			require.NoError(t, err)
			require.Equal(t, fanout.Part{Called: map[string]int64{"a": 2}, Messaged: map[string]int64{"a": 1}}, p)
		}
	})
}
