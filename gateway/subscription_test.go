package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// subscriber is a client of .../events on a socket.
type subscriber struct {
	t    testing.TB
	conn *websocket.Conn
	id   string // of the last message that had one
}

// said is any message of the server.
type said struct {
	Subscribed []string
	Position   string
	Recovered  bool
	Event      string
	Args       json.RawMessage
	ID         string
	Heartbeat  bool
	Error      *struct{ Group, Code, Message string }
}

func (w *world) subscriber(target string, headers ...http.Header) *subscriber {
	w.t.Helper()
	return &subscriber{t: w.t, conn: w.dial(target, append(headers, nil)[0]).conn}
}

// resume subscribes to an actor after an id, and requires that it is recovered, or not.
func (w *world) resume(path, id string, recovered bool) *subscriber {
	w.t.Helper()
	s := w.subscriber(path + "?after=" + id)
	require.Equal(w.t, recovered, s.ready().Recovered)
	return s
}

func (s *subscriber) say(text string) {
	s.t.Helper()
	require.NoError(s.t, s.conn.WriteMessage(websocket.TextMessage, []byte(text)))
}

func (s *subscriber) read() (m said, err error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return m, err
	}
	kind, data, err := s.conn.ReadMessage()
	if err != nil {
		return m, err
	}
	if kind != websocket.TextMessage {
		return m, fmt.Errorf("a message of kind %d", kind)
	}
	if err = json.Unmarshal(data, &m); m.ID != "" {
		s.id = m.ID
	}
	return m, err
}

func (s *subscriber) next() said {
	s.t.Helper()
	m, err := s.read()
	require.NoError(s.t, err)
	return m
}

func (s *subscriber) ready() said {
	s.t.Helper()
	m := s.next()
	require.NotNil(s.t, m.Subscribed, "%+v", m)
	_, err := schemas.ParsePosition(m.Position)
	require.NoError(s.t, err)
	return m
}

// expect reads events: "count [5]".
func (s *subscriber) expect(want ...string) {
	s.t.Helper()
	for _, w := range want {
		m := s.next()
		require.Equal(s.t, w, m.Event+" "+string(m.Args))
	}
}

// closed reads until the close frame, and returns it as "1008 group.code", and the messages before it.
func (s *subscriber) closed() (reason string, before []said) {
	s.t.Helper()
	for {
		m, err := s.read()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			reason, _, _ := strings.Cut(closed.Text, "#")
			return fmt.Sprintf("%d %s", closed.Code, reason), before
		}
		require.NoError(s.t, err)
		before = append(before, m)
	}
}

// refused requires that the socket is closed with an error, which is told before.
func (s *subscriber) refused(want string) {
	s.t.Helper()
	reason, before := s.closed()
	require.Equal(s.t, "1008 "+want, reason)
	require.Len(s.t, before, 1)
	require.Equal(s.t, want, before[0].Error.Group+"."+before[0].Error.Code)
	require.NotEmpty(s.t, before[0].Error.Message)
}

