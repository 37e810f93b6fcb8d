package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"

	"github.com/actorlog/actorlog/schemas"
)

// Query says which events of an actor are wanted. The zero Query wants all.
type Query struct {
	// Since is the first one: the event at that position or number, the first at or after that time. The zero Point is the beginning.
	Since Point
	// Before, when not 0, is an offset: only events that stand below it. Where a page of the newest ends, the next one begins.
	Before int64
	// Grep, when not nil, must match the JSON of the entry.
	Grep *regexp.Regexp
	// Limit is how many of the newest that match are wanted; 0: all.
	Limit int
	// Follow: go on with what happens from now on, until the context ends. Before is 0 then.
	Follow bool
}

// maxNewest is how many entries are held to be turned around.
const maxNewest = 10_000

// numbersWorth is how many more events than are wanted are gone through for it to be known how many there are.
const numbersWorth = 200

// Entries goes through the entries of an actor that a query wants, oldest first. Up to 10,000 of the newest are found by the chain of previous events, without a scan.
// Entries have a number where the history is short, or is scanned from its beginning. The sequence ends after an error. If it ends with ErrGone, there were events before the
// first one that was given; what is there has been given all the same.
func (r *Reader) Entries(ctx context.Context, hash schemas.Hash, q Query) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		// Everything before end is history, everything from there on is followed.
		_, end, err := r.bounds(ctx, r.Partition(hash))
		if err != nil {
			yield(nil, err)
			return
		}
		more, gone := true, error(nil)
		schedules := make(names)
		each := func(v *Entry, err error) bool {
			if v != nil {
				schedules.take(v)
			}
			if errors.Is(err, ErrGone) && q.Follow {
				return true
			}
			gone = err
			more = yield(v, err) && err == nil
			return more
		}
		past := q
		if past.Before == 0 || past.Before > end {
			past.Before = end
		}
		count := int64(0) // of the events before end, where it is known
		r.past(ctx, hash, past, &count)(each)
		if !more || gone != nil || !q.Follow {
			return
		}
		for e, err := range r.History(ctx, hash, Range{From: end, To: Follow}) {
			if err != nil {
				yield(nil, err)
				return
			}
			v := e.Entry()
			schedules.take(v)
			if count > 0 {
				count++
				v.Number = count
			}
			if q.matches(v) && !yield(v, nil) {
				return
			}
		}
	}
}

func (r *Reader) past(ctx context.Context, hash schemas.Hash, q Query, count *int64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		since, err := r.first(ctx, hash, q.Since)
		if err != nil {
			yield(nil, err)
			return
		}
		most := maxCollected
		if q.Limit > 0 { // a few more than are wanted, for their numbers
			most = min(most, q.Limit+numbersWorth)
		}
		events, err := r.recent(ctx, hash, q.Before, most)
		switch {
		case err == nil:
			if len(events) > 0 && !events[0].HasPrevious() {
				*count = int64(len(events))
			}
			r.few(events, since, q)(yield)
		case !errors.Is(err, errEnough):
			yield(nil, err)
		case q.Limit > 0 && q.Limit <= maxNewest:
			r.newest(ctx, hash, since, q)(yield)
		default:
			r.all(ctx, hash, since, q, count)(yield)
		}
	}
}

// few picks from events that are all there are.
func (r *Reader) few(events []*Event, since int64, q Query) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		var wanted []*Entry
		_, truncated := int64(0), false
		if len(events) > 0 {
			_, truncated = events[0].prev()
		}
		for i, e := range slices.Backward(events) {
			if e.Position.Offset < since || (q.Limit > 0 && len(wanted) == q.Limit) {
				break
			}
			v := e.Entry()
			if !truncated {
				v.Number = int64(i + 1)
			}
			if q.matches(v) {
				wanted = append(wanted, v)
			}
		}
		short := q.Limit == 0 || len(wanted) < q.Limit
		for _, v := range slices.Backward(wanted) {
			if !yield(v, nil) {
				return
			}
		}
		if truncated && short && since <= events[0].Position.Offset {
			yield(nil, fmt.Errorf("%w: events of the actor before %s", ErrGone, events[0].Position))
		}
	}
}

// newest goes back until there are enough.
func (r *Reader) newest(ctx context.Context, hash schemas.Hash, since int64, q Query) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		var wanted []*Entry
		var gone error
		for e, err := range r.Back(ctx, hash, q.Before) {
			if gone = err; err != nil || e.Position.Offset < since {
				break
			}
			if v := e.Entry(); q.matches(v) {
				if wanted = append(wanted, v); len(wanted) == q.Limit {
					break
				}
			}
		}
		if gone != nil && !errors.Is(gone, ErrGone) {
			yield(nil, gone)
			return
		}
		for _, v := range slices.Backward(wanted) {
			if !yield(v, nil) {
				return
			}
		}
		if gone != nil {
			yield(nil, gone)
		}
	}
}

// all scans, and holds no more than the newest that are wanted.
func (r *Reader) all(ctx context.Context, hash schemas.Hash, since int64, q Query, count *int64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		var gone error
		var kept []*Entry
		for e, err := range r.History(ctx, hash, Range{From: since, To: q.Before}) {
			if err != nil {
				yield(nil, err)
				return
			}
			v := e.Entry()
			if *count == 0 && since == 0 && gone == nil && e.HasPrevious() {
				gone = fmt.Errorf("%w: events of the actor before %s", ErrGone, e.Position)
			}
			if since == 0 && gone == nil {
				*count++
				v.Number = *count
			}
			switch {
			case !q.matches(v):
			case q.Limit == 0:
				if !yield(v, nil) {
					return
				}
			default:
				if kept = append(kept, v); len(kept) >= 2*q.Limit {
					kept = append(kept[:0], kept[len(kept)-q.Limit:]...)
				}
			}
		}
		for _, v := range kept[max(0, len(kept)-q.Limit):] {
			if !yield(v, nil) {
				return
			}
		}
		if gone != nil {
			yield(nil, gone)
		}
	}
}

// first is the offset from which on events are since a point.
func (r *Reader) first(ctx context.Context, hash schemas.Hash, p Point) (int64, error) {
	switch {
	case p.IsNow():
		return 0, nil
	case !p.Time.IsZero():
		// What is at that time is since then.
		e, err := r.Find(ctx, hash, Point{Time: p.Time.Add(-1e6)})
		if errors.Is(err, ErrGone) || e == nil {
			return 0, orNil(err, ErrGone)
		}
		return e.Position.Offset + 1, err
	case p.Position != nil:
		if at := r.Partition(hash); p.Position.Partition != at {
			return 0, fmt.Errorf("%w: %s is in shard %d, and the actor is in shard %d", ErrPoint, p.Position, p.Position.Partition, at)
		}
		return p.Position.Offset, nil
	}
	e, err := r.Find(ctx, hash, p)
	if err != nil {
		return 0, err
	}
	return e.Position.Offset, nil
}

// orNil is err, but for a kind of error that does not matter here.
func orNil(err, except error) error {
	if errors.Is(err, except) {
		return nil
	}
	return err
}

func (q *Query) matches(v *Entry) bool {
	if q.Grep == nil {
		return true
	}
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false) // as the command line prints it, and as people write it
	err := e.Encode(v)
	return err == nil && q.Grep.Match(bytes.TrimSuffix(line.Bytes(), []byte("\n")))
}
