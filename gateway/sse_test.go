package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/schemas"
)

// ready takes the first event of a stream.
func (s *sseStream) ready() (id string, recovered bool) {
	s.t.Helper()
	e := s.next()
	require.Equal(s.t, "actorlog.ready", e.name)
	var data struct {
		Position  string
		Recovered bool
	}
	require.NoError(s.t, json.Unmarshal([]byte(e.data), &data))
	_, err := schemas.ParsePosition(data.Position)
	require.NoError(s.t, err)
	return e.id, data.Recovered
}

func (w *world) increment(key string, by int) (position string) {
	w.t.Helper()
	r := w.do("POST", "/actors/counter/"+key+"/actions/increment", fmt.Sprint(by))
	require.Equal(w.t, 200, r.status)
	return r.header.Get("Actorlog-Position")
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	t.Run("EventsCarryPositions", func(t *testing.T) {
		t.Parallel()
		// The actor does not exist yet, and the stream does not create it.
		s := w.stream("/actors/counter/e1/events", "")
		_, recovered := s.ready()
		require.False(t, recovered)
		require.Equal(t, 404, w.do("GET", "/actors/counter/e1", "").status)
		p := w.increment("e1", 5)
		require.Equal(t, sseEvent{p, "count", "[5]"}, s.next())
		r := w.do("POST", "/actors/counter/e1/actions/emit", `{"name":"tick","n":3}`)
		p = r.header.Get("Actorlog-Position")
		require.Equal(t, sseEvent{p, "tick", "[6]"}, s.next())
		require.Equal(t, sseEvent{p + ".1", "tick", "[7]"}, s.next())
		require.Equal(t, sseEvent{p + ".2", "tick", "[8]"}, s.next())
		// It goes on through the actor's lives.
		w.do("DELETE", "/actors/counter/e1", "")
		p = w.increment("e1", 2)
		require.Equal(t, sseEvent{p, "count", "[2]"}, s.next())
		require.Equal(t, "no-store", s.resp.Header.Get("Cache-Control"))
	})
	t.Run("Filter", func(t *testing.T) {
		t.Parallel()
		s := w.stream("/actors/counter/e2/events?event=b&event=c", "")
		id, _ := s.ready()
		for _, name := range []string{"a", "b", "a", "c"} {
			w.do("POST", "/actors/counter/e2/actions/emit", fmt.Sprintf(`{"name":%q,"n":1}`, name))
		}
		require.Equal(t, "[2]", s.next().data)
		require.Equal(t, "[4]", s.next().data)
		s = w.stream("/actors/counter/e2/events?event=c", id)
		_, recovered := s.ready()
		require.True(t, recovered)
		require.Equal(t, "[4]", s.next().data)
	})
	t.Run("ResumeAfterAnyEvent", func(t *testing.T) {
		t.Parallel()
		s := w.stream("/actors/counter/e3/events", "")
		id, _ := s.ready()
		ids := []string{id}
		for i := range 6 {
			w.do("POST", "/actors/counter/e3/actions/emit", fmt.Sprintf(`{"name":"tick","n":%d}`, i%3))
			w.increment("other", 1)
		}
		var want []string
		for range 6 {
			e := s.next()
			ids, want = append(ids, e.id), append(want, e.data)
		}
		require.Equal(t, []string{"[1]", "[2]", "[3]", "[4]", "[5]", "[6]"}, want)
		for i, id := range ids {
			for _, target := range []string{"/actors/counter/e3/events", "/actors/counter/e3/events?lastEventId=" + ids[0]} {
				s := w.stream(target, id) // the header is newer than the URL
				at, recovered := s.ready()
				require.True(t, recovered)
				require.Equal(t, id, at)
				for _, data := range want[i:] {
					require.Equal(t, data, s.next().data)
				}
			}
		}
		s = w.stream("/actors/counter/e3/events?lastEventId="+ids[2], "")
		s.ready()
		require.Equal(t, "[3]", s.next().data)
	})
	t.Run("CutOffBeforeTheFirstEvent", func(t *testing.T) {
		t.Parallel()
		w.do("POST", "/actors/counter/e4/actions/emit", `{"name":"tick","n":3}`)
		id, _ := w.stream("/actors/counter/e4/events", "").ready()
		w.increment("e4", 1)
		s := w.stream("/actors/counter/e4/events", id)
		require.Equal(t, "count", func() string { s.ready(); return s.next().name }())
	})
	t.Run("Errors", func(t *testing.T) {
		t.Parallel()
		shard := schemas.HashOf("default", "counter", schemas.Key{"e5"}).Shard(partitions)
		for _, c := range []struct{ target, lastID, want string }{
			{"/actors/counter/e5/events", "nonsense", "400 actor.invalid_request"},
			{"/actors/counter/e5/events", fmt.Sprintf("%d:1.x", shard), "400 actor.invalid_request"},
			{"/actors/counter/e5/events", fmt.Sprintf("%d:-1", shard), "400 actor.invalid_request"},
			{"/actors/counter/e5/events", fmt.Sprintf("%d:1", 1-shard), "400 actor.invalid_request"},
			{"/actors/counter/e5/events?lastEventId=x", "", "400 actor.invalid_request"},
			{"/actors/nothing/e5/events", "", "404 actor.kind_not_found"},
			{"/actors/" + strings.Repeat("k", 65) + "/events", "", "400 actor.invalid_request"},
			{"/actors/counter/" + strings.Repeat("k", 129) + "/events", "", "400 actor.key_too_large"},
		} {
			h := header{}
			if c.lastID != "" {
				h["Last-Event-ID"] = c.lastID
			}
			require.Equal(t, c.want, w.do("GET", c.target, "", h).failure(), "%s %s", c.target, c.lastID)
		}
		require.Equal(t, "405 actor.method_not_allowed", w.do("POST", "/actors/counter/e5/events", "").failure())
	})
	t.Run("IdOfAnotherLogIsToldPlainly", func(t *testing.T) {
		t.Parallel()
		shard := schemas.HashOf("default", "counter", schemas.Key{"e6"}).Shard(partitions)
		s := w.stream("/actors/counter/e6/events", fmt.Sprintf("%d:1000000", shard))
		_, recovered := s.ready()
		require.False(t, recovered)
		w.increment("e6", 1)
		require.Equal(t, "[1]", s.next().data)
	})
}

