package evidence_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay/evidence"
	"github.com/actorlog/actorlog/schemas"
)

// shard that all calls of these tests go to.
const shard = 1

// keyIn is the nth key whose counter lives in the shard.
func keyIn(n int) string {
	for i := 0; ; i++ {
		key := fmt.Sprint(i)
		if schemas.HashOf("default", "counter", []string{key}).Shard(actortest.Shards) != shard {
			continue
		}
		if n--; n < 0 {
			return key
		}
	}
}

// played is a log in which counters have counted, workers have crashed, and claims were renewed.
func played(t *testing.T, by int64) *memlog.Cluster {
	t.Helper()
	var cluster *memlog.Cluster
	synctest.Test(t, func(t *testing.T) {
		w := actortest.NewWith(t, host.Config{CheckpointEvery: time.Minute}, counter.Register)
		for i := range 1200 {
			c := counter.Kind.GetOrCreate(w.Client, keyIn(i%3))
			_, err := counter.Increment.Call(t.Context(), c, by)
			require.NoError(t, err)
			if i%500 == 100 {
				w.Crash()
				w.StartWorker()
			}
			if i == 700 {
				time.Sleep(2 * time.Minute) // a checkpoint
			}
		}
		cluster = w.Cluster
	})
	return cluster
}

// copied is a log of the same records, but for what change does to those of the shard's events.
func copied(from *memlog.Cluster, change func(events []eventlog.Record) []eventlog.Record) eventlog.Log {
	c := memlog.NewCluster(actortest.Shards)
	for p := range int32(actortest.Shards) {
		events := from.Records(eventlog.Events, p)
		if p == shard && change != nil {
			events = change(events)
		}
		c.Inject(eventlog.Events, p, events...)
		c.Inject(eventlog.Snapshots, p, from.Records(eventlog.Snapshots, p)...)
	}
	return c.Client()
}

func verify(t *testing.T, l eventlog.Log, heads *evidence.Heads) evidence.Report {
	t.Helper()
	report, err := evidence.Verify(t.Context(), l, shard, heads, nil)
	require.NoError(t, err)
	return report
}

func TestVerify(t *testing.T) {
	t.Parallel()
	cluster := played(t, 1)
	whole := verify(t, copied(cluster, nil), nil)
	require.Nil(t, whole.Finding)
	require.Greater(t, whole.Heads, 2, "claims are renewed every 500 records, and there were checkpoints")
	require.Greater(t, whole.Counted, int64(1200))
	require.Zero(t, whole.Since)
	require.NotNil(t, whole.Head)
	require.Equal(t, whole.End, whole.Head.Next)
	heads := &evidence.Heads{Shards: []evidence.ShardHead{*whole.Head}}

	// Written and read, they are the same.
	var file bytes.Buffer
	require.NoError(t, heads.Write(&file))
	read, err := evidence.ReadHeads(&file)
	require.NoError(t, err)
	require.Equal(t, heads.Shards, read.Shards)
	require.Equal(t, whole.End, verify(t, copied(cluster, nil), &read).Through)

	t.Run("a changed result is found between two offsets", func(t *testing.T) {
		t.Parallel()
		l := copied(cluster, func(events []eventlog.Record) []eventlog.Record {
			r := &events[300]
			r.Value = bytes.Replace(bytes.Clone(r.Value), []byte(`"value":`), []byte(`"value" :`), 1)
			r.Value[len(r.Value)/2] ^= 1
			return events
		})
		f := verify(t, l, nil).Finding
		require.NotNil(t, f)
		require.LessOrEqual(t, f.After, int64(300))
		require.Greater(t, f.Before, int64(300))
		require.Less(t, f.Before, int64(1000), "the next renewed claim tells")
	})
	t.Run("an end that was cut off is found by the checkpoint, and by the heads that were kept", func(t *testing.T) {
		t.Parallel()
		cut := func(n int) eventlog.Log {
			return copied(cluster, func(events []eventlog.Record) []eventlog.Record { return events[:len(events)-n] })
		}
		require.Contains(t, verify(t, cut(1), nil).Finding.String(), "checkpoint")
		bare := memlog.NewCluster(actortest.Shards)
		bare.Inject(eventlog.Events, shard, cluster.Records(eventlog.Events, shard)[:whole.End-1]...)
		require.Nil(t, verify(t, bare.Client(), nil).Finding, "nothing else in the log knows of its last record")
		require.Contains(t, verify(t, bare.Client(), heads).Finding.String(), "cut off")
	})
	t.Run("a log that was written anew agrees with itself, and not with the heads that were kept", func(t *testing.T) {
		t.Parallel()
		other := played(t, 2)
		require.Nil(t, verify(t, copied(other, nil), nil).Finding)
		require.NotNil(t, verify(t, copied(other, nil), heads).Finding)
	})
	t.Run("what has expired is said, and the rest verified from the first head that is kept", func(t *testing.T) {
		t.Parallel()
		c := memlog.NewCluster(actortest.Shards)
		c.Inject(eventlog.Events, shard, cluster.Records(eventlog.Events, shard)...)
		c.Truncate(eventlog.Events, shard, 250)
		report := verify(t, c.Client(), heads)
		require.Nil(t, report.Finding)
		require.Equal(t, int64(250), report.Start)
		require.Greater(t, report.Since, int64(250))
		require.Equal(t, whole.End, report.Through)
		require.Equal(t, whole.Head, report.Head, "the chain is the same one")

		c.Truncate(eventlog.Events, shard, whole.End)
		old := *heads
		old.Shards = []evidence.ShardHead{{Shard: shard, Next: 100, Head: strings.Repeat("0", 64)}}
		report = verify(t, c.Client(), &old)
		require.True(t, report.Gone)
		require.Nil(t, report.Head)
	})
}

