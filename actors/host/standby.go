package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/actorlog/actorlog/eventlog"
)

// standbys are the shards that the worker follows while others own them, so that it has little left to read when one is given to it. Each keeps a
// prefix of its shard near the end of the log, in memory and in the local store; nothing else comes of it.
//
//	added -> reads by itself, up to the end -> fed by the two tails of all standbys -> taken: the prefix is the new owner's
//	            ^                                        |
//	            +------- after a pause, anew <-----------+ cannot go on
type standbys struct {
	w *Worker
	// reading bounds how many read up to the end at a time: the shards that are served come first.
	reading           *semaphore.Weighted
	events, snapshots *feed
	stop              context.CancelFunc
	feeds             sync.WaitGroup

	closing sync.Once

	mu     sync.Mutex
	of     map[int32]*standby
	closed bool
}

// standby is one shard that is followed.
type standby struct {
	cancel context.CancelFunc
	done   chan struct{}
	// failure is why the prefix cannot be continued.
	failure chan error

	mu     sync.Mutex
	prefix *prefix
	fed    bool
}

const (
	readingAtOnce = 2
	// settles is how long a shard must have been somebody else's before it is followed.
	settles = time.Second
	// followAgain is how long to wait before a shard is followed anew, the first time and at most.
	followAgain, maxFollowAgain = time.Second, time.Minute
	// sweepEvery is how often actors that have not changed for SleepAfter go into the local store.
	sweepEvery = 5 * time.Second
)