func TestEventsGoneAreToldPlainly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.stream("/actors/counter/gone/events", "")
	id, _ := s.ready()
	for range 3 {
		w.increment("gone", 1)
	}
	shard := schemas.HashOf("default", "counter", schemas.Key{"gone"}).Shard(partitions)
	records := w.cluster.Records(eventlog.Events, shard)
	w.cluster.Truncate(eventlog.Events, shard, records[len(records)-1].Offset)
	s = w.stream("/actors/counter/gone/events", id)
	_, recovered := s.ready()
	require.False(t, recovered)
	w.increment("gone", 1)
	require.Equal(t, "[4]", s.next().data)
}

func TestEventsHeartbeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.HeartbeatInterval = 5 * time.Millisecond }))
	s := w.stream("/actors/counter/h/events", "")
	s.ready()
	w.eventually(func() bool { return s.commented("heartbeat") })
	w.increment("h", 1)
	require.Equal(t, "[1]", s.next().data)
}

// Subscribers that are cut off again and again, at any point, while broadcasts go on,
// see every broadcast once and in order.
func TestEventsResumeIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rounds, readers = 60, 3
	first, _ := w.stream("/actors/counter/exact/events", "").ready()
	total := 0
	for i := range rounds {
		n := i % 4 // also outcomes without any broadcast
		w.do("POST", "/actors/counter/exact/actions/emit", fmt.Sprintf(`{"name":"tick","n":%d}`, n))
		total += n
	}
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			id, seen := first, 0
			for attempt := 0; seen < total && !t.Failed(); attempt++ {
				id, seen = w.readSome(t, id, seen, (attempt+r)%7, total)
			}
		})
	}
	wg.Wait()
}

