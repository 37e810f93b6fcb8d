package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/olahol/melody"
	"go.opentelemetry.io/otel/trace"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/schemas"
)

// Gateway serves clients over HTTP and WebSocket. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	client   *remote.Client
	tracer   trace.Tracer
	engine   *gin.Engine
	sockets  *melody.Melody // of /connect
	raws     *melody.Melody // of /websocket
	rooms    rooms
	sessions sessions
	// rejections is nil if they are not bounded.
	rejections *rejections
	load       load
	// quotas is nil if there are none.
	quotas    *quotas
	callers   *callers
	kinds     *lru.Cache[schemas.Hash, string] // see kindOf
	started   time.Time
	forwarded sync.Once // the warning of clientAddress
	// farewells go on for a while after their sessions.
	farewells farewells
	// recoveries are of event streams, and subscribing holds one element for each that asks its actor.
	recoveries  recoveries
	subscribing chan struct{}
	// upgrading holds one element for each socket that is being made. All that come at once would keep the processors from everything else for
	// seconds, because who is ready to run is served in turn.
	upgrading chan struct{}

	// closing is closed when Shutdown begins: streams end, readiness is denied.
	closing   chan struct{}
	closeOnce sync.Once
	hubOnce   sync.Once
	// opening is the context of connections that are asked for. It ends when Shutdown begins.
	opening     context.Context
	stopOpening context.CancelFunc
}

// New makes a gateway on a client of the log, which stays the caller's and must outlive
// it. It owns goroutines, which Shutdown ends.
func New(client *remote.Client, cfg Config) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring the gateway: %w", err)
	}
	cfg.setDefaults()
	cfg.Listener.setDefaults()
	g := &Gateway{
		cfg: cfg, client: client, tracer: tracer(cfg.Tracing), closing: make(chan struct{}), rejections: newRejections(&cfg), quotas: newQuotas(&cfg), callers: newCallers(), kinds: newKinds(), started: time.Now(),
	}
	g.rooms.init(g)
	g.sessions.init()
	g.farewells.init(g)
	g.recoveries.init(g)
	g.upgrading = make(chan struct{}, runtime.GOMAXPROCS(0))
	g.subscribing = make(chan struct{}, cfg.MaxSubscribing)
	g.opening, g.stopOpening = context.WithCancel(context.Background())
	g.sockets, g.raws = g.newSockets(cfg.MaxIncomingMessageBytes), g.newSockets(cfg.MaxSocketMessageBytes)
	g.engine = g.newEngine()
	return g, nil
}

// Handler serves all routes.
func (g *Gateway) Handler() http.Handler { return g.engine }

// Shutdown drains the gateway: from now on it is not ready, sessions are closed with
// ws.going_away, also those that still arrive, and event streams end, so that their clients
// turn to another gateway. It returns when all are gone and their actors have been told in the log; when ctx ends before, the rest is
// cut off and ctx's cause returned. Other requests are the HTTP server's to wait for. Call it
// before the server's Shutdown, or at the same time. Further calls wait too.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.closeOnce.Do(func() { close(g.closing) })
	for _, s := range g.sessions.drain() {
		s.goAway()
	}
	// Nobody is left who wants them. Whether they were opened is not waited for: that they are over is enough to tell.
	g.stopOpening()
	err := g.sessions.wait(ctx)
	g.recoveries.close()
	g.farewells.drain()
	err = errors.Join(err, g.farewells.wait(ctx))
	// Once, and after the last socket: melody's hub, when closed, leaves whoever still calls
	// it waiting for ever.
	g.hubOnce.Do(func() { _, _ = g.sockets.Close(), g.raws.Close() })
	return err
}

func (g *Gateway) draining() bool {
	select {
	case <-g.closing:
		return true
	default:
		return false
	}
}
