package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway/recovery"
)

const (
	// subscribersEnv holds, for a process that is to be the subscribers, a stormConfig.
	subscribersEnv = "ACTORLOG_BENCH_SUBSCRIBERS"
	stormActors    = 1000
	stormMissed    = 5 // events that each subscriber has to get
	stormDialing   = 1000
	// The calls that go on meanwhile: so many callers, each with a call so often.
	liveCallers = 16
	liveEvery   = 20 * time.Millisecond
)

// stormConfig is what subscribers come back with, at once.
type stormConfig struct {
	Addr    string
	Sockets int
	After   []string // of each actor
}

// stormed is how it went.
type stormed struct{ P50, P99, All time.Duration }

// storm lets subscribers come back to one gateway at once, each with a position after which it has missed events, while calls go on. The subscribers
// are a process of their own, for one process may not have files enough for both ends of their connections.
func (b *bench) storm(ctx context.Context) error {
	if !b.wants("storm") {
		return nil
	}
	b.report.progress("reconnect storm of %d sockets", b.stormSockets)
	w, err := b.startWorld(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := w.close(); err != nil {
			b.report.note("closing the world of the storm: %v", err)
		}
	}()
	name := func(i int) string { return "storm" + strconv.Itoa(i) }
	if err := createCounters(ctx, w.client, stormActors, name); err != nil {
		return err
	}
	cfg := stormConfig{Addr: w.addr, Sockets: b.stormSockets}
	for i := range stormActors {
		cfg.After = append(cfg.After, recovery.After(w.client.Position(keyOf(name(i)).shard)).String())
	}
	missing, missingCtx := errgroup.WithContext(ctx)
	missing.SetLimit(256)
	for i := range stormActors {
		missing.Go(func() error {
			for range stormMissed {
				if _, err := counter.Increment.Call(missingCtx, counter.Kind.Get(w.client, name(i)), 1); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := missing.Wait(); err != nil {
		return fmt.Errorf("making events to miss: %w", err)
	}
	callers, done, err := w.overHTTP(liveCallers)
	if err != nil {
		return err
	}
	defer done()
	calm, err := paced(ctx, callers, func(ctx context.Context) error { pause(ctx, b.stormCalm); return nil })
	if err != nil {
		return err
	}
	var r stormed
	during, err := paced(ctx, callers, func(ctx context.Context) (err error) {
		r, err = subscribers(ctx, cfg)
		return err
	})
	if err != nil {
		return err
	}
	before := result{Name: "storm-before", Callers: liveCallers}
	before.latency(calm)
	b.report.add(before)
	live := result{Name: "storm", Callers: liveCallers, Sockets: b.stormSockets, Actors: stormActors,
		RecoveredMs: milliseconds(r.All), RecoveredP50Ms: milliseconds(r.P50), RecoveredP99Ms: milliseconds(r.P99)}
	live.latency(during)
	b.report.add(live)
	return nil
}

// paced lets each caller call every liveEvery, for as long as meanwhile takes, and returns how long the calls took.
func paced(ctx context.Context, callers []call, meanwhile func(context.Context) error) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var over atomic.Bool
	taken := make([][]time.Duration, len(callers))
	var wg sync.WaitGroup
	for i, call := range callers {
		wg.Go(func() {
			ticker := time.NewTicker(liveEvery)
			defer ticker.Stop()
			for !over.Load() {
				began := time.Now()
				if err := call(ctx); err != nil {
					cancel(fmt.Errorf("a live call: %w", err))
					return
				}
				taken[i] = append(taken[i], time.Since(began))
				select {
				case <-ticker.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	err := meanwhile(ctx)
	over.Store(true)
	wg.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	all := slices.Concat(taken...)
	if err == nil && len(all) == 0 {
		err = errors.New("no call was answered")
	}
	return all, err
}

// subscribers runs the process of the subscribers.
func subscribers(ctx context.Context, cfg stormConfig) (r stormed, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), subscribersEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return r, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	err = errors.Join(json.NewEncoder(in).Encode(cfg), in.Close())
	if err == nil {
		err = json.NewDecoder(out).Decode(&r)
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return r, fmt.Errorf("the subscribers: %w", err)
	}
	return r, nil
}

// subscribersProcess connects all sockets at once, and ends when each has got what it missed.
func subscribersProcess(in io.Reader, out io.Writer) error {
	var cfg stormConfig
	if err := json.NewDecoder(in).Decode(&cfg); err != nil {
		return err
	}
	took := make([]time.Duration, cfg.Sockets)
	dialing := make(chan struct{}, stormDialing) // or the kernel drops connections, and tries again a second later
	var all errgroup.Group
	began := time.Now()
	for i := range took {
		all.Go(func() error {
			dialing <- struct{}{}
			actor := i % len(cfg.After)
			d := websocket.Dialer{ReadBufferSize: 512, WriteBufferSize: 512, HandshakeTimeout: time.Minute}
			conn, resp, err := d.Dial(fmt.Sprintf("ws://%s/actors/%s/storm%d/events?event=%s&after=%s",
				cfg.Addr, counter.Kind.Name(), actor, counter.Changed.Name(), cfg.After[actor]), nil)
			<-dialing
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			// Kept open until the process ends: who has recovered does not leave.
			took[i], err = awaitMissed(conn, began)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	slices.Sort(took)
	return json.NewEncoder(out).Encode(stormed{P50: quantile(took, 0.5), P99: quantile(took, 0.99), All: took[len(took)-1]})
}

// awaitMissed takes what one socket has missed: nothing else, and in order.
func awaitMissed(conn *websocket.Conn, began time.Time) (time.Duration, error) {
	for n := 0; n <= stormMissed; {
		var m struct {
			Recovered bool
			Heartbeat bool
			Args      []int
		}
		if err := conn.ReadJSON(&m); err != nil {
			return 0, err
		}
		switch {
		case m.Heartbeat:
			continue
		case n == 0 && !m.Recovered:
			return 0, errors.New("not recovered")
		case n > 0 && (len(m.Args) != 1 || m.Args[0] != n):
			return 0, fmt.Errorf("event %d is %v", n, m.Args)
		}
		n++
	}
	return time.Since(began), nil
}
