package chsink

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/internal/randomlog"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/projection/projector"
)

// BenchmarkProjector compares what a projector carries, from the log in memory to its places in ClickHouse, with a plain insert of the same blocks
// of events, in turns. bench/README.md has the command.
func BenchmarkProjector(b *testing.B) {
	addr := os.Getenv("ACTORLOG_TEST_CLICKHOUSE")
	if addr == "" {
		b.Skip("skipped: set ACTORLOG_TEST_CLICKHOUSE to host:port of the native protocol of a ClickHouse to run it")
	}
	const shards, records = 8, 300_000
	cluster := memlog.NewCluster(shards)
	w := randomlog.New(1, shards, func(p int32, r eventlog.Record) int64 { return cluster.Inject(eventlog.Events, p, r) })
	w.Write(records)
	log := cluster.Client()
	defer log.Close()
	db, err := Open(Config{Addr: addr, Database: fmt.Sprintf("bench_%d", time.Now().UnixNano())})
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Prepare(b.Context()))

	kept := new(keeping)
	carry(b, db, log, shards, func(s projection.Sink) projection.Sink { kept.Sink = s; return kept })
	var whole, plain time.Duration
	var events int64
	for b.Loop() {
		whole += carry(b, db, log, shards, func(s projection.Sink) projection.Sink { return s })
		build, err := db.Rebuild(b.Context())
		require.NoError(b, err)
		began := time.Now()
		for _, c := range kept.blocks {
			require.NoError(b, db.do(b.Context(), ch.Query{
				Body: db.fill("INSERT INTO {db}.events_{build} ", build) + c.input.Columns() + " VALUES", Input: c.input,
			}))
		}
		plain += time.Since(began)
		events += int64(w.Counted)
	}
	b.ReportMetric(float64(events)/whole.Seconds(), "events/s")
	b.ReportMetric(float64(events)/plain.Seconds(), "plain-events/s")
	b.ReportMetric(plain.Seconds()/whole.Seconds(), "ratio")
	require.NoError(b, db.do(b.Context(), ch.Query{Body: db.fill("DROP DATABASE {db} SYNC", 0)}))
}

// keeping keeps the blocks of events that it passes on.
type keeping struct {
	projection.Sink
	blocks []*eventColumns
}

func (k *keeping) Write(ctx context.Context, b *projection.Batch) error {
	c := newEventColumns()
	for i := range b.Events {
		c.append(&b.Events[i])
	}
	k.blocks = append(k.blocks, c)
	return k.Sink.Write(ctx, b)
}

// carry fills a build anew, and returns how long it took.
func carry(b *testing.B, db *DB, log eventlog.Log, shards int, wrap func(projection.Sink) projection.Sink) time.Duration {
	b.Helper()
	build, err := db.Rebuild(b.Context())
	require.NoError(b, err)
	sink, err := db.Sink(b.Context(), build, log.Identity())
	require.NoError(b, err)
	p := projector.New(log, wrap(sink), projector.Config{MaxDelay: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- p.Run(ctx) }() // ends with cancel
	for left := int64(1); left > 0; time.Sleep(time.Millisecond) {
		lag := p.Lag()
		left = int64(shards - len(lag))
		for _, l := range lag {
			left += l.Records()
		}
	}
	took := time.Since(began)
	cancel()
	require.NoError(b, <-done)
	return took
}
