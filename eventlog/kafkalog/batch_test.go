package kafkalog

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/actorlog/actorlog/eventlog"
)

// batch encodes a record batch, with keys as the records' keys; nil makes a hole at
// its end.
func batch(base int64, attrs, epoch int16, producer int64, keys ...[]byte) []byte {
	var records []byte
	n := 0
	for i, key := range keys {
		if key == nil {
			continue
		}
		r := kmsg.Record{OffsetDelta: int32(i), Key: key, Value: []byte("v"), Headers: []kmsg.Header{{Key: "h", Value: key}}}
		body := r.AppendTo(nil)[1:] // without the length, which is 0
		records = append(binary.AppendVarint(records, int64(len(body))), body...)
		n++
	}
	b := kmsg.RecordBatch{
		FirstOffset: base, Length: int32(49 + len(records)), Magic: 2, Attributes: attrs,
		LastOffsetDelta: int32(len(keys) - 1), ProducerID: producer, ProducerEpoch: epoch,
		NumRecords: int32(n), Records: records,
	}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], castagnoli))
	return out
}

// testClient is a client of a broker that is not there.
func testClient(t testing.TB) *kgo.Client {
	t.Helper()
	cfg := Config{Brokers: []string{"127.0.0.1:1"}}
	cfg.setDefaults()
	cl, err := kgo.NewClient(cfg.clientOptions()...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func testDecoder(t testing.TB, topic eventlog.Topic) *decoder {
	t.Helper()
	return newDecoder(topic, inflater(testClient(t)))
}

func key(s string) []byte { return []byte(s) }

// marker is a control batch.
func marker(base, producer int64, epoch int16, commit bool) []byte {
	kind := byte(0)
	if commit {
		kind = 1
	}
	return batch(base, attrTransactional|attrControl, epoch, producer, []byte{0, 0, 0, kind})
}

func fetched(abortedFrom []int64, producer int64, batches ...[]byte) *kmsg.FetchResponseTopicPartition {
	fp := &kmsg.FetchResponseTopicPartition{Partition: 7}
	for _, b := range batches {
		fp.RecordBatches = append(fp.RecordBatches, b...)
	}
	for _, from := range abortedFrom {
		fp.AbortedTransactions = append(fp.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: producer, FirstOffset: from})
	}
	return fp
}

// read lists what is decoded: the keys, and "-" for marks.
func read(t *testing.T, topic eventlog.Topic, fp *kmsg.FetchResponseTopicPartition, from int64) (keys []string, at []int64, next int64) {
	t.Helper()
	records, next, err := testDecoder(t, topic).decode(nil, fp, from)
	require.NoError(t, err)
	for _, r := range records {
		require.EqualValues(t, 7, r.Partition)
		if r.Mark {
			keys = append(keys, "-")
		} else {
			keys = append(keys, string(r.Key))
			require.Equal(t, "v", string(r.Value))
			require.Equal(t, string(r.Key), string(r.Header("h")))
		}
		at = append(at, r.Offset)
	}
	return keys, at, next
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const tx = attrTransactional

	t.Run("RecordsFromTheOffset", func(t *testing.T) {
		t.Parallel()
		fp := fetched(nil, 0, batch(10, 0, -1, -1, key("a"), key("b")), batch(12, 0, -1, -1, key("c")))
		keys, at, next := read(t, eventlog.Events, fp, 11)
		require.Equal(t, []string{"b", "c"}, keys)
		require.Equal(t, []int64{11, 12}, at)
		require.EqualValues(t, 13, next)
	})

	t.Run("MarksForWhatIsNotThere", func(t *testing.T) {
		t.Parallel()
		fp := fetched([]int64{3}, 1,
			batch(0, tx, 0, 1, key("a"), key("b")), marker(2, 1, 0, true),
			batch(3, tx, 0, 1, key("aborted")), marker(4, 1, 0, false),
			batch(5, tx, 0, 1, key("c"), nil, nil), // compacted
			marker(8, 1, 0, true))
		keys, at, next := read(t, eventlog.Snapshots, fp, 0)
		require.Equal(t, []string{"a", "b", "-", "-", "-", "c", "-", "-"}, keys)
		require.Equal(t, []int64{0, 1, 2, 3, 4, 5, 7, 8}, at)
		require.EqualValues(t, 9, next)
	})

	t.Run("OtherProducersAreNotAborted", func(t *testing.T) {
		t.Parallel()
		fp := fetched([]int64{0}, 1,
			batch(0, tx, 0, 1, key("aborted")), batch(1, tx, 0, 2, key("a")), batch(2, tx, 0, 1, key("aborted")),
			marker(3, 2, 0, true), marker(4, 1, 0, false), batch(5, tx, 0, 1, key("b")), marker(6, 1, 0, true))
		keys, _, _ := read(t, eventlog.Snapshots, fp, 0)
		require.Equal(t, []string{"-", "a", "-", "-", "-", "b", "-"}, keys)
	})

	t.Run("AbortedWithoutAMarkerEndsWithTheEpoch", func(t *testing.T) {
		t.Parallel()
		// As the embedded broker leaves it after a kill -9.
		fp := fetched([]int64{0}, 1,
			batch(0, tx, 4, 1, key("aborted")), batch(1, tx, 4, 1, key("aborted")),
			batch(2, tx, 6, 1, key("a")), marker(3, 1, 6, true))
		keys, _, _ := read(t, eventlog.Snapshots, fp, 0)
		require.Equal(t, []string{"-", "-", "a", "-"}, keys)
		keys, _, _ = read(t, eventlog.Snapshots, fp, 1) // fetched from the middle of it
		require.Equal(t, []string{"-", "a", "-"}, keys)
	})

	t.Run("BatchThatIsCutOffIsLeftForTheNextFetch", func(t *testing.T) {
		t.Parallel()
		whole := fetched(nil, 0, batch(0, 0, -1, -1, key("a")), batch(1, 0, -1, -1, key("b")))
		for cut := range len(whole.RecordBatches) / 2 {
			fp := fetched(nil, 0, whole.RecordBatches[:len(whole.RecordBatches)-1-cut])
			keys, _, next := read(t, eventlog.Events, fp, 0)
			require.Equal(t, []string{"a"}, keys)
			require.EqualValues(t, 1, next)
		}
	})

	t.Run("ErrCorrupt", func(t *testing.T) {
		t.Parallel()
		good := batch(0, 0, -1, -1, key("a"))
		for i := 21; i < len(good); i++ {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1
			_, next, err := testDecoder(t, eventlog.Events).decode(nil, fetched(nil, 0, bad), 0)
			require.ErrorContains(t, err, "corrupt")
			require.Zero(t, next)
		}
	})
}

// compressed is a batch whose n zeros are compressed: it does not even have to hold a record.
func compressed(t *testing.T, codec kgo.CompressionCodec, n int) []byte {
	t.Helper()
	c, err := kgo.DefaultCompressor(codec)
	require.NoError(t, err)
	records, used := c.Compress(new(bytes.Buffer), make([]byte, n))
	require.NotEqual(t, kgo.CodecNone, used)
	b := kmsg.RecordBatch{Length: int32(49 + len(records)), Magic: 2, Attributes: int16(used), NumRecords: 1, Records: records}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], castagnoli))
	return out
}

