package chsink_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/audit/overlog"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/internal/randomlog"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/projection/projector"
	"github.com/actorlog/actorlog/schemas"
)

// The same random questions of the same random world have the same answers from ClickHouse and from the log, page by page: also about actors that are erased, whether that is
// known from an event alone, or their keys are destroyed, and whether that was before or after their events were projected.
func TestAudit_SameAnswersAsTheLog(t *testing.T) {
	t.Parallel()
	t.Run("in the clear", func(t *testing.T) {
		t.Parallel()
		s := seed.New(t)
		db, _ := database(t, nil)
		cluster, _ := world(t, s, 1500)
		fill(t, db, 1, cluster, projector.Config{})
		log := cluster.Client()
		defer log.Close()
		sameAnswers(t, s, db.Store(), overlog.New(log))
	})
	t.Run("sealed", func(t *testing.T) {
		t.Parallel()
		s := seed.New(t)
		db, name := database(t, nil)
		cluster := memlog.NewCluster(shards)
		inner := cluster.Client()
		defer inner.Close()
		masters, err := sealed.ParseMasters(strings.Repeat("a1", 32))
		require.NoError(t, err)
		log, err := sealed.Open(t.Context(), inner, masters, sealed.AllKinds)
		require.NoError(t, err)
		defer log.Close()
		w := randomlog.New(s, shards, func(shard int32, r eventlog.Record) int64 {
			r.Partition = shard
			require.NoError(t, log.Seal(t.Context(), eventlog.Events, &r))
			r.Value, r.Stored = r.Bytes(), nil
			return cluster.Inject(eventlog.Events, shard, r)
		})
		project := func(build uint32) {
			sink, err := db.Sink(t.Context(), build, log.Identity())
			require.NoError(t, err)
			project(t, log, sink, projector.Config{})
		}
		w.Write(1000)
		project(1)
		for range 3 {
			hash := w.Erase()
			keys, err := log.Retire(t.Context(), hash)
			require.NoError(t, err)
			destroyed, err := log.Destroy(t.Context(), hash)
			require.NoError(t, err)
			require.Positive(t, destroyed)
			require.Equal(t, keys, destroyed)
		}
		w.Write(500) // some of them live again
		project(1)
		sameAnswers(t, s, db.Store(), overlog.New(log))

		// What ClickHouse made of rows that it had is what the log says to whoever reads it now.
		next, err := db.Rebuild(t.Context())
		require.NoError(t, err)
		project(next)
		for _, table := range []string{"events", "actors"} {
			sum := "SELECT toString(sum(cityHash64(*))) FROM " + name + "." + table
			require.Equal(t, one(t, sum+"_2 FINAL"), one(t, sum+"_1 FINAL"), table)
		}
	})
}

func sameAnswers(t *testing.T, s uint64, tables, fromLog audit.Store) {
	t.Helper()
	rng := rand.New(rand.NewPCG(s, 3))

	answered := [3]int{}
	for range 30 {
		f := question(rng)
		events := audit.Events{Filter: f, Order: pick(rng, []audit.Order{"", audit.Newest, audit.Slowest}), Limit: 1 + rng.IntN(40)}
		answered[0] += same(t, events, func(st audit.Store, cursor string) (audit.Page[audit.Entry], error) {
			events.Cursor = cursor
			return st.Events(t.Context(), events)
		}, tables, fromLog)

		tally := audit.Tally{Filter: f, By: dimensions(rng), Order: pick(rng, []audit.Measure{"", audit.Errors, audit.Rate, audit.TimeUs}), Limit: 1 + rng.IntN(15)}
		answered[1] += same(t, tally, func(st audit.Store, cursor string) (audit.Page[audit.Group], error) {
			tally.Cursor = cursor
			return st.Tally(t.Context(), tally)
		}, tables, fromLog)

		where, err := audit.ParsePredicate(pick(rng, predicates))
		require.NoError(t, err)
		actors := audit.Actors{Kind: pick(rng, []string{"counter", "room", "account"}), Namespace: pick(rng, []string{"", "", "default", "other"}), Where: where, Limit: 1 + rng.IntN(5)}
		answered[2] += same(t, actors, func(st audit.Store, cursor string) (audit.Page[audit.Actor], error) {
			actors.Cursor = cursor
			return st.Actors(t.Context(), actors)
		}, tables, fromLog)
	}
	for i, n := range answered {
		require.Greater(t, n, 10, "question %d was hardly ever answered with anything", i)
	}
}

