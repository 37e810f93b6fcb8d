package replay

import (
	"context"
	"errors"
	"fmt"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// errNoClaim says that a scan began after the last claim before what it looks for.
var errNoClaim = errors.New("no claim seen")

// scan calls fn for the events of a range that count, of all actors or of one.
func (r *Reader) scan(ctx context.Context, partition int32, in Range, only *schemas.Hash, fn func(*Event) error) error {
	if partition < 0 || partition >= r.src.Partitions() {
		return fmt.Errorf("there is no shard %d: they are numbered from 0 to %d", partition, r.src.Partitions()-1)
	}
	start, end, err := r.bounds(ctx, partition)
	if err != nil {
		return err
	}
	s := scan{r: r, partition: partition, from: in.From, to: in.To, only: only, fn: fn}
	if in.To == 0 {
		s.to = end
	}
	switch {
	case in.From <= 0:
		s.from, s.lenient = start, true
	case in.From < start:
		return fmt.Errorf("%w: events[%d] from %d on; the first one kept is %d", ErrGone, partition, in.From, start)
	}
	if s.to <= s.from {
		return nil
	}
	for back := int64(machine.ReadBack); ; back *= 8 {
		begin := max(start, s.from-back)
		s.whole = begin == start
		err := s.run(ctx, begin, machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace))
		if errors.Is(err, errNoClaim) {
			continue
		}
		if errors.Is(err, eventlog.ErrOffsetOutOfRange) {
			return fmt.Errorf("%w: %w", ErrGone, err)
		}
		return err
	}
}

// bounds of a partition of events.
func (r *Reader) bounds(ctx context.Context, partition int32) (start, end int64, err error) {
	if start, end, err = r.src.Bounds(ctx, eventlog.Events, partition); err != nil {
		err = fmt.Errorf("asking for the bounds of events[%d]: %w", partition, err)
	}
	return start, end, err
}

// scan is one way through a stretch of a partition.
type scan struct {
	r         *Reader
	partition int32
	from, to  int64
	only      *schemas.Hash
	fn        func(*Event) error
	// whole: there is nothing before where it begins. lenient: what is not known to count is passed over.
	whole, lenient bool

	begin   int64
	fence   machine.Fence
	certain bool
	turns   map[schemas.Hash]*turn
}

// turn is what has to be known of an actor to say which of its events count.
type turn struct {
	machine.Answers
	stepRef int64
	steps   uint32
}

// run reads from begin, at or before from.
func (s *scan) run(ctx context.Context, begin int64, fence machine.Fence) error {
	s.begin, s.fence, s.certain = begin, fence, fence.Certain() || begin == 0
	s.turns = make(map[schemas.Hash]*turn)
	var n int
	err := eventlog.Scan(ctx, s.r.src, eventlog.Events, s.partition, begin, s.to, func(rec *eventlog.Record) error {
		if n++; n%4096 == 0 {
			s.progress(rec.Offset)
		}
		return s.take(rec)
	})
	if err == nil {
		s.progress(s.to)
	}
	return err
}

func (s *scan) progress(at int64) {
	if s.r.opt.Progress != nil {
		s.r.opt.Progress(Progress{Partition: s.partition, From: s.from, At: max(s.from, at), To: s.to})
	}
}

func (s *scan) take(rec *eventlog.Record) error {
	t := schemas.Type(rec.Header(schemas.HeaderType))
	switch t {
	case schemas.TypeClaim:
		if claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, rec.Value); err == nil { // otherwise void, for every reader
			s.fence.Claim(rec.Offset, claim)
		}
		return nil
	case schemas.TypeOutcome, schemas.TypeStep:
	case "":
		return nil // every version of a worker writes a type
	default:
		return fmt.Errorf("the record at %d:%d of events: %w %q: run a newer version", rec.Partition, rec.Offset, schemas.ErrUnknownType, t)
	}
	admitted := s.fence.Admits(schemas.PlaceOf(rec.Value))
	s.certain = s.certain || s.fence.Certain()
	if !s.certain && rec.Offset >= s.from {
		switch {
		case !s.whole:
			return errNoClaim
		case !s.lenient:
			return fmt.Errorf("%w: whether %d:%d counts is not known, for the claim that says so has expired", ErrGone, rec.Partition, rec.Offset)
		}
	}
	hash, ok := schemas.ParseHash(rec.Key)
	if !admitted || !ok || (s.only != nil && hash != *s.only) {
		return nil
	}
	e := eventOf(rec, t, hash)
	if s.counts(e) && rec.Offset >= s.from {
		return s.fn(e)
	}
	return nil
}

// counts is the half of the rule that is the actor's.
func (s *scan) counts(e *Event) bool {
	t := s.turns[e.Hash]
	if t == nil {
		t = &turn{Answers: machine.NoAnswers(), stepRef: -1}
		if s.begin > 0 && e.Step != nil { // the steps before it may stand before begin
			t.stepRef, t.steps = e.Step.Ref, e.Step.Number
		}
		s.turns[e.Hash] = t
	}
	switch {
	case e.Outcome != nil:
		return t.Take(e.Outcome)
	case e.Step != nil:
		if t.stepRef != e.Step.Ref {
			t.stepRef, t.steps = e.Step.Ref, 0
		}
		if t.Answered(e.Step.Ref) || e.Step.Number != t.steps {
			return false
		}
		t.steps++
	}
	return true
}
