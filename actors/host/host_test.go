package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// probe is an actor with every way to misbehave.
type probe struct {
	N    int
	Blob string
	// Parts grow by one at a time, with a patch.
	Parts []string
}

var (
	kind     = actor.New[probe]("probe")
	add      = actor.Action[int, int](kind, "add")
	addFail  = actor.Action[int, int](kind, "addFail")
	addPanic = actor.Action[int, int](kind, "addPanic")
	hang     = actor.Action[int, int](kind, "hang")
	grow     = actor.Action[int, actor.None](kind, "grow")
	remind   = actor.Action[int64, actor.None](kind, "remind") // to add 1, after so many milliseconds
	growBy   = actor.Action[int, int](kind, "growBy")
	end      = actor.Action[actor.None, int](kind, "end")
	dice     = actor.Action[actor.None, []string](kind, "dice")
	addNaN   = actor.Action[int, int](kind, "addNaN")
	added    = actor.Event[int](kind, "added")
	measured = actor.Event[float64](kind, "measured")
)

func register(r *actor.Registry) {
	actor.On(r, add, func(s *probe, c *actor.Ctx, by int) (int, error) {
		s.N += by
		c.Broadcast(added.With(s.N))
		return s.N, nil
	})
	actor.On(r, addFail, func(s *probe, c *actor.Ctx, by int) (int, error) {
		s.N += by
		c.Broadcast(added.With(s.N))
		return 0, errors.New("the database password is hunter2")
	})
	actor.On(r, addPanic, func(s *probe, _ *actor.Ctx, by int) (int, error) {
		s.N += by
		panic("at the disco")
	})
	actor.On(r, addNaN, func(s *probe, c *actor.Ctx, by int) (int, error) {
		s.N += by
		c.Broadcast(measured.With(math.NaN()))
		return s.N, nil
	})
	actor.On(r, hang, func(s *probe, c *actor.Ctx, by int) (int, error) {
		s.N += by
		<-c.Done()
		s.N += by
		return s.N, c.Err()
	})
	actor.On(r, grow, func(s *probe, _ *actor.Ctx, n int) (actor.None, error) {
		s.Blob = strings.Repeat("x", n)
		return actor.None{}, nil
	})
	actor.On(r, remind, func(_ *probe, c *actor.Ctx, ms int64) (actor.None, error) {
		c.After(time.Duration(ms)*time.Millisecond, add.With(1))
		return actor.None{}, nil
	})
	actor.On(r, growBy, func(s *probe, _ *actor.Ctx, n int) (int, error) {
		s.Parts = append(s.Parts, strings.Repeat("x", n))
		return len(s.Parts), nil
	})
	actor.On(r, end, func(s *probe, c *actor.Ctx, _ actor.None) (int, error) {
		c.Destroy()
		return s.N, nil
	})
	actor.On(r, dice, func(_ *probe, c *actor.Ctx, _ actor.None) ([]string, error) {
		return []string{c.NewID(), c.NewID(), c.Now().Format(time.RFC3339Nano)}, nil
	})
}

// world runs fn in virtual time.
func world(t *testing.T, cfg host.Config, fn func(t *testing.T, w *actortest.World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fn(t, actortest.NewWith(t, cfg, register))
	})
}

func get(w *actortest.World, key ...string) actor.Handle[probe] {
	return kind.GetOrCreate(w.Client, key...)
}

func outcomes(t *testing.T, w *actortest.World) []*actorlogv1.Outcome {
	var all []*actorlogv1.Outcome
	for p := range int32(actortest.Shards) {
		for _, r := range w.Cluster.Records(eventlog.Events, p) {
			if schemas.Type(r.Header(schemas.HeaderType)) == schemas.TypeOutcome {
				o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeOutcome, r.Value)
				require.NoError(t, err)
				all = append(all, o)
			}
		}
	}
	return all
}

