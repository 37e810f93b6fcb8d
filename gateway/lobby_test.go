package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/examples/lobby"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// newLobby is a world whose worker is a real one, with the kind of examples/lobby.
func newLobby(t testing.TB, options ...func(*setup)) *world {
	t.Helper()
	w := newWorld(t, append(options, func(s *setup) { s.noWorker = true })...)
	w.host()
	return w
}

// host runs a real worker with the lobby until it is stopped, or the test ends.
func (w *world) host() (stop func()) {
	w.t.Helper()
	registry := actor.NewRegistry()
	lobby.Register(registry)
	return w.hostOf(registry)
}

func (w *world) hostOf(registry *actor.Registry) (stop func()) {
	w.t.Helper()
	log := w.cluster.Client()
	worker, err := host.Open(log, registry, host.Config{})
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(w.t, <-done)
			require.NoError(w.t, worker.Close())
			log.Close()
		})
	}
	w.t.Cleanup(stop)
	return stop
}

func paramsProtocol(params string) string {
	return "rivet_conn_params." + strings.NewReplacer("%", "%25", `"`, "%22", "{", "%7B", "}", "%7D", ",", "%2C", " ", "%20").Replace(params)
}

// enter opens a JSON connection to the lobby, and takes what comes up to Init.
func (w *world) enter(key, params string) *socket {
	w.t.Helper()
	s := w.dial("/gateway/lobby/connect"+getOrCreate+key, nil, "rivet", "rivet_encoding.json", paramsProtocol(params))
	for s.next().tag != "Init" {
	}
	return s
}

// log is what happened in a lobby, asked by somebody who is no client.
func (w *world) lobbyLog(key string) (lines []string) {
	w.t.Helper()
	lines, err := lobby.Log.Call(w.t.Context(), lobby.Kind.GetOrCreate(w.client, key), actor.None{})
	require.NoError(w.t, err)
	return lines
}

func (w *world) logged(key string, want ...string) {
	w.t.Helper()
	w.eventually(func() bool { return fmt.Sprint(w.lobbyLog(key)) == fmt.Sprint(want) })
}

