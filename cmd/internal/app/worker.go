package app

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/examples/account"
	"github.com/actorlog/actorlog/examples/census"
	"github.com/actorlog/actorlog/examples/chat"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/examples/cursors"
	"github.com/actorlog/actorlog/examples/fanout"
	"github.com/actorlog/actorlog/examples/lobby"
	"github.com/actorlog/actorlog/examples/metronome"
	"github.com/actorlog/actorlog/examples/refunds"
	"github.com/actorlog/actorlog/examples/register"
	"github.com/actorlog/actorlog/examples/tasks"
	"github.com/actorlog/actorlog/examples/votes"
)

// Worker flags.
type Worker struct {
	SleepAfter      time.Duration `help:"How long an actor stays in memory without work." default:"30s" env:"ACTORLOG_SLEEP_AFTER"`
	ActionTimeout   time.Duration `help:"How long one action may run." default:"60s" env:"ACTORLOG_ACTION_TIMEOUT"`
	CheckpointEvery time.Duration `help:"Longest time between checkpoints of a shard that changes: bounds what a recovery reads." default:"30s" env:"ACTORLOG_CHECKPOINT_EVERY"`
	MailboxSize     int           `help:"How many actions may wait for one actor before further ones are refused as overloaded." default:"1000" env:"ACTORLOG_MAILBOX_SIZE"`
	ParkAfter       int           `help:"How many deaths of its workers, one after the other, set an action aside that none of them survived." default:"3" env:"ACTORLOG_PARK_AFTER"`
	Standby         bool          `help:"Follow the shards of other workers as well, so that taking one over costs the same however many actors it has. Reads all that all workers record; --data should be given." env:"ACTORLOG_STANDBY"`
	CodeVersion     string        `help:"Version of the actors' code, written into the log." default:"${version}" env:"ACTORLOG_CODE_VERSION"`
	WorkerVersion   uint64        `help:"Number of that version, fixed when the program is built: a shard that a worker has served is never given to a lower one." default:"0" env:"ACTORLOG_WORKER_VERSION"`
	Region          string        `help:"Region that actors are told they run in." env:"ACTORLOG_REGION"`
}

// Examples is the kinds of examples/. dataDir is where those that write files have them; empty: where the system has temporary ones.
func Examples(dataDir string) *actor.Registry {
	registry := actor.NewRegistry()
	account.Register(registry)
	chat.Register(registry)
	counter.Register(registry)
	cursors.Register(registry)
	lobby.Register(registry)
	census.Register(registry)
	// Beside the local store, which is a cache that may be deleted at any time; these files are not.
	tasks.Register(registry, tasks.Dir(cmp.Or(dataDir, filepath.Join(os.TempDir(), "actorlog"))+"-files"))
	votes.Register(registry)
	fanout.Register(registry)
	metronome.Register(registry)
	refunds.Register(registry)
	register.Register(registry)
	return registry
}

// Run hosts actors of these kinds until ctx ends. id, when not empty, is the worker's lasting name.
func (w Worker) Run(ctx context.Context, brokers eventlog.Log, registry *actor.Registry, id, dataDir string, p *Process) error {
	log := p.Log.Named("worker")
	worker, err := host.Open(brokers, registry, host.Config{
		ID: id, StableID: id != "", Version: w.CodeVersion, VersionNumber: w.WorkerVersion, Region: w.Region, DataDir: dataDir,
		SleepAfter: w.SleepAfter, ActionTimeout: w.ActionTimeout, CheckpointEvery: w.CheckpointEvery, MailboxSize: w.MailboxSize, ParkAfter: w.ParkAfter, Standby: w.Standby,
		Events: p.Metrics.Worker(log), Tracing: p.Tracing,
		RawRecordBytes: rawRecordBytes(brokers),
	})
	if err != nil {
		return err
	}
	log.Info("worker started", zap.Strings("kinds", registry.Kinds()))
	p.SetReady(func(ctx context.Context) error { return workerReady(ctx, worker, brokers) })
	following, stop := context.WithCancel(ctx)
	var followed sync.WaitGroup
	followed.Go(func() { p.Metrics.FollowWorker(following, worker, brokers) })
	err = worker.Run(ctx)
	stop()
	followed.Wait()
	if closeErr := worker.Close(); err == nil {
		err = closeErr
	}
	log.Info("worker stopped", zap.Error(err))
	return err
}

// workerReady says what is missing until the worker serves.
func workerReady(ctx context.Context, w *host.Worker, brokers eventlog.Log) error {
	if n := w.Recovering(); n > 0 {
		return fmt.Errorf("%d shards are being recovered", n)
	}
	if _, _, err := brokers.Bounds(ctx, eventlog.Actions, 0); err != nil {
		return fmt.Errorf("asking the brokers: %w", err)
	}
	return nil
}
