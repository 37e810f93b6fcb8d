package app

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/projection/chsink"
	"github.com/actorlog/actorlog/projection/projector"
)

const (
	// lookEvery is how often a projector looks which builds there are, and how long it waits after one failed.
	lookEvery = 5 * time.Second
	// tellEvery is how often it says that something still does not work.
	tellEvery = time.Minute
)

// Run fills every build of the projection until ctx ends. What goes wrong is logged and tried again: ClickHouse may be away for as long as it wants.
func (p Projector) Run(ctx context.Context, brokers eventlog.Log, db *chsink.DB, process *Process) error {
	f := &fleet{cfg: p, brokers: brokers, db: db, log: process.Log.Named("projector"), running: make(map[uint32]*filling)}
	if err := f.register(process.Metrics.Registerer()); err != nil {
		return err
	}
	process.Serve("projection", chsink.Handler(db, brokers))
	defer f.wait()
	prepared, told := false, time.Time{}
	for {
		var err error
		if !prepared {
			err = db.Prepare(ctx)
		}
		var builds []chsink.Build
		usable := err == nil || errors.Is(err, chsink.ErrChanged) // what is left of it
		if usable {
			var listing error
			builds, listing = db.Builds(ctx)
			usable, err = listing == nil, errors.Join(err, listing)
		}
		// Who was away may come back without anything.
		prepared = err == nil
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, chsink.ErrNewer) {
			return err
		}
		if usable {
			f.steer(ctx, builds)
		}
		f.measure(ctx)
		switch {
		case err == nil:
			told = time.Time{}
		case time.Since(told) > tellEvery:
			told = time.Now()
			f.log.Warn("ClickHouse will be asked again", zap.Error(err))
			fallthrough
		default:
			f.retries.WithLabelValues("").Inc()
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// fleet is one projector for each build.
type fleet struct {
	cfg     Projector
	brokers eventlog.Log
	db      *chsink.DB
	log     *zap.Logger

	events, batches, bytes, retries *prometheus.CounterVec

	mu      sync.Mutex
	running map[uint32]*filling
	// all is what the log has, as long as it is not known which builds there are.
	all []projector.Lag
}

// filling is the projector of one build.
type filling struct {
	number  uint32
	current bool
	cancel  context.CancelFunc
	done    chan struct{}
	mu      sync.Mutex
	p       *projector.Projector
}

func (f *fleet) wait() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.running {
		b.cancel()
		<-b.done
	}
}

// measure looks what there is to project while ClickHouse has not said which builds there are.
func (f *fleet) measure(ctx context.Context) {
	f.mu.Lock()
	known := len(f.running) > 0
	f.mu.Unlock()
	var all []projector.Lag
	for shard := int32(0); shard < f.brokers.Partitions() && !known; shard++ {
		if start, end, err := f.brokers.Bounds(ctx, eventlog.Events, shard); err == nil {
			all = append(all, projector.Lag{Shard: shard, Next: start, End: end})
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = all
}

// steer starts the projectors of builds that are new, and ends those of builds that were dropped.
func (f *fleet) steer(ctx context.Context, builds []chsink.Build) {
	f.mu.Lock()
	defer f.mu.Unlock()
	live := make(map[uint32]bool)
	for _, b := range builds {
		live[b.Number] = true
		if running := f.running[b.Number]; running != nil {
			running.setCurrent(b.Current)
			continue
		}
		buildCtx, cancel := context.WithCancel(ctx)
		started := &filling{number: b.Number, current: b.Current, cancel: cancel, done: make(chan struct{})}
		f.running[b.Number] = started
		go func() {
			defer close(started.done)
			f.fill(buildCtx, started)
		}()
	}
	for number, b := range f.running {
		if !live[number] {
			b.cancel()
			<-b.done
			delete(f.running, number)
			f.log.Info("build was dropped", zap.Uint32("build", number))
		}
	}
}

// fill runs the projector of a build, and again if it ends.
func (f *fleet) fill(ctx context.Context, b *filling) {
	log := f.log.With(zap.Uint32("build", b.number))
	told := time.Time{}
	for {
		err := f.project(ctx, b, log)
		if ctx.Err() != nil {
			return
		}
		if err != nil && time.Since(told) > tellEvery {
			told = time.Now()
			log.Error("the projection stands still; it is tried again", zap.Error(err))
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return
		}
	}
}

func (f *fleet) project(ctx context.Context, b *filling, log *zap.Logger) error {
	sink, err := f.db.Sink(ctx, b.number, f.brokers.Identity())
	if err != nil {
		return err
	}
	p := projector.New(f.brokers, sink, projector.Config{
		MaxRows: f.cfg.BatchRows, MaxBytes: f.cfg.BatchBytes, MaxDelay: f.cfg.BatchDelay, CacheBytes: f.cfg.CacheBytes, Events: f.listener(b, log),
	})
	b.set(p)
	log.Info("projecting")
	return p.Run(ctx)
}

func (f *fleet) listener(b *filling, log *zap.Logger) projector.EventListener {
	var away, told time.Time
	var mu sync.Mutex
	label := strconv.FormatUint(uint64(b.number), 10)
	return projector.EventListener{
		Written: func(events, _, bytes int, _ time.Duration) {
			f.events.WithLabelValues(label).Add(float64(events))
			f.bytes.WithLabelValues(label).Add(float64(bytes))
			f.batches.WithLabelValues(label).Inc()
			mu.Lock()
			defer mu.Unlock()
			if !away.IsZero() {
				log.Info("ClickHouse is back", zap.Duration("away", time.Since(away)))
				away, told = time.Time{}, time.Time{}
			}
		},
		Retry: func(doing string, _ int, err error) {
			f.retries.WithLabelValues(label).Inc()
			mu.Lock()
			defer mu.Unlock()
			if away.IsZero() {
				away = time.Now()
			}
			if time.Since(told) > tellEvery {
				told = time.Now()
				log.Warn("ClickHouse will be asked again; the log is read no further until then", zap.String("doing", doing), zap.Duration("since", time.Since(away)), zap.Error(err))
			}
		},
		Gap: func(shard int32, from, to int64) {
			log.Error("events expired before they were projected", zap.Int32("shard", shard), zap.Int64("from", from), zap.Int64("to", to))
		},
		ActorBroken: func(id, why string) {
			log.Warn("actor cannot be read any further", zap.String("actor", id), zap.String("reason", why))
		},
	}
}

func (b *filling) set(p *projector.Projector) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.p = p
}

func (b *filling) setCurrent(current bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = current
}

// lag of the build's shards, as far as it is known.
func (b *filling) lag() ([]projector.Lag, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.p == nil {
		return nil, b.current
	}
	return b.p.Lag(), b.current
}

var (
	lagRecords = prometheus.NewDesc("actorlog_projection_lag_records", "Records of the events topic that are not projected yet: all, as long as ClickHouse has not said how far it is, and of no build, as long as it has not said which there are.", []string{"build", "shard"}, nil)
	nextOffset = prometheus.NewDesc("actorlog_projection_next_offset", "Offset in the events topic up to which all is projected.", []string{"build", "shard"}, nil)
	buildShown = prometheus.NewDesc("actorlog_projection_current", "1 for the build that the views show.", []string{"build"}, nil)
)

func (f *fleet) register(r prometheus.Registerer) error {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"build"})
	}
	f.events = counter("actorlog_projection_events_total", "Rows of events that were written, those that were written again included.")
	f.bytes = counter("actorlog_projection_bytes_total", "Bytes of rows that were written, about.")
	f.batches = counter("actorlog_projection_batches_total", "Batches that were written.")
	f.retries = counter("actorlog_projection_retries_total", "Attempts to reach ClickHouse that failed and are made again; without a build, to list builds and prepare tables.")
	for _, c := range []prometheus.Collector{f.events, f.bytes, f.batches, f.retries, f} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Describe implements prometheus.Collector.
func (f *fleet) Describe(ch chan<- *prometheus.Desc) {
	ch <- lagRecords
	ch <- nextOffset
	ch <- buildShown
}

// Collect implements prometheus.Collector.
func (f *fleet) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.all {
		ch <- prometheus.MustNewConstMetric(lagRecords, prometheus.GaugeValue, float64(l.Records()), "", strconv.FormatInt(int64(l.Shard), 10))
	}
	for number, b := range f.running {
		label := strconv.FormatUint(uint64(number), 10)
		shards, current := b.lag()
		shown := 0.0
		if current {
			shown = 1
		}
		ch <- prometheus.MustNewConstMetric(buildShown, prometheus.GaugeValue, shown, label)
		for _, l := range shards {
			shard := strconv.FormatInt(int64(l.Shard), 10)
			ch <- prometheus.MustNewConstMetric(lagRecords, prometheus.GaugeValue, float64(l.Records()), label, shard)
			ch <- prometheus.MustNewConstMetric(nextOffset, prometheus.GaugeValue, float64(l.Next), label, shard)
		}
	}
}
