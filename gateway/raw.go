package gateway

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway/wire"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// rivetRequest is any method on .../request/{path}: HTTP that the actor answers itself.
func (g *Gateway) rivetRequest(c *gin.Context, route wire.GatewayRequest) {
	r := c.Request
	if websocket.IsWebSocketUpgrade(r) {
		g.refuseSocket(c, errNoRoute)
		return
	}
	body, err := readBody(r, g.cfg.MaxRequestBytes)
	if err != nil {
		g.failWith(c, err, rawStatus, wire.Format{})
		return
	}
	call, err := g.rivetCall(r, route)
	if err != nil {
		g.failWith(c, err, rawStatus, wire.Format{})
		return
	}
	action := call.to.action(call.creation, call.idempotencyKey)
	action.Handshake = call.handshake
	action.Handshake.Target, action.Handshake.Headers = targetOf(&route, route.UserPath()), nil // the request has them
	action.Body = &actorlogv1.Action_Request{Request: &actorlogv1.Request{
		Method: r.Method, Headers: passedOn(r.Header, r.Host, rivetHeaders), Body: body, Url: originalURL(r),
	}}
	a, err := g.do(r.Context(), call.to, action)
	if err != nil {
		g.failWith(c, err, rawStatus, wire.Format{})
		return
	}
	response := a.Outcome.GetResponse()
	if response == nil || response.Status < 200 || response.Status > 599 {
		g.failWith(c, &refused{a, errInternal}, rawStatus, wire.Format{})
		return
	}
	setAnswer(c.Writer.Header(), a)
	setResponse(c.Writer.Header(), response.Headers)
	if r.Method == http.MethodHead {
		c.Header("Content-Length", strconv.Itoa(len(response.Body)))
	}
	c.Status(int(response.Status))
	c.Writer.WriteHeaderNow()
	if bodyAllowed(r.Method, int(response.Status)) {
		_, _ = c.Writer.Write(response.Body) // fails when the client has gone
	}
}

// rawStatus is the status of an error instead of an actor's own answer: programs look at it here.
func rawStatus(e *wire.Error) int {
	if e.Group == errTooLongIn.Group && e.Code == errTooLongIn.Code {
		return http.StatusRequestEntityTooLarge
	}
	return rivetStatus(e)
}

func bodyAllowed(method string, status int) bool {
	return method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified
}

// originalURL is what a client's program asked for, when the client tells; else empty.
func originalURL(r *http.Request) string {
	text := r.Header.Get(headerOriginalURL)
	if u, err := url.Parse(text); err != nil || !u.IsAbs() || !utf8.ValidString(text) {
		return ""
	}
	return text
}

// targetOf is path and query as the actor sees them. A path that is not UTF-8 is escaped anyway.
func targetOf(route *wire.GatewayRequest, path string) string {
	if route.Query != "" {
		path += "?" + route.Query
	}
	return strings.ToValidUTF8(path, "\uFFFD")
}

// rivetWebSocket is .../websocket/{path}: a socket whose messages the actor handles itself.
func (g *Gateway) rivetWebSocket(c *gin.Context, route wire.GatewayRequest) {
	if !requireUpgrade(g, c) {
		return
	}
	protocols, err := wire.ParseSubprotocols(c.Request.Header.Values("Sec-Websocket-Protocol"))
	s := g.newSession(c, protocols, &route)
	s.raw = true
	g.open(c, s, &route, protocols, err)
}

// forward passes a message of a raw socket's client on. Messages are appended in the order in which they are read, and by nobody else.
func (s *session) forward(ctx context.Context, text bool, data []byte) {
	if text && !utf8.Valid(data) {
		s.bad(invalid("A text message is not valid UTF-8."))
		return
	}
	if !s.takePlace() || !s.pace() {
		return
	}
	action := s.life.action(nil, "")
	action.Caller.ConnectionId = s.id
	action.Body = &actorlogv1.Action_SocketMessage{SocketMessage: &actorlogv1.SocketMessage{Text: text, Data: data}}
	// What it made of the message comes as frames of the outcome, see room.outcome.
	handled := func(d *remote.Delivery, _ bool, err error) {
		defer s.g.contain("handling a message of a socket")
		defer s.part()
		defer func() { <-s.inFlight }()
		e := s.failure(d, err)
		switch {
		case e == nil:
		case connectionClosed(e):
			s.lose()
		default:
			// The actor has seen what came before, and will not see what comes after.
			s.fail(e)
		}
	}
	if err := s.g.client.Ask(ctx, remote.Request{Hash: s.life.hash, Action: action}, handled); err != nil {
		handled(nil, false, err)
	}
}

// takePlace waits while too many actions of the session's are under way. It returns false when the session has ended.
func (s *session) takePlace() bool {
	select {
	case s.inFlight <- struct{}{}:
		return true
	default:
	}
	select {
	case s.inFlight <- struct{}{}:
		s.waited()
		return true
	case <-s.over:
		return false
	}
}

// pace waits while the session asks for more than its caller or its actor has a quota for, where nothing could tell the client that
// it was refused. It returns false when the session has ended.
func (s *session) pace() bool {
	wait := s.g.quotas.reserve(s.from.identity, s.life.hash, time.Now())
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.waited()
		return true
	case <-s.over:
		return false
	}
}

// waited is called when the session was not read for a while: no pong was either.
func (s *session) waited() { _ = s.conn.SetReadDeadline(time.Now().Add(s.g.pongWait())) }

// failure is what the client is told of an action that was not carried out; nil if it was.
func (s *session) failure(d *remote.Delivery, err error) *wire.Error {
	if err != nil {
		e, expected := asWire(err, false)
		if !expected {
			s.g.cfg.Logger.Error("an action failed", zap.Error(err), zap.String(keyRay, s.ray))
		}
		return e
	}
	e := outcomeError(d)
	s.g.noteInternal(e, s.ray, s.route)
	return e
}
