package machine

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/internal/jsonpatch"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Bounds of the idempotency keys that an actor remembers.
const (
	MaxRecent    = 1000
	MaxRecentAge = 24 * 60 * 60 * 1000 // ms
)

// Actor is the fold of one actor's outcomes: all that it is. The zero Actor but for its Hash
// is one that never lived. Copies are snapshots (see the package comment).
type Actor struct {
	Hash schemas.Hash
	// Identity, empty before the first life.
	Namespace, Kind string
	Key             schemas.Key
	// Generation is the latest life, 0 when there was none; Alive says whether it lasts.
	Generation uint32
	Alive      bool
	CreatedMs  int64
	// State is JSON; nil when not alive.
	State []byte
	// Answers is which actions it has answered.
	Answers
	// LastOffset is where the last outcome stands in events, -1 before the first.
	LastOffset int64
	// TimeMs is the actor's time: that of its last action.
	TimeMs int64
	// Recent is the requests with an idempotency key that it remembers, oldest first.
	Recent []Recent
	// Broken says why the actor is out of service: an event of it could not be applied.
	// Empty otherwise.
	Broken string

	// StateVersion is the version of State's schema.
	StateVersion uint32
	// Connections, oldest first; Schedules by id; Queue, oldest first. The records in them are never changed.
	Connections []*actorlogv1.Connection
	Schedules   []*actorlogv1.Schedule
	Queue       []*actorlogv1.QueuedMessage
	// Asked is requests of other actors that may come again; Settled says from where on they may, by partition.
	Asked   []*actorlogv1.Asked
	Settled []*actorlogv1.Settled
	// Steps of the action after LastRef, in order.
	Steps []*actorlogv1.Step
	// Bulk is about how many bytes all this takes in a snapshot besides State, and bodies those in Queue.
	Bulk, bodies int
}

// Recent is one remembered request.
type Recent struct {
	Key         string
	Offset      int64
	TimeMs      int64
	Fingerprint uint64
}

// NewActor is an actor that never lived.
func NewActor(hash schemas.Hash) Actor {
	return Actor{Hash: hash, Answers: NoAnswers(), LastOffset: -1, TimeMs: math.MinInt64}
}

// ID is the id of the latest life.
func (a *Actor) ID() schemas.ActorID { return schemas.ActorID{Hash: a.Hash, Generation: a.Generation} }

// Erased says that the key of the records which say what the actor's state was is destroyed: a placeholder stands for it.
func (a *Actor) Erased() bool { return string(a.State) == schemas.Erased }

// ErrCorrupt says that a valid outcome cannot be applied to the actor: the log, or the
// snapshot it is applied to, is damaged. The actor cannot be used; others can.
var ErrCorrupt = errors.New("history cannot be applied")

// Apply folds one outcome, which the [Fence] admitted and which stands at offset, into the
// actor. It returns false, and changes nothing, when the outcome was applied before or is
// void because its action was answered before. An error, ErrCorrupt, leaves the actor Broken.
func (a *Actor) Apply(offset int64, o *actorlogv1.Outcome) (bool, error) {
	if offset <= a.LastOffset || a.Answered(o.Ref) {
		return false, nil
	}
	state, err := a.State, error(nil)
	if a.Broken == "" && o.Repaired == nil { // otherwise only remember what was answered
		if state, err = a.stateAfter(o); err != nil {
			err = fmt.Errorf("%w: actor %s, offset %d: %w", ErrCorrupt, a.ID(), offset, err)
			a.Broken, state = err.Error(), a.State
		}
	}
	a.advance(o, state)
	a.settle(offset, o)
	return true, err
}

// stateAfter is the state that an outcome leaves; an error if it makes no sense.
func (a *Actor) stateAfter(o *actorlogv1.Outcome) ([]byte, error) {
	switch {
	case o.Actor == nil:
		return nil, errors.New("the outcome names no actor")
	case creates(o) && (len(o.StateJson) == 0 || o.Actor.Generation <= a.Generation):
		return nil, fmt.Errorf("the outcome creates generation %d after %d, with %d bytes of state", o.Actor.Generation, a.Generation, len(o.StateJson))
	case len(o.StateJson) > 0:
		return o.StateJson, nil
	case len(o.PatchJson) > 0:
		return jsonpatch.Apply(a.State, o.PatchJson)
	}
	return a.State, nil
}

