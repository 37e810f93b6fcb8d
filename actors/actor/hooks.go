package actor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// hooks is the rules of a kind besides its actions; nil ones do nothing.
type hooks struct {
	onCreate                   func(s any, c *Ctx, input json.RawMessage) error
	createVars                 func(s any, c *Ctx) (any, error)
	onWake, onSleep, onDestroy func(s any, c *Ctx) error
	onStateChange              func(s any, c *Ctx) error
	beforeResponse             func(s any, c *Ctx, r *ActionResponse) error
	beforeConnect              func(s any, c *Ctx, params json.RawMessage) error
	connState                  func(s any, c *Ctx, params json.RawMessage) (any, error)
	onConnect, onDisconnect    func(s any, c *Ctx, conn *Conn) error
	canSubscribe               map[string]func(s any, c *Ctx) (bool, error)
	queues                     map[string]func(s any, c *Ctx) (bool, error)
	request                    func(s any, c *Ctx) (*actorlogv1.Response, error)
	socket                     *socketHooks
	run                        func(l *Loop) error
	version                    uint32
	upcasters                  map[uint32]func(json.RawMessage) (json.RawMessage, error)
}

// connects says whether a client's call has to pass hooks before it reaches its action.
func (h *hooks) connects() bool {
	return h.beforeConnect != nil || h.connState != nil || h.onConnect != nil || h.onDisconnect != nil
}

// guarded is the events that have a rule about who may have them, in order.
func (h *hooks) guarded() []string { return slices.Sorted(maps.Keys(h.canSubscribe)) }

// wakes says whether something happens when the actor comes into memory.
func (h *hooks) wakes() bool { return h.createVars != nil || h.onWake != nil }

// once panics when a rule is set twice.
func once(unset bool, kind, what string) {
	if !unset {
		panic(fmt.Sprintf("actor: kind %q has two rules %s", kind, what))
	}
}

func stateHook[S any](fn func(s *S, c *Ctx) error) func(any, *Ctx) error {
	return func(s any, c *Ctx) error { return fn(s.(*S), c) }
}

// OnCreate sets what runs once in the life of an actor, right after its state was made and as part of the same outcome, with the input
// of the creation. An error refuses the creation.
func OnCreate[S, In any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx, input In) error) {
	d := define(r, k)
	once(d.hooks.onCreate == nil, k.name, "OnCreate")
	d.hooks.onCreate = func(s any, c *Ctx, input json.RawMessage) error {
		in, err := decodeInput[In](input)
		if err != nil {
			return err
		}
		return fn(s.(*S), c, in)
	}
}

// CreateVars sets what makes the [Vars] of an activation: values that live as long as the actor stays in memory and are never recorded,
// such as clients and caches. It must not change the state. It runs before OnWake, within 5 s; an error fails the action that woke
// the actor. What it opens is OnSleep's to close; a worker that dies closes nothing.
func CreateVars[S, V any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx) (V, error)) {
	d := define(r, k)
	once(d.hooks.createVars == nil, k.name, "CreateVars")
	d.hooks.createVars = func(s any, c *Ctx) (any, error) {
		v, err := fn(s.(*S), c)
		return v, err
	}
}

// OnWake sets what runs each time the actor comes into memory, before the action that woke it. What it does to the state, broadcasts and
// schedules is part of that action's outcome, and stands even if that action fails. An error of OnWake itself
// fails the action, and the next one tries again. Within 5 s.
func OnWake[S any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx) error) {
	d := define(r, k)
	once(d.hooks.onWake == nil, k.name, "OnWake")
	d.hooks.onWake = stateHook(fn)
}

// OnSleep sets what runs before the actor leaves memory: after it was idle for long enough, or when its shard is given to
// another worker in peace. It is recorded like an action. It is best effort: a worker that dies runs nothing. After an error,
// which is logged, the actor leaves all the same. Within 5 s.
func OnSleep[S any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx) error) {
	d := define(r, k)
	once(d.hooks.onSleep == nil, k.name, "OnSleep")
	d.hooks.onSleep = stateHook(fn)
}

