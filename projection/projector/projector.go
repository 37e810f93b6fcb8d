// Package projector carries the log into a [projection.Sink]: it reads the events of all shards, folds them into rows, and writes these in batches.
//
// It owns batches, the cache of actors, retries and the lag. What rows say is package projection's, and how they are kept that of the sink. Nothing
// waits for it: when the sink is away it tries again, reads no further, and holds no more than two batches and its cache.
//
//	Tail --records--> fold --full, or old enough--> write --acknowledged--> places
//	                    ^                             |
//	                    +------- cache of actors -----+ what is not acknowledged stays in it
//
// # Where it goes on
//
// A sink says how far each shard is. Of the actors, only those that were used last are in memory; any other one is loaded from the sink when a record is about it. It may
// be ahead of its shard's place, when a projector died before it had written that, or another one is at work: then it has the outcome, and its row is written.
package projector

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/projection"
)

// Config of a Projector. The zero value works.
type Config struct {
	// A batch is written when it has MaxRows events, or MaxBytes, or is MaxDelay old and nothing else is being written.
	// Default 65,536, 32 MiB, and 1 s.
	MaxRows, MaxBytes int
	MaxDelay          time.Duration
	// CacheBytes is about how much memory actors may take that are written. Default 64 MiB.
	CacheBytes int
	// RetryAfter is the pause before a batch is written again; it doubles up to MaxRetry. Default 100 ms and 10 s.
	RetryAfter, MaxRetry time.Duration
	// WriteTimeout bounds one attempt to write a batch, or to load actors. Default 2 min.
	WriteTimeout time.Duration
	// Events hears what happens. Default: nobody.
	Events EventListener
}

func (c *Config) setDefaults() {
	if c.MaxRows <= 0 {
		c.MaxRows = 1 << 16
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 32 << 20
	}
	if c.MaxDelay <= 0 {
		c.MaxDelay = time.Second
	}
	if c.CacheBytes <= 0 {
		c.CacheBytes = 64 << 20
	}
	if c.RetryAfter <= 0 {
		c.RetryAfter = 100 * time.Millisecond
	}
	if c.MaxRetry <= 0 {
		c.MaxRetry = 10 * time.Second
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = 2 * time.Minute
	}
}

// EventListener hears what a projector does. Its functions may be nil, may be called by several goroutines, and must not block.
type EventListener struct {
	// Written: a batch is safe.
	Written func(events, actors, bytes int, took time.Duration)
	// Retry: the sink did not do what it was asked, and will be asked again. It is called at every attempt.
	Retry func(doing string, attempt int, err error)
	// Gap: events from the one offset up to the other have expired before they were projected.
	Gap func(shard int32, from, to int64)
	// ActorBroken: an actor's events cannot be read any further.
	ActorBroken func(id string, why string)
}

// Lag is how far one shard is projected.
type Lag struct {
	Shard int32
	// Next record of events to project, and the end of them when it was last looked.
	Next, End int64
}

// Records that are to be projected yet, claims and steps included.
func (l Lag) Records() int64 { return max(l.End-l.Next, 0) }

// Projector carries one log into one sink.
type Projector struct {
	log  eventlog.Log
	sink projection.Sink
	cfg  Config
	// next, and the bounds of the log, are by shard; -1 as long as it is not known.
	next, starts, ends []atomic.Int64
	// kept is up to where the sink has said that it has a shard.
	kept []atomic.Int64
}

// New makes a Projector, which begins with [Projector.Run].
func New(log eventlog.Log, sink projection.Sink, cfg Config) *Projector {
	cfg.setDefaults()
	n := log.Partitions()
	p := &Projector{log: log, sink: sink, cfg: cfg, next: make([]atomic.Int64, n), starts: make([]atomic.Int64, n), ends: make([]atomic.Int64, n), kept: make([]atomic.Int64, n)}
	for i := range p.next {
		p.next[i].Store(-1)
		p.ends[i].Store(-1)
	}
	return p
}

// Lag of all shards of which it is known. As long as the sink has not said how far it is, that is all that the log has. It is safe for concurrent use.
func (p *Projector) Lag() []Lag {
	all := make([]Lag, 0, len(p.next))
	for i := range p.next {
		next, end := p.next[i].Load(), p.ends[i].Load()
		if next < 0 {
			next = p.starts[i].Load()
		}
		if end >= 0 {
			all = append(all, Lag{Shard: int32(i), Next: next, End: end})
		}
	}
	return all
}

