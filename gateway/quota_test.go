package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway"
)

// ratesFrom bounds rates, and has the test say who asks.
func ratesFrom(perMinute int) func(*setup) {
	return config(func(c *gateway.Config) {
		c.RateLimit = perMinute
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
}

func from(address string) header { return header{"X-Forwarded-For": address} }

func TestRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ratesFrom(1))
	appended := func() int { return len(w.worker.actions()) }
	for name, request := range map[string]struct{ method, target, body string }{
		"RivetAction":  {"POST", "/gateway/counter/action/increment" + getOrCreate + "rivet", `{"args":[1]}`},
		"RivetQueue":   {"POST", "/gateway/counter/queue/q" + getOrCreate + "queue", `{"body":1}`},
		"RivetRequest": {"GET", "/gateway/counter/request/x" + getOrCreate + "raw", ""},
		"RivetLookUp":  {"GET", "/actors?name=counter&key=lookup&namespace=default", ""},
		"RivetEnsure":  {"PUT", "/actors?namespace=default", `{"name":"counter","key":"ensure","runner_name_selector":"default","crash_policy":"sleep"}`},
		"RivetCreate":  {"POST", "/actors?namespace=default", `{"name":"counter","key":"create","runner_name_selector":"default","crash_policy":"sleep"}`},
		"PlainAction":  {"POST", "/actors/counter/plain/actions/increment", "1"},
		"PlainQueue":   {"POST", "/actors/counter/plainqueue/queues/q", "1"},
		"PlainState":   {"GET", "/actors/counter/state1/state", ""},
		"PlainLookUp":  {"GET", "/actors/counter/lookup2", ""},
		"PlainEnsure":  {"PUT", "/actors/counter/ensure2", ""},
		"PlainEvents":  {"GET", "/actors/nothing/events3/events", ""},
	} {
		first := w.do(request.method, request.target, request.body, from("192.0.2.1"))
		require.NotEqual(t, http.StatusTooManyRequests, first.status, name)
		before := appended()
		r := w.do(request.method, request.target, request.body, from("192.0.2.1"))
		require.Equal(t, "429 guard.rate_limit", r.failure(), name)
		require.Contains(t, []string{"59", "60"}, r.header.Get("Retry-After"), name)
		require.Equal(t, before, appended(), "%s: nothing was asked", name)
		require.NotEqual(t, http.StatusTooManyRequests, w.do(request.method, request.target, request.body, from("192.0.2.2")).status, name)
	}

	// As Rivet says it.
	r := w.do("POST", "/gateway/counter/action/increment"+getOrCreate+"rivet", `{"args":[1]}`, from("192.0.2.1"))
	var e struct {
		Message  string
		Metadata map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &e))
	require.Equal(t, "Too many requests to 'POST /gateway/counter/action/increment' from IP 192.0.2.1.", e.Message)
	require.Equal(t, map[string]string{"method": "POST", "path": "/gateway/counter/action/increment", "ip": "192.0.2.1"}, e.Metadata)
	require.Equal(t, "guard.rate_limit", r.header.Get("X-Rivet-Error"))

	// An EventSource would give up for good at a status.
	r = w.do("GET", "/actors/nothing/events3/events", "", from("192.0.2.1"), header{"Accept": "text/event-stream"})
	require.Equal(t, 200, r.status)
	require.Contains(t, r.body, "event: actorlog.unavailable")
	require.Regexp(t, `retry: (59|60)\d\d\d`, r.body)

	// What belongs to no actor is not counted.
	for range 3 {
		require.Equal(t, 200, w.do("GET", "/metadata", "", from("192.0.2.1")).status)
	}
}

func TestRateLimit_Connections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ratesFrom(3))
	first := http.Header{"X-Forwarded-For": {"192.0.2.1"}}
	s := w.dial("/gateway/counter/connect"+getOrCreate+"x", first, "rivet", "rivet_encoding.json")
	s.init() // the first of three
	s.call(1, "increment", "[1]")
	s.call(2, "increment", "[1]")
	s.call(3, "increment", "[1]")
	var got []string
	for range 3 {
		got = append(got, s.next().short())
	}
	require.ElementsMatch(t, []string{"ActionResponse 1 1", "ActionResponse 2 2", "Error 3 guard.rate_limit"}, got)
	// A further connection is not let in; the one that is open stays.
	reason, before := w.dial("/gateway/counter/connect"+getOrCreate+"x", first, "rivet", "rivet_encoding.json").closed()
	require.Equal(t, "1011 guard.rate_limit", reason)
	require.Equal(t, []string{"Error - guard.rate_limit"}, before)
	s.call(4, "increment", "[1]")
	s.expect("Error 4 guard.rate_limit")
	w.connect("x")
}

