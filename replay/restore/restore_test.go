package restore_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/examples/metronome"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/replay/restore"
	"github.com/actorlog/actorlog/replay/verify"
	"github.com/actorlog/actorlog/schemas"
)

func hashOf(key ...string) schemas.Hash {
	return schemas.HashOf(actor.DefaultNamespace, counter.Kind.Name(), key)
}

// play counts a counter up to 1, 3, 6, 10.
func play(t *testing.T, w *actortest.World) *replay.Reader {
	t.Helper()
	c := counter.Kind.GetOrCreate(w.Client, "a")
	for i := range int64(4) {
		_, err := counter.Increment.Call(t.Context(), c, i+1)
		require.NoError(t, err)
	}
	log := w.Cluster.Client()
	t.Cleanup(log.Close)
	return replay.NewReader(log, replay.Options{})
}

func count(t *testing.T, w *actortest.World, key ...string) int64 {
	t.Helper()
	n, err := counter.Get.Call(t.Context(), counter.Kind.Get(w.Client, key...), actor.None{})
	require.NoError(t, err)
	return n
}

func world(t *testing.T, story func(t *testing.T, w *actortest.World)) {
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, counter.Register)
		story(t, w)
		s := w.Verify(verify.Config{})
		require.Zero(t, s.NotChecked, s.Reasons)
	})
}

func TestFork(t *testing.T) {
	t.Parallel()
	t.Run("is what the original was, and goes its own way", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			done, err := restore.Fork(t.Context(), w.Client, r, hashOf("a"), replay.Point{Number: 2}, restore.Target{Key: []string{"copy"}},
				restore.Options{Reason: "what if", By: "ann"})
			require.NoError(t, err)
			require.EqualValues(t, 3, count(t, w, "copy"))
			_, err = counter.Increment.Call(t.Context(), counter.Kind.Get(w.Client, "copy"), 100)
			require.NoError(t, err)
			require.EqualValues(t, 103, count(t, w, "copy"))
			require.EqualValues(t, 10, count(t, w, "a"))

			second, err := r.Find(t.Context(), hashOf("a"), replay.Point{Number: 2})
			require.NoError(t, err)
			require.Equal(t, second.Position, done.From)
			first, err := r.Find(t.Context(), hashOf("copy"), replay.Point{Number: 1})
			require.NoError(t, err)
			require.Equal(t, done.Position, first.Position)
			recorded := first.Outcome.Action.GetRestore()
			require.Equal(t, "what if", recorded.Reason)
			require.Equal(t, second.Position.Offset, recorded.Source.Offset)
			require.Equal(t, "ann", first.Outcome.Action.Caller.Principal)

			w.Crash()
			require.EqualValues(t, 103, count(t, w, "copy"))
		})
	})
	t.Run("does not take the place of an actor that lives", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			_, err := restore.Fork(t.Context(), w.Client, r, hashOf("a"), replay.Point{}, restore.Target{Key: []string{"a"}}, restore.Options{})
			require.ErrorIs(t, err, actor.ErrDuplicateKey)
			require.EqualValues(t, 10, count(t, w, "a"))
		})
	})
	t.Run("of what never lived is refused", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			_, err := restore.Fork(t.Context(), w.Client, r, hashOf("nobody"), replay.Point{}, restore.Target{Key: []string{"x"}}, restore.Options{})
			require.ErrorIs(t, err, restore.ErrNothing)
		})
	})
	t.Run("from a file, into another log", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "a.history")
		world(t, func(t *testing.T, w *actortest.World) {
			var b bytes.Buffer
			done, err := file.Export(t.Context(), &b, play(t, w), hashOf("a"), file.Options{Log: "there"})
			require.NoError(t, err)
			require.Equal(t, file.Exported{Events: 4, Whole: true}, done)
			require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
		})
		world(t, func(t *testing.T, w *actortest.World) {
			h, err := file.Open(path)
			require.NoError(t, err)
			_, err = restore.Fork(t.Context(), w.Client, replay.NewReader(h, replay.Options{}), h.Hash(), replay.Point{Number: 3},
				restore.Target{Key: []string{"here"}}, restore.Options{Log: h.Header().Log})
			require.NoError(t, err)
			require.EqualValues(t, 6, count(t, w, "here"))
		})
	})
}

