package host_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// unreadable is the code of what an actor that is out of service answers.
const unreadable = "unreadable"

// requireCode checks the code of an error that a client is told.
func requireCode(t *testing.T, code string, err error) {
	t.Helper()
	e := new(actor.Error)
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
}

// unpark decides about the only thing that is parked, and returns what the outcome says.
func unpark(t *testing.T, w *actortest.World, dismiss bool) error {
	t.Helper()
	items, err := w.Client.Parked(t.Context())
	require.NoError(t, err)
	require.Len(t, items, 1)
	require.NotEmpty(t, items[0].Broken)
	d, err := w.Client.Unpark(t.Context(), items[0].Position, dismiss)
	require.NoError(t, err)
	return actor.OutcomeError(d.Outcome)
}

// served checks that an actor is at n, that nothing is parked, and that both are so for whoever comes next, with and without its snapshot.
func served(t *testing.T, w *actortest.World, key string, n int) {
	t.Helper()
	for range 2 {
		s, err := get(w, key).Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, n, s.N)
		items, err := w.Client.Parked(t.Context())
		require.NoError(t, err)
		require.Empty(t, items)
		w.Crash()
	}
	time.Sleep(5 * time.Second) // a checkpoint
	w.Crash()
	sum, err := add.Call(t.Context(), get(w, key), 1)
	require.NoError(t, err)
	require.Equal(t, n+1, sum)
}

