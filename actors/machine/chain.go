package machine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Chain is the head of a hash chain over the records of an events partition that count: outcomes, steps, claims and renewed claims. Each
// head is the hash of the one before it and of the next record, so that whoever knows a head knows whether any record before it was changed,
// dropped, added or put elsewhere since. What is void (a zombie's records, copies) is not part of it: anybody can cause such records, and
// no reader heeds them.
//
// It says nothing of offsets, for an owner has to know the head when it appends, and another writer may shift what is under way. The places
// within the records, and the offset of the claim that their epoch names, say where they belong.
//
//	head' = SHA-256(head, SHA-256(key, headers, value)), each part with its length
//
// The hash has no key: whoever can rewrite all of a log, its claims and its checkpoints can make a chain that agrees with itself. Against that, heads
// are kept elsewhere; see docs/tamper-evidence.md.
type Chain struct {
	since int64
	head  [sha256.Size]byte
}

// NewChain begins with the record at offset since.
func NewChain(since int64) Chain { return Chain{since: since} }

// ResumeChain goes on from a head. It returns false if h is none.
func ResumeChain(h *actorlogv1.Head) (Chain, bool) {
	c := Chain{since: h.GetSince()}
	return c, copy(c.head[:], h.GetHash()) == len(c.head)
}

// Head as a record has it.
func (c *Chain) Head() *actorlogv1.Head {
	return &actorlogv1.Head{Since: c.since, Hash: bytes.Clone(c.head[:])}
}

// Is says whether the chain has come to h.
func (c *Chain) Is(h *actorlogv1.Head) bool {
	return h.GetSince() == c.since && bytes.Equal(h.GetHash(), c.head[:])
}

// Add takes in the next record that counts, as the log stores it.
func (c *Chain) Add(r *eventlog.Record) { c.link(digest(r)) }

func (c *Chain) link(d [sha256.Size]byte) {
	var both [2 * sha256.Size]byte
	copy(both[copy(both[:], c.head[:]):], d[:])
	c.head = sha256.Sum256(both[:])
}

// digest of a record: all that is stored of it, but for where. What is sealed is digested as it is, so that a chain can be verified without the keys, and when
// they are gone.
func digest(r *eventlog.Record) (d [sha256.Size]byte) {
	h := sha256.New()
	var length [binary.MaxVarintLen64]byte
	number := func(n int) { h.Write(binary.AppendUvarint(length[:0], uint64(n))) }
	part := func(b []byte) {
		number(len(b))
		h.Write(b)
	}
	part(r.Key)
	number(len(r.Headers))
	for i := range r.Headers {
		number(len(r.Headers[i].Key))
		h.Write([]byte(r.Headers[i].Key))
		part(r.Headers[i].Value)
	}
	part(r.Bytes())
	h.Sum(d[:0])
	return d
}

// Trail follows the chain of a partition from one of its checkpoints on, for an owner that is about to carry it on.
type Trail struct {
	fence Fence
	chain Chain
	known bool
}

// NewTrail starts at a checkpoint; at the first record that is kept, start, when mark is nil.
func NewTrail(mark *actorlogv1.Checkpoint, start int64) Trail {
	if mark == nil {
		return Trail{fence: NewFence(NoEpoch, 0, schemas.NoPlace), chain: NewChain(0), known: start == 0}
	}
	t := Trail{fence: NewFence(mark.Epoch, mark.Version, mark.EventsOffset-1)}
	t.chain, t.known = ResumeChain(mark.Head)
	return t
}

// Take takes in the next record of the partition, whatever it is.
func (t *Trail) Take(r *eventlog.Record) {
	claim, counts := t.fence.Take(r)
	if counts && !t.known {
		t.chain, t.known = ResumeChain(claim.GetHead())
	}
	if counts && t.known {
		t.chain.Add(r)
	}
}

// Chain is the chain before the claim of its new owner, which stands at epoch. It begins with that claim, and the answer is false, where none is kept:
// all that was written so far was written by versions that kept none.
func (t *Trail) Chain(epoch int64) (Chain, bool) {
	if !t.known {
		return NewChain(epoch), false
	}
	return t.chain, true
}
