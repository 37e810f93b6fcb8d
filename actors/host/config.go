package host

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"
)

// Config of a Worker. The zero value works, with the local store in memory.
type Config struct {
	// ID names the worker in claims and in the group; two live workers must not share one.
	// Default: random.
	ID string
	// StableID makes ID the worker's name in the group, so that a restart under the same ID
	// takes its shards back at once. Default false: every start is a new member.
	StableID bool
	// Group shared by all workers of the application. Default "actorlog".
	Group string
	// Version of the code, written into claims and outcomes. Default "dev".
	Version string
	// VersionNumber orders versions of the code: a shard that a worker has claimed is never served again by a worker with a lower
	// number. Default 0, the lowest.
	VersionNumber uint64
	// Region of the worker, as Ctx.Region tells. Default "".
	Region string
	// DataDir of the local store: a cache of the log, safe to delete while the worker is
	// down. Default: in memory.
	DataDir string
	// Standby has the worker follow the shards that other workers own, in its local store and in memory, so that what it costs to take one over
	// does not depend on how much its actors are. It reads all that all workers record, and writes to its disk what they do. Default false.
	Standby bool
	// MailboxSize is how many actions may wait for one actor; beyond it they are answered
	// with actor.overloaded. Default 1,000.
	MailboxSize int
	// ParkAfter is how many owners of a shard, one after the other, must not have survived what they found before the action that the
	// last one tried is set aside. Default 3.
	ParkAfter int
	// MailboxBytes bounds the same in bytes of their records; one action may be larger. Default 8 MiB.
	MailboxBytes int64
	// MaxQueued is how many actions may wait in one shard before it stops reading until
	// half of them are done. Default 100,000.
	MaxQueued int
	// MaxQueuedBytes bounds the same in bytes of their records; those of one read may come on top. Default 64 MiB.
	MaxQueuedBytes int64
	// SleepAfter is how long an actor stays in memory without work. Default 30 s.
	SleepAfter time.Duration
	// ActionTimeout bounds one action. Default 60 s.
	ActionTimeout time.Duration
	// DrainTimeout bounds the wait for running actions when a shard is given away. Default 10 s.
	DrainTimeout time.Duration
	// ReclaimAfter is how long a shard that another worker claimed stays untouched if the
	// group goes on to say that it is ours. Default 10 s.
	ReclaimAfter time.Duration
	// CheckpointEvery is the longest time between checkpoints of a shard that changes.
	// Default 30 s.
	CheckpointEvery time.Duration
	// CheckpointBytes is how many bytes of events bring the next checkpoint forward.
	// Default 64 MiB.
	CheckpointBytes int64
	// MaxRecordBytes is the largest outcome. If a topic takes less, that becomes the
	// limit with the first outcome that it refuses.
	// Default 8,000,000.
	MaxRecordBytes int
	// RawRecordBytes is the same for the outcome of a raw request, which holds the bodies of request and response.
	// Default MaxRecordBytes.
	RawRecordBytes int
	// Events is told what happens. Default: nobody.
	Events EventListener
	// Tracing makes a span of every action whose record names one. Default none; what an action asks of others still carries on its trace.
	Tracing trace.TracerProvider
}

func (c *Config) setDefaults() {
	def(&c.Group, "actorlog")
	def(&c.Version, "dev")
	def(&c.MailboxSize, 1000)
	def(&c.MailboxBytes, 8<<20)
	def(&c.ParkAfter, 3)
	def(&c.MaxQueued, 100_000)
	def(&c.MaxQueuedBytes, 64<<20)
	def(&c.SleepAfter, 30*time.Second)
	def(&c.ActionTimeout, 60*time.Second)
	def(&c.DrainTimeout, 10*time.Second)
	def(&c.ReclaimAfter, 10*time.Second)
	def(&c.CheckpointEvery, 30*time.Second)
	def(&c.CheckpointBytes, 64<<20)
	def(&c.MaxRecordBytes, 8_000_000)
	def(&c.RawRecordBytes, c.MaxRecordBytes)
}

