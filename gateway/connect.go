package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
	"github.com/olahol/melody"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/gateway/wire"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// subprotocol is the one that clients must see selected.
const subprotocol = "rivet"

type sessionKey struct{}

// newSockets sets melody up, for messages of at most so many bytes. What it does by itself: one reader and one writer per socket,
// a bounded buffer between, pings. What it does not: see lingerConn.
func (g *Gateway) newSockets(maxMessage int) *melody.Melody {
	m := melody.New()
	m.Config.WriteWait = g.cfg.WriteTimeout
	m.Config.PingPeriod = g.cfg.PingInterval
	m.Config.PongWait = g.pongWait()
	m.Config.MaxMessageSize = int64(maxMessage)
	m.Config.MessageBufferSize = g.cfg.SessionBuffer + closingFrames
	m.Upgrader = &websocket.Upgrader{
		HandshakeTimeout: g.cfg.WriteTimeout,
		ReadBufferSize:   1 << 10,
		WriteBufferSize:  4 << 10,
		WriteBufferPool:  new(sync.Pool), // an idle socket holds none
		Subprotocols:     []string{subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // crossOrigin has decided
		// Compression costs memory per socket, and clients do without.
		EnableCompression: false,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			e := invalid("The WebSocket handshake is not valid: %v.", reason)
			w.Header().Set("Content-Type", wire.JSON.ContentType())
			w.WriteHeader(status)
			_, _ = w.Write(wire.AppendErrorBody(nil, wire.Format{}, e, nil))
		},
	}
	m.HandleConnect(func(out *melody.Session) {
		s := sessionOf(out)
		defer s.upgraded()
		if s.attach(out) {
			s.start(out.Request.Context())
		}
	})
	m.HandleMessage(func(out *melody.Session, data []byte) { sessionOf(out).receive(out.Request.Context(), true, data) })
	m.HandleMessageBinary(func(out *melody.Session, data []byte) { sessionOf(out).receive(out.Request.Context(), false, data) })
	m.HandleSentMessage(func(out *melody.Session, data []byte) { sessionOf(out).sent(len(data)) })
	m.HandleSentMessageBinary(func(out *melody.Session, data []byte) { sessionOf(out).sent(len(data)) })
	m.HandleError(func(out *melody.Session, err error) { sessionOf(out).failed(err) })
	return m
}

func sessionOf(out *melody.Session) *session {
	// Not out.MustGet, which locks: the keys never change.
	return out.Request.Context().Value(sessionKey{}).(*session)
}

// pongWait is how long a peer may be silent.
func (g *Gateway) pongWait() time.Duration { return 2*g.cfg.PingInterval + g.cfg.WriteTimeout }

// rivetConnect is .../connect: the socket of a connection.
func (g *Gateway) rivetConnect(c *gin.Context, route wire.GatewayRequest) {
	if !requireUpgrade(g, c) {
		return
	}
	protocols, err := wire.ParseSubprotocols(c.Request.Header.Values("Sec-Websocket-Protocol"))
	g.open(c, g.newSession(c, protocols, &route), &route, protocols, err)
}

// requireUpgrade refuses requests that do not want a socket.
func requireUpgrade(g *Gateway, c *gin.Context) bool {
	if websocket.IsWebSocketUpgrade(c.Request) {
		return true
	}
	c.Header("Upgrade", "websocket")
	g.writeError(c, http.StatusUpgradeRequired, errUpgrade, wire.Format{}, nil)
	return false
}

