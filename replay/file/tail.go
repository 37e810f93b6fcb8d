package file

import (
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/actorlog/actorlog/eventlog"
)

// tail reads shards of a file. At their ends it waits, for nothing comes after.
type tail struct {
	h      *History
	topic  eventlog.Topic
	once   sync.Once
	closed chan struct{}
	more   chan struct{} // capacity 1: there may be more

	mu    sync.Mutex
	wants []want
}

type want struct {
	partition int32
	from      int64
}

// Add implements eventlog.Tail.
func (t *tail) Add(p int32, from int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wants = append(slices.DeleteFunc(t.wants, func(w want) bool { return w.partition == p }), want{p, from})
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// Remove implements eventlog.Tail.
func (t *tail) Remove(p int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wants = slices.DeleteFunc(t.wants, func(w want) bool { return w.partition == p })
}

// Close implements eventlog.Tail.
func (t *tail) Close() { t.once.Do(func() { close(t.closed) }) }

// Poll implements eventlog.Tail.
func (t *tail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	for {
		select {
		case <-t.closed:
			return nil, eventlog.ErrClosed
		default:
		}
		if records, err := t.next(); len(records) > 0 || err != nil {
			return records, err
		}
		select {
		case <-t.more:
		case <-t.closed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// next is all that is left of one shard.
func (t *tail) next() ([]eventlog.Record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.wants) > 0 {
		w := t.wants[0]
		t.wants = t.wants[1:]
		start, end, _ := t.h.Bounds(context.Background(), t.topic, w.partition)
		if w.from < start || w.from > end {
			return nil, &eventlog.PartitionError{Topic: t.topic, Partition: w.partition, Err: eventlog.ErrOffsetOutOfRange}
		}
		list := t.h.list(t.topic, w.partition)
		i := sort.Search(len(list), func(i int) bool { return list[i].Offset >= w.from })
		if i < len(list) {
			return slices.Clone(list[i:]), nil
		}
	}
	return nil, nil
}
