package webclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/webclient"
	"github.com/actorlog/actorlog/examples/counter"
)

// The gateway dies again and again while many call, and one follows: every call takes effect once, and every event arrives once, in order.
func TestRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(webclient.Config{})
	h := counter.Kind.GetOrCreate(c, "org")
	seen := make(chan int64, 1<<16)
	require.NoError(t, counter.Changed.Subscribe(t.Context(), h, func(n int64) { seen <- n }, func(err error) { t.Errorf("events were lost: %v", err) }))

	var callers sync.WaitGroup
	var done atomic.Int64
	var stop atomic.Bool
	for range 8 {
		callers.Go(func() {
			for !stop.Load() {
				_, err := counter.Increment.Call(t.Context(), h, 1)
				require.NoError(t, err)
				done.Add(1)
			}
		})
	}
	for range 3 {
		before := done.Load()
		require.Eventually(t, func() bool { return done.Load() > before+50 }, patience, time.Millisecond)
		w.killGateway()
		w.startGateway()
	}
	stop.Store(true)
	callers.Wait()
	n, err := counter.Get.Call(t.Context(), h, actor.None{})
	require.NoError(t, err)
	require.Equal(t, done.Load(), n)
	for want := range n {
		require.Equal(t, want+1, next(t, seen))
	}
}

// An answer is lost after the action was carried out: the repeat gets it.
func TestInvoke_LostAnswers(t *testing.T) {
	t.Parallel()
	var loses atomic.Bool
	w := newWorld(t, func(w *world) {
		w.wrap = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet || !loses.CompareAndSwap(true, false) {
					h.ServeHTTP(rw, r)
					return
				}
				h.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			})
		}
	})
	c := w.client(webclient.Config{})
	for _, key := range []string{"plain", "a,b"} {
		h := counter.Kind.GetOrCreate(c, key).WithInput(counter.Input{Start: 100})
		loses.Store(true)
		n, err := counter.Increment.Call(t.Context(), h, 1)
		require.NoError(t, err)
		require.EqualValues(t, 101, n)
		loses.Store(true)
		_, err = counter.Increment.Call(t.Context(), h, -1)
		require.ErrorIs(t, err, actor.UserError("bad_step", ""))
		loses.Store(true)
		require.NoError(t, h.Destroy(t.Context()))
		loses.Store(true)
		_, err = counter.Kind.Create(t.Context(), c, nil, key)
		require.NoError(t, err)
		require.False(t, loses.Load())
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	var protocols sync.Map
	w := newWorld(t, func(w *world) {
		w.tls = true
		w.wrap = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				protocols.Store(r.Proto, true)
				h.ServeHTTP(rw, r)
			})
		}
	})
	pool := x509.NewCertPool()
	pool.AddCert(w.server.Certificate())
	c := w.client(webclient.Config{TLS: &tls.Config{RootCAs: pool}})
	h := counter.Kind.GetOrCreate(c, "org")
	seen := make(chan int64, 100)
	require.NoError(t, counter.Changed.Subscribe(t.Context(), h, func(n int64) { seen <- n }, nil))
	for i := range int64(20) {
		if i == 10 {
			w.killGateway()
			w.startGateway()
		}
		n, err := counter.Increment.Call(t.Context(), h, 1)
		require.NoError(t, err)
		require.Equal(t, i+1, n)
		require.Equal(t, i+1, next(t, seen))
	}
	_, old := protocols.Load("HTTP/1.1")
	require.False(t, old, "HTTP/2 is to be used where it is offered")

	// A gateway that is not who it should be is not asked again.
	_, err := counter.Get.Call(t.Context(), counter.Kind.Get(w.client(webclient.Config{}), "org"), actor.None{})
	require.ErrorAs(t, err, new(*tls.CertificateVerificationError))
}

// stub is a gateway that answers what a test says.
func stub(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}

// script answers the nth request with the nth answer, and all later ones with the last. It notes the requests.
type script struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	answers  []http.HandlerFunc
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	n := min(len(s.requests), len(s.answers)-1)
	s.requests = append(s.requests, r)
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	s.answers[n](w, r)
}

func scripted(t *testing.T, answers ...http.HandlerFunc) (*script, string) {
	s := &script{answers: answers}
	return s, stub(t, s.ServeHTTP)
}

// lines is the requests so far.
func (s *script) lines(t *testing.T) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for i, r := range s.requests {
		lines = append(lines, r.Method+" "+r.RequestURI+" "+s.bodies[i])
	}
	return lines
}

