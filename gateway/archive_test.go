package gateway_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/archive"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/replay/operate"
)

// The brokers forget, and what a gateway tells of the past stays what it was, for it reads the archive, which it has filled itself.
func TestArchive(t *testing.T) {
	t.Parallel()
	cluster := memlog.NewCluster(partitions)
	inner := cluster.Client()
	t.Cleanup(inner.Close)
	dir := t.TempDir()
	_, err := archive.Open(inner, dir)
	require.ErrorContains(t, err, "no archived events", "who only reads is told of a wrong directory")
	a, err := archive.Begin(inner, dir)
	require.NoError(t, err)
	w := newWorld(t, config(func(c *gateway.Config) {
		c.Loopback, c.Archive, c.Operate = true, archive.Handler(a), func(c *remote.Client) http.Handler { return operate.Handler(c, operate.Config{}) }
	}), func(s *setup) {
		s.noWorker, s.cluster = true, cluster
		s.log = func(eventlog.Log) eventlog.Log { return a }
	})
	registry := actor.NewRegistry()
	counter.Register(registry)
	w.hostOf(registry)
	var second string
	increment := func() {
		t.Helper()
		for range 4 {
			r := w.do("POST", "/actors/counter/a/actions/increment", "2")
			require.Equal(t, 200, r.status)
			if second == "" {
				second = r.header.Get("Actorlog-Position")
			}
		}
	}
	type line struct {
		Type                      string
		Shards                    int
		Records, Written          int64
		Shard, First, Next, Files int64
	}
	fill := func() (sum line) {
		t.Helper()
		r := w.do("POST", "/admin/archive", "")
		require.Equal(t, 200, r.status, r.body)
		lines := strings.Split(strings.TrimSpace(r.body), "\n")
		require.Len(t, lines, partitions+1)
		for i, text := range lines {
			var l line
			require.NoError(t, json.Unmarshal([]byte(text), &l))
			if i == partitions {
				require.Equal(t, "summary", l.Type)
				return l
			}
			require.Equal(t, "shard", l.Type)
			require.EqualValues(t, i, l.Shard)
		}
		return sum
	}
	forget := func() {
		for p := range int32(partitions) {
			_, end, err := inner.Bounds(t.Context(), eventlog.Events, p)
			require.NoError(t, err)
			cluster.Truncate(eventlog.Events, p, max(end-2, 0))
		}
	}
	ask := func() map[string]string {
		answers := make(map[string]string)
		for _, path := range []string{
			"/admin/history/counter/a", "/admin/state/counter/a?at=2", "/admin/diff/counter/a?from=1&to=3", "/admin/why/" + second, "/admin/export/counter/a?at=3",
		} {
			r := w.do("GET", path, "")
			require.Equal(t, 200, r.status, path+r.body)
			answers[path] = r.body
		}
		return answers
	}

	increment()
	want := ask()
	require.Contains(t, want["/admin/history/counter/a"], `"truncated":false`)
	sum := fill()
	require.Equal(t, partitions, sum.Shards)
	require.GreaterOrEqual(t, sum.Records, int64(4))
	require.Positive(t, sum.Written)
	forget()
	got := ask()
	delete(want, "/admin/export/counter/a?at=3") // says when it was made
	for path, answer := range want {
		require.JSONEq(t, answer, got[path], path)
	}
	require.Equal(t, 200, w.do("POST", "/admin/import/counter/copy", got["/admin/export/counter/a?at=3"]).status)

	// And again: what it filled meanwhile, it reads.
	increment()
	want = ask()
	require.Positive(t, fill().Records)
	require.Zero(t, fill().Records, "there is nothing new")
	forget()
	got = ask()
	for _, path := range []string{"/admin/history/counter/a", "/admin/state/counter/a?at=2"} {
		require.JSONEq(t, want[path], got[path])
	}

	// What cannot be archived is told, and nothing that is there is touched.
	before, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	increment()
	forget()
	r := w.do("POST", "/admin/archive", "")
	require.Contains(t, r.body, "expired before they were archived")
	after, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	require.Subset(t, after, before)
	for _, file := range before {
		_, err := os.Stat(file)
		require.NoError(t, err)
	}
	require.Equal(t, "405 actor.method_not_allowed", w.do("GET", "/admin/archive", "").failure())
}
