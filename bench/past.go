package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// past measures what commands that look at history wait for, in one shard of a history with a checkpoint at its end: beside the mere reading of the same records.
func (b *bench) past(ctx context.Context) error {
	if !b.wants("past") {
		return nil
	}
	n := b.histories[len(b.histories)-1]
	b.report.progress("past: writing a history of %d events", n)
	log, err := b.logTo(ctx, "past")
	if err != nil {
		return err
	}
	defer log.Close()
	h, err := writeHistory(ctx, log, n)
	if err != nil {
		return err
	}
	p, hash := keys[0].shard, keys[0].hash
	if err := h.checkpoint(ctx, p); err != nil {
		return err
	}
	r, end := replay.NewReader(log, replay.Options{}), h.ends[p]
	read := func(from, to int64) func(context.Context) error {
		return func(ctx context.Context) error {
			return eventlog.Scan(ctx, log, eventlog.Events, p, from, to, func(*eventlog.Record) error { return nil })
		}
	}
	at := func(offset int64) func(context.Context) error {
		return func(ctx context.Context) error {
			a, err := r.At(ctx, hash, offset)
			if err == nil && !a.Alive {
				err = errors.New("the actor is not there")
			}
			return err
		}
	}
	ways := []struct {
		name string
		// records that the way is about: those that a mere read would go through.
		records int64
		do      func(context.Context) error
	}{
		{"past-read", end, read(0, end)},
		{"past-fold", end, func(ctx context.Context) error {
			for _, err := range r.FoldShard(ctx, p, 0, nil) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"past-head", end, at(end)},
		{"past-read-half", end / 2, read(0, end/2)},
		{"past-middle", end / 2, at(end/2 - 1)},
		{"past-chain", end, func(ctx context.Context) error { return chain(ctx, r, hash, 1<<30) }},
		{"past-newest", end, func(ctx context.Context) error { return chain(ctx, r, hash, 50) }},
	}
	b.report.progress("past: %d events of one shard, %d rounds", end, b.rounds)
	took := make([][]time.Duration, len(ways))
	for range b.rounds {
		for i, way := range ways {
			runtime.GC()
			began := time.Now()
			if err := way.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	for i, way := range ways {
		slices.Sort(took[i])
		median, records := took[i][b.rounds/2], int(way.records)
		b.report.add(result{Name: way.name, Events: &records, P50us: round(float64(median) / 1e3), EventsPerS: round(float64(records) / median.Seconds())})
	}
	return nil
}

// chain walks back through an actor's events.
func chain(ctx context.Context, r *replay.Reader, hash schemas.Hash, most int) error {
	for _, err := range r.Back(ctx, hash, 0) {
		if most--; err != nil || most == 0 {
			return err
		}
	}
	return nil
}

// checkpoint writes that of a shard, as its owner would have.
func (h *history) checkpoint(ctx context.Context, p int32) error {
	w, err := h.log.Snapshots(ctx, p)
	if err != nil {
		return err
	}
	defer w.Close()
	var records []eventlog.Record
	add := func(key []byte, t schemas.Type, value []byte, err error) error {
		records = append(records, eventlog.Record{
			Partition: p, Key: key, Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(t)}},
		})
		return err
	}
	for i := range h.actors {
		if keys[i].shard == p {
			value, err := schemas.Encode(h.actors[i].Snapshot())
			if err := add(keys[i].hash[:], schemas.TypeSnapshot, value, err); err != nil {
				return err
			}
		}
	}
	value, err := schemas.Encode(&actorlogv1.Checkpoint{EventsOffset: h.ends[p]})
	if err := add([]byte(schemas.CheckpointKey), schemas.TypeCheckpoint, value, err); err != nil {
		return err
	}
	_, err = w.Write(ctx, records)
	return err
}
