package gateway

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/gateway/wire"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// queueOverheadBytes is what the body of a queue send may hold beside the message.
const queueOverheadBytes = 4 << 10

// sent is what came of a message for a queue.
type sent struct {
	answer
	// dropped: the actor has no such queue.
	dropped bool
	// timedOut: nobody completed it in time. It stays in the queue.
	timedOut bool
	response []byte // JSON; empty for none
}

// enqueue puts a message into a queue. If its sender waits, it returns when the message is completed, or after timeout; negative
// is none.
func (g *Gateway) enqueue(ctx context.Context, to address, action *actorlogv1.Action, timeout time.Duration) (sent, error) {
	var expired <-chan time.Time
	if timeout >= 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	type end struct {
		response []byte
		err      error
	}
	over := make(chan end, 1)
	d, watch, err := g.client.EnqueueAndWatch(ctx, to.hash, action, func(c *actorlogv1.Completion, err error) {
		over <- end{c.GetResponseJson(), err}
	})
	if watch != nil {
		defer g.client.Unwatch(watch)
	}
	if err != nil {
		return sent{}, err
	}
	g.meetsIn(ctx, action, d)
	if e := outcomeError(d); e != nil {
		return sent{}, &refused{answer{Delivery: d}, e}
	}
	s := sent{answer: answer{Delivery: d}, dropped: !d.Outcome.Enqueued}
	if watch == nil {
		return s, nil
	}
	select {
	case e := <-over:
		switch {
		case errors.Is(e.err, actor.ErrNotFound):
			// Not with that error: it would be sent again, to the actor's next life.
			return s, &refused{s.answer, errQueueGone}
		case e.err != nil:
			return s, errOutcomeUnknown
		}
		s.response = e.response
		return s, nil
	case <-expired:
		s.timedOut = true
		return s, nil
	case <-g.closing:
		return s, errOutcomeUnknown
	case <-ctx.Done():
		return s, context.Cause(ctx)
	}
}

func enqueueAction(to address, creation *actorlogv1.Creation, key, queue string, body []byte, wait bool) *actorlogv1.Action {
	if len(body) == 0 {
		body = []byte("null") // what is in a queue is a value
	}
	action := to.action(creation, key)
	action.Body = &actorlogv1.Action_Enqueue{Enqueue: &actorlogv1.Enqueue{Queue: queue, BodyJson: body, Wait: wait}}
	return action
}

func checkQueueName(name string) error {
	if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) {
		return invalid("The name of the queue is not 1 to %d bytes of UTF-8.", maxNameBytes)
	}
	return nil
}

// milliseconds is a time as a client gives it. What no timer can hold is none.
func milliseconds(n uint64) time.Duration {
	if n > math.MaxInt64/uint64(time.Millisecond) {
		return -1
	}
	return time.Duration(n) * time.Millisecond
}

// rivetQueue is POST .../queue/{name}.
func (g *Gateway) rivetQueue(c *gin.Context, route wire.GatewayRequest) {
	r := c.Request
	f, body, ok := g.rivetPost(c, route, g.cfg.MaxIncomingMessageBytes+queueOverheadBytes)
	if !ok {
		return
	}
	req, f, err := wire.DecodeQueueRequest(f, body)
	if err != nil {
		g.fail(c, err)
		return
	}
	call, err := g.rivetCall(r, route)
	if err == nil {
		err = checkQueueName(route.TailName)
	}
	if err != nil {
		g.fail(c, err)
		return
	}
	action := enqueueAction(call.to, call.creation, call.idempotencyKey, route.TailName, req.Body, req.Wait)
	action.Handshake = call.handshake
	timeout := time.Duration(-1)
	if req.HasTimeout {
		timeout = milliseconds(req.TimeoutMS)
	}
	s, err := g.enqueue(r.Context(), call.to, action, timeout)
	if err != nil {
		g.failWith(c, err, rivetStatus, f)
		return
	}
	setAnswer(c.Writer.Header(), s.answer)
	status := "completed" // also when it was only taken in, and when there is no such queue: the protocol knows no other word
	if s.timedOut {
		status = "timedOut"
	}
	answer, err := wire.AppendQueueResponse(nil, f, status, s.response)
	if err != nil {
		g.fail(c, err)
		return
	}
	if len(answer) > g.cfg.MaxOutgoingMessageBytes {
		g.failWith(c, &refused{s.answer, errTooLongOut}, rivetStatus, f)
		return
	}
	c.Data(http.StatusOK, f.Encoding.ContentType(), answer)
}

// plainQueue is POST .../queues/{name}.
func (g *Gateway) plainQueue(c *gin.Context, req plainRequest) {
	fail := func(err error) bool {
		if err != nil {
			g.failPlain(c, err)
		}
		return err != nil
	}
	creation, err := req.creation()
	if fail(err) || fail(checkQueueName(req.name)) {
		return
	}
	wait, err := req.flag("wait", false)
	if fail(err) {
		return
	}
	timeout := time.Duration(-1)
	if req.query.Has("timeout") {
		ms, err := strconv.ParseUint(req.query.Get("timeout"), 10, 64)
		if err != nil {
			g.failPlain(c, invalid("timeout is no number of milliseconds."))
			return
		}
		timeout = milliseconds(ms)
	}
	body, err := jsonBody(c.Request, g.cfg.MaxIncomingMessageBytes+queueOverheadBytes)
	if fail(err) {
		return
	}
	action := enqueueAction(req.to, creation, req.idempotencyKey, req.name, body, wait)
	if action.Handshake, err = g.handshake(c.Request); fail(err) {
		return
	}
	s, err := g.enqueue(c.Request.Context(), req.to, action, timeout)
	if fail(err) {
		return
	}
	if len(s.response) > g.cfg.MaxOutgoingMessageBytes {
		g.failPlain(c, &refused{s.answer, errTooLongOut})
		return
	}
	setAnswer(c.Writer.Header(), s.answer)
	status, text := http.StatusOK, `{"status":"completed"`
	switch {
	case s.dropped:
		status, text = http.StatusAccepted, `{"status":"dropped"`
	case s.timedOut:
		text = `{"status":"timedOut"`
	case !wait:
		status, text = http.StatusAccepted, `{"status":"accepted"`
	case len(s.response) > 0:
		text += `,"response":` + string(s.response)
	}
	c.Data(status, wire.JSON.ContentType(), []byte(text+"}"))
}
