package actortest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
)

// death is how the workers of a crash test go down at an append.
type death string

const (
	// unwritten: they are killed before the append is written.
	unwritten death = "unwritten"
	// unacknowledged: it is written, and they are killed before they learn of it.
	unacknowledged death = "unacknowledged"
	// acknowledged: they learn of it, and are killed before anything that follows from it is written.
	acknowledged death = "acknowledged"
	// cutOff: as acknowledged, but they live on, without the brokers, and come back when others have taken over.
	cutOff death = "cutOff"
)

var deaths = []death{unwritten, unacknowledged, acknowledged, cutOff}

// appendTime is what an append takes in a crash test: long enough to die in.
const appendTime = time.Millisecond

// crashTest runs the same scenario again and again, and has the workers die at another append each time.
type crashTest struct {
	register func(*actor.Registry)
	// prepare runs before appends are counted. May be nil.
	prepare func(t *testing.T, w *actortest.World)
	// act is what is disturbed.
	act func(ctx context.Context, w *actortest.World) error
	// check looks at what has become of it, in peace.
	check func(t *testing.T, w *actortest.World)
	// slowly, when set, is what an append of an outcome takes in the shard of coordinator a.
	slowly time.Duration
	// stride is how many appends lie between two crash points. ACTORLOG_TEST_STRIDE overrides it.
	stride int
}

// run dies at every stride-th append, in every way. ACTORLOG_TEST_CRASH=acknowledged:17 runs one crash point.
func (c crashTest) run(t *testing.T) {
	stride := c.stride
	if s := os.Getenv("ACTORLOG_TEST_STRIDE"); s != "" {
		var err error
		stride, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	only := os.Getenv("ACTORLOG_TEST_CRASH")
	for i, how := range deaths {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			points := 0
			for at := 1 + i%stride; ; at += stride {
				name := fmt.Sprintf("%s:%d", how, at)
				if only != "" && only != name {
					if points++; points > 10_000 {
						return
					}
					continue
				}
				died := c.once(t, how, at)
				if !died || only != "" {
					break
				}
				points++
			}
			require.True(t, points > 2 || only != "", "the scenario has but %d crash points", points)
		})
	}
}

// once runs the scenario with a death at the n-th append; died is false when it has fewer.
func (c crashTest) once(t *testing.T, how death, n int) (died bool) {
	synctest.Test(t, func(t *testing.T) {
		defer func() { // a failed require ends the goroutine: say where
			if t.Failed() {
				t.Logf("to see it again: ACTORLOG_TEST_CRASH=%s:%d go test ./actors/actortest -run '^%s$'", how, n, strings.Split(t.Name(), "/")[0])
			}
		}()
		w := actortest.New(t, c.register)
		worker := w.Workers()[0]
		if c.prepare != nil {
			c.prepare(t, w)
		}
		hit := make(chan struct{}, 1)
		count, slow := 0, int32(-1)
		if c.slowly > 0 {
			slow = schemas.HashOf(actor.DefaultNamespace, "coordinator", schemas.Key{"a"}).Shard(actortest.Shards)
		}
		w.Cluster.SetFaults(func(write memlog.Write) memlog.Fault {
			if write.Topic != eventlog.Actions && write.Topic != eventlog.Events {
				return memlog.Fault{}
			}
			f := memlog.Fault{Delay: appendTime}
			if write.Topic == eventlog.Events && write.Partition == slow {
				f.Delay = c.slowly
			}
			if count++; count == n {
				hit <- struct{}{}
				if how == unacknowledged && write.Client == worker.Log() {
					f.AckDelay = time.Hour
				}
			}
			return f
		})
		over := make(chan error, 1)
		go func() { over <- c.act(t.Context(), w) }()
		var err error
		select {
		case err = <-over:
		case <-hit:
			died = true
		}
		if died {
			if how != unwritten {
				time.Sleep(appendTime * 3 / 2)
			}
			w.Cluster.SetFaults(nil)
			if how == cutOff {
				worker.Log().Disconnect()
				w.StartWorker()
				time.Sleep(20 * time.Second)
				worker.Log().Connect()
			} else {
				w.Crash()
			}
			err = <-over
		}
		require.NoError(t, err)
		w.Cluster.SetFaults(nil)
		time.Sleep(time.Minute) // for what is still under way
		c.check(t, w)
	})
	return died
}

