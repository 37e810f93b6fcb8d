package e2e

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/e2e/process"
)

// canary is every secret of these tests: nothing may print it.
const canary = "canary-that-nobody-may-print"

// spans is a collector of traces.
type spans struct {
	mu  sync.Mutex
	all []*otlp.Span
}

// ServeHTTP implements http.Handler.
func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range req.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			s.all = append(s.all, scope.Spans...)
		}
	}
}

// of is the spans of a trace by name.
func (s *spans) of(trace string) map[string]*otlp.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := make(map[string]*otlp.Span)
	for _, span := range s.all {
		if hex.EncodeToString(span.TraceId) == trace {
			named[span.Name] = span
		}
	}
	return named
}

// cli runs the program actorlog to its end.
func cli(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(process.Path(t, "actorlog"), args...)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	require.NotContains(t, string(b), canary)
	return string(b), cmd.ProcessState.ExitCode()
}

// An operator finds out what is missing, brings it up, looks at actors and changes them, and sees one request as one trace.
func TestOperate(t *testing.T) {
	t.Parallel()
	brokers, _ := process.EmbeddedBroker(t)
	ask := func(args ...string) (string, int) { return cli(t, slices.Concat(args, brokers)...) }
	must := func(args ...string) string {
		out, code := ask(args...)
		require.Zero(t, code, "%v: %s", args, out)
		return out
	}
	var out string
	var code int
	require.Eventually(t, func() bool { // the broker starts
		out, code = ask("doctor")
		return strings.Contains(out, "UNKNOWN_TOPIC")
	}, time.Minute, 100*time.Millisecond)
	require.Equal(t, 1, code)
	require.Contains(t, out, "do: actorlog topics make")
	require.Contains(t, must("topics", "make"), "8 partitions")
	out, code = ask("doctor")
	require.Equal(t, 1, code)
	require.Contains(t, out, "8 of 8 shards were never claimed")
	require.Contains(t, out, "do: start a worker")

	var traces spans
	server := httptest.NewServer(&traces)
	defer server.Close()
	tracing := []string{"--trace-endpoint", server.URL, "--trace-ratio", "1", "--log-level", "debug", "--admin-token", canary, "--log-format", "json"}
	ops, listen := process.Address(t), process.Address(t)
	worker := brokers.Worker(t, slices.Concat(tracing, []string{"--ops-listen", ops, "--sleep-after", "1h"})...)
	gateway := process.Start(t, "gateway", slices.Concat(brokers, tracing, []string{"--listen", listen})...)
	process.Ready(t, listen, gateway)
	ctx := t.Context()
	require.Eventually(t, func() bool {
		status, _, _ := process.Request(ctx, http.MethodGet, "http://"+ops+"/readyz", "", "")
		_, code := ask("doctor")
		return status == http.StatusOK && code == 0
	}, time.Minute, 200*time.Millisecond)

	const trace = "0af7651916cd43dd8448eb211c80319c"
	post := func(action, body, parent string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+listen+"/actors/counter/org/42/actions/"+action, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Traceparent", parent)
		resp, err := process.Client.Do(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
	post("increment", "3", "00-"+trace+"-b7ad6b7169203331-01")

	// What it did is run again by the worker, for whoever has the token, and by no gateway.
	admin := func(address, path, token string) (int, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, nil)
		require.NoError(t, err)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := process.Client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	status, body := admin(ops, "/admin/verify/counter/org/42", canary)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"clean":true,"actors":1,"actorsDiffering":0,"outcomes":1,"same":1`)
	status, _ = admin(ops, "/admin/verify/counter/org/42", "")
	require.Equal(t, http.StatusUnauthorized, status)
	status, body = admin(listen, "/admin/verify/counter/org/42", canary)
	require.Equal(t, http.StatusNotImplemented, status)
	require.Contains(t, body, "--ops-listen")

	// Actors.
	require.Contains(t, must("actors", "list", "--kind", "counter"), "org/42")
	require.Contains(t, must("actors", "show", "counter", "org", "42"), `"count": 3`)
	awake := func(want string) {
		require.Eventually(t, func() bool {
			_, metrics, _ := process.Request(ctx, http.MethodGet, "http://"+ops+"/metrics", "", "")
			sum := 0
			for line := range strings.Lines(metrics) {
				if strings.HasPrefix(line, "actorlog_worker_actors_awake{") && !strings.HasSuffix(line, " 0\n") {
					sum++
				}
			}
			return (sum > 0) == (want == "awake")
		}, time.Minute, 100*time.Millisecond, want)
	}
	awake("awake")
	must("actors", "sleep", "counter", "org", "42")
	awake("asleep")
	must("actors", "wake", "counter", "org", "42")
	awake("awake")
	out, code = ask("actors", "destroy", "counter", "org", "42")
	require.Equal(t, 1, code)
	require.Contains(t, out, "Say --yes")
	must("actors", "destroy", "--yes", "counter", "org", "42")
	require.NotContains(t, must("actors", "list"), "org/42")
	require.Contains(t, must("actors", "list", "--ended"), "org/42")
	require.Contains(t, must("topics"), ".events")
	require.Contains(t, must("topics", "acls", "--role", "gateway", "--tool", "rpk"), "rpk security acl create --allow-principal User:actorlog-gateway")

	// The trace, and that tracing changed nothing that the owner has hashed.
	require.Zero(t, gateway.Stop(t))
	require.Zero(t, worker.Stop(t))
	prefix := brokers[slices.Index(brokers, "--prefix")+1]
	named := traces.of(trace)
	request, action := named["POST /actors/:kind/*key/actions/:name"], named["counter.increment"]
	appended, committed := named[prefix+".actions publish"], named[prefix+".events publish"]
	require.NotNil(t, request)
	require.NotNil(t, action)
	require.NotNil(t, appended)
	require.NotNil(t, committed)
	require.Equal(t, "b7ad6b7169203331", hex.EncodeToString(request.ParentSpanId))
	require.Equal(t, request.SpanId, appended.ParentSpanId)
	require.Equal(t, request.SpanId, action.ParentSpanId)
	require.Equal(t, action.SpanId, committed.ParentSpanId)
	must("audit", "verify")
	for name, p := range map[string]*process.Process{"gateway": gateway, "worker": worker} {
		printed := p.Output()
		require.NotContains(t, printed, canary, name)
		require.Contains(t, printed, `"level":"debug"`, name)
	}
	require.Contains(t, gateway.Output(), `"trace_id":"`+trace+`"`)
}

// Secrets that are wrong are no part of what is said about it.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	brokers, _ := process.EmbeddedBroker(t)
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(canary+"\n"), 0o600))
	for name, args := range map[string][]string{
		"File":        {"--sasl-mechanism", "PLAIN", "--sasl-user", "u", "--sasl-password-file", file},
		"Flag":        {"--sasl-mechanism", "SCRAM-SHA-512", "--sasl-user", "u", "--sasl-password", canary},
		"Proxy":       {"--broker-proxy", "socks5://u:" + canary + "@127.0.0.1:1"},
		"Both":        {"--sasl-mechanism", "PLAIN", "--sasl-user", "u", "--sasl-password", canary, "--sasl-password-file", file},
		"NoMechanism": {"--sasl-user", "u", "--sasl-password", canary},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, code := cli(t, slices.Concat([]string{"topics", "list", "--log-level", "debug"}, brokers, args)...)
			require.NotZero(t, code, out)
			require.NotEmpty(t, out)
		})
	}
}