// emit broadcasts n times in one outcome, and returns its position.
func (w *world) emit(key, name string, n int) string {
	w.t.Helper()
	r := w.do("POST", "/actors/counter/"+key+"/actions/emit", fmt.Sprintf(`{"name":%q,"n":%d}`, name, n))
	require.Equal(w.t, 204, r.status)
	return r.header.Get("Actorlog-Position")
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	t.Run("AskedForInTheURL", func(t *testing.T) {
		t.Parallel()
		s := w.subscriber("/actors/counter/s1/events?event=b&event=c")
		m := s.ready()
		require.Equal(t, []string{"b", "c"}, m.Subscribed)
		require.False(t, m.Recovered)
		require.Equal(t, m.Position+".end", m.ID)
		w.emit("s1", "a", 1)
		p := w.emit("s1", "b", 2)
		require.Equal(t, said{Event: "b", Args: json.RawMessage("[2]"), ID: p}, s.next())
		require.Equal(t, said{Event: "b", Args: json.RawMessage("[3]"), ID: p + ".1"}, s.next())
		// It goes on through the actor's lives.
		w.do("DELETE", "/actors/counter/s1", "")
		w.emit("s1", "c", 1)
		s.expect("c [1]")
	})
	t.Run("AskedForInAMessage", func(t *testing.T) {
		t.Parallel()
		s := w.subscriber("/actors/counter/s2/events")
		s.say(`{"subscribe":["count"]}`)
		first := s.ready()
		require.Equal(t, []string{"count"}, first.Subscribed)
		w.increment("s2", 1)
		s.expect("count [1]")
		w.emit("s2", "other", 1)
		again := w.subscriber("/actors/counter/s2/events")
		again.say(`{"subscribe":[],"after":"` + first.ID + `","params":{"name":"ann"}}`)
		m := again.ready()
		require.Equal(t, []string{}, m.Subscribed)
		require.True(t, m.Recovered)
		require.Equal(t, first.ID, m.ID)
		again.expect("count [1]", "other [2]")
		require.True(t, slices.ContainsFunc(w.worker.actions(), func(a *actorlogv1.Action) bool {
			return a.GetSubscribe() != nil && string(a.GetHandshake().GetParamsJson()) == `{"name":"ann"}`
		}))
	})
	t.Run("ResumesAfterAnyEvent", func(t *testing.T) {
		t.Parallel()
		s := w.subscriber("/actors/counter/s3/events?after=")
		ids := []string{s.ready().ID}
		var all []string
		for i := range 6 {
			w.emit("s3", "tick", i%3)
		}
		for n := 1; n <= 6; n++ {
			all = append(all, fmt.Sprintf("tick [%d]", n))
			s.expect(all[n-1])
			ids = append(ids, s.id)
		}
		for i, id := range ids {
			w.resume("/actors/counter/s3/events", id, true).expect(all[i:]...)
			// An id is an id, whichever way it came.
			sse := w.stream("/actors/counter/s3/events?after="+id, "")
			_, recovered := sse.ready()
			require.True(t, recovered)
			for _, want := range all[i:] {
				e := sse.next()
				require.Equal(t, want, e.name+" "+e.data)
			}
		}
	})
	t.Run("GoneIsToldPlainly", func(t *testing.T) {
		t.Parallel()
		shard := schemas.HashOf("default", "counter", schemas.Key{"s4"}).Shard(partitions)
		s := w.resume("/actors/counter/s4/events", fmt.Sprintf("%d:1000000", shard), false) // of another log
		w.increment("s4", 1)
		s.expect("count [1]")
	})
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		shard := schemas.HashOf("default", "counter", schemas.Key{"s5"}).Shard(partitions)
		for _, c := range []struct{ target, message, want string }{
			{"/actors/counter/s5/events?after=nonsense", "", "actor.invalid_request"},
			{"/actors/counter/s5/events?after=" + fmt.Sprintf("%d:1", 1-shard), "", "actor.invalid_request"},
			{"/actors/counter/s5/events?event=" + strings.Repeat("e", 257), "", "actor.invalid_request"},
			{"/actors/counter/s5/events?after=&params=x", "", "actor.invalid_request"},
			{"/actors/nothing/s5/events?after=", "", "actor.kind_not_found"},
			{"/actors/counter/" + strings.Repeat("k", 129) + "/events", "", "actor.key_too_large"},
			{"/actors/counter/s5/events", `subscribe`, "actor.invalid_request"},
			{"/actors/counter/s5/events", `{}`, "actor.invalid_request"},
			{"/actors/counter/s5/events", `{"subscribe":[],"afte":""}`, "actor.invalid_request"},
			{"/actors/counter/s5/events", `{"subscribe":[]} {}`, "actor.invalid_request"},
			{"/actors/counter/s5/events", `{"subscribe":[],"after":"x"}`, "actor.invalid_request"},
			{"/actors/counter/s5/events", `{"subscribe":[],"params":{"a":"` + strings.Repeat("x", 5000) + `"}}`, "actor.invalid_request"},
		} {
			s := w.subscriber(c.target)
			if c.message != "" {
				s.say(c.message)
			}
			s.refused(c.want)
		}
		s := w.subscriber("/actors/counter/s5/events")
		require.NoError(t, s.conn.WriteMessage(websocket.BinaryMessage, []byte(`{"subscribe":[]}`)))
		s.refused("actor.invalid_request")
		// One subscription a socket.
		s = w.subscriber("/actors/counter/s5/events")
		s.say(`{"subscribe":[]}`)
		s.ready()
		for range 2 {
			s.say(`{"subscribe":[]}`)
		}
		s.refused("actor.invalid_request")
		w.subscriber("/actors/counter/s5/events?after=", http.Header{"Origin": {"https://evil.example"}}).refused("auth.forbidden")
	})
	t.Run("IsNotTheActors", func(t *testing.T) {
		t.Parallel()
		s := w.subscriber("/actors/counter/s6/events?after=")
		s.ready()
		require.Equal(t, 404, w.do("GET", "/actors/counter/s6", "").status, "a subscription creates nobody")
		require.NoError(t, s.conn.Close())
		for _, a := range w.worker.actions() {
			if strings.Join(a.GetActor().GetKey(), "/") == "s6" {
				require.Nil(t, a.GetConnect())
			}
		}
	})
}