func TestFailedActions(t *testing.T) {
	t.Parallel()
	failures := []struct {
		name string
		call func(ctx context.Context, h actor.Handle[probe]) error
		want error
	}{
		{"ErrInternal", func(ctx context.Context, h actor.Handle[probe]) error { _, err := addFail.Call(ctx, h, 5); return err }, actor.ErrInternal},
		{"ErrInternalByPanic", func(ctx context.Context, h actor.Handle[probe]) error { _, err := addPanic.Call(ctx, h, 5); return err }, actor.ErrInternal},
		{"ErrInternalByBroadcast", func(ctx context.Context, h actor.Handle[probe]) error { _, err := addNaN.Call(ctx, h, 5); return err }, actor.ErrInternal},
		{"ErrTimedOut", func(ctx context.Context, h actor.Handle[probe]) error { _, err := hang.Call(ctx, h, 5); return err }, actor.ErrTimedOut},
		{"ErrTooLarge", func(ctx context.Context, h actor.Handle[probe]) error {
			_, err := grow.Call(ctx, h, 9_000_000)
			return err
		}, actor.ErrTooLarge},
	}
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
				h := get(w, "a")
				_, err := add.Call(t.Context(), h, 1)
				require.NoError(t, err)
				events := w.Watch("probe", "a")

				err = f.call(t.Context(), h)
				require.ErrorIs(t, err, f.want)
				require.NotContains(t, err.Error(), "hunter2")

				n, err := add.Call(t.Context(), h, 1)
				require.NoError(t, err)
				require.Equal(t, 2, n, "the failed action left something behind")
				require.Equal(t, actortest.Event{Name: "added", Args: "[2]"}, events.Next(t))

				w.Crash()
				s, err := h.Read(t.Context())
				require.NoError(t, err)
				require.Equal(t, 2, s.N)
				require.Empty(t, s.Blob)
				require.NotNil(t, outcomes(t, w)[1].Error, "the failure is in the log")
			})
		})
	}
}

func TestLargeState(t *testing.T) {
	t.Parallel()
	// A state that grows by patches stops growing while its snapshot still fits into a record, and so
	// can be recovered from a checkpoint.
	world(t, host.Config{CheckpointEvery: time.Second}, func(t *testing.T, w *actortest.World) {
		w.Cluster.SetMaxRecordBytes(8_500_000)
		h := get(w, "a")
		n := 0
		for {
			parts, err := growBy.Call(t.Context(), h, 1_000_000)
			if errors.Is(err, actor.ErrTooLarge) {
				break
			}
			require.NoError(t, err)
			n = parts
			require.Less(t, n, 10)
		}
		require.GreaterOrEqual(t, n, 7)
		time.Sleep(2 * time.Second)
		w.Crash()
		s, err := h.Read(t.Context())
		require.NoError(t, err)
		require.Len(t, s.Parts, n)
	})
}

func TestTopicTakesLess(t *testing.T) {
	t.Parallel()
	// The topic takes smaller records than the worker was told. The action that hits the limit is
	// refused, and its actor and shard go on.
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		w.Cluster.SetMaxRecordBytes(100_000)
		h := get(w, "a")
		_, err := add.Call(t.Context(), h, 1)
		require.NoError(t, err)
		_, err = grow.Call(t.Context(), h, 200_000)
		require.ErrorIs(t, err, actor.ErrTooLarge)
		n, err := add.Call(t.Context(), h, 1)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
}

func TestOverload(t *testing.T) {
	t.Parallel()
	// One action hangs, ten wait, and what comes on top is refused at once; another actor of the
	// same shard does not notice. Then all that was let in is done.
	world(t, host.Config{MailboxSize: 10, ActionTimeout: time.Minute}, func(t *testing.T, w *actortest.World) {
		h := get(w, "slow")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var done, refused int
		call := func() {
			wg.Go(func() {
				_, err := add.Call(t.Context(), h, 1)
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, actor.ErrOverloaded) {
					refused++
					return
				}
				require.NoError(t, err)
				done++
			})
		}
		wg.Go(func() {
			_, err := hang.Call(t.Context(), h, 100)
			require.ErrorIs(t, err, actor.ErrTimedOut)
		})
		synctest.Wait()
		for range 25 {
			call()
			synctest.Wait()
		}
		require.Equal(t, 15, refused)
		require.Equal(t, 0, done)
		_, err := add.Call(t.Context(), get(w, "other"), 1)
		require.NoError(t, err)

		// The worker dies while they wait. What was refused stays refused, what waits is done.
		w.Crash()
		wg.Wait()
		require.Equal(t, 15, refused)
		require.Equal(t, 10, done)
		s, err := h.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, 10, s.N)
	})
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		h := get(w, "a")
		once := h.Idempotent("key-1")
		n, err := add.Call(t.Context(), once, 1)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		_, err = add.Call(t.Context(), h, 1)
		require.NoError(t, err)

		for _, crash := range []bool{false, true} {
			if crash {
				w.Crash()
			}
			n, err = add.Call(t.Context(), once, 1)
			require.NoError(t, err)
			require.Equal(t, 1, n, "a repeat gets the first outcome")
			_, err = add.Call(t.Context(), once, 2)
			require.ErrorIs(t, err, actor.ErrKeyReused)
		}
		s, err := h.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, s.N)
	})
}

