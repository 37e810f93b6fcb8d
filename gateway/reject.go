package gateway

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/actorlog/actorlog/gateway/wire"
)

// errRejectedTooOften must not be one that clients repeat by themselves.
var errRejectedTooOften = &wire.Error{Group: "guard", Code: "rate_limit", Message: "Too many connections of this address were rejected. Wait before connecting again."}

// rememberedAddresses bounds the memory of rejections. Who was not rejected for longest is forgotten first.
const rememberedAddresses = 16384

// rejections slows down clients whose sockets are rejected again and again, for some connect
// again at once and for ever.
//
// Each address has a bucket of tokens. A rejection takes one, also when there is none: then the
// address is in debt, and its next upgrades are put off until the debt is paid, at most maxDelay. So
// the delay grows with every further rejection and goes away by itself; an address without rejections
// costs a look into a map. How many sockets of an address are put off at once is bounded: more are
// turned away before their upgrade.
type rejections struct {
	perSecond rate.Limit
	burst     int
	maxDelay  time.Duration
	maxHeld   int

	mu        sync.Mutex
	offenders *simplelru.LRU[netip.Addr, *offender]
}

// offender is an address that was rejected. Guarded by rejections.mu. It may have been
// forgotten while sockets are held; they still count down here.
type offender struct {
	bucket *rate.Limiter
	held   int // sockets that are being put off
}

// newRejections returns nil if there is no bound; all methods take that.
func newRejections(cfg *Config) *rejections {
	if cfg.MaxRejections < 0 {
		return nil
	}
	offenders, err := simplelru.NewLRU[netip.Addr, *offender](rememberedAddresses, nil)
	if err != nil {
		panic(err) // a size that is not positive
	}
	return &rejections{
		perSecond: rate.Limit(float64(cfg.MaxRejections) / time.Minute.Seconds()), burst: cfg.MaxRejections,
		maxDelay: cfg.MaxRejectDelay, maxHeld: cfg.MaxDelayed, offenders: offenders,
	}
}

// admit says how long an upgrade is to be put off. If that is not zero, the caller owes a
// release. It returns false if too many of the address are put off already.
func (j *rejections) admit(from netip.Addr, now time.Time) (*offender, time.Duration, bool) {
	if j == nil {
		return nil, 0, true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	o, ok := j.offenders.Get(limitedBy(from))
	if !ok {
		return nil, 0, true
	}
	delay := j.debt(o, now)
	if delay <= 0 {
		return nil, 0, true
	}
	if o.held >= j.maxHeld {
		return nil, delay, false
	}
	o.held++
	return o, delay, true
}

// debt is the time until the bucket is back at zero.
func (j *rejections) debt(o *offender, now time.Time) time.Duration {
	seconds := -o.bucket.TokensAt(now) / float64(j.perSecond)
	return min(time.Duration(seconds*float64(time.Second)), j.maxDelay)
}

// charge counts a rejection. The caller may put its end off, and owes a release, unless the
// result is false: too many of the address are put off already.
func (j *rejections) charge(from netip.Addr, now time.Time) (*offender, bool) {
	if j == nil {
		return nil, true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	from = limitedBy(from)
	o, ok := j.offenders.Get(from)
	if !ok {
		o = &offender{bucket: rate.NewLimiter(j.perSecond, j.burst)}
		j.offenders.Add(from, o)
	}
	if j.debt(o, now) < j.maxDelay {
		o.bucket.ReserveN(now, 1) // goes below zero: the debt
	}
	if o.held >= j.maxHeld {
		return nil, false
	}
	o.held++
	return o, true
}

// release ends the time that a socket was put off. It takes nil.
func (j *rejections) release(o *offender) {
	if o == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	o.held--
}

// awaitTurn puts an upgrade off if its client was rejected too often. It returns false if the
// request was answered instead.
func (g *Gateway) awaitTurn(c *gin.Context, from netip.Addr) bool {
	o, delay, ok := g.rejections.admit(from, time.Now())
	if !ok {
		retryAfter(c, delay)
		c.Header("Connection", "close")
		g.writeError(c, http.StatusTooManyRequests, errRejectedTooOften, wire.Format{}, nil)
		return false
	}
	if delay <= 0 {
		return true
	}
	defer g.rejections.release(o)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.closing: // to be told so
	case <-c.Request.Context().Done(): // the upgrade will fail
	}
	return true
}