// The kinds of these tests: a coordinator that asks leaves to add, and leaves that add.

type leaf struct {
	Total int `json:"total"`
	// By is what every request added.
	By []string `json:"by"`
}

type coordinator struct {
	Sum     int            `json:"sum"`
	Replies map[string]int `json:"replies"`
	// Runs is the numbers that the steps of Request returned.
	Runs    []int  `json:"runs"`
	Request string `json:"request"`
}

// order asks for something to be added.
type order struct {
	// By names the coordinator, or whoever is replied to.
	By     string `json:"by"`
	Amount int    `json:"amount"`
	// Hops is how much further a chain goes.
	Hops int `json:"hops"`
}

var (
	leafKind = actor.New[leaf]("leaf")
	add      = actor.Action[order, int](leafKind, "add")
	// addAndReply sends the reply.
	addAndReply = actor.Action[order, actor.None](leafKind, "addAndReply")
	// addAlong adds, has the next leaf do the same, and returns the sum of all.
	addAlong = actor.Action[order, int](leafKind, "addAlong")

	coordinatorKind = actor.New[coordinator]("coordinator")
	fanOut          = actor.Action[int, int](coordinatorKind, "fanOut")
	fanOutAtOnce    = actor.Action[int, int](coordinatorKind, "fanOutAtOnce")
	spread          = actor.Action[int, actor.None](coordinatorKind, "spread")
	replied         = actor.Action[order, actor.None](coordinatorKind, "replied")
	pay             = actor.Action[int, []int](coordinatorKind, "pay")
	chain           = actor.Action[int, int](coordinatorKind, "chain")
)

func leafKey(i int) string { return strconv.Itoa(i) }

// effects counts what steps did outside of the log, by request and step.
type effects struct {
	mu   sync.Mutex
	last int
	runs map[effect][]int
}

type effect struct {
	request string
	step    int
}

// run does a step's work, and returns the number of that run.
func (e *effects) run(request string, step int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	if e.runs == nil {
		e.runs = make(map[effect][]int)
	}
	e.runs[effect{request, step}] = append(e.runs[effect{request, step}], e.last)
	return e.last
}

func (e *effects) of(request string, step int) []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[effect{request, step}]
}

