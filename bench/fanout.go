package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway/wire"
)

// bursts are how many broadcasts are sent before the sockets are waited for.
var bursts = []int{1, 16}

// fanout measures broadcasts to many sockets of one actor, from the call that causes them until the
// last socket has them, against the socket library alone.
func (b *bench) fanout(ctx context.Context) error {
	if !b.wants("fanout") {
		return nil
	}
	b.report.progress("fanout to %d sockets", b.sockets)
	w, err := b.startWorld(ctx)
	if err != nil {
		return err
	}
	ours, closeOurs, err := w.audience(ctx, b.sockets)
	if err != nil {
		return errors.Join(err, w.close())
	}
	raw, closeRaw, err := plainAudience(ctx, b.sockets)
	if err != nil {
		closeOurs()
		return errors.Join(err, w.close())
	}
	defer func() {
		closeRaw()
		closeOurs()
		if err := w.close(); err != nil {
			b.report.note("closing the world of the broadcasts: %v", err)
		}
	}()
	audiences := []struct {
		name string
		*audience
	}{{"fanout-raw", raw}, {"fanout", ours}}
	for _, atOnce := range bursts {
		taken := make([][]result, len(audiences))
		for range b.rounds {
			for i, a := range audiences {
				r, err := a.measure(ctx, atOnce, b.fanoutFor/time.Duration(b.rounds))
				if err != nil {
					return fmt.Errorf("%s: %w", a.name, err)
				}
				r.Name = a.name
				taken[i] = append(taken[i], r)
			}
		}
		for _, rounds := range taken {
			b.report.add(median(rounds, func(r *result) float64 { return r.P50us }))
		}
	}
	return nil
}

// audience is sockets that count what they get.
type audience struct {
	sockets int
	// send broadcasts n times, and returns when that is under way.
	send   func(ctx context.Context, n int) error
	left   atomic.Int64 // frames still to come
	all    chan struct{}
	failed chan error
}

func newAudience(sockets int) *audience {
	return &audience{sockets: sockets, all: make(chan struct{}, 1), failed: make(chan error, sockets)}
}

// listen counts the frames of one socket until it is closed.
func (a *audience) listen(conn *websocket.Conn) {
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			a.failed <- err
			return
		}
		if a.left.Add(-1) == 0 {
			a.all <- struct{}{}
		}
	}
}

// measure sends bursts for some time, each when the one before has arrived everywhere.
func (a *audience) measure(ctx context.Context, atOnce int, d time.Duration) (result, error) {
	var took []time.Duration
	began := time.Now()
	for time.Since(began) < d {
		sent := time.Now()
		a.left.Store(int64(a.sockets * atOnce))
		if err := a.send(ctx, atOnce); err != nil {
			return result{}, err
		}
		select {
		case <-a.all:
		case err := <-a.failed:
			return result{}, err
		case <-ctx.Done():
			return result{}, context.Cause(ctx)
		}
		took = append(took, time.Since(sent))
	}
	r := result{Sockets: a.sockets, AtOnce: atOnce, FramePS: round(float64(len(took)*atOnce*a.sockets) / time.Since(began).Seconds())}
	r.latency(took)
	return r, nil
}

// audience subscribes sockets to the count of one counter.
func (w *world) audience(ctx context.Context, n int) (*audience, func(), error) {
	const room = "fanout"
	sockets, closeAll, err := w.connect(ctx, n, func(int) string { return room })
	if err != nil {
		return nil, nil, err
	}
	for _, s := range sockets {
		// The answer to a request after it says that a subscription is in force.
		if err := errors.Join(s.subscribe(counter.Changed.Name()), s.request(counter.Get.Name(), "\x80"), s.awaitAnswer()); err != nil {
			closeAll()
			return nil, nil, err
		}
	}
	a := newAudience(n)
	a.send = func(ctx context.Context, n int) error {
		for range n - 1 {
			go w.shout(ctx, a, room)
		}
		w.shout(ctx, a, room)
		return nil
	}
	return a, a.open(sockets, closeAll), nil
}

// shout increments the room's counter, and so broadcasts its count.
func (w *world) shout(ctx context.Context, a *audience, room string) {
	if _, err := counter.Increment.Call(ctx, counter.Kind.Get(w.client, room), 1); err != nil {
		a.failed <- err
	}
}

// open starts the readers and returns what ends them.
func (a *audience) open(sockets []*socket, closeAll func()) func() {
	var wg sync.WaitGroup
	for _, s := range sockets {
		wg.Go(func() { a.listen(s.conn) })
	}
	return func() {
		closeAll()
		wg.Wait()
	}
}

// plainAudience is sockets of a server that is nothing but melody, which sends the same frames.
func plainAudience(ctx context.Context, n int) (*audience, func(), error) {
	m, addr, stop, err := bareMelody()
	if err != nil {
		return nil, nil, err
	}
	sockets, closeSockets, err := dial(ctx, n, func(int) string { return "ws://" + addr })
	if err != nil {
		stop()
		return nil, nil, err
	}
	closeAll := func() { closeSockets(); stop() }
	for m.Len() < n { // they are answered before they are registered
		time.Sleep(time.Millisecond)
	}
	frame, err := wire.AppendEvent(nil, wire.Format{Encoding: wire.BARE, Version: 4}, counter.Changed.Name(), []byte("[123456]"))
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	a := newAudience(n)
	a.send = func(_ context.Context, n int) error {
		for range n {
			if err := m.BroadcastBinary(frame); err != nil {
				return err
			}
		}
		return nil
	}
	return a, a.open(sockets, closeAll), nil
}
