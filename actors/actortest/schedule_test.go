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
)

// clock notes when its schedules fire.
type clock struct {
	Fired []firing `json:"fired"`
}

type firing struct {
	What string `json:"what"`
	// At is when it fired by the worker's clock, For the time that it stands for.
	At  time.Time `json:"at"`
	For time.Time `json:"for"`
}

// clockRules is what the actions set and tick do besides, by their argument.
type clockRules map[string]func(s *clock, c *actor.Ctx) error

var (
	clockKind = actor.New[clock]("clock")
	set       = actor.Action[string, actor.None](clockKind, "set")
	tick      = actor.Action[string, actor.None](clockKind, "tick")
	untold    = actor.Action[string, actor.None](clockKind, "untold")
)

func (r clockRules) do(s *clock, c *actor.Ctx, what string) (none actor.None, err error) {
	if rule := r[what]; rule != nil {
		err = rule(s, c)
	}
	return none, err
}

func (r clockRules) register(to *actor.Registry) {
	actor.On(to, set, r.do)
	actor.On(to, tick, func(s *clock, c *actor.Ctx, what string) (actor.None, error) {
		s.Fired = append(s.Fired, firing{what, time.Now(), c.ScheduledTime()})
		return r.do(s, c, what)
	})
}

// sets is a rule that sets one schedule.
func sets(schedule func(c *actor.Ctx)) func(*clock, *actor.Ctx) error {
	return func(_ *clock, c *actor.Ctx) error { schedule(c); return nil }
}

func clockAt(w *actortest.World, key string) actor.Handle[clock] {
	return clockKind.GetOrCreate(w.Client, key)
}

func mustSet(t *testing.T, w *actortest.World, key, what string) {
	t.Helper()
	_, err := set.Call(t.Context(), clockAt(w, key), what)
	require.NoError(t, err)
}

func fired(t *testing.T, w *actortest.World, key string) []firing {
	t.Helper()
	s, err := clockAt(w, key).Read(t.Context())
	require.NoError(t, err)
	return s.Fired
}

// requireFired checks for which times a clock fired, after a beginning, and that each was then or no more than 50 ms later.
func requireFired(t *testing.T, list []firing, began time.Time, want ...time.Duration) {
	t.Helper()
	got := []time.Duration{}
	for _, f := range list {
		got = append(got, f.For.Sub(began))
		require.False(t, f.At.Before(f.For), "%v fired at %v", f.For, f.At)
		require.LessOrEqual(t, f.At.Sub(f.For), 50*time.Millisecond)
	}
	require.Equal(t, want, got)
}

// whole sleeps until a whole second: then times in milliseconds are exact. Time of a bubble begins at one.
func whole() time.Time {
	now := time.Now()
	next := now.Truncate(time.Second).Add(time.Second)
	time.Sleep(next.Sub(now))
	return next
}

