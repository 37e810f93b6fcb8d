package memlog

import (
	"context"
	"fmt"
	"sort"

	"github.com/actorlog/actorlog/eventlog"
)

// pollLimit is how many records of one partition a Poll returns at most.
const pollLimit = 1000

// Tail reads partitions of one topic; see [eventlog.Tail].
type Tail struct {
	log   *Log
	topic eventlog.Topic
	wake  chan struct{} // capacity 1: something may have changed

	// The following are guarded by the cluster's mutex.
	next   map[int32]int64
	closed bool
}

// Tail implements [eventlog.Log].
func (l *Log) Tail(t eventlog.Topic) (eventlog.Tail, error) {
	if l.isClosed() {
		return nil, fmt.Errorf("opening a tail of %s: %w", t, eventlog.ErrClosed)
	}
	tail := &Tail{log: l, topic: t, wake: make(chan struct{}, 1), next: make(map[int32]int64)}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.c.tails[tail] = struct{}{}
	return tail, nil
}

func (t *Tail) notify() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Add implements [eventlog.Tail].
func (t *Tail) Add(partition int32, offset int64) {
	t.log.c.mu.Lock()
	defer t.log.c.mu.Unlock()
	t.next[partition] = offset
	t.notify()
}

// Remove implements [eventlog.Tail].
func (t *Tail) Remove(partition int32) {
	t.log.c.mu.Lock()
	defer t.log.c.mu.Unlock()
	delete(t.next, partition)
}

// Close implements [eventlog.Tail].
func (t *Tail) Close() {
	t.log.c.mu.Lock()
	defer t.log.c.mu.Unlock()
	t.closed = true
	delete(t.log.c.tails, t)
	t.notify()
}

// Poll implements [eventlog.Tail].
func (t *Tail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		records, err := t.take()
		if err != nil || len(records) > 0 {
			return records, err
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (t *Tail) take() ([]eventlog.Record, error) {
	c := t.log.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.closed || t.log.isClosed() {
		return nil, eventlog.ErrClosed
	}
	t.log.mu.Lock()
	connected := t.log.isConnected()
	t.log.mu.Unlock()
	if !connected {
		return nil, nil
	}

	// In order of partitions, so that a simulation is the same each time.
	partitions := make([]int32, 0, len(t.next))
	for p := range t.next {
		partitions = append(partitions, p)
	}
	sort.Slice(partitions, func(i, j int) bool { return partitions[i] < partitions[j] })

	var out []eventlog.Record
	var failed *eventlog.PartitionError
	more := false
	for _, number := range partitions {
		fail := func(err error) {
			if failed == nil {
				failed = &eventlog.PartitionError{Topic: t.topic, Partition: number, Err: err}
			} else {
				more = true // the next Poll reports it
			}
		}
		if err := c.check(t.topic, number); err != nil {
			fail(err)
			continue
		}
		p, next := c.topics[t.topic][number], t.next[number]
		if next < p.start || next > p.end {
			fail(fmt.Errorf("%w: %d is not in [%d, %d]", eventlog.ErrOffsetOutOfRange, next, p.start, p.end))
			continue
		}
		from := p.search(next)
		to := min(len(p.entries), from+pollLimit)
		out = append(out, p.entries[from:to]...)
		if to < len(p.entries) {
			t.next[number] = p.entries[to-1].Offset + 1
			more = true
		} else {
			t.next[number] = p.end
		}
	}
	// Records first, the error with the next Poll: nothing that was read is lost.
	if failed != nil && len(out) == 0 {
		delete(t.next, failed.Partition)
		if more {
			t.notify()
		}
		return nil, failed
	}
	if failed != nil || more {
		t.notify()
	}
	return out, nil
}
