// Package audit is the questions that auditors and operators ask about what actors did: who changed something, what a caller did, what is slow, what fails, who asks
// most, and which actors are in a state. It owns what is asked and answered, and in which order; a [Store] finds the answers.
//
// There are two stores: projection/chsink asks ClickHouse, audit/overlog reads the log. They give the same answers to the same questions over the same events, in the same
// order and pages; one is quick, the other always there.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/actorlog/actorlog/schemas"
)

// Store answers questions. It is safe for concurrent use. Questions that are not valid are an [*Invalid]; a context that ends before the answer is there
// is its error.
type Store interface {
	// Events lists what happened.
	Events(ctx context.Context, q Events) (Page[Entry], error)
	// Tally counts what happened, in groups.
	Tally(ctx context.Context, q Tally) (Page[Group], error)
	// Actors lists actors by their state.
	Actors(ctx context.Context, q Actors) (Page[Actor], error)
}

// Limits of pages.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Page is a part of an answer.
type Page[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the page that follows; empty at the end.
	Next string `json:"next,omitempty"`
}

// Invalid says what is wrong with a question, for whoever asked.
type Invalid struct{ Message string }

func (e *Invalid) Error() string { return e.Message }

func invalid(format string, args ...any) error { return &Invalid{fmt.Sprintf(format, args...)} }

// ErrTimeout says that there was no time for the whole answer.
var ErrTimeout = errors.New("there was not enough time for the answer: ask for less, as a shorter time or one actor, or ask ClickHouse")

// Filter narrows down what happened. What is empty does not.
type Filter struct {
	// Namespace and Kind of the actor. With Key, of which an empty one that is not nil is a key too, it is one actor.
	Namespace, Kind string
	Key             schemas.Key
	// Since and Until bound the actor's time: from the one, up to before the other. Milliseconds count.
	Since, Until time.Time
	// Path is a JSON pointer: only what changed the state there, below it, or above it. "" with HasPath is any change.
	Path    string
	HasPath bool
	// Who asked: a principal, connection, gateway, or actor.
	Principal, Connection, Gateway string
	By                             *Name
	// Action of that name; Failed: only what failed.
	Action string
	Failed bool
}

// Name is an actor in all of its lives.
type Name struct {
	Namespace string      `json:"namespace"`
	Kind      string      `json:"kind"`
	Key       schemas.Key `json:"key"`
}

// Hash of the actor.
func (n Name) Hash() schemas.Hash { return schemas.HashOf(n.Namespace, n.Kind, n.Key) }

// One returns the actor, if the filter is of one.
func (f *Filter) One() (Name, bool) {
	return Name{Namespace: f.Namespace, Kind: f.Kind, Key: f.Key}, f.Key != nil
}

// escapes finds a ~ that stands for nothing.
var escapes = regexp.MustCompile(`~([^01]|$)`)

func (f *Filter) validate() error {
	switch {
	case f.Key != nil && (f.Kind == "" || f.Namespace == ""):
		return invalid("a key goes with the kind and namespace of the actor")
	case !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until):
		return invalid("the time begins at %s, which is not before its end at %s", f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	case f.HasPath && f.Path != "" && f.Path[0] != '/':
		return invalid("the path %q is no JSON pointer: it begins with /, such as /balance or /lines/0/price", f.Path)
	case f.HasPath && escapes.MatchString(f.Path):
		return invalid("the path %q is no JSON pointer: write ~ in a name as ~0, and / as ~1", f.Path)
	case f.Key != nil:
		if err := f.Key.Validate(); err != nil {
			return invalid("%v", err)
		}
	}
	return nil
}

// Order of events.
type Order string

// The orders. Events of the same time, or that took as long, are in the order of shard and offset.
const (
	Oldest  Order = "oldest"
	Newest  Order = "newest"
	Slowest Order = "slowest"
)

