// Package restore gives actors states that they, or others, had: it copies an actor (Fork), brings one from a file or another log (the same, read from there), and takes
// back what an actor did (Undo).
//
// It changes no history. What it does is an action (Restore in records.proto), which the worker of the actor answers like any other: recorded, with where the state is
// from and why, in turn with all else that the actor does, and with all promises. No code of the actor runs; it leaves memory, and wakes with what was restored.
//
// What comes along is the state and its version. Connections do not, for their clients are connected to the original; nor do queued messages, and
// the requests that the actor remembers. Schedules do if one asks for it.
//
// It is for operators: whoever may append to the actions topic can do it, and the gateway does it for whoever may use its admin routes.
package restore

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Options of what is restored. The zero value is right.
type Options struct {
	// Schedules that the actor had come along, in place of those that it has. Default: a copy has none, and an undo leaves those that there are. What
	// is due already fires at once.
	Schedules bool
	// Reason, and By whom, for the history. By is recorded as the principal of the caller.
	Reason, By string
	// Log is the identity of the log that is read, when it is another one than that which is written.
	Log string
	// Force has an undo go on if the actor changed while it was prepared: what it did then is taken back too. Default: refused, with actor.ErrConflict.
	Force bool
}

// ErrNothing says that there is nothing to restore: the actor did not live at that point, what it was then was erased, or nothing has changed since.
var ErrNothing = errors.New("there is nothing to restore")

var errUnknown = fmt.Errorf("%w: nothing is known of the actor", ErrNothing)

// Done is what came of it.
type Done struct {
	// Position of the outcome that records it.
	Position schemas.Position `json:"-"`
	// ActorID of the life that has the state now.
	ActorID string `json:"actorId"`
	// From is the position of the event after which the state was as it is now.
	From schemas.Position `json:"-"`
	// Undone are the events that an undo took back, newest first: those that changed the actor after From. At most MaxUndone of them are listed.
	Undone []*replay.Entry `json:"undone,omitempty"`
	// More is how many there are beyond those.
	More int `json:"more,omitempty"`
	// Difference that it made to the actor; of an undo only.
	Difference *replay.Difference `json:"difference,omitempty"`
}

// MaxUndone is how many events Done lists.
const MaxUndone = 100

// Target is where a copy goes. The kind is that of the original.
type Target struct {
	// Namespace defaults to that of the original.
	Namespace string
	Key       schemas.Key
}

// Fork makes a new actor that is what another one was at a point, so that actions can be tried on it. The reader's log may be another one than the client's, or a file. ErrNothing
// if the original did not live then; an *actor.Error if a worker refuses: actor.ErrDuplicateKey when the key is taken, actor.ErrInvalidRequest when its
// code cannot read the state.
func Fork(ctx context.Context, c *remote.Client, r *replay.Reader, from schemas.Hash, at replay.Point, to Target, o Options) (*Done, error) {
	a, err := r.State(ctx, from, at)
	if err != nil {
		return nil, err
	}
	switch {
	case a.LastOffset < 0 && at.IsNow():
		return nil, errUnknown
	case a.Broken != "":
		return nil, fmt.Errorf("%w: the history of the actor cannot be read: %s", ErrNothing, a.Broken)
	case !a.Alive:
		return nil, fmt.Errorf("%w: the actor did not live at %s", ErrNothing, at)
	case a.Erased():
		return nil, fmt.Errorf("%w: what the actor was at %s was erased", ErrNothing, at)
	}
	if to.Namespace == "" {
		to.Namespace = a.Namespace
	}
	if err := to.Key.Validate(); err != nil {
		return nil, fmt.Errorf("the key of the copy: %w", err)
	}
	restore := of(&a, r, o)
	action := &actorlogv1.Action{
		Actor:    &actorlogv1.Actor{Namespace: to.Namespace, Kind: a.Kind, Key: to.Key},
		Creation: &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT},
		Body:     &actorlogv1.Action_Restore{Restore: restore},
	}
	return send(ctx, c, schemas.HashOf(to.Namespace, a.Kind, to.Key), action, restore, o)
}