func creates(o *actorlogv1.Outcome) bool {
	return o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED || o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED
}

// advance is what an outcome does to the actor, but for where it stands in the log.
func (a *Actor) advance(o *actorlogv1.Outcome, state []byte) {
	a.note(o)
	if o.RefusedSince != nil {
		return
	}
	if o.Repaired != nil {
		a.restoreTo(o.Repaired)
	}
	a.TimeMs = o.TimeUnixMs
	a.clearSteps()
	if a.Broken != "" || o.Repaired != nil {
		return
	}
	if creates(o) {
		a.Namespace, a.Kind, a.Key = o.Actor.Namespace, o.Actor.Kind, o.Actor.Key
		a.Generation, a.CreatedMs, a.Alive = o.Actor.Generation, o.Actor.CreatedUnixMs, true
	}
	if len(o.StateJson) > 0 || len(o.PatchJson) > 0 {
		a.StateVersion = o.StateVersion
	}
	a.State = state
	a.takeConnections(o)
	a.takeSchedules(o)
	a.takeCompletions(o)
	switch o.Lifecycle {
	case actorlogv1.Lifecycle_LIFECYCLE_DESTROYED, actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED:
		a.Alive, a.State, a.StateVersion = false, nil, 0
		a.Connections, a.Schedules, a.Queue, a.bodies = nil, nil, nil, 0
		a.Bulk = a.bulkOfAsked()
	}
}

// settle notes that the outcome stands at offset.
func (a *Actor) settle(offset int64, o *actorlogv1.Outcome) {
	a.LastOffset = offset
	if o.Enqueued && a.Alive {
		a.enqueue(offset, o)
	}
	if origin := o.GetAction().GetOrigin(); origin != nil && o.RefusedSince == nil {
		// Not from a refusal out of turn: what it says is settled may stand before it in the log, and wait still.
		a.takeSettled(origin)
		if o.Repeats == nil && !passes(o.Error) && !stale(o.Error) {
			a.asks(origin, offset)
		}
	}
	key := o.GetAction().GetIdempotencyKey()
	if key == "" || o.RefusedSince != nil || o.Repeats != nil || passes(o.Error) {
		return // nothing happened that a repeat could be answered with
	}
	if _, known := a.recall(key); known {
		return // refused because the key was used for another request
	}
	a.remember(Recent{Key: key, Offset: offset, TimeMs: o.TimeUnixMs, Fingerprint: Fingerprint(o.Action)})
}

// passes says that an error is the deployment's, not the actor's: after the next one the same
// request may succeed. Or that it was too late to begin: an action that is run again after an outage calls again, with
// more time.
func passes(e *actorlogv1.Error) bool {
	if e.GetGroup() != "actor" {
		return false
	}
	return e.Code == actor.ErrKindNotFound.Code || e.Code == actor.ErrActionNotFound.Code || e.Code == errBroken.Code ||
		e.Code == actor.ErrTooLate.Code || e.Code == actor.ErrErased.Code
}

func (a *Actor) remember(r Recent) {
	a.Recent = append(a.Recent, r)
	for len(a.Recent) > MaxRecent || a.TimeMs-a.Recent[0].TimeMs > MaxRecentAge {
		a.Recent = a.Recent[1:]
	}
}

// recall finds a remembered request.
func (a *Actor) recall(key string) (Recent, bool) {
	for i := len(a.Recent) - 1; i >= 0; i-- {
		if a.Recent[i].Key == key {
			return a.Recent[i], true
		}
	}
	return Recent{}, false
}

