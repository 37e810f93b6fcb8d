package restore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
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
			_, err := restore.Undo(t.Context(), w.Client, r, hashOf("a"), replay.Point{}, restore.Options{})
			require.NoError(t, err)
			require.EqualValues(t, 10, count(t, w, "a"))
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
