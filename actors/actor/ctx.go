package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Ctx is an action's view of the world: who it is for, what time it is, and what shall
// leave with its outcome. It is a context.Context that ends at the action's timeout
// and when the worker gives the actor away; pass it to whatever waits.
//
// A Ctx belongs to the goroutine that runs the action and ends with it: what is
// broadcast through it afterwards is dropped.
type Ctx struct {
	context.Context
	job     *Job
	rand    Rand
	effects Effects
	err     error
	// schedules is what current made of the job and the effects, nil when it has to be made anew.
	schedules map[string]*actorlogv1.Schedule

	// conn is the connection of the caller; conns all that were looked at, or when opened, all.
	conn    *Conn
	conns   []*Conn
	opened  bool
	dropped []*Conn
	// connecting is the connection that begins, while its hooks run; principal is who it is.
	connecting *Conn
	principal  string
	request    *Request
	vars       any
	sends      uint32
	steps      uint32
	// waking: CreateVars or OnWake runs, which may not run again when the action is.
	waking bool
}

// NewCtx makes the Ctx of one job. For hosts and test harnesses.
func NewCtx(ctx context.Context, job *Job) *Ctx {
	c := &Ctx{Context: ctx, job: job, vars: job.Vars}
	for i, b := range job.ID.Hash {
		c.rand.state ^= uint64(b) << (i % 8 * 8)
	}
	c.rand.state ^= uint64(job.ID.Generation)<<32 ^ uint64(job.Ref)*0x9e3779b97f4a7c15
	return c
}

// Now is the time of the action: when it was asked, and never before the actor's previous
// action. It does not pass while the action runs, and is the same in every replay. UTC.
func (c *Ctx) Now() time.Time { return time.UnixMilli(c.job.TimeMs).UTC() }

// Rand is this action's dice.
func (c *Ctx) Rand() *Rand { return &c.rand }

// NewID returns a new id in the form of a UUID, the same in every replay.
func (c *Ctx) NewID() string { return newID(&c.rand) }

// Namespace of the actor.
func (c *Ctx) Namespace() string { return c.job.Namespace }

// Kind is the wire name of the actor's kind.
func (c *Ctx) Kind() string { return c.job.Kind }

// Key of the actor. The caller owns the slice.
func (c *Ctx) Key() []string { return slices.Clone(c.job.Key) }

// ActorID is the id of this life of the actor.
func (c *Ctx) ActorID() string { return c.job.ID.String() }

// RequestID is the id of the request that asked for this action, as the log and the worker's logs have it.
func (c *Ctx) RequestID() string { return c.job.Action.GetRequestId() }

// WorkerID names the worker that runs the action.
func (c *Ctx) WorkerID() string {
	c.job.looked(UnrecordedWorker)
	return c.job.Env.WorkerID
}

// Region that the worker was told it is in; empty when it was told none.
func (c *Ctx) Region() string {
	c.job.looked(UnrecordedWorker)
	return c.job.Env.Region
}

// CodeVersion of the worker.
func (c *Ctx) CodeVersion() string { return c.job.Env.CodeVersion }

// CallerInfo is who asked for an action.
type CallerInfo struct {
	// Gateway, or client of the log, that brought the request.
	Gateway string
	// ConnectionID is empty when the request came through no connection.
	ConnectionID string
	// Principal is who the caller is, if somebody found out; empty when anonymous.
	Principal string
	// Actor that called or sent, nil when it was none.
	Actor *CallingActor
	// ScheduleID of the actor's own schedule that fired, empty when it was none.
	ScheduleID string
}

// CallingActor is an actor that asks another one.
type CallingActor struct {
	Namespace, Kind string
	Key             []string
}

