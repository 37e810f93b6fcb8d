package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

type actorsCmd struct {
	List    actorsList    `cmd:"" default:"withargs" help:"List actors, from snapshots and what happened since."`
	Show    actorsShow    `cmd:"" help:"All that an actor is, as one JSON object."`
	Wake    actorsWake    `cmd:"" help:"Bring an actor into memory, and start its loop if it has one. Workers must run."`
	Sleep   actorsSleep   `cmd:"" help:"Have an actor leave memory. Its OnSleep runs, if it has one. Workers must run."`
	Destroy actorsDestroy `cmd:"" help:"End an actor. Its OnDestroy runs, if it has one; its history stays. Workers must run."`
}

type actorsList struct {
	reading
	Kind      string `help:"Only actors of this kind."`
	Namespace string `help:"Only actors of this namespace. Default: of all."`
	Ended     bool   `help:"Also actors that were destroyed."`
	Limit     int    `help:"How many to list at most; 0 is all." default:"100"`
}

// Run implements the command.
func (c *actorsList) Run(ctx context.Context, log *zap.Logger) error {
	return c.with(ctx, log, func(out io.Writer, r *replay.Reader) error {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAMESPACE\tKIND\tKEY\tSTATE\tLAST")
		n := 0
		wanted := func(a *actorlogv1.Actor) bool {
			return (c.Kind == "" || a.Kind == c.Kind) && (c.Namespace == "" || a.Namespace == c.Namespace)
		}
	shards:
		for p := range r.Source().Partitions() {
			for a, err := range r.Actors(ctx, p, wanted) {
				if err != nil {
					return err
				}
				state := "lives"
				switch {
				case a.Broken != "":
					state = "broken"
				case !a.Alive && !c.Ended:
					continue
				case !a.Alive:
					state = "ended"
				}
				if c.Limit > 0 && n == c.Limit {
					fmt.Fprintf(os.Stderr, "Only the first %d are listed: --limit 0 lists all.\n", c.Limit)
					break shards
				}
				n++
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", schemas.ActorID{Hash: a.Hash, Generation: a.Actor.Generation}, a.Actor.Namespace, a.Actor.Kind,
					printable(schemas.Key(a.Actor.Key).String()), state, a.Last.UTC().Format(time.RFC3339))
			}
		}
		return w.Flush()
	})
}

type actorsShow struct{ stateCmd }

// Run implements the command.
func (c *actorsShow) Run(ctx context.Context, log *zap.Logger) error {
	c.All = true
	return c.stateCmd.Run(ctx, log)
}

// asking is what the commands that change an actor have in common.
type asking struct {
	onBrokers
	whom
}

// ask has the actor's worker do something to an actor that lives.
func (c *asking) ask(ctx context.Context, log *zap.Logger, a *actorlogv1.Action, done string) error {
	hash, err := c.hash()
	if err != nil {
		return err
	}
	a.Actor = &actorlogv1.Actor{Namespace: c.Namespace, Kind: c.Kind, Key: c.Key}
	if id, err := schemas.ParseActorID(c.Kind); err == nil && len(c.Key) == 0 {
		a.Actor = &actorlogv1.Actor{Generation: id.Generation}
	}
	return c.with(ctx, log, func(client *remote.Client) error {
		d, _, err := client.Do(ctx, remote.Request{Hash: hash, Action: a})
		if err != nil {
			return fmt.Errorf("asking %s: %w: do workers run?", c.whom, err)
		}
		if err := actor.OutcomeError(d.Outcome); err != nil {
			return fmt.Errorf("asking %s: %w", c.whom, err)
		}
		fmt.Printf("%s, at %s.\n", done, d.Position)
		return nil
	})
}

type actorsWake struct{ asking }

// Run implements the command.
func (c *actorsWake) Run(ctx context.Context, log *zap.Logger) error {
	return c.ask(ctx, log, &actorlogv1.Action{Body: &actorlogv1.Action_Wake{Wake: new(actorlogv1.Wake)}}, "Awake")
}

type actorsSleep struct{ asking }

// Run implements the command.
func (c *actorsSleep) Run(ctx context.Context, log *zap.Logger) error {
	return c.ask(ctx, log, &actorlogv1.Action{Body: &actorlogv1.Action_Sleep{Sleep: new(actorlogv1.Sleep)}}, "It leaves memory within seconds, unless somebody calls it")
}

type actorsDestroy struct {
	asking
	Yes bool `help:"Say that you mean it." short:"y"`
}

// Run implements the command.
func (c *actorsDestroy) Run(ctx context.Context, log *zap.Logger) error {
	if !c.Yes {
		return fmt.Errorf("this ends %s in namespace %s, with all connections, schedules and messages of it; its history stays. Say --yes if you mean it", c.whom, c.Namespace)
	}
	return c.ask(ctx, log, &actorlogv1.Action{Body: &actorlogv1.Action_Destroy{Destroy: new(actorlogv1.Destroy)}}, "Destroyed")
}
