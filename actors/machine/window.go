package machine

import (
	"maps"
	"slices"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// A gateway's sequence number is forgotten when it has been silent for maxSenderAge, in ms, and there
// are more than maxSenders. The transport makes copies within seconds, but by the clock of
// a gateway that is hours ahead, every other one has been silent for hours.
const (
	maxSenderAge = 60 * 60 * 1000
	maxSenders   = 100
)

// Window takes in a partition of actions in offset order. It tells copies that the transport made
// from actions, and tracks which are answered, so that the shard knows from where it would
// have to read again: the low watermark. Actions are answered in any order.
//
//	Invariant: every action below Low is answered; Low <= next offset to be read.
type Window struct {
	low     int64 // offset of entries[head]
	entries []entry
	head    int
	// read is every gateway's last action so far, below that below Low.
	read, below map[string]sender
}

type entry struct {
	open    bool
	gateway string
	sender  sender
}

type sender struct {
	sequence uint64
	timeMs   int64
}

// NewWindow starts at the first action that will be read, with what a checkpoint says of
// the senders before it.
func NewWindow(low int64, senders []*actorlogv1.Sender) Window {
	w := Window{low: low, read: make(map[string]sender), below: make(map[string]sender)}
	for _, s := range senders {
		w.below[s.Gateway] = sender{sequence: s.Sequence, timeMs: s.TimeUnixMs}
	}
	maps.Copy(w.read, w.below)
	return w
}

// Skip notes that the record at offset was read and needs no answer: it is no action. Offsets
// that were passed over before it (the log keeps them no longer) count as answered.
func (w *Window) Skip(offset int64) {
	for w.next() <= offset {
		w.entries = append(w.entries, entry{})
	}
	w.advance()
}

// Read notes that an action was read, and returns false if it is a copy of one that was read
// before: then it needs no answer.
func (w *Window) Read(offset int64, action *actorlogv1.Action) bool {
	if w.next() < offset {
		w.Skip(offset - 1)
	}
	gateway, sequence := action.GetCaller().GetGateway(), action.Sequence
	if sequence == 0 {
		w.entries = append(w.entries, entry{open: true})
		return true
	}
	if sequence <= w.read[gateway].sequence {
		w.Skip(offset)
		return false
	}
	e := entry{open: true, gateway: gateway, sender: sender{sequence: sequence, timeMs: action.TimeUnixMs}}
	w.read[gateway] = e.sender
	w.entries = append(w.entries, e)
	return true
}

// Answered notes that the action's outcome is committed, or that it needs none.
func (w *Window) Answered(offset int64) {
	if i := offset - w.low; i >= 0 && i < int64(len(w.entries)-w.head) {
		w.entries[w.head+int(i)].open = false
		w.advance()
	}
}

// Low is the first offset that is not answered.
func (w *Window) Low() int64 { return w.low }

// Senders is what NewWindow needs to go on from Low: every gateway's last action below it. Of more
// than a hundred, those that have been silent for an hour are forgotten.
func (w *Window) Senders() []*actorlogv1.Sender {
	newest := int64(0)
	for _, s := range w.below {
		newest = max(newest, s.timeMs)
	}
	var senders []*actorlogv1.Sender
	for _, gateway := range slices.Sorted(maps.Keys(w.below)) {
		s := w.below[gateway]
		if len(w.below) > maxSenders && newest-s.timeMs > maxSenderAge {
			delete(w.below, gateway)
			if w.read[gateway] == s {
				delete(w.read, gateway)
			}
			continue
		}
		senders = append(senders, &actorlogv1.Sender{Gateway: gateway, Sequence: s.sequence, TimeUnixMs: s.timeMs})
	}
	return senders
}

func (w *Window) next() int64 { return w.low + int64(len(w.entries)-w.head) }

func (w *Window) advance() {
	for w.head < len(w.entries) && !w.entries[w.head].open {
		if e := &w.entries[w.head]; e.sender.sequence != 0 {
			w.below[e.gateway] = e.sender
		}
		w.entries[w.head] = entry{}
		w.head++
		w.low++
	}
	if w.head == len(w.entries) {
		w.entries, w.head = w.entries[:0], 0
	}
	// Give the answered front back when it is the larger half.
	if w.head > 64 && w.head > len(w.entries)/2 {
		n := copy(w.entries, w.entries[w.head:])
		clear(w.entries[n:])
		w.entries, w.head = w.entries[:n], 0
	}
}
