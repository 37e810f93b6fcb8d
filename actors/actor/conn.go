package actor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Limits of the connections of one actor.
const (
	// MaxConns is how many there may be.
	MaxConns = 10_000
	// MaxConnsBytes is how much they may hold, in parameters and states, and schedules and queues with them, before no further one is let in.
	MaxConnsBytes = 4 << 20
)

// Conn is a client that is connected to the actor. It is part of the actor's state: it survives
// sleep, crashes and hand-overs for as long as its gateway holds the socket. A Conn belongs
// to the action that got it from its [Ctx], and ends with it.
type Conn struct {
	c         *Ctx
	record    *actorlogv1.Connection
	ephemeral bool
	// gone: the action ended it, with this code and reason.
	gone   bool
	code   uint32
	reason string
	// state is a *CS, once somebody asked for it.
	state any
}

// ID of the connection, as the client knows it.
func (n *Conn) ID() string { return n.record.Id }

// Ephemeral says that the connection is that of a stateless call: it lasts as long as the call.
func (n *Conn) Ephemeral() bool { return n.ephemeral }

// Raw says that the connection is a raw socket, whose messages [OnWebSocket] handles.
func (n *Conn) Raw() bool { return n.record.Raw }

// Principal is who the client is, as [Ctx.Authenticate] was told when it connected; empty when anonymous.
func (n *Conn) Principal() string { return n.record.Principal }

// Since is when it connected. UTC.
func (n *Conn) Since() time.Time { return time.UnixMilli(n.record.TimeUnixMs).UTC() }

// Params decodes the parameters that the client gave into v, and leaves v as it is when there are
// none. The error is an ErrInvalidRequest.
func (n *Conn) Params(v any) error { return decodeParams(n.record.ParamsJson, v) }

// Send sends an event to this connection alone, whether it is subscribed to it or not, once the
// action's outcome is committed. A raw socket gets no events.
func (n *Conn) Send(m Message) {
	n.c.emit(m, func(b *actorlogv1.Broadcast) { b.To = n.record.Id })
}

// Disconnect ends the connection once the action's outcome is committed; the reason reaches the client.
// OnDisconnect runs with this action.
func (n *Conn) Disconnect(reason string) { n.close(0, reason) }

func (n *Conn) close(code uint32, reason string) {
	if n.gone {
		return
	}
	n.c.dropped = append(n.c.dropped, n)
	n.end(code, reason)
}

// end notes that the connection has ended.
func (n *Conn) end(code uint32, reason string) {
	n.gone, n.code, n.reason = true, code, cut(cleanText(reason), maxReason)
	if n.ephemeral {
		return // it was never part of the actor
	}
	n.c.effects.Disconnected = append(n.c.effects.Disconnected, &actorlogv1.Disconnected{
		Id: n.record.Id, Gateway: n.record.Gateway, Code: code, Reason: n.reason,
	})
}

// maxReason is how long a close reason may be: a control frame holds 125 bytes, two of them the code (RFC 6455, 5.5).
const maxReason = 123

// cut shortens a text to at most n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:n]), nil))
}

// ConnState is the state of a connection, to be changed in place: what [CreateConnState] made. It
// panics when CS is not the type that CreateConnState returns, for that is a mistake of the kind's author.
func ConnState[CS any](n *Conn) *CS {
	if s, ok := n.state.(*CS); ok {
		return s
	}
	s := new(CS)
	if n.state != nil {
		panic(fmt.Sprintf("actor: the state of connections of kind %q is %T, not %T", n.c.Kind(), n.state, s))
	}
	if len(n.record.StateJson) > 0 {
		if err := json.Unmarshal(n.record.StateJson, s); err != nil {
			panic(fmt.Sprintf("actor: the state of connections of kind %q cannot be read as %T: %v", n.c.Kind(), *s, err))
		}
	}
	n.state = s
	return s
}

// flush writes the state back, and returns the connection as a record if it differs from what it was.
func (n *Conn) flush() (*actorlogv1.Connection, error) {
	if n.state == nil {
		return nil, nil
	}
	state, err := json.Marshal(n.state)
	if err != nil {
		return nil, fmt.Errorf("writing the state of a connection of kind %s: %w", n.c.Kind(), err)
	}
	if bytes.Equal(state, n.record.StateJson) {
		return nil, nil
	}
	n.record = proto.CloneOf(n.record)
	n.record.StateJson = state
	return n.record, nil
}

// Conn is the connection that the action came through: nil for calls of backends over the log, of other
// actors, and of schedules. A stateless call of a client has an ephemeral one.
func (c *Ctx) Conn() *Conn { return c.conn }

// Conns is all connections of the actor, oldest first, an ephemeral one of this action included.
// The caller owns the slice.
func (c *Ctx) Conns() []*Conn {
	c.openConns()
	live := make([]*Conn, 0, len(c.conns))
	for _, n := range c.conns {
		if !n.gone {
			live = append(live, n)
		}
	}
	return live
}

// openConns makes the connections of the record.
func (c *Ctx) openConns() {
	if c.opened {
		return
	}
	c.opened = true
	known := c.conns // looked at ahead of the others
	c.conns = make([]*Conn, 0, len(c.job.Connections)+1)
	for _, record := range c.job.Connections {
		i := slices.IndexFunc(known, func(n *Conn) bool { return n.record.Id == record.Id })
		if i >= 0 {
			c.conns = append(c.conns, known[i])
			continue
		}
		c.conns = append(c.conns, &Conn{c: c, record: record})
	}
	if c.conn != nil && !slices.Contains(c.conns, c.conn) { // it begins with this action
		c.conns = append(c.conns, c.conn)
	}
}

// connOf finds a connection of the record without making all of them.
func (c *Ctx) connOf(id string) *Conn {
	for _, n := range c.conns {
		if n.record.Id == id {
			return n
		}
	}
	for _, record := range c.job.Connections {
		if record.Id == id {
			n := &Conn{c: c, record: record}
			c.conns = append(c.conns, n)
			return n
		}
	}
	return nil
}

// Authenticate notes who the client is, in OnBeforeConnect, CreateConnState or OnConnect; the history says so of
// everything that comes through the connection. Elsewhere it fails the action.
func (c *Ctx) Authenticate(principal string) {
	if c.connecting == nil {
		c.fail(errors.New("Authenticate: only a connection that begins can be authenticated"))
		return
	}
	c.principal = cleanText(principal)
	c.connecting.record.Principal = c.principal
}

func decodeParams(params []byte, v any) error {
	if len(params) == 0 || isUndefined(params) || isNull(params) {
		return nil
	}
	return unmarshalArg(params, v, "the connection parameters")
}
