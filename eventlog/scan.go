package eventlog

import (
	"bytes"
	"context"
	"fmt"
)

// Source is as much of a [Log] as reading takes. It is safe for concurrent use.
type Source interface {
	// Partitions, Bounds and Tail are those of a [Log].
	Partitions() int32
	Bounds(ctx context.Context, t Topic, partition int32) (start, end int64, err error)
	Tail(t Topic) (Tail, error)
}

// Scan reads the partition from offset from up to, but not including, offset to, and
// calls fn for every record that is still there (compaction leaves holes; marks are
// passed over). It returns when it has passed to-1, or with the first error of fn.
//
// A from below the first offset that is kept is an ErrOffsetOutOfRange.
func Scan(ctx context.Context, l Source, t Topic, partition int32, from, to int64, fn func(*Record) error) error {
	if from >= to {
		return nil
	}
	tail, err := l.Tail(t)
	if err != nil {
		return fmt.Errorf("scanning %s[%d]: %w", t, partition, err)
	}
	defer tail.Close()
	tail.Add(partition, from)
	for {
		records, err := tail.Poll(ctx)
		if err != nil {
			return fmt.Errorf("scanning %s[%d] from %d to %d: %w", t, partition, from, to, err)
		}
		for i := range records {
			r := &records[i]
			if r.Offset >= to {
				return nil
			}
			if !r.Mark {
				if err := fn(r); err != nil {
					return err
				}
			}
			if r.Offset == to-1 {
				return nil
			}
		}
	}
}

// Latest is the last record of a partition with a key, a deletion too; nil when there is none. It reads back from the end, more at a time the further it
// gets: what was written lately is found soon, and what is not there costs the partition.
func Latest(ctx context.Context, l Source, t Topic, partition int32, key []byte) (latest *Record, err error) {
	start, end, err := l.Bounds(ctx, t, partition)
	if err != nil {
		return nil, fmt.Errorf("asking for the bounds of %s[%d]: %w", t, partition, err)
	}
	for hi, size := end, int64(64); hi > start && latest == nil; size = min(4*size, 1<<16) {
		lo := max(start, hi-size)
		err := Scan(ctx, l, t, partition, lo, hi, func(r *Record) error {
			if bytes.Equal(r.Key, key) {
				latest = r
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		hi = lo
	}
	return latest, nil
}