func TestScheduleFires(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, test := range map[string]struct {
		schedule func(c *actor.Ctx)
		run      time.Duration
		want     []time.Duration
	}{
		"After":        {func(c *actor.Ctx) { c.After(90*s, tick.With("x")) }, time.Hour, []time.Duration{90 * s}},
		"After 0":      {func(c *actor.Ctx) { c.After(0, tick.With("x")) }, time.Hour, []time.Duration{0}},
		"After 1.5 ms": {func(c *actor.Ctx) { c.After(1500*time.Microsecond, tick.With("x")) }, time.Hour, []time.Duration{2 * time.Millisecond}},
		"At":           {func(c *actor.Ctx) { c.At(c.Now().Add(time.Minute), tick.With("x")) }, time.Hour, []time.Duration{time.Minute}},
		"Every":        {func(c *actor.Ctx) { c.Every(20*s, tick.With("x")) }, 70 * s, []time.Duration{20 * s, 40 * s, 60 * s}},
		"Every 10 ms":  {func(c *actor.Ctx) { c.Every(actor.MinEvery, tick.With("x")) }, 35 * time.Millisecond, []time.Duration{10 * s / 1000, 20 * s / 1000, 30 * s / 1000}},
		"Cron":         {func(c *actor.Ctx) { c.Cron("*/2 * * * *", "", tick.With("x")) }, 5 * time.Minute, []time.Duration{119 * s, 239 * s}},
		"Cron in zone": {func(c *actor.Ctx) { c.Cron("2 5 * * *", "Asia/Kathmandu", tick.With("x")) }, time.Hour, nil},
		"@hourly":      {func(c *actor.Ctx) { c.Cron("@hourly", "Europe/Berlin", tick.With("x")) }, time.Hour, []time.Duration{3599 * s}},
		"two": {func(c *actor.Ctx) {
			c.After(20*s, tick.With("x"))
			c.After(10*s, tick.With("x"))
		}, time.Minute, []time.Duration{10 * s, 20 * s}},
		"replaced": {func(c *actor.Ctx) {
			c.After(10*s, tick.With("x"), actor.ScheduleID("a"))
			c.Every(30*s, tick.With("x"), actor.ScheduleID("a"))
		}, 70 * s, []time.Duration{30 * s, 60 * s}},
		"cancelled": {func(c *actor.Ctx) { c.Cancel(c.After(10*s, tick.With("x"))) }, time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := actortest.New(t, clockRules{"set": sets(test.schedule)}.register)
				mustSet(t, w, "a", "wake")
				began := whole() // one second after midnight
				mustSet(t, w, "a", "set")
				time.Sleep(test.run)
				if test.want == nil {
					require.Empty(t, fired(t, w, "a"))
					return
				}
				requireFired(t, fired(t, w, "a"), began, test.want...)
			})
		})
	}
}

func TestScheduleRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		schedule func(c *actor.Ctx)
		detail   string
	}{
		"cron of six fields":       {func(c *actor.Ctx) { c.Cron("* * * * * *", "", tick.With("x")) }, "want minute, hour"},
		"cron that is none":        {func(c *actor.Ctx) { c.Cron("often", "", tick.With("x")) }, "want minute, hour"},
		"cron that never comes":    {func(c *actor.Ctx) { c.Cron("0 0 30 2 *", "", tick.With("x")) }, "no time in the next five years"},
		"an unknown zone":          {func(c *actor.Ctx) { c.Cron("* * * * *", "Middle/Earth", tick.With("x")) }, "Middle/Earth"},
		"the worker's own zone":    {func(c *actor.Ctx) { c.Cron("* * * * *", "Local", tick.With("x")) }, "Local"},
		"a zone in the expression": {func(c *actor.Ctx) { c.Cron("TZ=UTC * * * * *", "", tick.With("x")) }, "the time zone is given apart"},
		"@every":                   {func(c *actor.Ctx) { c.Cron("@every 1h", "", tick.With("x")) }, "intervals with Every"},
		"too short an interval":    {func(c *actor.Ctx) { c.Every(actor.MinEvery-1, tick.With("x")) }, "less than 10ms"},
		"of another kind":          {func(c *actor.Ctx) { c.After(1, run.With("x")) }, "its own actions"},
		"an id that is too long":   {func(c *actor.Ctx) { c.After(1, tick.With("x"), actor.ScheduleID(strings.Repeat("a", 256))) }, "longer than 255 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var detail atomic.Value
				w := actortest.NewWith(t, host.Config{Events: host.EventListener{
					ActionFailed: func(f host.ActionFailed) { detail.Store(f.Detail) },
				}}, clockRules{"set": sets(func(c *actor.Ctx) {
					c.After(time.Second, tick.With("a good one"))
					test.schedule(c)
				})}.register)
				_, err := set.Call(t.Context(), clockAt(w, "a"), "set")
				require.ErrorIs(t, err, actor.ErrInternal)
				require.Contains(t, detail.Load(), test.detail)
				time.Sleep(time.Minute)
				require.Empty(t, fired(t, w, "a"), "a failed action sets nothing")
			})
		})
	}
}

func TestScheduleLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, clockRules{
			"fill": sets(func(c *actor.Ctx) {
				for i := range actor.MaxSchedules {
					c.After(time.Hour, tick.With("x"), actor.ScheduleID(fmt.Sprint(i)))
				}
			}),
			"one more": sets(func(c *actor.Ctx) { c.After(time.Hour, tick.With("x")) }),
			"one for one": sets(func(c *actor.Ctx) {
				c.Cancel("7")
				c.After(time.Minute, tick.With("the last"))
			}),
			"cancel all": sets(func(c *actor.Ctx) {
				for _, s := range c.Schedules() {
					c.Cancel(s.ID)
				}
			}),
		}.register)
		mustSet(t, w, "a", "fill")
		_, err := set.Call(t.Context(), clockAt(w, "a"), "one more")
		require.ErrorIs(t, err, actor.ErrScheduleLimit)
		mustSet(t, w, "a", "fill") // all anew
		mustSet(t, w, "a", "one for one")
		time.Sleep(2 * time.Minute)
		require.Len(t, fired(t, w, "a"), 1)
		mustSet(t, w, "a", "one more") // the last has made room
		mustSet(t, w, "a", "cancel all")
		time.Sleep(2 * time.Hour)
		require.Len(t, fired(t, w, "a"), 1)
	})
}

// What a firing does to its own schedule goes before what the schedule would have done.
func TestScheduleChangedByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []actor.Schedule
		w := actortest.New(t, clockRules{
			"set": sets(func(c *actor.Ctx) {
				c.Every(time.Second, tick.With("stop"), actor.ScheduleID("stops"))
				c.After(time.Second, tick.With("again"), actor.ScheduleID("again"))
				c.Every(time.Minute, tick.With("fail"), actor.ScheduleID("fails"))
			}),
			"stop": sets(func(c *actor.Ctx) { c.Cancel("stops") }),
			"again": func(s *clock, c *actor.Ctx) error {
				if len(s.Fired) < 4 {
					c.After(10*time.Second, tick.With("again"), actor.ScheduleID("again"))
				}
				return nil
			},
			"fail": func(_ *clock, c *actor.Ctx) error {
				c.Cancel("fails")
				return errors.New("then it is not cancelled")
			},
			"list": func(_ *clock, c *actor.Ctx) error { seen = c.Schedules(); return nil },
		}.register)
		began := whole()
		mustSet(t, w, "a", "set")
		time.Sleep(2*time.Minute + 30*time.Second)
		list := fired(t, w, "a")
		require.ElementsMatch(t, []string{"stop", "again"}, []string{list[0].What, list[1].What})
		requireFired(t, list[2:], began, 11*time.Second, 21*time.Second)
		mustSet(t, w, "a", "list")
		require.Len(t, seen, 1)
		require.Equal(t, "fails", seen[0].ID)
		require.Equal(t, began.Add(3*time.Minute).UTC(), seen[0].Next)
	})
}

func TestScheduleList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var list []actor.Schedule
		var one actor.Schedule
		var found, missing, cancelled, cancelledAgain bool
		var id string
		w := actortest.New(t, clockRules{
			"set": sets(func(c *actor.Ctx) {
				c.Every(time.Hour, tick.With("b"), actor.ScheduleID("b"))
				c.Cron("0 12 * * *", "Europe/Berlin", tick.With("c"), actor.ScheduleID("c"))
				id = c.After(time.Minute, tick.With("new"))
			}),
			"look": sets(func(c *actor.Ctx) {
				cancelled, cancelledAgain = c.Cancel("b"), c.Cancel("b")
				c.After(time.Second, tick.With("a"), actor.ScheduleID("a"))
				list = c.Schedules()
				one, found = c.Schedule(id)
				_, missing = c.Schedule("b")
			}),
		}.register)
		began := whole().UTC()
		mustSet(t, w, "k", "set")
		mustSet(t, w, "k", "look")
		require.True(t, cancelled)
		require.False(t, cancelledAgain)
		require.False(t, missing)
		require.True(t, found)
		require.Equal(t, actor.Schedule{ID: id, Action: "tick", Args: []byte(`["new"]`), Next: began.Add(time.Minute)}, one)
		slices.SortFunc(list, func(x, y actor.Schedule) int { return strings.Compare(string(x.Args), string(y.Args)) })
		require.Equal(t, []actor.Schedule{
			{ID: "a", Action: "tick", Args: []byte(`["a"]`), Next: began.Add(time.Second)},
			{ID: "c", Action: "tick", Args: []byte(`["c"]`), Next: began.Truncate(24 * time.Hour).Add(11 * time.Hour), Cron: "0 12 * * *", TimeZone: "Europe/Berlin"},
			one,
		}, list)
	})
}