// Caller tells who asked for the action.
func (c *Ctx) Caller() CallerInfo {
	a := c.job.Action
	info := CallerInfo{
		Gateway: a.GetCaller().GetGateway(), ConnectionID: a.GetCaller().GetConnectionId(),
		Principal: a.GetCaller().GetPrincipal(), ScheduleID: a.GetFire().GetScheduleId(),
	}
	if c.conn != nil {
		info.ConnectionID = c.conn.ID()
		if p := c.conn.Principal(); p != "" {
			info.Principal = p
		}
	}
	if c.principal != "" {
		info.Principal = c.principal
	}
	if by := a.GetOrigin().GetBy(); by != nil {
		info.Actor = &CallingActor{Namespace: by.Namespace, Kind: by.Kind, Key: slices.Clone(by.Key)}
	}
	return info
}

// Broadcast sends an event to everybody who is subscribed to it, once the action's
// outcome is committed, in the order of the calls. Nothing is sent if the action fails.
func (c *Ctx) Broadcast(m Message) { c.emit(m, nil) }

// BroadcastExcept is Broadcast to all but some connections.
func (c *Ctx) BroadcastExcept(m Message, except ...*Conn) {
	c.emit(m, func(b *actorlogv1.Broadcast) {
		for _, n := range except {
			if n != nil {
				b.Except = append(b.Except, n.ID())
			}
		}
	})
}

func (c *Ctx) emit(m Message, change func(*actorlogv1.Broadcast)) {
	if m.err != nil {
		c.fail(m.err)
	}
	b := &actorlogv1.Broadcast{Name: m.name, ArgsJson: m.args}
	if change != nil {
		change(b)
	}
	c.effects.Broadcasts = append(c.effects.Broadcasts, b)
}

// Destroy ends this life of the actor with this action: its state is dropped, its
// connections are closed, its schedules and queues are gone, and later calls find no actor. OnDestroy runs with this
// action, whose result still reaches the caller. The same key can live again, under a new id.
func (c *Ctx) Destroy() { c.effects.Destroyed = true }

// fail makes the action fail, whatever it returns. The first reason stays.
func (c *Ctx) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Client calls other actors on behalf of this action:
//
//	n, err := counter.Increment.Call(c, counter.Kind.Get(c.Client(), "total"), 1)
//
// A call waits, and so does this actor, for the outcome. If this worker dies and the action is run again, the
// same calls find the outcomes that they had: each takes effect once. Calls made at the same time by several goroutines of one action must
// be to different actors. A call to an actor that waits for this one, however far up, is refused with ErrCallCycle. The
// called action must be done by the time this one times out. What was called stays done if this action fails.
//
// Handles made with it are in this actor's namespace, unless they name another one.
func (c *Ctx) Client() Caller { return peers{c} }

// Send asks another actor to run an action, without waiting: the message is part of this action's outcome and
// is delivered once, after it. Messages of one actor to another arrive in order. What becomes of it is not known; if it
// matters, the other actor sends a message back. A handle with an idempotency key or parameters fails the action.
func (a ActionOf[S, In, Out]) Send(c *Ctx, h Handle[S], in In) {
	args, err := a.args.marshal(in)
	if err == nil {
		err = h.err
	}
	to := &actorlogv1.Action{Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: a.name, ArgsJson: args}}}
	var hash schemas.Hash
	if err == nil {
		hash, err = Address(to, h.target)
	}
	if err == nil && (to.IdempotencyKey != "" || to.Handshake != nil) {
		err = errors.New("a message is delivered once as it is, and passes no connection hooks: it takes no idempotency key and no parameters")
	}
	if err != nil {
		c.fail(fmt.Errorf("sending action %s of kind %s: %w", a.name, a.kind, err))
		return
	}
	c.effects.Sends = append(c.effects.Sends, &actorlogv1.Send{
		Actor: to.Actor, Creation: to.Creation, Invoke: to.GetInvoke(), Number: SendNumbers | c.sends, To: hash[:],
	})
	c.sends++
}

// SendNumbers is set in the numbers of sends (schemas Origin), so that they are not those of calls. For hosts.
const SendNumbers = 1 << 31