// kinds registers the rules; outside is what steps do.
func kinds(outside *effects) func(*actor.Registry) {
	return func(r *actor.Registry) {
		actor.On(r, add, func(s *leaf, _ *actor.Ctx, o order) (int, error) {
			s.Total += o.Amount
			s.By = append(s.By, o.By)
			return s.Total, nil
		})
		actor.On(r, addAndReply, func(s *leaf, c *actor.Ctx, o order) (none actor.None, err error) {
			s.Total += o.Amount
			s.By = append(s.By, o.By)
			replied.Send(c, coordinatorKind.Get(c.Client(), o.By), order{By: c.Key()[0], Amount: s.Total})
			return none, nil
		})
		actor.On(r, addAlong, func(s *leaf, c *actor.Ctx, o order) (int, error) {
			s.Total += o.Amount
			s.By = append(s.By, o.By)
			if o.Hops == 0 {
				return s.Total, nil
			}
			o.Hops--
			next, err := strconv.Atoi(c.Key()[0])
			if err != nil {
				return 0, err
			}
			rest, err := addAlong.Call(c, leafKind.GetOrCreate(c.Client(), leafKey(next+1)), o)
			return s.Total + rest, err
		})

		actor.On(r, fanOut, func(s *coordinator, c *actor.Ctx, n int) (int, error) {
			for i := range n {
				got, err := add.Call(c, leafKind.GetOrCreate(c.Client(), leafKey(i)), order{By: c.Key()[0], Amount: 1})
				if err != nil {
					return 0, err
				}
				s.Sum += got
			}
			return s.Sum, nil
		})
		actor.On(r, fanOutAtOnce, func(s *coordinator, c *actor.Ctx, n int) (int, error) {
			got, errs := make([]int, n), make([]error, n)
			var calls sync.WaitGroup
			for i := range n {
				calls.Go(func() {
					got[i], errs[i] = add.Call(c, leafKind.GetOrCreate(c.Client(), leafKey(i)), order{By: c.Key()[0], Amount: 1})
				})
			}
			calls.Wait()
			for i := range n {
				if errs[i] != nil {
					return 0, errs[i]
				}
				s.Sum += got[i]
			}
			return s.Sum, nil
		})
		actor.On(r, chain, func(s *coordinator, c *actor.Ctx, hops int) (int, error) {
			got, err := addAlong.Call(c, leafKind.GetOrCreate(c.Client(), leafKey(0)), order{By: c.Key()[0], Amount: 1, Hops: hops})
			s.Sum += got
			return s.Sum, err
		})
		actor.On(r, spread, func(_ *coordinator, c *actor.Ctx, n int) (none actor.None, err error) {
			for i := range n {
				addAndReply.Send(c, leafKind.GetOrCreate(c.Client(), leafKey(i)), order{By: c.Key()[0], Amount: 1})
			}
			return none, nil
		})
		actor.On(r, replied, func(s *coordinator, _ *actor.Ctx, o order) (none actor.None, err error) {
			if s.Replies == nil {
				s.Replies = make(map[string]int)
			}
			s.Replies[o.By]++
			s.Sum += o.Amount
			return none, nil
		})
		actor.On(r, pay, func(s *coordinator, c *actor.Ctx, n int) ([]int, error) {
			var runs []int
			for i := range n {
				run, err := actor.Run(c, fmt.Sprintf("payment %d", i), func(context.Context) (int, error) {
					return outside.run(c.RequestID(), i), nil
				})
				if err != nil {
					return nil, err
				}
				runs = append(runs, run)
			}
			s.Runs, s.Request = append(s.Runs, runs...), c.RequestID()
			return runs, nil
		})
	}
}

// requireLeaves checks that every leaf was asked once by each of those.
func requireLeaves(t *testing.T, w *actortest.World, n int, by ...string) {
	t.Helper()
	for i := range n {
		l, err := leafKind.Get(w.Client, leafKey(i)).Read(t.Context())
		require.NoError(t, err, "leaf %d", i)
		require.ElementsMatch(t, by, l.By, "leaf %d", i)
		require.Len(t, by, l.Total, "leaf %d", i)
	}
}

// A fan-out over 100 actors, one call after the other: whenever the worker dies, every leaf is asked once, and the sum is right.
func TestCrashBetweenCalls(t *testing.T) {
	t.Parallel()
	const leaves = 100
	crashTest{
		register: kinds(nil), stride: 17,
		act: func(ctx context.Context, w *actortest.World) error {
			sum, err := fanOut.Call(ctx, coordinatorKind.GetOrCreate(w.Client, "a"), leaves)
			return result(leaves, sum, err)
		},
		check: func(t *testing.T, w *actortest.World) {
			requireLeaves(t, w, leaves, "a")
			sum, err := fanOut.Call(t.Context(), coordinatorKind.GetOrCreate(w.Client, "b"), leaves)
			require.NoError(t, err)
			require.Equal(t, 2*leaves, sum)
			requireLeaves(t, w, leaves, "a", "b")
		},
	}.run(t)
}

