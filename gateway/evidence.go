package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/internal/respond"
	"github.com/actorlog/actorlog/replay/evidence"
)

// maxHeads is how long a file of heads may be, in bytes: those of 10,000 shards are far below it.
const maxHeads = 8 << 20

// evidenceRoutes compare the log with its hash chains (package replay/evidence), and with a file of heads in the body. One at a time: it reads all of the log.
func (g *Gateway) evidenceRoutes(routes *gin.RouterGroup) {
	var one respond.One
	for path, do := range map[string]gin.HandlerFunc{"/audit/verify": g.verifyLog, "/audit/heads": g.takeHeads} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			routes.Handle(method, path, func(c *gin.Context) {
				leave, ok := one.Enter()
				if !ok {
					respond.Fail(c.Writer, http.StatusTooManyRequests, "audit", "under_way", "this gateway verifies the log already: try again when that is over, or end it")
					return
				}
				defer leave()
				do(c)
			})
		}
	}
}

// verifyLog is GET and POST /admin/audit/verify: a line for each shard, and the summary.
func (g *Gateway) verifyLog(c *gin.Context) {
	lines := respond.NewLines(c.Writer)
	defer lines.Close()
	sum, err := g.evidence(c, func(r *evidence.Report) error { return lines.Encode(r) })
	if err == nil {
		_ = lines.Encode(sum) // the client is gone
		return
	}
	status, told := evidenceError(err)
	lines.Fail(status, told.Group, told.Code, told.Message)
}

// takeHeads is GET and POST /admin/audit/heads: the heads of all shards, if nothing was found.
func (g *Gateway) takeHeads(c *gin.Context) {
	if c.Query("shard") != "" {
		g.fail(c, invalid("Heads are those of all shards: leave shard out."))
		return
	}
	var found []string
	sum, err := g.evidence(c, func(r *evidence.Report) error {
		if r.Finding != nil {
			found = append(found, r.String())
		}
		return nil
	})
	if err == nil && !sum.Clean() {
		err = wire.Errorf("audit", "log_changed", "the log is not what it was, and its heads are not given: %s", strings.Join(found, "; "))
	}
	if err != nil {
		status, told := evidenceError(err)
		respond.Fail(c.Writer, status, told.Group, told.Code, told.Message)
		return
	}
	c.Header("Content-Disposition", `attachment; filename="heads.json"`)
	c.Header("Content-Type", "application/json; charset=utf-8")
	c.Status(http.StatusOK)
	_ = sum.Heads.Write(c.Writer) // the client is gone
}

// evidence verifies what a request names.
func (g *Gateway) evidence(c *gin.Context, each func(*evidence.Report) error) (evidence.Summary, error) {
	var o evidence.Options
	if text := c.Query("shard"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return evidence.Summary{}, invalid("shard is the number of a shard, not %q.", text)
		}
		shard := int32(n)
		o.Shard = &shard
	}
	if c.Request.Method == http.MethodPost {
		heads, err := evidence.ReadHeads(http.MaxBytesReader(c.Writer, c.Request.Body, maxHeads))
		if err != nil {
			return evidence.Summary{}, invalid("The body is no file of heads, as /admin/audit/heads gives it: %v.", err)
		}
		o.Anchors = &heads
	}
	log, ok := g.client.Log().(evidence.Log)
	if !ok {
		return evidence.Summary{}, errors.New("the log of this gateway has no identity")
	}
	ctx, cancel := g.whileOpen(c)
	defer cancel()
	sum, err := evidence.All(ctx, log, o, each)
	if err != nil && ctx.Err() != nil && c.Request.Context().Err() == nil {
		return sum, errUnavailable // it drains
	}
	return sum, err
}

func evidenceError(err error) (int, *wire.Error) {
	var told *wire.Error
	switch {
	case errors.As(err, &told):
		if told.Code == "log_changed" {
			return http.StatusConflict, told
		}
		return rivetStatus(told), told
	case errors.Is(err, evidence.ErrNoShard):
		return http.StatusBadRequest, wire.Errorf("audit", "no_such_shard", "%v", err)
	case errors.Is(err, evidence.ErrOtherLog):
		return http.StatusConflict, wire.Errorf("audit", "other_log", "%v", err)
	}
	return http.StatusInternalServerError, wire.Errorf("audit", "failed", "%s", fmt.Sprint(err))
}