func TestUnreadableActor(t *testing.T) {
	t.Parallel()
	hash, p := schemas.HashOf("default", "probe", schemas.Key{"a"}), shardOf("a")
	_, neighbour := neighbours()
	cfg := host.Config{CheckpointEvery: time.Second}
	begin := func(t *testing.T, w *actortest.World) {
		for _, key := range []string{"a", neighbour} {
			_, err := add.Call(t.Context(), get(w, key), 3)
			require.NoError(t, err)
		}
		time.Sleep(3 * time.Second)
	}
	// outOfService checks that the actor alone is, and is listed.
	outOfService := func(t *testing.T, w *actortest.World) {
		_, err := add.Call(t.Context(), get(w, "a"), 1)
		requireCode(t, unreadable, err)
		sum, err := add.Call(t.Context(), get(w, neighbour), 1)
		require.NoError(t, err)
		require.Equal(t, 4, sum)
		time.Sleep(3 * time.Second)
		requireCode(t, unreadable, unpark(t, w, false)) // it still cannot be read
		w.Crash()
		_, err = add.Call(t.Context(), get(w, "a"), 1)
		requireCode(t, unreadable, err)
	}
	t.Run("SnapshotWithoutEvents", func(t *testing.T) {
		t.Parallel()
		// The events from which it could be rebuilt are gone. It may begin anew.
		world(t, cfg, func(t *testing.T, w *actortest.World) {
			begin(t, w)
			w.Cluster.Inject(eventlog.Snapshots, p, eventlog.Record{
				Key: hash[:], Value: []byte{0xff, 0xff}, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeSnapshot)}},
			})
			records := w.Cluster.Records(eventlog.Events, p)
			w.Cluster.Truncate(eventlog.Events, p, records[len(records)-1].Offset+1)
			w.Crash()
			outOfService(t, w)
			require.NoError(t, unpark(t, w, true))
			sum, err := add.Call(t.Context(), get(w, "a"), 10)
			require.NoError(t, err)
			require.Equal(t, 10, sum)
			served(t, w, "a", 10)
		})
	})
	t.Run("SnapshotOfANewerVersion", func(t *testing.T) {
		t.Parallel()
		// It is not the actor's fault: the shard waits for code that can read it, and overwrites nothing.
		world(t, cfg, func(t *testing.T, w *actortest.World) {
			begin(t, w)
			w.Cluster.Inject(eventlog.Snapshots, p, eventlog.Record{
				Key: hash[:], Value: []byte{0x01}, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte("snapshot/99")}},
			})
			records := w.Cluster.Records(eventlog.Events, p)
			w.Cluster.Truncate(eventlog.Events, p, records[len(records)-1].Offset+1)
			opened := 0
			w.Config.Events.ShardOpened = func(o host.ShardOpened) {
				if o.Partition == p {
					opened++
				}
			}
			w.Crash()
			time.Sleep(30 * time.Second)
			require.Zero(t, opened)
		})
	})
	t.Run("Event", func(t *testing.T) {
		t.Parallel()
		// An outcome that makes no sense. The actor may go on as it was before.
		world(t, cfg, func(t *testing.T, w *actortest.World) {
			begin(t, w)
			w.Kill()
			actions, events := w.Cluster.Records(eventlog.Actions, p), w.Cluster.Records(eventlog.Events, p)
			last, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeOutcome, events[len(events)-1].Value)
			require.NoError(t, err)
			place := events[len(events)-1].Offset + 1
			ref := w.Cluster.Inject(eventlog.Actions, p, actions[len(actions)-1])
			value, err := schemas.Encode(&actorlogv1.Outcome{
				Ref: ref, Epoch: last.Epoch, Actor: &actorlogv1.Actor{Namespace: "default", Kind: "probe", Key: []string{"a"}, Generation: 1},
				Action: &actorlogv1.Action{RequestId: "r"}, PatchJson: []byte(`[{"op":"remove","path":"/nowhere"}]`),
			})
			require.NoError(t, err)
			at := w.Cluster.Inject(eventlog.Events, p, eventlog.Record{
				Key: hash[:], Value: schemas.AppendPlace(value, place), Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeOutcome)}},
			})
			require.Equal(t, place, at)
			w.StartWorker()
			outOfService(t, w)
			items, err := w.Client.Parked(t.Context())
			require.NoError(t, err)
			require.Equal(t, schemas.Position{Partition: p, Offset: at}, items[0].Position)
			require.NoError(t, unpark(t, w, true))
			served(t, w, "a", 3)
		})
	})
	t.Run("IsReadAgain", func(t *testing.T) {
		t.Parallel()
		// An older version of the worker could not read it. The one of today can.
		world(t, cfg, func(t *testing.T, w *actortest.World) {
			begin(t, w)
			w.Kill()
			snapshots := w.Cluster.Records(eventlog.Snapshots, p)
			var mark *actorlogv1.Checkpoint
			for _, r := range snapshots {
				if string(r.Key) == schemas.CheckpointKey && !r.Mark {
					var err error
					mark, err = schemas.DecodeAs[*actorlogv1.Checkpoint](schemas.TypeCheckpoint, r.Value)
					require.NoError(t, err)
				}
			}
			mark = proto.CloneOf(mark)
			mark.Parked = []*actorlogv1.Parked{{Actor: hash[:], Offset: 1, Broken: "too new"}}
			for typ, m := range map[schemas.Type]proto.Message{
				schemas.TypeSnapshot: &actorlogv1.Snapshot{
					Actor: &actorlogv1.Actor{Namespace: "default", Kind: "probe", Key: []string{"a"}}, Broken: "too new", LastRef: mark.ActionsOffset - 1, LastOffset: mark.EventsOffset - 1,
				},
				schemas.TypeCheckpoint: mark,
			} {
				value, err := schemas.Encode(m)
				require.NoError(t, err)
				key := hash[:]
				if typ == schemas.TypeCheckpoint {
					key = []byte(schemas.CheckpointKey)
				}
				w.Cluster.Inject(eventlog.Snapshots, p, eventlog.Record{Key: key, Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(typ)}}})
			}
			w.StartWorker()
			_, err := add.Call(t.Context(), get(w, "a"), 1)
			requireCode(t, unreadable, err)
			require.NoError(t, unpark(t, w, false))
			served(t, w, "a", 3)
		})
	})
	t.Run("IsInService", func(t *testing.T) {
		t.Parallel()
		// A repair of one that is in service changes nothing.
		world(t, cfg, func(t *testing.T, w *actortest.World) {
			begin(t, w)
			d, _, err := w.Client.Do(t.Context(), remote.Request{Hash: hash, Action: &actorlogv1.Action{
				Actor: new(actorlogv1.Actor), Body: &actorlogv1.Action_Repair{Repair: &actorlogv1.Repair{Skip: true}},
			}})
			require.NoError(t, err)
			require.ErrorIs(t, actor.OutcomeError(d.Outcome), actor.ErrInvalidRequest)
			s, err := get(w, "a").Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, 3, s.N)
		})
	})
}
