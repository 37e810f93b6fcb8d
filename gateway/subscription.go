package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/gateway/recovery"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// subscriptionWindow is how many messages may be on their way to a subscriber's socket before its stream waits.
const subscriptionWindow = 16

// subscription is the face of an event stream on a socket: JSON messages. The socket is a session without a connection of the actor.
type subscription struct {
	*session
	stream *stream
	// asked is what the client has said; capacity 1, and more is refused.
	asked chan []byte
	// messages that are formatted.
	messages [][]byte
	bytes    int
	// places in the socket's window; see session.sent.
	places chan struct{}
}

// subscriptionSocket is the upgrade of GET .../events.
func (g *Gateway) subscriptionSocket(c *gin.Context, req plainRequest) {
	f := g.newSubscription(c, req.to)
	var err error
	f.stream.handshake, err = g.streamHandshake(c.Request, req)
	f.start = func(ctx context.Context) {
		f.work.Go(func() {
			defer f.recoverPanic("serving a subscription")
			if err == nil {
				err = f.run(ctx, req)
			}
			f.close(err)
		})
	}
	g.serveSocket(c, f.session)
}

func (g *Gateway) newSubscription(c *gin.Context, to address) *subscription {
	s := g.newSession(c, wire.Subprotocols{Encoding: wire.JSON}, nil)
	f := &subscription{
		session: s, stream: g.newStream(to, s.ray, s.from.address), asked: make(chan []byte, 1),
		places: make(chan struct{}, min(subscriptionWindow, g.cfg.SessionBuffer)), // what melody has room for
	}
	s.to, s.subscription, f.stream.face = to, f, f
	return f
}

// refuseSubscription accepts a socket in order to close it with the error's reason, for a script sees nothing else.
func (g *Gateway) refuseSubscription(c *gin.Context, err error) {
	f := g.newSubscription(c, address{})
	f.start = func(context.Context) { f.close(err) }
	g.serveSocket(c, f.session)
}

// subscribe is what a client says: for which events, all if there are none; after which id, from now on if it is empty; and
// the parameters that the actor is to see, those of the upgrade if there are none.
type subscribe struct {
	Subscribe *[]string       `json:"subscribe"`
	After     string          `json:"after"`
	Params    json.RawMessage `json:"params"`
}

// run serves the subscription to its end.
func (f *subscription) run(ctx context.Context, req plainRequest) error {
	ask, err := f.await(ctx, req)
	if err != nil {
		return err
	}
	s := f.stream
	if err := s.subscribesTo(*ask.Subscribe); err != nil {
		return err
	}
	cursor, err := s.parseCursor(ask.After)
	if err != nil {
		return err
	}
	if ask.Params != nil {
		if err := f.g.setParams(s.handshake, ask.Params); err != nil {
			return err
		}
	}
	known, err := s.consent(ctx)
	if err != nil {
		return err
	}
	f.shown.Store(viewActor(f.to))
	return s.run(ctx, cursor, known)
}

// await takes what the client asks for from its URL, or from its first message.
func (f *subscription) await(ctx context.Context, req plainRequest) (ask subscribe, err error) {
	if q := req.query; q.Has("event") || q.Has("after") || q.Has("lastEventId") {
		names := q["event"]
		return subscribe{Subscribe: &names, After: req.after()}, nil
	}
	timeout := time.NewTimer(f.g.cfg.ResolveTimeout)
	defer timeout.Stop()
	select {
	case text := <-f.asked:
		in := json.NewDecoder(bytes.NewReader(text))
		in.DisallowUnknownFields()
		if err := in.Decode(&ask); err != nil {
			return ask, invalid("The message is not a subscription: %v.", err)
		}
		if _, err := in.Token(); !errors.Is(err, io.EOF) || ask.Subscribe == nil {
			return ask, invalid(`The message is not of the form {"subscribe":["event"],"after":"id"}.`)
		}
		return ask, nil
	case <-timeout.C:
		return ask, invalid("There was no subscription within %v.", f.g.cfg.ResolveTimeout)
	case <-ctx.Done():
		return ask, errStreamOver
	}
}

// receive is melody's reader. A client says one thing.
func (f *subscription) receive(text bool, data []byte) {
	if text {
		select {
		case f.asked <- bytes.Clone(data):
			return
		default:
		}
	}
	f.stream.end(invalid("One message of text is taken on this socket, and then nothing."))
	// It may not have begun.
	f.close(f.stream.reason)
}

// close ends the socket for what ended its stream.
func (f *subscription) close(err error) {
	if err == nil || errors.Is(err, errStreamOver) {
		return // whoever ended it closes it
	}
	e, expected := asWire(err, true)
	if !expected {
		f.g.cfg.Logger.Error("serving a subscription", zap.Error(err), zap.String(keyRay, f.ray))
	}
	code := subscriptionCode(e)
	reason := wire.CloseReason(e.Group, e.Code, f.ray)
	if code == websocket.CloseTryAgainLater {
		f.end(code, reason, nil, nil) // and at once: it is to come back
		return
	}
	ended := f.end(code, reason, append(wire.AppendErrorBody([]byte(`{"error":`), wire.Format{}, e, nil), '}'), e)
	if ended && badInput(plainStatus(e)) {
		f.g.cfg.Listener.BadInput(BadInputInfo{Route: f.route, Group: e.Group, Code: e.Code})
	}
}

// subscriptionCode is the close code for an error: it says whether the client may come back.
func subscriptionCode(e *wire.Error) int {
	switch {
	case e == errSlowConsumer, e == errEventsMissed, e == errNotFound, plainStatus(e) == http.StatusServiceUnavailable:
		return websocket.CloseTryAgainLater
	case plainStatus(e) >= http.StatusInternalServerError:
		return websocket.CloseInternalServerErr
	}
	return websocket.ClosePolicyViolation
}

func (f *subscription) add(message []byte) {
	f.messages = append(f.messages, message)
	f.bytes += len(message)
}

func (f *subscription) ready(id recovery.Cursor, position schemas.Position, recovered bool) {
	names := f.stream.names
	if names == nil {
		names = []string{}
	}
	f.add(fmt.Appendf(nil, `{"subscribed":%s,"position":"%s","recovered":%t,"id":"%s"}`, quoted(names), position, recovered, id))
}

func (f *subscription) event(id recovery.Cursor, b *actorlogv1.Broadcast) {
	f.add(fmt.Appendf(nil, `{"event":%s,"args":%s,"id":"%s"}`, quoted(b.Name), eventData(b.ArgsJson), id))
}

// heartbeat is for scripts, which do not see pings.
func (f *subscription) heartbeat() { f.add([]byte(`{"heartbeat":true}`)) }

func (f *subscription) full() bool {
	return len(f.messages) >= subscriptionWindow || f.bytes >= f.g.cfg.MaxOutgoingMessageBytes
}

// over has nothing to say: the close frame does.
func (f *subscription) over(*wire.Error) {}

// flush hands the messages to melody as the peer takes them. One that does not is missed by the write that waits for it, or by its stream, which
// overflows.
func (f *subscription) flush() error {
	for _, m := range f.messages {
		select {
		case f.places <- struct{}{}:
		case <-f.stream.ended:
			return f.stream.reason
		case <-f.session.over:
			return errStreamOver
		}
		f.queued.Add(1)
		f.queuedBytes.Add(int64(len(m)))
		f.put(true, m)
	}
	clear(f.messages)
	f.messages, f.bytes = f.messages[:0], 0
	return nil
}

// quoted is a value as JSON that has one.
func quoted(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings
	}
	return text
}
