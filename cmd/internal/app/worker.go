package app

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
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
	Standby         bool          `help:"Follow the shards of other workers as well, so that taking one over costs the same however many actors it has. Reads all that all workers record; --data should be given." env:"ACTORLOG_STANDBY"`
	CodeVersion     string        `help:"Version of the actors' code, written into the log." default:"${version}" env:"ACTORLOG_CODE_VERSION"`
	WorkerVersion   uint64        `help:"Number of that version, fixed when the program is built: a shard that a worker has served is never given to a lower one." default:"0" env:"ACTORLOG_WORKER_VERSION"`
	Region          string        `help:"Region that actors are told they run in." env:"ACTORLOG_REGION"`
}

// Run hosts the example actors until ctx ends. id, when not empty, is the worker's lasting name.
func (w Worker) Run(ctx context.Context, brokers eventlog.Log, id, dataDir string, log *zap.Logger) error {
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
	log = log.Named("worker")
	worker, err := host.Open(brokers, registry, host.Config{
		ID: id, StableID: id != "", Version: w.CodeVersion, VersionNumber: w.WorkerVersion, Region: w.Region, DataDir: dataDir,
		SleepAfter: w.SleepAfter, ActionTimeout: w.ActionTimeout, CheckpointEvery: w.CheckpointEvery, MailboxSize: w.MailboxSize, Standby: w.Standby,
		Events: workerEvents(log),
	})
	if err != nil {
		return err
	}
	log.Info("worker started", zap.Strings("kinds", registry.Kinds()))
	err = worker.Run(ctx)
	if closeErr := worker.Close(); err == nil {
		err = closeErr
	}
	log.Info("worker stopped", zap.Error(err))
	return err
}

func workerEvents(log *zap.Logger) host.EventListener {
	return host.EventListener{
		ShardOpened: func(e host.ShardOpened) {
			// Every shard at every start is too much for a terminal; a recovery that took
			// its time is what an operator looks for.
			level := zap.DebugLevel
			if e.Duration > time.Second {
				level = zap.InfoLevel
			}
			log.Log(level, "shard opened", zap.Int32("shard", e.Partition), zap.Int64("epoch", e.Epoch), zap.Bool("warm", e.Warm), zap.Int("snapshots", e.Snapshots),
				zap.Int("events", e.Events), zap.Int64("resume_at", e.ResumeAt), zap.Duration("took", e.Duration))
		},
		ShardClosed: func(p int32, err error) {
			level := zap.DebugLevel
			if err != nil {
				level = zap.WarnLevel
			}
			log.Log(level, "shard closed", zap.Int32("shard", p), zap.NamedError("reason", err))
		},
		ShardRetry: func(p int32, err error) { log.Warn("shard will be tried again", zap.Int32("shard", p), zap.Error(err)) },
		StandbyRetry: func(p int32, err error) {
			log.Warn("shard of another worker will be followed anew", zap.Int32("shard", p), zap.Error(err))
		},
		Checkpoint: func(e host.Checkpoint) {
			if e.Err != nil {
				log.Warn("checkpoint", zap.Int32("shard", e.Partition), zap.Error(e.Err))
				return
			}
			log.Debug("checkpoint", zap.Int32("shard", e.Partition), zap.Int("snapshots", e.Snapshots), zap.Duration("took", e.Duration))
		},
		ActionFailed: func(e host.ActionFailed) {
			log.Error("action failed", zap.String("actor", e.ActorID), zap.String("kind", e.Kind), zap.String("key", e.Key),
				zap.String("action", e.Action), zap.String("request", e.RequestID), zap.String("detail", e.Detail))
		},
		BadRecord: func(topic string, p int32, offset int64, err error) {
			log.Warn("record passed over", zap.String("topic", topic), zap.Int32("shard", p), zap.Int64("offset", offset), zap.Error(err))
		},
		ActorBroken: func(id string, err error) { log.Error("actor out of service", zap.String("actor", id), zap.Error(err)) },
	}
}