// open serves a session that wants a connection. err is what is wrong with its request already.
func (g *Gateway) open(c *gin.Context, s *session, route *wire.GatewayRequest, protocols wire.Subprotocols, err error) {
	s.byID = route.ByID
	s.start = s.begin
	if err == nil && g.sessions.full(g.cfg.MaxSessions) {
		err = errUnavailable
	}
	if err == nil {
		s.to, s.creation, err = g.rivetAddress(*route)
	}
	if err == nil {
		err = g.checkParams(protocols.ConnParams)
	}
	s.handshake = &actorlogv1.Handshake{
		ConnectionId: s.id, ParamsJson: protocols.ConnParams, Headers: passedOn(c.Request.Header, c.Request.Host, ""), Target: targetOf(route, route.TailPath),
	}
	if err == nil {
		s.idempotencyKey, err = idempotencyKey(c.Request.Header)
	}
	if protocols.IdempotencyKey != "" && err == nil {
		if s.idempotencyKey = protocols.IdempotencyKey; !visible(s.idempotencyKey) {
			err = invalid("The idempotency key is not 1 to 255 visible ASCII characters.")
		}
	}
	if err != nil {
		s.start = func(context.Context) { s.turnAway(err) }
	}
	if !protocols.EncodingKnown && !s.raw {
		s.start = func(context.Context) {
			s.refuseEncoding(wire.Errorf("actor", "unsupported_websocket_encoding", "The encoding of the socket is not known."))
		}
	}
	if len(websocket.Subprotocols(c.Request)) > 0 && !protocols.Rivet {
		s.start = func(context.Context) {
			s.refuseEncoding(wire.Errorf("actor", "unsupported_websocket_protocol", "None of the sub-protocols is %s.", subprotocol))
		}
	}
	g.serveSocket(c, s)
}

// refuseSocket accepts a socket in order to close it with the error's reason: whatever else
// an upgrade is answered, the client does not understand.
func (g *Gateway) refuseSocket(c *gin.Context, err error) {
	if strings.HasPrefix(c.Request.URL.EscapedPath(), "/actors/") {
		g.refuseSubscription(c, err)
		return
	}
	protocols, _ := wire.ParseSubprotocols(c.Request.Header.Values("Sec-Websocket-Protocol"))
	s := g.newSession(c, protocols, nil)
	// The client of a raw socket would take an error of the protocol for a message of its actor.
	s.raw = rawPath(c.Request.URL.EscapedPath())
	s.start = func(context.Context) { s.turnAway(err) }
	g.serveSocket(c, s)
}

// rawPath says whether a path that may be wrong otherwise is that of a raw socket.
func rawPath(path string) bool {
	tail := strings.TrimPrefix(path, "/")
	if rest, ok := strings.CutPrefix(path, "/gateway/"); ok {
		_, tail, _ = strings.Cut(rest, "/")
	}
	return tail == "websocket" || strings.HasPrefix(tail, "websocket/")
}

func (g *Gateway) newSession(c *gin.Context, protocols wire.Subprotocols, route *wire.GatewayRequest) *session {
	s := &session{
		g: g, ray: rayOf(c), id: newUUID(), opened: time.Now(), route: routeOf(c), from: g.callerOf(c.Request),
		encoding: protocols.Encoding, admitted: make(chan struct{}), over: make(chan struct{}),
		inFlight: make(chan struct{}, g.cfg.MaxInFlight), subscriptions: make(map[string]struct{}),
	}
	if s.encoding != wire.BARE {
		// A BARE client says its version with every message, and before that gets what all
		// versions understand.
		s.version.Store(uint32(wire.ClientVersion(c.Request.UserAgent(), route)))
	}
	return s
}

