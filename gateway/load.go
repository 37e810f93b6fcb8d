package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
)

// load is what the requests under way hold. Sockets and event streams that are open are no requests; sessions counts them.
type load struct{ requests, bytes atomic.Int64 }

// ticket is one request's part of the load. It is its handler's alone.
type ticket struct {
	g    *Gateway
	held int64 // bytes of its body
	left bool
}

// leave takes the request off the load, once.
func (t *ticket) leave() {
	if t.left {
		return
	}
	t.left = true
	t.g.load.requests.Add(-1)
	t.g.load.bytes.Add(-t.held)
}

// ctxTicket is where a request's ticket is in gin's context.
const ctxTicket = "ticket"

// beginsStream takes a request off the load that goes on as a stream.
func beginsStream(c *gin.Context) {
	if t, ok := c.Get(ctxTicket); ok {
		t.(*ticket).leave()
	}
}

// shed answers 503 before any work is done when the gateway has as much under way as it may have. Upgrades are refused where
// they are accepted, for their clients understand a close reason only.
func (g *Gateway) shed(c *gin.Context) {
	if !forActors(c.Request.URL.Path) || websocket.IsWebSocketUpgrade(c.Request) {
		c.Next()
		return
	}
	t := &ticket{g: g}
	defer t.leave()
	if g.load.requests.Add(1) > int64(g.cfg.MaxRequests) || g.load.bytes.Load() >= int64(g.cfg.MaxBodyBytes) || g.client.Busy() != nil {
		c.Abort()
		g.failStream(c, errUnavailable)
		return
	}
	c.Set(ctxTicket, t)
	if r := c.Request; r.Body != nil && r.Body != http.NoBody {
		r.Body = &countedBody{r.Body, t}
	}
	c.Next()
}

// forActors says whether a path is one of those that make work in the log; all others must be served whatever the load is.
func forActors(path string) bool {
	for _, head := range []string{"/actors", "/gateway/", "/request"} {
		if strings.HasPrefix(path, head) {
			return true
		}
	}
	return false
}

// countedBody is a request's body whose bytes are part of the load. What does not fit fails with errUnavailable.
type countedBody struct {
	io.ReadCloser
	t *ticket
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.t.held += int64(n)
	// A body is let in alone, however large it may be.
	if total := b.t.g.load.bytes.Add(int64(n)); n > 0 && total > int64(b.t.g.cfg.MaxBodyBytes) && total > b.t.held {
		return n, errUnavailable
	}
	return n, err
}
