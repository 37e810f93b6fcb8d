package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
)

// StoreDir is the directory of a worker's local store.
type StoreDir string

// String is its name.
func (d StoreDir) String() string { return string(d) }

// ErrNoStore says that a directory has no local store of a worker.
var ErrNoStore = errors.New("there is no local store of a worker")

// How often, and with which pause, a file is tried that cannot be read, for it is being written.
const (
	inspectTries = 50
	inspectPause = 100 * time.Millisecond
)

// Inspect reads all that the files of the store have of an actor, past the store itself: its snapshots as they are kept, the latest one, and those that it has replaced and that are on the
// disk still, some of them more than once. canary, if not empty, is a text to look for: canaries is how many entries of the actor have it, elsewhere how many others. The worker may run.
func (d StoreDir) Inspect(ctx context.Context, hash schemas.Hash, canary string) (snapshots []eventlog.Record, canaries, elsewhere int, err error) {
	all := inspection{hash: hash, canary: []byte(canary)}
	err = all.read(ctx, string(d))
	return all.snapshots, all.canaries, all.elsewhere, err
}

// inspection of a store, or of one file.
type inspection struct {
	hash                schemas.Hash
	canary              []byte
	snapshots           []eventlog.Record
	canaries, elsewhere int
}

func (i *inspection) read(ctx context.Context, dir string) error {
	done := make(map[string]bool)
	for try := 1; ; try++ {
		names, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("reading a local store: %w", err)
		}
		var failed error
		more, store := false, false
		for _, e := range names {
			name := e.Name()
			store = store || strings.HasPrefix(name, "MANIFEST-")
			if done[name] || filepath.Ext(name) != ".sst" && filepath.Ext(name) != ".log" {
				continue
			}
			part := inspection{hash: i.hash, canary: i.canary}
			switch err := part.file(ctx, filepath.Join(dir, name)); {
			case errors.Is(err, fs.ErrNotExist): // what it had is in others
			case err != nil:
				failed = fmt.Errorf("reading %s of the local store in %s: %w", name, dir, err)
			default:
				done[name], more = true, true
				i.snapshots = append(i.snapshots, part.snapshots...)
				i.canaries, i.elsewhere = i.canaries+part.canaries, i.elsewhere+part.elsewhere
			}
		}
		switch {
		case !store:
			return fmt.Errorf("%w in %s", ErrNoStore, dir)
		case failed == nil && !more:
			return nil
		case failed != nil && try >= inspectTries:
			return failed
		case failed != nil:
			select {
			case <-time.After(inspectPause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

func (i *inspection) file(ctx context.Context, path string) error {
	f, err := vfs.Default.Open(path)
	if err != nil {
		return err
	}
	if filepath.Ext(path) == ".log" {
		defer f.Close()
		return i.log(f, filepath.Base(path))
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(ctx, readable, sstable.ReaderOptions{})
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	defer r.Close()
	entries, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	for kv := entries.First(); kv != nil; kv = entries.Next() {
		value, _, err := kv.Value(nil)
		if err != nil {
			return errors.Join(err, entries.Close())
		}
		i.take(kv.Kind(), kv.K.UserKey, value)
	}
	return errors.Join(entries.Error(), entries.Close())
}

// log reads a write-ahead log up to its end, or up to where it was written when the file had another name.
func (i *inspection) log(f io.Reader, name string) error {
	number, _, ok := wal.ParseLogFilename(name)
	if !ok {
		return fmt.Errorf("%s is no name of a log", name)
	}
	records := numbered(record.NewReader, f, uint64(number))
	for {
		r, err := records.Next()
		var text []byte
		if err == nil {
			text, err = io.ReadAll(r)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, record.ErrZeroedChunk), errors.Is(err, record.ErrInvalidChunk):
			return nil
		case err != nil:
			return err
		}
		var b pebble.Batch
		if err := b.SetRepr(text); err != nil {
			return err
		}
		entries := b.Reader()
		for {
			kind, key, value, ok, err := entries.Next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			i.take(kind, key, value)
		}
	}
}

// numbered calls a constructor with a number, whose type cannot be named here.
func numbered[N ~uint64](open func(io.Reader, N) *record.Reader, f io.Reader, number uint64) *record.Reader {
	return open(f, N(number))
}

// take looks at one entry, which it must not keep.
func (i *inspection) take(kind pebble.InternalKeyKind, key, value []byte) {
	ours := len(key) == 1+4+len(i.hash) && bytes.Equal(key[5:], i.hash[:])
	if len(i.canary) > 0 && (bytes.Contains(value, i.canary) || bytes.Contains(key, i.canary)) {
		if ours {
			i.canaries++
		} else {
			i.elsewhere++
		}
	}
	if ours && key[0] == 'a' && (kind == pebble.InternalKeyKindSet || kind == pebble.InternalKeyKindSetWithDelete) {
		i.snapshots = append(i.snapshots, eventlog.Record{
			Partition: int32(binary.BigEndian.Uint32(key[1:5])), Key: bytes.Clone(i.hash[:]), Value: bytes.Clone(value), Headers: []eventlog.Header{typeSnapshot},
		})
	}
}
