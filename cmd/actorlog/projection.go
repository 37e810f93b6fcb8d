package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/cmd/internal/app"
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

type projectionStatus struct {
	app.Brokers    `group:"Brokers"`
	app.Topics     `group:"Brokers"`
	app.ClickHouse `group:"ClickHouse"`
}

// Run implements the command.
func (c *projectionStatus) Run(ctx context.Context, log *zap.Logger) error {
	return open(c.ClickHouse, log, func(db *chsink.DB) error {
		l, err := c.Brokers.OpenExisting(ctx, c.Topics, log)
		if err != nil {
			return err
		}
		defer l.Close()
		builds, err := db.Status(ctx, l)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "BUILD\tSHOWN\tSCHEMA\tPROJECTED\tBEHIND\tLOG")
		for _, b := range builds {
			shown := ""
			if b.Shown {
				shown = "yes"
			}
			fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%d\t%s\n", b.Build, shown, b.Schema, b.Projected, b.Behind, b.Log)
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
			b, err := db.StatusOf(ctx, l, number)
			if err != nil {
				return err
			}
			if b.Behind == 0 {
				break
			}
			log.Info("waiting", zap.Int64("projected", b.Projected), zap.Int64("behind", b.Behind))
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
		return switched(number, db.Switch(ctx, number))
	})
}

func switched(number uint32, err error) error {
	if err == nil {
		fmt.Printf("The views show build %d.\n", number)
	}
	return err
}

type projectionSwitch struct {
	app.Brokers    `group:"Brokers"`
	app.Topics     `group:"Brokers"`
	app.ClickHouse `group:"ClickHouse"`
	Build          uint32 `arg:"" help:"Its number, as projection status tells it."`
	Force          bool   `help:"Even if it is behind the log."`
}

// Run implements the command.
func (c *projectionSwitch) Run(ctx context.Context, log *zap.Logger) error {
	return open(c.ClickHouse, log, func(db *chsink.DB) error {
		if c.Force {
			return switched(c.Build, db.Switch(ctx, c.Build))
		}
		l, err := c.Brokers.OpenExisting(ctx, c.Topics, log)
		if err != nil {
			return err
		}
		defer l.Close()
		if err = db.SwitchTo(ctx, l, c.Build); errors.Is(err, chsink.ErrBehind) || errors.Is(err, chsink.ErrOtherLog) {
			return fmt.Errorf("%w (--force)", err)
		}
		return switched(c.Build, err)
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
