package actortest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// node is an actor whose rules a test gives by name.
type node struct {
	Log []string `json:"log"`
}

// rules is what the action run does, by its argument. An argument that has no rule is only noted.
type rules map[string]func(s *node, c *actor.Ctx) (string, error)

var (
	nodeKind = actor.New[node]("node")
	run      = actor.Action[string, string](nodeKind, "run")
	unruled  = actor.Action[string, string](nodeKind, "unruled")

	strangerKind = actor.New[node]("stranger")
	strangerRun  = actor.Action[string, string](strangerKind, "run")
)

func (r rules) register(to *actor.Registry) {
	actor.On(to, run, func(s *node, c *actor.Ctx, name string) (string, error) {
		s.Log = append(s.Log, name)
		if rule := r[name]; rule != nil {
			return rule(s, c)
		}
		return c.Key()[0] + " " + name, nil
	})
}

func at(c actor.Caller, key string) actor.Handle[node] { return nodeKind.GetOrCreate(c, key) }

// logOf is what was noted, nothing of an actor that does not exist.
func logOf(t *testing.T, w *actortest.World, key string) []string {
	t.Helper()
	s, err := nodeKind.Get(w.Client, key).Read(t.Context())
	if errors.Is(err, actor.ErrNotFound) {
		return nil
	}
	require.NoError(t, err)
	return s.Log
}

// outcomes is what the log says became of the actions of one actor.
func outcomes(t *testing.T, w *actortest.World, kind string, key ...string) []*actorlogv1.Outcome {
	t.Helper()
	hash := schemas.HashOf(actor.DefaultNamespace, kind, key)
	var all []*actorlogv1.Outcome
	for _, r := range w.Cluster.Records(eventlog.Events, hash.Shard(actortest.Shards)) {
		if schemas.Type(r.Header(schemas.HeaderType)) == schemas.TypeOutcome && string(r.Key) == string(hash[:]) {
			o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeOutcome, r.Value)
			require.NoError(t, err)
			all = append(all, o)
		}
	}
	return all
}

func TestCall(t *testing.T) {
	t.Parallel()
	// refused has an actor make a call, and returns what it was told.
	refused := func(t *testing.T, call func(c *actor.Ctx) error) error {
		var told error
		w := actortest.New(t, rules{
			"call":    func(_ *node, c *actor.Ctx) (string, error) { told = call(c); return "", nil },
			"refuse":  func(*node, *actor.Ctx) (string, error) { return "", actor.UserError("no", "No.").With(1) },
			"fail":    func(*node, *actor.Ctx) (string, error) { return "", errors.New("the database is down") },
			"destroy": func(_ *node, c *actor.Ctx) (string, error) { c.Destroy(); return "bye", nil },
		}.register)
		_, err := run.Call(t.Context(), at(w.Client, "a"), "call")
		require.NoError(t, err)
		return told
	}
	for name, test := range map[string]struct {
		call func(c *actor.Ctx) error
		want error
	}{
		"to a missing actor": {func(c *actor.Ctx) error {
			_, err := run.Call(c, nodeKind.Get(c.Client(), "b"), "x")
			return err
		}, actor.ErrNotFound},
		"to a destroyed actor": {func(c *actor.Ctx) error {
			if _, err := run.Call(c, at(c.Client(), "b"), "destroy"); err != nil {
				return err
			}
			_, err := run.Call(c, nodeKind.Get(c.Client(), "b"), "x")
			return err
		}, actor.ErrNotFound},
		"by the id of an earlier life": {func(c *actor.Ctx) error {
			id, err := at(c.Client(), "b").Resolve(c)
			if err != nil {
				return err
			}
			if err := nodeKind.Get(c.Client(), "b").Destroy(c); err != nil {
				return err
			}
			if _, err := run.Call(c, at(c.Client(), "b"), "x"); err != nil {
				return err
			}
			_, err = run.Call(c, nodeKind.GetForID(c.Client(), id), "x")
			return err
		}, actor.ErrNotFound},
		"to a kind that nobody has": {func(c *actor.Ctx) error {
			_, err := strangerRun.Call(c, strangerKind.GetOrCreate(c.Client(), "b"), "x")
			return err
		}, actor.ErrKindNotFound},
		"of an action that the kind has not": {func(c *actor.Ctx) error {
			_, err := unruled.Call(c, at(c.Client(), "b"), "x")
			return err
		}, actor.ErrActionNotFound},
		"that is refused": {func(c *actor.Ctx) error {
			_, err := run.Call(c, at(c.Client(), "b"), "refuse")
			return err
		}, actor.UserError("no", "")},
		"that fails": {func(c *actor.Ctx) error {
			_, err := run.Call(c, at(c.Client(), "b"), "fail")
			return err
		}, actor.ErrInternal},
		"of itself": {func(c *actor.Ctx) error {
			_, err := run.Call(c, at(c.Client(), "a"), "x")
			if err != nil && !strings.Contains(err.Error(), "node/a -> node/a.") {
				return fmt.Errorf("the error does not name the chain: %w", errors.Unwrap(err))
			}
			return err
		}, actor.ErrCallCycle},
		"that succeeds": {func(c *actor.Ctx) error {
			got, err := run.Call(c, at(c.Client(), "b"), "x")
			if err == nil && got != "b x" {
				return fmt.Errorf("got %q", got)
			}
			return err
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				err := refused(t, test.call)
				if test.want == nil {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, test.want)
			})
		})
	}
}

