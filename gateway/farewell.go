package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

const (
	// farewellWorkers is how many connections' ends are told at a time.
	farewellWorkers = 256
	// Pauses between two tries to tell one.
	firstFarewellPause = 100 * time.Millisecond
	lastFarewellPause  = 5 * time.Second
)

// farewell is the end of a connection that its actor has to be told.
type farewell struct {
	to address
	*actorlogv1.Disconnect
}

// farewells tells actors which of their connections have ended. A connection is in the actor's state, and as long as this gateway lives nobody
// but it ends the connection: so each is tried until it is in the log and answered. Gateways that die leave it to the workers, who
// see their lease run out.
type farewells struct {
	g      *Gateway
	ctx    context.Context // of the goroutines; ends at the latest with Shutdown
	cancel context.CancelFunc

	mu       sync.Mutex
	queue    []farewell
	workers  int
	open     int  // connections that were asked for and whose end is not told
	draining bool // closing is closed
	closing  chan struct{}
	empty    chan struct{} // closed when draining, and open and workers have come to 0
}

func (f *farewells) init(g *Gateway) {
	f.g = g
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.closing, f.empty = make(chan struct{}), make(chan struct{})
}

// expect counts a connection that is asked for. Exactly one call of tell or waive follows.
func (f *farewells) expect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
}

// waive says that a connection's actor needs not be told.
func (f *farewells) waive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	f.checkEmpty()
}

// tell takes over to tell a connection's actor. It does not wait.
func (f *farewells) tell(w farewell) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, w)
	if f.workers < farewellWorkers {
		f.workers++
		go f.work() // wait waits for it
	}
}

func (f *farewells) work() {
	for {
		f.mu.Lock()
		if len(f.queue) == 0 {
			f.queue = nil
			f.workers--
			f.checkEmpty()
			f.mu.Unlock()
			return
		}
		next := f.queue[0]
		f.queue = f.queue[1:]
		f.mu.Unlock()
		if err := f.deliver(next); err != nil {
			// All together are an error of Shutdown.
			f.g.cfg.Logger.Debug("an actor was not told that a connection has ended; the workers end it with this gateway's lease",
				zap.String(keySession, next.ConnectionId), zap.Error(err))
		}
		f.mu.Lock()
		f.open--
		f.mu.Unlock()
	}
}

// deliver tries until the end of a connection is answered or, once the gateway shuts down, in the log.
func (f *farewells) deliver(w farewell) error {
	for pause := firstFarewellPause; ; pause = min(2*pause, lastFarewellPause) {
		told, err := f.try(w)
		if told {
			return nil
		}
		if errors.Is(err, eventlog.ErrClosed) {
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-f.ctx.Done():
			timer.Stop()
			return fmt.Errorf("shutting down: %w", err)
		}
	}
}

func (f *farewells) try(w farewell) (told bool, err error) {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	type result struct {
		told bool
		err  error
	}
	appended, answered := make(chan struct{}), make(chan result, 1)
	action := w.to.action(nil, "")
	action.Body = &actorlogv1.Action_Disconnect{Disconnect: w.Disconnect}
	err = f.g.client.Ask(ctx, remote.Request{Hash: w.to.hash, Action: action, Appended: func() { close(appended) }},
		func(d *remote.Delivery, _ bool, err error) {
			if err != nil {
				answered <- result{err: err}
				return
			}
			// Any other error says that there is no such connection, or that it has ended for all that its hook failed.
			e := outcomeError(d)
			if e != nil && e.Group == actor.ErrOverloaded.Group && e.Code == actor.ErrOverloaded.Code {
				answered <- result{err: e}
				return
			}
			answered <- result{told: true}
		})
	if err != nil {
		return false, err
	}
	var inLog <-chan struct{} // while there is time, the answer counts
	closing := f.closing
	for {
		select {
		case r := <-answered:
			return r.told, r.err
		case <-closing:
			inLog, closing = appended, nil
		case <-inLog:
			return true, nil
		}
	}
}

func (f *farewells) checkEmpty() {
	if f.draining && f.open == 0 && f.workers == 0 {
		select {
		case <-f.empty:
		default:
			close(f.empty)
		}
	}
}

// drain says that the gateway shuts down.
func (f *farewells) drain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.draining {
		f.draining = true
		close(f.closing)
		f.checkEmpty()
	}
}

// wait returns when all is told. When ctx ends before, the rest is left to the workers. Nothing may be expected any more.
func (f *farewells) wait(ctx context.Context) error {
	defer f.cancel()
	select {
	case <-f.empty:
		return nil
	case <-ctx.Done():
	}
	f.mu.Lock()
	n := f.open
	f.mu.Unlock()
	f.cancel()
	<-f.empty
	return fmt.Errorf("draining the gateway: %d actors were not told that a connection has ended: %w", n, context.Cause(ctx))
}
