package memlog

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/actorlog/actorlog/eventlog"
)

// Defaults of a Cluster.
const (
	DefaultMaxRecordBytes = 8 << 20
	DefaultSessionTimeout = 6 * time.Second
	DefaultAppendTimeout  = 30 * time.Second
)

// ErrAppendTimeout is what an append ends with when its client was disconnected for
// [Cluster.SetAppendTimeout]. The record was not written; the append may be repeated.
var ErrAppendTimeout = errors.New("no acknowledgement in time")

var clusters atomic.Int64

// Cluster is the brokers and their topics. All methods are safe for concurrent use.
type Cluster struct {
	partitions int32
	id         string

	mu       sync.Mutex
	topics   [][]*partition
	tails    map[*Tail]struct{}
	fences   []int64 // per partition of Snapshots: the epoch of the latest writer
	groups   map[string]*group
	faults   func(Write) Fault
	maxBytes int
	session  time.Duration
	timeout  time.Duration
	clients  int
}

// NewCluster makes the brokers with their four empty topics. It panics unless
// partitions is positive.
func NewCluster(partitions int32) *Cluster {
	if partitions <= 0 {
		panic(fmt.Sprintf("memlog: %d partitions", partitions))
	}
	c := &Cluster{
		partitions: partitions,
		id:         fmt.Sprintf("memlog-%d", clusters.Add(1)),
		tails:      make(map[*Tail]struct{}),
		fences:     make([]int64, partitions),
		groups:     make(map[string]*group),
		maxBytes:   DefaultMaxRecordBytes,
		session:    DefaultSessionTimeout,
		timeout:    DefaultAppendTimeout,
	}
	for _, t := range append(eventlog.Topics(), eventlog.Keys) {
		ps := make([]*partition, c.partitionsOf(t))
		for i := range ps {
			ps[i] = &partition{}
		}
		c.topics = append(c.topics, ps)
	}
	return c
}

// Client opens a client of the cluster. Every worker and gateway of a test has its own.
func (c *Cluster) Client() *Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients++
	return &Log{
		c:         c,
		number:    c.clients,
		closed:    make(chan struct{}),
		connected: closedChan(),
		queues:    make(map[queueKey]*queue),
	}
}

// Write is one attempt to write, as a fault function sees it.
type Write struct {
	// Client is the writer.
	Client *Log
	Topic  eventlog.Topic
	// Partition that is written to.
	Partition int32
	// Records has one element for an Append, and all of one transaction for a
	// snapshot. Not to be changed.
	Records []eventlog.Record
}

// Fault is what happens to one write. The zero value: it succeeds at once.
type Fault struct {
	// Delay passes before the records are written. Later appends of the same
	// client to the same partition wait behind it.
	Delay time.Duration
	// AckDelay passes after they are written and before the writer learns of it.
	AckDelay time.Duration
	// Err is what the writer is told. Nil: the truth.
	Err error
	// Written, with Err: the records were written nevertheless and the
	// acknowledgement was lost. Without: they were not; a snapshot's transaction is
	// aborted then, and leaves a hole and a mark.
	Written bool
}

// SetFaults sets the function that decides what happens to each write, nil for none.
// It is called in order of the writes, under the cluster's lock: it must not call the
// cluster or a client.
func (c *Cluster) SetFaults(decide func(Write) Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = decide
}

// FailNext applies f to the next n writes to the partition, by whichever client, and
// none afterwards. It replaces what SetFaults has set.
func (c *Cluster) FailNext(n int, t eventlog.Topic, partition int32, f Fault) {
	c.SetFaults(func(w Write) Fault {
		if n == 0 || w.Topic != t || w.Partition != partition {
			return Fault{}
		}
		n--
		return f
	})
}

// SetMaxRecordBytes sets the size (key, value and headers) beyond which a record is
// refused with ErrTooLarge. Default 8 MiB.
func (c *Cluster) SetMaxRecordBytes(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.maxBytes = n
}

