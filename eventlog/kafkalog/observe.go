package kafkalog

import (
	"context"
	"encoding/hex"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	"github.com/twmb/franz-go/plugin/kprom"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

func newMetrics(r prometheus.Registerer) *kprom.Metrics {
	return kprom.NewMetrics("actorlog", kprom.Subsystem("kafka"), kprom.Registerer(r),
		kprom.FetchAndProduceDetail(kprom.ByTopic, kprom.Batches, kprom.Records, kprom.UncompressedBytes, kprom.ConsistentNaming),
		kprom.Histograms(kprom.RequestDurationE2E, kprom.RequestThrottled), kprom.NativeBucketFactor(1))
}

// clientMetrics are those of connections. kprom registers its metrics when it is told of a client, and can be told of one only: the
// producer's (see producerHooks), which is made before the others.
type clientMetrics struct{ m *kprom.Metrics }

var (
	_ kgo.HookBrokerConnect    = clientMetrics{}
	_ kgo.HookBrokerDisconnect = clientMetrics{}
	_ kgo.HookBrokerWrite      = clientMetrics{}
	_ kgo.HookBrokerRead       = clientMetrics{}
	_ kgo.HookBrokerE2E        = clientMetrics{}
	_ kgo.HookBrokerThrottle   = clientMetrics{}
)

// OnBrokerConnect implements [kgo.HookBrokerConnect].
func (h clientMetrics) OnBrokerConnect(meta kgo.BrokerMetadata, took time.Duration, conn net.Conn, err error) {
	h.m.OnBrokerConnect(meta, took, conn, err)
}

// OnBrokerDisconnect implements [kgo.HookBrokerDisconnect].
func (h clientMetrics) OnBrokerDisconnect(meta kgo.BrokerMetadata, conn net.Conn) {
	h.m.OnBrokerDisconnect(meta, conn)
}

// OnBrokerWrite implements [kgo.HookBrokerWrite].
func (h clientMetrics) OnBrokerWrite(meta kgo.BrokerMetadata, key int16, bytes int, wait, took time.Duration, err error) {
	h.m.OnBrokerWrite(meta, key, bytes, wait, took, err)
}

// OnBrokerRead implements [kgo.HookBrokerRead].
func (h clientMetrics) OnBrokerRead(meta kgo.BrokerMetadata, key int16, bytes int, wait, took time.Duration, err error) {
	h.m.OnBrokerRead(meta, key, bytes, wait, took, err)
}

// OnBrokerE2E implements [kgo.HookBrokerE2E].
func (h clientMetrics) OnBrokerE2E(meta kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	h.m.OnBrokerE2E(meta, key, e2e)
}

// OnBrokerThrottle implements [kgo.HookBrokerThrottle].
func (h clientMetrics) OnBrokerThrottle(meta kgo.BrokerMetadata, interval time.Duration, after bool) {
	h.m.OnBrokerThrottle(meta, interval, after)
}

// producerMetrics are what only the client that produces has, and registers all.
type producerMetrics struct{ m *kprom.Metrics }

var (
	_ kgo.HookNewClient           = producerMetrics{}
	_ kgo.HookClientClosed        = producerMetrics{}
	_ kgo.HookProduceBatchWritten = producerMetrics{}
)

// OnNewClient implements [kgo.HookNewClient].
func (h producerMetrics) OnNewClient(cl *kgo.Client) { h.m.OnNewClient(cl) }

// OnClientClosed implements [kgo.HookClientClosed].
func (h producerMetrics) OnClientClosed(cl *kgo.Client) { h.m.OnClientClosed(cl) }

// OnProduceBatchWritten implements [kgo.HookProduceBatchWritten].
func (h producerMetrics) OnProduceBatchWritten(meta kgo.BrokerMetadata, topic string, partition int32, metrics kgo.ProduceBatchMetrics) {
	h.m.OnProduceBatchWritten(meta, topic, partition, metrics)
}

// producerHooks observe the client that appends.
func (c *Config) producerHooks() (opts []kgo.Opt) {
	if c.metrics != nil {
		opts = append(opts, kgo.WithHooks(producerMetrics{c.metrics}))
	}
	if c.Tracing != nil {
		// The propagator does nothing: who appends a record has it name a span, and what was appended is what is written. The owner of a shard
		// hashes its records with their headers.
		opts = append(opts, kgo.WithHooks(producerSpans{kotel.NewTracer(
			kotel.TracerProvider(c.Tracing), kotel.TracerPropagator(propagation.NewCompositeTextMapPropagator()), kotel.ClientID(c.ClientID),
			kotel.KeyFormatter(func(r *kgo.Record) (string, error) { return hex.EncodeToString(r.Key), nil }),
		)}))
	}
	return opts
}

// producerSpans makes spans of those appends alone that are part of a trace: claims, and outcomes of actions that nobody traces, would
// each begin one.
type producerSpans struct{ t *kotel.Tracer }

var (
	_ kgo.HookProduceRecordBuffered   = producerSpans{}
	_ kgo.HookProduceRecordUnbuffered = producerSpans{}
)

func sampled(r *kgo.Record) bool { return trace.SpanContextFromContext(r.Context).IsSampled() }

// OnProduceRecordBuffered implements [kgo.HookProduceRecordBuffered].
func (h producerSpans) OnProduceRecordBuffered(r *kgo.Record) {
	if sampled(r) {
		h.t.OnProduceRecordBuffered(r)
	}
}

// OnProduceRecordUnbuffered implements [kgo.HookProduceRecordUnbuffered].
func (h producerSpans) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	if sampled(r) {
		h.t.OnProduceRecordUnbuffered(r, err)
	}
}

// traced is a context that carries the span of ctx, and nothing else of it: one that ends would take records of others with it.
func traced(ctx context.Context) context.Context {
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		return trace.ContextWithSpanContext(context.Background(), sc)
	}
	return context.Background()
}
