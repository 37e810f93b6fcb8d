package replay_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/internal/jsonpatch"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// author writes the events of shard 0 of one as its owners would, and as those who are not its owners any more do.
type author struct {
	t       *testing.T
	rng     *rand.Rand
	cluster *memlog.Cluster
	log     *memlog.Log
	keys    []schemas.Hash

	actors map[schemas.Hash]machine.Actor // as the owner sees them
	epoch  int64
	place  int64 // of the next record of the owner
	ref    int64 // of the next action
	timeMs int64
	old    []*actorlogv1.Outcome // what a zombie may write
}

func newAuthor(t *testing.T, seed uint64, actors int) *author {
	t.Helper()
	c := memlog.NewCluster(1)
	a := &author{t: t, rng: rand.New(rand.NewPCG(seed, 5)), cluster: c, log: c.Client(), timeMs: 1_700_000_000_000}
	t.Cleanup(a.log.Close)
	for i := range actors {
		a.keys = append(a.keys, hashOf(i))
	}
	a.claim()
	return a
}

func hashOf(i int) schemas.Hash { return schemas.HashOf("default", "thing", keyOf(i)) }

func keyOf(i int) schemas.Key { return schemas.Key{fmt.Sprint("k", i)} }

func (a *author) inject(key []byte, t schemas.Type, value []byte) int64 {
	return a.cluster.Inject(eventlog.Events, 0, eventlog.Record{Key: key, Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(t)}}})
}

func (a *author) encode(m proto.Message) []byte {
	value, err := schemas.Encode(m)
	require.NoError(a.t, err)
	return value
}

// claim is a new owner, who has read all there is.
func (a *author) claim() {
	a.epoch = a.inject([]byte(schemas.ClaimKey), schemas.TypeClaim, a.encode(&actorlogv1.Claim{Worker: "w"}))
	a.place = a.epoch + 1
	a.actors = make(map[schemas.Hash]machine.Actor)
	for hash, moments := range naive(a.t, a.cluster) {
		a.actors[hash] = moments[len(moments)-1].after
	}
}

func (a *author) renew() {
	c := &actorlogv1.Claim{Worker: "w", RenewsEpoch: proto.Int64(a.epoch), Place: proto.Int64(a.place), Confirmed: proto.Int64(a.place - 1)}
	a.inject([]byte(schemas.ClaimKey), schemas.TypeClaim, a.encode(c))
	a.place++
}

func (a *author) actor(hash schemas.Hash) machine.Actor {
	if x, ok := a.actors[hash]; ok {
		return x
	}
	return machine.NewActor(hash)
}

// outcome is a random one.
func (a *author) outcome(i int) *actorlogv1.Outcome {
	hash := a.keys[i]
	x := a.actor(hash)
	a.timeMs += a.rng.Int64N(1000)
	o := &actorlogv1.Outcome{
		Ref: a.ref, Epoch: a.epoch, TimeUnixMs: a.timeMs,
		Actor:      &actorlogv1.Actor{Namespace: "default", Kind: "thing", Key: keyOf(i), Generation: x.Generation, CreatedUnixMs: x.CreatedMs},
		Action:     &actorlogv1.Action{RequestId: fmt.Sprint("r", a.ref), Caller: &actorlogv1.Caller{Gateway: "g"}, Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "do"}}},
		ResultJson: []byte("1"),
	}
	a.ref++
	if x.LastOffset >= 0 {
		o.Prev = proto.Int64(x.LastOffset)
	}
	state := func() []byte { return fmt.Appendf(nil, `{"n":%d,"list":[%d,%d]}`, a.ref, a.rng.IntN(3), a.rng.IntN(3)) }
	switch n := a.rng.IntN(20); {
	case !x.Alive && n < 2: // refused
		o.Error = &actorlogv1.Error{Group: "actor", Code: "not_found"}
	case !x.Alive:
		o.Lifecycle, o.StateJson = actorlogv1.Lifecycle_LIFECYCLE_CREATED, state()
		o.Actor.Generation, o.Actor.CreatedUnixMs = x.Generation+1, a.timeMs
	case n == 0:
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_DESTROYED
	case n == 1:
		o.RefusedSince, o.Error = proto.Int64(o.Ref), &actorlogv1.Error{Group: "actor", Code: "overloaded"}
	case n == 2:
		o.StateJson = state()
	case n == 3:
		o.Scheduled = []*actorlogv1.Schedule{{Id: fmt.Sprint("s", a.rng.IntN(3)), Action: "do", DueUnixMs: a.timeMs}}
	case n == 4:
		o.Unscheduled = []string{fmt.Sprint("s", a.rng.IntN(3))}
	case n == 5:
		o.Connected = []*actorlogv1.Connection{{Id: fmt.Sprint("c", a.rng.IntN(3)), Gateway: "g"}}
	case n == 6:
		o.Disconnected = []*actorlogv1.Disconnected{{Id: fmt.Sprint("c", a.rng.IntN(3))}}
	case n == 7:
		o.Action.IdempotencyKey = fmt.Sprint("key", a.ref)
	case n == 8:
		o.Action.Body, o.Enqueued = &actorlogv1.Action_Enqueue{Enqueue: &actorlogv1.Enqueue{Queue: "q", BodyJson: []byte("1")}}, true
	default:
		patch, err := jsonpatch.Diff(x.State, state())
		require.NoError(a.t, err)
		o.PatchJson = patch
	}
	return o
}