// disconnects are the Disconnect actions that were appended.
func (w *world) disconnects() (list []*actorlogv1.Disconnect) {
	for p := range int32(partitions) {
		for _, r := range w.cluster.Records(eventlog.Actions, p) {
			a, err := schemas.DecodeAs[*actorlogv1.Action](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
			require.NoError(w.t, err)
			if d := a.GetDisconnect(); d != nil {
				list = append(list, d)
			}
		}
	}
	return list
}

func TestConnection(t *testing.T) {
	t.Parallel()
	w := newLobby(t)
	t.Run("HasParametersAndState", func(t *testing.T) {
		t.Parallel()
		s := w.enter("state", `{"name":"ann"}`)
		s.call(0, "whoAmI", `[]`)
		s.expect(`ActionResponse 0 {"lines":0,"name":"ann","staff":false}`)
		s.call(1, "rename", `["anna"]`)
		s.call(2, "whoAmI", `[]`)
		s.expect(`ActionResponse 1 {"lines":0,"name":"anna","staff":false}`, `ActionResponse 2 {"lines":0,"name":"anna","staff":false}`)
	})
	t.Run("HearsWhatOnConnectSendsBeforeInit", func(t *testing.T) {
		t.Parallel()
		bob := w.enter("welcome", `{"name":"bob"}`)
		bob.subscribe("arrived")
		bob.call(0, "log", `[]`)
		bob.expect(`ActionResponse 0 ["came bob"]`)
		ann := w.dial("/gateway/lobby/connect"+getOrCreate+"welcome", nil, "rivet", "rivet_encoding.json", paramsProtocol(`{"name":"ann"}`))
		ann.expect(`Event welcome ["hello ann"]`, "Init")
		bob.expect(`Event arrived ["ann"]`)
		// In the others' encodings too.
		b := w.dial("/gateway/lobby/connect"+getOrCreate+"welcome", nil, "rivet", "rivet_encoding.bare", paramsProtocol(`{"name":"b"}`))
		_, data := b.read()
		require.Equal(t, unhex(t, "02 00 | 03 | 07 'welcome' | 09 81 67")+"hello b", string(data))
	})
	t.Run("EventsToOneAndToAllButOne", func(t *testing.T) {
		t.Parallel()
		ann, bob := w.enter("whisper", `{"name":"ann"}`), w.enter("whisper", `{"name":"bob"}`)
		stream := w.stream("/actors/lobby/whisper/events", "")
		stream.ready()
		for _, s := range []*socket{ann, bob} {
			s.subscribe("shouted")
		}
		ann.call(0, "whisper", `["bob","psst"]`)
		ann.call(1, "shout", `["hey"]`)
		ann.expect(`ActionResponse 0 true`, `ActionResponse 1 ["$Undefined",0]`)
		bob.expect(`Event whisper ["psst"]`, `Event shouted ["hey"]`)
		bob.call(0, "shout", `["you"]`)
		bob.expect(`ActionResponse 0 ["$Undefined",0]`)
		ann.expect(`Event shouted ["you"]`)
		require.Equal(t, `["hey"]`, stream.next().data)
		require.Equal(t, `["you"]`, stream.next().data)
	})
	t.Run("EndIsToldOnce", func(t *testing.T) {
		t.Parallel()
		s := w.enter("end", `{"name":"ann"}`)
		require.NoError(t, s.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "Disposed")))
		s.closed()
		w.logged("end", "came ann", "left ann")
		s = w.enter("end", `{"name":"bob"}`)
		require.NoError(t, s.conn.NetConn().Close())
		w.logged("end", "came ann", "left ann", "came bob", "left bob")
		reasons := make(map[string]int)
		for _, d := range w.disconnects() {
			reasons[d.Reason]++
			require.Zero(t, d.Code)
		}
		require.Equal(t, 1, reasons["Disposed"])
	})
	t.Run("ActorEndsItAfterTheAnswer", func(t *testing.T) {
		t.Parallel()
		ann, bob := w.enter("kick", `{"name":"ann"}`), w.enter("kick", `{"name":"bob"}`)
		ann.call(0, "kick", `["bob"]`)
		reason, _ := bob.closedPlainly()
		require.Equal(t, "1000 kicked", reason)
		ann.call(1, "kick", `["ann"]`)
		reason, before := ann.closedPlainly()
		require.Equal(t, "1000 kicked", reason)
		require.Equal(t, []string{`ActionResponse 0 1`, `ActionResponse 1 1`}, before)
		w.logged("kick", "came ann", "came bob", "left bob", "left ann")
	})
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/lobby/connect"+getOrCreate+"refused", nil, "rivet", "rivet_encoding.json", paramsProtocol(`{"name":"mallory"}`))
		m := s.next()
		require.Equal(t, "Error - user.banned", m.short())
		require.Equal(t, map[string]any{"name": "mallory"}, m.val["metadata"])
		reason, _ := s.closed()
		require.Equal(t, "1011 user.banned", reason)
		s = w.dial("/gateway/lobby/connect"+getOrCreate+"refused", nil, "rivet", "rivet_encoding.json", paramsProtocol(`{"name":"`+strings.Repeat("n", 4096)+`"}`))
		reason, _ = s.closed()
		require.Equal(t, "1011 actor.invalid_request", reason)
		w.logged("refused")
	})
	t.Run("GuardedEvents", func(t *testing.T) {
		t.Parallel()
		staff, guest := w.enter("guarded", `{"name":"s","staff":true}`), w.enter("guarded", `{"name":"g"}`)
		staff.subscribe("alert")
		staff.call(0, "log", `[]`) // handled after the subscription
		staff.expect(`ActionResponse 0 ["came s","came g"]`)
		guest.subscribe("alert")
		reason, _ := guest.closed()
		require.Equal(t, "1011 auth.forbidden", reason)
		staff.expect(`Event alert ["g has left"]`)
	})
	t.Run("LostAtTheActor", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/lobby/connect"+getOrCreate+"lost", nil, "rivet", "rivet_encoding.json")
		s.next()
		_, id := s.init()
		hash := schemas.HashOf("default", "lobby", schemas.Key{"lost"})
		_, err := w.client.Peer(t.Context(), hash, &actorlogv1.Action{
			Actor: &actorlogv1.Actor{Namespace: "default", Kind: "lobby", Key: []string{"lost"}},
			Body:  &actorlogv1.Action_Disconnect{Disconnect: &actorlogv1.Disconnect{ConnectionId: id, Reason: "gateway lost"}},
		})
		require.NoError(t, err)
		reason, _ := s.closed()
		require.Equal(t, "1011 guard.tunnel_message_timeout", reason)
	})
	t.Run("DestroyedWithTheActor", func(t *testing.T) {
		t.Parallel()
		s := w.enter("destroyed", `{"name":"ann"}`)
		s.call(0, "destroy", `[]`)
		reason, before := s.closed()
		require.Equal(t, "1000", reason)
		require.Equal(t, []string{`ActionResponse 0 ["$Undefined",0]`}, before)
	})
	t.Run("InternalErrorsHaveAReference", func(t *testing.T) {
		t.Parallel()
		s := w.enter("crash", `{"name":"ann"}`)
		s.call(0, "crash", `[]`)
		m := s.next()
		require.Equal(t, "Error 0 rivetkit.internal_error", m.short())
		require.NotEmpty(t, m.val["metadata"].(map[string]any)["reference"])
	})
}

