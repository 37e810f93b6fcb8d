package replay

import (
	"context"
	"errors"
	"iter"
	"math"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
)

// ErrGone says that events are not kept any more, or not known to count because the claim that said so is not.
var ErrGone = errors.New("history is no longer kept")

// Follow as the end of a [Range]: go on with what is written from now on, until the context ends.
const Follow = math.MaxInt64

// Range is a stretch of a partition of events.
type Range struct {
	// From is the first offset. 0: the first event that is kept and known to count. Any other that is not kept any more is ErrGone.
	From int64
	// To is the offset after the last. 0: where the partition ends at the beginning of the call. May be [Follow].
	To int64
}

// Progress is how far the scan of one partition has come.
type Progress struct {
	Partition int32
	// At is the next offset to read, of those from From up to To.
	From, At, To int64
}

// Options of a [Reader]. The zero value is right.
type Options struct {
	// Progress, when not nil, is called now and then during scans, by the goroutine that reads. Not by what reads only a few records.
	Progress func(Progress)
}

// Reader reads the history of actors from the log. It is safe for concurrent use if Options.Progress is. It writes nothing, and keeps nothing between calls.
type Reader struct {
	src eventlog.Source
	opt Options
}

// NewReader makes a reader of a log; an [eventlog.Log] is such a source.
func NewReader(src eventlog.Source, opt Options) *Reader { return &Reader{src: src, opt: opt} }

// Source that is read.
func (r *Reader) Source() eventlog.Source { return r.src }

// Partition of an actor.
func (r *Reader) Partition(hash schemas.Hash) int32 { return hash.Shard(r.src.Partitions()) }

// Shard goes through all events of a partition that count, in order. It holds a few bytes for each actor that it meets. The sequence ends after an error.
func (r *Reader) Shard(ctx context.Context, partition int32, in Range) iter.Seq2[*Event, error] {
	return r.sequence(ctx, partition, in, nil)
}

// Shards goes through one partition after the other, each as [Reader.Shard] does from beginning to end.
func (r *Reader) Shards(ctx context.Context) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for p := range r.src.Partitions() {
			for e, err := range r.Shard(ctx, p, Range{}) {
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

// History goes through the events of one actor, oldest first, by a scan of its partition. The sequence ends after an error.
func (r *Reader) History(ctx context.Context, hash schemas.Hash, in Range) iter.Seq2[*Event, error] {
	return r.sequence(ctx, r.Partition(hash), in, &hash)
}

func (r *Reader) sequence(ctx context.Context, partition int32, in Range, only *schemas.Hash) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		err := r.scan(ctx, partition, in, only, func(e *Event) error {
			if !yield(e, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// errEnough says that nobody wants more.
var errEnough = errors.New("enough")
