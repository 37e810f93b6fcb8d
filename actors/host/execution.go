package host

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/tracecontext"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// execution is one run of user code: its context, its way to other actors, and where its steps are recorded.
type execution struct {
	s    *shard
	c    *cell
	turn uint64
	it   item
	run  *machine.Run
	def  *actor.Definition
	job  actor.Job
	// settled is the actor's last record when the run began.
	settled int64
	began   time.Time
	timer   *time.Timer

	mu sync.Mutex
	// deadline of the hook, or else the action, that runs.
	deadline time.Time
	hook     string
	base     *actor.Done // what stands so far, nil if nothing does
	steps    []*actorlogv1.Step
	calls    machine.Calls
	done     chan struct{}
	err      error
	// asking is how many answers of other actors it waits for.
	asking int
}

// start prepares a run. c.mu is held.
func (s *shard) start(c *cell, turn uint64, it item, run *machine.Run) *execution {
	x := &execution{
		s: s, c: c, turn: turn, it: it, run: run, def: s.w.registry.Kind(run.Kind),
		settled: c.head.LastOffset, began: time.Now(), steps: c.head.StepsOf(it.ref), calls: run.Calls(),
	}
	x.job = run.Job(&c.head, actor.Env{
		WorkerID: s.w.cfg.ID, Region: s.w.cfg.Region, CodeVersion: s.w.cfg.Version,
		Peers: x, Steps: x, Attempt: attempt, Progress: x,
	})
	x.job.Live, x.job.Wake = c.live, c.activation == nil
	if c.activation != nil {
		x.job.Vars = c.activation.vars
	}
	x.deadline = x.actionDeadline()
	c.running = x
	x.timer = time.AfterFunc(time.Until(x.deadline), x.expire)
	return x
}

// actionDeadline is when the action must be done: at its timeout, or when whoever called stops waiting.
func (x *execution) actionDeadline() time.Time {
	d := x.began.Add(x.s.w.cfg.ActionTimeout)
	if ms := x.it.action.DeadlineUnixMs; ms != 0 {
		if called := time.UnixMilli(ms); called.Before(d) {
			return called
		}
	}
	return d
}

// do runs the user's code and returns what came of it.
func (x *execution) do() (ret machine.Returned) {
	ret.Run, ret.StateVersion = x.run, x.def.StateVersion()
	defer func() {
		if p := recover(); p != nil {
			x.mu.Lock()
			ret.Done = x.standing()
			x.mu.Unlock()
			ret.Done.Err = fmt.Errorf("panic: %v", p)
			ret.Detail = string(debug.Stack())
		}
		var panicked *panicError
		if errors.As(ret.Done.Err, &panicked) {
			ret.Detail = string(panicked.stack)
		}
		ret.DurationUs = time.Since(x.began).Microseconds()
	}()
	ret.Done = x.def.Do(x, &x.job)
	return ret
}

// panicError is a panic of a hook or step.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// Attempt implements actor.Steps.
func (x *execution) Attempt(fn func() error) error { return attempt(fn) }

// attempt turns a panic into an error.
func attempt(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return fn()
}

// Phase implements actor.Progress: it gives what runs next its time.
func (x *execution) Phase(hook string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return
	}
	x.hook = hook
	if hook == "" {
		x.deadline = x.actionDeadline()
	} else {
		x.deadline = time.Now().Add(min(actor.HookTimeout, x.s.w.cfg.ActionTimeout))
	}
	x.timer.Reset(time.Until(x.deadline))
}

// standing is what came of the job even if the rest fails. x.mu is held.
func (x *execution) standing() actor.Done {
	if x.base == nil {
		return actor.Done{}
	}
	return *x.base
}

// Based implements actor.Progress.
func (x *execution) Based(done actor.Done) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.base = &done
}

