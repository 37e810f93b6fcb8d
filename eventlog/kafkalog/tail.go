package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/actorlog/actorlog/eventlog"
)

const (
	// fetchWait is how long a broker holds a fetch that finds nothing. It is no
	// latency: the first record ends it.
	fetchWait = 5 * time.Second
	// fetchBytes and fetchPartitionBytes bound one answer. A larger record comes
	// alone.
	fetchBytes          = 8 << 20
	fetchPartitionBytes = 1 << 20
	// tailBytes is how much a tail holds that was not polled before it fetches no
	// more. One answer per broker may come on top.
	tailBytes = 8 << 20
)

// Tail reads partitions of one topic; see [eventlog.Tail].
//
// It makes the fetch requests itself. kgo's consumer has one fetch per broker under
// way, and a partition that is added waits for that one to end: up to fetchWait on an
// idle topic; one that is removed or moved stops all others and drops what they
// have buffered. Here a fetch is made anew when partitions are added, and what arrives
// for a partition that was removed or moved is told by its generation and dropped.
//
//	add      the fetch under way is cancelled (kgo closes the connection, for the answer
//	         is still to come on it), the next has all partitions
//	remove   nothing is cancelled; the generation is gone, so what comes is dropped
//	error    of a broker or leader: the partitions are without leader until
//	         findLeaders has asked for them
type Tail struct {
	l      *Log
	t      eventlog.Topic
	r      *reader
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // fetch loops and findLeaders

	mu       sync.Mutex
	wake     sync.Cond // fetch loops: partitions or room may be there
	closed   bool
	parts    map[int32]*cursor
	gen      uint64
	loops    map[int32]*fetchLoop // by broker
	ready    []chunk              // ready[first:] wait to be polled
	first    int
	buffered int           // bytes in ready
	polled   chan struct{} // capacity 1: ready may have become non-empty, or closed set
	finding  bool          // findLeaders runs

	// A scan takes one chunk and closes: the second fetch waits for the second Poll,
	// so that it finds and leaves a connection on which nothing is under way.
	polls    int
	answered bool
}

// cursor is a partition that is being read.
type cursor struct {
	partition int32
	gen       uint64 // changes with every Add
	next      int64  // offset to fetch
	leader    int32  // -1: to be found
	busy      bool   // part of a fetch under way
}

// chunk is what one fetch brought, or the error that ends the reading of a partition.
type chunk struct {
	records []eventlog.Record
	parts   []section
	bytes   int
	err     *eventlog.PartitionError // with parts[0] saying of which generation
}

// section is the run of a chunk's records that are of one partition, up to index end.
type section struct {
	partition int32
	gen       uint64
	end       int
}

// reader is a client whose fetch connections belong to one tail at a time: a fetch
// that waits holds up all others on its connection.
type reader struct {
	cl      *kgo.Client
	leaders map[eventlog.Topic][]int32 // from the last metadata
}

func (r *reader) close() { r.cl.Close() }

// Tail implements [eventlog.Log].
func (l *Log) Tail(t eventlog.Topic) (eventlog.Tail, error) {
	fail := func(err error) (eventlog.Tail, error) {
		return nil, fmt.Errorf("opening a tail of %s: %w", t, err)
	}
	if int(t) >= len(l.topics) {
		return fail(errors.New("no such topic"))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fail(eventlog.ErrClosed)
	}
	var r *reader
	if n := len(l.idle); n > 0 {
		r = l.idle[n-1]
		l.idle = l.idle[:n-1]
	} else {
		cl, err := kgo.NewClient(l.cfg.clientOptions()...)
		if err != nil {
			return fail(err)
		}
		r = &reader{cl: cl, leaders: make(map[eventlog.Topic][]int32)}
	}
	tail := &Tail{
		l: l, t: t, r: r,
		parts:  make(map[int32]*cursor),
		loops:  make(map[int32]*fetchLoop),
		polled: make(chan struct{}, 1),
	}
	tail.wake.L = &tail.mu
	tail.ctx, tail.cancel = context.WithCancel(context.Background())
	l.tails[tail] = struct{}{}
	return tail, nil
}

// maxIdleReaders is how many readers a Log keeps for tails to come: scans open a tail
// each, and several at once while a worker recovers its shards.
const maxIdleReaders = 4

// Close implements [eventlog.Tail].
func (t *Tail) Close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	t.ready, t.first, t.buffered = nil, 0, 0
	t.signal()
	t.wake.Broadcast()
	t.mu.Unlock()
	t.cancel()
	t.wg.Wait()

	l := t.l
	l.mu.Lock()
	delete(l.tails, t)
	keep := !l.closed && len(l.idle) < maxIdleReaders
	if keep {
		l.idle = append(l.idle, t.r)
	}
	l.mu.Unlock()
	if !keep {
		t.r.close()
	}
}