// closedPlainly is closed for reasons of the actor, which have no ray.
func (s *socket) closedPlainly() (reason string, before []string) {
	s.w.t.Helper()
	for {
		require.NoError(s.w.t, s.conn.SetReadDeadline(time.Now().Add(patience)))
		kind, data, err := s.conn.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			return strings.TrimSpace(fmt.Sprintf("%d %s", closed.Code, closed.Text)), before
		}
		require.NoError(s.w.t, err)
		if kind == websocket.TextMessage && strings.HasPrefix(string(data), `{"body"`) {
			before = append(before, parse(s.w, data).short())
		} else {
			before = append(before, string(data))
		}
	}
}

// Who goes away before the answer leaves no connection behind.
func TestConnectionOfWhoWentAwayMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) { s.noWorker = true })
	s := w.dial("/gateway/lobby/connect"+getOrCreate+"away", nil, "rivet", "rivet_encoding.json", paramsProtocol(`{"name":"ann"}`))
	hash := schemas.HashOf("default", "lobby", schemas.Key{"away"})
	w.eventually(func() bool { return len(w.cluster.Records(eventlog.Actions, hash.Shard(partitions))) == 1 })
	require.NoError(t, s.conn.NetConn().Close())
	w.host()
	w.logged("away", "came ann", "left ann")
	require.Len(t, w.disconnects(), 1)
}

// The ends of connections are in the log when Shutdown returns, also if no worker is there to read them.
func TestShutdownTellsTheActors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) { s.noWorker = true })
	stop := w.host()
	for _, name := range []string{"ann", "bob"} {
		w.enter("shutdown", `{"name":"`+name+`"}`)
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, w.gateway.Shutdown(ctx))
	require.Len(t, w.disconnects(), 2)
	for _, d := range w.disconnects() {
		require.Contains(t, d.Reason, "ws.going_away")
	}
}

// The actor is told of what it does not know, and of nothing else.
func TestDisconnectIsForOpenConnections(t *testing.T) {
	t.Parallel()
	w := newLobby(t)
	for _, target := range []string{"/gateway/lobby/connect" + getOrCreate + "open", "/gateway/lobby/websocket/x" + getOrCreate + "open"} {
		reason, _ := w.dial(target, nil, "rivet", "rivet_encoding.json", paramsProtocol(`{"name":"mallory"}`)).closed()
		require.Equal(t, "1011 user.banned", reason)
	}
	kicked, destroyed := w.enter("open", `{"name":"ann"}`), w.enter("other", `{"name":"bob"}`)
	require.Equal(t, "1", w.do("POST", "/actors/lobby/open/actions/kick", `"ann"`).body)
	kicked.closedPlainly()
	require.Equal(t, 204, w.do("DELETE", "/actors/lobby/other", "").status)
	destroyed.closed()
	raw := w.dial("/gateway/lobby/websocket/x"+getOrCreate+"open", nil, "rivet")
	raw.text("bye")
	raw.closedPlainly()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, w.gateway.Shutdown(ctx))
	require.Empty(t, w.disconnects())
}

// An actor whose mailbox is full is told again.
func TestDisconnectIsToldUntilItIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.connect("full")
	w.worker.mu.Lock()
	w.worker.overloaded = 2
	w.worker.mu.Unlock()
	require.NoError(t, s.conn.NetConn().Close())
	w.eventually(func() bool { return len(w.disconnects()) == 3 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, w.gateway.Shutdown(ctx))
	require.Len(t, w.disconnects(), 3)
}

