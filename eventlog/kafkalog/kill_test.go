package kafkalog

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
)

// brokerProcessEnv makes the test binary a broker on that directory, for tests that
// kill one.
const (
	brokerProcessEnv = "ACTORLOG_TEST_BROKER_DIR"
	brokerListenEnv  = "ACTORLOG_TEST_BROKER_LISTEN"
)

// runBrokerProcess serves until stdin ends, which is when the parent is gone, or until
// it is killed.
func runBrokerProcess(dir string) {
	e, err := StartEmbedded(EmbeddedConfig{DataDir: dir, Listen: os.Getenv(brokerListenEnv)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("listening", e.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// brokerProcess is a broker that can be killed.
type brokerProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
}

func startBrokerProcess(t *testing.T, dir, listen string) *brokerProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerProcessEnv+"="+dir, brokerListenEnv+"="+listen)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	b := &brokerProcess{cmd: cmd, stdin: stdin}
	t.Cleanup(b.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	require.True(t, ok, line)
	b.addr = addr
	return b
}

// kill is SIGKILL.
func (b *brokerProcess) kill() {
	if b.cmd.ProcessState == nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		_ = b.stdin.Close()
	}
}

// What was acknowledged is there after kill -9, once, at the offset that was told; and
// a transaction is there with all its records or with none.
func TestEmbedded_AcknowledgedSurvivesKill(t *testing.T) {
	t.Parallel()
	const rounds, partitions = 5, 2
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, name := t.TempDir(), prefix()

	type key struct {
		partition int32
		offset    int64
	}
	acked := make(map[key]string)
	saved := make(map[string]bool) // snapshot writes that were acknowledged
	written := 0

	for round := range rounds {
		b := startBrokerProcess(t, dir, "127.0.0.1:0")
		l := open(t, b.addr, Config{Prefix: name, Partitions: partitions})

		// All of the rounds before.
		seen := make(map[string]int)
		for p := range int32(partitions) {
			start, end, err := l.Bounds(t.Context(), eventlog.Events, p)
			require.NoError(t, err)
			require.Zero(t, start)
			require.NoError(t, eventlog.Scan(t.Context(), l, eventlog.Events, p, start, end, func(r *eventlog.Record) error {
				seen[string(r.Value)]++
				if want, ok := acked[key{p, r.Offset}]; ok {
					require.Equal(t, want, string(r.Value), "partition %d offset %d", p, r.Offset)
				}
				return nil
			}))
		}
		for at, value := range acked {
			require.Equal(t, 1, seen[value], "%s, acknowledged at %v", value, at)
		}
		whole := make(map[string]int)
		_, end, err := l.Bounds(t.Context(), eventlog.Snapshots, 0)
		require.NoError(t, err)
		require.NoError(t, eventlog.Scan(t.Context(), l, eventlog.Snapshots, 0, 0, end, func(r *eventlog.Record) error {
			whole[string(r.Value)]++
			return nil
		}))
		for value, n := range whole {
			require.Equal(t, 3, n, "a part of transaction %s", value)
		}
		for value := range saved {
			require.Equal(t, 3, whole[value], "transaction %s", value)
		}
		t.Logf("round %d: %d records acknowledged, %d transactions", round, len(acked), len(saved))

		// Write until the broker is killed in the middle.
		var mu sync.Mutex
		var pending sync.WaitGroup
		enough := make(chan struct{})
		left := 200 + random.IntN(2000)
		var writing sync.WaitGroup
		writing.Go(func() {
			w, err := l.Snapshots(t.Context(), 0)
			if err != nil {
				return
			}
			defer w.Close()
			for i := 0; ; i++ {
				value := fmt.Sprint("round ", round, " write ", i)
				r := eventlog.Record{Key: []byte("k"), Value: []byte(value)}
				if _, err := w.Write(t.Context(), []eventlog.Record{r, r, r}); err != nil {
					return
				}
				saved[value] = true
			}
		})
		for p := range int32(partitions) {
			writing.Go(func() {
				for i := 1; ; i++ {
					mu.Lock()
					written++
					value := fmt.Sprint(written)
					mu.Unlock()
					pending.Add(1)
					acknowledged := make(chan error, 1)
					l.Append(t.Context(), eventlog.Events, record(p, value), func(offset int64, err error) {
						defer pending.Done()
						acknowledged <- err
						if err != nil {
							return
						}
						mu.Lock()
						defer mu.Unlock()
						acked[key{p, offset}] = value
						if left--; left == 0 {
							close(enough)
						}
					})
					if i%50 == 0 && <-acknowledged != nil {
						return
					}
				}
			})
		}
		<-enough
		b.kill()
		l.Close()
		writing.Wait()
		pending.Wait()
	}
}

func record(partition int32, value string) eventlog.Record {
	return eventlog.Record{Partition: partition, Key: []byte("key"), Value: []byte(value)}
}

// A broker that is restarted while clients work is waited for.
func TestLog_BrokerRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := startBrokerProcess(t, dir, "127.0.0.1:0")
	l := open(t, b.addr, Config{SessionTimeout: time.Second})
	w, err := l.Snapshots(t.Context(), 0)
	require.NoError(t, err)
	defer w.Close()
	_, err = w.Write(t.Context(), []eventlog.Record{record(0, "1")})
	require.NoError(t, err)
	tail, err := l.Tail(eventlog.Events)
	require.NoError(t, err)
	defer tail.Close()
	for p := range l.Partitions() {
		tail.Add(p, 0)
	}
	appendOne := func(value string) <-chan error {
		ch := make(chan error, 1)
		l.Append(t.Context(), eventlog.Events, record(0, value), func(_ int64, err error) { ch <- err })
		return ch
	}
	pollOne := func() string {
		records, err := tail.Poll(t.Context())
		require.NoError(t, err)
		require.Len(t, records, 1)
		return string(records[0].Value)
	}
	ctx, leave := context.WithCancel(t.Context())
	assigned := make(chan int, 10)
	joined := make(chan error, 1)
	go func() {
		joined <- l.Join(ctx, eventlog.Member{
			Group:    "workers",
			ID:       "stable",
			Assigned: func(_ context.Context, ps []int32) { assigned <- len(ps) },
		})
	}()
	require.Equal(t, 4, <-assigned)
	require.NoError(t, <-appendOne("before"))
	require.Equal(t, "before", pollOne())

	for range 2 {
		b.kill()
		waiting := appendOne("while it is away")
		select {
		case err := <-waiting:
			require.Fail(t, "the append did not wait", "%v", err)
		case <-time.After(300 * time.Millisecond):
		}
		b = startBrokerProcess(t, dir, b.addr)
		require.NoError(t, <-waiting)
		require.Equal(t, "while it is away", pollOne())
		require.NoError(t, <-appendOne("after"))
		require.Equal(t, "after", pollOne())
		_, err = w.Write(t.Context(), []eventlog.Record{record(0, "2")})
		if err != nil { // its connection was broken; once more is enough
			_, err = w.Write(t.Context(), []eventlog.Record{record(0, "2")})
		}
		require.NoError(t, err)
	}
	leave()
	require.NoError(t, <-joined)
}
