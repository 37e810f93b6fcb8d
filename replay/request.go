package replay

import (
	"bytes"
	"context"
	"fmt"

	"github.com/actorlog/actorlog/schemas"
)

// Request finds the outcome of the request with an id, or else an idempotency key, in all shards: the newest events first, and then all there are. ErrNoEvent when
// there is none.
func (r *Reader) Request(ctx context.Context, id string) (*Event, error) {
	if id == "" {
		return nil, fmt.Errorf("%w: a request has an id that is not empty", ErrNoEvent)
	}
	type rest struct{ start, hi int64 }
	left := make([]rest, r.src.Partitions())
	for p := range left {
		var err error
		if left[p].start, left[p].hi, err = r.bounds(ctx, int32(p)); err != nil {
			return nil, err
		}
	}
	for size := int64(4096); ; size *= 8 {
		more := false
		var keyed *Event
		for p := range left {
			l := &left[p]
			in := Range{From: max(l.start, l.hi-size), To: l.hi}
			if l.hi = in.From; in.To <= l.start {
				continue
			}
			if in.From == l.start {
				in.From = 0
			} else {
				more = true
			}
			var match *Event
			err := r.scan(ctx, int32(p), in, nil, func(e *Event) error {
				if !bytes.Contains(e.Record.Value, []byte(id)) || e.Outcome == nil {
					return nil
				}
				switch a := e.Outcome.GetAction(); {
				case a.GetRequestId() == id:
					match = e
				case a.GetIdempotencyKey() == id && e.Outcome.Repeats == nil && keyed == nil:
					keyed = e
				}
				return nil
			})
			if match != nil || err != nil {
				return match, err
			}
		}
		if keyed != nil {
			return keyed, nil
		}
		if !more {
			return nil, fmt.Errorf("%w has the request id or idempotency key %q: it was not asked, is not answered yet, or is not kept any more", ErrNoEvent, id)
		}
	}
}

// Lookup reads what names an event: a position, or else the id of a request or its idempotency key.
func (r *Reader) Lookup(ctx context.Context, text string) (*Event, error) {
	if at, err := schemas.ParsePosition(text); err == nil {
		return r.Event(ctx, at)
	}
	return r.Request(ctx, text)
}