// While the brokers are away the end of a connection waits.
func TestConnectionEndIsNotLost(t *testing.T) {
	t.Parallel()
	w := newLobby(t)
	s := w.enter("cut", `{"name":"ann"}`)
	w.log.Disconnect()
	require.NoError(t, s.conn.NetConn().Close())
	w.eventually(func() bool { return w.do("GET", "/readyz", "").status == 503 })
	w.log.Connect()
	w.logged("cut", "came ann", "left ann")
}

func TestStatelessCallsPassTheHooks(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	w := newLobby(t, logTo(zap.New(core)))
	const path = "/gateway/lobby/action/whoAmI" + getOrCreate + "calls"
	json := header{"X-Rivet-Encoding": "json", "User-Agent": "RivetKit/2.3.19"}
	params := func(name, text string) header { return header{name: text} }

	require.JSONEq(t, `{"output":{"name":"","staff":false,"lines":0}}`, w.do("POST", path, `{"args":[]}`, json).body)
	require.JSONEq(t, `{"output":{"name":"caf\u00e9","staff":false,"lines":0}}`, w.do("POST", path, `{"args":[]}`, json, params("X-Rivet-Conn-Params", "{\"name\":\"caf\xe9\"}")).body)
	require.JSONEq(t, `{"name":"caf\u00e9","staff":false,"lines":0}`, w.do("POST", "/actors/lobby/calls/actions/whoAmI", "", params("Actorlog-Params", `{"name":"café"}`)).body)
	for _, c := range []struct {
		method, path, body string
		header             header
		want               string
	}{
		{"POST", path, `{"args":[]}`, params("X-Rivet-Conn-Params", `{"name":"mallory"}`), "500 user.banned"},
		{"POST", path, `{"args":[]}`, params("X-Rivet-Conn-Params", `{`), "400 actor.invalid_request"},
		{"POST", path, `{"args":[]}`, params("X-Rivet-Conn-Params", `"`+strings.Repeat("x", 4096)+`"`), "400 actor.invalid_request"},
		{"POST", "/actors/lobby/calls/actions/whoAmI", "", params("X-Rivet-Conn-Params", `{"name":"mallory"}`), "400 user.banned"},
		{"GET", "/actors/lobby/calls/state", "", params("Actorlog-Params", `{"name":"mallory"}`), "400 user.banned"},
		{"GET", "/actors/lobby/calls/state", "", params("Actorlog-Params", "\xff"), "400 actor.invalid_request"},
		{"DELETE", "/actors/lobby/calls", "", params("Actorlog-Params", `{"name":"mallory"}`), "400 user.banned"},
		{"GET", "/actors/lobby/calls/events", "", params("Actorlog-Params", `{"name":"mallory"}`), "400 user.banned"},
		{"GET", "/actors/lobby/calls/events?params=%7B%22name%22:%22mallory%22%7D", "", nil, "400 user.banned"},
		{"GET", "/actors/lobby/calls/events?params=%7B", "", nil, "400 actor.invalid_request"},
		{"GET", "/actors/lobby/calls/events?event=alert", "", nil, "403 auth.forbidden"},
		{"POST", "/gateway/lobby/queue/orders" + getOrCreate + "calls", `{"body":1}`, params("X-Rivet-Conn-Params", `{"name":"mallory"}`), "500 user.banned"},
		{"GET", "/gateway/lobby/request/x" + getOrCreate + "calls", "", params("X-Rivet-Conn-Params", `{"name":"mallory"}`), "500 user.banned"},
	} {
		require.Equal(t, c.want, w.do(c.method, c.path, c.body, c.header).failure(), "%s %s %v", c.method, c.path, c.header)
	}
	require.Empty(t, w.lobbyLog("calls"), "calls come and go unnoticed")

	r := w.do("POST", "/gateway/lobby/action/crash"+getOrCreate+"calls", `{"args":[]}`, json)
	require.Equal(t, "500 rivetkit.internal_error", r.failure())
	entries := logs.FilterMessage("an actor failed").All()
	require.Len(t, entries, 1)
	require.Equal(t, r.header.Get("X-Rivet-Ray-Id"), entries[0].ContextMap()["ray"])
	require.Contains(t, r.body, fmt.Sprintf(`"reference":%q`, entries[0].ContextMap()["reference"]))
	require.NotContains(t, r.body, "on fire")
}

