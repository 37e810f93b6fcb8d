package obs

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/tracecontext"
)

// slowRecovery is from when on a recovery is more than detail in a log: every shard at every start is too much for a terminal.
const slowRecovery = time.Second

// Worker is a listener for a worker that logs to log.
func (m *Metrics) Worker(log *zap.Logger) host.EventListener {
	claims := m.counter("actorlog_worker_claims_total", "Shards that this worker has claimed and recovered: changes of ownership, and terms begun anew after a failure.")
	closed := m.counters("actorlog_worker_shards_closed_total", "Terms that ended: released in peace, or failed.", "result")
	retries := m.counter("actorlog_worker_shard_retries_total", "Attempts to open or keep a shard that failed and are repeated.")
	standby := m.counter("actorlog_worker_standby_retries_total", "Times that following a shard of another worker failed and was begun anew.")
	recovery := m.histogram("actorlog_worker_recovery_seconds", "From the assignment of a shard until it serves.", latencies)
	replayed := m.counter("actorlog_worker_recovered_records_total", "Snapshots and events that were read to recover shards.")
	checkpoints := m.counters("actorlog_worker_checkpoints_total", "Checkpoints that were written, or could not be.", "result")
	checkpoint := m.histogram("actorlog_worker_checkpoint_seconds", "How long a checkpoint took.", latencies)
	snapshots := m.counter("actorlog_worker_snapshots_total", "Snapshots of actors that were written with checkpoints.")
	failures := m.counters("actorlog_worker_action_failures_total", "Errors and panics of actors' code whose cause callers are not told.", "kind")
	bad := m.counters("actorlog_worker_bad_records_total", "Records that were passed over because they cannot be read.", "topic")
	broken := m.counter("actorlog_worker_broken_actors_total", "Actors that were taken out of service because their history cannot be applied.")
	actions := m.actions()
	// What has not happened yet is shown as 0.
	for _, result := range []string{"released", "failed"} {
		closed.WithLabelValues(result)
	}
	for _, result := range []string{"ok", "failed"} {
		checkpoints.WithLabelValues(result)
	}
	failures.WithLabelValues("")
	for _, t := range eventlog.Topics() {
		bad.WithLabelValues(t.String())
	}
	return host.EventListener{
		ShardOpened: func(e host.ShardOpened) {
			claims.Inc()
			observe(recovery, e.Duration)
			replayed.Add(float64(e.Snapshots + e.Events))
			level := zap.DebugLevel
			if e.Duration > slowRecovery {
				level = zap.InfoLevel
			}
			log.Log(level, "shard opened", zap.Int32("shard", e.Partition), zap.Int64("epoch", e.Epoch), zap.Bool("warm", e.Warm), zap.Int("snapshots", e.Snapshots),
				zap.Int("events", e.Events), zap.Int64("resume_at", e.ResumeAt), zap.Duration("took", e.Duration))
		},
		ShardClosed: func(p int32, err error) {
			level, result := zap.DebugLevel, "released"
			if err != nil {
				level, result = zap.WarnLevel, "failed"
			}
			closed.WithLabelValues(result).Inc()
			log.Log(level, "shard closed", zap.Int32("shard", p), zap.NamedError("reason", err))
		},
		ShardRetry: func(p int32, err error) {
			retries.Inc()
			log.Warn("shard will be tried again", zap.Int32("shard", p), zap.Error(err))
		},
		StandbyRetry: func(p int32, err error) {
			standby.Inc()
			log.Warn("shard of another worker will be followed anew", zap.Int32("shard", p), zap.Error(err))
		},
		Checkpoint: func(e host.Checkpoint) {
			checkpoints.WithLabelValues(resultOf(e.Err)).Inc()
			if e.Err != nil {
				log.Warn("checkpoint", zap.Int32("shard", e.Partition), zap.Error(e.Err))
				return
			}
			observe(checkpoint, e.Duration)
			snapshots.Add(float64(e.Snapshots))
			log.Debug("checkpoint", zap.Int32("shard", e.Partition), zap.Int("snapshots", e.Snapshots), zap.Duration("took", e.Duration))
		},
		ActionFailed: func(e host.ActionFailed) {
			failures.WithLabelValues(e.Kind).Inc()
			log.Error("action failed", zap.String("actor", e.ActorID), zap.String("kind", e.Kind), zap.String("key", e.Key),
				zap.String("action", e.Action), zap.String("request", e.RequestID), zap.String("detail", e.Detail), tracecontext.Field(e.Span))
		},
		BadRecord: func(topic string, p int32, offset int64, err error) {
			bad.WithLabelValues(topic).Inc()
			log.Warn("record passed over", zap.String("topic", topic), zap.Int32("shard", p), zap.Int64("offset", offset), zap.Error(err))
		},
		ActorBroken: func(id string, err error) {
			broken.Inc()
			log.Error("actor out of service", zap.String("actor", id), zap.Error(err))
		},
		ActionDone: actions,
	}
}

// What actions came to.
const (
	resultOK       = "ok"
	resultUser     = "user_error"
	resultRefused  = "refused"
	resultOverload = "overloaded"
	resultTimeout  = "timed_out"
	resultInternal = "internal_error"
)

