package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Parked is an action that was set aside because workers did not survive it, or an actor that is out of service because its history cannot be read.
type Parked struct {
	// Position of the outcome that set the action aside, or of the event from which on the actor cannot be read.
	Position schemas.Position
	Hash     schemas.Hash
	// Ref of the action.
	Ref int64
	// Outcome that set the action aside; nil for an actor, and when the event has expired.
	Outcome *actorlogv1.Outcome
	// Broken is why the actor cannot be read, empty for an action.
	Broken string
}

// ErrNotParked: there is no such item, or not any more.
var ErrNotParked = errors.New("nothing is parked there: see what is listed")

// Parked lists what is parked, in the order of the log. It reads the latest checkpoint of every shard, and what was recorded since, and asks no worker.
func (c *Client) Parked(ctx context.Context) ([]Parked, error) {
	var all []Parked
	for p := range c.log.Partitions() {
		items, err := c.parkedIn(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("listing what is parked in shard %d: %w", p, err)
		}
		all = append(all, items...)
	}
	return all, nil
}

func (c *Client) parkedIn(ctx context.Context, p int32) ([]Parked, error) {
	mark, err := c.checkpoint(ctx, p)
	if err != nil {
		return nil, err
	}
	parked, broken := make(map[int64]Parked), make(map[schemas.Hash]Parked)
	for _, item := range mark.GetParked() {
		hash, _ := schemas.ParseHash(item.Actor)
		found := Parked{Position: schemas.Position{Partition: p, Offset: item.Offset}, Hash: hash, Ref: item.Ref, Broken: item.Broken}
		if item.Broken != "" {
			broken[hash] = found
			continue
		}
		d, err := c.fetch(ctx, p, item.Offset, hash)
		if err != nil && !errors.Is(err, ErrGone) {
			return nil, err
		}
		if err == nil {
			found.Outcome = d.Outcome
		}
		parked[item.Ref] = found
	}
	start, end, err := c.log.Bounds(ctx, eventlog.Events, p)
	if err != nil {
		return nil, err
	}
	from, fence := start, machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	if mark != nil {
		from, fence = max(start, mark.EventsOffset), machine.NewFence(mark.Epoch, mark.Version, mark.EventsOffset-1)
	}
	err = eventlog.Scan(ctx, c.log, eventlog.Events, p, from, end, func(r *eventlog.Record) error {
		t := schemas.Type(r.Header(schemas.HeaderType))
		switch t {
		case schemas.TypeClaim:
			if claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value); err == nil {
				fence.Claim(r.Offset, claim)
			}
			return nil
		case schemas.TypeOutcome, schemas.TypeStep:
			if !fence.Admits(schemas.PlaceOf(r.Value)) || t == schemas.TypeStep {
				return nil
			}
		default:
			return nil
		}
		hash, _ := schemas.ParseHash(r.Key)
		o, err := outcomeOf(r)
		if err != nil || o.RefusedSince != nil {
			return nil //nolint:nilerr // its actor is out of service; the next checkpoint says so
		}
		if a := o.GetAction(); a != nil && a.Unparks != nil {
			delete(parked, *a.Unparks)
		}
		if o.Repaired != nil {
			delete(broken, hash)
		}
		if o.Parked > 0 {
			parked[o.Ref] = Parked{Position: schemas.Position{Partition: p, Offset: r.Offset}, Hash: hash, Ref: o.Ref, Outcome: o}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	items := slices.AppendSeq(slices.Collect(maps.Values(parked)), maps.Values(broken))
	slices.SortFunc(items, func(a, b Parked) int { return cmp.Compare(a.Position.Offset, b.Position.Offset) })
	return items, nil
}

// checkpoint reads a shard's latest checkpoint; nil when there is none.
func (c *Client) checkpoint(ctx context.Context, p int32) (*actorlogv1.Checkpoint, error) {
	r, err := eventlog.Latest(ctx, c.log, eventlog.Snapshots, p, []byte(schemas.CheckpointKey))
	if err != nil || r == nil {
		return nil, err
	}
	return schemas.DecodeAs[*actorlogv1.Checkpoint](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
}

// Unpark has a parked actor read again from its events; or, if that is to be dismissed, go on as it was before what cannot be read. Or it has a parked action run again, as a new action of the same actor, and returns its outcome; or, if it is to be dismissed, records only that it stays undone. What the first one was
// part of, such as a call of another actor, a firing schedule or a connection, has gone on without it: its caller was told. ErrNotParked when it is not parked.
func (c *Client) Unpark(ctx context.Context, at schemas.Position, dismiss bool) (*Delivery, error) {
	if at.Partition < 0 || at.Partition >= c.log.Partitions() {
		return nil, ErrNotParked
	}
	items, err := c.parkedIn(ctx, at.Partition)
	if err != nil {
		return nil, fmt.Errorf("looking for what is parked at %s: %w", at, err)
	}
	i := slices.IndexFunc(items, func(item Parked) bool { return item.Position == at })
	if i < 0 {
		return nil, ErrNotParked
	}
	item := items[i]
	a := &actorlogv1.Action{Unparks: proto.Int64(item.Ref), Actor: &actorlogv1.Actor{}, Body: &actorlogv1.Action_Dismiss{Dismiss: new(actorlogv1.Dismiss)}}
	if item.Broken != "" {
		a.Unparks, a.Body = nil, &actorlogv1.Action_Repair{Repair: &actorlogv1.Repair{Skip: dismiss}}
	}
	if item.Outcome != nil {
		to := item.Outcome.Actor
		a.Actor = &actorlogv1.Actor{Namespace: to.Namespace, Kind: to.Kind, Key: to.Key}
	}
	if !dismiss && item.Broken == "" {
		first := item.Outcome.GetAction()
		switch first.GetBody().(type) {
		case *actorlogv1.Action_Invoke, *actorlogv1.Action_Enqueue, *actorlogv1.Action_Read, *actorlogv1.Action_Destroy, *actorlogv1.Action_Request:
		default:
			return nil, actor.ErrInvalidRequest.Messagef("Only what was asked of an actor by itself can be asked again: actions, messages of queues, requests. Dismiss it.")
		}
		a.Body, a.Creation = first.Body, first.Creation
	}
	d, _, err := c.Do(ctx, Request{Hash: item.Hash, Action: a})
	if err != nil {
		return nil, fmt.Errorf("asking actor %s: %w", item.Hash, err)
	}
	return d, nil
}

// Describe says in a few words what was parked.
func (p *Parked) Describe() string {
	if p.Broken != "" {
		return "the actor cannot be read: " + p.Broken
	}
	body := p.Outcome.GetAction().ProtoReflect()
	what := "an action whose outcome has expired"
	if f := body.WhichOneof(body.Descriptor().Oneofs().ByName("body")); f != nil {
		what = string(f.Name())
	}
	if i := p.Outcome.GetAction().GetInvoke(); i != nil {
		what = "action " + i.Name + "(" + strings.TrimSuffix(strings.TrimPrefix(string(i.ArgsJson), "["), "]") + ")"
	}
	return what
}
