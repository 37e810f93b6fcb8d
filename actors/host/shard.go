package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// shard is one term of ownership of one partition: it is opened with a claim, serves, and is
// thrown away when it is released, lost or failed. Another term is another shard.
type shard struct {
	w         *Worker
	partition int32
	epoch     int64
	snapshots eventlog.SnapshotWriter
	// known is what a standby has read of the shard before it is opened; nil without one.
	known *prefix
	// again: actions before it may have been answered in an earlier term.
	again int64
	// found is the end of actions when the term began, and deaths how many owners before it did not survive.
	found  int64
	deaths uint32
	// suspects: actions before it may be what owners of earlier terms did not survive; see poison.go. condemned is the one that
	// is, -1 when there is none.
	suspects, condemned int64

	// draining: no further action is started. impatient: none waits for another actor. dead: nothing more is appended.
	draining, impatient, dead atomic.Bool
	// over ends when it is draining, or stopped.
	over   context.Context
	giveUp context.CancelFunc
	// failure is the first reason for which the shard cannot go on.
	failure chan error
	// due asks for a checkpoint before its time.
	due chan struct{}
	// marked is the place of the last checkpoint in events, -1 when there is none. Of the shard's
	// own goroutine.
	marked int64
	// trail is the hash chain up to the claim. Of open alone.
	trail   machine.Trail
	runners sync.WaitGroup
	// queued and queuedBytes are what waits in all mailboxes.
	queued, queuedBytes atomic.Int64
	// paused: nothing is read until there is room; written with readMu. resuming: somebody is about to find that there is.
	paused, resuming atomic.Bool

	cellsMu sync.Mutex
	cells   map[schemas.Hash]*cell

	// readMu guards what is read next. The worker's reader holds it while it accepts.
	readMu   sync.Mutex
	nextRead int64
	// sought is the action that was looked for again, and soughtIn the poll in which it was missed.
	sought   int64
	soughtIn uint64

	appendMu  sync.Mutex
	next      int64 // where the next record will stand
	lastClaim int64
	claimedAt time.Time
	crashes   uint32
	// chain is the hash chain over all that counts below next, ackChain that below ackNext.
	chain machine.Chain

	ackMu sync.Mutex
	acked sync.Cond
	// ackNext is the next offset to be acknowledged: all records from the claim up to it
	// are this shard's own.
	ackNext  int64
	ackChain machine.Chain
	window   machine.Window
	dirty    map[schemas.Hash]struct{}
	bytes    int64
	census   census
	agenda   agenda
	outbox   outbox
	// held is the weight of the actions that run, of those that were found, and trying the one that runs alone, -1 when none does.
	held   map[int64]int64
	trying int64
	parked parking

	// asked is when the connections of a dead gateway were last ended. Of the shard's own goroutine.
	asked map[string]time.Time

	// opened is when it began to serve, checkpointed the time of its last checkpoint in milliseconds, 0 before the first.
	opened       time.Time
	checkpointed atomic.Int64
}

// errOlder says that the shard has been served by newer code.
var errOlder = errors.New("the shard has moved to a newer version")

// errReplaced says that another worker claimed the shard.
var errReplaced = errors.New("another worker claimed the shard")

func newShard(w *Worker, p int32) *shard {
	s := &shard{
		w: w, partition: p, condemned: -1, trying: -1, held: make(map[int64]int64), parked: newParking(nil),
		failure: make(chan error, 1), due: make(chan struct{}, 1),
		cells: make(map[schemas.Hash]*cell), dirty: make(map[schemas.Hash]struct{}), sought: -1,
		census: make(census), agenda: newAgenda(), outbox: newOutbox(), asked: make(map[string]time.Time),
	}
	s.acked.L = &s.ackMu
	s.over, s.giveUp = context.WithCancel(context.Background())
	return s
}

