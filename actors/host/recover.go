package host

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// recover brings the shard up to its claim: local store, then snapshots that the store has not
// seen, then events since the latest checkpoint. Without a local store it is the same,
// from the beginning of snapshots; a standby has read most of it before.
func (s *shard) recover(ctx context.Context, opened *ShardOpened) error {
	p := s.known
	s.known = nil
	if p == nil {
		p = newPrefix(s.w, s.partition)
	}
	defer p.close()
	opened.Warm = p.based
	snapshots, events := p.snapshots, p.events
	if err := p.readTo(ctx, s.epoch); err != nil {
		return err
	}
	opened.Snapshots, opened.Events = p.snapshots-snapshots, p.events-events
	if version := p.fence.Version(); version > s.w.cfg.VersionNumber {
		return olderError(version, s.w.cfg.VersionNumber)
	}
	if err := p.census.check(s.w.registry); err != nil {
		return err
	}
	if err := s.adopt(ctx, p); err != nil {
		return err
	}
	actionsStart, actionsEnd, err := s.w.log.Bounds(ctx, eventlog.Actions, s.partition)
	if err != nil {
		return err
	}
	s.nextRead, s.again = max(p.mark.GetActionsOffset(), actionsStart), actionsEnd
	s.window = machine.NewWindow(s.nextRead, p.mark.GetSenders())
	return s.recoverAgenda()
}

// adopt takes over what is known of the shard.
func (s *shard) adopt(ctx context.Context, p *prefix) error {
	s.marked = -1
	if p.mark != nil {
		s.marked = p.mark.EventsOffset
	}
	s.census, s.parked, s.trail = p.census, p.parked, p.trail
	for hash, a := range p.actors {
		s.cells[hash] = &cell{hash: hash, refuseSince: -1, loaded: true, head: a.Actor, durable: a.Actor}
		s.dirty[hash] = struct{}{}
	}
	for hash := range p.touched {
		s.dirty[hash] = struct{}{}
	}
	for hash := range p.unreadable {
		s.dirty[hash] = struct{}{}
	}
	if err := s.recoverUndelivered(ctx, p.mark); err != nil {
		return err
	}
	for _, offset := range slices.Sorted(maps.Keys(p.sends)) {
		if offset >= p.mark.GetEventsOffset() {
			s.outbox.hold(offset, p.sends[offset], trace.SpanContext{})
		}
	}
	return nil
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
	for _, c := range s.cells {
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
				s.outbox.hold(offset, o, trace.SpanContext{})
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

// readAgain folds one actor from the beginning of events up to the shard's claim; after it, an actor that is out of service has refused everything. It returns
// nil if the beginning is not kept, or cannot be read.
func (s *shard) readAgain(hash schemas.Hash) *machine.Actor {
	ctx, cancel := context.WithCancel(s.over)
	defer cancel()
	start, _, err := s.w.log.Bounds(ctx, eventlog.Events, s.partition)
	if err == nil && start > 0 {
		err = fmt.Errorf("events before %d are no longer kept", start)
	}
	p := newPrefix(s.w, s.partition)
	p.actors[hash] = &recent{Actor: machine.NewActor(hash)}
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	if err == nil {
		err = p.scan(ctx, 0, s.epoch, func(r *eventlog.Record) error {
			return p.fold(r, &fence, func(h schemas.Hash) bool { return h == hash }, nil)
		})
	}
	if err != nil {
		s.w.cfg.Events.ActorBroken(hash.String(), fmt.Errorf("reading it again: %w", err))
		return nil
	}
	return &p.actors[hash].Actor
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
