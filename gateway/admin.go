package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/internal/admin"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// defaultListed and maxListed bound how many sessions one answer lists.
const (
	defaultListed = 1000
	maxListed     = 100_000
)

var errNoCode = &wire.Error{Group: "history", Code: "no_code",
	Message: "This gateway has no code of actors to verify. Ask a worker, at its --ops-listen, or actorlog dev; or run your program with replay/gate."}

var errNoArchive = &wire.Error{Group: "history", Code: "no_archive",
	Message: "This gateway has no archive: start it with --archive and a directory (ACTORLOG_ARCHIVE), or run actorlog archive where one is."}

var errNoProjection = &wire.Error{Group: "projection", Code: "none",
	Message: "This gateway knows of no projection: start it with --clickhouse, or ask a projector, at its --ops-listen."}

// served is a handler of somebody else's, until the client goes away or the gateway drains; without one, an error that says who has it.
func (g *Gateway) served(h http.Handler, missing *wire.Error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if h == nil {
			g.writeError(c, http.StatusNotImplemented, missing, wire.Format{}, nil)
			return
		}
		ctx, cancel := g.whileOpen(c)
		defer cancel()
		h.ServeHTTP(c.Writer, c.Request.WithContext(ctx))
	}
}

// adminRoutes are for operators: what the gateway does, and profiles of the process.
func (g *Gateway) adminRoutes(e *gin.Engine) {
	routes := e.Group("/admin", g.admin)
	routes.GET("/sessions", g.adminSessions)
	routes.GET("/gateway", g.adminGateway)
	routes.GET("/parked", g.adminParked)
	routes.POST("/parked/:position/retry", g.adminUnpark(false))
	routes.POST("/parked/:position/dismiss", g.adminUnpark(true))
	g.auditRoutes(routes)
	g.evidenceRoutes(routes)

	g.historyRoutes(routes)
	if g.cfg.Operate != nil {
		operate := gin.WrapH(g.cfg.Operate(g.client))
		routes.POST("/fork/*actor", operate)
		routes.POST("/undo/*actor", operate)
		routes.POST("/import/*actor", operate)
		routes.GET("/export/*actor", operate)
		routes.GET("/erase/*actor", operate)
		routes.POST("/erase/*actor", operate)
	}

	verify := g.served(g.cfg.Verify, errNoCode)
	routes.POST("/verify", verify)
	routes.POST("/verify/*actor", verify)
	projection := g.served(g.cfg.Projection, errNoProjection)
	routes.GET("/projection", projection)
	routes.POST("/projection/rebuild", projection)
	routes.POST("/projection/:build/switch", projection)
	routes.POST("/projection/:build/drop", projection)
	routes.POST("/archive", g.served(g.cfg.Archive, errNoArchive))

	debug := e.Group("/debug/pprof", g.admin)
	debug.GET("/*name", gin.WrapF(admin.Profiles))
	if g.cfg.Metrics != nil {
		e.GET("/metrics", g.admin, gin.WrapH(g.cfg.Metrics))
	}
}

// admin lets operators through: whoever has the token, or, if none is set, whoever sits at this machine.
func (g *Gateway) admin(c *gin.Context) {
	if g.isOperator(c) {
		c.Next()
	}
}

// isOperator says whether a request comes from an operator; if not, it has been answered.
func (g *Gateway) isOperator(c *gin.Context) bool {
	c.Header("Cache-Control", "no-store")
	return g.admit(c, admin.Check(c.Request, g.cfg.AdminTokens, g.cfg.Loopback))
}

// admit answers a request that is not an operator's.
func (g *Gateway) admit(c *gin.Context, refused *admin.Refusal) bool {
	if refused == nil {
		return true
	}
	if refused.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", admin.Challenge)
	}
	g.writeError(c, refused.Status, wire.Errorf("auth", refused.Code, "%s", refused.Message), wire.Format{}, nil)
	return false
}

