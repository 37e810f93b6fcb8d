package gateway

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/internal/tracecontext"
)

// Stats is what a gateway holds at one moment.
type Stats struct {
	// Sockets and Streams that are open, of both protocols.
	Sockets, Streams int
	// Requests for actors that are under way, and the bytes of their bodies.
	Requests, BodyBytes int64
	// Draining: Shutdown has begun.
	Draining bool
}

// Stats of now.
func (g *Gateway) Stats() Stats {
	sockets, streams := g.sessions.counts()
	return Stats{
		Sockets: sockets, Streams: streams, Requests: g.load.requests.Load(), BodyBytes: g.load.bytes.Load(), Draining: g.draining(),
	}
}

func tracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return p.Tracer("github.com/actorlog/actorlog/gateway")
}

// trace begins the span of a request, which goes on what the client says it is part of. Without a provider the records still name the
// client's own.
func (g *Gateway) trace(r *http.Request) (*http.Request, trace.Span) {
	if g.cfg.Tracing == nil && r.Header.Get("Traceparent") == "" { // nothing to pay
		return r, noop.Span{}
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := g.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
	return r.WithContext(ctx), span
}

// traced ends the span of a request.
func traced(span trace.Span, ray string, info RequestInfo) {
	if !span.IsRecording() {
		return
	}
	span.SetName(info.Method + " " + info.Route)
	span.SetAttributes(attribute.String("http.request.method", info.Method), attribute.String("http.route", info.Route),
		attribute.Int("http.response.status_code", info.Status), attribute.String("actorlog.ray", ray))
	if info.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// traceMessage begins the span of what a client asks over a socket, which may be open for days: a trace of its own that points to the
// upgrade's.
func (s *session) traceMessage(ctx context.Context, name string) (context.Context, trace.Span) {
	if s.g.cfg.Tracing == nil {
		return ctx, noop.Span{}
	}
	return s.g.tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithLinks(trace.LinkFromContext(ctx)),
		trace.WithAttributes(attribute.String("actorlog.ray", s.ray), attribute.String("actorlog.connection", s.id)))
}

// tracedMessage notes how a message ended, and ends its span.
func tracedMessage(span trace.Span, d *remote.Delivery, err error) {
	if !span.IsRecording() {
		return
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	} else {
		span.SetAttributes(attribute.String("actorlog.position", d.Position.String()))
		if e := outcomeError(d); e != nil {
			span.SetAttributes(attribute.String("error.type", e.Group+"."+e.Code))
		}
	}
	span.End()
}

// passOn begins the span in which an outcome goes to the sockets and streams of its actor.
func (g *Gateway) passOn(d *remote.Delivery) trace.Span {
	if !d.Span.IsValid() || g.cfg.Tracing == nil {
		return noop.Span{}
	}
	// Not as somebody else's, for strangers' traces are not all kept: this one is our worker's.
	_, span := g.tracer.Start(trace.ContextWithSpanContext(context.Background(), d.Span.WithRemote(false)), "pass on",
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("messaging.system", "kafka"), attribute.String("actorlog.position", d.Position.String())))
	return span
}

// passedOn tells to how many an outcome went.
func (g *Gateway) passedOn(span trace.Span, face string, events, sent int) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("actorlog.face", face), attribute.Int("actorlog.sent", sent))
		span.End()
	}
	if events > 0 {
		g.cfg.Listener.PassedOn(PassedOn{Face: face, Events: events, Sent: sent})
	}
}

// The faces through which outcomes are passed on.
const (
	faceSocket = "socket"
	faceStream = "stream"
)

// traceOf is the ids of a request's span for logs.
func traceOf(c *gin.Context) zap.Field {
	return tracecontext.Field(trace.SpanContextFromContext(c.Request.Context()))
}