// Schedules end with the life that set them.
func TestScheduleAndDestroy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, clockRules{
			"set":  sets(func(c *actor.Ctx) { c.Every(time.Minute, tick.With("x"), actor.ScheduleID("x")) }),
			"last": sets(func(c *actor.Ctx) { c.After(time.Second, tick.With("end")) }),
			"end":  sets(func(c *actor.Ctx) { c.Every(time.Second, tick.With("x")); c.Destroy() }),
		}.register)
		mustSet(t, w, "a", "set")
		require.NoError(t, clockAt(w, "a").Destroy(t.Context()))
		mustSet(t, w, "a", "nothing") // the next life
		mustSet(t, w, "b", "set")
		mustSet(t, w, "b", "last")
		time.Sleep(2 * time.Second)
		_, err := clockKind.Get(w.Client, "b").Read(t.Context())
		require.ErrorIs(t, err, actor.ErrNotFound, "a firing can destroy its actor")
		mustSet(t, w, "b", "nothing")
		for range 2 {
			time.Sleep(5 * time.Minute)
			require.Empty(t, fired(t, w, "a"))
			require.Empty(t, fired(t, w, "b"))
			w.Crash()
		}
	})
}

// No worker runs from half a minute to ten minutes and a half after the schedules were set.
func TestScheduleMissed(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	minutes := func(from, to int) (list []time.Duration) {
		for i := from; i <= to; i++ {
			list = append(list, time.Duration(i)*minute)
		}
		return list
	}
	kinds := map[string]func(c *actor.Ctx, o ...actor.ScheduleOption){
		"After": func(c *actor.Ctx, o ...actor.ScheduleOption) { c.After(minute, tick.With("x"), o...) },
		"Every": func(c *actor.Ctx, o ...actor.ScheduleOption) { c.Every(minute, tick.With("x"), o...) },
		"Cron":  func(c *actor.Ctx, o ...actor.ScheduleOption) { c.Cron("* * * * *", "", tick.With("x"), o...) },
	}
	for name, test := range map[string]struct {
		kind   string
		option []actor.ScheduleOption
		want   []time.Duration
	}{
		"After, the default": {"After", nil, minutes(1, 1)},
		"After, once":        {"After", []actor.ScheduleOption{actor.OnMissed(actor.FireOnce)}, minutes(1, 1)},
		"After, skip":        {"After", []actor.ScheduleOption{actor.OnMissed(actor.Skip)}, nil},
		"After, all":         {"After", []actor.ScheduleOption{actor.OnMissed(actor.FireAll)}, minutes(1, 1)},
		"Every, the default": {"Every", nil, append(minutes(1, 1), minutes(11, 12)...)},
		"Every, skip":        {"Every", []actor.ScheduleOption{actor.OnMissed(actor.Skip)}, minutes(11, 12)},
		"Every, all":         {"Every", []actor.ScheduleOption{actor.OnMissed(actor.FireAll)}, minutes(1, 12)},
		"Cron, the default":  {"Cron", nil, append(minutes(1, 1), minutes(11, 12)...)},
		"Cron, skip":         {"Cron", []actor.ScheduleOption{actor.OnMissed(actor.Skip)}, minutes(11, 12)},
		"Cron, all":          {"Cron", []actor.ScheduleOption{actor.OnMissed(actor.FireAll)}, minutes(1, 12)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := actortest.New(t, clockRules{"set": sets(func(c *actor.Ctx) { kinds[test.kind](c, test.option...) })}.register)
				mustSet(t, w, "a", "wake")
				began := time.Now().Truncate(minute).Add(minute)
				time.Sleep(time.Until(began))
				mustSet(t, w, "a", "set")
				time.Sleep(minute / 2)
				w.Kill()
				time.Sleep(10 * minute)
				w.StartWorker()
				time.Sleep(2 * minute)
				var got []time.Duration
				for i, f := range fired(t, w, "a") {
					got = append(got, f.For.Sub(began))
					if f.For.Sub(began) <= 10*minute {
						require.Less(t, f.At.Sub(began), 11*minute, "firing %d of what was missed: at once when a worker is back", i)
					} else {
						require.LessOrEqual(t, f.At.Sub(f.For), 50*time.Millisecond)
					}
				}
				require.Equal(t, test.want, got)
			})
		})
	}
}

