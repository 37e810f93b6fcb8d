package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/internal/jsonpatch"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// maxTinyPatch is the length up to which a patch is recorded even if the whole state is
// shorter: a reader of the log sees what changed.
const maxTinyPatch = 256

// maxPatchWork bounds what it costs to apply a recorded patch, in ops times bytes of state, for
// every op copies the state: some milliseconds. A change of many places in a large state is
// recorded as the whole state.
const maxPatchWork = 4 << 20

// Input is what happens to an actor: [Ask], [Refuse] or [Returned].
type Input interface{ input() }

// Ask is the actor's next action in the order of the log.
type Ask struct {
	Ref    int64
	Action *actorlogv1.Action
	// Rules of the kinds that this worker has. An actor.Registry is Rules.
	Rules Rules
	// NowMs is the worker's clock, for deadlines.
	NowMs int64
	// Again is, for a Repair, the actor as it was read from its events once more; nil if they are not all kept.
	Again *Actor
	// Awake says that an activation of the actor is under way: one that is over has nothing to do before sleep.
	Awake bool
}

// Rules is what Step has to know of the rules of kinds.
type Rules interface {
	// Known says whether the kind is there.
	Known(kind string) bool
	// Runs says whether user code has to see an action that could be answered without it.
	Runs(kind string, a *actorlogv1.Action) bool
	// Queue says whether the kind has a queue of that name.
	Queue(kind, name string) bool
	// Loads says whether a state of that version is one that actors of the kind can have: nil, or why not.
	Loads(kind string, state []byte, version uint32) error
}

// Refuse is an action that came while the mailbox was full; it is answered out of turn.
type Refuse struct {
	Ref    int64
	Action *actorlogv1.Action
	// Since is the ref of the first action of this unbroken run of refusals.
	Since int64
}

// Returned is what came of a [Run].
type Returned struct {
	Run *Run
	// Done is what the job came to.
	Done actor.Done
	// StateVersion that the states in Done have.
	StateVersion uint32
	// Detail of an internal error, for operators: the stack of a panic.
	Detail     string
	DurationUs int64
	// Parked, if not 0, says that the action was set aside and not run, after so many owners of the shard did not survive it.
	Parked uint32
}

func (Ask) input()      {}
func (Refuse) input()   {}
func (Returned) input() {}

// Run tells the host to run user code, and then to Step again with what it Returned.
type Run struct {
	Ref    int64
	Action *actorlogv1.Action
	// Create says that the actor must be created first, from Input.
	Create bool
	Input  json.RawMessage
	// Invoke is the action to run, of an Invoke or a Fire; nil when it is something else.
	Invoke *actorlogv1.Invoke
	// Schedule that fires.
	Schedule *actorlogv1.Schedule
	// What the action's Ctx tells.
	Namespace, Kind string
	Key             schemas.Key
	ID              schemas.ActorID
	TimeMs          int64

	// enqueues: the message of the action has a queue to go to.
	enqueues bool
}

// Effects is what the host must do. Exactly one of Skip, Run and Outcome is set.
type Effects struct {
	// Skip: the action has its outcome already.
	Skip bool
	// Run user code; nothing else may happen to this actor until it has Returned.
	Run *Run
	// Outcome to append. The actor has taken it in already, but for its place: tell it with
	// Appended. Epoch and code version are the host's to fill in.
	Outcome *actorlogv1.Outcome
	// Settle: before Outcome is appended, all outcomes of this actor that were appended
	// before must be acknowledged, for it names the offset of one of them.
	Settle bool
}

// Step decides what an input comes to. The actor must have been told about its last outcome
// with Appended.
func (a *Actor) Step(in Input) Effects {
	switch in := in.(type) {
	case Ask:
		return a.ask(in)
	case Refuse:
		if a.Answered(in.Ref) {
			return Effects{Skip: true}
		}
		o := a.outcome(in.Ref, in.Action)
		o.Error = wireError(actor.ErrOverloaded)
		o.RefusedSince = proto.Int64(in.Since)
		a.record(o, a.State)
		return Effects{Outcome: o}
	case Returned:
		return Effects{Outcome: a.returned(in)}
	}
	panic("machine: unknown input")
}

// Appended tells the actor where the outcome of the last Step stands.
func (a *Actor) Appended(offset int64, o *actorlogv1.Outcome) { a.settle(offset, o) }