// inspectState is .../inspector/state: what Rivet's tools ask of an actor's inspector, as far as there is one.
func (g *Gateway) inspectState(c *gin.Context, route wire.GatewayRequest) {
	named(c, "/gateway/:actor/inspector/state")
	if c.Request.Method != http.MethodGet {
		g.failMethod(c, http.MethodGet)
		return
	}
	if !g.isOperator(c) {
		return
	}
	to, creation, err := g.rivetAddress(route)
	if err != nil {
		g.fail(c, err)
		return
	}
	action := to.action(creation, "")
	action.Body = &actorlogv1.Action_Read{Read: new(actorlogv1.Read)}
	a, err := g.ask(c.Request.Context(), to, action)
	if err != nil {
		g.fail(c, err)
		return
	}
	setAnswer(c.Writer.Header(), a)
	c.JSON(http.StatusOK, gin.H{"state": json.RawMessage(a.Outcome.GetResultJson()), "isStateEnabled": true})
}

// mayRule says whether a request may see and end an actor past its own rules. With an admin token that takes the token; without
// one, the gateway is open to whoever its kinds let in.
func (g *Gateway) mayRule(c *gin.Context) bool {
	return g.cfg.AdminTokens == nil || g.admit(c, admin.Check(c.Request, g.cfg.AdminTokens, g.cfg.Loopback))
}

// sessionView is a socket or an event stream as operators see it.
type sessionView struct {
	ID      string     `json:"id"`
	Type    string     `json:"type"`
	Route   string     `json:"route"`
	Actor   *actorView `json:"actor,omitempty"`
	State   string     `json:"state"`
	Address string     `json:"address,omitempty"`
	Since   time.Time  `json:"since"`
	// Queued frames of a socket, outcomes of an event stream.
	Queued int64 `json:"queued"`
	// QueuedBytes of a socket; an event stream does not count them.
	QueuedBytes int64 `json:"queuedBytes"`
}

