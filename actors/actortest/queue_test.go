package actortest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
)

// A kitchen takes orders from a queue in its loop, and cooks them.
type kitchen struct{ Cooked []string }

var (
	kitchens  = actor.New[kitchen]("kitchen")
	cook      = actor.Action[dishOrder, int](kitchens, "cook")
	cooked    = actor.Action[actor.None, []string](kitchens, "cooked")
	burn      = actor.Action[actor.None, actor.None](kitchens, "burn")
	shut      = actor.Action[actor.None, actor.None](kitchens, "shut")
	pass      = actor.Action[string, actor.None](kitchens, "pass")
	orders    = actor.Queue[string, string](kitchens, "orders")
	vip       = actor.Queue[string, actor.None](kitchens, "vip")
	junk      = actor.Queue[string, actor.None](kitchens, "junk")
	forgotten = actor.Queue[string, actor.None](kitchens, "forgotten")
)

type dishOrder struct {
	ID   int64
	Dish string
}

// staff is what happens in the kitchens of one world.
type staff struct {
	mu     sync.Mutex
	fails  []host.ActionFailed
	starts int
	ends   []error
	run    func(l *actor.Loop) error
	taken  []string
}

func (f *staff) register(r *actor.Registry) {
	actor.Accept(r, orders)
	actor.Accept(r, forgotten)
	actor.CanPublish(r, vip, func(_ *kitchen, c *actor.Ctx) (bool, error) {
		var who string
		return c.Conn() != nil && c.Conn().Params(&who) == nil && who == "king", nil
	})
	actor.On(r, cook, func(s *kitchen, c *actor.Ctx, o dishOrder) (int, error) {
		s.Cooked = append(s.Cooked, o.Dish)
		orders.Complete(c, o.ID, "fresh "+o.Dish)
		orders.Complete(c, o.ID, "stale "+o.Dish)
		return len(s.Cooked), nil
	})
	actor.On(r, cooked, func(s *kitchen, _ *actor.Ctx, _ actor.None) ([]string, error) { return s.Cooked, nil })
	actor.On(r, burn, func(*kitchen, *actor.Ctx, actor.None) (none actor.None, err error) {
		time.Sleep(2 * time.Minute)
		return none, nil
	})
	actor.On(r, shut, func(_ *kitchen, c *actor.Ctx, _ actor.None) (none actor.None, err error) {
		c.Destroy()
		return none, nil
	})
	actor.On(r, pass, func(_ *kitchen, c *actor.Ctx, dish string) (none actor.None, err error) {
		return none, orders.Send(c, kitchens.GetOrCreate(c.Client(), "next door"), dish)
	})
	actor.OnRun(r, kitchens, func(l *actor.Loop) error {
		f.mu.Lock()
		f.starts++
		run := f.run
		f.mu.Unlock()
		err := run(l)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ends = append(f.ends, err)
		return err
	})
}

// inAction takes one dishOrder after the other, and completes each with the action that cooks it.
func (f *staff) inAction(l *actor.Loop) error {
	for {
		m, err := orders.Next(l)
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.taken = append(f.taken, m.Body)
		f.mu.Unlock()
		if _, err := cook.Call(l, kitchens.Self(l), dishOrder{m.ID, m.Body}); err != nil && !errors.Is(err, actor.ErrCompleted) {
			return err
		}
	}
}

func (f *staff) do(run func(l *actor.Loop) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run = run
}

func (f *staff) loops() (starts int, ends []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts, append([]error{}, f.ends...)
}

func (f *staff) failures() []host.ActionFailed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]host.ActionFailed{}, f.fails...)
}

func open(t *testing.T, story func(t *testing.T, w *actortest.World, f *staff)) {
	t.Helper()
	t.Parallel()
	bubble(t, func(t *testing.T) {
		f := new(staff)
		f.run = f.inAction
		cfg := host.Config{Events: host.EventListener{ActionFailed: func(failed host.ActionFailed) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.fails = append(f.fails, failed)
		}}}
		story(t, actortest.NewWith(t, cfg, f.register), f)
	})
}

func kitchenOf(w *actortest.World) actor.Handle[kitchen] { return kitchens.GetOrCreate(w.Client, "a") }

func cookedBy(t *testing.T, w *actortest.World) []string {
	t.Helper()
	all, err := cooked.Call(t.Context(), kitchenOf(w), actor.None{})
	require.NoError(t, err)
	return all
}

