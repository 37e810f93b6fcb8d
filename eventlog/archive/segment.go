package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/eventlog"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// ErrDamaged says that a file of an archive is not what was written.
var ErrDamaged = errors.New("damaged file of archived events")

const (
	// blockBytes of records are compressed together: enough for a good ratio, and little to read for one record.
	blockBytes = 1 << 20
	// skippable begins a frame that decoders of zstd pass over.
	skippable = 0x184D2A5A
	// trailer is the end of a file: CRC-32C of the index, its length, and a mark.
	trailerBytes = 12
	mark         = 0x31584C41 // "ALX1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentWriter writes one file.
type segmentWriter struct {
	f        *os.File
	out      *bufio.Writer
	encoder  *zstd.Encoder
	position int64
	index    actorlogv1.ArchiveIndex
	block    bytes.Buffer
	first    int64 // of block
	raw      int64 // bytes of all blocks before they were compressed
}

func newSegmentWriter(f *os.File, encoder *zstd.Encoder, log string, shard int32, first int64) *segmentWriter {
	return &segmentWriter{
		f: f, out: bufio.NewWriterSize(f, 256<<10), encoder: encoder,
		index: actorlogv1.ArchiveIndex{Log: log, Shard: shard, First: first, Next: first},
	}
}

func (w *segmentWriter) add(r *eventlog.Record) error {
	if w.block.Len() == 0 {
		w.first = r.Offset
	}
	m := &actorlogv1.ArchivedRecord{Offset: r.Offset, Key: r.Key, Value: r.Bytes()}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, &actorlogv1.Header{Name: h.Key, Value: h.Value})
	}
	n, err := protodelim.MarshalTo(&w.block, m)
	if err != nil {
		return err
	}
	w.raw += int64(n)
	w.index.Records++
	w.index.Next = r.Offset + 1
	if w.block.Len() >= blockBytes {
		return w.flush()
	}
	return nil
}

func (w *segmentWriter) flush() error {
	if w.block.Len() == 0 {
		return nil
	}
	compressed := w.encoder.EncodeAll(w.block.Bytes(), nil)
	w.index.Blocks = append(w.index.Blocks, &actorlogv1.ArchiveBlock{First: w.first, Position: w.position, Bytes: int64(len(compressed))})
	w.position += int64(len(compressed))
	w.block.Reset()
	_, err := w.out.Write(compressed)
	return err
}

// finish writes the index for records below next, and waits for the disk.
func (w *segmentWriter) finish(next int64) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.index.Next = next
	index, err := proto.Marshal(&w.index)
	if err != nil {
		return err
	}
	frame := binary.LittleEndian.AppendUint32(nil, skippable)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(index)+trailerBytes))
	frame = append(frame, index...)
	frame = binary.LittleEndian.AppendUint32(frame, crc32.Checksum(index, castagnoli))
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(index)))
	frame = binary.LittleEndian.AppendUint32(frame, mark)
	if _, err := w.out.Write(frame); err != nil {
		return err
	}
	return errors.Join(w.out.Flush(), w.f.Sync())
}

// segment is one complete file.
type segment struct {
	path  string
	index *actorlogv1.ArchiveIndex
}

// openSegment reads the index of a file.
func openSegment(path string) (*segment, error) {
	damaged := func(err error) (*segment, error) { return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err) }
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tail := make([]byte, trailerBytes)
	if info.Size() < int64(len(tail)) {
		return damaged(errors.New("it has no end"))
	}
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[4:]))
	if binary.LittleEndian.Uint32(tail[8:]) != mark || length > info.Size()-trailerBytes {
		return damaged(errors.New("it has no index at its end"))
	}
	bytes := make([]byte, length)
	if _, err := f.ReadAt(bytes, info.Size()-trailerBytes-length); err != nil {
		return nil, err
	}
	if crc32.Checksum(bytes, castagnoli) != binary.LittleEndian.Uint32(tail) {
		return damaged(errors.New("the checksum of its index differs"))
	}
	s := &segment{path: path, index: new(actorlogv1.ArchiveIndex)}
	if err := proto.Unmarshal(bytes, s.index); err != nil {
		return damaged(err)
	}
	return s, nil
}

// read returns the records of one block.
func (s *segment) read(decoder *zstd.Decoder, block int) ([]eventlog.Record, error) {
	b := s.index.Blocks[block]
	damaged := func(err error) ([]eventlog.Record, error) {
		return nil, fmt.Errorf("%w: %s: the block of offset %d: %w", ErrDamaged, s.path, b.First, err)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || b.Position < 0 || b.Bytes < 0 || b.Position+b.Bytes > info.Size() {
		return damaged(errors.Join(errors.New("it is beyond the end"), err))
	}
	compressed := make([]byte, b.Bytes)
	if _, err := f.ReadAt(compressed, b.Position); err != nil {
		return nil, err
	}
	raw, err := decoder.DecodeAll(compressed, nil)
	if err != nil {
		return damaged(err)
	}
	var records []eventlog.Record
	in := bytes.NewReader(raw)
	options := protodelim.UnmarshalOptions{MaxSize: -1} // the block is in memory already
	for {
		m := new(actorlogv1.ArchivedRecord)
		if err := options.UnmarshalFrom(in, m); errors.Is(err, io.EOF) {
			return records, nil
		} else if err != nil {
			return damaged(err)
		}
		r := eventlog.Record{Partition: s.index.Shard, Offset: m.Offset, Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, eventlog.Header{Key: h.Name, Value: h.Value})
		}
		records = append(records, r)
	}
}