// a calls b, b calls c, and c calls a, which waits: it would wait for ever.
func TestCallCycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pass := func(to string) func(*node, *actor.Ctx) (string, error) {
			return func(_ *node, c *actor.Ctx) (string, error) { return run.Call(c, at(c.Client(), to), "to "+nextOf[to]) }
		}
		w := actortest.New(t, rules{"to b": pass("b"), "to c": pass("c"), "to a": pass("a")}.register)
		began := time.Now()
		_, err := run.Call(t.Context(), at(w.Client, "a"), "to b")
		require.ErrorIs(t, err, actor.ErrCallCycle)
		require.ErrorContains(t, err, "node/a -> node/b -> node/c -> node/a.")
		require.Less(t, time.Since(began), time.Second)
		require.Empty(t, logOf(t, w, "a"), "a failed action leaves nothing")
	})
}

var nextOf = map[string]string{"a": "b", "b": "c", "c": "a"}

// Whoever sent a message waits for nothing: it can be called by the one that got it.
func TestCallOfTheSender(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, rules{
			"send": func(_ *node, c *actor.Ctx) (string, error) {
				run.Send(c, at(c.Client(), "b"), "call back")
				return "", nil
			},
			"call back": func(_ *node, c *actor.Ctx) (string, error) {
				by := c.Caller().Actor
				return run.Call(c, at(c.Client(), by.Key[0]), "called back")
			},
		}.register)
		_, err := run.Call(t.Context(), at(w.Client, "a"), "send")
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, []string{"call back"}, logOf(t, w, "b"))
		require.Equal(t, []string{"send", "called back"}, logOf(t, w, "a"))
	})
}

// A callee that takes too long: it is stopped when its caller stops waiting, and neither leaves anything.
func TestCallTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calleeDeadline := make(chan time.Duration, 1)
		w := actortest.NewWith(t, host.Config{ActionTimeout: 10 * time.Second}, rules{
			"call": func(_ *node, c *actor.Ctx) (string, error) {
				time.Sleep(4 * time.Second)
				return run.Call(c, at(c.Client(), "b"), "hang")
			},
			"hang": func(_ *node, c *actor.Ctx) (string, error) {
				d, _ := c.Deadline()
				calleeDeadline <- time.Until(d)
				<-c.Done()
				return "", c.Err()
			},
		}.register)
		began := time.Now()
		_, err := run.Call(t.Context(), at(w.Client, "a"), "call")
		require.ErrorIs(t, err, actor.ErrTimedOut)
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, 6*time.Second, <-calleeDeadline, "what is left of the caller's time")
		time.Sleep(time.Second)
		require.Empty(t, logOf(t, w, "a"))
		require.Empty(t, logOf(t, w, "b"))
	})
}

// A caller stops waiting while its call still waits for the callee's turn: it does not run any more.
func TestCallGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, rules{
			"nap": func(*node, *actor.Ctx) (string, error) { time.Sleep(5 * time.Second); return "", nil },
			"call": func(_ *node, c *actor.Ctx) (string, error) {
				hasty, cancel := context.WithTimeout(c, time.Second)
				defer cancel()
				_, err := run.Call(hasty, at(c.Client(), "b"), "too late")
				if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, actor.ErrTimedOut) {
					return "", fmt.Errorf("want a timeout: %w", err)
				}
				return run.Call(c, at(c.Client(), "b"), "in time")
			},
		}.register)
		go func() { _, _ = run.Call(t.Context(), at(w.Client, "b"), "nap") }()
		synctest.Wait()
		_, err := run.Call(t.Context(), at(w.Client, "a"), "call")
		require.NoError(t, err)
		require.Equal(t, []string{"nap", "in time"}, logOf(t, w, "b"))
	})
}

