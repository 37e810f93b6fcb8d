package replay_test

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// counting is a source that counts what is read of events.
type counting struct {
	eventlog.Source
	records atomic.Int64
}

type countingTail struct {
	eventlog.Tail
	c *counting
}

func (c *counting) Tail(t eventlog.Topic) (eventlog.Tail, error) {
	tail, err := c.Source.Tail(t)
	return &countingTail{tail, c}, err
}

func (t *countingTail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	records, err := t.Tail.Poll(ctx)
	t.c.records.Add(int64(len(records)))
	return records, err
}

const (
	million = 1_000_000
	// Of so many events, one is of the actor that is seldom asked.
	seldom = 10_000
)

// writeMillion is a shard in which one actor counts to a million, and another one in between to a hundred, with a checkpoint shortly before the end.
func writeMillion(t *testing.T) *memlog.Log {
	t.Helper()
	c := memlog.NewCluster(1)
	log := c.Client()
	t.Cleanup(log.Close)
	header := func(kind schemas.Type) []eventlog.Header {
		return []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(kind)}}
	}
	outcome, claim := header(schemas.TypeOutcome), header(schemas.TypeClaim)
	encode := func(m proto.Message) []byte {
		value, err := schemas.Encode(m)
		require.NoError(t, err)
		return value
	}
	batch := make([]eventlog.Record, 0, 1000)
	offset := int64(0)
	put := func(r eventlog.Record) {
		if batch, offset = append(batch, r), offset+1; len(batch) == cap(batch) {
			c.Inject(eventlog.Events, 0, batch...)
			batch = batch[:0]
		}
	}
	put(eventlog.Record{Key: []byte(schemas.ClaimKey), Value: encode(&actorlogv1.Claim{Worker: "w"}), Headers: claim})
	keys := [][]byte{hashKey(keyOf(0)), hashKey(keyOf(1))}
	var counts [2]int64
	last := [2]int64{-1, -1}
	for n := range int64(million) {
		if n%500 == 499 {
			put(eventlog.Record{Key: []byte(schemas.ClaimKey), Headers: claim, Value: encode(&actorlogv1.Claim{
				Worker: "w", RenewsEpoch: proto.Int64(0), Place: proto.Int64(offset), Confirmed: proto.Int64(offset - 1),
			})})
		}
		i := 0
		if n%seldom == seldom-1 {
			i = 1
		}
		counts[i]++
		o := &actorlogv1.Outcome{
			Ref: n, Actor: &actorlogv1.Actor{Namespace: "default", Kind: "thing", Key: keyOf(i), Generation: 1}, TimeUnixMs: 1_700_000_000_000 + n,
			PatchJson: []byte(`[{"op":"replace","path":"/n","value":` + strconv.FormatInt(counts[i], 10) + `}]`),
		}
		if last[i] >= 0 {
			o.Prev = proto.Int64(last[i])
		} else {
			o.PatchJson, o.StateJson, o.Lifecycle = nil, []byte(`{"n":1}`), actorlogv1.Lifecycle_LIFECYCLE_CREATED
		}
		last[i] = offset
		put(eventlog.Record{Key: keys[i], Headers: outcome, Value: schemas.AppendPlace(encode(o), offset)})
		if n == million-5000 {
			snapshot := func(i int) eventlog.Record {
				return eventlog.Record{Key: keys[i], Headers: header(schemas.TypeSnapshot), Value: encode(&actorlogv1.Snapshot{
					Actor: o.Actor, Alive: true, StateJson: []byte(`{"n":` + strconv.FormatInt(counts[i], 10) + `}`), LastRef: n, LastOffset: last[i], TimeUnixMs: o.TimeUnixMs,
				})}
			}
			w, err := log.Snapshots(t.Context(), 0)
			require.NoError(t, err)
			_, err = w.Write(t.Context(), []eventlog.Record{snapshot(0), snapshot(1), {
				Key: []byte(schemas.CheckpointKey), Headers: header(schemas.TypeCheckpoint), Value: encode(&actorlogv1.Checkpoint{EventsOffset: offset, Epoch: 0}),
			}})
			require.NoError(t, err)
			w.Close()
		}
	}
	c.Inject(eventlog.Events, 0, batch...)
	return log
}

