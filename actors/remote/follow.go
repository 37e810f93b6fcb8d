package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/tracecontext"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// follow reads events for as long as the client lives.
func (c *Client) follow() {
	for p := range c.shards {
		if !c.locate(int32(p)) {
			return
		}
	}
	c.up.Store(true)
	close(c.started)
	c.noteReady()
	for {
		for p := range c.shards {
			c.shards[p].moved = false
		}
		records, err := c.tail.Poll(c.ctx)
		var gone *eventlog.PartitionError
		switch {
		case c.ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed):
			return
		case errors.As(err, &gone):
			c.skip(gone)
		case err != nil:
			c.cfg.Logger.Warn("reading events", zap.Error(err))
			pause(c.ctx, time.Second)
		}
		for i := range records {
			if !c.shards[records[i].Partition].moved {
				c.take(&records[i])
			}
		}
	}
}

// locate finds from where a shard is delivered (its end) and starts reading far enough
// before it to meet a claim of the owner. It tries until the brokers answer.
func (c *Client) locate(p int32) bool {
	for {
		start, end, err := c.log.Bounds(c.ctx, eventlog.Events, p)
		if err == nil {
			s := &c.shards[p]
			s.from, s.first = end, start
			s.fence = machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
			s.position.Store(end - 1)
			c.readBack(p, machine.ReadBack)
			return true
		}
		if c.ctx.Err() != nil {
			return false
		}
		c.cfg.Logger.Warn("asking for the end of events", zap.Int32("partition", p), zap.Error(err))
		if !pause(c.ctx, time.Second) {
			return false
		}
	}
}

// readBack starts reading n records before what is delivered.
func (c *Client) readBack(p int32, n int64) {
	s := &c.shards[p]
	s.begin = max(s.first, s.from-n)
	s.ready = s.begin == s.from // nothing is kept
	s.moved = true
	c.tail.Add(p, s.begin)
}

// take handles one record of events, in order.
func (c *Client) take(r *eventlog.Record) {
	s := &c.shards[r.Partition]
	t := schemas.Type(r.Header(schemas.HeaderType))
	if t == schemas.TypeClaim {
		if claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value); err == nil {
			s.fence.Claim(r.Offset, claim)
		}
	}
	counts := false
	if t == schemas.TypeOutcome || t == schemas.TypeStep {
		counts = s.fence.Admits(schemas.PlaceOf(r.Value))
	}
	if r.Offset < s.from {
		if r.Offset == s.from-1 {
			c.arrived(r.Partition)
		}
		return
	}
	if t == schemas.TypeOutcome && counts {
		c.deliver(s, r)
		return
	}
	s.position.Store(r.Offset)
}

// arrived is called when all that was read back has been seen.
func (c *Client) arrived(p int32) {
	s := &c.shards[p]
	if !s.fence.Certain() && s.begin > s.first {
		// No claim in the last records that says which of them count: an owner that does not renew. Read it all.
		c.readBack(p, s.from-s.first)
		return
	}
	s.ready = true
	c.noteReady()
}

func (c *Client) noteReady() {
	for i := range c.shards {
		if !c.shards[i].ready {
			return
		}
	}
	select {
	case <-c.caughtUp:
	default:
		close(c.caughtUp)
	}
}

// deliver hands an outcome to the actor's watches, then to the request that waits for it.
func (c *Client) deliver(s *shard, r *eventlog.Record) {
	hash, ok := schemas.ParseHash(r.Key)
	// The position moves and the watches are looked up in one step: a watch that is registered
	// before gets this outcome, one that is registered after is told a position that
	// includes it. In two steps, one registered in between would get neither.
	c.mu.Lock()
	s.position.Store(r.Offset)
	e := c.watches[hash]
	var watches []*Watch
	if e != nil {
		watches = e.watches
	}
	c.mu.Unlock()
	mine := string(r.Header(schemas.HeaderTo)) == c.cfg.ID
	if !ok || (!mine && e == nil) {
		return
	}
	o, err := outcomeOf(r)
	if err != nil {
		c.cfg.Logger.Warn("an event cannot be read; passing it over", zap.Int32("partition", r.Partition), zap.Error(err))
		return
	}
	d := &Delivery{Position: schemas.Position{Partition: r.Partition, Offset: r.Offset}, Hash: hash, Outcome: o, Span: tracecontext.Of(r)}
	if e != nil && e.admits(o) {
		for _, w := range watches {
			w.Outcome(d)
		}
	}
	if mine {
		c.answer(d)
	}
}

// admits is the other half of the rule that makes an outcome valid: refs increase.
func (e *watched) admits(o *actorlogv1.Outcome) bool {
	if o.RefusedSince != nil {
		return true
	}
	if o.Ref <= e.lastRef {
		return false
	}
	e.lastRef = o.Ref
	return true
}

func (c *Client) answer(d *Delivery) {
	id := d.Outcome.GetAction().GetRequestId()
	if d.Outcome.Repeats == nil {
		// This is the goroutine that reads the log: the request's watch sees every outcome after
		// this one and none before.
		c.finish(id, d, false, nil)
		return
	}
	c.mu.Lock()
	_, ok := c.pending[id]
	c.mu.Unlock()
	if !ok {
		return
	}
	c.wg.Go(func() {
		first, err := c.fetch(c.ctx, d.Position.Partition, *d.Outcome.Repeats, d.Hash)
		if err != nil {
			err = fmt.Errorf("%w: it took effect before, but cannot be read back: %w", ErrUnknownOutcome, err)
		}
		c.finish(id, first, true, err)
	})
}

// skip goes on after a partition could not be read any further: what it held expired while
// this client was cut off from the brokers.
func (c *Client) skip(gone *eventlog.PartitionError) {
	p := gone.Partition
	c.cfg.Logger.Warn("events were missed; subscribers are told", zap.Error(gone))
	c.cfg.Events.Missed(p)
	if !c.locate(p) {
		return
	}
	var gaps []func()
	c.mu.Lock()
	for hash, e := range c.watches {
		if hash.Shard(c.log.Partitions()) != p {
			continue
		}
		for _, w := range e.watches {
			if w.Gap != nil {
				gaps = append(gaps, w.Gap)
			}
		}
	}
	c.mu.Unlock()
	for _, gap := range gaps {
		gap()
	}
}

// pause waits, or returns false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
