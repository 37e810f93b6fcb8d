package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/projection/chsink"
)

type projectionCmd struct {
	Status  projectionStatus  `cmd:"" default:"withargs" help:"List the builds of the projection in ClickHouse: which one the views show, and how far each is behind the log."`
	Rebuild projectionRebuild `cmd:"" help:"Add a build, which projectors fill from the beginning of the log beside the others."`
	Switch  projectionSwitch  `cmd:"" help:"Have the views show another build. It must have caught up, but for --force."`
	Drop    projectionDrop    `cmd:"" help:"Drop a build that the views do not show, with its tables."`
}

func open(c app.ClickHouse, log *zap.Logger, do func(*chsink.DB) error) error {
	db, err := c.Open(nil, log) // how long rows are kept is the projector's to say
	if err != nil {
		return err
	}
	defer db.Close()
	return do(db)
}

// lag is how far the builds are behind the log.
type lag struct {
	projected, behind int64
}

func lagOf(ctx context.Context, db *chsink.DB, l eventlog.Log, build uint32) (lag, error) {
	places, err := db.Places(ctx, build)
	if err != nil {
		return lag{}, err
	}
	next := make(map[int32]int64, len(places))
	for _, p := range places {
		next[p.Shard] = p.Next
	}
	var sum lag
	for shard := range l.Partitions() {
		start, end, err := l.Bounds(ctx, eventlog.Events, shard)
		if err != nil {
			return lag{}, fmt.Errorf("asking for the end of events[%d]: %w", shard, err)
		}
		sum.projected += next[shard]
		sum.behind += max(end-max(next[shard], start), 0)
	}
	return sum, nil
}

type projectionStatus struct {
	app.Brokers    `group:"Brokers"`
	app.Topics     `group:"Brokers"`
	app.ClickHouse `group:"ClickHouse"`
}

// Run implements the command.
func (c *projectionStatus) Run(ctx context.Context, log *zap.Logger) error {
	return open(c.ClickHouse, log, func(db *chsink.DB) error {
		builds, err := db.Builds(ctx)
		if err != nil {
			return err
		}
		l, err := c.Brokers.OpenExisting(ctx, c.Topics, log)
		if err != nil {
			return err
		}
		defer l.Close()
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "BUILD\tSHOWN\tSCHEMA\tPROJECTED\tBEHIND\tLOG")
		for _, b := range builds {
			sum, err := lagOf(ctx, db, l, b.Number)
			if err != nil {
				return err
			}
			shown, of := "", "this one"
			if b.Current {
				shown = "yes"
			}
			switch b.Log {
			case "":
				of = "not begun"
			case l.Identity():
			default:
				of = "another one"
			}
			fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%d\t%s\n", b.Number, shown, b.Schema, sum.projected, sum.behind, of)
		}
		return w.Flush()
	})
}

type projectionRebuild struct {
	app.Brokers    `group:"Brokers"`
	app.Topics     `group:"Brokers"`
	app.ClickHouse `group:"ClickHouse"`
	Wait           bool `help:"Wait until it has caught up. A projector must run."`
	Switch         bool `help:"Wait, and then have the views show it."`
}

// Run implements the command.
func (c *projectionRebuild) Run(ctx context.Context, log *zap.Logger) error {
	return open(c.ClickHouse, log, func(db *chsink.DB) error {
		number, err := db.Rebuild(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("Build %d is there. Projectors begin to fill it within seconds; see: actorlog projection status\n", number)
		if !c.Wait && !c.Switch {
			return nil
		}
		l, err := c.Brokers.OpenExisting(ctx, c.Topics, log)
		if err != nil {
			return err
		}
		defer l.Close()
		for {
			sum, err := lagOf(ctx, db, l, number)
			if err != nil {
				return err
			}
			if sum.behind == 0 {
				break
			}
			log.Info("waiting", zap.Int64("projected", sum.projected), zap.Int64("behind", sum.behind))
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		fmt.Printf("Build %d has caught up.\n", number)
		if !c.Switch {
			return nil
		}
		return switchTo(ctx, db, number)
	})
}

func switchTo(ctx context.Context, db *chsink.DB, number uint32) error {
	if err := db.Switch(ctx, number); err != nil {
		return err
	}
	fmt.Printf("The views show build %d.\n", number)
	return nil
}

type projectionSwitch struct {
	app.Brokers    `group:"Brokers"`
	app.Topics     `group:"Brokers"`
	app.ClickHouse `group:"ClickHouse"`
	Build          uint32 `arg:"" help:"Its number, as projection status tells it."`
	Force          bool   `help:"Even if it is behind the log."`
}

// maxBehind is how many records a build may be behind to count as caught up: the log goes on meanwhile.
const maxBehind = 10_000

// Run implements the command.
func (c *projectionSwitch) Run(ctx context.Context, log *zap.Logger) error {
	return open(c.ClickHouse, log, func(db *chsink.DB) error {
		if c.Force {
			return switchTo(ctx, db, c.Build)
		}
		if err := db.Exists(ctx, c.Build); err != nil {
			return err
		}
		l, err := c.Brokers.OpenExisting(ctx, c.Topics, log)
		if err != nil {
			return err
		}
		defer l.Close()
		sum, err := lagOf(ctx, db, l, c.Build)
		if err != nil {
			return err
		}
		if sum.behind > maxBehind {
			return fmt.Errorf("build %d is %s records behind the log: wait until it has caught up, or give --force", c.Build, strconv.FormatInt(sum.behind, 10))
		}
		return switchTo(ctx, db, c.Build)
	})
}

type projectionDrop struct {
	app.ClickHouse `group:"ClickHouse"`
	Build          uint32 `arg:"" help:"Its number, as projection status tells it."`
}

// Run implements the command.
func (c *projectionDrop) Run(ctx context.Context, log *zap.Logger) error {
	return open(c.ClickHouse, log, func(db *chsink.DB) error {
		if err := db.Drop(ctx, c.Build); err != nil {
			return err
		}
		fmt.Printf("Build %d is gone.\n", c.Build)
		return nil
	})
}
