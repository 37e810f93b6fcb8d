package machine

import (
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

// Fence decides which records of an events partition count. Feed it the partition in
// order. Because an epoch is the offset of its claim, the latest claim is the one with the
// highest epoch, and a renewal by an owner that was replaced cannot bring its epoch back.
//
//	Invariant: epoch never decreases.
type Fence struct{ epoch int64 }

// NewFence starts at a place where epoch is in force; NoEpoch at the beginning of the
// partition or where it is not known yet.
func NewFence(epoch int64) Fence { return Fence{epoch: epoch} }

// Epoch in force.
func (f *Fence) Epoch() int64 { return f.epoch }

// Claim takes in a claim and returns the epoch that it stands for.
func (f *Fence) Claim(offset int64, c *actorlogv1.Claim) int64 {
	epoch := offset
	if c.RenewsEpoch != nil {
		epoch = *c.RenewsEpoch
		if epoch > offset {
			return epoch // forged: no claim can renew a later one
		}
	}
	f.epoch = max(f.epoch, epoch)
	return epoch
}

// Admits says whether an outcome was written by the owner of its time. The other half of
// the rule, the order of refs, is [Actor.Apply]'s.
func (f *Fence) Admits(o *actorlogv1.Outcome) bool {
	return f.epoch != NoEpoch && o.Epoch == f.epoch
}