// openStandbys returns the standbys of a worker, none yet; nil if it is to have none.
func openStandbys(w *Worker) (*standbys, error) {
	if !w.cfg.Standby {
		return nil, nil
	}
	b := &standbys{w: w, reading: semaphore.NewWeighted(readingAtOnce), of: make(map[int32]*standby)}
	events, err := w.log.Tail(eventlog.Events)
	if err != nil {
		return nil, fmt.Errorf("opening a tail for standbys: %w", err)
	}
	snapshots, err := w.log.Tail(eventlog.Snapshots)
	if err != nil {
		events.Close()
		return nil, fmt.Errorf("opening a tail for standbys: %w", err)
	}
	b.events = newFeed(events, func(p int32, records []eventlog.Record) {
		b.feed(p, func(f *prefix) error {
			for i := range records {
				if r := &records[i]; r.Offset >= f.next {
					f.events++
					if err := f.takeEvent(r); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}, b.fail)
	b.snapshots = newFeed(snapshots, func(p int32, records []eventlog.Record) {
		b.feed(p, func(f *prefix) error {
			for i := range records {
				if r := &records[i]; r.Offset >= f.snapshotsNext && !r.Mark {
					if err := f.takeSnapshot(r); err != nil {
						return err
					}
				}
			}
			return f.commit() // before an event is applied to what the store has
		})
	}, b.fail)
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.feeds.Go(func() { b.events.run(ctx) })
	b.feeds.Go(func() { b.snapshots.run(ctx) })
	return b, nil
}

// close gives all of them up, and returns when they are.
func (b *standbys) close() {
	if b != nil {
		b.closing.Do(b.end)
	}
}

func (b *standbys) end() {
	b.mu.Lock()
	b.closed = true
	var all []int32
	for p := range b.of {
		all = append(all, p)
	}
	b.mu.Unlock()
	for _, p := range all {
		if f := b.take(p); f != nil {
			f.close()
		}
	}
	b.stop()
	b.events.tail.Close()
	b.snapshots.tail.Close()
	b.feeds.Wait()
}

// add begins to follow shards.
func (b *standbys) add(partitions []int32) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range partitions {
		if b.closed || b.of[p] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		st := &standby{cancel: cancel, done: make(chan struct{}), failure: make(chan error, 1)}
		b.of[p] = st
		go func() {
			defer close(st.done)
			b.follow(ctx, p, st)
		}()
	}
}

// take ends following a shard, and returns what is known of it; nil if that is nothing.
func (b *standbys) take(p int32) *prefix {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	st := b.of[p]
	delete(b.of, p)
	b.mu.Unlock()
	if st == nil {
		return nil
	}
	st.cancel()
	<-st.done
	f := st.prefix
	if f != nil && len(st.failure) > 0 {
		f.close()
		return nil
	}
	return f
}

// follow follows a shard until ctx ends. Then the standby's prefix is what may be continued.
func (b *standbys) follow(ctx context.Context, p int32, st *standby) {
	backoff := followAgain
	// Not at once: when workers come and go, a shard may be given to this one within a moment.
	for pause(ctx, settles); ctx.Err() == nil; {
		f := newPrefix(b.w, p)
		st.prefix = f
		err := b.readUp(ctx, f)
		if err == nil {
			backoff = followAgain
			err = b.keep(ctx, p, st)
		}
		if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
			return
		}
		f.close()
		st.prefix = nil
		b.w.mend(p, err)
		b.w.cfg.Events.StandbyRetry(p, err)
		pause(ctx, backoff)
		backoff = min(2*backoff, maxFollowAgain)
	}
}

// readUp reads a prefix up to the end, as it is now.
func (b *standbys) readUp(ctx context.Context, f *prefix) error {
	if err := b.reading.Acquire(ctx, 1); err != nil {
		return err
	}
	defer b.reading.Release(1)
	_, end, err := b.w.log.Bounds(ctx, eventlog.Events, f.partition)
	if err != nil {
		return err
	}
	return f.readTo(ctx, end)
}

// keep has a prefix fed until ctx ends, or it cannot go on.
func (b *standbys) keep(ctx context.Context, p int32, st *standby) error {
	st.mu.Lock()
	st.fed = true
	events, snapshots := st.prefix.next, st.prefix.snapshotsNext
	st.mu.Unlock()
	b.events.add(p, events)
	b.snapshots.add(p, snapshots)
	defer func() {
		b.events.remove(p)
		b.snapshots.remove(p)
		st.mu.Lock() // whoever feeds it has come to an end
		st.fed = false
		st.mu.Unlock()
	}()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-st.failure:
			return err
		case now := <-sweep.C:
			st.mu.Lock()
			err := st.prefix.sweep(now.Add(-b.w.cfg.SleepAfter))
			st.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
}

func (b *standbys) get(p int32) *standby {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of[p]
}

// feed has a standby take records in.
func (b *standbys) feed(p int32, take func(*prefix) error) {
	st := b.get(p)
	if st == nil {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.fed || len(st.failure) > 0 {
		return
	}
	if err := take(st.prefix); err != nil {
		st.failure <- err
	}
}

func (b *standbys) fail(p int32, err error) {
	b.feed(p, func(*prefix) error { return err })
}

// Standby is one shard that a worker follows.
type Standby struct {
	Partition int32
	// Next is the first of events that it has not read, -1 as long as it has not found where to begin.
	Next int64
	// Fed: it has come to the end once, and follows since.
	Fed bool
}

// Standbys returns the shards that the worker follows, in order. Next of one that is not fed yet is -1.
func (w *Worker) Standbys() []Standby {
	if w.standbys == nil {
		return nil
	}
	w.standbys.mu.Lock()
	defer w.standbys.mu.Unlock()
	all := make([]Standby, 0, len(w.standbys.of))
	for p, st := range w.standbys.of {
		s := Standby{Partition: p, Next: -1}
		st.mu.Lock()
		if st.fed {
			s.Fed, s.Next = true, st.prefix.next
		}
		st.mu.Unlock()
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y Standby) int { return int(x.Partition - y.Partition) })
	return all
}

// feed is a tail that several standbys are fed from.
type feed struct {
	tail eventlog.Tail
	take func(p int32, records []eventlog.Record)
	fail func(p int32, err error)

	mu sync.Mutex
	// added is from where partitions are to be read. Only run adds them to the tail, between two polls: records that were polled before a partition was
	// removed are never taken for those after it was added again.
	added     map[int32]int64
	reads     map[int32]bool
	interrupt context.CancelFunc
}

func newFeed(tail eventlog.Tail, take func(int32, []eventlog.Record), fail func(int32, error)) *feed {
	return &feed{tail: tail, take: take, fail: fail, added: make(map[int32]int64), reads: make(map[int32]bool), interrupt: func() {}}
}

func (f *feed) add(p int32, from int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added[p] = from
	f.interrupt()
}

func (f *feed) remove(p int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.added, p)
	delete(f.reads, p)
	f.tail.Remove(p)
}

func (f *feed) run(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		polling, interrupt := context.WithCancel(ctx)
		f.interrupt = interrupt
		for p, from := range f.added {
			f.tail.Add(p, from)
			f.reads[p] = true
		}
		clear(f.added)
		f.mu.Unlock()
		records, err := f.tail.Poll(polling)
		interrupted := polling.Err() != nil
		interrupt()
		var broken *eventlog.PartitionError
		switch {
		case errors.Is(err, eventlog.ErrClosed):
			return
		case errors.As(err, &broken):
			if f.wants(broken.Partition) {
				f.fail(broken.Partition, broken)
			}
		case err != nil && !interrupted:
			pause(ctx, time.Second)
		}
		for len(records) > 0 {
			p, n := records[0].Partition, 1
			for n < len(records) && records[n].Partition == p {
				n++
			}
			if f.wants(p) {
				f.take(p, records[:n])
			}
			records = records[n:]
		}
	}
}

func (f *feed) wants(p int32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads[p]
}
