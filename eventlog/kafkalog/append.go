package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/actorlog/actorlog/eventlog"
)

// errAppendTimeout is what an append ends with after Config.AppendTimeout.
var errAppendTimeout = errors.New("no acknowledgement in time")

// appends holds what was appended and not acknowledged.
//
// Each partition has a queue, because done must be called in the order of the calls
// while outcomes come in any order: a context ends, a record is refused before it is
// sent, and kgo reports what it never sent apart from what it sent. An append is
// finished by whichever comes first (acknowledgement, context, timeout, Close), and
// done is called when all before it are finished too.
//
// The caller's context is not handed to kgo: cancelling one record there fails all
// records of the partition that are buffered behind it.
type appends struct {
	l      *Log
	queues [][]appendQueue // by topic and partition

	// The buffer: bytes of records that kgo holds.
	mu     sync.Mutex
	used   int
	freed  chan struct{} // closed when used shrinks while somebody waits; nil: nobody does
	closed chan struct{}
}

type appendQueue struct {
	t         eventlog.Topic
	partition int32

	mu         sync.Mutex
	items      []*pending // items[head:] wait, in the order of the calls
	head       int
	delivering bool
	closed     bool
}

// pending is one append. Its fields are guarded by its queue's mutex once it is queued.
type pending struct {
	a        *appends
	q        *appendQueue
	record   kgo.Record
	done     func(int64, error)
	finished bool
	offset   int64
	err      error
	at       time.Time
	bytes    int
	unwatch  func() bool // ends the watch on the caller's context; may be nil
}

func (a *appends) init(l *Log) {
	a.l = l
	a.closed = make(chan struct{})
	for _, t := range l.roles() {
		qs := make([]appendQueue, l.topics[t].partitions)
		for i := range qs {
			qs[i].t, qs[i].partition = t, int32(i)
		}
		a.queues = append(a.queues, qs)
	}
	l.wg.Add(1)
	go a.expire()
}

// Append implements [eventlog.Log].
func (l *Log) Append(ctx context.Context, t eventlog.Topic, r eventlog.Record, done func(offset int64, err error)) {
	a := &l.appends
	if err := l.checkPartition(t, r.Partition); err != nil {
		go done(0, fmt.Errorf("appending to %s[%d]: %w", t, r.Partition, err))
		return
	}
	q := &a.queues[t][r.Partition]
	p := &pending{a: a, q: q, done: done, at: time.Now()}
	if t == eventlog.Snapshots {
		p.refuse(errors.New("snapshots are written through a SnapshotWriter only"))
		return
	}
	p.bytes = wireSize(&r)
	if limit := l.topics[t].maxBytes; p.bytes > limit {
		p.refuse(fmt.Errorf("%w: %d bytes with framing, topic %s takes %d: send less, or raise its max.message.bytes",
			eventlog.ErrTooLarge, p.bytes, l.topics[t].name, limit))
		return
	}
	if err := a.acquire(ctx, p.bytes); err != nil {
		p.refuse(err)
		return
	}
	p.record = kgo.Record{Topic: l.topics[t].name, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: p.at}
	if len(r.Headers) > 0 {
		p.record.Headers = make([]kgo.RecordHeader, len(r.Headers))
		for i, h := range r.Headers {
			p.record.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
		}
	}

	// Producing under the queue's lock is what makes the queue's order the
	// partition's. kgo does not block in it: its buffer is larger than ours.
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		a.release(p.bytes)
		p.refuse(eventlog.ErrClosed)
		return
	}
	q.items = append(q.items, p)
	if ctx.Done() != nil {
		p.unwatch = context.AfterFunc(ctx, func() { p.finish(0, ctx.Err()) })
	}
	l.cl.Produce(traced(ctx), &p.record, p.promise)
	q.mu.Unlock()
}

// promise is called by kgo when it lets go of the record.
func (p *pending) promise(r *kgo.Record, err error) {
	p.a.release(p.bytes)
	if err != nil {
		p.finish(0, p.a.l.translateProduce(p, err))
		return
	}
	p.finish(r.Offset, nil)
}

func (l *Log) translateProduce(p *pending, err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("%w: %d bytes with framing: the broker refuses them for topic %s: raise its max.message.bytes", eventlog.ErrTooLarge, p.bytes, l.topics[p.q.t].name)
	case errors.Is(err, kgo.ErrRecordTimeout):
		return fmt.Errorf("%w (%s): %w", errAppendTimeout, l.cfg.AppendTimeout, err)
	}
	return l.translate(err)
}