func resultOfAction(group, code string) string {
	switch {
	case code == "":
		return resultOK
	case group == "user":
		return resultUser
	case code == "internal_error":
		return resultInternal
	case code == "overloaded":
		return resultOverload
	case code == "action_timed_out":
		return resultTimeout
	}
	return resultRefused
}

// actions counts and times what is committed. Looking metrics up by their labels costs more than counting, so what was looked up is kept.
func (m *Metrics) actions() func(host.ActionDone) {
	count := m.counters("actorlog_worker_actions_total", "Outcomes that were committed, by what the caller was told.", "kind", "action", "result")
	took := m.histograms("actorlog_worker_action_seconds", "From reading an action to the acknowledgement of its outcome.", "kind", "action")
	ran := m.histograms("actorlog_worker_action_run_seconds", "How long actors' code ran.", "kind", "action")
	late := m.histogram("actorlog_worker_schedule_lateness_seconds", "How long after its time the firing of a schedule was committed.", latencies)
	type key struct{ kind, action, result string }
	type counted struct {
		count     prometheus.Counter
		took, ran prometheus.Observer
	}
	var known sync.Map // of key and counted
	return func(e host.ActionDone) {
		k := key{e.Kind, e.Action, resultOfAction(e.Group, e.Code)}
		c, ok := known.Load(k)
		if !ok {
			c, _ = known.LoadOrStore(k, counted{
				count.WithLabelValues(k.kind, k.action, k.result), took.WithLabelValues(k.kind, k.action), ran.WithLabelValues(k.kind, k.action),
			})
		}
		of := c.(counted)
		of.count.Inc()
		observe(of.took, e.Took)
		if e.Ran > 0 {
			observe(of.ran, e.Ran)
		}
		if e.Fired {
			observe(late, e.Late)
		}
	}
}

// sampleEvery is how often the ends of actions are asked for, and sampleTimeout how long the brokers have to answer.
const (
	sampleEvery   = 5 * time.Second
	sampleTimeout = 4 * time.Second
)

// FollowWorker adds the metrics of the worker's shards and keeps their lag up to date until ctx ends.
func (m *Metrics) FollowWorker(ctx context.Context, w *host.Worker, log eventlog.Log) {
	s := &shards{worker: w, ends: make(map[int32]int64)}
	m.registry.MustRegister(s)
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		s.sample(ctx, log)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// shards implements prometheus.Collector: what the shards are when somebody asks.
type shards struct {
	worker *host.Worker
	mu     sync.Mutex
	ends   map[int32]int64 // of actions
}

func (s *shards) sample(ctx context.Context, log eventlog.Log) {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	ends := make(map[int32]int64)
	for _, stats := range s.worker.Shards() {
		if _, end, err := log.Bounds(ctx, eventlog.Actions, stats.Partition); err == nil {
			ends[stats.Partition] = end
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = ends
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	shardsOwned     = describe("actorlog_worker_shards", "Shards that this worker serves.")
	shardsPending   = describe("actorlog_worker_shards_recovering", "Shards that this worker was given and does not serve yet.")
	shardLag        = describe("actorlog_worker_lag_actions", "Actions of a shard that were written and not read.", "shard")
	shardUnanswered = describe("actorlog_worker_unanswered_actions", "Actions of a shard from the first that has no outcome on.", "shard")
	shardQueued     = describe("actorlog_worker_queued_actions", "Actions that wait in mailboxes of a shard.", "shard")
	shardBytes      = describe("actorlog_worker_queued_bytes", "Bytes of the actions that wait in mailboxes of a shard.", "shard")
	shardAwake      = describe("actorlog_worker_actors_awake", "Actors of a shard in memory.", "shard")
	shardAsleep     = describe("actorlog_worker_actors_hibernated", "Actors of a shard that live and are not in memory.", "shard")
	shardSchedules  = describe("actorlog_worker_schedules", "Schedules of a shard that stand.", "shard")
	shardParked     = describe("actorlog_worker_parked_actions", "Actions of a shard that were set aside because workers did not survive them.", "shard")
	shardCheckpoint = describe("actorlog_worker_checkpoint_age_seconds", "Time since the last checkpoint of a shard, or since it began to serve.", "shard")
)

// Describe implements prometheus.Collector.
func (s *shards) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s *shards) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s.mu.Lock()
	ends := s.ends
	s.mu.Unlock()
	all := s.worker.Shards()
	gauge(shardsOwned, float64(len(all)))
	gauge(shardsPending, float64(s.worker.Recovering()))
	for _, stats := range all {
		shard := strconv.Itoa(int(stats.Partition))
		if end, ok := ends[stats.Partition]; ok {
			gauge(shardLag, float64(max(0, end-stats.Read)), shard)
			gauge(shardUnanswered, float64(max(0, end-stats.Low)), shard)
		}
		gauge(shardQueued, float64(stats.Queued), shard)
		gauge(shardBytes, float64(stats.QueuedBytes), shard)
		gauge(shardAwake, float64(stats.Awake), shard)
		gauge(shardAsleep, float64(max(0, stats.Actors-stats.Awake)), shard)
		gauge(shardSchedules, float64(stats.Schedules), shard)
		gauge(shardParked, float64(stats.Parked), shard)
		since := stats.Checkpointed
		if since.Before(stats.Opened) {
			since = stats.Opened
		}
		gauge(shardCheckpoint, time.Since(since).Seconds(), shard)
	}
}
