package backup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/backup"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// called is a world whose counters were called, with checkpoints, and expired actions.
func called(t *testing.T, counters int) *actortest.World {
	t.Helper()
	w := actortest.New(t, counter.Register)
	for i := range counters {
		increment(t, w, i, i+1, i+1)
	}
	time.Sleep(2 * time.Minute)
	for p := range int32(actortest.Shards) {
		w.Cluster.Truncate(eventlog.Actions, p, 3)
	}
	return w
}

func increment(t *testing.T, w *actortest.World, i, by, want int) {
	t.Helper()
	n, err := counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(w.Client, fmt.Sprint(i)), int64(by))
	require.NoError(t, err)
	require.EqualValues(t, want, n)
}

// A backup that is taken while a worker runs is a log again: every record of actions and events is where it was, and what was asked and not
// answered is answered.
func TestBackup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const counters = 40
		old := called(t, counters)
		for i := range counters { // not in any snapshot
			increment(t, old, i, 1, i+2)
		}
		old.Kill()
		waiting := counter.Kind.GetOrCreate(old.Client, "0")
		go func() { _, _ = counter.Increment.Call(t.Context(), waiting, 100) }() // ends with the test
		synctest.Wait()

		dir, from := t.TempDir(), old.Cluster.Client()
		defer from.Close()
		m, err := backup.Write(t.Context(), from, dir, backup.Options{})
		require.NoError(t, err)
		_, err = backup.Write(t.Context(), from, dir, backup.Options{})
		require.ErrorIs(t, err, backup.ErrExists)

		cluster := memlog.NewCluster(actortest.Shards)
		to := cluster.Client()
		defer to.Close()
		restored, err := backup.Restore(t.Context(), dir, to, backup.Options{})
		require.NoError(t, err)
		require.Equal(t, m.Files[0].SHA256, restored.Files[0].SHA256)
		for p := range int32(actortest.Shards) {
			require.Equal(t, old.Cluster.Records(eventlog.Events, p), cluster.Records(eventlog.Events, p))
			kept := cluster.Records(eventlog.Actions, p)
			for _, r := range kept[:3] {
				require.Empty(t, r.Value, "it had expired")
			}
			require.Equal(t, old.Cluster.Records(eventlog.Actions, p), kept[3:])
		}
		_, err = backup.Restore(t.Context(), dir, to, backup.Options{})
		require.ErrorIs(t, err, backup.ErrNotEmpty)

		w := actortest.NewOn(t, cluster, counter.Register)
		increment(t, w, 0, 1, 103)
		for i := 1; i < counters; i++ {
			increment(t, w, i, 1, i+3)
		}
	})
}

// The drill: all brokers, stores and actions are lost, but for events, or events and snapshots. Every actor is what it was.
func TestRestore_FromEventsAlone(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string][]eventlog.Topic{
		"snapshots and events": {eventlog.Actions},
		"events alone":         {eventlog.Actions, eventlog.Snapshots},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const counters = 40
				old := called(t, counters)
				for i := range counters {
					increment(t, old, i, 1, i+2)
				}
				old.Kill()
				from, cluster := old.Cluster.Client(), memlog.NewCluster(actortest.Shards)
				defer from.Close()
				to := cluster.Client()
				defer to.Close()
				dir := t.TempDir()
				_, err := backup.Write(t.Context(), from, dir, backup.Options{})
				require.NoError(t, err)
				_, err = backup.Restore(t.Context(), dir, to, backup.Options{Without: lost})
				require.NoError(t, err)
				w := actortest.NewOn(t, cluster, counter.Register)
				for i := range counters {
					increment(t, w, i, 1, i+3)
				}
			})
		})
	}
}

