package actor

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/actorlog/actorlog/schemas"
)

// None is the argument or result of an action that has none.
type None struct{}

// Positional marks a struct as a list of positional arguments: embed it, and the exported
// fields, in order, are the arguments. JavaScript's move(3, 4) is then
//
//	type MoveTo struct {
//		actor.Positional
//		X, Y float64
//	}
//
// A trailing field whose type is a pointer, or that is tagged omitempty, may be left out.
type Positional struct{}

// KindOf is a type of actor with state S. Make it with [New].
type KindOf[S any] struct{ name string }

// New names a kind. The name is part of every actor's identity: it never changes. It panics
// when the name is not valid (see schemas.ValidateKind): kinds are package variables.
func New[S any](name string) KindOf[S] {
	if err := schemas.ValidateKind(name); err != nil {
		panic(fmt.Sprintf("actor: New(%q): %v", name, err))
	}
	return KindOf[S]{name: name}
}

// checkName panics when a name cannot stand in a record.
func checkName(what, name, kind string) {
	if name == "" {
		panic(fmt.Sprintf("actor: %s of kind %q has no name", what, kind))
	}
	if !utf8.ValidString(name) {
		panic(fmt.Sprintf("actor: the name of %s of kind %q is not valid UTF-8: %q", what, kind, name))
	}
}

// Name is the wire name.
func (k KindOf[S]) Name() string { return k.name }

// ActionOf describes an action of a kind with state S, that takes In and returns Out.
// Make it with [Action].
type ActionOf[S, In, Out any] struct {
	kind, name string
	args       *shape
}

// Action names an action of a kind: actor.Action[In, Out](Kind, "increment"). In is one
// value, [None], or a struct that embeds [Positional]. It panics when the name is empty.
func Action[In, Out, S any](k KindOf[S], name string) ActionOf[S, In, Out] {
	checkName("an action", name, k.name)
	return ActionOf[S, In, Out]{kind: k.name, name: name, args: mustShape[In]("action", name, k.name)}
}

// Name is the wire name.
func (a ActionOf[S, In, Out]) Name() string { return a.name }

// EventOf describes an event that carries T. Make it with [Event].
type EventOf[T any] struct {
	kind, name string
	args       *shape
}

// Event names an event of a kind: actor.Event[int64](Kind, "count"). T is one value, [None],
// or a struct that embeds [Positional], whose fields clients get as separate arguments.
func Event[T, S any](k KindOf[S], name string) EventOf[T] {
	checkName("an event", name, k.name)
	return EventOf[T]{kind: k.name, name: name, args: mustShape[T]("event", name, k.name)}
}

// Name is the wire name.
func (e EventOf[T]) Name() string { return e.name }

// With is the event carrying v, for [Ctx.Broadcast].
func (e EventOf[T]) With(v T) Message {
	args, err := e.args.marshal(v)
	if err != nil {
		err = fmt.Errorf("event %s of kind %s: %w", e.name, e.kind, err)
	}
	return Message{name: e.name, args: args, err: err}
}

// Message is an event with its arguments. Make it with [EventOf.With].
type Message struct {
	name string
	args json.RawMessage
	err  error
}