func TestUndo(t *testing.T) {
	t.Parallel()
	t.Run("takes back the last change, and says what it was", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			require.EqualValues(t, 10, count(t, w, "a")) // a Get, which changes nothing
			done, err := restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{}, restore.Options{})
			require.NoError(t, err)
			require.EqualValues(t, 6, count(t, w, "a"))
			require.Len(t, done.Undone, 1)
			require.JSONEq(t, `[4]`, string(done.Undone[0].Args))
			require.JSONEq(t, `[{"op":"replace","path":"/count","value":6}]`, string(done.Difference.Patch))

			// Undoing the undo brings back what it took away. All of it is history.
			_, err = restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{}, restore.Options{})
			require.NoError(t, err)
			require.EqualValues(t, 10, count(t, w, "a"))
			n := 0
			for _, err := range r.History(t.Context(), hashOf("a"), replay.Range{}) {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, 9, n)
		})
	})
	t.Run("to a point takes back all that came after", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			done, err := restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{Number: 1}, restore.Options{})
			require.NoError(t, err)
			require.Len(t, done.Undone, 3)
			require.EqualValues(t, 1, count(t, w, "a"))
		})
	})
	t.Run("brings back an actor that was destroyed", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			require.NoError(t, counter.Kind.Get(w.Client, "a").Destroy(t.Context()))
			done, err := restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{}, restore.Options{})
			require.NoError(t, err)
			require.EqualValues(t, 10, count(t, w, "a"))
			require.Equal(t, []replay.Change{{
				Op: "replace", Path: "life", Before: json.RawMessage(`{"alive":false,"generation":1}`), After: json.RawMessage(`{"alive":true,"generation":2}`),
			}}, done.Difference.Parts)

			// And to before that, from the second life: it stays the second one.
			done, err = restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{Number: 1}, restore.Options{})
			require.NoError(t, err)
			require.EqualValues(t, 1, count(t, w, "a"))
			require.Empty(t, done.Difference.Parts)
		})
	})
	t.Run("leaves schedules, unless told otherwise, and says what it did", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := actortest.New(t, metronome.Register)
			log := w.Cluster.Client()
			defer log.Close()
			r := replay.NewReader(log, replay.Options{})
			hash := schemas.HashOf(actor.DefaultNamespace, metronome.Kind.Name(), []string{"a"})
			h := metronome.Kind.GetOrCreate(w.Client, "a")
			for _, p := range []metronome.Piece{{EveryMs: 3_600_000, Beats: 3}, {EveryMs: 7_200_000, Beats: 5}} {
				_, err := metronome.Start.Call(t.Context(), h, p)
				require.NoError(t, err)
			}
			schedules := func() (every []int64) {
				a, err := r.Head(t.Context(), hash)
				require.NoError(t, err)
				for _, s := range a.Schedules {
					every = append(every, s.EveryMs)
				}
				return every
			}
			paths := func(d *replay.Difference) (all []string) {
				for _, c := range slices.Concat(d.Changes, d.Parts) {
					all = append(all, c.Path)
				}
				return all
			}
			done, err := restore.Undo(t.Context(), w.Client, r, hash, replay.Point{Number: 1}, restore.Options{})
			require.NoError(t, err)
			require.Equal(t, []string{"/left"}, paths(done.Difference))
			require.Equal(t, []int64{7_200_000}, schedules())
			_, err = metronome.Start.Call(t.Context(), h, metronome.Piece{EveryMs: 7_200_000, Beats: 5})
			require.NoError(t, err)
			done, err = restore.Undo(t.Context(), w.Client, r, hash, replay.Point{Number: 1}, restore.Options{Schedules: true})
			require.NoError(t, err)
			require.Equal(t, []string{"/left", "schedules/beat"}, paths(done.Difference))
			require.Equal(t, []int64{3_600_000}, schedules())

			// The same of copies.
			for key, o := range map[string]restore.Options{"without": {}, "with": {Schedules: true}} {
				_, err := restore.Fork(t.Context(), w.Client, r, hash, replay.Point{Number: 1}, restore.Target{Key: []string{key}}, o)
				require.NoError(t, err)
				copied, err := r.Head(t.Context(), schemas.HashOf(actor.DefaultNamespace, metronome.Kind.Name(), []string{key}))
				require.NoError(t, err)
				require.Len(t, copied.Schedules, map[string]int{"without": 0, "with": 1}[key])
			}
		})
	})
	t.Run("runs no hook, but what runs when an actor wakes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			type dial struct{ N int }
			kind := actor.New[dial]("dial")
			set := actor.Action[int, actor.None](kind, "set")
			var changed, woke []int // by turns: the actor is one
			w := actortest.New(t, func(r *actor.Registry) {
				actor.On(r, set, func(s *dial, _ *actor.Ctx, n int) (none actor.None, err error) {
					s.N = n
					return none, nil
				})
				actor.OnStateChange(r, kind, func(s *dial, _ *actor.Ctx) error {
					changed = append(changed, s.N)
					return nil
				})
				actor.OnWake(r, kind, func(s *dial, _ *actor.Ctx) error {
					woke = append(woke, s.N)
					return nil
				})
			})
			log := w.Cluster.Client()
			defer log.Close()
			h := kind.GetOrCreate(w.Client, "a")
			for _, n := range []int{1, 2} {
				_, err := set.Call(t.Context(), h, n)
				require.NoError(t, err)
			}
			_, err := restore.Undo(t.Context(), w.Client, replay.NewReader(log, replay.Options{}), schemas.HashOf(actor.DefaultNamespace, "dial", []string{"a"}), replay.Point{}, restore.Options{})
			require.NoError(t, err)
			require.Equal(t, []int{1, 2}, changed)
			require.Equal(t, []int{0}, woke)
			_, err = set.Call(t.Context(), h, 5)
			require.NoError(t, err)
			require.Equal(t, []int{1, 2, 5}, changed)
			require.Equal(t, []int{0, 1}, woke)
		})
	})
	t.Run("of nothing is refused", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			_, err := restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{Number: 4}, restore.Options{})
			require.ErrorIs(t, err, restore.ErrNothing)
			_, err = restore.Undo(t.Context(), w.Client, r, hashOf("b"), replay.Point{}, restore.Options{})
			require.ErrorIs(t, err, restore.ErrNothing)
		})
	})
	t.Run("without workers says so, and is done when there is one", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			w.Kill()
			_, err := restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{}, restore.Options{})
			require.ErrorIs(t, err, remote.ErrUnknownOutcome)
			require.ErrorContains(t, err, "do workers run?")
			w.StartWorker()
			require.EqualValues(t, 6, count(t, w, "a"))
		})
	})
	t.Run("is refused if the actor changes while it is prepared", func(t *testing.T) {
		t.Parallel()
		world(t, func(t *testing.T, w *actortest.World) {
			r := play(t, w)
			// The increment is on its way, and the worker gets to it before the undo, whose reader has not seen it.
			w.Kill()
			answered := make(chan error, 1)
			go func() {
				_, err := counter.Increment.Call(t.Context(), counter.Kind.Get(w.Client, "a"), 5)
				answered <- err
			}()
			time.Sleep(time.Millisecond)
			undone := make(chan error, 1)
			go func() {
				_, err := restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{}, restore.Options{})
				undone <- err
			}()
			time.Sleep(time.Millisecond)
			w.StartWorker()
			require.NoError(t, <-answered)
			require.ErrorIs(t, <-undone, actor.ErrConflict)
			require.EqualValues(t, 15, count(t, w, "a"))
		})
	})
}
