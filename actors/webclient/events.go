package webclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/tmaxmax/go-sse"

	"github.com/actorlog/actorlog/actors/actor"
)

// maxEvent bounds one event, in bytes.
const maxEvent = 16 << 20

// Subscribe implements actor.Subscriber, over an event stream that is resumed from where it was whenever it breaks. When fn is slow, the gateway
// cuts the stream off, and it is resumed as well: nothing is missed for as long as the log keeps it. lost gets ErrGone when it does not,
// ErrClosed when the client is closed, or the *actor.Error of the gateway that refuses.
func (c *Client) Subscribe(ctx context.Context, t actor.Target, event string, fn func(json.RawMessage), lost func(error)) error {
	to, err := c.call(t)
	if err != nil {
		return err
	}
	opening, cancel := c.bound(ctx, c.cfg.RequestTimeout)
	defer cancel()
	if to.ID != "" {
		if to, err = c.named(opening, to); err != nil {
			return err
		}
	}
	to.header.Set("Accept", "text/event-stream")
	ctx, stop := c.bound(ctx, 0)
	s := &subscription{
		c: c, fn: fn, begun: make(chan struct{}), failing: errors.New("no attempt was made"),
		req: request{method: http.MethodGet, path: plainPath(to.Target, "/events", url.Values{"event": {event}}), header: to.header},
	}
	ended := make(chan error, 1)
	running := c.start(func() {
		defer stop()
		err := s.follow(ctx)
		select {
		case <-s.begun:
			if err != nil {
				lost(err)
			}
		default:
		}
		ended <- err
	})
	if !running {
		stop()
		return ErrClosed
	}
	select {
	case <-s.begun:
		return nil
	case <-opening.Done():
		stop()
		if err = <-ended; err == nil {
			err = fmt.Errorf("%w: %w: %w", ErrUnavailable, context.Cause(opening), s.failing)
		}
	case err = <-ended:
		select {
		case <-s.begun: // and over already: lost was told
			return nil
		default:
		}
	}
	return fromActor(err, "subscribing to event %s of kind %s", event, to.Kind)
}

// subscription is one subscriber. Its fields belong to the goroutine that follows.
type subscription struct {
	c   *Client
	req request
	fn  func(json.RawMessage)
	// begun is closed when nothing is missed from now on.
	begun chan struct{}
	// failing is why the last attempt failed. It may be read when the goroutine has ended.
	failing error
	// lastID is what the subscriber has had; empty until it has begun.
	lastID string
}

// follow goes from stream to stream. It returns why it cannot go on: nil if ctx has ended.
func (s *subscription) follow(ctx context.Context) error {
	for n := 0; ; n++ {
		before := s.lastID
		err := s.stream(ctx)
		if ctx.Err() != nil {
			if cause := context.Cause(ctx); errors.Is(cause, ErrClosed) {
				return cause
			}
			return nil
		}
		var f *failure
		if !errors.As(err, &f) {
			return err
		}
		s.failing = f.err
		if s.lastID != before {
			n = 0
		}
		pause(ctx, n, f.after)
	}
}

// stream follows one stream to its end. An error that is a *failure may pass.
func (s *subscription) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(s.c.cfg.StreamTimeout, cancel)
	defer silence.Stop()

	req := s.req
	if s.lastID != "" {
		req.header = req.header.Clone()
		req.header.Set("Last-Event-ID", s.lastID)
	}
	resp, err := s.c.roundTrip(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := &watched{Reader: resp.Body, silence: silence, limit: s.c.cfg.StreamTimeout}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(body, maxAnswer))
		if err != nil {
			return &failure{err: fmt.Errorf("reading the answer: %w", err)}
		}
		return refusal(resp, text)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return fmt.Errorf("the gateway answers with %q, and not with an event stream", resp.Header.Get("Content-Type"))
	}
	ready := false
	for e, err := range sse.Read(body, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		switch {
		case err != nil:
			return &failure{err: fmt.Errorf("reading events: %w", err)}
		case ctx.Err() != nil:
			return &failure{err: ctx.Err()}
		case !ready:
			if err := s.ready(e); err != nil {
				return err
			}
			ready = true
		default:
			s.fn(json.RawMessage(e.Data))
		}
		s.lastID = e.LastEventID
	}
	return &failure{err: errors.New("the gateway has ended the stream")}
}

// ready takes the first event of a stream.
func (s *subscription) ready(e sse.Event) error {
	var begin struct{ Recovered bool }
	switch {
	case e.Type == "actorlog.unavailable":
		return &failure{err: fmt.Errorf("the gateway is not available: %s", e.Data)}
	case e.Type != "actorlog.ready" || e.LastEventID == "" || json.Unmarshal([]byte(e.Data), &begin) != nil:
		return fmt.Errorf("an event stream begins with %.100q and not with actorlog.ready", e.Type)
	case s.lastID != "" && !begin.Recovered:
		return fmt.Errorf("%w: those after %s were missed", ErrGone, s.lastID)
	}
	if s.lastID == "" {
		close(s.begun)
	}
	return nil
}

// watched is a stream that is ended when it is silent for too long. The time that its reader takes does not count.
type watched struct {
	io.Reader
	silence *time.Timer
	limit   time.Duration
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.silence.Reset(w.limit)
	defer w.silence.Stop()
	return w.Reader.Read(p)
}
