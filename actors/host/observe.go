package host

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/tracecontext"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// ActionDone is about one outcome that the brokers have acknowledged.
type ActionDone struct {
	Partition int32
	// Kind of the actor, and Action: the name that the kind gives it, or of what else it was (connect, sleep, ...). Both are empty when the worker
	// does not know them: whoever calls may make up as many names as he likes.
	Kind, Action string
	// Group and Code of the error that the caller was told; empty when it succeeded.
	Group, Code string
	// Ran is how long the kind's code took, Took how long it was from reading the action to the acknowledgement of its outcome.
	Ran, Took time.Duration
	// Fired says that a schedule fired, Late how long after its time that was committed, by this worker's clock.
	Fired bool
	Late  time.Duration
}

// ShardStats is what a shard is at one moment.
type ShardStats struct {
	Partition int32
	Epoch     int64
	// Read is the next action to be read, Low the first that is not answered: what comes before it is done with.
	Read, Low int64
	// Queued actions wait in mailboxes, and the bytes of their records.
	Queued, QueuedBytes int64
	// Awake actors are in memory, of so many that live.
	Awake, Actors int64
	// Schedules that stand; Parked actions that were set aside and wait for an operator.
	Schedules, Parked int
	// Opened is when the shard began to serve, Checkpointed when its last checkpoint was taken, or nothing was to be written since the one
	// before; zero if neither was in this term.
	Opened, Checkpointed time.Time
}

// Shards is what the shards that this worker serves are, in the order of their partitions.
func (w *Worker) Shards() []ShardStats {
	var all []ShardStats
	for i := range w.shards {
		if s := w.shards[i].Load(); s != nil {
			all = append(all, s.stats())
		}
	}
	return all
}

func (s *shard) stats() ShardStats {
	stats := ShardStats{
		Partition: s.partition, Epoch: s.epoch, Queued: s.queued.Load(), QueuedBytes: s.queuedBytes.Load(), Opened: s.opened,
	}
	if at := s.checkpointed.Load(); at != 0 {
		stats.Checkpointed = time.UnixMilli(at)
	}
	s.readMu.Lock()
	stats.Read = s.nextRead
	s.readMu.Unlock()
	s.cellsMu.Lock()
	stats.Awake = int64(len(s.cells))
	s.cellsMu.Unlock()
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	stats.Low, stats.Schedules, stats.Parked = s.window.Low(), len(s.agenda.byKey), s.parked.len()
	for _, n := range s.census {
		stats.Actors += n
	}
	return stats
}

// Recovering is how many shards the group has given to this worker that it does not serve yet. A worker is ready when there are none, also one that
// was given none.
func (w *Worker) Recovering() (n int) {
	for _, p := range w.owned() {
		if w.shards[p].Load() == nil {
			n++
		}
	}
	return n
}

// trace begins the span of an action, from when it was read until its outcome is acknowledged; nil when nobody traces it. One
// that never gets there is not reported: the action is read again.
func (s *shard) trace(r *eventlog.Record, a *actorlogv1.Action, at time.Time) trace.Span {
	parent := tracecontext.Of(r)
	if !parent.IsValid() || a == nil {
		return nil
	}
	_, span := s.w.tracer.Start(tracecontext.Only(parent), bodyOf(a), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(at),
		trace.WithAttributes(
			attribute.String("messaging.system", "kafka"), attribute.String("actorlog.worker", s.w.cfg.ID),
			attribute.String("actorlog.ref", schemas.Position{Partition: r.Partition, Offset: r.Offset}.String()),
			attribute.String("actorlog.request", a.RequestId),
		))
	return span
}

// spanOf is the span of an action; not valid when nobody traces it.
func (it *item) spanOf() trace.SpanContext {
	if it.span == nil {
		return trace.SpanContext{}
	}
	return it.span.SpanContext()
}

// value is what the context of a run says besides: its span.
func (it *item) value(key any) any {
	if it.span == nil {
		return nil
	}
	return trace.ContextWithSpan(context.Background(), it.span).Value(key)
}

// observed is what there is to tell of an outcome once it is acknowledged.
type observed struct {
	done ActionDone
	at   time.Time
	span trace.Span
	due  int64 // of a schedule that fired
}

func (ob *observed) spanOf() trace.SpanContext {
	if ob == nil || ob.span == nil {
		return trace.SpanContext{}
	}
	return ob.span.SpanContext()
}

// observe prepares the telling; nil when nobody listens. c.mu is held.
func (s *shard) observe(c *cell, it *item, o *actorlogv1.Outcome) *observed {
	if s.w.cfg.Events.ActionDone == nil && it.span == nil {
		return nil
	}
	ob := &observed{at: it.at, span: it.span, done: ActionDone{
		Partition: s.partition, Group: o.GetError().GetGroup(), Code: o.GetError().GetCode(), Ran: time.Duration(o.DurationUs) * time.Microsecond,
	}}
	if def := s.w.registry.Kind(c.head.Kind); def != nil {
		ob.done.Kind = c.head.Kind
		switch name := it.action.GetInvoke().GetName(); {
		case it.fires != "":
			ob.done.Action = it.fires
		case it.action.GetInvoke() == nil:
			ob.done.Action = bodyOf(it.action)
		case def.HasAction(name):
			ob.done.Action = name
		}
	}
	if f := it.action.GetFire(); f != nil && o.Error == nil {
		ob.done.Fired, ob.due = true, f.DueUnixMs
	}
	if it.span != nil {
		it.span.SetName(c.head.Kind + "." + bodyName(it))
		it.span.SetAttributes(attribute.String("actorlog.actor", c.head.ID().String()), attribute.String("actorlog.kind", c.head.Kind),
			attribute.Int64("actorlog.ran_us", o.DurationUs))
		if e := o.Error; e != nil {
			it.span.SetAttributes(attribute.String("error.type", e.Group+"."+e.Code))
			if e.Detail != "" {
				it.span.SetStatus(codes.Error, e.Message)
			}
		}
	}
	return ob
}

// committed tells it. It is called with shard.ackMu held.
func (ob *observed) committed(s *shard, offset int64) {
	if ob == nil {
		return
	}
	if ob.span != nil {
		ob.span.SetAttributes(attribute.String("actorlog.position", schemas.Position{Partition: s.partition, Offset: offset}.String()))
		ob.span.End()
	}
	if s.w.cfg.Events.ActionDone == nil {
		return
	}
	now := time.Now()
	ob.done.Took = now.Sub(ob.at)
	if ob.done.Fired {
		ob.done.Late = max(0, now.Sub(time.UnixMilli(ob.due)))
	}
	s.w.cfg.Events.ActionDone(ob.done)
}

func bodyName(it *item) string {
	switch {
	case it.fires != "":
		return it.fires
	case it.action.GetInvoke() != nil:
		return it.action.GetInvoke().Name
	}
	return bodyOf(it.action)
}

// bodyOf is what an action does: one of a few names, whoever asks.
func bodyOf(a *actorlogv1.Action) string {
	if f := a.ProtoReflect().WhichOneof(a.ProtoReflect().Descriptor().Oneofs().ByName("body")); f != nil {
		return string(f.Name())
	}
	return "none"
}

// tracer of a provider; one that keeps nothing when there is none.
func tracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return p.Tracer("github.com/actorlog/actorlog/actors/host")
}
