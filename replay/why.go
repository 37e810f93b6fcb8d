package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Explanation says why an event happened, and what came of it.
type Explanation struct {
	Entry *Entry `json:"entry"`
	// Causes leads from the event to where it all began, nearest first: each is the cause of the one before it.
	Causes []Link `json:"causes"`
	// Effects is what the event itself brought about.
	Effects []Link `json:"effects"`
}

// Link is an event that stands to another as How says.
type Link struct {
	// How, in words: "called by", "sent by", "scheduled by", "came through the connection of", "takes the place of", "repeats", "completes" of causes;
	// "called", "sent to", "scheduled", "was completed by" of effects.
	How   string `json:"how"`
	Entry *Entry `json:"entry,omitempty"`
	// Actor, when there is no entry: whose it would be.
	Actor *EntryActor `json:"actor,omitempty"`
	// Missing is why there is no entry: it has not happened yet, or is not kept.
	Missing string `json:"missing,omitempty"`
}

// Bounds of what is looked for.
const (
	maxCauses = 100
	// maxCalled is how many records of each other shard are searched for calls of an action.
	maxCalled = 50_000
)

// ErrNoEvent says that there is no event that counts. The message says why.
var ErrNoEvent = errors.New("no event")

// Event reads the event at a position. ErrNoEvent when what stands there does not count; ErrGone when it is not kept.
func (r *Reader) Event(ctx context.Context, at schemas.Position) (found *Event, err error) {
	if at.Partition < 0 || at.Partition >= r.src.Partitions() {
		return nil, fmt.Errorf("%w at %s: shards are numbered from 0 to %d", ErrNoEvent, at, r.src.Partitions()-1)
	}
	start, end, err := r.bounds(ctx, at.Partition)
	switch {
	case err != nil:
		return nil, err
	case at.Offset >= end:
		return nil, fmt.Errorf("%w at %s: the next one will stand at %d:%d", ErrNoEvent, at, at.Partition, end)
	case at.Offset < start:
		return nil, fmt.Errorf("%w: %s; the first one kept is %d:%d", ErrGone, at, at.Partition, start)
	}
	err = r.scan(ctx, at.Partition, Range{From: at.Offset, To: at.Offset + 1}, nil, func(e *Event) error {
		found = e
		return nil
	})
	if err == nil && found == nil {
		err = fmt.Errorf("%w at %s: what stands there is a claim, or was written by a worker that had been replaced, and does not count", ErrNoEvent, at)
	}
	return found, err
}

// Why explains the event at a position, across actors and shards. Errors as of [Reader.Event].
func (r *Reader) Why(ctx context.Context, at schemas.Position) (*Explanation, error) {
	e, err := r.Event(ctx, at)
	if err != nil {
		return nil, err
	}
	x := &Explanation{Entry: e.Entry(), Causes: []Link{}, Effects: []Link{}}
	for next := e; next != nil && len(x.Causes) < maxCauses; {
		how, cause, missing, err := r.cause(ctx, next)
		if err != nil {
			return nil, fmt.Errorf("looking for the cause of %s: %w", next.Position, err)
		}
		if how == "" {
			break
		}
		x.Causes = append(x.Causes, link(how, cause, missing, by(next)))
		if f := next.Outcome.GetAction().GetFire(); f != nil && cause != nil {
			fired := x.Entry
			if n := len(x.Causes); n > 1 {
				fired = x.Causes[n-2].Entry
			}
			for _, s := range cause.Outcome.Scheduled {
				if s.Id == f.ScheduleId {
					fired.Action = s.Action
				}
			}
		}
		next = cause
	}
	if err := r.effects(ctx, e, x); err != nil {
		return nil, fmt.Errorf("looking for what came of %s: %w", at, err)
	}
	return x, nil
}

func link(how string, e *Event, missing string, who *EntryActor) Link {
	if e != nil {
		return Link{How: how, Entry: e.Entry()}
	}
	return Link{How: how, Missing: missing, Actor: who}
}

// by is the actor that asked.
func by(e *Event) *EntryActor {
	o := e.Outcome.GetAction().GetOrigin()
	if o == nil {
		return nil
	}
	a := actorOf(o.By)
	return &a
}