func TestLives(t *testing.T) {
	t.Parallel()
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		_, err := add.Call(t.Context(), kind.Get(w.Client, "a"), 1)
		require.ErrorIs(t, err, actor.ErrNotFound)

		first, err := kind.Create(t.Context(), w.Client, nil, "a")
		require.NoError(t, err)
		_, err = kind.Create(t.Context(), w.Client, nil, "a")
		require.ErrorIs(t, err, actor.ErrDuplicateKey)
		n, err := add.Call(t.Context(), first, 7)
		require.NoError(t, err)
		require.Equal(t, 7, n)

		n, err = end.Call(t.Context(), first, actor.None{})
		require.NoError(t, err)
		require.Equal(t, 7, n, "the result of the last action reaches its caller")
		for _, h := range []actor.Handle[probe]{first, kind.Get(w.Client, "a")} {
			_, err = add.Call(t.Context(), h, 1)
			require.ErrorIs(t, err, actor.ErrNotFound)
		}

		n, err = add.Call(t.Context(), get(w, "a"), 1)
		require.NoError(t, err)
		require.Equal(t, 1, n, "a new life begins with the initial state")
		w.Crash()
		_, err = add.Call(t.Context(), first, 1)
		require.ErrorIs(t, err, actor.ErrNotFound, "the old id stays dead")
		require.NoError(t, get(w, "a").Destroy(t.Context()))
		require.ErrorIs(t, kind.Get(w.Client, "a").Destroy(t.Context()), actor.ErrNotFound)
	})
}

func TestSleep(t *testing.T) {
	t.Parallel()
	// An idle actor leaves memory and comes back with its state, before and after a checkpoint.
	world(t, host.Config{SleepAfter: time.Second, CheckpointEvery: 10 * time.Second}, func(t *testing.T, w *actortest.World) {
		for i := range 5 {
			n, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
			require.Equal(t, i+1, n)
			time.Sleep(4 * time.Second)
		}
		w.Crash()
		n, err := add.Call(t.Context(), get(w, "a"), 1)
		require.NoError(t, err)
		require.Equal(t, 6, n)
	})
}