func (a *author) write(i int, m proto.Message) int64 {
	value := schemas.AppendPlace(a.encode(m), a.place)
	x := a.actor(a.keys[i])
	switch m := m.(type) {
	case *actorlogv1.Outcome:
		_, err := x.Apply(a.place, m)
		require.NoError(a.t, err)
	case *actorlogv1.Step:
		m.Place = proto.Int64(a.place)
		require.True(a.t, x.ApplyStep(a.place, m))
	}
	a.actors[a.keys[i]] = x
	a.place++
	return a.inject(a.keys[i][:], schemas.TypeOf(m), value)
}

// act is one action of an actor, with its steps.
func (a *author) act(i int) {
	if a.rng.IntN(10) == 0 {
		for n := range uint32(1 + a.rng.IntN(2)) {
			x := a.actor(a.keys[i])
			s := &actorlogv1.Step{Ref: a.ref, Epoch: a.epoch, Number: n, Name: "s", ResultJson: []byte("1"), TimeUnixMs: a.timeMs,
				Actor: &actorlogv1.Actor{Namespace: "default", Kind: "thing", Key: keyOf(i), Generation: x.Generation}}
			if x.LastOffset >= 0 {
				s.Prev = proto.Int64(x.LastOffset)
			}
			a.write(i, s)
		}
	}
	o := a.outcome(i)
	a.old = append(a.old, o)
	a.write(i, o)
}

func (a *author) checkpoint() {
	w, err := a.log.Snapshots(context.Background(), 0)
	require.NoError(a.t, err)
	defer w.Close()
	var records []eventlog.Record
	for _, hash := range a.keys {
		x, ok := a.actors[hash]
		if !ok {
			continue
		}
		r := eventlog.Record{Key: hash[:], Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeSnapshot)}}}
		r.Value = a.encode(x.Snapshot())
		records = append(records, r)
	}
	mark := &actorlogv1.Checkpoint{EventsOffset: a.place, Epoch: a.epoch}
	records = append(records, eventlog.Record{Key: []byte(schemas.CheckpointKey), Value: a.encode(mark),
		Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeCheckpoint)}}})
	_, err = w.Write(context.Background(), records)
	require.NoError(a.t, err)
}

// mishap is what readers must not fall for. The owner notices a little later.
func (a *author) mishap() {
	i := a.rng.IntN(len(a.keys))
	switch a.rng.IntN(4) {
	case 0: // a zombie
		if o := a.old[a.rng.IntN(len(a.old))]; o.Epoch != a.epoch {
			o = proto.CloneOf(o)
			o.Ref = a.ref + 5
			a.inject(hashKey(o.Actor.Key), schemas.TypeOutcome, schemas.AppendPlace(a.encode(o), a.place))
		}
	case 1: // lost on the way
		a.place++
	case 2: // a copy that the transport made
		records := a.cluster.Records(eventlog.Events, 0)
		last := records[len(records)-1]
		a.inject(last.Key, schemas.Type(last.Header(schemas.HeaderType)), last.Value)
	case 3: // nobody knows by whom
		a.inject(a.keys[i][:], "", []byte("?"))
	}
	for range a.rng.IntN(4) {
		a.act(a.rng.IntN(len(a.keys)))
	}
	a.claim()
}

// history writes n actions.
func (a *author) history(n int) {
	for k := range n {
		a.act(a.rng.IntN(len(a.keys)))
		switch a.rng.IntN(100) {
		case 0:
			a.mishap()
		case 1:
			a.checkpoint()
		}
		if k%300 == 299 {
			a.renew()
		}
	}
}

type moment struct {
	offset int64
	after  machine.Actor
}

// naive is what a worker makes of the events when it reads all of them: the moments of every actor.
func naive(t *testing.T, c *memlog.Cluster) map[schemas.Hash][]moment {
	t.Helper()
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	all := make(map[schemas.Hash][]moment)
	for _, r := range c.Records(eventlog.Events, 0) {
		hash, _ := schemas.ParseHash(r.Key)
		x := machine.NewActor(hash)
		if m := all[hash]; len(m) > 0 {
			x = m[len(m)-1].after
		}
		counts := false
		switch rt := schemas.Type(r.Header(schemas.HeaderType)); rt {
		case schemas.TypeClaim:
			claim, err := schemas.DecodeAs[*actorlogv1.Claim](rt, r.Value)
			require.NoError(t, err)
			fence.Claim(r.Offset, claim)
		case schemas.TypeOutcome:
			if fence.Admits(schemas.PlaceOf(r.Value)) {
				o, err := schemas.DecodeAs[*actorlogv1.Outcome](rt, r.Value)
				require.NoError(t, err)
				counts, err = x.Apply(r.Offset, o)
				require.NoError(t, err)
			}
		case schemas.TypeStep:
			if fence.Admits(schemas.PlaceOf(r.Value)) {
				s, err := schemas.DecodeAs[*actorlogv1.Step](rt, r.Value)
				require.NoError(t, err)
				counts = x.ApplyStep(r.Offset, s)
			}
		}
		if counts {
			all[hash] = append(all[hash], moment{r.Offset, x})
		}
	}
	return all
}

func hashKey(key schemas.Key) []byte {
	h := schemas.HashOf("default", "thing", key)
	return h[:]
}