// A call is under way when all workers go, for longer than any action may take. When they are back, it is made again.
func TestCallAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, rules{
			"send": func(_ *node, c *actor.Ctx) (string, error) {
				run.Send(c, at(c.Client(), "b"), "call")
				return "", nil
			},
			"call": func(_ *node, c *actor.Ctx) (string, error) { return run.Call(c, at(c.Client(), "c"), "called") },
			"nap":  func(*node, *actor.Ctx) (string, error) { time.Sleep(5 * time.Second); return "", nil },
		}.register)
		go func() { _, _ = run.Call(t.Context(), at(w.Client, "c"), "nap") }()
		synctest.Wait()
		_, err := run.Call(t.Context(), at(w.Client, "a"), "send")
		require.NoError(t, err)
		time.Sleep(time.Second)
		w.Kill()
		time.Sleep(10 * time.Minute)
		w.StartWorker()
		time.Sleep(time.Minute)
		require.Equal(t, []string{"nap", "called"}, logOf(t, w, "c"))
		require.Equal(t, []string{"call"}, logOf(t, w, "b"))
	})
}

func TestCallOverloaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.NewWith(t, host.Config{MailboxSize: 1}, rules{
			"nap": func(*node, *actor.Ctx) (string, error) { time.Sleep(5 * time.Second); return "", nil },
			"call": func(_ *node, c *actor.Ctx) (string, error) {
				for tries := 0; ; tries++ {
					_, err := run.Call(c, at(c.Client(), "b"), "called")
					if !errors.Is(err, actor.ErrOverloaded) || tries == 20 {
						return fmt.Sprint(tries), err
					}
					time.Sleep(700 * time.Millisecond)
				}
			},
		}.register)
		var others sync.WaitGroup
		for range 3 {
			others.Go(func() { _, _ = run.Call(t.Context(), at(w.Client, "b"), "nap") })
		}
		synctest.Wait()
		tries, err := run.Call(t.Context(), at(w.Client, "a"), "call")
		require.NoError(t, err)
		require.Equal(t, "8", tries, "each try was a call of its own, and refused until there was room")
		others.Wait()
		require.Equal(t, []string{"nap", "nap", "called"}, logOf(t, w, "b"))
	})
}

func TestCallWithALargeResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 3 << 20
		w := actortest.New(t, rules{
			"large": func(*node, *actor.Ctx) (string, error) { return strings.Repeat("a", size), nil },
			"huge":  func(*node, *actor.Ctx) (string, error) { return strings.Repeat("a", 9<<20), nil },
			"call": func(_ *node, c *actor.Ctx) (string, error) {
				got, err := run.Call(c, at(c.Client(), "b"), "large")
				return fmt.Sprint(len(got)), err
			},
			"call huge": func(_ *node, c *actor.Ctx) (string, error) { return run.Call(c, at(c.Client(), "b"), "huge") },
		}.register)
		got, err := run.Call(t.Context(), at(w.Client, "a"), "call")
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(size), got)
		_, err = run.Call(t.Context(), at(w.Client, "a"), "call huge")
		require.ErrorIs(t, err, actor.ErrTooLarge)
		require.Equal(t, []string{"large"}, logOf(t, w, "b"))
	})
}

// A coordinator has called, and waits for something else, while a thousand and more other requests with keys come to the one it called. Then
// the worker dies. What the coordinator asked is not forgotten for all the others.
func TestCallIsRememberedAmongManyKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var naps atomic.Int64
		w := actortest.New(t, rules{
			"call": func(_ *node, c *actor.Ctx) (string, error) {
				if _, err := run.Call(c, at(c.Client(), "b"), "from a"); err != nil {
					return "", err
				}
				if naps.Add(1) == 1 {
					<-c.Done()
				}
				return run.Call(c, at(c.Client(), "b"), "from a again")
			},
		}.register)
		over := make(chan error, 1)
		go func() {
			_, err := run.Call(t.Context(), at(w.Client, "a"), "call")
			over <- err
		}()
		synctest.Wait()
		const others = 1500
		for i := range others {
			_, err := run.Call(t.Context(), at(w.Client, "b").Idempotent(fmt.Sprint(i)), "other")
			require.NoError(t, err)
			_, err = run.Call(t.Context(), at(w.Client, fmt.Sprint("other", i%50)), "other")
			require.NoError(t, err)
		}
		w.Crash()
		require.NoError(t, <-over)
		log := slices.DeleteFunc(logOf(t, w, "b"), func(s string) bool { return s == "other" })
		require.Equal(t, []string{"from a", "from a again"}, log)
		require.EqualValues(t, 2, naps.Load())
	})
}

