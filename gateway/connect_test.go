package gateway_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/counter/connect"+getOrCreate+"json", nil, "rivet", "rivet_encoding.json")
		require.Equal(t, "rivet", s.conn.Subprotocol())
		require.Empty(t, s.resp.Header.Get("Sec-Websocket-Extensions"))
		require.NotEmpty(t, s.resp.Header.Get("X-Rivet-Ray-Id"))
		actor, conn := s.init()
		require.Equal(t, idOf(1, "json"), actor)
		require.Regexp(t, uuid, conn)
		s.subscribe("count")
		s.call(0, "increment", `[5]`)
		s.expect(`Event count [5]`, `ActionResponse 0 5`)
		s.call(1, "touch", `[]`)
		s.call(2, "fail", `[]`)
		s.expect(`ActionResponse 1 ["$Undefined",0]`)
		m := s.next()
		require.Equal(t, `Error 2 user.not_allowed`, m.short())
		require.Equal(t, "You shall not pass", m.val["message"])
		require.Equal(t, map[string]any{"level": 3.0}, m.val["metadata"])
		require.Equal(t, map[string]any{"actorId": actor, "generation": 1.0, "key": "json"}, m.val["actor"])
		// What others do is seen as well, until the subscription ends.
		require.Equal(t, "6", w.do("POST", "/actors/counter/json/actions/increment", "1").body)
		s.expect(`Event count [6]`)
		s.unsubscribe("count")
		s.call(3, "increment", `[1]`)
		s.expect(`ActionResponse 3 7`)
		require.NoError(t, s.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "Disposed")))
		reason, before := s.closed()
		require.Equal(t, "1000", reason)
		require.Empty(t, before)
		for _, a := range w.worker.actions() {
			if a.GetInvoke().GetName() == "fail" && a.Caller.ConnectionId == conn {
				require.Equal(t, "gw", a.Caller.Gateway)
				require.Empty(t, a.Actor.Kind)
				require.Equal(t, uint32(1), a.Actor.Generation)
			}
		}
	})
	t.Run("BARE", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/counter/connect"+getOrCreate+"bare", nil, "rivet", "rivet_encoding.bare")
		kind, data := s.read()
		require.Equal(t, websocket.BinaryMessage, kind)
		// Until the client has said which version it speaks, version 2.
		id := idOf(1, "bare")
		require.Equal(t, unhex(t, "02 00 | 00 | 1e '"+id+"' 24"), string(data[:len(data)-36]))
		require.Regexp(t, uuid, string(data[len(data)-36:]))
		s.binary(unhex(t, "04 00 | 01 | 05 'count' | 01"))
		s.binary(unhex(t, "04 00 | 00 | 00 | 09 'increment' | 02 81 0a"))
		_, data = s.read()
		require.Equal(t, unhex(t, "04 00 | 03 | 05 'count' | 02 81 0a"), string(data))
		_, data = s.read()
		require.Equal(t, unhex(t, "04 00 | 02 | 00 | 01 0a"), string(data))
		s.binary(unhex(t, "04 00 | 00 | 02 | 04 'boom' | 01 80"))
		_, data = s.read()
		require.Equal(t, unhex(t, "04 00 | 01 | 08 'rivetkit' 0e 'internal_error' 1a")+"An internal error occurred"+
			unhex(t, "00 | 01 02 | 01 1e '"+id+"' 01 01 04 'bare'"), string(data))
	})
	t.Run("BAREOfOlderClients", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/counter/connect"+getOrCreate+"bare2", nil, "rivet", "rivet_encoding.bare")
		s.read()
		s.binary(unhex(t, "02 00 | 00 | 07 | 04 'fail' | 01 80"))
		_, data := s.read()
		require.Equal(t, unhex(t, "02 00 | 01 | 04 'user' 0b 'not_allowed' 12")+"You shall not pass"+unhex(t, "01 08 a1 65 'level' 03 | 01 07"), string(data))
	})
	t.Run("CBOR", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/counter/connect"+getOrCreate+"cbor", nil, "rivet", "rivet_encoding.cbor")
		m := s.cborMessage()
		require.Equal(t, "Init", m.tag)
		require.Equal(t, idOf(1, "cbor"), m.val["actorId"])
		send := func(tag string, val map[string]any) {
			b, err := cbor.Marshal(map[string]any{"body": map[string]any{"tag": tag, "val": val}})
			require.NoError(t, err)
			s.binary(string(b))
		}
		send("SubscriptionRequest", map[string]any{"eventName": "count", "subscribe": true})
		send("ActionRequest", map[string]any{"id": 0, "name": "increment", "args": []any{3}})
		m = s.cborMessage()
		require.Equal(t, "Event", m.tag)
		require.Equal(t, []any{uint64(3)}, m.val["args"])
		m = s.cborMessage()
		require.Equal(t, "ActionResponse", m.tag)
		require.EqualValues(t, 3, m.val["output"])
	})
	t.Run("ByID", func(t *testing.T) {
		t.Parallel()
		w.do("PUT", "/actors/counter/byid", "")
		s := w.dial("/gateway/"+idOf(1, "byid")+"/connect", nil, "rivet", "rivet_encoding.json")
		actor, _ := s.init()
		require.Equal(t, idOf(1, "byid"), actor)
		s.call(0, "increment", `[5]`)
		s.expect(`ActionResponse 0 5`)
	})
	t.Run("ByHeader", func(t *testing.T) {
		t.Parallel()
		w.do("PUT", "/actors/counter/byheader", "")
		s := w.dial("/connect", nil, "rivet", "rivet_encoding.json", "rivet_target.actor", "rivet_actor."+idOf(1, "byheader"))
		actor, _ := s.init()
		require.Equal(t, idOf(1, "byheader"), actor)
	})
	t.Run("WithoutSubprotocolsIsJSON", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/counter/connect"+getOrCreate+"plain", nil)
		s.init()
		require.Empty(t, s.conn.Subprotocol())
	})
	t.Run("SubprotocolsWithSpacesAndStrangers", func(t *testing.T) {
		t.Parallel()
		h := http.Header{"Sec-WebSocket-Protocol": {`x, rivet,rivet_encoding.json,  rivet_conn_params.%7B%22a%22%3A1%7D, rivet_test_ack_hook.123`}}
		s := w.dial("/gateway/counter/connect"+getOrCreate+"spaces", h)
		s.init()
	})
	t.Run("ActionsAreConcurrent", func(t *testing.T) {
		t.Parallel()
		s := w.connect("concurrent")
		s.call(0, "hold", `["concurrent"]`)
		s.call(1, "increment", `[1]`)
		s.expect(`ActionResponse 1 1`)
		s.call(2, "release", `["concurrent"]`)
		s.expect(`ActionResponse 0 ["$Undefined",0]`, `ActionResponse 2 ["$Undefined",0]`)
	})
	t.Run("SubscriptionTakesEffectBeforeTheNextMessage", func(t *testing.T) {
		t.Parallel()
		s := w.connect("order")
		var want []string
		for i := range 50 {
			s.subscribe("count")
			s.call(2*i, "increment", `[1]`)
			s.unsubscribe("count")
			s.subscribe("other")
			want = append(want, fmt.Sprintf(`ActionResponse %d %d`, 2*i, i+1))
		}
		// An unsubscription may overtake the action before it, whose outcome comes later.
		var got []string
		for len(got) < len(want) {
			if m := s.next().short(); !strings.HasPrefix(m, "Event count ") {
				got = append(got, m)
			}
		}
		require.Equal(t, want, got)
		s.subscribe("count")
		s.call(1000, "increment", `[1]`)
		s.expect(`Event count [51]`, `ActionResponse 1000 51`)
	})
	t.Run("ManyBroadcastsOfOneOutcomeThenItsAnswer", func(t *testing.T) {
		t.Parallel()
		s := w.connect("many")
		s.subscribe("a")
		s.call(0, "emit", `[{"name":"a","n":5}]`)
		s.expect(`Event a [1]`, `Event a [2]`, `Event a [3]`, `Event a [4]`, `Event a [5]`, `ActionResponse 0 ["$Undefined",0]`)
	})
	t.Run("IdempotencyKeys", func(t *testing.T) {
		t.Parallel()
		h := http.Header{"Idempotency-Key": {"tab-1"}}
		s := w.dial("/gateway/counter/connect"+getOrCreate+"idem", h, "rivet", "rivet_encoding.json")
		s.init()
		s.call(0, "increment", `[5]`)
		s.expect(`ActionResponse 0 5`)
		// The same client, another socket: its numbers go on, and a repeat is one.
		s = w.dial("/gateway/counter/connect"+getOrCreate+"idem", nil, "rivet", "rivet_encoding.json", "actorlog_idempotency_key.tab-1")
		s.init()
		s.call(0, "increment", `[5]`)
		s.expect(`ActionResponse 0 5`)
		s.call(1, "increment", `[5]`)
		s.expect(`ActionResponse 1 10`)
		s.text(`{"body":{"tag":"ActionRequest","val":{"id":2,"name":"increment","args":[5],"idempotencyKey":"tab-1.0"}}}`)
		s.expect(`ActionResponse 2 5`)
		s.text(`{"body":{"tag":"ActionRequest","val":{"id":3,"name":"increment","args":[5],"idempotencyKey":"two words"}}}`)
		s.expect(`Error 3 actor.invalid_request`)
	})
	t.Run("DestroyClosesAfterTheAnswer", func(t *testing.T) {
		t.Parallel()
		other := w.connect("destroy")
		s := w.connect("destroy")
		s.subscribe("bye")
		s.call(0, "destroy", `[]`)
		reason, before := s.closed()
		require.Equal(t, "1000", reason)
		require.Equal(t, []string{`Event bye []`, `ActionResponse 0 ["$Undefined",0]`}, before)
		reason, _ = other.closed()
		require.Equal(t, "1000", reason)
		// A new connection creates the next life, in the same room.
		s = w.dial("/gateway/counter/connect"+getOrCreate+"destroy", nil, "rivet", "rivet_encoding.json")
		actor, _ := s.init()
		require.Equal(t, idOf(2, "destroy"), actor)
	})
	t.Run("ResultTooLongIsAnErrorOfThatAction", func(t *testing.T) {
		t.Parallel()
		s := w.connect("long")
		s.call(0, "big", `[1048577]`)
		s.expect(`Error 0 message.outgoing_too_long`)
		s.call(1, "increment", `[1]`)
		s.expect(`ActionResponse 1 1`)
	})
	t.Run("EventTooLongCloses", func(t *testing.T) {
		t.Parallel()
		s := w.connect("shout")
		s.subscribe("shout")
		s.call(0, "increment", `[1]`) // a subscription has no answer, but what comes after it has
		s.expect(`ActionResponse 0 1`)
		w.do("POST", "/actors/counter/shout/actions/shout", "1048577")
		reason, _ := s.closed()
		require.Equal(t, "1011 message.outgoing_too_long", reason)
	})
}

func TestConnectRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	json := []string{"rivet", "rivet_encoding.json"}
	for name, c := range map[string]struct {
		target    string
		protocols []string
		header    http.Header
		want      string
		before    []string
	}{
		"MissingActor": {target: "/gateway/counter/connect?rvt-namespace=default&rvt-method=get&rvt-key=missing", want: "1011 actor.not_found"},
		"MissingID":    {target: "/gateway/" + idOf(1, "missing") + "/connect", want: "1011 actor.not_found"},
		"NoID":         {target: "/gateway/whatever/connect", want: "1011 actor.not_found"},
		"UnknownKind": {target: "/gateway/nothing/connect" + getOrCreate + "x", want: "1011 actor.kind_not_found",
			before: []string{"Error - actor.kind_not_found"}},
		"RefusedByTheActor": {target: "/gateway/counter/connect" + getOrCreate + "refused&rvt-input=ZnJlZnVzZQ", want: "1011 user.rejected",
			before: []string{"Error - user.rejected"}},
		"UnknownEncoding":    {target: "/gateway/counter/connect" + getOrCreate + "x", protocols: []string{"rivet", "rivet_encoding.xml"}, want: "1003 actor.unsupported_websocket_encoding"},
		"UnknownSubprotocol": {target: "/gateway/counter/connect" + getOrCreate + "x", protocols: []string{"graphql-ws"}, want: "1003 actor.unsupported_websocket_protocol"},
		"BadParams": {target: "/gateway/counter/connect" + getOrCreate + "x", protocols: append(json, "rivet_conn_params.%7B"), want: "1011 actor.invalid_request",
			before: []string{"Error - actor.invalid_request"}},
		"BadQuery": {target: "/gateway/counter/connect" + getOrCreate + "x&rvt-nothing=1", want: "1011 guard.query_invalid_params",
			before: []string{"Error - guard.query_invalid_params"}},
		"BadKind": {target: "/gateway/" + strings.Repeat("k", 65) + "/connect" + getOrCreate + "x", want: "1011 actor.invalid_request",
			before: []string{"Error - actor.invalid_request"}},
		"BadIdempotencyKey": {target: "/gateway/counter/connect" + getOrCreate + "x", header: http.Header{"Idempotency-Key": {"two words"}}, want: "1011 actor.invalid_request",
			before: []string{"Error - actor.invalid_request"}},
		"Action":  {target: "/gateway/counter/action/get" + getOrCreate + "x", want: "1011 api.not_found", before: []string{"Error - api.not_found"}},
		"NoTail":  {target: "/gateway/counter/nothing" + getOrCreate + "x", want: "1011 api.not_found", before: []string{"Error - api.not_found"}},
		"NoActor": {target: "/connect", want: "1011 api.not_found", before: []string{"Error - api.not_found"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.protocols == nil {
				c.protocols = json
			}
			reason, before := w.dial(c.target, c.header, c.protocols...).closed()
			require.Equal(t, c.want, reason)
			require.Equal(t, c.before, before)
		})
	}
	t.Run("BAREErrorFrameThenClose", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/counter/connect"+getOrCreate+"refused&rvt-input=ZnJlZnVzZQ", nil, "rivet", "rivet_encoding.bare")
		reason, before := s.closed()
		require.Equal(t, "1011 user.rejected", reason)
		require.Equal(t, []string{fmt.Sprintf("%x", unhex(t, "02 00 | 01 | 04 'user' 08 'rejected' 07")+"go away"+unhex(t, "01 04 a1616101 | 00"))}, before)
	})
	t.Run("BadHandshakeIsATypedError", func(t *testing.T) {
		t.Parallel()
		r := w.do("GET", "/gateway/counter/connect"+getOrCreate+"x", "", header{"Connection": "Upgrade", "Upgrade": "websocket"})
		require.Equal(t, "400 actor.invalid_request", r.failure())
		r = w.do("POST", "/gateway/counter/connect"+getOrCreate+"x", "", header{"Connection": "Upgrade", "Upgrade": "websocket"})
		require.Equal(t, "405 actor.invalid_request", r.failure())
	})
}

