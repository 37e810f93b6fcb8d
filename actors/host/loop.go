package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// activation is one stay of an actor in memory.
type activation struct {
	vars any
	// end of the loop's context, nil when the kind has no loop; reader is its side of the queues.
	cancel context.CancelFunc
	reader *reader
}

// begin starts an activation. c.mu is held.
//
// stop makes the shard dead first and ends all activations then, so one that begins afterwards would be ended by nobody.
func (s *shard) begin(c *cell, vars any) {
	s.end(c)
	if s.dead.Load() {
		return
	}
	c.activation = &activation{vars: vars}
	def := s.w.registry.Kind(c.head.Kind)
	if def == nil || def.Loop() == nil {
		return
	}
	client, err := s.w.client()
	if err != nil { // the worker is closing
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.activation.cancel = cancel
	c.activation.reader = &reader{s: s, c: c, more: make(chan struct{}, 1), taken: make(map[int64]struct{})}
	s.ackMu.Lock()
	c.reader = c.activation.reader
	s.ackMu.Unlock()
	id := c.head.ID().String()
	failed := func(err error) {
		failed := ActionFailed{ActorID: id, Kind: c.head.Kind, Key: c.head.Key.String(), Action: "OnRun", Detail: err.Error()}
		var panicked *panicError
		if errors.As(err, &panicked) {
			failed.Detail += "\n" + string(panicked.stack)
		}
		s.w.cfg.Events.ActionFailed(failed)
	}
	h := actor.LoopHost{
		Caller: client, Self: actor.Target{Namespace: c.head.Namespace, Kind: c.head.Kind, ID: id}, Key: c.head.Key, Vars: vars,
		Queue: c.activation.reader, Report: failed,
	}
	run, r := def.Loop(), c.activation.reader
	s.w.loops.Go(func() { // ends when the user's code heeds its context
		defer cancel()
		err := attempt(func() error { return run(actor.NewLoop(ctx, h)) })
		if err != nil && (ctx.Err() == nil || errors.As(err, new(*panicError))) {
			failed(err)
		}
		r.over()
	})
}

// end ends an activation. c.mu is held.
func (s *shard) end(c *cell) {
	if c.activation != nil && c.activation.cancel != nil {
		c.activation.cancel()
		s.ackMu.Lock()
		c.reader = nil
		s.ackMu.Unlock()
	}
	c.activation, c.lulled = nil, time.Time{}
}

// awaited says that there are messages which a loop of the actor takes, or may take for all that is known. While the loop runs, the
// actor stays awake for them. When the loop has ended before its actor, a new one gets them after the next sleep.
// s.ackMu is held.
func (c *cell) awaited() bool {
	return slices.ContainsFunc(c.durable.Queue, func(m *actorlogv1.QueuedMessage) bool {
		_, asked := c.asked[m.Queue]
		return asked || c.asked == nil
	})
}

// reader is a loop's side of its actor's queues. It sees committed messages only.
type reader struct {
	s    *shard
	c    *cell
	more chan struct{} // capacity 1: there may be more
	// taken in this activation. Guarded by shard.ackMu.
	taken map[int64]struct{}
}

// over notes that the loop has ended.
func (r *reader) over() {
	r.s.ackMu.Lock()
	defer r.s.ackMu.Unlock()
	if r.c.reader == r {
		r.c.reader = nil
	}
	r.ask(nil)
}

// ask notes from which queues the loop takes. s.ackMu is held.
func (r *reader) ask(queues []string) {
	if r.c.asked == nil {
		r.c.asked = make(map[string]struct{})
	}
	for _, name := range queues {
		r.c.asked[name] = struct{}{}
	}
}

// signal says that there may be more.
func (r *reader) signal() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// Next implements actor.QueueReader.
func (r *reader) Next(ctx context.Context, queues []string, n int, wait bool) ([]*actorlogv1.QueuedMessage, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		batch, rest := r.take(queues, n)
		if rest {
			r.signal() // somebody else may wait, for another queue
		}
		if len(batch) > 0 || !wait {
			return r.fill(ctx, batch)
		}
		select {
		case <-r.more:
		case <-ctx.Done():
		}
	}
}

func (r *reader) take(queues []string, n int) (batch []*actorlogv1.QueuedMessage, rest bool) {
	r.s.ackMu.Lock()
	defer r.s.ackMu.Unlock()
	r.ask(queues)
	waiting := make(map[int64]struct{}, len(r.c.durable.Queue))
	for _, m := range r.c.durable.Queue {
		waiting[m.Id] = struct{}{}
		if _, taken := r.taken[m.Id]; taken {
			continue
		}
		if len(batch) == n || !slices.Contains(queues, m.Queue) {
			rest = rest || len(batch) == n
			continue
		}
		r.taken[m.Id] = struct{}{}
		batch = append(batch, m)
	}
	for id := range r.taken {
		if _, ok := waiting[id]; !ok {
			delete(r.taken, id)
		}
	}
	return batch, rest
}

// fill reads the bodies that the snapshot left in the log.
func (r *reader) fill(ctx context.Context, batch []*actorlogv1.QueuedMessage) ([]*actorlogv1.QueuedMessage, error) {
	for i, m := range batch {
		if len(m.BodyJson) > 0 || m.Size == 0 {
			continue
		}
		var body []byte
		err := eventlog.Scan(ctx, r.s.w.log, eventlog.Events, r.s.partition, m.Offset, m.Offset+1, func(record *eventlog.Record) error {
			o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.Type(record.Header(schemas.HeaderType)), record.Value)
			if err == nil && o.Ref == m.Id {
				body = o.GetAction().GetEnqueue().GetBodyJson()
			}
			return err
		})
		if err == nil && body == nil {
			err = fmt.Errorf("it is not at offset %d of events", m.Offset)
		}
		if err != nil {
			r.giveBack(batch)
			return nil, fmt.Errorf("reading message %d of queue %s: %w", m.Id, m.Queue, err)
		}
		batch[i] = &actorlogv1.QueuedMessage{Id: m.Id, Queue: m.Queue, BodyJson: body, Offset: m.Offset, Size: m.Size, TimeUnixMs: m.TimeUnixMs}
	}
	return batch, nil
}

func (r *reader) giveBack(batch []*actorlogv1.QueuedMessage) {
	r.s.ackMu.Lock()
	defer r.s.ackMu.Unlock()
	for _, m := range batch {
		delete(r.taken, m.Id)
	}
}

// Complete implements actor.QueueReader.
func (r *reader) Complete(ctx context.Context, done *actorlogv1.Complete) error {
	client, err := r.s.w.client()
	if err != nil {
		return err
	}
	o, err := client.Peer(ctx, r.c.hash, &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Generation: r.generation()}, Body: &actorlogv1.Action_Complete{Complete: done},
	})
	if err != nil {
		return err
	}
	return actor.OutcomeError(o)
}

func (r *reader) generation() uint32 {
	r.s.ackMu.Lock()
	defer r.s.ackMu.Unlock()
	return r.c.durable.Generation
}