// expired is why an event is not found that must have been.
func (r *Reader) expired() string {
	if part, ok := r.src.(interface{ Absent() string }); ok {
		return part.Absent()
	}
	return "not kept any more"
}

// cause is what led to an event at once; an empty how: somebody outside asked, or nobody did.
func (r *Reader) cause(ctx context.Context, e *Event) (how string, cause *Event, missing string, err error) {
	a := e.Outcome.GetAction()
	own := func(how string, match func(*Event) bool) (string, *Event, string, error) {
		found, err := r.earlier(ctx, e, match)
		return how, found, r.expired(), orNil(err, ErrGone)
	}
	switch {
	case e.Step != nil:
		found, err := r.answer(ctx, e.Hash, e.Step.Ref, e.Step.TimeUnixMs)
		return "a step of", found, "still under way", err
	case e.Outcome.GetRepeats() != 0:
		return own("repeats", func(c *Event) bool { return c.Position.Offset == e.Outcome.GetRepeats() })
	case a.GetUnparks() != 0 || (a != nil && a.Unparks != nil):
		return own("takes the place of", func(c *Event) bool { return c.Outcome.GetParked() > 0 && c.Outcome.Ref == a.GetUnparks() })
	case a.GetOrigin() != nil:
		return r.asker(ctx, e)
	case a.GetFire() != nil:
		return own("scheduled by", func(c *Event) bool {
			id := a.GetFire().ScheduleId
			return c.Outcome.GetAction().GetFire().GetScheduleId() != id && sets(c.Outcome, id)
		})
	}
	id := a.GetCaller().GetConnectionId()
	if d := a.GetDisconnect(); d != nil {
		id = d.ConnectionId
	}
	if id != "" && a.GetConnect() == nil && a.GetHandshake().GetConnectionId() != id {
		return own("came through the connection of", func(c *Event) bool {
			return c.Outcome.GetAction().GetConnect() != nil && c.Outcome.Action.GetHandshake().GetConnectionId() == id
		})
	}
	if done := e.Outcome.GetCompleted(); len(done) > 0 && (id == "" || a.GetComplete() != nil) { // also by an action that the actor's loop asked for
		return own("completes", func(c *Event) bool { return c.Outcome.GetEnqueued() && c.Outcome.Ref == done[0].MessageId })
	}
	return "", nil, "", nil
}

func sets(o *actorlogv1.Outcome, schedule string) bool {
	return slices.ContainsFunc(o.GetScheduled(), func(s *actorlogv1.Schedule) bool { return s.Id == schedule })
}

// earlier is the newest event of the same life of the same actor, before e, that matches.
func (r *Reader) earlier(ctx context.Context, e *Event, match func(*Event) bool) (*Event, error) {
	c := chain{r: r, partition: e.Position.Partition, hash: e.Hash}
	for e != nil && !e.creates() {
		var err error
		if e, err = c.previous(ctx, e); err != nil {
			return nil, err
		}
		if e != nil && match(e) {
			return e, nil
		}
	}
	return nil, nil
}

// asker is the outcome of the action of another actor that asked.
func (r *Reader) asker(ctx context.Context, e *Event) (how string, cause *Event, missing string, err error) {
	origin := e.Outcome.Action.Origin
	how = "called by"
	if origin.Number&actor.SendNumbers != 0 {
		how = "sent by"
	}
	hash, ok := schemas.ParseHash(origin.Actor)
	if !ok || r.Partition(hash) != origin.Partition {
		return how, nil, "the record does not say by whom", nil
	}
	cause, err = r.answer(ctx, hash, origin.Ref, e.Outcome.Action.TimeUnixMs)
	missing = r.expired()
	if how == "called by" {
		missing = "has not ended, or is " + r.expired()
	}
	return how, cause, missing, orNil(err, ErrGone)
}

// answer is the outcome of an action, at about that time; nil if there is none.
func (r *Reader) answer(ctx context.Context, hash schemas.Hash, ref, ms int64) (*Event, error) {
	return r.lookFor(ctx, hash, ms, func(e *Event) order {
		switch {
		case e.Outcome == nil:
			return unknown
		case e.Outcome.Ref == ref:
			return found
		case e.Outcome.RefusedSince != nil:
			return unknown
		case e.Outcome.Ref < ref:
			return tooEarly
		}
		return tooLate
	})
}
