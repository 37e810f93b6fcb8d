package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/gateway/wire"
)

// Log keys.
const (
	keyRay      = "ray"
	keyRoute    = "route"
	keyMethod   = "method"
	keyStatus   = "status"
	keyDuration = "duration"
	keyActor    = "actor"
	keyReason   = "reason"
	keyStack    = "stack"
	keyEvent    = "event"
	keySession  = "session"
	keyAddress  = "address"
	// keyReference is the id under which the worker has logged an error.
	keyReference = "reference"
)

// Headers of answers.
const (
	headerRay        = "X-Rivet-Ray-Id"
	headerRivetError = "X-Rivet-Error"
	headerPosition   = "Actorlog-Position"
	headerActor      = "Actorlog-Actor"
	headerReplayed   = "Idempotent-Replayed"
)

// exposed are the headers that scripts of other origins may read.
const exposed = "X-Rivet-Ray-Id, X-Rivet-Error, X-Rivet-Actor, X-Rivet-Actor-Generation, X-Rivet-Actor-Key, " +
	"Actorlog-Position, Actorlog-Actor, Idempotent-Replayed, Retry-After"

// Keys of gin's context.
const (
	ctxRay   = "ray"
	ctxRoute = "route"
)

func newRay() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// observe gives the request its ray id, and tells listener and log how it went.
func (g *Gateway) observe(c *gin.Context) {
	start := time.Now()
	ray := newRay()
	c.Set(ctxRay, ray)
	c.Header(headerRay, ray)
	var span trace.Span
	c.Request, span = g.trace(c.Request)
	c.Next()
	info := RequestInfo{Route: routeOf(c), Method: c.Request.Method, Status: c.Writer.Status(), Duration: time.Since(start)}
	g.cfg.Listener.RequestDone(info)
	traced(span, ray, info)
	if ce := g.cfg.Logger.Check(zap.DebugLevel, "request done"); ce != nil {
		ce.Write(zap.String(keyRay, ray), zap.String(keyRoute, info.Route), zap.String(keyMethod, info.Method),
			zap.Int(keyStatus, info.Status), zap.Duration(keyDuration, info.Duration), traceOf(c))
	}
}

func rayOf(c *gin.Context) string { return c.GetString(ctxRay) }

// named gives the request the route that listeners see, where the router knows less.
func named(c *gin.Context, route string) { c.Set(ctxRoute, route) }

func routeOf(c *gin.Context) string {
	if route := c.GetString(ctxRoute); route != "" {
		return route
	}
	if route := c.FullPath(); route != "" {
		return route
	}
	return "none"
}

// recoverPanic turns a panic of a handler into a typed 500 whose cause is in the log.
func (g *Gateway) recoverPanic(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		g.cfg.Logger.Error("a handler panicked", zap.Any(keyReason, p), zap.String(keyRay, rayOf(c)),
			zap.String(keyRoute, routeOf(c)), zap.ByteString(keyStack, debug.Stack()), traceOf(c))
		if c.Writer.Written() {
			// Half an answer must not look like a whole one.
			panic(http.ErrAbortHandler)
		}
		g.writeError(c, http.StatusInternalServerError, errInternal, wire.Format{}, nil)
	}()
	c.Next()
}
