package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/internal/respond"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

// Bounds of what one request reads of history.
const (
	defaultEntries = 100
	maxEntries     = 1000
	// historyTimeout bounds how long one request scans. The command line has no bound.
	historyTimeout = 60 * time.Second
)

// historyRoutes are package replay over HTTP, for operators.
func (g *Gateway) historyRoutes(routes *gin.RouterGroup) {
	routes.GET("/history/*actor", func(c *gin.Context) {
		switch c.Query("follow") {
		case "", "false":
			g.readHistory(c, readHistory)
		case "true":
			g.followHistory(c)
		default:
			g.fail(c, invalid("follow is true or false."))
		}
	})
	for path, read := range map[string]func(context.Context, *gin.Context, *replay.Reader) (any, error){
		"/state/*actor":  readState,
		"/diff/*actor":   readDiff,
		"/why":           readWhy,
		"/why/:position": readWhy,
	} {
		routes.GET(path, func(c *gin.Context) { g.readHistory(c, read) })
	}
}

// readHistory answers with what is read within its time.
func (g *Gateway) readHistory(c *gin.Context, read func(context.Context, *gin.Context, *replay.Reader) (any, error)) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), historyTimeout)
	defer cancel()
	answer, err := read(ctx, c, replay.NewReader(g.client.Log(), replay.Options{}))
	if err != nil {
		g.failHistory(ctx, c, err)
		return
	}
	c.JSON(http.StatusOK, answer)
}

