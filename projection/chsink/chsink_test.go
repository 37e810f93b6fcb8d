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

	"github.com/actorlog/actorlog/audit"
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

// run runs a statement.
func run(t *testing.T, statement string) {
	t.Helper()
	c, err := ch.Dial(t.Context(), ch.Options{Address: address(t), ReadTimeout: time.Minute})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Do(t.Context(), ch.Query{Body: statement}), statement)
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
	want := make(map[string]string)
	for _, a := range w.Actors() {
		if a.Generation > 0 {
			want[a.ID().String()] = fmt.Sprint(a.Alive, " ", a.LastOffset, " ", len(a.Schedules), " ", len(a.Connections), " ", string(a.State))
		}
	}
	got := make(map[string]string)
	for _, row := range rows(t, "SELECT concat(actor_id, ' ', toString(alive), ' ', toString(offset), ' ', toString(length(schedules.id)), ' ', toString(length(connections.id)), ' ', state) FROM "+name+".actors") {
		id, rest, _ := strings.Cut(row, " ")
		got[id] = rest
	}
	require.Equal(t, want, got)
}

// An erasure puts placeholders into all rows of the actor before it, in all parts, removes the row that its state had, and touches nothing else. Whoever asks what remains is told, as
// is one who finds what a projector wrote that was behind.
func TestErase(t *testing.T) {
	t.Parallel()
	db, name := database(t, nil)
	sink, err := db.Sink(t.Context(), 1, "log")
	require.NoError(t, err)
	ann, bob := schemas.HashOf("default", "user", schemas.Key{"ann"}), schemas.HashOf("default", "user", schemas.Key{"bob"})
	actors := map[schemas.Hash]*projection.Actor{}
	write := func(offset int64, hash schemas.Hash, key string, generation uint32, o *actorlogv1.Outcome) *projection.Batch {
		t.Helper()
		if actors[hash] == nil {
			a := projection.NewActor(0, hash)
			actors[hash] = &a
		}
		o.Ref, o.Actor = offset, &actorlogv1.Actor{Namespace: "default", Kind: "user", Key: []string{key}, Generation: generation}
		row, counts := actors[hash].Take(offset, o)
		require.True(t, counts)
		b := &projection.Batch{Events: []projection.Event{row}, Actors: []projection.Actor{*actors[hash]}, Places: []projection.Place{{Next: offset + 1}}}
		if projection.Erases(o) {
			b.Erasures = []projection.Erasure{{Actor: hash, Position: row.Position}}
		}
		require.NoError(t, sink.Write(t.Context(), b))
		return b
	}
	json := []byte(`["canary"]`)
	created := func() *actorlogv1.Outcome {
		return &actorlogv1.Outcome{
			StateJson: []byte(`{"text":"canary"}`), Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED, ResultJson: json, Warnings: []string{"canary", "canary"},
			Error:      &actorlogv1.Error{Group: "user", Code: "stays", Message: "canary", MetadataJson: json, Detail: "canary"},
			Broadcasts: []*actorlogv1.Broadcast{{Name: "stays", ArgsJson: json}, {Name: "stays too"}},
			Scheduled:  []*actorlogv1.Schedule{{Id: "s", Action: "note", ArgsJson: json}},
			Sends:      []*actorlogv1.Send{{Actor: &actorlogv1.Actor{Kind: "user", Key: []string{"bob"}}, Invoke: &actorlogv1.Invoke{Name: "note", InputJson: json}}},
			Connected:  []*actorlogv1.Connection{{Id: "c", ParamsJson: json, StateJson: json, Target: "/canary"}},
			Action: &actorlogv1.Action{
				Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "note", ArgsJson: json}}, Handshake: &actorlogv1.Handshake{Target: "/canary", ParamsJson: json},
			},
		}
	}
	fired := &actorlogv1.Outcome{PatchJson: []byte(`[{"op":"add","path":"/canary","value":1}]`), Action: &actorlogv1.Action{Body: &actorlogv1.Action_Fire{Fire: &actorlogv1.Fire{ScheduleId: "s"}}}}
	destroyed := func() *actorlogv1.Outcome {
		return &actorlogv1.Outcome{
			Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_DESTROYED, Action: &actorlogv1.Action{Body: &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{Erase: true}}},
		}
	}
	refused := destroyed()
	refused.Lifecycle, refused.Error = 0, &actorlogv1.Error{Group: "actor", Code: "overloaded"}
	remains := func(before *schemas.Position) map[string]projection.Remains {
		t.Helper()
		all, err := db.Remains(t.Context(), ann, before, "canary")
		require.NoError(t, err)
		of := make(map[string]projection.Remains)
		for _, r := range all {
			of[r.Table] = r
		}
		return of
	}

	first := write(0, ann, "ann", 1, created())
	write(1, bob, "bob", 1, created())
	write(2, ann, "ann", 1, fired)
	write(3, ann, "ann", 1, refused)
	r := remains(nil)
	require.EqualValues(t, 2, r["events_1"].Open)
	require.EqualValues(t, 2, r["events_1"].Canary)
	require.EqualValues(t, 1, r["events_1"].Elsewhere, "bob's")
	require.Positive(t, r["actors_1"].Open)
	require.Positive(t, r["actors_1"].Canary)
	at := schemas.Position{Offset: 4}
	behind, err := db.Behind(t.Context(), "log", at)
	require.NoError(t, err)
	require.Equal(t, []uint32{1}, behind)

	write(4, ann, "ann", 1, destroyed())
	gone := func() {
		t.Helper()
		r := remains(&at)
		for _, table := range []string{"events_1", "actors_1"} {
			require.Zero(t, r[table].Open, table)
			require.Zero(t, r[table].Canary, table)
			require.Zero(t, r[table].Mutations, table)
			require.Zero(t, r[table].Detached, table)
		}
		require.EqualValues(t, 4, r["events_1"].Rows, "that there was something stays")
	}
	gone()
	behind, err = db.Behind(t.Context(), "log", at)
	require.NoError(t, err)
	require.Empty(t, behind)
	require.Equal(t, []string{`0 note ["$Erased"] stays`, `2 note ["$Erased"] `, "3   overloaded", "4   "},
		rows(t, "SELECT concat(toString(offset), ' ', action, ' ', args, ' ', error_code) FROM "+name+".events_1 WHERE actor = '"+ann.String()+"' ORDER BY offset"))
	require.Equal(t, "1", one(t, "SELECT toString(count()) FROM "+name+".events_1 WHERE actor = '"+bob.String()+"' AND position(args, 'canary') > 0"))
	require.Equal(t, "1", one(t, "SELECT toString(count()) FROM "+name+".actors_1 WHERE actor = '"+bob.String()+"' AND position(state, 'canary') > 0"))

	// A later life has its contents. One that writes what was erased, for it had not come to that, and dies is put right by whoever asks.
	write(5, ann, "ann", 2, created())
	require.EqualValues(t, 1, remains(nil)["events_1"].Open)
	require.NoError(t, sink.Write(t.Context(), first))
	require.EqualValues(t, 1, remains(&at)["events_1"].Open)
	require.EqualValues(t, 1, remains(&at)["actors_1"].Open)
	require.NoError(t, db.Erase(t.Context(), ann, at))
	r = remains(&at)
	require.Zero(t, r["events_1"].Open)
	require.Zero(t, r["actors_1"].Open)
	require.EqualValues(t, 1, r["events_1"].Canary, "that of the later life")
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
		// Longer lives and fewer cuts as time goes on: a mutation that erases may need more time than the first ones have, and each of them begins another one.
		ctx, kill := context.WithTimeout(t.Context(), time.Duration(20+rng.IntN(150)+10*round)*time.Millisecond)
		p := projector.New(log, sink, projector.Config{MaxRows: 20 + rng.IntN(200), MaxDelay: 5 * time.Millisecond, CacheBytes: 1 + rng.IntN(1<<16), RetryAfter: time.Millisecond})
		stop := make(chan struct{})
		var cutter sync.WaitGroup
		cutter.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(5+10*(round%12)+2*round) * time.Millisecond):
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
	run(t, "OPTIMIZE TABLE "+name+".events_1 FINAL")
	run(t, "OPTIMIZE TABLE "+name+".actors_1 FINAL")
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

