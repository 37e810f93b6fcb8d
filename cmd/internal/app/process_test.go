package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/internal/admin"
)

func TestOperatorsAreServed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte("the-first-token-of-all\nthe-second-token-of-all\n"), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listen := l.Addr().String()
	require.NoError(t, l.Close())
	p, err := Ops{OpsListen: listen}.Start(t.Context(), "worker", false, Admin{AdminTokenFile: file}, zap.NewNop())
	require.NoError(t, err)
	defer p.Close()
	get := func(path, token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listen+path, nil)
		require.NoError(t, err)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	status, _ := get("/healthz", "")
	require.Equal(t, 200, status)
	check := func() error {
		return healthcheck(t.Context(), "worker", []string{"http://" + listen + "/readyz"}, io.Discard)
	}
	require.ErrorContains(t, check(), "503 Service Unavailable: not ready: it is starting")
	p.SetReady(func(context.Context) error { return errors.New("3 shards are being recovered") })
	require.ErrorContains(t, check(), "3 shards are being recovered")
	p.SetReady(func(context.Context) error { return nil })
	require.NoError(t, check())

	_, metrics := get("/metrics", "")
	require.Contains(t, metrics, `actorlog_build_info{program="worker"`)
	require.Contains(t, metrics, "go_goroutines")
	for token, want := range map[string]int{"": 401, "the-third-token-of-all": 401, "the-first-token-of-all": 200, "the-second-token-of-all": 200} {
		status, _ = get("/debug/pprof/heap?debug=1", token)
		require.Equal(t, want, status, token)
	}
	status, _ = get("/admin/gateway", "the-first-token-of-all")
	require.Equal(t, 404, status)
}

// What is below /admin has the rules of a gateway: a token where there is one; without, this machine alone, and no page of somebody else.
func TestAdminAtTheOpsListener(t *testing.T) {
	t.Parallel()
	const token = "the token of this test"
	cluster := memlog.NewCluster(1)
	log := cluster.Client()
	t.Cleanup(log.Close)
	p := NewProcess("worker", zap.NewNop())
	early := p.handler(nil, true)
	ask := func(h http.Handler, change func(*http.Request)) (int, string) {
		r := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost:9464/admin/verify?all=true", nil)
		req.RemoteAddr = "127.0.0.1:50000"
		change(req)
		h.ServeHTTP(r, req)
		return r.Code, r.Body.String()
	}
	status, text := ask(early, func(*http.Request) {})
	require.Equal(t, 404, status, "it has not started yet")
	require.Contains(t, text, "nothing is served there")

	p.Verify(Examples(t.TempDir()), log)
	tokens := func() admin.Tokens { return admin.Tokens{token} }
	for name, c := range map[string]struct {
		handler http.Handler
		change  func(*http.Request)
		status  int
		says    string
	}{
		"token":        {p.handler(tokens, false), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, 200, `{"type":"summary","clean":true`},
		"no token":     {p.handler(tokens, true), func(*http.Request) {}, 401, "--admin-token-file"},
		"wrong token":  {p.handler(tokens, true), func(r *http.Request) { r.Header.Set("Authorization", "Bearer another token of ours") }, 401, `"code":"unauthorized"`},
		"this machine": {p.handler(nil, true), func(*http.Request) {}, 200, `{"type":"summary","clean":true`},
		"all machines": {p.handler(nil, false), func(*http.Request) {}, 403, "listens on loopback alone"},
		"another one":  {p.handler(nil, true), func(r *http.Request) { r.RemoteAddr = "192.0.2.1:50000" }, 403, "only to this machine"},
		"proxy":        {p.handler(nil, true), func(r *http.Request) { r.Header.Set("Via", "1.1 proxy") }, 403, "through a proxy"},
		"another name": {p.handler(nil, true), func(r *http.Request) { r.Host = "evil.example" }, 403, "only at localhost"},
		"page":         {p.handler(nil, true), func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403, "other origins"},
		"own page":     {p.handler(nil, true), func(r *http.Request) { r.Header.Set("Origin", "http://localhost:5173") }, 200, "summary"},
	} {
		status, text := ask(c.handler, c.change)
		require.Equal(t, c.status, status, name)
		require.Contains(t, text, c.says, name)
	}
}

func TestProfilesNeedAToken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	p, err := Ops{OpsListen: l.Addr().String()}.Start(t.Context(), "worker", false, Admin{}, zap.NewNop())
	require.NoError(t, err)
	defer p.Close()
	resp, err := http.Get("http://" + l.Addr().String() + "/debug/pprof/")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 403, resp.StatusCode)
}

func TestHealthcheckSaysWhatIsWrong(t *testing.T) {
	t.Setenv("ACTORLOG_OPS_LISTEN", "")
	var out bytes.Buffer
	require.ErrorContains(t, healthcheck(t.Context(), "gateway", nil, &out), "give a URL")
	require.ErrorContains(t, healthcheck(t.Context(), "gateway", []string{"a", "b"}, &out), "one URL at most")
	require.NoError(t, healthcheck(t.Context(), "gateway", []string{"--help"}, &out))
	require.Contains(t, out.String(), "gateway healthcheck [URL]")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	t.Setenv("ACTORLOG_OPS_LISTEN", "0.0.0.0:"+port)
	require.ErrorContains(t, healthcheck(t.Context(), "gateway", nil, &out), "http://127.0.0.1:"+port+"/readyz")
}

func TestOpsFlagsAreChecked(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, Ops{OpsListen: "9464"}.Validate(), "want host:port")
	require.ErrorContains(t, Ops{TraceRatio: 2}.Validate(), "from 0 to 1")
	_, err := Ops{TraceEndpoint: "collector:4318"}.Start(t.Context(), "worker", false, Admin{}, zap.NewNop())
	require.ErrorContains(t, err, "want http://host:4318")
	require.NoError(t, Ops{OpsListen: ":9464", TraceRatio: 1}.Validate())
}
