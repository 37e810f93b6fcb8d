package remote_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
)

func TestDo(t *testing.T) {
	t.Parallel()

	t.Run("OK", func(t *testing.T) {
		t.Parallel()
		hosted(t, func(t *testing.T, w *actortest.World) {
			d, replayed, err := w.Client.Do(t.Context(), adding("a"))
			require.NoError(t, err)
			require.False(t, replayed)
			require.Equal(t, "1", string(d.Outcome.ResultJson))
			require.Equal(t, hashOf("a"), d.Hash)
			require.Equal(t, []int64{d.Position.Offset}, outcomes(t, w.Cluster, d.Hash, actortest.Shards))
			require.Equal(t, w.Client.ID(), d.Outcome.Action.Caller.Gateway)
		})
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		// A refusal is an outcome, not an error: it stands in the log like any other.
		hosted(t, func(t *testing.T, w *actortest.World) {
			d, _, err := w.Client.Do(t.Context(), invoking("add", -1, "a"))
			require.NoError(t, err)
			require.Equal(t, "negative", d.Outcome.Error.GetCode())
			require.Len(t, outcomes(t, w.Cluster, d.Hash, actortest.Shards), 1)
		})
	})

	t.Run("Replayed", func(t *testing.T) {
		t.Parallel()
		hosted(t, func(t *testing.T, w *actortest.World) {
			// Two at once: one runs, and the other gets the same outcome.
			var answers [2]*remote.Delivery
			var replays atomic.Int32
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() {
					d, replayed, err := w.Client.Do(t.Context(), idempotent(adding("a"), "key"))
					require.NoError(t, err)
					if answers[i] = d; replayed {
						replays.Add(1)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, replays.Load())
			require.Equal(t, answers[0].Position, answers[1].Position)
			require.Nil(t, answers[0].Outcome.Repeats)
			require.Nil(t, answers[1].Outcome.Repeats)

			// A later one too, of another client, and of another worker.
			w.Crash()
			other, err := remote.Open(w.Cluster.Client(), remote.Config{})
			require.NoError(t, err)
			defer other.Close()
			d, replayed, err := other.Do(t.Context(), idempotent(adding("a"), "key"))
			require.NoError(t, err)
			require.True(t, replayed)
			require.Equal(t, answers[0].Position, d.Position)
			require.Equal(t, "1", string(d.Outcome.ResultJson))
		})
	})

	t.Run("ErrGone", func(t *testing.T) {
		t.Parallel()
		// A repeat whose first outcome has expired: it took effect, but nobody knows how.
		hosted(t, func(t *testing.T, w *actortest.World) {
			d, _, err := w.Client.Do(t.Context(), idempotent(adding("a"), "key"))
			require.NoError(t, err)
			w.Cluster.Truncate(eventlog.Events, d.Position.Partition, d.Position.Offset+1)

			watch := newRecorder()
			req := idempotent(adding("a"), "key")
			req.Watch = &watch.Watch
			_, _, err = w.Client.Do(t.Context(), req)
			require.ErrorIs(t, err, remote.ErrUnknownOutcome)
			require.ErrorIs(t, err, remote.ErrGone)

			_, _, err = w.Client.Do(t.Context(), adding("a"))
			require.NoError(t, err)
			require.Empty(t, watch.offsets(), "the watch of a failed request was registered")
		})
	})
}

func TestErrBusy(t *testing.T) {
	t.Parallel()
	byHand(t, func(t *testing.T, b *bench) {
		c := b.open(remote.Config{MaxPending: 2})
		epoch := b.claim()
		first, second := ask(t.Context(), t, c, adding("a")), ask(t.Context(), t, c, adding("b"))

		_, _, err := c.Do(t.Context(), adding("c"))
		require.ErrorIs(t, err, remote.ErrBusy)
		require.Len(t, b.actions(), 2, "what was refused was appended")

		// One is answered: there is room for one more.
		b.answer(epoch, 0)
		calls, d, err := first.result()
		require.NoError(t, err)
		require.Equal(t, 1, calls)
		require.Equal(t, "0", string(d.Outcome.ResultJson))
		ask(t.Context(), t, c, adding("c"))
		require.ErrorIs(t, c.Ask(t.Context(), adding("d"), nil), remote.ErrBusy)
		calls, _, _ = second.result()
		require.Zero(t, calls)
	})
}

// Brokers that do not answer are not sent ever more.
func TestErrBusy_Unacknowledged(t *testing.T) {
	t.Parallel()
	byHand(t, func(t *testing.T, b *bench) {
		const most, args = 10_000, 3_000
		c := b.open(remote.Config{MaxUnacknowledgedBytes: most})
		b.claim()
		synctest.Wait()
		b.log.Disconnect()
		sizeable := func(n int) remote.Request {
			req := adding("a")
			req.Action.GetInvoke().ArgsJson = make([]byte, n)
			return req
		}
		for range most / (args + 200) {
			require.NoError(t, c.Busy())
			ask(t.Context(), t, c, sizeable(args))
		}
		require.ErrorIs(t, c.Ask(t.Context(), sizeable(args), nil), remote.ErrBusy)
		ask(t.Context(), t, c, sizeable(10)) // there is still room for a small one
		n, _ := c.Pending()
		require.Equal(t, most/(args+200)+1, n)

		b.log.Connect()
		require.Eventually(t, func() bool { return len(b.actions()) == n }, time.Minute, time.Second)
		// A large one is let in alone.
		ask(t.Context(), t, c, sizeable(2*most))
	})
}

// When events are written faster than they are read, every answer would be late.
func TestErrBusy_TailBehind(t *testing.T) {
	t.Parallel()
	byHand(t, func(t *testing.T, b *bench) {
		const most = 10
		c := b.open(remote.Config{MaxBehind: most})
		epoch := b.claim()
		held, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		c.Watch(hashOf("a"), &remote.Watch{Outcome: func(*remote.Delivery) {
			once.Do(func() { close(held) })
			<-release
		}})
		first := ask(t.Context(), t, c, adding("a"))
		second := ask(t.Context(), t, c, adding("b"))
		b.answer(epoch, 0)
		<-held // the tail reads no further
		b.answer(epoch, 1)
		for range most {
			require.NoError(t, c.Busy())
			b.claim()
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.ErrorIs(t, c.Busy(), remote.ErrBusy)
		require.ErrorIs(t, c.Ask(t.Context(), adding("c"), nil), remote.ErrBusy)

		close(release)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.NoError(t, c.Busy())
		for _, answered := range []*asked{first, second} {
			calls, _, err := answered.result()
			require.NoError(t, err)
			require.Equal(t, 1, calls)
		}
	})
}

func TestErrNotAppended(t *testing.T) {
	t.Parallel()

	t.Run("BrokersAway", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			b.log.Disconnect()
			c := b.open(remote.Config{})
			ctx, cancel := context.WithTimeout(t.Context(), moment)
			defer cancel()
			_, _, err := c.Do(ctx, adding("a"))
			require.ErrorIs(t, err, remote.ErrNotAppended)
			require.ErrorIs(t, err, context.DeadlineExceeded)

			// They come back, and so does the client.
			b.log.Connect()
			time.Sleep(time.Minute)
			epoch := b.claim()
			a := ask(t.Context(), t, c, adding("a"))
			require.Len(t, b.actions(), 1)
			b.answer(epoch, 0)
			_, _, err = a.result()
			require.NoError(t, err)
		})
	})

	t.Run("Canceled", func(t *testing.T) {
		t.Parallel()
		// Nobody waits any more: it is not even asked.
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			for range 20 {
				_, _, err := c.Do(ctx, adding("a"))
				require.ErrorIs(t, err, remote.ErrNotAppended)
				require.ErrorIs(t, err, context.Canceled)
			}
			require.Empty(t, b.actions())
		})
	})

	t.Run("Closed", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			synctest.Wait()
			c.Close()
			_, _, err := c.Do(t.Context(), adding("a"))
			require.ErrorIs(t, err, remote.ErrNotAppended)
			require.ErrorIs(t, err, eventlog.ErrClosed)
			require.Empty(t, b.actions())
		})
	})

	t.Run("NotUTF8", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			_, _, err := c.Do(t.Context(), idempotent(adding("a"), "\xff"))
			require.ErrorIs(t, err, remote.ErrNotAppended)
			require.ErrorIs(t, err, schemas.ErrMalformed)
			require.Empty(t, b.actions())
		})
	})

	t.Run("TooLarge", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			b.cluster.SetMaxRecordBytes(1000)
			c := b.open(remote.Config{})
			_, _, err := c.Do(t.Context(), idempotent(adding("a"), strings.Repeat("x", 1000)))
			require.ErrorIs(t, err, remote.ErrNotAppended)
			require.ErrorIs(t, err, eventlog.ErrTooLarge)
			require.Empty(t, b.actions())
		})
	})
}

