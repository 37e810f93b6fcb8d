package replay

import (
	"bytes"
	"context"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
)

// order is where an event stands to what is looked for.
type order int

const (
	unknown order = iota
	found
	tooEarly
	tooLate
)

const (
	// near is how many events of an actor are gone through before another way is tried.
	near = 1000
	// slackMs is by how much the clocks of workers and gateways may differ, and actions wait.
	slackMs = 5 * 60_000
)

// lookFor finds an event of an actor that happened at about a time: from the actor's last event back if that is near, else from about where the time is
// in the partition, else all the way back. Nil when there is none.
func (r *Reader) lookFor(ctx context.Context, hash schemas.Hash, ms int64, where func(*Event) order) (*Event, error) {
	n := 0
	far := false
	for e, err := range r.Back(ctx, hash, 0) {
		if err != nil {
			return nil, err
		}
		switch where(e) {
		case found:
			return e, nil
		case tooEarly:
			return nil, nil
		case unknown, tooLate:
		}
		if n++; n == near && !far {
			far = true
			e, err := r.lookAround(ctx, hash, ms, where)
			if e != nil || err != nil {
				return e, err
			}
		}
	}
	return nil, nil
}

func (r *Reader) lookAround(ctx context.Context, hash schemas.Hash, ms int64, where func(*Event) order) (*Event, error) {
	from, err := r.seek(ctx, r.Partition(hash), ms-slackMs)
	if err != nil {
		return nil, err
	}
	for e, err := range r.History(ctx, hash, Range{From: from}) {
		switch {
		case err != nil:
			return nil, orNil(err, ErrGone)
		case where(e) == found:
			return e, nil
		case where(e) == tooLate:
			return nil, nil
		}
	}
	return nil, nil
}

// seek is about where a partition's events are of a time: times go up with offsets, give and take how long actions wait and run.
func (r *Reader) seek(ctx context.Context, partition int32, ms int64) (int64, error) {
	lo, hi, err := r.bounds(ctx, partition)
	if err != nil {
		return 0, err
	}
	// Invariant: what stands before lo is earlier, what stands at or after hi is not.
	for hi-lo > 64 {
		mid := lo + (hi-lo)/2
		var t int64
		at := mid
		err := eventlog.Scan(ctx, r.src, eventlog.Events, partition, mid, min(mid+32, hi), func(rec *eventlog.Record) error {
			if kind := schemas.Type(rec.Header(schemas.HeaderType)); kind != schemas.TypeOutcome || bytes.Equal(rec.Key, []byte(schemas.ClaimKey)) {
				return nil
			}
			e := eventOf(rec, schemas.TypeOutcome, schemas.Hash{})
			if e.Err != nil {
				return nil //nolint:nilerr // the next one tells as well
			}
			at, t = rec.Offset, e.Outcome.TimeUnixMs
			return errEnough
		})
		if err != nil && err != errEnough { //nolint:errorlint // Scan returns it as it is
			return 0, err
		}
		if t == 0 || t < ms {
			lo = max(at, mid) + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}
