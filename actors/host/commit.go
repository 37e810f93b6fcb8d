package host

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/tracecontext"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var (
	typeOutcome = eventlog.Header{Key: schemas.HeaderType, Value: []byte(schemas.TypeOutcome)}
	typeStep    = eventlog.Header{Key: schemas.HeaderType, Value: []byte(schemas.TypeStep)}
	typeClaim   = eventlog.Header{Key: schemas.HeaderType, Value: []byte(schemas.TypeClaim)}
)

// append sends an outcome on its way. The actor has taken it in already; before is the actor
// without it, for the case that it does not fit into a record; nil for a refusal, which fits without
// the arguments. c.mu is held.
//
// It returns false when the outcome did not fit, and the action had no effect.
//
// The place where the record will stand is foretold, not waited for: this shard is the only
// writer, and its appends are written in the order in which they are called. Were it not
// the only writer, acknowledge would find out and the shard would be thrown away.
func (s *shard) append(c *cell, it item, o *actorlogv1.Outcome, before *machine.Actor) (fits bool) {
	value, err := s.encode(o)
	most := int(s.w.limitOf(o).Load())
	size, limit := s.tooLarge(c, value, most)
	fits = size == 0
	switch {
	case err != nil || fits:
	case before != nil:
		c.head, c.live = *before, nil
		o = c.head.TooLarge(it.ref, it.action, size, limit)
		value, err = s.encode(o)
	case len(value) > most:
		machine.OmitArguments(o)
		value, err = s.encode(o)
	}
	if err != nil {
		s.die(err)
		return fits
	}
	record := eventlog.Record{
		Partition: s.partition, Key: c.hash[:], Value: value,
		Headers: tracecontext.Append([]eventlog.Header{
			typeOutcome, {Key: schemas.HeaderTo, Value: []byte(it.action.GetCaller().GetGateway())},
		}, it.spanOf()),
	}

	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if s.dead.Load() {
		return fits
	}
	if s.next-s.lastClaim >= machine.RenewEvery/2 && !s.renew(new(actorlogv1.Claim)) {
		return fits
	}
	offset := s.next
	s.next++
	record.Value = schemas.AppendPlace(value, offset)
	if !s.seal(&record) {
		return fits
	}
	c.head.Appended(offset, o)
	s.chain.Add(&record)
	sent := &sent{s: s, c: c, after: c.head, offset: offset, ref: it.ref, size: len(value), chain: s.chain, observed: s.observe(c, &it, o)}
	if hasParts(o) {
		sent.parts = o
	}
	s.ackMu.Lock()
	c.inflight++
	s.ackMu.Unlock()
	s.w.log.Append(tracecontext.Only(it.spanOf()), eventlog.Events, record, sent.acknowledge)
	return fits
}

// tooLarge returns the size of what does not fit, and what would: the outcome, or the state that
// grew by outcomes that fit, and whose snapshot would not. Size is 0 when all fits.
func (s *shard) tooLarge(c *cell, outcome []byte, most int) (size, limit int) {
	if len(outcome)+placeBytes > most {
		return len(outcome), most
	}
	if size, limit := c.head.SnapshotBytes(), s.stateLimit(); size > limit {
		return size, limit
	}
	return 0, 0
}

// limitOf is where the limit of an outcome stands.
func (w *Worker) limitOf(o *actorlogv1.Outcome) *atomic.Int64 {
	if o.GetAction().GetRequest() != nil {
		return &w.rawLimit
	}
	return &w.recordLimit
}

// stateLimit is what an actor may take in a snapshot. The rest is for the requests that it remembers.
func (s *shard) stateLimit() int {
	limit := int(s.w.recordLimit.Load())
	return limit - min(limit/4, maxRecentBytes)
}

// maxRecentBytes is about what a snapshot takes besides: 1,000 keys of 255 bytes.
const maxRecentBytes = 320 << 10

func (s *shard) encode(o *actorlogv1.Outcome) ([]byte, error) {
	o.Epoch, o.CodeVersion = s.epoch, s.w.cfg.Version
	return schemas.EncodeWithRoom(o, placeBytes)
}

// seal has the log say how it will keep a record of events. If it cannot, the shard dies. appendMu is held.
func (s *shard) seal(r *eventlog.Record) bool {
	if err := eventlog.Seal(context.Background(), s.w.log, eventlog.Events, r); err != nil {
		s.die(fmt.Errorf("sealing a record of events: %w", err))
		return false
	}
	return true
}

// placeBytes is room for what schemas.AppendPlace adds.
const placeBytes = 12

// renewAfter is the age at which a claim is renewed even in an idle shard, so that where events
// expire, the claim does not.
const renewAfter = time.Hour

// renewOld renews a claim that is old.
func (s *shard) renewOld() {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if time.Since(s.claimedAt) >= renewAfter && !s.dead.Load() {
		s.renew(new(actorlogv1.Claim))
	}
}

