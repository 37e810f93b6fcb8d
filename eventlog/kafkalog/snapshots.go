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

// transactionTimeout is after how long the brokers abort a transaction that its writer
// does not end. Readers of the partition see nothing that comes after it until then.
const transactionTimeout = 30 * time.Second

// snapshotWriter implements [eventlog.SnapshotWriter] on a transactional client.
//
// The fence is the epoch of the transactional id: opening a writer raises it, and the
// brokers refuse whoever comes with a lower one. Therefore a writer that was refused
// once never asks for a new epoch, which would fence the one who fenced it.
type snapshotWriter struct {
	l         *Log
	partition int32
	cl        *kgo.Client
	fenced    error
	closed    bool
	open      bool // a transaction whose end is not known must be aborted first
}

// Snapshots implements [eventlog.Log]. The transactional id is "<prefix>.snapshots.<partition>".
func (l *Log) Snapshots(ctx context.Context, partition int32) (eventlog.SnapshotWriter, error) {
	fail := func(err error) (eventlog.SnapshotWriter, error) {
		return nil, fmt.Errorf("opening the writer of snapshots[%d]: %w", partition, l.translate(err))
	}
	if err := l.checkPartition(eventlog.Snapshots, partition); err != nil {
		return fail(err)
	}
	if l.closing.Err() != nil {
		return fail(eventlog.ErrClosed)
	}
	ctx, cancel := l.untilClosed(ctx)
	defer cancel()
	codec, _ := l.cfg.codec()
	id := fmt.Sprintf("%s.%d", l.topics[eventlog.Snapshots].name, partition)
	cl, err := kgo.NewClient(append(l.cfg.clientOptions(),
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytesFn(l.batchBytes),
		kgo.MaxBufferedRecords(1<<30),
		kgo.RecordDeliveryTimeout(l.cfg.AppendTimeout),
		kgo.UnknownTopicRetries(-1),
	)...)
	if err != nil {
		return fail(err)
	}
	for try := 0; ; try++ {
		_, _, err := cl.ProducerID(ctx)
		if err == nil {
			return &snapshotWriter{l: l, partition: partition, cl: cl}, nil
		}
		var ke *kerr.Error
		if errors.As(err, &ke) && !ke.Retriable || !sleep(ctx, nil, backoff(try)) {
			cl.Close()
			return fail(err)
		}
	}
}

// Write implements [eventlog.SnapshotWriter]. It ends after Config.AppendTimeout at the latest.
func (w *snapshotWriter) Write(ctx context.Context, records []eventlog.Record) (int64, error) {
	ctx, cancel := w.l.untilClosed(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, w.l.cfg.AppendTimeout)
	defer cancel()
	next, err := w.write(ctx, records)
	if err == nil {
		return next, nil
	}
	if w.fenced == nil && isFenced(err) {
		w.fenced = err
		// Not aborted, not reused: the brokers have ended what it had open.
		w.cl.Close()
	}
	if w.fenced != nil {
		err = fmt.Errorf("%w (%w)", eventlog.ErrFenced, w.fenced)
	}
	return 0, fmt.Errorf("writing %d records to snapshots[%d]: %w", len(records), w.partition, w.l.translate(err))
}

