package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/actorlog/actorlog/eventlog"
)

// suffix of complete files, partial of those that are being written.
const (
	suffix  = ".events.zst"
	partial = ".partial"
)

// Dir is a directory of archived events, as it was when it was opened. It is safe for concurrent use.
type Dir struct {
	path    string
	log     string
	shards  map[int32][]*segment
	decoder *zstd.Decoder
}

// OpenDir opens a directory of the events of a log, which is named by its identity. One that is not there is empty. An archive of another log, a file that
// is missing between others, and ErrDamaged are errors.
func OpenDir(path, identity string) (*Dir, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, log: identity, shards: make(map[int32][]*segment), decoder: decoder}
	files, err := filepath.Glob(filepath.Join(escape(path), "shard-*", "*"+suffix))
	if err == nil {
		_, err = os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the archive: %w", err)
	}
	slices.Sort(files)
	for _, file := range files {
		s, err := openSegment(file)
		if err != nil {
			return nil, fmt.Errorf("opening the archive in %s: %w", path, err)
		}
		if s.index.Log != identity {
			return nil, fmt.Errorf("opening the archive in %s: it is of the log %s, and this one is %s: use another directory", path, s.index.Log, identity)
		}
		of := d.shards[s.index.Shard]
		if n := len(of); n > 0 && of[n-1].index.Next != s.index.First {
			return nil, fmt.Errorf("opening the archive in %s: shard %d has no file for events %d to %d", path, s.index.Shard, of[n-1].index.Next, s.index.First-1)
		}
		d.shards[s.index.Shard] = append(of, s)
	}
	return d, nil
}

// escape has Glob take a path as it is.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (d *Dir) shardPath(shard int32) string {
	return filepath.Join(d.path, fmt.Sprintf("shard-%04d", shard))
}

// Bounds returns the first offset of a shard that is archived, and the first one that is not; ok is false if nothing is.
func (d *Dir) Bounds(shard int32) (first, next int64, ok bool) {
	of := d.shards[shard]
	if len(of) == 0 {
		return 0, 0, false
	}
	return of[0].index.First, of[len(of)-1].index.Next, true
}

// read returns the records from an offset on that are in one block, and the offset after the last that it speaks for.
func (d *Dir) read(shard int32, from int64) (records []eventlog.Record, next int64, err error) {
	of := d.shards[shard]
	i := sort.Search(len(of), func(i int) bool { return of[i].index.Next > from })
	s := of[i]
	blocks := s.index.Blocks
	// The last block that begins at or before from.
	b := sort.Search(len(blocks), func(b int) bool { return blocks[b].First > from }) - 1
	if b < 0 {
		if len(blocks) == 0 {
			return nil, s.index.Next, nil // holes alone
		}
		return nil, blocks[0].First, nil
	}
	if next = s.index.Next; b+1 < len(blocks) {
		next = blocks[b+1].First
	}
	records, err = s.read(d.decoder, b)
	if err != nil {
		return nil, 0, err
	}
	for len(records) > 0 && records[0].Offset < from {
		records = records[1:]
	}
	return records, next, nil
}
