package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
)

// auditTimeout bounds an answer, unless ?timeout= does, up to maxAuditTimeout.
const (
	auditTimeout    = 30 * time.Second
	maxAuditTimeout = 5 * time.Minute
)

// auditRoutes are the questions of package audit. docs/audit.md has their parameters.
func (g *Gateway) auditRoutes(admin *gin.RouterGroup) {
	if g.cfg.Audit == nil {
		return
	}
	events := func(order audit.Order, need func(*audit.Events) string) gin.HandlerFunc {
		return g.answerAudit(func(ctx context.Context, p *auditParams) (any, error) {
			q := audit.Events{Filter: p.filter(), Order: order, Limit: p.limit(), Cursor: p.text("cursor")}
			if text := p.text("order"); text != "" {
				q.Order = audit.Order(text)
			}
			if missing := need(&q); missing != "" {
				return nil, &audit.Invalid{Message: missing}
			}
			if p.err != nil {
				return nil, p.err
			}
			return g.cfg.Audit.Events(ctx, q)
		})
	}
	tally := func(by ...audit.Dimension) gin.HandlerFunc {
		return g.answerAudit(func(ctx context.Context, p *auditParams) (any, error) {
			q := audit.Tally{Filter: p.filter(), By: by, Order: audit.Measure(p.text("order")), Limit: p.limit(), Cursor: p.text("cursor")}
			if text := p.text("by"); text != "" {
				q.By = nil
				for d := range strings.SplitSeq(text, ",") {
					q.By = append(q.By, audit.Dimension(d))
				}
			}
			if q.Order == "" && by[0] != audit.ByPrincipal {
				q.Order = audit.Rate
			}
			if p.err != nil {
				return nil, p.err
			}
			return g.cfg.Audit.Tally(ctx, q)
		})
	}
	all := func(*audit.Events) string { return "" }
	admin.GET("/audit/events", events(audit.Oldest, all))
	admin.GET("/audit/slowest", events(audit.Slowest, all))
	admin.GET("/audit/changes", events(audit.Oldest, func(q *audit.Events) string {
		q.HasPath = true
		if q.Key == nil {
			return "whose changes is missing: give kind and key (repeated for each part), and path for a part of the state"
		}
		return ""
	}))
	admin.GET("/audit/caller", events(audit.Oldest, func(q *audit.Events) string {
		if q.Principal == "" && q.Connection == "" && q.Gateway == "" && q.By == nil {
			return "who is missing: give principal, connection, gateway, or byKind and byKey"
		}
		return ""
	}))
	admin.GET("/audit/errors", tally(audit.ByKind, audit.ByBody, audit.ByAction, audit.ByVersion))
	admin.GET("/audit/talkers", tally(audit.ByPrincipal))
	admin.GET("/audit/actors", g.answerAudit(func(ctx context.Context, p *auditParams) (any, error) {
		where, err := audit.ParsePredicate(p.text("where"))
		if err != nil {
			return nil, err
		}
		q := audit.Actors{Namespace: p.text("namespace"), Kind: p.text("kind"), Where: where, Limit: p.limit(), Cursor: p.text("cursor")}
		if p.err != nil {
			return nil, p.err
		}
		return g.cfg.Audit.Actors(ctx, q)
	}))
}

// answerAudit answers one question within its time.
func (g *Gateway) answerAudit(ask func(context.Context, *auditParams) (any, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		p := &auditParams{c: c}
		timeout := p.duration("timeout", auditTimeout)
		ctx, cancel := context.WithTimeout(c.Request.Context(), timeout)
		defer cancel()
		var answer any
		err := p.err
		if err == nil {
			answer, err = ask(ctx, p)
		}
		var bad *audit.Invalid
		switch {
		case err == nil:
			c.JSON(http.StatusOK, answer)
		case errors.As(err, &bad):
			g.writeError(c, http.StatusBadRequest, wire.Errorf("audit", "invalid_request", "%s", bad.Message), wire.Format{}, nil)
		case errors.Is(err, audit.ErrTimeout):
			g.writeError(c, http.StatusGatewayTimeout, wire.Errorf("audit", "timeout", "%v", err), wire.Format{}, nil)
		default:
			g.fail(c, err)
		}
	}
}

// auditParams reads the parameters of a question, and keeps the first error.
type auditParams struct {
	c   *gin.Context
	err error
}

func (p *auditParams) text(name string) string { return p.c.Query(name) }

func (p *auditParams) bad(format string, args ...any) {
	if p.err == nil {
		p.err = &audit.Invalid{Message: wire.Errorf("", "", format, args...).Message}
	}
}

func (p *auditParams) limit() int {
	text := p.text("limit")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > audit.MaxLimit {
		p.bad("limit is not a number from 1 to %d", audit.MaxLimit)
	}
	return n
}

func (p *auditParams) duration(name string, otherwise time.Duration) time.Duration {
	text := p.text(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxAuditTimeout {
		p.bad("%s is no time such as 10s, up to %s", name, maxAuditTimeout)
		return otherwise
	}
	return d
}

func (p *auditParams) time(name string) time.Time {
	text := p.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.bad("%s is no time such as 2026-01-31T12:00:00Z", name)
	}
	return t
}

func (p *auditParams) filter() audit.Filter {
	f := audit.Filter{
		Namespace: p.text("namespace"), Kind: p.text("kind"), Since: p.time("since"), Until: p.time("until"), Path: p.text("path"),
		Principal: p.text("principal"), Connection: p.text("connection"), Gateway: p.text("gateway"), Action: p.text("action"), Failed: p.text("failed") == "true",
	}
	_, f.HasPath = p.c.GetQuery("path")
	if key := p.c.QueryArray("key"); len(key) > 0 {
		f.Key = key
		if f.Namespace == "" {
			f.Namespace = actor.DefaultNamespace
		}
	}
	if kind := p.text("byKind"); kind != "" {
		f.By = &audit.Name{Namespace: p.text("byNamespace"), Kind: kind, Key: schemas.Key(p.c.QueryArray("byKey"))}
		if f.By.Namespace == "" {
			f.By.Namespace = actor.DefaultNamespace
		}
	}
	return f
}
