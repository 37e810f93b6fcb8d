package host

import (
	"context"
	"fmt"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// recover brings the shard up to its claim: local store, then snapshots that the store has not
// seen, then events since the latest checkpoint. Without a local store it is the same,
// from the beginning of snapshots.
func (s *shard) recover(ctx context.Context, opened *ShardOpened) error {
	mark, unreadable, err := s.recoverSnapshots(ctx, opened)
	if err != nil {
		return err
	}
	start, _, err := s.w.log.Bounds(ctx, eventlog.Events, s.partition)
	if err != nil {
		return err
	}
	if len(unreadable) > 0 {
		if err := s.rebuild(ctx, start, mark, unreadable); err != nil {
			return err
		}
	}
	from, fence := start, machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	s.marked = -1
	if mark != nil {
		s.marked = mark.EventsOffset
		from, fence = mark.EventsOffset, machine.NewFence(mark.Epoch, mark.Version, mark.EventsOffset-1)
	}
	s.census = newCensus(mark.GetKinds())
	for _, item := range mark.GetParked() {
		s.parked[item.Ref] = item
	}
	if from < start {
		return fmt.Errorf("events from %d on are needed, but only those from %d on are kept: the retention of %s is shorter than the time since the last checkpoint", from, start, eventlog.Events)
	}
	err = s.fold(ctx, from, s.epoch, &fence, func(schemas.Hash) bool { return true }, &opened.Events, func(offset int64, o *actorlogv1.Outcome) {
		// Also what a snapshot has already: an actor that went to sleep is further in the store than the checkpoint.
		s.census.take(o)
		s.park(offset, o)
		if len(o.Sends) > 0 {
			s.outbox.hold(offset, o)
		}
	})
	if err != nil {
		return err
	}
	if fence.Version() > s.w.cfg.VersionNumber {
		return olderError(fence.Version(), s.w.cfg.VersionNumber)
	}
	if err := s.census.check(s.w.registry); err != nil {
		return err
	}
	if err := s.recoverUndelivered(ctx, mark); err != nil {
		return err
	}

	actionsStart, actionsEnd, err := s.w.log.Bounds(ctx, eventlog.Actions, s.partition)
	if err != nil {
		return err
	}
	s.nextRead, s.again = max(mark.GetActionsOffset(), actionsStart), actionsEnd
	s.window = machine.NewWindow(s.nextRead, mark.GetSenders())
	return s.recoverAgenda()
}

// recoverAgenda takes in the agendas of all actors, those of the ones that sleep from the store's index.
func (s *shard) recoverAgenda() error {
	var waiting []machine.Actor
	take := func(a *machine.Actor) {
		s.agenda.add(a)
		if len(a.Queue) > 0 {
			waiting = append(waiting, *a)
		}
	}
	err := s.w.store.index(s.partition, func(a *machine.Actor) {
		if s.cells[a.Hash] == nil {
			take(a)
		}
	})
	if err != nil {
		return err
	}
	for hash, c := range s.cells {
		c.durable = c.head
		s.dirty[hash] = struct{}{}
		take(&c.head)
	}
	for i := range waiting {
		a := &waiting[i]
		if def := s.w.registry.Kind(a.Kind); def == nil || def.Loop() == nil {
			continue
		}
		// Messages wait for a loop that ended with the last owner.
		if err := s.wake(a); err != nil {
			return err
		}
	}
	return nil
}

// recoverUndelivered reads the outcomes before the checkpoint that sent what may not have been delivered.
func (s *shard) recoverUndelivered(ctx context.Context, mark *actorlogv1.Checkpoint) error {
	for _, offset := range mark.GetUndelivered() {
		err := eventlog.Scan(ctx, s.w.log, eventlog.Events, s.partition, offset, offset+1, func(r *eventlog.Record) error {
			o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
			if err == nil {
				s.outbox.hold(offset, o)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("reading the messages that the outcome at %d of events sent: %w", offset, err)
		}
	}
	return nil
}

// olderError says that the shard has been moved to a newer version.
func olderError(inForce, own uint64) error {
	return fmt.Errorf("%w: it was claimed by version %d, and this worker is version %d: start it with code that is as new, and --worker-version", errOlder, inForce, own)
}

// inForce is the latest claim, or renewed claim, that is in force now, nil if there is none: read back from the end, as far as there is one for certain.
func (s *shard) inForce(ctx context.Context) (latest *actorlogv1.Claim, err error) {
	start, end, err := s.w.log.Bounds(ctx, eventlog.Events, s.partition)
	if err != nil {
		return nil, err
	}
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	for back := int64(machine.RenewEvery); ; back *= 8 {
		from := max(start, end-back)
		err := eventlog.Scan(ctx, s.w.log, eventlog.Events, s.partition, from, end, func(r *eventlog.Record) error {
			if t := schemas.Type(r.Header(schemas.HeaderType)); t == schemas.TypeClaim {
				claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value)
				if err == nil && fence.Claim(r.Offset, claim) == fence.Epoch() && claim.Version == fence.Version() {
					latest = claim
				}
			}
			return nil
		})
		if err != nil || latest != nil || from == start {
			return latest, err
		}
	}
}

// recoverSnapshots brings the local store up to the end of the shard's snapshots, and returns
// the latest checkpoint, nil when there is none, and the actors whose snapshot cannot be read.
func (s *shard) recoverSnapshots(ctx context.Context, opened *ShardOpened) (*actorlogv1.Checkpoint, map[schemas.Hash]bool, error) {
	local, err := s.w.store.place(s.partition)
	if err != nil {
		return nil, nil, err
	}
	start, end, err := s.w.log.Bounds(ctx, eventlog.Snapshots, s.partition)
	if err != nil {
		return nil, nil, err
	}
	batch := s.w.store.batch()
	defer batch.Close()
	if local.checkpoint == nil || local.snapshotsNext > end {
		// No place: what the store has of this shard may be incomplete.
		local = place{snapshotsNext: start}
		if err := batch.clear(s.partition); err != nil {
			return nil, nil, err
		}
	}
	mark := local.checkpoint
	unreadable := make(map[schemas.Hash]bool)
	err = eventlog.Scan(ctx, s.w.log, eventlog.Snapshots, s.partition, max(start, local.snapshotsNext), end, func(r *eventlog.Record) error {
		t := schemas.Type(r.Header(schemas.HeaderType))
		if string(r.Key) == schemas.CheckpointKey {
			c, err := schemas.DecodeAs[*actorlogv1.Checkpoint](t, r.Value)
			if err != nil {
				return fmt.Errorf("the checkpoint at %d of snapshots: %w", r.Offset, err)
			}
			mark = c
			return nil
		}
		hash, ok := schemas.ParseHash(r.Key)
		if !ok {
			return nil
		}
		opened.Snapshots++
		if r.Value == nil {
			delete(unreadable, hash)
			return batch.drop(s.partition, hash)
		}
		snapshot, err := schemas.DecodeAs[*actorlogv1.Snapshot](t, r.Value)
		if err == nil {
			_, err = machine.Restore(hash, snapshot)
		}
		if err != nil {
			s.w.cfg.Events.BadRecord(eventlog.Snapshots.String(), r.Partition, r.Offset, err)
			unreadable[hash] = true
			return batch.drop(s.partition, hash)
		}
		delete(unreadable, hash)
		return batch.put(s.partition, hash, r.Value, indexOf(snapshot))
	})
	if err != nil {
		return nil, nil, err
	}
	// As long as a snapshot that could not be read is not replaced, by the next checkpoint, the place stays
	// where it was: a term that ends before meets that snapshot again, and rebuilds the actor again.
	if mark != nil && len(unreadable) == 0 {
		if err := batch.setPlace(s.partition, place{checkpoint: mark, snapshotsNext: end}); err != nil {
			return nil, nil, err
		}
	}
	return mark, unreadable, batch.Commit(noSync)
}

// rebuild folds the actors whose snapshots cannot be read from the beginning of events.
func (s *shard) rebuild(ctx context.Context, start int64, mark *actorlogv1.Checkpoint, lost map[schemas.Hash]bool) error {
	if mark == nil {
		return nil // everything is folded from the beginning anyway
	}
	if start > 0 {
		return fmt.Errorf("the snapshots of %d actors cannot be read, and events before %d, from which they could be rebuilt, are no longer kept", len(lost), start)
	}
	var n int
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	return s.fold(ctx, 0, mark.EventsOffset, &fence, func(hash schemas.Hash) bool { return lost[hash] }, &n, nil)
}

// fold applies the events in [from, to) to the actors that are wanted. counts, if not nil, is told of every outcome that counts.
func (s *shard) fold(ctx context.Context, from, to int64, fence *machine.Fence, wanted func(schemas.Hash) bool, n *int, counts func(offset int64, o *actorlogv1.Outcome)) error {
	return eventlog.Scan(ctx, s.w.log, eventlog.Events, s.partition, from, to, func(r *eventlog.Record) error {
		*n++
		switch t := schemas.Type(r.Header(schemas.HeaderType)); t {
		case schemas.TypeClaim:
			claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value)
			if err != nil { // no owner wrote this: void, for every reader
				s.w.cfg.Events.BadRecord(eventlog.Events.String(), r.Partition, r.Offset, err)
				return nil
			}
			fence.Claim(r.Offset, claim)
		case schemas.TypeOutcome:
			hash, ok := schemas.ParseHash(r.Key)
			if !fence.Admits(schemas.PlaceOf(r.Value)) || !ok || !wanted(hash) {
				return nil
			}
			o, err := schemas.DecodeAs[*actorlogv1.Outcome](t, r.Value)
			if err != nil {
				return s.breakActor(hash, r, err)
			}
			c := s.cell(hash)
			if err := s.load(c); err != nil {
				return err
			}
			if _, err := c.head.Apply(r.Offset, o); err != nil {
				s.w.cfg.Events.ActorBroken(c.head.ID().String(), err)
			}
			if counts != nil {
				counts(r.Offset, o)
			}
		case schemas.TypeStep:
			return s.foldStep(r, fence, wanted)
		case "": // every version of a worker writes a type
			s.w.cfg.Events.BadRecord(eventlog.Events.String(), r.Partition, r.Offset, schemas.ErrUnknownType)
		default:
			// A type of a newer version: this build cannot know what it does to the actor.
			return fmt.Errorf("the record at %d of events: %w %q: run a newer version", r.Offset, schemas.ErrUnknownType, t)
		}
		return nil
	})
}

// foldStep applies a step. One that cannot be read breaks its actor, for the action would run it again.
func (s *shard) foldStep(r *eventlog.Record, fence *machine.Fence, wanted func(schemas.Hash) bool) error {
	hash, ok := schemas.ParseHash(r.Key)
	if !fence.Admits(schemas.PlaceOf(r.Value)) || !ok || !wanted(hash) {
		return nil
	}
	step, err := schemas.DecodeAs[*actorlogv1.Step](schemas.TypeStep, r.Value)
	if err != nil {
		return s.breakActor(hash, r, err)
	}
	c := s.cell(hash)
	if err := s.load(c); err != nil {
		return err
	}
	c.head.ApplyStep(r.Offset, step)
	return nil
}

// breakActor takes one actor out of service because an event of it cannot be read.
func (s *shard) breakActor(hash schemas.Hash, r *eventlog.Record, cause error) error {
	c := s.cell(hash)
	if err := s.load(c); err != nil {
		return err
	}
	c.head.Broken = cause.Error()
	c.head.LastOffset = r.Offset
	s.w.cfg.Events.ActorBroken(c.head.ID().String(), cause)
	return nil
}

// replacedSince says whether there is a newer claim at or after an offset of events.
func (s *shard) replacedSince(ctx context.Context, from int64) error {
	start, end, err := s.w.log.Bounds(ctx, eventlog.Events, s.partition)
	if err != nil {
		return fmt.Errorf("asking whether shard %d has a new owner: %w", s.partition, err)
	}
	return s.replaced(ctx, errGap{expected: max(start, from), got: end})
}

// replaced reads the records that are not this shard's and says whether one of them is a newer
// claim.
func (s *shard) replaced(ctx context.Context, gap errGap) error {
	return eventlog.Scan(ctx, s.w.log, eventlog.Events, s.partition, gap.expected, gap.got, func(r *eventlog.Record) error {
		t := schemas.Type(r.Header(schemas.HeaderType))
		if t != schemas.TypeClaim {
			return nil
		}
		claim, decodeErr := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value)
		if decodeErr == nil && claim.RenewsEpoch == nil && claim.Version >= s.w.cfg.VersionNumber {
			return fmt.Errorf("%w: %s, at offset %d", errReplaced, claim.Worker, r.Offset)
		}
		return nil
	})
}
