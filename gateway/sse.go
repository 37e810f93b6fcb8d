package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway/recovery"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// retryMS is after how many milliseconds an EventSource shall come back.
const retryMS = 1000

// plainEvents is GET .../events: the actor's broadcasts as server-sent events. The package
// comment describes what a client sees; package recovery why nothing is missed.
func (g *Gateway) plainEvents(c *gin.Context, req plainRequest) {
	r := c.Request
	lastID := r.Header.Get("Last-Event-ID") // set by EventSource when it comes back: newer than the URL
	if lastID == "" {
		lastID = req.query.Get("lastEventId")
	}
	var cursor recovery.Cursor
	if lastID != "" {
		var err error
		if cursor, err = recovery.Parse(lastID, req.to.hash.Shard(g.client.Partitions())); err != nil {
			g.failPlain(c, invalid("Last-Event-ID: %v.", err))
			return
		}
	}
	if g.sessions.full(g.cfg.MaxSessions) || !g.sessions.enter() {
		g.failStream(c, errUnavailable)
		return
	}
	defer g.sessions.leave()

	handshake, err := g.streamHandshake(r, req)
	if err != nil {
		g.failPlain(c, err)
		return
	}
	s := &stream{
		g: g, c: c, control: http.NewResponseController(c.Writer),
		opened: time.Now(), to: req.to, names: req.query["event"], handshake: handshake,
		live:  make(chan *remote.Delivery, g.cfg.SessionBuffer),
		ended: make(chan struct{}),
	}
	// The actor's consent. It refuses kinds that do not exist, too, and its outcome stands after everything
	// that the client can have seen.
	known, err := s.consent(r.Context())
	if err != nil {
		g.failStream(c, err)
		return
	}
	beginsStream(c)
	g.sessions.show(s)
	defer g.sessions.hide(s)
	watch := &remote.Watch{Outcome: s.outcome, Gap: func() { s.end(errEventsMissed) }}
	live := g.client.Watch(req.to.hash, watch)
	defer g.client.Unwatch(watch)

	plan := recovery.Fresh(live)
	// What an actor sent that lives no more is not read back: it cannot be asked who may have it.
	if lastID != "" && s.generation == known.Outcome.GetActor().GetGeneration() {
		plan = recovery.Resume(cursor, known.Position, live)
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	c.Status(http.StatusOK)
	if s.begin() != nil {
		return
	}
	if err := s.run(plan, live); err != nil {
		g.cfg.Logger.Debug("event stream ended", zap.Error(err), zap.String(keyRay, rayOf(c)), zap.String(keyRoute, routeOf(c)))
	}
}

// streamHandshake is what a stream's client presents. An EventSource cannot set headers: parameters may be in the query.
func (g *Gateway) streamHandshake(r *http.Request, req plainRequest) (*actorlogv1.Handshake, error) {
	h, err := g.handshake(r)
	if err != nil || !req.query.Has("params") {
		return h, err
	}
	if h.ParamsJson, err = wire.EscapeJSON([]byte(req.query.Get("params"))); err != nil {
		return nil, invalid("params: %v.", err)
	}
	return h, g.checkParams(h.ParamsJson)
}

// consent asks the actor whether the client may have the events, and learns which it may not have unasked. That the actor does not
// live is an answer like any other: its next life is asked then.
func (s *stream) consent(ctx context.Context) (*remote.Delivery, error) {
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

// stream is one subscriber. outcome and end are called by the goroutine that reads the log,
// everything else by that of the request.
type stream struct {
	g       *Gateway
	c       *gin.Context
	control *http.ResponseController
	to      address
	opened  time.Time
	names   []string // that are passed on; all if empty
	// The actor's consent: what it was asked with, which life gave it, and the events that it leaves out.
	handshake  *actorlogv1.Handshake
	generation uint32
	guarded    []string
	merger     *recovery.Merger
	buf        bytes.Buffer

	live    chan *remote.Delivery
	ended   chan struct{}
	endOnce sync.Once
	reason  *wire.Error // set before ended is closed
}

// outcome takes what the watch sees.
func (s *stream) outcome(d *remote.Delivery) {
	if !slices.ContainsFunc(d.Outcome.Broadcasts, s.wants) {
		return
	}
	select {
	case s.live <- d:
	default:
		s.end(errSlowConsumer)
	}
}

// end ends the stream, once. The request's goroutine may be stuck in a write: it notices
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

// begin sends the headers, so that the client knows of its stream while history is read.
func (s *stream) begin() error {
	fmt.Fprintf(&s.buf, "retry: %d\n\n", retryMS)
	return s.flush()
}

// errStreamOver says that a stream ended for no fault of anybody's.
var errStreamOver = errors.New("stream over")

// run sends ready, history and what is live, until something ends it.
func (s *stream) run(plan recovery.Plan, live schemas.Position) error {
	if plan.History {
		err := s.history(plan)
		switch {
		case errors.Is(err, remote.ErrGone) && s.merger == nil:
			plan = recovery.Fresh(live)
		case err != nil:
			return err
		}
	}
	if s.merger == nil {
		s.ready(plan)
	}
	if err := s.flush(); err != nil {
		return err
	}
	heartbeat := time.NewTicker(s.g.cfg.HeartbeatInterval)
	defer heartbeat.Stop()
	for {
		select {
		case d := <-s.live:
			err := s.follow(d)
			for more := true; more && err == nil && s.buf.Len() < s.g.cfg.MaxOutgoingMessageBytes; {
				select {
				case d := <-s.live:
					err = s.follow(d)
				default:
					more = false
				}
			}
			if err != nil {
				return err
			}
		case <-heartbeat.C:
			s.buf.WriteString(": heartbeat\n\n")
		case <-s.ended:
			return s.over()
		case <-s.g.closing:
			return errStreamOver
		case <-s.c.Request.Context().Done():
			return errStreamOver
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// history sends what happened since the cursor. It says ready once the log has shown that
// it still has the first of it.
func (s *stream) history(plan recovery.Plan) error {
	var broken error
	err := s.g.client.Since(s.c.Request.Context(), s.to.hash, plan.From, plan.To, func(d *remote.Delivery) bool {
		if s.merger == nil {
			s.ready(plan)
		}
		s.write(d)
		if broken = s.flush(); broken != nil {
			return false
		}
		select {
		case <-s.g.closing:
			broken = errStreamOver
		case <-s.ended:
			broken = s.over()
		default:
		}
		return broken == nil
	})
	if broken != nil {
		return broken
	}
	return err
}

// follow writes a live outcome. A new life of the actor has not consented yet.
func (s *stream) follow(d *remote.Delivery) error {
	if generation := d.Outcome.GetActor().GetGeneration(); generation > s.generation {
		_, err := s.consent(s.c.Request.Context())
		if err == nil && s.generation < generation {
			err = errNotFound // it has ended already
		}
		if err != nil {
			e, _ := asWire(err, true)
			s.end(e)
			return s.over()
		}
	}
	s.write(d)
	return nil
}

// over tells a client, as far as it still reads, why its stream ends.
func (s *stream) over() error {
	fmt.Fprintf(&s.buf, ": %s.%s\n\n", s.reason.Group, s.reason.Code)
	if err := s.flush(); err != nil {
		return err
	}
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
	fmt.Fprintf(&s.buf, "id: %s\nevent: actorlog.ready\ndata: {\"position\":\"%s\",\"recovered\":%t}\n\n", plan.Start, position, plan.Recovered)
}

// write formats what the client has not had of an outcome.
func (s *stream) write(d *remote.Delivery) {
	broadcasts := d.Outcome.Broadcasts
	for i := s.merger.Take(d.Position, len(broadcasts)); i < len(broadcasts); i++ {
		if b := broadcasts[i]; s.wants(b) && !slices.Contains(s.guarded, b.Name) {
			fmt.Fprintf(&s.buf, "id: %s\nevent: %s\ndata: %s\n\n",
				recovery.Cursor{Position: d.Position, Index: i}, oneLine(b.Name), eventData(b.ArgsJson))
		}
	}
}

// flush writes what has been formatted, within the time that a client is given.
func (s *stream) flush() error {
	if s.buf.Len() == 0 {
		return nil
	}
	_, err := s.c.Writer.Write(s.buf.Bytes())
	s.buf.Reset()
	if err == nil {
		err = s.control.Flush()
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.end(errSlowConsumer)
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