// Events asks what happened.
type Events struct {
	Filter
	// Order, Oldest if empty.
	Order Order
	// Limit of the page; 0 is DefaultLimit.
	Limit int
	// Cursor of the page before, empty for the first.
	Cursor string
}

// Entry is one thing that happened: an action, and what it came to.
type Entry struct {
	Position  schemas.Position `json:"-"`
	Where     string           `json:"position"`
	Time      time.Time        `json:"time"`
	Namespace string           `json:"namespace"`
	Kind      string           `json:"kind"`
	Key       schemas.Key      `json:"key"`
	ActorID   string           `json:"actorId"`
	// Body is the sort of action: invoke, fire, connect, ...
	Body       string          `json:"body"`
	Action     string          `json:"action,omitempty"`
	Args       json.RawMessage `json:"args,omitempty"`
	Gateway    string          `json:"gateway,omitempty"`
	Connection string          `json:"connection,omitempty"`
	Principal  string          `json:"principal,omitempty"`
	By         *Name           `json:"by,omitempty"`
	Request    string          `json:"requestId"`
	Result     json.RawMessage `json:"result,omitempty"`
	Error      *Error          `json:"error,omitempty"`
	// Changes is the operations of the state change; of those, when a path was asked for, only what touches it. A state that was written as a whole is one
	// operation "write" at the path that was asked for, with what it has there.
	Changes    []json.RawMessage `json:"changes,omitempty"`
	Lifecycle  string            `json:"lifecycle,omitempty"`
	DurationUs int64             `json:"durationUs"`
	Version    string            `json:"version"`
}

// Error is why something failed.
type Error struct {
	Group   string `json:"group"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Dimension is what a [Tally] groups by.
type Dimension string

// The dimensions. Caller is the kind and key of an actor that asked, Actor that of the one asked.
const (
	ByKind       Dimension = "kind"
	ByBody       Dimension = "body"
	ByAction     Dimension = "action"
	ByVersion    Dimension = "version"
	ByCode       Dimension = "code"
	ByPrincipal  Dimension = "principal"
	ByConnection Dimension = "connection"
	ByGateway    Dimension = "gateway"
	ByCaller     Dimension = "caller"
	ByActor      Dimension = "actor"
)

// Measure is what groups are ordered by, the highest first; then by their values.
type Measure string

// The measures.
const (
	Calls  Measure = "calls"
	Errors Measure = "errors"
	Rate   Measure = "rate"
	TimeUs Measure = "time"
)

// Tally asks how often.
type Tally struct {
	Filter
	By []Dimension
	// Order, Calls if empty.
	Order  Measure
	Limit  int
	Cursor string
}

// Group is what a Tally found of one combination of values.
type Group struct {
	// Of is the values, in the order of Tally.By.
	Of     []string `json:"of"`
	Calls  uint64   `json:"calls"`
	Errors uint64   `json:"errors"`
	// Rate is Errors / Calls.
	Rate    float64 `json:"rate"`
	TotalUs int64   `json:"totalUs"`
	MaxUs   int64   `json:"maxUs"`
}

// Measured is the group's value of a measure.
func (g *Group) Measured(m Measure) float64 {
	switch m {
	case Errors:
		return float64(g.Errors)
	case Rate:
		return g.Rate
	case TimeUs:
		return float64(g.TotalUs)
	}
	return float64(g.Calls)
}

// Actors asks which living actors are in a state, in the order of their ids.
type Actors struct {
	Namespace, Kind string
	// Where the state is so.
	Where  Predicate
	Limit  int
	Cursor string
}

// Actor is an actor as it is.
type Actor struct {
	ActorID   string          `json:"actorId"`
	Namespace string          `json:"namespace"`
	Kind      string          `json:"kind"`
	Key       schemas.Key     `json:"key"`
	Created   time.Time       `json:"createdAt"`
	Time      time.Time       `json:"time"`
	Where     string          `json:"position"`
	State     json.RawMessage `json:"state"`
}
