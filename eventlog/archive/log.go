package archive

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/actorlog/actorlog/eventlog"
)

var _ eventlog.Log = (*Log)(nil)

// Log is a log whose events begin in a directory and go on in another log. All else is the other log's. It is safe for concurrent use.
type Log struct {
	eventlog.Log
	path string
	dir  atomic.Pointer[Dir]
}

// Open opens a directory before a log. It is an error if it is of another one, or if there is nothing in it.
func Open(l eventlog.Log, dir string) (*Log, error) {
	a, err := Begin(l, dir)
	if err == nil && len(a.dir.Load().shards) == 0 {
		return nil, fmt.Errorf("opening the archive: there are no archived events in %s", dir)
	}
	return a, err
}

// Begin is Open for who fills the directory, too: there may be nothing in it yet.
func Begin(l eventlog.Log, dir string) (*Log, error) {
	d, err := OpenDir(dir, l.Identity())
	if err != nil {
		return nil, err
	}
	a := &Log{Log: l, path: dir}
	a.dir.Store(d)
	return a, nil
}

// Copy copies events of the other log that are not in the directory yet into it, as the function Copy does. From then on they are read from there, also if it ends with an error:
// then those of which done was told. What is being read at that moment goes on as it was.
func (l *Log) Copy(ctx context.Context, o Options, done func(Copied)) error {
	err := Copy(ctx, l.Log, l.path, o, done)
	d, openErr := OpenDir(l.path, l.Identity())
	if openErr == nil {
		l.dir.Store(d)
	}
	return errors.Join(err, openErr)
}

// Bounds implements [eventlog.Log]: events begin with the first one that is archived. If events expired before they were archived, that is an error.
func (l *Log) Bounds(ctx context.Context, t eventlog.Topic, partition int32) (start, end int64, err error) {
	start, end, err = l.Log.Bounds(ctx, t, partition)
	first, next, some := l.dir.Load().Bounds(partition)
	if err != nil || t != eventlog.Events || !some {
		return start, end, err
	}
	if next < start {
		return 0, 0, fmt.Errorf("%w: the archive of shard %d ends at event %d, and the log begins at %d: what is between is lost; without the archive, the rest can be read",
			eventlog.ErrOffsetOutOfRange, partition, next-1, start)
	}
	return min(first, start), max(next, end), nil
}

// Tail implements [eventlog.Log].
func (l *Log) Tail(t eventlog.Topic) (eventlog.Tail, error) {
	inner, err := l.Log.Tail(t)
	if err != nil || t != eventlog.Events {
		return inner, err
	}
	return newTail(l.dir.Load(), inner), nil
}
