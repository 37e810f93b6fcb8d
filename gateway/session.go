package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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

// session is one socket, of /connect or raw, and the connection that is made through it.
//
// Four kinds of goroutines meet here. The reader (melody's) calls receive. The log's calls
// send, answered and the end functions, and must not wait. Timers and Shutdown call the end
// functions. The writer (melody's) empties the buffer. Whoever ends a session first decides how;
// the others' calls do nothing.
type session struct {
	g     *Gateway
	ray   string
	route string
	id    string // connection id
	byID  bool   // addressed by actor id
	raw   bool   // the actor handles the messages itself
	// to is the actor: as addressed while opening, that one life afterwards.
	to             address
	creation       *actorlogv1.Creation
	handshake      *actorlogv1.Handshake
	idempotencyKey string                    // prefix of the keys of its actions; empty for none
	start          func(ctx context.Context) // what to do once the socket is there
	subscription   *subscription             // of a socket of .../events; it has no connection, and the reader is the subscription's
	upgraded       func()                    // lets the next one upgrade; to be called once or more
	work           sync.WaitGroup            // goroutines of its own, which end soon after it
	opened         time.Time
	from           caller                    // its principal is set, at the latest, before admitted is closed
	shown          atomic.Pointer[actorView] // set when it is admitted

	cancel context.CancelFunc // ends what the session is waiting for in the log
	out    *melody.Session    // set before anything is sent; see attach
	conn   *lingerConn

	encoding wire.Encoding
	version  atomic.Uint32 // of the protocol; see wire.Format

	// admitted is closed when the connection is open and Init has been sent, or the session is ending.
	admitted     chan struct{}
	admittedOnce sync.Once
	room         *room         // set before admitted is closed
	life         address       // the actor's life that it is connected to; set before admitted is closed
	actor        wire.ActorRef // the same for clients
	guarded      []string      // events that the actor must be asked for; set before admitted is closed
	inFlight     chan struct{} // one element per action under way

	// Guarded by room.mu.
	generation    uint32
	subscriptions map[string]struct{}

	queued      atomic.Int64 // frames in the buffer
	queuedBytes atomic.Int64

	ending  atomic.Bool
	parting atomic.Pointer[parting] // the actor has ended the connection; the answer to this session's request comes first
	over    chan struct{}           // closed when ending is set

	mu       sync.Mutex
	attached bool        // out and conn are set
	last     func()      // sends the closing frames; nil before the end and after it was called
	timer    *time.Timer // calls last
	reason   string      // why it ended, for listeners
	left     bool        // gone was called
	rejected *offender   // set while the end is put off
	// How the socket was closed, for the actor.
	closeCode   int
	closeReason string
	// What there is to tell the actor when both ends of the connection are known.
	connection connectionState
}

// parting is how a socket is closed when its actor has ended the connection.
type parting struct {
	code   int
	reason string
}