func TestSubscriptionEnds(t *testing.T) {
	t.Parallel()

	t.Run("WhenTheGatewayShutsDown", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s := w.subscriber("/actors/counter/x/events?after=")
		s.ready()
		silent := w.subscriber("/actors/counter/x/events")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- w.gateway.Shutdown(ctx) }()
		for _, s := range []*subscriber{s, silent} {
			reason, _ := s.closed()
			require.Equal(t, "1001 ws.going_away", reason)
		}
		require.NoError(t, <-done)
	})
	t.Run("WhenTheServiceIsAway", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, config(func(c *gateway.Config) { c.ResolveTimeout = 20 * time.Millisecond }), func(s *setup) { s.noWorker = true })
		reason, before := w.subscriber("/actors/counter/x/events?after=").closed()
		require.Equal(t, "1013 guard.service_unavailable", reason)
		require.Empty(t, before)
		// Who says nothing is not waited for.
		w.subscriber("/actors/counter/x/events").refused("actor.invalid_request")
	})
}

// A client that sleeps is cut off, with a code if it wakes in time to hear it, and then gets all that it missed, once.
func TestSubscriptionSlowConsumerRecovers(t *testing.T) {
	t.Parallel()
	slow := make(chan gateway.SessionInfo, 16)
	w := newWorld(t, config(func(c *gateway.Config) {
		c.SessionBuffer = 8
		c.CloseTimeout = patience
		c.Listener.SlowConsumer = func(i gateway.SessionInfo) { slow <- i }
	}))
	s := w.subscriber("/actors/counter/x/events?event=shout&after=")
	s.ready()
	shouts := 0
	for ; len(slow) == 0 && shouts < 500; shouts++ {
		require.Equal(t, 204, w.do("POST", "/actors/counter/x/actions/shout", "500000").status)
	}
	require.Equal(t, "/actors/:kind/*key/events", (<-slow).Route)
	for range 20 {
		require.Equal(t, 204, w.do("POST", "/actors/counter/x/actions/shout", "500000").status)
		shouts++
	}
	reason, before := s.closed()
	require.Equal(t, "1013 guard.slow_consumer", reason)
	require.Less(t, len(before), shouts)
	again := w.resume("/actors/counter/x/events", s.id, true)
	for n := len(before); n < shouts; n++ {
		require.Equal(t, "shout", again.next().Event)
	}
	w.increment("x", 7)
	require.Equal(t, "count", again.next().Event, "more than was missed")
	require.Empty(t, slow)
}

