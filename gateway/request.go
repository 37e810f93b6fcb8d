package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// maxNameBytes bounds the names of actions and events.
const maxNameBytes = 256

// address is an actor as a request names it: by identity, or by id.
type address struct {
	hash  schemas.Hash
	actor *actorlogv1.Actor
}

// addressOf checks an identity.
func addressOf(namespace, kind string, key schemas.Key) (address, error) {
	for _, err := range []error{schemas.ValidateNamespace(namespace), schemas.ValidateKind(kind)} {
		if err != nil {
			return address{}, invalid("The address is not valid: %v.", err)
		}
	}
	if err := key.Validate(); err != nil {
		return address{}, wire.Errorf("actor", "key_too_large", "The address is not valid: %v.", err)
	}
	return address{
		hash:  schemas.HashOf(namespace, kind, key),
		actor: &actorlogv1.Actor{Namespace: namespace, Kind: kind, Key: key},
	}, nil
}

// addressOfID checks an id. A text that is no id names no actor.
func addressOfID(text string) (address, error) {
	id, err := schemas.ParseActorID(text)
	if err != nil {
		return address{}, errNotFound
	}
	return addressOfLife(id.Hash, id.Generation), nil
}

// addressOfLife is one generation of an actor, and no other.
func addressOfLife(hash schemas.Hash, generation uint32) address {
	return address{hash: hash, actor: &actorlogv1.Actor{Generation: generation}}
}

func ifAbsent(input []byte) *actorlogv1.Creation {
	return &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT, InputJson: input}
}

func mustBeAbsent(input []byte) *actorlogv1.Creation {
	return &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT, InputJson: input}
}

// action begins an action on the actor. The caller sets the body.
func (a address) action(creation *actorlogv1.Creation, idempotencyKey string) *actorlogv1.Action {
	return &actorlogv1.Action{
		Actor: a.actor, Creation: creation, IdempotencyKey: idempotencyKey, Caller: new(actorlogv1.Caller),
	}
}

func (a address) resolve(creation *actorlogv1.Creation, idempotencyKey string) *actorlogv1.Action {
	action := a.action(creation, idempotencyKey)
	action.Body = &actorlogv1.Action_Resolve{Resolve: new(actorlogv1.Resolve)}
	return action
}

// answer is the outcome of a request that was carried out.
type answer struct {
	*remote.Delivery
	replayed bool
}

// refused is the outcome of a request that was not: it carries the answer, which may name
// the actor.
type refused struct {
	answer
	reason *wire.Error
}

func (r *refused) Error() string { return r.reason.Error() }

// Unwrap returns what the client is told.
func (r *refused) Unwrap() error { return r.reason }

// do appends an action and waits. Errors are *refused and those of remote.Client.Do.
func (g *Gateway) do(ctx context.Context, to address, action *actorlogv1.Action) (answer, error) {
	d, replayed, err := g.client.Do(ctx, remote.Request{Hash: to.hash, Action: action})
	if err != nil {
		return answer{}, err
	}
	g.meetsIn(ctx, action, d)
	if e := outcomeError(d); e != nil {
		return answer{}, &refused{answer{d, replayed}, e}
	}
	return answer{d, replayed}, nil
}

// ask is do for what has no effect when repeated: a failure then is one that clients may
// repeat, and is known sooner.
func (g *Gateway) ask(ctx context.Context, to address, action *actorlogv1.Action) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.ResolveTimeout)
	defer cancel()
	a, err := g.do(ctx, to, action)
	if err != nil && !errors.As(err, new(*refused)) {
		e, expected := asWire(err, true)
		if !expected {
			return answer{}, err
		}
		return answer{}, e
	}
	return a, err
}

func actorID(hash schemas.Hash, a *actorlogv1.Actor) string {
	return schemas.ActorID{Hash: hash, Generation: a.GetGeneration()}.String()
}

func keyOf(a *actorlogv1.Actor) schemas.Key { return schemas.Key(a.GetKey()) }

func created(d *remote.Delivery) bool {
	return d.Outcome.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED ||
		d.Outcome.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
}

// ended returns the generation that ended with the outcome, 0 if none did.
func ended(d *remote.Delivery) uint32 {
	switch d.Outcome.Lifecycle {
	case actorlogv1.Lifecycle_LIFECYCLE_DESTROYED, actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED:
		return d.Outcome.Actor.GetGeneration()
	}
	return 0
}

// unencodedBody is readBody for a body that is to be understood here: it must not be compressed, for a few bytes
// can stand for gigabytes.
func unencodedBody(r *http.Request, limit int) ([]byte, error) {
	for _, coding := range r.Header.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return nil, errEncoded
		}
	}
	return readBody(r, limit)
}

// readBody reads a request's body of at most limit bytes, however it was sent.
func readBody(r *http.Request, limit int) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return nil, errTooLongIn
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if errors.Is(err, errUnavailable) {
		return nil, err
	}
	if err != nil {
		return nil, invalid("The body could not be read.")
	}
	if len(body) > limit {
		return nil, errTooLongIn
	}
	return body, nil
}

// jsonBody reads a body that is one JSON value, without insignificant space; nil if it is empty.
func jsonBody(r *http.Request, limit int) ([]byte, error) {
	body, err := unencodedBody(r, limit)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	if !utf8.Valid(body) {
		return nil, invalid("The body is not valid UTF-8.")
	}
	if depth(body) > wire.MaxDepth {
		return nil, invalid("The body is nested more than %d deep.", wire.MaxDepth)
	}
	var compact bytes.Buffer
	compact.Grow(len(body))
	if err := json.Compact(&compact, body); err != nil {
		return nil, invalid("The body is not valid JSON: %v.", err)
	}
	return compact.Bytes(), nil
}

// depth is how deep JSON text is nested.
func depth(text []byte) (deepest int) {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '[' || c == '{':
			n++
			deepest = max(deepest, n)
		case c == ']' || c == '}':
			n--
		}
	}
	return deepest
}

// idempotencyKey is the client's key of a request; empty if it gave none.
func idempotencyKey(h http.Header) (string, error) {
	switch values := h.Values("Idempotency-Key"); {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", invalid("There is more than one Idempotency-Key.")
	case !visible(values[0]):
		return "", invalid("The Idempotency-Key is not 1 to 255 visible ASCII characters.")
	default:
		return values[0], nil
	}
}

func checkEventName(name string) error {
	if len(name) > maxNameBytes || !utf8.ValidString(name) {
		return invalid("The name of the event is too long, or not valid UTF-8.")
	}
	return nil
}

func checkActionName(name string) error {
	switch {
	case name == "":
		return invalid("The action has no name.")
	case len(name) > maxNameBytes:
		return invalid("The name of the action has %d bytes, more than %d.", len(name), maxNameBytes)
	case !utf8.ValidString(name):
		return invalid("The name of the action is not valid UTF-8.")
	}
	return nil
}