// OnDestroy sets what runs when the actor is destroyed, as part of the same outcome, before its connections are closed. After an
// error, which is logged, the actor is destroyed all the same. Within 5 s: beyond that, an action that called [Ctx.Destroy] fails, and the
// actor lives; destroyed from outside, it is gone.
func OnDestroy[S any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx) error) {
	d := define(r, k)
	once(d.hooks.onDestroy == nil, k.name, "OnDestroy")
	d.hooks.onDestroy = stateHook(fn)
}

// OnStateChange sets what runs after an action that changed the state, once, as part of its outcome: it may broadcast, schedule and send.
// The state that it gets is a copy: changing it changes nothing. It must not end connections or the actor. An error fails the action. Within 5 s.
// An operator's undo runs no code of the actor, and not this either.
func OnStateChange[S any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx) error) {
	d := define(r, k)
	once(d.hooks.onStateChange == nil, k.name, "OnStateChange")
	d.hooks.onStateChange = stateHook(fn)
}

// ActionResponse is the result of an action on its way to the caller.
type ActionResponse struct {
	// Action that ran.
	Action string
	// Args is its positional arguments, a JSON array; nil if it got one input as a whole.
	Args json.RawMessage
	// Result is JSON, empty for none. Set it to change what the caller gets, and the history says.
	Result json.RawMessage
}

// OnBeforeActionResponse sets what sees every result of an action that succeeded, and may change it, but not the state. It must not
// end connections or the actor. An error fails the action. Within 5 s.
func OnBeforeActionResponse[S any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx, response *ActionResponse) error) {
	d := define(r, k)
	once(d.hooks.beforeResponse == nil, k.name, "OnBeforeActionResponse")
	d.hooks.beforeResponse = func(s any, c *Ctx, response *ActionResponse) error { return fn(s.(*S), c, response) }
}

// OnBeforeConnect sets what checks a client before anything else is done for it: the parameters that it gave (P's zero value when there
// are none) and the headers of its request ([Ctx.Request]). An error refuses it, and the client sees it. It must not change the
// state. Stateless calls pass it too. Within 5 s.
//
// Calls from backends over the log, from other actors and from schedules are not clients: they pass no connection hook, unless they
// give parameters of their own ([Handle.WithParams]).
func OnBeforeConnect[S, P any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx, params P) error) {
	d := define(r, k)
	once(d.hooks.beforeConnect == nil, k.name, "OnBeforeConnect")
	d.hooks.beforeConnect = func(s any, c *Ctx, params json.RawMessage) error {
		var p P
		if err := decodeParams(params, &p); err != nil {
			return err
		}
		return fn(s.(*S), c, p)
	}
}

// CreateConnState sets what makes the state of a connection ([ConnState]). An error refuses it. Within 5 s.
func CreateConnState[S, P, CS any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx, params P) (CS, error)) {
	d := define(r, k)
	once(d.hooks.connState == nil, k.name, "CreateConnState")
	d.hooks.connState = func(s any, c *Ctx, params json.RawMessage) (any, error) {
		var p P
		if err := decodeParams(params, &p); err != nil {
			return nil, err
		}
		state, err := fn(s.(*S), c, p)
		return &state, err
	}
}

// OnConnect sets what runs when a connection is open and visible in [Ctx.Conns]. An error refuses it. Within 5 s.
func OnConnect[S any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx, conn *Conn) error) {
	d := define(r, k)
	once(d.hooks.onConnect == nil, k.name, "OnConnect")
	d.hooks.onConnect = func(s any, c *Ctx, conn *Conn) error { return fn(s.(*S), c, conn) }
}

// OnDisconnect sets what runs once when a connection has ended, for whatever reason: [Ctx.Conns] does not have it any more. After an error, which is
// logged, it has ended all the same, but nothing of what OnDisconnect did is kept. Within 5 s: beyond that, an action which ends
// connections of its own accord fails, and they stay; a connection whose client or gateway is gone has ended.
func OnDisconnect[S any](r *Registry, k KindOf[S], fn func(s *S, c *Ctx, conn *Conn) error) {
	d := define(r, k)
	once(d.hooks.onDisconnect == nil, k.name, "OnDisconnect")
	d.hooks.onDisconnect = func(s any, c *Ctx, conn *Conn) error { return fn(s.(*S), c, conn) }
}

