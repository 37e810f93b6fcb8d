package obs

import (
	"github.com/actorlog/actorlog/eventlog"
)

// LogEvents is what an adapter of the log tells: that of package kafkalog has such functions in its listener.
type LogEvents struct {
	// AppendFailed: an append ended with an error.
	AppendFailed func(t eventlog.Topic, partition int32, err error)
	// Rebalanced: what is "assigned", "released" or "lost".
	Rebalanced func(what string, partitions []int32)
}

// Partitions tells how many shards there are.
func (m *Metrics) Partitions(n int32) {
	m.gauge("actorlog_log_partitions", "Shards that there are: partitions of the topics.", func() float64 { return float64(n) })
}

// Log is a listener for the log of a process.
func (m *Metrics) Log() LogEvents {
	failed := m.counters("actorlog_log_append_failures_total", "Appends that ended with an error; the record may have been written all the same.", "topic")
	moved := m.counters("actorlog_log_rebalanced_shards_total", "Shards that the group gave to this worker, took from it, or gave away without asking.", "what")
	for _, t := range eventlog.Topics() {
		failed.WithLabelValues(t.String())
	}
	return LogEvents{
		AppendFailed: func(t eventlog.Topic, _ int32, _ error) { failed.WithLabelValues(t.String()).Inc() },
		Rebalanced:   func(what string, partitions []int32) { moved.WithLabelValues(what).Add(float64(len(partitions))) },
	}
}
