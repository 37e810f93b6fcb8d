package webclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/actorlog/actorlog/actors/actor"
)

// protocol is the User-Agent of requests on the RivetKit face: it says which version of the protocol is spoken.
const protocol = "RivetKit/2.3 actorlog-webclient"

// call is a target that a request is made for.
type call struct {
	actor.Target
	header http.Header
	// key is the idempotency key, never empty.
	key string
}

func (c *Client) call(t actor.Target) (call, error) {
	t, err := c.target(t)
	if err != nil {
		return call{}, err
	}
	h, err := c.headers(t)
	if err != nil {
		return call{}, err
	}
	key := t.IdempotencyKey
	if key == "" {
		key = newKey()
	}
	return call{t, h, key}, nil
}

// rivet is a request on the RivetKit face.
func (to call) rivet(path string, body []byte) request {
	h := to.header.Clone()
	h.Set("User-Agent", protocol)
	h.Set("X-Rivet-Encoding", "json")
	return request{method: http.MethodPost, path: path, header: h, body: body, key: to.key}
}

// Invoke implements actor.Caller.
func (c *Client) Invoke(ctx context.Context, t actor.Target, action string, args json.RawMessage) (json.RawMessage, error) {
	to, err := c.call(t)
	if err != nil {
		return nil, err
	}
	if args, err = escapeArgs(args); err != nil {
		return nil, err
	}
	ctx, cancel := c.bound(ctx, c.cfg.RequestTimeout)
	defer cancel()
	// The plain face takes one input, and leaves it open whether a list of one is that input, or holds it.
	path, err := c.path(ctx, to, "action", action)
	if err != nil {
		return nil, err
	}
	answer, err := c.send(ctx, to.rivet(path, fmt.Appendf(nil, `{"args":%s}`, args)))
	if err != nil {
		return nil, fromActor(err, "calling action %s", action)
	}
	var result struct{ Output json.RawMessage }
	if err := json.Unmarshal(answer.body, &result); err != nil {
		return nil, fmt.Errorf("the answer of action %s: %w", action, err)
	}
	return unescape(result.Output), nil
}

// path of a call on the RivetKit face. An actor that it cannot name is resolved first.
func (c *Client) path(ctx context.Context, to call, tail, name string) (string, error) {
	if to.ID != "" {
		return lifePath(to.ID, tail, name), nil
	}
	if path, ok := callPath(to.Target, tail, name); ok {
		return path, nil
	}
	to.key = creationKey(to.key)
	id, _, err := c.resolve(ctx, to)
	return lifePath(id, tail, name), err
}

