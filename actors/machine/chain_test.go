package machine_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// chained is a partition of events as owners write it, one after the other, some of whom lose records, and zombies between them.
type chained struct {
	dice    *rand.Rand
	records []eventlog.Record
	mark    *actorlogv1.Checkpoint
	chain   machine.Chain
	epoch   int64
	place   int64
	// old writes as versions did that kept no chain.
	old bool
	// zombies are records of earlier terms that may turn up again.
	zombies []eventlog.Record
}

func (w *chained) put(r eventlog.Record) int64 {
	r.Offset = int64(len(w.records))
	w.records = append(w.records, r)
	return r.Offset
}

func typed(t schemas.Type, key string, m proto.Message) eventlog.Record {
	value, err := schemas.Encode(m)
	if err != nil {
		panic(err)
	}
	return eventlog.Record{Key: []byte(key), Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(t)}}}
}

// begin begins a term: claim, recovery from the last checkpoint.
func (w *chained) begin() {
	claim := typed(schemas.TypeClaim, schemas.ClaimKey, &actorlogv1.Claim{Worker: fmt.Sprint("w", len(w.records)), TimeUnixMs: int64(len(w.records))})
	w.epoch = w.put(claim)
	w.place = w.epoch
	if w.old {
		return
	}
	trail := machine.NewTrail(w.mark, 0)
	for i := w.mark.GetEventsOffset(); i < w.epoch; i++ {
		trail.Take(&w.records[i])
	}
	chain, kept := trail.Chain(w.epoch)
	chain.Add(&claim)
	w.chain = chain
	if !kept {
		w.renew(w.place)
	}
}

// write writes what counts, unless it is lost.
func (w *chained) write(r eventlog.Record, lost bool) {
	w.place++
	w.chain.Add(&r)
	if !lost {
		w.put(r)
	}
}

func (w *chained) outcome(lost bool) {
	key := fmt.Sprintf("%016d", w.dice.IntN(5))
	r := typed(schemas.TypeOutcome, key, &actorlogv1.Outcome{Ref: w.place, Epoch: w.epoch, ResultJson: fmt.Appendf(nil, "%d", w.dice.IntN(100))})
	if w.dice.IntN(5) == 0 {
		r = typed(schemas.TypeStep, key, &actorlogv1.Step{Ref: w.place, Epoch: w.epoch, Name: "pay"})
	}
	r.Headers = append(r.Headers, eventlog.Header{Key: schemas.HeaderTo, Value: []byte("gw")})
	r.Value = schemas.AppendPlace(r.Value, w.place+1)
	w.write(r, lost)
	w.zombies = append(w.zombies, r)
}

func (w *chained) renew(confirmed int64) {
	c := &actorlogv1.Claim{Worker: "w", RenewsEpoch: &w.epoch, Place: proto.Int64(w.place + 1), Confirmed: &confirmed}
	if !w.old {
		c.Head = w.chain.Head()
	}
	w.write(typed(schemas.TypeClaim, schemas.ClaimKey, c), false)
}

func (w *chained) term() {
	w.begin()
	acked := w.place
	for range 3 + w.dice.IntN(12) {
		switch w.dice.IntN(6) {
		case 0:
			w.renew(acked)
		case 1:
			if len(w.zombies) > 0 && w.epoch > 0 {
				// Another writer: the term goes on until its owner finds out.
				w.put(w.zombies[w.dice.IntN(len(w.zombies))])
				w.outcome(false)
				w.renew(acked)
				return
			}
		case 2:
			if w.dice.IntN(6) == 0 {
				w.outcome(true)
				w.outcome(false)
				w.renew(acked)
				return
			}
		default:
			w.outcome(false)
		}
		if w.dice.IntN(3) == 0 {
			acked = w.place
		}
	}
	if w.place == int64(len(w.records))-1 && w.dice.IntN(2) == 0 {
		w.checkpoint()
	}
}

func (w *chained) checkpoint() {
	w.mark = &actorlogv1.Checkpoint{EventsOffset: w.place + 1, Epoch: w.epoch, Worker: "w"}
	if !w.old {
		w.mark.Head = w.chain.Head()
	}
}

func chainedLog(dice *rand.Rand, old int) *chained {
	w := &chained{dice: dice, old: old > 0}
	for range old {
		w.term()
	}
	w.old = false
	for range 1 + dice.IntN(6) {
		w.term()
	}
	// A last term that ends well.
	w.begin()
	w.outcome(false)
	w.renew(w.place)
	return w
}

// audit reads records from the offset of the first one on, and compares with a head at the end.
func audit(records []eventlog.Record, mark *actorlogv1.Checkpoint, end int64, head *actorlogv1.Head) *machine.Auditor {
	start := int64(0)
	if len(records) > 0 {
		start = records[0].Offset
	}
	a := machine.NewAuditor(start)
	for i := range records {
		if mark != nil && records[i].Offset == mark.EventsOffset {
			a.Checkpoint(mark)
		}
		if head != nil && records[i].Offset == end {
			a.Compare(end, head, "the file")
		}
		a.Take(&records[i])
	}
	if head != nil && a.Next() == end {
		a.Compare(end, head, "the file")
	}
	a.Ends(end, "the file")
	return a
}

