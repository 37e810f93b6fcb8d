// Package eventlog is the port to the message log: what the rest of actorlog asks
// of a Kafka-compatible broker, and nothing that is particular to one.
//
// It owns the words Topic, Record, Position and the duties of a [Log]. It refuses
// to know what a record means: that is package schemas. Adapters are
// eventlog/memlog (in memory, with faults, for tests and simulation) and
// eventlog/kafkalog (franz-go). Every adapter passes eventlog/logtest.
//
//	gateway --Append--> actions[p] --Tail--> worker --Append--> events[p] --Tail--> gateway
//	                                           |
//	                                           +--SnapshotWriter--> snapshots[p]
//
// # What every Log guarantees
//
//   - An acknowledged Append is durable as far as the brokers' settings make it, is
//     written once, and is visible to every later read.
//   - Appends of one Log value to one partition are acknowledged in the order of the
//     calls, and written in that order. The offsets of a sole writer are contiguous;
//     a gap is somebody else's record (except in Snapshots, where transactions leave
//     marks of their own).
//   - All readers of a partition see the same records in the same order.
package eventlog

import (
	"context"
	"errors"
	"fmt"
)

// Topic is one of the roles that topics play. Its name on the brokers is the
// adapter's prefix and [Topic.String], joined by a dot.
type Topic uint8

// The topics. All have the same number of partitions but Gateways, which has one.
const (
	// Actions is what was asked. Anybody may append.
	Actions Topic = iota
	// Events is what happened. Only the owner of the shard appends.
	Events
	// Snapshots is the latest snapshot of every actor and the shard's checkpoint.
	// Compacted by key. Written through a [SnapshotWriter] only.
	Snapshots
	// Gateways is the leases of gateways. Compacted by key, one partition.
	Gateways
	// Keys is the keys with which records of actors are sealed; see eventlog/sealed. Compacted by key. Only where records are sealed: it is not among
	// Topics.
	Keys
)

// Topics lists the roles that every application needs.
func Topics() []Topic { return []Topic{Actions, Events, Snapshots, Gateways} }

// String is the role's part of the topic name: "actions", "events", "snapshots", "gateways".
func (t Topic) String() string {
	switch t {
	case Actions:
		return "actions"
	case Events:
		return "events"
	case Snapshots:
		return "snapshots"
	case Gateways:
		return "gateways"
	case Keys:
		return "keys"
	}
	return fmt.Sprintf("topic(%d)", uint8(t))
}

// Header is one record header.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record of a partition. A nil Value is a tombstone.
//
// A Record that is read belongs to the reader, but its byte slices may share
// memory with other records of the same poll: keep them, do not change them.
type Record struct {
	Partition int32
	// Offset within the partition. Set by the log; ignored by Append.
	Offset  int64
	Key     []byte
	Value   []byte
	Headers []Header
	// Stored is the value as the log keeps it, where that is not Value; see [Sealer]. Nil where it is.
	Stored []byte
	// Mark is set on an entry that carries nothing but its offset: the mark that a
	// transaction leaves in Snapshots. It lets a reader know how far it has come.
	Mark bool
}

// Header returns the value of the first header of that key, nil when there is none.
func (r *Record) Header(key string) []byte {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value
		}
	}
	return nil
}

// Bytes is the value as the log keeps it.
func (r *Record) Bytes() []byte {
	if r.Stored != nil {
		return r.Stored
	}
	return r.Value
}

// Sealer is a [Log] that keeps some records otherwise than they are given, so that nobody reads them without it. What is read from it has Value as it was given,
// and Stored as it is kept. Whoever must know before it appends, or keeps records elsewhere, asks.
type Sealer interface {
	// Seal sets r.Stored, and headers, if the log will keep r otherwise than it is; Append then keeps just that.
	Seal(ctx context.Context, t Topic, r *Record) error
	// Unseal is the inverse: r.Value is as it is kept, and becomes what it was, and Stored what it is.
	Unseal(ctx context.Context, t Topic, r *Record) error
}

// Seal is the log's Seal; nothing for a log that keeps records as they are.
func Seal(ctx context.Context, l Log, t Topic, r *Record) error {
	if s, ok := l.(Sealer); ok {
		return s.Seal(ctx, t, r)
	}
	return nil
}

// Unseal is the log's Unseal; nothing for a log that keeps records as they are.
func Unseal(ctx context.Context, l Log, t Topic, r *Record) error {
	if s, ok := l.(Sealer); ok {
		return s.Unseal(ctx, t, r)
	}
	return nil
}

// Errors that callers branch on. Adapters wrap them; the text around them names
// the topic and what to do.
var (
	// ErrFenced: another SnapshotWriter was opened for the partition. Final for
	// this writer.
	ErrFenced = errors.New("fenced by a newer owner")
	// ErrTooLarge: the record exceeds what the brokers accept. Nothing was
	// written; the same record will be refused again.
	ErrTooLarge = errors.New("record too large")
	// ErrClosed: the Log, Tail or writer was closed.
	ErrClosed = errors.New("closed")
	// ErrOffsetOutOfRange: the offset is below the first one kept (retention) or
	// above the end.
	ErrOffsetOutOfRange = errors.New("offset out of range")
)

