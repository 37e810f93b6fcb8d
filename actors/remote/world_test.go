package remote_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// tally is the actor of these tests: it adds, refuses and ends.
type tally struct{ N int }

var (
	kind = actor.New[tally]("tally")
	add  = actor.Action[int, int](kind, "add")
	end  = actor.Action[actor.None, actor.None](kind, "end")
)

func register(r *actor.Registry) {
	actor.On(r, add, func(s *tally, _ *actor.Ctx, by int) (int, error) {
		if by < 0 {
			return 0, actor.UserError("negative", "add takes nothing away")
		}
		s.N += by
		return s.N, nil
	})
	actor.On(r, end, func(_ *tally, c *actor.Ctx, _ actor.None) (n actor.None, err error) {
		c.Destroy()
		return n, nil
	})
}

func hashOf(key ...string) schemas.Hash { return schemas.HashOf(actor.DefaultNamespace, "tally", key) }

// adding is a request that adds one to the actor, which it creates if need be.
func adding(key ...string) remote.Request {
	return invoking("add", 1, key...)
}

func invoking(action string, arg int, key ...string) remote.Request {
	a := new(actorlogv1.Action)
	hash, err := actor.Address(a, actor.Target{
		Namespace: actor.DefaultNamespace, Kind: "tally", Key: key, Presence: actor.CreateIfAbsent,
	})
	if err != nil {
		panic(err)
	}
	args, err := json.Marshal([]int{arg})
	if err != nil {
		panic(err)
	}
	if action == "end" {
		args = nil
	}
	a.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: action, ArgsJson: args}}
	return remote.Request{Hash: hash, Action: a}
}

func idempotent(req remote.Request, key string) remote.Request {
	req.Action.IdempotencyKey = key
	return req
}

// hosted runs fn in virtual time over a log with a worker.
func hosted(t *testing.T, fn func(t *testing.T, w *actortest.World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { fn(t, actortest.New(t, register)) })
}

// bench is a log of one shard without a worker: the test writes the events itself.
type bench struct {
	t       *testing.T
	cluster *memlog.Cluster
	log     *memlog.Log
}

// byHand runs fn in virtual time over a log of one shard without a worker.
func byHand(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, cluster: memlog.NewCluster(1)}
		b.log = b.cluster.Client()
		t.Cleanup(b.log.Close)
		fn(t, b)
	})
}

func (b *bench) open(cfg remote.Config) *remote.Client {
	b.t.Helper()
	client, err := remote.Open(b.log, cfg)
	require.NoError(b.t, err)
	b.t.Cleanup(client.Close)
	return client
}

func (b *bench) inject(m proto.Message, key []byte, to string) int64 {
	b.t.Helper()
	value, err := schemas.Encode(m)
	require.NoError(b.t, err)
	return b.cluster.Inject(eventlog.Events, 0, eventlog.Record{
		Key: key, Value: value,
		Headers: []eventlog.Header{
			{Key: schemas.HeaderType, Value: []byte(schemas.TypeOf(m))},
			{Key: schemas.HeaderTo, Value: []byte(to)},
		},
	})
}

// claim writes a new claim, and returns its epoch.
func (b *bench) claim() int64 {
	return b.inject(&actorlogv1.Claim{Worker: "hand"}, []byte(schemas.ClaimKey), "")
}

// renew repeats a claim.
func (b *bench) renew(epoch int64) int64 {
	return b.inject(&actorlogv1.Claim{Worker: "hand", RenewsEpoch: proto.Int64(epoch)}, []byte(schemas.ClaimKey), "")
}

// outcome writes an outcome of the actor that nobody waits for.
func (b *bench) outcome(epoch, ref int64, key ...string) int64 {
	hash := hashOf(key...)
	return b.inject(&actorlogv1.Outcome{
		Ref: ref, Epoch: epoch,
		Actor:      &actorlogv1.Actor{Namespace: actor.DefaultNamespace, Kind: "tally", Key: key, Generation: 1},
		Action:     &actorlogv1.Action{RequestId: "request-" + strconv.FormatInt(ref, 10)},
		ResultJson: []byte(strconv.FormatInt(ref, 10)),
	}, hash[:], "")
}

