package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway"
)

// Thousands of callers of a worker that is stuck: what gateway and worker hold never exceeds its bounds, everybody is answered, and
// afterwards all is as before.
func TestOverload(t *testing.T) {
	t.Parallel()
	const (
		callers, actors           = 3000, 60
		maxPending, maxRequests   = 400, 450
		maxBody                   = 300_000
		mailbox, mailboxBytes     = 20, 15_000
		maxQueued, maxQueuedBytes = 100, 120_000 // see host.TestMaxQueued for what bounds the worker alone
		body                      = 1000
	)
	w := newWorld(t, func(s *setup) { s.noWorker = true }, config(func(c *gateway.Config) {
		c.MaxRequests, c.MaxBodyBytes, c.MaxActorUnderWay, c.Loopback = maxRequests, maxBody, 2*mailbox, true
	}), func(s *setup) { s.remote = remote.Config{ID: "gw", RequestTimeout: patience, MaxPending: maxPending} })

	kind := actor.New[struct{ N int }]("stuck")
	work := actor.Action[string, int](kind, "work")
	gate := make(chan struct{})
	registry := actor.NewRegistry()
	actor.On(registry, work, func(s *struct{ N int }, _ *actor.Ctx, _ string) (int, error) {
		<-gate
		s.N++
		return s.N, nil
	})
	log := w.cluster.Client()
	worker, err := host.Open(log, registry, host.Config{
		MailboxSize: mailbox, MailboxBytes: mailboxBytes, MaxQueued: maxQueued, MaxQueuedBytes: maxQueuedBytes,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, worker.Close())
		log.Close()
	})

	var mu sync.Mutex
	answers := make(map[string]int)
	var unannounced, done int
	input := `"` + strings.Repeat("x", body-2) + `"`
	call := func(i int) {
		key := 0 // half of all want one actor
		if i%2 == 1 {
			key = i % actors
		}
		r, err := w.try("POST", fmt.Sprintf("/actors/stuck/%d/actions/work", key), strings.NewReader(input))
		mu.Lock()
		defer mu.Unlock()
		done++
		switch {
		case err != nil:
			answers[err.Error()]++
		case r.status == http.StatusOK:
			answers["200"]++
		default:
			answers[r.failure()]++
			if r.header.Get("Retry-After") == "" {
				unannounced++
			}
		}
	}
	type view struct{ PendingRequests, Requests, BodyBytes int }
	look := func() (v view) {
		require.NoError(t, json.Unmarshal([]byte(w.do("GET", "/admin/gateway", "").body), &v)) // served whatever the load is
		return v
	}
	sample := func() {
		v := look()
		actions, bytes := worker.Queued()
		require.LessOrEqual(t, v.PendingRequests, maxPending)
		require.LessOrEqual(t, v.BodyBytes, maxBody+maxRequests*body) // each may find that it was the one too many
		require.LessOrEqual(t, actions, int64(maxPending))
		require.LessOrEqual(t, bytes, int64(maxPending*2*body))
	}
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { call(i) })
	}
	// All are answered at once but those who got a place.
	w.eventually(func() bool {
		sample()
		mu.Lock()
		defer mu.Unlock()
		return done >= callers-maxRequests
	})
	w.eventually(func() bool {
		v := look()
		mu.Lock()
		defer mu.Unlock()
		return done+v.Requests == callers
	})
	close(gate)
	over := make(chan struct{})
	go func() {
		wg.Wait()
		close(over)
	}()
	w.eventually(func() bool {
		sample()
		select {
		case <-over:
			return true
		default:
			return false
		}
	})
	require.Zero(t, unannounced, "without Retry-After")
	require.Positive(t, answers["200"])
	require.Positive(t, answers["503 actor.overloaded"])
	require.Positive(t, answers["503 guard.service_unavailable"])
	require.Equal(t, callers, answers["200"]+answers["503 actor.overloaded"]+answers["503 guard.service_unavailable"], answers)
	t.Log(answers)

	require.Equal(t, view{}, look())
	actions, bytes := worker.Queued()
	require.Zero(t, actions)
	require.Zero(t, bytes)
	for key := range actors {
		require.Equal(t, 200, w.do("POST", fmt.Sprintf("/actors/stuck/%d/actions/work", key), input).status)
	}
	total := answers["200"] + actors
	for key := range actors {
		r := w.do("POST", fmt.Sprintf("/actors/stuck/%d/actions/work", key), input)
		var n int
		require.NoError(t, json.Unmarshal([]byte(r.body), &n))
		total -= n - 1
	}
	require.Zero(t, total, "what was answered has been done once, and nothing else")
}

// Bodies that arrive slowly are held meanwhile: their bytes are bounded, and what does not fit is refused, but for one that is alone.
func TestOverload_Bodies(t *testing.T) {
	t.Parallel()
	const most = 10_000
	w := newWorld(t, config(func(c *gateway.Config) { c.MaxBodyBytes, c.Loopback = most, true }))
	bodyBytes := func() (n int) {
		var v struct{ BodyBytes int }
		require.NoError(t, json.Unmarshal([]byte(w.do("GET", "/admin/gateway", "").body), &v))
		return v.BodyBytes
	}
	const target = "/actors/counter/x/actions/echo"
	text := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	require.Equal(t, 200, w.do("POST", target, text(2*most)).status, "alone")

	body, feed := io.Pipe()
	answered := make(chan reply)
	go func() {
		r, err := w.try("POST", target, body)
		if err != nil {
			r.body = err.Error()
		}
		answered <- r
	}()
	first := text(most - 2000)
	_, err := io.WriteString(feed, first[:most-3000])
	require.NoError(t, err)
	w.eventually(func() bool { return bodyBytes() == most-3000 })
	require.Equal(t, 200, w.do("POST", target, text(2000)).status)
	r := w.do("POST", target, text(4000))
	require.Equal(t, "503 guard.service_unavailable", r.failure())
	require.Equal(t, "1", r.header.Get("Retry-After"))
	_, err = io.WriteString(feed, first[most-3000:])
	require.NoError(t, err)
	require.NoError(t, feed.Close())
	require.Equal(t, 200, (<-answered).status)
	w.eventually(func() bool { return bodyBytes() == 0 })
	require.Equal(t, 200, w.do("POST", target, text(4000)).status)
}

func TestOverload_Sessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.MaxSessions, c.MaxRequests = 2, 1 }))
	s := w.connect("x")
	w.stream("/actors/counter/x/events", "") // a stream that is open is no request under way
	reason, _ := w.dial("/gateway/counter/connect"+getOrCreate+"x", nil, "rivet", "rivet_encoding.json").closed()
	require.Equal(t, "1011 guard.service_unavailable", reason)
	r := w.do("GET", "/actors/counter/x/events", "")
	require.Equal(t, "503 guard.service_unavailable", r.failure())
	require.Equal(t, "1", r.header.Get("Retry-After"))
	// Those that are open, and calls, go on.
	s.call(1, "get", "[]")
	s.expect("ActionResponse 1 0")
	w.eventually(func() bool { return w.do("POST", "/actors/counter/x/actions/get", "").status == 200 })
	require.NoError(t, s.conn.Close())
	w.eventually(func() bool {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(w.server.URL, "http")+"/gateway/counter/connect"+getOrCreate+"x", nil)
		if err != nil {
			return false // its handshake is refused while another request is under way
		}
		defer conn.Close()
		_, data, err := conn.ReadMessage()
		return err == nil && strings.Contains(string(data), "Init")
	})
}
