package obs

import (
	"context"
	"errors"
	"time"

	"github.com/actorlog/actorlog/actors/remote"
)

// Client is a listener for a process's client of the log.
func (m *Metrics) Client() remote.EventListener {
	appended := m.histograms("actorlog_client_append_seconds", "From handing an action to the log until the brokers acknowledged it, or it failed.", "result")
	answered := m.histograms("actorlog_client_answer_seconds", "From the beginning of a request until its outcome was read, or would not be known.", "result")
	busy := m.counter("actorlog_client_busy_total", "Requests that were refused because too much was under way.")
	missed := m.counter("actorlog_client_missed_events_total", "Times that events of a shard expired before they were read: subscribers were told.")
	ok, failed := appended.WithLabelValues("ok"), appended.WithLabelValues("failed")
	first, repeat := answered.WithLabelValues("ok"), answered.WithLabelValues("replayed")
	return remote.EventListener{
		Appended: func(took time.Duration, err error) {
			if err != nil {
				observe(failed, took)
				return
			}
			observe(ok, took)
		},
		Answered: func(took time.Duration, replayed bool, err error) {
			switch {
			case err == nil && replayed:
				observe(repeat, took)
			case err == nil:
				observe(first, took)
			case errors.Is(err, context.Canceled):
				observe(answered.WithLabelValues("canceled"), took)
			case errors.Is(err, remote.ErrNotAppended):
				observe(answered.WithLabelValues("not_appended"), took)
			default:
				observe(answered.WithLabelValues("unknown"), took)
			}
		},
		Busy:   func(error) { busy.Inc() },
		Missed: func(int32) { missed.Inc() },
	}
}

// FollowClient adds the metrics of what is under way. It is for one client.
func (m *Metrics) FollowClient(c *remote.Client) {
	m.gauge("actorlog_client_pending_requests", "Requests that wait for their outcome.", func() float64 {
		n, _ := c.Pending()
		return float64(n)
	})
	m.gauge("actorlog_client_unacknowledged_bytes", "Bytes of actions on their way to the brokers.", func() float64 { return float64(c.Unacknowledged()) })
	m.gauge("actorlog_client_behind_events", "Events of the shard that is furthest behind, while requests wait for long.", func() float64 { return float64(c.Behind()) })
}
