package remote

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Position is how far the client has read a shard: whatever a watch has been shown so far stands at or before it.
func (c *Client) Position(shard int32) schemas.Position {
	return schemas.Position{Partition: shard, Offset: c.shards[shard].position.Load()}
}

// Since reads the valid outcomes of one actor after position from up to and including
// position to, in log order, straight from the log, and calls fn for each until fn returns
// false. ErrGone when events after from are no longer kept. from.Offset may be -1: from the beginning.
func (c *Client) Since(ctx context.Context, hash schemas.Hash, from, to schemas.Position, fn func(*Delivery) bool) error {
	r := &Reader{Hash: hash, After: from, To: to, Outcome: fn}
	if err := c.SinceEach(ctx, hash.Shard(c.log.Partitions()), math.MaxInt64, r); err != nil {
		return err
	}
	return r.Err
}

// Reader is one of several that read one shard back together.
type Reader struct {
	Hash schemas.Hash
	// After and To bound what is read, as the positions that Since takes. SinceEach moves After along: all up to it has been passed on.
	After, To schemas.Position
	// Outcome is called for each valid outcome of the actor, until it returns false. A [Delivery] is shared among readers.
	Outcome func(*Delivery) bool
	// Err is set when this reader cannot go on, though others can: ErrGone as in Since.
	Err error

	over bool
}

func (r *Reader) fail(err error) { r.Err, r.over = err, true }

// SinceEach is Since for several readers of a shard, in one pass over the log, which ends after most records at the latest. Who has not come to its To by
// then, nor has an Err or ended it, goes on with another call. An error of the call itself is nobody's in particular.
func (c *Client) SinceEach(ctx context.Context, shard int32, most int64, readers ...*Reader) error {
	for {
		start, end, err := c.log.Bounds(ctx, eventlog.Events, shard)
		if err != nil {
			return fmt.Errorf("asking for the bounds of events: %w", err)
		}
		p := pass{c: c, shard: shard, lowest: math.MaxInt64, groups: make(map[schemas.Hash]*group)}
		for _, r := range readers {
			p.admit(r, start, end)
		}
		if p.left == 0 {
			return nil
		}
		if most < math.MaxInt64-p.lowest-1 {
			p.to = min(p.to, p.lowest+1+most)
		}
		err = p.run(ctx, start)
		if !errors.Is(err, eventlog.ErrOffsetOutOfRange) {
			return err
		}
		// They expired while they were read: for whom, the new bounds tell.
	}
}

// pass is one way through a shard's events, for all readers that it admits.
type pass struct {
	c          *Client
	shard      int32
	groups     map[schemas.Hash]*group
	left       int   // readers that want more
	lowest, to int64 // of them all: after and up to, but not including, which offset
}

// group is the readers of one actor.
type group struct {
	seen    watched
	readers []*Reader
}

func (p *pass) admit(r *Reader, start, end int64) {
	switch after := r.After.Offset; {
	case r.over:
		return
	case r.After.Partition != p.shard || r.To.Partition != p.shard || r.Hash.Shard(p.c.log.Partitions()) != p.shard:
		r.fail(fmt.Errorf("position %s is not in the actor's shard %d", r.After, p.shard))
		return
	case after+1 < start:
		r.fail(fmt.Errorf("%w: after %s; the first one kept is %d", ErrGone, r.After, start))
		return
	case after >= end:
		r.fail(fmt.Errorf("%w: position %s was never written", ErrGone, r.After))
		return
	case after >= r.To.Offset:
		return
	}
	g := p.groups[r.Hash]
	if g == nil {
		g = &group{seen: watched{lastRef: -1}}
		p.groups[r.Hash] = g
	}
	g.readers = append(g.readers, r)
	p.left++
	p.lowest, p.to = min(p.lowest, r.After.Offset), max(p.to, min(r.To.Offset+1, end))
}

var (
	// errNoClaim says that a scan began after the last claim before what it looks for.
	errNoClaim = errors.New("no claim seen")
	// errEnough says that nobody wants more.
	errEnough = errors.New("enough")
)

// run reads, from far enough before the first record that is wanted to meet a claim.
func (p *pass) run(ctx context.Context, start int64) error {
	for back := int64(machine.ReadBack); ; back *= 8 {
		begin := max(start, p.lowest+1-back)
		err := p.scan(ctx, begin, begin == start)
		switch {
		case errors.Is(err, errNoClaim):
			continue
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		}
		for _, g := range p.groups {
			for _, r := range g.readers {
				if reached := min(r.To.Offset, p.to-1); !r.over && reached > r.After.Offset {
					r.After.Offset = reached
				}
			}
		}
		return nil
	}
}

func (p *pass) scan(ctx context.Context, begin int64, whole bool) error {
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	return eventlog.Scan(ctx, p.c.log, eventlog.Events, p.shard, begin, p.to, func(r *eventlog.Record) error {
		t := schemas.Type(r.Header(schemas.HeaderType))
		if t == schemas.TypeClaim {
			if claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value); err == nil {
				fence.Claim(r.Offset, claim)
			}
			return nil
		}
		counts := (t == schemas.TypeOutcome || t == schemas.TypeStep) && fence.Admits(schemas.PlaceOf(r.Value))
		switch {
		case r.Offset <= p.lowest:
			return nil
		case begin > 0 && !fence.Certain():
			if !whole {
				return errNoClaim
			}
			p.lose(r.Offset)
		case counts && t == schemas.TypeOutcome:
			p.hand(r)
		}
		if p.left == 0 {
			return errEnough
		}
		return nil
	})
}

// lose tells those who want a record of which nobody knows any more whether it counts.
func (p *pass) lose(offset int64) {
	for _, g := range p.groups {
		for _, r := range g.readers {
			if !r.over && r.After.Offset < offset {
				r.fail(fmt.Errorf("%w: after %s; the claim that says which of them are valid has expired", ErrGone, r.After))
				p.left--
			}
		}
	}
}

// hand gives an outcome to the readers of its actor.
func (p *pass) hand(record *eventlog.Record) {
	hash, ok := schemas.ParseHash(record.Key)
	g := p.groups[hash]
	if !ok || g == nil {
		return
	}
	o, err := outcomeOf(record)
	if err == nil && !g.seen.admits(o) {
		return
	}
	d := &Delivery{Position: schemas.Position{Partition: p.shard, Offset: record.Offset}, Hash: hash, Outcome: o}
	for _, r := range g.readers {
		if r.over || record.Offset <= r.After.Offset || record.Offset > r.To.Offset {
			continue
		}
		if err != nil {
			r.fail(err)
		} else {
			r.After.Offset = record.Offset
			r.over = !r.Outcome(d)
		}
		if r.over {
			p.left--
		}
	}
}