// serveSocket upgrades, and returns when the socket is closed.
func (g *Gateway) serveSocket(c *gin.Context, s *session) {
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	s.cancel = cancel
	if g.sessions.full(g.cfg.MaxSessions + g.cfg.MaxSessions/8 + 1) {
		g.fail(c, errUnavailable) // also those that are told why by a close reason take room
		return
	}
	if !g.awaitTurn(c, s.from.address) {
		return
	}
	s.opened = time.Now()
	if !g.sessions.enterSocket(s) {
		g.fail(c, errUnavailable)
		return
	}
	defer g.sessions.leaveSocket(s)
	// Work that waits for a processor delays all other work that does. So it waits here, where it delays nobody: see Gateway.upgrading.
	select {
	case g.upgrading <- struct{}{}:
	case <-ctx.Done():
		return // the client has gone
	}
	s.upgraded = sync.OnceFunc(func() { <-g.upgrading })
	defer s.upgraded()
	if g.draining() {
		s.goAway()
	}
	w := &hijacker{ResponseWriter: c.Writer, session: s}
	r := c.Request.WithContext(context.WithValue(ctx, sessionKey{}, s))
	g.cfg.Listener.SessionOpened(SessionInfo{Route: routeOf(c), ConnectionID: s.id})
	sockets := g.sockets
	if s.raw {
		sockets = g.raws
	}
	err := sockets.HandleRequest(w, r)
	reason := s.gone()
	s.work.Wait()
	if s.room != nil {
		g.rooms.leave(s, s.room)
	}
	if s.conn != nil {
		s.conn.finish()
	}
	g.cfg.Listener.SessionClosed(SessionInfo{Route: routeOf(c), ConnectionID: s.id, Reason: reason, Duration: time.Since(s.opened)})
	if ce := g.cfg.Logger.Check(zap.DebugLevel, "session closed"); ce != nil {
		ce.Write(zap.String(keySession, s.id), zap.String(keyRay, s.ray), zap.String(keyActor, s.actor.ID), zap.String(keyReason, reason), zap.Error(err))
	}
}

// turnAway refuses a session for an error of the request.
func (s *session) turnAway(err error) {
	e, expected := asWire(err, true)
	if !expected {
		s.g.cfg.Logger.Error("refusing a session", zap.Error(err), zap.String(keyRay, s.ray))
	}
	if badInput(rivetStatus(e)) {
		s.g.cfg.Listener.BadInput(BadInputInfo{Route: s.route, Group: e.Group, Code: e.Code})
	}
	s.refuse(e)
}

// failed is called by melody when reading or writing has ended.
func (s *session) failed(err error) {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed):
		s.conn.done.Store(true)
		s.noteReason(fmt.Sprintf("peer: %d", closed.Code))
		text := closed.Text
		if closed.Code == websocket.CloseAbnormalClosure {
			text = "" // the library's, not the peer's
		}
		s.noteClose(closed.Code, text)
	case errors.Is(err, websocket.ErrReadLimit):
		s.g.cfg.Listener.BadInput(BadInputInfo{Route: s.route, Group: errTooLongIn.Group, Code: errTooLongIn.Code})
		s.noteReason(wire.CloseReason(errTooLongIn.Group, errTooLongIn.Code, s.ray))
		s.noteClose(websocket.CloseInternalServerErr, wire.CloseReason(errTooLongIn.Group, errTooLongIn.Code, s.ray))
	case errors.Is(err, os.ErrDeadlineExceeded) && s.conn.broken.Load() && !s.ending.Load():
		reason := wire.CloseReason(errSlowConsumer.Group, errSlowConsumer.Code, s.ray)
		s.noteReason(reason)
		s.g.cfg.Listener.SlowConsumer(SessionInfo{Route: s.route, ConnectionID: s.id, Reason: reason, Duration: time.Since(s.opened)})
	}
}

// noteReason is why the session ended, unless that is known already.
func (s *session) noteReason(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending.Load() {
		s.reason = reason
	}
}

// hijacker puts a lingerConn under the socket that is made of a request.
type hijacker struct {
	http.ResponseWriter
	session *session
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("taking over the connection: %w", err)
	}
	s := h.session
	l := &lingerConn{Conn: conn, timeout: s.g.cfg.CloseTimeout}
	l.tooLong = closeFrame(websocket.CloseInternalServerErr, wire.CloseReason(errTooLongIn.Group, errTooLongIn.Code, s.ray))
	s.conn = l
	return l, rw, nil
}

// newUUID is a random UUID, version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
