package actor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Loop is what [OnRun] gets: a background loop that lives with one activation of the actor. As a context it ends when the actor goes to
// sleep, moves or is destroyed.
//
// The loop runs beside the actions, so it has no state of its own to touch: it reads and changes the actor by calling its
// actions, as everybody else ([KindOf.Self]), and takes messages from its queues.
type Loop struct {
	context.Context
	host LoopHost
}

// LoopHost is what a host gives a [Loop].
type LoopHost struct {
	// Caller reaches actors from outside of any action.
	Caller Caller
	// Self is the life of the actor that the loop belongs to, and its namespace.
	Self  Target
	Key   []string
	Vars  any
	Queue QueueReader
	// Report tells operators of something that the loop goes on after.
	Report func(error)
}

// NewLoop is for hosts.
func NewLoop(ctx context.Context, h LoopHost) *Loop { return &Loop{Context: ctx, host: h} }

// Key of the actor. The caller owns the slice.
func (l *Loop) Key() []string { return slices.Clone(l.host.Key) }

// ActorID is the id of this life of the actor.
func (l *Loop) ActorID() string { return l.host.Self.ID }

// Client calls other actors. Unlike calls from within an action these are not tied to anything: a loop that is started again makes
// them again. Give a call that must take effect once an idempotency key. Handles made with it are in this actor's namespace, unless they
// name another one.
func (l *Loop) Client() Caller { return outside{l.host.Caller, l.host.Self.Namespace} }

// outside is the Caller of a loop.
type outside struct {
	Caller
	namespace string
}

// Namespace is where handles are that name none: as those of actions.
func (o outside) Namespace() string { return o.namespace }

// Subscribe implements Subscriber.
func (o outside) Subscribe(ctx context.Context, t Target, event string, fn func(args json.RawMessage), lost func(error)) error {
	s, ok := o.Caller.(Subscriber)
	if !ok {
		return fmt.Errorf("subscribing to event %s of kind %s: %T cannot follow events", event, t.Kind, o.Caller)
	}
	return s.Subscribe(ctx, t, event, fn, lost)
}

func (l *Loop) self() (Caller, Target) { return l.host.Caller, l.host.Self }
func (l *Loop) variables() any         { return l.host.Vars }

func (c *Ctx) self() (Caller, Target) {
	return c.Client(), Target{Kind: c.job.Kind, ID: c.job.ID.String()}
}
func (c *Ctx) variables() any {
	if c.vars == nil {
		c.job.looked(UnrecordedVars)
	}
	return c.vars
}

// Inside is a view from inside of an actor: a [Ctx] or a [Loop].
type Inside interface {
	self() (Caller, Target)
	variables() any
}

// Self is a handle to the actor itself: for a loop to run its actions, for an action to send itself a message. An action that calls its own actor is
// refused with ErrCallCycle.
func (k KindOf[S]) Self(in Inside) Handle[S] {
	caller, target := in.self()
	return Handle[S]{caller: caller, target: target}
}

// Vars is what [CreateVars] made for this activation: not part of the state, never recorded. It panics when V is not
// the type that CreateVars returns, for that is a mistake of the kind's author.
func Vars[V any](in Inside) V {
	v, ok := in.variables().(V)
	if !ok {
		panic(fmt.Sprintf("actor: the vars are %T, not %T", in.variables(), *new(V)))
	}
	return v
}
