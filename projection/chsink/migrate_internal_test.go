package chsink

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/schemas"
)

// later is the files of a version that has one migration more.
func later(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{"migrations/0002_region.sql": {Data: []byte(`-- Where it ran.
ALTER TABLE {db}.events_{build} ADD COLUMN IF NOT EXISTS region String DEFAULT 'here';
ALTER TABLE {db}.actors_{build} ADD COLUMN IF NOT EXISTS region String DEFAULT 'there';
`)}}
	for _, name := range []string{"migrations/0001_tables.sql", "migrations/views.sql"} {
		text, err := migrations.ReadFile(name)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	return files
}

// Two projectors of a newer version find tables of an older one, of which the first died in the middle of a migration, beside one of the older version that still runs. All
// rows stay, all builds get what is new, and the older version does not come back.
func TestPrepare_Migrates(t *testing.T) {
	t.Parallel()
	addr := os.Getenv("ACTORLOG_TEST_CLICKHOUSE")
	if addr == "" {
		t.Skip("skipped: set ACTORLOG_TEST_CLICKHOUSE to host:port of the native protocol of a ClickHouse to run it")
	}
	open := func(files fs.FS, database string) *DB {
		db, err := Open(Config{Addr: addr, Database: database})
		require.NoError(t, err)
		t.Cleanup(db.Close)
		if files != nil {
			db.files = files
		}
		return db
	}
	database := fmt.Sprintf("test_migrates_%d", time.Now().UnixNano())
	old := open(nil, database)
	t.Cleanup(func() { _ = old.exec(context.Background(), old.fill("DROP DATABASE {db} SYNC", 0)) })
	require.NoError(t, old.Prepare(t.Context()))
	sink, err := old.Sink(t.Context(), 1, "log")
	require.NoError(t, err)
	write := func(offset int64) {
		require.NoError(t, sink.Write(t.Context(), &projection.Batch{Events: []projection.Event{{Position: schemas.Position{Offset: offset}}}}))
	}
	write(1)
	_, err = old.Rebuild(t.Context())
	require.NoError(t, err)
	require.NoError(t, old.exec(t.Context(), old.fill("ALTER TABLE {db}.events_1 ADD COLUMN region String DEFAULT 'here'", 0)), "who died here")

	var starting sync.WaitGroup
	failed := make(chan error, 2)
	for range 2 {
		db := open(later(t), database)
		starting.Go(func() { failed <- db.Prepare(t.Context()) })
	}
	starting.Wait()
	require.NoError(t, <-failed)
	require.NoError(t, <-failed)
	write(2)

	db := open(later(t), database)
	builds, err := db.Builds(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Build{{Number: 1, Log: "log", Current: true, Schema: 2}, {Number: 2, Schema: 2}}, builds)
	for _, where := range []string{"events WHERE region = 'here'", "events_2 WHERE region = 'here'", "actors WHERE region = 'there'"} {
		var n proto.ColUInt64
		require.NoError(t, db.do(t.Context(), ch.Query{Body: db.fill("SELECT count() AS n FROM {db}."+where, 0), Result: proto.Results{{Name: "n", Data: &n}}}), where)
		if where == "events WHERE region = 'here'" {
			require.EqualValues(t, 2, n.Row(0), "of the old version, before and after")
		}
	}
	require.ErrorIs(t, old.Prepare(t.Context()), ErrNewer)
	require.NoError(t, db.Prepare(t.Context()))
}
