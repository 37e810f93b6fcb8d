package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actorlog/actorlog/gateway"
)

// fuzzed is a gateway with a lobby that is attacked. It is shared by the inputs of a target, and replaced after renewal of them, for
// a log in memory only grows.
type fuzzed struct {
	testing.TB // of the input that runs
	*world
	errors *observer.ObservedLogs
	close  []func()
	inputs int
}

const renewal = 5_000

// fuzzToken lets an input in where operators are.
const fuzzToken = "0123456789abcdef"

// Cleanup and Helper keep the world from asking the TB, which changes.
func (f *fuzzed) Cleanup(fn func()) { f.close = append(f.close, fn) }
func (*fuzzed) Helper()             {}

// next makes ready for an input.
func (f *fuzzed) next(t testing.TB) {
	f.TB = t
	if f.inputs++; f.world != nil && f.inputs%renewal != 0 {
		return
	}
	f.end()
	core, errs := observer.New(zap.ErrorLevel)
	f.errors = errs
	f.world = newLobby(f, logTo(zap.New(core)), config(func(c *gateway.Config) {
		c.BodyTimeout, c.CloseTimeout, c.MaxRejections = time.Second, 10*time.Millisecond, -1
		c.AdminTokens = func() gateway.AdminTokens { return gateway.AdminTokens{fuzzToken} }
	}))
	require.Equal(t, 200, f.serve(httptest.NewRequest(http.MethodGet, "/metadata", nil), nil, patience).status)
}

func (f *fuzzed) end() {
	for _, fn := range slices.Backward(f.close) {
		fn()
	}
	f.close, f.world = nil, nil
}

// edge is the server's side of one request, without a network: event streams end when they have begun, and sockets when
// the client has sent its frames.
type edge struct {
	header http.Header
	status int
	body   bytes.Buffer
	frames []byte
	cancel context.CancelFunc
	client sync.WaitGroup // goroutines of the client
}

func (e *edge) Header() http.Header { return e.header }
func (e *edge) Flush()              { e.WriteHeader(http.StatusOK); e.cancel() }
func (e *edge) WriteHeader(status int) {
	if e.status == 0 {
		e.status = status
	}
}
func (e *edge) Write(p []byte) (int, error) {
	e.WriteHeader(http.StatusOK)
	return e.body.Write(p)
}

func (e *edge) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	e.status = http.StatusSwitchingProtocols
	server, client := net.Pipe()
	e.client.Go(func() { _, _ = io.Copy(io.Discard, client) })
	e.client.Go(func() {
		_, _ = client.Write(e.frames)
		_ = client.Close()
	})
	return server, bufio.NewReadWriter(bufio.NewReader(server), bufio.NewWriter(server)), nil
}

// serve sends a request through the handler, and gives up after so long. frames are what the client sends on a socket.
func (f *fuzzed) serve(r *http.Request, frames []byte, wait time.Duration) *edge {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	e := &edge{header: make(http.Header), frames: frames, cancel: cancel}
	f.gateway.Handler().ServeHTTP(e, r.WithContext(ctx))
	e.client.Wait()
	return e
}

// attack serves a request, and requires what is promised for all of them.
func (f *fuzzed) attack(r *http.Request, size int, frames []byte) *edge {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e := f.serve(r, frames, time.Second)
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	require.Less(f, allocated, uint64(32<<20+64*size), "bytes allocated")
	require.Empty(f, f.errors.All(), "errors that an operator is told of, which include panics")
	require.NotZero(f, e.status)
	// What an outcome says is the actor's business. All else that is not the client's fault has a documented code.
	if e.status >= 500 && e.header.Get("Actorlog-Position") == "" {
		var body struct{ Group, Code string }
		require.NoError(f, json.Unmarshal(e.body.Bytes(), &body), "%q", e.body.String())
		require.Contains(f, []string{"actorlog.outcome_unknown", "guard.service_unavailable"}, body.Group+"."+body.Code)
	}
	for name, values := range e.header {
		for _, v := range values {
			require.NotContains(f, v, "\n", name)
		}
	}
	good := f.serve(httptest.NewRequest(http.MethodPost, "/actors/lobby/good/actions/players", nil), nil, patience)
	require.Equal(f, 200, good.status, "of a good request after it: %s", good.body.String())
	return e
}