// What a foreign writer compresses grows to a bound, whatever it is compressed with.
func TestDecodeBombs(t *testing.T) {
	t.Parallel()
	for name, codec := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bomb := compressed(t, codec, maxInflated+1)
			require.Less(t, len(bomb), 4<<20)
			_, next, err := testDecoder(t, eventlog.Events).decode(nil, fetched(nil, 0, bomb), 0)
			require.ErrorIs(t, err, kgo.ErrMaxDecompress)
			require.Zero(t, next)
		})
	}
	t.Run("ManySmallOnes", func(t *testing.T) {
		t.Parallel()
		// 40 MiB each, valid, so that the second one is the last of this response.
		value := make([]byte, 40<<20)
		r := kmsg.Record{Value: value}
		body := r.AppendTo(nil)[1:]
		c, err := kgo.DefaultCompressor(kgo.ZstdCompression())
		require.NoError(t, err)
		records, used := c.Compress(new(bytes.Buffer), append(binary.AppendVarint(nil, int64(len(body))), body...))
		var in [][]byte
		for base := range int64(4) {
			b := kmsg.RecordBatch{FirstOffset: base, Length: int32(49 + len(records)), Magic: 2, Attributes: int16(used), NumRecords: 1, Records: records}
			out := b.AppendTo(nil)
			binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], castagnoli))
			in = append(in, out)
		}
		d := testDecoder(t, eventlog.Events)
		got, next, err := d.decode(nil, fetched(nil, 0, in...), 0)
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.EqualValues(t, 2, next)
		// The next response goes on.
		d.inflated = 0
		got, next, err = d.decode(nil, fetched(nil, 0, in...), next)
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.EqualValues(t, 4, next)
	})
	t.Run("HeadersWithoutEnd", func(t *testing.T) {
		t.Parallel()
		r := kmsg.Record{Key: []byte("a")}
		for range 10_000 {
			r.Headers = append(r.Headers, kmsg.Header{Key: "h"})
		}
		body := r.AppendTo(nil)[1:]
		records := append(binary.AppendVarint(nil, int64(len(body))), body...)
		b := kmsg.RecordBatch{Length: int32(49 + len(records)), Magic: 2, NumRecords: 1, Records: records}
		out := b.AppendTo(nil)
		binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], castagnoli))
		got, _, err := testDecoder(t, eventlog.Events).decode(nil, fetched(nil, 0, out), 0)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Len(t, got[0].Headers, maxHeaders)
	})
	t.Run("RecordsThatAreNotThere", func(t *testing.T) {
		t.Parallel()
		b := kmsg.RecordBatch{Length: 49 + 700, Magic: 2, NumRecords: 1 << 30, Records: make([]byte, 700)}
		require.LessOrEqual(t, count(b.AppendTo(nil)), 110)
	})
}

// No bytes make the decoder panic or read for ever.
func FuzzDecode(f *testing.F) {
	f.Add(batch(0, 0, -1, -1, key("a"), key("b")), true)
	f.Add(append(batch(0, attrTransactional, 1, 1, key("a")), marker(1, 1, 1, false)...), false)
	inflate := inflater(testClient(f))
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign && len(b) >= batchHeader { // past the checksum
			length := min(len(b), max(batchHeader, 12+int(int32(binary.BigEndian.Uint32(b[8:])))))
			binary.BigEndian.PutUint32(b[8:], uint32(length-12))
			binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:length], castagnoli))
		}
		fp := fetched([]int64{0}, 1, b)
		count(fp.RecordBatches)
		_, _, _ = newDecoder(eventlog.Snapshots, inflate).decode(nil, fp, 0)
	})
}