func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	positive := func(name string, v int64) {
		if v < 0 {
			errs = append(errs, fmt.Errorf("%s is negative", name))
		}
	}
	positive("MailboxSize", int64(c.MailboxSize))
	positive("MailboxBytes", c.MailboxBytes)
	positive("ParkAfter", int64(c.ParkAfter))
	positive("MaxQueued", int64(c.MaxQueued))
	positive("MaxQueuedBytes", c.MaxQueuedBytes)
	positive("SleepAfter", int64(c.SleepAfter))
	positive("ActionTimeout", int64(c.ActionTimeout))
	positive("DrainTimeout", int64(c.DrainTimeout))
	positive("ReclaimAfter", int64(c.ReclaimAfter))
	positive("CheckpointEvery", int64(c.CheckpointEvery))
	positive("CheckpointBytes", c.CheckpointBytes)
	positive("MaxRecordBytes", int64(c.MaxRecordBytes))
	positive("RawRecordBytes", int64(c.RawRecordBytes))
	if !utf8.ValidString(c.Version) || !utf8.ValidString(c.ID) || !utf8.ValidString(c.Region) {
		errs = append(errs, errors.New("ID, Version or Region is not valid UTF-8"))
	}
	if c.StableID && c.ID == "" {
		errs = append(errs, errors.New("StableID needs an ID"))
	}
	return errors.Join(errs...)
}

// EventListener is told what happens in a worker; nil functions are skipped. They are called
// from the worker's goroutines, some at once, and must not block.
type EventListener struct {
	// ShardOpened: the shard is recovered and serves.
	ShardOpened func(ShardOpened)
	// ShardClosed: the shard serves no longer. err is nil when it was given away in peace.
	ShardClosed func(partition int32, err error)
	// ShardRetry: opening the shard was tried and will be tried again.
	ShardRetry func(partition int32, err error)
	// StandbyRetry: following a shard of somebody else ended, and will be begun anew. If it is given to this worker meanwhile, that takes longer.
	StandbyRetry func(partition int32, err error)
	// Checkpoint was written, or could not be.
	Checkpoint func(Checkpoint)
	// ActionFailed: an action failed for a reason that its caller is not told.
	ActionFailed func(ActionFailed)
	// BadRecord: a record was passed over because it cannot be read.
	BadRecord func(topic string, partition int32, offset int64, err error)
	// ActionDone: the outcome of an action is committed. It is called in the order of the outcomes of a shard, which waits for it.
	ActionDone func(ActionDone)
	// ActorBroken: the actor's history cannot be applied; it alone is out of service.
	ActorBroken func(actorID string, err error)
}

// ShardOpened is about a recovery.
type ShardOpened struct {
	Partition int32
	Epoch     int64
	// Snapshots and Events that were read, since the worker was assigned the shard.
	Snapshots, Events int
	// Warm says that the worker had followed the shard before, as a standby.
	Warm bool
	// ResumeAt is the action that is read first.
	ResumeAt int64
	Duration time.Duration
}

// Checkpoint is about one checkpoint of a shard.
type Checkpoint struct {
	Partition int32
	Snapshots int
	Duration  time.Duration
	Err       error
}

// ActionFailed is about one internal error.
type ActionFailed struct {
	ActorID, Kind, Key, Action, RequestID string
	// Span of the action; not valid when nobody traces it.
	Span trace.SpanContext
	// Detail is the error and, for a panic, the stack.
	Detail string
}

func (l *EventListener) ensureDefaults() {
	fill(&l.ShardOpened, func(ShardOpened) {})
	fill(&l.Checkpoint, func(Checkpoint) {})
	fill(&l.ActionFailed, func(ActionFailed) {})
	if l.ShardClosed == nil {
		l.ShardClosed = func(int32, error) {}
	}
	if l.ShardRetry == nil {
		l.ShardRetry = func(int32, error) {}
	}
	if l.StandbyRetry == nil {
		l.StandbyRetry = func(int32, error) {}
	}
	if l.BadRecord == nil {
		l.BadRecord = func(string, int32, int64, error) {}
	}
	if l.ActorBroken == nil {
		l.ActorBroken = func(string, error) {}
	}
}

func fill[T any](fn *func(T), nop func(T)) {
	if *fn == nil {
		*fn = nop
	}
}
