package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var (
	typeOutcome = eventlog.Header{Key: schemas.HeaderType, Value: []byte(schemas.TypeOutcome)}
	typeClaim   = eventlog.Header{Key: schemas.HeaderType, Value: []byte(schemas.TypeClaim)}
)

// append sends an outcome on its way. The actor has taken it in already; before is the actor
// without it, for the case that it does not fit into a record; nil for a refusal, which fits without
// the arguments. c.mu is held.
//
// The place where the record will stand is foretold, not waited for: this shard is the only
// writer, and its appends are written in the order in which they are called. Were it not
// the only writer, acknowledge would find out and the shard would be thrown away.
func (s *shard) append(c *cell, it item, o *actorlogv1.Outcome, before *machine.Actor) {
	value, err := s.encode(o)
	size, limit := s.tooLarge(c, value)
	switch {
	case err != nil || size == 0:
	case before != nil:
		c.head, c.live = *before, nil
		o = c.head.TooLarge(it.ref, it.action, size, limit)
		value, err = s.encode(o)
	case int64(len(value)) > s.w.recordLimit.Load():
		machine.OmitArguments(o)
		value, err = s.encode(o)
	}
	if err != nil {
		s.die(err)
		return
	}
	record := eventlog.Record{
		Partition: s.partition, Key: c.hash[:], Value: value,
		Headers: []eventlog.Header{typeOutcome, {Key: schemas.HeaderTo, Value: []byte(it.action.GetCaller().GetGateway())}},
	}

	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if s.dead.Load() {
		return
	}
	if s.next-s.lastClaim >= machine.RenewEvery/2 && !s.renew() {
		return
	}
	offset := s.next
	s.next++
	c.head.Appended(offset, o)
	sent := &sent{s: s, c: c, after: c.head, offset: offset, ref: it.ref, size: len(value)}
	s.ackMu.Lock()
	c.inflight++
	s.ackMu.Unlock()
	s.w.log.Append(context.Background(), eventlog.Events, record, sent.acknowledge)
}

// tooLarge returns the size of what does not fit, and what would: the outcome, or the state that
// grew by outcomes that fit, and whose snapshot would not. Size is 0 when all fits.
func (s *shard) tooLarge(c *cell, outcome []byte) (size, limit int) {
	limit = int(s.w.recordLimit.Load())
	if len(outcome) > limit {
		return len(outcome), limit
	}
	// The rest of a snapshot is for the requests that the actor remembers.
	if limit -= min(limit/4, maxRecentBytes); len(c.head.State) > limit {
		return len(c.head.State), limit
	}
	return 0, 0
}

// maxRecentBytes is about what a snapshot takes besides the state: 1,000 keys of 255 bytes.
const maxRecentBytes = 320 << 10

func (s *shard) encode(o *actorlogv1.Outcome) ([]byte, error) {
	o.Epoch, o.CodeVersion = s.epoch, s.w.cfg.Version
	return schemas.Encode(o)
}

// renewAfter is the age at which a claim is renewed even in an idle shard, so that where events
// expire, the claim does not.
const renewAfter = time.Hour

// renewOld renews a claim that is old.
func (s *shard) renewOld() {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if time.Since(s.claimedAt) >= renewAfter && !s.dead.Load() {
		s.renew()
	}
}

// renew repeats the claim, so that a reader who starts near the end meets it. appendMu is held.
func (s *shard) renew() bool {
	record, err := s.w.claimRecord(s.partition, proto.Int64(s.epoch))
	if err != nil {
		s.die(err)
		return false
	}
	sent := &sent{s: s, offset: s.next}
	s.lastClaim, s.claimedAt = s.next, time.Now()
	s.next++
	s.w.log.Append(context.Background(), eventlog.Events, record, sent.acknowledge)
	return true
}

func (w *Worker) claimRecord(p int32, renews *int64) (eventlog.Record, error) {
	value, err := schemas.Encode(&actorlogv1.Claim{
		Worker: w.cfg.ID, CodeVersion: w.cfg.Version, RenewsEpoch: renews, TimeUnixMs: time.Now().UnixMilli(),
	})
	return eventlog.Record{
		Partition: p, Key: []byte(schemas.ClaimKey), Value: value, Headers: []eventlog.Header{typeClaim},
	}, err
}

// sent is a record on its way: an outcome, or a renewed claim when c is nil.
type sent struct {
	s      *shard
	c      *cell
	after  machine.Actor
	offset int64
	ref    int64
	size   int
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
		s.w.recordLimit.Store(min(s.w.recordLimit.Load(), int64(m.size-1)))
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
	if m.c == nil {
		return
	}
	m.c.durable = m.after
	m.c.inflight--
	s.window.Answered(m.ref)
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
	s.window.Answered(ref)
}

// settle waits until all outcomes of the actor are acknowledged, or the shard is dead.
func (s *shard) settle(c *cell) {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	for c.inflight > 0 && !s.dead.Load() {
		s.acked.Wait()
	}
}