func TestConnectBadMessageCloses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		encoding string
		text     bool
		data     string
		want     string
	}{
		"NoJSON":         {"json", true, `{`, "1011 actor.invalid_request"},
		"NoMessage":      {"json", true, `{"body":{"tag":"Nothing","val":{}}}`, "1011 actor.invalid_request"},
		"NoUTF8":         {"json", false, "\xff", "1011 actor.invalid_request"},
		"BinaryInJSON":   {"json", false, `{"body":{"tag":"ActionRequest","val":{"id":0,"name":"get","args":[]}}}`, "1011 actor.invalid_request"},
		"TextInBARE":     {"bare", true, "hello", "1011 actor.invalid_request"},
		"BAREVersion":    {"bare", false, "\x09\x00\x00\x00\x03get\x01\x80", "1011 actor.invalid_request"},
		"BARETag":        {"bare", false, "\x04\x00\x07\x00\x03get\x01\x80", "1011 actor.invalid_request"},
		"BARETruncated":  {"bare", false, "\x04\x00\x00\x00\x7fget", "1011 actor.invalid_request"},
		"BAREHugeLength": {"bare", false, "\x04\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "1011 actor.invalid_request"},
		"BAREEmpty":      {"bare", false, "", "1011 actor.invalid_request"},
		"CBORTruncated":  {"cbor", false, "\xa1\x64body", "1011 actor.invalid_request"},
		"CBORHuge":       {"cbor", false, "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "1011 actor.invalid_request"},
		"CBORDeep":       {"cbor", false, strings.Repeat("\x81", 60000), "1011 actor.invalid_request"},
		"TooLong":        {"json", true, strings.Repeat(" ", 65537), "1011 message.incoming_too_long"},
		"MuchTooLong":    {"bare", false, strings.Repeat("x", 8<<20), "1011 message.incoming_too_long"},
		"LongEventName": {"json", true, `{"body":{"tag":"SubscriptionRequest","val":{"eventName":"` + strings.Repeat("e", 257) + `","subscribe":true}}}`,
			"1011 actor.invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.dial("/gateway/counter/connect"+getOrCreate+"bad", nil, "rivet", "rivet_encoding."+c.encoding)
			s.read()
			kind := websocket.BinaryMessage
			if c.text {
				kind = websocket.TextMessage
			}
			// The server may stop reading before all is written.
			_ = s.conn.WriteMessage(kind, []byte(c.data))
			reason, before := s.closed()
			require.Equal(t, c.want, reason)
			require.Empty(t, before)
		})
	}
	t.Run("LongestMessageIsTaken", func(t *testing.T) {
		t.Parallel()
		s := w.connect("longest")
		msg := `{"body":{"tag":"ActionRequest","val":{"id":0,"name":"echo","args":["` + strings.Repeat("x", 65000) + `"]}}}`
		s.text(msg + strings.Repeat(" ", 65536-len(msg)))
		require.Equal(t, "ActionResponse", s.next().tag)
	})
	t.Run("TooManySubscriptions", func(t *testing.T) {
		t.Parallel()
		s := w.connect("subscriptions")
		for i := range 1025 {
			s.subscribe(fmt.Sprint("e", i))
		}
		reason, _ := s.closed()
		require.Equal(t, "1011 actor.invalid_request", reason)
	})
	t.Run("BadActionNameIsAnErrorOfThatAction", func(t *testing.T) {
		t.Parallel()
		s := w.connect("names")
		s.call(0, strings.Repeat("n", 257), `[]`)
		s.expect(`Error 0 actor.invalid_request`)
		s.call(1, "nothing", `[]`)
		s.expect(`Error 1 actor.action_not_found`)
		s.call(2, "increment", `["five"]`)
		s.expect(`Error 2 actor.invalid_request`)
	})
}