// A century is longer than what a column of a TTL can say from now on: nothing of it is deleted, and nothing that is of the far future either.
func TestPolicy_Century(t *testing.T) {
	t.Parallel()
	db, name := database(t, &chsink.Policy{Events: 100 * 365 * 24 * time.Hour, Destroyed: 290 * 365 * 24 * time.Hour})
	sink, err := db.Sink(t.Context(), 1, "log")
	require.NoError(t, err)
	b := new(projection.Batch)
	for i, at := range []time.Time{time.Now(), time.Date(2110, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2290, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1910, 1, 1, 0, 0, 0, 0, time.UTC)} {
		b.Events = append(b.Events, projection.Event{Position: schemas.Position{Offset: int64(i)}, TimeMs: at.UnixMilli()})
		a := projection.NewActor(0, schemas.Hash{byte(i)})
		a.Generation, a.TimeMs = 1, at.UnixMilli()
		b.Actors = append(b.Actors, a)
	}
	require.NoError(t, sink.Write(t.Context(), b))
	for _, table := range []string{"events_1", "actors_1"} {
		run(t, "OPTIMIZE TABLE "+name+"."+table+" FINAL")
	}
	require.Equal(t, []string{"0", "1", "2"}, rows(t, "SELECT toString(offset) FROM "+name+".events_1 ORDER BY offset"), "what is older than a century is gone")
	require.Equal(t, "4", one(t, "SELECT toString(count()) FROM "+name+".actors_1"))
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

// Somebody has changed tables by hand. Nobody can fill that build any more; a new one can be made, shown and filled, and projectors that start do what they can.
func TestRebuild_AfterTablesWereChangedByHand(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"events are gone":             "DROP TABLE {db}.events_1 SYNC",
		"actors are gone":             "DROP TABLE {db}.actors_1 SYNC",
		"places are gone":             "DROP TABLE {db}.places_1 SYNC",
		"a column is gone":            "ALTER TABLE {db}.actors_1 DROP COLUMN `parked.ref`",
		"a column is of another type": "ALTER TABLE {db}.events_1 MODIFY COLUMN status String",
		"a view is a table":           "DROP VIEW {db}.parked SYNC",
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			db, base := database(t, &chsink.Policy{Events: 100 * 365 * 24 * time.Hour})
			cluster, w := world(t, seed.New(t), 300)
			fill(t, db, 1, cluster, projector.Config{})
			run(t, strings.ReplaceAll(statement, "{db}", base))
			if err := db.Prepare(t.Context()); err != nil { // who starts next
				require.ErrorIs(t, err, chsink.ErrChanged)
			}
			next, err := db.Rebuild(t.Context())
			require.NoError(t, err)
			fill(t, db, next, cluster, projector.Config{})
			require.NoError(t, db.Switch(t.Context(), next))
			require.Equal(t, fmt.Sprint(w.Counted), one(t, "SELECT toString(count()) FROM "+base+".events"))
			_ = one(t, "SELECT toString(count()) FROM "+base+".parked")
			require.NoError(t, db.Drop(t.Context(), 1))
		})
	}
}