// gatedLog holds up whoever reads events back, and counts them. The first reader is the client's own.
type gatedLog struct {
	eventlog.Log
	gate            chan struct{} // closed to let them pass
	now, most, ever atomic.Int64
}

func (l *gatedLog) Tail(topic eventlog.Topic) (eventlog.Tail, error) {
	tail, err := l.Log.Tail(topic)
	if err != nil || topic != eventlog.Events {
		return tail, err
	}
	l.ever.Add(1)
	for n := l.now.Add(1); ; {
		if most := l.most.Load(); n <= most || l.most.CompareAndSwap(most, n) {
			break
		}
	}
	return &gatedTail{Tail: tail, l: l, held: l.ever.Load() > 1}, nil
}

type gatedTail struct {
	eventlog.Tail
	l    *gatedLog
	held bool
}

func (t *gatedTail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	if t.held {
		select {
		case <-t.l.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return t.Tail.Poll(ctx)
}

func (t *gatedTail) Close() {
	t.l.now.Add(-1)
	t.Tail.Close()
}

func gated(l *gatedLog) func(*setup) {
	l.gate = make(chan struct{})
	return func(s *setup) { s.log = func(log eventlog.Log) eventlog.Log { l.Log = log; return l } }
}

// While it waits for what it missed, more happens than is buffered for it. It is not cut off for that, and gets everything.
func TestSubscriptionOverflowsWhileCatchingUp(t *testing.T) {
	t.Parallel()
	log := new(gatedLog)
	w := newWorld(t, gated(log), config(func(c *gateway.Config) { c.SessionBuffer = 4 }))
	first := w.subscriber("/actors/counter/x/events?after=")
	first.ready()
	w.increment("x", 1)
	s := w.subscriber("/actors/counter/x/events?after=" + first.id)
	sse := w.stream("/actors/counter/x/events", first.id)
	w.eventually(func() bool { return log.now.Load() > 1 })
	const n = 60
	for range n - 1 {
		w.increment("x", 1)
	}
	close(log.gate)
	require.True(t, s.ready().Recovered)
	sse.ready()
	for i := 1; i <= n; i++ {
		s.expect(fmt.Sprintf("count [%d]", i))
		require.Equal(t, fmt.Sprintf("[%d]", i), sse.next().data)
	}
	w.increment("x", 1)
	s.expect(fmt.Sprintf("count [%d]", n+1))
}

// A few hundred sockets come back at once: few passes serve them all, no more at a time than is allowed, and the calls
// that go on meanwhile are answered.
func TestReconnectStorm(t *testing.T) {
	t.Parallel()
	const actors, perActor, missed = 30, 10, 5
	log := new(gatedLog)
	w := newWorld(t, gated(log), config(func(c *gateway.Config) { c.MaxRecoveries, c.MaxSubscribing = 1, 8 }))
	ids := make([]string, actors)
	for i := range actors {
		s := w.subscriber(fmt.Sprintf("/actors/counter/a%d/events?after=", i))
		s.ready()
		ids[i] = s.id
		require.NoError(t, s.conn.Close())
		for range missed {
			w.increment(fmt.Sprintf("a%d", i), 1)
		}
	}
	require.Zero(t, log.ever.Load()-1, "nobody had anything to recover")

	// The worker is stuck: no more of them than are allowed have asked for anything.
	w.worker.mu.Lock()
	before := len(w.cluster.Records(eventlog.Actions, 0)) + len(w.cluster.Records(eventlog.Actions, 1))
	asked := func() int {
		return len(w.cluster.Records(eventlog.Actions, 0)) + len(w.cluster.Records(eventlog.Actions, 1)) - before
	}
	subscribers := make([]*subscriber, actors*perActor)
	var dialing sync.WaitGroup
	for i := range subscribers {
		dialing.Go(func() {
			conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(w.server.URL, "http")+fmt.Sprintf("/actors/counter/a%d/events?after=%s", i%actors, ids[i%actors]), nil)
			if err != nil {
				t.Error(err)
				return
			}
			subscribers[i] = &subscriber{t: t, conn: conn}
		})
	}
	dialing.Wait()
	require.False(t, t.Failed())
	defer func() {
		for _, s := range subscribers {
			_ = s.conn.Close()
		}
	}()
	w.eventually(func() bool { return asked() == 8 })
	w.worker.mu.Unlock()

	// All have asked now, and wait for the one pass that is held up. Calls do not.
	w.eventually(func() bool { return asked() >= len(subscribers) && log.now.Load() == 2 })
	for i := range actors {
		w.increment(fmt.Sprintf("a%d", i), 1)
	}
	close(log.gate)
	for i, s := range subscribers {
		require.True(t, s.ready().Recovered, "socket %d", i)
		for n := 1; n <= missed+1; n++ {
			s.expect(fmt.Sprintf("count [%d]", n))
		}
	}
	require.EqualValues(t, 2, log.most.Load(), "more passes at a time than are allowed")
	require.Less(t, log.ever.Load(), int64(len(subscribers)/5), "passes are not shared")
	t.Logf("%d sockets recovered in %d passes", len(subscribers), log.ever.Load()-1)
}

// another is a second gateway on the same log.
func (w *world) another() *world {
	w.t.Helper()
	other := &world{t: w.t, cluster: w.cluster, worker: w.worker, log: w.cluster.Client()}
	var err error
	other.client, err = remote.Open(other.log, remote.Config{RequestTimeout: patience})
	require.NoError(w.t, err)
	other.gateway, err = gateway.New(other.client, gateway.Config{RejectDelay: -1, CloseTimeout: time.Second})
	require.NoError(w.t, err)
	other.server = httptest.NewServer(other.gateway.Handler())
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(w.t, other.gateway.Shutdown(ctx))
		other.server.Close()
		other.client.Close()
		other.log.Close()
	})
	return other
}

