package votes_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/votes"
	"github.com/actorlog/actorlog/internal/seed"
)

// What is for lunch? Three people decide, one of them twice.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, votes.Register)
		lunch := votes.Kind.GetOrCreate(w.Client, "lunch")

		// Nobody votes before the options are known.
		require.ErrorIs(t, votes.Cast(ctx, w.Client, "lunch", "ann", "pizza"), actor.UserError("not_open", ""))
		_, err := votes.Open.Call(ctx, lunch, []string{"pizza", "soup"})
		require.NoError(t, err)
		time.Sleep(time.Second)

		// Ann has lost the answer, and votes again. Bob changes his mind. Eve tries another shard, where she might count twice.
		require.NoError(t, votes.Cast(ctx, w.Client, "lunch", "ann", "pizza"))
		require.NoError(t, votes.Cast(ctx, w.Client, "lunch", "ann", "pizza"))
		require.NoError(t, votes.Cast(ctx, w.Client, "lunch", "bob", "pizza"))
		require.NoError(t, votes.Cast(ctx, w.Client, "lunch", "bob", "soup"))
		require.NoError(t, votes.Cast(ctx, w.Client, "lunch", "eve", "soup"))
		other := fmt.Sprint((votes.ShardOf("eve") + 1) % votes.Shards)
		_, err = votes.Vote.Call(ctx, votes.ShardKind.GetOrCreate(w.Client, "lunch", other), votes.Ballot{Voter: "eve", Option: "soup"})
		require.ErrorIs(t, err, actor.UserError("wrong_shard", ""))

		// The worker dies before anything was reported. The total is right a little later.
		w.Crash()
		time.Sleep(10 * time.Second)
		require.Equal(t, votes.Result{Counts: votes.Counts{"pizza": 1, "soup": 2}, Total: 3}, result(ctx, t, lunch))

		// The last vote and the end come in the same second. It counts: the result is final when every shard has answered.
		events := w.Watch("poll", "lunch")
		require.NoError(t, votes.Cast(ctx, w.Client, "lunch", "joe", "pizza"))
		_, err = votes.Close.Call(ctx, lunch, actor.None{})
		require.NoError(t, err)
		for range votes.Shards {
			events.Next(t)
		}
		require.Equal(t, votes.Result{Counts: votes.Counts{"pizza": 2, "soup": 2}, Total: 4, Final: true}, result(ctx, t, lunch))
		require.ErrorIs(t, votes.Cast(ctx, w.Client, "lunch", "sue", "soup"), actor.UserError("closed", ""))
	})
}

// Four hundred people vote within some seconds, some of them twice, while workers die. Every voter counts once, the votes
// are spread, and the poll gets one message per shard and second at most.
func TestEveryVoterCountsOnce(t *testing.T) {
	t.Parallel()
	first := seed.New(t)
	synctest.Test(t, func(t *testing.T) {
		const voters = 400
		ctx := t.Context()
		dice := rand.New(rand.NewPCG(first, 0))
		w := actortest.New(t, votes.Register)
		poll := votes.Kind.GetOrCreate(w.Client, "mayor")
		options := []string{"red", "green", "blue"}
		_, err := votes.Open.Call(ctx, poll, options)
		require.NoError(t, err)
		time.Sleep(time.Second)
		start := time.Now()
		var merges atomic.Int64
		require.NoError(t, votes.Changed.Subscribe(ctx, poll, func(votes.Result) { merges.Add(1) }, nil))

		want := votes.Counts{"red": 0, "green": 0, "blue": 0}
		shards := make(map[int]int)
		var running sync.WaitGroup
		for n := range voters {
			voter, times := fmt.Sprint("voter-", n), 1+dice.IntN(2)
			wait, choice := time.Duration(dice.Int64N(int64(10*time.Second))), dice.IntN(len(options))
			want[options[choice]]++
			shards[votes.ShardOf(voter)]++
			running.Go(func() {
				time.Sleep(wait)
				for i := range times { // the last one counts
					if err := votes.Cast(ctx, w.Client, "mayor", voter, options[(choice+times-1-i)%len(options)]); err != nil {
						t.Errorf("the vote of %s: %v", voter, err)
					}
				}
			})
		}
		for range 2 {
			time.Sleep(time.Duration(dice.Int64N(int64(8 * time.Second))))
			w.Crash()
		}
		running.Wait()
		time.Sleep(10 * time.Second)

		require.Equal(t, votes.Result{Counts: want, Total: voters}, result(ctx, t, poll))
		require.Len(t, shards, votes.Shards, "a shard has no voters")
		for n, count := range shards {
			require.Less(t, count, voters/4, "shard %d is hot", n)
		}
		require.Positive(t, merges.Load())
		require.LessOrEqual(t, merges.Load(), votes.Shards*int64(time.Since(start)/time.Second))
	})
}

func result(ctx context.Context, t *testing.T, poll actor.Handle[votes.Poll]) votes.Result {
	t.Helper()
	r, err := votes.Get.Call(ctx, poll, actor.None{})
	require.NoError(t, err)
	return r
}