// With all its places taken a session is not read, and no other is held up.
func TestConnectInFlightIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.MaxInFlight = 2 }))
	s := w.connect("bounded")
	for i := range 4 {
		s.call(i, "hold", fmt.Sprintf(`["b%d"]`, i))
	}
	w.eventually(func() bool { return w.worker.holds("b0") && w.worker.holds("b1") })
	other := w.connect("bounded")
	other.call(0, "get", `[]`)
	other.expect(`ActionResponse 0 0`)
	require.False(t, w.worker.holds("b2"))
	w.worker.release("b0")
	s.expect(`ActionResponse 0 ["$Undefined",0]`)
	w.eventually(func() bool { return w.worker.holds("b2") })
	require.False(t, w.worker.holds("b3"))
	for _, name := range []string{"b1", "b2"} {
		w.worker.release(name)
	}
	w.eventually(func() bool { return w.worker.holds("b3") })
	w.worker.release("b3")
}

// A session that does not read is ended with a reason, and holds nobody up.
func TestConnectSlowConsumerIsEndedAlone(t *testing.T) {
	t.Parallel()
	slow := make(chan gateway.SessionInfo, 1)
	w := newWorld(t, config(func(c *gateway.Config) {
		c.SessionBuffer = 8
		c.CloseTimeout = patience
		c.Listener.SlowConsumer = func(i gateway.SessionInfo) { slow <- i }
	}))
	sleeper, reader := w.connect("slow"), w.connect("slow")
	for _, s := range []*socket{sleeper, reader} {
		s.subscribe("shout")
		s.subscribe("count")
		s.call(0, "get", `[]`) // what was subscribed before is in force when this is answered
		s.expect(`ActionResponse 0 0`)
	}
	// More than the sockets' and the session's buffers hold. The reader keeps up.
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for len(slow) == 0 {
			_, _ = w.try("POST", "/actors/counter/slow/actions/shout", strings.NewReader("1000000"))
		}
		_, _ = w.try("POST", "/actors/counter/slow/actions/increment", strings.NewReader("1"))
	})
	for {
		m := reader.next()
		if m.val["name"] == "count" {
			break
		}
	}
	info := <-slow
	require.Contains(t, info.Reason, "guard.slow_consumer#")
	require.Regexp(t, uuid, info.ConnectionID)
	// It begins to read in time: what was in its buffer, then why it was ended.
	reason, before := sleeper.closed()
	require.Equal(t, "1013 guard.slow_consumer", reason)
	require.NotEmpty(t, before)
	reader.call(1, "get", `[]`)
	reader.expect(`ActionResponse 1 1`)
}

