package machine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

const hour = 60 * 60 * 1000

func numbered(gateway string, sequence uint64, ms int64) *actorlogv1.Action {
	return &actorlogv1.Action{Caller: &actorlogv1.Caller{Gateway: gateway}, Sequence: sequence, TimeUnixMs: ms}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	t.Run("Low is the first that is not answered", func(t *testing.T) {
		t.Parallel()
		w := machine.NewWindow(10, nil)
		require.EqualValues(t, 10, w.Low())
		for offset := int64(10); offset < 14; offset++ {
			require.True(t, w.Read(offset, numbered("g", uint64(offset), 0)))
		}
		w.Answered(11)
		w.Answered(13)
		require.EqualValues(t, 10, w.Low())
		w.Answered(10)
		require.EqualValues(t, 12, w.Low())
		w.Answered(10) // again
		w.Answered(99) // never read
		require.EqualValues(t, 12, w.Low())
		w.Answered(12)
		require.EqualValues(t, 14, w.Low())
	})
	t.Run("what is no action and what is gone count as answered", func(t *testing.T) {
		t.Parallel()
		w := machine.NewWindow(0, nil)
		require.True(t, w.Read(3, numbered("g", 1, 0))) // 0 to 2 expired
		require.EqualValues(t, 3, w.Low())
		w.Skip(4)
		w.Skip(7)
		w.Answered(3)
		require.EqualValues(t, 8, w.Low())
	})
	t.Run("copies are not let in", func(t *testing.T) {
		t.Parallel()
		w := machine.NewWindow(0, nil)
		require.True(t, w.Read(0, numbered("g", 5, 0)))
		require.False(t, w.Read(1, numbered("g", 5, 0)))
		require.False(t, w.Read(2, numbered("g", 4, 0)))
		require.True(t, w.Read(3, numbered("h", 5, 0)), "another gateway counts for itself")
		require.True(t, w.Read(4, numbered("g", 9, 0)), "numbers may be left out")
		require.EqualValues(t, 0, w.Low())
	})
	t.Run("without a number nothing is a copy", func(t *testing.T) {
		t.Parallel()
		w := machine.NewWindow(0, nil)
		for offset := range int64(3) {
			require.True(t, w.Read(offset, numbered("g", 0, 0)))
			w.Answered(offset)
		}
		require.Empty(t, w.Senders())
	})
	t.Run("Senders is as of Low", func(t *testing.T) {
		t.Parallel()
		w := machine.NewWindow(0, nil)
		w.Read(0, numbered("g", 1, 100))
		w.Read(1, numbered("g", 2, 200))
		w.Read(2, numbered("g", 3, 300))
		require.Empty(t, w.Senders())
		w.Answered(0)
		w.Answered(2)
		require.Equal(t, []string{`g 1 100`}, senders(&w))
		// Read again from Low: the second is let in again, and so is the third, which its actor
		// will know.
		w = machine.NewWindow(w.Low(), w.Senders())
		require.True(t, w.Read(1, numbered("g", 2, 200)))
		require.True(t, w.Read(2, numbered("g", 3, 300)))
		require.False(t, w.Read(3, numbered("g", 1, 100)))
	})
	t.Run("of many senders, the silent ones are forgotten after an hour", func(t *testing.T) {
		t.Parallel()
		w := machine.NewWindow(0, nil)
		var offset int64
		say := func(gateway string, ms int64) {
			w.Read(offset, numbered(gateway, 7, ms))
			w.Answered(offset)
			offset++
		}
		say("a", 0)
		say("b", hour)
		say("c", 2*hour)
		require.Equal(t, []string{"a 7 0", "b 7 3600000", "c 7 7200000"}, senders(&w), "few are kept, whatever their clocks say")
		for i := range 100 {
			say(fmt.Sprintf("d%02d", i), 2*hour)
		}
		require.Len(t, w.Senders(), 102)
		require.Equal(t, "b 7 3600000", senders(&w)[0])

		// b is silent below Low, but not beyond it: while the checkpoint forgets it, the reader does not.
		say("g", 3*hour)
		w.Read(offset, numbered("b", 8, 3*hour))
		require.NotContains(t, senders(&w), "b 7 3600000")
		require.False(t, w.Read(offset+1, numbered("b", 8, 3*hour)))
		require.False(t, w.Read(offset+2, numbered("b", 7, hour)))
	})
}

func senders(w *machine.Window) (s []string) {
	for _, x := range w.Senders() {
		s = append(s, fmt.Sprint(x.Gateway, " ", x.Sequence, " ", x.TimeUnixMs))
	}
	return s
}