func TestEventsAreAskedFor(t *testing.T) {
	t.Parallel()
	w := newLobby(t)
	const staffOnly = "?event=alert&params=%7B%22staff%22:true%7D"
	leave := func(name string) {
		s := w.enter("sse", `{"name":"`+name+`"}`)
		require.NoError(t, s.conn.NetConn().Close())
	}
	// Before the actor lives nobody can be asked; its first life is, when it begins.
	early := w.stream("/actors/lobby/sse/events", "")
	early.ready()
	refused := w.stream("/actors/lobby/sse/events?event=alert", "")
	refused.ready()
	leave("ann")
	require.Empty(t, refused.end())
	require.True(t, refused.commented("auth.forbidden"))

	all, staff := w.stream("/actors/lobby/sse/events", ""), w.stream("/actors/lobby/sse/events"+staffOnly, "")
	id, _ := all.ready()
	staff.ready()
	leave("bob")
	require.Equal(t, `["bob has left"]`, staff.next().data)
	require.Equal(t, 204, w.do("POST", "/actors/lobby/sse/actions/shout", `"x"`).status)
	for _, s := range []*sseStream{early, all} {
		e := s.next()
		for e.name == "arrived" {
			e = s.next()
		}
		require.Equal(t, "shouted", e.name, "the alert is not for everybody")
	}
	resumed := w.stream("/actors/lobby/sse/events", id)
	_, recovered := resumed.ready()
	require.True(t, recovered)
	require.Equal(t, "arrived", resumed.next().name)
	require.Equal(t, "shouted", resumed.next().name)

	// The next life is asked too, and what the last one said is not read back while there is nobody to ask.
	require.Equal(t, 204, w.do("DELETE", "/actors/lobby/sse", "").status)
	dead := w.stream("/actors/lobby/sse/events?event=alert", id)
	_, recovered = dead.ready()
	require.False(t, recovered)
	leave("eve")
	require.Equal(t, `["eve has left"]`, staff.next().data)
	require.Empty(t, dead.end())
}