func TestReadHeads_RefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{}x", `{"shards":[{"shard":0,"head":"00"}]}`, `{"haeds":[]}`} {
		h, err := evidence.ReadHeads(strings.NewReader(text))
		if err == nil {
			require.Equal(t, "{}x", text, "%v", h) // a decoder reads one value
		}
	}
}

func TestAll(t *testing.T) {
	t.Parallel()
	cluster := played(t, 1)
	var told []int32
	each := func(r *evidence.Report) error { told = append(told, r.Shard); return nil }
	whole := copied(cluster, nil)
	sum, err := evidence.All(t.Context(), whole, evidence.Options{}, each)
	require.NoError(t, err)
	require.True(t, sum.Clean())
	require.Equal(t, actortest.Shards, sum.Shards)
	require.Len(t, told, actortest.Shards)
	require.NotEmpty(t, sum.Heads.Shards)

	// Against its own heads, and against those of a log that was cut off since.
	again, err := evidence.All(t.Context(), whole, evidence.Options{Anchors: sum.Heads}, nil)
	require.NoError(t, err)
	require.Equal(t, sum.Heads.Shards, again.Heads.Shards)
	cut := copied(cluster, func(events []eventlog.Record) []eventlog.Record { return events[:len(events)-1] })
	anchors := *sum.Heads
	anchors.Log = cut.Identity()
	changed, err := evidence.All(t.Context(), cut, evidence.Options{Anchors: &anchors}, func(r *evidence.Report) error {
		require.Equal(t, r.Shard == shard, strings.Contains(r.String(), "CHANGED"), r)
		return nil
	})
	require.NoError(t, err)
	require.False(t, changed.Clean())
	require.Equal(t, 1, changed.Changed)
	require.Nil(t, changed.Heads, "heads of what is not what it was are not to be kept")

	one := int32(shard)
	only, err := evidence.All(t.Context(), whole, evidence.Options{Shard: &one}, nil)
	require.NoError(t, err)
	require.Equal(t, 1, only.Shards)
	require.Nil(t, only.Heads)
	one = actortest.Shards
	_, err = evidence.All(t.Context(), whole, evidence.Options{Shard: &one}, nil)
	require.ErrorIs(t, err, evidence.ErrNoShard)
	anchors.Log = "another"
	_, err = evidence.All(t.Context(), whole, evidence.Options{Anchors: &anchors}, nil)
	require.ErrorIs(t, err, evidence.ErrOtherLog)
	enough := fmt.Errorf("enough")
	_, err = evidence.All(t.Context(), whole, evidence.Options{}, func(*evidence.Report) error { return enough })
	require.ErrorIs(t, err, enough)
}