// Effects is what an action asked of the world through its Ctx, as records. For hosts. Slices are only appended to.
type Effects struct {
	Broadcasts   []*actorlogv1.Broadcast
	Sends        []*actorlogv1.Send
	Scheduled    []*actorlogv1.Schedule
	Unscheduled  []string
	Connected    []*actorlogv1.Connection
	Disconnected []*actorlogv1.Disconnected
	Frames       []*actorlogv1.Frame
	Completed    []*actorlogv1.Completion
	Destroyed    bool
}

// peers is the Caller of an action.
type peers struct{ c *Ctx }

// Namespace is where handles are that name none: what belongs to one tenant stays with it.
func (p peers) Namespace() string { return p.c.Namespace() }

func (p peers) ask(ctx context.Context, t Target, a *actorlogv1.Action) (*actorlogv1.Outcome, error) {
	hash, err := Address(a, t)
	if err != nil {
		return nil, err
	}
	if p.c.job.Env.Peers == nil {
		return nil, fmt.Errorf("calling actor %s: this host has no way to other actors", hash)
	}
	o, err := p.c.job.Env.Peers.Ask(ctx, hash, a)
	if err != nil {
		return nil, err
	}
	return o, OutcomeError(o)
}

// Invoke implements Caller.
func (p peers) Invoke(ctx context.Context, t Target, action string, args json.RawMessage) (json.RawMessage, error) {
	o, err := p.ask(ctx, t, &actorlogv1.Action{
		Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: action, ArgsJson: args}},
	})
	return o.GetResultJson(), err
}

// Resolve implements Caller.
func (p peers) Resolve(ctx context.Context, t Target) (string, bool, error) {
	o, err := p.ask(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Resolve{Resolve: new(actorlogv1.Resolve)}})
	if err != nil {
		return "", false, err
	}
	return idOf(t, o), o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED, nil
}

// Read implements Caller.
func (p peers) Read(ctx context.Context, t Target) (json.RawMessage, error) {
	o, err := p.ask(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Read{Read: new(actorlogv1.Read)}})
	return o.GetResultJson(), err
}

// Destroy implements Caller.
func (p peers) Destroy(ctx context.Context, t Target) error {
	_, err := p.ask(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Destroy{Destroy: new(actorlogv1.Destroy)}})
	return err
}

// Enqueue implements Caller. An action cannot wait for the response to a message: the consumer may take
// longer than any action.
func (p peers) Enqueue(ctx context.Context, t Target, queue string, body json.RawMessage, wait bool) (json.RawMessage, error) {
	if wait {
		return nil, fmt.Errorf("waiting for a message of queue %s: an action cannot wait for it; let the consumer send an action back", queue)
	}
	_, err := p.ask(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Enqueue{Enqueue: &actorlogv1.Enqueue{Queue: queue, BodyJson: body}}})
	return nil, err
}

// OutcomeError is why an outcome's action failed, as its caller is told; nil when it did not.
func OutcomeError(o *actorlogv1.Outcome) error {
	e := o.GetError()
	switch {
	case o.GetSealed() != nil:
		return ErrErased.Messagef("The actor was erased, and what it answered with it.")
	case e == nil:
		return nil
	}
	return &Error{Group: e.Group, Code: e.Code, Message: e.Message, Metadata: e.MetadataJson}
}

// changed notes a connection that began or changed, in place of what was noted of it before.
func (e *Effects) changed(n *actorlogv1.Connection) {
	for i, other := range e.Connected {
		if other.Id == n.Id {
			e.Connected = slices.Clone(e.Connected)
			e.Connected[i] = n
			return
		}
	}
	e.Connected = append(e.Connected, n)
}

// Effects returns what has been asked so far, or the first error in asking. For test harnesses.
func (c *Ctx) Effects() (Effects, error) { return c.effects, c.err }