// Add implements [eventlog.Tail].
func (t *Tail) Add(partition int32, offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.gen++
	c := &cursor{partition: partition, gen: t.gen, next: offset, leader: -1}
	if err := t.l.checkPartition(t.t, partition); err != nil {
		t.failed(c, err)
		return
	}
	if offset < 0 {
		t.failed(c, fmt.Errorf("%w: %d", eventlog.ErrOffsetOutOfRange, offset))
		return
	}
	t.parts[partition] = c
	if known := t.r.leaders[t.t]; int(partition) < len(known) && known[partition] >= 0 {
		t.lead(c, known[partition])
	} else {
		t.find()
	}
}

// Remove implements [eventlog.Tail].
func (t *Tail) Remove(partition int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.parts, partition)
}

// failed ends the reading of c's partition with err. Called with mu held.
func (t *Tail) failed(c *cursor, err error) {
	// The entry stays until the error is polled, so that Remove and Add can
	// overtake it; it is not fetched any more.
	c.leader, c.busy = -1, true
	t.parts[c.partition] = c
	t.push(chunk{
		parts: []section{{c.partition, c.gen, 0}},
		err:   &eventlog.PartitionError{Topic: t.t, Partition: c.partition, Err: err},
	})
}

func (t *Tail) push(c chunk) {
	t.ready = append(t.ready, c)
	t.buffered += c.bytes
	t.signal()
}

func (t *Tail) signal() {
	select {
	case t.polled <- struct{}{}:
	default:
	}
}

// Poll implements [eventlog.Tail].
func (t *Tail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	t.mu.Lock()
	if t.polls++; t.polls == 2 {
		t.wake.Broadcast()
	}
	t.mu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		records, err := t.take()
		if err != nil || len(records) > 0 {
			return records, err
		}
		select {
		case <-t.polled:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns the first chunk that still concerns anybody, if any.
func (t *Tail) take() ([]eventlog.Record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		t.signal() // for the next Poll
		return nil, eventlog.ErrClosed
	}
	for t.first < len(t.ready) {
		c := t.ready[t.first]
		t.ready[t.first] = chunk{}
		t.first++
		if t.first == len(t.ready) {
			t.ready, t.first = t.ready[:0], 0
		}
		full := t.buffered >= tailBytes
		t.buffered -= c.bytes
		if full && t.buffered < tailBytes {
			t.wake.Broadcast()
		}
		if c.err != nil {
			if t.valid(c.parts[0]) {
				delete(t.parts, c.err.Partition)
				return nil, c.err
			}
			continue
		}
		if records := t.filter(c); len(records) > 0 {
			return records, nil
		}
	}
	return nil, nil
}

func (t *Tail) valid(s section) bool {
	c := t.parts[s.partition]
	return c != nil && c.gen == s.gen
}

// filter drops what was removed or moved since it was fetched: hardly ever anything.
func (t *Tail) filter(c chunk) []eventlog.Record {
	stale := false
	for _, s := range c.parts {
		stale = stale || !t.valid(s)
	}
	if !stale {
		return c.records
	}
	var out []eventlog.Record
	from := 0
	for _, s := range c.parts {
		if t.valid(s) {
			out = append(out, c.records[from:s.end]...)
		}
		from = s.end
	}
	return out
}

// lead gives c's partition to the loop of its leader. Called with mu held.
func (t *Tail) lead(c *cursor, leader int32) {
	c.leader = leader
	f := t.loops[leader]
	if f == nil {
		f = &fetchLoop{t: t, broker: leader, decoder: newDecoder(t.t, inflater(t.l.cl))}
		t.loops[leader] = f
		t.wg.Add(1)
		go f.run()
	}
	if f.stop != nil {
		f.stop() // the fetch under way does not have this partition
	}
	t.wake.Broadcast()
}

// find starts findLeaders unless it runs. Called with mu held.
func (t *Tail) find() {
	if t.finding || t.closed {
		return
	}
	t.finding = true
	t.wg.Add(1)
	go t.findLeaders()
}

// findLeaders asks for the leaders of partitions that have none until all have one.
func (t *Tail) findLeaders() {
	defer t.wg.Done()
	for try := 0; ; try++ {
		leaders, err := t.r.metadata(t.ctx, t.l, t.t)
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			return
		}
		if err == nil {
			t.r.leaders[t.t] = leaders
		}
		left := false
		var final *finalError
		for _, c := range t.parts {
			switch {
			case c.leader >= 0 || c.busy:
			case errors.As(err, &final):
				t.failed(c, final.error)
			case err == nil && leaders[c.partition] >= 0:
				t.lead(c, leaders[c.partition])
			default:
				left = true
			}
		}
		if !left {
			t.finding = false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		if !sleep(t.ctx, nil, backoff(try)) {
			return
		}
	}
}

// metadata returns the leader of each partition, -1 where there is none, and makes the
// client know the brokers.
func (r *reader) metadata(ctx context.Context, l *Log, t eventlog.Topic) ([]int32, error) {
	info := &l.topics[t]
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(info.name)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, r.cl)
	if err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 {
		return nil, errors.New("the broker's answer lacks the topic")
	}
	mt := &resp.Topics[0]
	switch err := kerr.ErrorForCode(mt.ErrorCode); {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return nil, &finalError{l.translate(err)}
	case err != nil:
		return nil, err // also a topic that a starting broker does not know yet
	case mt.TopicID != info.id:
		return nil, &finalError{fmt.Errorf("topic %s was deleted and made anew since this process was started: restart it", info.name)}
	}
	leaders := make([]int32, info.partitions)
	for i := range leaders {
		leaders[i] = -1
	}
	for i := range mt.Partitions {
		if mp := &mt.Partitions[i]; mp.Partition >= 0 && int(mp.Partition) < len(leaders) && mp.ErrorCode == 0 {
			leaders[mp.Partition] = mp.Leader
		}
	}
	return leaders, nil
}

