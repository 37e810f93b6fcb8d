package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/actorlog/actorlog/eventlog"
)

// ErrNotEmpty says that there is something in the topics that were to be restored.
var ErrNotEmpty = errors.New("the topics to restore to are not empty")

// Restore fills empty topics with a backup. They must have as many partitions as it has; [replay/move] takes actors to another number afterwards, and a log of the keys if it has any: one below that which unseals. No worker and no gateway
// may run on them meanwhile. One that fails leaves topics of no use: delete them, or take another prefix.
func Restore(ctx context.Context, dir string, l eventlog.Log, opt Options) (Manifest, error) {
	m, err := Open(dir)
	if err != nil {
		return m, err
	}
	if m.Partitions != l.Partitions() {
		return m, fmt.Errorf("the backup has %d partitions and the topics have %d: make topics with as many", m.Partitions, l.Partitions())
	}
	for i := range m.Files {
		f := &m.Files[i]
		_, end, err := l.Bounds(ctx, f.topic, f.Partition)
		if err != nil {
			return m, fmt.Errorf("asking for the bounds of %s[%d]: %w", f.topic, f.Partition, err)
		}
		if end > 0 {
			return m, fmt.Errorf("%w: %s[%d] has come to %d; take another prefix", ErrNotEmpty, f.topic, f.Partition, end)
		}
	}
	// The other way round than they were copied: what is referred to is there first.
	for i := len(m.Files) - 1; i >= 0; i-- {
		f := &m.Files[i]
		without := slices.Contains(opt.Without, f.topic)
		switch {
		case f.topic != eventlog.Snapshots:
			err = f.restore(ctx, dir, l, without)
		case !without:
			err = f.restoreSnapshots(ctx, dir, l)
		}
		if err != nil {
			return m, fmt.Errorf("restoring %s[%d]: %w", f.topic, f.Partition, err)
		}
		if opt.Progress != nil {
			opt.Progress(*f)
		}
	}
	return m, nil
}

// filler stands where a record is not there any more, and is heeded by no reader. A compacted topic takes none without a key.
func (f *File) filler() eventlog.Record {
	r := eventlog.Record{Partition: f.Partition}
	if f.topic == eventlog.Keys {
		r.Key = []byte("filler")
	}
	return r
}

// underWay is how many records are appended before they are acknowledged.
const underWay = 10_000

// restore appends records so that each stands where it stood.
func (f *File) restore(ctx context.Context, dir string, l eventlog.Log, without bool) error {
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, underWay)
		mu    sync.Mutex
		first error
		next  int64
	)
	failed := func() error {
		mu.Lock()
		defer mu.Unlock()
		return first
	}
	put := func(r eventlog.Record) error {
		want := next
		next++
		slots <- struct{}{}
		wg.Add(1)
		l.Append(ctx, f.topic, r, func(offset int64, err error) {
			if err == nil && offset != want {
				err = fmt.Errorf("a record stands at %d and not at %d: somebody else writes", offset, want)
			}
			if err != nil {
				mu.Lock()
				first = errors.Join(first, err)
				mu.Unlock()
			}
			<-slots
			wg.Done()
		})
		return failed()
	}
	fill := func(to int64) error {
		for next < to {
			if err := put(f.filler()); err != nil {
				return err
			}
		}
		return nil
	}
	err := error(nil)
	if !without {
		err = f.records(dir, func(r *eventlog.Record) error {
			if err := fill(r.Offset); err != nil {
				return err
			}
			return put(*r)
		})
	}
	if err == nil {
		err = fill(f.End)
	}
	wg.Wait()
	return errors.Join(err, failed())
}

// restoreSnapshots writes snapshots in order, a few at a time. Where they stand means nothing to anybody.
func (f *File) restoreSnapshots(ctx context.Context, dir string, l eventlog.Log) error {
	w, err := l.Snapshots(ctx, f.Partition)
	if err != nil {
		return err
	}
	defer w.Close()
	var batch []eventlog.Record
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		_, err := w.Write(ctx, batch)
		batch, size = nil, 0
		return err
	}
	err = f.records(dir, func(r *eventlog.Record) error {
		batch = append(batch, *r)
		if size += len(r.Key) + len(r.Value); len(batch) >= 1000 || size >= 8<<20 {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}
