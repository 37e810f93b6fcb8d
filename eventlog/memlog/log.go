package memlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/actorlog/actorlog/eventlog"
)

var _ eventlog.Log = (*Log)(nil)

// Log is one client of a [Cluster]: one process, as far as the log can tell.
type Log struct {
	c      *Cluster
	number int

	mu        sync.Mutex
	closed    chan struct{} // closed by Close and Crash
	crashed   bool
	connected chan struct{} // closed while connected
	queues    map[queueKey]*queue
	member    *member // while joined
	joining   bool
}

type queueKey struct {
	t         eventlog.Topic
	partition int32
}

// queue holds the appends to one partition that were not acknowledged yet. Its
// goroutine lives while it is not empty.
type queue struct {
	items   []*pending
	running bool
}

type pending struct {
	ctx      context.Context
	record   eventlog.Record
	fault    Fault
	err      error // decided before it was queued
	queuedAt time.Time
	done     func(int64, error)
}

// String names the client in messages of tests.
func (l *Log) String() string { return fmt.Sprintf("client %d of %s", l.number, l.c.id) }

// Partitions implements [eventlog.Log].
func (l *Log) Partitions() int32 { return l.c.partitions }

// Identity implements [eventlog.Log]: every Cluster has its own.
func (l *Log) Identity() string { return l.c.id }

// Close ends the client: waiting appends and polls end with ErrClosed, a running Join
// as if its context had ended.
func (l *Log) Close() { l.end(false) }

// Crash ends the client as SIGKILL would: appends that were not written yet are not,
// Join returns ErrClosed without calling any function of the member, and the group
// keeps the member's partitions until the session timeout, or until a member of the
// same ID joins.
func (l *Log) Crash() { l.end(true) }

func (l *Log) end(crash bool) {
	l.mu.Lock()
	if l.isClosed() {
		l.mu.Unlock()
		return
	}
	l.crashed = crash
	close(l.closed)
	l.mu.Unlock()

	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	for tail := range l.c.tails {
		if tail.log == l {
			tail.notify()
		}
	}
}

