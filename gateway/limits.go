package gateway

import (
	"bufio"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/internal/admin"
)

// guard gives every answer the headers that keep browsers from guessing, every body a time within which it must arrive, and every
// answer one within which it must be taken. The server cannot do that by itself: it knows nothing of sockets and event
// streams, which may last for ever.
func (g *Gateway) guard(c *gin.Context) {
	r, h := c.Request, c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	// Not on localhost: the browser would keep it for everything else that runs there.
	if host, _ := admin.SplitHost(r.Host); r.TLS != nil && !admin.LoopbackName(host) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	w := &timedWriter{ResponseWriter: c.Writer, control: http.NewResponseController(c.Writer), timeout: g.cfg.WriteTimeout}
	c.Writer = w
	// Not every connection has deadlines; then a client that stalls holds its own goroutine only.
	if r.Body != nil && r.Body != http.NoBody {
		// Now, and not when the handler begins to read: a body that it never asks for is read by the server, before it answers.
		// The server takes the deadline back when it meets the end.
		_ = w.control.SetReadDeadline(time.Now().Add(g.cfg.BodyTimeout))
	}
	if r.ProtoMajor == 1 {
		_ = w.control.SetWriteDeadline(time.Time{}) // that of the request before on this connection
	}
	c.Next()
	w.extend() // the server writes what it still has
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

// answerPart is how much of an answer is given one time to be taken, so that a slow line may have a long answer.
const answerPart = 64 << 10

// timedWriter is an answer that must be taken: each part of it in time.
type timedWriter struct {
	gin.ResponseWriter
	control *http.ResponseController // of the same answer
	timeout time.Duration
	// hijacked: the connection is somebody else's.
	hijacked bool
}

func (w *timedWriter) extend() {
	if !w.hijacked {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout))
	}
}

// Write implements io.Writer.
func (w *timedWriter) Write(p []byte) (written int, err error) {
	for {
		w.extend()
		n, err := w.ResponseWriter.Write(p[written:min(len(p), written+answerPart)])
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// WriteString implements io.StringWriter.
func (w *timedWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// FlushError is what http.ResponseController asks for.
func (w *timedWriter) FlushError() error {
	w.extend()
	w.WriteHeaderNow()
	// Not gin's Flush, which keeps the error to itself.
	inner, ok := w.ResponseWriter.(interface{ Unwrap() http.ResponseWriter })
	if !ok {
		return http.ErrNotSupported
	}
	return http.NewResponseController(inner.Unwrap()).Flush()
}

// Flush implements http.Flusher.
func (w *timedWriter) Flush() { _ = w.FlushError() }

// Hijack implements http.Hijacker.
func (w *timedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.ResponseWriter.Hijack()
	w.hijacked = err == nil
	return conn, rw, err
}

// Unwrap is for http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
