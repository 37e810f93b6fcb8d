package actor

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Error is what a caller is told: a refusal by the actor, or by the runtime. It is the only
// error whose text reaches clients; every other error that an action returns is logged for
// operators and reaches the client as rivetkit.internal_error.
//
// Compare with errors.As, or with errors.Is against an Error of the same group and code.
type Error struct {
	// Group and Code name the error for programs. User errors have the group "user".
	Group, Code string
	// Message is for people.
	Message string
	// Metadata is more for programs: JSON text, nil when there is none.
	Metadata json.RawMessage
}

// Error returns "group.code: message".
func (e *Error) Error() string { return e.Group + "." + e.Code + ": " + e.Message }

// Is reports whether target is an Error of the same group and code.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Group == e.Group && t.Code == e.Code
}

// UserError refuses an action for a reason that the client shall see. Code must not be
// empty; it defaults to "user_error", as in Rivet.
func UserError(code, message string) *Error {
	if code == "" {
		code = "user_error"
	}
	return &Error{Group: "user", Code: code, Message: message}
}

// With returns a copy of e that carries metadata, which must be marshalable to JSON; it
// panics when it is not, which the host records as an internal error of the action.
func (e *Error) With(metadata any) *Error {
	b, err := json.Marshal(metadata)
	if err != nil {
		panic(fmt.Sprintf("actor: metadata of error %s.%s: %v", e.Group, e.Code, err))
	}
	c := *e
	c.Metadata = b
	return &c
}

// Errors of the runtime, to compare with errors.Is.
var (
	// ErrNotFound: no such actor lives.
	ErrNotFound = &Error{Group: "actor", Code: "not_found", Message: "The actor does not exist or was destroyed."}
	// ErrKindNotFound: no worker knows the kind.
	ErrKindNotFound = &Error{Group: "actor", Code: "kind_not_found", Message: "No actor of this kind is defined."}
	// ErrActionNotFound: the kind has no such action.
	ErrActionNotFound = &Error{Group: "actor", Code: "action_not_found", Message: "Action was not found."}
	// ErrDuplicateKey: Create found the actor alive.
	ErrDuplicateKey = &Error{Group: "actor", Code: "duplicate_key", Message: "Actor key already in use."}
	// ErrInvalidRequest: the arguments are not what the action takes.
	ErrInvalidRequest = &Error{Group: "actor", Code: "invalid_request", Message: "Invalid request."}
	// ErrTimedOut: the action ran past its timeout; it had no effect.
	ErrTimedOut = &Error{Group: "actor", Code: "action_timed_out", Message: "Action timed out"}
	// ErrTooLate: whoever called had stopped waiting before the action could begin; it had no effect.
	ErrTooLate = &Error{Group: "actor", Code: "deadline_exceeded", Message: "Whoever called had stopped waiting before the action could begin."}
	// ErrParked: workers did not survive the action, time after time; it was set aside and had no effect. Operators may have it run again.
	ErrParked = &Error{Group: "actor", Code: "parked", Message: "This action ended its worker again and again and was set aside. The operators have been told."}
	// ErrOverloaded: too many actions wait for this actor; this one had no effect.
	ErrOverloaded = &Error{Group: "actor", Code: "overloaded", Message: "Too many actions wait for this actor."}
	// ErrTooLarge: what the action produced does not fit into a record; it had no effect.
	ErrTooLarge = &Error{Group: "message", Code: "outgoing_too_long", Message: "What the action produced is too large."}
	// ErrKeyReused: the idempotency key was used for another request.
	ErrKeyReused = &Error{Group: "actor", Code: "idempotency_key_reused", Message: "The idempotency key was used for another request."}
	// ErrConflict: the actor has changed since whoever asks has looked at it; nothing happened.
	ErrConflict = &Error{Group: "actor", Code: "conflict", Message: "The actor has changed in the meantime: look at it again."}
	// ErrForbidden: who asks may not.
	ErrForbidden = &Error{Group: "auth", Code: "forbidden", Message: "Forbidden."}
	// ErrConnLimit: the actor has as many connections as it may have, or they hold as much.
	ErrConnLimit = &Error{Group: "connection", Code: "limit_exceeded", Message: fmt.Sprintf("An actor has at most %d connections, and %d bytes in them.", MaxConns, MaxConnsBytes)}
	// ErrConnectionClosed: the connection that the action came through is not open any more.
	ErrConnectionClosed = &Error{Group: "actor", Code: "connection_closed", Message: "The connection is closed."}
	// ErrCallCycle: the actor that is called waits, directly or not, for the one that calls.
	ErrCallCycle = &Error{Group: "actor", Code: "call_cycle", Message: "The call would wait for itself."}
	// ErrStaleCall: whoever made this call has made it before, and has its answer.
	ErrStaleCall = &Error{Group: "actor", Code: "stale_call", Message: "The action that made this call is over."}
	// ErrScheduleLimit: the actor has as many schedules as it may have.
	ErrScheduleLimit = &Error{Group: "schedule", Code: "limit_exceeded", Message: fmt.Sprintf("An actor has at most %d schedules.", MaxSchedules)}
	// ErrQueueFull: as many messages wait as may.
	ErrQueueFull = &Error{Group: "queue", Code: "full", Message: fmt.Sprintf("Queue is full. Limit is %d messages.", MaxQueued)}
	// ErrMessageTooLarge: a message for a queue is too long.
	ErrMessageTooLarge = &Error{Group: "queue", Code: "message_too_large", Message: fmt.Sprintf("Queue message too large. Limit is %d bytes.", MaxMessageBytes)}
	// ErrCompleted: an action completes a message that was completed before; it had no effect.
	ErrCompleted = &Error{Group: "queue", Code: "already_completed", Message: "The message was completed before."}
	// ErrNoRequestHandler: the kind has no OnRequest.
	ErrNoRequestHandler = &Error{Group: "handler", Code: "request_not_defined", Message: "This actor handles no raw HTTP requests."}
	// ErrNoSocketHandler: the kind has no OnWebSocket.
	ErrNoSocketHandler = &Error{Group: "handler", Code: "websocket_not_defined", Message: "This actor handles no raw WebSockets."}
	// ErrErased: what was asked was sealed with a key of the actor that was destroyed meanwhile; it had no effect, and may be asked again.
	ErrErased = &Error{Group: "actor", Code: "erased", Message: "The actor was erased while this was asked. Ask again."}
	// ErrInternal: the action failed for a reason that clients are not told.
	ErrInternal = &Error{Group: "rivetkit", Code: "internal_error", Message: "An internal error occurred"}
)

// Messagef returns a copy of e with another message.
func (e *Error) Messagef(format string, args ...any) *Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}