func (a *Actor) ask(in Ask) Effects {
	if a.Answered(in.Ref) {
		return Effects{Skip: true}
	}
	action := in.Action
	if action.Sealed != nil {
		// Nobody knows any more what was asked.
		return a.answer(in.Ref, action, nil, actor.ErrErased)
	}
	if err := a.wellFormed(action); err != nil {
		return a.answer(in.Ref, action, nil, err)
	}
	if o := action.Origin; o != nil {
		if offset, ok := a.askedBefore(o); ok {
			return a.repeat(in, offset)
		}
		if a.late(o) {
			return a.answer(in.Ref, action, nil, actor.ErrStaleCall)
		}
	}
	// A repeat comes before all that may have changed since the first request: told now that
	// the actor is gone, its caller would take it that the request had no effect.
	if r, ok := a.recall(action.IdempotencyKey); ok {
		if r.Fingerprint != Fingerprint(action) {
			return a.answer(in.Ref, action, nil, actor.ErrKeyReused)
		}
		return a.repeat(in, r.Offset)
	}
	if d := action.DeadlineUnixMs; d != 0 && in.NowMs > d {
		return a.answer(in.Ref, action, nil, actor.ErrTooLate)
	}
	if repair := action.GetRepair(); repair != nil {
		return a.repair(in, repair.Skip)
	}
	if a.Broken != "" {
		return a.answer(in.Ref, action, nil, errBroken)
	}
	if err := a.admit(action, in.Rules); err != nil {
		return a.answer(in.Ref, action, nil, err)
	}

	namespace, kind, key := a.identity(action)
	run := &Run{
		Ref: in.Ref, Action: action, Namespace: namespace, Kind: kind, Key: key,
		ID: a.ID(), TimeMs: max(action.TimeUnixMs, a.TimeMs), Invoke: action.GetInvoke(),
	}
	switch {
	case !a.Alive && (action.Creation == nil || action.GetDestroy() != nil):
		return a.answer(in.Ref, action, nil, actor.ErrNotFound)
	case !a.Alive:
		run.Create, run.Input = true, action.Creation.InputJson
		run.ID.Generation++
	case action.Creation.GetPolicy() == actorlogv1.Creation_POLICY_MUST_BE_ABSENT:
		return a.answer(in.Ref, action, nil, a.duplicate())
	}
	if r := action.GetRestore(); r != nil {
		return a.restore(in, run, r)
	}
	return a.carryOut(in, run)
}

// repeat answers with an outcome that points to the first one.
func (a *Actor) repeat(in Ask, offset int64) Effects {
	o := a.outcome(in.Ref, in.Action)
	o.Repeats = proto.Int64(offset)
	a.record(o, a.State)
	return Effects{Outcome: o, Settle: true}
}

