package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// builtDir is where programs has built them; empty when no test needed them.
var builtDir string

// race says that the programs are to be built with the race detector, and that what it finds fails the test.
var race = os.Getenv("ACTORLOG_TEST_RACE") == "1"

// programs builds the binaries once for all tests.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "actorlog-e2e-")
	if err != nil {
		return "", err
	}
	builtDir = dir
	args := []string{"build", "-o", dir}
	if race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../cmd/...")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if builtDir != "" {
		_ = os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// process is one running program.
type process struct {
	cmd  *exec.Cmd
	out  *syncBuffer
	done chan struct{}
}

// start runs a program until the test ends, at the latest.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	dir, err := programs()
	require.NoError(t, err)
	p := &process{cmd: exec.Command(filepath.Join(dir, program), args...), out: new(syncBuffer), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if report := p.out.from("WARNING: DATA RACE", 6000); race && report != "" {
			t.Errorf("%s %s has a data race:\n%s", program, strings.Join(args, " "), report)
		}
		if t.Failed() {
			t.Logf("%s %s printed:\n%s", program, strings.Join(args, " "), p.out.tail(6000))
		}
	})
	return p
}

// kill is SIGKILL: the program gets no say.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop is SIGTERM; it returns the exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the program did not end within 30 s of SIGTERM")
	}
	return p.cmd.ProcessState.ExitCode()
}

// address picks a free port on loopback.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// brokers are the flags with which workers and gateways share a log of their own, in topics of
// eight partitions. Killed workers are missed soon; stock brokers do not allow that, those of
// ops/kafka do.
type brokers []string

// embeddedBroker starts a broker for this test alone.
func embeddedBroker(t *testing.T) (brokers, *process) {
	t.Helper()
	kafka := address(t)
	p := start(t, "actorlog", "broker", "--data", t.TempDir(), "--kafka-listen", kafka)
	return brokers{"--brokers", kafka, "--partitions", "8", "--session-timeout", "2s"}, p
}

// apacheKafka uses the cluster that ACTORLOG_TEST_KAFKA names, and skips the test if there is none.
func apacheKafka(t *testing.T, groupProtocol string) brokers {
	t.Helper()
	kafka := os.Getenv("ACTORLOG_TEST_KAFKA")
	if kafka == "" {
		t.Skip("ACTORLOG_TEST_KAFKA is not set: give it the addresses that `ops/kafka start` prints")
	}
	prefix := "e2e-" + strconv.FormatUint(rand.Uint64(), 36)
	return brokers{"--brokers", kafka, "--prefix", prefix, "--partitions", "8", "--session-timeout", "2s", "--group-protocol", groupProtocol}
}

// unlimited are flags of a gateway whose clients are many, of one address.
var unlimited = []string{"--rate-limit=-1", "--max-under-way=-1"}

func (b brokers) gateway(t *testing.T, listen string) *process {
	t.Helper()
	p := start(t, "gateway", slices.Concat(b, unlimited, []string{"--listen", listen})...)
	ready(t, listen, p)
	return p
}

func (b brokers) worker(t *testing.T, flags ...string) *process {
	t.Helper()
	return start(t, "worker", slices.Concat(b, []string{"--data", t.TempDir()}, flags)...)
}

// ready waits until a gateway, host:port or URL, says that it is.
func ready(t *testing.T, gateway string, p *process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	url := gateway
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	for {
		if status, _, _ := request(ctx, http.MethodGet, url+"/readyz", "", ""); status == http.StatusOK {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the gateway at %s is not ready after 60 s", gateway)
		case <-p.done:
			t.Fatalf("the program ended before it was ready")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var client = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: 256,
	TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, // certificates are the tests' own
}}

// request makes one HTTP request and returns status and body.
func request(ctx context.Context, method, url, body, idempotencyKey string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// syncBuffer is a bytes.Buffer for several writers.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// from returns what begins with text, n bytes at most; empty if there is none.
func (b *syncBuffer) from(text string, n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	i := strings.Index(s, text)
	if i < 0 {
		return ""
	}
	return s[i:min(len(s), i+n)]
}

func (b *syncBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	return s[max(0, len(s)-n):]
}
