package host

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

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
	live    any
	mailbox queue
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

	// Guarded by shard.ackMu.
	durable  machine.Actor
	inflight int
}

// item is one action in a mailbox.
type item struct {
	ref    int64
	action *actorlogv1.Action
}

// queue is a FIFO that gives its memory back when it is empty.
type queue struct {
	items []item
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(it item) { q.items = append(q.items, it) }

func (q *queue) pop() item {
	it := q.items[q.head]
	q.items[q.head] = item{}
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 64 {
			q.items = nil
		}
	}
	return it
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
		c.used = time.Now()
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
		if c.load() > s.w.cfg.MailboxSize {
			s.refuse(c, it)
			c.mu.Unlock()
			return
		}
		c.refuseSince = -1
		c.mailbox.push(it)
		s.queued.Add(1)
		if !c.busy {
			c.busy = true
			s.spawn(c, c.turn)
		}
		c.mu.Unlock()
		return
	}
}

// load is the number of actions let in and not answered: the one that runs and those that
// wait. It is the same before and after a recovery, so that what was let in once is let in again.
func (c *cell) load() int {
	if c.running != nil {
		return c.mailbox.len() + 1
	}
	return c.mailbox.len()
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
			c.used = time.Now()
			c.mu.Unlock()
			return
		}
		it := c.mailbox.pop()
		s.dequeued()
		if err := s.load(c); err != nil {
			c.busy = false
			c.mu.Unlock()
			s.die(err)
			return
		}
		before := c.head
		eff := c.head.Step(machine.Ask{Ref: it.ref, Action: it.action, KindKnown: s.w.kindKnown})
		switch {
		case eff.Skip:
			s.skip(it.ref)
		case eff.Run != nil:
			x := s.start(c, turn, it, eff.Run)
			c.mu.Unlock()
			returned, live := x.do()
			c.mu.Lock()
			if c.turn != turn { // timed out: answered, and somebody else runs the cell
				c.mu.Unlock()
				return
			}
			x.end()
			s.finish(c, it, returned, live)
		default:
			if eff.Settle {
				s.settle(c)
			}
			s.append(c, it, eff.Outcome, &before)
		}
		c.mu.Unlock()
	}
}

// finish records what came of a run. c.mu is held.
func (s *shard) finish(c *cell, it item, returned machine.Returned, live any) {
	c.running = nil
	before := c.head
	eff := c.head.Step(returned)
	c.live = live
	if detail := eff.Outcome.GetError().GetDetail(); detail != "" {
		s.w.cfg.Events.ActionFailed(ActionFailed{
			ActorID: returned.Run.ID.String(), Kind: returned.Run.Kind, Key: returned.Run.Key.String(),
			Action: returned.Run.Invoke.GetName(), RequestID: it.action.RequestId, Detail: detail,
		})
	}
	if !c.head.Alive || eff.Outcome.Error != nil {
		c.live = nil
	}
	s.append(c, it, eff.Outcome, &before)
}

// execution is one run of user code, and its context.
type execution struct {
	s     *shard
	c     *cell
	turn  uint64
	it    item
	run   *machine.Run
	state []byte
	live  any
	timer *time.Timer
	began time.Time

	mu      sync.Mutex
	created []byte
	done    chan struct{}
	err     error
}

// start prepares a run. c.mu is held.
func (s *shard) start(c *cell, turn uint64, it item, run *machine.Run) *execution {
	x := &execution{s: s, c: c, turn: turn, it: it, run: run, state: c.head.State, live: c.live, began: time.Now()}
	c.running = x
	x.timer = time.AfterFunc(s.w.cfg.ActionTimeout, x.expire)
	return x
}

// do runs the user's code and returns what came of it, and the state to go on with.
func (x *execution) do() (ret machine.Returned, live any) {
	ret.Run = x.run
	defer func() {
		if p := recover(); p != nil {
			ret.Err = fmt.Errorf("panic: %v", p)
			ret.Detail = string(debug.Stack())
			live = nil
		}
		x.mu.Lock()
		ret.Created = x.created
		x.mu.Unlock()
		ret.DurationUs = time.Since(x.began).Microseconds()
	}()
	def := x.s.w.registry.Kind(x.run.Kind)
	c := actor.NewCtx(x, actor.Run{
		Namespace: x.run.Namespace, Kind: x.run.Kind, Key: x.run.Key, ID: x.run.ID,
		Now: time.UnixMilli(x.run.TimeMs).UTC(), Ref: x.run.Ref,
		ConnectionID: x.it.action.GetCaller().GetConnectionId(), RequestID: x.it.action.RequestId,
	})
	live = x.live
	switch {
	case x.run.Create:
		if live, ret.Err = def.Create(c, x.run.Input); ret.Err != nil {
			return ret, nil
		}
		created, err := def.Save(live)
		if err != nil {
			ret.Err = err
			return ret, nil
		}
		x.mu.Lock()
		x.created = created
		x.mu.Unlock()
		ret.State = created
	case live == nil:
		if live, ret.Err = def.Load(x.state); ret.Err != nil {
			return ret, nil
		}
	}
	if invoke := x.run.Invoke; invoke != nil {
		if ret.Result, ret.Err = def.Invoke(c, live, invoke.Name, invoke.ArgsJson, invoke.InputJson); ret.Err != nil {
			return ret, nil
		}
		if ret.State, ret.Err = def.Save(live); ret.Err != nil {
			return ret, nil
		}
	}
	ret.Effects, ret.Err = c.Effects()
	return ret, live
}

// expire answers an action that ran past its timeout, and lets the actor go on without the
// goroutine that is stuck in it. The state that goroutine holds is nobody's any more.
func (x *execution) expire() {
	c, s := x.c, x.s
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn != x.turn || c.running != x {
		return // returned just in time
	}
	x.cancel(context.DeadlineExceeded)
	c.turn++
	x.mu.Lock()
	created := x.created
	x.mu.Unlock()
	s.finish(c, x.it, machine.Returned{
		Run: x.run, Created: created, Err: actor.ErrTimedOut, DurationUs: time.Since(x.began).Microseconds(),
	}, nil)
	s.spawn(c, c.turn)
}

// end releases what the run held.
func (x *execution) end() {
	x.timer.Stop()
	x.cancel(context.Canceled)
}

// The execution is its action's context. It is written by hand because nearly no action asks
// for Done, and a context with a timer for each would cost more than the rest of the run.

func (x *execution) cancel(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err = err
		if x.done != nil {
			close(x.done)
		}
	}
}

// Deadline implements context.Context.
func (x *execution) Deadline() (time.Time, bool) {
	return x.began.Add(x.s.w.cfg.ActionTimeout), true
}

// Done implements context.Context.
func (x *execution) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done == nil {
		x.done = make(chan struct{})
		if x.err != nil {
			close(x.done)
		}
	}
	return x.done
}

// Err implements context.Context.
func (x *execution) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// Value implements context.Context.
func (x *execution) Value(any) any { return nil }
