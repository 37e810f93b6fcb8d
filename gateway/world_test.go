package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	partitions = 2
	// patience is how long a test waits for what must happen.
	patience = 20 * time.Second
)

// world is a gateway over a log in memory, with a worker that knows one kind, "counter".
type world struct {
	t       testing.TB
	cluster *memlog.Cluster
	worker  *fakeWorker
	client  *remote.Client
	log     *memlog.Log // the client's
	gateway *gateway.Gateway
	server  *httptest.Server
}

type setup struct {
	gateway  gateway.Config
	remote   remote.Config
	noWorker bool
	cluster  *memlog.Cluster                 // that is the log; a new one if nil
	log      func(eventlog.Log) eventlog.Log // what the client sees of the log, if set
}

func newWorld(t testing.TB, options ...func(*setup)) *world {
	t.Helper()
	s := setup{
		gateway: gateway.Config{Version: "test", RejectDelay: -1, CloseTimeout: time.Second},
		remote:  remote.Config{ID: "gw", RequestTimeout: patience},
	}
	for _, option := range options {
		option(&s)
	}
	w := &world{t: t, cluster: s.cluster}
	if w.cluster == nil {
		w.cluster = memlog.NewCluster(partitions)
	}
	if !s.noWorker {
		w.startWorker()
	}
	w.log = w.cluster.Client()
	var err error
	log := eventlog.Log(w.log)
	if s.log != nil {
		log = s.log(log)
	}
	w.client, err = remote.Open(log, s.remote)
	require.NoError(t, err)
	w.gateway, err = gateway.New(w.client, s.gateway)
	require.NoError(t, err)
	w.server = httptest.NewServer(w.gateway.Handler())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, w.gateway.Shutdown(ctx))
		w.server.Close()
		w.client.Close()
		w.log.Close()
		if w.worker != nil {
			w.worker.stop()
		}
	})
	return w
}

func config(change func(*gateway.Config)) func(*setup) {
	return func(s *setup) { change(&s.gateway) }
}

func logTo(logger *zap.Logger) func(*setup) {
	return config(func(c *gateway.Config) { c.Logger = logger })
}

// eventually waits until ok, which something else brings about.
func (w *world) eventually(ok func() bool) {
	w.t.Helper()
	require.Eventually(w.t, ok, patience, 2*time.Millisecond)
}

// reply is an HTTP answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// failure is the typed error in a reply: "404 actor.not_found".
func (r reply) failure() string {
	var e struct{ Group, Code, Message string }
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || e.Message == "" {
		return fmt.Sprintf("%d without a typed error: %q", r.status, r.body)
	}
	return fmt.Sprintf("%d %s.%s", r.status, e.Group, e.Code)
}

type header = map[string]string

// do sends a request whose path and query are taken as they are.
func (w *world) do(method, target, body string, headers ...header) reply {
	w.t.Helper()
	r, err := w.try(method, target, strings.NewReader(body), headers...)
	require.NoError(w.t, err)
	return r
}

func (w *world) try(method, target string, body io.Reader, headers ...header) (reply, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.server.URL+target, body)
	if err != nil {
		return reply{}, err
	}
	for _, h := range headers {
		for k, v := range h {
			req.Header.Set(k, v)
		}
		if h["Host"] != "" {
			req.Host = h["Host"]
		}
	}
	resp, err := w.server.Client().Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b)}, err
}

// fakeWorker answers actions as a host would, one life at a time, without any of its care.
type fakeWorker struct {
	log    *memlog.Log
	tail   eventlog.Tail
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	actors map[schemas.Hash]*fakeActor
	held   map[string]func() // actions that wait for "release", by name
	seen   []*actorlogv1.Action
	epochs [partitions]int64
	// overloaded is how many Disconnects are refused because the mailbox is full.
	overloaded int
}

type fakeActor struct {
	actor  *actorlogv1.Actor
	alive  bool
	count  int
	recent map[string]int64
}