func TestRetention(t *testing.T) {
	t.Parallel()
	// Events expire while nobody calls. The shard's claims go on, and so must its checkpoint.
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		_, err := add.Call(t.Context(), get(w, "a"), 1)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		w.Crash()
		time.Sleep(24 * time.Hour)
		for p := range int32(actortest.Shards) {
			records := w.Cluster.Records(eventlog.Events, p)
			w.Cluster.Truncate(eventlog.Events, p, records[len(records)-1].Offset)
		}
		w.Crash()
		n, err := add.Call(t.Context(), get(w, "a"), 1)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	// Callers go on while workers come and go in peace: every call succeeds and counts once.
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		const actors, rounds = 20, 30
		key := func(i int) string { return string(rune('a' + i)) }
		var wg sync.WaitGroup
		for i := range actors {
			wg.Go(func() {
				for range rounds {
					_, err := add.Call(t.Context(), get(w, key(i)), 1)
					require.NoError(t, err)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		first := w.StartWorker()
		time.Sleep(time.Second)
		w.StartWorker()
		time.Sleep(time.Second)
		w.Stop(first)
		wg.Wait()
		for i := range actors {
			s, err := get(w, key(i)).Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, rounds, s.N)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	lost := errors.New("acknowledgement lost")
	faults := []struct {
		name  string
		fault memlog.Fault
	}{
		{"AppendNotWritten", memlog.Fault{Err: lost}},
		{"AppendWrittenButNotAcknowledged", memlog.Fault{Err: lost, Written: true}},
		{"AppendSlow", memlog.Fault{Delay: time.Second, AckDelay: time.Second}},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
				p := schemas.HashOf("default", "probe", schemas.Key{"a"}).Shard(actortest.Shards)
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						_, err := add.Call(t.Context(), get(w, "a"), 1)
						require.NoError(t, err, "an action is answered by whoever owns the shard next")
					})
				}
				w.Cluster.FailNext(3, eventlog.Events, p, f.fault)
				wg.Wait()
				s, err := get(w, "a").Read(t.Context())
				require.NoError(t, err)
				require.Equal(t, 20, s.N)
			})
		})
	}

	t.Run("RepeatOfAnActionWhoseAppendFails", func(t *testing.T) {
		t.Parallel()
		// First the outcome of the first request is on its way, then the repeat comes, then the
		// append fails. The repeat must not point to an outcome that never came to stand.
		world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
			p := schemas.HashOf("default", "probe", schemas.Key{"a"}).Shard(actortest.Shards)
			_, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
			w.Cluster.FailNext(1, eventlog.Events, p, memlog.Fault{Delay: time.Second, Err: lost})
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					n, err := add.Call(t.Context(), get(w, "a").Idempotent("key"), 1)
					require.NoError(t, err)
					require.Equal(t, 2, n)
				})
				synctest.Wait()
			}
			wg.Wait()
		})
	})

	t.Run("ForeignClaim", func(t *testing.T) {
		t.Parallel()
		// Somebody claims the shard and is never heard of again. What this worker appends after that is
		// void: it must notice, and run the action again when it has claimed the shard itself.
		world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
			p := schemas.HashOf("default", "probe", schemas.Key{"a"}).Shard(actortest.Shards)
			_, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
			claim, err := schemas.Encode(&actorlogv1.Claim{Worker: "nobody"})
			require.NoError(t, err)
			w.Cluster.Inject(eventlog.Events, p, eventlog.Record{
				Partition: p, Key: []byte(schemas.ClaimKey), Value: claim,
				Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeClaim)}},
			})
			n, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
			require.Equal(t, 2, n)
		})
	})

	t.Run("ForeignRecords", func(t *testing.T) {
		t.Parallel()
		world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
			hash := schemas.HashOf("default", "probe", schemas.Key{"a"})
			p := hash.Shard(actortest.Shards)
			n, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			forged, err := schemas.Encode(&actorlogv1.Outcome{
				Ref: 1_000_000, Epoch: 999, StateJson: json.RawMessage(`{"N":1000}`),
				Actor: &actorlogv1.Actor{Namespace: "default", Kind: "probe", Key: []string{"a"}, Generation: 1},
			})
			require.NoError(t, err)
			w.Cluster.Inject(eventlog.Events, p, eventlog.Record{
				Partition: p, Key: hash[:], Value: forged,
				Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeOutcome)}},
			})
			n, err = add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
			require.Equal(t, 2, n, "an outcome without the owner's epoch is void")
			w.Crash()
			n, err = add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
			require.Equal(t, 3, n)
		})
	})
}

func TestDeterminism(t *testing.T) {
	t.Parallel()
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		a, err := dice.Call(t.Context(), get(w, "a"), actor.None{})
		require.NoError(t, err)
		b, err := dice.Call(t.Context(), get(w, "a"), actor.None{})
		require.NoError(t, err)
		require.NotEqual(t, a, b)
		require.NotEqual(t, a[0], a[1])
	})
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		invoke := func(kind, name, args string) error {
			_, err := w.Client.Invoke(t.Context(), actor.Target{
				Namespace: "default", Kind: kind, Key: []string{"a"}, Presence: actor.CreateIfAbsent,
			}, name, json.RawMessage(args))
			return err
		}
		require.ErrorIs(t, invoke("nobody", "add", "[1]"), actor.ErrKindNotFound)
		require.ErrorIs(t, invoke("probe", "subtract", "[1]"), actor.ErrActionNotFound)
		for _, args := range []string{`["one"]`, `[1,2]`, `[]`, `[null]`, `[1.5]`, `{"a":1}`, `[`, `nonsense`} {
			require.ErrorIs(t, invoke("probe", "add", args), actor.ErrInvalidRequest, args)
		}
		require.ErrorIs(t, invoke(strings.Repeat("k", 65), "add", "[1]"), actor.ErrInvalidRequest)
		_, _, err := w.Client.Resolve(t.Context(), actor.Target{ID: "not-an-id"})
		require.ErrorIs(t, err, actor.ErrNotFound)
	})
}