// carryOut does what a well-formed action asks of an actor that lives, or is about to.
func (a *Actor) carryOut(in Ask, run *Run) Effects {
	action := in.Action
	id := action.GetCaller().GetConnectionId()
	if id != "" && action.GetHandshake().GetConnectionId() != id && a.connection(id) < 0 {
		return a.answer(in.Ref, action, nil, actor.ErrConnectionClosed)
	}
	runs := run.Create || in.Rules.Runs(run.Kind, action)
	var result []byte
	change := func(*actorlogv1.Outcome) {}
	switch body := action.Body.(type) {
	case *actorlogv1.Action_Invoke, *actorlogv1.Action_Request, *actorlogv1.Action_SocketMessage:
		return Effects{Run: run}
	case *actorlogv1.Action_Connect:
		switch {
		case action.Handshake == nil:
			return a.answer(in.Ref, action, nil, actor.ErrInvalidRequest.Messagef("A connection needs a handshake."))
		case a.connection(action.Handshake.ConnectionId) >= 0:
			return a.answer(in.Ref, action, nil, actor.ErrInvalidRequest.Messagef("There is a connection with this id."))
		case len(a.Connections) >= actor.MaxConns || a.Bulk >= actor.MaxConnsBytes:
			return a.answer(in.Ref, action, nil, actor.ErrConnLimit) // the rest of a snapshot is for the state
		}
		return Effects{Run: run}
	case *actorlogv1.Action_Fire:
		return a.fire(in, run, body.Fire)
	case *actorlogv1.Action_Enqueue:
		if err := a.checkEnqueue(body.Enqueue); err != nil {
			return a.answer(in.Ref, action, nil, err)
		}
		change = func(o *actorlogv1.Outcome) { o.Enqueued = in.Rules.Queue(run.Kind, body.Enqueue.Queue) }
		run.enqueues = in.Rules.Queue(run.Kind, body.Enqueue.Queue)
	case *actorlogv1.Action_Complete:
		change = func(o *actorlogv1.Outcome) { o.Completed = a.completes(body.Complete.Completions) }
	case *actorlogv1.Action_Disconnect:
		i := a.connection(body.Disconnect.ConnectionId)
		runs = runs && i >= 0
		if i >= 0 && !runs {
			change = func(o *actorlogv1.Outcome) {
				o.Disconnected = []*actorlogv1.Disconnected{{
					Id: a.Connections[i].Id, Gateway: a.Connections[i].Gateway, Code: body.Disconnect.Code, Reason: body.Disconnect.Reason,
				}}
			}
		}
	case *actorlogv1.Action_Read:
		result = a.State
	case *actorlogv1.Action_Destroy:
		change = func(o *actorlogv1.Outcome) {
			a.destroy(o)
		}
	case *actorlogv1.Action_Sleep:
		runs = runs && in.Awake
	case *actorlogv1.Action_Resolve, *actorlogv1.Action_Subscribe, *actorlogv1.Action_Wake, *actorlogv1.Action_Dismiss:
	default:
		return a.answer(in.Ref, action, nil, errUnknownRequest)
	}
	if runs {
		return Effects{Run: run}
	}
	o := a.outcome(in.Ref, action)
	if o.ResultJson = result; result == nil {
		o.ResultJson = []byte{}
	}
	change(o)
	a.record(o, a.State)
	return Effects{Outcome: o}
}

func (a *Actor) checkEnqueue(e *actorlogv1.Enqueue) error {
	switch {
	case len(e.BodyJson) > actor.MaxMessageBytes:
		return actor.ErrMessageTooLarge
	case len(a.Queue) >= actor.MaxQueued:
		return actor.ErrQueueFull
	}
	return nil
}

// errBroken is all that clients are told of an actor that is out of service.
var errBroken = &actor.Error{Group: "actor", Code: "unreadable", Message: "The history of this actor cannot be read. Its operators have been told."}

// errUnknownRequest refuses what a newer version may understand.
var errUnknownRequest = actor.ErrInvalidRequest.Messagef("This version of the worker does not know what was asked; upgrade it.")

// wellFormed checks what was asked, whatever has become of the actor.
func (a *Actor) wellFormed(action *actorlogv1.Action) error {
	to := action.Actor
	switch {
	case to == nil || action.RequestId == "":
		return actor.ErrInvalidRequest.Messagef("The action has no address or no request id.")
	case to.Kind == "": // by id
	case a.Kind != "":
		if a.Kind != to.Kind || a.Namespace != to.Namespace || !slices.Equal(a.Key, to.Key) {
			return actor.ErrInvalidRequest.Messagef("The action is addressed to another actor than its record key.")
		}
	case schemas.HashOf(to.Namespace, to.Kind, to.Key) != a.Hash:
		return actor.ErrInvalidRequest.Messagef("The action is addressed to another actor than its record key.")
	}
	policy := action.Creation.GetPolicy()
	if action.Body == nil || action.Creation != nil &&
		policy != actorlogv1.Creation_POLICY_IF_ABSENT && policy != actorlogv1.Creation_POLICY_MUST_BE_ABSENT {
		return errUnknownRequest
	}
	return nil
}

// admit checks that there is an actor to be asked.
func (a *Actor) admit(action *actorlogv1.Action, rules Rules) error {
	to := action.Actor
	// An id, or a generation, is of one life; a kind and key alone are of whichever there is, or will be.
	if one := to.Kind == "" || to.Generation != 0; one && (to.Generation != a.Generation || !a.Alive) {
		return actor.ErrNotFound
	}
	kind := a.Kind
	if kind == "" {
		kind = to.Kind
	}
	if !rules.Known(kind) {
		return actor.ErrKindNotFound.Messagef("No actor kind `%s` is defined by the workers.", kind)
	}
	return nil
}