// The same, with the broadcasts going on meanwhile.
func TestEventsResumeIsExactWhileBroadcasting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rounds, readers = 120, 3
	total := 0
	for i := range rounds {
		total += i % 4
	}
	first, _ := w.stream("/actors/counter/exact/events", "").ready()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range rounds {
			if _, err := w.try("POST", "/actors/counter/exact/actions/emit", strings.NewReader(fmt.Sprintf(`{"name":"tick","n":%d}`, i%4))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for r := range readers {
		wg.Go(func() {
			id, seen := first, 0
			for attempt := 0; seen < total && !t.Failed(); attempt++ {
				id, seen = w.readSome(t, id, seen, (attempt+r)%5, total)
			}
		})
	}
	wg.Wait()
}

// readSome opens a stream at id, takes n events and leaves. The events carry 1, 2, 3, ...
func (w *world) readSome(t *testing.T, id string, seen, n, total int) (string, int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/actors/counter/exact/events", nil)
	if err != nil {
		t.Error(err)
		return id, total
	}
	req.Header.Set("Last-Event-ID", id)
	resp, err := w.server.Client().Do(req)
	if err != nil {
		t.Error(err)
		return id, total
	}
	s := &sseStream{t: t, resp: resp, cancel: cancel, events: make(chan sseEvent, 1<<12)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read()
	}()
	defer func() {
		cancel()
		<-done
	}()
	if e, ok := <-s.events; !ok || e.name != "actorlog.ready" || !strings.Contains(e.data, `"recovered":true`) {
		t.Errorf("not recovered after %s: %v", id, e)
		return id, total
	}
	for range n {
		if seen == total {
			break
		}
		e, ok := <-s.events
		if !ok {
			t.Errorf("the stream ended after %s", id)
			return id, total
		}
		seen++
		if want := fmt.Sprintf("[%d]", seen); e.data != want {
			t.Errorf("after %s: want %s, got %s at %s", id, want, e.data, e.id)
			return id, total
		}
		id = e.id
	}
	return id, seen
}

// A reader that does not read is cut off, others are not, and it resumes without loss.
func TestEventsSlowConsumerIsEndedAlone(t *testing.T) {
	t.Parallel()
	slow := make(chan gateway.SessionInfo, 1)
	w := newWorld(t, config(func(c *gateway.Config) {
		c.SessionBuffer = 8
		c.Listener.SlowConsumer = func(i gateway.SessionInfo) {
			select {
			case slow <- i:
			default:
			}
		}
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/actors/counter/exact/events", nil)
	require.NoError(t, err)
	sleeper, err := w.server.Client().Do(req)
	require.NoError(t, err)
	defer sleeper.Body.Close()
	reader := w.stream("/actors/counter/exact/events?event=shout", "")
	reader.ready()
	n := 0
	for len(slow) == 0 && n < 500 {
		require.Equal(t, 204, w.do("POST", "/actors/counter/exact/actions/shout", "1000000").status)
		require.Equal(t, "shout", reader.next().name)
		n++
	}
	require.Less(t, n, 500)
	require.Equal(t, "/actors/:kind/*key/events", (<-slow).Route)
}

func TestEventsWhenTheServiceIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.ResolveTimeout = 20 * time.Millisecond }), func(s *setup) { s.noWorker = true })
	r := w.do("GET", "/actors/counter/x/events", "")
	require.Equal(t, "503 guard.service_unavailable", r.failure())
	// An EventSource gives up for good on anything but 200.
	s := w.stream("/actors/counter/x/events", "")
	e := s.next()
	require.Equal(t, "actorlog.unavailable", e.name)
	require.Contains(t, e.data, `"service_unavailable"`)
	require.Empty(t, s.end())
	w.startWorker()
	w.eventually(func() bool { return w.stream("/actors/counter/x/events", "").next().name == "actorlog.ready" })
}