func TestScheduleRetries(t *testing.T) {
	t.Parallel()
	retry := actor.OnFailure(actor.Retry{Attempts: 4, Backoff: time.Second, MaxBackoff: 2 * time.Second})
	for name, test := range map[string]struct {
		set func(c *actor.Ctx)
		// failures before it succeeds.
		failures int
		// tries is when it is tried, and left what is left of it then.
		tries []int // s
		left  int
	}{
		"none":                     {func(c *actor.Ctx) { c.After(10*time.Second, tick.With("try")) }, 9, []int{10}, 0},
		"until it succeeds":        {func(c *actor.Ctx) { c.After(10*time.Second, tick.With("try"), retry) }, 2, []int{10, 11, 13}, 0},
		"until it is given up":     {func(c *actor.Ctx) { c.After(10*time.Second, tick.With("try"), retry) }, 9, []int{10, 11, 13, 15}, 0},
		"and the next time comes":  {func(c *actor.Ctx) { c.Every(20*time.Second, tick.With("try"), retry) }, 5, []int{20, 21, 23, 25, 40, 41}, 1},
		"and none when it is over": {func(c *actor.Ctx) { c.Every(20*time.Second, tick.With("try")) }, 1, []int{20, 40}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var tries []time.Duration
				var began time.Time
				var left []actor.Schedule
				w := actortest.New(t, clockRules{
					"set": sets(test.set),
					"try": func(_ *clock, c *actor.Ctx) error {
						tries = append(tries, time.Since(began))
						if len(tries) <= test.failures {
							return errors.New("not yet")
						}
						return nil
					},
					"list": sets(func(c *actor.Ctx) { left = c.Schedules() }),
				}.register)
				mustSet(t, w, "a", "wake")
				began = whole()
				mustSet(t, w, "a", "set")
				time.Sleep(50 * time.Second)
				mustSet(t, w, "a", "list")
				want := make([]time.Duration, len(test.tries))
				for i := range want {
					want[i] = time.Duration(test.tries[i]) * time.Second
				}
				require.Equal(t, want, tries)
				require.Len(t, left, test.left)
				for _, s := range left {
					require.Zero(t, s.FailedAttempts)
				}
			})
		})
	}
}

// A schedule is due while the mailbox is full, and fires when there is room, once.
func TestScheduleOverloaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.NewWith(t, host.Config{MailboxSize: 1}, clockRules{
			"set": sets(func(c *actor.Ctx) { c.After(time.Second, tick.With("x")) }),
			"nap": func(*clock, *actor.Ctx) error { time.Sleep(5 * time.Second); return nil },
		}.register)
		mustSet(t, w, "a", "set")
		var naps sync.WaitGroup
		for range 2 {
			naps.Go(func() { _, _ = set.Call(t.Context(), clockAt(w, "a"), "nap") })
		}
		naps.Wait()
		time.Sleep(time.Minute)
		list := fired(t, w, "a")
		require.Len(t, list, 1)
		require.Less(t, list[0].At.Sub(list[0].For), 15*time.Second)
	})
}

// A schedule of an action that the kind has no more fails, and is over; others go on.
func TestScheduleOfNoAction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, clockRules{"set": sets(func(c *actor.Ctx) {
			c.After(time.Second, untold.With("x"))
			c.After(2*time.Second, tick.With("x"))
		})}.register)
		mustSet(t, w, "a", "set")
		time.Sleep(time.Hour)
		require.Len(t, fired(t, w, "a"), 1)
		refused := 0
		for _, o := range outcomes(t, w, "clock", "a") {
			if o.GetError().GetCode() == actor.ErrActionNotFound.Code {
				refused++
			}
		}
		require.Equal(t, 1, refused)
	})
}

// What a firing leaves does not fit into a record: it has failed, and is not tried for ever.
func TestScheduleTooLarge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		w := actortest.New(t, clockRules{
			"set": sets(func(c *actor.Ctx) {
				c.After(time.Second, tick.With("grow"), actor.OnFailure(actor.Retry{Attempts: 2}))
			}),
			"grow": func(s *clock, _ *actor.Ctx) error {
				tries++
				s.Fired[0].What = strings.Repeat("a", 9<<20)
				return nil
			},
		}.register)
		mustSet(t, w, "a", "set")
		time.Sleep(time.Minute)
		require.Equal(t, 2, tries)
		require.Empty(t, fired(t, w, "a"))
	})
}

