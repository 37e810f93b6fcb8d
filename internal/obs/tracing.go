package obs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Tracing says which traces are kept and where they go. The zero value traces nothing.
type Tracing struct {
	// Endpoint of a collector that speaks OTLP over HTTP, as http://host:4318; without a path, the usual one. Empty: no traces. Headers,
	// certificates and the like come from the environment, OTEL_EXPORTER_OTLP_....
	Endpoint string
	// Ratio of requests that are traced, 0 to 1.
	Ratio float64
	// Program and Version that the spans are of, and Instance of the program.
	Program, Version, Instance string
	// Edge says that requests come from strangers: then dice decide here whether a request is traced, whatever its client says and
	// whatever id it has chosen. Otherwise what is part of a trace that is kept, is kept.
	Edge bool
	// Log is told when spans could not be handed over. Default: nobody.
	Log *zap.Logger
}

// exportTimeout bounds one attempt to hand spans over.
const exportTimeout = 10 * time.Second

// Open makes the provider, nil if nothing is traced. Close hands over what it still has.
func (t Tracing) Open(ctx context.Context) (provider trace.TracerProvider, closeAll func(context.Context) error, err error) {
	if t.Endpoint == "" {
		return nil, func(context.Context) error { return nil }, nil
	}
	endpoint, err := url.Parse(t.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return nil, nil, fmt.Errorf("traces cannot be sent to %q: want http://host:4318", t.Endpoint)
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = "/v1/traces"
	}
	if t.Log == nil {
		t.Log = zap.NewNop()
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.String()), otlptracehttp.WithTimeout(exportTimeout))
	if err != nil {
		return nil, nil, fmt.Errorf("preparing to send traces to %s: %w", t.Endpoint, err)
	}
	p := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(logged{exporter, t.Log}),
		sdktrace.WithSampler(t.sampler()),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "actorlog-"+t.Program), attribute.String("service.version", t.Version),
			attribute.String("service.instance.id", t.Instance),
		)),
	)
	return p, p.Shutdown, nil
}

// logged is an exporter whose failures are told to a logger: the package's own way is a handler for the whole process.
type logged struct {
	sdktrace.SpanExporter
	log *zap.Logger
}

// ExportSpans implements sdktrace.SpanExporter.
func (l logged) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := l.SpanExporter.ExportSpans(ctx, spans); err != nil {
		l.log.Warn("traces could not be handed over", zap.Int("spans", len(spans)), zap.Error(err))
	}
	return nil
}

func (t Tracing) sampler() sdktrace.Sampler {
	ratio := sdktrace.TraceIDRatioBased(t.Ratio)
	if t.Edge {
		return sdktrace.ParentBased(ratio, sdktrace.WithRemoteParentSampled(dice(t.Ratio)), sdktrace.WithRemoteParentNotSampled(dice(t.Ratio)))
	}
	return sdktrace.ParentBased(ratio)
}

// dice samples a part of all spans. A ratio of ids would let clients choose one that is always kept.
type dice float64

// ShouldSample implements sdktrace.Sampler.
func (d dice) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	if rand.Float64() < float64(d) {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

// Description implements sdktrace.Sampler.
func (d dice) Description() string { return fmt.Sprintf("dice{%g}", float64(d)) }
