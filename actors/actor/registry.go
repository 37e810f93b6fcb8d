package actor

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Registry is the kinds that a worker hosts, with their rules. Fill it before the worker
// starts; it must not change afterwards, and is then safe for concurrent use.
type Registry struct{ kinds map[string]*Definition }

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{kinds: make(map[string]*Definition)} }

// Definition is one registered kind, untyped: what a host runs.
type Definition struct {
	kind   string
	state  reflect.Type
	create func(c *Ctx, input json.RawMessage) (any, error)
	load   func(state json.RawMessage) (any, error)
	// zero is what a life begins with when there is no create.
	initial json.RawMessage
	actions map[string]handler
	hooks   hooks
}

type handler func(c *Ctx, state any, args, input json.RawMessage) (json.RawMessage, error)

// Kind returns the definition of a kind, nil when it is not registered.
func (r *Registry) Kind(name string) *Definition { return r.kinds[name] }

// Kinds returns the registered names, sorted.
func (r *Registry) Kinds() []string { return slices.Sorted(maps.Keys(r.kinds)) }

func define[S any](r *Registry, k KindOf[S]) *Definition {
	if k.name == "" {
		panic("actor: the kind was not made by New")
	}
	d := r.kinds[k.name]
	if d == nil {
		d = &Definition{
			kind:    k.name,
			state:   reflect.TypeFor[S](),
			actions: make(map[string]handler),
			load: func(state json.RawMessage) (any, error) {
				s := new(S)
				if err := json.Unmarshal(state, s); err != nil {
					return nil, fmt.Errorf("reading the state of kind %s: %w", k.name, err)
				}
				return s, nil
			},
		}
		r.kinds[k.name] = d
	}
	if d.state != reflect.TypeFor[S]() {
		panic(fmt.Sprintf("actor: kind %q is registered with state %s and with state %s", k.name, d.state, reflect.TypeFor[S]()))
	}
	return d
}

// Register makes the kind known even if it has no actions yet. [On] does it too.
func Register[S any](r *Registry, k KindOf[S]) { define(r, k) }

// InitialState sets what the state of a new actor is. The default is the zero S. It panics
// when the kind has a CreateState already, or s does not marshal to JSON.
func InitialState[S any](r *Registry, k KindOf[S], s S) {
	d := define(r, k)
	if d.create != nil || d.initial != nil {
		panic(fmt.Sprintf("actor: the initial state of kind %q is set twice", k.name))
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("actor: the initial state of kind %q: %v", k.name, err))
	}
	d.initial = b
}

// CreateState sets the function that makes the state of a new actor, from the input given
// with the creation. With no input, In's zero value is passed; use a pointer to tell the two
// apart. An error refuses the creation, and with it the action that came along. It panics
// when the kind has an initial state already.
func CreateState[S, In any](r *Registry, k KindOf[S], fn func(c *Ctx, input In) (S, error)) {
	d := define(r, k)
	if d.create != nil || d.initial != nil {
		panic(fmt.Sprintf("actor: the initial state of kind %q is set twice", k.name))
	}
	d.create = func(c *Ctx, input json.RawMessage) (any, error) {
		in, err := decodeInput[In](input)
		if err != nil {
			return nil, err
		}
		s, err := fn(c, in)
		if err != nil {
			return nil, err
		}
		return &s, nil
	}
}

// On sets the rule of an action. The state that fn gets is the actor's own, to be changed in
// place; it must not be kept beyond the call. On panics when the action has a rule already.
func On[S, In, Out any](r *Registry, a ActionOf[S, In, Out], fn func(s *S, c *Ctx, in In) (Out, error)) {
	d := define(r, KindOf[S]{name: a.kind})
	if _, ok := d.actions[a.name]; ok {
		panic(fmt.Sprintf("actor: action %q of kind %q has two rules", a.name, a.kind))
	}
	s := a.args
	void := reflect.TypeFor[Out]() == reflect.TypeFor[None]()
	d.actions[a.name] = func(c *Ctx, state any, args, input json.RawMessage) (json.RawMessage, error) {
		var in In
		if err := s.decode(&in, args, input); err != nil {
			return nil, err
		}
		out, err := fn(state.(*S), c, in)
		if err != nil || void {
			return nil, err
		}
		result, err := json.Marshal(out)
		if err != nil {
			return nil, fmt.Errorf("the result of action %s of kind %s: %w", a.name, a.kind, err)
		}
		return result, nil
	}
}

