package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/replay/evidence"
)

// heldLog is a log of which nobody hears where its snapshots end, while it is held.
type heldLog struct {
	eventlog.Log
	hold    *atomic.Bool
	waiting chan struct{}
}

func (l heldLog) Bounds(ctx context.Context, t eventlog.Topic, partition int32) (start, end int64, err error) {
	if t == eventlog.Snapshots && l.hold.Load() {
		l.waiting <- struct{}{}
		<-ctx.Done()
		return 0, 0, ctx.Err()
	}
	return l.Log.Bounds(ctx, t, partition)
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	held := heldLog{hold: new(atomic.Bool), waiting: make(chan struct{}, 1)}
	w := newWorld(t, config(func(c *gateway.Config) { c.Loopback = true }), func(s *setup) {
		s.noWorker = true
		s.log = func(l eventlog.Log) eventlog.Log { held.Log = l; return held }
	})
	registry := actor.NewRegistry()
	counter.Register(registry)
	w.hostOf(registry)
	for _, key := range []string{"a", "b", "c", "d"} {
		require.Equal(t, 200, w.do("POST", "/actors/counter/"+key+"/actions/increment", "2").status)
	}
	type line struct {
		Type           string
		Clean          bool
		Shard, Shards  int
		Changed, Heads int
		Finding        *struct{ What string }
		Text           string
	}
	lines := func(method, path, body string) (all []line) {
		t.Helper()
		r := w.do(method, path, body)
		require.Equal(t, 200, r.status, r.body)
		for text := range strings.Lines(r.body) {
			var l line
			require.NoError(t, json.Unmarshal([]byte(text), &l))
			all = append(all, l)
		}
		return all
	}

	all := lines("GET", "/admin/audit/verify", "")
	require.Len(t, all, partitions+1)
	for i, l := range all[:partitions] {
		require.Equal(t, line{Type: "shard", Clean: true, Shard: i, Heads: l.Heads, Text: l.Text}, l)
		require.NotEmpty(t, l.Text)
	}
	require.Equal(t, line{Type: "summary", Clean: true, Shards: partitions}, all[partitions])
	require.Len(t, lines("GET", "/admin/audit/verify?shard=1", ""), 2)

	// Heads are kept elsewhere; later the log is compared with them.
	r := w.do("GET", "/admin/audit/heads", "")
	require.Equal(t, 200, r.status, r.body)
	require.Contains(t, r.header.Get("Content-Disposition"), "heads.json")
	kept := r.body
	heads, err := evidence.ReadHeads(strings.NewReader(kept))
	require.NoError(t, err)
	require.NotEmpty(t, heads.Shards)
	require.Equal(t, 200, w.do("POST", "/actors/counter/a/actions/increment", "2").status)
	all = lines("POST", "/admin/audit/verify", kept)
	require.True(t, all[partitions].Clean)
	require.Equal(t, 200, w.do("POST", "/admin/audit/heads", kept).status)

	// What was there then was something else.
	at := heads.Shards[0].Shard
	heads.Shards[0].Head = strings.Repeat("ab", 32)
	var other strings.Builder
	require.NoError(t, heads.Write(&other))
	all = lines("POST", "/admin/audit/verify", other.String())
	require.Equal(t, line{Type: "summary", Shards: partitions, Changed: 1}, all[partitions])
	require.False(t, all[at].Clean)
	require.NotEmpty(t, all[at].Finding.What)
	require.Contains(t, all[at].Text, "CHANGED between offsets")
	r = w.do("POST", "/admin/audit/heads", other.String())
	require.Equal(t, "409 audit.log_changed", r.failure())
	require.Contains(t, r.body, all[at].Finding.What)

	heads.Log = "another"
	other.Reset()
	require.NoError(t, heads.Write(&other))
	for path, want := range map[string]string{
		"GET /admin/audit/verify?shard=x":                    "400 actor.invalid_request",
		"GET /admin/audit/verify?shard=99":                   "400 audit.no_such_shard",
		"GET /admin/audit/heads?shard=0":                     "400 actor.invalid_request",
		"POST /admin/audit/verify ":                          "400 actor.invalid_request",
		"POST /admin/audit/verify {}":                        "409 audit.other_log",
		"POST /admin/audit/verify " + other.String():         "409 audit.other_log",
		"POST /admin/audit/verify " + `{"shards":[{"head":1`: "400 actor.invalid_request",
	} {
		parts := strings.SplitN(path, " ", 3)
		require.Equal(t, want, w.do(parts[0], parts[1], strings.Join(parts[2:], "")).failure(), path)
	}

	// One at a time, until its client goes away.
	held.hold.Store(true)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/admin/audit/verify", nil)
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		gone <- err
	}()
	<-held.waiting
	require.Equal(t, "429 audit.under_way", w.do("GET", "/admin/audit/heads", "").failure())
	held.hold.Store(false)
	leave()
	require.ErrorIs(t, <-gone, context.Canceled)
	w.eventually(func() bool { return w.do("GET", "/admin/audit/heads", "").status == 200 })
}