// open fences the old owner, claims the shard and recovers it.
func (s *shard) open(ctx context.Context) error {
	began := time.Now()
	before, err := s.inForce(ctx)
	if err != nil {
		return fmt.Errorf("reading who owns shard %d: %w", s.partition, err)
	}
	if version := before.GetVersion(); version > s.w.cfg.VersionNumber {
		return olderError(version, s.w.cfg.VersionNumber)
	}
	if _, s.found, err = s.w.log.Bounds(ctx, eventlog.Actions, s.partition); err != nil {
		return fmt.Errorf("asking for the end of actions of shard %d: %w", s.partition, err)
	}
	s.suspect(before)
	// The fence comes before the claim: a checkpoint that is written after the claim is
	// then certainly the new owner's.
	if s.snapshots, err = s.w.log.Snapshots(ctx, s.partition); err != nil {
		return fmt.Errorf("fencing the snapshots of shard %d: %w", s.partition, err)
	}
	claim, err := s.claim(ctx)
	if err != nil {
		s.snapshots.Close()
		return fmt.Errorf("claiming shard %d: %w", s.partition, err)
	}
	s.epoch = claim.Offset
	s.w.claimed[s.partition].Store(true)
	s.next, s.lastClaim, s.claimedAt, s.ackNext = s.epoch+1, s.epoch, time.Now(), s.epoch+1
	opened := ShardOpened{Partition: s.partition, Epoch: s.epoch}
	if err := s.recover(ctx, &opened); err != nil {
		s.snapshots.Close()
		return fmt.Errorf("recovering shard %d: %w", s.partition, err)
	}
	s.carryOn(&claim)
	s.opened = time.Now()
	opened.ResumeAt, opened.Duration = s.nextRead, s.opened.Sub(began)
	s.w.cfg.Events.ShardOpened(opened)
	return nil
}

// carryOn goes on with the hash chain, after the claim. If none was kept so far, one begins here, and says so at once: whoever reads the log knows
// then where.
func (s *shard) carryOn(claim *eventlog.Record) {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	chain, kept := s.trail.Chain(s.epoch)
	chain.Add(claim)
	s.chain, s.ackChain = chain, chain
	if !kept {
		s.renew(new(actorlogv1.Claim))
	}
}

// claim appends a new claim and waits for its offset.
func (s *shard) claim(ctx context.Context) (eventlog.Record, error) {
	type ack struct {
		offset int64
		err    error
	}
	acked := make(chan ack, 1)
	record, err := s.w.claimRecord(s.partition, &actorlogv1.Claim{Crashes: s.crashes, ActionsEnd: s.found})
	if err != nil {
		return record, err
	}
	s.w.log.Append(ctx, eventlog.Events, record, func(offset int64, err error) { acked <- ack{offset, err} })
	select {
	case a := <-acked:
		record.Offset = a.offset
		return record, a.err
	case <-ctx.Done():
		return record, context.Cause(ctx)
	}
}

// serve works until ctx ends (then it returns ctx's cause) or the shard fails.
func (s *shard) serve(ctx context.Context) error {
	s.w.tail.Add(s.partition, s.nextRead)
	defer s.w.tail.Remove(s.partition)
	busy, stopBusy := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	helpers.Go(func() { s.keepTime(busy) })
	helpers.Go(func() { s.post(busy) })
	defer helpers.Wait()
	defer stopBusy()
	links := time.NewTicker(time.Second)
	defer links.Stop()
	sweep := time.NewTicker(min(max(s.w.cfg.SleepAfter/4, 10*time.Millisecond), 5*time.Second))
	defer sweep.Stop()
	// The shards of a worker open together. Their checkpoints are spread over the interval, so
	// that not all of their snapshots are in memory at once.
	every := s.w.cfg.CheckpointEvery
	checkpoint := time.NewTimer(every/2 + every/2*time.Duration(s.partition)/time.Duration(s.w.log.Partitions()))
	defer checkpoint.Stop()
	for {
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errReleased) {
				s.lull()
			}
			return context.Cause(ctx)
		case err := <-s.failure:
			return err
		case now := <-links.C:
			if err := s.endLinks(now); err != nil {
				return err
			}
			s.survived()
			continue
		case <-sweep.C:
			if err := s.sweep(time.Now()); err != nil {
				return err
			}
			continue
		case <-s.due:
		case <-checkpoint.C:
			checkpoint.Reset(every)
			s.renewOld()
		}
		if err := s.checkpoint(ctx); errors.Is(err, eventlog.ErrFenced) {
			return err
		}
	}
}

