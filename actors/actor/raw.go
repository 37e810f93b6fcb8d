package actor

import (
	"errors"
	"fmt"
	"strings"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Header is one header of a request or response. Names are in canonical form.
type Header struct{ Name, Value string }

// Request is what a client sent over HTTP: a raw request, or the upgrade of a connection. Package
// actors/actorhttp makes an *http.Request of it.
type Request struct {
	// Method is GET for a connection.
	Method string
	// Target is path and query, as the actor sees them: "/" and on.
	Target string
	// URL that the client asked for, when it is known.
	URL     string
	Headers []Header
	Body    []byte
}

// Header returns the first header of that name, in whatever case; empty when there is none.
func (r *Request) Header(name string) string {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// Response is the answer to a raw request.
type Response struct {
	// Status defaults to 200.
	Status  int
	Headers []Header
	Body    []byte
}

// Request is the HTTP request behind the action: of a raw request, or of a connection that begins, or of a stateless call. nil when there is
// none. Its headers are not kept in the history, for they carry secrets.
func (c *Ctx) Request() *Request {
	a := c.job.Action
	if a.GetHandshake() != nil || a.GetRequest() != nil {
		c.job.looked(UnrecordedHeaders)
	}
	if c.request == nil && (a.GetHandshake() != nil || a.GetRequest() != nil) {
		c.request = &Request{Method: "GET", Target: a.GetHandshake().GetTarget()}
		headers := a.GetHandshake().GetHeaders()
		if r := a.GetRequest(); r != nil {
			c.request.Method, c.request.URL, c.request.Body = r.Method, r.Url, r.Body
			headers = r.Headers
		}
		for _, h := range headers {
			c.request.Headers = append(c.request.Headers, Header{Name: h.Name, Value: string(h.Value)})
		}
	}
	return c.request
}

// OnRequest sets the rule for raw HTTP requests: any method, below .../request/. A request is an action like any other,
// and its response part of the outcome. An error is answered as JSON. actors/actorhttp takes handlers in the shape of net/http.
func OnRequest[S any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx, request *Request) (*Response, error)) {
	d := define(r, k)
	once(d.hooks.request == nil, k.name, "OnRequest")
	d.hooks.request = func(s any, c *Ctx) (*actorlogv1.Response, error) {
		answer, err := fn(s.(*S), c, c.Request())
		if err != nil {
			return nil, err
		}
		if answer == nil {
			answer = new(Response)
		}
		out := &actorlogv1.Response{Status: uint32(answer.Status), Body: answer.Body}
		if answer.Status == 0 {
			out.Status = 200
		}
		if answer.Status < 0 || out.Status < 200 || out.Status > 599 {
			return nil, fmt.Errorf("the status of a response is %d", answer.Status)
		}
		for _, h := range answer.Headers {
			out.Headers = append(out.Headers, &actorlogv1.Header{Name: cleanText(h.Name), Value: []byte(h.Value)})
		}
		return out, nil
	}
}

// Socket is a raw WebSocket. It belongs to the action that got it.
type Socket struct{ *Conn }

// Target is path and query of the socket, as in Rivet with "/websocket" before what the client asked for: "/websocket/x?y=1".
func (s *Socket) Target() string { return s.record.Target }

// Write sends a text message to the client once the outcome is committed.
func (s *Socket) Write(text string) { s.write(true, []byte(text)) }

// WriteBinary sends a binary message. It keeps data.
func (s *Socket) WriteBinary(data []byte) { s.write(false, data) }

func (s *Socket) write(text bool, data []byte) {
	if text && !validText(string(data)) {
		s.c.fail(errors.New("a text message to a socket is not valid UTF-8"))
		return
	}
	s.c.effects.Frames = append(s.c.effects.Frames, &actorlogv1.Frame{
		ConnectionId: s.record.Id, Message: &actorlogv1.SocketMessage{Text: text, Data: data},
	})
}

// Close closes the socket once the outcome is committed, with a code (1000, or 3000 to 4999) and a reason.
func (s *Socket) Close(code int, reason string) {
	if code != 1000 && (code < 3000 || code > 4999) {
		s.c.fail(fmt.Errorf("closing a socket with code %d: 1000 and 3000 to 4999 are for applications", code))
		return
	}
	s.close(uint32(code), reason)
}

// Sockets is the raw sockets among the actor's connections, oldest first.
func (c *Ctx) Sockets() []*Socket {
	var all []*Socket
	for _, n := range c.Conns() {
		if n.Raw() {
			all = append(all, &Socket{n})
		}
	}
	return all
}

// SocketMessage is one message of a client.
type SocketMessage struct {
	Text bool
	Data []byte
}

// SocketHandler is the rules for raw sockets; a nil one does nothing. The connection hooks run as for any connection: OnConnect before
// Open, OnDisconnect after Close.
type SocketHandler[S any] struct {
	// Open: a client connected. An error refuses it.
	Open func(s *S, c *Ctx, socket *Socket) error
	// Message: the client sent something. An error closes the socket.
	Message func(s *S, c *Ctx, socket *Socket, m SocketMessage) error
	// Close: the socket is gone, whoever ended it. Code is 1006 when there was no closing handshake, and 1000 when the
	// actor ended it without one.
	Close func(s *S, c *Ctx, socket *Socket, code int, reason string) error
}

type socketHooks struct {
	open    func(s any, c *Ctx, socket *Socket) error
	message func(s any, c *Ctx, socket *Socket, m SocketMessage) error
	close   func(s any, c *Ctx, socket *Socket, code int, reason string) error
}

// OnWebSocket sets the rules for raw WebSockets, below .../websocket/. Opening, every message and closing are an action each.
func OnWebSocket[S any](r *Registry, k KindOf[S], h SocketHandler[S]) {
	d := define(r, k)
	once(d.hooks.socket == nil, k.name, "OnWebSocket")
	hooks := new(socketHooks)
	if h.Open != nil {
		hooks.open = func(s any, c *Ctx, socket *Socket) error { return h.Open(s.(*S), c, socket) }
	}
	if h.Message != nil {
		hooks.message = func(s any, c *Ctx, socket *Socket, m SocketMessage) error { return h.Message(s.(*S), c, socket, m) }
	}
	if h.Close != nil {
		hooks.close = func(s any, c *Ctx, socket *Socket, code int, reason string) error {
			return h.Close(s.(*S), c, socket, code, reason)
		}
	}
	d.hooks.socket = hooks
}
