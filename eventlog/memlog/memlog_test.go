package memlog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
)

// story is one cluster in virtual time.
func story(t *testing.T, partitions int32, f func(t *testing.T, c *memlog.Cluster)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, memlog.NewCluster(partitions)) })
}

type result struct {
	offset int64
	err    error
}

func appendTo(l *memlog.Log, t eventlog.Topic, value string) <-chan result {
	ch := make(chan result, 1)
	l.Append(context.Background(), t, eventlog.Record{Key: []byte("k"), Value: []byte(value)}, func(offset int64, err error) {
		ch <- result{offset, err}
	})
	return ch
}

func values(records []eventlog.Record) []string {
	out := []string{}
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

func TestFault_DelayHoldsBackLaterAppends(t *testing.T) {
	story(t, 1, func(t *testing.T, c *memlog.Cluster) {
		l := c.Client()
		c.FailNext(1, eventlog.Events, 0, memlog.Fault{Delay: time.Second})
		start := time.Now()
		slow, quick := appendTo(l, eventlog.Events, "slow"), appendTo(l, eventlog.Events, "quick")
		require.Equal(t, result{0, nil}, <-slow)
		require.Equal(t, result{1, nil}, <-quick)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestFault_ErrorNotWritten(t *testing.T) {
	story(t, 1, func(t *testing.T, c *memlog.Cluster) {
		l, boom := c.Client(), errors.New("boom")
		c.FailNext(1, eventlog.Events, 0, memlog.Fault{Err: boom})
		require.ErrorIs(t, (<-appendTo(l, eventlog.Events, "a")).err, boom)
		require.NoError(t, (<-appendTo(l, eventlog.Events, "b")).err)
		require.Equal(t, []string{"b"}, values(c.Records(eventlog.Events, 0)))
	})
}

func TestFault_ErrorYetWritten(t *testing.T) {
	story(t, 1, func(t *testing.T, c *memlog.Cluster) {
		l, boom := c.Client(), errors.New("boom")
		c.FailNext(1, eventlog.Events, 0, memlog.Fault{Err: boom, Written: true})
		require.ErrorIs(t, (<-appendTo(l, eventlog.Events, "a")).err, boom)
		require.Equal(t, []string{"a"}, values(c.Records(eventlog.Events, 0)))
	})
}

func TestFault_AbortedSnapshotLeavesHoleAndMark(t *testing.T) {
	story(t, 1, func(t *testing.T, c *memlog.Cluster) {
		ctx, l, boom := context.Background(), c.Client(), errors.New("boom")
		w, err := l.Snapshots(ctx, 0)
		require.NoError(t, err)
		c.FailNext(1, eventlog.Snapshots, 0, memlog.Fault{Err: boom})
		_, err = w.Write(ctx, []eventlog.Record{{Key: []byte("a"), Value: []byte("1")}})
		require.ErrorIs(t, err, boom)
		next, err := w.Write(ctx, []eventlog.Record{{Key: []byte("a"), Value: []byte("2")}})
		require.NoError(t, err)
		require.EqualValues(t, 3, next)

		tail, err := l.Tail(eventlog.Snapshots)
		require.NoError(t, err)
		tail.Add(0, 0)
		records, err := tail.Poll(ctx)
		require.NoError(t, err)
		require.Len(t, records, 3) // mark of the abort, record, mark of the commit
		require.True(t, records[0].Mark)
		require.EqualValues(t, 1, records[0].Offset)
		require.Equal(t, "2", string(records[1].Value))
	})
}

func TestFault_DelayedSnapshotIsFencedByNewWriter(t *testing.T) {
	story(t, 1, func(t *testing.T, c *memlog.Cluster) {
		ctx := context.Background()
		old, err := c.Client().Snapshots(ctx, 0)
		require.NoError(t, err)
		c.FailNext(1, eventlog.Snapshots, 0, memlog.Fault{Delay: time.Minute})
		failed := make(chan error)
		go func() {
			_, err := old.Write(ctx, []eventlog.Record{{Key: []byte("a"), Value: []byte("late")}})
			failed <- err
		}()
		synctest.Wait()
		_, err = c.Client().Snapshots(ctx, 0)
		require.NoError(t, err)
		require.ErrorIs(t, <-failed, eventlog.ErrFenced)
		require.Empty(t, c.Records(eventlog.Snapshots, 0))
	})
}

func TestDisconnect_AppendsWaitThenFail(t *testing.T) {
	story(t, 1, func(t *testing.T, c *memlog.Cluster) {
		l := c.Client()
		l.Disconnect()
		waiting := appendTo(l, eventlog.Actions, "a")
		time.Sleep(20 * time.Second)
		l.Connect()
		require.NoError(t, (<-waiting).err)

		l.Disconnect()
		require.ErrorIs(t, (<-appendTo(l, eventlog.Actions, "b")).err, memlog.ErrAppendTimeout)
		require.Equal(t, []string{"a"}, values(c.Records(eventlog.Actions, 0)))
	})
}

func TestCompact_KeepsLatestOfEachKeyAndTheEnd(t *testing.T) {
	story(t, 1, func(t *testing.T, c *memlog.Cluster) {
		kv := func(k, v string) eventlog.Record { return eventlog.Record{Key: []byte(k), Value: []byte(v)} }
		c.Inject(eventlog.Snapshots, 0, kv("a", "1"), kv("b", "1"), kv("a", "2"),
			eventlog.Record{Key: []byte("b")}, kv("c", "1"), kv("c", "2"))
		c.Compact(eventlog.Snapshots, 0, 100)
		require.Equal(t, []string{"2", "2"}, values(c.Records(eventlog.Snapshots, 0)))
		start, end, err := c.Client().Bounds(context.Background(), eventlog.Snapshots, 0)
		require.NoError(t, err)
		require.Equal(t, []int64{0, 6}, []int64{start, end})
	})
}

// worker is a member that notes what it was told.
type worker struct {
	*memlog.Log
	stop context.CancelFunc
	err  chan error

	mu   sync.Mutex
	owns map[int32]bool
	lost []int32
}

func (w *worker) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// has waits until nothing moves any more and counts what is owned and was lost.
func (w *worker) has() (owned, lost int) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.owns), len(w.lost)
}

func (w *worker) requireHas(t *testing.T, owned, lost int) {
	t.Helper()
	o, l := w.has()
	require.Equal(t, [2]int{owned, lost}, [2]int{o, l}, "owned and lost")
}

func join(t *testing.T, c *memlog.Cluster, id string) *worker {
	w := &worker{Log: c.Client(), owns: map[int32]bool{}, err: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	t.Cleanup(stop)
	go func() {
		w.err <- w.Join(ctx, eventlog.Member{
			Group: "g", ID: id,
			Assigned: func(_ context.Context, ps []int32) {
				w.change(func() {
					for _, p := range ps {
						w.owns[p] = true
					}
				})
			},
			Released: func(_ context.Context, ps []int32) {
				w.change(func() {
					for _, p := range ps {
						delete(w.owns, p)
					}
				})
			},
			Lost: func(ps []int32) {
				w.change(func() {
					w.lost = append(w.lost, ps...)
					for _, p := range ps {
						delete(w.owns, p)
					}
				})
			},
		})
	}()
	synctest.Wait()
	return w
}

func TestExpire_ZombieBelievesUntilItLearns(t *testing.T) {
	story(t, 4, func(t *testing.T, c *memlog.Cluster) {
		a, b := join(t, c, ""), join(t, c, "")
		a.requireHas(t, 2, 0)
		b.requireHas(t, 2, 0)

		require.True(t, a.Expire(time.Minute))
		a.requireHas(t, 2, 0) // the zombie
		b.requireHas(t, 4, 0)
		require.NoError(t, (<-appendTo(a.Log, eventlog.Events, "late")).err)

		time.Sleep(time.Minute)
		a.requireHas(t, 2, 2) // joined again
		b.requireHas(t, 2, 0)
	})
}

func TestExpire_ZombieThatNeverLearnsReleasesAtTheEnd(t *testing.T) {
	story(t, 4, func(t *testing.T, c *memlog.Cluster) {
		a := join(t, c, "")
		require.True(t, a.Expire(-1))
		b := join(t, c, "")
		time.Sleep(time.Hour)
		a.requireHas(t, 4, 0)
		b.requireHas(t, 4, 0)
		a.stop()
		require.NoError(t, <-a.err)
		a.requireHas(t, 0, 0)
		b.requireHas(t, 4, 0)
	})
}

func TestCrash_PartitionsMoveAfterSessionTimeout(t *testing.T) {
	story(t, 4, func(t *testing.T, c *memlog.Cluster) {
		a, b := join(t, c, ""), join(t, c, "")
		a.Crash()
		require.ErrorIs(t, <-a.err, eventlog.ErrClosed)
		time.Sleep(memlog.DefaultSessionTimeout - time.Nanosecond)
		b.requireHas(t, 2, 0)
		time.Sleep(time.Nanosecond)
		b.requireHas(t, 4, 0)
	})
}

func TestDisconnect_MemberLearnsOfItsDeathOnConnect(t *testing.T) {
	story(t, 4, func(t *testing.T, c *memlog.Cluster) {
		a, b := join(t, c, ""), join(t, c, "")
		a.Disconnect()
		time.Sleep(memlog.DefaultSessionTimeout)
		a.requireHas(t, 2, 0)
		b.requireHas(t, 4, 0)
		a.Connect()
		a.requireHas(t, 2, 2)
		b.requireHas(t, 2, 0)
	})
}

func TestDisconnect_ShortOneGoesUnnoticed(t *testing.T) {
	story(t, 4, func(t *testing.T, c *memlog.Cluster) {
		a := join(t, c, "")
		a.Disconnect()
		time.Sleep(memlog.DefaultSessionTimeout - 1)
		a.Connect()
		time.Sleep(time.Hour)
		a.requireHas(t, 4, 0)
	})
}
