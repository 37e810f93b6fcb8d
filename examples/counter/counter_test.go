package counter_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
)

// A counter, from its first call to its end, and through a crash.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, counter.Register)
		visits := counter.Kind.GetOrCreate(w.Client, "org", "42").WithInput(counter.Input{Start: 10})
		events := w.Watch("counter", "org", "42")

		// The first call creates the counter, from its input.
		n, err := counter.Increment.Call(ctx, visits, 5)
		require.NoError(t, err)
		require.EqualValues(t, 15, n)
		require.Equal(t, actortest.Event{Name: "count", Args: "[15]"}, events.Next(t))

		// A step that is not positive is refused, and changes nothing. The caller is told why.
		_, err = counter.Increment.Call(ctx, visits, -1)
		var refusal *actor.Error
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, "bad_step", refusal.Code)
		require.JSONEq(t, `{"step": -1}`, string(refusal.Metadata))
		n, err = counter.Get.Call(ctx, visits, actor.None{})
		require.NoError(t, err)
		require.EqualValues(t, 15, n)

		// A hundred at once: not one is lost, and everybody sees another number.
		seen := make([]int64, 100)
		var callers sync.WaitGroup
		for i := range seen {
			callers.Go(func() { seen[i], _ = counter.Increment.Call(ctx, visits, 1) })
		}
		callers.Wait()
		require.Len(t, set(seen), 100)
		for i := range seen {
			require.Equal(t, actortest.Event{Name: "count", Args: fmt.Sprintf("[%d]", 16+i)}, events.Next(t))
		}

		// The worker dies. The next call finds the counter as it was.
		w.Crash()
		n, err = counter.Increment.Call(ctx, visits, 1)
		require.NoError(t, err)
		require.EqualValues(t, 116, n)
		require.Equal(t, actortest.Event{Name: "count", Args: "[116]"}, events.Next(t))

		// Nobody calls overnight: it sleeps. In the morning another worker takes over.
		time.Sleep(8 * time.Hour)
		w.Crash()
		s, err := visits.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, counter.Counter{Count: 116}, s)

		// Its end is an action like any other. The key can live again, from the beginning.
		_, err = counter.Destroy.Call(ctx, visits, actor.None{})
		require.NoError(t, err)
		_, err = counter.Get.Call(ctx, counter.Kind.Get(w.Client, "org", "42"), actor.None{})
		require.ErrorIs(t, err, actor.ErrNotFound)
		n, err = counter.Increment.Call(ctx, visits, 1)
		require.NoError(t, err)
		require.EqualValues(t, 11, n)
	})
}

func set(numbers []int64) map[int64]bool {
	m := make(map[int64]bool)
	for _, n := range numbers {
		m[n] = true
	}
	return m
}

func ExampleKind() {
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		c := counter.Kind.GetOrCreate(w.Client, "org", "42")

		n, err := counter.Increment.Call(ctx, c, 3)
		fmt.Println(n, err)

		n, err = counter.Increment.Call(ctx, c, -1)
		fmt.Println(n, err)
	}, counter.Register)
	// Output:
	// 3 <nil>
	// 0 user.bad_step: step must be positive
}
