package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// outbox is the committed outcomes whose messages to other actors are not all delivered. Their actions do not count as answered
// until they are, so the shard's low watermark, which messages and calls carry as Origin.settled, never passes one that may be
// sent again. Guarded by shard.ackMu.
//
//	Invariant: window.Low() <= ref of every outcome in the outbox.
type outbox struct {
	// offsets of the outcomes, by ref.
	offsets map[int64]int64
	// left is how many messages are not delivered, by ref.
	left  map[int64]int
	queue []letter
	more  chan struct{} // capacity 1: there may be more in queue
}

// letter is one message on its way.
type letter struct {
	hash   schemas.Hash
	origin *actorlogv1.Origin
	send   *actorlogv1.Send
	from   *actorlogv1.Actor
	id     string
}

func newOutbox() outbox {
	return outbox{offsets: make(map[int64]int64), left: make(map[int64]int), more: make(chan struct{}, 1)}
}

func (b *outbox) holds(ref int64) bool { _, ok := b.offsets[ref]; return ok }

// hold takes in an outcome at an offset.
func (b *outbox) hold(offset int64, o *actorlogv1.Outcome) {
	b.offsets[o.Ref], b.left[o.Ref] = offset, len(o.Sends)
	source := schemas.HashOf(o.Actor.GetNamespace(), o.Actor.GetKind(), o.Actor.GetKey())
	for _, send := range o.Sends {
		hash, _ := schemas.ParseHash(send.To)
		b.queue = append(b.queue, letter{
			hash: hash, send: send, from: o.Actor, id: fmt.Sprintf("%s.%d", o.GetAction().GetRequestId(), send.Number),
			origin: &actorlogv1.Origin{Actor: source[:], Ref: o.Ref, Number: send.Number, By: o.Actor},
		})
	}
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// undelivered is the offsets below a place of the outcomes in the outbox.
func (b *outbox) undelivered(below int64) []int64 {
	var offsets []int64
	for _, offset := range slices.Sorted(maps.Values(b.offsets)) {
		if offset < below {
			offsets = append(offsets, offset)
		}
	}
	return offsets
}

// post delivers messages until ctx ends.
func (s *shard) post(ctx context.Context) {
	for {
		s.ackMu.Lock()
		letters := s.outbox.queue
		s.outbox.queue = nil
		low := s.window.Low()
		s.ackMu.Unlock()
		for _, l := range letters {
			if ctx.Err() != nil {
				return
			}
			l.origin.Partition, l.origin.Settled = s.partition, low
			s.deliver(ctx, l)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.outbox.more:
		}
	}
}

func (s *shard) deliver(ctx context.Context, l letter) {
	err := s.w.sender.Deliver(l.hash, &actorlogv1.Action{
		Actor: l.send.Actor, RequestId: l.id, Creation: l.send.Creation, Origin: l.origin,
		Body: &actorlogv1.Action_Invoke{Invoke: l.send.Invoke},
	}, func(_ int64, err error) { s.delivered(ctx, l, err) })
	if err != nil {
		s.delivered(ctx, l, fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err)) // it cannot be encoded, ever
	}
}

// delivered notes that a message is in the log, or has it sent again: a copy that was written after all is recognised where it arrives.
func (s *shard) delivered(ctx context.Context, l letter, err error) {
	if err != nil && !errors.Is(err, eventlog.ErrTooLarge) {
		if ctx.Err() == nil {
			time.AfterFunc(time.Second, func() {
				s.ackMu.Lock()
				defer s.ackMu.Unlock()
				s.outbox.queue = append(s.outbox.queue, l)
				select {
				case s.outbox.more <- struct{}{}:
				default:
				}
			})
		}
		return
	}
	if err != nil {
		s.w.cfg.Events.ActionFailed(ActionFailed{
			ActorID: l.hash.String(), Kind: l.send.Actor.GetKind(), Key: schemas.Key(l.send.Actor.GetKey()).String(), Action: l.send.Invoke.GetName(),
			RequestID: l.id, Detail: fmt.Sprintf("a message from %s could not be delivered: %v", l.from.GetKind(), err),
		})
	}
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	ref := l.origin.Ref
	if s.outbox.left[ref]--; s.outbox.left[ref] <= 0 {
		delete(s.outbox.left, ref)
		delete(s.outbox.offsets, ref)
		s.window.Answered(ref)
	}
}
