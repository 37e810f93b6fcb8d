package gateway

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway/wire"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// closingFrames is how many frames a session that ends may still send: an error and the close.
const closingFrames = 2

// answerGrace is how long a session whose actor has ended waits for the answer to the request
// that ended it. The answer is usually there within microseconds, for it is the same outcome.
const answerGrace = time.Second

// session is one /connect socket.
//
// Four kinds of goroutines meet here. The reader (melody's) calls receive. The log's calls
// send, answered and the end functions, and must not wait. Timers and Shutdown call the end
// functions. The writer (melody's) empties the buffer. Whoever ends a session first decides how;
// the others' calls do nothing.
type session struct {
	g    *Gateway
	ray  string
	id   string // connection id
	byID bool   // addressed by actor id
	// to is the actor: as addressed while opening, that one life afterwards.
	to             address
	creation       *actorlogv1.Creation
	idempotencyKey string                    // prefix of the keys of its actions; empty for none
	start          func(ctx context.Context) // what to do once the socket is there
	opened         time.Time
	route          string
	address        netip.Addr                // of the client, zero if not known
	shown          atomic.Pointer[actorView] // set when it is admitted

	cancel context.CancelFunc // ends what the session is waiting for in the log
	out    *melody.Session    // set before anything is sent; see attach
	conn   *lingerConn

	encoding wire.Encoding
	version  atomic.Uint32 // of the protocol; see wire.Format

	// admitted is closed when Init has been sent, or the session is ending.
	admitted     chan struct{}
	admittedOnce sync.Once
	room         *room         // set before admitted is closed
	life         address       // the actor's life that it is connected to; set before admitted is closed
	actor        wire.ActorRef // the same for clients
	inFlight     chan struct{} // one element per action under way

	// Guarded by room.mu.
	generation    uint32
	subscriptions map[string]struct{}

	queued      atomic.Int64 // frames in the buffer
	queuedBytes atomic.Int64

	ending      atomic.Bool
	afterAnswer atomic.Bool   // the actor has ended; the answer to this session's request comes first
	over        chan struct{} // closed when ending is set

	mu       sync.Mutex
	attached bool        // out and conn are set
	last     func()      // sends the closing frames; nil before the end and after it was called
	timer    *time.Timer // calls last
	reason   string      // why it ended, for listeners
	left     bool        // gone was called
	rejected *offender   // set while the end is put off
}

// attach gives the session its socket. It returns false if the session has ended before.
func (s *session) attach(out *melody.Session) bool {
	s.mu.Lock()
	s.out, s.attached = out, true
	s.mu.Unlock()
	if s.ending.Load() {
		s.flushEnd()
		return false
	}
	return true
}

func (s *session) format() wire.Format {
	return wire.Format{Encoding: s.encoding, Version: uint16(s.version.Load())}
}

// send puts a frame into the buffer. Frames are shared: nobody changes them.
func (s *session) send(frame []byte) {
	if s.ending.Load() {
		return
	}
	n, bytes := s.queued.Add(1), s.queuedBytes.Add(int64(len(frame)))
	if n > int64(s.g.cfg.SessionBuffer) || (bytes > int64(s.g.cfg.SessionBufferBytes) && n > 1) {
		s.slow()
		return
	}
	s.put(frame)
}

// put hands a frame to melody, which has room for it: see closingFrames.
func (s *session) put(frame []byte) {
	if s.encoding.Text() {
		_ = s.out.Write(frame) // fails when the peer has gone
	} else {
		_ = s.out.WriteBinary(frame)
	}
}

// sent is called by melody's writer.
func (s *session) sent(n int) {
	s.queued.Add(-1)
	s.queuedBytes.Add(int64(-n))
}

// begin looks the actor up, and creates it if that was asked. ctx is the session's.
func (s *session) begin(ctx context.Context) {
	s.room = s.g.rooms.join(s)
	ctx, cancel := context.WithTimeout(ctx, s.g.cfg.ResolveTimeout)
	done := func(d *remote.Delivery, _ bool, err error) {
		defer s.g.contain("opening a session")
		cancel()
		switch {
		case err != nil:
			// Looking up, or creating an actor that is absent, may be done twice.
			e, expected := asWire(err, true)
			if !expected {
				s.g.cfg.Logger.Error("opening a session", zap.Error(err), zap.String(keyRay, s.ray))
			}
			s.refuse(e)
		case d.Outcome.GetError() != nil:
			s.refuse(outcomeError(d))
		default:
			s.admit(d)
		}
	}
	action := s.to.resolve(s.creation, "")
	action.Caller.ConnectionId = s.id
	if err := s.g.client.Ask(ctx, remote.Request{Hash: s.to.hash, Action: action}, done); err != nil {
		done(nil, false, err)
	}
}

