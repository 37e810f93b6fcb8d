// Command actorlog is the all-in-one program: dev runs broker, worker and gateway in one process.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/examples/refunds"
	"github.com/actorlog/actorlog/projection/chsink"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	"github.com/actorlog/actorlog/web"
)

type cli struct {
	Dev      devCmd      `cmd:"" help:"Run broker, worker with the example actors, and gateway in one process, data on disk; example pages at the root, for browsers. For development: the embedded broker has no replicas."`
	Broker   brokerCmd   `cmd:"" help:"Run the embedded broker alone, for several workers and gateways on one machine. For development and tests."`
	Parked   parkedCmd   `cmd:"" help:"See what was set aside because workers did not survive it, and have it run again or dismiss it."`
	Audit    auditCmd    `cmd:"" help:"Ask what happened, and whether the log is what was written."`
	Archive  archiveCmd  `cmd:"" help:"Copy events that are not archived yet into files, from which history can be read when the brokers have forgotten it."`
	Backup   backupCmd   `cmd:"" help:"Copy all topics into files."`
	Restore  restoreCmd  `cmd:"" help:"Fill empty topics with a backup."`
	Erase    eraseCmd    `cmd:"" help:"Erase one actor for ever, if its records are sealed: destroy it, and the keys without which nobody can read them. Reports what is left where."`
	Rekey    rekeyCmd    `cmd:"" help:"Wrap the keys of actors by another master key: the first line of --seal-key-file."`
	Move     moveCmd     `cmd:"" help:"Take all actors to other topics: another number of partitions, prefix or cluster. Everything must be at rest."`
	Capacity capacityCmd `cmd:"" help:"Predict how many brokers, workers and gateways it takes for so many actors, actions and sockets."`
	History  historyCmd  `cmd:"" help:"What happened to an actor, event by event."`
	State    stateCmd    `cmd:"" help:"The state of an actor, now or after any event of its history."`
	Diff     diffCmd     `cmd:"" help:"What changed of an actor between two points of its history."`
	Step     stepCmd     `cmd:"" help:"Walk through the history of an actor, forward and backward: n, p, g POINT, q; as keys in a terminal, else as lines."`
	Why      whyCmd      `cmd:"" help:"Why an event happened, across actors, and what came of it."`
	Verify   verifyCmd   `cmd:"" help:"Run recorded actions of the example kinds again on this code, and tell what differs. Exit status: 0 nothing, 1 something, 2 it could not be found out."`
	Fork     forkCmd     `cmd:"" help:"Copy an actor, as it was at a point, to a new key. Workers must run."`
	Undo     undoCmd     `cmd:"" help:"Give an actor the state that it had before, by an action that is recorded. Workers must run."`
	Export   exportCmd   `cmd:"" help:"Write the history of an actor to a file, which history, state, diff, step, why, verify and import read without brokers."`
	Import   importCmd   `cmd:"" help:"Make an actor of what another one was, in a file that export wrote. Workers must run."`
	Actors   actorsCmd   `cmd:"" help:"List actors, show one, wake it, put it to sleep, end it."`
	Topics   topicsCmd   `cmd:"" help:"What topics there are, and which rights the programs need on them."`
	Doctor   doctorCmd   `cmd:"" help:"Check brokers, topics, rights, clocks, versions and lag, and say what to do."`
	app.Log  `group:"Logs"`

	Projection projectionCmd `cmd:"" help:"See, rebuild and switch the projection of the log in ClickHouse."`
}

// Embedded flags: the broker in this process.
type Embedded struct {
	Data        string `help:"Directory of all data." type:"path" default:".actorlog" env:"ACTORLOG_DATA"`
	KafkaListen string `help:"Where the embedded broker listens, so that rpk, kcat and the like can look at the topics." default:"127.0.0.1:9092" env:"ACTORLOG_KAFKA_LISTEN"`
	Fsync       bool   `help:"Wait for the disk before acknowledging. Without it, as with Kafka's default, what was acknowledged survives the death of the process but not of the machine." env:"ACTORLOG_FSYNC"`
}

func (e Embedded) start(log *zap.Logger) (*kafkalog.Embedded, error) {
	return kafkalog.StartEmbedded(kafkalog.EmbeddedConfig{
		DataDir: filepath.Join(e.Data, "broker"), Listen: e.KafkaListen, SyncWrites: e.Fsync, Logger: log.Named("broker"),
	})
}

