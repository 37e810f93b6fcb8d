package obs

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/actorlog/actorlog/gateway"
)

// Gateway is a listener for a gateway.
func (m *Metrics) Gateway() gateway.EventListener {
	requests := m.counters("actorlog_gateway_requests_total", "HTTP requests that were answered; sockets and event streams when they ended.", "route", "method", "status")
	took := m.histograms("actorlog_gateway_request_seconds", "From the headers of a request to the last byte of its answer; not of sockets and event streams.", "route")
	opened := m.counters("actorlog_gateway_sessions_opened_total", "Sockets that were accepted.", "route")
	lasted := m.histogram("actorlog_gateway_session_seconds", "How long sockets were open.", []float64{.1, 1, 10, 60, 600, 3600, 14400, 86400})
	slow := m.counter("actorlog_gateway_slow_consumers_total", "Sockets and event streams that were closed because they read too slowly.")
	bad := m.counters("actorlog_gateway_bad_input_total", "Requests and messages that were refused for what they contain.", "route")
	streams := m.counters("actorlog_gateway_streams_total", "Event streams that began: fresh, recovered (all that was missed is sent), or lost (that is not to be had any more).", "resume")
	resumed := m.histograms("actorlog_gateway_stream_start_seconds", "From asking for an event stream until it begins.", "resume")
	events := m.counters("actorlog_gateway_events_total", "Events that were passed on, however many subscribers they have.", "face")
	sent := m.counters("actorlog_gateway_messages_total", "Messages that were made of events, one for each subscriber.", "face")
	fanout := m.histogram("actorlog_gateway_fanout_messages", "Messages to sockets that one outcome came to.", sizes)
	for _, resume := range []string{gateway.ResumeFresh, gateway.ResumeRecovered, gateway.ResumeLost} {
		streams.WithLabelValues(resume)
	}
	return gateway.EventListener{
		RequestDone: func(e gateway.RequestInfo) {
			requests.WithLabelValues(e.Route, method(e.Method), strconv.Itoa(e.Status)).Inc()
			if e.Status != http.StatusSwitchingProtocols && !strings.HasSuffix(e.Route, "/events") {
				observe(took.WithLabelValues(e.Route), e.Duration)
			}
		},
		SessionOpened: func(e gateway.SessionInfo) { opened.WithLabelValues(e.Route).Inc() },
		SessionClosed: func(e gateway.SessionInfo) { observe(lasted, e.Duration) },
		SlowConsumer:  func(gateway.SessionInfo) { slow.Inc() },
		BadInput:      func(e gateway.BadInputInfo) { bad.WithLabelValues(e.Route).Inc() },
		StreamOpened: func(e gateway.StreamInfo) {
			streams.WithLabelValues(e.Resume).Inc()
			observe(resumed.WithLabelValues(e.Resume), e.Duration)
		},
		PassedOn: func(e gateway.PassedOn) {
			events.WithLabelValues(e.Face).Add(float64(e.Events))
			sent.WithLabelValues(e.Face).Add(float64(e.Sent))
			if e.Face == "socket" {
				fanout.Observe(float64(e.Sent))
			}
		},
	}
}

// method is a method that is meant: clients may send any word.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// FollowGateway adds the metrics of what a gateway holds.
func (m *Metrics) FollowGateway(g *gateway.Gateway) {
	m.registry.MustRegister(held{g})
}

type held struct{ g *gateway.Gateway }

var (
	gatewaySessions = describe("actorlog_gateway_sessions", "Sockets and event streams that are open.", "type")
	gatewayRequests = describe("actorlog_gateway_requests_under_way", "Requests for actors that are under way.")
	gatewayBodies   = describe("actorlog_gateway_body_bytes", "Bytes of the bodies of requests under way.")
	gatewayDraining = describe("actorlog_gateway_draining", "1 while the gateway shuts down.")
)

// Describe implements prometheus.Collector.
func (h held) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(h, ch) }

// Collect implements prometheus.Collector.
func (h held) Collect(ch chan<- prometheus.Metric) {
	stats := h.g.Stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(gatewaySessions, float64(stats.Sockets), "socket")
	gauge(gatewaySessions, float64(stats.Streams), "stream")
	gauge(gatewayRequests, float64(stats.Requests))
	gauge(gatewayBodies, float64(stats.BodyBytes))
	draining := 0.0
	if stats.Draining {
		draining = 1
	}
	gauge(gatewayDraining, draining)
}
