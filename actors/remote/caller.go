package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var _ actor.Caller = (*Client)(nil)

// Invoke implements actor.Caller.
func (c *Client) Invoke(ctx context.Context, t actor.Target, action string, args json.RawMessage) (json.RawMessage, error) {
	d, err := c.call(ctx, t, &actorlogv1.Action{
		Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: action, ArgsJson: args}},
	})
	if err != nil {
		return nil, err
	}
	return d.Outcome.ResultJson, nil
}

// Resolve implements actor.Caller.
func (c *Client) Resolve(ctx context.Context, t actor.Target) (string, bool, error) {
	d, err := c.call(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Resolve{Resolve: &actorlogv1.Resolve{}}})
	if err != nil {
		return "", false, err
	}
	id := schemas.ActorID{Hash: d.Hash, Generation: d.Outcome.Actor.GetGeneration()}
	return id.String(), d.Outcome.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED, nil
}

// Read implements actor.Caller.
func (c *Client) Read(ctx context.Context, t actor.Target) (json.RawMessage, error) {
	d, err := c.call(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Read{Read: &actorlogv1.Read{}}})
	if err != nil {
		return nil, err
	}
	return d.Outcome.ResultJson, nil
}

// Destroy implements actor.Caller.
func (c *Client) Destroy(ctx context.Context, t actor.Target) error {
	_, err := c.call(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{}}})
	return err
}

func (c *Client) call(ctx context.Context, t actor.Target, a *actorlogv1.Action) (*Delivery, error) {
	hash, err := actor.Address(a, t)
	if err != nil {
		return nil, err
	}
	d, _, err := c.Do(ctx, Request{Hash: hash, Action: a})
	if err != nil {
		return nil, fmt.Errorf("calling actor %s: %w", hash, err)
	}
	if e := d.Outcome.Error; e != nil {
		return nil, &actor.Error{Group: e.Group, Code: e.Code, Message: e.Message, Metadata: e.MetadataJson}
	}
	return d, nil
}

// Peer is Do for an actor that asks another one: the outcome, which may be a repeat's first one, whatever it says.
func (c *Client) Peer(ctx context.Context, hash schemas.Hash, a *actorlogv1.Action) (*actorlogv1.Outcome, error) {
	d, _, err := c.Do(ctx, Request{Hash: hash, Action: a})
	if err != nil {
		return nil, fmt.Errorf("calling actor %s: %w", hash, err)
	}
	return d.Outcome, nil
}

// Enqueue implements actor.Caller. When ctx ends, or the client is closed, before the message is completed, it stays in the queue.
func (c *Client) Enqueue(ctx context.Context, t actor.Target, queue string, body json.RawMessage, wait bool) (json.RawMessage, error) {
	a := &actorlogv1.Action{Body: &actorlogv1.Action_Enqueue{Enqueue: &actorlogv1.Enqueue{Queue: queue, BodyJson: body, Wait: wait}}}
	hash, err := actor.Address(a, t)
	if err != nil {
		return nil, err
	}
	completion := make(chan *actorlogv1.Completion, 1)
	over := make(chan error, 1)
	d, w, err := c.EnqueueAndWatch(ctx, hash, a, func(done *actorlogv1.Completion, err error) {
		if err != nil {
			over <- err
			return
		}
		completion <- done
	})
	if err != nil {
		return nil, fmt.Errorf("calling actor %s: %w", hash, err)
	}
	if w != nil {
		defer c.Unwatch(w)
	}
	if err := actor.OutcomeError(d.Outcome); err != nil || w == nil {
		return nil, err
	}
	select {
	case done := <-completion:
		return done.ResponseJson, nil
	case err := <-over:
		return nil, err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for message %d of queue %s to be completed: %w", d.Outcome.Ref, queue, context.Cause(ctx))
	case <-c.ctx.Done():
		return nil, fmt.Errorf("waiting for message %d of queue %s to be completed: %w", d.Outcome.Ref, queue, eventlog.ErrClosed)
	}
}

