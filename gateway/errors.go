package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/gateway/wire"
)

// Errors of the gateway itself. Those of actors come with their outcomes and pass as they are.
var (
	// errUnavailable: clients repeat the call, so it is used only if nothing was appended,
	// or if what was asked has no effect when repeated.
	errUnavailable = &wire.Error{Group: "guard", Code: "service_unavailable", Message: "The service is not available at the moment. Nothing was done; try again."}
	// errOutcomeUnknown must not be one that clients repeat by themselves.
	errOutcomeUnknown = &wire.Error{Group: "actorlog", Code: "outcome_unknown", Message: "The action may have taken effect, or may yet. Repeat it with the same Idempotency-Key; without one a repeat may run it twice."}
	errInternal       = &wire.Error{Group: "rivetkit", Code: "internal_error", Message: "An internal error occurred"}
	errNotFound       = &wire.Error{Group: "actor", Code: "not_found", Message: "The actor does not exist or was destroyed."}
	errNoRoute        = &wire.Error{Group: "api", Code: "not_found", Message: "There is nothing at this path."}
	errTooLongIn      = &wire.Error{Group: "message", Code: "incoming_too_long", Message: "Incoming message too long"}
	errTooLongOut     = &wire.Error{Group: "message", Code: "outgoing_too_long", Message: "Outgoing message too long"}
	errEncoded        = &wire.Error{Group: "message", Code: "encoded", Message: "The body has a Content-Encoding. Send it as it is."}
	errGoingAway      = &wire.Error{Group: "ws", Code: "going_away", Message: "The gateway is shutting down."}
	errSlowConsumer   = &wire.Error{Group: "guard", Code: "slow_consumer", Message: "The connection did not read its events fast enough."}
	errEventsMissed   = &wire.Error{Group: "guard", Code: "events_missed", Message: "Events were missed. Connect again."}
	errConnectionLost = &wire.Error{Group: "guard", Code: "tunnel_message_timeout", Message: "The connection was lost. Connect again."}
	// errQueueGone must not be one that clients repeat by themselves either.
	errQueueGone = &wire.Error{Group: "actor", Code: "aborted", Message: "The actor was destroyed before the message was completed."}
	errUpgrade   = &wire.Error{Group: "actor", Code: "invalid_request", Message: "This path takes WebSocket upgrades only."}
)

// invalid is a request that cannot be understood.
func invalid(format string, args ...any) *wire.Error {
	return wire.Errorf("actor", "invalid_request", format, args...)
}

// asWire is what a client is told of err. repeatable says that what was asked has no effect
// when it is done twice. The second result is false for errors that clients must not see:
// log them.
func asWire(err error, repeatable bool) (e *wire.Error, expected bool) {
	switch {
	case errors.As(err, &e):
		return e, true
	case errors.Is(err, eventlog.ErrTooLarge):
		return errTooLongIn, true
	case errors.Is(err, remote.ErrBusy), errors.Is(err, remote.ErrNotAppended):
		return errUnavailable, true
	case errors.Is(err, remote.ErrUnknownOutcome), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		if repeatable {
			return errUnavailable, true
		}
		return errOutcomeUnknown, true
	}
	return errInternal, false
}

// outcomeError is the error of an outcome; nil if it has none. The detail stays behind.
func outcomeError(d *remote.Delivery) *wire.Error {
	e := d.Outcome.GetError()
	if e == nil {
		return nil
	}
	return &wire.Error{Group: e.Group, Code: e.Code, Message: e.Message, Metadata: e.MetadataJson}
}

// noteInternal lets an operator who was told of a request find what its actor's worker logged, and the other way round.
func (g *Gateway) noteInternal(e *wire.Error, ray, route string) {
	if e == nil || e.Group != errInternal.Group || e.Code != errInternal.Code || len(e.Metadata) == 0 {
		return
	}
	var m struct {
		Reference string `json:"reference"`
	}
	if json.Unmarshal(e.Metadata, &m) == nil && m.Reference != "" {
		g.cfg.Logger.Warn("an actor failed", zap.String(keyRay, ray), zap.String(keyReference, m.Reference), zap.String(keyRoute, route))
	}
}

// connectionClosed says that the actor has no such connection: somebody else has ended it.
func connectionClosed(e *wire.Error) bool { return e.Group == "actor" && e.Code == "connection_closed" }

// missing says that the actor does not live.
func missing(e *wire.Error) bool { return e.Group == "actor" && e.Code == "not_found" }

// rivetStatus is the status of an error on the RivetKit face.
func rivetStatus(e *wire.Error) int {
	switch e.Group + "." + e.Code {
	case "actor.kind_not_found", "handler.request_not_defined", "handler.websocket_not_defined":
		return http.StatusNotFound
	case "message.encoded":
		return http.StatusUnsupportedMediaType
	case "actor.idempotency_key_reused":
		return http.StatusConflict
	case "actorlog.outcome_unknown":
		return http.StatusGatewayTimeout
	}
	return wire.Status(e.Group, e.Code)
}

// plainStatus is the status of an error on the plain face: that of Rivet, but where HTTP has a better one.
func plainStatus(e *wire.Error) int {
	switch e.Group + "." + e.Code {
	case "actor.duplicate_key":
		return http.StatusConflict
	case "actor.action_timed_out":
		return http.StatusGatewayTimeout
	case "message.incoming_too_long":
		return http.StatusRequestEntityTooLarge
	case "message.outgoing_too_long":
		return http.StatusInternalServerError
	}
	if e.Group == "user" {
		// The actor's own rules refused the request: nothing broke.
		return http.StatusBadRequest
	}
	return rivetStatus(e)
}

// badInput says that a status is the caller's doing.
func badInput(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusNotFound && status != http.StatusConflict
}

// actorRef names the actor of an outcome to a client; nil if the outcome names no life.
func actorRef(d *remote.Delivery) *wire.ActorRef {
	a := d.Outcome.GetActor()
	if a.GetGeneration() == 0 {
		return nil
	}
	return &wire.ActorRef{ID: actorID(d.Hash, a), Generation: uint64(a.Generation), Key: keyOf(a).String()}
}

// visible says that s is 1 to 255 bytes of visible ASCII.
func visible(s string) bool {
	return s != "" && len(s) <= 255 && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
