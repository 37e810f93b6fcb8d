package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

type stateCmd struct {
	ofActor
	At  pointText `help:"After which event: a position (3:5310), the number of an event (7, or -1 for the last), a time (2026-11-23T06:31:04Z), or how long ago (15m). Default: now." placeholder:"POINT"`
	All bool      `help:"All that the actor is, as one JSON object: its state, life, connections, schedules and queues."`
}

// Run implements the command.
func (c *stateCmd) Run(ctx context.Context, log *zap.Logger) error {
	at, err := point("--at", c.At)
	if err != nil {
		return err
	}
	return c.on(ctx, log, func(out io.Writer, r *replay.Reader, hash schemas.Hash) error {
		a, err := r.State(ctx, hash, at)
		if err != nil {
			return err
		}
		if a.LastOffset < 0 && at.IsNow() {
			return c.unknown()
		}
		v := replay.ViewOf(&a, r.Partition(hash))
		if c.All {
			return indented(out, v)
		}
		return indented(out, v.State)
	})
}

type diffCmd struct {
	ofActor
	From          pointText `help:"The earlier point: a position, the number of an event, a time, or how long ago. Default: just before the event at --to." placeholder:"POINT"`
	To            pointText `help:"The later point. Default: now." placeholder:"POINT"`
	With          []string  `sep:"none" placeholder:"PART" help:"Compare with another actor of this kind, such as a fork: its key, once for each part; or its id. Then --from is a point of the one, --to a point of the other, and both are now by default."`
	WithNamespace string    `placeholder:"NAME" help:"Namespace of the other actor. Default: the same."`
	Patch         bool      `help:"Print the difference of the states as a JSON Patch (RFC 6902), on one line."`
	JSON          bool      `name:"json" help:"Print patch and changes as one JSON object."`
}

// Run implements the command.
func (c *diffCmd) Run(ctx context.Context, log *zap.Logger) error {
	from, err := point("--from", c.From)
	if err != nil {
		return err
	}
	to, err := point("--to", c.To)
	if err != nil {
		return err
	}
	return c.on(ctx, log, func(out io.Writer, r *replay.Reader, hash schemas.Hash) error {
		before, after, err := c.actors(ctx, r, hash, from, to)
		if err != nil {
			return err
		}
		d, err := replay.Diff(&before, &after)
		switch {
		case err != nil:
			return err
		case c.Patch:
			return jsonLine(out, d.Patch)
		case c.JSON:
			return indented(out, d)
		}
		var text bytes.Buffer
		printDifference(&text, d, "")
		_, err = text.WriteTo(out)
		return err
	})
}

// actors is what is compared.
func (c *diffCmd) actors(ctx context.Context, r *replay.Reader, hash schemas.Hash, from, to replay.Point) (before, after machine.Actor, err error) {
	if len(c.With) == 0 {
		before, after, err = r.Between(ctx, hash, from, to)
		if err == nil && after.LastOffset < 0 && to.IsNow() {
			err = c.unknown()
		}
		return before, after, err
	}
	if c.File != "" {
		return before, after, errors.New("--with: a file has one actor alone; import it, and compare with the copy")
	}
	if before, err = r.State(ctx, hash, from); err == nil && before.LastOffset < 0 && from.IsNow() {
		err = c.unknown()
	}
	if err != nil {
		return before, after, err
	}
	other := whom{Kind: cmp.Or(before.Kind, c.Kind), Key: c.With, Namespace: cmp.Or(c.WithNamespace, before.Namespace, c.Namespace)}
	if _, err := schemas.ParseActorID(c.With[0]); err == nil && len(c.With) == 1 {
		other.Kind, other.Key = c.With[0], nil
	}
	with, err := other.hash()
	if err != nil {
		return before, after, fmt.Errorf("--with: %w", err)
	}
	if after, err = r.State(ctx, with, to); err == nil && after.LastOffset < 0 && to.IsNow() {
		err = other.unknown()
	}
	return before, after, err
}
