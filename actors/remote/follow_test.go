package remote_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
)

func TestWatch(t *testing.T) {
	t.Parallel()

	t.Run("AllGenerations", func(t *testing.T) {
		t.Parallel()
		hosted(t, func(t *testing.T, w *actortest.World) {
			watch := newRecorder()
			w.Client.Watch(hashOf("a"), &watch.Watch)
			for _, action := range []string{"add", "end", "add"} {
				d, _, err := w.Client.Do(t.Context(), invoking(action, 1, "a"))
				require.NoError(t, err)
				require.Nil(t, d.Outcome.Error)
			}
			_, _, err := w.Client.Do(t.Context(), adding("b"))
			require.NoError(t, err)
			require.Equal(t, outcomes(t, w.Cluster, hashOf("a"), actortest.Shards), watch.offsets())
			require.Len(t, watch.offsets(), 3)
		})
	})

	t.Run("BeforeTheAnswer", func(t *testing.T) {
		t.Parallel()
		// Who waits for an outcome and watches the actor sees the event first, then the answer.
		hosted(t, func(t *testing.T, w *actortest.World) {
			var mu sync.Mutex
			var order []string
			note := func(what string) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, what)
			}
			w.Client.Watch(hashOf("a"), &remote.Watch{Outcome: func(*remote.Delivery) { note("watch") }})
			require.NoError(t, w.Client.Ask(t.Context(), adding("a"), func(*remote.Delivery, bool, error) { note("answer") }))
			synctest.Wait()
			require.Equal(t, []string{"watch", "answer"}, order)
		})
	})

	t.Run("Exact", func(t *testing.T) {
		t.Parallel()
		// Whoever starts to watch in the middle of traffic sees everything after the position
		// that Watch returned, and nothing else. In real time, for the sake of the race.
		w := actortest.New(t, register)
		stop := traffic(t, w.Client, "a")
		var mu sync.Mutex
		watches := make(map[*recorder]int64)
		var watchers sync.WaitGroup
		for range 8 {
			watchers.Go(func() {
				for range 100 {
					r := newRecorder()
					from := w.Client.Watch(hashOf("a"), &r.Watch)
					r.await(2)
					w.Client.Unwatch(&r.Watch)
					mu.Lock()
					watches[r] = from.Offset
					mu.Unlock()
				}
			})
		}
		watchers.Wait()
		stop()
		written := outcomes(t, w.Cluster, hashOf("a"), actortest.Shards)
		for r, from := range watches {
			seen := r.now()
			require.Equal(t, after(written, from)[:len(seen)], seen, "after %d", from)
		}
	})

	t.Run("ExactOfRequests", func(t *testing.T) {
		t.Parallel()
		// A watch that comes with a request sees everything after that request's outcome, and
		// nothing else. In real time, for the sake of the race.
		w := actortest.New(t, register)
		stop := traffic(t, w.Client, "a")
		var mu sync.Mutex
		watches := make(map[*recorder]int64)
		var callers sync.WaitGroup
		for i := range 8 {
			callers.Go(func() {
				for n := range 50 {
					r := newRecorder()
					req := adding("a")
					if n%2 == 1 {
						req = idempotent(req, "caller "+strconv.Itoa(i)) // all but one are repeats
					}
					req.Watch = &r.Watch
					d, replayed, err := w.Client.Do(t.Context(), req)
					require.NoError(t, err)
					mu.Lock()
					if watches[r] = d.Position.Offset; replayed {
						watches[r] = -1 // somewhere after the repeat, which nobody is told of
					}
					mu.Unlock()
				}
			})
		}
		callers.Wait()
		stop()
		written := outcomes(t, w.Cluster, hashOf("a"), actortest.Shards)
		for r, from := range watches {
			seen := r.now()
			want := after(written, from)
			if from == -1 {
				want = written[len(written)-len(seen):]
			}
			require.True(t, slices.Equal(want, seen), "after %d: %v, want %v", from, seen, want)
		}
	})

	t.Run("ExactWithin", func(t *testing.T) {
		t.Parallel()
		// The same, at the moment where it is hardest: while an outcome is being handed out.
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			epoch := b.claim()
			watch, within, answered := newRecorder(), newRecorder(), newRecorder()
			var fromWithin, fromAnswered int64
			outcome := watch.Outcome
			watch.Outcome = func(d *remote.Delivery) {
				outcome(d)
				c.Unwatch(&watch.Watch)
				fromWithin = c.Watch(d.Hash, &within.Watch).Offset
			}
			synctest.Wait()
			c.Watch(hashOf("a"), &watch.Watch)
			require.NoError(t, c.Ask(t.Context(), adding("a"), func(d *remote.Delivery, _ bool, _ error) {
				fromAnswered = c.Watch(d.Hash, &answered.Watch).Offset
			}))
			synctest.Wait()
			written := []int64{b.answer(epoch, 0), b.outcome(epoch, 2, "a")}
			require.Equal(t, written[:1], watch.offsets())
			require.Equal(t, after(written, fromWithin), within.offsets())
			require.Equal(t, after(written, fromAnswered), answered.offsets())
		})
	})

	t.Run("NotOnErrors", func(t *testing.T) {
		t.Parallel()
		hosted(t, func(t *testing.T, w *actortest.World) {
			refused, late, cut := newRecorder(), newRecorder(), newRecorder()
			req := invoking("add", -1, "a")
			req.Watch = &refused.Watch
			_, _, err := w.Client.Do(t.Context(), req)
			require.NoError(t, err)

			ctx, cancel := context.WithCancel(t.Context())
			req = adding("a")
			req.Watch = &late.Watch
			require.NoError(t, w.Client.Ask(ctx, req, func(*remote.Delivery, bool, error) {}))
			cancel()
			synctest.Wait()

			// The race, many times: whoever is told of an error is not registered.
			for range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				r, failed := newRecorder(), make(chan error, 1)
				req := adding("b")
				req.Watch = &r.Watch
				require.NoError(t, w.Client.Ask(ctx, req, func(_ *remote.Delivery, _ bool, err error) { failed <- err }))
				go cancel()
				if <-failed != nil {
					cut = r
				}
				synctest.Wait()
				seen := len(cut.now())
				_, _, err := w.Client.Do(t.Context(), adding("b"))
				require.NoError(t, err)
				require.Len(t, cut.offsets(), seen)
				w.Client.Unwatch(&r.Watch)
			}

			_, _, err = w.Client.Do(t.Context(), adding("a"))
			require.NoError(t, err)
			require.Empty(t, refused.offsets())
		})
	})

	t.Run("Unwatch", func(t *testing.T) {
		t.Parallel()
		hosted(t, func(t *testing.T, w *actortest.World) {
			one, other, never := newRecorder(), newRecorder(), newRecorder()
			w.Client.Watch(hashOf("a"), &one.Watch)
			w.Client.Watch(hashOf("a"), &other.Watch)
			w.Client.Unwatch(&never.Watch)
			for range 2 {
				_, _, err := w.Client.Do(t.Context(), adding("a"))
				require.NoError(t, err)
				w.Client.Unwatch(&one.Watch)
			}
			require.Len(t, one.offsets(), 1)
			require.Len(t, other.offsets(), 2)
		})
	})

	t.Run("ZombiesLeftOut", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			watch := newRecorder()
			c.Watch(hashOf("a"), &watch.Watch)
			a := ask(t.Context(), t, c, adding("a"))

			b.outcome(0, 0, "a") // before any claim
			old := b.claim()
			first := b.outcome(old, 1, "a")
			claimed := b.claim()
			b.answer(old, 0) // the zombie answers first
			b.renew(old)
			b.outcome(old, 2, "a")
			second := b.outcome(claimed, 2, "a")
			b.outcome(claimed, 2, "a") // answered before
			b.inject(&zombieFuture, []byte(schemas.ClaimKey), "")
			third := b.outcome(claimed, 3, "a")
			require.Equal(t, []int64{first, second, third}, watch.offsets())
			calls, _, _ := a.result()
			require.Zero(t, calls, "a zombie's answer was passed on")
		})
	})
}

