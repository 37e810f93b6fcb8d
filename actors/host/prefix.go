package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// prefix is what the records of a shard say up to a place in events: its actors, and what its owner has to know besides. A recovery reads one up to
// the shard's claim; a standby reads on for as long as somebody else owns the shard. Of one goroutine at a time.
//
//	Invariant: every outcome below next that counts is in actors, if the actor is there, or else in the local store.
//
// The version of an actor may be ahead of next, where its snapshot was written later; what it has already changes nothing.
type prefix struct {
	w         *Worker
	partition int32

	// begun: the local store's place was asked for. snapshotsNext is the first of snapshots that was not read.
	begun         bool
	snapshotsNext int64
	// mark is the latest checkpoint, nil when there is none.
	mark *actorlogv1.Checkpoint
	// unreadable is the actors whose snapshot cannot be read; they are rebuilt. While there are any, the place in the store stays.
	unreadable map[schemas.Hash]unreadable
	// forgotten is the actors that the checkpoint which is being read forgets.
	forgotten map[schemas.Hash]struct{}
	// batch is what was read and is not in the store yet.
	batch batch

	// based: mark was the latest checkpoint when everything before it had been read, and events are read since. next is the first that was not.
	based  bool
	next   int64
	fence  machine.Fence
	trail  machine.Trail
	census census
	parked parking
	// sends is the outcomes that sent messages, by offset.
	sends map[int64]*actorlogv1.Outcome
	// actors is those that changed, as they are now. touched is where the last record stands of those that changed since the checkpoint, in
	// actors or put into the store since.
	actors  map[schemas.Hash]*recent
	touched map[schemas.Hash]int64

	// How much was read.
	snapshots, events int
}

// unreadable is a snapshot that cannot be read.
type unreadable struct {
	offset int64
	err    error
}

// recent is an actor that changed not long ago.
type recent struct {
	machine.Actor
	used time.Time
}

func newPrefix(w *Worker, partition int32) *prefix {
	return &prefix{
		w: w, partition: partition, unreadable: make(map[schemas.Hash]unreadable), forgotten: make(map[schemas.Hash]struct{}), census: make(census), parked: newParking(nil),
		sends: make(map[int64]*actorlogv1.Outcome), actors: make(map[schemas.Hash]*recent), touched: make(map[schemas.Hash]int64),
	}
}

// readTo reads all snapshots that are there, and events up to a place. It may be interrupted, and go on later.
func (p *prefix) readTo(ctx context.Context, to int64) error {
	for {
		read, err := p.readSnapshots(ctx)
		if err != nil {
			return err
		}
		// Once more: compaction may have taken a snapshot away before it was read, for one that was written since.
		if !read || p.based {
			break
		}
	}
	if !p.based {
		if err := p.base(ctx); err != nil {
			return err
		}
	}
	return p.scan(ctx, p.next, to, p.takeEvent)
}

// base begins at the latest checkpoint, or at the beginning of events where there is none.
func (p *prefix) base(ctx context.Context) error {
	start, _, err := p.w.log.Bounds(ctx, eventlog.Events, p.partition)
	if err != nil {
		return err
	}
	p.parked = newParking(p.mark.GetParked())
	if err := p.rebuild(ctx, start); err != nil {
		return err
	}
	p.next, p.fence = start, machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	if p.mark != nil {
		p.next, p.fence = p.mark.EventsOffset, machine.NewFence(p.mark.Epoch, p.mark.Version, p.mark.EventsOffset-1)
	}
	if p.next < start {
		return fmt.Errorf("events from %d on are needed, but only those from %d on are kept: the retention of %s is shorter than the time since the last checkpoint", p.next, start, eventlog.Events)
	}
	p.trail = machine.NewTrail(p.mark, start)
	p.census = newCensus(p.mark.GetKinds())
	p.based = true
	return nil
}

// rebuild folds the actors whose snapshots cannot be read from the beginning of events. Where events have expired, those actors alone are out of service.
func (p *prefix) rebuild(ctx context.Context, start int64) error {
	if p.mark == nil || len(p.unreadable) == 0 {
		return nil // or everything is folded from the beginning anyway
	}
	if start > 0 {
		for hash, lost := range p.unreadable {
			if errors.Is(lost.err, schemas.ErrUnknownType) {
				return fmt.Errorf("the snapshot at %d of snapshots: %w: run a newer version", lost.offset, lost.err)
			}
			a := machine.NewActor(hash)
			// All below was answered.
			a.LastRef, a.LastOffset = p.mark.ActionsOffset-1, p.mark.EventsOffset-1
			p.actors[hash] = &recent{Actor: a}
			p.breakActor(&p.actors[hash].Actor, lost.offset, fmt.Errorf("the snapshot at %d of snapshots: %w, and events before %d, from which it could be rebuilt, are no longer kept", lost.offset, lost.err, start))
		}
		return nil
	}
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	return p.scan(ctx, 0, p.mark.EventsOffset, func(r *eventlog.Record) error {
		return p.fold(r, &fence, func(hash schemas.Hash) bool { _, ok := p.unreadable[hash]; return ok }, nil)
	})
}