// The same with all calls at once, by goroutines of the action.
func TestCrashBetweenCallsAtOnce(t *testing.T) {
	t.Parallel()
	const leaves = 20
	crashTest{
		register: kinds(nil), stride: 5,
		act: func(ctx context.Context, w *actortest.World) error {
			sum, err := fanOutAtOnce.Call(ctx, coordinatorKind.GetOrCreate(w.Client, "a"), leaves)
			return result(leaves, sum, err)
		},
		check: func(t *testing.T, w *actortest.World) { requireLeaves(t, w, leaves, "a") },
	}.run(t)
}

// A fan-out by messages, to which every leaf replies with a message: each is delivered once.
func TestCrashBetweenMessages(t *testing.T) {
	t.Parallel()
	const leaves = 100
	crashTest{
		register: kinds(nil), stride: 37,
		act: func(ctx context.Context, w *actortest.World) error {
			_, err := spread.Call(ctx, coordinatorKind.GetOrCreate(w.Client, "a"), leaves)
			time.Sleep(10 * time.Second) // for the replies
			return err
		},
		check: func(t *testing.T, w *actortest.World) {
			requireLeaves(t, w, leaves, "a")
			s, err := coordinatorKind.Get(w.Client, "a").Read(t.Context())
			require.NoError(t, err)
			require.Len(t, s.Replies, leaves)
			require.Equal(t, leaves, s.Sum, "a reply was delivered twice")
		},
	}.run(t)
}

// A chain of calls: coordinator, leaf 0, leaf 1, ...
func TestCrashAlongAChain(t *testing.T) {
	t.Parallel()
	const hops = 5
	crashTest{
		register: kinds(nil), stride: 1,
		act: func(ctx context.Context, w *actortest.World) error {
			sum, err := chain.Call(ctx, coordinatorKind.GetOrCreate(w.Client, "a"), hops)
			return result(hops+1, sum, err)
		},
		check: func(t *testing.T, w *actortest.World) { requireLeaves(t, w, hops+1, "a") },
	}.run(t)
}

// Two actions of one coordinator, and the outcome of the first is slow. Were the second to call while the first may still be lost, a leaf would
// take the first, when it is run again, for one that is over.
func TestCrashBetweenActions(t *testing.T) {
	t.Parallel()
	const leaves = 4
	crashTest{
		register: kinds(nil), stride: 3, slowly: 20 * appendTime,
		act: func(ctx context.Context, w *actortest.World) error {
			var errs [2]error
			var calls sync.WaitGroup
			for i := range errs {
				calls.Go(func() {
					_, errs[i] = fanOut.Call(ctx, coordinatorKind.GetOrCreate(w.Client, "a"), leaves)
				})
			}
			calls.Wait()
			return errors.Join(errs[:]...)
		},
		check: func(t *testing.T, w *actortest.World) {
			requireLeaves(t, w, leaves, "a", "a")
			s, err := coordinatorKind.Get(w.Client, "a").Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, leaves+2*leaves, s.Sum)
		},
	}.run(t)
}

// Steps: once the result of one is in the log, it does not run again. Only one whose result had no time to get there does.
func TestCrashBetweenSteps(t *testing.T) {
	t.Parallel()
	const steps = 12
	outside := new(effects)
	crashTest{
		register: kinds(outside), stride: 1,
		act: func(ctx context.Context, w *actortest.World) error {
			_, err := pay.Call(ctx, coordinatorKind.GetOrCreate(w.Client, "a"), steps)
			return err
		},
		check: func(t *testing.T, w *actortest.World) {
			s, err := coordinatorKind.Get(w.Client, "a").Read(t.Context())
			require.NoError(t, err)
			require.Len(t, s.Runs, steps)
			again := 0
			for i, recorded := range s.Runs {
				runs := outside.of(s.Request, i)
				require.Equal(t, recorded, runs[len(runs)-1], "step %d ran again after its result was recorded", i)
				again += len(runs) - 1
			}
			require.LessOrEqual(t, again, 1, "one death can cost one step a second run")
		},
	}.run(t)
}

// result says what is wrong with one.
func result(want, got int, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("the result is %d, not %d", got, want)
	}
	return err
}
