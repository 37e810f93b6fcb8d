// Package process runs the built programs for tests: broker, workers, gateways. It knows how they
// are started, asked and ended, and nothing of what they are tested for.
package process

import (
	"bytes"
	"context"
	"crypto/tls"
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

// built is the directories of what was built, to be removed in the end.
var built struct {
	sync.Mutex
	dirs []string
}

func buildDir() (string, error) {
	dir, err := os.MkdirTemp("", "actorlog-e2e-")
	built.Lock()
	defer built.Unlock()
	built.dirs = append(built.dirs, dir)
	return dir, err
}

// race says that the programs are to be built with the race detector, and that what it finds fails the test.
var race = os.Getenv("ACTORLOG_TEST_RACE") == "1"

// programs builds the binaries once for all tests.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	return dir, build(dir)
})

// Main runs the tests of a package and removes what was built for them: every TestMain that has tests
// of programs calls it. It does not return.
func Main(m *testing.M) {
	code := m.Run()
	for _, dir := range built.dirs {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// Process is one running program.
type Process struct {
	cmd  *exec.Cmd
	out  *Output
	done chan struct{}
}

// Start runs a program until the test ends, at the latest.
func Start(t *testing.T, program string, args ...string) *Process {
	t.Helper()
	return start(t, exec.Command(Path(t, program), args...))
}

func start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, out: new(Output), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	what := filepath.Base(cmd.Path) + " " + strings.Join(cmd.Args[1:], " ")
	t.Cleanup(func() {
		p.Kill()
		if report := p.out.from("WARNING: DATA RACE", 6000); race && report != "" {
			t.Errorf("%s has a data race:\n%s", what, report)
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", what, p.out.Tail(6000))
		}
	})
	return p
}

// Signal sends a signal; SIGSTOP and SIGCONT make a zombie of the program and wake it.
func (p *Process) Signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// Kill is SIGKILL: the program gets no say.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Output is what the program has printed.
func (p *Process) Output() string { return p.out.String() }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Path is where a program is, for tests that start it themselves.
func Path(t *testing.T, program string) string {
	t.Helper()
	dir, err := programs()
	require.NoError(t, err)
	return filepath.Join(dir, program)
}

// Ended says whether the program has.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Stop is SIGTERM; it returns the exit code.
func (p *Process) Stop(t *testing.T) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	return p.Wait(t)
}

// Wait waits until the program, which was told to, ends, and returns the exit code.
func (p *Process) Wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the program did not end within 30 s")
	}
	return p.cmd.ProcessState.ExitCode()
}

// Address picks a free port on loopback.
func Address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Brokers are the flags with which workers and gateways share a log of their own, in topics of
// eight partitions. Killed workers are missed soon; stock brokers do not allow that, those of
// ops/kafka do.
type Brokers []string

// After how long a killed worker is missed: with the classic group protocol, and what ops/kafka sets for the other.
const (
	SessionTimeout       = 2 * time.Second
	KafkaConsumerSession = 6 * time.Second
)

// KafkaFlags are the flags for brokers at these addresses, with topics that nobody else uses.
func KafkaFlags(addresses, groupProtocol string) Brokers {
	return Brokers{
		"--brokers", addresses, "--prefix", "e2e-" + strconv.FormatUint(rand.Uint64(), 36), "--partitions", "8",
		"--session-timeout", SessionTimeout.String(), "--group-protocol", groupProtocol,
	}
}

// EmbeddedBroker starts a broker for this test alone.
func EmbeddedBroker(t *testing.T) (Brokers, *Process) {
	t.Helper()
	kafka := Address(t)
	p := Start(t, "actorlog", "broker", "--data", t.TempDir(), "--kafka-listen", kafka)
	return KafkaFlags(kafka, "classic"), p
}

// ApacheKafka uses the cluster that ACTORLOG_TEST_KAFKA names, and skips the test if there is none.
func ApacheKafka(t *testing.T, groupProtocol string) Brokers {
	t.Helper()
	kafka := os.Getenv("ACTORLOG_TEST_KAFKA")
	if kafka == "" {
		t.Skip("ACTORLOG_TEST_KAFKA is not set: give it the addresses that `ops/kafka start` prints")
	}
	return KafkaFlags(kafka, groupProtocol)
}

// Unlimited are flags of a gateway whose clients are many, of one address.
var Unlimited = []string{"--rate-limit=-1", "--max-under-way=-1"}

// Blameless are flags of a worker that is killed for no fault of its actions: with the default, three deaths in a row within the time that
// it takes to catch up set one of them aside.
var Blameless = []string{"--park-after", "1000000"}

// Gateway starts a gateway and waits until it is ready.
func (b Brokers) Gateway(t *testing.T, listen string) *Process {
	t.Helper()
	p := Start(t, "gateway", slices.Concat(b, Unlimited, []string{"--listen", listen})...)
	Ready(t, listen, p)
	return p
}

// Worker starts a worker with a new local store.
func (b Brokers) Worker(t *testing.T, flags ...string) *Process {
	t.Helper()
	return Start(t, "worker", slices.Concat(b, Blameless, []string{"--data", t.TempDir()}, flags)...)
}

// Ready waits until a gateway, host:port or URL, says that it is.
func Ready(t *testing.T, gateway string, p *Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	url := gateway
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	for {
		if status, _, _ := Request(ctx, http.MethodGet, url+"/readyz", "", ""); status == http.StatusOK {
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

// Client keeps connections to gateways.
var Client = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: 256,
	TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, // certificates are the tests' own
}}

// Request makes one HTTP request and returns status and body.
func Request(ctx context.Context, method, url, body, idempotencyKey string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	res, err := Client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// Output is what programs print; several may.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// String is all of it.
func (b *Output) String() string { return b.Tail(1 << 30) }

// Write implements [io.Writer].
func (b *Output) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// from returns what begins with text, n bytes at most; empty if there is none.
func (b *Output) from(text string, n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	i := strings.Index(s, text)
	if i < 0 {
		return ""
	}
	return s[i:min(len(s), i+n)]
}

// Tail is the last n bytes of it.
func (b *Output) Tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	return s[max(0, len(s)-n):]
}

// Pause waits, or until ctx ends: the time between two tries of a client, or two faults.
func Pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