// One of many sleeping actors has something to do: it alone wakes.
func TestScheduleWakesNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var woke sync.Map
		w := actortest.NewWith(t, host.Config{SleepAfter: time.Second}, clockRules{
			"soon":  sets(func(c *actor.Ctx) { c.After(10*time.Minute, tick.With("x")) }),
			"later": sets(func(c *actor.Ctx) { c.After(24*time.Hour, tick.With("x")) }),
		}.register, func(r *actor.Registry) {
			actor.OnWake(r, clockKind, func(_ *clock, c *actor.Ctx) error {
				n, _ := woke.LoadOrStore(c.Key()[0], new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
				return nil
			})
		})
		for i := range 50 {
			mustSet(t, w, fmt.Sprint(i), "later")
		}
		mustSet(t, w, "7", "soon")
		time.Sleep(time.Minute)
		w.Crash() // recovery wakes nobody either
		time.Sleep(time.Minute)
		woke.Clear()
		time.Sleep(10 * time.Minute)
		n, ok := woke.LoadAndDelete("7")
		require.True(t, ok)
		require.EqualValues(t, 1, n.(*atomic.Int64).Load())
		woke.Range(func(key, _ any) bool {
			t.Errorf("actor %v woke", key)
			return true
		})
	})
}

// Workers come and go, and every second fires once for each of 20 clocks.
func TestScheduleThroughRebalances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clocks = 20
		w := actortest.New(t, clockRules{
			"set": sets(func(c *actor.Ctx) { c.Every(time.Second, tick.With("x"), actor.OnMissed(actor.FireAll)) }),
		}.register)
		for i := range clocks {
			mustSet(t, w, fmt.Sprint(i), "set")
		}
		for range 3 {
			time.Sleep(5300 * time.Millisecond)
			w.StartWorker()
			time.Sleep(5300 * time.Millisecond)
			w.Stop(w.Workers()[0])
		}
		time.Sleep(5 * time.Second)
		for i := range clocks {
			list := fired(t, w, fmt.Sprint(i))
			require.GreaterOrEqual(t, len(list), 36)
			for n := 1; n < len(list); n++ {
				require.Equal(t, time.Second, list[n].For.Sub(list[n-1].For), "clock %d, firing %d", i, n)
			}
		}
	})
}

// Schedules are there again after any kind of start.
func TestScheduleRecovery(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]func(t *testing.T, w *actortest.World){
		"from the log alone": func(_ *testing.T, w *actortest.World) { w.Kill() },
		"from a checkpoint, without the local store": func(t *testing.T, w *actortest.World) {
			w.Stop(w.Workers()[0])
			w.Config.DataDir = t.TempDir()
		},
		"from the local store":               func(_ *testing.T, w *actortest.World) { w.Stop(w.Workers()[0]) },
		"from the local store after a crash": func(_ *testing.T, w *actortest.World) { time.Sleep(time.Minute); w.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := actortest.NewWith(t, host.Config{DataDir: dir, SleepAfter: 2 * time.Second}, clockRules{
					"set": sets(func(c *actor.Ctx) {
						c.After(5*time.Second, tick.With("fires before"))
						c.After(6*time.Second, tick.With("cancelled before"), actor.ScheduleID("c"))
						c.After(time.Hour, tick.With("fires after"))
						c.Every(45*time.Minute, tick.With("every"))
					}),
					"cancel": sets(func(c *actor.Ctx) { c.Cancel("c") }),
				}.register)
				for _, key := range []string{"a", "b", "c"} {
					mustSet(t, w, key, "set")
					mustSet(t, w, key, "cancel")
				}
				time.Sleep(15 * time.Second)
				restart(t, w)
				time.Sleep(time.Minute)
				w.StartWorker()
				time.Sleep(65 * time.Minute)
				for _, key := range []string{"a", "b", "c"} {
					var what []string
					for _, f := range fired(t, w, key) {
						require.LessOrEqual(t, f.At.Sub(f.For), 50*time.Millisecond, f.What)
						what = append(what, f.What)
					}
					require.Equal(t, []string{"fires before", "every", "fires after"}, what)
				}
			})
		})
	}
}