// answerGrace is how long an action that waits for another actor may go on in a shard that is given away. Shards that are given away
// together reach their next owners together. So the other actor may not run before this shard is gone, and this would wait for its whole
// DrainTimeout, with all callers of all those shards.
const answerGrace = 100 * time.Millisecond

// abandonAsking leaves actions that wait for other actors to the next owner, which runs them again: calls have numbers, so that one which was
// made is made once.
func (s *shard) abandonAsking() {
	s.impatient.Store(true)
	s.cellsMu.Lock()
	var running []*execution
	for _, c := range s.cells {
		c.mu.Lock()
		if c.running != nil {
			running = append(running, c.running)
		}
		c.mu.Unlock()
	}
	s.cellsMu.Unlock()
	for _, x := range running {
		x.abandon()
	}
}

// drain finishes what runs, commits it, and writes a last checkpoint.
func (s *shard) drain() error {
	s.draining.Store(true)
	s.giveUp()
	s.readMu.Lock()   // from here on the reader offers nothing more
	s.readMu.Unlock() //nolint:staticcheck // an empty section on purpose: it waits
	ctx, cancel := context.WithTimeout(context.Background(), s.w.cfg.DrainTimeout)
	defer cancel()
	idle := make(chan struct{})
	go func() { // ends when the runners do: at the latest with the actions they are stuck in
		s.runners.Wait()
		close(idle)
	}()
	answers := time.NewTimer(answerGrace)
	defer answers.Stop()
	for waits := true; waits; {
		select {
		case <-idle:
			waits = false
		case <-answers.C:
			s.abandonAsking()
		case <-ctx.Done():
			// What is not finished leaves no outcome; the next owner runs it.
			waits = false
		case err := <-s.failure:
			return err
		}
	}
	s.appendMu.Lock()
	if !s.dead.Load() {
		s.renew(&actorlogv1.Claim{Released: true})
	}
	s.dead.Store(true)
	end := s.next
	s.appendMu.Unlock()
	wake := context.AfterFunc(ctx, func() {
		s.ackMu.Lock()
		defer s.ackMu.Unlock()
		s.acked.Broadcast()
	})
	defer wake()
	s.ackMu.Lock()
	for s.ackNext < end && ctx.Err() == nil && len(s.failure) == 0 {
		s.acked.Wait()
	}
	complete := s.ackNext == end
	s.ackMu.Unlock()
	if !complete {
		return fmt.Errorf("giving shard %d away: appends were not acknowledged in %v", s.partition, s.w.cfg.DrainTimeout)
	}
	return s.checkpoint(ctx)
}

// stop makes the shard inert: nothing is started or appended from now on.
func (s *shard) stop() {
	s.draining.Store(true)
	s.giveUp()
	s.appendMu.Lock()
	s.dead.Store(true)
	s.appendMu.Unlock()
	// Whoever holds readMu now may move the worker's reader, which the next term is about to use.
	s.readMu.Lock()
	s.w.tail.Remove(s.partition)
	s.readMu.Unlock()
	s.cellsMu.Lock()
	defer s.cellsMu.Unlock()
	for _, c := range s.cells {
		c.mu.Lock()
		s.end(c)
		if c.running != nil {
			c.running.timer.Stop()
			c.running.cancel(errStopped)
		}
		c.mu.Unlock()
	}
	s.ackMu.Lock()
	for ref := range s.held {
		s.letGo(ref)
	}
	s.acked.Broadcast()
	s.ackMu.Unlock()
}

// die notes why the shard cannot go on; serve returns it.
func (s *shard) die(err error) {
	s.dead.Store(true)
	s.draining.Store(true)
	select {
	case s.failure <- err:
	default:
	}
}

// acknowledged is the offset up to which all records of this term are acknowledged.
func (s *shard) acknowledged() int64 {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	return s.ackNext
}

