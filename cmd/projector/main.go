// Command projector keeps a projection of the log in ClickHouse, for questions about all actors.
package main

import (
	"context"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/cmd/internal/app"
)

type cli struct {
	app.Brokers    `group:"Brokers"`
	app.Topics     `group:"Brokers"`
	app.ClickHouse `group:"ClickHouse"`
	app.Projector  `group:"Projection"`
	app.Ops        `group:"Operation"`
	app.Admin      `group:"Operation"`
	app.Log        `group:"Logs"`
}

// Run implements the command.
func (c *cli) Run(ctx context.Context, log *zap.Logger) error {
	db, err := c.ClickHouse.Open(c.Policy(), log)
	if err != nil {
		return err
	}
	defer db.Close()
	p, err := c.Start(ctx, "projector", false, c.Admin, log)
	if err != nil {
		return err
	}
	defer p.Close()
	brokers, err := c.OpenFor(ctx, c.Topics, p)
	if err != nil {
		return err
	}
	defer brokers.Close()
	// It is ready when it can do its work, or will as soon as ClickHouse is back: nobody waits for it.
	p.SetReady(func(context.Context) error { return nil })
	return c.Projector.Run(ctx, brokers, db, p)
}

func main() {
	var c cli
	app.Main("projector", "Keeps a projection of the log in ClickHouse: events, actors, broadcasts, schedules, connections and what is parked. It may be stopped, killed or run twice at any time.", &c, &c.Log)
}