func (p *prefix) scan(ctx context.Context, from, to int64, take func(*eventlog.Record) error) error {
	return eventlog.Scan(ctx, p.w.log, eventlog.Events, p.partition, from, to, func(r *eventlog.Record) error {
		p.events++
		return take(r)
	})
}

// takeEvent takes in the next record of events.
func (p *prefix) takeEvent(r *eventlog.Record) error {
	err := p.fold(r, &p.fence, func(schemas.Hash) bool { return true }, func(hash schemas.Hash, o *actorlogv1.Outcome) {
		// Also what a snapshot has already: an actor that went to sleep is further in the store than the checkpoint.
		p.census.take(o)
		p.parked.take(r.Offset, hash, o)
		if len(o.Sends) > 0 {
			p.sends[r.Offset] = o
		}
	})
	if err != nil {
		return err
	}
	p.trail.Take(r)
	p.next = r.Offset + 1
	return nil
}

// fold applies a record of events, if it counts and its actor is wanted. counts, if not nil, is told of an outcome that counts.
func (p *prefix) fold(r *eventlog.Record, fence *machine.Fence, wanted func(schemas.Hash) bool, counts func(schemas.Hash, *actorlogv1.Outcome)) error {
	t := schemas.Type(r.Header(schemas.HeaderType))
	switch t {
	case schemas.TypeClaim:
		claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value)
		if err != nil { // no owner wrote this: void, for every reader
			p.w.cfg.Events.BadRecord(eventlog.Events.String(), r.Partition, r.Offset, err)
			return nil
		}
		fence.Claim(r.Offset, claim)
		return nil
	case schemas.TypeOutcome, schemas.TypeStep:
	case "": // every version of a worker writes a type
		p.w.cfg.Events.BadRecord(eventlog.Events.String(), r.Partition, r.Offset, schemas.ErrUnknownType)
		return nil
	default:
		// A type of a newer version: this build cannot know what it does to the actor.
		return fmt.Errorf("the record at %d of events: %w %q: run a newer version", r.Offset, schemas.ErrUnknownType, t)
	}
	hash, ok := schemas.ParseHash(r.Key)
	if !fence.Admits(schemas.PlaceOf(r.Value)) || !ok || !wanted(hash) {
		return nil
	}
	a, err := p.actor(hash)
	if err != nil {
		return err
	}
	p.touched[hash] = r.Offset
	if t == schemas.TypeStep {
		step, err := schemas.DecodeAs[*actorlogv1.Step](t, r.Value)
		if errors.Is(err, schemas.ErrSealed) {
			return fmt.Errorf("the event at %d: %w", r.Offset, err)
		}
		if err != nil { // the action would take it again
			a.LastOffset = r.Offset
			p.breakActor(a, r.Offset, err)
			return nil
		}
		a.ApplyStep(r.Offset, step)
		return nil
	}
	o, err := schemas.DecodeAs[*actorlogv1.Outcome](t, r.Value)
	if errors.Is(err, schemas.ErrSealed) {
		return fmt.Errorf("the event at %d: %w", r.Offset, err)
	}
	if err != nil {
		a.LastOffset = r.Offset
		p.breakActor(a, r.Offset, err)
		return nil
	}
	if _, err := a.Apply(r.Offset, o); err != nil {
		p.parked.out(hash, r.Offset, err.Error())
		p.w.cfg.Events.ActorBroken(a.ID().String(), err)
	}
	if counts != nil {
		counts(hash, o)
	}
	return nil
}

// breakActor takes one actor out of service because a record of it cannot be read.
func (p *prefix) breakActor(a *machine.Actor, offset int64, cause error) {
	if a.Broken == "" {
		a.Broken = cause.Error()
	}
	p.parked.out(a.Hash, offset, a.Broken)
	p.w.cfg.Events.ActorBroken(a.ID().String(), cause)
}

// actor is the latest version of an actor, in memory from now on.
func (p *prefix) actor(hash schemas.Hash) (*machine.Actor, error) {
	a := p.actors[hash]
	if a == nil {
		stored, err := p.w.store.load(p.partition, hash)
		if err != nil {
			return nil, err
		}
		a = &recent{Actor: stored}
		p.actors[hash] = a
	}
	a.used = time.Now()
	return &a.Actor, nil
}

// maxBatchBytes is how much of snapshots is read before it is put into the local store.
const maxBatchBytes = 4 << 20

// readSnapshots brings the local store up to the end of the shard's snapshots, and says whether there was any to be read. Those whose snapshot cannot
// be read are in unreadable then.
func (p *prefix) readSnapshots(ctx context.Context) (read bool, err error) {
	start, end, err := p.w.log.Bounds(ctx, eventlog.Snapshots, p.partition)
	if err != nil {
		return false, err
	}
	if p.batch.Batch == nil {
		p.batch = p.w.store.batch()
	}
	if !p.begun {
		local, err := p.w.store.place(p.partition)
		if err != nil {
			return false, err
		}
		if local.checkpoint == nil || local.snapshotsNext > end {
			// No place: what the store has of this shard may be incomplete.
			local = place{snapshotsNext: start}
			if err := p.batch.clear(p.partition); err != nil {
				return false, err
			}
		}
		p.begun, p.mark, p.snapshotsNext = true, local.checkpoint, local.snapshotsNext
	}
	p.snapshotsNext = max(p.snapshotsNext, start)
	if p.snapshotsNext >= end {
		return false, p.commit()
	}
	err = eventlog.Scan(ctx, p.w.log, eventlog.Snapshots, p.partition, p.snapshotsNext, end, func(r *eventlog.Record) error {
		return p.takeSnapshot(r)
	})
	if err != nil {
		return false, err
	}
	p.snapshotsNext = end
	return true, p.place()
}

