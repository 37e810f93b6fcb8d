package chsink_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/internal/randomlog"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/projection/chsink"
	"github.com/actorlog/actorlog/projection/projector"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

const shards = 3

// address of the ClickHouse to test with.
func address(t *testing.T) string {
	t.Helper()
	addr := os.Getenv("ACTORLOG_TEST_CLICKHOUSE")
	if addr == "" {
		t.Skip("skipped: set ACTORLOG_TEST_CLICKHOUSE to host:port of the native protocol of a ClickHouse to run it")
	}
	return addr
}

// database is one of the test's own.
func database(t *testing.T, policy *chsink.Policy) (*chsink.DB, string) {
	t.Helper()
	name := fmt.Sprintf("test_%s_%d", strings.ToLower(strings.NewReplacer("/", "_", "-", "_").Replace(t.Name())), time.Now().UnixNano())
	db, err := chsink.Open(chsink.Config{Addr: address(t), Database: name, Policy: policy})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	t.Cleanup(func() {
		c, err := ch.Dial(context.Background(), ch.Options{Address: address(t)})
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.Do(context.Background(), ch.Query{Body: "DROP DATABASE IF EXISTS " + name + " SYNC"}))
	})
	require.NoError(t, db.Prepare(t.Context()))
	return db, name
}

// rows is what a query answers, each row as one text.
func rows(t *testing.T, query string) []string {
	t.Helper()
	c, err := ch.Dial(t.Context(), ch.Options{Address: address(t)})
	require.NoError(t, err)
	defer c.Close()
	var text proto.ColStr
	var all []string
	require.NoError(t, c.Do(t.Context(), ch.Query{
		Body: query, Result: proto.Results{{Data: &text}},
		OnResult: func(context.Context, proto.Block) error {
			for i := range text.Rows() {
				all = append(all, text.Row(i))
			}
			return nil
		},
	}), query)
	return all
}

// one is the only row of a query.
func one(t *testing.T, query string) string {
	t.Helper()
	all := rows(t, query)
	require.Len(t, all, 1, query)
	return all[0]
}

func world(t *testing.T, s uint64, records int) (*memlog.Cluster, *randomlog.Writer) {
	t.Helper()
	cluster := memlog.NewCluster(shards)
	w := randomlog.New(s, shards, func(shard int32, r eventlog.Record) int64 { return cluster.Inject(eventlog.Events, shard, r) })
	w.Write(records)
	return cluster, w
}

// project runs a projector over the log until the sink has all of it.
func project(t *testing.T, log eventlog.Log, sink projection.Sink, cfg projector.Config) {
	t.Helper()
	cfg.MaxDelay = 20 * time.Millisecond
	cfg.Events.Retry = func(doing string, attempt int, err error) { t.Logf("%s, attempt %d: %v", doing, attempt, err) }
	p := projector.New(log, sink, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	require.Eventually(t, func() bool {
		lag := p.Lag()
		for _, l := range lag {
			if l.Records() > 0 {
				return false
			}
		}
		return len(lag) == shards
	}, 30*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

// fill makes the projection of a log in a build.
func fill(t *testing.T, db *chsink.DB, build uint32, cluster *memlog.Cluster, cfg projector.Config) {
	t.Helper()
	log := cluster.Client()
	defer log.Close()
	sink, err := db.Sink(t.Context(), build, log.Identity())
	require.NoError(t, err)
	project(t, log, sink, cfg)
}

func TestTables(t *testing.T) {
	t.Parallel()
	db, name := database(t, nil)
	cluster, w := world(t, seed.New(t), 2000)
	fill(t, db, 1, cluster, projector.Config{MaxRows: 100, CacheBytes: 1})

	require.Equal(t, fmt.Sprint(w.Counted), one(t, "SELECT toString(count()) FROM "+name+".events"))
	require.Equal(t, fmt.Sprint(w.Counted), one(t, "SELECT toString(uniqExact(position)) FROM "+name+".events"))
	require.Equal(t, one(t, "SELECT toString(sum(length(broadcasts.name))) FROM "+name+".events"), one(t, "SELECT toString(count()) FROM "+name+".broadcasts"))
	require.NotEqual(t, "0", one(t, "SELECT toString(count()) FROM "+name+".broadcasts"))
	for _, view := range []string{"schedules", "connections", "parked"} {
		require.NotEqual(t, "0", one(t, "SELECT toString(count()) FROM "+name+"."+view), view)
	}
	// The actors' states are those that their patches come to, which the server did not compute.
	require.Equal(t, "0", one(t, "SELECT toString(countIf(NOT isValidJSON(state))) FROM "+name+".actors WHERE alive"))
	require.Equal(t, "0", one(t, "SELECT toString(countIf(state != '')) FROM "+name+".actors WHERE NOT alive"))
}

// An erasure deletes what there was of the actor from all parts, of the row that its state had too, and nothing else. A build that is made anew
// comes to the same.
func TestErase(t *testing.T) {
	t.Parallel()
	db, name := database(t, nil)
	sink, err := db.Sink(t.Context(), 1, "log")
	require.NoError(t, err)
	outcome := func(key string, generation uint32, o *actorlogv1.Outcome) *actorlogv1.Outcome {
		o.Actor = &actorlogv1.Actor{Namespace: "default", Kind: "user", Key: []string{key}, Generation: generation}
		return o
	}
	write := func(offset int64, key string, o *actorlogv1.Outcome, actors map[string]*projection.Actor) {
		t.Helper()
		hash := schemas.HashOf("default", "user", schemas.Key{key})
		if actors[key] == nil {
			a := projection.NewActor(0, hash)
			actors[key] = &a
		}
		o.Ref = offset
		row, counts := actors[key].Take(offset, o)
		require.True(t, counts)
		require.NoError(t, sink.Write(t.Context(), &projection.Batch{Events: []projection.Event{row}, Actors: []projection.Actor{*actors[key]}}))
	}
	actors := make(map[string]*projection.Actor)
	created := func(state string) *actorlogv1.Outcome {
		return &actorlogv1.Outcome{
			StateJson: []byte(state), Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED,
			Action: &actorlogv1.Action{Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "note", ArgsJson: []byte(`["canary"]`)}}},
		}
	}
	write(0, "ann", outcome("ann", 1, created(`{"text":"canary"}`)), actors)
	write(1, "bob", outcome("bob", 1, created(`{"text":"canary of bob"}`)), actors)
	write(2, "ann", outcome("ann", 1, &actorlogv1.Outcome{
		Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_DESTROYED, Action: &actorlogv1.Action{Body: &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{Erase: true}}},
	}), actors)
	write(3, "ann", outcome("ann", 2, created(`{"text":"another life"}`)), actors)
	// Of all parts, also rows that others have replaced.
	require.Equal(t, []string{"1 canary of bob", "2 ", "3 another life"},
		rows(t, "SELECT concat(toString(offset), ' ', JSONExtractString(state, 'text')) FROM "+name+".events_1 ORDER BY offset"))
	require.Equal(t, []string{"0"}, rows(t, "SELECT toString(count()) FROM "+name+".events_1 WHERE actor != '"+schemas.HashOf("default", "user", schemas.Key{"bob"}).String()+"' AND offset < 2"))
	require.Equal(t, []string{"0"}, rows(t, "SELECT toString(count()) FROM "+name+".actors_1 WHERE state LIKE '%canary\"%'"))
	require.Equal(t, []string{"another life", "canary of bob"}, rows(t, "SELECT JSONExtractString(state, 'text') FROM "+name+".actors_1 FINAL WHERE state != '' ORDER BY 1"))
}

