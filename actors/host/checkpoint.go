package host

import (
	"context"
	"fmt"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var (
	typeSnapshot   = eventlog.Header{Key: schemas.HeaderType, Value: []byte(schemas.TypeSnapshot)}
	typeCheckpoint = eventlog.Header{Key: schemas.HeaderType, Value: []byte(schemas.TypeCheckpoint)}
)

// checkpoint writes a snapshot of every actor that changed since the last one, and the place from
// where recovery starts, as one transaction; then the same to the local store. If nothing but the
// shard's own claims was written since, it still moves the place on: events before it may expire,
// and a place among the expired could not be recovered from. It is called
// from the shard's own goroutine only, as sleep is: neither can overwrite the other's newer
// snapshot in the local store.
func (s *shard) checkpoint(ctx context.Context) error {
	began := time.Now()
	s.cellsMu.Lock()
	s.ackMu.Lock()
	if len(s.dirty) == 0 && s.ackNext == s.marked {
		s.ackMu.Unlock()
		s.cellsMu.Unlock()
		s.checkpointed.Store(began.UnixMilli()) // it is as good as new
		return nil
	}
	// One instant: every outcome below ackNext is in some actor's durable, and every action
	// below Low has its outcome below ackNext.
	mark := &actorlogv1.Checkpoint{
		EventsOffset: s.ackNext, ActionsOffset: s.window.Low(), Epoch: s.epoch,
		Worker: s.w.cfg.ID, CodeVersion: s.w.cfg.Version, TimeUnixMs: began.UnixMilli(),
		Senders: s.window.Senders(), Undelivered: s.outbox.undelivered(s.ackNext), Kinds: s.census.counts(),
		Version: s.w.cfg.VersionNumber, Parked: s.parked.items(), Head: s.ackChain.Head(),
	}
	dirty, bytes := s.dirty, s.bytes
	s.dirty, s.bytes = make(map[schemas.Hash]struct{}), 0
	changed := make([]machine.Actor, 0, len(dirty))
	var asleep []schemas.Hash
	for hash := range dirty {
		if c := s.cells[hash]; c != nil && c.durable.Hash == hash {
			changed = append(changed, c.durable)
		} else {
			asleep = append(asleep, hash)
		}
	}
	s.ackMu.Unlock()
	s.cellsMu.Unlock()

	n, err := s.writeCheckpoint(ctx, mark, changed, asleep)
	if err == nil {
		s.marked = mark.EventsOffset
		s.checkpointed.Store(mark.TimeUnixMs)
	} else {
		err = fmt.Errorf("writing a checkpoint of shard %d: %w", s.partition, err)
		s.ackMu.Lock()
		for hash := range dirty {
			s.dirty[hash] = struct{}{}
		}
		s.bytes += bytes
		s.ackMu.Unlock()
	}
	s.w.cfg.Events.Checkpoint(Checkpoint{Partition: s.partition, Snapshots: n, Duration: time.Since(began), Err: err})
	return err
}

func (s *shard) writeCheckpoint(ctx context.Context, mark *actorlogv1.Checkpoint, changed []machine.Actor, asleep []schemas.Hash) (int, error) {
	// An actor that changed and went to sleep since is in the local store.
	for _, hash := range asleep {
		a, err := s.w.store.load(s.partition, hash)
		if err != nil {
			return 0, err
		}
		changed = append(changed, a)
	}
	records := make([]eventlog.Record, 0, len(changed)+1)
	batch := s.w.store.batch()
	defer batch.Close()
	for i := range changed {
		a := &changed[i]
		record := eventlog.Record{Partition: s.partition, Key: a.Hash[:], Headers: []eventlog.Header{typeSnapshot}}
		if a.Generation == 0 && a.LastAnswered() < mark.ActionsOffset && len(a.Steps) == 0 && !a.Promised() && a.Broken == "" {
			// Never lived, none of its actions will be read again, none is about to create it, and nobody may ask it again what he has
			// asked: a tombstone.
			if err := batch.drop(s.partition, a.Hash); err != nil {
				return 0, err
			}
			records = append(records, record)
			continue
		}
		var err error
		snapshot := a.Snapshot()
		if record.Value, err = schemas.Encode(snapshot); err != nil {
			return 0, err
		}
		if err := eventlog.Seal(ctx, s.w.log, eventlog.Snapshots, &record); err != nil {
			return 0, fmt.Errorf("sealing a snapshot: %w", err)
		}
		if err := batch.put(s.partition, a.Hash, record.Bytes(), indexOf(snapshot)); err != nil {
			return 0, err
		}
		records = append(records, record)
	}
	value, err := schemas.Encode(mark)
	if err != nil {
		return 0, err
	}
	records = append(records, eventlog.Record{
		Partition: s.partition, Key: []byte(schemas.CheckpointKey), Value: value, Headers: []eventlog.Header{typeCheckpoint},
	})
	next, err := s.snapshots.Write(ctx, records)
	if err != nil {
		return 0, err
	}
	if err := batch.setPlace(s.partition, place{checkpoint: mark, snapshotsNext: next}); err != nil {
		return 0, err
	}
	// Never-lived actors with actions that may be read again stay dirty, so that a later
	// checkpoint forgets them.
	s.ackMu.Lock()
	for i := range changed {
		if changed[i].Generation == 0 && changed[i].LastAnswered() >= mark.ActionsOffset {
			s.dirty[changed[i].Hash] = struct{}{}
		}
	}
	s.ackMu.Unlock()
	return len(changed), batch.Commit(noSync)
}