type devCmd struct {
	Embedded    `group:"Embedded broker"`
	app.Topics  `group:"Embedded broker"`
	app.Worker  `group:"Worker"`
	app.Gateway `group:"Gateway"`
	app.Ops     `group:"Operation"`
	TLS         bool   `group:"Gateway" help:"Serve HTTPS with HTTP/2, with a certificate for localhost that is signed by itself and kept with the data." env:"ACTORLOG_TLS"`
	Seed        string `group:"Examples" help:"Have something happen to example actors first: refunds, in which docs/debugging.md looks for a bug." enum:",refunds" default:""`

	app.ClickHouse `group:"ClickHouse"`
	app.Projector  `group:"ClickHouse"`
}

// Run implements the command.
func (c *devCmd) Run(ctx context.Context, log *zap.Logger) error {
	if c.TLS && c.TLSCert == "" {
		var err error
		if c.TLSCert, c.TLSKey, err = app.SelfSigned(filepath.Join(c.Data, "tls")); err != nil {
			return err
		}
		log.Info("serving with a certificate that is signed by itself; browsers ask once, or trust the file", zap.String("certificate", c.TLSCert))
	}
	l, err := c.Bind()
	if err != nil {
		return err
	}
	defer l.Close()
	p, err := c.Start(ctx, "dev", true, c.Admin, log)
	if err != nil {
		return err
	}
	defer p.Close()
	broker, err := c.start(log)
	if err != nil {
		return err
	}
	defer broker.Close()
	c.MaxRecordBytes = cmp.Or(c.MaxRecordBytes, app.DevRecordBytes)
	brokers, err := app.Brokers{Brokers: []string{broker.Addr()}}.OpenFor(ctx, c.Topics, p)
	if err != nil {
		return err
	}
	defer brokers.Close()
	var db *chsink.DB
	if c.ClickHouse.Given() {
		if db, err = c.ClickHouse.Open(c.Policy(), log); err != nil {
			return err
		}
		defer db.Close()
	}

	data := filepath.Join(c.Data, "worker")
	registry := app.Examples(data)
	p.Verify(registry, brokers)
	// The gateway stops first, so that what its clients wait for is still answered.
	workerCtx, stopWorker := context.WithCancel(context.WithoutCancel(ctx))
	group, gatewayCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := c.Worker.Run(workerCtx, brokers, registry, "dev", data, p)
		if err == nil && gatewayCtx.Err() == nil {
			err = errors.New("the worker ended")
		}
		return err
	})
	if c.Seed != "" {
		group.Go(func() error { return seed(gatewayCtx, brokers, log) })
	}
	if db != nil {
		group.Go(func() error { return c.Projector.Run(workerCtx, brokers, db, p) })
	}
	group.Go(func() error {
		defer stopWorker()
		c.Gateway.Before, c.Gateway.ClickHouse, c.Gateway.Store = web.Handler, c.ClickHouse, data
		return c.Gateway.Run(gatewayCtx, brokers, l, p)
	})
	return group.Wait()
}

// seed has something happen that is worth looking at, once in the life of a log: idempotency keys do not last as long as that.
func seed(ctx context.Context, brokers eventlog.Log, log *zap.Logger) error {
	lamp, err := replay.NewReader(brokers, replay.Options{}).Head(ctx, schemas.HashOf(actor.DefaultNamespace, refunds.Purchases.Name(), schemas.Key{"lamp"}))
	if err != nil {
		return fmt.Errorf("looking whether the log is seeded: %w", err)
	}
	if lamp.Alive && !bytes.Contains(lamp.State, []byte(`"`+refunds.Paid+`"`)) { // the last thing that a seed does is to cancel it
		log.Info("this log was seeded before; remove the data to begin anew")
		return nil
	}
	client, err := remote.Open(brokers, remote.Config{Logger: log})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := refunds.Seed(ctx, client); err != nil {
		return err
	}
	log.Info("seeded: ask for the state of wallet ann, or see docs/debugging.md")
	return nil
}

type brokerCmd struct {
	Embedded `group:"Embedded broker"`
}

// Run implements the command.
func (c *brokerCmd) Run(ctx context.Context, log *zap.Logger) error {
	broker, err := c.start(log)
	if err != nil {
		return err
	}
	defer broker.Close()
	log.Info("broker listening", zap.String("address", broker.Addr()))
	<-ctx.Done()
	return nil
}

func main() {
	var c cli
	app.Main("actorlog", fmt.Sprintf("actorlog %s: event-sourced actors on a message log.", app.Version()), &c, &c.Log)
}