func (w *snapshotWriter) write(ctx context.Context, records []eventlog.Record) (int64, error) {
	info := &w.l.topics[eventlog.Snapshots]
	switch {
	case w.closed, w.l.closing.Err() != nil:
		return 0, eventlog.ErrClosed
	case w.fenced != nil:
		return 0, w.fenced
	case ctx.Err() != nil:
		return 0, ctx.Err()
	}
	for i := range records {
		if n := wireSize(&records[i]); n > info.maxBytes {
			return 0, fmt.Errorf("%w: %d bytes with framing, topic %s takes %d: raise its max.message.bytes",
				eventlog.ErrTooLarge, n, info.name, info.maxBytes)
		}
	}
	if len(records) == 0 {
		return w.l.listOffset(ctx, eventlog.Snapshots, w.partition, -1)
	}
	if w.open {
		if err := w.abort(ctx); err != nil {
			return 0, fmt.Errorf("aborting the transaction before: %w", err)
		}
	}
	if err := w.cl.BeginTransaction(); err != nil {
		return 0, fmt.Errorf("beginning a transaction: %w", err)
	}
	w.open = true
	next, err := w.produce(ctx, info.name, records)
	if err == nil {
		err = w.awaitPartitions(ctx, info.name)
	}
	if err == nil {
		if err = w.cl.EndTransaction(ctx, kgo.TryCommit); err == nil {
			w.open = false
			w.awaitVisible(ctx, next)
			return next, nil
		}
		return 0, fmt.Errorf("committing: %w", err)
	}
	if !isFenced(err) && ctx.Err() == nil {
		// If this fails too, the next Write tries again.
		_ = w.abort(ctx)
	}
	return 0, err
}

// awaitPartitions waits until kgo has published the partitions of the topic. It does that after it has sent the first records to them,
// and of a transaction that is ended before that it thinks that nothing was written: it aborts it, and returns no error.
func (w *snapshotWriter) awaitPartitions(ctx context.Context, topic string) error {
	for try := 0; ; try++ {
		if leader, _, err := w.cl.PartitionLeader(topic, w.partition); leader >= 0 || err != nil {
			return nil //nolint:nilerr // it is known
		}
		if !sleep(ctx, nil, time.Millisecond<<min(try, 6)) {
			return ctx.Err()
		}
	}
}

// awaitVisible waits until readers see what was committed. Kafka acknowledges a commit
// when it is decided, and writes the marks that make it visible a moment later.
//
// A new owner would not need it, for its writer is not opened before that moment; but
// the port promises that what is acknowledged is visible to every later read.
func (w *snapshotWriter) awaitVisible(ctx context.Context, next int64) {
	for try := 0; ; try++ {
		end, err := w.l.listOffset(ctx, eventlog.Snapshots, w.partition, -1)
		if err != nil || end >= next {
			return // committed in any case
		}
		if !sleep(ctx, nil, time.Millisecond<<min(try, 6)) {
			return
		}
	}
}

// produce returns the offset after the last record when all are acknowledged.
func (w *snapshotWriter) produce(ctx context.Context, topic string, records []eventlog.Record) (int64, error) {
	var (
		mu    sync.Mutex
		left  = len(records)
		next  int64
		first error
		done  = make(chan struct{})
	)
	promise := func(r *kgo.Record, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil && first == nil {
			first = err
		}
		next = max(next, r.Offset+1)
		if left--; left == 0 {
			close(done)
		}
	}
	now := time.Now()
	for i := range records {
		r := &records[i]
		kr := &kgo.Record{Topic: topic, Partition: w.partition, Key: r.Key, Value: r.Value, Timestamp: now}
		for _, h := range r.Headers {
			kr.Headers = append(kr.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		w.cl.Produce(context.Background(), kr, promise)
	}
	select {
	case <-done:
		return next, first
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (w *snapshotWriter) abort(ctx context.Context) error {
	if err := w.cl.AbortBufferedRecords(ctx); err != nil {
		return err
	}
	if err := w.cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return err
	}
	w.open = false
	return nil
}

// Close implements [eventlog.SnapshotWriter]. A transaction of which the outcome is
// not known is left to the brokers' timeout, or to the next writer.
func (w *snapshotWriter) Close() {
	if w.closed {
		return
	}
	w.closed = true
	if w.fenced == nil {
		w.cl.Close()
	}
}

// isFenced tells the errors after which the transactional id is somebody else's, or
// unknown to the brokers. None of them passes.
func isFenced(err error) bool {
	for _, fenced := range []error{
		kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping,
		kerr.InvalidTxnState, kerr.TransactionalIDNotFound,
	} {
		if errors.Is(err, fenced) {
			return true
		}
	}
	return false
}
