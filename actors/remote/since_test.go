package remote_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// zombieFuture renews a claim that was never made.
var zombieFuture = actorlogv1.Claim{Worker: "forger", RenewsEpoch: func() *int64 { n := int64(1 << 40); return &n }()}

func TestSince(t *testing.T) {
	t.Parallel()

	// since collects the offsets of an actor in shard 0 of a log by hand.
	since := func(t *testing.T, c *remote.Client, from, to int64) ([]int64, error) {
		t.Helper()
		seen := []int64{}
		err := c.Since(t.Context(), hashOf("a"), schemas.Position{Offset: from}, schemas.Position{Offset: to}, func(d *remote.Delivery) bool {
			seen = append(seen, d.Position.Offset)
			return true
		})
		return seen, err
	}
	const all = 1 << 40

	t.Run("OK", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			epoch := b.claim()
			var offsets []int64
			for ref := range int64(10) {
				offsets = append(offsets, b.outcome(epoch, ref, "a"))
				b.outcome(epoch, ref, "b")
			}
			c := b.open(remote.Config{})

			seen, err := since(t, c, -1, all)
			require.NoError(t, err)
			require.Equal(t, offsets, seen, "from the beginning")
			seen, err = since(t, c, offsets[3], all)
			require.NoError(t, err)
			require.Equal(t, offsets[4:], seen, "after a position")
			seen, err = since(t, c, offsets[3], offsets[5])
			require.NoError(t, err)
			require.Equal(t, offsets[4:6], seen, "up to and including a position")
			for _, empty := range [][2]int64{{offsets[9], all}, {offsets[9] + 1, all}, {offsets[3], offsets[3]}, {offsets[3], offsets[2]}} {
				seen, err = since(t, c, empty[0], empty[1])
				require.NoError(t, err)
				require.Empty(t, seen)
			}
		})
	})

	t.Run("Stopped", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			epoch := b.claim()
			for ref := range int64(10) {
				b.outcome(epoch, ref, "a")
			}
			c := b.open(remote.Config{})
			n := 0
			err := c.Since(t.Context(), hashOf("a"), schemas.Position{Offset: -1}, schemas.Position{Offset: all}, func(*remote.Delivery) bool {
				n++
				return n < 3
			})
			require.NoError(t, err)
			require.Equal(t, 3, n)
		})
	})

	t.Run("OtherShard", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			c := b.open(remote.Config{})
			err := c.Since(t.Context(), hashOf("a"), schemas.Position{Partition: 1}, schemas.Position{}, nil)
			require.ErrorContains(t, err, "shard 0")
		})
	})

	t.Run("ZombiesLeftOut", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			b.outcome(0, 0, "a")
			old := b.claim()
			first := b.outcome(old, 1, "a")
			claimed := b.claim()
			void := b.outcome(old, 2, "a")
			b.renew(old)
			b.outcome(old, 3, "a")
			second := b.outcome(claimed, 2, "a")
			b.outcome(claimed, 1, "a")
			b.inject(&zombieFuture, []byte(schemas.ClaimKey), "")
			third := b.outcome(claimed, 3, "a")

			c := b.open(remote.Config{})
			seen, err := since(t, c, -1, all)
			require.NoError(t, err)
			require.Equal(t, []int64{first, second, third}, seen)
			seen, err = since(t, c, void, all)
			require.NoError(t, err)
			require.Equal(t, []int64{second, third}, seen)
		})
	})

	t.Run("LongHistory", func(t *testing.T) {
		t.Parallel()
		// The last claim before the position is far back, or was renewed.
		for name, renewEvery := range map[string]int64{"Renewed": machine.RenewEvery, "NotRenewed": 1 << 40} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				byHand(t, func(t *testing.T, b *bench) {
					b.outcome(0, 0, "a")
					epoch := b.claim()
					var offsets []int64
					for ref := range int64(20 * machine.ReadBack) {
						if ref%renewEvery == renewEvery-1 {
							b.renew(epoch)
						}
						if ref%1000 == 0 {
							offsets = append(offsets, b.outcome(epoch, ref+1, "a"))
						} else {
							b.outcome(epoch, ref+1, "b")
						}
					}
					c := b.open(remote.Config{})
					for _, from := range []int{0, 1, 3, 17, 38} {
						seen, err := since(t, c, offsets[from], all)
						require.NoError(t, err)
						require.Equal(t, offsets[from+1:], seen)
					}
				})
			})
		}
	})

	t.Run("ErrGone", func(t *testing.T) {
		t.Parallel()
		byHand(t, func(t *testing.T, b *bench) {
			epoch := b.claim()
			var offsets []int64
			for ref := range int64(10) {
				offsets = append(offsets, b.outcome(epoch, ref, "a"))
			}
			b.renew(epoch)
			for ref := range int64(10) {
				offsets = append(offsets, b.outcome(epoch, 10+ref, "a"))
			}
			c := b.open(remote.Config{})
			synctest.Wait()
			b.cluster.Truncate(eventlog.Events, 0, offsets[5])

			_, err := since(t, c, -1, all)
			require.ErrorIs(t, err, remote.ErrGone)
			_, err = since(t, c, offsets[3], all)
			require.ErrorIs(t, err, remote.ErrGone)

			// The events are there, but the claim that says which of them count is not.
			_, err = since(t, c, offsets[4], all)
			require.ErrorIs(t, err, remote.ErrGone)
			_, err = since(t, c, offsets[8], all)
			require.ErrorIs(t, err, remote.ErrGone)

			seen, err := since(t, c, offsets[9], all)
			require.NoError(t, err)
			require.Equal(t, offsets[10:], seen)
			seen, err = since(t, c, offsets[12], all)
			require.NoError(t, err)
			require.Equal(t, offsets[13:], seen)

			// A position of another log.
			_, err = since(t, c, offsets[19]+1, all)
			require.ErrorIs(t, err, remote.ErrGone)
		})
	})

	t.Run("WatchAndSince", func(t *testing.T) {
		t.Parallel()
		// What a subscriber that was away does: watch, then read what was missed up to where the
		// watch begins. Together they are everything, once. In real time, for the sake of the race.
		w := actortest.New(t, register)
		stop := traffic(t, w.Client, "a")
		defer stop()
		d, _, err := w.Client.Do(t.Context(), adding("a"))
		require.NoError(t, err)
		for range 50 {
			r := newRecorder()
			live := w.Client.Watch(d.Hash, &r.Watch)
			from := schemas.Position{Partition: live.Partition, Offset: live.Offset - 100}
			from.Offset = max(from.Offset, -1)
			var seen []int64
			err := w.Client.Since(t.Context(), d.Hash, from, live, func(d *remote.Delivery) bool {
				seen = append(seen, d.Position.Offset)
				return true
			})
			require.NoError(t, err)
			seen = append(seen, r.await(3)...)
			w.Client.Unwatch(&r.Watch)
			written := after(outcomes(t, w.Cluster, d.Hash, actortest.Shards), from.Offset)
			require.Equal(t, written[:len(seen)], seen)
		}
	})
}

