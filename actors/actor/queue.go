package actor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Limits of queues.
const (
	// MaxQueued is how many messages may wait in all queues of an actor.
	MaxQueued = 1000
	// MaxMessageBytes is how long one may be, as JSON.
	MaxMessageBytes = 64 << 10
)

// QueueOf describes a queue of a kind with state S, whose messages are of type Body and answered with Reply ([None] when
// they are not). Make it with [Queue].
type QueueOf[S, Body, Reply any] struct{ kind, name string }

// Queue names a queue of a kind: actor.Queue[Order, None](Kind, "orders").
func Queue[Body, Reply, S any](k KindOf[S], name string) QueueOf[S, Body, Reply] {
	checkName("a queue", name, k.name)
	return QueueOf[S, Body, Reply]{kind: k.name, name: name}
}

// Name is the wire name.
func (q QueueOf[S, Body, Reply]) Name() string { return q.name }

// Send puts a message into the queue of an actor; it is there, durably, when Send returns nil. From within an action, with a handle of
// [Ctx.Client], it takes effect once even if the action is run again.
func (q QueueOf[S, Body, Reply]) Send(ctx context.Context, h Handle[S], body Body) error {
	_, err := q.send(ctx, h, body, false)
	return err
}

// SendAndWait is Send that waits until the message is completed, and returns the reply. When ctx ends before, the message stays
// in the queue.
func (q QueueOf[S, Body, Reply]) SendAndWait(ctx context.Context, h Handle[S], body Body) (Reply, error) {
	var reply Reply
	b, err := q.send(ctx, h, body, true)
	if err != nil || len(b) == 0 {
		return reply, err
	}
	if err := json.Unmarshal(b, &reply); err != nil {
		return reply, fmt.Errorf("the reply of queue %s of kind %s: %w", q.name, q.kind, err)
	}
	return reply, nil
}

func (q QueueOf[S, Body, Reply]) send(ctx context.Context, h Handle[S], body Body, wait bool) (json.RawMessage, error) {
	if h.err != nil {
		return nil, h.err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("a message for queue %s of kind %s: %w", q.name, q.kind, err)
	}
	return h.caller.Enqueue(ctx, h.target, q.name, b, wait)
}

// Accept declares a queue: messages for it are kept until they are completed. Messages for a queue that no one declared are dropped,
// as Rivet does.
func Accept[S, Body, Reply any](r *Registry, q QueueOf[S, Body, Reply]) {
	d := define(r, KindOf[S]{name: q.kind})
	if d.hooks.queues == nil {
		d.hooks.queues = make(map[string]func(any, *Ctx) (bool, error))
	}
	if _, ok := d.hooks.queues[q.name]; !ok {
		d.hooks.queues[q.name] = nil
	}
}

// CanPublish declares a queue, and who may put messages into it: [Ctx.Conn] is the connection that tries, nil for backends and actors. false is refused
// with auth.forbidden.
func CanPublish[S, Body, Reply any](r *Registry, q QueueOf[S, Body, Reply], fn func(s *S, c *Ctx) (bool, error)) {
	Accept(r, q)
	d := define(r, KindOf[S]{name: q.kind})
	once(d.hooks.queues[q.name] == nil, q.kind, "CanPublish of "+q.name)
	d.hooks.queues[q.name] = func(s any, c *Ctx) (bool, error) { return fn(s.(*S), c) }
}

// QueueReader is a host's side of the queues of one actor.
type QueueReader interface {
	// Next returns messages of the named queues that this activation was not given yet, oldest first, at most n. With
	// wait, it waits for the first; without, there may be none.
	Next(ctx context.Context, queues []string, n int, wait bool) ([]*actorlogv1.QueuedMessage, error)
	// Complete acknowledges messages and returns when that is committed.
	Complete(ctx context.Context, c *actorlogv1.Complete) error
}

// QueueMessage is a message that was taken from a queue. It stays in the queue until it is completed: if the actor moves or
// sleeps before, it is taken again.
type QueueMessage[Body, Reply any] struct {
	// ID of the message, unique within the actor.
	ID   int64
	Body Body
	// SentAt is the actor's time when the message came. UTC.
	SentAt time.Time

	loop *Loop
}

