package chsink

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
)

// migrations are numbered files of statements for the tables of one build. Each statement can be run twice: two projectors may start at once, or
// one may die between a statement and the note that it was run. A change that ALTER cannot make is a new build; see [DB.Rebuild].
//
//go:embed migrations
var migrations embed.FS

// registry is what is known of builds. It has tables, and views, of no build.
var registry = []string{
	"CREATE DATABASE IF NOT EXISTS {db}",
	`CREATE TABLE IF NOT EXISTS {db}.builds (build UInt32, log String, live Bool, at DateTime64(6, 'UTC') DEFAULT now64(6))
ENGINE = ReplacingMergeTree(at) ORDER BY build`,
	`CREATE TABLE IF NOT EXISTS {db}.schema_versions (build UInt32, number UInt32, name String, at DateTime64(6, 'UTC') DEFAULT now64(6))
ENGINE = ReplacingMergeTree(at) ORDER BY (build, number)`,
	`CREATE TABLE IF NOT EXISTS {db}.switches (build UInt32, at DateTime64(6, 'UTC') DEFAULT now64(6))
ENGINE = MergeTree ORDER BY at`,
}

// Build is one set of tables, filled from the log.
type Build struct {
	Number uint32
	// Log is the identity of the log that it is filled from; empty as long as no projector has begun.
	Log string
	// Current says whether the views show it.
	Current bool
	// Schema is the number of the last migration of its tables.
	Schema uint32
}

// Errors of builds.
var (
	// ErrNoBuild: there is no build of that number, or it was dropped.
	ErrNoBuild = errors.New("there is no such build")
	// ErrCurrent: the views show that build.
	ErrCurrent = errors.New("the views show this build: switch to another one first")
	// ErrOtherLog: the build is filled from another log.
	ErrOtherLog = errors.New("the build is filled from other topics: was the prefix changed, or were they made anew? Rebuild, or use another database")
	// ErrNewer: the tables are of a newer version of actorlog.
	ErrNewer = errors.New("the tables are of a newer version of actorlog: run that")
	// ErrNoProjection: there are no views, or they show a build that no projector has begun to fill.
	ErrNoProjection = errors.New("there is no projection in this database yet: does a projector run?")
	// ErrChanged: the server refuses to bring a build up to date. Other builds are.
	ErrChanged = errors.New("a build cannot be brought up to date: if somebody has changed its tables, rebuild, switch, and drop it")
)

func (db *DB) fill(statement string, build uint32) string {
	return strings.NewReplacer("{db}", db.cfg.Database, "{build}", strconv.FormatUint(uint64(build), 10)).Replace(statement)
}

// Prepare creates database and registry, and the first build if there is none, brings the tables of all builds up to date, and has the views show the current build.
// It can be called at any time by several. A build that the server refuses to change is ErrChanged, after all others.
func (db *DB) Prepare(ctx context.Context) error {
	for _, statement := range registry {
		if err := db.exec(ctx, db.fill(statement, 0)); err != nil {
			return err
		}
	}
	builds, err := db.Builds(ctx)
	if err != nil {
		return err
	}
	if len(builds) == 0 {
		if err := db.add(ctx, 1); err != nil {
			return err
		}
		return db.Switch(ctx, 1)
	}
	var changed error
	for _, b := range builds {
		err := db.migrate(ctx, b)
		if err == nil && b.Current {
			err = db.show(ctx, b.Number)
		}
		switch {
		case ch.IsException(err):
			changed = errors.Join(changed, fmt.Errorf("build %d: %w: %w", b.Number, ErrChanged, err))
		case err != nil:
			return err
		}
	}
	if changed == nil && !slices.ContainsFunc(builds, func(b Build) bool { return b.Current }) {
		return db.Switch(ctx, builds[0].Number) // who made the first one died before
	}
	return changed
}

// Builds lists the builds that projectors fill, oldest first.
func (db *DB) Builds(ctx context.Context) ([]Build, error) {
	var (
		number, schema proto.ColUInt32
		log            proto.ColStr
		current        proto.ColBool
	)
	query := db.fill(`SELECT b.build AS build, b.log AS log, toBool(ifNull(b.build = (SELECT argMax(build, at) FROM {db}.switches), 0)) AS current, v.schema AS schema
FROM (SELECT * FROM {db}.builds FINAL WHERE live) AS b
LEFT JOIN (SELECT build, max(number) AS schema FROM {db}.schema_versions GROUP BY build) AS v ON v.build = b.build ORDER BY build`, 0)
	result := proto.Results{{Name: "build", Data: &number}, {Name: "log", Data: &log}, {Name: "current", Data: &current}, {Name: "schema", Data: &schema}}
	var builds []Build
	err := db.ask(ctx, ch.Query{Body: query, Result: result, OnResult: func(context.Context, proto.Block) error {
		for i := range number.Rows() {
			builds = append(builds, Build{Number: number.Row(i), Log: log.Row(i), Current: current.Row(i), Schema: schema.Row(i)})
		}
		return nil
	}}, func() { builds = nil })
	if err != nil {
		return nil, fmt.Errorf("listing builds of the projection: %w", err)
	}
	return builds, nil
}