// accept takes actions of this partition as the worker's reader gets them, in order.
func (s *shard) accept(records []eventlog.Record) {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	now := time.Now()
	for i := range records {
		r := &records[i]
		if s.paused.Load() || r.Offset < s.nextRead || s.draining.Load() {
			continue // polled before the reader was moved
		}
		if r.Offset > s.nextRead && !s.jump(r) {
			return
		}
		s.nextRead = r.Offset + 1
		hash, action, err := decodeAction(r)
		if errors.Is(err, schemas.ErrSealed) { // who passes over it loses it
			s.die(fmt.Errorf("the action at %d: %w", r.Offset, err))
			return
		}
		if err != nil {
			s.w.cfg.Events.BadRecord(eventlog.Actions.String(), r.Partition, r.Offset, err)
		}
		if s.admit(r.Offset, action) {
			s.offer(hash, item{ref: r.Offset, action: action, size: len(r.Value), at: now, span: s.trace(r, action, now)})
		}
	}
	if !s.full() || s.paused.Load() || s.draining.Load() {
		return
	}
	s.paused.Store(true)
	if s.roomy() { // by now
		s.paused.Store(false)
		return
	}
	s.w.tail.Remove(s.partition)
}

// admit notes that a record was read, and says whether it is an action to be answered. A nil
// action is a record that cannot be read.
func (s *shard) admit(offset int64, action *actorlogv1.Action) bool {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	if action == nil {
		s.window.Skip(offset)
		return false
	}
	return s.window.Read(offset, action)
}

