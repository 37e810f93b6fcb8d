package file

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// ErrDamaged says that a file is not what was written: cut off, changed, or no history at all.
var ErrDamaged = errors.New("the file is damaged")

// ErrNewer says that a file was written by a newer version of actorlog, which can read it.
var ErrNewer = errors.New("the file was written by a newer version of actorlog")

// maxPart bounds one entry: more than any record.
const maxPart = 256 << 20

// History is a file of one actor's history, read into memory: a log in which there is nothing else. It is an [eventlog.Source], safe for concurrent use, and is not
// written to.
type History struct {
	header *actorlogv1.HistoryHeader
	hash   schemas.Hash
	// records of each shard by offset, claims among them.
	records map[int32][]eventlog.Record
}

// Open reads a file. The errors are those of the file system, ErrDamaged and ErrNewer.
func Open(path string) (*History, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return h, nil
}

// Read reads what Export wrote.
func Read(r io.Reader) (*History, error) {
	packed, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer packed.Close()
	in := &reader{Reader: bufio.NewReaderSize(packed, 1<<16)}
	h := &History{records: make(map[int32][]eventlog.Record)}
	if err := h.read(in); err != nil {
		return nil, err
	}
	for p, list := range h.records {
		h.records[p] = withClaims(list)
	}
	return h, nil
}

// reader keeps what it hands out, so that it can be summed.
type reader struct {
	*bufio.Reader
	part []byte
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.part = append(r.part, b[:n]...)
	return n, err
}

func (r *reader) ReadByte() (byte, error) {
	b, err := r.Reader.ReadByte()
	if err == nil {
		r.part = append(r.part, b)
	}
	return b, err
}

func (h *History) read(in *reader) error {
	line := make([]byte, len(magic))
	if _, err := io.ReadFull(in, line); err != nil || string(line) != magic {
		return fmt.Errorf("%w: it is no history of an actor", ErrDamaged)
	}
	sum := sha256.New()
	var records int64
	for {
		sum.Write(in.part)
		in.part = in.part[:0]
		part := new(actorlogv1.HistoryPart)
		if err := (protodelim.UnmarshalOptions{MaxSize: maxPart}).UnmarshalFrom(in, part); err != nil {
			return fmt.Errorf("%w: after %d records: %w", ErrDamaged, records, err)
		}
		switch p := part.Part.(type) {
		case *actorlogv1.HistoryPart_Header:
			if err := h.takeHeader(p.Header); err != nil {
				return err
			}
		case *actorlogv1.HistoryPart_Record:
			if h.header == nil {
				return fmt.Errorf("%w: it begins without a header", ErrDamaged)
			}
			records++
			h.take(p.Record)
		case *actorlogv1.HistoryPart_End:
			if h.header == nil || p.End.Records != records || !bytes.Equal(p.End.Sha256, sum.Sum(nil)) {
				return fmt.Errorf("%w: its checksum is another, or it has not all of its %d records", ErrDamaged, p.End.Records)
			}
			return nil
		default:
			return fmt.Errorf("%w: it has an entry that this version does not know", ErrNewer)
		}
	}
}

func (h *History) takeHeader(header *actorlogv1.HistoryHeader) error {
	hash, ok := schemas.ParseHash(header.Key)
	switch {
	case header.Version > version:
		return fmt.Errorf("%w: it has version %d, this is version %d", ErrNewer, header.Version, version)
	case !ok || header.Partitions < 1 || h.header != nil:
		return fmt.Errorf("%w: its header names no actor or no shards", ErrDamaged)
	}
	h.header, h.hash = header, hash
	return nil
}

func (h *History) take(r *actorlogv1.HistoryRecord) {
	record := eventlog.Record{
		Partition: r.Partition, Offset: r.GetRecord().GetOffset(), Key: r.GetRecord().GetKey(), Value: withoutPlace(r.GetRecord().GetValue()),
	}
	for _, header := range r.GetRecord().GetHeaders() {
		record.Headers = append(record.Headers, eventlog.Header{Key: header.Name, Value: header.Value})
	}
	h.records[r.Partition] = append(h.records[r.Partition], record)
}

// withoutPlace leaves the place out of a record: it follows on records of other actors, which are not here. That it counted was decided when it was exported.
func withoutPlace(value []byte) []byte {
	for rest := value; len(rest) > 0; {
		number, t, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return value
		}
		size := protowire.ConsumeFieldValue(number, t, rest[n:])
		if size < 0 {
			return value
		}
		if number == schemas.PlaceField && t == protowire.VarintType {
			at := len(value) - len(rest)
			return append(value[:at:at], rest[n+size:]...)
		}
		rest = rest[n+size:]
	}
	return value
}

// withClaims puts the records of a shard in order, and claims where their epochs began.
func withClaims(list []eventlog.Record) []eventlog.Record {
	epochs := make(map[int64]bool)
	for i := range list {
		epoch, _ := schemas.PlaceOf(list[i].Value)
		if !epochs[epoch] {
			epochs[epoch] = true
			list = append(list, eventlog.Record{
				Partition: list[i].Partition, Offset: epoch, Key: []byte(schemas.ClaimKey),
				Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeClaim)}},
			})
		}
	}
	slices.SortStableFunc(list, func(a, b eventlog.Record) int { return cmp.Compare(a.Offset, b.Offset) })
	return slices.CompactFunc(list, func(a, b eventlog.Record) bool { return a.Offset == b.Offset })
}

// Hash of the actor.
func (h *History) Hash() schemas.Hash { return h.hash }

// Header says of which actor and log the history is. Not to be changed.
func (h *History) Header() *actorlogv1.HistoryHeader { return h.header }

// Absent says of an event of which another one tells that it is not here.
func (h *History) Absent() string { return "not in the file" }

// Partitions implements eventlog.Source.
func (h *History) Partitions() int32 { return h.header.Partitions }

// Bounds implements eventlog.Source: there are events only.
func (h *History) Bounds(_ context.Context, t eventlog.Topic, p int32) (start, end int64, err error) {
	list := h.list(t, p)
	if len(list) == 0 {
		return 0, 0, nil
	}
	end = list[len(list)-1].Offset + 1
	if h.header.Whole || p != h.hash.Shard(h.header.Partitions) {
		return 0, end, nil
	}
	return list[0].Offset, end, nil
}

func (h *History) list(t eventlog.Topic, p int32) []eventlog.Record {
	if t != eventlog.Events {
		return nil
	}
	return h.records[p]
}

// Tail implements eventlog.Source.
func (h *History) Tail(t eventlog.Topic) (eventlog.Tail, error) {
	return &tail{h: h, topic: t, closed: make(chan struct{}), more: make(chan struct{}, 1)}, nil
}
