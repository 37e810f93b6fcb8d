package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
)

var noSync = pebble.NoSync

// Worker hosts the actors of the shards that its group gives to it. Open it, Run it, Close it.
type Worker struct {
	log      eventlog.Log
	registry *actor.Registry
	cfg      Config
	store    *store
	tracer   trace.Tracer
	tail     eventlog.Tail
	shards   []atomic.Pointer[shard]
	// claimed says which shards this process has claimed. Its ID may be that of one that is gone.
	claimed []atomic.Bool
	// polls counts the polls of tail.
	polls atomic.Uint64
	// recordLimit is the largest outcome, and rawLimit that of a raw request: Config.MaxRecordBytes and RawRecordBytes, or less if the
	// topic takes less.
	recordLimit, rawLimit atomic.Int64

	// sender appends what the worker itself asks of actors; remote calls actors on behalf of actions and loops, once one does.
	sender *remote.Sender
	asked  atomic.Uint64
	leases leases
	// standbys is nil unless Config.Standby.
	standbys *standbys
	// trial has room for what was found, one alone or many beside each other; see poison.go.
	trial *semaphore.Weighted
	loops sync.WaitGroup
	// fatal is why the worker must not go on.
	fatal chan error

	mu     sync.Mutex
	owners map[int32]*owner
	remote *remote.Client
	closed bool
}

// owner is the goroutine that holds one assigned partition, through one shard after another.
type owner struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
}

var (
	errReleased = errors.New("released")
	errLost     = errors.New("lost")
)

// Open prepares a worker: it opens the local store, and touches no shard yet.
func Open(log eventlog.Log, registry *actor.Registry, cfg Config) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("worker settings: %w", err)
	}
	cfg.setDefaults()
	if cfg.ID == "" {
		cfg.ID = "worker-" + strings.ToLower(rand.Text()[:10])
	}
	cfg.Events.ensureDefaults()
	store, err := openStore(cfg.DataDir, log)
	if err != nil {
		return nil, err
	}
	tail, err := log.Tail(eventlog.Actions)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the tail of actions: %w", err), store.close())
	}
	w := &Worker{
		log: log, registry: registry, cfg: cfg, store: store, tail: tail, tracer: tracer(cfg.Tracing),
		shards: make([]atomic.Pointer[shard], log.Partitions()), claimed: make([]atomic.Bool, log.Partitions()), owners: make(map[int32]*owner),
		sender: remote.NewSender(log, ""), leases: leases{until: make(map[string]time.Time)}, fatal: make(chan error, 1),
		trial: semaphore.NewWeighted(alone),
	}
	w.recordLimit.Store(int64(cfg.MaxRecordBytes))
	w.rawLimit.Store(int64(cfg.RawRecordBytes))
	if w.standbys, err = openStandbys(w); err != nil {
		tail.Close()
		return nil, errors.Join(err, store.close())
	}
	return w, nil
}

// Run serves until ctx ends; then it finishes running actions, writes checkpoints, gives its
// shards away and returns nil. It returns an error when membership in the group fails for good.
func (w *Worker) Run(ctx context.Context) error {
	pollCtx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.poll(pollCtx) })
	wg.Go(func() { w.followLeases(pollCtx) })
	defer wg.Wait()
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	wg.Go(func() {
		select {
		case err := <-w.fatal:
			fail(err)
		case <-pollCtx.Done():
		}
	})
	// A worker that leaves takes nothing over any more.
	leaving := context.AfterFunc(ctx, w.standbys.close)
	defer leaving()
	defer w.standbys.close()
	all := make([]int32, w.log.Partitions())
	for p := range all {
		all[p] = int32(p)
	}
	w.standbys.add(all)
	m := eventlog.Member{Group: w.cfg.Group, Assigned: w.assigned, Released: w.released, Lost: w.lost}
	if w.cfg.StableID {
		m.ID = w.cfg.ID
	}
	err := w.log.Join(ctx, m)
	w.giveUp(w.owned(), errReleased)
	if cause := context.Cause(ctx); errors.As(cause, new(*unreadableError)) {
		return fmt.Errorf("this code cannot serve what is recorded: %w", cause)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("taking part in group %s: %w", w.cfg.Group, err)
	}
	return nil
}

// Close releases the local store. Run must have returned.
func (w *Worker) Close() error {
	w.tail.Close()
	w.standbys.close()
	w.mu.Lock()
	client := w.remote
	w.closed = true
	w.mu.Unlock()
	if client != nil {
		client.Close()
	}
	// Loops were told to end when their shards were given up. One that does not heed its context is left behind.
	ended := make(chan struct{})
	go func() {
		w.loops.Wait()
		close(ended)
	}()
	timeout := time.NewTimer(actor.HookTimeout)
	defer timeout.Stop()
	select {
	case <-ended:
	case <-timeout.C:
	}
	return w.store.close()
}

// Queued returns how many actions wait in the mailboxes of all shards, and the bytes of their records.
func (w *Worker) Queued() (actions, bytes int64) {
	for i := range w.shards {
		if s := w.shards[i].Load(); s != nil {
			actions += s.queued.Load()
			bytes += s.queuedBytes.Load()
		}
	}
	return actions, bytes
}