func (s *script) keys() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make(map[string]int)
	for _, r := range s.requests {
		keys[r.Header.Get("Idempotency-Key")]++
	}
	return keys
}

func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func refuses(status int, name string) http.HandlerFunc {
	group, code, _ := strings.Cut(name, ".")
	return says(status, fmt.Sprintf(`{"group":%q,"code":%q,"message":"no","metadata":{"a":1}}`, group, code))
}

func aborts(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

var seven = says(200, `{"output":7}`)

func get(c actor.Caller) (int64, error) {
	return counter.Get.Call(context.Background(), counter.Kind.GetOrCreate(c, "a"), actor.None{})
}

// What may pass is asked again, with the same idempotency key; what is an answer is one.
func TestInvoke_Answers(t *testing.T) {
	t.Parallel()
	unavailable := refuses(503, "guard.service_unavailable")
	for _, tt := range []struct {
		name     string
		answers  []http.HandlerFunc
		requests int
		want     string // the error
	}{
		{"OK", []http.HandlerFunc{seven}, 1, ""},
		{"Unavailable", []http.HandlerFunc{unavailable, unavailable, seven}, 3, ""},
		{"Unknown", []http.HandlerFunc{refuses(504, "actorlog.outcome_unknown"), seven}, 2, ""},
		{"Aborted", []http.HandlerFunc{aborts, seven}, 2, ""},
		{"ProxyDown", []http.HandlerFunc{says(502, "<html>"), says(503, ""), says(504, "{}"), seven}, 4, ""},
		{"TooMany", []http.HandlerFunc{says(429, "slow down"), seven}, 2, ""},
		{"TooManyTyped", []http.HandlerFunc{refuses(429, "guard.rate_limited"), seven}, 2, ""},
		{"OpenThenOverloaded", []http.HandlerFunc{aborts, refuses(503, "actor.overloaded"), seven}, 3, ""},
		{"Overloaded", []http.HandlerFunc{unavailable, refuses(503, "actor.overloaded")}, 2, "actor.overloaded: no"},
		{"Refused", []http.HandlerFunc{aborts, refuses(400, "user.bad")}, 2, "user.bad: no"},
		{"Forbidden", []http.HandlerFunc{refuses(403, "auth.forbidden")}, 1, "auth.forbidden: no"},
		{"Internal", []http.HandlerFunc{refuses(500, "rivetkit.internal_error")}, 1, "rivetkit.internal_error: no"},
		{"TimedOut", []http.HandlerFunc{refuses(504, "actor.action_timed_out")}, 1, "actor.action_timed_out: no"},
		{"NoGateway", []http.HandlerFunc{says(404, "<html>")}, 1, "status 404 Not Found"},
		{"NoAnswer", []http.HandlerFunc{says(200, "<html>")}, 1, "the answer of action get: invalid character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, endpoint := scripted(t, tt.answers...)
			n, err := get(newClient(t, endpoint, webclient.Config{}))
			require.Len(t, s.requests, tt.requests)
			require.Len(t, s.keys(), 1)
			require.NotContains(t, s.keys(), "")
			if tt.want != "" {
				require.ErrorContains(t, err, tt.want)
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 7, n)
		})
	}
	// Two calls are two requests.
	s, endpoint := scripted(t, seven)
	c := newClient(t, endpoint, webclient.Config{})
	for range 2 {
		_, err := get(c)
		require.NoError(t, err)
	}
	require.Len(t, s.keys(), 2)

	_, err := counter.Get.Call(t.Context(), counter.Kind.Get(c, "a").Idempotent("k e y"), actor.None{})
	require.ErrorIs(t, err, actor.ErrInvalidRequest)
	require.Len(t, s.lines(t), 2)
}

// A gateway that asks for a pause gets it.
func TestInvoke_RetryAfter(t *testing.T) {
	t.Parallel()
	_, endpoint := scripted(t, says(503, `{"group":"guard","code":"service_unavailable","message":"no"}`, "Retry-After", "1"), seven)
	start := time.Now()
	_, err := get(newClient(t, endpoint, webclient.Config{}))
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(start), time.Second)
}

