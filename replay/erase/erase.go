package erase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Log is a log with the keys of its records; [sealed.Log] is one.
type Log interface {
	eventlog.Log
	Survey(ctx context.Context, hash schemas.Hash, canary string) ([]sealed.Place, error)
	Look(ctx context.Context, place *sealed.Place, r *eventlog.Record, canary string) error
	Retire(ctx context.Context, hash schemas.Hash) (int, error)
	Destroy(ctx context.Context, hash schemas.Hash) (int, error)
}

// Projection is where rows of the actor are.
type Projection interface {
	// Behind returns the builds of the log of that identity that are not projected past an event.
	Behind(ctx context.Context, log string, p schemas.Position) ([]uint32, error)
	// Erase erases what rows before an event have, as projectors do.
	Erase(ctx context.Context, actor schemas.Hash, before schemas.Position) error
	// Remains is what tables have of an actor; of contents, those before an event only, if it is not nil.
	Remains(ctx context.Context, actor schemas.Hash, before *schemas.Position, canary string) ([]projection.Remains, error)
}

// Store is the local store of a worker. Its text says where it is.
type Store interface {
	fmt.Stringer
	// Inspect returns all snapshots of an actor that are on the disk, as they are kept, how many entries of the actor have a text, and how many other entries.
	Inspect(ctx context.Context, hash schemas.Hash, canary string) (snapshots []eventlog.Record, canaries, elsewhere int, err error)
}

// Errors that nothing was done for.
var (
	// ErrUnsealed: the log was opened without a master key.
	ErrUnsealed = errors.New("this needs the master key: --seal-key-file, or ACTORLOG_SEAL_KEY")
	// ErrUnknown: there is nothing of the actor.
	ErrUnknown = errors.New("nothing is known of the actor: it never was asked anything, its key is another, or its events are not kept any more")
	// ErrNeverSealed: no record of the actor was ever sealed.
	ErrNeverSealed = errors.New("the records of the actor were never sealed, so they cannot be erased from a log that nobody can change: have its kind sealed (--seal-kinds) for what is written from now on")
)

// DefaultWait is how long projectors have to come past the erasure.
const DefaultWait = time.Minute

// Options of what is looked into. The zero value is the topics alone.
type Options struct {
	// Canary, if not empty, is a text to look for byte by byte.
	Canary string
	// Projection, if not nil, is followed through.
	Projection Projection
	// Wait bounds the time until it has come to the erasure. Default: DefaultWait.
	Wait time.Duration
	// Stores are local stores of workers on this machine.
	Stores []Store
	// By whom, for the history: the principal of the caller.
	By string
	// Progress, if not nil, is told what is going on, a sentence at a time.
	Progress func(string)
}

// Whom is the actor.
type Whom struct {
	Hash schemas.Hash
	// Actor is what it is called; nil if only its id is known.
	Actor *actorlogv1.Actor
}

// eraser is one erasure, or one look.
type eraser struct {
	Options
	Whom
	log        Log
	generation uint32
}

func open(ctx context.Context, log eventlog.Source, w Whom, o Options) (*eraser, error) {
	l, ok := log.(Log)
	if !ok {
		return nil, ErrUnsealed
	}
	if o.Wait <= 0 {
		o.Wait = DefaultWait
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	e := &eraser{Options: o, Whom: w, log: l}
	for last, err := range replay.NewReader(l, replay.Options{}).Back(ctx, w.Hash, 0) {
		if errors.Is(err, replay.ErrGone) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("looking for the last event of the actor: %w", err)
		}
		if a := last.Actor(); a != nil {
			e.Actor, e.generation = a, a.GetGeneration()
			break
		}
	}
	if e.Actor == nil {
		return nil, ErrUnknown
	}
	return e, nil
}

// Look reports what there is of an actor, and changes nothing.
func Look(ctx context.Context, log eventlog.Source, w Whom, o Options) (*Report, error) {
	e, err := open(ctx, log, w, o)
	if err != nil {
		return nil, err
	}
	return e.look(ctx)
}

// Erase erases an actor, and reports what is left of it. c is of the log, and a worker must run. With a report there is no error: it says itself whether something is left. After an
// error that is none of those above, it is to be done again.
func Erase(ctx context.Context, c *remote.Client, w Whom, o Options) (*Report, error) {
	e, err := open(ctx, c.Log(), w, o)
	if err != nil {
		return nil, err
	}
	before, err := e.look(ctx)
	if err != nil {
		return nil, err
	}
	if !before.sealed() {
		return nil, ErrNeverSealed
	}
	r := e.report()
	at, err := e.erase(ctx, c, r)
	if err != nil {
		return nil, fmt.Errorf("erasing the actor, which is to be done again: %w", err)
	}
	if e.Projection != nil {
		if err := e.follow(ctx, r, at); err != nil {
			r.left("ClickHouse could not be followed through: %v", err)
		}
	}
	if err := e.lookInto(ctx, r, &at); err != nil {
		r.left("not all could be looked into: %v", err)
	}
	return r, nil
}

func (e *eraser) report() *Report {
	return &Report{
		ActorID: schemas.ActorID{Hash: e.Hash, Generation: e.generation}.String(), Namespace: e.Actor.GetNamespace(), Kind: e.Actor.GetKind(),
		Key:  append([]string{}, e.Actor.GetKey()...),
		Kept: []Kept{}, Tables: []projection.Remains{}, Left: []string{}, Awaits: []string{},
	}
}

