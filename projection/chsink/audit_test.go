package chsink_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/audit/overlog"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/internal/randomlog"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/projection/projector"
)

// The same random questions of the same random world have the same answers from ClickHouse and from the log, page by page: also about actors that are erased, whether that is
// known from an event alone, or their keys are destroyed, and whether that was before or after their events were projected.
func TestAudit_SameAnswersAsTheLog(t *testing.T) {
	t.Parallel()
	t.Run("in the clear", func(t *testing.T) {
		t.Parallel()
		s := seed.New(t)
		db, _ := database(t, nil)
		cluster, w := world(t, s, 1500)
		fill(t, db, 1, cluster, projector.Config{})
		log := cluster.Client()
		defer log.Close()
		sameAnswers(t, s, w, db.Store(), overlog.New(log))
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
		w.Readable = true // who seals has to read it
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
		sameAnswers(t, s, w, db.Store(), overlog.New(log))

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

func sameAnswers(t *testing.T, s uint64, w *randomlog.Writer, tables, fromLog audit.Store) {
	t.Helper()
	rng := rand.New(rand.NewPCG(s, 3))
	everybody := w.Actors()

	answered := [3]int{}
	for range 16 {
		f := question(rng, everybody)
		events := audit.Events{Filter: f, Order: pick(rng, []audit.Order{"", audit.Newest, audit.Slowest}), Limit: limit(rng, 40)}
		answered[0] += same(t, events, func(st audit.Store, cursor string) (audit.Page[audit.Entry], error) {
			events.Cursor = cursor
			return st.Events(t.Context(), events)
		}, tables, fromLog)

		tally := audit.Tally{Filter: f, By: dimensions(rng), Order: pick(rng, []audit.Measure{"", audit.Errors, audit.Rate, audit.TimeUs}), Limit: limit(rng, 15)}
		answered[1] += same(t, tally, func(st audit.Store, cursor string) (audit.Page[audit.Group], error) {
			tally.Cursor = cursor
			return st.Tally(t.Context(), tally)
		}, tables, fromLog)

		for range 3 {
			actors := audit.Actors{
				Kind: pick(rng, []string{"counter", "room", "account"}), Namespace: pick(rng, []string{"", "", "default", "other"}), Where: predicate(t, rng), Limit: limit(rng, 5),
			}
			answered[2] += same(t, actors, func(st audit.Store, cursor string) (audit.Page[audit.Actor], error) {
				actors.Cursor = cursor
				return st.Actors(t.Context(), actors)
			}, tables, fromLog)
		}
	}
	for i, n := range answered {
		require.Greater(t, n, 10, "question %d was hardly ever answered with anything", i)
	}
}

// limit of a page: often one item.
func limit(r *rand.Rand, most int) int {
	if r.IntN(4) == 0 {
		return 1
	}
	return 1 + r.IntN(most)
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

// Predicates are of all types, operators and parts, and names, texts and numbers that take care.
var (
	paths = []string{
		"count", "count0", "count1", "name", "on", "nested", "nested.none", "nested.x", "nested.x.y", `nested."a/b~"`, `nested.""`, `nested."~1"`, "list", "list[0]", "list[1]", "list[2].deep", "list[3]",
		"list[4]", "list[9]", "nested[0]", `list."0"`, "big", "missing", `"a b".c`,
	}
	operators = []string{"=", "!=", "<", "<=", ">", ">="}
	literals  = []string{
		"3", "0", "-1", "1.5", "0.1", "1e2", "9007199254740992", "9007199254740993", "9223372036854775807", "18446744073709551615", "18446744073709551616", "1e300", "-1e300", "5e-324",
		`""`, `"a"`, `"b"`, `"7"`, `"it's"`, `"back\\slash"`, `"tab\there"`, `"line\nbreak"`, `"\u00fcmlaut"`, `"\U0001f600"`, `"null"`, `"nul\x00"`, `"100%"`, "true", "false", "null",
	}
)

func predicate(t *testing.T, r *rand.Rand) audit.Predicate {
	t.Helper()
	var parts []string
	for range pick(r, []int{0, 1, 1, 1, 1, 1, 2, 3}) {
		literal, ordered := pick(r, literals), 6
		if strings.Trim(literal, "flnrtaseu") == "" { // true, false and null
			ordered = 2
		}
		parts = append(parts, pick(r, paths)+" "+operators[r.IntN(ordered)]+" "+literal)
	}
	p, err := audit.ParsePredicate(strings.Join(parts, " and "))
	require.NoError(t, err, parts)
	return p
}

func question(r *rand.Rand, everybody []machine.Actor) audit.Filter {
	var f audit.Filter
	if r.IntN(3) == 0 {
		f.Kind = pick(r, []string{"counter", "room", "account"})
		f.Namespace = pick(r, []string{"", "default", "other"})
		if r.IntN(2) == 0 {
			a := pick(r, everybody)
			f.Namespace, f.Kind, f.Key = a.Namespace, a.Kind, a.Key
		}
	}
	base := time.UnixMilli(1_750_000_000_000)
	if r.IntN(3) == 0 {
		f.Since = base.Add(time.Duration(r.IntN(700))*time.Millisecond + time.Duration(r.IntN(2)*999_999))
	}
	if r.IntN(3) == 0 {
		f.Until = base.Add(time.Duration(700+r.IntN(700))*time.Millisecond + time.Duration(r.IntN(2)*999_999))
	}
	if r.IntN(10) == 0 { // one millisecond
		f.Since = base.Add(time.Duration(r.IntN(1400)) * time.Millisecond)
		f.Until = f.Since.Add(time.Millisecond)
	}
	if r.IntN(3) == 0 {
		f.Path, f.HasPath = pick(r, []string{"", "/count", "/nested", "/nested/x", "/nested/x/y/z", "/nested/a~1b~0", "/nested/a", "/nested/~01", "/nested/", "/list/1", "/big", "/co", "/na%", "/no/such/place/at/all"}), true
	}
	if r.IntN(4) == 0 {
		f.Principal = pick(r, []string{"ann", `o'neil\`, "\u00e9\t\"x\"", "nobody", "nul\x00", "' OR 1=1 --"})
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
		a := pick(r, everybody)
		f.By = &audit.Name{Namespace: a.Namespace, Kind: a.Kind, Key: a.Key}
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