// Log is a client of the brokers. It is safe for concurrent use.
type Log interface {
	// Partitions is the number of partitions of Actions, Events and Snapshots:
	// the number of shards. Fixed for the life of the topics.
	Partitions() int32

	// Identity names this set of topics: it changes when the cluster is another
	// or a topic was deleted and made again, so that caches keyed by it are void.
	Identity() string

	// Append writes r to r.Partition and returns at once; done is called exactly
	// once, from a goroutine of the log's, in order of the Append calls per
	// partition, with the offset or an error. An error other than ErrTooLarge may
	// mean that the record was written nevertheless (the acknowledgement was lost)
	// or will be. After an error, appends that were called after it may succeed:
	// an owner that needs its records in unbroken order must claim anew.
	//
	// done must not block. ctx bounds the wait for an acknowledgement; a ctx that
	// ends does not undo the append. Append may block while the client's buffer is full.
	Append(ctx context.Context, t Topic, r Record, done func(offset int64, err error))

	// Bounds returns the first offset that is kept and the next one to be written;
	// for Snapshots, the next one that can be read (an open transaction hides what
	// comes after it).
	Bounds(ctx context.Context, t Topic, partition int32) (start, end int64, err error)

	// Tail opens a reader of several partitions of one topic. It reads nothing
	// until partitions are added.
	Tail(t Topic) (Tail, error)

	// Snapshots opens the writer of Snapshots[partition]. When it returns, every
	// writer opened before for that partition, by whichever process, is fenced.
	Snapshots(ctx context.Context, partition int32) (SnapshotWriter, error)

	// Join takes part in sharing out the partitions among the workers of a group
	// and returns when ctx ends and every partition has been released, or when
	// membership fails for good. It can be called once per Log at a time.
	Join(ctx context.Context, m Member) error
}

// Tail reads partitions of a topic in order, each from where it was added.
// Add and Remove may be called at any time from any goroutine; Poll from one at a time.
type Tail interface {
	// Add starts reading a partition at offset. If that offset is no longer kept
	// or not yet written, Poll returns ErrOffsetOutOfRange for it. Adding a
	// partition that is being read moves it: records polled but not yet returned
	// are dropped.
	Add(partition int32, offset int64)
	// Remove stops reading a partition. No Poll that starts afterwards returns records of it.
	Remove(partition int32)
	// Poll waits for records and returns those that are there, of one or more
	// partitions, in order within each. The slice belongs to the caller. An error
	// is ctx's, ErrClosed, or a *PartitionError, after which reading of the other
	// partitions goes on with the next Poll. Errors that pass by themselves
	// (a leader moves, a broker restarts) are waited out.
	Poll(ctx context.Context) ([]Record, error)
	// Close ends a running Poll with ErrClosed.
	Close()
}

// PartitionError says that one partition cannot be read any further. The
// partition is no longer being read; others are.
type PartitionError struct {
	Topic     Topic
	Partition int32
	Err       error
}

func (e *PartitionError) Error() string {
	return fmt.Sprintf("reading %s[%d]: %v", e.Topic, e.Partition, e.Err)
}

// Unwrap returns the cause.
func (e *PartitionError) Unwrap() error { return e.Err }

// SnapshotWriter writes to one partition of Snapshots as its sole owner.
// It is not safe for concurrent use.
type SnapshotWriter interface {
	// Write appends all records or none, and returns the offset after the last of
	// them (it may lie beyond by the transaction's own marks). ErrFenced means
	// that another owner took over: nothing was written. After any other error the
	// records may or may not have been written, but never in part; the caller may
	// try again with the same or newer records.
	Write(ctx context.Context, records []Record) (next int64, err error)
	// Close releases the writer. It fences nobody.
	Close()
}

// Member is a worker's part in sharing out partitions. Its functions are called one
// at a time, from Join's goroutines, and may block: the group waits (up to its
// rebalance timeout) for Released to return before another member is given the partitions.
type Member struct {
	// Group is the name of the group; all workers of an application share it.
	Group string
	// ID is the member's stable name. When set, a member that restarts within the
	// session timeout takes its partitions back without a rebalance. Two live
	// members must not share one. Empty: no stable name.
	ID string
	// Assigned: the partitions are this member's from now on.
	Assigned func(ctx context.Context, partitions []int32)
	// Released: the partitions are about to be given to others; the member must have
	// stopped writing for them when it returns.
	Released func(ctx context.Context, partitions []int32)
	// Lost: the partitions were given away without asking, for this member was
	// taken for dead. Others may be writing already.
	Lost func(partitions []int32)
}
