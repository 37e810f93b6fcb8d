package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/schemas"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	require.NoError(t, gateway.Config{}.Validate())
	require.ErrorContains(t, gateway.Config{SessionBuffer: -1}.Validate(), "SessionBuffer is negative")
	require.ErrorContains(t, gateway.Config{MaxInputBytes: 5 << 20}.Validate(), "MaxInputBytes is 5242880, more than 4194304")
	_, err := gateway.New(nil, gateway.Config{PingInterval: -1})
	require.ErrorContains(t, err, "PingInterval is negative")
}

func TestOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, want := range map[string]string{
		"/healthz":                    `{"status":"ok"}`,
		"/health":                     `{"runtime":"actorlog","status":"ok","version":"test"}`,
		"/metadata?namespace=default": `{"runtime":"actorlog","version":"test"}`,
	} {
		r := w.do("GET", path, "")
		require.Equal(t, 200, r.status)
		require.JSONEq(t, want, r.body)
		require.Equal(t, 200, w.do("HEAD", path, "").status)
	}
	require.Equal(t, "actorlog test\n", w.do("GET", "/", "").body)
	w.eventually(func() bool { return w.do("GET", "/readyz", "").status == 200 })
}

func TestReadyOnlyWhenBrokersAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.eventually(func() bool { return w.do("GET", "/readyz", "").status == 200 })
	w.log.Disconnect()
	r := w.do("GET", "/readyz", "")
	require.Equal(t, "503 guard.service_unavailable", r.failure())
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Equal(t, 200, w.do("GET", "/healthz", "").status)
	require.Equal(t, 200, w.do("GET", "/metadata", "").status)
	w.log.Connect()
	w.eventually(func() bool { return w.do("GET", "/readyz", "").status == 200 })
}

func TestPanicIsATyped500WithItsCauseInTheLog(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.ErrorLevel)
	w := newWorld(t, logTo(zap.New(core)), config(func(c *gateway.Config) {
		c.Listener.BadInput = func(gateway.BadInputInfo) { panic("a bug") }
	}))
	r := w.do("GET", "/actors", "")
	require.Equal(t, "500 rivetkit.internal_error", r.failure())
	require.NotContains(t, r.body, "a bug")
	entries := logs.All()
	require.Len(t, entries, 1)
	require.Equal(t, "a bug", entries[0].ContextMap()["reason"])
	require.Equal(t, r.header.Get("X-Rivet-Ray-Id"), entries[0].ContextMap()["ray"])
	require.Contains(t, entries[0].ContextMap()["stack"], "ops_test.go")
	require.Equal(t, 200, w.do("GET", "/metadata", "").status)
}

// Nobody answers: what may be repeated says so, what may have happened says that.
func TestNoWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.ResolveTimeout = 20 * time.Millisecond }),
		func(s *setup) { s.noWorker, s.remote.RequestTimeout = true, 100*time.Millisecond })
	for _, c := range []struct{ method, target, body, want string }{
		{"GET", "/actors/counter/x/state", "", "503 guard.service_unavailable"},
		{"GET", "/actors/counter/x", "", "503 guard.service_unavailable"},
		{"PUT", "/actors/counter/x", "", "503 guard.service_unavailable"},
		{"PUT", "/actors", `{"name":"counter","key":"x"}`, "503 guard.service_unavailable"},
		{"GET", "/actors?name=counter&key=x", "", "503 guard.service_unavailable"},
		{"POST", "/actors/counter/x/actions/increment", "1", "504 actorlog.outcome_unknown"},
		{"POST", "/gateway/counter/action/increment" + getOrCreate + "x", `{"args":[1]}`, "504 actorlog.outcome_unknown"},
		{"POST", "/actors/counter/x", "", "504 actorlog.outcome_unknown"},
		{"DELETE", "/actors/counter/x", "", "504 actorlog.outcome_unknown"},
	} {
		r := w.do(c.method, c.target, c.body)
		require.Equal(t, c.want, r.failure(), "%s %s", c.method, c.target)
		if strings.HasPrefix(c.want, "504") {
			require.Contains(t, r.body, "Idempotency-Key")
		}
	}
	// Clients retry with this reason, with growing pauses of their own.
	reason, before := w.dial("/gateway/counter/connect"+getOrCreate+"x", nil, "rivet", "rivet_encoding.json").closed()
	require.Equal(t, "1011 guard.service_unavailable", reason)
	require.Empty(t, before)
}

func TestClosedClientIsUnavailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.Close()
	require.Equal(t, "503 guard.service_unavailable", w.do("POST", "/actors/counter/x/actions/increment", "1").failure())
	reason, _ := w.dial("/gateway/counter/connect"+getOrCreate+"x", nil, "rivet", "rivet_encoding.json").closed()
	require.Equal(t, "1011 guard.service_unavailable", reason)
}

