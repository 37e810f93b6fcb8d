package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// follower gets the count of one counter by event streams or sockets, from whichever gateway answers, and checks that no count is missing, there
// twice or out of order.
type follower struct {
	path     string
	sockets  bool
	gateways []string
	last     string // id, of the last message that was taken
	seen     atomic.Int64
	begun    atomic.Bool
	resumed  int
	broken   error // what it must never see
}

// follow goes from stream to stream until ctx ends.
func (f *follower) follow(ctx context.Context) {
	for i := 0; ctx.Err() == nil && f.broken == nil; i++ {
		gateway := f.gateways[i%len(f.gateways)]
		if f.sockets {
			f.socket(ctx, gateway)
		} else {
			f.stream(ctx, gateway)
		}
		process.Pause(ctx, 50*time.Millisecond)
	}
}

func (f *follower) socket(ctx context.Context, gateway string) {
	conn, resp, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+gateway+f.path+"?event=count&after="+f.last, nil)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for f.broken == nil {
		var m struct {
			Subscribed []string
			Recovered  bool
			Event, ID  string
			Args       []int64
		}
		if err := conn.ReadJSON(&m); err != nil {
			return
		}
		f.take(m.ID, m.Subscribed != nil, m.Recovered, m.Args)
	}
}

func (f *follower) stream(ctx context.Context, gateway string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+gateway+f.path+"?event=count", nil)
	if err != nil {
		f.broken = err
		return
	}
	req.Header.Set("Accept", "text/event-stream")
	if f.last != "" {
		req.Header.Set("Last-Event-ID", f.last)
	}
	resp, err := process.Client.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var id, name string
	for lines := bufio.NewScanner(resp.Body); lines.Scan() && f.broken == nil; {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data": // which comes last: an id without it was cut off, and is not taken
			var ready struct{ Recovered bool }
			var args []int64
			switch name {
			case "actorlog.ready":
				f.broken = json.Unmarshal([]byte(value), &ready)
				f.take(id, true, ready.Recovered, nil)
			case "count":
				f.broken = json.Unmarshal([]byte(value), &args)
				f.take(id, false, false, args)
			}
		}
	}
}

// take checks one message.
func (f *follower) take(id string, ready, recovered bool, args []int64) {
	switch {
	case f.broken != nil:
	case ready && f.last != "" && !recovered:
		f.broken = fmt.Errorf("not recovered after %s", f.last)
	case ready && f.last != "":
		f.resumed++
		f.last = id
	case ready:
		f.last = id
		f.begun.Store(true)
	case len(args) == 0: // a heartbeat
	case args[0] != f.seen.Load()+1:
		f.broken = fmt.Errorf("%d after %d, at %s", args[0], f.seen.Load(), id)
	default:
		f.seen.Store(args[0])
		f.last = id
	}
}

// TestKillUnderSubscribers kills gateways and workers under subscribers on sockets and streams, while what they follow goes on. Each of them sees
// every event, once and in order.
func TestKillUnderSubscribers(t *testing.T) {
	t.Parallel()
	b, broker := process.EmbeddedBroker(t)
	addresses := []string{process.Address(t), process.Address(t)}
	gateways := []*process.Process{b.Gateway(t, addresses[0]), b.Gateway(t, addresses[1])}
	worker := func() *process.Process { return b.Worker(t, "--checkpoint-every", "1s", "--sleep-after", "300ms") }
	workers := []*process.Process{worker(), worker()}

	const actors, perActor = 4, 6
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	var following, calling sync.WaitGroup
	followers := make([]*follower, actors*perActor)
	for i := range followers {
		f := &follower{path: fmt.Sprintf("/actors/counter/c%d/events", i%actors), sockets: i/actors%2 == 0}
		f.gateways = []string{addresses[i%2], addresses[1-i%2]}
		followers[i] = f
		following.Go(func() { f.follow(ctx) })
	}
	each := func(ok func(i int, f *follower) bool) func() bool {
		return func() bool {
			for i, f := range followers {
				if !ok(i, f) {
					return false
				}
			}
			return true
		}
	}
	require.Eventually(t, each(func(_ int, f *follower) bool { return f.begun.Load() }), time.Minute, 20*time.Millisecond)

	counts := make([]int64, actors) // each is its caller's
	calls, noMore := context.WithCancel(ctx)
	for i := range counts {
		calling.Go(func() {
			path := fmt.Sprintf("/actors/counter/c%d/actions/increment", i)
			for calls.Err() == nil {
				for try, done := 0, false; !done && ctx.Err() == nil; try++ { // until it is answered: the key has it done once
					status, _, err := process.Request(ctx, http.MethodPost, "http://"+addresses[try%2]+path, "1", fmt.Sprintf("n%d", counts[i]))
					if done = err == nil && status == http.StatusOK; !done {
						process.Pause(ctx, 50*time.Millisecond)
					}
				}
				counts[i]++
				process.Pause(calls, 2*time.Millisecond)
			}
		})
	}
	for round := range 4 {
		process.Pause(ctx, time.Second)
		gateways[round%2].Kill()
		if round >= 2 {
			workers[round%2].Kill()
			workers[round%2] = worker()
		}
		process.Pause(ctx, time.Second)
		gateways[round%2] = b.Gateway(t, addresses[round%2])
	}
	process.Pause(ctx, time.Second)
	noMore()
	calling.Wait()
	caughtUp := each(func(i int, f *follower) bool { return f.seen.Load() == counts[i%actors] })
	for ctx.Err() == nil && !caughtUp() {
		process.Pause(ctx, 20*time.Millisecond)
	}
	stop()
	following.Wait()
	resumed, total := 0, int64(0)
	for i, f := range followers {
		require.NoError(t, f.broken, "follower %d of %s", i, f.path)
		require.Equal(t, counts[i%actors], f.seen.Load(), "follower %d of %s", i, f.path)
		require.NotZero(t, f.resumed, "no kill hit follower %d: the test proves nothing of it", i)
		resumed, total = resumed+f.resumed, total+f.seen.Load()
	}
	t.Logf("4 gateways and 2 workers killed: %d events to %d followers, who resumed %d times", total, len(followers), resumed)
	for _, p := range append(gateways, workers...) {
		require.Equal(t, 0, p.Stop(t))
	}
	require.Equal(t, 0, broker.Stop(t))
}