// Create makes the state of a new actor. input is empty when none was given.
func (d *Definition) Create(c *Ctx, input json.RawMessage) (any, error) {
	if d.create != nil {
		return d.create(c, input)
	}
	if d.initial != nil {
		return d.load(d.initial)
	}
	return reflect.New(d.state).Interface(), nil
}

// Load reads a state that was recorded in some version of its schema.
func (d *Definition) Load(state json.RawMessage, version uint32) (any, error) {
	state, err := d.upcast(state, version)
	if err != nil {
		return nil, err
	}
	return d.load(state)
}

// StateVersion of the states that Save writes; 0 when the kind does not count it.
func (d *Definition) StateVersion() uint32 { return d.hooks.version }

// Loop is the kind's background loop, nil when it has none.
func (d *Definition) Loop() func(*Loop) error { return d.hooks.run }

// MakesVars says whether the kind has a CreateVars.
func (d *Definition) MakesVars() bool { return d.hooks.createVars != nil }

// Sleeps says whether the kind has an OnSleep.
func (d *Definition) Sleeps() bool { return d.hooks.onSleep != nil }

// Known implements machine.Rules: whether the kind is registered.
func (r *Registry) Known(kind string) bool { return r.kinds[kind] != nil }

// Runs implements machine.Rules: whether user code has to see an action that could be answered without it.
func (r *Registry) Runs(kind string, a *actorlogv1.Action) bool {
	d := r.kinds[kind]
	if d == nil {
		return false
	}
	h := &d.hooks
	if a.Handshake != nil && h.connects() {
		return true
	}
	switch body := a.Body.(type) {
	case *actorlogv1.Action_Subscribe:
		// Also when it asks for none of the guarded events: its outcome tells which they are.
		return len(h.canSubscribe) > 0
	case *actorlogv1.Action_Enqueue:
		// A loop that may want the message runs in an activation.
		return h.queues[body.Enqueue.Queue] != nil || h.run != nil
	case *actorlogv1.Action_Wake:
		return h.wakes() || h.run != nil
	case *actorlogv1.Action_Destroy:
		return h.onDestroy != nil || h.onDisconnect != nil || (h.socket != nil && h.socket.close != nil)
	case *actorlogv1.Action_Disconnect:
		return h.onDisconnect != nil || (h.socket != nil && h.socket.close != nil)
	case *actorlogv1.Action_Sleep:
		return h.onSleep != nil
	}
	return false
}

// Queue implements machine.Rules: whether the kind has a queue of that name.
func (r *Registry) Queue(kind, name string) bool {
	d := r.kinds[kind]
	if d == nil {
		return false
	}
	_, ok := d.hooks.queues[name]
	return ok
}

// Loads implements machine.Rules: whether actors of the kind can have a state of that version.
func (r *Registry) Loads(kind string, state []byte, version uint32) (err error) {
	d := r.kinds[kind]
	if d == nil {
		return ErrKindNotFound
	}
	defer func() { // upcasters are the user's
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := d.CheckVersion(version); err != nil {
		return err
	}
	_, err = d.Load(state, version)
	return err
}

// Save writes a state to be recorded. It does not keep or change the state.
func (d *Definition) Save(state any) (json.RawMessage, error) {
	b, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("writing the state of kind %s: %w", d.kind, err)
	}
	return b, nil
}

// HasAction says whether the kind has an action of that name.
func (d *Definition) HasAction(name string) bool { return d.actions[name] != nil }

// Invoke runs an action on a state, which it may leave half changed when it returns an error.
func (d *Definition) Invoke(c *Ctx, state any, name string, args, input json.RawMessage) (json.RawMessage, error) {
	h, ok := d.actions[name]
	if !ok {
		return nil, ErrActionNotFound.Messagef("Action `%s` was not found.", name)
	}
	return h(c, state, args, input)
}
