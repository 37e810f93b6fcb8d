package actor

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/actorlog/actorlog/schemas"
)

// DefaultNamespace is the namespace of handles that name no other, unless they are made within an actor: those are in its own.
const DefaultNamespace = "default"

// Caller reaches actors. actors/remote implements it over the log.
// Errors are *Error when the actor or the runtime refused.
type Caller interface {
	// Invoke runs an action; args is a JSON array. The result is JSON, empty for none.
	Invoke(ctx context.Context, t Target, action string, args json.RawMessage) (json.RawMessage, error)
	// Resolve returns the id of the actor, and whether this call created it.
	Resolve(ctx context.Context, t Target) (id string, created bool, err error)
	// Read returns the actor's state as JSON.
	Read(ctx context.Context, t Target) (json.RawMessage, error)
	// Destroy ends the actor's life.
	Destroy(ctx context.Context, t Target) error
	// Enqueue puts a message into a queue of the actor. With wait, it waits until the message is completed, and returns
	// the response, JSON, empty for none.
	Enqueue(ctx context.Context, t Target, queue string, body json.RawMessage, wait bool) (json.RawMessage, error)
}

// Subscriber is a Caller that can also follow events.
type Subscriber interface {
	Caller
	// Subscribe calls fn for every event of that name from now on, in order, from one goroutine; args is a JSON array. It returns when it is
	// certain that nothing from then on is missed, and follows until ctx ends. lost is called once if it cannot
	// go on: the events are no longer kept, or the actor refuses. A target that is not an id is followed through all its lives.
	Subscribe(ctx context.Context, t Target, event string, fn func(args json.RawMessage), lost func(error)) error
}

// Presence says what a call expects of the actor.
type Presence uint8

const (
	// MustExist: a missing actor is ErrNotFound.
	MustExist Presence = iota
	// CreateIfAbsent: a missing actor is created first.
	CreateIfAbsent
	// MustBeAbsent: a living actor is ErrDuplicateKey.
	MustBeAbsent
)

// Target addresses an actor: by kind and key, or by id when ID is set.
type Target struct {
	Namespace, Kind string
	Key             schemas.Key
	ID              string
	Presence        Presence
	// Input for CreateState, JSON; empty for none.
	Input json.RawMessage
	// IdempotencyKey of the next request; empty for none.
	IdempotencyKey string
	// Params make the call one of a client: it passes the actor's connection hooks with these parameters, JSON. Empty for none.
	Params json.RawMessage
}

// Handle is a reference to an actor of a kind with state S. It is cheap, does no IO when it
// is made, and may be used by many goroutines.
type Handle[S any] struct {
	caller Caller
	target Target
	err    error
}

// Get refers to an actor that exists; calls to one that does not are ErrNotFound.
func (k KindOf[S]) Get(c Caller, key ...string) Handle[S] {
	namespace := DefaultNamespace
	if in, ok := c.(interface{ Namespace() string }); ok {
		namespace = in.Namespace()
	}
	return Handle[S]{caller: c, target: Target{Namespace: namespace, Kind: k.name, Key: key}}
}

// GetOrCreate refers to an actor that is created by the first call if it does not exist.
func (k KindOf[S]) GetOrCreate(c Caller, key ...string) Handle[S] {
	h := k.Get(c, key...)
	h.target.Presence = CreateIfAbsent
	return h
}

// GetForID refers to one life of an actor.
func (k KindOf[S]) GetForID(c Caller, id string) Handle[S] {
	return Handle[S]{caller: c, target: Target{Kind: k.name, ID: id}}
}

// Create creates the actor now. A living one is ErrDuplicateKey. A nil input is none.
func (k KindOf[S]) Create(ctx context.Context, c Caller, input any, key ...string) (Handle[S], error) {
	h := k.Get(c, key...).WithInput(input)
	h.target.Presence = MustBeAbsent
	id, err := h.Resolve(ctx)
	return k.GetForID(c, id), err
}

// WithInput returns a handle that gives this input to a creation. A nil input is none. An
// input that does not marshal to JSON is an error of the calls.
func (h Handle[S]) WithInput(input any) Handle[S] {
	h.target.Input, h.err = nil, nil
	if input != nil {
		if h.target.Input, h.err = json.Marshal(input); h.err != nil {
			h.err = fmt.Errorf("the input of kind %s: %w", h.target.Kind, h.err)
		}
	}
	return h
}

