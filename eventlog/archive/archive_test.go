package archive_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/archive"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/evidence"
	"github.com/actorlog/actorlog/schemas"
)

// play has counters count.
func play(t *testing.T, w *actortest.World, calls int) {
	t.Helper()
	for i := range calls {
		_, err := counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(w.Client, fmt.Sprint(i%7)), 1)
		require.NoError(t, err)
	}
}

// answers is all that the readers of history say of a log.
type answers struct {
	history map[string][]string
	states  map[string]string
	reports []evidence.Report
}

func ask(t *testing.T, l eventlog.Log) answers {
	t.Helper()
	a := answers{history: make(map[string][]string), states: make(map[string]string)}
	r := replay.NewReader(l, replay.Options{})
	for i := range 7 {
		key := fmt.Sprint(i)
		hash := schemas.HashOf("default", "counter", []string{key})
		for e, err := range r.History(t.Context(), hash, replay.Range{}) {
			require.NoError(t, err)
			text, err := proto.MarshalOptions{Deterministic: true}.Marshal(e.Outcome)
			require.NoError(t, err)
			a.history[key] = append(a.history[key], fmt.Sprintf("%v %x", e.Position, text))
		}
		var back []string
		for e, err := range r.Back(t.Context(), hash, replay.Follow) {
			require.NoError(t, err)
			back = append(back, fmt.Sprint(e.Position))
		}
		require.Len(t, back, len(a.history[key]))
		at, err := r.At(t.Context(), hash, int64(10))
		a.states[key] = fmt.Sprintf("%s %v", at.State, err)
	}
	for p := range l.Partitions() {
		report, err := evidence.Verify(t.Context(), l, p, nil, nil)
		require.NoError(t, err)
		require.Nil(t, report.Finding)
		a.reports = append(a.reports, report)
	}
	return a
}

func copyAll(t *testing.T, l eventlog.Log, dir string, o archive.Options) (total archive.Copied) {
	t.Helper()
	require.NoError(t, archive.Copy(t.Context(), l, dir, o, func(c archive.Copied) {
		total.Records += c.Records
		total.Files += c.Files
		total.Bytes += c.Bytes
		total.Written += c.Written
	}))
	return total
}

// Events are archived in three runs, the last one with small files; then the brokers forget them. Whoever reads the archive before the log hears what it heard
// before, and what is new.
func TestArchive_GivesTheSameAnswersWhenTheLogHasForgotten(t *testing.T) {
	t.Parallel()
	w := actortest.New(t, counter.Register)
	dir := filepath.Join(t.TempDir(), "archive")
	l := w.Cluster.Client()
	t.Cleanup(l.Close)
	play(t, w, 300)
	first := copyAll(t, l, dir, archive.Options{})
	require.Greater(t, first.Records, int64(300))
	require.Greater(t, first.Bytes, 2*first.Written, "they are compressed")
	require.Zero(t, copyAll(t, l, dir, archive.Options{}).Records, "there is nothing new")
	play(t, w, 300)
	second := copyAll(t, l, dir, archive.Options{SegmentBytes: 2000})
	require.Greater(t, second.Files, 10)
	play(t, w, 100)

	// Without the two, before anything is forgotten.
	want := ask(t, l)
	a, err := archive.Open(l, dir)
	require.NoError(t, err)
	require.Equal(t, want, ask(t, a), "what is in both is read once")

	for p := range l.Partitions() {
		_, next, err := l.Bounds(t.Context(), eventlog.Events, p)
		require.NoError(t, err)
		w.Cluster.Truncate(eventlog.Events, p, min(next-5, next/2))
	}
	require.NotEqual(t, want.reports, ask(t, l).reports)
	require.Equal(t, want, ask(t, a))

	// The next run goes on, and a reader that follows gets from the files into the log.
	play(t, w, 50)
	require.Positive(t, copyAll(t, l, dir, archive.Options{}).Records)
	tail, err := a.Tail(eventlog.Events)
	require.NoError(t, err)
	defer tail.Close()
	for p := range l.Partitions() {
		tail.Add(p, 0)
	}
	next := make([]int64, l.Partitions())
	read := func(until func() bool) {
		for !until() {
			records, err := tail.Poll(t.Context())
			require.NoError(t, err)
			for _, r := range records {
				require.Equal(t, next[r.Partition], r.Offset, "no gap, none twice")
				next[r.Partition]++
			}
		}
	}
	all := func() bool {
		for p := range l.Partitions() {
			if _, end, err := l.Bounds(t.Context(), eventlog.Events, p); err != nil || next[p] < end {
				return false
			}
		}
		return true
	}
	read(all)
	play(t, w, 20)
	read(all)
	tail.Add(2, 3)
	next[2] = 3
	read(all)
}

