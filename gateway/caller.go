package gateway

import (
	"context"
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/actorlog/actorlog/actors/remote"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// rememberedCallers bounds the memory of who clients turned out to be.
const rememberedCallers = 65536

// identity is what counts as one client: a principal, with its namespace, if an actor has found one, else an address.
type identity struct {
	address   netip.Addr
	principal string
}

// known says whether there is anything to count by. Behind a Unix socket there is not, before an actor has found a principal.
func (i identity) known() bool { return i.address.IsValid() || i.principal != "" }

// counted is the identity as quotas count it.
func (i identity) counted() identity {
	if i.principal != "" {
		return identity{principal: i.principal}
	}
	return identity{address: limitedBy(i.address)}
}

// caller is who asks, and by what request.
type caller struct {
	identity
	shown        uint64 // see callers
	method, path string
}

// callers remembers as whom actors have authenticated clients, by a digest of all that an actor is shown of one. Who a client is
// only its actor can say, and by then its request has been let in: so the first request counts for its address, and those that
// present the same for its principal. Whoever presents something else each time goes on counting for its address.
type callers struct {
	seed maphash.Seed
	mu   sync.Mutex
	who  *simplelru.LRU[uint64, string]
}

func newCallers() *callers {
	who, err := simplelru.NewLRU[uint64, string](rememberedCallers, nil)
	if err != nil {
		panic(err) // a size that is not positive
	}
	return &callers{seed: maphash.MakeSeed(), who: who}
}

// unlike are the headers that differ between the requests of one client and say nothing of who it is: of the request itself, and what
// proxies and tracing call it by.
var unlike = map[string]bool{
	"Content-Length": true, "Idempotency-Key": true, "Last-Event-Id": true, "Sec-Websocket-Key": true,
	"Traceparent": true, "Tracestate": true, "X-Rivet-Ray-Id": true, "X-Request-Id": true, "X-Correlation-Id": true, "X-Request-Start": true,
	"X-Amzn-Trace-Id": true, "X-Cloud-Trace-Context": true, "Cf-Ray": true, "Fly-Request-Id": true, "X-Vercel-Id": true,
	"B3": true, "X-B3-Traceid": true, "X-B3-Spanid": true, "X-B3-Parentspanid": true, "X-B3-Sampled": true,
}

// digest is of all that an actor can see of a client, and of its address.
func (k *callers) digest(r *http.Request, address netip.Addr) uint64 {
	sum := maphash.Comparable(k.seed, address) ^ maphash.String(k.seed, r.RequestURI)
	var h maphash.Hash
	h.SetSeed(k.seed)
	for name, values := range r.Header {
		if unlike[name] {
			continue
		}
		h.Reset()
		h.WriteString(name)
		for _, v := range values {
			h.WriteByte(0)
			h.WriteString(v)
		}
		sum += h.Sum64() // in whatever order
	}
	return sum
}

func (k *callers) recall(shown uint64) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	principal, _ := k.who.Get(shown)
	return principal
}

func (k *callers) remember(shown uint64, principal string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.who.Add(shown, principal)
}

// callerOf is who sent a request.
func (g *Gateway) callerOf(r *http.Request) caller {
	from := caller{identity: identity{address: g.clientAddress(r)}, method: r.Method, path: r.URL.Path}
	if g.quotas != nil {
		from.shown = g.callers.digest(r, from.address)
		from.principal = g.callers.recall(from.shown)
	}
	return from
}

// meets returns a caller as whom its actor has authenticated it, if it has, and counts the request for that one. What it has cost the
// address stays paid.
func (g *Gateway) meets(from caller, d *remote.Delivery) caller {
	principal := d.Outcome.GetAction().GetCaller().GetPrincipal()
	if g.quotas == nil || principal == "" {
		return from
	}
	principal = d.Outcome.GetActor().GetNamespace() + "/" + principal
	if principal != from.principal {
		from.principal = principal
		g.callers.remember(from.shown, principal)
		g.quotas.charge(from.identity, d.Hash, time.Now())
	}
	return from
}

// callerKey is where a call's caller is in its context.
type callerKey struct{}

// calledBy is a request whose context says who sent it.
func calledBy(r *http.Request, from caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, from))
}

// meetsIn is meets for a call, if it was its client's and not the gateway's own question.
func (g *Gateway) meetsIn(ctx context.Context, action *actorlogv1.Action, d *remote.Delivery) {
	if from, ok := ctx.Value(callerKey{}).(caller); ok && action.GetHandshake() != nil {
		g.meets(from, d)
	}
}
