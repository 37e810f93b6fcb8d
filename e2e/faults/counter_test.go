package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tmaxmax/go-sse"

	"github.com/actorlog/actorlog/schemas"
)

const callers = 2

// counter is an actor that several clients increment, and one listens to.
type counter struct {
	path  string
	ready chan struct{} // the listener misses nothing from now on
	// final is how far it will count; negative while that is not known.
	final atomic.Int64

	mu   sync.Mutex
	told [callers][]told // each client's, in the order in which it asked

	// The listener's: what it heard, and how often it had to come back.
	heard    []told
	resumed  int
	listened chan struct{}
}

// told is what somebody was told: the value, and where it stands in the log.
type told struct {
	value    int64
	position string
}

// startCounter starts the clients of a counter.
func (l *load) startCounter(path string) {
	c := &counter{path: path, ready: make(chan struct{}), listened: make(chan struct{})}
	c.final.Store(-1)
	l.counters = append(l.counters, c)
	l.must(path+"/actions/get", "", "") // from now on it lives
	go l.listenAlways(c)                // stop waits for it
	select {
	case <-c.ready:
	case <-time.After(patience):
		l.t.Fatalf("%s: nobody can listen to it", path)
	}
	for i := range callers {
		l.loop(5*time.Millisecond, func() {
			a := l.must(path+"/actions/increment", "1", newKey())
			n, err := strconv.ParseInt(a.body, 10, 64)
			if !a.ok() || err != nil {
				return
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.told[i] = append(c.told[i], told{n, a.position})
		})
	}
}

// listenAlways listens until the last value, at the other gateway whenever the stream ends.
func (l *load) listenAlways(c *counter) {
	defer close(c.listened)
	var last string
	quiet := time.Now() // since when the load is over and nothing was heard
	for gateway := 0; l.t.Context().Err() == nil; gateway++ {
		before := len(c.heard)
		if err := l.listen(c, gateway, &last); err != nil {
			l.t.Errorf("%s, event stream at gateway %d: %v", c.path, gateway%2, err)
			return
		}
		if c.over() {
			return
		}
		if c.final.Load() < 0 || len(c.heard) > before {
			quiet = time.Now()
		}
		if time.Since(quiet) > patience {
			l.t.Errorf("%s: the event stream stands still at %d of %d", c.path, len(c.heard), c.final.Load())
			return
		}
		l.w.pause(50 * time.Millisecond)
	}
}

func (c *counter) over() bool {
	final := c.final.Load()
	return final >= 0 && int64(len(c.heard)) >= final
}

// listen reads one event stream, from after last, for as long as there is something to hear. Its error is what no stream may do; that it ends is none.
func (l *load) listen(c *counter, gateway int, last *string) error {
	ctx, cancel := context.WithCancel(l.t.Context())
	defer cancel()
	watchdog := time.AfterFunc(3*time.Second, cancel) // a frozen gateway says nothing, and neither does a counter without a worker
	defer watchdog.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.w.url(gateway, c.path)+"/events", http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	resumes := *last != ""
	if resumes {
		req.Header.Set("Last-Event-ID", *last)
	}
	res, err := l.client.Do(req)
	if err != nil {
		return nil // the gateway is away
	}
	defer res.Body.Close()
	if res.StatusCode >= 500 {
		return nil
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("refused: %s", res.Status)
	}
	for e, err := range sse.Read(res.Body, nil) {
		if err != nil {
			return nil // the stream has ended
		}
		watchdog.Reset(3 * time.Second)
		switch e.Type {
		case "actorlog.unavailable":
			return nil
		case "actorlog.ready":
			var ready struct{ Recovered bool }
			if err := json.Unmarshal([]byte(e.Data), &ready); err != nil {
				return fmt.Errorf("ready says %s: %w", e.Data, err)
			}
			if ready.Recovered != resumes {
				return fmt.Errorf("after %q it says %s", *last, e.Data)
			}
			if resumes {
				c.resumed++
			} else {
				close(c.ready)
			}
		case "count":
			var args [1]int64
			if err := json.Unmarshal([]byte(e.Data), &args); err != nil {
				return fmt.Errorf("an event says %s: %w", e.Data, err)
			}
			if want := int64(len(c.heard)) + 1; args[0] != want {
				return fmt.Errorf("a gap, a repeat or another order: %d at %s comes after %s, where %d should", args[0], e.LastEventID, *last, want)
			}
			c.heard = append(c.heard, told{args[0], e.LastEventID})
		default:
			return fmt.Errorf("an event %q", e.Type)
		}
		*last = e.LastEventID
		if c.over() {
			return nil
		}
	}
	return nil
}

// checkCounter compares what the callers, the listener and the actor know.
func (l *load) checkCounter(c *counter, checked tally) {
	l.t.Helper()
	positions := make(map[int64]string)
	for i, client := range c.told {
		for n, told := range client {
			require.Empty(l.t, positions[told.value], "%s: %d was told twice", c.path, told.value)
			positions[told.value] = told.position
			require.True(l.t, n == 0 || client[n-1].value < told.value, "%s: client %d was told %d before %d", c.path, i, client[max(n-1, 0)].value, told.value)
		}
	}
	var count int64
	l.read(c.path, &count)
	require.EqualValues(l.t, len(positions), count, "%s: acknowledged increments, and the count: one is lost or counts twice", c.path)

	require.Len(l.t, c.heard, len(positions), "%s: the listener", c.path)
	before := int64(-1)
	for _, event := range c.heard {
		require.Equal(l.t, positions[event.value], event.position, "%s: where %d stands, as its caller and the listener were told", c.path, event.value)
		p, err := schemas.ParsePosition(event.position)
		require.NoError(l.t, err)
		require.Greater(l.t, p.Offset, before, "%s: order of positions", c.path)
		before = p.Offset
	}
	checked["increments"] += len(positions)
	checked["events"] += len(c.heard)
	checked["resumed streams"] += c.resumed
}

// awaitListener has the listener hear the rest. The clients have ended.
func (c *counter) awaitListener() {
	n := 0
	for _, client := range c.told {
		n += len(client)
	}
	c.final.Store(int64(n))
	<-c.listened
}