// EnqueueAndWatch puts a message into a queue. If its sender waits for the response and there will be one, it returns a watch that
// the caller must Unwatch, and done is called once, with the completion, or with an error when there will be none: the actor was destroyed, or events were missed. done is called
// from the goroutine that reads the log and must not block.
func (c *Client) EnqueueAndWatch(ctx context.Context, hash schemas.Hash, a *actorlogv1.Action, done func(*actorlogv1.Completion, error)) (*Delivery, *Watch, error) {
	if !a.GetEnqueue().GetWait() {
		d, _, err := c.Do(ctx, Request{Hash: hash, Action: a})
		return d, nil, err
	}
	var message atomic.Int64 // until it is in, no completion can be its own
	message.Store(-1)
	var once sync.Once
	look := func(d *Delivery) {
		id := message.Load()
		for _, completed := range d.Outcome.Completed {
			if completed.MessageId == id {
				once.Do(func() { done(completed, nil) })
			}
		}
		switch d.Outcome.Lifecycle {
		case actorlogv1.Lifecycle_LIFECYCLE_DESTROYED, actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED:
			once.Do(func() { done(nil, actor.ErrNotFound) })
		}
	}
	w := &Watch{
		Outcome: look,
		Gap: func() {
			once.Do(func() { done(nil, fmt.Errorf("%w: whether the message was completed was missed", ErrGone)) })
		},
	}
	type answer struct {
		d        *Delivery
		replayed bool
		err      error
	}
	answered := make(chan answer, 1)
	err := c.Ask(ctx, Request{Hash: hash, Action: a, Watch: w}, func(d *Delivery, replayed bool, err error) {
		if err == nil {
			message.Store(d.Outcome.Ref)
		}
		answered <- answer{d, replayed, err}
	})
	if err != nil {
		return nil, nil, err
	}
	got := <-answered
	if got.err != nil || got.d.Outcome.Error != nil {
		return got.d, nil, got.err
	}
	if !got.d.Outcome.Enqueued { // no such queue: it was dropped
		c.Unwatch(w)
		return got.d, nil, nil
	}
	if got.replayed {
		// It may have been completed between the first request and the watch.
		p := got.d.Position.Partition
		now := schemas.Position{Partition: p, Offset: c.shards[p].position.Load()}
		err := c.Since(ctx, hash, got.d.Position, now, func(d *Delivery) bool { look(d); return true })
		if err != nil {
			c.Unwatch(w)
			return got.d, nil, err
		}
	}
	return got.d, w, nil
}

var _ actor.Subscriber = (*Client)(nil)

// Subscribe implements actor.Subscriber. Rules about who may subscribe are for clients, and do not bind callers over the log.
func (c *Client) Subscribe(ctx context.Context, t actor.Target, event string, fn func(json.RawMessage), lost func(error)) error {
	hash, err := actor.Address(&actorlogv1.Action{}, t)
	if err != nil {
		return err
	}
	select {
	case <-c.started:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return eventlog.ErrClosed
	}
	// The goroutine that reads the log must not wait for fn.
	var mu sync.Mutex
	var waiting []json.RawMessage
	var failed error
	more := make(chan struct{}, 1)
	put := func(args []json.RawMessage, err error) {
		mu.Lock()
		defer mu.Unlock()
		waiting = append(waiting, args...)
		if failed == nil {
			failed = err
		}
		select {
		case more <- struct{}{}:
		default:
		}
	}
	w := &Watch{
		Outcome: func(d *Delivery) {
			var args []json.RawMessage
			for _, b := range d.Outcome.Broadcasts {
				if b.Name == event && b.To == "" {
					args = append(args, b.ArgsJson)
				}
			}
			if len(args) > 0 {
				put(args, nil)
			}
		},
		Gap: func() { put(nil, fmt.Errorf("%w: events were missed", ErrGone)) },
	}
	c.Watch(hash, w)
	c.wg.Go(func() {
		defer c.Unwatch(w)
		for {
			mu.Lock()
			batch, err := waiting, failed
			waiting = nil
			mu.Unlock()
			for _, args := range batch {
				if ctx.Err() != nil {
					return
				}
				fn(args)
			}
			if err != nil {
				lost(err)
				return
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			case <-c.ctx.Done():
				lost(eventlog.ErrClosed)
				return
			}
		}
	})
	return nil
}