func (w *world) startWorker() {
	w.t.Helper()
	f := &fakeWorker{
		log: w.cluster.Client(), done: make(chan struct{}),
		actors: make(map[schemas.Hash]*fakeActor), held: make(map[string]func()),
	}
	var err error
	f.tail, err = f.log.Tail(eventlog.Actions)
	require.NoError(w.t, err)
	for p := range int32(partitions) {
		f.epochs[p] = f.append(p, []byte(schemas.ClaimKey), &actorlogv1.Claim{Worker: "fake"}, "")
		f.tail.Add(p, 0)
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	go f.run(ctx)
	w.worker = f
}

func (f *fakeWorker) stop() {
	f.cancel()
	<-f.done
	f.tail.Close()
	f.log.Close()
}

func (f *fakeWorker) append(p int32, key []byte, m proto.Message, to string) int64 {
	value, err := schemas.Encode(m)
	if err != nil {
		panic(err)
	}
	headers := []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeOf(m))}}
	if to != "" {
		headers = append(headers, eventlog.Header{Key: schemas.HeaderTo, Value: []byte(to)})
	}
	ch := make(chan int64, 1)
	f.log.Append(context.Background(), eventlog.Events, eventlog.Record{Partition: p, Key: key, Value: value, Headers: headers},
		func(offset int64, err error) {
			if err != nil {
				offset = -1
			}
			ch <- offset
		})
	return <-ch
}

func (f *fakeWorker) run(ctx context.Context) {
	defer close(f.done)
	for {
		records, err := f.tail.Poll(ctx)
		if err != nil {
			return
		}
		for _, r := range records {
			a, err := schemas.DecodeAs[*actorlogv1.Action](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
			if err != nil {
				panic(err)
			}
			f.mu.Lock()
			f.seen = append(f.seen, a)
			f.act(r, a)
			f.mu.Unlock()
		}
	}
}

// actions returns what was asked so far.
func (f *fakeWorker) actions() []*actorlogv1.Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*actorlogv1.Action(nil), f.seen...)
}

func fakeError(group, code, message, metadata string) *actorlogv1.Error {
	return &actorlogv1.Error{Group: group, Code: code, Message: message, MetadataJson: []byte(metadata), Detail: "secret detail"}
}

