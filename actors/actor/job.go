package actor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Job is one action to be run on one actor, with all that its rules may see. For hosts.
type Job struct {
	Namespace, Kind string
	Key             schemas.Key
	ID              schemas.ActorID
	TimeMs          int64
	// Ref is the offset of the action; with the id it seeds Rand.
	Ref int64
	// Action that was asked.
	Action *actorlogv1.Action
	// Invoke is the action to run, of an Invoke or of a schedule; nil when it is something else.
	Invoke *actorlogv1.Invoke
	// Occurrence that a schedule fires for, Unix milliseconds; 0 for other actions.
	Occurrence int64
	// Create says that the actor must be made first, from Input.
	Create bool
	Input  json.RawMessage
	// State as recorded. Not used if Create, or Live is set.
	State        json.RawMessage
	StateVersion uint32
	// Live is the state as an earlier job left it, nil if there is none.
	Live any
	// Wake says that this is a new activation; otherwise Vars are those of the running one.
	Wake bool
	Vars any
	// Connections, Schedules and Queue of the actor. Not changed.
	Connections []*actorlogv1.Connection
	Schedules   []*actorlogv1.Schedule
	Queue       []*actorlogv1.QueuedMessage
	Env         Env
}

// Env is what a host gives to the rules beyond the record. Nil fields: there is no such thing.
type Env struct {
	WorkerID, Region, CodeVersion string
	// Peers reaches other actors on behalf of the action.
	Peers Peers
	// Steps of the action.
	Steps Steps
	// Attempt calls fn and turns a panic into an error. Default: a panic passes.
	Attempt func(fn func() error) error
	// Progress is told how far the job is.
	Progress Progress
	// Unrecorded is told when the job looks at what no record has: a job that is run again may see something else there.
	Unrecorded func(what Unrecorded)
	// SkipVars leaves CreateVars out: there are no vars.
	SkipVars bool
}

// Unrecorded is something that rules may look at, and that is not part of the history.
type Unrecorded string

// What is not recorded.
const (
	// UnrecordedVars is what CreateVars made for the activation; asked for where there is none.
	UnrecordedVars Unrecorded = "the vars of the activation"
	// UnrecordedHeaders is the request with its headers.
	UnrecordedHeaders Unrecorded = "the headers of the request"
	// UnrecordedWorker is the name or the region of the worker.
	UnrecordedWorker Unrecorded = "the name or region of the worker"
)

// looked tells that the job looks at something that is not recorded.
func (j *Job) looked(at Unrecorded) {
	if j.Env.Unrecorded != nil {
		j.Env.Unrecorded(at)
	}
}

// Progress follows a job, from the goroutine that does it.
type Progress interface {
	// Phase is told what is about to run: a hook, within HookTimeout, or else, "", the action.
	Phase(hook string)
	// Based is told what stands even if the rest of the job fails or is given up.
	Based(Done)
}

// wakeDice tells the dice of a wake from those of the action.
const wakeDice = 0x5bd1e9955bd1e995

// HookTimeout bounds every hook but OnCreate, which shares the action's time. As in Rivet.
const HookTimeout = 5 * time.Second

// Peers is how an action asks other actors.
type Peers interface {
	// Ask appends an action for the actor with that hash and waits for its outcome. It sets all that ties
	// the action to the one that asks.
	Ask(ctx context.Context, hash schemas.Hash, a *actorlogv1.Action) (*actorlogv1.Outcome, error)
}

// Done is what came of a job.
type Done struct {
	// Created: the actor was made. Woke: its activation began. Hooked: with hooks.
	Created, Woke, Hooked bool
	// Base is the state after that, and BaseEffects what was asked until then. They stand even if Err is set. Base is nil
	// when nothing happened.
	Base        json.RawMessage
	BaseEffects Effects
	// Err is why the action failed: an *Error is for the caller, any other is internal. Then the following is not set.
	Err error
	// State after the action, and Effects with those of Base.
	State   json.RawMessage
	Effects Effects
	Result  json.RawMessage
	// Response to a raw request.
	Response *actorlogv1.Response
	// Guarded is the events that a connection must ask for; of a Connect and a Subscribe.
	Guarded []string
	// Principal is who the client is, if the job found out.
	Principal string
	// Warnings is errors of hooks that did not stop the action.
	Warnings []error
	// Live and Vars for the next job.
	Live, Vars any
}

// Do runs a job.
func (d *Definition) Do(ctx context.Context, job *Job) Done {
	c := NewCtx(ctx, job)
	r := &running{d: d, c: c, job: job, live: job.Live}
	if err := r.begin(); err != nil {
		r.done.Err = err
		return r.done
	}
	if job.Env.Progress != nil && (job.Create || job.Wake) {
		job.Env.Progress.Based(r.done)
	}
	err := r.act()
	r.done.Principal = c.principal
	if err != nil {
		r.done.Err = err
		return r.done
	}
	r.done.Live = r.live
	return r.done
}