// CanSubscribe sets who may have an event: it is asked for each subscription of a client, and [Ctx.Conn] is the connection. false is refused with
// auth.forbidden. Programs that read the log themselves are not asked.
func CanSubscribe[S, T any](r *Registry, k KindOf[S], e EventOf[T], fn func(s *S, c *Ctx) (bool, error)) {
	d := define(r, k)
	if e.kind != k.name {
		panic(fmt.Sprintf("actor: event %q is of kind %q, not of %q", e.name, e.kind, k.name))
	}
	if d.hooks.canSubscribe == nil {
		d.hooks.canSubscribe = make(map[string]func(any, *Ctx) (bool, error))
	}
	once(d.hooks.canSubscribe[e.name] == nil, k.name, "CanSubscribe of "+e.name)
	d.hooks.canSubscribe[e.name] = func(s any, c *Ctx) (bool, error) { return fn(s.(*S), c) }
}

// OnRun sets the background loop of an activation. It starts when the actor has come into memory, beside the actions, and its context ends
// when the actor leaves memory. A loop does not keep its actor awake, but for messages in the queues that it takes from; they wake it as well.
// When fn returns, with an error, which is logged, or without, it is not started again in this activation. If messages wait for
// it then, the actor is woken again right after it went to sleep, for a new loop to take them.
func OnRun[S any](r *Registry, k KindOf[S], fn func(l *Loop) error) {
	d := define(r, k)
	once(d.hooks.run == nil, k.name, "OnRun")
	d.hooks.run = fn
}

// StateVersion sets the version of the state's schema, above 0. States of lower versions are brought up by [Upcast] when they are
// loaded; a worker refuses to start when a state has a version from which no chain of upcasters leads to this one.
func StateVersion[S any](r *Registry, k KindOf[S], version uint32) {
	d := define(r, k)
	once(d.hooks.version == 0, k.name, "StateVersion")
	if version == 0 {
		panic(fmt.Sprintf("actor: the state version of kind %q is 0, which means none", k.name))
	}
	d.hooks.version = version
}

// Upcast sets how a state of one version becomes one of the next; version 0 is that of states from before there were versions.
func Upcast[S any](r *Registry, k KindOf[S], from uint32, fn func(old json.RawMessage) (json.RawMessage, error)) {
	d := define(r, k)
	if d.hooks.upcasters == nil {
		d.hooks.upcasters = make(map[uint32]func(json.RawMessage) (json.RawMessage, error))
	}
	once(d.hooks.upcasters[from] == nil, k.name, fmt.Sprintf("Upcast from version %d", from))
	d.hooks.upcasters[from] = fn
}

// checkVersion says whether a state of some version can be loaded.
func (d *Definition) CheckVersion(version uint32) error {
	for v := version; v < d.hooks.version; v++ {
		if d.hooks.upcasters[v] == nil {
			return fmt.Errorf("kind %s: states of version %d are recorded, this code has version %d, and there is no Upcast from version %d", d.kind, version, d.hooks.version, v)
		}
	}
	if version > d.hooks.version {
		return fmt.Errorf("kind %s: states of version %d are recorded, this code has version %d: run code that is at least as new", d.kind, version, d.hooks.version)
	}
	return nil
}

// upcast brings a recorded state to the version of the code.
func (d *Definition) upcast(state json.RawMessage, version uint32) (json.RawMessage, error) {
	if err := d.CheckVersion(version); err != nil {
		return nil, err
	}
	for v := version; v < d.hooks.version; v++ {
		next, err := d.hooks.upcasters[v](state)
		if err != nil {
			return nil, fmt.Errorf("upcasting a state of kind %s from version %d: %w", d.kind, v, err)
		}
		state = next
	}
	return state, nil
}

func decodeInput[In any](input json.RawMessage) (In, error) {
	var in In
	if len(input) > 0 && !isUndefined(input) {
		if err := unmarshalArg(input, &in, "the input"); err != nil {
			return in, err
		}
	}
	return in, nil
}

func validText(s string) bool { return utf8.ValidString(s) }

// cleanText makes a text fit for a Protobuf string.
func cleanText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