// fromActor passes an *actor.Error on as it is, and says of others what was being done.
func fromActor(err error, format string, args ...any) error {
	if e, ok := err.(*actor.Error); ok { //nolint:errorlint // a wrapped one is no answer
		return e
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// Resolve implements actor.Caller.
func (c *Client) Resolve(ctx context.Context, t actor.Target) (id string, created bool, err error) {
	to, err := c.call(t)
	if err != nil {
		return "", false, err
	}
	ctx, cancel := c.bound(ctx, c.cfg.RequestTimeout)
	defer cancel()
	return c.resolve(ctx, to)
}

func (c *Client) resolve(ctx context.Context, to call) (id string, created bool, err error) {
	if to.ID != "" {
		_, err := c.named(ctx, to)
		return to.ID, false, err
	}
	req := request{method: http.MethodGet, path: plainPath(to.Target, "", nil), header: to.header}
	switch to.Presence {
	case actor.CreateIfAbsent:
		req.method, req.body, req.key = http.MethodPut, to.Input, to.key
	case actor.MustBeAbsent:
		req.method, req.body, req.key = http.MethodPost, to.Input, to.key
	}
	answer, err := c.send(ctx, req)
	if err != nil {
		return "", false, fromActor(err, "resolving an actor of kind %s", to.Kind)
	}
	var who struct {
		ID string `json:"actorId"`
	}
	if err := json.Unmarshal(answer.body, &who); err != nil || who.ID == "" {
		return "", false, fmt.Errorf("resolving an actor of kind %s: the answer does not tell its id", to.Kind)
	}
	return who.ID, answer.status == http.StatusCreated, nil
}

// named turns a target by id into one by kind and key. It is ErrNotFound if that life is over.
func (c *Client) named(ctx context.Context, to call) (call, error) {
	answer, err := c.send(ctx, request{method: http.MethodGet, path: "/actors?actor_ids=" + to.ID, header: to.header})
	if err != nil {
		return to, fromActor(err, "looking up actor %s", to.ID)
	}
	var list struct{ Actors []found }
	if err := json.Unmarshal(answer.body, &list); err != nil {
		return to, fmt.Errorf("looking up actor %s: %w", to.ID, err)
	}
	for _, f := range list.Actors {
		if f.ID == to.ID {
			to.Target = f.target(to.Target)
			return to, nil
		}
	}
	return to, actor.ErrNotFound
}

// Read implements actor.Caller.
func (c *Client) Read(ctx context.Context, t actor.Target) (json.RawMessage, error) {
	to, err := c.call(t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.bound(ctx, c.cfg.RequestTimeout)
	defer cancel()
	switch {
	case to.ID != "":
		if to, err = c.named(ctx, to); err != nil {
			return nil, err
		}
	case to.Presence != actor.MustExist: // reading creates nothing
		if _, _, err := c.resolve(ctx, to); err != nil {
			return nil, err
		}
	}
	answer, err := c.send(ctx, request{method: http.MethodGet, path: plainPath(to.Target, "/state", nil), header: to.header})
	if err != nil {
		return nil, fromActor(err, "reading the state of kind %s", to.Kind)
	}
	if to.ID != "" && answer.header.Get("Actorlog-Actor") != to.ID {
		return nil, actor.ErrNotFound // it is another one's
	}
	return answer.body, nil
}

// Destroy implements actor.Caller.
func (c *Client) Destroy(ctx context.Context, t actor.Target) error {
	to, err := c.call(t)
	if err != nil {
		return err
	}
	ctx, cancel := c.bound(ctx, c.cfg.RequestTimeout)
	defer cancel()
	if to.ID != "" {
		if to, err = c.named(ctx, to); err != nil {
			return err
		}
	}
	_, err = c.send(ctx, request{method: http.MethodDelete, path: plainPath(to.Target, "", nil), header: to.header, key: to.key})
	if err != nil {
		return fromActor(err, "destroying an actor of kind %s", to.Kind)
	}
	return nil
}

// Enqueue implements actor.Caller. When ctx ends before the message is completed, it stays in the queue.
func (c *Client) Enqueue(ctx context.Context, t actor.Target, queue string, body json.RawMessage, wait bool) (json.RawMessage, error) {
	to, err := c.call(t)
	if err != nil {
		return nil, err
	}
	timeout := c.cfg.RequestTimeout
	if wait {
		timeout = 0
	}
	ctx, cancel := c.bound(ctx, timeout)
	defer cancel()
	req, escaped, err := c.enqueue(ctx, to, queue, body, wait)
	if err != nil {
		return nil, err
	}
	for {
		answer, err := c.send(ctx, req)
		if err != nil {
			return nil, fromActor(err, "sending to queue %s", queue)
		}
		if !wait {
			return nil, nil
		}
		var done struct {
			Status   string
			Response json.RawMessage
		}
		switch err := json.Unmarshal(answer.body, &done); {
		case err != nil:
			return nil, fmt.Errorf("the answer of queue %s: %w", queue, err)
		case done.Status == "timedOut": // for this gateway: with the same key, it goes on waiting for the same message
			continue
		case escaped:
			done.Response = unescape(done.Response)
		}
		return done.Response, nil
	}
}

// enqueue is the request for a message, and whether the values in its answer are escaped.
func (c *Client) enqueue(ctx context.Context, to call, queue string, body json.RawMessage, wait bool) (request, bool, error) {
	if to.ID == "" && to.Presence != actor.MustBeAbsent && len(to.Input) == 0 {
		query := make(url.Values)
		if wait {
			query.Set("wait", "true")
		}
		if to.Presence == actor.MustExist {
			query.Set("create", "false")
		}
		path := plainPath(to.Target, "/queues/"+url.PathEscape(queue), query)
		return request{method: http.MethodPost, path: path, header: to.header, body: body, key: to.key}, false, nil
	}
	// The plain face knows no lives, and no inputs.
	path, err := c.path(ctx, to, "queue", queue)
	if len(body) == 0 {
		body = json.RawMessage("null")
	}
	return to.rivet(path, fmt.Appendf(nil, `{"body":%s,"wait":%t}`, body, wait)), true, err
}