// takeSnapshot takes in the next record of snapshots.
func (p *prefix) takeSnapshot(r *eventlog.Record) error {
	t := schemas.Type(r.Header(schemas.HeaderType))
	if string(r.Key) == schemas.CheckpointKey {
		mark, err := schemas.DecodeAs[*actorlogv1.Checkpoint](t, r.Value)
		if err != nil {
			return fmt.Errorf("the checkpoint at %d of snapshots: %w", r.Offset, err)
		}
		p.snapshotsNext = r.Offset + 1
		return p.passed(mark)
	}
	hash, ok := schemas.ParseHash(r.Key)
	switch {
	case !ok:
	case r.Value == nil:
		p.snapshots++
		p.forgotten[hash] = struct{}{}
	default:
		p.snapshots++
		if err := p.restore(hash, t, r); err != nil {
			return err
		}
	}
	p.snapshotsNext = r.Offset + 1
	if p.batch.Len() > maxBatchBytes {
		return p.commit()
	}
	return nil
}

// restore puts a snapshot into the store, unless what is there is further.
func (p *prefix) restore(hash schemas.Hash, t schemas.Type, r *eventlog.Record) error {
	snapshot, err := schemas.DecodeAs[*actorlogv1.Snapshot](t, r.Value)
	if err == nil {
		_, err = machine.Restore(hash, snapshot)
	}
	if errors.Is(err, schemas.ErrSealed) {
		return fmt.Errorf("the snapshot at %d of snapshots: %w", r.Offset, err)
	}
	if err != nil {
		p.w.cfg.Events.BadRecord(eventlog.Snapshots.String(), r.Partition, r.Offset, err)
		if p.based {
			return fmt.Errorf("the snapshot at %d of snapshots: %w", r.Offset, err) // begin anew: rebuilding is for those who begin
		}
		p.unreadable[hash] = unreadable{r.Offset, err}
		return p.batch.drop(p.partition, hash)
	}
	delete(p.unreadable, hash)
	delete(p.forgotten, hash)
	if at, ok := p.touched[hash]; ok && snapshot.LastOffset < at {
		if p.actors[hash] == nil {
			return nil // it went to sleep since
		}
	} else {
		delete(p.actors, hash)
	}
	return p.batch.put(p.partition, hash, r.Bytes(), indexOf(snapshot))
}

// passed takes in a checkpoint: the snapshots that belong to it stand before it.
func (p *prefix) passed(mark *actorlogv1.Checkpoint) error {
	for hash := range p.forgotten {
		if at, ok := p.touched[hash]; ok && at >= mark.EventsOffset {
			continue
		}
		delete(p.unreadable, hash)
		delete(p.actors, hash)
		if err := p.batch.drop(p.partition, hash); err != nil {
			return err
		}
	}
	clear(p.forgotten)
	p.mark = mark
	for hash, at := range p.touched {
		if at < mark.EventsOffset {
			delete(p.touched, hash)
		}
	}
	for offset := range p.sends {
		if offset < mark.EventsOffset {
			delete(p.sends, offset)
		}
	}
	if p.based {
		return p.place()
	}
	return nil
}

// place notes in the store how far it goes. As long as a snapshot that could not be read is not replaced, by the next checkpoint, it stays
// where it was: a term that ends before meets that snapshot again, and rebuilds the actor again.
func (p *prefix) place() error {
	if p.mark != nil && len(p.unreadable) == 0 {
		if err := p.batch.setPlace(p.partition, place{checkpoint: p.mark, snapshotsNext: p.snapshotsNext}); err != nil {
			return err
		}
	}
	return p.commit()
}

func (p *prefix) commit() error {
	err := p.batch.Commit(noSync)
	p.batch.Close()
	p.batch = p.w.store.batch()
	return err
}

// sweep puts actors into the store that have not changed for a while.
func (p *prefix) sweep(before time.Time) error {
	for hash, a := range p.actors {
		if a.used.After(before) {
			continue
		}
		snapshot := a.Snapshot()
		value, err := p.w.store.encode(p.partition, hash, snapshot)
		if err != nil {
			return err
		}
		if err := p.batch.put(p.partition, hash, value, indexOf(snapshot)); err != nil {
			return err
		}
		delete(p.actors, hash)
	}
	return p.commit()
}

// close gives up what is not in the store.
func (p *prefix) close() {
	if p.batch.Batch != nil {
		p.batch.Close()
		p.batch.Batch = nil
	}
}