func (f *fakeWorker) act(r eventlog.Record, a *actorlogv1.Action) {
	hash, _ := schemas.ParseHash(r.Key)
	actor := f.actors[hash]
	if actor == nil {
		actor = &fakeActor{actor: a.Actor, recent: make(map[string]int64)}
		if a.Actor.Kind == "" {
			actor.actor = &actorlogv1.Actor{}
		}
	}
	o := &actorlogv1.Outcome{Ref: r.Offset, Epoch: f.epochs[r.Partition]}
	answer := func() {
		recorded := proto.Clone(a).(*actorlogv1.Action)
		recorded.Actor = nil
		o.Action = recorded
		o.Actor = proto.Clone(actor.actor).(*actorlogv1.Actor)
		offset := f.append(r.Partition, r.Key, o, a.Caller.GetGateway())
		if a.IdempotencyKey != "" && o.Repeats == nil {
			actor.recent[a.IdempotencyKey] = offset
		}
	}
	fail := func(group, code, message, metadata string) {
		o.Error = fakeError(group, code, message, metadata)
		o.Broadcasts, o.ResultJson = nil, nil
		answer()
	}
	if a.GetDisconnect() != nil && f.overloaded > 0 {
		f.overloaded--
		fail("actor", "overloaded", "Too many actions wait for this actor.", "")
		return
	}
	if offset, ok := actor.recent[a.IdempotencyKey]; ok {
		o.Repeats = &offset
		answer()
		return
	}
	if a.Actor.Kind != "" && a.Actor.Kind != "counter" {
		fail("actor", "kind_not_found", "No actor of this kind is defined.", "")
		return
	}
	if g := a.Actor.Generation; g != 0 && (!actor.alive || g != actor.actor.Generation) {
		fail("actor", "not_found", "The actor does not exist or was destroyed.", "")
		return
	}
	if a.Creation.GetPolicy() == actorlogv1.Creation_POLICY_MUST_BE_ABSENT && actor.alive {
		id := schemas.ActorID{Hash: hash, Generation: actor.actor.Generation}
		fail("actor", "duplicate_key", "Actor key already in use.", fmt.Sprintf(`{"existing_actor_id":%q,"key":%q}`, id, schemas.Key(actor.actor.Key)))
		return
	}
	if !actor.alive && a.Creation == nil {
		fail("actor", "not_found", "The actor does not exist or was destroyed.", "")
		return
	}
	if !actor.alive {
		switch string(a.Creation.InputJson) {
		case `"refuse"`:
			fail("user", "rejected", "go away", `{"a":1}`)
			return
		case "", "null":
			actor.count = 0
		default:
			if err := json.Unmarshal(a.Creation.InputJson, &actor.count); err != nil {
				fail("actor", "invalid_request", "The input is not a number.", "")
				return
			}
		}
		actor.alive = true
		actor.actor = proto.Clone(actor.actor).(*actorlogv1.Actor)
		actor.actor.Generation++
		actor.actor.CreatedUnixMs = 1_700_000_000_123
		f.actors[hash] = actor
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED
	}
	end := func() {
		actor.alive = false
		if o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED {
			o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
		} else {
			o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_DESTROYED
		}
	}
	switch body := a.Body.(type) {
	case *actorlogv1.Action_Resolve, *actorlogv1.Action_Disconnect, *actorlogv1.Action_Subscribe:
	case *actorlogv1.Action_Connect:
		o.Connected = []*actorlogv1.Connection{{Id: a.Handshake.ConnectionId, Gateway: a.Caller.GetGateway(), Raw: body.Connect.Raw}}
	case *actorlogv1.Action_Read:
		o.ResultJson = fmt.Appendf(nil, `{"count":%d}`, actor.count)
	case *actorlogv1.Action_Destroy:
		end()
		o.ResultJson = []byte{}
	case *actorlogv1.Action_Invoke:
		var args []json.RawMessage
		if len(body.Invoke.InputJson) > 0 {
			args = []json.RawMessage{body.Invoke.InputJson}
		} else if len(body.Invoke.ArgsJson) > 0 {
			if err := json.Unmarshal(body.Invoke.ArgsJson, &args); err != nil {
				fail("actor", "invalid_request", "The arguments are not a list.", "")
				return
			}
		}
		f.invoke(actor, a, o, body.Invoke.Name, args, end, fail, answer)
		return
	}
	answer()
}

func (f *fakeWorker) invoke(actor *fakeActor, a *actorlogv1.Action, o *actorlogv1.Outcome, name string, args []json.RawMessage,
	end func(), fail func(group, code, message, metadata string), answer func()) {
	arg := func(i int, v any) bool {
		if i >= len(args) || json.Unmarshal(args[i], v) != nil {
			fail("actor", "invalid_request", fmt.Sprintf("argument %d is not of the type that %s takes", i, name), "")
			return false
		}
		return true
	}
	broadcast := func(name string, args ...any) {
		if args == nil {
			args = []any{}
		}
		b, _ := json.Marshal(args)
		o.Broadcasts = append(o.Broadcasts, &actorlogv1.Broadcast{Name: name, ArgsJson: b})
	}
	o.ResultJson = []byte{}
	switch name {
	case "increment": // by
		var by int
		if !arg(0, &by) {
			return
		}
		actor.count += by
		broadcast("count", actor.count)
		o.ResultJson = fmt.Append(nil, actor.count)
	case "get":
		o.ResultJson = fmt.Append(nil, actor.count)
	case "touch": // returns nothing
	case "echo": // any one argument
		var v json.RawMessage
		if !arg(0, &v) {
			return
		}
		o.ResultJson = v
	case "emit": // {"name":..., "n":...}: n broadcasts in one outcome
		var e struct {
			Name string
			N    int
		}
		if !arg(0, &e) {
			return
		}
		for range e.N {
			actor.count++
			broadcast(e.Name, actor.count)
		}
	case "big": // n: a result of n bytes
		var n int
		if !arg(0, &n) {
			return
		}
		o.ResultJson = []byte(`"` + strings.Repeat("x", n-2) + `"`)
	case "shout": // n: a broadcast of n bytes
		var n int
		if !arg(0, &n) {
			return
		}
		broadcast("shout", strings.Repeat("x", n))
	case "fail":
		fail("user", "not_allowed", "You shall not pass", `{"level":3}`)
		return
	case "boom":
		fail("rivetkit", "internal_error", "An internal error occurred", "")
		return
	case "overload":
		fail("actor", "overloaded", "Too many actions wait for this actor.", "")
		return
	case "destroy":
		broadcast("bye")
		end()
	case "hold": // name: answered at release
		var key string
		if !arg(0, &key) {
			return
		}
		f.held[key] = answer
		return
	case "release": // name
		var key string
		if !arg(0, &key) {
			return
		}
		if held := f.held[key]; held != nil {
			delete(f.held, key)
			held()
		}
	default:
		fail("actor", "action_not_found", "Action `"+name+"` was not found.", "")
		return
	}
	answer()
}

