package obs_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/examples/chat"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/examples/metronome"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/internal/obs"
)

const patience = 20 * time.Second

// system is a worker and a gateway over a log in memory, each with its metrics.
type system struct {
	worker, gateway *obs.Metrics
	url             string
	spans           *tracetest.InMemoryExporter
	logs            *observer.ObservedLogs
}

func start(t *testing.T, register ...func(*actor.Registry)) *system {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	log := zap.New(core)
	s := &system{worker: obs.New("worker", "v1"), gateway: obs.New("gateway", "v1"), spans: tracetest.NewInMemoryExporter(), logs: logs}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	registry := actor.NewRegistry()
	for _, f := range append(register, chat.Register, counter.Register, metronome.Register) {
		f(registry)
	}
	cluster := memlog.NewCluster(2)
	workerLog, gatewayLog := cluster.Client(), cluster.Client()
	worker, err := host.Open(workerLog, registry, host.Config{
		ID: "w", SleepAfter: 50 * time.Millisecond, CheckpointEvery: 50 * time.Millisecond, Events: s.worker.Worker(log), Tracing: provider,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- worker.Run(ctx) }()
	go func() { s.worker.FollowWorker(ctx, worker, workerLog); done <- nil }()
	client, err := remote.Open(gatewayLog, remote.Config{Events: s.gateway.Client()})
	require.NoError(t, err)
	gw, err := gateway.New(client, gateway.Config{Listener: s.gateway.Gateway(), Tracing: provider, Logger: log})
	require.NoError(t, err)
	s.gateway.FollowClient(client)
	s.gateway.FollowGateway(gw)
	server := httptest.NewServer(gw.Handler())
	s.url = server.URL
	t.Cleanup(func() {
		stop, stopped := context.WithTimeout(context.Background(), patience)
		defer stopped()
		require.NoError(t, gw.Shutdown(stop))
		server.Close()
		client.Close()
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		require.NoError(t, worker.Close())
		workerLog.Close()
		gatewayLog.Close()
	})
	return s
}

func (s *system) post(t *testing.T, path, body string, header ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if len(header) == 2 {
		req.Header.Set(header[0], header[1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}

// subscribe opens an event stream and returns its lines.
func (s *system) subscribe(t *testing.T, path string) <-chan string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	lines := make(chan string, 1000)
	go func() {
		defer resp.Body.Close()
		defer close(lines)
		for scanner := bufio.NewScanner(resp.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}

// await waits for a line that begins so and returns the rest of it.
func await(t *testing.T, lines <-chan string, prefix string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			require.True(t, ok, "the stream ended before %q", prefix)
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
		case <-timeout:
			t.Fatalf("no line begins with %q", prefix)
		}
	}
}

// value adds up what all series of a metric have that have these labels; of a histogram, how many were observed.
func value(t *testing.T, m *obs.Metrics, name string, labels ...string) float64 {
	t.Helper()
	families, err := m.Registerer().(prometheus.Gatherer).Gather()
	require.NoError(t, err)
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, s := range f.Metric {
			if !has(s.Label, labels) {
				continue
			}
			found = true
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				sum += s.Counter.GetValue()
			case dto.MetricType_GAUGE:
				sum += s.Gauge.GetValue()
			case dto.MetricType_HISTOGRAM:
				sum += float64(s.Histogram.GetSampleCount())
			default:
				t.Fatalf("%s is a %s", name, f.GetType())
			}
		}
	}
	if !found {
		return -1
	}
	return sum
}

func has(all []*dto.LabelPair, want []string) bool {
	for i := 0; i < len(want); i += 2 {
		ok := false
		for _, l := range all {
			ok = ok || l.GetName() == want[i] && l.GetValue() == want[i+1]
		}
		if !ok {
			return false
		}
	}
	return true
}

// becomes waits until a metric has a value.
func becomes(t *testing.T, want float64, m *obs.Metrics, name string, labels ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return value(t, m, name, labels...) == want }, patience, 10*time.Millisecond,
		"%s%v is not %v", name, labels, want)
}

