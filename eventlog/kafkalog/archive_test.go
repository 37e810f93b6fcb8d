package kafkalog

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/archive"
)

// Events that the brokers have deleted are read from the archive, and the others from the brokers, in one go.
func TestArchive(t *testing.T) {
	t.Parallel()
	archiveAndDelete(t, startEmbedded(t, t.TempDir()).Addr())
}

func TestArchive_RealKafka(t *testing.T) {
	t.Parallel()
	archiveAndDelete(t, realKafka(t))
}

func archiveAndDelete(t *testing.T, addr string) {
	t.Helper()
	l := open(t, addr, Config{Prefix: prefix(), Partitions: 1})
	write := func(from, to int) {
		written := make(chan error, to-from)
		for i := from; i < to; i++ {
			r := eventlog.Record{Key: []byte("k"), Value: fmt.Append(nil, i), Headers: []eventlog.Header{{Key: "type", Value: []byte("x")}}}
			l.Append(context.Background(), eventlog.Events, r, func(_ int64, err error) { written <- err })
		}
		for range to - from {
			require.NoError(t, <-written)
		}
	}
	write(0, 3000)
	dir := t.TempDir()
	require.NoError(t, archive.Copy(t.Context(), l, dir, archive.Options{SegmentBytes: 20_000}, nil))
	write(3000, 3100)
	truncate(t, l, eventlog.Events, 0, 2900)
	a, err := archive.Open(l, dir)
	require.NoError(t, err)
	start, end, err := a.Bounds(t.Context(), eventlog.Events, 0)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 3100}, []int64{start, end})
	n := 0
	require.NoError(t, eventlog.Scan(t.Context(), a, eventlog.Events, 0, 0, 3100, func(r *eventlog.Record) error {
		require.Equal(t, fmt.Sprint(n), string(r.Value))
		require.Equal(t, "x", string(r.Header("type")))
		n++
		return nil
	}))
	require.Equal(t, 3100, n)
	require.ErrorIs(t, eventlog.Scan(t.Context(), l, eventlog.Events, 0, 0, 3100, func(*eventlog.Record) error { return nil }), eventlog.ErrOffsetOutOfRange)
}