func TestQueue(t *testing.T) {
	t.Parallel()
	w := newLobby(t)
	bare := header{"X-Rivet-Encoding": "bare", "User-Agent": "RivetKit/2.3.19"}
	cbor := header{"X-Rivet-Encoding": "cbor", "User-Agent": "RivetKit/2.3.19"}
	jsonFace := header{"X-Rivet-Encoding": "json", "User-Agent": "RivetKit/2.3.19"}
	const orders, parked = "/gateway/lobby/queue/orders" + getOrCreate, "/gateway/lobby/queue/parked" + getOrCreate

	t.Run("EncodingsAndVersions", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", orders+"enc", unhex(t, "04 00 | 09 a1 64 'game' 62 'go' | 01 06 'orders' | 01 01 | 01 a00f000000000000"), bare)
		require.Equal(t, 200, r.status, r.body)
		require.Equal(t, unhex(t, "04 00 | 09 'completed' | 01 | 11 a2 66 'number' 01 64 'game' 62 'go'"), r.body)
		require.NotEmpty(t, r.header.Get("X-Rivet-Actor"))
		r = w.do("POST", orders+"enc", unhex(t, "03 00 | 09 a1 64 'game' 62 'go' | 00 | 00 | 00"), bare)
		require.Equal(t, unhex(t, "03 00 | 09 'completed' | 00"), r.body)
		r = w.do("POST", orders+"enc", unhex(t, "02 00 | 09 a1 64 'game' 62 'go' | 00 | 00 | 00"), bare)
		require.Equal(t, "400 actor.invalid_request", r.failure())
		r = w.do("POST", orders+"enc", unhex(t, "a2 64 'body' a1 64 'game' 62 'go' 64 'wait' f5"), cbor)
		require.Contains(t, r.body, "completed")
		require.Contains(t, r.body, "number")
		r = w.do("POST", orders+"enc", `{"body":{"game":"chess"},"name":"other","wait":true}`, jsonFace)
		require.JSONEq(t, `{"status":"completed","response":{"number":4,"game":"chess"}}`, r.body)
	})
	t.Run("TimedOut", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", parked+"late", `{"body":{},"wait":true,"timeout":20}`, jsonFace)
		require.Equal(t, 200, r.status)
		require.JSONEq(t, `{"status":"timedOut"}`, r.body)
		require.Equal(t, unhex(t, "04 00 | 08 'timedOut' | 00"), w.do("POST", parked+"late", unhex(t, "04 00 | 01 a0 | 00 | 01 01 | 01 0000000000000000"), bare).body)
	})
	t.Run("UndeclaredIsDropped", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/gateway/lobby/queue/nothing"+getOrCreate+"dropped", `{"body":{},"wait":true}`, jsonFace)
		require.JSONEq(t, `{"status":"completed"}`, r.body)
		r = w.do("POST", "/actors/lobby/dropped/queues/nothing", `{}`)
		require.Equal(t, 202, r.status)
		require.Equal(t, `{"status":"dropped"}`, r.body)
	})
	t.Run("Full", func(t *testing.T) {
		t.Parallel()
		for range actor.MaxQueued {
			require.Equal(t, 202, w.do("POST", "/actors/lobby/full/queues/parked", `{}`).status)
		}
		r := w.do("POST", parked+"full", `{"body":{}}`, jsonFace)
		require.Equal(t, "400 queue.full", r.failure())
		require.Contains(t, r.body, "Queue is full. Limit is 1000")
	})
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		const staff = "/gateway/lobby/queue/staff" + getOrCreate + "refused"
		require.Equal(t, "403 auth.forbidden", w.do("POST", staff, `{"body":{}}`, jsonFace).failure())
		require.Equal(t, 200, w.do("POST", staff, `{"body":{}}`, jsonFace, header{"X-Rivet-Conn-Params": `{"staff":true}`}).status)
		long := `"` + strings.Repeat("x", actor.MaxMessageBytes) + `"`
		require.Equal(t, "400 queue.message_too_large", w.do("POST", parked+"refused", `{"body":`+long+`}`, jsonFace).failure())
		require.Equal(t, "400 message.incoming_too_long", w.do("POST", parked+"refused", `{"body":"`+strings.Repeat(long[1:100], 1000)+`"}`, jsonFace).failure())
		require.Equal(t, "400 queue.message_too_large", w.do("POST", "/actors/lobby/refused/queues/parked", long).failure())
		require.Equal(t, "404 actor.not_found", w.do("POST", "/actors/lobby/absent/queues/parked?create=false", `1`).failure())
		require.Equal(t, "400 actor.invalid_request", w.do("POST", "/actors/lobby/refused/queues/parked?wait=maybe", `1`).failure())
		require.Equal(t, "400 actor.invalid_request", w.do("POST", "/actors/lobby/refused/queues/parked?timeout=-1", `1`).failure())
		require.Equal(t, "400 actor.invalid_request", w.do("POST", "/actors/lobby/refused/queues/", `1`).failure())
		require.Equal(t, "405 actor.method_not_allowed", w.do("GET", "/actors/lobby/refused/queues/parked", "").failure())
	})
	t.Run("Plain", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/actors/lobby/plain/queues/orders", `{"game":"go"}`)
		require.Equal(t, 202, r.status)
		require.Equal(t, `{"status":"accepted"}`, r.body)
		r = w.do("POST", "/actors/lobby/plain/queues/orders?wait=true", `{"game":"go"}`, header{"Idempotency-Key": "o-1"})
		require.Equal(t, 200, r.status)
		require.JSONEq(t, `{"status":"completed","response":{"number":2,"game":"go"}}`, r.body)
		again := w.do("POST", "/actors/lobby/plain/queues/orders?wait=true", `{"game":"go"}`, header{"Idempotency-Key": "o-1"})
		require.Equal(t, r.body, again.body, "a repeat gets the same ticket")
		require.JSONEq(t, `{"status":"timedOut"}`, w.do("POST", "/actors/lobby/plain/queues/parked?wait=true&timeout=10", "").body)
	})
	t.Run("DestroyedWhileItWaits", func(t *testing.T) {
		t.Parallel()
		waiting := make(chan reply, 1)
		go func() {
			r, _ := w.try("POST", parked+"destroyed", strings.NewReader(`{"body":{},"wait":true}`), jsonFace)
			waiting <- r
		}()
		hash := schemas.HashOf("default", "lobby", schemas.Key{"destroyed"})
		w.eventually(func() bool {
			for _, r := range w.cluster.Records(eventlog.Events, hash.Shard(partitions)) {
				if string(r.Key) == string(hash[:]) {
					return true
				}
			}
			return false
		})
		require.Equal(t, 204, w.do("DELETE", "/actors/lobby/destroyed", "").status)
		require.Equal(t, "500 actor.aborted", (<-waiting).failure())
	})
}