func (l *Log) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Disconnect cuts the client off from the brokers: appends wait (up to the append
// timeout), tails see nothing, and after the session timeout the group gives the
// member's partitions to others, of which the member learns after Connect only.
func (l *Log) Disconnect() {
	l.mu.Lock()
	if l.isConnected() {
		l.connected = make(chan struct{})
	}
	l.mu.Unlock()
	l.disconnectMember()
}

// Connect ends a Disconnect.
func (l *Log) Connect() {
	l.mu.Lock()
	if !l.isConnected() {
		close(l.connected)
	}
	l.mu.Unlock()
	l.connectMember()
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	for tail := range l.c.tails {
		if tail.log == l {
			tail.notify()
		}
	}
}

// isConnected is called with mu held.
func (l *Log) isConnected() bool {
	select {
	case <-l.connected:
		return true
	default:
		return false
	}
}

// waitConnected returns nil when the client is connected, else why it gave up.
func (l *Log) waitConnected(ctx context.Context, timeout time.Duration) error {
	l.mu.Lock()
	connected := l.connected
	l.mu.Unlock()
	select {
	case <-connected:
		return nil
	default:
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-connected:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closed:
		return eventlog.ErrClosed
	case <-timer.C:
		return ErrAppendTimeout
	}
}

// Append implements [eventlog.Log]. It never blocks.
func (l *Log) Append(ctx context.Context, t eventlog.Topic, r eventlog.Record, done func(offset int64, err error)) {
	p := &pending{ctx: ctx, record: clone(r), done: done, queuedAt: time.Now()}

	// The decision about faults, the refusals and the place in the queue are taken
	// in one go, so that they follow the order of the calls.
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	switch err := l.c.check(t, r.Partition); {
	case err != nil:
		p.err = err
	case ctx.Err() != nil:
		p.err = ctx.Err()
	case t == eventlog.Snapshots:
		p.err = errors.New("snapshots are written through a SnapshotWriter only")
	case size(&r) > l.c.maxBytes:
		p.err = fmt.Errorf("%w: %d bytes, the limit is %d", eventlog.ErrTooLarge, size(&r), l.c.maxBytes)
	default:
		p.fault = l.c.faultLocked(Write{Client: l, Topic: t, Partition: r.Partition, Records: []eventlog.Record{p.record}})
	}
	timeout := l.c.timeout

	l.mu.Lock()
	defer l.mu.Unlock()
	key := queueKey{t, r.Partition}
	q := l.queues[key]
	if q == nil {
		q = &queue{}
		l.queues[key] = q
	}
	q.items = append(q.items, p)
	if !q.running {
		q.running = true
		go l.drain(key, q, timeout)
	}
}

// drain writes the queue's appends one after the other and ends when it is empty.
func (l *Log) drain(key queueKey, q *queue, timeout time.Duration) {
	for {
		l.mu.Lock()
		if len(q.items) == 0 {
			q.running = false
			l.mu.Unlock()
			return
		}
		p := q.items[0]
		q.items = q.items[1:]
		l.mu.Unlock()
		l.write(key, p, timeout)
	}
}

func (l *Log) write(key queueKey, p *pending, timeout time.Duration) {
	refuse := func(err error) {
		p.done(0, fmt.Errorf("appending to %s[%d]: %w", key.t, key.partition, err))
	}
	if p.err != nil {
		refuse(p.err)
		return
	}
	if l.isClosed() {
		refuse(eventlog.ErrClosed)
		return
	}
	if err := l.waitConnected(p.ctx, timeout); err != nil {
		refuse(err)
		return
	}

	// A context that ends is reported at once, but does not undo the append.
	reported := false
	pause := func(until time.Time) bool {
		for {
			wait := time.Until(until)
			if wait <= 0 {
				return true
			}
			timer := time.NewTimer(wait)
			ctxDone := p.ctx.Done()
			if reported {
				ctxDone = nil
			}
			select {
			case <-timer.C:
				return true
			case <-l.closed:
				timer.Stop()
				return false
			case <-ctxDone:
				timer.Stop()
				reported = true
				refuse(p.ctx.Err())
			}
		}
	}

	due := p.queuedAt.Add(p.fault.Delay)
	if !pause(due) {
		if !reported {
			refuse(eventlog.ErrClosed)
		}
		return
	}
	var offset int64
	if p.fault.Err == nil || p.fault.Written {
		l.c.mu.Lock()
		offset = l.c.topics[key.t][key.partition].append(p.record)
		l.c.wakeLocked(key.t)
		l.c.mu.Unlock()
	}
	if !pause(due.Add(p.fault.AckDelay)) && !reported {
		reported = true
		refuse(eventlog.ErrClosed)
	}
	switch {
	case reported:
	case p.fault.Err != nil:
		refuse(p.fault.Err)
	default:
		p.done(offset, nil)
	}
}

// Bounds implements [eventlog.Log].
func (l *Log) Bounds(ctx context.Context, t eventlog.Topic, partition int32) (start, end int64, err error) {
	fail := func(err error) (int64, int64, error) {
		return 0, 0, fmt.Errorf("reading the bounds of %s[%d]: %w", t, partition, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if l.isClosed() {
		return fail(eventlog.ErrClosed)
	}
	if err := l.waitConnected(ctx, DefaultAppendTimeout); err != nil {
		return fail(err)
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if err := l.c.check(t, partition); err != nil {
		return fail(err)
	}
	p := l.c.topics[t][partition]
	return p.start, p.end, nil
}

// Snapshots implements [eventlog.Log].
func (l *Log) Snapshots(ctx context.Context, partition int32) (eventlog.SnapshotWriter, error) {
	fail := func(err error) (eventlog.SnapshotWriter, error) {
		return nil, fmt.Errorf("opening the writer of snapshots[%d]: %w", partition, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if l.isClosed() {
		return fail(eventlog.ErrClosed)
	}
	if err := l.waitConnected(ctx, DefaultAppendTimeout); err != nil {
		return fail(err)
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if err := l.c.check(eventlog.Snapshots, partition); err != nil {
		return fail(err)
	}
	l.c.fences[partition]++
	return &snapshotWriter{l: l, partition: partition, epoch: l.c.fences[partition]}, nil
}

type snapshotWriter struct {
	l         *Log
	partition int32
	epoch     int64
	closed    bool
}

// Write implements [eventlog.SnapshotWriter]. Faults apply to the whole transaction.
func (w *snapshotWriter) Write(ctx context.Context, records []eventlog.Record) (int64, error) {
	fail := func(err error) (int64, error) {
		return 0, fmt.Errorf("writing %d records to snapshots[%d]: %w", len(records), w.partition, err)
	}
	c := w.l.c
	if w.closed || w.l.isClosed() {
		return fail(eventlog.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if err := w.l.waitConnected(ctx, DefaultAppendTimeout); err != nil {
		return fail(err)
	}
	for i := range records {
		if n := size(&records[i]); n > c.maxBytesNow() {
			return fail(fmt.Errorf("%w: %d bytes", eventlog.ErrTooLarge, n))
		}
	}

	c.mu.Lock()
	fault := c.faultLocked(Write{Client: w.l, Topic: eventlog.Snapshots, Partition: w.partition, Records: records})
	c.mu.Unlock()
	if err := w.pause(ctx, fault.Delay); err != nil {
		return fail(err)
	}

	c.mu.Lock()
	p := c.topics[eventlog.Snapshots][w.partition]
	if c.fences[w.partition] != w.epoch {
		c.mu.Unlock()
		return fail(eventlog.ErrFenced)
	}
	next := p.end
	if len(records) > 0 {
		written := fault.Err == nil || fault.Written
		for _, r := range records {
			if r.Partition = w.partition; written {
				p.append(clone(r))
			} else {
				p.end++ // aborted: the offset is used up, nobody ever sees the record
			}
		}
		next = p.end
		p.append(eventlog.Record{Partition: w.partition, Mark: true})
		c.wakeLocked(eventlog.Snapshots)
	}
	c.mu.Unlock()

	if err := w.pause(ctx, fault.AckDelay); err != nil {
		return fail(err)
	}
	if fault.Err != nil {
		return fail(fault.Err)
	}
	return next, nil
}

func (w *snapshotWriter) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-w.l.closed:
		return eventlog.ErrClosed
	}
}

// Close implements [eventlog.SnapshotWriter].
func (w *snapshotWriter) Close() { w.closed = true }

func (c *Cluster) maxBytesNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.maxBytes
}
