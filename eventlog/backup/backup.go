package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// ErrExists says that the directory has a backup already.
var ErrExists = errors.New("there is a backup in the directory")

// ErrDamaged says that a backup is not what was written.
var ErrDamaged = errors.New("the backup is damaged")

// ErrSealed says that records are sealed, and the backup would not have their keys, without which they cannot be read. It must not have them unsealed, or nobody could be erased from it.
var ErrSealed = errors.New("there are sealed records, whose keys this backup would not have: give the master key (--seal-key-file), and it has them, wrapped")

const manifestName = "manifest.json"

// Manifest says what a backup has.
type Manifest struct {
	// Version of the format: 1, or 2 with keys.
	Version int `json:"version"`
	// Log is the identity of the log, and Time when the copy was begun.
	Log        string    `json:"log"`
	Time       time.Time `json:"time"`
	Partitions int32     `json:"partitions"`
	Files      []File    `json:"files"`
}

// File is a partition of a topic.
type File struct {
	Name      string `json:"name"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Start is the first offset that was kept, End the next one to be written.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	// Records in it, and the SHA-256 of the file.
	Records int64  `json:"records"`
	SHA256  string `json:"sha256"`

	topic eventlog.Topic
}

// order in which topics are copied; see the package comment.
func (m *Manifest) order() []eventlog.Topic {
	topics := []eventlog.Topic{eventlog.Snapshots, eventlog.Events, eventlog.Actions}
	if m.Keyed() {
		topics = append(topics, eventlog.Keys)
	}
	return topics
}

// Keyed says whether the backup has keys of sealed records, wrapped by the master key.
func (m *Manifest) Keyed() bool { return m.Version >= keyedVersion }

// plainVersion and keyedVersion are the versions of the format.
const plainVersion, keyedVersion = 1, 2

// Options of [Write] and [Restore].
type Options struct {
	// Progress, if not nil, is called after each file.
	Progress func(File)
	// Without topics, for Restore: nothing is restored of them but how far they had come. Of actions that is what was asked and not answered; of
	// snapshots, time: all events are folded.
	Without []eventlog.Topic
	// Keys, for Write: copy the keys of sealed records too, as they are kept; the log is then the one below that which unseals. Default: sealed records are refused.
	Keys bool
}

// Write copies a log into a directory, which is made if it is not there. ErrExists when it has a backup.
func Write(ctx context.Context, l eventlog.Log, dir string, opt Options) (Manifest, error) {
	m := Manifest{Version: plainVersion, Log: l.Identity(), Time: time.Now().UTC(), Partitions: l.Partitions()}
	if opt.Keys {
		m.Version = keyedVersion
	}
	if _, err := os.Stat(filepath.Join(dir, manifestName)); err == nil {
		return m, fmt.Errorf("%w: %s; take another directory", ErrExists, dir)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return m, err
	}
	for _, t := range m.order() {
		for p := range l.Partitions() {
			f, err := write(ctx, l, dir, t, p, opt.Keys)
			if err != nil {
				return m, fmt.Errorf("copying %s[%d]: %w", t, p, err)
			}
			if t == eventlog.Events && f.Start > 0 {
				return m, fmt.Errorf("the first %d events of shard %d are not kept any more: give the archive that has them, or keep events", f.Start, p)
			}
			m.Files = append(m.Files, f)
			if opt.Progress != nil {
				opt.Progress(f)
			}
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	return m, replace(filepath.Join(dir, manifestName), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

func write(ctx context.Context, l eventlog.Log, dir string, t eventlog.Topic, p int32, keys bool) (f File, err error) {
	f = File{Name: fmt.Sprintf("%s-%05d.zst", t, p), Topic: t.String(), Partition: p}
	if f.Start, f.End, err = l.Bounds(ctx, t, p); err != nil {
		return f, err
	}
	copied := func(*eventlog.Record) bool { return true }
	if t == eventlog.Keys {
		if copied, err = living(ctx, l, &f); err != nil {
			return f, err
		}
	}
	sum := sha256.New()
	err = replace(filepath.Join(dir, f.Name), func(w io.Writer) error {
		packed, err := zstd.NewWriter(io.MultiWriter(w, sum))
		if err != nil {
			return err
		}
		err = eventlog.Scan(ctx, l, t, p, f.Start, f.End, func(r *eventlog.Record) error {
			if !copied(r) {
				return nil
			}
			f.Records++
			if !keys && slices.ContainsFunc(r.Headers, func(h eventlog.Header) bool { return h.Key == schemas.HeaderSealed }) {
				return ErrSealed
			}
			m := &actorlogv1.ArchivedRecord{Offset: r.Offset, Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				m.Headers = append(m.Headers, &actorlogv1.Header{Name: h.Key, Value: h.Value})
			}
			_, err := protodelim.MarshalTo(packed, m)
			return err
		})
		return errors.Join(err, packed.Close())
	})
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f, err
}

// living returns which records of a partition of keys are copied: of each key that was not destroyed, the last one. So a backup never has a key that was destroyed before it was begun, though brokers that
// have not compacted the topic yet may.
func living(ctx context.Context, l eventlog.Log, f *File) (func(*eventlog.Record) bool, error) {
	last := make(map[string]int64)
	err := eventlog.Scan(ctx, l, eventlog.Keys, f.Partition, f.Start, f.End, func(r *eventlog.Record) error {
		if last[string(r.Key)] = r.Offset; r.Value == nil {
			delete(last, string(r.Key))
		}
		return nil
	})
	return func(r *eventlog.Record) bool {
		at, ok := last[string(r.Key)]
		return ok && at == r.Offset
	}, err
}

// replace writes a file whole, or not at all.
func replace(path string, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone by then, if all went well
	w := bufio.NewWriterSize(f, 256<<10)
	if err := errors.Join(fill(w), w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Open reads the manifest of a backup and checks its files.
func Open(dir string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("there is no whole backup in %s: %w", dir, err)
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%w: its manifest: %w", ErrDamaged, err)
	}
	if m.Version != plainVersion && m.Version != keyedVersion {
		return m, fmt.Errorf("the backup in %s is of version %d of the format; this release reads versions 1 and 2", dir, m.Version)
	}
	order := m.order()
	if len(m.Files) != len(order)*int(m.Partitions) {
		return m, fmt.Errorf("%w: its manifest names %d files for %d partitions", ErrDamaged, len(m.Files), m.Partitions)
	}
	for i := range m.Files {
		f := &m.Files[i]
		f.topic, f.Partition = order[i/int(m.Partitions)], int32(i%int(m.Partitions))
		if want := fmt.Sprintf("%s-%05d.zst", f.topic, f.Partition); f.Name != want {
			return m, fmt.Errorf("%w: file %d of its manifest is %q, not %s", ErrDamaged, i, f.Name, want)
		}
		if err := f.check(dir); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (f *File) check(dir string) error {
	in, err := os.Open(filepath.Join(dir, f.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("%w: the SHA-256 of %s is %s, not %s", ErrDamaged, f.Name, got, f.SHA256)
	}
	return nil
}

// records calls fn for each record of the file.
func (f *File) records(dir string, fn func(*eventlog.Record) error) error {
	in, err := os.Open(filepath.Join(dir, f.Name))
	if err != nil {
		return err
	}
	defer in.Close()
	unpacked, err := zstd.NewReader(in)
	if err != nil {
		return err
	}
	defer unpacked.Close()
	r := bufio.NewReaderSize(unpacked, 256<<10)
	opt := protodelim.UnmarshalOptions{MaxSize: 1 << 30}
	for n := int64(0); ; n++ {
		var m actorlogv1.ArchivedRecord
		err := opt.UnmarshalFrom(r, &m)
		if errors.Is(err, io.EOF) && n == f.Records {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: record %d of %d of %s: %w", ErrDamaged, n, f.Records, f.Name, err)
		}
		rec := eventlog.Record{Partition: f.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			rec.Headers = append(rec.Headers, eventlog.Header{Key: h.Name, Value: h.Value})
		}
		if len(rec.Value) == 0 {
			rec.Value = nil // a tombstone: no record of actorlog is empty
		}
		if err := fn(&rec); err != nil {
			return err
		}
	}
}