// Whatever a request says, the gateway answers it, without an error of its own and without much memory, and serves the next one.
func FuzzHandler(f *testing.F) {
	target := new(fuzzed)
	f.Cleanup(target.end)
	const rivet = "/gateway/lobby/"
	request := func(line string, rest ...string) string {
		return line + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(rest, "\r\n")
	}
	post := func(target, body string, headers ...string) string {
		r := request("POST "+target, headers...)
		if len(headers) > 0 {
			r += "\r\n"
		}
		return r + "Transfer-Encoding: chunked\r\n\r\n" + chunk(body) + chunk("")
	}
	operator := func(line string) string { return request(line, "Authorization: Bearer "+fuzzToken, "", "") }
	upgrade := func(target string, headers ...string) string {
		return request("GET "+target, slices.Concat(headers, []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""})...)
	}
	for _, seed := range []struct{ request, frames string }{
		{request: request("GET /metadata", "", "")},
		{request: request("OPTIONS /actors/lobby/x", "Origin: https://a.example", "Access-Control-Request-Headers: x", "", "")},
		{request: request("GET /actors?name=lobby&key=a%2Fb&namespace=default", "", "")},
		{request: request("GET /actors?actor_ids=a,b,,", "Origin: http://localhost", "", "")},
		{request: request("GET /actors/lobby/x/events?event=shouted&event=a&params=%7B%7D", "Last-Event-ID: 0:3.1", "Accept: text/event-stream", "", "")},
		{request: request("GET /actors/lobby/x/events?lastEventId=1:9.end", "", "")},
		{request: request("GET /actors/lobby/x/state", "Actorlog-Params: {\"name\":\"a\"}", "", "")},
		{request: request("DELETE /actors/lobby/x?namespace=n", "Idempotency-Key: k", "", "")},
		{request: post("/actors/lobby/org%2f1//actions/shout?create=true", `"a"`, "Idempotency-Key: k")},
		{request: post("/actors/lobby/x/queues/orders?wait=true&timeout=20", `{"game":"go"}`)},
		{request: strings.Replace(post("/actors?namespace=default", `{"name":"lobby","key":"a/b","input":"oA==","runner_name_selector":"default"}`), "POST", "PUT", 1)},
		{request: post(rivet+"action/whisper"+getOrCreate+"x", `{"args":["a",["$BigInt","1"]]}`, "X-Rivet-Encoding: json", `X-Rivet-Conn-Params: {"name":"b"}`)},
		{request: post(rivet+"action/shout"+getOrCreate+"x&rvt-input=oA", "\xa1\x64args\x81\x61a", "X-Rivet-Encoding: cbor", "User-Agent: RivetKit/2.1.0")},
		{request: post(rivet+"queue/parked"+getOrCreate+"x", "\x04\x00\x01\xa0\x00\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00", "X-Rivet-Encoding: bare")},
		{request: post(rivet+"request/a%20b/..?x=1&rvt-namespace=default&rvt-method=getOrCreate&rvt-key=x", "body", "Connection: close, x-a", "X-A: b", "Content-Encoding: gzip")},
		{request: request("GET /request/x", "X-Rivet-Target: actor", "X-Rivet-Actor: abc", "X-Rivet-Token: t", "", "")},
		{request: request("GET /gateway/abc@t%6fken/inspector/state", "", "")},
		{request: request("GET /debug/pprof/heap", "Authorization: Bearer x", "X-Forwarded-For: 1.2.3.4, x", "", "")},
		{request: operator("GET /admin/sessions?limit=5")},
		{request: operator("GET /admin/history/lobby/good?limit=3&since=0&before=0:9&grep=a%28b%29&event=shouted")},
		{request: operator("GET /admin/state/lobby/good?at=0:2")},
		{request: operator("GET /admin/diff/lobby/good?from=1&to=2026-01-02T03:04:05Z")},
		{request: operator("GET /admin/why/0:1")},
		{request: operator("GET /admin/why?request=x")},
		{request: operator("GET /admin/parked")},
		{request: operator("POST /admin/parked/0:1/retry")},
		{request: operator("DELETE /actors/lobby/x")},
		{request: request("GET /openapi.yaml", "", "")},
		{upgrade(rivet+"connect"+getOrCreate+"x", "Sec-WebSocket-Protocol: rivet, rivet_encoding.json, rivet_conn_params.%7B%22name%22%3A%22a%22%7D"),
			frame(1, `{"body":{"tag":"SubscriptionRequest","val":{"eventName":"shouted","subscribe":true}}}`) +
				frame(1, `{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","1"],"name":"shout","args":["x"]}}}`) + frame(8, "\x03\xe8bye")},
		{upgrade(rivet+"connect"+getOrCreate+"x", "Sec-WebSocket-Protocol: rivet, rivet_encoding.bare"), frame(2, "\x04\x00\x00\x01\x05shout\x03\x81\x61a")},
		{upgrade(rivet+"websocket/a?b"+strings.Replace(getOrCreate, "?", "&", 1)+"x", "Sec-WebSocket-Protocol: rivet"), frame(1, "hello") + frame(2, "\xff") + frame(9, "ping") + frame(8, "")},
		{upgrade("/connect", "Sec-WebSocket-Protocol: rivet, rivet_target.actor, rivet_actor.abc, rivet_token.t"), ""},
		{upgrade("/actors/lobby/x/events?event=shouted&after=0:3.1&params=%7B%7D"), frame(8, "")},
		{upgrade("/actors/lobby/x/events"), frame(1, `{"subscribe":["shouted"],"after":"0:0.end","params":{"name":"a"}}`) + frame(9, "") + frame(8, "")},
	} {
		f.Add([]byte(seed.request), []byte(seed.frames))
	}
	f.Fuzz(func(t *testing.T, request, frames []byte) {
		target.next(t)
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
		if err != nil {
			return // the server's own to answer
		}
		r.RemoteAddr = "192.0.2.1:1234"
		if strings.HasPrefix(r.URL.Path, "/debug") {
			r.Header.Del("Authorization") // what is behind it is Go's own
		}
		target.attack(r, len(request)+len(frames), frames)
	})
}

