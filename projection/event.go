package projection

import (
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/internal/jsonpatch"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Event is the row of one outcome that counts. Its slices share memory with the outcome: keep them, do not change them.
type Event struct {
	// Position in events; Ref is the offset of the action in the same partition of actions, Epoch that of the writer's claim.
	Position   schemas.Position
	Ref, Epoch int64
	// TimeMs is the actor's time of the action, AskedMs that of the clock of whoever asked. Unix milliseconds, within the range of times that
	// a row can have: the years 1900 to 2299.
	TimeMs, AskedMs int64

	// Actor that it is about, in the life that it is about.
	Actor Name

	// Body is what sort of action it is: invoke, fire, connect, ... as the fields of Action.body are called. Empty if it is of a newer version.
	Body string
	// Action is the wire name of the action that was invoked or fired; of an enqueue, the queue; of a raw request, its method.
	Action string
	// Args is what it was given, JSON: positional arguments, or the one input; of an enqueue, the message; of a connect, the parameters. Empty when there were none.
	// Bodies of raw requests and messages of raw sockets are not in it.
	Args []byte
	// Schedule that fired; Connection that a connect, disconnect or stateless call is about; Target is the path of a raw request or socket.
	Schedule, Connection, Target string
	// Creation says whether the action was to create the actor where there was none.
	Creation bool

	Caller Caller
	// RequestID is the request's; IdempotencyKey is what its client gave, empty for none.
	RequestID, IdempotencyKey string

	// Result is JSON. Empty when there is none; Failed says whether Error is set.
	Result []byte
	Failed bool
	Error  Error

	// Patch is the state change as an RFC 6902 patch; State the whole state, where it was written instead. PatchPaths is the paths of the patch's
	// operations, in order; of a whole state it is the one path "".
	Patch, State []byte
	PatchPaths   []string
	StateVersion uint32

	Broadcasts  []*actorlogv1.Broadcast
	Scheduled   []*actorlogv1.Schedule
	Unscheduled []string
	Sends       []*actorlogv1.Send
	// Connected and Disconnected are ids of connections.
	Connected, Disconnected []string

	// Lifecycle is created, destroyed, created_and_destroyed, or empty.
	Lifecycle string
	// Woke says whether the actor came into memory for this.
	Woke       bool
	DurationUs int64
	// Version of the code that ran.
	Version  string
	Warnings []string
	// Status of the answer to a raw request, 0 for none.
	Status uint32

	// Repeats is the offset of the outcome that this one only points to, Unparks the ref of the action that was set aside and that this one
	// stands for; -1 for none. Parked is how many workers the action ended before it was set aside, 0 if it was not. Refused says that it was refused out of turn,
	// for the mailbox was full.
	Repeats, Unparks int64
	Parked           uint32
	Refused          bool
}

// Name is an actor, in one of its lives.
type Name struct {
	Hash       schemas.Hash
	Namespace  string
	Kind       string
	Key        schemas.Key
	Generation uint32
}

// ID is the actor's id. That of an actor that never lived has generation 0, and is nobody's.
func (n *Name) ID() string {
	return schemas.ActorID{Hash: n.Hash, Generation: n.Generation}.String()
}

// Caller is who asked.
type Caller struct {
	Gateway, Connection, Principal string
	// Actor that asked, and in which action of its: its shard, the ref of that action, and the number of the call or send in it. ByActor says whether it was one.
	ByActor bool
	Actor   Name
	Shard   int32
	Ref     int64
	Number  uint32
}

// Error is why an action failed. Detail is for operators only.
type Error struct {
	Group, Code, Message string
	Metadata             []byte
	Detail               string
}

// Bounds of times in rows.
const minMs, maxMs = int64(-2_208_988_800_000), int64(10_413_791_999_000)

// ClampMs is the time of a row that is nearest to a time in Unix milliseconds.
func ClampMs(ms int64) int64 { return min(max(ms, minMs), maxMs) }

// EventOf is the row of an outcome that counts and stands at p. before is the actor as it was.
func EventOf(p schemas.Position, o *actorlogv1.Outcome, before *machine.Actor) Event {
	a := o.GetAction()
	e := Event{
		Position: p, Ref: o.Ref, Epoch: o.Epoch, TimeMs: ClampMs(o.TimeUnixMs), AskedMs: ClampMs(a.GetTimeUnixMs()),
		Actor: nameOf(before.Hash, o.GetActor()), Creation: a.GetCreation() != nil,
		Caller:    Caller{Gateway: a.GetCaller().GetGateway(), Connection: a.GetCaller().GetConnectionId(), Principal: a.GetCaller().GetPrincipal()},
		RequestID: a.GetRequestId(), IdempotencyKey: a.GetIdempotencyKey(),
		Result: o.ResultJson, Failed: o.Error != nil,
		Patch: o.PatchJson, State: o.StateJson, StateVersion: o.StateVersion,
		Broadcasts: o.Broadcasts, Scheduled: o.Scheduled, Unscheduled: o.Unscheduled, Sends: o.Sends,
		Woke: o.Woke, DurationUs: max(o.DurationUs, 0), Version: o.CodeVersion, Warnings: o.Warnings, Status: o.GetResponse().GetStatus(),
		Repeats: -1, Unparks: -1, Parked: o.Parked, Refused: o.RefusedSince != nil,
	}
	if by := a.GetOrigin(); by != nil {
		hash, _ := schemas.ParseHash(by.Actor)
		e.Caller.ByActor, e.Caller.Actor = true, nameOf(hash, by.By)
		e.Caller.Shard, e.Caller.Ref, e.Caller.Number = by.Partition, by.Ref, by.Number
	}
	if o.Error != nil {
		e.Error = Error{Group: o.Error.Group, Code: o.Error.Code, Message: o.Error.Message, Metadata: o.Error.MetadataJson, Detail: o.Error.Detail}
	}
	if o.Repeats != nil {
		e.Repeats = *o.Repeats
	}
	if a != nil && a.Unparks != nil {
		e.Unparks = *a.Unparks
	}
	switch {
	case o.Repaired != nil: // whatever it was before
		e.State, e.PatchPaths, e.StateVersion = o.Repaired.StateJson, wholeState, o.Repaired.StateVersion
	case len(o.StateJson) > 0:
		e.PatchPaths = wholeState
	case len(o.PatchJson) > 0:
		e.PatchPaths = pathsOf(o.PatchJson)
	}
	for _, c := range o.Connected {
		e.Connected = append(e.Connected, c.Id)
	}
	for _, c := range o.Disconnected {
		e.Disconnected = append(e.Disconnected, c.Id)
	}
	e.Lifecycle = lifecycleOf(o.Lifecycle)
	e.takeBody(a, before)
	return e
}

// wholeState is the paths of an outcome that wrote all of the state.
var wholeState = []string{""}

func pathsOf(patch []byte) []string {
	var paths []string
	// A patch that cannot be read takes its actor out of service; what was read of it is still what it was about.
	_ = jsonpatch.Each(patch, func(o jsonpatch.Op) bool {
		paths = append(paths, o.Path)
		if o.From != "" {
			paths = append(paths, o.From)
		}
		return true
	})
	return paths
}

func nameOf(hash schemas.Hash, a *actorlogv1.Actor) Name {
	return Name{Hash: hash, Namespace: a.GetNamespace(), Kind: a.GetKind(), Key: a.GetKey(), Generation: a.GetGeneration()}
}

func lifecycleOf(l actorlogv1.Lifecycle) string {
	switch l {
	case actorlogv1.Lifecycle_LIFECYCLE_CREATED:
		return "created"
	case actorlogv1.Lifecycle_LIFECYCLE_DESTROYED:
		return "destroyed"
	case actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED:
		return "created_and_destroyed"
	}
	return ""
}

// takeBody says what was asked.
func (e *Event) takeBody(a *actorlogv1.Action, before *machine.Actor) {
	e.Body, e.Connection, e.Target = schemas.BodyName(a), a.GetHandshake().GetConnectionId(), a.GetHandshake().GetTarget()
	switch b := a.GetBody().(type) {
	case *actorlogv1.Action_Invoke:
		e.Action, e.Args = b.Invoke.Name, b.Invoke.ArgsJson
		if len(b.Invoke.InputJson) > 0 {
			e.Args = b.Invoke.InputJson
		}
	case *actorlogv1.Action_Fire:
		e.Schedule = b.Fire.ScheduleId
		if s := before.Schedule(b.Fire.ScheduleId); s != nil {
			e.Action, e.Args = s.Action, s.ArgsJson
		}
	case *actorlogv1.Action_Enqueue:
		e.Action, e.Args = b.Enqueue.Queue, b.Enqueue.BodyJson
	case *actorlogv1.Action_Request:
		e.Action = b.Request.Method
	case *actorlogv1.Action_Connect:
		e.Args = a.GetHandshake().GetParamsJson()
	case *actorlogv1.Action_Disconnect:
		e.Connection = b.Disconnect.ConnectionId
	case *actorlogv1.Action_Resolve:
		e.Args = a.GetCreation().GetInputJson()
	}
}

// Erases says whether what came before an outcome of its actor is erased, see [Event.Erase]: the actor was destroyed for that, or did not live any more when that was asked.
func Erases(o *actorlogv1.Outcome) bool {
	if !o.GetAction().GetDestroy().GetErase() {
		return false
	}
	gone := o.Error != nil && o.Error.Group == actor.ErrNotFound.Group && o.Error.Code == actor.ErrNotFound.Code
	return gone || o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_DESTROYED || o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
}

// Erase puts into the row what stands in place of what belonged to users, and returns whether there was anything. The row is then that of the outcome as it is read when the
// actor's key is destroyed: what schemas.Split leaves.
func (e *Event) Erase() (some bool) {
	into := func(where *[]byte, what string) {
		if len(*where) > 0 && string(*where) != what {
			*where, some = []byte(what), true
		}
	}
	text := func(where *string) {
		if *where != "" && *where != schemas.ErasedText {
			*where, some = schemas.ErasedText, true
		}
	}
	into(&e.Args, schemas.Erased)
	into(&e.Result, schemas.Erased)
	into(&e.Error.Metadata, schemas.Erased)
	into(&e.State, schemas.Erased)
	into(&e.Patch, schemas.ErasedPatch)
	text(&e.Target)
	text(&e.Error.Message)
	text(&e.Error.Detail)
	if len(e.PatchPaths) > 0 {
		e.PatchPaths = wholeState
	}
	if len(e.Warnings) > 0 {
		some = some || len(e.Warnings) > 1 || e.Warnings[0] != schemas.ErasedText
		e.Warnings = []string{schemas.ErasedText}
	}
	some = eraseEach(&e.Broadcasts) || some
	some = eraseEach(&e.Scheduled) || some
	return eraseEach(&e.Sends) || some
}

// eraseEach replaces messages, which are the outcome's, by erased ones.
func eraseEach[M proto.Message](list *[]M) (some bool) {
	erased := slices.Clone(*list)
	for i, m := range erased {
		c := proto.CloneOf(m)
		if taken := schemas.Split(c); taken != nil && !proto.Equal(c, m) {
			erased[i], some = c, true
		}
	}
	if some {
		*list = erased
	}
	return some
}

// Bytes is about how much memory the row holds.
func (e *Event) Bytes() int {
	n := 700 + len(e.Args) + len(e.Result) + len(e.Patch) + len(e.State) + len(e.Error.Message) + len(e.Error.Detail) + len(e.Error.Metadata)
	for _, b := range e.Broadcasts {
		n += 100 + len(b.ArgsJson)
	}
	for _, s := range e.Sends {
		n += 200 + len(s.GetInvoke().GetArgsJson()) + len(s.GetInvoke().GetInputJson())
	}
	n += 150 * len(e.Scheduled)
	return min(n, math.MaxInt32)
}