func TestMetricsOfEveryStage(t *testing.T) {
	t.Parallel()
	s := start(t)
	w, g := s.worker, s.gateway
	lines := s.subscribe(t, "/actors/counter/a/events")
	for range 3 {
		require.Equal(t, 200, s.post(t, "/actors/counter/a/actions/increment", "2", "Idempotency-Key", "same"))
	}
	require.Equal(t, 400, s.post(t, "/actors/counter/a/actions/increment", "-2"))
	require.Equal(t, 404, s.post(t, "/actors/counter/a/actions/made-up-by-a-client", "1"))
	require.Equal(t, 404, s.post(t, "/actors/made-up-by-a-client/a/actions/increment", "1"))
	require.Equal(t, 204, s.post(t, "/actors/metronome/m/actions/start", `{"everyMs":10,"beats":3}`))
	had := await(t, lines, "id: ")
	await(t, lines, "data: [2]")
	await(t, s.subscribe(t, "/actors/counter/a/events?after="+had), "data: [2]")

	// What workers did.
	becomes(t, 1, w, "actorlog_worker_actions_total", "kind", "counter", "action", "increment", "result", "user_error")
	becomes(t, 3, w, "actorlog_worker_actions_total", "kind", "counter", "action", "increment", "result", "ok")
	becomes(t, 4, w, "actorlog_worker_action_seconds", "kind", "counter", "action", "increment")
	becomes(t, 3, w, "actorlog_worker_actions_total", "kind", "metronome", "action", "beat", "result", "ok")
	becomes(t, 3, w, "actorlog_worker_schedule_lateness_seconds")
	require.Positive(t, value(t, w, "actorlog_worker_action_run_seconds", "kind", "counter"))
	require.InDelta(t, -1, value(t, w, "actorlog_worker_actions_total", "action", "made-up-by-a-client"), 0, "clients cannot make up series")
	require.InDelta(t, -1, value(t, w, "actorlog_worker_actions_total", "kind", "made-up-by-a-client"), 0)
	require.InDelta(t, 2, value(t, w, "actorlog_worker_claims_total"), 0)
	require.InDelta(t, 2, value(t, w, "actorlog_worker_recovery_seconds"), 0)
	require.InDelta(t, 2, value(t, w, "actorlog_worker_shards"), 0)
	require.Eventually(t, func() bool { return value(t, w, "actorlog_worker_checkpoints_total", "result", "ok") > 0 }, patience, 10*time.Millisecond)
	becomes(t, 0, w, "actorlog_worker_actors_awake")
	becomes(t, 2, w, "actorlog_worker_actors_hibernated")
	becomes(t, 0, w, "actorlog_worker_lag_actions")
	becomes(t, 0, w, "actorlog_worker_parked_actions")
	require.Less(t, value(t, w, "actorlog_worker_checkpoint_age_seconds"), patience.Seconds())

	// What the gateway did.
	becomes(t, 1, g, "actorlog_gateway_streams_total", "resume", "fresh")
	require.InDelta(t, 1, value(t, g, "actorlog_gateway_streams_total", "resume", "recovered"), 0)
	require.InDelta(t, 0, value(t, g, "actorlog_gateway_streams_total", "resume", "lost"), 0)
	require.InDelta(t, 2, value(t, g, "actorlog_gateway_sessions", "type", "stream"), 0)
	require.InDelta(t, 2, value(t, g, "actorlog_client_answer_seconds", "result", "replayed"), 0)
	require.Positive(t, value(t, g, "actorlog_client_append_seconds", "result", "ok"))
	require.InDelta(t, 3, value(t, g, "actorlog_gateway_requests_total", "route", "/actors/:kind/*key/actions/:name", "status", "200"), 0)
	require.Positive(t, value(t, g, "actorlog_gateway_messages_total", "face", "stream"))
}