// A gateway that was cut off while events expired cannot know what its subscribers missed.
func TestMissedEventsAreToldPlainly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.connect("missed")
	stream := w.stream("/actors/counter/missed/events", "")
	id, _ := stream.ready()
	subscriber := w.resume("/actors/counter/missed/events", "", false)
	w.log.Disconnect()
	shard := schemas.HashOf("default", "counter", schemas.Key{"missed"}).Shard(partitions)
	records := w.cluster.Records(eventlog.Events, shard)
	end := records[len(records)-1].Offset
	for i := range 5 {
		w.worker.append(shard, []byte(schemas.ClaimKey), claim(w.worker.epochs[shard], int64(i)), "")
	}
	w.cluster.Truncate(eventlog.Events, shard, end+4)
	w.log.Connect()
	reason, _ := s.closed()
	require.Equal(t, "1011 guard.events_missed", reason)
	require.Empty(t, stream.end())
	require.True(t, stream.commented("guard.events_missed"))
	reason, _ = subscriber.closed()
	require.Equal(t, "1013 guard.events_missed", reason)
	w.resume("/actors/counter/missed/events", subscriber.id, false)
	stream = w.stream("/actors/counter/missed/events", id)
	_, recovered := stream.ready()
	require.False(t, recovered)
	w.connect("missed")
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("DrainsSessionsAndStreams", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, config(func(c *gateway.Config) { c.RejectDelay, c.CloseTimeout = time.Hour, patience }))
		s, stream := w.connect("s"), w.stream("/actors/counter/s/events", "")
		stream.ready()
		refused := w.dial("/gateway/nothing/connect"+getOrCreate+"x", nil, "rivet", "rivet_encoding.json")
		w.eventually(func() bool {
			for _, a := range w.worker.actions() {
				if a.Actor.Kind == "nothing" {
					return true
				}
			}
			return false
		})
		done := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			done <- w.gateway.Shutdown(ctx)
		}()
		require.Empty(t, stream.end())
		// Not yet answered by the peers: still draining, still accepting upgrades.
		w.eventually(func() bool { return w.do("GET", "/readyz", "").status == 503 })
		late := w.dial("/gateway/counter/connect"+getOrCreate+"s", nil, "rivet", "rivet_encoding.json")
		reason, _ := late.closed()
		require.Equal(t, "1001 ws.going_away", reason)
		late2 := w.do("GET", "/actors/counter/s/events", "")
		require.Equal(t, "503 guard.service_unavailable", late2.failure())
		reason, _ = s.closed()
		require.Equal(t, "1001 ws.going_away", reason)
		// A rejection that was being put off is not put off any more.
		_, _ = refused.closed()
		require.NoError(t, <-done)
		// Other requests are the HTTP server's to refuse.
		require.Equal(t, 200, w.do("GET", "/healthz", "").status)
		require.NoError(t, w.gateway.Shutdown(context.Background()))
	})
	t.Run("CutsOffWhoDoesNotAnswer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, config(func(c *gateway.Config) { c.CloseTimeout = time.Hour }))
		w.connect("s") // never reads again
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		err := w.gateway.Shutdown(ctx)
		require.ErrorContains(t, err, "cutting off 1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("EndsLookUpsThatWait", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(s *setup) { s.noWorker = true })
		s := w.dial("/gateway/counter/connect"+getOrCreate+"x", nil, "rivet", "rivet_encoding.json")
		done := make(chan error, 1)
		go func() { done <- w.gateway.Shutdown(context.Background()) }()
		reason, _ := s.closed()
		require.Equal(t, "1001 ws.going_away", reason)
		require.NoError(t, <-done)
	})
}

// Whatever is sent to whatever path, the answer is typed and the gateway goes on.
func TestHostilePaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{
		"//", "/actors//", "/actors/../etc", "/actors/counter/..%2f..%2f", "/gateway/%00/action/x", "/gateway//action/x", "/gateway/a/b/c/d/e/f",
		"/gateway/counter/action/get?rvt-", "/gateway/counter/action/get?rvt-method", "/gateway/counter/action/get?rvt-method=x",
		"/gateway/counter/action/get?rvt-namespace=%ff&rvt-method=get", "/gateway/@/connect", "/gateway/@@/connect", "/actors?name=%ff&key=x",
		"/actors?name=counter&key=%ff", "/actors?actor_ids=,,,", "/actors/" + strings.Repeat("a/", 3000), "/" + strings.Repeat("x", 10000),
		"/actors/counter/x/events?lastEventId=%00", "/connect", "/websocket/", "/request",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "TRACE", "BREW"} {
			r := w.do(method, path, "\x00\xff")
			if method == "HEAD" {
				require.NotEqual(t, 500, r.status)
				continue
			}
			if r.status != 200 && r.status != 201 {
				var e struct{ Group, Code, Message string }
				require.NoError(t, json.Unmarshal([]byte(r.body), &e), "%s %.60s: %d %q", method, path, r.status, r.body)
				require.NotEmpty(t, e.Group)
				require.NotEmpty(t, e.Code)
				require.NotEmpty(t, e.Message)
				require.Less(t, r.status, 500, "%s %.60s: %s", method, path, r.body)
			}
		}
		// A socket is accepted everywhere below /gateway, and told by its close reason.
		if strings.HasPrefix(path, "/gateway/") {
			reason, _ := w.dial(path, nil, "rivet", "rivet_encoding.json").closed()
			require.Regexp(t, `^1011 [a-z_]+\.[a-z0-9_]+$`, reason, path)
		}
	}
	require.Equal(t, fmt.Sprint(1), w.do("POST", "/actors/counter/fine/actions/increment", "1").body)
}
