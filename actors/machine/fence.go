package machine

import (
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// NoEpoch is the epoch of a partition without any claim.
const NoEpoch int64 = -1

// Renewal distances, in offsets of an events partition. An owner renews its claim at
// least every RenewEvery; whoever starts reading in the middle reads back at least
// ReadBack, and so meets a claim of the owner of that time.
const (
	RenewEvery = 1000
	ReadBack   = 2 * RenewEvery
)

// Fence decides which records of an events partition count. Feed it all claims, outcomes and steps of the partition in
// order. Because an epoch is the offset of its claim, the latest claim is the one with the
// highest epoch, and a renewal by an owner that was replaced cannot bring its epoch back. A claim of a worker whose
// version is lower than that of the owner is void: a shard never moves to older code.
//
// Within a term, records count as long as their places follow on each other. What comes after a record that was lost builds on what
// is not there; its writer finds out and ends the term, but may have written further records before.
//
// A reader who starts in the middle does not know whether something was lost before. It follows the run of places that it sees, and is certain when a
// renewed claim says that all before that run was written.
//
//	Invariant: (version, epoch) never decreases; certain within an epoch stays.
type Fence struct {
	epoch   int64
	version uint64
	certain bool
	// The run of places seen without a gap: first to last. When certain, last is that of the last record that counts.
	first, last int64
}

// NewFence starts at a place where epoch is in force, claimed by a worker of that version, and the record with the place last was the last one that counts;
// NoEpoch, 0 and NoPlace at the beginning of the partition or where it is not known yet.
func NewFence(epoch int64, version uint64, last int64) Fence {
	return Fence{epoch: epoch, version: version, certain: epoch != NoEpoch, last: last}
}

// Epoch in force, as far as is known.
func (f *Fence) Epoch() int64 { return f.epoch }

// Version of the worker whose claim is in force.
func (f *Fence) Version() uint64 { return f.version }

// Last is the place of the last record of the term that follows on those before it: with Epoch and Version, what NewFence takes to go on from here.
func (f *Fence) Last() int64 { return f.last }

// Certain says whether it is known which records count from here on.
func (f *Fence) Certain() bool { return f.certain }

// Claim takes in a claim and returns the epoch that it stands for.
func (f *Fence) Claim(offset int64, c *actorlogv1.Claim) int64 {
	epoch := offset
	if c.RenewsEpoch != nil {
		epoch = *c.RenewsEpoch
		if epoch > offset {
			return epoch // forged: no claim can renew a later one
		}
	}
	switch {
	case c.Version < f.version || (c.Version == f.version && epoch < f.epoch):
		return epoch // void
	case c.Version > f.version || epoch > f.epoch:
		f.version, f.epoch = c.Version, epoch
		f.certain, f.first, f.last = c.RenewsEpoch == nil, epoch, epoch
		if c.RenewsEpoch == nil {
			return epoch
		}
		if f.first, f.last = offset, offset; c.Place != nil { // a reader that starts in the middle
			f.first, f.last = *c.Place, *c.Place
		}
	case c.RenewsEpoch != nil && c.Place != nil:
		f.follows(*c.Place)
	}
	if c.RenewsEpoch != nil && (c.Confirmed == nil || *c.Confirmed >= f.first-1) {
		f.certain = true
	}
	return epoch
}

// Admits says whether an outcome or step of that epoch and place counts: it was written by the owner of its time, and builds on nothing that is
// not there. The other half of the rule, the order of refs, is [Actor.Apply]'s. Ask it once for each, in order. A place of
// schemas.NoPlace follows on any.
func (f *Fence) Admits(epoch, place int64) bool {
	if f.epoch == NoEpoch || epoch != f.epoch {
		return false
	}
	if place == schemas.NoPlace {
		return f.certain
	}
	return f.follows(place) && f.certain
}

// Take takes in any record of the partition, and says whether it counts. It returns the claim, if it is one that can be read.
func (f *Fence) Take(r *eventlog.Record) (claim *actorlogv1.Claim, counts bool) {
	switch t := schemas.Type(r.Header(schemas.HeaderType)); t {
	case schemas.TypeOutcome, schemas.TypeStep:
		return nil, f.Admits(schemas.PlaceOf(r.Value))
	case schemas.TypeClaim:
		claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value)
		if err != nil {
			return nil, false
		}
		before := *f
		epoch := f.Claim(r.Offset, claim)
		switch {
		case epoch != f.epoch || claim.Version != f.version || !f.certain:
			return claim, false
		case before.epoch != epoch || claim.Place == nil:
			return claim, true
		}
		return claim, f.last == *claim.Place && before.last != f.last
	}
	return nil, false
}

// follows takes in a place, and says whether it follows on the last one. If that is not certain, it may be where the run begins.
func (f *Fence) follows(place int64) bool {
	switch {
	case place == f.last+1:
		f.last = place
	case !f.certain:
		f.first, f.last = place, place
	default:
		return false
	}
	return true
}