// Whatever connection is cut whenever, and whoever is killed where: every outcome that counts is there once, at every moment.
func TestExactlyOnce_ConnectionsAreCut(t *testing.T) {
	t.Parallel()
	s := seed.New(t)
	db, name := database(t, nil)
	cluster, w := world(t, s, 1200)
	link := newLink(t, address(t))
	cut, err := chsink.Open(chsink.Config{Addr: link.addr, Database: name})
	require.NoError(t, err)
	defer cut.Close()

	log := cluster.Client()
	defer log.Close()
	rng := rand.New(rand.NewPCG(s, 2))
	for round := 0; ; round++ {
		sink, err := cut.Sink(t.Context(), 1, log.Identity())
		if err != nil {
			continue // cut
		}
		ctx, kill := context.WithTimeout(t.Context(), time.Duration(20+rng.IntN(150))*time.Millisecond)
		p := projector.New(log, sink, projector.Config{MaxRows: 20 + rng.IntN(200), MaxDelay: 5 * time.Millisecond, CacheBytes: 1 + rng.IntN(1<<16), RetryAfter: time.Millisecond})
		stop := make(chan struct{})
		var cutter sync.WaitGroup
		cutter.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(5+10*(round%12)) * time.Millisecond):
					link.cut()
				}
			}
		})
		require.NoError(t, p.Run(ctx))
		close(stop)
		cutter.Wait()
		kill()
		require.Equal(t, "0", one(t, "SELECT toString(count() - uniqExact(position)) FROM "+name+".events"), "a row is seen twice")
		places, err := db.Places(t.Context(), 1)
		require.NoError(t, err)
		left := int64(0)
		for _, place := range places {
			_, end, err := log.Bounds(t.Context(), eventlog.Events, place.Shard)
			require.NoError(t, err)
			left += end - place.Next
		}
		if len(places) == shards && left == 0 {
			t.Logf("%d rounds, %d connections were cut", round+1, link.cuts.Load())
			break
		}
	}
	require.Positive(t, link.cuts.Load())
	require.Equal(t, fmt.Sprint(w.Counted), one(t, "SELECT toString(count()) FROM "+name+".events"))

	// The same as if nothing had happened.
	next, err := db.Rebuild(t.Context())
	require.NoError(t, err)
	fill(t, db, next, cluster, projector.Config{})
	for _, table := range []string{"events", "actors", "places"} {
		columns := "*"
		if table == "places" {
			columns = "* EXCEPT (at)"
		}
		sum := "SELECT toString(sum(cityHash64(" + columns + "))) FROM " + name + "." + table
		require.Equal(t, one(t, sum+"_2 FINAL"), one(t, sum+"_1 FINAL"), table)
	}
}

