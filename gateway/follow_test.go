package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/replay"
)

// following is somebody who follows a history.
type following struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Scanner
	leave context.CancelFunc
}

func (w *world) follow(t *testing.T, path string, headers http.Header) *following {
	t.Helper()
	ctx, leave := context.WithTimeout(t.Context(), patience)
	t.Cleanup(leave)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+path, nil)
	require.NoError(t, err)
	for name := range headers {
		req.Header.Set(name, headers.Get(name))
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return &following{t, resp, bufio.NewScanner(resp.Body), leave}
}

// next is the next entry, and the id of its event.
func (f *following) next() (v replay.Entry, id string) {
	f.t.Helper()
	for f.lines.Scan() {
		line := f.lines.Text()
		if rest, ok := strings.CutPrefix(line, "id: "); ok {
			id = rest
		}
		if line = strings.TrimPrefix(line, "data: "); strings.HasPrefix(line, "{") {
			require.NoError(f.t, json.Unmarshal([]byte(line), &v))
			return v, id
		}
	}
	require.Fail(f.t, "the answer ended", "%v", f.lines.Err())
	return v, id
}

func TestHistory_Follow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.Loopback = true }), func(s *setup) { s.noWorker = true })
	registry := actor.NewRegistry()
	counter.Register(registry)
	w.hostOf(registry)
	increment := func(key string) string {
		r := w.do("POST", "/actors/counter/"+key+"/actions/increment", "2")
		require.Equal(t, 200, r.status)
		return r.header.Get("Actorlog-Position")
	}
	first, second := increment("a"), increment("a")
	increment("other")

	// Lines: what happened, and what happens.
	f := w.follow(t, "/admin/history/counter/a?follow=true", nil)
	require.Contains(t, f.resp.Header.Get("Content-Type"), "application/x-ndjson")
	for _, want := range []string{first, second} {
		v, _ := f.next()
		require.Equal(t, want, v.Position)
	}
	events := w.follow(t, "/admin/history/counter/a?follow=true&since="+second, http.Header{"Accept": {"text/event-stream"}})
	require.Equal(t, "text/event-stream", events.resp.Header.Get("Content-Type"))
	_, id := events.next()
	require.Equal(t, second, id)
	grep := w.follow(t, "/admin/history/counter/a?follow=true&limit=0&grep="+url.QueryEscape(`"result":6\b`), nil)
	third := increment("a")
	for _, f := range []*following{f, events, grep} {
		v, _ := f.next()
		require.Equal(t, third, v.Position)
	}
	// An EventSource that comes back has what it missed.
	events.leave()
	fourth := increment("a")
	events = w.follow(t, "/admin/history/counter/a?follow=true&since="+first, http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {third}})
	v, id := events.next()
	require.Equal(t, fourth, v.Position)
	require.Equal(t, fourth, id)
	shard, _, _ := strings.Cut(fourth, ":")
	ahead := w.follow(t, "/admin/history/counter/a?follow=true", http.Header{"Last-Event-Id": {shard + ":999999999"}})
	fifth := increment("a")
	v, _ = ahead.next()
	require.Equal(t, fifth, v.Position, "nothing of before")
	// Of an actor that nobody has asked yet, the answer begins all the same.
	nobody := w.follow(t, "/admin/history/counter/nobody?follow=true", nil)
	only := increment("nobody")
	v, _ = nobody.next()
	require.Equal(t, only, v.Position)

	for path, want := range map[string]string{
		"/admin/history/counter/a?follow=true&limit=-1":         "400 actor.invalid_request",
		"/admin/history/counter/a?follow=true&limit=1001":       "400 actor.invalid_request",
		"/admin/history/counter/a?follow=true&grep=(":           "400 actor.invalid_request",
		"/admin/history/counter/a?follow=perhaps":               "400 actor.invalid_request",
		"/admin/history/counter/a?follow=true&before=" + fourth: "400 actor.invalid_request",
		"/admin/history/counter/a?follow=true&since=99":         "400 history.no_such_point",
	} {
		require.Equal(t, want, w.do("GET", path, "").failure(), path)
	}
	require.Equal(t, "400 actor.invalid_request", w.do("GET", "/admin/history/counter/a?follow=true", "", header{"Last-Event-ID": "x"}).failure())

	// It ends when the client goes, and for the others when the gateway drains.
	f.leave()
	w.eventually(func() bool { return !f.lines.Scan() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, w.gateway.Shutdown(ctx), "nobody is waited for in vain")
	for _, f := range []*following{events, grep, nobody} {
		for f.lines.Scan() {
			require.NotContains(t, f.lines.Text(), "error")
		}
		require.NoError(t, f.lines.Err())
	}
	require.Equal(t, 503, w.do("GET", "/admin/history/counter/a?follow=true", "").status)
}
