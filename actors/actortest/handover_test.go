package actortest_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// Shards that move together do not wait for each other: an action in one of them may have called an actor in another one, which only the
// next owner of both can run.
func TestHandOverOfCallers(t *testing.T) {
	t.Parallel()
	type asker struct{ Asked int }
	type asked struct{ By int }
	const thinks, pairs, rounds = 50 * time.Millisecond, 30, 40
	var (
		askers = actor.New[asker]("asker")
		askeds = actor.New[asked]("asked")
		ask    = actor.Action[actor.None, int](askers, "ask")
		answer = actor.Action[actor.None, int](askeds, "answer")
	)
	bubble(t, func(t *testing.T) {
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, ask, func(s *asker, c *actor.Ctx, _ actor.None) (int, error) {
				time.Sleep(thinks) // in which the shard of who will be asked is given away
				s.Asked++
				return answer.Call(c, askeds.GetOrCreate(c.Client(), c.Key()...), actor.None{})
			})
			actor.On(r, answer, func(s *asked, _ *actor.Ctx, _ actor.None) (int, error) {
				s.By++
				return s.By, nil
			})
		})
		var callers sync.WaitGroup
		longest := make([]time.Duration, pairs)
		for i := range pairs {
			callers.Go(func() {
				for round := range rounds {
					began := time.Now()
					n, err := ask.Call(t.Context(), askers.GetOrCreate(w.Client, strconv.Itoa(i)), actor.None{})
					require.NoError(t, err)
					require.Equal(t, round+1, n, "every call is made once")
					longest[i] = max(longest[i], time.Since(began))
				}
			})
		}
		for range 5 {
			time.Sleep(200*time.Millisecond + thinks/2)
			w.StartWorker()
			time.Sleep(200 * time.Millisecond)
			w.Stop(w.Workers()[0])
		}
		callers.Wait()
		for i := range pairs {
			require.Less(t, longest[i], time.Second, "a call by asker %d", i)
		}
	})
}
