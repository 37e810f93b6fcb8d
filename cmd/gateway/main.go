// Command gateway is the stateless edge of actorlog: HTTP, WebSocket and event streams for
// clients, a Kafka-compatible log for everything else. Run as many as you like.
package main

import (
	"context"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/web"
)

type cli struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
	app.Gateway `group:"Gateway"`
	app.Quotas  `group:"Limits"`
	app.Ops     `group:"Operation"`
	Examples    bool `group:"Gateway" help:"Serve the example pages, below /examples/, to browsers: the workers must be those of cmd/worker." env:"ACTORLOG_EXAMPLES"`
	app.Log     `group:"Logs"`

	app.ClickHouse `group:"Operation"`
}

// Run implements the command.
func (c *cli) Run(ctx context.Context, log *zap.Logger) error {
	l, err := c.Bind()
	if err != nil {
		return err
	}
	defer l.Close()
	p, err := c.Start(ctx, "gateway", true, c.Admin, log)
	if err != nil {
		return err
	}
	defer p.Close()
	brokers, err := c.OpenFor(ctx, c.Topics, p)
	if err != nil {
		return err
	}
	defer brokers.Close()
	c.Gateway.Quotas, c.Gateway.ClickHouse = c.Quotas, c.ClickHouse
	if c.Examples {
		c.Gateway.Before = web.Handler
	}
	return c.Gateway.Run(ctx, brokers, l, p)
}

func main() {
	var c cli
	app.Main("gateway", "Serves actors to clients: RivetKit protocol, plain HTTP, event streams. "+
		"Needs brokers; workers may come and go.", &c, &c.Log)
}
