package kafkalog

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
)

// brokers are those of ACTORLOG_TEST_KAFKA, or an embedded one with files.
func brokers(b *testing.B) string {
	if addr := os.Getenv("ACTORLOG_TEST_KAFKA"); addr != "" {
		return addr
	}
	return startEmbedded(b, b.TempDir()).Addr()
}

// BenchmarkRoundTrip is from Append until the record comes out of a Tail, one after the
// other per caller. Each op is one round trip.
//
//	go test -run - -bench RoundTrip -benchtime 2s ./eventlog/kafkalog
func BenchmarkRoundTrip(b *testing.B) {
	for _, callers := range []int{1, 16, 256, 2048} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			const partitions = 32
			l := open(b, brokers(b), Config{Partitions: partitions})
			waiting := make([]chan struct{}, callers)
			for i := range waiting {
				waiting[i] = make(chan struct{}, 1)
			}
			tail, err := l.Tail(eventlog.Events)
			require.NoError(b, err)
			for p := range int32(partitions) {
				tail.Add(p, 0)
			}
			ctx, cancel := context.WithCancel(context.Background())
			var reading sync.WaitGroup
			reading.Go(func() {
				for {
					records, err := tail.Poll(ctx)
					if err != nil {
						return
					}
					for i := range records {
						k := records[i].Key
						waiting[int(k[0])<<8|int(k[1])] <- struct{}{}
					}
				}
			})
			payload := make([]byte, 300)
			b.ResetTimer()
			b.ReportAllocs()
			var wg sync.WaitGroup
			for c := range callers {
				n := b.N / callers
				if c < b.N%callers {
					n++
				}
				wg.Go(func() {
					key := []byte{byte(c >> 8), byte(c)}
					for range n {
						wg.Add(1)
						l.Append(context.Background(), eventlog.Events, eventlog.Record{Partition: int32(c % partitions), Key: key, Value: payload}, func(_ int64, err error) {
							defer wg.Done()
							if err != nil {
								panic(err)
							}
						})
						<-waiting[c]
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			cancel()
			reading.Wait()
			tail.Close()
		})
	}
}

// BenchmarkConsume is the raw rate at which a Tail reads 300-byte records that are
// there already.
func BenchmarkConsume(b *testing.B) {
	const partitions, perPartition = 4, 100_000
	l := open(b, brokers(b), Config{Partitions: partitions})
	var wg sync.WaitGroup
	payload := make([]byte, 300)
	wg.Add(partitions * perPartition)
	for i := range partitions * perPartition {
		l.Append(context.Background(), eventlog.Events, eventlog.Record{
			Partition: int32(i % partitions), Key: []byte("key"), Value: payload,
			Headers: []eventlog.Header{{Key: "h", Value: []byte("v")}},
		}, func(int64, error) { wg.Done() })
	}
	wg.Wait()
	b.ReportAllocs()
	total := 0
	for b.Loop() {
		tail, err := l.Tail(eventlog.Events)
		require.NoError(b, err)
		for p := range int32(partitions) {
			tail.Add(p, 0)
		}
		for n := 0; n < partitions*perPartition; {
			records, err := tail.Poll(context.Background())
			require.NoError(b, err)
			n += len(records)
		}
		total += partitions * perPartition
		tail.Close()
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkSnapshotWrite is one transaction of ten records.
func BenchmarkSnapshotWrite(b *testing.B) {
	l := open(b, brokers(b), Config{})
	w, err := l.Snapshots(context.Background(), 0)
	require.NoError(b, err)
	defer w.Close()
	var records []eventlog.Record
	for i := range 10 {
		records = append(records, eventlog.Record{Key: []byte{byte(i)}, Value: make([]byte, 300)})
	}
	b.ReportAllocs()
	for b.Loop() {
		_, err := w.Write(context.Background(), records)
		require.NoError(b, err)
	}
}

// BenchmarkScan is what it costs to read 100 records of one partition.
func BenchmarkScan(b *testing.B) {
	l := open(b, brokers(b), Config{})
	var wg sync.WaitGroup
	for range 100 {
		wg.Add(1)
		l.Append(context.Background(), eventlog.Events, eventlog.Record{Value: make([]byte, 300)}, func(int64, error) { wg.Done() })
	}
	wg.Wait()
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, eventlog.Scan(context.Background(), l, eventlog.Events, 0, 0, 100, func(*eventlog.Record) error { return nil }))
	}
}