// SetSessionTimeout sets how long a crashed or disconnected member keeps its
// partitions. Default 6 s.
func (c *Cluster) SetSessionTimeout(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = d
}

// SetAppendTimeout sets how long a disconnected client's appends wait. Default 30 s.
func (c *Cluster) SetAppendTimeout(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timeout = d
}

// Inject writes records at once as somebody else would, without faults, and returns
// the offset of the first.
func (c *Cluster) Inject(t eventlog.Topic, partition int32, records ...eventlog.Record) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.partition(t, partition)
	first := p.end
	for _, r := range records {
		r.Partition = partition
		p.append(clone(r))
	}
	c.wakeLocked(t)
	return first
}

// Records returns what a reader would see of the partition now, without marks.
func (c *Cluster) Records(t eventlog.Topic, partition int32) []eventlog.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []eventlog.Record
	for _, r := range c.partition(t, partition).entries {
		if !r.Mark {
			out = append(out, r)
		}
	}
	return out
}

// Truncate forgets the records below offset, as retention does. An offset beyond the
// end forgets everything.
func (c *Cluster) Truncate(t eventlog.Topic, partition int32, below int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.partition(t, partition)
	below = min(below, p.end)
	if below <= p.start {
		return
	}
	p.entries = slices.Delete(p.entries, 0, p.search(below))
	p.start = below
	c.wakeLocked(t) // a tail below is out of range now
}

// Compact keeps, among the records below offset, the latest of each key, and drops
// tombstones and marks. Offsets stay; the first kept offset stays as well, as on
// Kafka. The last entry of the partition is never touched.
func (c *Cluster) Compact(t eventlog.Topic, partition int32, below int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.partition(t, partition)
	below = min(below, p.end-1)
	latest := make(map[string]int64)
	for _, r := range p.entries {
		if !r.Mark {
			latest[string(r.Key)] = r.Offset
		}
	}
	p.entries = slices.DeleteFunc(p.entries, func(r eventlog.Record) bool {
		return r.Offset < below && (r.Mark || r.Value == nil || latest[string(r.Key)] != r.Offset)
	})
}

func (c *Cluster) partitionsOf(t eventlog.Topic) int32 {
	if t == eventlog.Gateways {
		return 1
	}
	return c.partitions
}

// partition panics for one that does not exist: only tests get here with such.
func (c *Cluster) partition(t eventlog.Topic, partition int32) *partition {
	if err := c.check(t, partition); err != nil {
		panic("memlog: " + err.Error())
	}
	return c.topics[t][partition]
}

func (c *Cluster) check(t eventlog.Topic, partition int32) error {
	if int(t) >= len(c.topics) {
		return fmt.Errorf("unknown %s", t)
	}
	if n := c.partitionsOf(t); partition < 0 || partition >= n {
		return fmt.Errorf("topic %s has no partition %d: it has %d", t, partition, n)
	}
	return nil
}

func (c *Cluster) faultLocked(w Write) Fault {
	if c.faults == nil {
		return Fault{}
	}
	return c.faults(w)
}

func (c *Cluster) wakeLocked(t eventlog.Topic) {
	for tail := range c.tails {
		if tail.topic == t {
			tail.notify()
		}
	}
}

// partition holds entries by ascending offset in [start, end); compaction and aborted
// transactions leave holes.
type partition struct {
	entries    []eventlog.Record
	start, end int64
}

func (p *partition) append(r eventlog.Record) int64 {
	r.Offset = p.end
	p.entries = append(p.entries, r)
	p.end++
	return r.Offset
}

// search returns the index of the first entry at or after offset.
func (p *partition) search(offset int64) int {
	return sort.Search(len(p.entries), func(i int) bool { return p.entries[i].Offset >= offset })
}

// clone copies what the caller may reuse once its append is done.
func clone(r eventlog.Record) eventlog.Record {
	r.Key = slices.Clone(r.Key)
	r.Value = slices.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = slices.Clone(r.Headers[i].Value)
	}
	r.Stored, r.Mark = nil, false
	return r
}

func size(r *eventlog.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

func closedChan() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}