// A schedule is part of the outcome: before that is committed, it does not fire, however soon it is due.
func TestScheduleWaitsForItsOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		w := actortest.New(t, clockRules{"set": func(_ *clock, c *actor.Ctx) error {
			if runs++; runs == 1 {
				c.After(time.Millisecond, tick.With("of a run that was never committed"))
			}
			c.After(time.Second, tick.With("x"))
			return nil
		}}.register)
		mustSet(t, w, "a", "wake")
		failing := true
		w.Cluster.SetFaults(func(write memlog.Write) memlog.Fault {
			if write.Topic == eventlog.Events && failing {
				failing = false
				return memlog.Fault{Delay: 5 * time.Second, Err: errors.New("the brokers are away")}
			}
			return memlog.Fault{}
		})
		mustSet(t, w, "a", "set") // its outcome fails, and it is run again
		time.Sleep(time.Minute)
		require.Equal(t, 2, runs)
		list := fired(t, w, "a")
		require.Len(t, list, 1)
		require.Equal(t, "x", list[0].What)
	})
}

// The workers die while a schedule is asked to fire, and their successors ask again: a time that has come fires once, and the next
// one not before it has come too.
func TestCrashBetweenTicks(t *testing.T) {
	t.Parallel()
	crashTest{
		register: clockRules{"set": sets(func(c *actor.Ctx) { c.Every(10*time.Second, tick.With("x")) })}.register,
		stride:   1,
		act: func(ctx context.Context, w *actortest.World) error {
			_, err := set.Call(ctx, clockAt(w, "a"), "set")
			time.Sleep(45 * time.Second)
			return err
		},
		check: func(t *testing.T, w *actortest.World) {
			list := fired(t, w, "a")
			require.GreaterOrEqual(t, len(list), 8)
			for i, f := range list {
				require.False(t, f.At.Before(f.For), "%v fired at %v", f.For, f.At)
				if i > 0 {
					// While the workers are away, which is 6 s, or 20 for one that is cut off, a time may be missed.
					gap := f.For.Sub(list[i-1].For)
					require.True(t, gap == 10*time.Second || gap == 20*time.Second, "%v after the last", gap)
				}
			}
		},
	}.run(t)
}

// Ten firings, and the workers die at any append: each fires once.
func TestCrashBetweenFirings(t *testing.T) {
	t.Parallel()
	const firings = 10
	rules := clockRules{
		"set": sets(func(c *actor.Ctx) {
			c.Every(20*time.Millisecond, tick.With("every"), actor.ScheduleID("every"), actor.OnMissed(actor.FireAll))
			c.After(30*time.Millisecond, tick.With("once"))
			c.After(40*time.Millisecond, tick.With("flaky"), actor.OnFailure(actor.Retry{Attempts: 100, Backoff: 10 * time.Millisecond}))
		}),
		"every": func(s *clock, c *actor.Ctx) error {
			n := 0
			for _, f := range s.Fired {
				if f.What == "every" {
					n++
				}
			}
			if n == firings {
				c.Cancel("every")
			}
			return nil
		},
		"flaky": func(_ *clock, c *actor.Ctx) error {
			if s, _ := c.Schedule(c.Caller().ScheduleID); s.FailedAttempts < 3 {
				return errors.New("not yet")
			}
			return nil
		},
	}
	crashTest{
		register: rules.register, stride: 3,
		act: func(ctx context.Context, w *actortest.World) error {
			_, err := set.Call(ctx, clockAt(w, "a"), "set")
			time.Sleep(30 * firings * time.Millisecond)
			return err
		},
		check: func(t *testing.T, w *actortest.World) {
			var last time.Time
			count := make(map[string]int)
			for _, f := range fired(t, w, "a") {
				require.False(t, f.At.Before(f.For))
				count[f.What]++
				if f.What == "every" {
					require.True(t, last.IsZero() || f.For.Sub(last) == 20*time.Millisecond, "one after the other, none twice")
					last = f.For
				}
			}
			require.Equal(t, map[string]int{"every": firings, "once": 1, "flaky": 1}, count)
		},
	}.run(t)
}