// whileOpen is the context of a request that may take long: until the client goes away, or the gateway drains.
func (g *Gateway) whileOpen(c *gin.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.Request.Context())
	go func() { // ends with the request, whose handler cancels
		select {
		case <-g.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// followHistory is GET /admin/history/{kind}/{key...}?follow=true: what happened, and what happens from now on, until the client goes away or the gateway drains. JSON lines,
// or server-sent events, whose id is the position: an EventSource that comes back goes on after it.
func (g *Gateway) followHistory(c *gin.Context) {
	r := replay.NewReader(g.client.Log(), replay.Options{})
	hash, q, err := historyQuery(c, r, true)
	switch {
	case err == nil && q.Before != 0:
		err = invalid("follow and before exclude each other.")
	case err == nil && c.GetHeader("Last-Event-ID") != "":
		at, parseErr := schemas.ParsePosition(c.GetHeader("Last-Event-ID"))
		if parseErr != nil || at.Partition != r.Partition(hash) {
			err = invalid("Last-Event-ID is not a position in the shard of this actor, which is %d.", r.Partition(hash))
		}
		at.Offset++
		q.Since, q.Limit = replay.Point{Position: &at}, 0
	}
	ctx, cancel := g.whileOpen(c)
	defer cancel()
	if err != nil {
		g.failHistory(ctx, c, err)
		return
	}
	if g.sessions.full(g.cfg.MaxSessions) || !g.sessions.enter() {
		g.fail(c, errUnavailable)
		return
	}
	defer g.sessions.leave()
	lines := respond.Follow(c.Writer, strings.Contains(c.GetHeader("Accept"), "text/event-stream"))
	defer lines.Close()
	for v, err := range r.Entries(ctx, hash, q) {
		if err == nil {
			err = lines.Send(v.Position, v)
		} else if ctx.Err() == nil {
			status, told := historyError(err)
			if told == nil {
				g.cfg.Logger.Error("following a history", zap.Error(err), zap.String(keyRay, rayOf(c)))
				status, told = http.StatusInternalServerError, errInternal
			}
			lines.Fail(status, told.Group, told.Code, told.Message)
		}
		if err != nil {
			return
		}
	}
}

var errUnknownActor = errors.New("nothing is known of this actor: it never was asked anything, its key is another, or its events are not kept any more")

func (g *Gateway) failHistory(ctx context.Context, c *gin.Context, err error) {
	status, told := historyError(err)
	if told == nil && ctx.Err() != nil && c.Request.Context().Err() == nil {
		err = errors.New("reading that much history takes longer than a minute: use actorlog history and the like, which have no bound")
		status, told = http.StatusGatewayTimeout, wire.Errorf("history", "too_long", "%v", err)
	}
	if told == nil {
		g.fail(c, err)
		return
	}
	g.writeError(c, status, told, wire.Format{}, nil)
}

// historyError is how an error that is not the gateway's is told; nil for any other.
func historyError(err error) (status int, told *wire.Error) {
	as := func(status int, code string) (int, *wire.Error) {
		return status, wire.Errorf("history", code, "%v", err)
	}
	switch {
	case errors.As(err, &told):
		return rivetStatus(told), told
	case errors.Is(err, replay.ErrPoint):
		return as(http.StatusBadRequest, "no_such_point")
	case errors.Is(err, replay.ErrNoEvent), errors.Is(err, errUnknownActor):
		return as(http.StatusNotFound, "not_found")
	case errors.Is(err, replay.ErrGone):
		return as(http.StatusGone, "gone")
	}
	return 0, nil
}

// historyActor is the actor of a path: /kind/key..., each part escaped, as in /actors/kind/key....
func historyActor(c *gin.Context) (schemas.Hash, error) {
	var parts []string
	for _, segment := range strings.Split(strings.TrimPrefix(c.Param("actor"), "/"), "/") {
		part, err := url.PathUnescape(segment)
		if err != nil {
			return schemas.Hash{}, invalid("The path is not valid: %v.", err)
		}
		parts = append(parts, part)
	}
	if id, err := schemas.ParseActorID(parts[0]); err == nil && len(parts) == 1 {
		return id.Hash, nil
	}
	to, err := addressOf(c.DefaultQuery("namespace", "default"), parts[0], parts[1:])
	return to.hash, err
}

func historyPoint(c *gin.Context, name string) (replay.Point, error) {
	return replay.ParsePoint(c.Query(name), time.Now())
}

// historyQuery is what a request asks of a history. Whoever follows it has all since a point, or as many as it wants, or all (0).
func historyQuery(c *gin.Context, r *replay.Reader, follow bool) (hash schemas.Hash, q replay.Query, err error) {
	fail := func(err error) (schemas.Hash, replay.Query, error) { return hash, q, err }
	if hash, err = historyActor(c); err != nil {
		return fail(err)
	}
	q.Follow = follow
	if q.Since, err = historyPoint(c, "since"); err == nil && c.Query("since") != "" && q.Since.IsNow() { // nothing of the past
		q.Since = replay.Point{Time: time.Now()}
	}
	if err != nil {
		return fail(err)
	}
	least := 1
	if q.Limit = defaultEntries; follow {
		if least = 0; !q.Since.IsNow() {
			q.Limit = 0
		}
	}
	if text := c.Query("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < least || q.Limit > maxEntries {
			return fail(invalid("limit is not a number from %d to %d.", least, maxEntries))
		}
	}
	if text := c.Query("grep"); text != "" {
		if q.Grep, err = regexp.Compile(text); err != nil {
			return fail(invalid("grep is not a regular expression: %v.", err))
		}
	}
	if text := c.Query("before"); text != "" {
		at, err := schemas.ParsePosition(text)
		if err != nil || at.Partition != r.Partition(hash) || at.Offset == 0 {
			return fail(invalid("before is not a position in the shard of this actor, which is %d.", r.Partition(hash)))
		}
		q.Before = at.Offset
	}
	return hash, q, nil
}

// readHistory is GET /admin/history/{kind}/{key...}: a page, oldest first; the next one has what was earlier.
func readHistory(ctx context.Context, c *gin.Context, r *replay.Reader) (any, error) {
	hash, q, err := historyQuery(c, r, false)
	if err != nil {
		return nil, err
	}
	entries, truncated := []*replay.Entry{}, false
	for v, err := range r.Entries(ctx, hash, q) {
		if errors.Is(err, replay.ErrGone) {
			truncated = true
			break
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, v)
	}
	if len(entries) == 0 && c.Query("since")+c.Query("grep")+c.Query("before") == "" {
		return nil, errUnknownActor
	}
	answer := gin.H{"entries": entries, "truncated": truncated}
	if len(entries) == q.Limit {
		answer["next"] = entries[0].Position
	}
	return answer, nil
}

// readState is GET /admin/state/{kind}/{key...}.
func readState(ctx context.Context, c *gin.Context, r *replay.Reader) (any, error) {
	hash, err := historyActor(c)
	if err != nil {
		return nil, err
	}
	at, err := historyPoint(c, "at")
	if err != nil {
		return nil, err
	}
	a, err := r.State(ctx, hash, at)
	if err != nil {
		return nil, err
	}
	if a.LastOffset < 0 && at.IsNow() {
		return nil, errUnknownActor
	}
	return replay.ViewOf(&a, r.Partition(hash)), nil
}

// readDiff is GET /admin/diff/{kind}/{key...}.
func readDiff(ctx context.Context, c *gin.Context, r *replay.Reader) (any, error) {
	hash, err := historyActor(c)
	if err != nil {
		return nil, err
	}
	from, err := historyPoint(c, "from")
	if err != nil {
		return nil, err
	}
	to, err := historyPoint(c, "to")
	if err != nil {
		return nil, err
	}
	var before, after machine.Actor
	if with := c.QueryArray("with"); len(with) > 0 {
		before, after, err = two(ctx, c, r, hash, with, from, to)
	} else {
		before, after, err = r.Between(ctx, hash, from, to)
	}
	if err != nil {
		return nil, err
	}
	if after.LastOffset < 0 && to.IsNow() {
		return nil, errUnknownActor
	}
	return replay.Diff(&before, &after)
}

// two is an actor and another one of its kind, each at a point.
func two(ctx context.Context, c *gin.Context, r *replay.Reader, hash schemas.Hash, with []string, from, to replay.Point) (before, after machine.Actor, err error) {
	if before, err = r.State(ctx, hash, from); err == nil && before.LastOffset < 0 {
		err = errUnknownActor
	}
	if err != nil {
		return before, after, err
	}
	var other schemas.Hash
	if id, err := schemas.ParseActorID(with[0]); err == nil && len(with) == 1 {
		other = id.Hash
	} else {
		address, err := addressOf(c.DefaultQuery("withNamespace", before.Namespace), before.Kind, with)
		if err != nil {
			return before, after, err
		}
		other = address.hash
	}
	after, err = r.State(ctx, other, to)
	return before, after, err
}

// readWhy is GET /admin/why/{position} and /admin/why?request=.
func readWhy(ctx context.Context, c *gin.Context, r *replay.Reader) (any, error) {
	if text := c.Param("position"); text != "" {
		at, err := schemas.ParsePosition(text)
		if err != nil {
			return nil, invalid("%v.", err)
		}
		return r.Why(ctx, at)
	}
	id := c.Query("request")
	if id == "" {
		return nil, invalid("Name an event: /admin/why/3:5310, or /admin/why?request= with the id of a request or its idempotency key.")
	}
	e, err := r.Request(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.Why(ctx, e.Position)
}