// InNamespace returns a handle to the actor of the same kind and key in another namespace.
func (h Handle[S]) InNamespace(namespace string) Handle[S] {
	h.target.Namespace = namespace
	return h
}

// Idempotent returns a handle whose call carries an idempotency key: however often it is made
// with that key, it takes effect once, and every repeat gets the first outcome. Use one
// key for one request.
func (h Handle[S]) Idempotent(key string) Handle[S] {
	h.target.IdempotencyKey = key
	return h
}

// WithParams returns a handle whose calls pass the actor's connection hooks, as those of clients do, with these parameters. Parameters that do not
// marshal to JSON are an error of the calls.
func (h Handle[S]) WithParams(params any) Handle[S] {
	b, err := json.Marshal(params)
	if err != nil && h.err == nil {
		h.err = fmt.Errorf("the parameters for kind %s: %w", h.target.Kind, err)
	}
	h.target.Params = b
	return h
}

// Resolve returns the actor's id, creating the actor if the handle says so.
func (h Handle[S]) Resolve(ctx context.Context) (string, error) {
	if h.err != nil {
		return "", h.err
	}
	id, _, err := h.caller.Resolve(ctx, h.target)
	return id, err
}

// Read returns a copy of the actor's state.
func (h Handle[S]) Read(ctx context.Context) (S, error) {
	var s S
	if h.err != nil {
		return s, h.err
	}
	b, err := h.caller.Read(ctx, h.target)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("the state of kind %s: %w", h.target.Kind, err)
	}
	return s, nil
}

// Destroy ends the actor's life.
func (h Handle[S]) Destroy(ctx context.Context) error {
	if h.err != nil {
		return h.err
	}
	return h.caller.Destroy(ctx, h.target)
}

// Call runs the action and waits for its outcome, which is committed when Call returns nil.
// An *Error means that it had no effect. Any other error may leave it open whether the
// action took effect, now or later; a call with an idempotency key can be made again.
func (a ActionOf[S, In, Out]) Call(ctx context.Context, h Handle[S], in In) (Out, error) {
	var out Out
	if h.err != nil {
		return out, h.err
	}
	args, err := a.args.marshal(in)
	if err != nil {
		return out, fmt.Errorf("the argument of action %s of kind %s: %w", a.name, a.kind, err)
	}
	result, err := h.caller.Invoke(ctx, h.target, a.name, args)
	if err != nil || len(result) == 0 {
		return out, err
	}
	if err := json.Unmarshal(result, &out); err != nil {
		return out, fmt.Errorf("the result of action %s of kind %s: %w", a.name, a.kind, err)
	}
	return out, nil
}

// Subscribe calls fn for every such event of an actor from now on, in order, from one goroutine, until ctx ends. It returns when it is
// certain that nothing from then on is missed. lost, if not nil, is called once if it cannot go on: events were missed, or the actor refuses. The handle's
// caller must be a [Subscriber]. An event whose arguments are no T ends it as well.
func (e EventOf[T]) Subscribe(ctx context.Context, h Subscribable, fn func(T), lost func(error)) error {
	caller, target, err := h.subscribable()
	if err != nil {
		return err
	}
	s, ok := caller.(Subscriber)
	if !ok {
		return fmt.Errorf("subscribing to event %s of kind %s: %T cannot follow events", e.name, e.kind, caller)
	}
	if target.Kind != e.kind {
		return fmt.Errorf("subscribing to event %s of kind %s: the handle is of kind %s", e.name, e.kind, target.Kind)
	}
	if lost == nil {
		lost = func(error) {}
	}
	over := false // of the goroutine that calls back
	return s.Subscribe(ctx, target, e.name, func(args json.RawMessage) {
		if over {
			return
		}
		var v T
		if err := e.args.decode(&v, args, nil); err != nil {
			over = true
			lost(fmt.Errorf("event %s of kind %s: %w", e.name, e.kind, err))
			return
		}
		fn(v)
	}, func(err error) {
		if !over {
			lost(err)
		}
	})
}

// Subscribable is a [Handle] of any kind.
type Subscribable interface {
	subscribable() (Caller, Target, error)
}

func (h Handle[S]) subscribable() (Caller, Target, error) { return h.caller, h.target, h.err }
