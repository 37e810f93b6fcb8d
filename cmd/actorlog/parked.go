package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/schemas"
)

type parkedCmd struct {
	List    parkedList    `cmd:"" default:"withargs" help:"List what is parked: position, time, actor, what it was, and how many workers it ended."`
	Retry   parkedRetry   `cmd:"" help:"Have an action run again, as a new action of the same actor, or an actor read again from its events. Workers must run."`
	Dismiss parkedDismiss `cmd:"" help:"Record that an action stays undone, or that an actor goes on as it was before what cannot be read. Workers must run."`
}

// onBrokers is how the subcommands reach the log.
type onBrokers struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
}

func (o onBrokers) with(ctx context.Context, log *zap.Logger, do func(*remote.Client) error) error {
	l, err := o.OpenExisting(ctx, o.Topics, log)
	if err != nil {
		return err
	}
	defer l.Close()
	client, err := remote.Open(l, remote.Config{Logger: log})
	if err != nil {
		return err
	}
	defer client.Close()
	return do(client)
}

type parkedList struct{ onBrokers }

// Run implements the command.
func (c *parkedList) Run(ctx context.Context, log *zap.Logger) error {
	return c.with(ctx, log, func(client *remote.Client) error {
		items, err := client.Parked(ctx)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			fmt.Println("Nothing is parked.")
			return nil
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "POSITION\tTIME\tACTOR\tWHAT\tATTEMPTS")
		for i := range items {
			item := &items[i]
			when, who := "", item.Hash.String()
			if o := item.Outcome; o != nil {
				when = time.UnixMilli(o.TimeUnixMs).UTC().Format(time.RFC3339)
				who = o.Actor.Kind + " " + schemas.Key(o.Actor.Key).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", item.Position, when, who, item.Describe(), item.Outcome.GetParked())
		}
		return w.Flush()
	})
}

// position is the argument of the subcommands.
type position struct {
	Position string `arg:"" help:"As parked list tells it: shard:offset."`
}

type parkedRetry struct {
	onBrokers
	position
}

// Run implements the command.
func (c *parkedRetry) Run(ctx context.Context, log *zap.Logger) error {
	return c.with(ctx, log, func(client *remote.Client) error { return unpark(ctx, client, c.Position, false) })
}

type parkedDismiss struct {
	onBrokers
	position
}

// Run implements the command.
func (c *parkedDismiss) Run(ctx context.Context, log *zap.Logger) error {
	return c.with(ctx, log, func(client *remote.Client) error { return unpark(ctx, client, c.Position, true) })
}

func unpark(ctx context.Context, client *remote.Client, text string, dismiss bool) error {
	at, err := schemas.ParsePosition(text)
	if err != nil {
		return err
	}
	d, err := client.Unpark(ctx, at, dismiss)
	if err != nil {
		return err
	}
	err = actor.OutcomeError(d.Outcome)
	switch {
	case err != nil && d.Outcome.GetAction().GetRepair() != nil:
		return fmt.Errorf("the actor is still out of service, at %s: %w", d.Position, err)
	case err != nil:
		return fmt.Errorf("it ran, at %s: %w", d.Position, err)
	case d.Outcome.Repaired != nil:
		fmt.Printf("The actor is in service again, at %s.\n", d.Position)
		return nil
	case dismiss:
		fmt.Printf("Dismissed, at %s.\n", d.Position)
		return nil
	}
	fmt.Printf("It ran, at %s, and returned %s\n", d.Position, d.Outcome.ResultJson)
	return nil
}