// Orders are sent, wake the kitchen, are cooked in turn and answered.
func TestQueue(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		reply, err := orders.SendAndWait(t.Context(), kitchenOf(w), "soup")
		require.NoError(t, err)
		require.Equal(t, "fresh soup", reply, "an action that completes twice completes once")
		require.NoError(t, orders.Send(t.Context(), kitchenOf(w), "fish"))
		time.Sleep(time.Second)
		require.Equal(t, []string{"soup", "fish"}, cookedBy(t, w))
		time.Sleep(asleep)
		starts, ends := f.loops()
		require.Equal(t, 1, starts)
		require.Len(t, ends, 1, "the loop ended when the actor went to sleep")
		require.ErrorIs(t, ends[0], context.Canceled)
		require.Empty(t, f.failures(), "which is no failure")
		reply, err = orders.SendAndWait(t.Context(), kitchenOf(w), "cake")
		require.NoError(t, err)
		require.Equal(t, "fresh cake", reply)
		_, a := history(t, w, "kitchen", "a")
		require.Empty(t, a.Queue)
	})
}

// A sender waits as long as it likes; the dishOrder stays.
func TestQueue_SenderGivesUp(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		gate := make(chan struct{})
		f.do(func(l *actor.Loop) error {
			select {
			case <-gate:
				return f.inAction(l)
			case <-l.Done():
				return l.Err()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		_, err := orders.SendAndWait(ctx, kitchenOf(w), "soup")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 20, seconds(began))
		time.Sleep(asleep)
		close(gate)
		time.Sleep(time.Second)
		require.Equal(t, []string{"soup"}, cookedBy(t, w), "the loop is not put to sleep while an dishOrder waits that it may take")
	})
}

// The actor is destroyed while somebody waits for an dishOrder: there will be no answer, and that is the answer.
func TestQueue_Destroyed(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		f.do(func(l *actor.Loop) error { <-l.Done(); return l.Err() })
		answered := make(chan error, 1)
		go func() {
			_, err := orders.SendAndWait(t.Context(), kitchenOf(w), "soup")
			answered <- err
		}()
		time.Sleep(time.Second)
		_, err := shut.Call(t.Context(), kitchenOf(w), actor.None{})
		require.NoError(t, err)
		require.ErrorIs(t, <-answered, actor.ErrNotFound)
		time.Sleep(time.Second)
		starts, ends := f.loops()
		require.Equal(t, 1, starts)
		require.Len(t, ends, 1)
		f.do(f.inAction)
		require.Empty(t, cookedBy(t, w), "the next life has an empty queue")
	})
}

// The worker is killed at every append in turn while orders are taken, cooked and completed: each is cooked once, and every sender gets its answer.
func TestQueue_CrashAtEveryAppend(t *testing.T) {
	t.Parallel()
	for crashAt := range 12 {
		for _, written := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d written %v", crashAt, written), func(t *testing.T) {
				open(t, func(t *testing.T, w *actortest.World, f *staff) {
					hash := schemas.HashOf(actor.DefaultNamespace, "kitchen", schemas.Key{"a"})
					n, died := 0, make(chan struct{}, 1)
					w.Cluster.SetFaults(func(write memlog.Write) memlog.Fault {
						if write.Topic != eventlog.Events || write.Partition != hash.Shard(actortest.Shards) {
							return memlog.Fault{}
						}
						if n++; n != crashAt+1 {
							return memlog.Fault{}
						}
						died <- struct{}{}
						if written {
							return memlog.Fault{AckDelay: time.Minute}
						}
						return memlog.Fault{Delay: time.Minute}
					})
					var waiting sync.WaitGroup
					for i := range 4 {
						waiting.Go(func() {
							dish := fmt.Sprint("dish ", i)
							reply, err := orders.SendAndWait(t.Context(), kitchenOf(w), dish)
							require.NoError(t, err)
							require.Equal(t, "fresh "+dish, reply)
						})
					}
					select {
					case <-died:
						w.Crash()
					case <-time.After(time.Minute): // not so many appends
					}
					waiting.Wait()
					require.ElementsMatch(t, []string{"dish 0", "dish 1", "dish 2", "dish 3"}, cookedBy(t, w))
				})
			})
		}
	}
}

