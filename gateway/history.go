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

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/gateway/wire"
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
	for path, read := range map[string]func(context.Context, *gin.Context, *replay.Reader) (any, error){
		"/history/*actor": readHistory,
		"/state/*actor":   readState,
		"/diff/*actor":    readDiff,
		"/why":            readWhy,
		"/why/:position":  readWhy,
	} {
		routes.GET(path, func(c *gin.Context) {
			ctx, cancel := context.WithTimeout(c.Request.Context(), historyTimeout)
			defer cancel()
			answer, err := read(ctx, c, replay.NewReader(g.client.Log(), replay.Options{}))
			if err != nil {
				g.failHistory(ctx, c, err)
				return
			}
			c.JSON(http.StatusOK, answer)
		})
	}
}

var errUnknownActor = errors.New("nothing is known of this actor: it never was asked anything, its key is another, or its events are not kept any more")

func (g *Gateway) failHistory(ctx context.Context, c *gin.Context, err error) {
	answer := func(status int, code string) {
		g.writeError(c, status, wire.Errorf("history", code, "%v", err), wire.Format{}, nil)
	}
	var told *wire.Error
	switch {
	case errors.As(err, &told):
		g.fail(c, err)
	case errors.Is(err, replay.ErrPoint):
		answer(http.StatusBadRequest, "no_such_point")
	case errors.Is(err, replay.ErrNoEvent), errors.Is(err, errUnknownActor):
		answer(http.StatusNotFound, "not_found")
	case errors.Is(err, replay.ErrGone):
		answer(http.StatusGone, "gone")
	case ctx.Err() != nil && c.Request.Context().Err() == nil:
		err = errors.New("reading that much history takes longer than a minute: use actorlog history and the like, which have no bound")
		answer(http.StatusGatewayTimeout, "too_long")
	default:
		g.fail(c, err)
	}
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

// readHistory is GET /admin/history/{kind}/{key...}: a page, oldest first; the next one has what was earlier.
func readHistory(ctx context.Context, c *gin.Context, r *replay.Reader) (any, error) {
	hash, err := historyActor(c)
	if err != nil {
		return nil, err
	}
	q := replay.Query{Limit: defaultEntries}
	if q.Since, err = historyPoint(c, "since"); err != nil {
		return nil, err
	}
	if text := c.Query("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > maxEntries {
			return nil, invalid("limit is not a number from 1 to %d.", maxEntries)
		}
	}
	if text := c.Query("grep"); text != "" {
		if q.Grep, err = regexp.Compile(text); err != nil {
			return nil, invalid("grep is not a regular expression: %v.", err)
		}
	}
	if text := c.Query("before"); text != "" {
		at, err := schemas.ParsePosition(text)
		if err != nil || at.Partition != r.Partition(hash) || at.Offset == 0 {
			return nil, invalid("before is not a position in the shard of this actor, which is %d.", r.Partition(hash))
		}
		q.Before = at.Offset
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