// connectionState is what a session knows of the connection in its actor's state.
type connectionState struct {
	asked   bool // a Connect was, or may have been, appended
	known   bool // its outcome, or that it will not be known
	open    bool // it is open, or may be
	ended   bool // by the actor, or with it
	gone    bool // the socket is
	settled bool // the farewells know
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

// send puts a message of the protocol into the buffer. Frames are shared: nobody changes them.
func (s *session) send(frame []byte) { s.sendAs(s.encoding.Text(), frame) }

func (s *session) sendAs(text bool, frame []byte) {
	if s.ending.Load() {
		return
	}
	n, bytes := s.queued.Add(1), s.queuedBytes.Add(int64(len(frame)))
	if n > int64(s.g.cfg.SessionBuffer) || (bytes > int64(s.g.cfg.SessionBufferBytes) && n > 1) {
		s.slow()
		return
	}
	s.put(text, frame)
}

// put hands a frame to melody, which has room for it: see closingFrames.
func (s *session) put(text bool, frame []byte) {
	if text {
		_ = s.out.Write(frame) // fails when the peer has gone
	} else {
		_ = s.out.WriteBinary(frame)
	}
}

// sent is called by melody's writer.
func (s *session) sent(n int) {
	s.queued.Add(-1)
	s.queuedBytes.Add(int64(-n))
	if s.subscription != nil {
		select {
		case <-s.subscription.places:
		default: // the last message before the close takes no place
		}
	}
}

// begin asks the actor for a connection, and creates the actor if that was asked.
func (s *session) begin(context.Context) {
	place, err := s.g.takePlace(s.from, s.to)
	if err != nil {
		s.turnAway(err)
		return
	}
	s.room = s.g.rooms.join(s)
	s.g.farewells.expect()
	s.settle(func(c *connectionState) { c.asked = true })
	// Not the session's context: whether the connection was opened must be known also when the client has gone.
	ctx, cancel := context.WithTimeout(s.g.opening, s.g.cfg.ResolveTimeout)
	opened := func(d *remote.Delivery, _ bool, err error) {
		defer s.g.contain("opening a session")
		defer place.release()
		cancel()
		s.decided(d, err)
	}
	action := s.to.action(s.creation, "")
	action.Handshake = s.handshake
	action.Body = &actorlogv1.Action_Connect{Connect: &actorlogv1.Connect{Raw: s.raw}}
	s.creation, s.handshake = nil, nil // they may be large, and the socket stays for long
	if err := s.g.client.Ask(ctx, remote.Request{Hash: s.to.hash, Action: action}, opened); err != nil {
		opened(nil, false, err)
	}
}

// decided takes in what came of the Connect.
func (s *session) decided(d *remote.Delivery, err error) {
	if err != nil {
		s.settle(func(c *connectionState) {
			// If it is not known whether it was opened, it is ended in any case: there is nobody at its other end.
			c.known, c.open = true, !errors.Is(err, remote.ErrNotAppended) && !errors.Is(err, remote.ErrBusy)
		})
		// The next attempt is another connection.
		e, expected := asWire(err, true)
		if !expected {
			s.g.cfg.Logger.Error("opening a session", zap.Error(err), zap.String(keyRay, s.ray))
		}
		s.refuse(e)
		return
	}
	if e := outcomeError(d); e != nil {
		s.settle(func(c *connectionState) { c.known = true })
		s.g.noteInternal(e, s.ray, s.route)
		s.refuse(e)
		return
	}
	s.admit(d)
}

// admit opens the session: its actor lives, and has the connection.
func (s *session) admit(d *remote.Delivery) {
	a := d.Outcome.GetActor()
	s.life = addressOfLife(d.Hash, a.GetGeneration())
	s.actor = wire.ActorRef{ID: actorID(d.Hash, a), Generation: uint64(a.GetGeneration()), Key: keyOf(a).String()}
	s.guarded = d.Outcome.GuardedEvents
	s.from.principal = s.g.meets(s.from, d).principal
	s.settle(func(c *connectionState) {
		c.known, c.open = true, true
		c.ended = c.ended || endedConnection(d, s.id) != nil || ended(d) != 0
	})
	// Before anything else, for once it is admitted the room may end it.
	if !s.raw {
		s.send(wire.AppendInit(nil, s.format(), s.actor.ID, s.id))
	}
	if s.part() {
		return
	}
	if !s.room.admit(s, a.GetGeneration()) {
		s.endPeacefully()
		return
	}
	s.shown.Store(viewActor(address{d.Hash, a}))
	s.admittedOnce.Do(func() { close(s.admitted) })
}

// endedConnection finds what an outcome says of a connection's end; nil if it did not end.
func endedConnection(d *remote.Delivery, id string) *actorlogv1.Disconnected {
	for _, o := range d.Outcome.Disconnected {
		if o.Id == id {
			return o
		}
	}
	return nil
}

// settle notes what has become of the connection. Once its outcome is known and its socket gone, the actor is told, unless it
// knows by itself.
func (s *session) settle(note func(*connectionState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.connection
	note(c)
	if !c.asked || !c.known || !c.gone || c.settled {
		return
	}
	c.settled = true
	if !c.open || c.ended {
		s.g.farewells.waive()
		return
	}
	to := s.to
	if s.life.actor != nil {
		to = s.life
	}
	end := &actorlogv1.Disconnect{ConnectionId: s.id, Reason: s.closeReason}
	if s.raw {
		end.Code = uint32(s.closeCode)
	}
	s.g.farewells.tell(farewell{to, end})
}

// noteClose is how the socket was closed, unless that is known already.
func (s *session) noteClose(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeCode == 0 {
		s.closeCode, s.closeReason = code, strings.ToValidUTF8(reason, "\uFFFD")
	}
}

// receive handles one message of the peer. It is melody's reader, and may wait: then the
// peer's next messages wait too.
func (s *session) receive(ctx context.Context, text bool, data []byte) {
	defer s.recoverPanic("handling a message")
	if s.subscription != nil {
		s.subscription.receive(text, data)
		return
	}
	<-s.admitted
	if s.ending.Load() {
		return
	}
	if s.raw {
		s.forward(ctx, text, data)
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
		s.subscribeTo(ctx, msg)
	case wire.MessageAction:
		s.run(ctx, msg)
	}
}

// recoverPanic ends the session for a panic of ours.
func (s *session) recoverPanic(doing string) {
	if p := recover(); p != nil {
		s.g.cfg.Logger.Error("a panic while "+doing, zap.Any(keyReason, p), zap.String(keyRay, s.ray), zap.Stack(keyStack))
		s.fail(errInternal)
	}
}

// subscribeTo begins or ends a subscription. It waits if the actor has a say in it.
func (s *session) subscribeTo(ctx context.Context, msg wire.ClientMessage) {
	if err := checkEventName(msg.Name); err != nil {
		e, _ := asWire(err, false)
		s.bad(e)
		return
	}
	switch {
	case msg.Subscribe && slices.Contains(s.guarded, msg.Name):
		s.askFor(ctx, msg.Name)
	case !s.room.subscribe(s, msg.Name, msg.Subscribe):
		s.bad(s.tooManySubscriptions())
	}
}

func (s *session) tooManySubscriptions() *wire.Error {
	return invalid("There are more than %d subscriptions.", s.g.cfg.MaxSubscriptions)
}

// askFor asks the actor for an event, and waits.
func (s *session) askFor(ctx context.Context, event string) {
	action := s.life.action(nil, "")
	action.Caller.ConnectionId = s.id
	action.Body = &actorlogv1.Action_Subscribe{Subscribe: &actorlogv1.Subscribe{Events: []string{event}}}
	if !s.pace() {
		return
	}
	done := make(chan struct{})
	// The subscription begins here, and not in the goroutine that waits: no event after the outcome is missed.
	decided := func(d *remote.Delivery, _ bool, err error) {
		defer close(done)
		defer s.g.contain("subscribing")
		if err != nil {
			e, _ := asWire(err, true)
			s.fail(e)
			return
		}
		e := outcomeError(d)
		switch {
		case e == nil:
			if !s.room.subscribe(s, event, true) {
				s.bad(s.tooManySubscriptions())
			}
		case connectionClosed(e):
			s.lose()
		default:
			s.g.noteInternal(e, s.ray, s.route)
			s.fail(e)
		}
	}
	if err := s.g.client.Ask(ctx, remote.Request{Hash: s.life.hash, Action: action}, decided); err != nil {
		decided(nil, false, err)
	}
	select {
	case <-done:
		s.waited()
	case <-s.over:
	}
}

// run appends an action. It waits while too many of the session's are under way.
func (s *session) run(ctx context.Context, msg wire.ClientMessage) {
	if !s.takePlace() {
		return
	}
	key, err := s.actionKey(msg)
	if err == nil {
		err = checkActionName(msg.Name)
	}
	if err != nil {
		s.answered(msg.ID, nil, err)
		return
	}
	place, err := s.g.takePlace(s.from, s.life)
	if err != nil {
		s.answered(msg.ID, nil, err)
		return
	}
	action := s.life.action(nil, key)
	action.Caller.ConnectionId = s.id
	action.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: msg.Name, ArgsJson: msg.Args}}
	ctx, span := s.traceMessage(ctx, "socket action")
	done := func(d *remote.Delivery, _ bool, err error) {
		place.release()
		s.answered(msg.ID, d, err)
		tracedMessage(span, d, err)
	}
	if err := s.g.client.Ask(ctx, remote.Request{Hash: s.life.hash, Action: action}, done); err != nil {
		done(nil, false, err)
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
	defer s.part()
	defer func() { <-s.inFlight }()
	if s.ending.Load() {
		return
	}
	f := s.format()
	e := s.failure(d, err)
	if e == nil {
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
	if connectionClosed(e) {
		s.lose()
	}
}

// bad ends an open session for what it was sent.
func (s *session) bad(e *wire.Error) {
	s.g.cfg.Listener.BadInput(BadInputInfo{Route: s.route, Group: e.Group, Code: e.Code})
	s.fail(e)
}

// refuse ends a session that was not admitted. Clients that will not come back by
// themselves are told more than fits into a reason.
func (s *session) refuse(e *wire.Error) {
	var frame []byte
	if !s.raw && !wire.RetriedConnect(e.Group, e.Code, false) {
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
		rejected, ok := s.g.rejections.charge(s.from.address, time.Now())
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
		s.g.cfg.Listener.SlowConsumer(SessionInfo{Route: s.route, ConnectionID: s.id, Reason: reason, Duration: time.Since(s.opened)})
		s.g.cfg.Logger.Warn("a session reads too slowly", zap.String(keySession, s.id), zap.String(keyRay, s.ray))
	}
}

// endPeacefully ends a session whose actor has ended. A client made from a key reconnects, and
// so may create the actor anew; that is the protocol's rule.
func (s *session) endPeacefully() { s.end(websocket.CloseNormalClosure, "", nil, nil) }

// dismiss ends a session whose connection the actor has ended. With own, that was for a request of its own, whose answer comes first.
func (s *session) dismiss(p parting, own bool) {
	s.settle(func(c *connectionState) { c.ended = true })
	if !own {
		s.end(p.code, p.reason, nil, nil)
		return
	}
	s.parting.CompareAndSwap(nil, &p)
	time.AfterFunc(answerGrace, func() { s.part() })
}

// part ends a session that was dismissed; it returns false if it was not.
func (s *session) part() bool {
	p := s.parting.Load()
	if p == nil {
		return false
	}
	s.end(p.code, p.reason, nil, nil)
	return true
}

// lose ends a session whose connection the actor no longer has, though nobody here has ended it: the workers took this gateway for
// dead. The client connects again.
func (s *session) lose() {
	s.settle(func(c *connectionState) { c.ended = true })
	if s.parting.Load() == nil {
		s.fail(errConnectionLost)
	}
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
	s.noteClose(code, reason)
	s.mu.Lock()
	s.reason = reason
	s.last = func() {
		// From here on the peer has the time to close, and no more, to take what is in its
		// buffer and answer.
		s.conn.expire()
		if frame != nil {
			s.put(s.encoding.Text(), frame)
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
	s.noteClose(websocket.CloseAbnormalClosure, "")
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.last, s.timer = nil, nil
	s.g.rejections.release(s.rejected)
	s.left, s.rejected = true, nil
	reason = s.reason
	s.mu.Unlock()
	s.settle(func(c *connectionState) { c.gone = true })
	return reason
}

// cut drops the connection.
func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached {
		s.conn.cut()
	}
}