// A history of a million events: what is recent, or of an actor that is seldom asked, is found without reading the rest; what is not is a scan, in little memory.
func TestMillionEvents(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a million events take some seconds")
	}
	src := &counting{Source: writeMillion(t)}
	r := replay.NewReader(src, replay.Options{})
	busy, seldomAsked := hashOf(0), hashOf(1)
	reads := func(most int64, what string, do func()) {
		t.Helper()
		before := src.records.Load()
		do()
		require.LessOrEqual(t, src.records.Load()-before, most, "records read for %s", what)
	}
	state := func(hash schemas.Hash, p replay.Point) string {
		t.Helper()
		a, err := r.State(t.Context(), hash, p)
		require.NoError(t, err)
		return string(a.State)
	}

	reads(20_000, "the newest events of a busy actor", func() {
		all := entries(t, r, busy, replay.Query{Limit: 20})
		require.Len(t, all, 20)
		require.EqualValues(t, million-2, all[19].Ref, "the very last one is of the other actor")
	})
	reads(100*6_000, "all events of an actor that is seldom asked", func() {
		n := 0
		for _, err := range r.Back(t.Context(), seldomAsked, 0) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, million/seldom, n)
	})
	reads(40_000, "the state now", func() {
		require.JSONEq(t, `{"n":999900}`, state(busy, replay.Point{}))
		require.JSONEq(t, `{"n":100}`, state(seldomAsked, replay.Point{}))
	})
	reads(40_000, "a state of a moment ago", func() { require.JSONEq(t, `{"n":999899}`, state(busy, replay.Point{Number: -2})) })
	// In the middle.
	middle := schemas.Position{Offset: million / 2}
	// Up to it there are 499,002 events and 999 claims at or before it; 49 events are of the other actor.
	require.JSONEq(t, `{"n":498953}`, state(busy, replay.Point{Position: &middle}))
	require.JSONEq(t, `{"n":50}`, state(seldomAsked, replay.Point{Number: 50}))
	require.JSONEq(t, `{"n":700000}`, state(busy, replay.Point{Number: 700_000}))

	// All of it, and how much memory that holds.
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak, n := heap(), uint64(0), 0
	for m, err := range r.Fold(t.Context(), busy, 0) {
		require.NoError(t, err)
		if n++; n%250_000 == 0 {
			peak = max(peak, heap())
			require.Equal(t, `{"n":`+strconv.Itoa(n)+`}`, string(m.After.State))
		}
	}
	require.Equal(t, million-million/seldom, n)
	require.Less(t, int64(peak)-int64(before), int64(64<<20), "bytes held by a fold")

	// By time, and across pages.
	at := entries(t, r, busy, replay.Query{Limit: 1})[0].Time
	since := entries(t, r, busy, replay.Query{Since: replay.Point{Time: at.Add(-2e9)}, Limit: 10_000})
	require.Len(t, since, 2001)
	require.True(t, slices.IsSortedFunc(since, func(a, b *replay.Entry) int { return int(a.Ref - b.Ref) }))
}

// Records that are large are read back a few at a time, all of them, and not again and again.
func TestBack_LargeRecords(t *testing.T) {
	t.Parallel()
	const n, large = 400, 200_000
	c := memlog.NewCluster(1)
	log := c.Client()
	t.Cleanup(log.Close)
	put := func(key []byte, kind schemas.Type, m proto.Message, offset int64) {
		value, err := schemas.Encode(m)
		require.NoError(t, err)
		if kind == schemas.TypeOutcome {
			value = schemas.AppendPlace(value, offset)
		}
		c.Inject(eventlog.Events, 0, eventlog.Record{Key: key, Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(kind)}}})
	}
	put([]byte(schemas.ClaimKey), schemas.TypeClaim, &actorlogv1.Claim{Worker: "w"}, 0)
	for i := range int64(n) {
		o := &actorlogv1.Outcome{
			Ref: i, Actor: &actorlogv1.Actor{Namespace: "default", Kind: "thing", Key: keyOf(0), Generation: 1}, TimeUnixMs: i,
			StateJson: []byte(`"` + strings.Repeat("x", large) + `"`),
		}
		if o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_CREATED; i > 0 {
			o.Lifecycle, o.Prev = actorlogv1.Lifecycle_LIFECYCLE_UNSPECIFIED, proto.Int64(i)
		}
		put(hashKey(keyOf(0)), schemas.TypeOutcome, o, i+1)
	}
	src := &counting{Source: log}
	want := int64(n - 1)
	for e, err := range replay.NewReader(src, replay.Options{}).Back(t.Context(), hashOf(0), 0) {
		require.NoError(t, err)
		require.Equal(t, want, e.Ref())
		want--
	}
	require.EqualValues(t, -1, want)
	require.Less(t, src.records.Load(), int64(10*n), "records read; what is polled beyond a block counts too")
}
