package move

import (
	"context"
	"errors"
	"fmt"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// ErrBusy says that something is under way in the old log. The text says what, and what to do.
var ErrBusy = errors.New("the log is not at rest")

// Quiet says whether nothing is under way in a log: nil, or ErrBusy with what is, of every shard.
func Quiet(ctx context.Context, from eventlog.Source) error {
	var busy []error
	for p := range from.Partitions() {
		heads, err := replay.NewReader(from, replay.Options{}).Heads(ctx, p)
		if err != nil {
			return err
		}
		if err := quiet(ctx, from, p, heads); errors.Is(err, ErrBusy) {
			busy = append(busy, err)
		} else if err != nil {
			return err
		}
	}
	return errors.Join(busy...)
}

// quiet is Quiet of one shard.
func quiet(ctx context.Context, from eventlog.Source, p int32, heads map[schemas.Hash]machine.Actor) error {
	start, end, err := from.Bounds(ctx, eventlog.Events, p)
	if err != nil {
		return fmt.Errorf("asking for the bounds of events[%d]: %w", p, err)
	}
	actionsStart, actionsEnd, err := from.Bounds(ctx, eventlog.Actions, p)
	if err != nil {
		return fmt.Errorf("asking for the bounds of actions[%d]: %w", p, err)
	}
	if start == end && actionsStart == actionsEnd {
		return nil // nobody was ever here
	}
	mark, err := replay.NewReader(from, replay.Options{}).Checkpoint(ctx, p)
	if err != nil {
		return err
	}
	if mark.GetEventsOffset() != end {
		return fmt.Errorf("%w: shard %d was not given away in peace: its last checkpoint is at %d of events, which end at %d; start a worker and stop it with SIGTERM", ErrBusy, p, mark.GetEventsOffset(), end)
	}
	if n := len(mark.Undelivered); n > 0 {
		return fmt.Errorf("%w: %d outcomes of shard %d sent messages that may not have arrived; start a worker until they have", ErrBusy, n, p)
	}
	waiting := 0
	err = eventlog.Scan(ctx, from, eventlog.Actions, p, max(actionsStart, mark.ActionsOffset), actionsEnd, func(r *eventlog.Record) error {
		hash, ok := schemas.ParseHash(r.Key)
		if a, known := heads[hash]; ok && (!known || !a.Answered(r.Offset)) {
			if _, err := schemas.DecodeAs[*actorlogv1.Action](schemas.Type(r.Header(schemas.HeaderType)), r.Value); err == nil {
				waiting++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if waiting > 0 {
		return fmt.Errorf("%w: %d actions of shard %d are not answered; stop the gateways, and let a worker answer them", ErrBusy, waiting, p)
	}
	for _, a := range heads {
		if n := len(a.Connections); n > 0 {
			return fmt.Errorf("%w: actor %s has %d connections; stop the gateways, and let workers run until their leases are over (15 s)", ErrBusy, name(&a), n)
		}
	}
	return nil
}

func name(a *machine.Actor) string {
	return fmt.Sprintf("%s %s (%s)", a.Kind, a.Key, a.ID())
}