// running is a job under way.
type running struct {
	d    *Definition
	c    *Ctx
	job  *Job
	live any
	done Done
	// hook that runs, "" for the action.
	hook string
}

func (r *running) phase(hook string) {
	if r.c.waking && hook != "" && hook != "CreateVars" {
		hook = "OnWake" // those of a connection that it ended are part of it in every respect
	}
	if r.job.Env.Progress != nil && hook != r.hook {
		r.hook = hook
		r.job.Env.Progress.Phase(hook)
	}
}

// begin makes the actor, and wakes it.
func (r *running) begin() (err error) {
	h, job := &r.d.hooks, r.job
	switch {
	case job.Create:
		if r.live, err = r.d.Create(r.c, job.Input); err != nil {
			return err
		}
		if h.onCreate != nil {
			if err = h.onCreate(r.live, r.c, job.Input); err != nil {
				return err
			}
		}
	case r.live == nil:
		if r.live, err = r.d.Load(job.State, job.StateVersion); err != nil {
			return err
		}
	}
	if job.Create {
		if r.done.Base, err = r.d.Save(r.live); err != nil {
			return err
		}
		if r.c.err != nil {
			return r.c.err
		}
		r.done.Created, r.done.BaseEffects = true, r.c.effects
		if job.Env.Progress != nil {
			job.Env.Progress.Based(r.done)
		}
	}
	if !job.Wake {
		r.done.Vars = job.Vars
		return nil
	}
	// Whether the actor wakes for an action is not the action's: with the same dice it comes to the same, awake or not.
	dice := r.c.rand
	r.c.rand.state ^= wakeDice
	r.c.waking = true
	defer func() { r.c.rand, r.c.waking = dice, false }()
	if h.createVars != nil && !job.Env.SkipVars {
		r.phase("CreateVars")
		if r.c.vars, err = h.createVars(r.live, r.c); err != nil {
			return err
		}
	}
	if h.onWake != nil {
		r.phase("OnWake")
		if err = h.onWake(r.live, r.c); err != nil {
			return err
		}
		if r.c.err != nil {
			return r.c.err
		}
		// What it did to connections stands as the rest does.
		r.disconnect()
		if err = r.flush(); err != nil {
			return err
		}
		if r.done.Base, err = r.d.Save(r.live); err != nil {
			return err
		}
		r.done.BaseEffects = r.c.effects
	}
	r.done.Woke, r.done.Hooked, r.done.Vars = true, h.wakes(), r.c.vars
	return nil
}

// act does what was asked.
func (r *running) act() error {
	a := r.job.Action
	id := a.GetCaller().GetConnectionId()
	switch handshake := a.GetHandshake(); {
	case a.GetConnect() != nil || (handshake != nil && id == handshake.ConnectionId):
		if err := r.connect(handshake, a.GetConnect()); err != nil {
			return err
		}
	case id != "":
		r.c.conn = r.c.connOf(id)
	}
	if err := r.c.Err(); err != nil {
		return err // given up while a hook ran
	}
	r.phase("")
	if err := r.body(); err != nil {
		return err
	}
	r.disconnect()
	if n := r.c.conn; n != nil && n.ephemeral && !n.gone && !r.c.effects.Destroyed {
		n.end(0, "")
		r.onDisconnect(n)
		r.disconnect()
	}
	if r.c.effects.Destroyed {
		r.destroy()
	}
	return r.finish()
}

// connect opens the connection of the handshake. That of a stateless call is open while the call runs.
func (r *running) connect(handshake *actorlogv1.Handshake, lasting *actorlogv1.Connect) error {
	h, c := &r.d.hooks, r.c
	n := &Conn{c: c, ephemeral: lasting == nil, record: &actorlogv1.Connection{
		Id: handshake.GetConnectionId(), Gateway: r.job.Action.GetCaller().GetGateway(), ParamsJson: handshake.GetParamsJson(),
		Principal: r.job.Action.GetCaller().GetPrincipal(), TimeUnixMs: r.job.TimeMs, Raw: lasting.GetRaw(), Target: handshake.GetTarget(),
	}}
	if n.record.Raw && h.socket == nil {
		return ErrNoSocketHandler
	}
	c.connecting = n
	if h.beforeConnect != nil {
		r.phase("OnBeforeConnect")
		if err := h.beforeConnect(r.live, c, n.record.ParamsJson); err != nil {
			return err
		}
	}
	if h.connState != nil {
		r.phase("CreateConnState")
		state, err := h.connState(r.live, c, n.record.ParamsJson)
		if err != nil {
			return err
		}
		n.state = state
	}
	c.conn = n
	c.conns = append(slices.Clip(c.conns), n)
	if h.onConnect != nil {
		r.phase("OnConnect")
		if err := h.onConnect(r.live, c, n); err != nil {
			return err
		}
	}
	if n.record.Raw && h.socket.open != nil {
		r.phase("OnWebSocket Open")
		if err := h.socket.open(r.live, c, &Socket{n}); err != nil {
			return err
		}
	}
	c.connecting = nil
	if _, err := n.flush(); err != nil {
		return err
	}
	if !n.ephemeral {
		c.effects.Connected = append(c.effects.Connected, n.record)
		r.done.Guarded = h.guarded()
	}
	return nil
}

