package logtest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
)

func (e *env) snapshots(l eventlog.Log, partition int32) eventlog.SnapshotWriter {
	e.Helper()
	w, err := l.Snapshots(e.ctx, partition)
	require.NoError(e, err)
	e.Cleanup(w.Close)
	return w
}

func kv(partition int32, key, value string) eventlog.Record {
	r := eventlog.Record{Partition: partition, Key: []byte(key), Value: []byte(value)}
	if value == "" {
		r.Value = nil
	}
	return r
}

// saved scans the whole partition.
func (e *env) saved(l eventlog.Log, partition int32) []string {
	e.Helper()
	start, end, err := l.Bounds(e.ctx, eventlog.Snapshots, partition)
	require.NoError(e, err)
	got := []string{}
	require.NoError(e, eventlog.Scan(e.ctx, l, eventlog.Snapshots, partition, start, end, func(r *eventlog.Record) error {
		got = append(got, fmt.Sprintf("%s=%s", r.Key, r.Value))
		return nil
	}))
	return got
}

var snapshotTests = []test{
	{"WrittenRecordsCanBeScannedToTheEnd", func(e *env) {
		l, other := e.open(), e.open()
		w := e.snapshots(l, 1)
		last := int64(0)
		for i := range 5 {
			next, err := w.Write(e.ctx, []eventlog.Record{kv(1, "a", fmt.Sprint(i)), kv(1, "b", ""), kv(1, "c", fmt.Sprint(i))})
			require.NoError(e, err)
			require.GreaterOrEqual(e, next, last+3)
			last = next
			_, end, err := other.Bounds(e.ctx, eventlog.Snapshots, 1)
			require.NoError(e, err)
			require.GreaterOrEqual(e, end, next)
		}
		got := e.saved(other, 1)
		require.Len(e, got, 15)
		require.Equal(e, []string{"a=4", "b=", "c=4"}, got[12:])
		require.Empty(e, e.saved(other, 0))
	}},

	{"MarksTellHowFarAReaderHasCome", func(e *env) {
		l := e.open()
		w := e.snapshots(l, 0)
		_, err := w.Write(e.ctx, []eventlog.Record{kv(0, "a", "1"), kv(0, "b", "1")})
		require.NoError(e, err)
		_, end, err := l.Bounds(e.ctx, eventlog.Snapshots, 0)
		require.NoError(e, err)

		tail := e.tail(l, eventlog.Snapshots)
		tail.Add(0, 0)
		seen, marks := int64(0), 0
		for seen < end {
			records, err := tail.Poll(e.ctx)
			require.NoError(e, err)
			for _, r := range records {
				seen = r.Offset + 1
				if r.Mark {
					marks++
					require.Nil(e, r.Key)
					require.Nil(e, r.Value)
				}
			}
		}
		require.Equal(e, end, seen)
		require.LessOrEqual(e, marks, 1)
	}},

	{"ErrFencedAfterAnotherOpened", func(e *env) {
		a, b := e.open(), e.open()
		old := e.snapshots(a, 2)
		_, err := old.Write(e.ctx, []eventlog.Record{kv(2, "x", "old")})
		require.NoError(e, err)
		bystander := e.snapshots(a, 3)

		current := e.snapshots(b, 2)
		for range 3 {
			_, err = old.Write(e.ctx, []eventlog.Record{kv(2, "x", "zombie"), kv(2, "y", "zombie")})
			require.ErrorIs(e, err, eventlog.ErrFenced)
		}
		_, err = current.Write(e.ctx, []eventlog.Record{kv(2, "x", "new")})
		require.NoError(e, err)
		_, err = old.Write(e.ctx, []eventlog.Record{kv(2, "x", "zombie")})
		require.ErrorIs(e, err, eventlog.ErrFenced)
		old.Close() // fences nobody
		_, err = current.Write(e.ctx, []eventlog.Record{kv(2, "x", "newer")})
		require.NoError(e, err)

		require.Equal(e, []string{"x=old", "x=new", "x=newer"}, e.saved(b, 2))
		_, err = bystander.Write(e.ctx, []eventlog.Record{kv(3, "x", "other partition")})
		require.NoError(e, err)
	}},

	{"ErrFencedForAWriterThatNeverWrote", func(e *env) {
		l := e.open()
		first := e.snapshots(l, 0)
		second := e.snapshots(l, 0)
		third := e.snapshots(l, 0)
		_, err := first.Write(e.ctx, []eventlog.Record{kv(0, "x", "1")})
		require.ErrorIs(e, err, eventlog.ErrFenced)
		_, err = second.Write(e.ctx, []eventlog.Record{kv(0, "x", "2")})
		require.ErrorIs(e, err, eventlog.ErrFenced)
		_, err = third.Write(e.ctx, []eventlog.Record{kv(0, "x", "3")})
		require.NoError(e, err)
		require.Equal(e, []string{"x=3"}, e.saved(l, 0))
	}},

	{"ManyRecordsAreOneTransaction", func(e *env) {
		l := e.open()
		w := e.snapshots(l, 0)
		var records []eventlog.Record
		for i := range 3000 {
			records = append(records, kv(0, fmt.Sprint(i), string(make([]byte, 1000))))
		}
		next, err := w.Write(e.ctx, records)
		require.NoError(e, err)
		require.EqualValues(e, 3000, next)
		require.Len(e, e.saved(l, 0), 3000)
	}},

	{"WriteOfNothingTellsTheEnd", func(e *env) {
		l := e.open()
		w := e.snapshots(l, 0)
		_, err := w.Write(e.ctx, []eventlog.Record{kv(0, "a", "1")})
		require.NoError(e, err)
		next, err := w.Write(e.ctx, nil)
		require.NoError(e, err)
		_, end, err := l.Bounds(e.ctx, eventlog.Snapshots, 0)
		require.NoError(e, err)
		require.Equal(e, end, next)
	}},

	{"ErrTooLargeWritesNothingAndIsNotFinal", func(e *env) {
		l := e.open()
		w := e.snapshots(l, 0)
		_, err := w.Write(e.ctx, []eventlog.Record{kv(0, "a", "1"), {Key: []byte("b"), Value: make([]byte, e.f.TooLarge)}})
		require.ErrorIs(e, err, eventlog.ErrTooLarge)
		_, err = w.Write(e.ctx, []eventlog.Record{kv(0, "a", "2")})
		require.NoError(e, err)
		require.Equal(e, []string{"a=2"}, e.saved(l, 0))
	}},

	{"ErrClosedAfterClose", func(e *env) {
		l := e.open()
		w := e.snapshots(l, 0)
		w.Close()
		_, err := w.Write(e.ctx, []eventlog.Record{kv(0, "a", "1")})
		require.ErrorIs(e, err, eventlog.ErrClosed)
	}},

	{"ErrOfAPartitionThatDoesNotExist", func(e *env) {
		_, err := e.open().Snapshots(e.ctx, Partitions)
		require.Error(e, err)
	}},
}
