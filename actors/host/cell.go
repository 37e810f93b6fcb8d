package host

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// cell is one actor in memory. A goroutine runs it only while it has work.
type cell struct {
	hash schemas.Hash

	mu     sync.Mutex
	loaded bool
	// gone: the cell was put to sleep between being found and being locked.
	gone bool
	head machine.Actor
	// live is the state as the user's type, nil when it must be read from head.State.
	live any
	// activation is what lives as long as the actor is awake; nil when the next run has to wake it.
	activation *activation
	mailbox    queue
	// busy: a goroutine runs the cell; turn is its number. A timeout takes the cell from the
	// goroutine that is stuck by raising turn.
	busy bool
	turn uint64
	// running is the execution under way, nil between actions.
	running *execution
	// refuseSince is the first of the current unbroken run of refusals, -1 when the last
	// action was let in.
	refuseSince int64
	used        time.Time
	// lulled: the actor was told to sleep at that time, and has not answered.
	lulled time.Time

	// Guarded by shard.ackMu.
	durable  machine.Actor
	inflight int
	// reader is that of the loop that runs, nil when none does; asked is the queues that loops of this cell have taken from,
	// nil before the first.
	reader *reader
	asked  map[string]struct{}
}

// item is one action in a mailbox.
type item struct {
	ref    int64
	action *actorlogv1.Action
	size   int        // bytes of its record
	at     time.Time  // when it was read
	span   trace.Span // nil when nobody traces it
	fires  string     // the action of a schedule that fired
}

// queue is a FIFO that gives its memory back when it is empty.
type queue struct {
	items []item
	head  int
	bytes int64
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(it item) {
	q.items = append(q.items, it)
	q.bytes += int64(it.size)
}

func (q *queue) pop() item {
	it := q.items[q.head]
	q.items[q.head] = item{}
	q.bytes -= int64(it.size)
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 64 {
			q.items = nil
		}
	}
	return it
}

// unpop puts back what was popped last.
func (q *queue) unpop(it item) {
	q.bytes += int64(it.size)
	if q.head == 0 {
		q.items = append([]item{it}, q.items...)
		return
	}
	q.head--
	q.items[q.head] = it
}

// offer puts an action into its actor's mailbox, or refuses it when that is full.
func (s *shard) offer(hash schemas.Hash, it item) {
	for {
		c := s.cell(hash)
		c.mu.Lock()
		if c.gone {
			c.mu.Unlock()
			continue
		}
		if it.action.GetSleep() == nil {
			c.used = time.Now()
		}
		if it.ref < s.again {
			// What is answered takes no room in the mailbox from what was let in after it.
			if err := s.load(c); err != nil {
				s.die(err)
				c.mu.Unlock()
				return
			}
			if c.head.Answered(it.ref) {
				s.skip(it.ref)
				c.mu.Unlock()
				return
			}
		}
		if c.full(it, &s.w.cfg) && refusable(it.action) {
			s.refuse(c, it)
			c.mu.Unlock()
			return
		}
		c.refuseSince = -1
		c.mailbox.push(it)
		s.enqueued(it)
		if !c.busy {
			c.busy = true
			s.spawn(c, c.turn)
		}
		c.mu.Unlock()
		return
	}
}

// refusable says whether an action may be refused when too many wait: somebody hears of it. A message that was sent, a
// schedule, the end of a connection come from what is recorded already, and nobody would say them again; how many of them wait
// is bounded for the shard as a whole.
func refusable(a *actorlogv1.Action) bool {
	switch a.Body.(type) {
	case *actorlogv1.Action_Fire, *actorlogv1.Action_Disconnect, *actorlogv1.Action_Complete, *actorlogv1.Action_Sleep, *actorlogv1.Action_Wake:
		return false
	}
	return a.GetOrigin().GetNumber()&actor.SendNumbers == 0
}

// full says whether the mailbox has no room for an action. It counts what was let in and not answered, the action that runs and those
// that wait: it is the same before and after a recovery, so that what was let in once is let in again.
func (c *cell) full(it item, cfg *Config) bool {
	n, bytes := c.mailbox.len(), c.mailbox.bytes
	if c.running != nil {
		n, bytes = n+1, bytes+int64(c.running.it.size)
	}
	return n > cfg.MailboxSize || n > 0 && bytes+int64(it.size) > cfg.MailboxBytes
}

// cell finds or makes the actor's cell.
func (s *shard) cell(hash schemas.Hash) *cell {
	s.cellsMu.Lock()
	defer s.cellsMu.Unlock()
	c := s.cells[hash]
	if c == nil {
		c = &cell{hash: hash, refuseSince: -1}
		s.cells[hash] = c
	}
	return c
}