// client is the worker's way to call actors. It follows all events, so it is opened when first needed.
func (w *Worker) client() (*remote.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errStopped
	}
	if w.remote == nil {
		// No action fails because others wait: how many run is bounded by what is read.
		client, err := remote.Open(w.log, remote.Config{MaxPending: math.MaxInt, MaxUnacknowledgedBytes: math.MaxInt64, MaxBehind: math.MaxInt64})
		if err != nil {
			return nil, err
		}
		w.remote = client
	}
	return w.remote, nil
}

// requestID is a new id for what the worker itself asks.
func (w *Worker) requestID() string {
	return w.cfg.ID + "-" + strconv.FormatUint(w.asked.Add(1), 36)
}

// poll reads actions of all shards and hands them out.
func (w *Worker) poll(ctx context.Context) {
	for {
		w.polls.Add(1)
		records, err := w.tail.Poll(ctx)
		var broken *eventlog.PartitionError
		switch {
		case ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed):
			return
		case errors.As(err, &broken):
			if s := w.shards[broken.Partition].Load(); s != nil {
				s.die(broken)
			}
		case err != nil:
			w.cfg.Events.ShardRetry(-1, err)
			pause(ctx, time.Second)
		}
		for len(records) > 0 {
			p, n := records[0].Partition, 1
			for n < len(records) && records[n].Partition == p {
				n++
			}
			if s := w.shards[p].Load(); s != nil {
				s.accept(records[:n])
			}
			records = records[n:]
		}
	}
}

func (w *Worker) assigned(_ context.Context, partitions []int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range partitions {
		if w.owners[p] != nil {
			continue
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		o := &owner{cancel: cancel, done: make(chan struct{})}
		w.owners[p] = o
		go func() {
			defer close(o.done)
			w.own(ctx, p)
		}()
	}
}

func (w *Worker) released(_ context.Context, partitions []int32) { w.giveUp(partitions, errReleased) }

func (w *Worker) lost(partitions []int32) { w.giveUp(partitions, errLost) }

func (w *Worker) owned() []int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var partitions []int32
	for p := range w.owners {
		partitions = append(partitions, p)
	}
	return partitions
}

// giveUp ends the ownership of partitions and waits until nothing is written for them any more.
func (w *Worker) giveUp(partitions []int32, cause error) {
	var waiting []*owner
	w.mu.Lock()
	for _, p := range partitions {
		if o := w.owners[p]; o != nil {
			o.cancel(cause)
			waiting = append(waiting, o)
			delete(w.owners, p)
		}
	}
	w.mu.Unlock()
	for _, o := range waiting {
		<-o.done
	}
	w.standbys.add(partitions)
}

// fencedGrace is how long a new owner may take from fencing the snapshots to its claim, for all that the old one knows. Should it take longer, both
// claim, and the later claim holds.
const fencedGrace = time.Second

// own holds a partition until ctx ends.
func (w *Worker) own(ctx context.Context, p int32) {
	const firstBackoff, maxBackoff = 50 * time.Millisecond, 5 * time.Second
	backoff := firstBackoff
	known := w.standbys.take(p)
	defer func() {
		if known != nil {
			known.close()
		}
	}()
	// ended is where this worker's last term ended in events, -1 when it need not be asked who came next.
	ended := int64(-1)
	for ctx.Err() == nil {
		s := newShard(w, p)
		var err error
		if ended >= 0 {
			// A term that failed may have been a zombie's. To claim then would take the shard from its new
			// owner, until the group tells this worker that it was taken for dead.
			err = s.replacedSince(ctx, ended)
		}
		if err == nil || errors.Is(err, errReplaced) {
			ended = -1
		}
		if err == nil {
			s.known = known
			err = s.open(ctx)
			known = s.known
			if err == nil {
				backoff = firstBackoff
				if err = w.hold(ctx, s); !errors.Is(err, errReplaced) {
					ended = s.acknowledged()
				}
			}
		}
		w.mend(p, err)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errReplaced):
			// If the group is right, it will say so; if the claim came from a worker that
			// is gone, the shard must not stay without an owner.
			w.cfg.Events.ShardRetry(p, err)
			pause(ctx, w.cfg.ReclaimAfter)
		case errors.Is(err, errOlder):
			w.cfg.Events.ShardRetry(p, err)
			pause(ctx, w.cfg.ReclaimAfter)
		case errors.Is(err, eventlog.ErrFenced):
			// By a new owner, who has claimed the shard by then; or by the brokers, who end a transaction that takes too long.
			w.cfg.Events.ShardRetry(p, err)
			pause(ctx, fencedGrace)
		case errors.As(err, new(*unreadableError)):
			select {
			case w.fatal <- err:
			default:
			}
			pause(ctx, w.cfg.ReclaimAfter)
		default:
			w.cfg.Events.ShardRetry(p, err)
			pause(ctx, backoff)
			backoff = min(2*backoff, maxBackoff)
		}
	}
}

// hold serves with an open shard until it fails or ctx ends.
func (w *Worker) hold(ctx context.Context, s *shard) error {
	w.shards[s.partition].Store(s)
	err := s.serve(ctx)
	w.shards[s.partition].Store(nil)
	var gap errGap
	switch {
	case errors.Is(err, errReleased):
		if err = s.drain(); err != nil {
			w.cfg.Events.ShardRetry(s.partition, err)
		}
	case errors.As(err, &gap):
		scanCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
		if found := s.replaced(scanCtx, gap); found != nil {
			err = found
		}
		cancel()
	}
	s.stop()
	s.snapshots.Close()
	w.cfg.Events.ShardClosed(s.partition, err)
	return err
}

// pause waits, or returns when ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
