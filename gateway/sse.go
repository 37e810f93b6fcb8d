package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/gateway/recovery"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// retryMS is after how many milliseconds an EventSource shall come back.
const retryMS = 1000

// plainEvents is GET .../events: the actor's broadcasts as server-sent events, or on a socket. The package
// comment describes what a client sees; package recovery why nothing is missed.
func (g *Gateway) plainEvents(c *gin.Context, req plainRequest) {
	if websocket.IsWebSocketUpgrade(c.Request) {
		g.subscriptionSocket(c, req)
		return
	}
	s := g.newStream(req.to, rayOf(c), g.clientAddress(c.Request))
	f := &eventStream{s: s, w: c.Writer, control: http.NewResponseController(c.Writer)}
	s.face = f
	lastID := c.GetHeader("Last-Event-ID") // set by EventSource when it comes back: newer than the URL
	if lastID == "" {
		lastID = req.after()
	}
	err := s.subscribesTo(req.query["event"])
	var cursor *recovery.Cursor
	if err == nil {
		cursor, err = s.parseCursor(lastID)
	}
	if err == nil {
		s.handshake, err = g.streamHandshake(c.Request, req)
	}
	if err != nil {
		g.failPlain(c, err)
		return
	}
	if g.sessions.full(g.cfg.MaxSessions) || !g.sessions.enter() {
		g.failStream(c, errUnavailable)
		return
	}
	defer g.sessions.leave()
	ctx := c.Request.Context()
	// The actor's consent. It refuses kinds that do not exist, too, and its outcome stands after everything
	// that the client can have seen.
	known, err := s.consent(ctx)
	if err != nil {
		g.failStream(c, err)
		return
	}
	beginsStream(c)
	g.sessions.show(s)
	defer g.sessions.hide(s)
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	c.Status(http.StatusOK)
	if f.begin() != nil {
		return
	}
	if err := s.run(ctx, cursor, known); err != nil {
		g.cfg.Logger.Debug("event stream ended", zap.Error(err), zap.String(keyRay, rayOf(c)), zap.String(keyRoute, routeOf(c)))
	}
}

// after is what a subscriber's URL says that it has had; empty is nothing.
func (req plainRequest) after() string {
	if req.query.Has("after") {
		return req.query.Get("after")
	}
	return req.query.Get("lastEventId")
}

// streamHandshake is what a stream's client presents. An EventSource cannot set headers: parameters may be in the query.
func (g *Gateway) streamHandshake(r *http.Request, req plainRequest) (*actorlogv1.Handshake, error) {
	h, err := g.handshake(r)
	if err != nil || !req.query.Has("params") {
		return h, err
	}
	return h, g.setParams(h, []byte(req.query.Get("params")))
}

// setParams gives a handshake other parameters than those of the headers.
func (g *Gateway) setParams(h *actorlogv1.Handshake, params []byte) (err error) {
	if h.ParamsJson, err = wire.EscapeJSON(params); err != nil {
		return invalid("params: %v.", err)
	}
	return g.checkParams(h.ParamsJson)
}

// failStream is failPlain, but asks an EventSource to come back when the failure will pass.
func (g *Gateway) failStream(c *gin.Context, err error) {
	e, _ := asWire(err, true)
	passes := plainStatus(e) == http.StatusServiceUnavailable
	retry := retryMS * time.Millisecond
	var over *overQuota
	if errors.As(err, &over) {
		passes, retry = true, max(retry, over.after)
	}
	if !passes || !strings.Contains(c.GetHeader("Accept"), "text/event-stream") {
		g.failPlain(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	data := wire.AppendErrorBody(nil, wire.Format{}, e, nil)
	c.Data(http.StatusOK, "text/event-stream", fmt.Appendf(nil, "retry: %d\nevent: actorlog.unavailable\ndata: %s\n\n", retry.Milliseconds(), data))
}

// eventStream is the face of server-sent events.
type eventStream struct {
	s       *stream
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

// begin sends the headers, so that the client knows of its stream while history is read.
func (f *eventStream) begin() error {
	fmt.Fprintf(&f.buf, "retry: %d\n\n", retryMS)
	return f.flush()
}

func (f *eventStream) ready(id recovery.Cursor, position schemas.Position, recovered bool) {
	fmt.Fprintf(&f.buf, "id: %s\nevent: actorlog.ready\ndata: {\"position\":\"%s\",\"recovered\":%t}\n\n", id, position, recovered)
}

func (f *eventStream) event(id recovery.Cursor, b *actorlogv1.Broadcast) {
	fmt.Fprintf(&f.buf, "id: %s\nevent: %s\ndata: %s\n\n", id, oneLine(b.Name), eventData(b.ArgsJson))
}

func (f *eventStream) heartbeat() { f.buf.WriteString(": heartbeat\n\n") }

func (f *eventStream) full() bool { return f.buf.Len() >= f.s.g.cfg.MaxOutgoingMessageBytes }

func (f *eventStream) over(e *wire.Error) {
	fmt.Fprintf(&f.buf, ": %s.%s\n\n", e.Group, e.Code)
	_ = f.flush() // the stream ends in any case
}

func (f *eventStream) flush() error {
	if f.buf.Len() == 0 {
		return nil
	}
	_, err := f.w.Write(f.buf.Bytes())
	f.buf.Reset()
	if err == nil {
		err = f.control.Flush()
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.s.end(errSlowConsumer)
	}
	return fmt.Errorf("writing events: %w", err)
}

// oneLine keeps a name from ending the field that it stands in.
func oneLine(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == 0 {
			return ' '
		}
		return r
	}, name)
}

// eventData is the JSON array of arguments on one line: within JSON, line ends are only space.
func eventData(args []byte) []byte {
	if len(args) == 0 {
		return []byte("[]")
	}
	if !bytes.ContainsAny(args, "\r\n") {
		return args
	}
	var b bytes.Buffer
	if err := json.Compact(&b, args); err != nil {
		return []byte(oneLine(string(args)))
	}
	return b.Bytes()
}