func (r *running) body() error {
	h, c, live := &r.d.hooks, r.c, r.live
	if invoke := r.job.Invoke; invoke != nil {
		result, err := r.d.Invoke(c, live, invoke.Name, invoke.ArgsJson, invoke.InputJson)
		r.done.Result = result
		return err
	}
	switch body := r.job.Action.GetBody().(type) {
	case *actorlogv1.Action_Disconnect:
		if n := c.connOf(body.Disconnect.ConnectionId); n != nil {
			r.closed(n, body.Disconnect.Code, body.Disconnect.Reason)
		}
	case *actorlogv1.Action_Subscribe:
		r.done.Guarded = h.guarded()
		for _, name := range body.Subscribe.Events {
			if err := allow(h.canSubscribe[name], live, c, "subscribe to event", name); err != nil {
				return err
			}
		}
	case *actorlogv1.Action_Enqueue:
		return allow(h.queues[body.Enqueue.Queue], live, c, "publish to queue", body.Enqueue.Queue)
	case *actorlogv1.Action_Request:
		if h.request == nil {
			return ErrNoRequestHandler
		}
		var err error
		r.done.Response, err = h.request(live, c)
		return err
	case *actorlogv1.Action_SocketMessage:
		if h.socket == nil || h.socket.message == nil || c.conn == nil {
			return nil
		}
		return h.socket.message(live, c, &Socket{c.conn}, SocketMessage{Text: body.SocketMessage.Text, Data: body.SocketMessage.Data})
	case *actorlogv1.Action_Sleep:
		if h.onSleep != nil {
			_ = r.attempt("OnSleep", func() error { return h.onSleep(r.live, c) })
		}
	case *actorlogv1.Action_Destroy:
		c.Destroy()
	}
	return nil
}

// allow asks a rule that says who may; none means everybody.
func allow(rule func(any, *Ctx) (bool, error), live any, c *Ctx, what, name string) error {
	if rule == nil {
		return nil
	}
	allowed, err := rule(live, c)
	if err == nil && !allowed {
		err = ErrForbidden.Messagef("Not allowed to %s `%s`.", what, name)
	}
	return err
}

// closed is the end of a connection by its client.
func (r *running) closed(n *Conn, code uint32, reason string) {
	n.end(code, reason)
	r.onDisconnect(n)
}

// disconnect runs the hooks of the connections that the action ended.
func (r *running) disconnect() {
	for len(r.c.dropped) > 0 { // a hook may end further ones
		n := r.c.dropped[0]
		r.c.dropped = r.c.dropped[1:]
		r.onDisconnect(n)
	}
}

// destroy runs the hooks of the actor's end.
func (r *running) destroy() {
	if hook := r.d.hooks.onDestroy; hook != nil {
		_ = r.attempt("OnDestroy", func() error { return hook(r.live, r.c) })
	}
	r.disconnect() // those that OnDestroy ended, for reasons of its own
	for _, n := range r.c.Conns() {
		if n.gone { // a hook of another one ended it
			continue
		}
		n.end(0, "")
		r.onDisconnect(n)
		r.disconnect()
	}
	r.c.effects.Destroyed = true // whatever became of the hooks
}

// onDisconnect runs the hooks of a connection that has ended.
func (r *running) onDisconnect(n *Conn) {
	var failed error
	if socket := r.d.hooks.socket; n.Raw() && socket != nil && socket.close != nil {
		code := int(n.code)
		if code == 0 {
			code = 1000
		}
		failed = r.attempt("OnWebSocket Close", func() error { return socket.close(r.live, r.c, &Socket{n}, code, n.reason) })
	}
	if hook := r.d.hooks.onDisconnect; hook != nil {
		if err := r.attempt("OnDisconnect", func() error { return hook(r.live, r.c, n) }); err != nil {
			failed = err
		}
	}
	for _, o := range r.c.effects.Disconnected {
		if failed != nil && o.Id == n.record.Id {
			o.Error = stepError(failed)
		}
	}
}