// A gateway dies, a client sleeps, a worker dies: whoever comes back with an id sees every event once and in order, on a socket as
// on a stream, wherever it comes back.
func TestSubscriptionOutlivesGatewayAndWorker(t *testing.T) {
	t.Parallel()
	actors := actortest.New(t, counter.Register)
	w := &world{t: t, cluster: actors.Cluster}
	first, second := w.another(), w.another()
	const path = "/actors/counter/x/events"
	n := 0
	increment := func(times int) {
		for range times {
			got, err := counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(actors.Client, "x"), 1)
			require.NoError(t, err)
			n++
			require.EqualValues(t, n, got)
		}
	}
	s, sse := first.subscriber(path+"?event=count&after="), first.stream(path+"?event=count", "")
	begin := s.ready().ID
	sse.ready()
	lastID := ""
	see := func(from, to int) {
		t.Helper()
		for i := from; i <= to; i++ {
			s.expect(fmt.Sprintf("count [%d]", i))
			e := sse.next()
			require.Equal(t, fmt.Sprintf("[%d]", i), e.data)
			lastID = e.id
		}
	}
	increment(3)
	see(1, 3)

	// Their gateway dies, and they sleep for a while.
	first.log.Crash()
	require.NoError(t, s.conn.Close())
	sse.cancel()
	increment(3)
	s, sse = second.resume(path, s.id, true), second.stream(path, lastID)
	_, recovered := sse.ready()
	require.True(t, recovered)
	see(4, 6)

	// The worker dies. Nobody who is there notices.
	actors.Crash()
	increment(2)
	see(7, 8)

	// Who was away through all of it.
	s, sse = second.resume(path, begin, true), second.stream(path, begin)
	sse.ready()
	see(1, 8)
	increment(1)
	see(9, 9)
}