// An actor that thousands call and send to remembers only what may come again.
func TestHotActorForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, rules{
			"call": func(_ *node, c *actor.Ctx) (string, error) { return run.Call(c, at(c.Client(), "hot"), "") },
			"send": func(_ *node, c *actor.Ctx) (string, error) {
				run.Send(c, at(c.Client(), "hot"), "")
				return "", nil
			},
		}.register)
		for i := range 1000 {
			for _, how := range []string{"call", "send"} {
				_, err := run.Call(t.Context(), at(w.Client, fmt.Sprint(i)), how)
				require.NoError(t, err)
			}
		}
		time.Sleep(time.Second)
		require.Len(t, logOf(t, w, "hot"), 2000)
		w.Stop(w.Workers()[0]) // its checkpoint has a snapshot
		hash := schemas.HashOf(actor.DefaultNamespace, "node", schemas.Key{"hot"})
		var latest *actorlogv1.Snapshot
		for _, r := range w.Cluster.Records(eventlog.Snapshots, hash.Shard(actortest.Shards)) {
			if string(r.Key) == string(hash[:]) {
				s, err := schemas.DecodeAs[*actorlogv1.Snapshot](schemas.TypeSnapshot, r.Value)
				require.NoError(t, err)
				latest = s
			}
		}
		require.NotNil(t, latest)
		require.LessOrEqual(t, len(latest.Asked), 4*actortest.Shards)
		require.LessOrEqual(t, len(latest.Settled), actortest.Shards)
	})
}

