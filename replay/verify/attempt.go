package verify

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// attempt is one run of a recorded action. It stands for the worker and for the world: other actors and steps answer as they are recorded.
type attempt struct {
	c *checker
	// ctx of the verification. What asks has one of its own, with deadlines that are the code's.
	ctx       context.Context
	partition int32
	before    *machine.Actor
	recorded  *actorlogv1.Outcome
	variant
	run  *machine.Run
	def  *actor.Definition
	done *actor.Done
	// fields that differ, most telling first.
	fields []Field

	mu     sync.Mutex // of what follows: actions may use goroutines
	looked map[actor.Unrecorded]bool
	base   actor.Done
	hook   string
	calls  machine.Calls
	made   map[call]bool
	// ambiguous is the most answers that a call has. Calls unanswered, and a step unrecorded, are not in the history.
	ambiguous int
	// late: a call was answered after its caller had stopped waiting, who saw something else.
	late bool
	// erased: what a call was answered was erased since.
	erased     bool
	unanswered []unanswered
	steps      uint32
	unrecorded string
	// over: the run was given up. err ends the verification.
	over bool
	err  error
}

// unanswered is a call that the history has no answer to.
type unanswered struct {
	to string
	// known: the history of who is called is whole, so nobody was asked.
	known bool
}

// do runs the code, or gives it up.
func (x *attempt) do(job *actor.Job) (actor.Done, error) {
	ctx, cancel := context.WithTimeout(x.ctx, x.c.cfg.ActionTimeout)
	defer cancel()
	done, ok := x.c.runner.do(ctx, func() actor.Done { return x.attended(ctx, job) })
	if x.ctx.Err() != nil {
		return done, context.Cause(x.ctx)
	}
	if !ok {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.over = true
		done = x.base
		done.Err = actor.ErrTimedOut
	}
	return done, nil
}

// attended is the run with its panic, if it has one.
func (x *attempt) attended(ctx context.Context, job *actor.Job) (done actor.Done) {
	defer func() {
		if p := recover(); p != nil {
			x.mu.Lock()
			defer x.mu.Unlock()
			done = x.base
			done.Err = fmt.Errorf("panic: %v", p)
		}
	}()
	return x.def.Do(ctx, job)
}

// attemptTo turns a panic into an error.
func attemptTo(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}

// Phase implements actor.Progress.
func (x *attempt) Phase(hook string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hook = hook
}

// Based implements actor.Progress.
func (x *attempt) Based(done actor.Done) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.base = done
}

var errUnanswered = errors.New("the history has no answer to this call")

// Ask implements actor.Peers from history.
func (x *attempt) Ask(ctx context.Context, hash schemas.Hash, a *actorlogv1.Action) (*actorlogv1.Outcome, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return nil, context.DeadlineExceeded
	}
	if _, err := x.calls.Chain(hash); err != nil {
		return nil, err
	}
	one := call{to: hash, number: x.calls.Next(hash, x.hook)}
	if x.made == nil {
		x.made = make(map[call]bool)
	}
	x.made[one] = true
	found, whole, err := x.c.answers.to(x.ctx, x.caller(), one)
	if err != nil {
		x.err = err
		return nil, err
	}
	o := pick(found, x.answer)
	x.late = x.late || isError(o.GetError(), actor.ErrTooLate)
	x.erased = x.erased || o.GetSealed().GetErased()
	x.ambiguous = max(x.ambiguous, len(found))
	if o == nil {
		to := hash.String()
		if a.Actor.GetKind() != "" {
			to = a.Actor.Kind + " " + schemas.Key(a.Actor.Key).String()
		}
		x.unanswered = append(x.unanswered, unanswered{to: to, known: whole})
		return nil, errUnanswered
	}
	return o, nil
}

func (x *attempt) caller() caller {
	return caller{partition: x.partition, ref: x.recorded.Ref, actor: x.before.Hash}
}

// Recorded implements actor.Steps.
func (x *attempt) Recorded(number uint32) *actorlogv1.Step {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.steps = max(x.steps, number+1)
	return x.before.StepOf(x.recorded.Ref, number)
}

var errNoStep = errors.New("this step is not recorded, and verify runs none")

// Attempt implements actor.Steps: it is asked to run a step that is not recorded.
func (x *attempt) Attempt(func() error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.unrecorded == "" {
		x.unrecorded = fmt.Sprintf("step %d", x.steps-1)
	}
	return errNoStep
}

// Record implements actor.Steps.
func (x *attempt) Record(_ context.Context, s *actorlogv1.Step) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.unrecorded = fmt.Sprintf("step %d, %q", s.Number, s.Name)
	return errNoStep
}

// Pause implements actor.Steps.
func (x *attempt) Pause(context.Context, actor.Retry, int) error { return errNoStep }

// runner runs functions one after the other in a goroutine of its own, and leaves one that does not come back to itself.
type runner struct {
	work chan func()
}

func (r *runner) do(ctx context.Context, fn func() actor.Done) (actor.Done, bool) {
	if r.work == nil {
		work := make(chan func())
		r.work = work
		go func() {
			for fn := range work {
				fn()
			}
		}()
	}
	done := make(chan actor.Done, 1)
	r.work <- func() { done <- fn() }
	select {
	case d := <-done:
		return d, true
	case <-ctx.Done():
	}
	// Most heed their context.
	grace := time.NewTimer(time.Second)
	defer grace.Stop()
	select {
	case d := <-done:
		return d, d.Err == nil
	case <-grace.C:
	}
	r.close() // the goroutine ends when the code does
	return actor.Done{}, false
}

func (r *runner) close() {
	if r.work != nil {
		close(r.work)
		r.work = nil
	}
}
