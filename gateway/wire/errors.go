package wire

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Error is what a client learns of a failure. Group, Code and Message may be shown to
// anybody; nothing internal belongs into them.
type Error struct {
	Group   string
	Code    string
	Message string
	// Metadata is JSON text; empty means none.
	Metadata json.RawMessage
}

// Error is for operators: "group.code: message".
func (e *Error) Error() string { return e.Group + "." + e.Code + ": " + e.Message }

// Errorf makes an Error with a formatted message.
func Errorf(group, code, format string, args ...any) *Error {
	return &Error{Group: group, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Status is the HTTP status of an error. RivetKit clients do not look at it; people do.
func Status(group, code string) int {
	switch group {
	case "actor":
		switch code {
		case "not_found", "action_not_found":
			return 404
		case "method_not_allowed":
			return 405
		case "action_timed_out":
			return 408
		case "invalid_request", "duplicate_key", "key_too_large", "empty_key", "no_runner_config_configured":
			return 400
		case "overloaded":
			return 503
		}
	case "auth":
		if code == "forbidden" {
			return 403
		}
	case "message", "queue", "namespace":
		return 400
	case "api":
		if code == "not_found" {
			return 404
		}
		return 400
	case "guard":
		switch code {
		case "invalid_path":
			return 404
		case "rate_limit":
			return 429
		case "service_unavailable", "actor_wake_retries_exceeded", "actor_stopped_while_waiting",
			"tunnel_request_aborted", "tunnel_message_timeout", "tunnel_response_closed",
			"gateway_response_start_timeout", "actor_ready_timeout", "actor_runner_failed":
			return 503
		}
		return 400
	}
	return 500
}

// Public says whether message and metadata of an error may reach clients. All others
// are masked: see [Error.Masked].
func Public(group, code string) bool {
	switch group {
	case "user", "queue", "kv", "schedule":
		return true
	case "auth":
		return code == "forbidden"
	case "actor":
		switch code {
		case "not_found", "action_not_found", "method_not_allowed", "action_timed_out", "aborted",
			"invalid_request", "duplicate_key", "key_too_large", "empty_key", "overloaded":
			return true
		}
	case "message":
		return code == "incoming_too_long" || code == "outgoing_too_long"
	case "guard", "api", "namespace", "connection":
		return true
	}
	return false
}

// Masked is e if it is public, else e with its message replaced and its metadata dropped.
func (e *Error) Masked() *Error {
	if Public(e.Group, e.Code) {
		return e
	}
	return &Error{Group: e.Group, Code: e.Code, Message: "An internal error occurred"}
}

// MaxCloseReason is how many bytes of reason fit into a close frame.
const MaxCloseReason = 123

// CloseReason is the reason of a close frame: group.code, and #ray unless ray is empty.
// Clients decide by it whether they reconnect, so what does not fit is taken from the
// ray first, all of it, and only then from the code.
func CloseReason(group, code, ray string) string {
	reason := group + "." + code
	if ray != "" && len(reason)+1+len(ray) <= MaxCloseReason {
		return reason + "#" + ray
	}
	if len(reason) <= MaxCloseReason {
		return reason
	}
	n := MaxCloseReason
	for n > 0 && !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// guardRetried are retried by every kind of handle, calls and sockets alike.
func guardRetried(code string) bool {
	switch code {
	case "service_unavailable", "actor_wake_retries_exceeded", "actor_stopped_while_waiting",
		"tunnel_request_aborted", "tunnel_message_timeout", "tunnel_response_closed",
		"gateway_response_start_timeout":
		return true
	}
	return false
}

// lifecycleRetried are retried by handles that were made from a key.
func lifecycleRetried(code string) bool {
	switch code {
	case "not_found", "starting", "stopping", "not_configured", "dropped_reply":
		return true
	}
	const destroyed = "destroyed_"
	return len(code) > len(destroyed) && code[:len(destroyed)] == destroyed
}

// RetriedCall says whether a client that gets this error as the answer to an HTTP call
// silently sends the call again. Such an error may only be returned when the call
// certainly had no effect and will have none: clients send no request id.
// Measured with rivetkit 2.3.19 (RIVET-PROTOCOL.md 9.3).
func RetriedCall(group, code string) bool {
	switch group {
	case "actor":
		return lifecycleRetried(code) || code == "destroying" || code == "restarting" || code == "overloaded"
	case "guard":
		return guardRetried(code) || code == "actor_ready_timeout" || code == "actor_runner_failed"
	}
	return false
}

// RetriedConnect says whether a client whose socket is closed with this reason goes on
// trying to connect, with growing pauses. After any other reason it tries once, and
// gives up for good if that attempt is closed too. byID is the handle's form: those made
// from an id give up on lifecycle errors. Measured with rivetkit 2.3.19 (RIVET-PROTOCOL.md 9.2).
func RetriedConnect(group, code string, byID bool) bool {
	switch group {
	case "actor":
		return code == "restarting" || code == "stopped" || !byID && lifecycleRetried(code)
	case "guard":
		return guardRetried(code)
	case "ws":
		return code == "going_away"
	}
	return false
}
