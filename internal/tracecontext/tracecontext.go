// Package tracecontext carries a W3C trace context in the headers of a record, so that a trace goes on where the record is read.
// It makes no spans. A header that is malformed is none.
package tracecontext

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
)

// Of is the span that a record was written in; not valid when it names none.
func Of(r *eventlog.Record) trace.SpanContext {
	if r.Header(schemas.HeaderTraceparent) == nil { // nearly always
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), (*carrier)(&r.Headers)))
}

// Append adds a span to the headers of a record that is about to be written; nothing when it is not valid.
func Append(headers []eventlog.Header, sc trace.SpanContext) []eventlog.Header {
	if !sc.IsValid() {
		return headers
	}
	c := carrier(headers)
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), sc), &c)
	return c
}

// Only is a context that carries a span and never ends.
func Only(sc trace.SpanContext) context.Context {
	if !sc.IsValid() {
		return context.Background()
	}
	return trace.ContextWithSpanContext(context.Background(), sc)
}

// carrier implements propagation.TextMapCarrier.
type carrier []eventlog.Header

// Get implements propagation.TextMapCarrier.
func (c *carrier) Get(key string) string {
	for _, h := range *c {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (c *carrier) Set(key, value string) {
	*c = append(*c, eventlog.Header{Key: key, Value: []byte(value)})
}

// Keys implements propagation.TextMapCarrier.
func (c *carrier) Keys() []string {
	keys := make([]string, len(*c))
	for i, h := range *c {
		keys[i] = h.Key
	}
	return keys
}

// Log keys.
const (
	keyTrace = "trace_id"
	keySpan  = "span_id"
)

// Field is the ids of a span for a log; nothing when it is not valid.
func Field(sc trace.SpanContext) zap.Field {
	if !sc.IsValid() {
		return zap.Skip()
	}
	return zap.Inline(zapcore.ObjectMarshalerFunc(func(e zapcore.ObjectEncoder) error {
		e.AddString(keyTrace, sc.TraceID().String())
		e.AddString(keySpan, sc.SpanID().String())
		return nil
	}))
}