// actions returns what was asked.
func (b *bench) actions() []*actorlogv1.Action {
	b.t.Helper()
	var all []*actorlogv1.Action
	for _, r := range b.cluster.Records(eventlog.Actions, 0) {
		a, err := schemas.DecodeAs[*actorlogv1.Action](schemas.TypeAction, r.Value)
		require.NoError(b.t, err)
		all = append(all, a)
	}
	return all
}

// answer writes the outcome of the action at ref.
func (b *bench) answer(epoch int64, ref int) int64 {
	b.t.Helper()
	a := b.actions()[ref]
	hash := schemas.HashOf(a.Actor.Namespace, a.Actor.Kind, a.Actor.Key)
	return b.inject(&actorlogv1.Outcome{
		Ref: int64(ref), Epoch: epoch, Actor: a.Actor, Action: a, ResultJson: []byte(strconv.Itoa(ref)),
	}, hash[:], a.Caller.Gateway)
}

// asked is a request under way.
type asked struct {
	mu       sync.Mutex
	calls    int
	d        *remote.Delivery
	replayed bool
	err      error
}

// ask asks, and lets the log come to rest.
func ask(ctx context.Context, t *testing.T, c *remote.Client, req remote.Request) *asked {
	t.Helper()
	a := new(asked)
	require.NoError(t, c.Ask(ctx, req, func(d *remote.Delivery, replayed bool, err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls++
		a.d, a.replayed, a.err = d, replayed, err
	}))
	synctest.Wait()
	return a
}

// result lets the log come to rest and returns how often done was called, and with what.
func (a *asked) result() (calls int, d *remote.Delivery, err error) {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls, a.d, a.err
}

// recorder is a watch that remembers what it saw.
type recorder struct {
	remote.Watch
	more chan struct{} // capacity 1: something was seen
	mu   sync.Mutex
	seen []int64 // offsets
	gaps int
}

func newRecorder() *recorder {
	r := &recorder{more: make(chan struct{}, 1)}
	r.Outcome = func(d *remote.Delivery) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, d.Position.Offset)
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
	r.Gap = func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.gaps++
	}
	return r
}

// offsets lets the log come to rest and returns what was seen.
func (r *recorder) offsets() []int64 {
	synctest.Wait()
	return r.now()
}

// await returns what was seen when that is at least n outcomes.
func (r *recorder) await(n int) []int64 {
	for {
		if seen := r.now(); len(seen) >= n {
			return seen
		}
		<-r.more
	}
}

// now returns what was seen so far.
func (r *recorder) now() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// outcomes returns the offsets of all outcomes of an actor in a log whose only writer was its owner.
func outcomes(t *testing.T, c *memlog.Cluster, hash schemas.Hash, shards int32) []int64 {
	t.Helper()
	var all []int64
	for _, r := range c.Records(eventlog.Events, hash.Shard(shards)) {
		if found, ok := schemas.ParseHash(r.Key); ok && found == hash {
			all = append(all, r.Offset)
		}
	}
	return all
}

// traffic adds to the actor from several goroutines until it is stopped; what was done until then
// has been delivered. Not for bubbles: there the log answers at once, and no time ever passes.
func traffic(t *testing.T, c *remote.Client, key ...string) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, _, err := c.Do(t.Context(), adding(key...))
				require.NoError(t, err)
			}
		})
	}
	return func() {
		close(done)
		callers.Wait()
	}
}

// after returns the offsets beyond a position.
func after(offsets []int64, position int64) []int64 {
	for i, offset := range offsets {
		if offset > position {
			return offsets[i:]
		}
	}
	return []int64{}
}

const moment = 5 * time.Second
