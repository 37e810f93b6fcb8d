package chsink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/schemas"
)

// contents is the columns of events that have what belongs to users, and what stands there in its place: [projection.Event.Erase] in SQL.
var contents = map[string]string{
	"args": schemas.Erased, "result": schemas.Erased, "error_metadata": schemas.Erased, "state": schemas.Erased, "patch": schemas.ErasedPatch,
	"target": schemas.ErasedText, "error_message": schemas.ErasedText, "error_detail": schemas.ErasedText,
	"`broadcasts.args`": schemas.Erased, "`schedules_set.args`": schemas.Erased, "`sends.args`": schemas.Erased,
}

// erasing is the assignments that erase a row of events, open the condition that it has contents, and openActor that of a row of actors.
var (
	erasing, open = erasure()
	openActor     = "state != '' OR broken != '' OR notEmpty(`connections.id`) OR notEmpty(`schedules.id`)"
)

func erasure() (assignments, condition string) {
	set := []string{"patch_paths = if(empty(patch_paths), [], [''])", "warnings = if(empty(warnings), [], ['" + schemas.ErasedText + "'])"}
	is := []string{"patch_paths NOT IN ([], [''])", "warnings NOT IN ([], ['" + schemas.ErasedText + "'])"}
	for _, column := range slices.Sorted(maps.Keys(contents)) {
		text := "'" + contents[column] + "'" // has neither quotes nor backslashes
		if strings.HasPrefix(column, "`") {
			set = append(set, column+" = arrayMap(x -> if(x = '', '', "+text+"), "+column+")")
			is = append(is, "arrayExists(x -> x NOT IN ('', "+text+"), "+column+")")
			continue
		}
		set = append(set, column+" = if("+column+" = '', '', "+text+")")
		is = append(is, column+" NOT IN ('', "+text+")")
	}
	return strings.Join(set, ", "), strings.Join(is, " OR ")
}

// Erase has placeholders stand for the contents of all rows of an actor before an event of it, in all builds, as projectors do that come to a [projection.Event] that erases:
// for rows that one wrote which was behind the others, and died. It returns when that is so in all parts.
func (db *DB) Erase(ctx context.Context, actor schemas.Hash, before schemas.Position) error {
	builds, err := db.Builds(ctx)
	for _, b := range builds {
		err = errors.Join(err, db.erase(ctx, b.Number, actor, before))
	}
	return err
}

// lookAgain is how often it is looked whether a mutation has ended.
const lookAgain = 100 * time.Millisecond

// erase is [DB.Erase] in one build. It is a mutation, for a lightweight DELETE, and rows that are replaced, stay on the disk until parts are merged. It is rare, and may take as long as
// ClickHouse needs to write the parts anew; one that is under way already is waited for.
func (db *DB) erase(ctx context.Context, build uint32, actor schemas.Hash, before schemas.Position) error {
	var p params
	p.text("actor", actor.String())
	p.number("shard", int64(before.Partition))
	p.number("offset", before.Offset)
	const rows = "actor = {actor:String} AND shard = {shard:Int32} AND offset < {offset:Int64}"
	for _, t := range []struct{ table, mutation, where string }{
		{"events", "UPDATE " + erasing, rows + " AND (" + open + ")"},
		{"actors", "DELETE", rows},
	} {
		table := db.fill("{db}."+t.table+"_{build}", build)
		for {
			n, err := db.count(ctx, "SELECT count() AS n FROM "+table+" WHERE "+t.where, p)
			if err == nil && n == 0 {
				break
			}
			var busy int64
			if err == nil {
				busy, err = db.mutating(ctx, table, actor)
			}
			if err == nil && busy == 0 {
				err = db.do(ctx, ch.Query{Body: "ALTER TABLE " + table + " " + t.mutation + " WHERE " + t.where, Parameters: p})
			}
			if err != nil {
				return fmt.Errorf("erasing actor %s from %s: %w", actor, table, err)
			}
			select {
			case <-time.After(lookAgain):
			case <-ctx.Done():
				return fmt.Errorf("erasing actor %s from %s: %w", actor, table, context.Cause(ctx))
			}
		}
	}
	return nil
}

// mutating is how many mutations of a table are under way that name an actor. One that fails is an error.
func (db *DB) mutating(ctx context.Context, table string, actor schemas.Hash) (int64, error) {
	var p params
	p.text("table", table)
	p.text("actor", actor.String())
	const of = " FROM system.mutations WHERE NOT is_done AND concat(database, '.', table) = {table:String} AND position(command, {actor:String}) > 0"
	n, err := db.count(ctx, "SELECT count() AS n"+of, p)
	if err != nil || n == 0 {
		return n, err
	}
	var reason proto.ColStr
	err = db.do(ctx, ch.Query{Body: "SELECT max(latest_fail_reason) AS reason" + of, Parameters: p, Result: proto.Results{{Name: "reason", Data: &reason}}})
	if err == nil && reason.Rows() > 0 && reason.Row(0) != "" {
		err = fmt.Errorf("the mutation fails: %s", reason.Row(0))
	}
	return n, err
}

// count is the only number of a query, which is called n.
func (db *DB) count(ctx context.Context, query string, p params) (int64, error) {
	var n proto.ColUInt64
	if err := db.ask(ctx, ch.Query{Body: query, Parameters: p, Result: proto.Results{{Name: "n", Data: &n}}}, n.Reset); err != nil {
		return 0, err
	}
	if n.Rows() != 1 {
		return 0, fmt.Errorf("%d rows where one number was asked for", n.Rows())
	}
	return int64(n.Row(0)), nil
}