// Run projects until ctx ends; then it returns nil. An error says that it cannot go on: the log cannot be read, has records of a newer version, or is shorter than what
// was projected of it; or the sink has lost what it had, and another Projector has to begin where it is now. It is called once.
func (p *Projector) Run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return p.measure(running) })
	group.Go(func() error {
		r, err := p.open(running)
		if err != nil {
			return err
		}
		defer r.tail.Close()
		halves, running := errgroup.WithContext(running)
		halves.Go(func() error { return r.read(running) })
		halves.Go(func() error { return p.write(running, r) })
		return halves.Wait()
	})
	return ended(ctx, group.Wait())
}

// ended turns the end of a context into a peaceful one.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	return err
}

// errBehind says that the log is not the one that was projected.
var errBehind = errors.New("the log ends before what was projected of it: was it restored from a copy? Rebuild the projection")

// open finds out where to begin.
func (p *Projector) open(ctx context.Context) (*reader, error) {
	var places []projection.Place
	err := p.retry(ctx, "asking how far the projection is", func(ctx context.Context) (err error) {
		places, err = p.sink.Places(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	tail, err := p.log.Tail(eventlog.Events)
	if err != nil {
		return nil, fmt.Errorf("opening a tail of events: %w", err)
	}
	r := newReader(p, tail)
	known := make(map[int32]projection.Place, len(places))
	for _, place := range places {
		known[place.Shard] = place
		if place.Shard < int32(len(p.kept)) {
			p.kept[place.Shard].Store(place.Next)
		}
	}
	for shard := range p.log.Partitions() {
		place, ok := known[shard]
		if !ok {
			place = projection.Start(shard)
		}
		if err := r.begin(ctx, place); err != nil {
			tail.Close()
			return nil, err
		}
	}
	return r, nil
}

// retry calls f until it succeeds, ctx ends, or the sink is found to have lost what it had.
func (p *Projector) retry(ctx context.Context, doing string, f func(context.Context) error) error {
	pause := p.cfg.RetryAfter
	for attempt := 1; ; attempt++ {
		limited, cancel := context.WithTimeout(ctx, p.cfg.WriteTimeout)
		var err error
		if attempt > 1 {
			err = p.intact(limited)
		}
		if err == nil {
			err = f(limited)
		}
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errLost) {
			return err
		}
		if p.cfg.Events.Retry != nil {
			p.cfg.Events.Retry(doing, attempt, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, p.cfg.MaxRetry)
	}
}

// lookEvery is how often it is made sure that the sink still has what it had, when nothing goes wrong.
const lookEvery = time.Second

// errLost says that the sink is not where it was: what was written since is to be written again.
var errLost = errors.New("the sink has less than it had: was it restored from a copy, or emptied? What it lacks is projected again")

// intact asks whether the sink still has what it had. A database that comes back without its last rows, or with none, would otherwise be given the rows
// that come next, folded from actors that it does not have, and say that it has all before them.
func (p *Projector) intact(ctx context.Context) error {
	places, err := p.sink.Places(ctx)
	if err != nil {
		return err
	}
	has := make(map[int32]int64, len(places))
	for _, place := range places {
		has[place.Shard] = place.Next
	}
	for i := range p.kept {
		if now, kept := has[int32(i)], p.kept[i].Load(); now < kept {
			return fmt.Errorf("shard %d is projected up to %d, and was up to %d: %w", i, now, kept, errLost)
		}
	}
	return nil
}

// write writes batches in order.
func (p *Projector) write(ctx context.Context, r *reader) error {
	looked := time.Now()
	for {
		var b *batch
		select {
		case b = <-r.full:
		case <-ctx.Done():
			return ctx.Err()
		}
		began := time.Now()
		err := p.retry(ctx, "writing a batch", func(ctx context.Context) error {
			if time.Since(looked) > lookEvery {
				if err := p.intact(ctx); err != nil {
					return err
				}
				looked = time.Now()
			}
			return p.sink.Write(ctx, &b.Batch)
		})
		if err != nil {
			return err
		}
		for _, place := range b.Places {
			p.next[place.Shard].Store(place.Next)
			p.kept[place.Shard].Store(place.Next)
		}
		if p.cfg.Events.Written != nil {
			p.cfg.Events.Written(len(b.Events), len(b.Actors), b.Bytes, time.Since(began))
		}
		r.acknowledged.Store(b.number)
		b.empty()
		r.free <- b // never blocks: there are as many batches as it has room for
	}
}

// measureEvery is how often the ends of the shards are looked for.
const measureEvery = 2 * time.Second

// measure looks where the shards end, for the lag.
func (p *Projector) measure(ctx context.Context) error {
	for {
		for shard := range p.log.Partitions() {
			// What cannot be asked now keeps its last answer.
			if start, end, err := p.log.Bounds(ctx, eventlog.Events, shard); err == nil {
				p.starts[shard].Store(start)
				p.ends[shard].Store(end)
			}
		}
		select {
		case <-time.After(measureEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