// Undo gives an actor the state that it had at a point; the zero point is before the last event that changed it. What happened since stays in the history, and is
// what the outcome says was undone. An actor that was destroyed since lives again, in a new life. Undoing an undo brings back what it took away.
func Undo(ctx context.Context, c *remote.Client, r *replay.Reader, hash schemas.Hash, to replay.Point, o Options) (*Done, error) {
	now, err := r.Head(ctx, hash)
	if err != nil {
		return nil, err
	}
	if now.LastOffset < 0 {
		return nil, errUnknown
	}
	undone := &Done{}
	was, err := before(ctx, r, hash, to, undone)
	if err != nil {
		return nil, err
	}
	switch {
	case was.Broken != "":
		return nil, fmt.Errorf("%w: the history of the actor up to there cannot be read: %s", ErrNothing, was.Broken)
	case !was.Alive:
		return nil, fmt.Errorf("%w: the actor did not live then; to end its life, destroy it", ErrNothing)
	case was.Erased():
		return nil, fmt.Errorf("%w: what the actor was then was erased", ErrNothing)
	}
	if len(undone.Undone) == 0 {
		return nil, fmt.Errorf("%w: nothing has changed the actor since then", ErrNothing)
	}
	restore := of(&was, r, o)
	restore.KeepSchedules = !o.Schedules && now.Alive
	action := &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Namespace: now.Namespace, Kind: now.Kind, Key: now.Key}, Body: &actorlogv1.Action_Restore{Restore: restore},
	}
	switch {
	case !now.Alive:
		action.Creation = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT}
	case !o.Force:
		restore.Replaces = proto.Uint64(machine.StateFingerprint(now.State))
	}
	done, err := send(ctx, c, hash, action, restore, o)
	if err != nil {
		return nil, err
	}
	done.Undone, done.More = undone.Undone, undone.More
	// What it came to, and not what it was meant to: connections and schedules may stay, and what was forced took more back.
	was, now, err = r.Between(ctx, hash, replay.Point{}, replay.Point{Position: &done.Position})
	if err == nil {
		done.Difference, err = replay.Diff(&was, &now)
	}
	if err != nil {
		return done, fmt.Errorf("the undo is recorded at %s, but what it changed cannot be told: %w", done.Position, err)
	}
	return done, nil
}

// before is the actor at the point to which it is taken back, and notes what has changed it since.
func before(ctx context.Context, r *replay.Reader, hash schemas.Hash, to replay.Point, d *Done) (machine.Actor, error) {
	limit := int64(-1)
	if !to.IsNow() {
		e, err := r.Find(ctx, hash, to)
		if err != nil {
			return machine.Actor{}, err
		}
		if e == nil {
			return machine.NewActor(hash), nil
		}
		limit = e.Position.Offset
	}
	for e, err := range r.Back(ctx, hash, 0) {
		if err != nil {
			return machine.Actor{}, err
		}
		if e.Position.Offset <= limit {
			break
		}
		if !changes(e.Outcome) {
			continue
		}
		if len(d.Undone) < MaxUndone {
			d.Undone = append(d.Undone, e.Entry())
		} else {
			d.More++
		}
		if to.IsNow() {
			limit = e.Position.Offset - 1
			break
		}
	}
	return r.At(ctx, hash, limit)
}

// changes says whether an outcome changed what an undo restores.
func changes(o *actorlogv1.Outcome) bool {
	return len(o.GetStateJson()) > 0 || len(o.GetPatchJson()) > 0 || o.GetLifecycle() != actorlogv1.Lifecycle_LIFECYCLE_UNSPECIFIED
}

// of is what restores an actor as it was.
func of(a *machine.Actor, r *replay.Reader, o Options) *actorlogv1.Restore {
	restore := &actorlogv1.Restore{
		StateJson: a.State, StateVersion: a.StateVersion, Reason: o.Reason,
		Source: &actorlogv1.Source{
			Actor:     &actorlogv1.Actor{Namespace: a.Namespace, Kind: a.Kind, Key: a.Key, Generation: a.Generation, CreatedUnixMs: a.CreatedMs},
			Partition: r.Partition(a.Hash), Offset: a.LastOffset, Log: o.Log,
		},
	}
	if o.Schedules {
		restore.Schedules = a.Schedules
	}
	return restore
}

func send(ctx context.Context, c *remote.Client, hash schemas.Hash, action *actorlogv1.Action, restore *actorlogv1.Restore, o Options) (*Done, error) {
	if o.By != "" {
		action.Caller = &actorlogv1.Caller{Principal: o.By}
	}
	d, _, err := c.Do(ctx, remote.Request{Hash: hash, Action: action})
	if err == nil {
		err = actor.OutcomeError(d.Outcome)
	}
	switch {
	case errors.Is(err, remote.ErrUnknownOutcome):
		return nil, fmt.Errorf("restoring actor %s: %w: do workers run? If it is not done yet, it may be when one does; the history of the actor tells", hash, err)
	case err != nil:
		return nil, fmt.Errorf("restoring actor %s: %w", hash, err)
	}
	return &Done{
		Position: d.Position, ActorID: schemas.ActorID{Hash: hash, Generation: d.Outcome.Actor.GetGeneration()}.String(),
		From: schemas.Position{Partition: restore.Source.Partition, Offset: restore.Source.Offset},
	}, nil
}