func TestErrUnknownOutcome(t *testing.T) {
	t.Parallel()
	var errAck = errors.New("the acknowledgement was lost")

	t.Run("AckLost", func(t *testing.T) {
		t.Parallel()
		// The brokers wrote the action but did not say so. The caller is told that it does not
		// know; with its idempotency key it finds out.
		hosted(t, func(t *testing.T, w *actortest.World) {
			synctest.Wait()
			w.Cluster.FailNext(1, eventlog.Actions, hashOf("a").Shard(actortest.Shards), memlog.Fault{Err: errAck, Written: true, AckDelay: moment})
			// The outcome is there before the append is known to have failed: no harm done.
			d, _, err := w.Client.Do(t.Context(), idempotent(adding("a"), "key"))
			require.NoError(t, err)
			require.Equal(t, "1", string(d.Outcome.ResultJson))

			w.Cluster.SetFaults(func(wr memlog.Write) memlog.Fault {
				switch wr.Topic {
				case eventlog.Actions:
					return memlog.Fault{Err: errAck, Written: true}
				case eventlog.Events:
					return memlog.Fault{Delay: moment}
				}
				return memlog.Fault{}
			})
			_, _, err = w.Client.Do(t.Context(), idempotent(adding("a"), "another key"))
			require.ErrorIs(t, err, remote.ErrUnknownOutcome)
			require.ErrorIs(t, err, errAck)
			w.Cluster.SetFaults(nil)
			d, replayed, err := w.Client.Do(t.Context(), idempotent(adding("a"), "another key"))
			require.NoError(t, err)
			require.True(t, replayed)
			require.Equal(t, "2", string(d.Outcome.ResultJson))
		})
	})

	t.Run("Canceled", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			epoch := b.claim()
			cause := errors.New("the browser went away")
			ctx, cancel := context.WithCancelCause(t.Context())
			a := ask(ctx, t, c, adding("a"))
			cancel(cause)
			calls, _, err := a.result()
			require.Equal(t, 1, calls)
			require.ErrorIs(t, err, remote.ErrUnknownOutcome)
			require.ErrorIs(t, err, cause)

			// The outcome comes all the same, and meets nobody.
			b.answer(epoch, 0)
			calls, _, _ = a.result()
			require.Equal(t, 1, calls)
		})
	})

	t.Run("ButAppended", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			b.claim()
			// Nobody answers, but it is in the log; then it is not.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var appended atomic.Int64
			req := adding("a")
			req.Appended = func() { appended.Add(1) }
			_, _, err := c.Do(ctx, req)
			require.ErrorIs(t, err, remote.ErrUnknownOutcome)
			require.EqualValues(t, 1, appended.Load())

			b.cluster.FailNext(1, eventlog.Actions, 0, memlog.Fault{Err: errAck})
			req = adding("a")
			req.Appended = func() { appended.Add(1) }
			_, _, err = c.Do(t.Context(), req)
			require.ErrorIs(t, err, errAck)
			require.EqualValues(t, 1, appended.Load())
		})
	})

	t.Run("Closed", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			a := ask(t.Context(), t, c, adding("a"))
			c.Close()
			c.Close()
			calls, _, err := a.result()
			require.Equal(t, 1, calls)
			require.ErrorIs(t, err, remote.ErrUnknownOutcome)
		})
	})

	t.Run("TimedOut", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{RequestTimeout: 10 * time.Second})
			b.claim()
			began := time.Now()
			_, _, err := c.Do(t.Context(), adding("a"))
			require.ErrorIs(t, err, remote.ErrUnknownOutcome)
			require.InDelta(t, 10, time.Since(began).Seconds(), 1.5)

			// A context that ends earlier counts.
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			began = time.Now()
			_, _, err = c.Do(ctx, adding("a"))
			require.ErrorIs(t, err, remote.ErrUnknownOutcome)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 3*time.Second, time.Since(began))
		})
	})
}