// A client that starts in the middle of a long history knows who owns the shard.
func TestStartInTheMiddle(t *testing.T) {
	t.Parallel()

	t.Run("LongHistory", func(t *testing.T) {
		t.Parallel()
		hosted(t, func(t *testing.T, w *actortest.World) {
			for range 3 * machine.ReadBack {
				require.NoError(t, w.Client.Ask(t.Context(), adding("a"), func(*remote.Delivery, bool, error) {}))
			}
			late, err := remote.Open(w.Cluster.Client(), remote.Config{})
			require.NoError(t, err)
			defer late.Close()
			_, _, err = late.Do(t.Context(), adding("a"))
			require.NoError(t, err)
			require.NoError(t, late.Ready(t.Context()))
		})
	})

	t.Run("OwnerKnown", func(t *testing.T) {
		t.Parallel()
		// The zombie is the last to have written before the client starts, and the first after.
		byHand(t, func(t *testing.T, b *bench) {
			old := b.claim()
			epoch := b.claim()
			for ref := range int64(3 * machine.ReadBack) {
				if ref%machine.RenewEvery == 0 {
					b.renew(epoch)
				}
				b.outcome(epoch, ref, "a")
			}
			b.renew(old)
			b.outcome(old, 1<<20, "a")

			c := b.open(remote.Config{})
			watch := newRecorder()
			synctest.Wait()
			c.Watch(hashOf("a"), &watch.Watch)
			a := ask(t.Context(), t, c, adding("a"))
			b.answer(old, 0)
			calls, _, _ := a.result()
			require.Zero(t, calls)
			valid := b.answer(epoch, 0)
			calls, d, err := a.result()
			require.NoError(t, err)
			require.Equal(t, 1, calls)
			require.Equal(t, valid, d.Position.Offset)
			require.Equal(t, []int64{valid}, watch.offsets())
		})
	})

	t.Run("ClaimFarBack", func(t *testing.T) {
		t.Parallel()
		// An owner that does not renew: the client reads all that there is.
		byHand(t, func(t *testing.T, b *bench) {
			epoch := b.claim()
			for ref := range int64(3 * machine.ReadBack) {
				b.outcome(epoch, ref, "a")
			}
			c := b.open(remote.Config{})
			a := ask(t.Context(), t, c, adding("a"))
			b.answer(epoch, 0)
			calls, _, err := a.result()
			require.NoError(t, err)
			require.Equal(t, 1, calls)
			require.NoError(t, c.Ready(t.Context()))
		})
	})

	t.Run("ClaimExpired", func(t *testing.T) {
		t.Parallel()
		// Nothing happened for so long that all events, and the claim with them, have expired. The
		// owner renews its claim now and then even so.
		hosted(t, func(t *testing.T, w *actortest.World) {
			_, _, err := w.Client.Do(t.Context(), adding("a"))
			require.NoError(t, err)
			time.Sleep(8 * time.Hour)
			for p := range int32(actortest.Shards) {
				w.Cluster.Truncate(eventlog.Events, p, 1<<40)
			}
			time.Sleep(2 * time.Hour)
			late, err := remote.Open(w.Cluster.Client(), remote.Config{})
			require.NoError(t, err)
			defer late.Close()
			d, _, err := late.Do(t.Context(), adding("a"))
			require.NoError(t, err)
			require.Equal(t, "2", string(d.Outcome.ResultJson))
		})
	})

	t.Run("NoClaimAtAll", func(t *testing.T) {
		t.Parallel()
		// Nobody owns the shard yet: the client is ready, and trusts nothing.
		byHand(t, func(t *testing.T, b *bench) {
			for ref := range int64(2 * machine.ReadBack) {
				b.outcome(0, ref, "a")
			}
			c := b.open(remote.Config{})
			watch := newRecorder()
			c.Watch(hashOf("a"), &watch.Watch)
			synctest.Wait()
			require.NoError(t, c.Ready(t.Context()))
			b.outcome(0, 1<<20, "a")
			require.Empty(t, watch.offsets())
			valid := b.outcome(b.claim(), 1<<21, "a")
			require.Equal(t, []int64{valid}, watch.offsets())
		})
	})
}

