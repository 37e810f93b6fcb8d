// Package obs turns what components tell through their EventListeners into metrics for Prometheus and lines for zap, and decides which
// traces are kept and where they go.
//
// It owns the names of metrics: actorlog_worker_..., actorlog_client_..., actorlog_gateway_..., actorlog_log_..., beside actorlog_kafka_...,
// which are those of the Kafka client. It asks nothing of brokers but in [Metrics.FollowWorker]. Labels are bounded: kinds, actions, topics, shards and
// routes, none of which a client can make up.
package obs

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics of one process. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	make     promauto.Factory
}

// New makes the metrics of a program: those of its runtime, and which build it is.
func New(program, version string) *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{registry: r, make: promauto.With(r)}
	m.make.NewGaugeVec(prometheus.GaugeOpts{
		Name: "actorlog_build_info", Help: "1, with what runs as labels.",
	}, []string{"program", "version"}).WithLabelValues(program, version).Set(1)
	return m
}

// Registerer is where others add metrics of their own.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// Handler serves the metrics in the formats that Prometheus reads.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, EnableOpenMetrics: true})
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	return m.make.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return m.make.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *Metrics) gauge(name, help string, value func() float64) {
	m.make.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

// latencies reach from what memory takes to what a caller does not wait for: a quarter of a millisecond to a minute.
var latencies = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// sizes of what is sent to many.
var sizes = []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return m.make.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

func (m *Metrics) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	return m.make.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: latencies}, labels)
}

// observe is Observe in seconds.
func observe(o prometheus.Observer, d time.Duration) { o.Observe(d.Seconds()) }

// resultOf is ok or failed.
func resultOf(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