// A new build is filled beside the old one, which goes on; then the views show it.
func TestRebuild(t *testing.T) {
	t.Parallel()
	db, name := database(t, nil)
	cluster, w := world(t, seed.New(t), 500)
	fill(t, db, 1, cluster, projector.Config{})
	before := w.Counted

	next, err := db.Rebuild(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, next)
	builds, err := db.Builds(t.Context())
	require.NoError(t, err)
	require.Equal(t, []chsink.Build{{Number: 1, Log: builds[0].Log, Current: true, Schema: 1}, {Number: 2, Schema: 1}}, builds)
	require.NotEmpty(t, builds[0].Log)

	w.Write(500)
	fill(t, db, 2, cluster, projector.Config{})
	count := "SELECT toString(count()) FROM " + name + ".events"
	require.Equal(t, fmt.Sprint(before), one(t, count), "the views show the old build until they are switched")
	require.NoError(t, db.Switch(t.Context(), 2))
	require.Equal(t, fmt.Sprint(w.Counted), one(t, count))

	require.ErrorIs(t, db.Drop(t.Context(), 2), chsink.ErrCurrent)
	require.NoError(t, db.Drop(t.Context(), 1))
	require.ErrorIs(t, db.Switch(t.Context(), 1), chsink.ErrNoBuild)
	require.Equal(t, fmt.Sprint(w.Counted), one(t, count))
	require.NoError(t, db.Prepare(t.Context()), "and a projector that starts leaves it so")
	require.Equal(t, fmt.Sprint(w.Counted), one(t, count))
	next, err = db.Rebuild(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, next, "a number is not used again")
}

func TestOtherLog(t *testing.T) {
	t.Parallel()
	db, _ := database(t, nil)
	one, _ := world(t, 1, 10)
	other, _ := world(t, 2, 10)
	_, err := db.Sink(t.Context(), 1, one.Client().Identity())
	require.NoError(t, err)
	_, err = db.Sink(t.Context(), 1, other.Client().Identity())
	require.ErrorIs(t, err, chsink.ErrOtherLog)
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	db, name := database(t, &chsink.Policy{Events: time.Hour, Destroyed: 2 * time.Hour})
	cluster, w := world(t, seed.New(t), 300) // of long ago
	fill(t, db, 1, cluster, projector.Config{})
	definition := "SELECT engine_full FROM system.tables WHERE database = '" + name + "' AND name = '"
	require.Contains(t, one(t, definition+"events_1'"), "toIntervalSecond(3600)")
	require.Contains(t, one(t, definition+"actors_1'"), "toIntervalSecond(7200)")
	c, err := ch.Dial(t.Context(), ch.Options{Address: address(t), ReadTimeout: time.Minute})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Do(t.Context(), ch.Query{Body: "OPTIMIZE TABLE " + name + ".events_1 FINAL"}))
	require.NoError(t, c.Do(t.Context(), ch.Query{Body: "OPTIMIZE TABLE " + name + ".actors_1 FINAL"}))
	require.Equal(t, "0", one(t, "SELECT toString(count()) FROM "+name+".events"))
	require.Equal(t, "0", one(t, "SELECT toString(count()) FROM "+name+".actors WHERE NOT alive"))
	require.NotEqual(t, "0", one(t, "SELECT toString(count()) FROM "+name+".actors WHERE alive"))

	// What is gone does not come back, and what is new does.
	w.Write(200)
	fill(t, db, 1, cluster, projector.Config{})

	forever, err := chsink.Open(chsink.Config{Addr: address(t), Database: name, Policy: new(chsink.Policy)})
	require.NoError(t, err)
	defer forever.Close()
	require.NoError(t, forever.Prepare(t.Context()))
	require.NotContains(t, one(t, definition+"events_1'"), "TTL")
	require.NotContains(t, one(t, definition+"actors_1'"), "TTL")
}

func TestOpen_BadSettings(t *testing.T) {
	t.Parallel()
	for _, cfg := range []chsink.Config{{}, {Addr: "x", Database: "a; DROP TABLE b"}, {Addr: "x", Policy: &chsink.Policy{Events: -1}}} {
		_, err := chsink.Open(cfg)
		require.Error(t, err)
	}
	db, err := chsink.Open(chsink.Config{Addr: "127.0.0.1:1"})
	require.NoError(t, err, "it does not connect")
	defer db.Close()
	require.ErrorIs(t, db.Prepare(t.Context()), chsink.ErrUnavailable)
}

// link passes connections on, until they are cut.
type link struct {
	addr  string
	cuts  atomic.Int64
	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	k := &link{addr: l.Addr().String(), conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); k.cut(); wg.Wait() })
	wg.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			k.mu.Lock()
			k.conns[from], k.conns[server] = true, true
			k.mu.Unlock()
			for _, pair := range [][2]net.Conn{{from, server}, {server, from}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
	return k
}

func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		c.Close()
		k.cuts.Add(1)
	}
	clear(k.conns)
}
