package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/docs"
	"github.com/actorlog/actorlog/gateway/wire"
)

// readyTimeout bounds how long /readyz waits for the brokers.
const readyTimeout = 2 * time.Second

func (g *Gateway) newEngine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// Paths as they were sent: %2F is not a separator, and "//" is an empty part of a key.
	e.UseEscapedPath = true
	e.UnescapePathValues = false
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	e.HandleMethodNotAllowed = true
	e.Use(g.observe, g.recoverPanic, g.guard, g.crossOrigin, g.checkConnParams, g.shed)
	e.NoRoute(func(c *gin.Context) { g.fail(c, errNoRoute) })
	e.NoMethod(func(c *gin.Context) {
		// An actor may take methods that the router has never heard of.
		switch path := c.Request.URL.EscapedPath(); {
		case wire.IsGatewayPath(path):
			c.Writer.Header().Del("Allow")
			g.rivet(c)
			return
		case strings.HasPrefix(path, "/request"):
			c.Writer.Header().Del("Allow")
			g.rivetByHeader(c)
			return
		}
		g.failMethod(c, c.Writer.Header().Get("Allow"))
	})

	get := func(path string, h gin.HandlerFunc) {
		e.GET(path, h)
		e.HEAD(path, h)
	}
	get("/", g.banner)
	get("/healthz", g.healthz)
	get("/readyz", g.readyz)
	get("/health", g.health)
	get("/metadata", g.metadata)
	get("/openapi.yaml", func(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", docs.OpenAPI) })
	// Pages on localhost ask for it; there is none.
	get("/devtools/mod.js", func(c *gin.Context) { g.fail(c, errNoRoute) })

	get("/actors", g.rivetLookUp)
	e.PUT("/actors", g.rivetEnsure)
	e.POST("/actors", g.rivetCreate)
	e.Any("/actors/*rest", g.plain)
	e.Any("/gateway/*rest", g.rivet)
	for _, path := range []string{"/connect", "/websocket", "/websocket/*rest", "/request", "/request/*rest"} {
		e.Any(path, g.rivetByHeader)
	}
	g.adminRoutes(e)
	return e
}

func (g *Gateway) banner(c *gin.Context) {
	c.String(http.StatusOK, "actorlog %s\n", g.cfg.Version)
}

func (g *Gateway) healthz(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"status": "ok"})
}

// health is what Rivet's tools look for.
func (g *Gateway) health(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"runtime": "actorlog", "status": "ok", "version": g.cfg.Version})
}

// metadata is the first thing that RivetKit clients ask, and ask for ever until it is
// answered: it depends on nothing.
func (g *Gateway) metadata(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"runtime": "actorlog", "version": g.cfg.Version})
}

func (g *Gateway) readyz(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	reason := "the gateway is shutting down"
	if !g.draining() {
		err := g.client.Ready(ctx)
		if err == nil {
			c.JSON(http.StatusOK, gin.H{"status": "ready"})
			return
		}
		reason = err.Error()
	}
	g.fail(c, wire.Errorf(errUnavailable.Group, errUnavailable.Code, "Not ready: %s.", reason))
}

// fail answers with an error of the gateway, as JSON, which every client reads.
func (g *Gateway) fail(c *gin.Context, err error) {
	g.failWith(c, err, rivetStatus, wire.Format{})
}

// failWith answers with an error: the status is the face's, the bytes are the format's.
func (g *Gateway) failWith(c *gin.Context, err error, status func(*wire.Error) int, f wire.Format) {
	var actor *wire.ActorRef
	e, expected := asWire(err, false)
	var over *overQuota
	if errors.As(err, &over) {
		retryAfter(c, over.after)
	}
	var r *refused
	if errors.As(err, &r) {
		actor = actorRef(r.Delivery)
		g.noteInternal(r.reason, rayOf(c), routeOf(c))
		setAnswer(c.Writer.Header(), r.answer)
	} else {
		// The real gateway's own errors are JSON too, with this header.
		f = wire.Format{}
		c.Header(headerRivetError, e.Group+"."+e.Code)
	}
	if !expected {
		g.cfg.Logger.Error("a request failed", zap.Error(err), zap.String(keyRay, rayOf(c)), zap.String(keyRoute, routeOf(c)), traceOf(c))
	}
	g.writeError(c, status(e), e, f, actor)
}

func (g *Gateway) failMethod(c *gin.Context, allow string) {
	c.Header("Allow", allow)
	g.writeError(c, http.StatusMethodNotAllowed,
		wire.Errorf("actor", "method_not_allowed", "This path takes %s only.", allow), wire.Format{}, nil)
}

func (g *Gateway) writeError(c *gin.Context, status int, e *wire.Error, f wire.Format, actor *wire.ActorRef) {
	if badInput(status) {
		g.cfg.Listener.BadInput(BadInputInfo{Route: routeOf(c), Group: e.Group, Code: e.Code})
	}
	if status == http.StatusServiceUnavailable && c.Writer.Header().Get("Retry-After") == "" {
		retryAfter(c, time.Second)
	}
	c.Abort()
	c.Data(status, f.Encoding.ContentType(), wire.AppendErrorBody(nil, f, e, actor))
}

// setActor tells which life of which actor answered, and where the answer stands.
func setActor(h http.Header, d *remote.Delivery) {
	h.Set(headerPosition, d.Position.String())
	a := actorRef(d)
	if a == nil {
		return
	}
	h.Set(headerActor, a.ID)
	h.Set("X-Rivet-Actor", a.ID)
	h.Set("X-Rivet-Actor-Generation", strconv.FormatUint(a.Generation, 10))
	if strings.IndexFunc(a.Key, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0 {
		h.Set("X-Rivet-Actor-Key", a.Key)
	}
}

// setAnswer is setActor for an answer.
func setAnswer(h http.Header, a answer) {
	setActor(h, a.Delivery)
	if a.replayed {
		h.Set(headerReplayed, "true")
	}
}
