// Command worker hosts the example actors of actorlog. It is also the pattern for a worker of
// your own: a registry with your kinds, and host.Open.
package main

import (
	"context"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/cmd/internal/app"
)

type cli struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
	app.Worker  `group:"Worker"`
	app.Ops     `group:"Operation"`
	app.Admin   `group:"Operation"`
	ID          string `group:"Worker" help:"Lasting name of this worker: with it, a restart takes the same shards back at once. No two live workers may share one. Default: a new name at every start." env:"ACTORLOG_WORKER_ID"`
	Data        string `group:"Worker" help:"Directory of the local store, a cache of the log. One worker at a time may use it. Default: in memory." type:"path" env:"ACTORLOG_DATA"`
	app.Log     `group:"Logs"`
}

// Run implements the command.
func (c *cli) Run(ctx context.Context, log *zap.Logger) error {
	p, err := c.Start(ctx, "worker", false, c.Admin, log)
	if err != nil {
		return err
	}
	defer p.Close()
	brokers, err := c.OpenFor(ctx, c.Topics, p)
	if err != nil {
		return err
	}
	defer brokers.Close()
	registry := app.Examples(c.Data)
	p.Verify(registry, brokers)
	return c.Worker.Run(ctx, brokers, registry, c.ID, c.Data, p)
}

func main() {
	var c cli
	app.Main("worker", "Hosts the example actors, those of examples/. Workers share the shards among themselves.", &c, &c.Log)
}