// renew repeats the claim, so that a reader who starts near the end meets it, with what c says besides. appendMu is held.
func (s *shard) renew(c *actorlogv1.Claim) bool {
	s.ackMu.Lock()
	confirmed := s.ackNext - 1
	if s.trying >= 0 {
		c.Trying = proto.Int64(s.trying)
	}
	s.ackMu.Unlock()
	c.RenewsEpoch, c.Place, c.Confirmed = proto.Int64(s.epoch), proto.Int64(s.next), proto.Int64(confirmed)
	c.Crashes, c.ActionsEnd, c.Head = s.crashes, s.found, s.chain.Head()
	record, err := s.w.claimRecord(s.partition, c)
	if err != nil {
		s.die(err)
		return false
	}
	s.chain.Add(&record)
	sent := &sent{s: s, offset: s.next, chain: s.chain}
	s.lastClaim, s.claimedAt = s.next, time.Now()
	s.next++
	s.w.log.Append(context.Background(), eventlog.Events, record, sent.acknowledge)
	return true
}

// claimRecord is a claim in the worker's name.
func (w *Worker) claimRecord(p int32, c *actorlogv1.Claim) (eventlog.Record, error) {
	c.Worker, c.CodeVersion, c.Version, c.TimeUnixMs = w.cfg.ID, w.cfg.Version, w.cfg.VersionNumber, time.Now().UnixMilli()
	value, err := schemas.Encode(c)
	return eventlog.Record{
		Partition: p, Key: []byte(schemas.ClaimKey), Value: value, Headers: []eventlog.Header{typeClaim},
	}, err
}

// sent is a record on its way: an outcome, a step when ref is negative, or a renewed claim when c is nil.
type sent struct {
	s      *shard
	c      *cell
	after  machine.Actor
	offset int64
	ref    int64
	size   int
	// chain is the hash chain after it.
	chain machine.Chain
	// parts is the outcome, if it touches more than the actor's state.
	parts *actorlogv1.Outcome
	// committed is closed when a step is acknowledged.
	committed chan struct{}
	observed  *observed
}

// hasParts says whether an outcome has consequences for the shard.
func hasParts(o *actorlogv1.Outcome) bool {
	return len(o.Scheduled) > 0 || len(o.Unscheduled) > 0 || len(o.Sends) > 0 || len(o.Connected) > 0 || len(o.Disconnected) > 0 ||
		o.Enqueued || o.Parked > 0 || o.Repaired != nil || (o.GetAction() != nil && o.GetAction().Unparks != nil) || o.PriorVersion != nil || o.Lifecycle != actorlogv1.Lifecycle_LIFECYCLE_UNSPECIFIED || o.GetAction().GetFire() != nil
}

// errGap says that a record in events is not this shard's.
type errGap struct{ expected, got int64 }

func (e errGap) Error() string {
	return fmt.Sprintf("a record of another writer stands between offsets %d and %d of events", e.expected, e.got)
}

// acknowledge is called by the log in the order of the appends. It takes ackMu only.
func (m *sent) acknowledge(offset int64, err error) {
	s := m.s
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	defer s.acked.Broadcast()
	if errors.Is(err, eventlog.ErrTooLarge) {
		// The topic takes less than this worker was told. What fits is now known better; in the next
		// term the action gets an outcome that says so.
		for _, limit := range []*atomic.Int64{&s.w.recordLimit, &s.w.rawLimit} {
			limit.Store(min(limit.Load(), int64(m.size-1)))
		}
	}
	if err != nil {
		s.die(fmt.Errorf("appending to events: %w", err))
		return
	}
	if m.offset != s.ackNext {
		return // something before it failed
	}
	if offset != m.offset {
		s.die(errGap{expected: m.offset, got: offset})
		return
	}
	s.ackNext++
	s.ackChain = m.chain
	if m.c == nil {
		return
	}
	s.letGo(m.ref)
	before := m.c.durable
	m.c.durable = m.after
	m.c.inflight--
	switch {
	case m.committed != nil:
		close(m.committed)
	case m.parts != nil && len(m.parts.Sends) > 0:
		s.outbox.hold(m.offset, m.parts, m.observed.spanOf())
	default:
		s.window.Answered(m.ref)
	}
	if m.parts != nil {
		s.census.take(m.parts)
		s.parked.take(m.offset, m.c.hash, m.parts)
		s.agenda.take(m.c.hash, &before, &m.after, m.parts)
		if m.parts.Enqueued && m.c.reader != nil {
			m.c.reader.signal()
		}
	}
	m.observed.committed(s, m.offset)
	s.dirty[m.c.hash] = struct{}{}
	if s.bytes += int64(m.size); s.bytes >= s.w.cfg.CheckpointBytes {
		select {
		case s.due <- struct{}{}:
		default:
		}
	}
}

// skip notes that an action needs no outcome: it has one, or cannot be read.
func (s *shard) skip(ref int64) {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	s.letGo(ref)
	if !s.outbox.holds(ref) {
		s.window.Answered(ref)
	}
}

// settledBelow is the ref below which no action of this shard asks anybody for anything any more.
func (s *shard) settledBelow() int64 {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	return s.window.Low()
}

// committed says whether the record at an offset of this term, or of one before, is acknowledged.
func (s *shard) committed(offset int64) bool {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	return s.ackNext > offset
}

// settle waits until the record at an offset is acknowledged, or the shard is dead.
func (s *shard) settle(offset int64) {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	for s.ackNext <= offset && !s.dead.Load() {
		s.acked.Wait()
	}
}
