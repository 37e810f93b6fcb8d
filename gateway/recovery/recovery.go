// Package recovery decides which broadcasts of an actor a subscriber that was away still
// has to get. It owns the event id that a subscriber remembers (a [Cursor]), how a stream
// begins (a [Plan]) and the joining of history with what happens meanwhile (a [Merger]).
// It reads no log and writes to nobody. It is pure.
//
// A subscriber gets every broadcast after its cursor once and in order, because of three
// steps whose order matters:
//
//  1. watch    everything after position L is buffered from now on
//  2. history  everything after the cursor up to and including L is read from the log
//  3. live     the buffer, and what follows, without what history has shown already
//
// Were history read first, then what happened between its end and the watch would be
// lost. A broadcast that both show is passed on once, for the Merger only goes forward.
package recovery

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/actorlog/actorlog/schemas"
)

// End as a Cursor's index means that the subscriber has had all broadcasts of the outcome.
const End = math.MaxInt32

// Cursor is how far a subscriber has come: it has had every broadcast up to and including
// broadcast number Index, counted from 0, of the outcome at Position. Its text is the
// event id: "partition:offset" for index 0, "partition:offset.index" for those after it,
// "partition:offset.end" for [End].
type Cursor struct {
	Position schemas.Position
	Index    int
}

// After is the cursor of a subscriber that has had all of the outcome at p and of those before it.
func After(p schemas.Position) Cursor { return Cursor{Position: p, Index: End} }

// String is the event id.
func (c Cursor) String() string {
	switch c.Index {
	case 0:
		return c.Position.String()
	case End:
		return c.Position.String() + ".end"
	}
	return c.Position.String() + "." + strconv.Itoa(c.Index)
}

// ErrCursor says that a text is no event id of the actor. The text around it is for the client.
var ErrCursor = errors.New("not an event id of this actor")

// Parse is the inverse of [Cursor.String]; it accepts no second spelling. The actor's
// shard must be the one that the id names.
func Parse(text string, shard int32) (Cursor, error) {
	position, suffix, dotted := strings.Cut(text, ".")
	p, err := schemas.ParsePosition(position)
	if err != nil {
		return Cursor{}, fmt.Errorf("%w: %.64q is not of the form partition:offset, partition:offset.index or partition:offset.end", ErrCursor, text)
	}
	c := Cursor{Position: p}
	if dotted {
		index, err := strconv.ParseUint(suffix, 10, 31)
		if suffix == "end" {
			index = End
		} else if err != nil || index == End {
			return Cursor{}, fmt.Errorf("%w: %.64q has no index after its dot", ErrCursor, text)
		}
		c.Index = int(index)
	}
	if c.String() != text {
		return Cursor{}, fmt.Errorf("%w: %.64q is not how it is written", ErrCursor, text)
	}
	if p.Partition != shard {
		return Cursor{}, fmt.Errorf("%w: %.64q is of partition %d, the actor lives in %d", ErrCursor, text, p.Partition, shard)
	}
	return c, nil
}

// Plan is how a stream begins.
type Plan struct {
	// Start is what the subscriber has had when it begins: the Merger's start, and the id
	// of the first thing that it is sent.
	Start Cursor
	// Recovered: every broadcast after the cursor that was asked for will be in the stream.
	Recovered bool
	// History between From, excluded, and To, included, is to be read before what is live.
	History  bool
	From, To schemas.Position
}

// Fresh begins with what happens from now on. live is the position after which the watch
// sees everything.
func Fresh(live schemas.Position) Plan { return Plan{Start: After(live)} }

// Resume begins after cursor. known is a position in the actor's shard that was written
// after the subscriber asked: an id beyond it cannot come from this log (it was deleted and
// made again), and nothing can be said about what was missed. live is as in [Fresh].
func Resume(cursor Cursor, known, live schemas.Position) Plan {
	if cursor.Position.Offset > max(known.Offset, live.Offset) {
		return Fresh(live)
	}
	p := Plan{Start: cursor, Recovered: true, From: cursor.Position, To: live}
	if cursor.Index != End {
		// The outcome itself may hold more: read it again.
		p.From.Offset--
	}
	p.History = p.From.Offset < p.To.Offset
	return p
}

// Merger passes every broadcast on once: give it all outcomes of history, then all that
// the watch has buffered, then all that the watch sees. It is not safe for concurrent use.
type Merger struct{ at Cursor }

// NewMerger begins after start.
func NewMerger(start Cursor) *Merger { return &Merger{at: start} }

// Take moves past the outcome at p with n broadcasts and returns the number of the first of
// them that the subscriber has not had; n if it has had them all.
func (m *Merger) Take(p schemas.Position, n int) (first int) {
	switch at := m.at; {
	case p.Offset < at.Position.Offset:
		return n
	case p.Offset == at.Position.Offset && at.Index == End:
		return n
	case p.Offset == at.Position.Offset:
		first = min(at.Index+1, n)
	}
	m.at = After(p)
	return first
}