// Every request is answered once, however its outcome, its context, the sweep and Close race.
func TestAskAnswersOnce(t *testing.T) {
	t.Parallel()
	hosted(t, func(t *testing.T, w *actortest.World) {
		c, err := remote.Open(w.Cluster.Client(), remote.Config{RequestTimeout: 2 * time.Second})
		require.NoError(t, err)
		defer c.Close()
		dice := rand.New(rand.NewPCG(1, 2))
		w.Cluster.SetFaults(func(memlog.Write) memlog.Fault {
			return memlog.Fault{Delay: time.Duration(dice.IntN(300)) * time.Millisecond, AckDelay: time.Duration(dice.IntN(300)) * time.Millisecond}
		})
		const requests = 400
		var calls [requests]atomic.Int32
		var accepted atomic.Int32
		var wg sync.WaitGroup
		for i := range requests {
			wg.Go(func() {
				time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(1000))*time.Millisecond)
				defer cancel()
				if c.Ask(ctx, adding("a"), func(*remote.Delivery, bool, error) { calls[i].Add(1) }) == nil {
					accepted.Add(1)
				} else {
					calls[i].Add(1)
				}
				time.Sleep(time.Second)
			})
		}
		time.Sleep(2500 * time.Millisecond)
		c.Close()
		wg.Wait()
		time.Sleep(time.Minute)
		for i := range calls {
			require.EqualValues(t, 1, calls[i].Load(), "request %d", i)
		}
		require.Greater(t, accepted.Load(), int32(requests/2))
	})
}

