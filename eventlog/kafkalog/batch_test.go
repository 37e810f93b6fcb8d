package kafkalog

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
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
	records, next, err := newDecoder(topic).decode(nil, fp, from)
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
			_, next, err := newDecoder(eventlog.Events).decode(nil, fetched(nil, 0, bad), 0)
			require.ErrorContains(t, err, "corrupt")
			require.Zero(t, next)
		}
	})
}

// No bytes make the decoder panic or read for ever.
func FuzzDecode(f *testing.F) {
	f.Add(batch(0, 0, -1, -1, key("a"), key("b")), true)
	f.Add(append(batch(0, attrTransactional, 1, 1, key("a")), marker(1, 1, 1, false)...), false)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign && len(b) >= batchHeader { // past the checksum
			length := min(len(b), max(batchHeader, 12+int(int32(binary.BigEndian.Uint32(b[8:])))))
			binary.BigEndian.PutUint32(b[8:], uint32(length-12))
			binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:length], castagnoli))
		}
		fp := fetched([]int64{0}, 1, b)
		count(fp.RecordBatches)
		_, _, _ = newDecoder(eventlog.Snapshots).decode(nil, fp, 0)
	})
}