func TestSend(t *testing.T) {
	t.Parallel()
	send := func(key, what string) func(*node, *actor.Ctx) (string, error) {
		return func(_ *node, c *actor.Ctx) (string, error) {
			run.Send(c, at(c.Client(), key), what)
			return "", nil
		}
	}
	world := func(t *testing.T, r rules) *actortest.World { return actortest.New(t, r.register) }
	do := func(t *testing.T, w *actortest.World, key, what string) {
		t.Helper()
		_, err := run.Call(t.Context(), at(w.Client, key), what)
		require.NoError(t, err)
	}

	t.Run("to a missing actor changes nothing, and only the log knows", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := world(t, rules{"send": func(_ *node, c *actor.Ctx) (string, error) {
				run.Send(c, nodeKind.Get(c.Client(), "b"), "x")
				return "", nil
			}})
			do(t, w, "a", "send")
			time.Sleep(time.Minute)
			require.Nil(t, logOf(t, w, "b"))
			all := outcomes(t, w, "node", "b")
			require.NotEmpty(t, all)
			require.Equal(t, actor.ErrNotFound.Code, all[0].Error.GetCode())
			require.NotNil(t, all[0].Action.Origin)
		})
	})
	t.Run("of one actor to another arrives in order", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			const actions, each = 20, 10
			next := 0
			w := world(t, rules{"send": func(_ *node, c *actor.Ctx) (string, error) {
				for range each {
					run.Send(c, at(c.Client(), "b"), fmt.Sprint(next))
					next++
				}
				return "", nil
			}})
			var want []string
			for i := range actions * each {
				want = append(want, fmt.Sprint(i))
			}
			for range actions {
				do(t, w, "a", "send")
			}
			time.Sleep(time.Second)
			require.Equal(t, want, logOf(t, w, "b"))
		})
	})
	t.Run("arrives in order when appends fail", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			const each = 10
			w := world(t, rules{"send": func(_ *node, c *actor.Ctx) (string, error) {
				for i := range each {
					run.Send(c, at(c.Client(), "b"), fmt.Sprint(i))
				}
				return "", nil
			}})
			do(t, w, "a", "x")
			do(t, w, "b", "x")
			p := schemas.HashOf(actor.DefaultNamespace, "node", schemas.Key{"b"}).Shard(actortest.Shards)
			w.Cluster.SetFaults(func(write memlog.Write) memlog.Fault {
				if write.Topic == eventlog.Actions && write.Partition == p && write.Client == w.Workers()[0].Log() {
					return memlog.Fault{Err: errors.New("the brokers are away")}
				}
				return memlog.Fault{}
			})
			do(t, w, "a", "send")
			time.Sleep(10 * time.Second)
			w.Cluster.SetFaults(nil)
			do(t, w, "a", "send")
			time.Sleep(10 * time.Second)
			want := []string{"x"}
			for i := range 2 * each {
				want = append(want, fmt.Sprint(i%each))
			}
			require.Equal(t, want, logOf(t, w, "b"))
		})
	})
	t.Run("by id", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var id string
			w := world(t, rules{"send": func(_ *node, c *actor.Ctx) (string, error) {
				run.Send(c, nodeKind.GetForID(c.Client(), id), "hello")
				return "", nil
			}})
			var err error
			id, err = at(w.Client, "b").Resolve(t.Context())
			require.NoError(t, err)
			do(t, w, "a", "send")
			time.Sleep(time.Second)
			require.Equal(t, []string{"hello"}, logOf(t, w, "b"))
		})
	})
	t.Run("to itself", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := world(t, rules{"send": send("a", "hello")})
			do(t, w, "a", "send")
			time.Sleep(time.Second)
			require.Equal(t, []string{"send", "hello"}, logOf(t, w, "a"))
		})
	})
	t.Run("is not when the action fails", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := world(t, rules{
				"fail": func(s *node, c *actor.Ctx) (string, error) {
					_, _ = send("b", "x")(s, c)
					return "", errors.New("no")
				},
				"panic": func(s *node, c *actor.Ctx) (string, error) {
					_, _ = send("b", "x")(s, c)
					panic("no")
				},
			})
			for _, what := range []string{"fail", "panic"} {
				_, err := run.Call(t.Context(), at(w.Client, "a"), what)
				require.ErrorIs(t, err, actor.ErrInternal)
			}
			time.Sleep(time.Minute)
			require.Empty(t, outcomes(t, w, "node", "b"))
		})
	})
	t.Run("from OnCreate and OnWake stands even if the action fails", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := actortest.New(t, func(r *actor.Registry) {
				rules{"fail": func(*node, *actor.Ctx) (string, error) { return "", errors.New("no") }}.register(r)
				hook := func(what string, c *actor.Ctx) {
					if c.Key()[0] == "a" {
						run.Send(c, at(c.Client(), "b"), what)
					}
				}
				actor.OnCreate(r, nodeKind, func(_ *node, c *actor.Ctx, _ actor.None) error { hook("created", c); return nil })
				actor.OnWake(r, nodeKind, func(_ *node, c *actor.Ctx) error { hook("woke", c); return nil })
			})
			_, err := run.Call(t.Context(), at(w.Client, "a"), "fail")
			require.ErrorIs(t, err, actor.ErrInternal)
			time.Sleep(time.Second)
			require.Equal(t, []string{"created", "woke"}, logOf(t, w, "b"))
			w.Crash()
			do(t, w, "a", "x")
			time.Sleep(time.Second)
			require.Equal(t, []string{"created", "woke", "woke"}, logOf(t, w, "b"))
		})
	})
	t.Run("with what a message cannot carry fails the action", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := world(t, rules{
				"key": func(_ *node, c *actor.Ctx) (string, error) {
					run.Send(c, at(c.Client(), "b").Idempotent("k"), "x")
					return "", nil
				},
				"params": func(_ *node, c *actor.Ctx) (string, error) {
					run.Send(c, at(c.Client(), "b").WithParams(1), "x")
					return "", nil
				},
			})
			for _, what := range []string{"key", "params"} {
				_, err := run.Call(t.Context(), at(w.Client, "a"), what)
				require.ErrorIs(t, err, actor.ErrInternal, what)
			}
		})
	})
}

// A step whose result cannot be recorded fails, then and in every further run, and those after it are recorded all the same.
func TestStepThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var first, second, hung atomic.Int64
		w := actortest.New(t, rules{"pay": func(_ *node, c *actor.Ctx) (string, error) {
			_, err := actor.Run(c, "too large", func(context.Context) (string, error) {
				first.Add(1)
				return strings.Repeat("a", 9<<20), nil
			})
			if err == nil {
				return "", errors.New("a result of 9 MiB was recorded")
			}
			_, err = actor.Run(c, "no JSON", func(context.Context) (chan int, error) { return make(chan int), nil })
			if err == nil {
				return "", errors.New("a channel was recorded")
			}
			got, err := actor.Run(c, "payment", func(context.Context) (int64, error) { return second.Add(1), nil })
			if err == nil && hung.Add(1) == 1 {
				<-c.Done()
			}
			return fmt.Sprint(got), err
		}}.register)
		over := make(chan string, 1)
		go func() {
			got, err := run.Call(t.Context(), at(w.Client, "a"), "pay")
			over <- fmt.Sprint(got, err)
		}()
		synctest.Wait()
		w.Crash()
		require.Equal(t, "1<nil>", <-over)
		require.EqualValues(t, 1, first.Load())
		require.EqualValues(t, 1, second.Load())
	})
}