// jump decides about a record beyond the next one. Records that are missing may have
// expired, or may still be on their way to a reader that was moved: reading again tells. If they are missing
// from a later poll as well, there are none: a transaction of somebody else's leaves such holes.
func (s *shard) jump(r *eventlog.Record) bool {
	polls := s.w.polls.Load()
	if s.sought == s.nextRead && s.soughtIn < polls {
		s.nextRead = r.Offset
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	start, _, err := s.w.log.Bounds(ctx, eventlog.Actions, s.partition)
	if err == nil && start > s.nextRead {
		s.w.cfg.Events.BadRecord(eventlog.Actions.String(), r.Partition, s.nextRead,
			fmt.Errorf("actions %d to %d expired before they were answered", s.nextRead, start-1))
		s.nextRead = start
	}
	if s.nextRead == r.Offset {
		return true
	}
	if !s.draining.Load() {
		s.sought, s.soughtIn = s.nextRead, polls
		s.w.tail.Add(s.partition, s.nextRead)
	}
	return false
}

// enqueued notes that an action went into a mailbox.
func (s *shard) enqueued(it item) {
	s.queued.Add(1)
	s.queuedBytes.Add(int64(it.size))
}

// dequeued notes that an action left its mailbox, and resumes reading when enough have.
//
// No wake-up is lost: either accept, having paused, finds the room that was made before, or whoever makes room after it finds the
// shard paused.
func (s *shard) dequeued(it item) {
	s.queued.Add(-1)
	s.queuedBytes.Add(-int64(it.size))
	if !s.paused.Load() || !s.roomy() || !s.resuming.CompareAndSwap(false, true) {
		return
	}
	// In a goroutine of its own: the reader may hold readMu and wait for the cell that
	// is being dequeued from.
	s.runners.Go(func() {
		s.readMu.Lock()
		defer s.readMu.Unlock()
		s.resuming.Store(false)
		if s.paused.Load() && s.roomy() && !s.draining.Load() {
			s.paused.Store(false)
			s.w.tail.Add(s.partition, s.nextRead)
		}
	})
}

// full says that no more is to be read, roomy that a shard that was full may go on.
func (s *shard) full() bool {
	return s.queued.Load() > int64(s.w.cfg.MaxQueued) || s.queuedBytes.Load() > s.w.cfg.MaxQueuedBytes
}

func (s *shard) roomy() bool {
	return s.queued.Load() <= int64(s.w.cfg.MaxQueued)/2 && s.queuedBytes.Load() <= s.w.cfg.MaxQueuedBytes/2
}

func decodeAction(r *eventlog.Record) (schemas.Hash, *actorlogv1.Action, error) {
	hash, ok := schemas.ParseHash(r.Key)
	if !ok {
		return hash, nil, fmt.Errorf("%w: the key of an action has %d bytes", schemas.ErrMalformed, len(r.Key))
	}
	action, err := schemas.DecodeAs[*actorlogv1.Action](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
	return hash, action, err
}

// sweep puts actors to sleep that had no work for long enough.
func (s *shard) sweep(now time.Time) error {
	s.cellsMu.Lock()
	defer s.cellsMu.Unlock()
	for hash, c := range s.cells {
		c.mu.Lock()
		err := s.sleep(c, now)
		gone := c.gone
		c.mu.Unlock()
		if gone { // whatever else: a cell that is gone must not be found
			delete(s.cells, hash)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sleep moves an idle actor to the local store. c.mu is held.
func (s *shard) sleep(c *cell, now time.Time) error {
	if c.busy || c.mailbox.len() > 0 || now.Sub(c.used) < s.w.cfg.SleepAfter {
		return nil
	}
	s.ackMu.Lock()
	inflight, durable, awaited, loops := c.inflight, c.durable, c.awaited(), c.reader != nil
	s.ackMu.Unlock()
	if inflight > 0 || (awaited && loops) {
		return nil
	}
	if told, err := s.tell(c, now); told || err != nil {
		return err
	}
	switch {
	case !c.loaded:
	case durable.LastOffset < 0: // nothing ever happened to it
	default:
		// One that never lived as well: the next checkpoint forgets it. Before that, a recovery
		// would read again the actions that it answered, however far the window is by now.
		snapshot := durable.Snapshot()
		value, err := s.w.store.encode(s.partition, c.hash, snapshot)
		if err != nil {
			return err
		}
		if err := s.w.store.put(s.partition, c.hash, value, indexOf(snapshot)); err != nil {
			return fmt.Errorf("putting actor %s to sleep: %w", durable.ID(), err)
		}
	}
	s.end(c)
	c.gone = true
	if def := s.w.registry.Kind(durable.Kind); awaited && def != nil && def.Loop() != nil {
		return s.wake(&durable)
	}
	return nil
}

// wake starts the loop of an actor for whose messages none runs.
func (s *shard) wake(a *machine.Actor) error {
	return s.w.sender.Deliver(a.Hash, &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Generation: a.Generation}, RequestId: s.w.requestID(),
		Body: &actorlogv1.Action_Wake{Wake: new(actorlogv1.Wake)},
	}, func(_ int64, err error) {
		if err != nil { // nobody would ask again
			s.die(fmt.Errorf("waking actor %s: %w", a.ID(), err))
		}
	})
}

// sleepAnswer is how long an actor that was told to sleep may take before it is told again.
const sleepAnswer = 15 * time.Second

// tell tells an actor with an OnSleep that it is about to leave memory, through the log like anything that changes it. It returns false if
// there is nobody to be told. c.mu is held.
func (s *shard) tell(c *cell, now time.Time) (bool, error) {
	def := s.w.registry.Kind(c.head.Kind)
	if c.activation == nil || def == nil || !def.Sleeps() {
		return false, nil
	}
	if now.Sub(c.lulled) < sleepAnswer {
		return true, nil
	}
	c.lulled = now
	return true, s.w.sender.Deliver(c.hash, &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Generation: c.head.Generation}, RequestId: s.w.requestID(),
		Body: &actorlogv1.Action_Sleep{Sleep: new(actorlogv1.Sleep)},
	}, func(int64, error) {})
}

// lullTimeout bounds how long a shard that is given away waits for the OnSleep of its actors.
const lullTimeout = 2 * time.Second

// lull has the actors with an OnSleep run it before the shard is given away.
func (s *shard) lull() {
	deadline := time.Now().Add(lullTimeout)
	for first := true; time.Now().Before(deadline) && !s.dead.Load(); first = false {
		told := 0
		s.cellsMu.Lock()
		for _, c := range s.cells {
			c.mu.Lock()
			if first {
				c.lulled = time.Time{}
			}
			if one, _ := s.tell(c, time.Now()); one {
				told++
			}
			c.mu.Unlock()
		}
		s.cellsMu.Unlock()
		if told == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
