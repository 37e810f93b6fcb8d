package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/internal/randomlog"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/projection/chsink"
	"github.com/actorlog/actorlog/projection/projector"
)

// projectionShards is the shards of the log that is projected.
const projectionShards = 8

// projection measures what a projector carries, from the log in memory to its places in ClickHouse, and a plain insert by ch-go of the same rows of events,
// in the same batches. They take turns; the median of their rounds counts.
func (b *bench) projection(ctx context.Context) (err error) {
	if !b.wants("projection") {
		return nil
	}
	if b.clickhouse == "" {
		b.report.note("projection: not measured, for -clickhouse is not given")
		return nil
	}
	cluster := memlog.NewCluster(projectionShards)
	w := randomlog.New(1, projectionShards, func(shard int32, r eventlog.Record) int64 { return cluster.Inject(eventlog.Events, shard, r) })
	w.Lasting = true // an erasure has ClickHouse write its parts anew: it takes as long as it takes
	w.Write(b.projected)
	log := cluster.Client()
	defer log.Close()
	db, err := chsink.Open(chsink.Config{Addr: b.clickhouse, Database: fmt.Sprintf("bench_%d", time.Now().UnixNano())})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Prepare(ctx); err != nil {
		return err
	}
	defer func() { err = firstOf(err, db.DropDatabase(context.WithoutCancel(ctx))) }()

	b.report.progress("projection: %d events by a projector, and by plain inserts, %d rounds", w.Counted, b.rounds)
	// The first time is not counted: it warms up, and keeps the batches.
	var kept keeping
	if _, _, err := carry(ctx, db, log, func(s *chsink.Sink) projection.Sink { kept.Sink = s; return &kept }); err != nil {
		return err
	}
	var whole, plain, cpu, plainCPU []time.Duration
	for range b.rounds {
		took, used, err := carry(ctx, db, log, func(s *chsink.Sink) projection.Sink { return s })
		if err != nil {
			return err
		}
		whole, cpu = append(whole, took), append(cpu, used)
		if took, used, err = insert(ctx, db, kept.batches); err != nil {
			return err
		}
		plain, plainCPU = append(plain, took), append(plainCPU, used)
	}
	for _, way := range []struct {
		name      string
		took, cpu []time.Duration
	}{{"plain-insert", plain, plainCPU}, {"projector", whole, cpu}} {
		slices.Sort(way.took)
		slices.Sort(way.cpu)
		b.report.add(result{
			Name: way.name, Events: &w.Counted, EventsPerS: round(float64(w.Counted) / way.took[len(way.took)/2].Seconds()),
			CPUus: round(float64(way.cpu[len(way.cpu)/2].Nanoseconds()) / 1000 / float64(w.Counted)),
		})
	}
	return nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// keeping keeps the events of the batches that it passes on.
type keeping struct {
	projection.Sink
	batches [][]projection.Event
}

// Write implements projection.Sink.
func (k *keeping) Write(ctx context.Context, b *projection.Batch) error {
	if len(b.Events) > 0 {
		k.batches = append(k.batches, slices.Clone(b.Events))
	}
	return k.Sink.Write(ctx, b)
}

// build adds one, for a log.
func build(ctx context.Context, db *chsink.DB, log string) (uint32, *chsink.Sink, error) {
	number, err := db.Rebuild(ctx)
	if err != nil {
		return 0, nil, err
	}
	sink, err := db.Sink(ctx, number, log)
	return number, sink, err
}

// carry fills a build anew, and returns how long that took, and how much time of processors in this process.
func carry(ctx context.Context, db *chsink.DB, log eventlog.Log, wrap func(*chsink.Sink) projection.Sink) (took, cpu time.Duration, err error) {
	number, sink, err := build(ctx, db, log.Identity())
	if err != nil {
		return 0, 0, err
	}
	p := projector.New(log, wrap(sink), projector.Config{MaxDelay: 50 * time.Millisecond})
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	began, used := time.Now(), processorTime()
	go func() { done <- p.Run(running) }() // ends with cancel
	for left := int64(1); left > 0; {
		select {
		case err := <-done:
			return 0, 0, firstOf(err, ctx.Err())
		case <-time.After(time.Millisecond):
		}
		lag := p.Lag()
		left = int64(projectionShards - len(lag))
		for _, l := range lag {
			left += l.Records()
		}
	}
	took, cpu = time.Since(began), processorTime()-used
	cancel()
	return took, cpu, firstOf(<-done, db.Drop(ctx, number))
}

// insert inserts events into a build, and nothing else.
func insert(ctx context.Context, db *chsink.DB, batches [][]projection.Event) (took, cpu time.Duration, err error) {
	number, sink, err := build(ctx, db, "plain")
	if err != nil {
		return 0, 0, err
	}
	for _, events := range batches {
		into := sink.Prepared(events)
		began, used := time.Now(), processorTime()
		if err := into(ctx); err != nil {
			return 0, 0, err
		}
		took, cpu = took+time.Since(began), cpu+processorTime()-used
	}
	return took, cpu, db.Drop(ctx, number)
}