// A client that was cut off for longer than events are kept tells its watches, and goes on.
func TestGap(t *testing.T) {
	t.Parallel()
	byHand(t, func(t *testing.T, b *bench) {
		c := b.open(remote.Config{})
		watch, elsewhere := newRecorder(), newRecorder()
		synctest.Wait()
		c.Watch(hashOf("a"), &watch.Watch)
		c.Watch(hashOf("b"), &elsewhere.Watch)
		epoch := b.claim()
		seen := []int64{b.outcome(epoch, 0, "a"), b.outcome(epoch, 1, "a")}
		require.Equal(t, seen, watch.offsets())

		b.log.Disconnect()
		b.outcome(epoch, 2, "a")
		missed := b.outcome(epoch, 3, "a")
		b.renew(epoch)
		b.outcome(epoch, 4, "a")
		b.cluster.Truncate(eventlog.Events, 0, missed)
		b.log.Connect()
		synctest.Wait()

		// What was written since, and before the client was back, is behind the gap too.
		require.Equal(t, 1, watch.gaps)
		require.Equal(t, 1, elsewhere.gaps)
		require.Equal(t, seen, watch.offsets())

		seen = append(seen, b.outcome(epoch, 5, "a"))
		require.Equal(t, seen, watch.offsets())
		position := c.Watch(hashOf("a"), &newRecorder().Watch)
		require.Equal(t, seen[2], position.Offset)
	})
}
