package replay_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Whatever zombies, losses and copies are in a log, every way to read it finds the same history, and makes the same actor of it as a worker that reads it all.
func TestAllWaysAgree(t *testing.T) {
	t.Parallel()
	seed := seed.New(t)
	for name, n := range map[string]int{"Dense": 3, "Sparse": 40, "OneActor": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthor(t, seed, n)
			a.history(2500)
			truth := naive(t, a.cluster)
			r := replay.NewReader(a.log, replay.Options{})

			var shard []schemas.Position
			for e, err := range r.Shard(t.Context(), 0, replay.Range{}) {
				require.NoError(t, err)
				shard = append(shard, e.Position)
			}
			total := 0
			for _, moments := range truth {
				total += len(moments)
			}
			require.Len(t, shard, total)
			_, end, err := a.log.Bounds(t.Context(), eventlog.Events, 0)
			require.NoError(t, err)

			for i, hash := range a.keys {
				want := offsets(truth[hash])
				require.Equal(t, want, forward(t, r, hash, replay.Range{}), "actor %d, forward", i)
				back := backward(t, r, hash, 0)
				slices.Reverse(back)
				require.Equal(t, want, back, "actor %d, backward", i)

				k := 0
				for m, err := range r.Fold(t.Context(), hash, 0) {
					require.NoError(t, err)
					require.Equal(t, truth[hash][k].after, m.After, "actor %d, event %d", i, k)
					k++
				}
				require.Equal(t, len(want), k)

				for range 5 { // somewhere in the middle
					at := a.rng.Int64N(end)
					below := want[:len(want)-len(after(want, at))]
					require.Equal(t, after(want, at), forward(t, r, hash, replay.Range{From: at + 1}), "actor %d, from %d", i, at+1)
					back := backward(t, r, hash, at+1)
					slices.Reverse(back)
					require.Equal(t, below, back, "actor %d, back from %d", i, at)
					requireAt(t, r, truth[hash], hash, at)
				}
				head, err := r.Head(t.Context(), hash)
				require.NoError(t, err)
				requireSame(t, last(truth[hash], hash), head)
			}

			heads, err := r.Heads(t.Context(), 0)
			require.NoError(t, err)
			listed := make(map[schemas.Hash]replay.Listed)
			for l, err := range r.Actors(t.Context(), 0, func(*actorlogv1.Actor) bool { return true }) {
				require.NoError(t, err)
				listed[l.Hash] = l
			}
			for i, hash := range a.keys {
				want := last(truth[hash], hash)
				if len(truth[hash]) > 0 {
					requireSame(t, want, heads[hash])
				}
				got, ok := listed[hash]
				require.Equal(t, want.Generation > 0, ok, "actor %d is listed", i)
				if ok {
					require.Equal(t, []any{want.Alive, want.TimeMs, want.Generation}, []any{got.Alive, got.Last.UnixMilli(), got.Actor.Generation}, "actor %d in the list", i)
				}
			}
		})
	}
}

func requireAt(t *testing.T, r *replay.Reader, truth []moment, hash schemas.Hash, at int64) {
	t.Helper()
	n, _ := slices.BinarySearchFunc(truth, at+1, func(m moment, at int64) int { return int(m.offset - at) })
	got, err := r.At(t.Context(), hash, at)
	require.NoError(t, err)
	requireSame(t, last(truth[:n], hash), got)
}

// requireSame compares as snapshots: one that went through a snapshot has lists of its own.
func requireSame(t *testing.T, want, got machine.Actor) {
	t.Helper()
	require.Equal(t, want.Snapshot().String(), got.Snapshot().String())
	require.Equal(t, string(want.State), string(got.State))
}

func last(moments []moment, hash schemas.Hash) machine.Actor {
	if len(moments) == 0 {
		return machine.NewActor(hash)
	}
	return moments[len(moments)-1].after
}

func offsets(moments []moment) []int64 {
	all := []int64{}
	for _, m := range moments {
		all = append(all, m.offset)
	}
	return all
}

func after(offsets []int64, at int64) []int64 {
	i, _ := slices.BinarySearch(offsets, at+1)
	return offsets[i:]
}

func forward(t *testing.T, r *replay.Reader, hash schemas.Hash, in replay.Range) []int64 {
	t.Helper()
	all := []int64{}
	for e, err := range r.History(t.Context(), hash, in) {
		require.NoError(t, err)
		all = append(all, e.Position.Offset)
	}
	return all
}

func backward(t *testing.T, r *replay.Reader, hash schemas.Hash, before int64) []int64 {
	t.Helper()
	all := []int64{}
	for e, err := range r.Back(t.Context(), hash, before) {
		require.NoError(t, err)
		all = append(all, e.Position.Offset)
	}
	return all
}