// When there is no answer in time, the caller is told what that means.
func TestInvoke_NoAnswer(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	_, unavailable := scripted(t, refuses(503, "guard.service_unavailable"))
	_, broken := scripted(t, aborts)
	_, mixed := scripted(t, aborts, refuses(503, "guard.service_unavailable"))
	_, silent := scripted(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, tt := range []struct {
		name, endpoint string
		want           error
	}{
		{"Gone", gone.URL, webclient.ErrUnavailable},
		{"Unavailable", unavailable, webclient.ErrUnavailable},
		{"Broken", broken, webclient.ErrUnknownOutcome},
		{"BrokenThenUnavailable", mixed, webclient.ErrUnknownOutcome},
		{"Silent", silent, webclient.ErrUnknownOutcome},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, tt.endpoint, webclient.Config{RequestTimeout: 300 * time.Millisecond})
			_, err := get(c)
			require.ErrorIs(t, err, tt.want)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			var e *actor.Error
			require.NotErrorAs(t, err, &e, "that would say that there was no effect")

			// What has no effect is never unknown.
			_, err = counter.Kind.Get(c, "a").Read(t.Context())
			require.ErrorIs(t, err, webclient.ErrUnavailable)

			why := fmt.Errorf("had enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(why)
			_, err = counter.Get.Call(ctx, counter.Kind.Get(c, "a"), actor.None{})
			require.ErrorIs(t, err, why)
			require.ErrorIs(t, err, webclient.ErrUnavailable)
		})
	}
}

// What goes out with every request.
func TestRequests(t *testing.T) {
	t.Parallel()
	s, endpoint := scripted(t, seven)
	c := newClient(t, endpoint+"/some%20prefix/", webclient.Config{Token: "secret", Namespace: "prod"})
	h := counter.Kind.Get(c, "a", "\u00fc/").WithParams(map[string]string{"name": "\u00fc \U0001F600\n"}).Idempotent("key-1")
	n, err := counter.Increment.Call(t.Context(), h, 1)
	require.NoError(t, err)
	require.EqualValues(t, 7, n)
	_, err = counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(c, "a").InNamespace("other"), 2)
	require.NoError(t, err)
	require.Equal(t, []string{
		`POST /some%20prefix/gateway/counter/action/increment?rvt-key=a%2C%C3%BC%2F&rvt-method=get&rvt-namespace=prod {"args":[1]}`,
		`POST /some%20prefix/gateway/counter/action/increment?rvt-key=a&rvt-method=getOrCreate&rvt-namespace=other {"args":[2]}`,
	}, s.lines(t))
	first := s.requests[0].Header
	require.Equal(t, "Bearer secret", first.Get("Authorization"))
	require.Equal(t, `{"name":"\u00fc \ud83d\ude00\n"}`, first.Get("X-Rivet-Conn-Params"))
	require.Equal(t, "json", first.Get("X-Rivet-Encoding"))
	require.Equal(t, "key-1", first.Get("Idempotency-Key"))
	require.Empty(t, s.requests[1].Header.Get("X-Rivet-Conn-Params"))

	_, err = c.Read(t.Context(), actor.Target{Kind: "counter", Key: []string{"state"}})
	require.NoError(t, err)
	require.Equal(t, "GET /some%20prefix/actors/counter/%73tate/state?namespace=prod ", s.lines(t)[2])
}

// A request that goes out in two goes out in the same two when it is repeated.
func TestInvoke_ResolvedFirst(t *testing.T) {
	t.Parallel()
	s, endpoint := scripted(t, says(200, `{"actorId":"dfkf5gtvlhc9rscadgob5ek5qo0001"}`), seven)
	s.answers = append(s.answers, s.answers...)
	c := newClient(t, endpoint, webclient.Config{})
	large := counter.Kind.GetOrCreate(c, "a").WithInput(map[string]string{"x": strings.Repeat("x", 4<<10)}).Idempotent("mine")
	for range 2 {
		_, err := counter.Get.Call(t.Context(), large, actor.None{})
		require.NoError(t, err)
	}
	lines := s.lines(t)
	require.Equal(t, lines[:2], lines[2:])
	require.True(t, strings.HasPrefix(lines[0], `PUT /actors/counter/a {"x":"xxx`), lines[0])
	require.Equal(t, `POST /gateway/dfkf5gtvlhc9rscadgob5ek5qo0001/action/get {"args":[]}`, lines[1])
	require.Equal(t, 2, s.keys()["mine"])
	require.Len(t, s.keys(), 2, "the creation has a key of its own, and always the same")
}

