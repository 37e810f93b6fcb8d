// Package remote is the caller's side of the log: it appends actions, follows the
// events of all shards, hands every outcome to who waits for it, and every actor's
// outcomes to who watches it. Gateways stand on it; Go programs call actors through it.
//
// It knows brokers only, no worker. One [Client] reads events with one consumer,
// whatever the number of callers and watches.
//
//	Ask -> actions[p] ... worker ... events[p] -> tail -> fence -> watches of the actor -> done of the request
package remote

import (
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Config of a Client. The zero value works.
type Config struct {
	// ID names this client in the log, unique among all that run: outcomes for it carry
	// it in their `to` header. A client that is started again may keep its ID, unless its clock
	// has gone back. Default: random.
	ID string
	// RequestTimeout bounds the wait for an outcome when the caller's context has
	// no earlier deadline. Default 75 s: the longest action and a failover.
	RequestTimeout time.Duration
	// MaxPending bounds the requests under way; beyond it ErrBusy. Default 16,384.
	MaxPending int
	// MaxUnacknowledgedBytes bounds the actions that the brokers have not acknowledged; beyond it ErrBusy. One action may be larger.
	// Default 64 MiB.
	MaxUnacknowledgedBytes int64
	// MaxBehind is how many events of one shard may be written and not read here while requests wait for their outcomes; beyond it
	// ErrBusy, for every answer would be late. It is looked at every second, if a request has waited for as long. Default 20,000.
	MaxBehind int64
	// LeaseTTL is for how long the connections that came through this client outlive it, if it dies without closing. Default 10 s.
	LeaseTTL time.Duration
	// Logger for what an operator should know. Default: none.
	Logger *zap.Logger
	// Events is told what happens. Default: nobody.
	Events EventListener
}

// EventListener is told what happens in a Client; nil functions are skipped. They are called from many goroutines, those that read the
// log among them, and must not block.
type EventListener struct {
	// Appended: the brokers acknowledged an action, took as long as that since it was handed over, or err says why that is not known.
	Appended func(took time.Duration, err error)
	// Answered: a request has its outcome, which may be an error of its actor, or err says why it has none. It began so long ago.
	Answered func(took time.Duration, replayed bool, err error)
	// Busy: a request was refused with ErrBusy.
	Busy func(err error)
	// Missed: events of a shard expired before they were read.
	Missed func(partition int32)
}

func (l *EventListener) setDefaults() {
	if l.Appended == nil {
		l.Appended = func(time.Duration, error) {}
	}
	if l.Answered == nil {
		l.Answered = func(time.Duration, bool, error) {}
	}
	if l.Busy == nil {
		l.Busy = func(error) {}
	}
	if l.Missed == nil {
		l.Missed = func(int32) {}
	}
}

// Errors of Ask, Do and Since.
var (
	// ErrBusy: as much is under way as may be, see Config. Nothing was appended: try again later.
	ErrBusy = errors.New("too many requests in flight")
	// ErrNotAppended: the action is certainly not in the log. Trying again is safe.
	ErrNotAppended = errors.New("action not appended")
	// ErrUnknownOutcome: the action may be in the log and may take effect, now or
	// later. Trying again is safe only with the same idempotency key.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrGone: the events asked for are no longer kept.
	ErrGone = errors.New("events no longer kept")
)

// Delivery is one valid outcome and where it stands. It is shared by all that it is
// handed to: nobody may change it.
type Delivery struct {
	Position schemas.Position
	Hash     schemas.Hash
	Outcome  *actorlogv1.Outcome
	// Span in which it was written; not valid when nobody traces it.
	Span trace.SpanContext
}

// Request is one action to append.
type Request struct {
	// Hash of the actor: the address.
	Hash schemas.Hash
	// Action to append. Its request id, caller gateway and time are set by the client. It is part of the span that the context of the
	// call carries.
	Action *actorlogv1.Action
	// Watch, when set, is registered for the actor just before the outcome is handed to
	// done: it sees every later outcome of the actor and none before. For a repeat, that is
	// later than the repeat, not than the first outcome. Not registered when the outcome is an
	// error, or done is called with one.
	Watch *Watch
	// Appended, if set, is called once when the brokers have acknowledged the action: from then on it takes effect, whoever waits.
	// It is not called if that is never known. It is called from a goroutine of the log's and must not block.
	Appended func()
}

// Watch follows one actor, through all its generations, from where it was registered.
type Watch struct {
	// Outcome is called for every valid outcome of the actor, in log order, from the
	// goroutine that reads the log: it must not block. When one outcome both answers
	// a request and is watched, the watches are called first.
	Outcome func(*Delivery)
	// Gap, if set, is called instead of Outcome when the client had to skip events
	// (they expired while it was cut off from the brokers): the watch goes on after the gap.
	Gap func()

	hash schemas.Hash
}

// Partitions is the number of shards.
func (c *Client) Partitions() int32 { return c.log.Partitions() }

// ID is the client's name in the log.
func (c *Client) ID() string { return c.cfg.ID }