// Fingerprint tells requests for different things apart: FNV-1a, 64 bits, over the body's
// type, name and arguments.
func Fingerprint(action *actorlogv1.Action) uint64 {
	h := uint64(14695981039346656037)
	add := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	text := func(s string) {
		for i := range len(s) {
			add(s[i])
		}
		add(0)
	}
	switch body := action.Body.(type) {
	case *actorlogv1.Action_Invoke:
		add(1)
		text(body.Invoke.Name)
		for _, b := range body.Invoke.ArgsJson {
			add(b)
		}
		add(0)
		for _, b := range body.Invoke.InputJson {
			add(b)
		}
	case *actorlogv1.Action_Resolve:
		add(2)
		for _, b := range action.Creation.GetInputJson() {
			add(b)
		}
	case *actorlogv1.Action_Read:
		add(3)
	case *actorlogv1.Action_Destroy:
		add(4)
	case *actorlogv1.Action_Enqueue:
		add(5)
		text(body.Enqueue.Queue)
		for _, b := range body.Enqueue.BodyJson {
			add(b)
		}
	case *actorlogv1.Action_Request:
		add(6)
		text(body.Request.Method)
		text(action.Handshake.GetTarget())
		for _, b := range body.Request.Body {
			add(b)
		}
	case *actorlogv1.Action_Restore:
		// Of where it is from, which the outcome has too; not of the state, which it has as a change.
		add(8)
		source := body.Restore.GetSource()
		text(source.GetLog())
		text(strconv.Itoa(int(source.GetPartition())))
		text(strconv.FormatInt(source.GetOffset(), 10))
		text(strconv.FormatUint(uint64(body.Restore.Generation), 10))
	default:
		add(7) // of no request that clients give a key
	}
	return h
}

// Snapshot is the actor as a record.
func (a *Actor) Snapshot() *actorlogv1.Snapshot {
	s := &actorlogv1.Snapshot{
		Actor: &actorlogv1.Actor{
			Namespace: a.Namespace, Kind: a.Kind, Key: a.Key,
			Generation: a.Generation, CreatedUnixMs: a.CreatedMs,
		},
		Alive: a.Alive, StateJson: a.State, LastRef: a.LastRef, LastOffset: a.LastOffset, TimeUnixMs: a.TimeMs,
		Broken: clean(a.Broken),
	}
	for _, r := range a.Recent {
		// An entry beyond LastOffset is of an outcome that is not part of this snapshot.
		if r.Offset <= a.LastOffset {
			s.Recent = append(s.Recent, &actorlogv1.Recent{
				Key: r.Key, Offset: r.Offset, TimeUnixMs: r.TimeMs, Fingerprint: r.Fingerprint,
			})
		}
	}
	for _, r := range a.Refused {
		s.Refused = append(s.Refused, &actorlogv1.RefRange{First: r.First, Last: r.Last})
	}
	s.StateVersion, s.Connections, s.Schedules, s.Settled, s.Steps = a.StateVersion, a.Connections, a.Schedules, a.Settled, a.Steps
	s.Queue = a.queueToKeep()
	for _, asked := range a.Asked {
		if asked.Offset <= a.LastOffset { // as above
			s.Asked = append(s.Asked, asked)
		}
	}
	return s
}

// Restore is the inverse of [Actor.Snapshot].
func Restore(hash schemas.Hash, s *actorlogv1.Snapshot) (Actor, error) {
	if s.Actor == nil {
		return Actor{}, fmt.Errorf("%w: the snapshot of actor %s names no actor", ErrCorrupt, hash)
	}
	a := Actor{
		Hash: hash, Namespace: s.Actor.Namespace, Kind: s.Actor.Kind, Key: s.Actor.Key,
		Generation: s.Actor.Generation, CreatedMs: s.Actor.CreatedUnixMs,
		Alive: s.Alive, State: s.StateJson, Answers: Answers{LastRef: s.LastRef}, LastOffset: s.LastOffset, TimeMs: s.TimeUnixMs,
		Broken: s.Broken, StateVersion: s.StateVersion,
		Connections: s.Connections, Schedules: s.Schedules, Queue: s.Queue, Asked: s.Asked, Settled: s.Settled, Steps: s.Steps,
	}
	a.measure()
	for _, r := range s.Recent {
		a.Recent = append(a.Recent, Recent{
			Key: r.Key, Offset: r.Offset, TimeMs: r.TimeUnixMs, Fingerprint: r.Fingerprint,
		})
	}
	for _, r := range s.Refused {
		a.Refused = append(a.Refused, RefRange{First: r.First, Last: r.Last})
	}
	return a, nil
}