func TestEnqueue(t *testing.T) {
	t.Parallel()
	orders := actor.Queue[string, int](counter.Kind, "or/ders")
	s, endpoint := scripted(t,
		says(202, `{"status":"accepted"}`),
		aborts, says(200, `{"status":"timedOut"}`), says(200, `{"status":"completed","response":["$$",2]}`),
		says(200, `{"status":"completed"}`),
		says(200, `{"status":"completed","response":5}`),
		refuses(403, "auth.forbidden"))
	c := newClient(t, endpoint, webclient.Config{RequestTimeout: patience})
	h := counter.Kind.GetOrCreate(c, "a")
	require.NoError(t, orders.Send(t.Context(), h, "x"))

	// However often it asks, it is one message.
	reply, err := c.Enqueue(t.Context(), actor.Target{Kind: "counter", Key: []string{"a"}, IdempotencyKey: "once"}, "q", []byte(`{"a":1}`), true)
	require.NoError(t, err)
	require.JSONEq(t, `["$$",2]`, string(reply))
	require.Equal(t, 3, s.keys()["once"])

	none, err := orders.SendAndWait(t.Context(), h, "y")
	require.NoError(t, err)
	require.Zero(t, none)
	five, err := orders.SendAndWait(t.Context(), counter.Kind.GetForID(c, "dfkf5gtvlhc9rscadgob5ek5qo0001"), "z")
	require.NoError(t, err)
	require.Equal(t, 5, five)
	_, err = orders.SendAndWait(t.Context(), h, "no")
	require.ErrorIs(t, err, actor.ErrForbidden)

	asking := `POST /actors/counter/a/queues/q?create=false&wait=true {"a":1}`
	require.Equal(t, []string{
		`POST /actors/counter/a/queues/or%2Fders "x"`,
		asking, asking, asking,
		`POST /actors/counter/a/queues/or%2Fders?wait=true "y"`,
		`POST /gateway/dfkf5gtvlhc9rscadgob5ek5qo0001/queue/or%2Fders {"body":"z","wait":true}`,
		`POST /actors/counter/a/queues/or%2Fders?wait=true "no"`,
	}, s.lines(t))
}

// events is an answer with a stream. It ends when hold is closed, or at once when hold is nil.
func events(hold <-chan struct{}, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, text)
		_ = http.NewResponseController(w).Flush()
		if hold != nil {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
	}
}

const (
	ready     = "retry: 1000\n\nid: 1:5.end\nevent: actorlog.ready\ndata: {\"position\":\"1:5\",\"recovered\":false}\n\n"
	recovered = "retry: 1000\n\nid: 1:5.end\nevent: actorlog.ready\ndata: {\"position\":\"1:9\",\"recovered\":true}\n\n"
	eventOne  = "id: 1:6\nevent: count\ndata: [1]\n\n"
	eventTwo  = ": heartbeat\n\nid: 1:8.1\nevent: count\ndata: [2]\n\n"
)

type followed struct {
	script *script
	events chan int64
	lost   chan error
	err    error
}

func follow(t *testing.T, cfg webclient.Config, answers ...http.HandlerFunc) *followed {
	t.Helper()
	f := &followed{events: make(chan int64, 100), lost: make(chan error, 100)}
	var endpoint string
	f.script, endpoint = scripted(t, answers...)
	c := newClient(t, endpoint, cfg)
	f.err = counter.Changed.Subscribe(t.Context(), counter.Kind.Get(c, "a"), func(n int64) { f.events <- n }, func(err error) { f.lost <- err })
	return f
}

// lastIDs is what the requests so far said that they had.
func (f *followed) lastIDs() []string {
	f.script.mu.Lock()
	defer f.script.mu.Unlock()
	var ids []string
	for _, r := range f.script.requests {
		ids = append(ids, r.Header.Get("Last-Event-ID"))
	}
	return ids
}

// A stream that breaks is resumed after the last event, however it breaks.
func TestSubscribe_Resumes(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	f := follow(t, webclient.Config{StreamTimeout: 500 * time.Millisecond},
		refuses(503, "guard.service_unavailable"),
		events(nil, "retry: 1000\nevent: actorlog.unavailable\ndata: {}\n\n"),
		events(nil, ready),
		says(502, "<html>"),
		events(nil, recovered+eventOne+"id: 1:7\nevent: count\ndata: [9"), // cut in the middle
		aborts,
		events(hold, recovered+eventTwo), // and then says nothing any more
		events(hold, recovered),
	)
	require.NoError(t, f.err)
	require.EqualValues(t, 1, next(t, f.events))
	require.EqualValues(t, 2, next(t, f.events))
	require.Eventually(t, func() bool { return len(f.lastIDs()) >= 8 }, patience, time.Millisecond)
	require.Equal(t, []string{"", "", "", "1:5.end", "1:5.end", "1:6", "1:6", "1:8.1"}, f.lastIDs()[:8])
	require.Equal(t, "/actors/counter/a/events?event=count", f.script.requests[0].RequestURI)
	require.Empty(t, f.lost)
}

