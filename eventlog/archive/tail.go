package archive

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/actorlog/actorlog/eventlog"
)

// tail reads each partition from the directory first, and then from the log.
type tail struct {
	dir   *Dir
	inner eventlog.Tail

	mu sync.Mutex
	// next is what is read next of the partitions that are in the directory still. turn is where the round among them goes on.
	next map[int32]int64
	turn int32
	// interrupt ends the poll of the log that is under way, for there is something to be read from the directory.
	interrupt context.CancelFunc
	closed    bool
}

func newTail(dir *Dir, inner eventlog.Tail) *tail {
	return &tail{dir: dir, inner: inner, next: make(map[int32]int64)}
}

// Add implements [eventlog.Tail].
func (t *tail) Add(partition int32, offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.next, partition)
	if first, next, some := t.dir.Bounds(partition); !some || offset < first || offset >= next {
		t.inner.Add(partition, offset)
		return
	}
	t.inner.Remove(partition)
	t.next[partition] = offset
	if t.interrupt != nil {
		t.interrupt()
	}
}

// Remove implements [eventlog.Tail].
func (t *tail) Remove(partition int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.next, partition)
	t.inner.Remove(partition)
}

// Close implements [eventlog.Tail].
func (t *tail) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.inner.Close()
}

// Poll implements [eventlog.Tail].
func (t *tail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			return nil, eventlog.ErrClosed
		}
		partition, from, some := t.pick()
		if some {
			t.mu.Unlock()
			records, err := t.read(partition, from)
			if len(records) > 0 || err != nil {
				return records, err
			}
			continue
		}
		inner, cancel := context.WithCancel(ctx)
		t.interrupt = cancel
		t.mu.Unlock()
		records, err := t.inner.Poll(inner)
		t.mu.Lock()
		t.interrupt = nil
		// Of a partition that was moved into the directory while the log was asked.
		records = slices.DeleteFunc(records, func(r eventlog.Record) bool { _, moved := t.next[r.Partition]; return moved })
		t.mu.Unlock()
		cancel()
		if len(records) > 0 || (err != nil && !errors.Is(err, context.Canceled)) {
			return records, err
		}
	}
}

// pick chooses a partition that is to be read from the directory, each in its turn. t.mu is held.
func (t *tail) pick() (partition int32, from int64, some bool) {
	if len(t.next) == 0 {
		return 0, 0, false
	}
	all := slices.Sorted(maps.Keys(t.next))
	partition = all[0]
	for _, p := range all {
		if p > t.turn {
			partition = p
			break
		}
	}
	t.turn = partition
	return partition, t.next[partition], true
}

// read reads the next block of a partition, and passes it on to the log after the last.
func (t *tail) read(partition int32, from int64) ([]eventlog.Record, error) {
	records, next, err := t.dir.read(partition, from)
	t.mu.Lock()
	defer t.mu.Unlock()
	if now, some := t.next[partition]; !some || now != from || t.closed {
		return nil, nil // it was moved or removed meanwhile
	}
	if err != nil {
		delete(t.next, partition)
		return nil, &eventlog.PartitionError{Topic: eventlog.Events, Partition: partition, Err: err}
	}
	t.next[partition] = next
	if _, end, _ := t.dir.Bounds(partition); next >= end {
		delete(t.next, partition)
		t.inner.Add(partition, next)
	}
	return records, nil
}
