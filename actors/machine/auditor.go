package machine

import (
	"fmt"
	"strconv"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Auditor reads a partition of events from the first record that is kept and compares what is there with the heads of its hash chain that were
// noted: in renewed claims, in checkpoints, and elsewhere. Give it all records in order, and each head that was noted elsewhere when all
// records below its offset were taken, and none above. It stops at the first place that differs.
type Auditor struct {
	fence Fence
	// chain is the one that is compared, young one that begins with the latest new claim: a version that kept no chain may have
	// written what is before it.
	chain, young Chain
	state        trust
	next         int64

	// Since and Through bound what a head vouches for: records from offset Since on, and below Through. Through is 0 until a head was met.
	Since, Through int64
	// Heads that agreed.
	Heads int
	// Counted is how many records count, Void how many do not.
	Counted, Void int64
	// Anew is where the chain was begun anew: by a version that follows on one which kept none.
	Anew []int64
	// Finding is the first place that differs; nil while none does.
	Finding *Finding
}

// Finding says that a log is not what it was.
type Finding struct {
	// After and Before: every record before After is what it was, and what differs stands from After on, and before Before.
	After, Before int64
	// What differs.
	What string
}

func (f *Finding) String() string {
	return fmt.Sprintf("between offsets %d and %d: %s", f.After, f.Before, f.What)
}

// trust says where the chain that is compared comes from.
type trust uint8

const (
	// guessed: it begins with the first record of the log. No head was met.
	guessed trust = iota //nolint:unused // the zero value
	// unknown: the log begins in the middle. No head was met.
	unknown
	// kept: a head was met.
	kept
)

// NewAuditor starts at start, the first offset that is kept.
func NewAuditor(start int64) *Auditor {
	a := &Auditor{next: start, Since: start, fence: NewFence(NoEpoch, 0, schemas.NoPlace), chain: NewChain(0), young: NewChain(-1)}
	if start > 0 {
		a.state = unknown
	}
	return a
}

// Take takes in the next record of the partition.
func (a *Auditor) Take(r *eventlog.Record) {
	if a.Finding != nil {
		return
	}
	a.next = r.Offset + 1
	before := a.fence
	claim, counts := a.fence.Take(r)
	if claim != nil && claim.RenewsEpoch != nil {
		if what := contradicts(&before, claim); what != "" {
			a.differs(r.Offset, "%s", what)
			return
		}
		if counts && claim.Head != nil {
			a.Compare(r.Offset, claim.Head, fmt.Sprintf("the claim at %d, of %s", r.Offset, claim.Worker))
		}
	}
	if !counts {
		a.Void++
		return
	}
	a.Counted++
	if claim != nil && claim.RenewsEpoch == nil {
		a.young = NewChain(r.Offset)
	}
	d := digest(r)
	a.chain.link(d)
	a.young.link(d)
}

// contradicts says what cannot be if a claim that renews an epoch says the truth and the records before it are what they were.
//
// Its writer knows that everything up to Confirmed is written, and that nobody else wrote in between. So that is there and counts, or it was
// changed: else a record whose place was changed would hide all that follows on it, the heads included.
func contradicts(f *Fence, c *actorlogv1.Claim) string {
	if f.epoch == NoEpoch || !f.certain || c.Confirmed == nil {
		return ""
	}
	switch epoch, confirmed := *c.RenewsEpoch, *c.Confirmed; {
	case epoch > f.epoch:
		return fmt.Sprintf("the claim at %d, which is renewed, is missing or was changed", epoch)
	case c.Version > f.version || (epoch == f.epoch && c.Version != f.version):
		return fmt.Sprintf("the claim at %d had another version", epoch)
	case epoch == f.epoch && confirmed > f.last:
		return fmt.Sprintf("all records of the term of %d up to place %d were written, and only those up to place %d are there, as they were", epoch, confirmed, f.last)
	case epoch < f.epoch && confirmed >= f.epoch:
		return fmt.Sprintf("the term of %d went on to place %d, and a claim at %d ends it", epoch, confirmed, f.epoch)
	}
	return ""
}

// Compare compares the chain with a head over all that counts below offset next, and says in a finding who noted it.
func (a *Auditor) Compare(next int64, h *actorlogv1.Head, by string) {
	switch {
	case a.Finding != nil || h == nil:
		return
	case a.state == unknown && h.Since != a.young.since:
		// The chain began before what is kept: this is the first head that tells how it stood.
		chain, ok := ResumeChain(h)
		switch {
		case !ok:
			a.differs(next, "the head in %s has %d bytes", by, len(h.Hash))
		case a.fence.certain:
			a.chain, a.state, a.Since, a.Through = chain, kept, next, next
		}
		return
	case h.Since != a.chain.since && h.Since == a.young.since:
		if a.state == kept {
			a.Anew = append(a.Anew, h.Since)
		} else {
			a.Since = h.Since
		}
		a.chain = a.young
	case h.Since != a.chain.since:
		a.differs(next, "%s continues a chain that began at %d, and the one of this log began at %d", by, h.Since, a.chain.since)
		return
	}
	if !a.chain.Is(h) {
		a.differs(next, "the records do not give the head in %s: one of them was changed, dropped, added or moved", by)
		return
	}
	a.state = kept
	a.Heads++
	a.Through = max(a.Through, next)
}

// Checkpoint compares the chain with the head in a checkpoint of the shard.
func (a *Auditor) Checkpoint(mark *actorlogv1.Checkpoint) {
	if a.state == unknown && mark.Head != nil {
		a.fence = NewFence(mark.Epoch, mark.Version, mark.EventsOffset-1)
	}
	a.Compare(mark.EventsOffset, mark.Head, "the checkpoint at "+strconv.FormatInt(mark.EventsOffset, 10)+", of "+mark.Worker)
}

// Head is the head over all that counts below Next, nil if it is not known. Where no head was noted so far, it is that of a chain that begins with the
// first record of the log.
func (a *Auditor) Head() *actorlogv1.Head {
	if a.state == unknown {
		return nil
	}
	return a.chain.Head()
}

// Next is the offset after the last record that was taken.
func (a *Auditor) Next() int64 { return a.next }

// Ends says that the log ends, although somebody noted a head over what was below next.
func (a *Auditor) Ends(next int64, by string) {
	if a.Finding == nil && next > a.next {
		a.differs(next, "the log ends at %d, and %s is over records up to %d: its end was cut off", a.next, by, next)
	}
}

func (a *Auditor) differs(before int64, format string, args ...any) {
	a.Finding = &Finding{After: max(a.Through, a.Since), Before: before, What: fmt.Sprintf(format, args...)}
}