// A loop takes an dishOrder and fails before it is completed. The actor does not stay awake for it, and a new loop gets the dishOrder.
func TestQueue_LoopFails(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errStage }, "panic": func() error { panic("fire!") }, "returns": func() error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			open(t, func(t *testing.T, w *actortest.World, f *staff) {
				f.do(func(l *actor.Loop) error {
					_, err := orders.Next(l)
					require.NoError(t, err)
					f.do(f.inAction)
					return fail()
				})
				began := time.Now()
				reply, err := orders.SendAndWait(t.Context(), kitchenOf(w), "soup")
				require.NoError(t, err)
				require.Equal(t, "fresh soup", reply)
				require.LessOrEqual(t, seconds(began), 60)
				require.Equal(t, []string{"soup"}, cookedBy(t, w))
				if name == "returns" {
					require.Empty(t, f.failures())
					return
				}
				require.Len(t, f.failures(), 1)
				require.Equal(t, "OnRun", f.failures()[0].Action)
				if name == "panic" {
					require.Contains(t, f.failures()[0].Detail, "queue_test.go", "with its stack")
				}
			})
		})
	}
}

// An action that times out takes the activation along, and its loop: the orders that it had taken are taken again.
func TestQueue_ActivationTimesOut(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		f.do(func(l *actor.Loop) error {
			_, err := orders.Next(l)
			require.NoError(t, err)
			<-l.Done()
			return l.Err()
		})
		answered := make(chan string, 1)
		go func() {
			reply, _ := orders.SendAndWait(t.Context(), kitchenOf(w), "soup")
			answered <- reply
		}()
		time.Sleep(time.Second)
		_, err := burn.Call(t.Context(), kitchenOf(w), actor.None{})
		require.ErrorIs(t, err, actor.ErrTimedOut)
		f.do(f.inAction)
		began := time.Now()
		require.Equal(t, "fresh soup", <-answered)
		require.LessOrEqual(t, seconds(began), 60)
		time.Sleep(2 * time.Minute)
	})
}

// Orders that nobody takes do not keep an actor awake, and do not wake it over and over.
func TestQueue_NobodyTakes(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		require.NoError(t, forgotten.Send(t.Context(), kitchenOf(w), "dust"))
		time.Sleep(time.Hour)
		starts, _ := f.loops()
		require.Equal(t, 1, starts)
		_, a := history(t, w, "kitchen", "a")
		require.Len(t, a.Queue, 1)
	})
}

// Who may not publish is refused, and a queue that nobody declared drops its messages, as in Rivet.
func TestQueue_WhoMay(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, _ *staff) {
		require.ErrorIs(t, vip.Send(t.Context(), kitchenOf(w), "caviar"), actor.ErrForbidden)
		require.ErrorIs(t, vip.Send(t.Context(), kitchenOf(w).WithParams("pawn"), "caviar"), actor.ErrForbidden)
		require.NoError(t, vip.Send(t.Context(), kitchenOf(w).WithParams("king"), "caviar"))
		_, err := junk.SendAndWait(t.Context(), kitchenOf(w), "waste")
		require.NoError(t, err)
		_, a := history(t, w, "kitchen", "a")
		require.Len(t, a.Queue, 1)
		require.ErrorIs(t, orders.Send(t.Context(), kitchens.Get(w.Client, "nobody"), "soup"), actor.ErrNotFound)
	})
}

// A queue holds 1,000 messages of 64 KiB, through sleep and crashes; one more, or a longer one, is refused.
func TestQueue_Limits(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		gate := make(chan struct{})
		f.do(func(l *actor.Loop) error {
			select {
			case <-gate:
			case <-l.Done():
				return l.Err()
			}
			for {
				batch, err := orders.NextBatch(l, 64)
				if err != nil {
					return err
				}
				for _, m := range batch {
					f.mu.Lock()
					f.taken = append(f.taken, fmt.Sprint(len(m.Body), m.Body[:4]))
					f.mu.Unlock()
					if err := m.Complete(""); err != nil {
						return err
					}
				}
			}
		})
		size := actor.MaxMessageBytes - 2 // with its quotes
		require.ErrorIs(t, orders.Send(t.Context(), kitchenOf(w), strings.Repeat("x", size+1)), actor.ErrMessageTooLarge)
		var want []string
		for i := range actor.MaxQueued {
			require.NoError(t, orders.Send(t.Context(), kitchenOf(w), fmt.Sprintf("%04d", i)+strings.Repeat("x", size-4)))
			want = append(want, fmt.Sprint(size, fmt.Sprintf("%04d", i)))
			if i == 500 {
				w.Crash()
			}
		}
		require.ErrorIs(t, orders.Send(t.Context(), kitchenOf(w), "one too many"), actor.ErrQueueFull)
		time.Sleep(asleep)
		w.Crash()
		time.Sleep(asleep)
		for p := range int32(actortest.Shards) {
			for _, r := range w.Cluster.Records(eventlog.Snapshots, p) {
				require.Less(t, len(r.Value), 4<<20, "the bodies are left in the log")
			}
		}
		close(gate)
		time.Sleep(asleep)
		f.mu.Lock()
		require.Equal(t, want, f.taken)
		f.mu.Unlock()
		_, a := history(t, w, "kitchen", "a")
		require.Empty(t, a.Queue)
		require.NoError(t, orders.Send(t.Context(), kitchenOf(w), "there is room again"))
		runtime.KeepAlive(a)
	})
}