// answer is an outcome that needs no user code.
func (a *Actor) answer(ref int64, action *actorlogv1.Action, result []byte, err error) Effects {
	o := a.outcome(ref, action)
	if err != nil {
		o.Error = wireError(err)
	} else {
		o.ResultJson = result
	}
	a.record(o, a.State)
	return Effects{Outcome: o}
}

func (a *Actor) returned(in Returned) *actorlogv1.Outcome {
	done, run := &in.Done, in.Run
	o := a.outcome(run.Ref, run.Action)
	o.Parked = in.Parked
	o.DurationUs, o.Woke = in.DurationUs, done.Woke && done.Hooked && !done.Created
	authenticated(o, done.Principal)
	before, after := a.State, a.State
	if done.Created {
		// The creation stands even if the action that came with it fails: the caller
		// asked for an actor, and has one.
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED
		o.Actor.Generation = run.ID.Generation
		o.Actor.CreatedUnixMs = o.TimeUnixMs
		before = nil
	}
	if done.Base != nil {
		after = done.Base
	}
	for _, w := range done.Warnings {
		o.Warnings = append(o.Warnings, clean(w.Error()))
	}
	err := done.Err
	if err == nil {
		err = a.change(o, before, done.State, in.StateVersion)
	}
	if err != nil {
		a.failed(o, in, before, after, err)
		return o
	}
	o.ResultJson = done.Result
	if o.ResultJson == nil {
		o.ResultJson = []byte{}
	}
	o.Response = done.Response
	a.took(o, in, &done.Effects)
	if done.Effects.Destroyed {
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_DESTROYED
		if done.Created {
			o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
		}
	}
	if run.Action.GetRead() != nil {
		o.ResultJson = done.State
	}
	a.record(o, done.State)
	return o
}

// failed records that an action failed. What happened before it stands: the actor was made, or woke. And what
// cannot be undone by failing is done: a connection has ended, a schedule has been tried.
func (a *Actor) failed(o *actorlogv1.Outcome, in Returned, before, after []byte, err error) {
	o.Error = wireError(err)
	if _, expected := asActorError(err); !expected {
		o.Error.MetadataJson = []byte(`{"reference":` + quote(in.Run.Action.RequestId) + `}`)
	}
	o.Error.Detail = clean(detailOf(err, in.Detail))
	o.StateJson, o.PatchJson = nil, nil
	if changeErr := a.change(o, before, after, in.StateVersion); changeErr != nil {
		// Then nothing stands but the actor, if it was made.
		if o.StateJson, o.PatchJson = nil, nil; before == nil {
			o.StateJson = after
		} else {
			after = before
		}
	}
	a.took(o, in, &in.Done.BaseEffects)
	if _, refused := asActorError(err); !refused || errors.Is(err, actor.ErrTimedOut) || in.Run.Action.GetDestroy() == nil {
		a.regardless(o, in.Run.Action)
	}
	a.record(o, after)
}

// record takes in an outcome that was just made.
func (a *Actor) record(o *actorlogv1.Outcome, state []byte) {
	ends := o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_DESTROYED
	changes := (len(o.StateJson) > 0 || len(o.PatchJson) > 0) && o.StateVersion != a.StateVersion
	if a.Alive && (ends || changes) && o.RefusedSince == nil {
		o.PriorVersion = proto.Uint32(a.StateVersion)
	}
	a.advance(o, state)
}

// regardless records what an action does even if it fails: a connection that has ended has ended, and who must go goes.
func (a *Actor) regardless(o *actorlogv1.Outcome, action *actorlogv1.Action) {
	switch body := action.Body.(type) {
	case *actorlogv1.Action_Disconnect:
		i := a.connection(body.Disconnect.ConnectionId)
		if i >= 0 && !slices.ContainsFunc(o.Disconnected, func(gone *actorlogv1.Disconnected) bool { return gone.Id == a.Connections[i].Id }) {
			o.Disconnected = append(slices.Clip(o.Disconnected), &actorlogv1.Disconnected{
				Id: body.Disconnect.ConnectionId, Gateway: a.Connections[i].Gateway, Code: body.Disconnect.Code, Reason: body.Disconnect.Reason,
				Error: o.Error,
			})
		}
	case *actorlogv1.Action_Destroy:
		if a.Alive {
			a.destroy(o)
		}
	}
}

