package gateway

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway/recovery"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// face is how a subscriber is spoken to: server-sent events, or JSON on a socket. It is used by the stream's goroutine alone.
type face interface {
	// ready begins the stream. id is what the client has had, position is where live events begin.
	ready(id recovery.Cursor, position schemas.Position, recovered bool)
	event(id recovery.Cursor, b *actorlogv1.Broadcast)
	heartbeat()
	// full says that enough is formatted to be flushed.
	full() bool
	// flush sends what has been formatted, and waits for the client to take it, within the time that a client is given.
	flush() error
	// over tells the client, as far as it still reads, why the stream ends.
	over(e *wire.Error)
}

// stream is one subscriber. outcome and end are called by the goroutine that reads the log,
// everything else by the stream's own.
type stream struct {
	g      *Gateway
	face   face
	to     address
	opened time.Time
	// What operators see of it.
	ray     string
	address netip.Addr

	names []string // that are passed on; all if empty
	// The actor's consent: what it was asked with, which life gave it, and the events that it leaves out.
	handshake  *actorlogv1.Handshake
	generation uint32
	guarded    []string
	merger     *recovery.Merger // nil until ready
	cursor     *recovery.Cursor // what the client says it has had; nil for nothing
	resume     string           // how it began; empty until ready

	live chan *remote.Delivery
	mu   sync.Mutex // guards the two below
	// catchingUp: history is being read. Then live may overflow, and what does not fit is read back as well.
	catchingUp, overflowed bool

	ended   chan struct{}
	endOnce sync.Once
	reason  *wire.Error // set before ended is closed
}

func (g *Gateway) newStream(to address, ray string, from netip.Addr) *stream {
	return &stream{
		g: g, to: to, ray: ray, address: from, opened: time.Now(),
		live: make(chan *remote.Delivery, g.cfg.SessionBuffer), ended: make(chan struct{}),
	}
}

// parseCursor reads what a client says it has had; nil if that is empty, for nothing.
func (s *stream) parseCursor(lastID string) (*recovery.Cursor, error) {
	if lastID == "" {
		return nil, nil
	}
	cursor, err := recovery.Parse(lastID, s.to.hash.Shard(s.g.client.Partitions()))
	if err != nil {
		return nil, invalid("The last event id: %v.", err)
	}
	return &cursor, nil
}

// subscribesTo sets the events that are passed on: all if there are none.
func (s *stream) subscribesTo(names []string) error {
	if len(names) > s.g.cfg.MaxSubscriptions {
		return invalid("There are more than %d subscriptions.", s.g.cfg.MaxSubscriptions)
	}
	for _, name := range names {
		if err := checkEventName(name); err != nil {
			return err
		}
	}
	s.names = names
	return nil
}