// same requires that two stores answer a question alike, on every page, and returns how many items there were.
func same[T any](t *testing.T, question any, ask func(audit.Store, string) (audit.Page[T], error), a, b audit.Store) int {
	t.Helper()
	n, cursor := 0, ""
	for pages := 0; ; pages++ {
		want, err := ask(b, cursor)
		require.NoError(t, err, "%+v", question)
		got, err := ask(a, cursor)
		require.NoError(t, err, "%+v", question)
		require.Equal(t, want, got, "%+v, page %d", question, pages)
		n += len(got.Items)
		if cursor = got.Next; cursor == "" || pages == 5 {
			return n
		}
	}
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// predicates have all types, operators and parts, and names and texts that take care.
var predicates = []string{
	"", "count > 3", "count >= 3", "count < 0", "count != 2", "count = -1", `name = "it's"`, `name < "b"`, `name >= "b"`, `name != "a"`, `name = "back\\slash"`,
	`name = "tab\there"`, `name = "line\nbreak"`, "name = \"\u00fcmlaut\"", `name = "7"`, "name = 7", "on = true", "on != true", "on = false", "nested.none = null", "nested.none != null",
	"nested.x.y >= 1", `nested."a/b~" > 0.5`, "list[0] = 1", "list[2].deep = 1.5", `list[1] = ""`, "list[9] = 1", "nested[0] = 1", `list."0" = 1`, "count0 = 9007199254740992",
	"missing = null", "count > 0 and on = true", `name = "null" and count < 100`, "nested.x = 1",
}

func question(r *rand.Rand) audit.Filter {
	var f audit.Filter
	if r.IntN(3) == 0 {
		f.Kind = pick(r, []string{"counter", "room", "account"})
		f.Namespace = pick(r, []string{"", "default", "other"})
		if f.Namespace == "default" {
			f.Key = schemas.Key{pick(r, []string{"k0", "k1", "k2"})}
		}
	}
	base := time.UnixMilli(1_750_000_000_000)
	if r.IntN(3) == 0 {
		f.Since = base.Add(time.Duration(r.IntN(700)) * time.Millisecond)
	}
	if r.IntN(3) == 0 {
		f.Until = base.Add(time.Duration(700+r.IntN(700)) * time.Millisecond)
	}
	if r.IntN(3) == 0 {
		f.Path, f.HasPath = pick(r, []string{"", "/count", "/nested", "/nested/x", "/nested/x/y/z", "/nested/a~1b~0", "/list/1", "/co", "/na%"}), true
	}
	if r.IntN(4) == 0 {
		f.Principal = pick(r, []string{"ann", `o'neil\`, "\u00e9\t\"x\"", "nobody"})
	}
	if r.IntN(6) == 0 {
		f.Connection = "c1"
	}
	if r.IntN(6) == 0 {
		f.Gateway = "gw-1"
	}
	if r.IntN(6) == 0 {
		f.Action = pick(r, []string{"increment", "reset", "mail"})
	}
	if r.IntN(6) == 0 {
		f.By = &audit.Name{Namespace: "default", Kind: "room", Key: schemas.Key{"k0"}}
	}
	f.Failed = r.IntN(5) == 0
	return f
}

func dimensions(r *rand.Rand) []audit.Dimension {
	all := []audit.Dimension{
		audit.ByKind, audit.ByBody, audit.ByAction, audit.ByVersion, audit.ByCode, audit.ByPrincipal, audit.ByConnection, audit.ByGateway, audit.ByCaller, audit.ByActor,
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+r.IntN(4)]
}
