package move_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/evidence"
	"github.com/actorlog/actorlog/replay/move"
	"github.com/actorlog/actorlog/schemas"
)

type box struct {
	Sum  int      `json:"sum"`
	Took []string `json:"took,omitempty"`
}

var (
	boxes = actor.New[box]("box")
	put   = actor.Action[int, int](boxes, "put")
	later = actor.Action[int, actor.None](boxes, "later")
	took  = actor.Action[actor.None, []string](boxes, "took")
	take  = actor.Action[string, actor.None](boxes, "take")
	inbox = actor.Queue[string, actor.None](boxes, "inbox")
)

// register has a loop that takes from the inbox once *open.
func register(open *bool) func(*actor.Registry) {
	return func(r *actor.Registry) {
		actor.StateVersion(r, boxes, 3)
		for v := range uint32(3) {
			actor.Upcast(r, boxes, v, func(old json.RawMessage) (json.RawMessage, error) { return old, nil })
		}
		actor.On(r, put, func(s *box, _ *actor.Ctx, n int) (int, error) { s.Sum += n; return s.Sum, nil })
		actor.On(r, later, func(_ *box, c *actor.Ctx, n int) (none actor.None, err error) {
			c.After(time.Hour, put.With(n))
			return none, nil
		})
		actor.On(r, took, func(s *box, _ *actor.Ctx, _ actor.None) ([]string, error) { return s.Took, nil })
		actor.On(r, take, func(s *box, _ *actor.Ctx, what string) (none actor.None, err error) {
			s.Took = append(s.Took, what)
			return none, nil
		})
		actor.Accept(r, inbox)
		actor.OnRun(r, boxes, func(l *actor.Loop) error {
			for *open {
				m, err := inbox.Next(l)
				if err != nil {
					return err
				}
				if _, err := take.Call(l, boxes.Self(l), m.Body); err != nil {
					return err
				}
				if err := m.Complete(actor.None{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

const many = 300

// play is a world with many boxes, one that died, one that lives again, messages that wait and a schedule; then at rest.
func play(t *testing.T) *actortest.World {
	t.Helper()
	shut := false
	w := actortest.New(t, register(&shut))
	for i := range many {
		_, err := put.Call(t.Context(), boxes.GetOrCreate(w.Client, "n", fmt.Sprint(i)), i)
		require.NoError(t, err)
	}
	for _, key := range []string{"dead", "again"} {
		h := boxes.GetOrCreate(w.Client, key)
		_, err := put.Call(t.Context(), h, 1)
		require.NoError(t, err)
		require.NoError(t, h.Destroy(t.Context()))
	}
	_, err := put.Call(t.Context(), boxes.GetOrCreate(w.Client, "again"), 5)
	require.NoError(t, err)
	busy := boxes.GetOrCreate(w.Client, "busy")
	_, err = later.Call(t.Context(), busy, 100)
	require.NoError(t, err)
	for i := range 5 {
		require.NoError(t, inbox.Send(t.Context(), busy, fmt.Sprint("m", i)))
	}
	// More than a snapshot holds: their bodies stand in events.
	for i := range 40 {
		require.NoError(t, inbox.Send(t.Context(), busy, strings.Repeat("x", 40_000)+fmt.Sprint(i)))
	}
	time.Sleep(2 * time.Minute)
	return w
}

// All actors of 4 shards are moved to 16: ids, states, schedules, queues and the dead are what they were, and life goes on.
func TestMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := play(t)
		again, err := boxes.Get(old.Client, "again").Resolve(t.Context())
		require.NoError(t, err)
		old.Stop(old.Worker())

		from, cluster := old.Cluster.Client(), memlog.NewCluster(16)
		defer from.Close()
		to := cluster.Client()
		defer to.Close()
		require.NoError(t, move.Quiet(t.Context(), from))
		moved, err := move.Run(t.Context(), move.Config{From: from, To: to})
		require.NoError(t, err)
		require.Equal(t, move.Moved{Actors: many + 2, Ended: 1, Messages: 45}, moved)
		same, err := move.Compare(t.Context(), from, to)
		require.NoError(t, err)
		require.True(t, same.OK(), "%+v", same)
		require.Equal(t, many+3, same.Same)
		for p := range to.Partitions() {
			report, err := evidence.Verify(t.Context(), to, p, nil, nil)
			require.NoError(t, err)
			require.Positive(t, report.Heads)
			require.Zero(t, report.Void)
		}
		_, err = move.Run(t.Context(), move.Config{From: from, To: to})
		require.ErrorIs(t, err, move.ErrNotEmpty)

		open := true
		w := actortest.NewOn(t, cluster, register(&open))
		n, err := put.Call(t.Context(), boxes.Get(w.Client, "n", "7"), 1)
		require.NoError(t, err)
		require.Equal(t, 8, n)
		id, err := boxes.Get(w.Client, "again").Resolve(t.Context())
		require.NoError(t, err)
		require.Equal(t, again, id)
		_, err = put.Call(t.Context(), boxes.Get(w.Client, "dead"), 1)
		require.ErrorIs(t, err, actor.ErrNotFound)
		risen, err := boxes.GetOrCreate(w.Client, "dead").Resolve(t.Context())
		require.NoError(t, err)
		parsed, err := schemas.ParseActorID(risen)
		require.NoError(t, err)
		require.Equal(t, uint32(2), parsed.Generation)
		time.Sleep(2 * time.Hour)
		list, err := took.Call(t.Context(), boxes.Get(w.Client, "busy"), actor.None{})
		require.NoError(t, err)
		require.Len(t, list, 45)
		require.Equal(t, []string{"m0", "m1", "m2", "m3", "m4"}, list[:5])
		sum, err := put.Call(t.Context(), boxes.Get(w.Client, "busy"), 0)
		require.NoError(t, err)
		require.Equal(t, 100, sum)

		// What has happened since is a difference, and the history says where the actor is from.
		w.Stop(w.Worker())
		same, err = move.Compare(t.Context(), from, to)
		require.NoError(t, err)
		require.Len(t, same.Differ, 3)
		hash := schemas.HashOf(actor.DefaultNamespace, boxes.Name(), schemas.Key{"n", "7"})
		for e, err := range replay.NewReader(to, replay.Options{}).History(t.Context(), hash, replay.Range{}) {
			require.NoError(t, err)
			source := e.Outcome.Action.GetRestore().GetSource()
			require.Equal(t, from.Identity(), source.GetLog())
			require.Equal(t, hash.Shard(4), source.GetPartition())
			break
		}
	})
}

// What is under way is not moved: it is said what it is, and nothing is written.
func TestMove_Busy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(t *testing.T, w *actortest.World)
		want string
	}{
		"a worker runs": {func(*testing.T, *actortest.World) {}, "not given away in peace"},
		"a worker died": {func(t *testing.T, w *actortest.World) { w.Kill() }, "not given away in peace"},
		"an action waits": {func(t *testing.T, w *actortest.World) {
			w.Stop(w.Worker())
			go func() { _, _ = put.Call(t.Context(), boxes.Get(w.Client, "n", "1"), 1) }() // ends with the test
			synctest.Wait()
		}, "1 actions of shard"},
		"a connection is open": {func(t *testing.T, w *actortest.World) {
			_, err := w.Connect(t.Context(), nil, "box", "n", "1")
			require.NoError(t, err)
			w.Stop(w.Worker())
		}, "has 1 connections"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shut := false
				w := actortest.New(t, register(&shut))
				_, err := put.Call(t.Context(), boxes.GetOrCreate(w.Client, "n", "1"), 1)
				require.NoError(t, err)
				c.end(t, w)
				from, to := w.Cluster.Client(), memlog.NewCluster(2).Client()
				defer from.Close()
				defer to.Close()
				err = move.Quiet(t.Context(), from)
				require.ErrorIs(t, err, move.ErrBusy)
				require.ErrorContains(t, err, c.want)
				_, err = move.Run(t.Context(), move.Config{From: from, To: to})
				require.ErrorIs(t, err, move.ErrBusy)
				for p := range to.Partitions() {
					_, end, err := to.Bounds(t.Context(), 1, p)
					require.NoError(t, err)
					require.Zero(t, end)
				}
			})
		})
	}
}