// Behind returns the builds of a log that are not projected past an event.
func (db *DB) Behind(ctx context.Context, log string, p schemas.Position) ([]uint32, error) {
	builds, err := db.Builds(ctx)
	if err != nil {
		return nil, err
	}
	var behind []uint32
	for _, b := range builds {
		if b.Log != log {
			continue // nobody has begun to fill it, and finds the event when he does; or it is another log's
		}
		places, err := db.Places(ctx, b.Number)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(places, func(at projection.Place) bool { return at.Shard == p.Partition && at.Next > p.Offset }) {
			behind = append(behind, b.Number)
		}
	}
	return behind, nil
}

// tableName is those of builds.
var tableName = regexp.MustCompile(`^(events|actors)_[0-9]+$`)

// Remains looks what all tables of the database have of an actor: those of builds, also of ones that were dropped, and any other, in which only the canary is looked for. Contents of rows at and
// after an event are of a later life; with a nil event, all are counted. canary, if not empty, is a text to look for in all columns that have text.
func (db *DB) Remains(ctx context.Context, actor schemas.Hash, before *schemas.Position, canary string) ([]projection.Remains, error) {
	columns, err := db.texts(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the tables of the projection: %w", err)
	}
	var all []projection.Remains
	for _, table := range slices.Sorted(maps.Keys(columns)) {
		ours := tableName.FindStringSubmatch(table)
		if ours == nil && canary == "" {
			continue
		}
		r := projection.Remains{Table: table}
		if err := db.look(ctx, &r, ours, actor, before, canary, columns[table]); err != nil {
			return nil, fmt.Errorf("looking into %s for actor %s: %w", table, actor, err)
		}
		all = append(all, r)
	}
	return all, nil
}

func (db *DB) look(ctx context.Context, r *projection.Remains, ours []string, actor schemas.Hash, before *schemas.Position, canary string, columns []string) error {
	var p params
	p.text("actor", actor.String())
	p.text("canary", canary)
	p.text("database", db.cfg.Database)
	p.text("table", r.Table)
	is, isOpen := "0", "0"
	if ours != nil {
		is = "actor = {actor:String}"
		if isOpen = open; ours[1] == "actors" {
			isOpen = openActor
		}
		if before != nil {
			p.number("offset", before.Offset)
			isOpen = "offset < {offset:Int64} AND (" + isOpen + ")"
		}
	}
	canaries := "0"
	if canary != "" {
		canaries = strings.Join(columns, " OR ")
	}
	from := " FROM `" + db.cfg.Database + "`.`" + r.Table + "`"
	const ofTable = " WHERE database = {database:String} AND table = {table:String}"
	for _, q := range []struct {
		n     *int64
		query string
	}{
		{&r.Rows, "SELECT count() AS n" + from + " WHERE " + is},
		{&r.Open, "SELECT count() AS n" + from + " WHERE " + is + " AND (" + isOpen + ")"},
		{&r.Canary, "SELECT count() AS n" + from + " WHERE " + is + " AND (" + canaries + ")"},
		{&r.Elsewhere, "SELECT count() AS n" + from + " WHERE NOT (" + is + ") AND (" + canaries + ")"},
		{&r.Mutations, "SELECT count() AS n FROM system.mutations" + ofTable + " AND NOT is_done"},
		{&r.Replaced, "SELECT count() AS n FROM system.parts" + ofTable + " AND NOT active"},
		{&r.Detached, "SELECT count() AS n FROM system.detached_parts" + ofTable},
	} {
		n, err := db.count(ctx, q.query, p)
		if err != nil {
			return err
		}
		*q.n = n
	}
	var definition, lifetime proto.ColStr
	err := db.do(ctx, ch.Query{
		Body: "SELECT engine_full AS definition, ifNull((SELECT value FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime'), '') AS lifetime FROM system.tables " +
			"WHERE database = {database:String} AND name = {table:String}",
		Parameters: p, Result: proto.Results{{Name: "definition", Data: &definition}, {Name: "lifetime", Data: &lifetime}},
	})
	if err != nil || definition.Rows() == 0 {
		return err
	}
	text := lifetime.Row(0)
	if m := ownLifetime.FindStringSubmatch(definition.Row(0)); m != nil {
		text = m[1]
	}
	r.ReplacedFor, _ = strconv.ParseInt(text, 10, 64) // of an older server, which does not say: 0
	return nil
}

var ownLifetime = regexp.MustCompile(`\bold_parts_lifetime = (\d+)`)

// texts is, for each table that keeps rows, the conditions that one of its columns has the canary.
func (db *DB) texts(ctx context.Context) (map[string][]string, error) {
	var table, name, kind proto.ColStr
	var p params
	p.text("database", db.cfg.Database)
	tables := make(map[string][]string)
	err := db.ask(ctx, ch.Query{
		Body: "SELECT table, c.name AS name, type FROM system.columns AS c JOIN system.tables AS t ON t.database = c.database AND t.name = c.table " +
			"WHERE database = {database:String} AND endsWith(t.engine, 'MergeTree') AND position(type, 'String') > 0 ORDER BY table, position",
		Parameters: p, Result: proto.Results{{Name: "table", Data: &table}, {Name: "name", Data: &name}, {Name: "type", Data: &kind}},
		OnResult: func(context.Context, proto.Block) error {
			for i := range table.Rows() {
				column := "`" + name.Row(i) + "`"
				condition := "position(toString(" + column + "), {canary:String}) > 0"
				if strings.HasPrefix(kind.Row(i), "Array(") && !strings.Contains(kind.Row(i), "(Tuple") {
					condition = "arrayExists(x -> position(toString(x), {canary:String}) > 0, arrayFlatten(" + column + "))"
				}
				tables[table.Row(i)] = append(tables[table.Row(i)], condition)
			}
			return nil
		},
	}, func() { clear(tables) })
	return tables, err
}
