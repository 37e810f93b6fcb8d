package host_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
)

// openings is what workers say of the shards that they open.
type openings struct {
	mu  sync.Mutex
	all []host.ShardOpened
}

func (o *openings) listener() host.EventListener {
	return host.EventListener{ShardOpened: func(e host.ShardOpened) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.all = append(o.all, e)
	}}
}

// take returns what was opened since the last time.
func (o *openings) take() []host.ShardOpened {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.all
	o.all = nil
	return all
}

// addTo adds 1 to n actors, and returns what one of them says.
func addTo(t *testing.T, w *actortest.World, n int) (sum int) {
	t.Helper()
	for i := range n {
		var err error
		sum, err = add.Call(t.Context(), get(w, fmt.Sprint(i)), 1)
		require.NoError(t, err)
	}
	return sum
}

func TestStandby(t *testing.T) {
	t.Parallel()
	const actors = 200
	for name, tt := range map[string]struct {
		checkpoint, sleep time.Duration
	}{
		"checkpoints and sleep":  {10 * time.Second, 2 * time.Second},
		"no checkpoint":          {time.Hour, time.Hour},
		"no checkpoint, asleep":  {time.Hour, time.Second},
		"a checkpoint at a time": {time.Second, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opened openings
			cfg := host.Config{Standby: true, CheckpointEvery: tt.checkpoint, SleepAfter: tt.sleep, Events: opened.listener()}
			world(t, cfg, func(t *testing.T, w *actortest.World) {
				require.Equal(t, 1, addTo(t, w, actors))
				time.Sleep(15 * time.Second)
				w.StartWorker() // of which two are left all shards by the first one
				w.StartWorker()
				time.Sleep(time.Minute)
				require.Equal(t, 2, addTo(t, w, actors))
				time.Sleep(15 * time.Second)
				opened.take()

				w.KillOne(w.Workers()[0])
				time.Sleep(10 * time.Second)
				taken := opened.take()
				require.NotEmpty(t, taken)
				for _, o := range taken {
					require.True(t, o.Warm, "%+v", o)
					require.Zero(t, o.Snapshots, "%+v", o)
					require.LessOrEqual(t, o.Events, 2, "%+v", o) // claims
				}
				require.Equal(t, 3, addTo(t, w, 1))

				// What the standby had in its store only is in its next checkpoint: whoever comes without anything finds it there.
				time.Sleep(15 * time.Second)
				for _, worker := range w.Workers() {
					w.Stop(worker)
				}
				w.Config.Standby = false
				w.StartWorker()
				require.Equal(t, 3, addTo(t, w, actors))
			})
		})
	}
}

func TestStandby_IsNotFurtherThanTheFence(t *testing.T) {
	t.Parallel()
	// The owner is cut off and goes on: what it writes when it is back does not count, also for who has followed it.
	var opened openings
	world(t, host.Config{Standby: true, Events: opened.listener(), ReclaimAfter: time.Minute}, func(t *testing.T, w *actortest.World) {
		addTo(t, w, 20)
		second := w.StartWorker()
		time.Sleep(30 * time.Second)
		addTo(t, w, 20)
		zombie := w.Workers()[0]
		zombie.Log().Expire(20 * time.Second)
		require.Equal(t, 3, addTo(t, w, 20))
		time.Sleep(time.Minute)
		require.Equal(t, 4, addTo(t, w, 20))
		// And back, to who was the zombie.
		opened.take()
		w.Stop(second)
		synctest.Wait()
		require.Equal(t, 5, addTo(t, w, 20))
		for _, o := range opened.take() {
			require.True(t, o.Warm, "%+v", o)
		}
	})
}

func TestStandby_EventsThatExpired(t *testing.T) {
	t.Parallel()
	// A standby that cannot go on from where it is begins anew.
	var opened openings
	world(t, host.Config{Standby: true, CheckpointEvery: time.Second, Events: opened.listener()}, func(t *testing.T, w *actortest.World) {
		second := w.StartWorker()
		time.Sleep(30 * time.Second)
		second.Log().Disconnect()
		addTo(t, w, 40)
		time.Sleep(10 * time.Second)
		for p := range int32(actortest.Shards) {
			records := w.Cluster.Records(eventlog.Events, p)
			w.Cluster.Truncate(eventlog.Events, p, records[len(records)-1].Offset)
		}
		second.Log().Connect()
		time.Sleep(30 * time.Second)
		opened.take()
		w.Stop(w.Workers()[0])
		require.Equal(t, 2, addTo(t, w, 40))
		for _, o := range opened.take() {
			require.True(t, o.Warm, "%+v", o)
		}
	})
}

func TestCheckpointIsEndedByTheBrokers(t *testing.T) {
	t.Parallel()
	// A transaction that takes too long looks like that of a worker which was replaced. But nobody has claimed the shard: so it is served again at once.
	world(t, host.Config{CheckpointEvery: time.Second, ReclaimAfter: time.Hour}, func(t *testing.T, w *actortest.World) {
		require.Equal(t, 1, addTo(t, w, 20))
		brokers := w.Cluster.Client()
		defer brokers.Close()
		for p := range int32(actortest.Shards) {
			fence, err := brokers.Snapshots(t.Context(), p)
			require.NoError(t, err)
			fence.Close()
		}
		time.Sleep(5 * time.Second) // the next checkpoints
		began := time.Now()
		require.Equal(t, 2, addTo(t, w, 20))
		require.Less(t, time.Since(began), 5*time.Second)
	})
}

func TestStore_Damaged(t *testing.T) {
	t.Parallel()
	// What cannot be read in the local store, a cache, is read from the log.
	for _, prefix := range []string{"a", "p", "t"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			world(t, host.Config{DataDir: dir, CheckpointEvery: time.Second, SleepAfter: time.Second}, func(t *testing.T, w *actortest.World) {
				addTo(t, w, 10)
				_, err := remind.Call(t.Context(), get(w, "0"), time.Hour.Milliseconds())
				require.NoError(t, err)
				time.Sleep(10 * time.Second)
				w.Stop(w.Worker())
				require.Positive(t, scribble(t, dir, prefix))
				w.StartWorker()
				require.Equal(t, 2, addTo(t, w, 10))
			})
		})
	}
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}

// scribble overwrites what the store in a directory has under keys of a prefix, and returns how much that is.
func scribble(t *testing.T, dir, prefix string) (n int) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{Logger: silent{}})
	require.NoError(t, err)
	iter, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: []byte{prefix[0] + 1}})
	require.NoError(t, err)
	for ok := iter.First(); ok; ok = iter.Next() {
		require.NoError(t, db.Set(iter.Key(), []byte{0xff, 0xff}, nil))
		n++
	}
	require.NoError(t, iter.Close())
	require.NoError(t, db.Close())
	return n
}