// frames of server-sent events.

type sseEvent struct{ id, name, data string }

type sseStream struct {
	t      testing.TB
	resp   *http.Response
	cancel context.CancelFunc
	events chan sseEvent // closed when the stream ends
	// comments are counted.
	mu       sync.Mutex
	comments []string
}

// stream opens an event stream and requires that it is one.
func (w *world) stream(target, lastID string) *sseStream {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+target, nil)
	require.NoError(w.t, err)
	req.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := w.server.Client().Do(req)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	require.Equal(w.t, "text/event-stream", resp.Header.Get("Content-Type"))
	s := &sseStream{t: w.t, resp: resp, cancel: cancel, events: make(chan sseEvent, 1<<16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read()
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

func (s *sseStream) read() {
	defer close(s.events)
	defer s.resp.Body.Close()
	var pending []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := s.resp.Body.Read(buf)
		pending = append(pending, buf[:n]...)
		for {
			block, rest, ok := bytes.Cut(pending, []byte("\n\n"))
			if !ok {
				break
			}
			pending = rest
			var e sseEvent
			for line := range strings.SplitSeq(string(block), "\n") {
				field, value, _ := strings.Cut(line, ": ")
				switch field {
				case "id":
					e.id = value
				case "event":
					e.name = value
				case "data":
					e.data += value
				case "":
					s.mu.Lock()
					s.comments = append(s.comments, value)
					s.mu.Unlock()
				}
			}
			if e.name != "" {
				s.events <- e
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *sseStream) next() sseEvent {
	s.t.Helper()
	select {
	case e, ok := <-s.events:
		require.True(s.t, ok, "the stream has ended")
		return e
	case <-time.After(patience):
		require.FailNow(s.t, "no event")
		return sseEvent{}
	}
}

// end requires that the stream ends, and returns what it still held.
func (s *sseStream) end() []sseEvent {
	s.t.Helper()
	var rest []sseEvent
	timeout := time.After(patience)
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				return rest
			}
			rest = append(rest, e)
		case <-timeout:
			require.FailNow(s.t, "the stream does not end")
		}
	}
}

func (s *sseStream) commented(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.comments {
		if strings.Contains(c, text) {
			return true
		}
	}
	return false
}

// release answers an action that holds.
func (f *fakeWorker) release(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[name]()
	delete(f.held, name)
}

// slowReader gives one part per read, so that the body is sent in chunks.
type slowReader struct{ parts []string }

func (r *slowReader) Read(p []byte) (int, error) {
	if len(r.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.parts[0])
	if r.parts[0] = r.parts[0][n:]; r.parts[0] == "" {
		r.parts = r.parts[1:]
	}
	return n, nil
}

// ran says whether an action was asked for.
func (f *fakeWorker) ran(name string) bool {
	return slices.ContainsFunc(f.actions(), func(a *actorlogv1.Action) bool { return a.GetInvoke().GetName() == name })
}

// holds says whether an action waits to be released.
func (f *fakeWorker) holds(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held[name] != nil
}

// claim is a renewal.
func claim(epoch, at int64) *actorlogv1.Claim {
	return &actorlogv1.Claim{Worker: "fake", RenewsEpoch: &epoch, TimeUnixMs: at}
}