// destroy records the end of this life, and with it of all connections.
func (a *Actor) destroy(o *actorlogv1.Outcome) {
	o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_DESTROYED
	ended := make(map[string]bool, len(o.Disconnected))
	for _, gone := range o.Disconnected {
		ended[gone.Id] = true
	}
	o.Disconnected = slices.Clip(o.Disconnected)
	for _, n := range a.Connections {
		if !ended[n.Id] {
			o.Disconnected = append(o.Disconnected, &actorlogv1.Disconnected{Id: n.Id, Gateway: n.Gateway})
		}
	}
}

// took records what was asked through the Ctx, and what comes with the action by itself.
func (a *Actor) took(o *actorlogv1.Outcome, in Returned, e *actor.Effects) {
	o.Broadcasts, o.Sends, o.Frames = e.Broadcasts, e.Sends, e.Frames
	o.Connected, o.Disconnected = e.Connected, e.Disconnected
	o.Completed = a.completes(e.Completed)
	o.Scheduled, o.Unscheduled = e.Scheduled, e.Unscheduled
	if o.Error == nil {
		o.GuardedEvents = in.Done.Guarded
		o.Enqueued = in.Run.enqueues
		if c := in.Run.Action.GetComplete(); c != nil {
			o.Completed = append(o.Completed, a.completes(c.Completions)...)
		}
	}
	if s := in.Run.Schedule; s != nil {
		a.moveOn(o, s, o.Error != nil)
	}
}

// change records the difference between two states; before is nil for a new life. A state of another version is recorded in
// full.
func (a *Actor) change(o *actorlogv1.Outcome, before, after []byte, version uint32) error {
	o.StateVersion = version
	if before == nil || (version != a.StateVersion && !bytes.Equal(before, after)) {
		o.StateJson = after
		return nil
	}
	patch, err := jsonpatch.Diff(before, after)
	if err != nil {
		return err
	}
	long := len(patch) > maxTinyPatch && len(patch) >= len(after)
	if long || bytes.Count(patch, []byte(`{"op":`))*len(after) > maxPatchWork {
		o.StateJson = after
		return nil
	}
	o.PatchJson = patch
	return nil
}

// outcome is the frame of the answer to an action.
func (a *Actor) outcome(ref int64, action *actorlogv1.Action) *actorlogv1.Outcome {
	namespace, kind, key := a.identity(action)
	o := &actorlogv1.Outcome{
		Ref: ref,
		Actor: &actorlogv1.Actor{
			Namespace: namespace, Kind: kind, Key: key, Generation: a.Generation, CreatedUnixMs: a.CreatedMs,
		},
		Action:     withoutActor(action),
		TimeUnixMs: max(action.TimeUnixMs, a.TimeMs),
	}
	if a.LastOffset >= 0 {
		o.Prev = proto.Int64(a.LastOffset)
	}
	if id := action.GetCaller().GetConnectionId(); id != "" {
		if i := a.connection(id); i >= 0 {
			authenticated(o, a.Connections[i].Principal)
		}
	}
	return o
}

// authenticated records who the caller is, when the actor has found out.
func authenticated(o *actorlogv1.Outcome, principal string) {
	if by := o.GetAction().GetCaller(); principal != "" && by.GetPrincipal() != principal {
		o.Action.Caller = &actorlogv1.Caller{
			Gateway: by.GetGateway(), ConnectionId: by.GetConnectionId(), Principal: principal,
		}
	}
}

// identity is the actor's own, or before its first life the one it is addressed by.
func (a *Actor) identity(action *actorlogv1.Action) (namespace, kind string, key schemas.Key) {
	if a.Kind == "" {
		return action.GetActor().GetNamespace(), action.GetActor().GetKind(), action.GetActor().GetKey()
	}
	return a.Namespace, a.Kind, a.Key
}