// Shows returns nil if the views show a build that is filled from the log of that identity, and ErrNoProjection or ErrOtherLog if they do not.
func (db *DB) Shows(ctx context.Context, log string) error {
	builds, err := db.Builds(ctx)
	if isMissing(err) {
		return fmt.Errorf("%w: %w", ErrNoProjection, err)
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(builds, func(b Build) bool { return b.Current })
	switch {
	case i < 0 || builds[i].Log == "":
		return ErrNoProjection
	case builds[i].Log != log:
		return fmt.Errorf("%w: build %d", ErrOtherLog, builds[i].Number)
	}
	return nil
}

// isMissing says of an error of the server whether a database or table is not there.
func isMissing(err error) bool { return ch.IsErr(err, proto.ErrUnknownDatabase, proto.ErrUnknownTable) }

// Exists returns nil if there is a build of that number, and ErrNoBuild if there is none.
func (db *DB) Exists(ctx context.Context, number uint32) error {
	_, err := db.find(ctx, number)
	return err
}

// find returns a live build.
func (db *DB) find(ctx context.Context, number uint32) (Build, error) {
	builds, err := db.Builds(ctx)
	if err != nil {
		return Build{}, err
	}
	for _, b := range builds {
		if b.Number == number {
			return b, nil
		}
	}
	return Build{}, fmt.Errorf("%w: %d", ErrNoBuild, number)
}

// Rebuild adds a build beside those that are there. Projectors begin to fill it from the start of the log when they see it, within seconds; the views show it after [DB.Switch].
func (db *DB) Rebuild(ctx context.Context) (uint32, error) {
	if err := db.Prepare(ctx); err != nil && !errors.Is(err, ErrChanged) {
		return 0, err
	}
	var last proto.ColUInt32
	err := db.do(ctx, ch.Query{Body: db.fill("SELECT max(build) AS last FROM {db}.builds", 0), Result: proto.Results{{Name: "last", Data: &last}}})
	if err != nil {
		return 0, fmt.Errorf("looking for the last build: %w", err)
	}
	number := last.Row(0) + 1
	return number, db.add(ctx, number)
}

// add makes the tables of a build, and then notes that it is there.
func (db *DB) add(ctx context.Context, number uint32) error {
	if err := db.migrate(ctx, Build{Number: number}); err != nil {
		return err
	}
	return db.note(ctx, number, "", true)
}

func (db *DB) note(ctx context.Context, number uint32, log string, live bool) error {
	var p params
	p.text("log", log)
	p.text("live", strconv.FormatBool(live))
	err := db.do(ctx, ch.Query{
		Body:       db.fill("INSERT INTO {db}.builds (build, log, live) SELECT {build}, {log:String}, {live:Bool}", number),
		Parameters: p,
	})
	if err != nil {
		return fmt.Errorf("noting build %d: %w", number, err)
	}
	return nil
}

// adopt binds a build to a log. One that is bound to another log is an ErrOtherLog.
func (db *DB) adopt(ctx context.Context, number uint32, log string) error {
	b, err := db.find(ctx, number)
	switch {
	case err != nil:
		return err
	case b.Log == "":
		if err := db.keep(ctx, number); err != nil { // who added it may not have known
			return err
		}
		return db.note(ctx, number, log, true)
	case b.Log != log:
		return fmt.Errorf("%w: build %d", ErrOtherLog, number)
	}
	return nil
}

// Switch has the views show another build. Each view changes at once, one after the other; queries under way are not disturbed.
func (db *DB) Switch(ctx context.Context, number uint32) error {
	if _, err := db.find(ctx, number); err != nil {
		return err
	}
	// First the note: a projector that starts repairs views that were left behind.
	if err := db.exec(ctx, db.fill("INSERT INTO {db}.switches (build) SELECT {build}", number)); err != nil {
		return err
	}
	return db.show(ctx, number)
}

func (db *DB) show(ctx context.Context, number uint32) error {
	text, err := fs.ReadFile(db.files, "migrations/views.sql")
	if err != nil {
		return fmt.Errorf("reading what was built in: %w", err)
	}
	return db.run(ctx, string(text), number)
}

// Drop ends a build that the views do not show: projectors stop filling it, and its tables are dropped.
func (db *DB) Drop(ctx context.Context, number uint32) error {
	b, err := db.find(ctx, number)
	if err != nil {
		return err
	}
	if b.Current {
		return fmt.Errorf("%w: %d", ErrCurrent, number)
	}
	if err := db.note(ctx, number, b.Log, false); err != nil {
		return err
	}
	for _, table := range []string{"events", "actors", "places"} {
		if err := db.exec(ctx, db.fill("DROP TABLE IF EXISTS {db}."+table+"_{build} SYNC", number)); err != nil {
			return err
		}
	}
	return nil
}

// DropDatabase drops all that there is.
func (db *DB) DropDatabase(ctx context.Context) error {
	return db.exec(ctx, db.fill("DROP DATABASE {db} SYNC", 0))
}

// migrate runs the migrations that a build has not had, and sets how long its rows are kept.
func (db *DB) migrate(ctx context.Context, b Build) error {
	files, err := fs.Glob(db.files, "migrations/[0-9]*.sql")
	if err != nil {
		return fmt.Errorf("listing what was built in: %w", err)
	}
	var newest uint64
	for _, file := range files {
		digits, _, _ := strings.Cut(path.Base(file), "_")
		if newest, err = strconv.ParseUint(digits, 10, 32); err != nil {
			return fmt.Errorf("the migration %s has no number: %w", file, err)
		}
		if uint32(newest) <= b.Schema {
			continue
		}
		text, err := fs.ReadFile(db.files, file)
		if err != nil {
			return fmt.Errorf("reading what was built in: %w", err)
		}
		if err := db.run(ctx, string(text), b.Number); err != nil {
			return fmt.Errorf("migration %s of build %d: %w", path.Base(file), b.Number, err)
		}
		var p params
		p.number("number", int64(newest))
		p.text("name", strings.TrimSuffix(path.Base(file), ".sql"))
		if err := db.do(ctx, ch.Query{
			Body:       db.fill("INSERT INTO {db}.schema_versions (build, number, name) SELECT {build}, {number:UInt32}, {name:String}", b.Number),
			Parameters: p,
		}); err != nil {
			return fmt.Errorf("noting migration %d of build %d: %w", newest, b.Number, err)
		}
	}
	if uint64(b.Schema) > newest {
		return fmt.Errorf("%w: build %d has migration %d, and this one knows %d", ErrNewer, b.Number, b.Schema, newest)
	}
	return db.keep(ctx, b.Number)
}

// run runs the statements of a file, one after the other.
func (db *DB) run(ctx context.Context, text string, build uint32) error {
	for statement := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(withoutComments(statement)) == "" {
			continue
		}
		if err := db.exec(ctx, db.fill(withoutComments(statement), build)); err != nil {
			return err
		}
	}
	return nil
}