// Messages of raw sockets have no answers that could say no: they wait.
func TestRateLimit_RawSocket(t *testing.T) {
	t.Parallel()
	const perMinute = 300 // one in 200 ms, when they are used up
	// It sends all before it reads anything.
	w := newLobby(t, config(func(c *gateway.Config) { c.RateLimit, c.SessionBuffer = perMinute, 2*perMinute }))
	s := w.dial("/gateway/lobby/websocket/x"+getOrCreate+"raw", nil, "rivet", paramsProtocol(`{"name":"raw"}`))
	begun := time.Now()
	const over = 3
	for range perMinute - 1 + over {
		s.text("m")
	}
	for range perMinute - 1 + over {
		kind, data := s.read()
		require.Equal(t, websocket.TextMessage, kind)
		require.Equal(t, "M", string(data))
	}
	require.Greater(t, time.Since(begun), (over-1)*time.Minute/perMinute)
}

func TestMaxUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ratesFrom(0), config(func(c *gateway.Config) { c.MaxUnderWay, c.MaxActorUnderWay = 2, 3 }))
	answers := make(chan reply, 3)
	hold := func(name, address string) {
		go func() { answers <- w.do("POST", "/actors/counter/x/actions/hold", `"`+name+`"`, from(address)) }()
		w.eventually(func() bool { return w.worker.holds(name) })
	}
	hold("a", "192.0.2.1")
	hold("b", "192.0.2.1")
	touch := func(key, address string) string {
		return w.do("POST", "/actors/counter/"+key+"/actions/touch", "", from(address)).failure()
	}
	r := w.do("POST", "/actors/counter/x/actions/touch", "", from("192.0.2.1"))
	require.Equal(t, "429 guard.rate_limit", r.failure())
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Contains(t, touch("other", "192.0.2.1"), "204")
	require.Contains(t, touch("x", "192.0.2.2"), "204")
	hold("c", "192.0.2.2")
	r = w.do("POST", "/actors/counter/x/actions/touch", "", from("192.0.2.3"))
	require.Equal(t, "503 actor.overloaded", r.failure())
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Contains(t, touch("other", "192.0.2.3"), "204")
	for _, name := range []string{"a", "b", "c"} {
		w.worker.release(name)
		require.Equal(t, 204, (<-answers).status)
	}
	w.eventually(func() bool {
		return w.do("POST", "/actors/counter/x/actions/touch", "", from("192.0.2.1")).status == 204
	})
	// Over a connection: its third action under way is refused, and the connection stays.
	s := w.connect("y")
	s.call(1, "hold", `["d"]`)
	s.call(2, "hold", `["e"]`)
	s.call(3, "touch", "[]")
	s.expect("Error 3 guard.rate_limit")
	w.eventually(func() bool { return w.worker.holds("d") && w.worker.holds("e") })
	w.worker.release("d")
	require.Contains(t, s.next().short(), "ActionResponse 1 ")
	s.call(4, "touch", "[]")
	require.Contains(t, s.next().short(), "ActionResponse 4 ")
	w.worker.release("e")
}

// Whom an actor has authenticated counts as that, wherever it comes from, and whoever else comes from there.
func TestRateLimit_Principals(t *testing.T) {
	t.Parallel()
	w := newLobby(t, ratesFrom(3))
	calls := 0
	call := func(name, address string) string {
		calls++
		// Proxies give every request an id.
		r := w.do("POST", "/actors/lobby/x/actions/players", "", from(address), header{"Actorlog-Params": `{"name":"` + name + `"}`, "X-Request-Id": strconv.Itoa(calls)})
		if r.status == 200 {
			return "200"
		}
		return r.failure()
	}
	const here, elsewhere, refused = "192.0.2.1", "192.0.2.2", "429 guard.rate_limit"
	for range 3 {
		require.Equal(t, "200", call("ann", here))
	}
	require.Equal(t, refused, call("ann", here), "her minute is used up")
	require.Equal(t, "200", call("ann", elsewhere), "there, nobody knows yet who it is")
	require.Equal(t, refused, call("ann", elsewhere))
	// Of the address, only what was not known has been counted: one call of ann's, and one of each of these.
	require.Equal(t, "200", call("bob", here))
	require.Equal(t, "200", call("carl", here))
	require.Equal(t, refused, call("dan", here), "who changes names counts for the address")
	require.Equal(t, "200", call("bob", here), "who is known does not")

	// A connection is of somebody from its first action on.
	connect := func(name string) *socket {
		return w.dial("/gateway/lobby/connect"+getOrCreate+"y", http.Header{"X-Forwarded-For": {here}}, "rivet", "rivet_encoding.json", paramsProtocol(`{"name":"`+name+`"}`))
	}
	answers := func(s *socket, n int) (all []string) {
		for len(all) < n {
			if m := s.next(); m.tag == "ActionResponse" || m.tag == "Error" {
				all = append(all, m.tag)
			}
		}
		return all
	}
	s := connect("ann")
	for id := range 3 {
		s.call(id, "rename", `["ann"]`)
	}
	require.ElementsMatch(t, []string{"ActionResponse", "ActionResponse", "Error"}, answers(s, 3))
	other := connect("bob")
	other.call(0, "rename", `["bob"]`)
	require.Equal(t, []string{"ActionResponse"}, answers(other, 1))
}