// attempt runs a hook whose failure does not stop the action: then nothing of what it did is kept, and operators are warned.
func (r *running) attempt(name string, hook func() error) error {
	if err := r.c.Err(); err != nil {
		return err // the job was given up while a hook before this one ran
	}
	r.phase(name)
	defer r.phase("")
	failed := r.c.err
	m, err := r.mark()
	if err == nil {
		try := r.job.Env.Attempt
		if try == nil {
			try = func(fn func() error) error { return fn() }
		}
		err = try(hook)
		if err == nil && failed == nil {
			err = r.c.err
		}
		if err != nil {
			r.undo(m)
		}
	}
	if err != nil {
		r.done.Warnings = append(r.done.Warnings, fmt.Errorf("%s: %w", name, err))
	}
	return err
}

// mark is a place in a job to go back to.
type mark struct {
	state   json.RawMessage
	effects Effects
	err     error
	dropped int
	// conns is the states that were asked for, as JSON. Connections that are gone have none worth keeping.
	conns map[*Conn]json.RawMessage
}

func (r *running) mark() (m mark, err error) {
	m.effects, m.err, m.dropped = r.c.effects, r.c.err, len(r.c.dropped)
	if m.state, err = r.d.Save(r.live); err != nil {
		return m, err
	}
	for _, n := range r.c.conns {
		if n.state == nil || n.gone {
			continue
		}
		if m.conns == nil {
			m.conns = make(map[*Conn]json.RawMessage)
		}
		if m.conns[n], err = json.Marshal(n.state); err != nil {
			return m, fmt.Errorf("writing the state of a connection: %w", err)
		}
	}
	return m, nil
}

// undo goes back to a mark. What was written as JSON reads as JSON: it does not fail.
func (r *running) undo(m mark) {
	r.c.effects, r.c.err, r.c.schedules = m.effects, m.err, nil
	for _, n := range r.c.dropped[m.dropped:] {
		n.gone = false
	}
	r.c.dropped = r.c.dropped[:m.dropped]
	for _, n := range r.c.conns {
		if n.state == nil || n.gone {
			continue
		}
		saved, was := m.conns[n]
		if !was {
			n.state = nil
			continue
		}
		state := reflect.New(reflect.TypeOf(n.state).Elem()).Interface()
		if err := json.Unmarshal(saved, state); err == nil {
			n.state = state
		}
	}
	if live, err := r.d.load(m.state); err == nil {
		r.live = live
	}
}

// flush notes the connections whose states changed.
func (r *running) flush() error {
	for _, n := range r.c.conns {
		if n.ephemeral || n.gone {
			continue
		}
		record, err := n.flush()
		if err != nil {
			return err
		}
		if record != nil {
			r.c.effects.changed(record)
		}
	}
	return nil
}

// finish takes in what the action did.
func (r *running) finish() (err error) {
	h, c := &r.d.hooks, r.c
	if r.done.State, err = r.d.Save(r.live); err != nil {
		return err
	}
	ends := len(c.effects.Disconnected)
	destroyed := c.effects.Destroyed
	if h.onStateChange != nil && r.changed() {
		r.phase("OnStateChange")
		// A copy: what the hook changes in it changes nothing.
		shown, err := r.d.load(r.done.State)
		if err != nil {
			return err
		}
		if err := h.onStateChange(shown, c); err != nil {
			return err
		}
	}
	if invoke := r.job.Invoke; invoke != nil && h.beforeResponse != nil {
		r.phase("OnBeforeActionResponse")
		response := &ActionResponse{Action: invoke.Name, Args: invoke.ArgsJson, Result: r.done.Result}
		if err := h.beforeResponse(r.live, c, response); err != nil {
			return err
		}
		if len(response.Result) > 0 && !json.Valid(response.Result) {
			return errors.New("OnBeforeActionResponse made a result that is not JSON")
		}
		r.done.Result = response.Result
		after, err := r.d.Save(r.live)
		if err != nil {
			return err
		}
		if !bytes.Equal(r.done.State, after) {
			return errors.New("OnBeforeActionResponse changed the state")
		}
	}
	r.phase("")
	if len(c.effects.Disconnected) != ends || c.effects.Destroyed != destroyed {
		// The hooks that go with it are over.
		return errors.New("OnStateChange and OnBeforeActionResponse must not end connections or the actor")
	}
	if err := r.flush(); err != nil {
		return err
	}
	r.done.Effects = c.effects
	return c.err
}

// changed says whether the job changed the state. A state that was read from the log may be written otherwise than this code
// writes it, and mean the same.
func (r *running) changed() bool {
	if r.job.Create || bytes.Equal(r.done.State, r.job.State) {
		return r.job.Create
	}
	before, err := r.d.Load(r.job.State, r.job.StateVersion)
	if err != nil {
		return true
	}
	written, err := r.d.Save(before)
	return err != nil || !bytes.Equal(r.done.State, written)
}