// fetchLoop fetches from one broker.
type fetchLoop struct {
	t       *Tail
	broker  int32
	decoder *decoder
	stop    context.CancelFunc // of the fetch under way; nil: none. Guarded by t.mu

	// The fetch session: after the first request of several partitions the broker
	// knows them, and only changes are sent either way. Used by run alone.
	session struct {
		id, epoch int32
		sent      map[int32]int64 // partition to offset
	}
}

// wanted is one partition of a request.
type wanted struct {
	c      *cursor
	gen    uint64
	offset int64
}

func (f *fetchLoop) run() {
	t := f.t
	defer t.wg.Done()
	f.resetSession()
	var want []wanted
	failures := 0
	for {
		t.mu.Lock()
		for {
			if t.closed {
				t.mu.Unlock()
				return
			}
			want = want[:0]
			if t.buffered < tailBytes && (!t.answered || t.polls > 1) {
				for _, c := range t.parts {
					if c.leader == f.broker && !c.busy {
						want = append(want, wanted{c, c.gen, c.next})
						c.busy = true
					}
				}
			}
			if len(want) > 0 {
				break
			}
			t.wake.Wait()
		}
		ctx, stop := context.WithCancel(t.ctx)
		f.stop = stop
		t.mu.Unlock()

		resp, err := f.fetch(ctx, want)
		stopped := ctx.Err() != nil
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}

		var got chunk
		var failed []wantedError
		if err == nil {
			got, failed = f.decode(resp, want)
		} else {
			f.resetSession()
		}

		t.mu.Lock()
		f.stop = nil
		stop()
		for _, w := range want {
			w.c.busy = false
		}
		switch {
		case t.closed:
			t.mu.Unlock()
			return
		case err == nil:
			if failures++; len(failed) == 0 {
				failures = 0
			}
			f.accept(got, want)
			for _, e := range failed {
				f.partitionFailed(e)
			}
		case stopped:
			// Partitions were added: fetch again, with them.
		case errors.Is(err, kerr.FetchSessionIDNotFound), errors.Is(err, kerr.InvalidFetchSessionEpoch):
			// The broker forgot the session: it has many, or was restarted.
			failures++
		default:
			failures++
			for _, w := range want {
				if t.parts[w.c.partition] == w.c {
					w.c.leader = -1
				}
			}
			clear(t.r.leaders)
			t.find()
		}
		t.mu.Unlock()
		if failures > 1 && !sleep(t.ctx, nil, backoff(failures)) {
			return
		}
	}
}

// wantedError is the broker's error for one partition.
type wantedError struct {
	wanted
	err error
}

func (f *fetchLoop) resetSession() {
	f.session.epoch = 0
	f.session.sent = make(map[int32]int64)
}