// load wakes the actor. c.mu is held.
func (s *shard) load(c *cell) error {
	if c.loaded {
		return nil
	}
	a, err := s.w.store.load(s.partition, c.hash)
	if err != nil {
		return err
	}
	c.head, c.loaded = a, true
	s.ackMu.Lock()
	c.durable = a
	s.ackMu.Unlock()
	return nil
}

// refuse answers an action for which the mailbox has no room. c.mu is held.
func (s *shard) refuse(c *cell, it item) {
	if err := s.load(c); err != nil {
		s.die(err)
		return
	}
	if c.refuseSince < 0 {
		c.refuseSince = it.ref
	}
	eff := c.head.Step(machine.Refuse{Ref: it.ref, Action: it.action, Since: c.refuseSince})
	if eff.Skip {
		s.skip(it.ref)
		return
	}
	s.append(c, it, eff.Outcome, nil)
}

// spawn lets a goroutine run the cell.
func (s *shard) spawn(c *cell, turn uint64) {
	s.runners.Add(1)
	go func() {
		defer s.runners.Done()
		growStack(int(turn))
		s.run(c, turn)
	}()
}

// growStack makes the goroutine's stack as deep as decoding needs it, at once. Growing it step by
// step, with deep frames to be copied, cost a tenth of all CPU; a pool of goroutines that keep
// their stacks cost more than it saved.
//
//go:noinline
func growStack(i int) byte {
	var frame [6 << 10]byte
	return frame[i&1]
}

// run works through the mailbox until it is empty, the shard stops, or the cell is taken away.
func (s *shard) run(c *cell, turn uint64) {
	for {
		c.mu.Lock()
		if c.turn != turn {
			c.mu.Unlock()
			return
		}
		if c.mailbox.len() == 0 || s.draining.Load() {
			c.busy = false
			c.mu.Unlock()
			return
		}
		it := c.mailbox.pop()
		s.dequeued(it)
		if !s.admitted(it.ref) {
			c.mailbox.unpop(it)
			s.enqueued(it)
			c.mu.Unlock()
			s.try(context.Background(), it.ref)
			continue
		}
		if err := s.load(c); err != nil {
			c.busy = false
			c.mu.Unlock()
			s.die(err)
			return
		}
		var again *machine.Actor
		if r := it.action.GetRepair(); r != nil && !r.Skip && c.head.Broken != "" {
			// Nobody else runs the cell.
			c.mu.Unlock()
			again = s.readAgain(c.hash)
			c.mu.Lock()
		}
		before := c.head
		eff := c.head.Step(machine.Ask{Ref: it.ref, Action: it.action, Rules: s.w.registry, NowMs: time.Now().UnixMilli(), Again: again, Awake: c.activation != nil})
		switch {
		case eff.Skip:
			s.skip(it.ref)
		case eff.Run != nil && it.ref == s.condemned:
			x := s.start(c, turn, it, eff.Run)
			x.end()
			s.finish(x, machine.Returned{Run: eff.Run, Parked: s.deaths, Done: actor.Done{Err: actor.ErrParked}, StateVersion: c.head.StateVersion})
		case eff.Run != nil:
			x := s.start(c, turn, it, eff.Run)
			c.mu.Unlock()
			returned := x.do()
			c.mu.Lock()
			if c.turn != turn { // timed out: answered, and somebody else runs the cell
				c.mu.Unlock()
				return
			}
			x.end()
			s.finish(x, returned)
			c.touch(it)
		case eff.Settle && !s.committed(before.LastOffset):
			// Waits without the lock, which the reader may want, and takes the same step again.
			c.head = before
			c.mailbox.unpop(it)
			s.enqueued(it)
			c.mu.Unlock()
			s.settle(before.LastOffset)
			continue
		default:
			fits := s.append(c, it, eff.Outcome, &before)
			if it.action.GetRestore() != nil && eff.Outcome.Error == nil && fits {
				s.restored(c)
			}
			c.touch(it)
		}
		c.mu.Unlock()
	}
}

// restored puts out of memory what the actor was before it was given another state. c.mu is held.
func (s *shard) restored(c *cell) {
	loops := c.activation != nil && c.activation.cancel != nil
	s.end(c)
	c.live = nil
	if !loops {
		return
	}
	if err := s.wake(&c.head); err != nil { // or its loop would not run until it is asked for something
		s.die(err)
	}
}

// touch notes that the actor was needed, or was told to leave memory: then it does when somebody next looks. c.mu is held.
func (c *cell) touch(it item) {
	if it.action.GetSleep() == nil {
		c.used = time.Now()
	} else {
		c.used = time.Time{}
	}
}
