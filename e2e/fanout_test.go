package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
	"github.com/actorlog/actorlog/examples/fanout"
	"github.com/actorlog/actorlog/examples/metronome"
)

// TestKillFanOut kills workers while 20 actors ask 100 others each, again and again, by calls and by messages, and while 20 metronomes beat. In the
// end every one was asked as often as the others say that they asked, and no beat is missing or there twice.
func TestKillFanOut(t *testing.T) {
	t.Parallel()
	const totals, parts, metronomes, rounds = 20, 100, 20, 3
	kafka, gateway := process.Address(t), process.Address(t)
	broker := process.Start(t, "actorlog", "broker", "--data", t.TempDir(), "--kafka-listen", kafka)
	process.Ready(t, gateway, process.Start(t, "gateway", append([]string{"--brokers", kafka, "--listen", gateway, "--partitions", "8"}, process.Unlimited...)...))
	worker := func() *process.Process {
		return process.Start(t, "worker", append([]string{"--brokers", kafka, "--partitions", "8", "--data", t.TempDir(),
			"--session-timeout", "2s", "--checkpoint-every", "1s", "--sleep-after", "500ms", "--action-timeout", "10m"}, process.Blameless...)...)
	}
	workers := []*process.Process{worker(), worker()}

	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	// do asks until it is answered: the key has it done once.
	do := func(path, body, key string) string {
		began, before := time.Now(), ""
		for {
			status, answer, err := process.Request(ctx, http.MethodPost, "http://"+gateway+"/actors/"+path, body, key)
			if err == nil && (status == http.StatusOK || status == http.StatusNoContent) {
				return answer
			}
			if ctx.Err() != nil || (status != 0 && status < 500) {
				t.Errorf("%s with key %q, asked for %v: %d %s: %v; before that: %s", path, key, time.Since(began), status, answer, err, before)
				return ""
			}
			before = fmt.Sprintf("%d %s %v", status, answer, err)
			process.Pause(ctx, 50*time.Millisecond)
		}
	}
	for i := range metronomes {
		// From 100 ms to 2 s, for about ten seconds.
		every := 100 + 100*i
		do(fmt.Sprintf("metronome/%d/actions/start", i), fmt.Sprintf(`{"EveryMs":%d,"Beats":%d}`, every, 10_000/every), fmt.Sprintf("start-%d", i))
	}
	var calls sync.WaitGroup
	var answered atomic.Int64
	for i := range totals {
		calls.Go(func() {
			for round := range rounds {
				for _, how := range []string{"call", "message"} {
					do(fmt.Sprintf("total/%d/actions/%s", i, how), fmt.Sprint(parts), fmt.Sprintf("%s-%d-%d", how, i, round))
					answered.Add(1)
				}
			}
		})
	}
	kills, atWork := 0, 0
	over := make(chan struct{})
	go func() {
		calls.Wait()
		close(over)
	}()
killing:
	for kills < 6 {
		select {
		case <-over:
			break killing
		case <-time.After(time.Duration(300+rand.IntN(1500)) * time.Millisecond):
		}
		if answered.Load() < totals*rounds*2 {
			atWork++
		}
		workers[kills%2].Kill()
		process.Pause(ctx, 300*time.Millisecond)
		workers[kills%2] = worker()
		kills++
	}
	<-over
	t.Logf("%d kills, %d of them while calls were under way", kills, atWork)
	require.NotZero(t, atWork, "no kill hit a call: the test proves nothing")

	read := func(path string, into any) {
		t.Helper()
		require.NoError(t, json.Unmarshal([]byte(do(path+"/actions/get", "", "")), into), path)
	}
	require.Eventually(t, func() bool { // messages and beats are still under way
		for i := range totals {
			var total fanout.Total
			read(fmt.Sprintf("total/%d", i), &total)
			if sum(total.Replies) < parts*rounds {
				return false
			}
		}
		for i := range metronomes {
			var m metronome.Metronome
			read(fmt.Sprintf("metronome/%d", i), &m)
			if m.Left > 0 {
				return false
			}
		}
		return true
	}, 2*time.Minute, 200*time.Millisecond)
	for i := range totals {
		var total fanout.Total
		read(fmt.Sprintf("total/%d", i), &total)
		require.EqualValues(t, rounds, total.Calls)
		require.EqualValues(t, parts*rounds*(rounds+1)/2, total.Sum, "total %d: a call took effect twice, or not", i)
		require.Len(t, total.Replies, parts)
		for part, n := range total.Replies {
			require.EqualValues(t, rounds, n, "replies of part %s to total %d", part, i)
		}
	}
	for i := range parts {
		var p fanout.Part
		read(fmt.Sprintf("part/%d", i), &p)
		require.Len(t, p.Called, totals)
		for by, n := range p.Called {
			require.EqualValues(t, rounds, n, "calls of part %d by total %s", i, by)
		}
		for by, n := range p.Messaged {
			require.EqualValues(t, rounds, n, "messages to part %d from total %s", i, by)
		}
	}
	for i := range metronomes {
		var m metronome.Metronome
		read(fmt.Sprintf("metronome/%d", i), &m)
		every := int64(100 + 100*i)
		require.Len(t, m.Beats, int(10_000/every))
		require.Zero(t, m.Early)
		for n := 1; n < len(m.Beats); n++ {
			require.Equal(t, every, m.Beats[n]-m.Beats[n-1], "metronome %d, beat %d", i, n)
		}
	}
	for _, w := range workers {
		require.Equal(t, 0, w.Stop(t))
	}
	require.Equal(t, 0, broker.Stop(t))
}

func sum(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}
