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
	// KindKnown says whether this worker has the rules of the kind.
	KindKnown func(kind string) bool
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
	// Created is the state that CreateState made, nil when the run created nothing, or
	// failed to.
	Created []byte
	// State after the action; ignored on an error.
	State []byte
	// Result as JSON; empty for none.
	Result []byte
	// Err is why the action, or the creation, failed. An *actor.Error is for the client;
	// anything else is internal.
	Err error
	// Detail of an internal error, for operators: the stack of a panic.
	Detail     string
	Effects    actor.Effects
	DurationUs int64
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
	// Invoke is the action to run; nil when there is only a creation.
	Invoke *actorlogv1.Invoke
	// What the action's Ctx tells.
	Namespace, Kind string
	Key             schemas.Key
	ID              schemas.ActorID
	TimeMs          int64
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
		a.advance(o, a.State)
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
	if err := a.wellFormed(action); err != nil {
		return a.answer(in.Ref, action, nil, err)
	}
	// A repeat comes before all that may have changed since the first request: told now that
	// the actor is gone, its caller would take it that the request had no effect.
	if r, ok := a.recall(action.IdempotencyKey); ok {
		if r.Fingerprint != Fingerprint(action) {
			return a.answer(in.Ref, action, nil, actor.ErrKeyReused)
		}
		o := a.outcome(in.Ref, action)
		o.Repeats = proto.Int64(r.Offset)
		a.advance(o, a.State)
		return Effects{Outcome: o, Settle: true}
	}
	if a.Broken != "" {
		return a.answer(in.Ref, action, nil, errBroken)
	}
	if err := a.admit(action, in.KindKnown); err != nil {
		return a.answer(in.Ref, action, nil, err)
	}

	namespace, kind, key := a.identity(action)
	run := &Run{
		Ref: in.Ref, Action: action, Namespace: namespace, Kind: kind, Key: key,
		ID: a.ID(), TimeMs: max(action.TimeUnixMs, a.TimeMs), Invoke: action.GetInvoke(),
	}
	switch {
	case !a.Alive && action.Creation == nil:
		return a.answer(in.Ref, action, nil, actor.ErrNotFound)
	case !a.Alive:
		if action.GetDestroy() != nil {
			return a.answer(in.Ref, action, nil, actor.ErrNotFound)
		}
		run.Create, run.Input = true, action.Creation.InputJson
		run.ID.Generation++
		return Effects{Run: run}
	case action.Creation.GetPolicy() == actorlogv1.Creation_POLICY_MUST_BE_ABSENT:
		return a.answer(in.Ref, action, nil, a.duplicate())
	}
	switch action.Body.(type) {
	case *actorlogv1.Action_Invoke:
		return Effects{Run: run}
	case *actorlogv1.Action_Resolve:
		return a.answer(in.Ref, action, []byte{}, nil)
	case *actorlogv1.Action_Read:
		return a.answer(in.Ref, action, a.State, nil)
	case *actorlogv1.Action_Destroy:
		o := a.outcome(in.Ref, action)
		o.ResultJson = []byte{}
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_DESTROYED
		a.advance(o, nil)
		return Effects{Outcome: o}
	}
	return a.answer(in.Ref, action, nil, errUnknownRequest)
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
func (a *Actor) admit(action *actorlogv1.Action, kindKnown func(string) bool) error {
	to := action.Actor
	// An id, or a generation, is of one life; a kind and key alone are of whichever there is, or will be.
	if one := to.Kind == "" || to.Generation != 0; one && (to.Generation != a.Generation || !a.Alive) {
		return actor.ErrNotFound
	}
	kind := a.Kind
	if kind == "" {
		kind = to.Kind
	}
	if !kindKnown(kind) {
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
	a.advance(o, a.State)
	return Effects{Outcome: o}
}

func (a *Actor) returned(in Returned) *actorlogv1.Outcome {
	o := a.outcome(in.Run.Ref, in.Run.Action)
	o.DurationUs = in.DurationUs
	before, after := a.State, a.State
	created := in.Run.Create && in.Created != nil
	if created {
		// The creation stands even if the action that came with it fails: the caller
		// asked for an actor, and has one.
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED
		o.Actor.Generation = in.Run.ID.Generation
		o.Actor.CreatedUnixMs = o.TimeUnixMs
		before, after = nil, in.Created
	}
	err := in.Err
	if err == nil && in.Run.Invoke != nil {
		after = in.State
	}
	if err == nil {
		err = a.change(o, before, after)
	}
	if err != nil {
		o.Error = wireError(err)
		o.Error.Detail = clean(detailOf(err, in.Detail))
		if after = before; created {
			after = in.Created
			o.StateJson, o.PatchJson = in.Created, nil
		}
		a.advance(o, after)
		return o
	}
	o.ResultJson = in.Result
	if o.ResultJson == nil {
		o.ResultJson = []byte{}
	}
	if in.Run.Action.GetRead() != nil {
		o.ResultJson = after
	}
	for _, b := range in.Effects.Broadcasts {
		o.Broadcasts = append(o.Broadcasts, &actorlogv1.Broadcast{Name: b.Name, ArgsJson: b.Args})
	}
	if in.Effects.Destroyed {
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_DESTROYED
		if created {
			o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
		}
	}
	a.advance(o, after)
	return o
}

// change records the difference between two states; before is nil for a new life.
func (a *Actor) change(o *actorlogv1.Outcome, before, after []byte) error {
	if before == nil {
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
	return o
}

// identity is the actor's own, or before its first life the one it is addressed by.
func (a *Actor) identity(action *actorlogv1.Action) (namespace, kind string, key schemas.Key) {
	if a.Kind == "" {
		return action.GetActor().GetNamespace(), action.GetActor().GetKind(), action.GetActor().GetKey()
	}
	return a.Namespace, a.Kind, a.Key
}

func withoutActor(action *actorlogv1.Action) *actorlogv1.Action {
	return &actorlogv1.Action{
		RequestId: action.RequestId, IdempotencyKey: action.IdempotencyKey, Caller: action.Caller,
		TimeUnixMs: action.TimeUnixMs, Creation: action.Creation, Sequence: action.Sequence, Body: action.Body,
	}
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
	a.advance(o, a.State)
	return o
}

// OmitArguments leaves the action's arguments out of an outcome that had no effect. What is left cannot
// tell a repeat from another request, so the key is not remembered: a repeat runs again, to the same end.
func OmitArguments(o *actorlogv1.Outcome) {
	o.Action.IdempotencyKey, o.Action.Creation = "", nil
	if invoke := o.Action.GetInvoke(); invoke != nil {
		o.Action.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: invoke.Name}}
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
	return &actorlogv1.Error{Group: clean(e.Group), Code: clean(e.Code), Message: clean(e.Message), MetadataJson: e.Metadata}
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