// The same for the messages of a socket of every sort, each of them a whole one.
func FuzzSocket(f *testing.F) {
	target := new(fuzzed)
	f.Cleanup(target.end)
	f.Add(uint8(0), true, []byte(`{"body":{"tag":"ActionRequest","val":{"id":1,"name":"whisper","args":["a","b"],"idempotencyKey":"k"}}}`), []byte(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"alert","subscribe":true}}}`))
	f.Add(uint8(1), false, []byte("\xa1\x64body\xa2\x63tag\x6dActionRequest\x63val\xa3\x62id\x01\x64name\x65shout\x64args\x81\x61a"), []byte("\xa0"))
	f.Add(uint8(2), false, []byte("\x04\x00\x00\x01\x05shout\x03\x81\x61a"), []byte("\x04\x00\x01\x05alert\x01"))
	f.Add(uint8(3), true, []byte("close me"), []byte("\xff"))
	f.Add(uint8(4), true, []byte(`{"subscribe":["shouted","alert"],"after":"0:3.1","params":{"name":"a"}}`), []byte("again"))
	f.Add(uint8(4), true, []byte(`{"subscribe":[]} {`), []byte(""))
	f.Fuzz(func(t *testing.T, sort uint8, text bool, first, second []byte) {
		target.next(t)
		encoding := []string{"json", "cbor", "bare", "json", "json"}[sort%5]
		path := "/gateway/lobby/connect" + getOrCreate + "x"
		switch sort % 5 {
		case 3:
			path = "/gateway/lobby/websocket/x" + getOrCreate + "x"
		case 4:
			path = "/actors/lobby/x/events"
		}
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-Websocket-Protocol": {"rivet, rivet_encoding." + encoding},
		}
		opcode := byte(2)
		if text {
			opcode = 1
		}
		frames := frame(opcode, string(first)) + frame(opcode, string(second)) + frame(8, "")
		e := target.attack(r, len(frames), []byte(frames))
		require.Equal(t, http.StatusSwitchingProtocols, e.status)
	})
}

// frame is a whole frame of a client, masked with zeros.
func frame(opcode byte, payload string) string {
	n := len(payload)
	switch {
	case n < 126:
		return string([]byte{0x80 | opcode, 0x80 | byte(n), 0, 0, 0, 0}) + payload
	case n <= 0xffff:
		return string([]byte{0x80 | opcode, 0x80 | 126, byte(n >> 8), byte(n), 0, 0, 0, 0}) + payload
	}
	return string([]byte{0x80 | opcode, 0x80 | 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 0}) + payload
}

// chunk is a part of a body in chunks; an empty one is the last.
func chunk(data string) string {
	var b bytes.Buffer
	const digits = "0123456789abcdef"
	n := len(data)
	b.Write([]byte{digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15], '\r', '\n'})
	b.WriteString(data + "\r\n")
	return b.String()
}