// withoutActor is the action as its outcome repeats it: without the address, without headers, which carry secrets, and without a state to be restored,
// which the outcome has itself.
func withoutActor(action *actorlogv1.Action) *actorlogv1.Action {
	kept := &actorlogv1.Action{
		RequestId: action.RequestId, IdempotencyKey: action.IdempotencyKey, Caller: action.Caller,
		TimeUnixMs: action.TimeUnixMs, Creation: action.Creation, Sequence: action.Sequence, Body: action.Body,
		Origin: action.Origin, Chain: action.Chain, DeadlineUnixMs: action.DeadlineUnixMs, Handshake: action.Handshake,
		Unparks: action.Unparks,
	}
	if h := action.Handshake; len(h.GetHeaders()) > 0 {
		kept.Handshake = &actorlogv1.Handshake{ConnectionId: h.ConnectionId, ParamsJson: h.ParamsJson, Target: h.Target}
	}
	if r := action.GetRequest(); len(r.GetHeaders()) > 0 {
		harmless := &actorlogv1.Request{Method: r.Method, Body: r.Body, Url: r.Url}
		for _, h := range r.Headers {
			if h.Name == "Content-Type" {
				harmless.Headers = append(harmless.Headers, h)
			}
		}
		kept.Body = &actorlogv1.Action_Request{Request: harmless}
	}
	if r := action.GetRestore(); r != nil {
		kept.Body = &actorlogv1.Action_Restore{Restore: withoutState(r)}
	}
	return kept
}

// TooLarge answers an action whose outcome does not fit into a record. The actor must be a copy
// from before the Step that made that outcome. Arguments that are large themselves are left
// out of the answer: the actions topic has them.
func (a *Actor) TooLarge(ref int64, action *actorlogv1.Action, size, limit int) *actorlogv1.Outcome {
	o := a.outcome(ref, action)
	o.Error = wireError(actor.ErrTooLarge.Messagef(
		"What the action produced takes %d bytes, more than the %d that fit into a record: it had no effect.", size, limit))
	if proto.Size(o) > limit {
		OmitArguments(o)
	}
	a.regardless(o, action)
	if f := action.GetFire(); f != nil {
		if s := a.Schedule(f.ScheduleId); s != nil && s.DueUnixMs == f.DueUnixMs {
			a.moveOn(o, s, true)
		}
	}
	a.record(o, a.State)
	return o
}

// OmitArguments leaves the action's arguments out of an outcome that had no effect. What is left cannot
// tell a repeat from another request, so the key is not remembered: a repeat runs again, to the same end.
func OmitArguments(o *actorlogv1.Outcome) {
	o.Action.IdempotencyKey, o.Action.Creation = "", nil
	o.Action.Handshake, o.Action.Chain = nil, nil
	switch body := o.Action.Body.(type) {
	case *actorlogv1.Action_Invoke:
		o.Action.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: body.Invoke.Name}}
	case *actorlogv1.Action_Request:
		o.Action.Body = &actorlogv1.Action_Request{Request: &actorlogv1.Request{Method: body.Request.Method}}
	case *actorlogv1.Action_SocketMessage:
		o.Action.Body = &actorlogv1.Action_SocketMessage{SocketMessage: new(actorlogv1.SocketMessage)}
	case *actorlogv1.Action_Enqueue:
		o.Action.Body = &actorlogv1.Action_Enqueue{Enqueue: &actorlogv1.Enqueue{Queue: body.Enqueue.Queue}}
	}
}

func (a *Actor) duplicate() error {
	key := a.Key.String()
	e := *actor.ErrDuplicateKey.Messagef("Actor key '%s' already in use for actor '%s'", key, a.ID())
	e.Metadata = []byte(`{"existing_actor_id":` + strconv.Quote(a.ID().String()) + `,"key":` + quote(key) + `}`)
	return &e
}

// wireError separates the audiences: an *actor.Error is for the client, all else becomes
// internal_error.
func wireError(err error) *actorlogv1.Error {
	e, ok := asActorError(err)
	if !ok {
		e = actor.ErrInternal
	}
	w := &actorlogv1.Error{Group: clean(e.Group), Code: clean(e.Code), Message: clean(e.Message)}
	if json.Valid(e.Metadata) { // an Error that was made by hand may carry anything
		w.MetadataJson = e.Metadata
	}
	return w
}

func detailOf(err error, detail string) string {
	if _, ok := asActorError(err); ok {
		return detail
	}
	if detail == "" {
		return err.Error()
	}
	return err.Error() + "\n" + detail
}

// clean makes a text that came from user code fit for a Protobuf string.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func asActorError(err error) (*actor.Error, bool) {
	var e *actor.Error
	ok := errors.As(err, &e)
	return e, ok
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return string(b)
}
