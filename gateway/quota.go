package gateway

import (
	"encoding/json"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
)

// rememberedUses bounds the memory of quotas. What was not used for longest is forgotten first, and begins anew.
const rememberedUses = 65536

// quotas bound what one client may ask of one actor, what it may ask of all actors, and what all may ask of one actor: in requests a
// minute, by buckets of tokens that hold a minute's worth, and in requests under way. They are this gateway's: others have
// their own.
type quotas struct {
	pair, caller, actor quota

	mu   sync.Mutex
	uses *simplelru.LRU[use, *usage]
}

// quota is one pair of bounds; zero is no bound.
type quota struct{ perMinute, underWay int }

func (q quota) none() bool { return q.perMinute <= 0 && q.underWay <= 0 }

// use is what is counted: of a client to an actor; to all actors if hash is zero; of all clients if identity is zero.
type use struct {
	identity
	hash schemas.Hash
}

// usage is what was used. Guarded by quotas.mu. It may have been forgotten while requests are under way; they still count down here.
type usage struct {
	bucket   *rate.Limiter // nil if the rate is not bounded
	underWay int
}

// place is the requests under way that a request is counted among; at most one for each quota.
type place struct {
	q    *quotas
	used [3]*usage
}

// release gives the place back, once. The zero place is nobody's.
func (p place) release() {
	if p.q == nil {
		return
	}
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	for _, u := range p.used {
		if u != nil {
			u.underWay--
		}
	}
}

// newQuotas returns nil if there are no bounds; all methods take that.
func newQuotas(cfg *Config) *quotas {
	q := &quotas{
		pair:   quota{cfg.RateLimit, cfg.MaxUnderWay},
		caller: quota{cfg.CallerRateLimit, 0},
		actor:  quota{cfg.ActorRateLimit, cfg.MaxActorUnderWay},
	}
	if q.pair.none() && q.caller.none() && q.actor.none() {
		return nil
	}
	uses, err := simplelru.NewLRU[use, *usage](rememberedUses, nil)
	if err != nil {
		panic(err) // a size that is not positive
	}
	q.uses = uses
	return q
}

// counted is a use and its quota.
type counted struct {
	quota
	use
}

// of lists what a request counts as. A client that is not known is bounded by the actor's quota alone.
func (q *quotas) of(from identity, to schemas.Hash) (all [3]counted) {
	if from.known() {
		from = from.counted()
		all[0] = counted{q.pair, use{from, to}}
		all[1] = counted{q.caller, use{identity: from}}
	}
	all[2] = counted{q.actor, use{hash: to}}
	return all
}

// usage finds or begins what is counted for a use. q.mu is held.
func (q *quotas) usage(c counted) *usage {
	u, ok := q.uses.Get(c.use)
	if !ok {
		u = new(usage)
		if c.perMinute > 0 {
			u.bucket = rate.NewLimiter(rate.Limit(float64(c.perMinute)/time.Minute.Seconds()), c.perMinute)
		}
		q.uses.Add(c.use, u)
	}
	return u
}

// exceeded says what a request would exceed.
type exceeded struct {
	// actor: so many are under way to the actor, of whomever. Otherwise a quota is used up.
	actor bool
	// after is when a request may be let in again.
	after time.Duration
}

// take lets a request begin, and returns its place; or nothing is counted, and the second result says why.
func (q *quotas) take(from identity, to schemas.Hash, now time.Time) (place, *exceeded) {
	if q == nil {
		return place{}, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	p := place{q: q}
	all := q.of(from, to)
	var used [len(all)]*usage
	for i, c := range all {
		if c.none() {
			continue
		}
		u := q.usage(c)
		used[i] = u
		if c.underWay > 0 && u.underWay >= c.underWay {
			return place{}, &exceeded{actor: !c.known(), after: time.Second}
		}
		if u.bucket != nil {
			if tokens := u.bucket.TokensAt(now); tokens < 1 {
				return place{}, &exceeded{after: time.Duration((1 - tokens) / float64(u.bucket.Limit()) * float64(time.Second))}
			}
		}
	}
	for i, u := range used {
		if u == nil {
			continue
		}
		if u.bucket != nil {
			u.bucket.AllowN(now, 1)
		}
		if all[i].underWay > 0 {
			u.underWay++
			p.used[i] = u
		}
	}
	return p, nil
}

// reserve counts a message that cannot be refused, for nobody would hear of it, and says how long its sender is not to be read.
func (q *quotas) reserve(from identity, to schemas.Hash, now time.Time) (wait time.Duration) {
	if q == nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.of(from, to) {
		if c.perMinute > 0 {
			wait = max(wait, q.usage(c).bucket.ReserveN(now, 1).DelayFrom(now))
		}
	}
	return wait
}

// charge counts a request that was let in as somebody else's, as far as there is room.
func (q *quotas) charge(from identity, to schemas.Hash, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.of(from, to) {
		if c.perMinute > 0 && c.known() {
			q.usage(c).bucket.AllowN(now, 1)
		}
	}
}

// overQuota is the refusal of a request that a quota has no room for: nothing was done. It says when to come back.
type overQuota struct {
	reason *wire.Error
	after  time.Duration
}

func (o *overQuota) Error() string { return o.reason.Error() }

// Unwrap returns what the client is told.
func (o *overQuota) Unwrap() error { return o.reason }

// errOverloaded is what a worker says when too many actions wait for an actor.
var errOverloaded = &wire.Error{Group: actor.ErrOverloaded.Group, Code: actor.ErrOverloaded.Code, Message: actor.ErrOverloaded.Message}

// takePlace lets a request of a caller to an actor begin, or returns *overQuota. The caller owes a release.
func (g *Gateway) takePlace(from caller, to address) (place, error) {
	p, over := g.quotas.take(from.identity, to.hash, time.Now())
	switch {
	case over == nil:
		return p, nil
	case over.actor:
		return p, &overQuota{errOverloaded, over.after}
	}
	// Error, message and metadata are those of Rivet's gateway.
	e := wire.Errorf("guard", "rate_limit", "Too many requests to '%s %s' from IP %s.", from.method, from.path, from.address)
	e.Metadata, _ = json.Marshal(map[string]string{"method": from.method, "path": from.path, "ip": from.address.String()}) // strings cannot fail
	return p, &overQuota{e, over.after}
}

// retryAfter tells a client when to come back, in whole seconds.
func retryAfter(c *gin.Context, after time.Duration) {
	c.Header("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
}
