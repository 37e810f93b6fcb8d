package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/replay"
)

// A history that was made up must be one that the machine accepts, or the fold measures nothing.
func TestHistory(t *testing.T) {
	t.Parallel()
	log := memlog.NewCluster(partitions).Client()
	defer log.Close()
	h, err := writeHistory(t.Context(), log, 5*keyCount)
	require.NoError(t, err)
	require.NoError(t, h.fold(t.Context()))
	require.NoError(t, h.verify(t.Context()), "and one that its code would have made")
	require.NoError(t, h.checkpoint(t.Context(), keys[0].shard))
	r := replay.NewReader(log, replay.Options{})
	a, err := r.Head(t.Context(), keys[0].hash)
	require.NoError(t, err)
	require.JSONEq(t, `{"count":5}`, string(a.State))
	require.NoError(t, chain(t.Context(), r, keys[0].hash, 1<<30))
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	t.Run("CountsWhatIsAnsweredAfterTheWarmUp", func(t *testing.T) {
		t.Parallel()
		answer := func(context.Context) error { time.Sleep(time.Millisecond); return nil }
		r, err := closedLoop(t.Context(), []call{answer, answer}, 20*time.Millisecond, 100*time.Millisecond)
		require.NoError(t, err)
		require.Equal(t, 2, r.Callers)
		require.Positive(t, r.OpsPerS)
		require.LessOrEqual(t, r.OpsPerS, 2000.0)
		require.GreaterOrEqual(t, r.P50us, 1000.0)
		require.GreaterOrEqual(t, r.P99us, r.P50us)
	})
	t.Run("EndsWithTheFirstError", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("broken")
		_, err := closedLoop(t.Context(), []call{func(context.Context) error { return broken }}, time.Minute, time.Minute)
		require.ErrorIs(t, err, broken)
	})
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	samples := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	require.Equal(t, time.Duration(5), quantile(samples, 0.5))
	require.Equal(t, time.Duration(10), quantile(samples, 0.99))
	require.Equal(t, time.Duration(1), quantile(samples[:1], 0.5))
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n42"
	in := bufio.NewReader(strings.NewReader(ok + ok + "HTTP/1.1 503 Service Unavailable\r\n\r\n"))
	require.NoError(t, readAnswer(in))
	require.NoError(t, readAnswer(in))
	require.ErrorContains(t, readAnswer(in), "503")
}

func TestReport(t *testing.T) {
	t.Parallel()
	fill := func(r *report) {
		r.add(result{Name: "two-hop", Callers: 1, OpsPerS: 1000, P50us: 100, P99us: 200})
		r.add(result{Name: "in-process", Callers: 1, OpsPerS: 400, P50us: 150, P99us: 300})
		r.finish()
	}
	t.Run("JSONIsAnObjectALine", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		fill(newReport(&out, true))
		var lines []map[string]any
		for line := range strings.Lines(out.String()) {
			var object map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &object))
			lines = append(lines, object)
		}
		require.Len(t, lines, 4)
		require.Equal(t, map[string]any{"name": "two-hop", "callers": 1.0, "ops_per_s": 1000.0, "p50_us": 100.0, "p99_us": 200.0}, lines[0])
		require.Equal(t, map[string]any{"name": "ratio: throughput, in-process / two-hop, callers: 1", "ratio": 0.4, "target": ">= 0.5", "reached": false}, lines[2])
		require.Equal(t, map[string]any{"name": "ratio: p50 at 1 caller, in-process / two-hop", "ratio": 1.5, "target": "<= 2", "reached": true}, lines[3])
	})
	t.Run("TablesBeginWithTheRatios", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		fill(newReport(&out, false))
		text := out.String()
		require.Less(t, strings.Index(text, "missed"), strings.Index(text, "Calls, closed loop"))
		require.Contains(t, text, "150\u00b5s")
	})
}

func TestSubscribersProcess(t *testing.T) {
	t.Parallel()
	// serve answers every subscription with these messages.
	serve := func(t *testing.T, messages ...string) stormConfig {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
			if err != nil || r.URL.Query().Get("after") != "3:1.end" {
				return
			}
			for _, m := range messages {
				_ = conn.WriteMessage(websocket.TextMessage, []byte(m))
			}
		}))
		t.Cleanup(server.Close)
		return stormConfig{Addr: strings.TrimPrefix(server.URL, "http://"), Sockets: 3, After: []string{"3:1.end", "3:1.end"}}
	}
	run := func(cfg stormConfig) (r stormed, err error) {
		var in, out bytes.Buffer
		if err := json.NewEncoder(&in).Encode(cfg); err != nil {
			return r, err
		}
		if err := subscribersProcess(&in, &out); err != nil {
			return r, err
		}
		return r, json.NewDecoder(&out).Decode(&r)
	}
	events := []string{`{"args":[1]}`, `{"heartbeat":true}`, `{"args":[2]}`, `{"args":[3]}`, `{"args":[4]}`, `{"args":[5]}`}
	r, err := run(serve(t, append([]string{`{"subscribed":[],"recovered":true}`}, events...)...))
	require.NoError(t, err)
	require.Positive(t, r.P50)
	require.GreaterOrEqual(t, r.All, r.P50)
	_, err = run(serve(t, append([]string{`{"subscribed":[],"recovered":false}`}, events...)...))
	require.ErrorContains(t, err, "not recovered")
	_, err = run(serve(t, `{"subscribed":[],"recovered":true}`, events[0], events[2], events[2]))
	require.ErrorContains(t, err, "event 3 is [2]")
}