func TestRestore_Refuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := called(t, 4)
		dir, from := t.TempDir(), old.Cluster.Client()
		defer from.Close()
		_, err := backup.Write(t.Context(), from, dir, backup.Options{})
		require.NoError(t, err)
		eight := memlog.NewCluster(8).Client()
		defer eight.Close()
		_, err = backup.Restore(t.Context(), dir, eight, backup.Options{})
		require.ErrorContains(t, err, "4 partitions")

		_, err = backup.Open(t.TempDir())
		require.ErrorContains(t, err, "no whole backup")
		path := filepath.Join(dir, "events-00001.zst")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		b[len(b)/2] ^= 1
		require.NoError(t, os.WriteFile(path, b, 0o600))
		_, err = backup.Open(dir)
		require.ErrorIs(t, err, backup.ErrDamaged)

		old.Cluster.Truncate(eventlog.Events, 2, 1)
		_, err = backup.Write(t.Context(), from, t.TempDir(), backup.Options{})
		require.ErrorContains(t, err, "archive")
	})
}

// A backup without the keys of sealed records could not be read, and one with the records unsealed could not be erased.
func TestWrite_RefusesSealedRecords(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	l := c.Client()
	t.Cleanup(l.Close)
	c.Inject(eventlog.Events, 0, eventlog.Record{Key: []byte("k"), Value: []byte("v"), Headers: []eventlog.Header{{Key: schemas.HeaderSealed}}})
	_, err := backup.Write(t.Context(), l, t.TempDir(), backup.Options{})
	require.ErrorIs(t, err, backup.ErrSealed)
}

// A backup of sealed records has their keys, but not those that were destroyed, and not the master key; restored, each record opens with its key, or is erased. What is erased afterwards is in it.
func TestBackup_Sealed(t *testing.T) {
	t.Parallel()
	masters := func(digit string) sealed.Masters {
		m, err := sealed.ParseMasters(strings.Repeat(digit, 64))
		require.NoError(t, err)
		return m
	}
	over := func(c *memlog.Cluster, m sealed.Masters) (*sealed.Log, *memlog.Log) {
		inner := c.Client()
		l, err := sealed.Open(t.Context(), inner, m, "user")
		require.NoError(t, err)
		t.Cleanup(func() {
			l.Close()
			inner.Close()
		})
		return l, inner
	}
	cluster := memlog.NewCluster(1)
	l, inner := over(cluster, masters("a"))
	erase := func(key string) {
		hash := schemas.HashOf("default", "user", schemas.Key{key})
		_, err := l.Retire(t.Context(), hash)
		require.NoError(t, err)
		n, err := l.Destroy(t.Context(), hash)
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	for _, key := range []string{"gone", "later", "lives"} {
		hash := schemas.HashOf("default", "user", schemas.Key{key})
		value, err := schemas.Encode(&actorlogv1.Action{
			Actor: &actorlogv1.Actor{Namespace: "default", Kind: "user", Key: []string{key}},
			Body:  &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "rename", ArgsJson: []byte(`["` + key + `"]`)}},
		})
		require.NoError(t, err)
		done := make(chan error, 1)
		r := eventlog.Record{Key: hash[:], Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeAction)}}}
		l.Append(t.Context(), eventlog.Actions, r, func(_ int64, err error) { done <- err })
		require.NoError(t, <-done)
	}
	erase("gone") // and the brokers have not compacted that yet
	dir := t.TempDir()
	m, err := backup.Write(t.Context(), inner, dir, backup.Options{Keys: true})
	require.NoError(t, err)
	require.True(t, m.Keyed())
	require.EqualValues(t, 2, m.Files[3].Records, "keys that live")
	erase("later")

	restored := memlog.NewCluster(1)
	to := restored.Client()
	defer to.Close()
	_, err = backup.Restore(t.Context(), dir, to, backup.Options{})
	require.NoError(t, err)
	read := func(m sealed.Masters) (all []string, err error) {
		l, _ := over(restored, m)
		return all, eventlog.Scan(t.Context(), l, eventlog.Actions, 0, 0, 3, func(r *eventlog.Record) error {
			a, err := schemas.DecodeAs[*actorlogv1.Action](schemas.TypeAction, r.Value)
			all = append(all, string(a.GetInvoke().GetArgsJson()))
			return err
		})
	}
	all, err := read(masters("a"))
	require.NoError(t, err)
	require.Equal(t, []string{schemas.Erased, `["later"]`, `["lives"]`}, all)
	_, err = read(masters("b"))
	require.Error(t, err, "of no use without the master key: a new one, and the old one destroyed, ends what backups have of who was erased since")
}
