package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
)

// sluggish is an actor whose action takes as long as its caller says: what it can carry is known, and takes hardly any processor time.
type sluggish struct{ N int }

var (
	sluggishKind = actor.New[sluggish]("sluggish")
	nap          = actor.Action[int, int](sluggishKind, "nap")
)

func registerSluggish(r *actor.Registry) {
	actor.On(r, nap, func(s *sluggish, c *actor.Ctx, ms int) (int, error) {
		if ms > 0 {
			timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-c.Done():
				return 0, c.Err()
			}
		}
		s.N++
		return s.N, nil
	})
}

const (
	// An actor that naps for 20 ms carries just under 50 calls a second.
	napMs      = 20
	napPerS    = 1000 / napMs
	sluggards  = 4
	overloadBy = 10
	// floodConns is more than can be under way at the gateway: 1,000 for each actor.
	hotConns   = 1000 + 128
	floodConns = sluggards * hotConns
)

func napRequest(addr, key string, ms int) []byte {
	body := strconv.Itoa(ms)
	return fmt.Appendf(nil, "POST /actors/%s/%s/actions/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		sluggishKind.Name(), key, nap.Name(), addr, len(body), body)
}

// overload measures a gateway and a worker that are asked for what they can carry, and for ten times as much: memory, what is
// done, and how soon the rest is refused. Then what the neighbours of one actor that is asked for ten times too much notice.
func (b *bench) overload(ctx context.Context) error {
	if !b.wants("overload") && !b.wants("neighbours") {
		return nil
	}
	w, err := b.startWorld(ctx)
	if err != nil {
		return err
	}
	if b.wants("overload") {
		err = b.tenfold(ctx, w)
	}
	if err == nil && b.wants("neighbours") {
		err = b.neighbours(ctx, w)
	}
	return errors.Join(err, w.close())
}

// tenfold floods actors by what they can carry, and by ten times as much.
func (b *bench) tenfold(ctx context.Context, w *world) error {
	var requests [][]byte
	for i := range sluggards {
		requests = append(requests, napRequest(w.addr, fmt.Sprint("s", i), napMs))
	}
	for _, times := range []float64{0.9, overloadBy} {
		b.report.progress("overload, %g times what is carried", times)
		burst := 0
		if times > 1 {
			burst = floodConns // as much as can be under way, and more
		}
		f, err := startFlood(w.addr, requests, int(times*sluggards*napPerS), burst, floodConns)
		if err != nil {
			return err
		}
		if !pause(ctx, b.warmUp) {
			f.stop()
			return context.Cause(ctx)
		}
		runtime.GC()
		f.reset()
		peak := peakHeap(ctx, b.overloadFor)
		r := f.result(b.overloadFor)
		f.stop()
		if err := f.failure(); err != nil {
			return err
		}
		r.Name, r.Times, r.PeakHeapBytes = "overload", times, peak
		b.report.add(r)
	}
	return nil
}

// neighbours calls other actors of a shard, alone and while one actor of it is flooded; and, to tell what is the shard's doing from what is
// that of the processors, while one of another shard is. They take turns.
func (b *bench) neighbours(ctx context.Context, w *world) error {
	shardOf := func(key string) int32 {
		return schemas.HashOf(actor.DefaultNamespace, sluggishKind.Name(), schemas.Key{key}).Shard(partitions)
	}
	// A key that was not used before: what nobody waits for any more is still done, one after the other.
	made := 0
	newKey := func(in bool) string {
		for {
			made++
			if key := fmt.Sprint("n", made); (shardOf(key) == shardOf("n")) == in {
				return key
			}
		}
	}
	var calm []string
	for range 16 {
		calm = append(calm, newKey(true))
	}
	cases := []struct {
		name    string
		flooded bool
		in      bool // the shard of the others
		ms      int
	}{
		{"neighbours", false, false, 0},
		// It carries a tenth: a thousand calls wait for it, and all others are refused.
		{"neighbours-slow", true, true, napMs},
		{"neighbours-slow-elsewhere", true, false, napMs},
		// It carries all of it.
		{"neighbours-busy", true, true, 0},
		{"neighbours-busy-elsewhere", true, false, 0},
	}
	taken := make([][]result, len(cases))
	for round := range b.rounds {
		for i, c := range cases {
			b.report.progress("%s, round %d of %d", c.name, round+1, b.rounds)
			var request []byte
			burst := 0
			if c.flooded {
				request = napRequest(w.addr, newKey(c.in), c.ms)
			}
			if c.ms > 0 {
				burst = hotConns // fills its mailbox
			}
			r, err := b.besides(ctx, w.addr, request, burst, calm)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			r.Name = c.name
			taken[i] = append(taken[i], r)
		}
	}
	for _, rounds := range taken {
		b.report.add(median(rounds, func(r *result) float64 { return r.P99us }))
	}
	return nil
}

// besides calls actors by two callers that pause, while one is flooded by a request; nil is none.
func (b *bench) besides(ctx context.Context, addr string, request []byte, burst int, keys []string) (r result, err error) {
	const callers, between = 2, 2 * time.Millisecond
	if request != nil {
		f, err := startFlood(addr, [][]byte{request}, overloadBy*napPerS, burst, hotConns)
		if err != nil {
			return result{}, err
		}
		defer func() {
			f.stop()
			err = errors.Join(err, f.failure())
		}()
	}
	var calls []call
	for i := range callers {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return result{}, err
		}
		defer conn.Close()
		in := bufio.NewReaderSize(conn, 1<<10)
		calls = append(calls, func(context.Context) error {
			i++
			if _, err := conn.Write(napRequest(addr, keys[i%len(keys)], 0)); err != nil {
				return err
			}
			return readAnswer(in)
		})
	}
	return pacedLoop(ctx, calls, between, max(b.warmUp, time.Second), b.overloadFor/time.Duration(b.rounds))
}