func withoutComments(statement string) string {
	var b strings.Builder
	for line := range strings.Lines(statement) {
		if !strings.HasPrefix(line, "--") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// keep sets how long rows are kept, where that is not what the tables say already.
func (db *DB) keep(ctx context.Context, build uint32) error {
	if db.cfg.Policy == nil {
		return nil
	}
	for _, t := range []struct {
		table, where string
		keep         time.Duration
	}{
		{"events", "", db.cfg.Policy.Events},
		{"actors", " DELETE WHERE NOT alive AND generation > 0", db.cfg.Policy.Destroyed},
	} {
		table := t.table + "_" + strconv.FormatUint(uint64(build), 10)
		var definition proto.ColStr
		var p params
		p.text("database", db.cfg.Database)
		p.text("table", table)
		err := db.do(ctx, ch.Query{
			Body:   "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}",
			Result: proto.Results{{Name: "engine_full", Data: &definition}}, Parameters: p,
		})
		if err != nil {
			return fmt.Errorf("looking at table %s: %w", table, err)
		}
		has := definition.Rows() > 0 && strings.Contains(definition.Row(0), " TTL ")
		alter := "ALTER TABLE {db}." + table
		switch expires := expiry(t.keep); {
		case t.keep > 0 && !(has && strings.Contains(definition.Row(0), expires)):
			alter += " MODIFY TTL " + expires + t.where
		case t.keep == 0 && has:
			alter += " REMOVE TTL"
		default:
			continue
		}
		if err := db.exec(ctx, db.fill(alter, 0)); err != nil {
			return err
		}
	}
	return nil
}

// expiry is when a row may go, as the server writes it in the definition of a table. A TTL is a DateTime, which ends in 2106 and begins in 1970: what
// lies outside is taken for the nearest that there is, for the server would take it for some time in between, and delete what is to be kept.
func expiry(keep time.Duration) string {
	return fmt.Sprintf("toDateTime(least(greatest(time + toIntervalSecond(%d), toDateTime64('1970-01-01 00:00:00', 3, 'UTC')), toDateTime64('2106-02-07 06:28:15', 3, 'UTC')))",
		int64(keep/time.Second))
}