func TestSubscribe_Lost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		second http.HandlerFunc
		want   string
	}{
		{"ErrGone", events(nil, ready+eventTwo), "events no longer kept: those after 1:6 were missed"},
		{"Refused", refuses(403, "auth.forbidden"), "auth.forbidden: no"},
		{"NoGateway", says(404, "<html>"), "status 404"},
		{"NoStream", says(200, "<html>"), `the gateway answers with "text/html`},
		{"NoReady", events(nil, eventTwo), `an event stream begins with "count"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := follow(t, webclient.Config{}, events(nil, ready+eventOne), tt.second)
			require.NoError(t, f.err)
			require.ErrorContains(t, next(t, f.lost), tt.want)
			require.Len(t, f.events, 1)
			require.Empty(t, f.lost)

			if tt.name != "ErrGone" {
				// The first time, it is an error of the call, and nothing was lost.
				f := follow(t, webclient.Config{}, tt.second)
				require.ErrorContains(t, f.err, tt.want)
				require.Empty(t, f.lost)
			}
		})
	}
	f := follow(t, webclient.Config{RequestTimeout: 200 * time.Millisecond}, refuses(503, "guard.service_unavailable"))
	require.ErrorIs(t, f.err, webclient.ErrUnavailable)
	require.ErrorIs(t, f.err, context.DeadlineExceeded)
	require.ErrorContains(t, f.err, "guard.service_unavailable")
}

func TestClose(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	asked := make(chan struct{})
	endpoint := stub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			events(hold, ready)(w, r)
			return
		}
		close(asked)
		select {
		case <-hold:
		case <-time.After(patience):
		}
	})
	c, err := webclient.New(endpoint, webclient.Config{})
	require.NoError(t, err)
	h := counter.Kind.Get(c, "a")
	lost := make(chan error, 1)
	require.NoError(t, counter.Changed.Subscribe(t.Context(), h, func(int64) {}, func(err error) { lost <- err }))
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, counter.Changed.Subscribe(ctx, h, func(int64) {}, func(err error) { t.Errorf("lost: %v", err) }))
	cancel() // whoever ends a subscription is told nothing
	failed := make(chan error, 1)
	go func() {
		_, err := counter.Get.Call(context.Background(), h, actor.None{})
		failed <- err
	}()
	next(t, asked)
	c.Close()
	require.ErrorIs(t, <-lost, webclient.ErrClosed, "Close waits until they have been told")
	err = next(t, failed)
	require.ErrorIs(t, err, webclient.ErrClosed)
	require.ErrorIs(t, err, webclient.ErrUnknownOutcome)
	_, err = h.Read(t.Context())
	require.ErrorIs(t, err, webclient.ErrClosed)
	require.ErrorIs(t, counter.Changed.Subscribe(t.Context(), h, func(int64) {}, nil), webclient.ErrClosed)
	c.Close()
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"", "localhost:6420", "/path", "ftp://host", "http://", "http://host?x=1", "http://host#x", "http://host:port"} {
		_, err := webclient.New(endpoint, webclient.Config{})
		require.Error(t, err, endpoint)
	}
	_, err := webclient.New("http://host", webclient.Config{
		Namespace: "a/b", RequestTimeout: -1, StreamTimeout: -1, TLS: new(tls.Config), HTTPClient: new(http.Client),
	})
	for _, want := range []string{"namespace", "RequestTimeout is negative", "StreamTimeout is negative", "TLS is set"} {
		require.ErrorContains(t, err, want)
	}
	var given []string
	c := newClient(t, "http://nowhere.invalid", webclient.Config{HTTPClient: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		given = append(given, r.URL.String())
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"output":3}`)), Request: r}, nil
	})}})
	n, err := get(c)
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Len(t, given, 1)
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Only the JSON of parameters that are JSON is sent.
func TestParams_NoJSON(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://nowhere.invalid", webclient.Config{})
	for _, params := range []string{"{", "\"\xff\""} {
		_, err := c.Read(t.Context(), actor.Target{Kind: "counter", Params: json.RawMessage(params)})
		require.ErrorIs(t, err, actor.ErrInvalidRequest)
	}
}