// finish records what came of a run. c.mu is held.
func (s *shard) finish(x *execution, returned machine.Returned) {
	c := x.c
	c.running = nil
	before := c.head
	eff := c.head.Step(returned)
	done := &returned.Done
	c.live = done.Live
	x.report(returned, eff.Outcome)
	if !c.head.Alive || eff.Outcome.Error != nil {
		c.live = nil
	}
	if x.it.action.GetFire() != nil && x.run.Invoke != nil {
		x.it.fires = x.run.Invoke.Name
	}
	fits := s.append(c, x.it, eff.Outcome, &before)
	switch {
	case !c.head.Alive || x.it.action.GetSleep() != nil:
		s.end(c)
	case done.Woke && fits: // what does not fit leaves nothing, of waking neither
		s.begin(c, done.Vars)
	}
}

// report tells operators what callers are not told.
func (x *execution) report(returned machine.Returned, o *actorlogv1.Outcome) {
	failed := ActionFailed{
		ActorID: x.run.ID.String(), Kind: x.run.Kind, Key: x.run.Key.String(),
		Action: nameOf(x.it.action, x.run), RequestID: x.it.action.RequestId, Span: x.it.spanOf(),
	}
	if failed.Detail = o.GetError().GetDetail(); failed.Detail != "" {
		x.s.w.cfg.Events.ActionFailed(failed)
	}
	for _, warning := range returned.Done.Warnings {
		failed.Detail = warning.Error()
		var panicked *panicError
		if errors.As(warning, &panicked) {
			failed.Detail += "\n" + string(panicked.stack)
		}
		x.s.w.cfg.Events.ActionFailed(failed)
	}
}

// nameOf is what an action does, for people.
func nameOf(a *actorlogv1.Action, run *machine.Run) string {
	if run.Invoke != nil {
		return run.Invoke.Name
	}
	return bodyOf(a)
}

// expire answers an action that ran past its timeout, and lets the actor go on without the
// goroutine that is stuck in it. The state and the vars that goroutine holds are nobody's any more.
func (x *execution) expire() {
	c, s := x.c, x.s
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn != x.turn || c.running != x {
		return // returned just in time
	}
	x.mu.Lock()
	if left := time.Until(x.deadline); left > 0 { // it went on to something else just in time
		x.timer.Reset(left)
		x.mu.Unlock()
		return
	}
	done, hook := x.standing(), x.hook
	x.mu.Unlock()
	x.cancel(context.DeadlineExceeded)
	c.turn++
	done.Err, done.Live, done.Woke = actor.ErrTimedOut, nil, false
	detail := ""
	if hook != "" {
		done.Err = actor.ErrTimedOut.Messagef("%s timed out", hook)
		detail = hook + " timed out" // the caller, if there is one, cannot mend that
	}
	s.end(c)
	s.finish(x, machine.Returned{
		Run: x.run, Done: done, StateVersion: x.def.StateVersion(), Detail: detail, DurationUs: time.Since(x.began).Microseconds(),
	})
	c.touch(x.it)
	s.spawn(c, c.turn)
}

// end releases what the run held.
func (x *execution) end() {
	x.timer.Stop()
	x.cancel(context.Canceled)
}

// settle waits until all that the actor did before this run is committed: what it asks of others now, it asks for
// certain reasons only.
func (x *execution) settle() error {
	s := x.s
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	for s.ackNext <= x.settled && !s.dead.Load() && x.Err() == nil {
		s.acked.Wait()
	}
	if err := x.Err(); err != nil {
		return err
	}
	if s.ackNext <= x.settled {
		return errStopped
	}
	return nil
}

// errStopped ends what waits in a shard that this worker gives up. The next owner runs the action again.
var errStopped = errors.New("the worker gives the actor away")

// Ask implements actor.Peers.
func (x *execution) Ask(ctx context.Context, hash schemas.Hash, a *actorlogv1.Action) (*actorlogv1.Outcome, error) {
	chain, err := x.calls.Chain(hash)
	if err != nil {
		return nil, err
	}
	if err := x.settle(); err != nil {
		return nil, err
	}
	x.mu.Lock()
	number := x.calls.Next(hash, x.hook)
	deadline := x.deadline
	x.mu.Unlock()
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	a.Origin = &actorlogv1.Origin{
		Partition: x.s.partition, Actor: x.c.hash[:], Ref: x.it.ref, Number: number, Settled: x.s.settledBelow(),
		By: chain[len(chain)-1],
	}
	a.Chain, a.DeadlineUnixMs = chain, deadline.UnixMilli()
	client, err := x.s.w.client()
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	x.asking++
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.asking--
		x.mu.Unlock()
	}()
	if x.s.impatient.Load() { // either this sees it, or abandon sees asking
		x.abandon()
		return nil, errStopped
	}
	if x.s.interrupt(x.it.ref) {
		defer x.s.try(x, x.it.ref)
	}
	return client.Peer(ctx, hash, a)
}

