package gateway

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// lingerConn is a socket's network connection, between melody and the network. It does three
// things that melody and gorilla/websocket cannot be told to do:
//
// It waits. melody drops the connection right after its close frame. A peer that has not
// read everything by then sees a reset, and loses the error before the close and its reason.
// So Close only starts the clock: melody's reader, which is still at work, ends the session
// when the peer's close frame arrives or the time is up, and finish closes for good.
//
// It bounds. While a session is closing no write and no read may take longer than the rest
// of its time, whatever deadline is set later.
//
// It translates. gorilla answers a message beyond its read limit with code 1009 and no
// reason, without asking. The protocol has a reason for it, so that frame is replaced.
type lingerConn struct {
	net.Conn
	timeout time.Duration
	// tooLong is written instead of gorilla's own answer to a message that is too long.
	tooLong []byte

	// broken: a write did not go through; the peer hears no more.
	broken atomic.Bool
	// done: the peer said goodbye or is gone; nothing is to be waited for.
	done atomic.Bool

	mu sync.Mutex
	// until is when the connection is cut; zero while it is not closing.
	until time.Time
}

// gorillaTooLong is the whole frame that gorilla/websocket writes when a message exceeds the read
// limit: an unmasked close frame with code 1009 and no reason.
var gorillaTooLong = append([]byte{0x80 | websocket.CloseMessage, 2}, websocket.FormatCloseMessage(websocket.CloseMessageTooBig, "")...)

// closeFrame is a whole close frame of a server. The reason must be of at most 123 bytes.
func closeFrame(code int, reason string) []byte {
	payload := websocket.FormatCloseMessage(code, reason)
	return append([]byte{0x80 | websocket.CloseMessage, byte(len(payload))}, payload...)
}

func (c *lingerConn) Write(p []byte) (int, error) {
	if bytes.Equal(p, gorillaTooLong) {
		if _, err := c.Conn.Write(c.tooLong); err != nil {
			c.broken.Store(true)
			return 0, err
		}
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

// expire starts the clock, once.
func (c *lingerConn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.IsZero() {
		c.until = time.Now().Add(c.timeout)
		_ = c.Conn.SetDeadline(c.until)
	}
}

// cut closes at once.
func (c *lingerConn) cut() { _ = c.Conn.Close() }

// Close is melody's. It returns before the connection is closed, unless nobody listens.
func (c *lingerConn) Close() error {
	if c.broken.Load() || c.done.Load() {
		return c.Conn.Close()
	}
	c.expire()
	return nil
}

// finish closes the connection after melody has left it. If the peer may still be sending,
// what it sends is read and thrown away for the rest of the time, for closing with unread bytes would
// reset the connection and take our last frames with it.
func (c *lingerConn) finish() {
	if !c.broken.Load() && !c.done.Load() {
		c.expire()
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_, _ = io.Copy(io.Discard, c.Conn)
		}
	}
	_ = c.Conn.Close()
}

// SetReadDeadline clamps.
func (c *lingerConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetReadDeadline(c.clamp(t))
}

// SetWriteDeadline clamps.
func (c *lingerConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetWriteDeadline(c.clamp(t))
}

// SetDeadline clamps.
func (c *lingerConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetDeadline(c.clamp(t))
}

func (c *lingerConn) clamp(t time.Time) time.Time {
	if !c.until.IsZero() && (t.IsZero() || t.After(c.until)) {
		return c.until
	}
	return t
}
