package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// patience is how long the test waits for what must happen.
const patience = 90 * time.Second

func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", program, strings.Join(args, " "), out)
	return string(out)
}

var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "actorlog-ops-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/...")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0") // as in the Dockerfile
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func binary(t *testing.T, program string) string {
	t.Helper()
	dir, err := built()
	require.NoError(t, err)
	return filepath.Join(dir, program)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

// stack runs services of docker-compose.yml as processes of this machine. What the engine would do is done here: names become addresses, published and
// exposed ports become free ones of loopback, volumes directories.
type stack struct {
	t       *testing.T
	project *types.Project
	// names is what stands for each name and port of the network.
	names   map[string]string
	volumes string
	running map[string]*exec.Cmd
	out     map[string]*strings.Builder
}

func (s *stack) translate(text string) string {
	for from, to := range s.names {
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

// env of a service, with the address on which it serves operators.
func (s *stack) env(service string) []string {
	env := []string{"PATH=/nowhere", "TMPDIR=" + s.t.TempDir()}
	for name, value := range s.project.Services[service].Environment {
		if value == nil {
			continue
		}
		v := *value
		switch {
		case name == "ACTORLOG_OPS_LISTEN":
			require.Equal(s.t, "0.0.0.0:9464", v)
			v = s.names[service+":9464"]
		case name == "ACTORLOG_LISTEN":
			require.Equal(s.t, "0.0.0.0:6420", v)
			v = s.names[service+":6420"]
		case strings.HasPrefix(v, "/data"):
			v = filepath.Join(s.volumes, service, v)
		default:
			v = s.translate(v)
		}
		env = append(env, name+"="+v)
	}
	return env
}

func (s *stack) command(service string, args []string) *exec.Cmd {
	program := strings.TrimPrefix(args[0], "/")
	cmd := exec.Command(binary(s.t, program), args[1:]...)
	cmd.Env = s.env(service)
	return cmd
}

func (s *stack) start(service string) {
	s.t.Helper()
	cmd := s.command(service, s.project.Services[service].Command)
	cmd.Env = append(cmd.Env, "ACTORLOG_PREFIX="+s.names["prefix"])
	s.launch(service, cmd)
}

func (s *stack) launch(name string, cmd *exec.Cmd) {
	s.t.Helper()
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(s.t, cmd.Start())
	s.running[name], s.out[name] = cmd, out
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if s.t.Failed() {
			text := out.String()
			s.t.Logf("%s printed:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
}

// healthy runs the service's own health check until it succeeds.
func (s *stack) healthy(service string) {
	s.t.Helper()
	test := s.project.Services[service].HealthCheck.Test
	require.Equal(s.t, "CMD", test[0])
	var last string
	require.Eventually(s.t, func() bool {
		out, err := s.command(service, test[1:]).CombinedOutput()
		last = string(out)
		return err == nil
	}, patience, 200*time.Millisecond, "%s is not healthy: %s", service, last)
}

// stop is what the engine does: SIGTERM, and the time that the file gives.
func (s *stack) stop(service string) {
	s.t.Helper()
	cmd := s.running[service]
	require.NoError(s.t, cmd.Process.Signal(syscall.SIGTERM))
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		require.NoError(s.t, err, "%s ended badly", service)
	case <-time.After(time.Duration(*s.project.Services[service].StopGracePeriod)):
		s.t.Fatalf("%s would have been killed", service)
	}
}

// get asks until the answer is 200.
func get(t *testing.T, target string) string {
	t.Helper()
	var body string
	require.Eventually(t, func() bool {
		resp, err := http.Get(target)
		if err != nil {
			body = err.Error()
			return false
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		body = string(b)
		return err == nil && resp.StatusCode == http.StatusOK
	}, patience, 200*time.Millisecond, "%s: %s", target, body)
	return body
}

var metricName = regexp.MustCompile(`\b(?:actorlog|process|go)_[a-z0-9_]+`)

func TestEveryServiceRunsAsTheFileSays(t *testing.T) {
	t.Parallel()
	kafka := os.Getenv("ACTORLOG_TEST_KAFKA")
	if kafka == "" {
		t.Skip("ACTORLOG_TEST_KAFKA is not set: give it the addresses that `ops/kafka start` prints")
	}
	prometheus, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not on the PATH: apt-get install prometheus")
	}
	clickhouse := os.Getenv("ACTORLOG_TEST_CLICKHOUSE")
	s := &stack{t: t, project: compose(t, ""), volumes: t.TempDir(), running: make(map[string]*exec.Cmd), out: make(map[string]*strings.Builder)}
	local := func() string { return "127.0.0.1:" + freePort(t) }
	s.names = map[string]string{
		"redpanda:9092": kafka, "clickhouse:9000": clickhouse, "prefix": "ops-" + strconv.FormatUint(rand.Uint64(), 36),
		"gateway:6420": local(), "gateway:9464": local(), "worker-1:9464": local(), "worker-2:9464": local(), "projector:9464": local(),
		"127.0.0.1:9090": local(), "redpanda:9644": local(),
	}
	services := []string{"worker-1", "worker-2", "gateway"}
	_, err = os.Stat(filepath.Join(root, "cmd/projector"))
	projector := err == nil && clickhouse != ""
	if projector {
		services = append(services, "projector")
	} else {
		t.Log("the projector does not run: ACTORLOG_TEST_CLICKHOUSE is not set, host:port of a ClickHouse")
	}
	for _, name := range services { // at once, as the engine would
		s.start(name)
	}
	for _, name := range services {
		s.healthy(name)
	}
	s.prometheus(prometheus)

	// The chat example in a browser: its page, its script, and what they do.
	gateway := "http://" + s.names["gateway:6420"]
	require.Contains(t, get(t, gateway+"/examples/chat/"), "chat.js")
	require.NotEmpty(t, get(t, gateway+"/examples/actorlog.js"))
	stop := traffic(t, gateway)
	s.dashboards(projector)
	stop()
	for _, name := range services {
		s.stop(name)
	}
}

// prometheus runs the service of that name with its own command line and files, in which only names and the time between two scrapes are others.
func (s *stack) prometheus(program string) {
	s.t.Helper()
	dir := s.t.TempDir()
	files, err := filepath.Glob(filepath.Join(root, "ops/prometheus/*.yml"))
	require.NoError(s.t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(s.t, err)
		text := string(b)
		if filepath.Base(file) == "prometheus.yml" {
			text = strings.ReplaceAll(s.translate(text), "15s", "1s")
		}
		require.NoError(s.t, os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(text), 0o600))
	}
	var args []string
	for _, arg := range s.project.Services["prometheus"].Command {
		arg = strings.Replace(arg, "=/etc/prometheus", "="+dir, 1)
		args = append(args, strings.Replace(arg, "=/prometheus", "="+s.t.TempDir(), 1))
	}
	s.launch("prometheus", exec.Command(program, append(args, "--web.listen-address="+s.names["127.0.0.1:9090"])...))
	get(s.t, "http://"+s.names["127.0.0.1:9090"]+"/-/ready") // what the health check asks
}

// traffic does a bit of everything until it is stopped.
func traffic(t *testing.T, gateway string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	post := func(path, body string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway+path, strings.NewReader(body))
		if err != nil {
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	listen := func(path string) {
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway+path, nil)
			if err != nil {
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}
	}
	wg.Go(func() { listen("/actors/chatRoom/lobby/events") })
	wg.Go(func() { sockets(ctx, gateway) })
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			post("/actors/chatRoom/lobby/actions/say", `{"author":"ann","text":"hello"}`)
			post(fmt.Sprintf("/actors/counter/%d/actions/increment", i%50), "1")
			post("/actors/counter/1/actions/increment", "-1")
			if i%20 == 0 {
				post(fmt.Sprintf("/actors/metronome/%d/actions/start", i), `{"everyMs":100,"beats":50}`)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// sockets keeps one socket of the RivetKit protocol open, and subscribed.
func sockets(ctx context.Context, gateway string) {
	for ctx.Err() == nil {
		socket(ctx, gateway)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// dashboards asks Prometheus all that the dashboards ask until every answer has something in it.
func (s *stack) dashboards(projector bool) {
	s.t.Helper()
	base := "http://" + s.names["127.0.0.1:9090"]
	query := func(expr string) (results int) {
		expr = strings.ReplaceAll(expr, "$__rate_interval", "10s")
		resp, err := http.Get(base + "/api/v1/query?query=" + url.QueryEscape(expr))
		require.NoError(s.t, err)
		defer resp.Body.Close()
		var answer struct {
			Status, Error string
			Data          struct {
				Result []struct{ Value [2]any }
			}
		}
		require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&answer))
		require.Equal(s.t, "success", answer.Status, "%s: %s", expr, answer.Error)
		for _, r := range answer.Data.Result {
			if r.Value[1] != "NaN" {
				results++
			}
		}
		return results
	}
	for _, p := range panels(s.t) {
		if !projector && strings.Contains(p.expr, "actorlog_projection_") {
			continue
		}
		require.Eventually(s.t, func() bool { return query(p.expr) > 0 }, patience, 500*time.Millisecond, "%s: %q shows nothing: %s", p.dashboard, p.title, p.expr)
	}
	// What alerts watch is there, too, and none of them fires.
	var names struct{ Data []string }
	require.NoError(s.t, json.Unmarshal([]byte(get(s.t, base+"/api/v1/label/__name__/values")), &names))
	for alert, expr := range rules(s.t) {
		for _, name := range metricName.FindAllString(expr, -1) {
			if projector || !strings.HasPrefix(name, "actorlog_projection_") {
				require.Contains(s.t, names.Data, name, "%s watches what nobody exports", alert)
			}
		}
	}
	for _, alert := range []string{"ActorlogShardsUnserved", "ActorlogShardLag", "ActorlogGatewayBusy", "ActorlogActionsParked", "ActorlogAppendFailures"} {
		require.Zero(s.t, query(rules(s.t)[alert]), alert)
	}
}
