package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Steps is where a host records the steps of one action.
type Steps interface {
	// Recorded returns the step of that number, nil when it is not in the log.
	Recorded(number uint32) *actorlogv1.Step
	// Record appends a step and returns when it is committed.
	Record(ctx context.Context, s *actorlogv1.Step) error
	// Attempt calls fn and turns a panic into an error.
	Attempt(fn func() error) error
	// Pause waits, or returns ctx's cause.
	Pause(ctx context.Context, r Retry, failed int) error
}

// Run runs a step of the action that has effects outside of the log: a payment, a mail, a call over HTTP. Its result is
// committed to the log before the action goes on. If the worker dies and the action is run again, and in every replay,
// the recorded result is taken and fn is not run again. fn itself runs at least once: it may have run when the worker dies
// before its result is recorded, so give what it calls an idempotency key ([Ctx.RequestID] and the step's name make one).
//
// Steps of one action are told apart by their order; name must be the same every time, or the action fails.
// fn must not touch the state. T is kept as JSON. When fn fails, it is tried again as r says, and then its
// failure is recorded too, and returned then and in every further run: a *Error as it is, any other error as its text. So is a result that is
// no JSON, or too large for a record, a failure.
func Run[T any](c *Ctx, name string, fn func(ctx context.Context) (T, error), r ...Retry) (T, error) {
	var out T
	if c.waking {
		return out, fmt.Errorf("running step %s: CreateVars and OnWake take no steps, for they do not run again with the action that woke the actor", name)
	}
	number := c.steps
	c.steps++
	steps := c.job.Env.Steps
	if steps == nil {
		return out, fmt.Errorf("running step %s: this host records no steps", name)
	}
	if done := steps.Recorded(number); done != nil {
		return recordedResult[T](done, name)
	}
	var retry Retry
	if len(r) > 0 {
		retry = r[0]
	}
	retry = retry.withDefaults()
	record := &actorlogv1.Step{Number: number, Name: name}
	for {
		record.Attempts++
		err := steps.Attempt(func() error {
			var err error
			out, err = fn(c)
			return err
		})
		if err == nil {
			if record.ResultJson, err = json.Marshal(out); err != nil {
				record.Error = stepError(fmt.Errorf("its result: %w", err))
			}
			break
		}
		if c.Err() != nil {
			return out, fmt.Errorf("running step %s: %w", name, errors.Join(c.Err(), err))
		}
		if int(record.Attempts) >= retry.Attempts {
			record.Error = stepError(err)
			break
		}
		if err := steps.Pause(c, retry, int(record.Attempts)); err != nil {
			return out, fmt.Errorf("running step %s: %w", name, err)
		}
	}
	err := steps.Record(c, record)
	if errors.Is(err, ErrTooLarge) && record.Error == nil {
		// It failed, then. Without a record in its place, those of the steps after it would not count.
		record.ResultJson, record.Error = nil, stepError(err)
		err = steps.Record(c, record)
	}
	if err != nil {
		return out, fmt.Errorf("recording step %s: %w", name, err)
	}
	return recordedResult[T](record, name)
}

// recordedResult is what the action sees, the first time as in every replay.
func recordedResult[T any](s *actorlogv1.Step, name string) (T, error) {
	var out T
	if s.Name != name {
		return out, fmt.Errorf("step %d was recorded as %q, and is now %q: an action that is run again must take the same steps in the same order",
			s.Number, s.Name, name)
	}
	if e := s.Error; e != nil {
		if e.Detail != "" {
			return out, fmt.Errorf("step %s: %s", name, e.Detail)
		}
		return out, &Error{Group: e.Group, Code: e.Code, Message: e.Message, Metadata: e.MetadataJson}
	}
	if err := json.Unmarshal(s.ResultJson, &out); err != nil {
		return out, fmt.Errorf("the recorded result of step %s: %w", name, err)
	}
	return out, nil
}

func stepError(err error) *actorlogv1.Error {
	var e *Error
	if errors.As(err, &e) {
		return &actorlogv1.Error{Group: cleanText(e.Group), Code: cleanText(e.Code), Message: cleanText(e.Message), MetadataJson: e.Metadata}
	}
	return &actorlogv1.Error{Group: ErrInternal.Group, Code: ErrInternal.Code, Message: ErrInternal.Message, Detail: cleanText(err.Error())}
}