// One trace leads from the request of a client through both records to the stream of another, and the worker's log line of it has its id.
func TestOneTraceFromRequestToSubscriber(t *testing.T) {
	t.Parallel()
	kind := actor.New[struct{}]("failing")
	fail := actor.Action[actor.None, actor.None](kind, "fail")
	s := start(t, func(r *actor.Registry) {
		actor.On(r, fail, func(*struct{}, *actor.Ctx, actor.None) (n actor.None, err error) { panic("on purpose") })
	})
	lines := s.subscribe(t, "/actors/counter/a/events")
	await(t, lines, "event: actorlog.ready")
	const traceID, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	require.Equal(t, 200, s.post(t, "/actors/counter/a/actions/increment", "2", "Traceparent", "00-"+traceID+"-"+parent+"-01"))
	await(t, lines, "data: [2]")

	var request, action, pass *tracetest.SpanStub
	require.Eventually(t, func() bool {
		request, action, pass = nil, nil, nil
		for _, span := range s.spans.GetSpans() {
			if span.SpanContext.TraceID().String() != traceID {
				continue
			}
			switch span.Name {
			case "POST /actors/:kind/*key/actions/:name":
				request = &span
			case "counter.increment":
				action = &span
			case "pass on":
				pass = &span
			}
		}
		return request != nil && action != nil && pass != nil
	}, patience, 10*time.Millisecond)
	require.Equal(t, parent, request.Parent.SpanID().String())
	require.Equal(t, trace.SpanKindServer, request.SpanKind)
	require.Equal(t, request.SpanContext.SpanID(), action.Parent.SpanID(), "through the record of the action")
	require.Equal(t, action.SpanContext.SpanID(), pass.Parent.SpanID(), "through the record of the outcome")
	require.False(t, action.EndTime.After(request.EndTime), "the answer waits for the commit")

	require.Equal(t, 500, s.post(t, "/actors/failing/a/actions/fail", "", "Traceparent", "00-"+traceID+"-"+parent+"-01"))
	failed := s.logs.FilterMessage("action failed").All()
	require.Len(t, failed, 1)
	require.Equal(t, traceID, failed[0].ContextMap()["trace_id"])
	require.Eventually(t, func() bool {
		return s.logs.FilterMessage("request done").FilterField(zap.String("trace_id", traceID)).Len() > 0 ||
			len(s.logs.FilterMessage("request done").Filter(func(e observer.LoggedEntry) bool { return e.ContextMap()["trace_id"] == traceID }).All()) > 0
	}, patience, 10*time.Millisecond)
}

// A gateway that keeps no traces still hands on what its clients say.
func TestStrangersDoNotDecideWhatIsKept(t *testing.T) {
	t.Parallel()
	provider, closeAll, err := obs.Tracing{Endpoint: "http://127.0.0.1:1", Ratio: 0, Edge: true}.Open(t.Context())
	require.NoError(t, err)
	defer func() { _ = closeAll(t.Context()) }()
	sampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled})
	from := func(sc trace.SpanContext) bool {
		_, span := provider.Tracer("").Start(trace.ContextWithSpanContext(t.Context(), sc), "x")
		defer span.End()
		return span.SpanContext().IsSampled()
	}
	require.False(t, from(sampled.WithRemote(true)), "a client says that its trace is kept")
	require.True(t, from(sampled.WithRemote(false)), "what this process keeps, it keeps to the end")
	inner, closeInner, err := obs.Tracing{Endpoint: "http://127.0.0.1:1", Ratio: 0}.Open(t.Context())
	require.NoError(t, err)
	defer func() { _ = closeInner(t.Context()) }()
	_, span := inner.Tracer("").Start(trace.ContextWithRemoteSpanContext(t.Context(), sampled), "x")
	require.True(t, span.SpanContext().IsSampled(), "a worker keeps what its gateway keeps")
	none, _, err := obs.Tracing{}.Open(t.Context())
	require.NoError(t, err)
	require.Nil(t, none)
}