// Next waits for the next message of the queue that this activation has not taken yet. The error is ctx's: the loop is to end.
// A message that is no Body is completed and passed over, and the worker's log says so.
func (q QueueOf[S, Body, Reply]) Next(l *Loop) (QueueMessage[Body, Reply], error) {
	for {
		batch, err := q.take(l, 1, true)
		if err != nil || len(batch) > 0 {
			return append(batch, QueueMessage[Body, Reply]{})[0], err
		}
	}
}

// NextBatch waits for at least one message and returns at most n that are there.
func (q QueueOf[S, Body, Reply]) NextBatch(l *Loop, n int) ([]QueueMessage[Body, Reply], error) {
	for {
		batch, err := q.take(l, n, true)
		if err != nil || len(batch) > 0 {
			return batch, err
		}
	}
}

// TryNext returns the next message if there is one.
func (q QueueOf[S, Body, Reply]) TryNext(l *Loop) (m QueueMessage[Body, Reply], ok bool, err error) {
	batch, err := q.take(l, 1, false)
	if len(batch) > 0 {
		return batch[0], true, err
	}
	return m, false, err
}

func (q QueueOf[S, Body, Reply]) take(l *Loop, n int, wait bool) ([]QueueMessage[Body, Reply], error) {
	records, err := l.host.Queue.Next(l, []string{q.name}, max(n, 1), wait)
	var batch []QueueMessage[Body, Reply]
	for _, record := range records {
		m := QueueMessage[Body, Reply]{ID: record.Id, SentAt: time.UnixMilli(record.TimeUnixMs).UTC(), loop: l}
		if bad := json.Unmarshal(record.BodyJson, &m.Body); bad != nil {
			l.host.Report(fmt.Errorf("message %d of queue %s is passed over: %w", record.Id, q.name, bad))
			if err := l.host.Queue.Complete(l, &actorlogv1.Complete{Completions: []*actorlogv1.Completion{{MessageId: record.Id}}}); err != nil {
				return batch, err
			}
			continue
		}
		batch = append(batch, m)
	}
	return batch, err
}

// Complete acknowledges the message and answers its sender. It returns when that is committed; completing twice does
// nothing. To complete a message and change the state in one, use [QueueOf.Complete] in an action.
func (m QueueMessage[Body, Reply]) Complete(reply Reply) error {
	completion, err := completionOf(m.ID, reply)
	if err != nil {
		return err
	}
	return m.loop.host.Queue.Complete(m.loop, &actorlogv1.Complete{Completions: []*actorlogv1.Completion{completion}})
}

// Complete acknowledges a message as part of the action's outcome: what the action does for the message happens once. If the message was
// completed by an earlier action, this one fails with ErrCompleted and has no effect. That happens when a worker dies between a loop's
// call and its outcome: the call is in the log and is carried out, and the next loop takes the message and calls again. A loop goes on
// after that error.
func (q QueueOf[S, Body, Reply]) Complete(c *Ctx, id int64, reply Reply) {
	if !slices.ContainsFunc(c.job.Queue, func(m *actorlogv1.QueuedMessage) bool { return m.Id == id && m.Queue == q.name }) {
		c.fail(ErrCompleted)
		return
	}
	completion, err := completionOf(id, reply)
	if err != nil {
		c.fail(fmt.Errorf("completing a message of queue %s: %w", q.name, err))
		return
	}
	if slices.ContainsFunc(c.effects.Completed, func(o *actorlogv1.Completion) bool { return o.MessageId == id }) {
		return
	}
	c.effects.Completed = append(c.effects.Completed, completion)
}

func completionOf[Reply any](id int64, reply Reply) (*actorlogv1.Completion, error) {
	completion := &actorlogv1.Completion{MessageId: id}
	if _, none := any(reply).(None); none {
		return completion, nil
	}
	b, err := json.Marshal(reply)
	completion.ResponseJson = b
	return completion, err
}