func TestAuditor_AcceptsWhatOwnersWrite(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(seed.New(t), 0))
	for range 300 {
		w := chainedLog(dice, dice.IntN(3))
		a := audit(w.records, w.mark, int64(len(w.records)), w.chain.Head())
		require.Nil(t, a.Finding)
		require.Positive(t, a.Heads)
		require.Equal(t, int64(len(w.records)), a.Through)
		require.True(t, proto.Equal(w.chain.Head(), a.Head()))

		// The same where the beginning has expired, if a head is left to begin with.
		from := dice.IntN(len(w.records))
		a = audit(w.records[from:], w.mark, int64(len(w.records)), w.chain.Head())
		require.Nil(t, a.Finding, "from %d", from)
	}
}

// Whatever is done to a record that counts, it is found, whether by a head in the log or by the one that was kept.
func TestAuditor_FindsWhatWasChanged(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(seed.New(t), 0))
	for range 2000 {
		w := chainedLog(dice, 0)
		head, end := w.chain.Head(), int64(len(w.records))
		counting := thoseThatCount(w.records)
		at := dice.IntN(len(counting))
		i := counting[at]
		records, what := hurt(dice, w.records, i, counting[max(at-1, 0)])
		first, differ := firstDifference(w.records, records)
		if !differ {
			continue // a copy of the record counts in its place
		}
		if at < len(counting)-1 && dice.IntN(2) == 0 {
			head, end = nil, 0 // the log's own heads tell, for the last one is over all others
		}
		a := audit(records, w.mark, end, head)
		require.NotNil(t, a.Finding, "%s at %d of %d", what, i, len(w.records))
		require.LessOrEqual(t, a.Finding.After, first, "%s at %d: what is before After is said to be as it was", what, i)
	}
}

func thoseThatCount(records []eventlog.Record) (counting []int) {
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	for i := range records {
		if _, counts := fence.Take(&records[i]); counts {
			counting = append(counting, i)
		}
	}
	return counting
}

// firstDifference is the offset in b of the first record that counts and is another one than in a.
func firstDifference(a, b []eventlog.Record) (offset int64, differ bool) {
	before, after := thoseThatCount(a), thoseThatCount(b)
	for n := range max(len(before), len(after)) {
		if n >= len(before) || n >= len(after) {
			return int64(len(b)), true
		}
		x, y := a[before[n]], b[after[n]]
		x.Offset = y.Offset
		if !reflect.DeepEqual(x, y) {
			return y.Offset, true
		}
	}
	return 0, false
}

// hurt changes, drops, forges or moves record i, of which j is the one before it that counts, and returns a copy of all.
func hurt(dice *rand.Rand, old []eventlog.Record, i, j int) (records []eventlog.Record, what string) {
	records = slices.Clone(old)
	r := &records[i]
	flip := func(b []byte) []byte {
		b = slices.Clone(b)
		b[dice.IntN(len(b))] ^= 1 << dice.IntN(8)
		return b
	}
	switch dice.IntN(8) {
	case 0:
		r.Key, what = flip(r.Key), "a flipped bit of the key"
	case 1:
		r.Headers = slices.Clone(r.Headers)
		h := &r.Headers[dice.IntN(len(r.Headers))]
		h.Value, what = flip(h.Value), "a flipped bit of a header"
	case 2:
		r.Headers, what = append(slices.Clone(r.Headers), eventlog.Header{Key: "x"}), "a header more"
	case 3:
		records, what = slices.Delete(records, i, i+1), "a dropped record"
	case 4:
		// What an owner could have written there.
		forged := typed(schemas.TypeOutcome, "0000000000000000", &actorlogv1.Outcome{Epoch: epochAt(old, j)})
		forged.Value = schemas.AppendPlace(forged.Value, placeAt(old, j)+1)
		records, what = slices.Insert(records, i, forged), "an inserted record"
	case 5:
		if i != j {
			records[i], records[j] = records[j], records[i]
			what = "two records that changed places"
			break
		}
		fallthrough
	default:
		r.Value, what = flip(r.Value), "a flipped bit of the value"
	}
	for n := range records { // the log numbers them
		records[n].Offset = old[0].Offset + int64(n)
	}
	return records, what
}

func epochAt(records []eventlog.Record, i int) int64 {
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	for n := range records[:i+1] {
		fence.Take(&records[n])
	}
	return fence.Epoch()
}

func placeAt(records []eventlog.Record, i int) int64 {
	_, place := schemas.PlaceOf(records[i].Value)
	if c, err := schemas.DecodeAs[*actorlogv1.Claim](schemas.TypeClaim, records[i].Value); place == schemas.NoPlace && err == nil {
		if place = c.GetPlace(); c.Place == nil {
			place = int64(i)
		}
	}
	return place
}

// What an owner pays for the chain with each record of some 300 bytes.
func BenchmarkChain(b *testing.B) {
	r := typed(schemas.TypeOutcome, "0123456789abcdef", &actorlogv1.Outcome{ResultJson: make([]byte, 260)})
	chain := machine.NewChain(0)
	b.ReportAllocs()
	for b.Loop() {
		chain.Add(&r)
	}
}
