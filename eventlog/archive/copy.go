package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/actorlog/actorlog/eventlog"
)

// Options of Copy. The zero value works.
type Options struct {
	// SegmentBytes is how many bytes of records a file takes before they are compressed. Default 256 MiB.
	SegmentBytes int64
	// Progress, if not nil, is told how far a shard has been copied.
	Progress func(shard int32, next, end int64)
}

// Copied is what Copy did for one shard.
type Copied struct {
	Shard int32 `json:"shard"`
	// First and Next bound what is in the archive now; they are the same when it is empty.
	First int64 `json:"first"`
	Next  int64 `json:"next"`
	// Records that were added, Bytes of them, and Written bytes of files.
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	Written int64 `json:"written"`
	Files   int   `json:"files"`
}

// Copy copies all events of a log that are not in the directory yet into it, and tells done of each shard. When it returns, what it told of is on the
// disk; after an error, what it told of is. Two at once do no harm: one of them ends with an error.
//
// It refuses to leave a gap: if events expired before they were copied, the archive stays as it is, and a new one has to be begun.
func Copy(ctx context.Context, l eventlog.Log, dir string, o Options, done func(Copied)) error {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 256 << 20
	}
	d, err := OpenDir(dir, l.Identity())
	if err != nil {
		return err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	for shard := range l.Partitions() {
		c := copier{dir: d, log: l, encoder: encoder, options: o, did: Copied{Shard: shard}}
		if err := c.run(ctx); err != nil {
			return fmt.Errorf("archiving shard %d: %w", shard, err)
		}
		if done != nil {
			done(c.did)
		}
	}
	return nil
}

// copier copies one shard.
type copier struct {
	dir     *Dir
	log     eventlog.Log
	encoder *zstd.Encoder
	options Options
	did     Copied
	w       *segmentWriter
}

func (c *copier) run(ctx context.Context) error {
	shard := c.did.Shard
	start, end, err := c.log.Bounds(ctx, eventlog.Events, shard)
	if err != nil {
		return err
	}
	first, from, some := c.dir.Bounds(shard)
	if !some {
		first, from = start, start
	}
	if from < start {
		return fmt.Errorf("events %d to %d expired before they were archived: the archive in %s ends there, and stays readable; begin another one in another directory, and archive more often than events expire", from, start-1, c.dir.path)
	}
	c.did.First, c.did.Next = first, from
	if from >= end {
		return nil
	}
	defer c.abandon()
	err = eventlog.Scan(ctx, c.log, eventlog.Events, shard, from, end, func(r *eventlog.Record) error {
		if c.w == nil {
			if err := c.begin(c.did.Next); err != nil {
				return err
			}
		}
		if err := c.w.add(r); err != nil {
			return err
		}
		if c.w.raw >= c.options.SegmentBytes {
			return c.finish(r.Offset + 1)
		}
		if c.options.Progress != nil && r.Offset%8192 == 0 {
			c.options.Progress(shard, r.Offset, end)
		}
		return nil
	})
	if err == nil && c.w != nil {
		err = c.finish(end)
	}
	return err
}

func (c *copier) begin(first int64) error {
	if err := os.MkdirAll(c.dir.shardPath(c.did.Shard), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir.shardPath(c.did.Shard), "*"+partial)
	if err != nil {
		return err
	}
	c.w = newSegmentWriter(f, c.encoder, c.dir.log, c.did.Shard, first)
	return nil
}

// finish gives the file its name.
func (c *copier) finish(next int64) error {
	w := c.w
	if err := w.finish(next); err != nil {
		return err
	}
	info, err := w.f.Stat()
	if err != nil {
		return err
	}
	name := filepath.Join(c.dir.shardPath(c.did.Shard), fmt.Sprintf("%020d%s", w.index.First, suffix))
	// A link, unlike a renaming, does not replace a file that somebody else has written meanwhile.
	if err := os.Link(w.f.Name(), name); err != nil {
		return fmt.Errorf("naming a complete file (is another archiver at work in this directory?): %w", err)
	}
	c.did.Next = next
	c.did.Records += w.index.Records
	c.did.Bytes += w.raw
	c.did.Written += info.Size()
	c.did.Files++
	c.abandon()
	return syncDir(c.dir.shardPath(c.did.Shard))
}

// abandon removes the file that is being written, if any, under the name that it has while it is.
func (c *copier) abandon() {
	if c.w != nil {
		_ = errors.Join(c.w.f.Close(), os.Remove(c.w.f.Name())) // nobody reads it
		c.w = nil
	}
}

// syncDir has the disk know the names in a directory.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
