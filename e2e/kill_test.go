package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// tally is what the callers of one counter know about it.
type tally struct {
	key          string
	acknowledged atomic.Int64 // answered 200
	unknown      atomic.Int64 // no answer: it may have counted or not
}

// load keeps incrementing until ctx ends. Callers without an idempotency key give up on a call
// that gets no answer; those with one repeat it until it is answered, so that it counts once.
type load struct {
	t        *testing.T
	gateways []string
	plain    []*tally
	keyed    []*tally
	calls    atomic.Int64
	slowest  atomic.Int64
	failed   atomic.Int64 // calls without an answer
	wg       sync.WaitGroup
}

func newLoad(t *testing.T, counters int, gateways ...string) *load {
	l := &load{t: t, gateways: gateways}
	for i := range counters {
		l.plain = append(l.plain, &tally{key: fmt.Sprintf("plain-%d", i)})
		l.keyed = append(l.keyed, &tally{key: fmt.Sprintf("keyed-%d", i)})
	}
	return l
}

func (l *load) run(ctx context.Context, callersPerCounter int) {
	for i := range l.plain {
		for range callersPerCounter {
			l.wg.Go(func() {
				for ctx.Err() == nil {
					l.increment(ctx, l.plain[i], "")
				}
			})
			l.wg.Go(func() {
				for ctx.Err() == nil {
					l.incrementOnce(ctx, l.keyed[i])
				}
			})
		}
	}
}

func (l *load) increment(ctx context.Context, c *tally, idempotencyKey string) bool {
	gateway := l.gateways[rand.IntN(len(l.gateways))]
	began := time.Now()
	// A call that is under way when the load ends is waited for: it may count.
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 60*time.Second)
	defer cancel()
	status, body, err := process.Request(callCtx, http.MethodPost, "http://"+gateway+"/actors/counter/"+c.key+"/actions/increment", "1", idempotencyKey)
	if err != nil || status != http.StatusOK {
		if status != 0 && status < 500 {
			l.t.Errorf("increment %s: %d %s", c.key, status, body)
		}
		l.failed.Add(1)
		c.unknown.Add(1)
		process.Pause(ctx, 10*time.Millisecond)
		return false
	}
	for took := int64(time.Since(began)); ; {
		if slowest := l.slowest.Load(); took <= slowest || l.slowest.CompareAndSwap(slowest, took) {
			break
		}
	}
	c.acknowledged.Add(1)
	l.calls.Add(1)
	return true
}

func (l *load) incrementOnce(ctx context.Context, c *tally) {
	key := "once-" + strconv.FormatUint(rand.Uint64(), 36)
	for began := time.Now(); !l.increment(ctx, c, key); {
		// Even after the load has ended: it must be known in the end whether it counted.
		if time.Since(began) > time.Minute {
			l.t.Errorf("an increment of %s was not answered within a minute", c.key)
			return
		}
		time.Sleep(10 * time.Millisecond) // the wait between two tries of a real client
	}
}

// check reads all counters and compares them with what was acknowledged.
func (l *load) check() {
	l.t.Helper()
	read := func(c *tally) int64 {
		status, body, err := process.Request(l.t.Context(), http.MethodPost, "http://"+l.gateways[0]+"/actors/counter/"+c.key+"/actions/get", "", "")
		require.NoError(l.t, err)
		require.Equal(l.t, http.StatusOK, status, body)
		n, err := strconv.ParseInt(body, 10, 64)
		require.NoError(l.t, err)
		return n
	}
	for _, c := range l.keyed {
		require.Equal(l.t, c.acknowledged.Load(), read(c), "%s: every increment with a key counts exactly once", c.key)
	}
	for _, c := range l.plain {
		n := read(c)
		require.GreaterOrEqual(l.t, n, c.acknowledged.Load(), "%s: an acknowledged increment is lost", c.key)
		require.LessOrEqual(l.t, n, c.acknowledged.Load()+c.unknown.Load(), "%s: an increment counted twice", c.key)
	}
}

// TestKillDev kills the all-in-one process at random moments under load. ACTORLOG_TEST_KILLS
// sets how often; the default is 20.
func TestKillDev(t *testing.T) {
	t.Parallel()
	kills := 20
	if s := os.Getenv("ACTORLOG_TEST_KILLS"); s != "" {
		var err error
		kills, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	data, gateway, kafka := t.TempDir(), process.Address(t), process.Address(t)
	dev := func() *process.Process {
		return process.Start(t, "actorlog", append([]string{"dev", "--data", data, "--listen", gateway, "--kafka-listen", kafka,
			"--checkpoint-every", "700ms", "--sleep-after", "300ms", "--partitions", "8"}, process.Blameless...)...)
	}
	p := dev()
	process.Ready(t, gateway, p)
	l := newLoad(t, 4, gateway)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l.run(ctx, 4)
	for range kills {
		process.Pause(ctx, time.Duration(50+rand.IntN(450))*time.Millisecond)
		p.Kill()
		p = dev()
		process.Ready(t, gateway, p)
	}
	process.Pause(ctx, 300*time.Millisecond)
	stop()
	l.wg.Wait()
	l.check()
	t.Logf("%d kills, %d increments acknowledged, %d calls without an answer", kills, l.calls.Load(), l.failed.Load())
	require.NotZero(t, l.failed.Load(), "no kill hit a call: the test proves nothing")

	require.Equal(t, 0, p.Stop(t))
	p = dev()
	process.Ready(t, gateway, p)
	l.check()
}

// TestKillWorker runs broker, two workers and two gateways as processes and kills workers. Calls
// only wait: not one fails.
func TestKillWorker(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		b, broker := process.EmbeddedBroker(t)
		killWorkers(t, b)
		require.Equal(t, 0, broker.Stop(t))
	})
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run("kafka/"+protocol, func(t *testing.T) {
			t.Parallel()
			killWorkers(t, process.ApacheKafka(t, protocol))
		})
	}
}

func killWorkers(t *testing.T, b process.Brokers) {
	gateways := []string{process.Address(t), process.Address(t)}
	for _, g := range gateways {
		b.Gateway(t, g)
	}
	worker := func() *process.Process { return b.Worker(t, "--checkpoint-every", "1s") }
	workers := []*process.Process{worker(), worker()}
	l := newLoad(t, 4, gateways...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l.run(ctx, 4)
	for i := range 4 {
		process.Pause(ctx, 1500*time.Millisecond)
		workers[i%2].Kill()
		process.Pause(ctx, 500*time.Millisecond)
		workers[i%2] = worker()
	}
	process.Pause(ctx, 4*time.Second)
	stop()
	l.wg.Wait()
	l.check()
	t.Logf("4 kills, %d increments acknowledged, the slowest in %v", l.calls.Load(), time.Duration(l.slowest.Load()))
	require.Zero(t, l.failed.Load(), "a call failed; killing a worker may only delay")
	for _, w := range workers {
		require.Equal(t, 0, w.Stop(t))
	}
}