// consent asks the actor whether the client may have the events, and learns which it may not have unasked. That the actor does not
// live is an answer like any other: its next life is asked then. It waits while too many others are asked for.
func (s *stream) consent(ctx context.Context) (*remote.Delivery, error) {
	select {
	case s.g.subscribing <- struct{}{}:
		defer func() { <-s.g.subscribing }()
	case <-s.g.closing:
		return nil, errUnavailable
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	action := s.to.action(nil, "")
	action.Handshake = proto.CloneOf(s.handshake)
	action.Body = &actorlogv1.Action_Subscribe{Subscribe: &actorlogv1.Subscribe{Events: s.names}}
	a, err := s.g.ask(ctx, s.to, action)
	var r *refused
	if errors.As(err, &r) && missing(r.reason) {
		s.generation = 0
		return r.Delivery, nil
	}
	if err != nil {
		return nil, err
	}
	s.generation = a.Outcome.GetActor().GetGeneration()
	if s.guarded = a.Outcome.GuardedEvents; len(s.names) > 0 {
		s.guarded = nil // it was asked for those that are wanted
	}
	return a.Delivery, nil
}

// outcome takes what the watch sees.
func (s *stream) outcome(d *remote.Delivery) {
	if !slices.ContainsFunc(d.Outcome.Broadcasts, s.wants) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overflowed {
		return
	}
	select {
	case s.live <- d:
	default:
		if s.overflowed = s.catchingUp; !s.overflowed {
			s.end(errSlowConsumer)
		}
	}
}

// end ends the stream, once. Its goroutine may be stuck in a write: it notices
// within the time for one.
func (s *stream) end(reason *wire.Error) {
	s.endOnce.Do(func() {
		s.reason = reason
		close(s.ended)
		if reason == errSlowConsumer {
			s.g.cfg.Listener.SlowConsumer(SessionInfo{
				Route: plainTarget{verb: verbEvents}.route(), Reason: wire.CloseReason(reason.Group, reason.Code, ""), Duration: time.Since(s.opened),
			})
		}
	})
}

func (s *stream) wants(b *actorlogv1.Broadcast) bool {
	return b.To == "" && (len(s.names) == 0 || slices.Contains(s.names, b.Name))
}

// errStreamOver says that a stream ended for no fault of anybody's.
var errStreamOver = errors.New("stream over")

// run sends ready, history and what is live, until something ends it. The actor has consented with known, whose outcome stands after
// everything that the client can have seen. cursor is nil if the client has had nothing.
func (s *stream) run(ctx context.Context, cursor *recovery.Cursor, known *remote.Delivery) error {
	s.catchingUp, s.cursor = true, cursor
	defer func() {
		if s.resume != "" {
			s.g.cfg.Listener.StreamClosed(StreamInfo{Resume: s.resume, Duration: time.Since(s.opened)})
		}
	}()
	watch := &remote.Watch{Outcome: s.outcome, Gap: func() { s.end(errEventsMissed) }}
	live := s.g.client.Watch(s.to.hash, watch)
	defer s.g.client.Unwatch(watch)

	var plan recovery.Plan
	// What an actor sent that lives no more is not read back: it cannot be asked who may have it.
	if cursor != nil && s.generation == known.Outcome.GetActor().GetGeneration() {
		plan = recovery.Resume(*cursor, known.Position, live)
	}
	if plan.Recovered {
		err := s.history(ctx, plan)
		if err != nil && (s.merger != nil || !errors.Is(err, remote.ErrGone)) {
			return err
		}
	}
	if s.merger == nil {
		for at, again := s.caughtUp(); again; at, again = s.caughtUp() {
			live = at
		}
		s.ready(recovery.Fresh(live))
	}
	if err := s.face.flush(); err != nil {
		return err
	}
	return s.goOn(ctx)
}

// caughtUp ends the time in which live may overflow. If it has, it begins anew: what was dropped stands at or before the position that is returned.
func (s *stream) caughtUp() (dropped schemas.Position, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.catchingUp = s.overflowed; !s.overflowed {
		return dropped, false
	}
	s.overflowed = false
	for len(s.live) > 0 {
		<-s.live
	}
	// The client's position moves before the watches are shown what stands there: what comes to live from now on may be at or before
	// it as well, and the merger passes it on once.
	return s.g.client.Position(s.to.hash.Shard(s.g.client.Partitions())), true
}

// history sends what happened since the cursor. It says ready once the log has shown that it still has the first of it.
func (s *stream) history(ctx context.Context, plan recovery.Plan) error {
	for at, to := plan.From, plan.To; ; {
		for at.Offset < to.Offset {
			page, err := s.g.recoveries.read(ctx, s.to.hash, at, to)
			if err != nil && len(page.outcomes) == 0 {
				return err
			}
			if s.merger == nil {
				s.ready(plan)
			}
			for _, d := range page.outcomes {
				if err := s.pass(ctx, d); err != nil {
					return err
				}
			}
			if err := errors.Join(err, s.face.flush()); err != nil {
				return err
			}
			select {
			case <-s.g.closing:
				return errStreamOver
			case <-s.ended:
				return s.over()
			default:
			}
			at = page.reached
		}
		var again bool
		if to, again = s.caughtUp(); !again {
			break
		}
	}
	if s.merger == nil {
		s.ready(plan)
	}
	return nil
}

// goOn sends what is live.
func (s *stream) goOn(ctx context.Context) error {
	heartbeat := time.NewTicker(s.g.cfg.HeartbeatInterval)
	defer heartbeat.Stop()
	for {
		select {
		case d := <-s.live:
			err := s.pass(ctx, d)
			for more := true; more && err == nil && !s.face.full(); {
				select {
				case d := <-s.live:
					err = s.pass(ctx, d)
				default:
					more = false
				}
			}
			if err != nil {
				return err
			}
		case <-heartbeat.C:
			s.face.heartbeat()
		case <-s.ended:
			return s.over()
		case <-s.g.closing:
			return errStreamOver
		case <-ctx.Done():
			return errStreamOver
		}
		if err := s.face.flush(); err != nil {
			return err
		}
	}
}

// pass formats what the client has not had of an outcome. A new life of the actor has not consented yet.
func (s *stream) pass(ctx context.Context, d *remote.Delivery) error {
	if generation := d.Outcome.GetActor().GetGeneration(); generation > s.generation {
		_, err := s.consent(ctx)
		if err == nil && s.generation < generation {
			err = errNotFound // it has ended already
		}
		if err != nil {
			e, _ := asWire(err, true)
			s.end(e)
			return s.over()
		}
	}
	broadcasts, sent := d.Outcome.Broadcasts, 0
	span := s.g.passOn(d)
	for i := s.merger.Take(d.Position, len(broadcasts)); i < len(broadcasts); i++ {
		if b := broadcasts[i]; s.wants(b) && !slices.Contains(s.guarded, b.Name) {
			s.face.event(recovery.Cursor{Position: d.Position, Index: i}, b)
			sent++
		}
	}
	s.g.passedOn(span, faceStream, len(broadcasts), sent)
	if s.face.full() {
		return s.face.flush()
	}
	return nil
}

// over tells the client why its stream ends. ended is closed.
func (s *stream) over() error {
	s.face.over(s.reason)
	return s.reason
}

// ready begins the stream proper. Its id is what the client has had, so that one which is
// cut off before the first broadcast resumes from here.
func (s *stream) ready(plan recovery.Plan) {
	s.merger = recovery.NewMerger(plan.Start)
	position := plan.Start.Position
	if plan.Recovered {
		position = plan.To
	}
	s.face.ready(plan.Start, position, plan.Recovered)
	if s.resume = ResumeFresh; plan.Recovered {
		s.resume = ResumeRecovered
	} else if s.cursor != nil {
		s.resume = ResumeLost
	}
	s.g.cfg.Listener.StreamOpened(StreamInfo{Resume: s.resume, Duration: time.Since(s.opened)})
}