// A client that starts again under its old name is heard: its sequence numbers are not taken for
// those of its first life.
func TestSameID(t *testing.T) {
	t.Parallel()
	hosted(t, func(t *testing.T, w *actortest.World) {
		for i := range 3 {
			c, err := remote.Open(w.Cluster.Client(), remote.Config{ID: "gateway-1"})
			require.NoError(t, err)
			for range 3 - i {
				_, _, err = c.Do(t.Context(), adding("a"))
				require.NoError(t, err)
			}
			c.Close()
			time.Sleep(time.Second)
		}
		s, err := kind.Get(w.Client, "a").Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, 6, s.N)
	})
}

func TestReady(t *testing.T) {
	t.Parallel()
	byHand(t, func(t *testing.T, b *bench) {
		epoch := b.claim()
		for ref := range int64(5000) {
			if ref%500 == 0 {
				b.renew(epoch)
			}
			b.outcome(epoch, ref, "a")
		}
		b.log.Disconnect()
		c := b.open(remote.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorContains(t, c.Ready(ctx), "caught up")

		b.log.Connect()
		time.Sleep(time.Minute)
		require.NoError(t, c.Ready(t.Context()))

		// The brokers go away.
		b.log.Disconnect()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorContains(t, c.Ready(ctx), "asking the brokers")

		b.log.Connect()
		require.NoError(t, c.Ready(t.Context()))
		c.Close()
		require.ErrorIs(t, c.Ready(t.Context()), eventlog.ErrClosed)
	})
}

func TestCaller(t *testing.T) {
	t.Parallel()
	hosted(t, func(t *testing.T, w *actortest.World) {
		ctx := t.Context()
		target := actor.Target{Namespace: actor.DefaultNamespace, Kind: "tally", Key: schemas.Key{"a", "b/c"}}

		_, err := w.Client.Read(ctx, target)
		require.ErrorIs(t, err, actor.ErrNotFound)
		target.Presence = actor.CreateIfAbsent
		id, created, err := w.Client.Resolve(ctx, target)
		require.NoError(t, err)
		require.True(t, created)
		again, created, err := w.Client.Resolve(ctx, target)
		require.NoError(t, err)
		require.False(t, created)
		require.Equal(t, id, again)
		target.Presence = actor.MustBeAbsent
		_, _, err = w.Client.Resolve(ctx, target)
		require.ErrorIs(t, err, actor.ErrDuplicateKey)

		byID := actor.Target{Kind: "tally", ID: id}
		result, err := w.Client.Invoke(ctx, byID, "add", []byte("[5]"))
		require.NoError(t, err)
		require.Equal(t, "5", string(result))
		_, err = w.Client.Invoke(ctx, byID, "add", []byte("[-5]"))
		require.ErrorIs(t, err, actor.UserError("negative", ""))
		state, err := w.Client.Read(ctx, byID)
		require.NoError(t, err)
		require.JSONEq(t, `{"N": 5}`, string(state))
		require.NoError(t, w.Client.Destroy(ctx, byID))
		require.ErrorIs(t, w.Client.Destroy(ctx, byID), actor.ErrNotFound)

		for name, bad := range map[string]actor.Target{
			"ID":        {Kind: "tally", ID: "0"},
			"key":       {Namespace: "default", Kind: "tally", Key: schemas.Key{strings.Repeat("x", schemas.MaxKeyPartLen+1)}},
			"kind":      {Namespace: "default", Kind: "a/b"},
			"namespace": {Kind: "tally"},
			"input":     {Namespace: "default", Kind: "tally", Input: make([]byte, schemas.MaxInputLen+1)},
		} {
			_, err := w.Client.Read(ctx, bad)
			want := actor.ErrInvalidRequest
			if name == "ID" {
				want = actor.ErrNotFound
			}
			require.ErrorIs(t, err, want, name)
		}
	})
}
