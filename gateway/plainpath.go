package gateway

import (
	"net/url"
	"strings"

	"github.com/actorlog/actorlog/schemas"
)

// plainVerb is what a plain URL asks of the actor.
type plainVerb uint8

const (
	verbActor plainVerb = iota
	verbAction
	verbState
	verbEvents
	verbQueue
)

// plainTarget is a parsed path below /actors/.
type plainTarget struct {
	kind string
	key  schemas.Key
	verb plainVerb
	name string // of the action or queue
}

// route is the pattern of the target, for listeners.
func (t plainTarget) route() string {
	switch t.verb {
	case verbAction:
		return "/actors/:kind/*key/actions/:name"
	case verbQueue:
		return "/actors/:kind/*key/queues/:name"
	case verbState:
		return "/actors/:kind/*key/state"
	case verbEvents:
		return "/actors/:kind/*key/events"
	}
	return "/actors/:kind/*key"
}

// parsePlainPath splits what follows "/actors/", escaped as it was sent. The verb is
// recognised before segments are decoded, so that a key which looks like one can be
// written with an escape: ".../%73tate" is the key part "state".
func parsePlainPath(rest string) (plainTarget, error) {
	segments := strings.Split(rest, "/")
	var t plainTarget
	key := segments[1:]
	switch n := len(key); {
	case n >= 2 && (key[n-2] == "actions" || key[n-2] == "queues"):
		t.verb = verbAction
		if key[n-2] == "queues" {
			t.verb = verbQueue
		}
		name, err := url.PathUnescape(key[n-1])
		if err != nil {
			return t, invalid("The path is not valid: %v.", err)
		}
		t.name, key = name, key[:n-2]
	case n >= 1 && key[n-1] == "state":
		t.verb, key = verbState, key[:n-1]
	case n >= 1 && key[n-1] == "events":
		t.verb, key = verbEvents, key[:n-1]
	}
	var err error
	if t.kind, err = url.PathUnescape(segments[0]); err != nil {
		return t, invalid("The path is not valid: %v.", err)
	}
	for _, segment := range key {
		part, err := url.PathUnescape(segment)
		if err != nil {
			return t, invalid("The path is not valid: %v.", err)
		}
		t.key = append(t.key, part)
	}
	return t, nil
}