// actorView is as much of an actor as is known: a session that is not open yet has what its URL says.
type actorView struct {
	ID        string   `json:"actorId,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
	Kind      string   `json:"kind,omitempty"`
	Key       []string `json:"key,omitempty"`
}

func viewActor(to address) *actorView {
	if to.actor == nil {
		return nil
	}
	v := &actorView{Namespace: to.actor.GetNamespace(), Kind: to.actor.GetKind(), Key: to.actor.GetKey()}
	if to.actor.GetGeneration() > 0 {
		v.ID = actorID(to.hash, to.actor)
	}
	return v
}

func (s *session) view() sessionView {
	v := sessionView{
		ID: s.id, Type: "socket", Route: s.route, State: "opening", Since: s.opened, Actor: s.shown.Load(),
		Queued: s.queued.Load(), QueuedBytes: s.queuedBytes.Load(),
	}
	if s.from.address.IsValid() {
		v.Address = s.from.address.String()
	}
	switch {
	case s.ending.Load():
		v.State = "ending"
	case v.Actor != nil:
		v.State = "open"
	}
	if v.Actor == nil {
		v.Actor = viewActor(s.to)
	}
	return v
}

func (s *stream) view() sessionView {
	v := sessionView{
		ID: s.ray, Type: "stream", Route: plainTarget{verb: verbEvents}.route(), State: "open", Since: s.opened,
		Actor: viewActor(s.to), Queued: int64(len(s.live)),
	}
	if s.address.IsValid() {
		v.Address = s.address.String()
	}
	return v
}

// adminSessions is GET /admin/sessions: the oldest first, at most ?limit= of them.
func (g *Gateway) adminSessions(c *gin.Context) {
	limit := defaultListed
	if text := c.Query("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxListed {
			g.fail(c, invalid("limit is not a number from 1 to %d.", maxListed))
			return
		}
	}
	all := g.sessions.views()
	slices.SortFunc(all, func(a, b sessionView) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
	})
	c.JSON(http.StatusOK, gin.H{"total": len(all), "sessions": all[:min(limit, len(all))]})
}

// adminGateway is GET /admin/gateway.
func (g *Gateway) adminGateway(c *gin.Context) {
	pending, maxPending := g.client.Pending()
	sockets, streams := g.sessions.counts()
	c.JSON(http.StatusOK, gin.H{
		"version":         g.cfg.Version,
		"id":              g.client.ID(),
		"startedAt":       g.started.UTC(),
		"uptimeSeconds":   int64(time.Since(g.started).Seconds()),
		"draining":        g.draining(),
		"partitions":      g.client.Partitions(),
		"pendingRequests": pending,
		"requests":        g.load.requests.Load(),
		"bodyBytes":       g.load.bytes.Load(),
		"sockets":         sockets,
		"streams":         streams,
		"allowedOrigins":  g.cfg.Origins.String(),
		"limits": gin.H{
			"pendingRequests":      maxPending,
			"incomingMessageBytes": g.cfg.MaxIncomingMessageBytes,
			"outgoingMessageBytes": g.cfg.MaxOutgoingMessageBytes,
			"inputBytes":           g.cfg.MaxInputBytes,
			"connParamsBytes":      wire.MaxConnParams,
			"sessionBuffer":        g.cfg.SessionBuffer,
			"sessionBufferBytes":   g.cfg.SessionBufferBytes,
			"inFlightPerSession":   g.cfg.MaxInFlight,
			"subscriptions":        g.cfg.MaxSubscriptions,
			"subscribing":          g.cfg.MaxSubscribing,
			"recoveries":           g.cfg.MaxRecoveries,
			"rejectionsPerMinute":  g.cfg.MaxRejections,
			"delayedPerAddress":    g.cfg.MaxDelayed,
			"requests":             g.cfg.MaxRequests,
			"bodyBytes":            g.cfg.MaxBodyBytes,
			"sessions":             g.cfg.MaxSessions,
			"requestsPerMinute":    g.cfg.RateLimit,
			"requestsUnderWay":     g.cfg.MaxUnderWay,
			"callerPerMinute":      g.cfg.CallerRateLimit,
			"actorPerMinute":       g.cfg.ActorRateLimit,
			"actorUnderWay":        g.cfg.MaxActorUnderWay,
		},
	})
}

// parkedView is one entry of GET /admin/parked.
type parkedView struct {
	Position string    `json:"position"`
	ActorID  string    `json:"actorId"`
	Kind     string    `json:"kind,omitempty"`
	Key      []string  `json:"key,omitempty"`
	What     string    `json:"what"`
	Attempts uint32    `json:"attempts,omitempty"`
	Request  string    `json:"requestId,omitempty"`
	Time     time.Time `json:"time,omitzero"`
	Broken   string    `json:"broken,omitempty"`
}

// adminParked is GET /admin/parked: actions that were set aside because workers did not survive them, and actors that cannot be read.
func (g *Gateway) adminParked(c *gin.Context) {
	items, err := g.client.Parked(c.Request.Context())
	if err != nil {
		g.fail(c, err)
		return
	}
	views := make([]parkedView, 0, len(items))
	for i := range items {
		item := &items[i]
		o := item.Outcome
		v := parkedView{
			Position: item.Position.String(), What: item.Describe(), Broken: item.Broken, Attempts: o.GetParked(), Kind: o.GetActor().GetKind(),
			Key: o.GetActor().GetKey(), Request: o.GetAction().GetRequestId(),
			ActorID: schemas.ActorID{Hash: item.Hash, Generation: o.GetActor().GetGeneration()}.String(),
		}
		if o != nil {
			v.Time = time.UnixMilli(o.TimeUnixMs).UTC()
		}
		views = append(views, v)
	}
	c.JSON(http.StatusOK, gin.H{"parked": views})
}

// adminUnpark is POST /admin/parked/:position/retry and .../dismiss.
func (g *Gateway) adminUnpark(dismiss bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		at, err := schemas.ParsePosition(c.Param("position"))
		if err != nil {
			g.writeError(c, http.StatusBadRequest, wire.Errorf("actor", "invalid_request", "%v", err), wire.Format{}, nil)
			return
		}
		d, err := g.client.Unpark(c.Request.Context(), at, dismiss)
		switch {
		case errors.Is(err, remote.ErrNotParked):
			g.writeError(c, http.StatusNotFound, wire.Errorf("admin", "not_parked", "%v", err), wire.Format{}, nil)
			return
		case err != nil:
			g.fail(c, err)
			return
		}
		answer := gin.H{"position": d.Position.String(), "result": json.RawMessage(d.Outcome.ResultJson)}
		if len(d.Outcome.ResultJson) == 0 {
			delete(answer, "result")
		}
		if e := d.Outcome.Error; e != nil && (!dismiss || d.Outcome.GetAction().GetRepair() != nil) {
			answer["error"] = gin.H{"group": e.Group, "code": e.Code, "message": e.Message}
		}
		c.JSON(http.StatusOK, answer)
	}
}