func TestSinceEach(t *testing.T) {
	t.Parallel()
	byHand(t, func(t *testing.T, b *bench) {
		epoch := b.claim()
		offsets := map[string][]int64{}
		for ref := range int64(20) {
			for _, key := range []string{"a", "b"} {
				offsets[key] = append(offsets[key], b.outcome(epoch, ref, key))
			}
			if ref == 10 {
				b.renew(epoch)
			}
		}
		c := b.open(remote.Config{})
		b.cluster.Truncate(eventlog.Events, 0, offsets["a"][5])
		last := offsets["b"][19]

		type reader struct {
			*remote.Reader
			seen []int64
		}
		read := func(key string, after, to int64, most int) *reader {
			r := &reader{Reader: &remote.Reader{Hash: hashOf(key), After: schemas.Position{Offset: after}, To: schemas.Position{Offset: to}}}
			r.Outcome = func(d *remote.Delivery) bool {
				r.seen = append(r.seen, d.Position.Offset)
				return len(r.seen) < most
			}
			return r
		}
		gone := read("a", offsets["a"][2], last, 100)
		noClaim := read("a", offsets["a"][7], last, 100)
		all := read("a", offsets["a"][11], last, 100)
		page := read("a", offsets["a"][11], last, 3)
		other := read("b", offsets["b"][11], offsets["b"][15], 100)
		nothing := read("b", last, last, 100)
		elsewhere := read("a", 0, last, 100)
		elsewhere.After.Partition = 1
		each := func(most int64, readers ...*reader) {
			t.Helper()
			var of []*remote.Reader
			for _, r := range readers {
				of = append(of, r.Reader)
			}
			require.NoError(t, c.SinceEach(t.Context(), 0, most, of...))
		}
		each(1000, gone, noClaim, all, page, other, nothing, elsewhere)

		// Who asks for what is gone is told so, and nobody else is.
		require.ErrorIs(t, gone.Err, remote.ErrGone)
		require.ErrorIs(t, noClaim.Err, remote.ErrGone)
		require.ErrorContains(t, elsewhere.Err, "shard 0")
		require.Empty(t, append(gone.seen, noClaim.seen...))
		for r, want := range map[*reader][]int64{all: offsets["a"][12:], page: offsets["a"][12:15], other: offsets["b"][12:16], nothing: nil} {
			require.NoError(t, r.Err)
			require.Equal(t, want, r.seen)
		}
		require.Equal(t, []int64{last, page.seen[2], offsets["b"][15], last},
			[]int64{all.After.Offset, page.After.Offset, other.After.Offset, nothing.After.Offset})

		// A pass of few records takes everybody as far as it went, and the next ones go on from there.
		all, other = read("a", offsets["a"][11], last, 100), read("b", offsets["b"][15], last, 100)
		passes := 0
		for ; all.After.Offset < last || other.After.Offset < last; passes++ {
			before := min(all.After.Offset, other.After.Offset)
			each(3, all, other)
			require.LessOrEqual(t, min(all.After.Offset, other.After.Offset)-before, int64(3))
		}
		require.Equal(t, 6, passes)
		require.Equal(t, offsets["a"][12:], all.seen)
		require.Equal(t, offsets["b"][16:], other.seen)
	})
}