func TestConnectRejectionsAreDelayed(t *testing.T) {
	t.Parallel()
	const delay = 80 * time.Millisecond
	w := newWorld(t, config(func(c *gateway.Config) { c.RejectDelay = delay }))
	took := func(s *socket) (string, time.Duration) {
		start := time.Now()
		reason, _ := s.closed()
		return reason, time.Since(start)
	}
	// The client would come back at once.
	reason, d := took(w.dial("/gateway/nothing/connect"+getOrCreate+"x", nil, "rivet", "rivet_encoding.json"))
	require.Equal(t, "1011 actor.kind_not_found", reason)
	require.Greater(t, d, delay/2)
	// And so would one whose first message is refused.
	s := w.connect("delay")
	s.text("{")
	reason, d = took(s)
	require.Equal(t, "1011 actor.invalid_request", reason)
	require.Greater(t, d, delay/2)
}

// Sessions of all encodings come and go while an actor broadcasts: who is subscribed gets
// every event from then on, in order.
func TestConnectRoomWithManySessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rounds, sockets = 60, 9
	var wg sync.WaitGroup
	subscribed := make(chan struct{}, sockets)
	for i := range sockets {
		wg.Go(func() {
			encoding := []string{"json", "cbor", "bare"}[i%3]
			d := websocket.Dialer{Subprotocols: []string{"rivet", "rivet_encoding." + encoding}}
			connect := func() *websocket.Conn {
				conn, _, err := d.Dial("ws"+strings.TrimPrefix(w.server.URL, "http")+"/gateway/counter/connect"+getOrCreate+"room", nil)
				if err != nil {
					t.Error(err)
					return nil
				}
				_ = conn.SetReadDeadline(time.Now().Add(patience))
				return conn
			}
			if c := connect(); c != nil { // one that leaves at once
				_ = c.Close()
			}
			conn := connect()
			if conn == nil {
				subscribed <- struct{}{}
				return
			}
			defer conn.Close()
			kind, message := websocket.BinaryMessage, []byte(nil)
			switch encoding {
			case "json":
				kind, message = websocket.TextMessage, []byte(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"count","subscribe":true}}}`)
			case "cbor":
				message, _ = cbor.Marshal(map[string]any{"body": map[string]any{"tag": "SubscriptionRequest", "val": map[string]any{"eventName": "count", "subscribe": true}}})
			case "bare":
				message = []byte("\x04\x00\x01\x05count\x01")
			}
			_ = conn.WriteMessage(kind, message)
			last := 0
			told := false
			for range rounds {
				_, data, err := conn.ReadMessage()
				if err != nil {
					t.Error(encoding, last, err)
					break
				}
				n := eventCount(encoding, data)
				switch {
				case n == 0: // Init
				case last != 0 && n != last+1:
					t.Errorf("%s: %d after %d", encoding, n, last)
					return
				default:
					last = n
				}
				if n > 0 && !told {
					told = true
					subscribed <- struct{}{}
				}
			}
			if !told {
				subscribed <- struct{}{}
			}
		})
	}
	// Until all have heard something; then the rest.
	heard := 0
	for rest := rounds; rest > 0; {
		w.increment("room", 1)
		if heard == sockets {
			rest--
			continue
		}
		select {
		case <-subscribed:
			heard++
		default:
		}
	}
	wg.Wait()
}

// eventCount is the number in an Event "count", 0 for other messages.
func eventCount(encoding string, data []byte) (n int) {
	switch encoding {
	case "json":
		_, _ = fmt.Sscanf(string(data), `{"body":{"tag":"Event","val":{"args":[%d]`, &n)
		if n == 0 {
			_, _ = fmt.Sscanf(string(data), `{"body":{"tag":"Event","val":{"name":"count","args":[%d]`, &n)
		}
	case "cbor":
		var m struct {
			Body struct {
				Tag string `cbor:"tag"`
				Val struct {
					Args []int `cbor:"args"`
				} `cbor:"val"`
			} `cbor:"body"`
		}
		if cbor.Unmarshal(data, &m) == nil && m.Body.Tag == "Event" {
			n = m.Body.Val.Args[0]
		}
	case "bare":
		if len(data) > 9 && data[2] == 3 {
			var args []int
			if cbor.Unmarshal(data[10:], &args) == nil {
				n = args[0]
			}
		}
	}
	return n
}
