package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

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
	left map[int64]int
	// queue is what is to be delivered, flying how much is on its way, and failed what could not be delivered. While there is any, nothing is
	// sent, and when all is back, it goes again in its order.
	queue  []letter
	flying int
	failed []letter
	// next numbers letters.
	next int64
	more chan struct{} // capacity 1: there may be more in queue
}

// letter is one message on its way.
type letter struct {
	hash   schemas.Hash
	origin *actorlogv1.Origin
	send   *actorlogv1.Send
	from   *actorlogv1.Actor
	id     string
	number int64
	span   trace.SpanContext // of the action that sent it
}

func newOutbox() outbox {
	return outbox{offsets: make(map[int64]int64), left: make(map[int64]int), more: make(chan struct{}, 1)}
}

func (b *outbox) holds(ref int64) bool { _, ok := b.offsets[ref]; return ok }

// hold takes in an outcome at an offset, of an action with that span.
func (b *outbox) hold(offset int64, o *actorlogv1.Outcome, span trace.SpanContext) {
	if o.Sealed != nil {
		return // its actor was erased, and what it had to say with it
	}
	b.offsets[o.Ref], b.left[o.Ref] = offset, len(o.Sends)
	source := schemas.HashOf(o.Actor.GetNamespace(), o.Actor.GetKind(), o.Actor.GetKey())
	for _, send := range o.Sends {
		hash, _ := schemas.ParseHash(send.To)
		b.next++
		b.queue = append(b.queue, letter{
			span: span, number: b.next, hash: hash, send: send, from: o.Actor, id: fmt.Sprintf("%s.%d", o.GetAction().GetRequestId(), send.Number),
			origin: &actorlogv1.Origin{Actor: source[:], Ref: o.Ref, Number: send.Number, By: o.Actor},
		})
	}
	b.signal()
}

func (b *outbox) signal() {
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// take empties the queue, unless something failed.
func (b *outbox) take() []letter {
	if len(b.failed) > 0 {
		return nil
	}
	letters := b.queue
	b.queue = nil
	b.flying += len(letters)
	return letters
}

// retry puts what failed back into the queue, when all that was on its way has come down.
func (b *outbox) retry() bool {
	if b.flying > 0 {
		return false
	}
	b.queue = append(b.failed, b.queue...)
	slices.SortFunc(b.queue, func(x, y letter) int { return cmp.Compare(x.number, y.number) })
	b.failed = nil
	b.signal()
	return true
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
		letters := s.outbox.take()
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
	err := s.w.sender.DeliverIn(l.span, l.hash, &actorlogv1.Action{
		Actor: l.send.Actor, RequestId: l.id, Creation: l.send.Creation, Origin: l.origin,
		Body: &actorlogv1.Action_Invoke{Invoke: l.send.Invoke},
	}, func(_ int64, err error) { s.delivered(ctx, l, err) })
	if err != nil {
		s.delivered(ctx, l, fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err)) // it cannot be encoded, ever
	}
}

// postAgain is how long to wait before messages that could not be delivered are sent again.
const postAgain = time.Second

// delivered notes that a message is in the log, or has it sent again: a copy that was written after all is recognised where it arrives.
func (s *shard) delivered(ctx context.Context, l letter, err error) {
	if err != nil && !errors.Is(err, eventlog.ErrTooLarge) {
		s.ackMu.Lock()
		defer s.ackMu.Unlock()
		s.outbox.flying--
		if s.outbox.failed = append(s.outbox.failed, l); len(s.outbox.failed) == 1 {
			time.AfterFunc(postAgain, func() { s.repost(ctx) })
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
	s.outbox.flying--
	ref := l.origin.Ref
	if s.outbox.left[ref]--; s.outbox.left[ref] <= 0 {
		delete(s.outbox.left, ref)
		delete(s.outbox.offsets, ref)
		s.window.Answered(ref)
	}
}

// repost sends what failed again, once nothing is under way any more: a message must not overtake an earlier one.
func (s *shard) repost(ctx context.Context) {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	if ctx.Err() == nil && !s.outbox.retry() {
		time.AfterFunc(postAgain, func() { s.repost(ctx) })
	}
}