// pacedLoop is closedLoop with a pause before each call, for callers that leave the processors to others.
func pacedLoop(ctx context.Context, callers []call, between, warmUp, d time.Duration) (result, error) {
	var mu sync.Mutex
	var taken []time.Duration
	paced := make([]call, len(callers))
	for i, c := range callers {
		paced[i] = func(ctx context.Context) error {
			if !pause(ctx, between) {
				return context.Cause(ctx)
			}
			asked := time.Now()
			err := c(ctx)
			mu.Lock()
			taken = append(taken, time.Since(asked))
			mu.Unlock()
			return err
		}
	}
	if _, err := closedLoop(ctx, paced, 0, warmUp); err != nil {
		return result{}, err
	}
	taken = taken[:0]
	r, err := closedLoop(ctx, paced, 0, d)
	if err == nil {
		r.latency(taken) // without the pauses
	}
	return r, err
}

// peakHeap is the most bytes of objects that were seen on the heap within a time.
func peakHeap(ctx context.Context, d time.Duration) (peak int64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for until := time.Now().Add(d); time.Now().Before(until) && pause(ctx, 10*time.Millisecond); {
		metrics.Read(sample)
		peak = max(peak, int64(sample[0].Value.Uint64()))
	}
	return peak
}

// flood sends requests at a rate that does not depend on how soon they are answered: an open loop, as long as there are
// connections. Without an idle one, a request is missed, and counted as such. It begins with a burst.
type flood struct {
	tokens chan struct{}
	quit   chan struct{}
	wg     sync.WaitGroup
	conns  []net.Conn

	missed atomic.Int64
	mu     sync.Mutex
	done   []time.Duration
	no     []time.Duration // refused
	err    error
}

func startFlood(addr string, requests [][]byte, perS, burst, conns int) (*flood, error) {
	f := &flood{tokens: make(chan struct{}), quit: make(chan struct{})}
	for i := range conns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			f.stop()
			return nil, fmt.Errorf("opening connection %d of a flood (is the limit of open files high enough?): %w", i, err)
		}
		f.conns = append(f.conns, conn)
		f.wg.Go(func() { f.send(conn, requests, i) })
	}
	f.wg.Go(func() { f.pour(perS, burst) })
	return f, nil
}

// pour hands out what is to be sent.
func (f *flood) pour(perS, burst int) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	began, sent := time.Now(), -burst
	for {
		select {
		case <-f.quit:
			return
		case <-ticker.C:
		}
		for due := int(time.Since(began).Seconds() * float64(perS)); sent < due; sent++ {
			select {
			case f.tokens <- struct{}{}:
			default:
				f.missed.Add(1)
			}
		}
	}
}

func (f *flood) send(conn net.Conn, requests [][]byte, i int) {
	in := bufio.NewReaderSize(conn, 1<<10)
	for {
		select {
		case <-f.quit:
			return
		case <-f.tokens:
		}
		i++
		asked := time.Now()
		_, err := conn.Write(requests[i%len(requests)])
		status := 0
		if err == nil {
			status, err = readStatus(in)
		}
		took := time.Since(asked)
		f.mu.Lock()
		switch {
		case err != nil:
			select {
			case <-f.quit: // by the end
			default:
				f.err = errors.Join(f.err, err)
			}
			f.mu.Unlock()
			return
		case status == 200:
			f.done = append(f.done, took)
		case status == 503:
			f.no = append(f.no, took)
		default:
			f.err = fmt.Errorf("a flooded gateway answered %d", status)
		}
		f.mu.Unlock()
	}
}

// reset forgets what was counted so far.
func (f *flood) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done, f.no = nil, nil
	f.missed.Store(0)
}

// result is what came of the flood since reset.
func (f *flood) result(d time.Duration) (r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.OpsPerS, r.RefusedPerS, r.MissedPerS = perSecond(len(f.done), d), perSecond(len(f.no), d), perSecond(int(f.missed.Load()), d)
	if len(f.no) > 0 {
		r.latency(f.no)
	}
	return r
}

func perSecond(n int, d time.Duration) float64 { return round(float64(n) / d.Seconds()) }

func (f *flood) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// stop ends the flood; what is under way is not waited for.
func (f *flood) stop() {
	close(f.quit)
	for _, conn := range f.conns {
		_ = conn.Close() // the gateway learns that nobody waits any more
	}
	f.wg.Wait()
}