func (f *fetchLoop) fetch(ctx context.Context, want []wanted) (*kmsg.FetchResponse, error) {
	t := f.t
	info := &t.l.topics[t.t]
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(fetchWait / time.Millisecond)
	req.MinBytes = 1
	req.MaxBytes = fetchBytes
	if t.t == eventlog.Snapshots {
		req.IsolationLevel = 1
	}
	s := &f.session
	// A single partition gains nothing from a session, and scans would leave one
	// each behind.
	if len(want) == 1 && s.epoch == 0 {
		req.SessionEpoch = -1
	} else {
		req.SessionID, req.SessionEpoch = s.id, s.epoch
	}
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = info.name, info.id
	kept := 0 // partitions that the session goes on with
	for _, w := range want {
		if sent, ok := s.sent[w.c.partition]; ok && req.SessionEpoch > 0 {
			kept++
			if sent == w.offset {
				continue
			}
		}
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition = w.c.partition
		rp.FetchOffset = w.offset
		rp.PartitionMaxBytes = fetchPartitionBytes
		rt.Partitions = append(rt.Partitions, rp)
	}
	if len(rt.Partitions) > 0 {
		req.Topics = append(req.Topics, rt)
	}
	if req.SessionEpoch > 0 && kept < len(s.sent) {
		gone := kmsg.NewFetchRequestForgottenTopic()
		gone.Topic, gone.TopicID = info.name, info.id
		for p := range s.sent {
			if lookup(want, p) == nil {
				gone.Partitions = append(gone.Partitions, p)
				delete(s.sent, p)
			}
		}
		req.ForgottenTopics = append(req.ForgottenTopics, gone)
	}

	kresp, err := t.r.cl.Broker(int(f.broker)).Request(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := kresp.(*kmsg.FetchResponse)
	if resp.ErrorCode == 0 && req.SessionEpoch >= 0 {
		if s.id = resp.SessionID; s.id == 0 {
			s.epoch = 0 // the broker has no sessions, or none to spare
		} else {
			s.epoch = req.SessionEpoch + 1
			if s.epoch < 0 {
				s.epoch = 1
			}
			for _, w := range want {
				s.sent[w.c.partition] = w.offset
			}
		}
	}
	return resp, nil
}

// decode makes one chunk of the answer. It moves the offsets in want.
func (f *fetchLoop) decode(resp *kmsg.FetchResponse, want []wanted) (chunk, []wantedError) {
	var c chunk
	var failed []wantedError
	f.decoder.inflated = 0
	n := 0
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			fp := &resp.Topics[i].Partitions[j]
			n += count(fp.RecordBatches)
			c.bytes += len(fp.RecordBatches)
		}
	}
	if n > 0 {
		c.records = make([]eventlog.Record, 0, n)
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			fp := &resp.Topics[i].Partitions[j]
			w := lookup(want, fp.Partition)
			if w == nil {
				continue
			}
			if err := kerr.ErrorForCode(fp.ErrorCode); err != nil {
				failed = append(failed, wantedError{*w, err})
				continue
			}
			var err error
			c.records, w.offset, err = f.decoder.decode(c.records, fp, w.offset)
			c.parts = append(c.parts, section{fp.Partition, w.gen, len(c.records)})
			if err != nil {
				failed = append(failed, wantedError{*w, err})
			}
		}
	}
	return c, failed
}

func lookup(want []wanted, partition int32) *wanted {
	for i := range want {
		if want[i].c.partition == partition {
			return &want[i]
		}
	}
	return nil
}

// accept hands a chunk to Poll and moves the cursors. Called with mu held.
func (f *fetchLoop) accept(c chunk, want []wanted) {
	t := f.t
	for _, w := range want {
		if cur := t.parts[w.c.partition]; cur == w.c {
			cur.next = w.offset
		}
	}
	if len(c.records) > 0 {
		t.answered = true
		t.push(c)
	}
}

// partitionFailed sorts out the errors of a partition. Called with mu held.
func (f *fetchLoop) partitionFailed(e wantedError) {
	t := f.t
	c := t.parts[e.c.partition]
	if c != e.c {
		return // removed or moved meanwhile
	}
	switch {
	case errors.Is(e.err, kerr.OffsetOutOfRange):
		t.failed(c, fmt.Errorf("%w: %d", eventlog.ErrOffsetOutOfRange, e.offset))
	case kerr.IsRetriable(e.err), errors.Is(e.err, kerr.UnknownTopicID), errors.Is(e.err, kerr.InconsistentTopicID):
		// The leader moved, or a broker is starting. If it is more than that,
		// findLeaders finds out.
		c.leader = -1
		clear(t.r.leaders)
		f.resetSession()
		t.find()
	default:
		t.failed(c, t.l.translate(e.err))
	}
}
