package gateway

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/schemas"
)

const (
	// pageOutcomes and pageBytes bound what is read back for one subscriber before it has to ask for more: one that does not read holds no
	// more than this.
	pageOutcomes = 64
	pageBytes    = 256 << 10
	// passRecords is after how many records of the log a pass ends, and the next one has its turn.
	passRecords = 1 << 16
)

// recoveries reads back what subscribers have missed. When a gateway dies, all of its subscribers come to another one
// at once, which has to go on serving those that it had:
//
//   - At most Config.MaxRecoveries passes over the log are under way; everybody else waits, shards in turn.
//   - One pass serves all that wait for its shard, unless they have been away for longer than who has waited longest.
//   - A pass never waits for a subscriber: it fills a page for each, which the subscriber sends before it asks for the next.
type recoveries struct {
	g      *Gateway
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	waiting map[int32][]*page // by shard, who has waited longest first
	turns   []int32           // shards with somebody waiting, in the order in which they are served
	running int
	closed  bool
}

// page is what one subscriber asks for, and gets.
type page struct {
	remote.Reader
	outcomes []*remote.Delivery
	bytes    int
	reached  schemas.Position // all up to it is in outcomes, or was before
	done     chan struct{}
	left     atomic.Bool // nobody waits for it any more
}

func (r *recoveries) init(g *Gateway) {
	r.g, r.waiting = g, make(map[int32][]*page)
	r.ctx, r.cancel = context.WithCancel(context.Background())
}

// read returns the next outcomes of an actor after position after and up to to. Errors are those of [remote.Client.Since]; outcomes that come with one
// precede it.
func (r *recoveries) read(ctx context.Context, hash schemas.Hash, after, to schemas.Position) (*page, error) {
	p := &page{Reader: remote.Reader{Hash: hash, After: after, To: to}, done: make(chan struct{})}
	p.Outcome = p.take
	if !r.enter(p) {
		return p, errUnavailable
	}
	select {
	case <-p.done:
		p.reached = p.After
		return p, p.Err
	case <-r.g.closing:
		p.left.Store(true)
		return new(page), errStreamOver
	case <-ctx.Done():
		p.left.Store(true)
		return new(page), errStreamOver
	}
}

func (p *page) take(d *remote.Delivery) bool {
	if p.left.Load() {
		return false
	}
	p.outcomes = append(p.outcomes, d)
	for _, b := range d.Outcome.Broadcasts {
		p.bytes += len(b.ArgsJson)
	}
	return len(p.outcomes) < pageOutcomes && p.bytes < pageBytes
}

// enter has p read, now or later. It returns false once the gateway is closed.
func (r *recoveries) enter(p *page) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	shard := p.After.Partition
	if len(r.waiting[shard]) == 0 {
		r.turns = append(r.turns, shard)
	}
	r.waiting[shard] = append(r.waiting[shard], p)
	if r.running < r.g.cfg.MaxRecoveries {
		r.running++
		r.wg.Go(r.work)
	}
	return true
}

// work makes passes for as long as somebody waits.
func (r *recoveries) work() {
	for shard, pages := r.next(); pages != nil; shard, pages = r.next() {
		r.pass(shard, pages)
	}
}

// next takes those whose turn it is: who has waited longest, and whoever wants what is read for that one anyway. It returns nil, and counts the
// worker out, when nobody waits.
func (r *recoveries) next() (shard int32, pages []*page) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.turns) > 0 && len(pages) == 0 {
		shard, r.turns = r.turns[0], r.turns[1:]
		var later []*page
		from := int64(-1)
		for _, p := range r.waiting[shard] {
			switch {
			case p.left.Load():
			case from < 0, p.After.Offset >= from:
				if from < 0 {
					from = max(0, p.After.Offset-machine.ReadBack) // read in any case, to meet a claim
				}
				pages = append(pages, p)
			default:
				later = append(later, p)
			}
		}
		if r.waiting[shard] = later; len(later) > 0 {
			r.turns = append(r.turns, shard)
		} else {
			delete(r.waiting, shard)
		}
	}
	if len(pages) == 0 {
		r.running--
	}
	return shard, pages
}

func (r *recoveries) pass(shard int32, pages []*page) {
	readers := make([]*remote.Reader, len(pages))
	for i, p := range pages {
		readers[i] = &p.Reader
	}
	err := r.g.client.SinceEach(r.ctx, shard, passRecords, readers...)
	for _, p := range pages {
		if p.Err == nil && err != nil {
			p.Err = fmt.Errorf("reading back: %w", err)
		}
		close(p.done)
	}
}

// close ends all passes, and waits for them.
func (r *recoveries) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}