func TestRawRequest(t *testing.T) {
	t.Parallel()
	w := newLobby(t)
	type echo struct{ Method, Target, Type, Hello, Name, Body string }
	ask := func(method, target, body string, headers ...header) (e echo, r reply) {
		r = w.do(method, target, body, headers...)
		require.Equal(t, 200, r.status, r.body)
		require.NoError(t, json.Unmarshal([]byte(r.body), &e))
		return e, r
	}
	const query = "&rvt-namespace=default&rvt-method=getOrCreate&rvt-key=raw"

	e, r := ask("POST", "/gateway/lobby/request/a%20b/c?x=1&y=a%20b"+query, "hello", header{
		"Content-Type": "text/plain", "X-Hello": "hop", "X-Rivet-Conn-Params": `{"name":"ann"}`, "Te": "trailers",
	})
	require.Equal(t, echo{"POST", "/a%20b/c?x=1&y=a%20b", "text/plain", "hop", "ann", "hello"}, e)
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	require.Equal(t, "open", r.header.Get("X-Lobby"))
	require.Empty(t, r.header.Get("X-Hop"), "the response said that it is of the connection")
	require.NotEmpty(t, r.header.Get("X-Rivet-Actor"))
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "PROPFIND", "BREW"} {
		e, _ := ask(method, "/gateway/lobby/request?z="+query, "")
		require.Equal(t, echo{Method: method, Target: "/?z="}, e)
	}
	r = w.do("HEAD", "/gateway/lobby/request/x?"+query[1:], "")
	require.Equal(t, 200, r.status)
	require.Empty(t, r.body)
	// OPTIONS is a preflight.
	require.Equal(t, 204, w.do("OPTIONS", "/gateway/lobby/request/x?"+query[1:], "").status)
	r = w.do("GET", "/gateway/lobby/request/gone?"+query[1:], "")
	require.Equal(t, 410, r.status)
	require.Equal(t, "gone", r.body)
	require.Equal(t, "closed", r.header.Get("X-Lobby"))
	require.Empty(t, r.header.Values("Content-Type"))
	r = w.do("GET", "/gateway/lobby/request/empty?"+query[1:], "")
	require.Equal(t, 204, r.status)
	bytes := strings.Repeat("\x00\xff", 1<<20)
	r = w.do("POST", "/gateway/lobby/request/bytes?"+query[1:], bytes)
	require.Equal(t, 200, r.status)
	require.Equal(t, bytes, r.body)
	require.Equal(t, "413 message.incoming_too_long", w.do("POST", "/gateway/lobby/request/x?"+query[1:], strings.Repeat("x", 3<<20+1)).failure())
	require.Equal(t, "403 auth.forbidden", w.do("GET", "/gateway/lobby/request/forbidden?"+query[1:], "").failure())
	// By id, in the path and in headers.
	id := w.do("GET", "/actors/lobby/raw", "").header.Get("Actorlog-Actor")
	e, _ = ask("GET", "/gateway/"+id+"/request/x?rvt=1", "")
	require.Equal(t, "/x?rvt=1", e.Target)
	e, _ = ask("GET", "/request/y?a=b", "", header{"X-Rivet-Target": "actor", "X-Rivet-Actor": id})
	require.Equal(t, "/y?a=b", e.Target)
	require.Equal(t, "404 actor.not_found", w.do("GET", "/gateway/lobby/request/x?rvt-namespace=default&rvt-method=get&rvt-key=none", "").failure())
	// Secrets do not stay in the history.
	for p := range int32(partitions) {
		for _, rec := range w.cluster.Records(eventlog.Events, p) {
			require.NotContains(t, string(rec.Value), "X-Hello")
		}
	}
}

