package faults

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/e2e/process"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/internal/socks5"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// throw of dice, as e2e/bomb has them.
type throw struct {
	N          int
	Value, Sum int64
}

// zombie is the worker that becomes one.
const zombie = "zombie"

// TestMatrixZombie has a worker write when it is no longer the owner, and at the worst moment: its outcomes are held on their way until its successor has
// claimed the shard, and arrive while that one runs the same actions. The actors throw dice, so that the two runs differ, and their sums
// rest on the throws before: were an outcome of the zombie to count for anybody, those who were told and what the actor knows would not agree.
//
// It fails, too, if the zombies wrote nothing that is void: then it shows nothing.
func TestMatrixZombie(t *testing.T) {
	t.Parallel()
	asked(t)
	w := &world{t: t, brokers: newEmbedded(t, scenario{}), injected: make(tally)}
	proxy, err := socks5.Start()
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	w.proxy = proxy
	for i := range w.gateways {
		w.listen[i] = process.Address(t)
		w.startGateway(i)
	}
	address, prefix := w.brokers.flags()[1], w.brokers.flags()[3]
	for i := range w.workers {
		args := append([]string{"--brokers", address, "--prefix", prefix, "--data", t.TempDir()}, process.Blameless...)
		if i == 0 {
			args = append(args, "--broker-proxy", proxy.URL(), "--id", zombie)
		}
		w.workers[i] = process.Start(t, "bomb", args...)
	}
	log, err := kafkalog.Open(t.Context(), kafkalog.Config{Brokers: []string{address}, Prefix: prefix})
	require.NoError(t, err)
	t.Cleanup(func() { log.Close() })

	l := newLoad(t, w)
	throws := l.startDice(32)
	void := 0
	const least, most = 5, 30
	for began, rounds := time.Now(), 0; rounds < least || time.Since(began) < *duration || void == 0; rounds++ {
		require.Less(t, rounds, max(most, int(duration.Seconds())), "no zombie wrote anything")
		theirs := awaitOwner(t, log, func(owner string) bool { return owner == zombie })
		w.pause(time.Second) // it has something to do
		w.injected["appends held until a successor has claimed"]++
		proxy.Hold(socks5.Out)
		awaitOwner(t, log, func(owner string) bool { return owner != zombie }, theirs...)
		w.pause(50 * time.Millisecond) // of its other shards as well
		proxy.Heal()
		w.pause(time.Second)
		void = voidOutcomes(t, log)
	}
	l.stop()
	told := 0
	for i, throws := range throws {
		told += len(throws.told)
		l.checkDice(name("dice", i), throws.told)
	}
	t.Logf("faults: %s; checked: %d throws; %d outcomes of zombies were void", w.injected, told, void)
	w.stop()
}

// --- dice ----------------------------------------------------------------------------

// thrown is what those who threw were told.
type thrown struct {
	mu   sync.Mutex
	told map[int]throw
}

// startDice has each of n dice thrown by one client that takes its time, so that there is something under way always, and by two that do not.
func (l *load) startDice(n int) []*thrown {
	all := make([]*thrown, n)
	for i := range all {
		d := &thrown{told: make(map[int]throw)}
		all[i] = d
		for _, ms := range []int{500, 0, 0} {
			l.loop(20*time.Millisecond, func() {
				a := l.must(name("dice", i)+"/actions/throw", strconv.Itoa(ms), newKey())
				var got throw
				if !a.ok() || json.Unmarshal([]byte(a.body), &got) != nil {
					return
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				if other, twice := d.told[got.N]; twice {
					l.t.Errorf("dice %d: two were told of throw %d: %v and %v", i, got.N, other, got)
				}
				d.told[got.N] = got
			})
		}
	}
	return all
}

// checkDice compares what was told with what the dice know.
func (l *load) checkDice(dice string, told map[int]throw) {
	l.t.Helper()
	var got struct {
		Throws []int64
		Sum    int64
	}
	l.read(dice, &got)
	require.Len(l.t, got.Throws, len(told), "%s: one is lost, or there twice", dice)
	var sum int64
	for i, value := range got.Throws {
		sum += value
		require.Equal(l.t, throw{i + 1, value, sum}, told[i+1], "%s, throw %d: what is known, and what was told", dice, i+1)
	}
	require.Equal(l.t, sum, got.Sum, "%s: the sum", dice)
}

// --- the log ---------------------------------------------------------------------------

func ends(t *testing.T, log eventlog.Log) []int64 {
	t.Helper()
	all := make([]int64, log.Partitions())
	for p := range all {
		_, end, err := log.Bounds(t.Context(), eventlog.Events, int32(p))
		require.NoError(t, err)
		all[p] = end
	}
	return all
}

// awaitOwner waits until the owner of a shard is one that is wanted, and returns the shards that have one, among those that are given: all, if none is.
func awaitOwner(t *testing.T, log eventlog.Log, wanted func(owner string) bool, among ...int32) (shards []int32) {
	t.Helper()
	for began := time.Now(); len(shards) == 0; process.Pause(t.Context(), 10*time.Millisecond) {
		require.Less(t, time.Since(began), patience, "nobody claims a shard")
		for p, end := range ends(t, log) {
			if len(among) == 0 || slices.Contains(among, int32(p)) {
				if owner := ownerOf(t, log, int32(p), end); owner != "" && wanted(owner) {
					shards = append(shards, int32(p))
				}
			}
		}
	}
	return shards
}

// ownerOf a shard is who has claimed it last; empty if that is long ago.
func ownerOf(t *testing.T, log eventlog.Log, p int32, end int64) (owner string) {
	t.Helper()
	require.NoError(t, eventlog.Scan(t.Context(), log, eventlog.Events, p, max(0, end-machine.ReadBack), end, func(r *eventlog.Record) error {
		if typ := schemas.Type(r.Header(schemas.HeaderType)); typ == schemas.TypeClaim {
			claim, err := schemas.DecodeAs[*actorlogv1.Claim](typ, r.Value)
			if err != nil {
				return err
			}
			owner = claim.Worker
		}
		return nil
	}))
	return owner
}

// voidOutcomes counts the outcomes that do not count, as any reader does.
func voidOutcomes(t *testing.T, log eventlog.Log) (n int) {
	t.Helper()
	for p, end := range ends(t, log) {
		fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		require.NoError(t, eventlog.Scan(t.Context(), log, eventlog.Events, int32(p), 0, end, func(r *eventlog.Record) error {
			switch typ := schemas.Type(r.Header(schemas.HeaderType)); typ {
			case schemas.TypeClaim:
				claim, err := schemas.DecodeAs[*actorlogv1.Claim](typ, r.Value)
				if err != nil {
					return err
				}
				fence.Claim(r.Offset, claim)
			case schemas.TypeOutcome, schemas.TypeStep:
				if !fence.Admits(schemas.PlaceOf(r.Value)) {
					n++
				}
			}
			return nil
		}))
	}
	return n
}
