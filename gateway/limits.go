package gateway

import (
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/actorlog/actorlog/gateway/wire"
)

// guard gives every answer the headers that keep browsers from guessing, and every body a time
// within which it must arrive.
func (g *Gateway) guard(c *gin.Context) {
	r, h := c.Request, c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	// Not on localhost: the browser would keep it for everything else that runs there.
	if host, _ := splitHost(r.Host); r.TLS != nil && !loopbackName(host) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &timedBody{ReadCloser: r.Body, control: http.NewResponseController(c.Writer), timeout: g.cfg.BodyTimeout}
	}
	c.Next()
}

// checkConnParams refuses parameters in the header that are too long. Those in a sub-protocol are
// read, and checked, where the socket is accepted.
func (g *Gateway) checkConnParams(c *gin.Context) {
	if n := len(c.GetHeader("X-Rivet-Conn-Params")); n > wire.MaxConnParams {
		c.Abort()
		g.refuse(c, invalid("The connection parameters have %d bytes, more than %d.", n, wire.MaxConnParams))
		return
	}
	c.Next()
}

// timedBody is a request's body that must have arrived some time after its first byte was asked for.
// The server takes the deadline back when it meets the end.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	begun   bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		_ = b.control.SetReadDeadline(time.Now().Add(b.timeout)) // not every connection has deadlines
	}
	return b.ReadCloser.Read(p)
}
