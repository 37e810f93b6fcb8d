package replay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

// Where events have expired, what is kept is read, and nothing is made up.
func TestErrGone(t *testing.T) {
	t.Parallel()
	a := newAuthor(t, seed.New(t), 4)
	a.history(1500)
	truth := naive(t, a.cluster)
	a.renew() // without a claim after it, nobody would know what counts
	const cut = 700
	a.cluster.Truncate(eventlog.Events, 0, cut)
	r := replay.NewReader(a.log, replay.Options{})
	for i, hash := range a.keys {
		var back []int64
		var gone error
		for e, err := range r.Back(t.Context(), hash, 0) {
			if gone = err; err == nil {
				back = append(back, e.Position.Offset)
			}
		}
		want := offsets(truth[hash])
		kept := after(want, cut-1)
		if len(kept) < len(want) {
			require.ErrorIs(t, gone, replay.ErrGone, "actor %d", i)
		}
		require.NotEmpty(t, back)
		require.Equal(t, kept[len(kept)-len(back):], reversed(back), "actor %d", i)

		_, err := r.State(t.Context(), hash, replay.Point{Number: 1})
		require.ErrorIs(t, err, replay.ErrGone, "numbers are not known")
		_, err = r.State(t.Context(), hash, replay.Point{Position: &schemas.Position{Offset: 5}})
		require.ErrorIs(t, err, replay.ErrGone)

		// The fold begins with the first life that is kept whole, and is right from there on.
		var n int
		for m, err := range r.Fold(t.Context(), hash, 0) {
			if err != nil {
				require.ErrorIs(t, err, replay.ErrGone)
				break
			}
			n++
			k := len(want) - len(after(want, m.Position.Offset-1))
			require.Equal(t, string(truth[hash][k].after.State), string(m.After.State), "actor %d at %s", i, m.Position)
			require.Equal(t, truth[hash][k].after.Schedules, m.After.Schedules)
		}
	}
	for _, err := range r.History(t.Context(), a.keys[0], replay.Range{From: 1}) {
		require.ErrorIs(t, err, replay.ErrGone)
	}
}

func reversed(list []int64) []int64 {
	out := make([]int64, 0, len(list))
	for i := range list {
		out = append(out, list[len(list)-1-i])
	}
	return out
}