// abandon leaves the action to the next owner of its shard, if it waits for another actor: nothing that it returns counts.
func (x *execution) abandon() {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	x.mu.Lock()
	asking := x.asking > 0
	x.mu.Unlock()
	if !asking || c.turn != x.turn || c.running != x {
		return
	}
	c.turn++ // the cell stays busy: nobody runs it any more
	x.timer.Stop()
	x.cancel(errStopped)
}

// Recorded implements actor.Steps.
func (x *execution) Recorded(number uint32) *actorlogv1.Step {
	x.mu.Lock()
	defer x.mu.Unlock()
	if int(number) < len(x.steps) {
		return x.steps[number]
	}
	return nil
}

// Record implements actor.Steps.
func (x *execution) Record(ctx context.Context, step *actorlogv1.Step) error {
	s, c := x.s, x.c
	step.Ref, step.Epoch, step.CodeVersion = x.it.ref, s.epoch, s.w.cfg.Version
	step.TimeUnixMs = time.Now().UnixMilli()
	c.mu.Lock()
	if c.turn != x.turn || c.running != x {
		c.mu.Unlock()
		return context.DeadlineExceeded
	}
	step.Actor = &actorlogv1.Actor{Namespace: x.run.Namespace, Kind: x.run.Kind, Key: x.run.Key, Generation: x.run.ID.Generation}
	if c.head.LastOffset >= 0 {
		step.Prev = proto.Int64(c.head.LastOffset)
	}
	m, err := s.appendStep(c, step)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-m.committed:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-x.Done():
		return x.Err()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.steps = append(x.steps[:len(x.steps):len(x.steps)], step)
	return nil
}

// appendStep sends a step on its way. c.mu is held.
func (s *shard) appendStep(c *cell, step *actorlogv1.Step) (*sent, error) {
	value, err := schemas.Encode(step)
	if err != nil {
		return nil, err
	}
	if limit := int(s.w.recordLimit.Load()); len(value) > limit || c.head.SnapshotBytes()+len(value) > s.stateLimit() {
		return nil, actor.ErrTooLarge.Messagef("The result of step %s takes %d bytes, which do not fit into a record or into the actor.", step.Name, len(value))
	}
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if s.dead.Load() || (s.next-s.lastClaim >= machine.RenewEvery/2 && !s.renew(new(actorlogv1.Claim))) {
		return nil, errStopped
	}
	offset := s.next
	s.next++
	value = schemas.AppendPlace(value, offset)
	c.head.ApplyStep(offset, step)
	var span trace.SpanContext
	if c.running != nil {
		span = c.running.it.spanOf()
	}
	record := eventlog.Record{
		Partition: s.partition, Key: c.hash[:], Value: value, Headers: tracecontext.Append([]eventlog.Header{typeStep}, span),
	}
	if !s.seal(&record) {
		return nil, errStopped
	}
	s.chain.Add(&record)
	m := &sent{s: s, c: c, after: c.head, offset: offset, ref: -1, size: len(value), chain: s.chain, committed: make(chan struct{})}
	s.ackMu.Lock()
	c.inflight++
	s.ackMu.Unlock()
	s.w.log.Append(tracecontext.Only(span), eventlog.Events, record, m.acknowledge)
	return m, nil
}

// Pause implements actor.Steps.
func (x *execution) Pause(ctx context.Context, r actor.Retry, failed int) error {
	t := time.NewTimer(r.Pause(failed))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.deadline, true
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
func (x *execution) Value(key any) any { return x.it.value(key) }