// Another actor's action puts a message into the queue once, although its worker dies and it is run again.
func TestQueue_FromAnAction(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		n := 0
		from := schemas.HashOf(actor.DefaultNamespace, "kitchen", schemas.Key{"a"})
		w.Cluster.SetFaults(func(write memlog.Write) memlog.Fault {
			if write.Topic == eventlog.Events && write.Partition == from.Shard(actortest.Shards) && string(write.Records[0].Key) == string(from[:]) {
				if n++; n == 1 { // the outcome of pass
					return memlog.Fault{Err: errors.New("the brokers are out")}
				}
			}
			return memlog.Fault{}
		})
		_, err := pass.Call(t.Context(), kitchenOf(w), "soup")
		require.NoError(t, err)
		time.Sleep(asleep)
		require.GreaterOrEqual(t, n, 2, "it was run again")
		all, err := cooked.Call(t.Context(), kitchens.Get(w.Client, "next door"), actor.None{})
		require.NoError(t, err)
		require.Equal(t, []string{"soup"}, all)
	})
}

// Messages that the loop cannot read are reported and passed over; TryNext does not wait.
func TestQueue_BadMessage(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		got := make(chan string, 10)
		f.do(func(l *actor.Loop) error {
			_, ok, err := orders.TryNext(l)
			got <- fmt.Sprint(ok, err)
			m, err := orders.Next(l)
			got <- m.Body
			if err != nil {
				return err
			}
			got <- fmt.Sprint(m.Complete("eaten"))
			got <- fmt.Sprint(m.Complete("eaten twice"))
			return nil
		})
		require.Empty(t, cookedBy(t, w))
		require.Equal(t, "false <nil>", <-got)
		bad := actor.Queue[int, string](kitchens, "orders")
		require.NoError(t, bad.Send(t.Context(), kitchenOf(w), 42))
		reply, err := orders.SendAndWait(t.Context(), kitchenOf(w), "soup")
		require.NoError(t, err)
		require.Equal(t, "eaten", reply)
		// The caller hears first, and the loop is not through yet: a world that ended here would take its context away.
		require.Equal(t, []string{"soup", "<nil>", "<nil>"}, []string{<-got, <-got, <-got})
		require.Len(t, f.failures(), 1)
		require.Contains(t, f.failures()[0].Detail, "passed over")
	})
}

// A loop ends when its worker stops, when it dies, and when its shard moves to another worker: there is never more than one that counts.
func TestLoop_EndsWithItsWorker(t *testing.T) {
	open(t, func(t *testing.T, w *actortest.World, f *staff) {
		f.do(func(l *actor.Loop) error { <-l.Done(); return l.Err() })
		require.Empty(t, cookedBy(t, w))
		only := w.Crash()
		starts, ends := f.loops()
		require.Equal(t, []int{1, 1}, []int{starts, len(ends)})
		require.Empty(t, cookedBy(t, w))
		w.Stop(only)
		starts, ends = f.loops()
		require.Equal(t, []int{2, 2}, []int{starts, len(ends)}, "Close has waited for the loop")
	})
}

// An action runs on when its shard has been given away. What comes of it begins no activation that nobody would end.
func TestLoop_NotInAShardThatIsGone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		f := new(staff)
		f.do(func(l *actor.Loop) error { <-l.Done(); return l.Err() })
		w := actortest.NewWith(t, host.Config{DrainTimeout: time.Second}, f.register)
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			go burn.Call(t.Context(), kitchens.GetOrCreate(w.Client, key), actor.None{}) //nolint:errcheck // it times out in the end
		}
		time.Sleep(10 * time.Second)
		w.StartWorker() // gets half of the shards, in which actions are stuck
		time.Sleep(10 * time.Minute)
		starts, ends := f.loops()
		require.Len(t, ends, starts, "all actors sleep, and so no loop runs")
	})
}