// The window against a dumb model: a whole partition in which it is known what is a copy. Whatever
// is answered in whatever order, and wherever a reader begins again:
//
//   - no copy is ever let in, and every action is, on every reading;
//   - Low is the first offset that was read, let in and not answered;
//   - from Low on, the actions that are not answered are all there.
func TestWindow_AgainstADumbModel(t *testing.T) {
	t.Parallel()
	seed := seed.New(t)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 400 {
		checkWindow(t, r)
	}
}

// record is one of the partition. A hole has no offset of its own: it is left out.
type record struct {
	offset int64
	action *actorlogv1.Action // nil: no action
	copied bool
}

// partition makes what gateways and their transports write.
func partition(r *rand.Rand) []record {
	gateways := []string{"a", "b", "c", ""}
	sent := make(map[string][]*actorlogv1.Action)
	last := make(map[string]uint64)
	skew := make(map[string]int64)
	for _, g := range gateways {
		skew[g] = int64(r.IntN(24*hour)) - 12*hour // a clock can be set to anything
	}
	var records []record
	offset, now := int64(r.IntN(5)), int64(0)
	put := func(action *actorlogv1.Action, copied bool) {
		records = append(records, record{offset, action, copied})
		offset++
		if r.IntN(10) == 0 {
			offset += int64(r.IntN(3))
		}
	}
	for range 10 + r.IntN(200) {
		g := gateways[r.IntN(len(gateways))]
		now += int64(r.IntN(2000))
		if r.IntN(20) == 0 {
			now += int64(r.IntN(3 * hour))
		}
		ms := now + skew[g]
		switch n := r.IntN(12); {
		case n == 0:
			put(nil, false)
		case n == 1:
			put(numbered(g, 0, ms), false)
		case n <= 3 && len(sent[g]) > 0:
			// The transport did not hear that a batch was written, and soon writes it again.
			for _, a := range sent[g][max(0, len(sent[g])-1-r.IntN(4)):] {
				if now+skew[g]-a.TimeUnixMs < 60_000 {
					put(a, true)
				}
			}
		default:
			last[g] += 1 + uint64(r.IntN(2))
			a := numbered(g, last[g], ms)
			sent[g] = append(sent[g], a)
			put(a, false)
		}
	}
	return records
}

func checkWindow(t *testing.T, r *rand.Rand) {
	records := partition(r)
	answered := make(map[int64]bool) // durable: outcomes are in the log
	answers := make(map[int64]int)
	// The last checkpoint.
	low, senders := int64(0), []*actorlogv1.Sender(nil)

	open := make(map[int64]bool) // let in and not answered, in memory
	w, at := machine.NewWindow(low, senders), 0
	dumbLow := func() int64 {
		next := low
		if at > 0 {
			next = max(low, records[at-1].offset+1)
		}
		for o := range open {
			next = min(next, o)
		}
		return next
	}
	for at < len(records) || len(open) > 0 {
		switch n := r.IntN(12); {
		case n < 5 && at < len(records):
			rec := records[at]
			at++
			if rec.action == nil {
				w.Skip(rec.offset)
				break
			}
			require.Equal(t, !rec.copied, w.Read(rec.offset, rec.action), "at %d", rec.offset)
			if rec.copied {
				break
			}
			if answered[rec.offset] { // its actor knows
				w.Answered(rec.offset)
			} else {
				open[rec.offset] = true
			}
		case n < 10:
			for o := range open { // any of them
				answered[o] = true
				answers[o]++
				delete(open, o)
				w.Answered(o)
				break
			}
		case n == 10:
			low, senders = w.Low(), throughCheckpoint(t, w.Senders())
			for _, rec := range records {
				require.False(t, rec.offset < low && rec.action != nil && !rec.copied && !answered[rec.offset], "%d is lost", rec.offset)
			}
		case r.IntN(5) == 0: // a crash, and another owner
			clear(open)
			w = machine.NewWindow(low, senders)
			for at = 0; at < len(records) && records[at].offset < low; at++ {
			}
		}
		require.Equal(t, dumbLow(), w.Low())
	}
	for _, rec := range records {
		if rec.action != nil && !rec.copied {
			require.Equal(t, 1, answers[rec.offset], "action at %d", rec.offset)
		}
	}
}

// throughCheckpoint is the senders of a checkpoint as another owner reads them.
func throughCheckpoint(t *testing.T, senders []*actorlogv1.Sender) []*actorlogv1.Sender {
	value, err := schemas.Encode(&actorlogv1.Checkpoint{Senders: senders})
	require.NoError(t, err)
	c, err := schemas.DecodeAs[*actorlogv1.Checkpoint](schemas.TypeCheckpoint, value)
	require.NoError(t, err)
	return c.Senders
}