func TestRawSocket(t *testing.T) {
	t.Parallel()
	w := newLobby(t, config(func(c *gateway.Config) { c.MaxSocketMessageBytes = 200_000 }))
	const query = "&rvt-namespace=default&rvt-method=getOrCreate&rvt-key="
	open := func(path, key string) *socket {
		return w.dial("/gateway/lobby/websocket"+path+query+key, nil, "rivet", "rivet_encoding.bare", paramsProtocol(`{"name":"raw"}`))
	}
	read := func(s *socket) string {
		kind, data := s.read()
		return map[int]string{websocket.TextMessage: "text ", websocket.BinaryMessage: "binary "}[kind] + string(data)
	}
	t.Run("FramesInOrderTextAndBinary", func(t *testing.T) {
		t.Parallel()
		s := open("/sub/path?x=1", "frames")
		s.text("where") // before it is known whether the connection is open
		s.text("hello")
		s.binary("\x00\xff")
		require.Equal(t, "text /websocket/sub/path?x=1", read(s))
		require.Equal(t, "text HELLO", read(s))
		require.Equal(t, "binary \x00\xff", read(s))
		for i := range 200 {
			s.text(fmt.Sprint("n", i))
		}
		for i := range 200 {
			require.Equal(t, fmt.Sprint("text N", i), read(s))
		}
		long := strings.Repeat("x", 200_000)
		s.binary(long)
		require.Equal(t, "binary "+long, read(s))
		require.NoError(t, s.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4002, "so long")))
		reason, _ := s.closedPlainly()
		require.Equal(t, "4002", reason)
		w.logged("frames", "came raw", "socket 4002 so long", "left raw")
	})
	t.Run("ActorCloses", func(t *testing.T) {
		t.Parallel()
		s := open("/?", "closes")
		s.text("bye")
		reason, before := s.closedPlainly()
		require.Equal(t, "4001 bye.now", reason)
		require.Equal(t, []string{"BYE"}, before)
		w.logged("closes", "came raw", "socket 4001 bye.now", "left raw")
	})
	t.Run("Several", func(t *testing.T) {
		t.Parallel()
		a, b := open("/?", "several"), open("/?", "several")
		a.text("x")
		b.text("y")
		require.Equal(t, "text X", read(a))
		require.Equal(t, "text Y", read(b))
		a.text("all")
		require.Equal(t, "text to all", read(a))
		require.Equal(t, "text to all", read(b))
	})
	t.Run("ErrorOfAMessageCloses", func(t *testing.T) {
		t.Parallel()
		s := open("/?", "fails")
		s.text("fail")
		reason, before := s.closed()
		require.Equal(t, "1011 user.no_such_word", reason)
		require.Empty(t, before)
		w.eventually(func() bool { return len(w.lobbyLog("fails")) == 3 })
		require.Contains(t, w.lobbyLog("fails")[1], "socket 1011 user.no_such_word")
	})
	t.Run("TooLong", func(t *testing.T) {
		t.Parallel()
		s := open("/?", "long")
		s.binary(strings.Repeat("x", 200_001))
		reason, _ := s.closed()
		require.Equal(t, "1011 message.incoming_too_long", reason)
	})
	t.Run("NoUTF8", func(t *testing.T) {
		t.Parallel()
		s := open("/?", "utf8")
		s.text("\xff")
		reason, _ := s.closed()
		require.Equal(t, "1011 actor.invalid_request", reason)
	})
	t.Run("Cut", func(t *testing.T) {
		t.Parallel()
		s := open("/?", "cut")
		s.text("x")
		read(s)
		require.NoError(t, s.conn.NetConn().Close())
		w.logged("cut", "came raw", "socket 1006", "left raw")
	})
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		s := w.dial("/gateway/lobby/websocket/?"+query[1:]+"refused", nil, "rivet", "rivet_encoding.bare", paramsProtocol(`{"name":"mallory"}`))
		reason, before := s.closed()
		require.Equal(t, "1011 user.banned", reason)
		require.Empty(t, before)
		for _, target := range []string{"/gateway/lobby/websocket/?rvt-nothing=1", "/websocket/x"} {
			_, before := w.dial(target, nil, "rivet", "rivet_encoding.bare").closed()
			require.Empty(t, before, "no message that is not the actor's")
		}
		require.Equal(t, http.StatusUpgradeRequired, w.do("GET", "/gateway/lobby/websocket/?"+query[1:]+"refused", "").status)
	})
}

func TestNoRawHandlers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) { s.noWorker = true })
	registry := actor.NewRegistry()
	actor.Register(registry, actor.New[struct{}]("bare"))
	w.hostOf(registry)
	require.Equal(t, "404 handler.request_not_defined", w.do("GET", "/gateway/bare/request/x"+getOrCreate+"k", "").failure())
	reason, _ := w.dial("/gateway/bare/websocket/x"+getOrCreate+"k", nil, "rivet").closed()
	require.Equal(t, "1011 handler.websocket_not_defined", reason)
}