// The first projector died when it had made the tables of the first build, and not yet the views.
func TestPrepare_AfterADeathBeforeTheViews(t *testing.T) {
	t.Parallel()
	db, name := database(t, nil)
	run(t, "TRUNCATE TABLE "+name+".switches")
	for _, view := range []string{"events", "actors", "broadcasts", "schedules", "connections", "parked"} {
		run(t, "DROP VIEW "+name+"."+view+" SYNC")
	}
	require.NoError(t, db.Prepare(t.Context()))
	builds, err := db.Builds(t.Context())
	require.NoError(t, err)
	require.Equal(t, []chsink.Build{{Number: 1, Current: true, Schema: 1}}, builds)
	for _, view := range []string{"events", "actors", "broadcasts", "schedules", "connections", "parked"} {
		require.Equal(t, "0", one(t, "SELECT toString(count()) FROM "+name+"."+view))
	}
}

func TestShows(t *testing.T) {
	t.Parallel()
	db, name := database(t, nil)
	require.ErrorIs(t, db.Shows(t.Context(), "a"), chsink.ErrNoProjection, "no projector has begun")
	_, err := db.Sink(t.Context(), 1, "a")
	require.NoError(t, err)
	require.NoError(t, db.Shows(t.Context(), "a"))
	require.ErrorIs(t, db.Shows(t.Context(), "b"), chsink.ErrOtherLog)
	_, err = db.Rebuild(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.Shows(t.Context(), "a"), "of the build that is shown")

	run(t, "DROP TABLE "+name+".events_1 SYNC")
	_, err = db.Store().Events(t.Context(), audit.Events{})
	require.ErrorIs(t, err, chsink.ErrNoProjection)
	run(t, "DROP DATABASE "+name+" SYNC")
	require.ErrorIs(t, db.Shows(t.Context(), "a"), chsink.ErrNoProjection)
	_, err = db.Store().Events(t.Context(), audit.Events{})
	require.ErrorIs(t, err, chsink.ErrNoProjection)
}
