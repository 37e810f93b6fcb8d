package kafkalog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sort"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/actorlog/actorlog/eventlog"
)

// The layout of a record batch (message format v2), which starts with
//
//	 0 base offset      int64
//	 8 batch length     int32, from here on
//	12 leader epoch     int32
//	16 magic            int8, 2
//	17 crc              uint32, Castagnoli, of all that follows
//	21 attributes       int16: 0-2 compression, 4 transactional, 5 control
//	23 last offset delta int32
//	27 timestamps       2 * int64
//	43 producer id      int64
//	51 producer epoch   int16
//	53 base sequence    int32
//	57 records          int32
//	61 the records, perhaps compressed
const (
	batchHeader       = 61
	attrCompression   = 0x07
	attrTransactional = 0x10
	attrControl       = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Bounds of what foreign writers can make of few bytes. Nobody here writes a batch that is larger before it is compressed (see
// Config.MaxRecordBytes), nor more than a handful of headers.
const (
	maxInflated = 64 << 20
	maxHeaders  = 256
)

// decoder turns fetched partitions into records. It is ours rather than kgo's because
// it decodes straight into the port's records: one slice for all records of a
// response, no object for each.
type decoder struct {
	marks bool // of Snapshots: leave out what was aborted, and mark what is not there
	names map[string]string
	// inflate is the client's, which is bounded by maxInflated.
	inflate kgo.Decompressor
	// inflated is how many bytes the batches of one response have become so far.
	inflated int
}

func newDecoder(t eventlog.Topic, inflate kgo.Decompressor) *decoder {
	return &decoder{marks: t == eventlog.Snapshots, names: make(map[string]string), inflate: inflate}
}

// inflater is the decompressor of a client that was made with kgo.MaxDecompressBatchBytes: one made by itself has no bound.
func inflater(cl *kgo.Client) kgo.Decompressor {
	return cl.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
}

// count is how many records the batches claim to hold, to size a slice by.
func count(batches []byte) int {
	n := 0
	for len(batches) >= batchHeader {
		length := 12 + int(int32(binary.BigEndian.Uint32(batches[8:])))
		claimed := int(int32(binary.BigEndian.Uint32(batches[57:])))
		if length < batchHeader || length > len(batches) {
			break
		}
		// A record has at least seven bytes. Compressed it may have less, and more is grown for.
		n += max(0, min(claimed, length/7))
		batches = batches[length:]
	}
	return n
}

// decode appends to out the records of a fetched partition at or after offset, and
// returns the offset to go on from. With an error, what precedes it is valid.
func (d *decoder) decode(out []eventlog.Record, fp *kmsg.FetchResponseTopicPartition, offset int64) ([]eventlog.Record, int64, error) {
	aborted := newAborted(d.marks, fp)
	in := fp.RecordBatches
	for len(in) >= batchHeader {
		base := int64(binary.BigEndian.Uint64(in))
		length := 12 + int(int32(binary.BigEndian.Uint32(in[8:])))
		if magic := in[16]; magic != 2 {
			return out, offset, fmt.Errorf("batch at offset %d has the message format %d: only 2 is understood", base, magic)
		}
		if length < batchHeader {
			return out, offset, fmt.Errorf("batch at offset %d is corrupt: length %d", base, length)
		}
		if length > len(in) {
			break // cut off by the broker: the next fetch brings it
		}
		batch := in[:length]
		in = in[length:]
		if sum := crc32.Checksum(batch[21:], castagnoli); sum != binary.BigEndian.Uint32(batch[17:]) {
			return out, offset, fmt.Errorf("batch at offset %d is corrupt: checksum", base)
		}
		attrs := binary.BigEndian.Uint16(batch[21:])
		last := base + int64(int32(binary.BigEndian.Uint32(batch[23:])))
		producer := int64(binary.BigEndian.Uint64(batch[43:]))
		epoch := int16(binary.BigEndian.Uint16(batch[51:]))
		if last < offset {
			continue
		}
		switch {
		case attrs&attrControl != 0:
			aborted.marker(producer, batch[batchHeader:])
		case attrs&attrTransactional != 0 && aborted.has(producer, epoch, last):
			// Never happened.
		default:
			records := batch[batchHeader:]
			if codec := attrs & attrCompression; codec != 0 {
				if d.inflated >= maxInflated {
					return out, offset, nil // as if it had been cut off
				}
				var err error
				if records, err = d.inflate.Decompress(records, kgo.CompressionCodecType(codec)); err != nil {
					return out, offset, fmt.Errorf("decompressing the batch at offset %d: %w", base, err)
				}
				d.inflated += len(records)
			}
			before := len(out)
			var err error
			n := int(int32(binary.BigEndian.Uint32(batch[57:])))
			if out, err = d.records(out, fp.Partition, base, offset, n, records); err != nil {
				return out[:before], offset, fmt.Errorf("batch at offset %d is corrupt: %w", base, err)
			}
		}
		// Control records, aborted records and what compaction removed are not
		// there, but a reader that waits for the offset before the end must learn that
		// it got there. (The embedded broker aborts without a control record when it
		// was killed, so that is not enough.)
		if d.marks && (len(out) == 0 || out[len(out)-1].Partition != fp.Partition || out[len(out)-1].Offset != last) {
			out = append(out, eventlog.Record{Partition: fp.Partition, Offset: last, Mark: true})
		}
		offset = last + 1
	}
	return out, offset, nil
}

func (d *decoder) records(out []eventlog.Record, partition int32, base, from int64, n int, in []byte) ([]eventlog.Record, error) {
	var slab []eventlog.Header // for all records of the batch
	for range n {
		r := cutter{in: in}
		body := r.bytes(r.varint())
		in = r.in
		b := cutter{in: body, bad: r.bad}
		b.bytes(1) // attributes, unused
		b.varint() // timestamp delta
		delta := b.varint()
		key := b.bytes(b.varint())
		value := b.bytes(b.varint())
		headers := b.varint()
		if b.bad || headers < 0 || headers > len(b.in) {
			return out, fmt.Errorf("record %d of %d", len(out), n)
		}
		record := eventlog.Record{Partition: partition, Offset: base + int64(delta), Key: key, Value: value}
		if headers > 0 {
			kept := min(headers, maxHeaders)
			if cap(slab)-len(slab) < kept {
				slab = make([]eventlog.Header, 0, max(kept, min(64, n*kept)))
			}
			first := len(slab)
			for range headers {
				name, value := b.bytes(b.varint()), b.bytes(b.varint())
				if b.bad {
					break
				}
				if len(slab)-first < kept {
					slab = append(slab, eventlog.Header{Key: d.name(name), Value: value})
				}
			}
			record.Headers = slab[first:len(slab):len(slab)]
			if b.bad {
				return out, fmt.Errorf("headers of record %d of %d", len(out), n)
			}
		}
		if record.Offset >= from {
			out = append(out, record)
		}
	}
	return out, nil
}

// name spares a string per header: there are few different ones.
func (d *decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok { // no allocation
		return s
	}
	s := string(b)
	if len(d.names) < 64 {
		d.names[s] = s
	}
	return s
}

// cutter reads the parts of a record; after the first that is not there it is bad and
// returns zeros.
type cutter struct {
	in  []byte
	bad bool
}

func (r *cutter) varint() int {
	v, n := binary.Varint(r.in)
	if n <= 0 {
		r.bad = true
		r.in = nil
		return 0
	}
	r.in = r.in[n:]
	return int(v)
}

// bytes returns the next n bytes; nil when n is negative, which stands for null.
func (r *cutter) bytes(n int) []byte {
	switch {
	case n < 0:
		return nil
	case n > len(r.in):
		r.bad = true
		r.in = nil
		return nil
	}
	b := r.in[:n:n]
	r.in = r.in[n:]
	return b
}

// aborted knows which transactions within a fetch were aborted: the broker lists them
// by producer and first offset, and the abort marker in the data ends each.
//
// A transaction has one epoch of its producer. The embedded broker, when it was killed,
// aborts without a marker: there the next epoch ends it. Without that rule all that the
// producer commits later in the same fetch would be taken for aborted.
type aborted struct {
	left   []kmsg.FetchResponseTopicPartitionAbortedTransaction // by first offset
	active map[int64]int16                                      // producer to epoch
}

const unknownEpoch = -1 // of a transaction that began before the fetch

func newAborted(enabled bool, fp *kmsg.FetchResponseTopicPartition) *aborted {
	if !enabled || len(fp.AbortedTransactions) == 0 {
		return nil
	}
	a := &aborted{left: fp.AbortedTransactions, active: make(map[int64]int16)}
	sort.Slice(a.left, func(i, j int) bool { return a.left[i].FirstOffset < a.left[j].FirstOffset })
	return a
}

// has reports whether the producer's batch that ends at last belongs to an aborted
// transaction.
func (a *aborted) has(producer int64, epoch int16, last int64) bool {
	if a == nil {
		return false
	}
	for len(a.left) > 0 && a.left[0].FirstOffset <= last {
		a.active[a.left[0].ProducerID] = unknownEpoch
		a.left = a.left[1:]
	}
	switch of, ok := a.active[producer]; {
	case !ok:
		return false
	case of == unknownEpoch:
		a.active[producer] = epoch
		return true
	case of != epoch:
		delete(a.active, producer)
		return false
	default:
		return true
	}
}

// marker takes note of a control batch, whose one record has the key {version int16,
// type int16}; type 0 is an abort.
func (a *aborted) marker(producer int64, records []byte) {
	if a == nil {
		return
	}
	r := cutter{in: records}
	b := cutter{in: r.bytes(r.varint())}
	b.bytes(1)
	b.varint()
	b.varint()
	key := b.bytes(b.varint())
	if len(key) >= 4 && key[2] == 0 && key[3] == 0 {
		delete(a.active, producer)
	}
}