// admit opens the session: its actor lives.
func (s *session) admit(d *remote.Delivery) {
	a := d.Outcome.GetActor()
	s.life = addressOfLife(d.Hash, a.GetGeneration())
	s.actor = wire.ActorRef{ID: actorID(d.Hash, a), Generation: uint64(a.GetGeneration()), Key: keyOf(a).String()}
	// Before anything else, for once it is admitted the room may end it.
	s.send(wire.AppendInit(nil, s.format(), s.actor.ID, s.id))
	if !s.room.admit(s, a.GetGeneration()) {
		s.endPeacefully()
		return
	}
	s.shown.Store(viewActor(address{d.Hash, a}))
	s.admittedOnce.Do(func() { close(s.admitted) })
}

// receive handles one message of the peer. It is melody's reader, and may wait: then the
// peer's next messages wait too.
func (s *session) receive(ctx context.Context, text bool, data []byte) {
	defer func() {
		if p := recover(); p != nil {
			s.g.cfg.Logger.Error("a panic while handling a message", zap.Any(keyReason, p), zap.String(keyRay, s.ray), zap.Stack(keyStack))
			s.fail(errInternal)
		}
	}()
	<-s.admitted
	if s.ending.Load() {
		return
	}
	if text != s.encoding.Text() {
		s.bad(invalid("The message is not of the encoding that was announced."))
		return
	}
	msg, next, err := wire.DecodeClientMessage(s.format(), data)
	if err != nil {
		e, _ := asWire(err, false)
		s.bad(e)
		return
	}
	s.version.Store(uint32(next.Version))
	switch msg.Kind {
	case wire.MessageSubscription:
		if len(msg.Name) > maxNameBytes || !utf8.ValidString(msg.Name) {
			s.bad(invalid("The name of the event is too long, or not valid UTF-8."))
		} else if !s.room.subscribe(s, msg.Name, msg.Subscribe) {
			s.bad(invalid("There are more than %d subscriptions.", s.g.cfg.MaxSubscriptions))
		}
	case wire.MessageAction:
		s.run(ctx, msg)
	}
}

// run appends an action. It waits while too many of the session's are under way.
func (s *session) run(ctx context.Context, msg wire.ClientMessage) {
	select {
	case s.inFlight <- struct{}{}:
	default:
		select {
		case s.inFlight <- struct{}{}:
			// Nothing was read meanwhile, no pong either.
			_ = s.conn.SetReadDeadline(time.Now().Add(s.g.pongWait()))
		case <-s.over:
			return
		}
	}
	key, err := s.actionKey(msg)
	if err == nil {
		err = checkActionName(msg.Name)
	}
	if err != nil {
		s.answered(msg.ID, nil, err)
		return
	}
	action := s.life.action(nil, key)
	action.Caller.ConnectionId = s.id
	action.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: msg.Name, ArgsJson: msg.Args}}
	err = s.g.client.Ask(ctx, remote.Request{Hash: s.life.hash, Action: action}, func(d *remote.Delivery, _ bool, err error) {
		s.answered(msg.ID, d, err)
	})
	if err != nil {
		s.answered(msg.ID, nil, err)
	}
}

// actionKey is the idempotency key of an action: its own, or made of the session's and the
// action's number, which goes on counting when the same client connects again.
func (s *session) actionKey(msg wire.ClientMessage) (string, error) {
	key := msg.IdempotencyKey
	if key == "" && s.idempotencyKey != "" {
		key = s.idempotencyKey + "." + strconv.FormatUint(msg.ID, 10)
	}
	if key != "" && !visible(key) {
		return "", invalid("The idempotency key is not 1 to 255 visible ASCII characters.")
	}
	return key, nil
}

// answered sends the answer to action id. It is called once for every run that got a place.
func (s *session) answered(id uint64, d *remote.Delivery, err error) {
	defer s.g.contain("answering an action")
	defer func() {
		<-s.inFlight
		if s.afterAnswer.Load() {
			s.endPeacefully()
		}
	}()
	if s.ending.Load() {
		return
	}
	f := s.format()
	var e *wire.Error
	switch {
	case err != nil:
		var expected bool
		if e, expected = asWire(err, false); !expected {
			s.g.cfg.Logger.Error("an action failed", zap.Error(err), zap.String(keyRay, s.ray))
		}
	case d.Outcome.GetError() != nil:
		e = outcomeError(d)
	default:
		frame, err := wire.AppendActionResult(nil, f, id, d.Outcome.GetResultJson())
		switch {
		case err != nil:
			s.g.cfg.Logger.Error("a result cannot be encoded", zap.Error(err), zap.String(keyRay, s.ray))
			e = errInternal
		case len(frame) > s.g.cfg.MaxOutgoingMessageBytes:
			e = errTooLongOut
		default:
			s.send(frame)
			return
		}
	}
	s.send(wire.AppendErrorFrame(nil, f, e, &id, &s.actor))
}

// bad ends an open session for what it was sent.
func (s *session) bad(e *wire.Error) {
	s.g.cfg.Listener.BadInput(BadInputInfo{Route: routeConnect, Group: e.Group, Code: e.Code})
	s.fail(e)
}