func TestArchive_KeepsRecordsAsTheyAre(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	l := c.Client()
	t.Cleanup(l.Close)
	c.Inject(eventlog.Events, 0,
		eventlog.Record{Key: []byte("k"), Value: []byte("v"), Headers: []eventlog.Header{{Key: "type", Value: []byte("x")}, {Key: "to", Value: []byte{0xff}}}},
		eventlog.Record{Key: []byte{0xff, 0}, Value: make([]byte, 3<<20)},
		eventlog.Record{Key: []byte("last"), Value: []byte("w")})
	dir := t.TempDir()
	copyAll(t, l, dir, archive.Options{})
	want := c.Records(eventlog.Events, 0)
	c.Truncate(eventlog.Events, 0, 3)
	a, err := archive.Open(l, dir)
	require.NoError(t, err)
	var got []eventlog.Record
	require.NoError(t, eventlog.Scan(t.Context(), a, eventlog.Events, 0, 0, 3, func(r *eventlog.Record) error {
		got = append(got, *r)
		return nil
	}))
	require.Len(t, got, 3)
	for i := range got {
		require.Equal(t, want[i].Key, got[i].Key)
		require.Equal(t, want[i].Value, got[i].Value)
		require.True(t, len(want[i].Headers) == 0 || reflect.DeepEqual(want[i].Headers, got[i].Headers))
	}

	// Other tools read them as well.
	files, err := filepath.Glob(filepath.Join(dir, "shard-0000", "*.events.zst"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	f, err := os.Open(files[0])
	require.NoError(t, err)
	defer f.Close()
	d, err := zstd.NewReader(f)
	require.NoError(t, err)
	defer d.Close()
	n, err := d.WriteTo(discard{})
	require.NoError(t, err)
	require.Greater(t, n, int64(3<<20))
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestArchive_Refuses(t *testing.T) {
	t.Parallel()
	setUp := func(t *testing.T) (*memlog.Cluster, *memlog.Log, string, string) {
		c := memlog.NewCluster(1)
		l := c.Client()
		t.Cleanup(l.Close)
		for i := range 100 {
			c.Inject(eventlog.Events, 0, eventlog.Record{Key: []byte("k"), Value: fmt.Append(nil, i)})
		}
		dir := t.TempDir()
		copyAll(t, l, dir, archive.Options{SegmentBytes: 400})
		files, err := filepath.Glob(filepath.Join(dir, "shard-0000", "*"))
		require.NoError(t, err)
		require.Greater(t, len(files), 2)
		return c, l, dir, files[1]
	}
	scan := func(l eventlog.Log) error {
		return eventlog.Scan(context.Background(), l, eventlog.Events, 0, 0, 100, func(*eventlog.Record) error { return nil })
	}
	t.Run("a gap between what is archived and what is left", func(t *testing.T) {
		t.Parallel()
		c, l, dir, _ := setUp(t)
		c.Inject(eventlog.Events, 0, eventlog.Record{}, eventlog.Record{}, eventlog.Record{})
		c.Truncate(eventlog.Events, 0, 102)
		require.ErrorContains(t, archive.Copy(t.Context(), l, dir, archive.Options{}, nil), "events 100 to 101 expired")
		a, err := archive.Open(l, dir)
		require.NoError(t, err)
		_, _, err = a.Bounds(t.Context(), eventlog.Events, 0)
		require.ErrorIs(t, err, eventlog.ErrOffsetOutOfRange)
	})
	t.Run("another log's archive", func(t *testing.T) {
		t.Parallel()
		_, _, dir, _ := setUp(t)
		other := memlog.NewCluster(1).Client()
		t.Cleanup(other.Close)
		_, err := archive.Open(other, dir)
		require.ErrorContains(t, err, "of the log memlog-")
		require.ErrorContains(t, archive.Copy(t.Context(), other, dir, archive.Options{}, nil), "of the log memlog-")
	})
	t.Run("a missing file", func(t *testing.T) {
		t.Parallel()
		_, l, dir, file := setUp(t)
		require.NoError(t, os.Remove(file))
		_, err := archive.Open(l, dir)
		require.ErrorContains(t, err, "no file for events")
	})
	t.Run("an empty directory, for nobody means one", func(t *testing.T) {
		t.Parallel()
		_, l, dir, _ := setUp(t)
		_, err := archive.Open(l, filepath.Join(dir, "typo"))
		require.ErrorContains(t, err, "no archived events")
	})
	// Whichever byte of a file is changed, somebody hears of it and nobody gets another record.
	t.Run("a changed byte", func(t *testing.T) {
		t.Parallel()
		c, l, dir, file := setUp(t)
		c.Truncate(eventlog.Events, 0, 100)
		whole, err := os.ReadFile(file)
		require.NoError(t, err)
		a, err := archive.Open(l, dir)
		require.NoError(t, err)
		require.NoError(t, scan(a))
		for i := range whole {
			damaged := append([]byte{}, whole...)
			damaged[i] ^= 0x41
			require.NoError(t, os.WriteFile(file, damaged, 0o600))
			a, err := archive.Open(l, dir)
			if err == nil {
				err = scan(a)
			}
			var wrong error
			if err == nil {
				wrong = same(a)
			}
			require.True(t, err != nil || wrong == nil, "byte %d: %v", i, wrong)
		}
	})
	t.Run("what was left by a run that was killed is passed over", func(t *testing.T) {
		t.Parallel()
		_, l, dir, file := setUp(t)
		require.NoError(t, os.WriteFile(file+".partial", []byte("half"), 0o600))
		a, err := archive.Open(l, dir)
		require.NoError(t, err)
		require.NoError(t, scan(a))
	})
}

// same says whether all records are the numbers that were archived.
func same(l eventlog.Log) error {
	n := 0
	err := eventlog.Scan(context.Background(), l, eventlog.Events, 0, 0, 100, func(r *eventlog.Record) error {
		if string(r.Value) != fmt.Sprint(n) {
			return fmt.Errorf("record %d is %q", n, r.Value)
		}
		n++
		return nil
	})
	if err == nil && n != 100 {
		err = errors.New("records are missing")
	}
	return err
}

// held is a log of which nobody hears where its events end.
type held struct {
	eventlog.Log
	waiting chan struct{}
}

func (l held) Bounds(ctx context.Context, _ eventlog.Topic, _ int32) (start, end int64, err error) {
	l.waiting <- struct{}{}
	<-ctx.Done()
	return 0, 0, ctx.Err()
}

// Only one archives at a time, until its client goes away.
func TestHandler_OneAtATimeUntilTheClientGoes(t *testing.T) {
	t.Parallel()
	inner := memlog.NewCluster(1).Client()
	t.Cleanup(inner.Close)
	l := held{inner, make(chan struct{}, 2)}
	a, err := archive.Begin(l, t.TempDir())
	require.NoError(t, err)
	server := httptest.NewServer(archive.Handler(a))
	t.Cleanup(server.Close)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	post := func(ctx context.Context) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
		if err != nil {
			return 0, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	go func() {
		_, err := post(ctx)
		gone <- err
	}()
	<-l.waiting
	status, err := post(t.Context())
	require.NoError(t, err)
	require.Equal(t, http.StatusTooManyRequests, status)
	leave()
	require.ErrorIs(t, <-gone, context.Canceled)
	// The next one gets as far as the first.
	ctx, leave = context.WithCancel(t.Context())
	defer leave()
	go func() {
		for ctx.Err() == nil {
			_, _ = post(ctx)
		}
	}()
	<-l.waiting
}