// refuse finishes an append that is not handed to kgo, in its turn.
func (p *pending) refuse(err error) {
	p.q.mu.Lock()
	p.q.items = append(p.q.items, p)
	p.q.mu.Unlock()
	// Not on the caller's goroutine, which may hold what done needs.
	go p.finish(0, err)
}

// finish records the outcome unless there is one, and calls done for all that are
// finished in a row from the first. One goroutine at a time does so per queue.
func (p *pending) finish(offset int64, err error) {
	q := p.q
	q.mu.Lock()
	if p.finished {
		q.mu.Unlock()
		return
	}
	p.finished, p.offset, p.err = true, offset, err
	q.deliver()
	q.mu.Unlock()
}

// deliver is called with mu held and releases it while done runs.
func (q *appendQueue) deliver() {
	if q.delivering {
		return // whoever delivers looks again
	}
	q.delivering = true
	for q.head < len(q.items) && q.items[q.head].finished {
		p := q.items[q.head]
		q.items[q.head] = nil
		q.head++
		if q.head == len(q.items) {
			q.items, q.head = q.items[:0], 0
		} else if q.head > 1024 && q.head > len(q.items)/2 {
			n := copy(q.items, q.items[q.head:])
			clear(q.items[n:])
			q.items, q.head = q.items[:n], 0
		}
		q.mu.Unlock()
		p.report()
		q.mu.Lock()
	}
	q.delivering = false
}

func (p *pending) report() {
	if p.unwatch != nil {
		p.unwatch()
	}
	if p.err == nil {
		p.done(p.offset, nil)
		return
	}
	if f := p.a.l.cfg.Listener.AppendFailed; f != nil {
		f(p.q.t, p.q.partition, p.err)
	}
	p.done(0, fmt.Errorf("appending to %s[%d]: %w", p.q.t, p.q.partition, p.err))
}

// expire ends appends that have waited for Config.AppendTimeout. kgo does the same for
// records that it never sent, but it waits for ever for the answer to one that it
// has sent, for the sake of its sequence numbers.
func (a *appends) expire() {
	defer a.l.wg.Done()
	tick := a.l.cfg.AppendTimeout / 30
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-a.closed:
			return
		case now := <-ticker.C:
			// A tick early rather than late.
			old := now.Add(tick - a.l.cfg.AppendTimeout)
			a.each(func(q *appendQueue) {
				for _, p := range q.items[q.head:] {
					if p.at.After(old) {
						break
					}
					if !p.finished {
						p.finished, p.err = true, fmt.Errorf("%w (%s)", errAppendTimeout, a.l.cfg.AppendTimeout)
					}
				}
				q.deliver()
			})
		}
	}
}

func (a *appends) close() {
	close(a.closed)
	a.each(func(q *appendQueue) {
		q.closed = true
		for _, p := range q.items[q.head:] {
			if !p.finished {
				p.finished, p.err = true, eventlog.ErrClosed
			}
		}
		q.deliver()
	})
}

func (a *appends) each(f func(*appendQueue)) {
	for t := range a.queues {
		for i := range a.queues[t] {
			q := &a.queues[t][i]
			q.mu.Lock()
			f(q)
			q.mu.Unlock()
		}
	}
}

// acquire takes n bytes of the buffer. A record larger than the whole buffer gets it
// for itself.
func (a *appends) acquire(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return ctx.Err()
	}
	a.mu.Lock()
	if a.used == 0 || a.used+n <= a.l.cfg.BufferBytes {
		a.used += n
		a.mu.Unlock()
		return nil
	}
	timer := time.NewTimer(a.l.cfg.AppendTimeout)
	defer timer.Stop()
	for {
		if a.freed == nil {
			a.freed = make(chan struct{})
		}
		freed := a.freed
		a.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		case <-a.closed:
			return eventlog.ErrClosed
		case <-timer.C:
			return fmt.Errorf("%w (%s): the buffer of %d bytes is full", errAppendTimeout, a.l.cfg.AppendTimeout, a.l.cfg.BufferBytes)
		}
		a.mu.Lock()
		if a.used == 0 || a.used+n <= a.l.cfg.BufferBytes {
			a.used += n
			a.mu.Unlock()
			return nil
		}
	}
}

func (a *appends) release(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= n
	if a.freed != nil {
		close(a.freed)
		a.freed = nil
	}
}

// wireSize is the most that the record takes as a batch of its own: the batch's header
// of 61 bytes, and lengths as long as they can get.
func wireSize(r *eventlog.Record) int {
	n := 61 + 5 + 1 + 10 + 5 + 5 + len(r.Key) + 5 + len(r.Value) + 5
	for _, h := range r.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}