// refuse ends a session that was not admitted. Clients that will not come back by
// themselves are told more than fits into a reason.
func (s *session) refuse(e *wire.Error) {
	var frame []byte
	if !wire.RetriedConnect(e.Group, e.Code, false) {
		frame = wire.AppendErrorFrame(nil, s.format(), e, nil, nil)
	}
	s.end(websocket.CloseInternalServerErr, wire.CloseReason(e.Group, e.Code, s.ray), frame, e)
}

// refuseEncoding ends a session whose encoding does not exist: no message can be sent.
func (s *session) refuseEncoding(e *wire.Error) {
	s.end(websocket.CloseUnsupportedData, wire.CloseReason(e.Group, e.Code, s.ray), nil, e)
}

// fail ends an open session for an error.
func (s *session) fail(e *wire.Error) {
	s.end(websocket.CloseInternalServerErr, wire.CloseReason(e.Group, e.Code, s.ray), nil, e)
}

// delay is how long the end is put off: see Config.RejectDelay and rejections. The caller
// holds mu.
func (s *session) delay(e *wire.Error) time.Duration {
	if s.left || e == nil || wire.RetriedConnect(e.Group, e.Code, s.byID) {
		return 0
	}
	if e != errEventsMissed { // not the client's doing, and it hits all at once
		rejected, ok := s.g.rejections.charge(s.address, time.Now())
		if !ok {
			return 0
		}
		s.rejected = rejected
	}
	if s.g.cfg.RejectDelay < 0 {
		return 0
	}
	least := s.g.cfg.RejectDelay
	return least + rand.N(least) - time.Since(s.opened)
}

// slow ends a session whose buffer is full. What is in it may still arrive, and the close after
// it, if the peer begins to read before the time to close is up.
func (s *session) slow() {
	reason := wire.CloseReason(errSlowConsumer.Group, errSlowConsumer.Code, s.ray)
	if s.end(websocket.CloseTryAgainLater, reason, nil, nil) {
		s.g.cfg.Listener.SlowConsumer(SessionInfo{Route: routeConnect, ConnectionID: s.id, Reason: reason, Duration: time.Since(s.opened)})
		s.g.cfg.Logger.Warn("a session reads too slowly", zap.String(keySession, s.id), zap.String(keyRay, s.ray))
	}
}

// endPeacefully ends a session whose actor has ended. A client made from a key reconnects, and
// so may create the actor anew; that is the protocol's rule.
func (s *session) endPeacefully() { s.end(websocket.CloseNormalClosure, "", nil, nil) }

// endAfterAnswer is endPeacefully after the answer that is about to be sent.
func (s *session) endAfterAnswer() {
	s.afterAnswer.Store(true)
	time.AfterFunc(answerGrace, s.endPeacefully)
}

// goAway ends a session because the gateway shuts down.
func (s *session) goAway() {
	s.end(websocket.CloseGoingAway, wire.CloseReason(errGoingAway.Group, errGoingAway.Code, s.ray), nil, nil)
	// It may be ending already, but later.
	s.flushEnd()
}

// end decides how the session ends, unless that has been decided; then it returns false.
// It sends frame, if not nil, and the close frame, after the delay for e; nil is none.
func (s *session) end(code int, reason string, frame []byte, e *wire.Error) bool {
	if !s.ending.CompareAndSwap(false, true) {
		return false
	}
	s.mu.Lock()
	s.reason = reason
	s.last = func() {
		// From here on the peer has the time to close, and no more, to take what is in its
		// buffer and answer.
		s.conn.expire()
		if frame != nil {
			s.put(frame)
		}
		_ = s.out.CloseWithMsg(websocket.FormatCloseMessage(code, reason))
	}
	delay := s.delay(e)
	if delay > 0 {
		s.timer = time.AfterFunc(delay, s.flushEnd)
	}
	s.mu.Unlock()
	close(s.over)
	s.cancel()
	s.admittedOnce.Do(func() { close(s.admitted) })
	if delay <= 0 {
		s.flushEnd()
	}
	return true
}

// flushEnd sends the closing frames, once. Without a socket yet, attach does.
func (s *session) flushEnd() {
	s.mu.Lock()
	if !s.attached {
		s.mu.Unlock()
		return
	}
	last, timer := s.last, s.timer
	s.last, s.timer = nil, nil
	s.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	if last != nil {
		last()
	}
}

// gone is called when the connection has ended, whoever ended it: nothing is sent any more.
func (s *session) gone() (reason string) {
	if s.ending.CompareAndSwap(false, true) {
		close(s.over)
		s.cancel()
		s.admittedOnce.Do(func() { close(s.admitted) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.last, s.timer = nil, nil
	s.g.rejections.release(s.rejected)
	s.left, s.rejected = true, nil
	return s.reason
}

// cut drops the connection.
func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached {
		s.conn.cut()
	}
}