// look is a report of what there is.
func (e *eraser) look(ctx context.Context) (*Report, error) {
	r := e.report()
	if err := e.lookInto(ctx, r, nil); err != nil {
		return nil, err
	}
	if r.records() == 0 {
		return nil, ErrUnknown
	}
	return r, nil
}

// lookInto fills in what there is in all places. Contents in a projection are those before an event, if it is not nil.
func (e *eraser) lookInto(ctx context.Context, r *Report, before *schemas.Position) error {
	places, err := e.log.Survey(ctx, e.Hash, e.Canary)
	if err != nil {
		return err
	}
	r.take(places)
	for _, store := range e.Stores {
		snapshots, canaries, elsewhere, err := store.Inspect(ctx, e.Hash, e.Canary)
		if err != nil {
			return err
		}
		place := sealed.Place{Topic: eventlog.Snapshots}
		for i := range snapshots {
			if err := e.log.Look(ctx, &place, &snapshots[i], ""); err != nil {
				return fmt.Errorf("looking into the local store in %s: %w", store, err)
			}
		}
		k := keptOf(store.String(), place)
		k.Canary, k.Elsewhere = canaries, elsewhere
		r.Kept = append(r.Kept, k)
	}
	if e.Projection != nil {
		tables, err := e.Projection.Remains(ctx, e.Hash, before, e.Canary)
		if err != nil {
			return fmt.Errorf("asking ClickHouse: %w", err)
		}
		r.Tables = append(r.Tables, tables...)
	}
	r.judge(len(e.Stores))
	return nil
}

// rounds is how often an actor that comes to life again meanwhile is erased again.
const rounds = 5

// erase destroys the actor, and then its keys, and returns the last event that says so. All before it is erased.
func (e *eraser) erase(ctx context.Context, c *remote.Client, r *Report) (at schemas.Position, err error) {
	r.Done = &Done{Destroyed: []string{}}
	destroy := func() (bool, error) {
		d, lived, err := e.destroy(ctx, c)
		if err != nil {
			return false, err
		}
		at = d.Position
		r.Done.Destroyed = append(r.Done.Destroyed, at.String())
		return lived, nil
	}
	lived, err := destroy()
	if err != nil {
		return at, err
	}
	if lived {
		e.Progress("The actor was destroyed, at " + at.String() + ".")
	} else {
		e.Progress("The actor does not live any more.")
	}
	for round := 1; ; round++ {
		if _, err := e.log.Retire(ctx, e.Hash); err != nil {
			return at, err
		}
		e.Progress(fmt.Sprintf("Its keys seal nothing any more; waiting %v until all programs know.", sealed.RetireFor))
		select {
		case <-time.After(sealed.RetireFor):
		case <-ctx.Done():
			return at, context.Cause(ctx)
		}
		// What has come to life meanwhile may be sealed with what is about to be destroyed; or with another key, which is retired then.
		if lived, err = destroy(); err != nil {
			return at, err
		}
		if !lived {
			break
		}
		e.Progress("It had come to life again, and was destroyed, at " + at.String() + ".")
		if round == rounds {
			r.left("it came to life again and again while it was erased, and what it did last is sealed with a key that lives: have nobody ask for it, and erase it again")
			break
		}
	}
	if r.Done.Keys, err = e.log.Destroy(ctx, e.Hash); err != nil {
		return at, err
	}
	r.Done.Time = time.Now().UTC()
	e.Progress(fmt.Sprintf("%d keys were destroyed, at %s.", r.Done.Keys, r.Done.Time.Format(time.RFC3339)))
	return at, nil
}

// destroy has the actor destroyed, and says whether it lived.
func (e *eraser) destroy(ctx context.Context, c *remote.Client) (*remote.Delivery, bool, error) {
	action := &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Namespace: e.Actor.GetNamespace(), Kind: e.Actor.GetKind(), Key: e.Actor.GetKey()},
		Body:  &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{Erase: true}},
	}
	if e.By != "" {
		action.Caller = &actorlogv1.Caller{Principal: e.By}
	}
	d, _, err := c.Do(ctx, remote.Request{Hash: e.Hash, Action: action})
	if err != nil {
		return nil, false, fmt.Errorf("destroying it (does a worker run?): %w", err)
	}
	if projection.Erases(d.Outcome) {
		return d, d.Outcome.Lifecycle != actorlogv1.Lifecycle_LIFECYCLE_UNSPECIFIED, nil
	}
	if err = actor.OutcomeError(d.Outcome); err == nil {
		err = errors.New("it was not recorded as erased: its worker is of an older version")
	}
	return nil, false, fmt.Errorf("destroying it: %w", err)
}

// lookAgain is how often it is asked how far projectors are.
const lookAgain = 200 * time.Millisecond

// follow waits until the projection has come past the erasure, and erases what a projector left that died behind the others.
func (e *eraser) follow(ctx context.Context, r *Report, at schemas.Position) error {
	e.Progress(fmt.Sprintf("Waiting up to %v until projectors have come past %s.", e.Wait, at))
	for end := time.Now().Add(e.Wait); ; {
		behind, err := e.Projection.Behind(ctx, e.log.Identity(), at)
		if err != nil {
			return err
		}
		if len(behind) == 0 {
			break
		}
		if time.Now().After(end) {
			for _, build := range behind {
				r.left("build %d of the projection in ClickHouse is not projected past %s after %v: have a projector run, and erase the actor again", build, at, e.Wait)
			}
			return nil
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return e.Projection.Erase(ctx, e.Hash, at)
}
