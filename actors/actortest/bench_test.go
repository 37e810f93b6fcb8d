package actortest_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/schemas"
)

// BenchmarkPendingSchedules fills one shard with schedules of sleeping actors and reports what each costs in memory (B/schedule, the log itself
// apart), how long the shard takes to recover, and how late one fires among all of them, just then and later (the median). Run it with -benchtime=1x.
func BenchmarkPendingSchedules(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, perActor := range []int{1, actor.MaxSchedules} {
			b.Run(fmt.Sprintf("%d by %d", n, perActor), func(b *testing.B) {
				for b.Loop() {
					pendingSchedules(b, n, perActor)
				}
			})
		}
	}
}

func pendingSchedules(b *testing.B, n, perActor int) {
	var opened atomic.Int64 // ms
	late := make(chan time.Duration, 1)
	w := actortest.NewWith(b, host.Config{
		DataDir: b.TempDir(), SleepAfter: 100 * time.Millisecond,
		Events: host.EventListener{ShardOpened: func(o host.ShardOpened) {
			if o.Partition == 0 {
				opened.Store(o.Duration.Milliseconds() + 1)
			}
		}},
	}, clockRules{
		"fill": sets(func(c *actor.Ctx) {
			for range perActor {
				c.After(24*time.Hour, tick.With("x"))
			}
		}),
		"set one": sets(func(c *actor.Ctx) { c.After(100*time.Millisecond, tick.With("fire")) }),
		"fire": func(_ *clock, c *actor.Ctx) error {
			late <- time.Since(c.ScheduledTime())
			return nil
		},
	}.register)
	w.Cluster.SetSessionTimeout(10 * time.Millisecond)

	key := 0
	next := func() string { // of an actor in shard 0
		for ; ; key++ {
			if k := fmt.Sprint(key); schemas.HashOf(actor.DefaultNamespace, "clock", schemas.Key{k}).Shard(actortest.Shards) == 0 {
				key++
				return k
			}
		}
	}
	for range n / perActor {
		_, err := set.Call(b.Context(), clockAt(w, next()), "fill")
		require.NoError(b, err)
	}
	fire := func() time.Duration {
		_, err := set.Call(b.Context(), clockAt(w, next()), "set one")
		require.NoError(b, err)
		return <-late
	}
	fire()
	w.Kill()
	without := heap()
	opened.Store(0)
	w.StartWorker()
	require.Eventually(b, func() bool { return opened.Load() > 0 }, time.Minute, time.Millisecond)
	first := fire() // among all that recovery has in memory, and puts to sleep
	time.Sleep(time.Second)
	fire()
	with := heap()
	firings := make([]time.Duration, 21)
	for i := range firings {
		firings[i] = fire()
	}
	slices.Sort(firings)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(float64(with-without)/float64(n), "B/schedule")
	b.ReportMetric(float64(opened.Load()-1), "ms/recovery")
	b.ReportMetric(ms(first), "ms-late-at-first")
	b.ReportMetric(ms(firings[len(firings)/2]), "ms-late")
	w.Kill()
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
