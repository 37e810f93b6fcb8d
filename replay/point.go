package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/actorlog/actorlog/schemas"
)

// Point is a place in the history of an actor: after the last event at or before it. The zero Point is now.
type Point struct {
	// Position in the events topic, if Partition of it is the actor's; Time; or Number of the event, from 1. At most one is set. A negative Number counts from the
	// end: -1 is the last event, -2 the one before it.
	Position *schemas.Position
	Time     time.Time
	Number   int64
}

// ErrPoint says that a text is no point, or that the actor has no such point. The message says what is.
var ErrPoint = errors.New("no such point in history")

// ParsePoint reads a point: "partition:offset", the number of an event ("7", "-1" for the last), a time ("2026-11-23T06:31:04Z", "2026-11-23 06:31", "2026-11-23", UTC where
// no zone is given), how long ago ("15m", "2h30m", "7d", "1d12h"), or "now".
func ParsePoint(text string, now time.Time) (Point, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "now" {
		return Point{}, nil
	}
	if at, err := schemas.ParsePosition(text); err == nil {
		return Point{Position: &at}, nil
	}
	if n, err := strconv.ParseInt(strings.TrimPrefix(text, "#"), 10, 64); err == nil {
		if n == 0 {
			return Point{}, fmt.Errorf("%w: events are numbered from 1; -1 is the last", ErrPoint)
		}
		return Point{Number: n}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return Point{Time: t.UTC()}, nil
		}
	}
	if d, ok := ago(text); ok {
		return Point{Time: now.Add(-d).UTC()}, nil
	}
	return Point{}, fmt.Errorf("%w: %q (want a position such as 3:5310, the number of an event such as 7, or -1 for the last, a time such as 2026-11-23T06:31:04Z, or how long ago, such as 15m)", ErrPoint, text)
}

// ago reads a duration, which may begin with days of 24 hours.
func ago(text string) (time.Duration, bool) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, false
	}
	var d time.Duration
	if rest != "" {
		if d, err = time.ParseDuration(rest); err != nil || d < 0 || rest[0] == '+' {
			return 0, false
		}
	}
	return time.Duration(n)*24*time.Hour + d, true
}

// IsNow says whether the point is the end of history.
func (p Point) IsNow() bool { return p.Position == nil && p.Time.IsZero() && p.Number == 0 }

// String is as [ParsePoint] reads it.
func (p Point) String() string {
	switch {
	case p.Position != nil:
		return p.Position.String()
	case p.Number != 0:
		return strconv.FormatInt(p.Number, 10)
	case !p.Time.IsZero():
		return p.Time.Format(time.RFC3339Nano)
	}
	return "now"
}

// Find returns the last event of an actor at or before a point, nil if the point lies before its first. ErrPoint when there is no such number, or the position is of
// another shard than the actor's.
func (r *Reader) Find(ctx context.Context, hash schemas.Hash, p Point) (*Event, error) {
	switch {
	case p.Position != nil:
		if at := r.Partition(hash); p.Position.Partition != at {
			return nil, fmt.Errorf("%w: %s is in shard %d, and the actor is in shard %d", ErrPoint, p.Position, p.Position.Partition, at)
		}
		return r.lastWhere(ctx, hash, p.Position.Offset+1, func(*Event) bool { return true })
	case p.Number > 0:
		return r.numbered(ctx, hash, p.Number)
	case p.Number < 0:
		left := -p.Number
		e, err := r.lastWhere(ctx, hash, 0, func(*Event) bool { left--; return left == 0 })
		if e == nil && err == nil {
			err = fmt.Errorf("%w: the actor has %d events", ErrPoint, -p.Number-left)
		}
		return e, err
	case !p.Time.IsZero():
		ms := p.Time.UnixMilli()
		return r.lastWhere(ctx, hash, 0, func(e *Event) bool { return e.Time().UnixMilli() <= ms })
	}
	return r.lastWhere(ctx, hash, 0, func(*Event) bool { return true })
}

// lastWhere is the newest event below an offset that match accepts. Nil when there is none.
func (r *Reader) lastWhere(ctx context.Context, hash schemas.Hash, before int64, match func(*Event) bool) (*Event, error) {
	for e, err := range r.Back(ctx, hash, before) {
		if err != nil {
			return nil, err
		}
		if match(e) {
			return e, nil
		}
	}
	return nil, nil
}

func (r *Reader) numbered(ctx context.Context, hash schemas.Hash, number int64) (*Event, error) {
	var n int64
	for e, err := range r.Events(ctx, hash, 0) {
		if err == nil && n == 0 {
			err = uncounted(e)
		}
		if err != nil {
			return nil, err
		}
		if n++; n == number {
			return e, nil
		}
	}
	return nil, noNumber(number, n)
}

// uncounted is an error if there were events before the first one that is kept: nobody can count them.
func uncounted(first *Event) error {
	if _, ok := first.prev(); ok {
		return fmt.Errorf("%w: events of the actor before %s, so their numbers are not known; name a position or a time", ErrGone, first.Position)
	}
	return nil
}

func noNumber(number, n int64) error {
	return fmt.Errorf("%w: there is no event %d, the actor has %d", ErrPoint, number, n)
}
