package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// clickhouse are the flags for a database of the test's own.
func clickhouse(t *testing.T) (flags []string, query func(sql string) string) {
	t.Helper()
	addr := os.Getenv("ACTORLOG_TEST_CLICKHOUSE")
	if addr == "" {
		t.Skip("skipped: set ACTORLOG_TEST_CLICKHOUSE to host:port of the native protocol of a ClickHouse to run it")
	}
	name := fmt.Sprintf("e2e_%d", time.Now().UnixNano())
	return []string{"--clickhouse", addr, "--clickhouse-database", name}, func(sql string) string { return sqlOf(t, addr, strings.ReplaceAll(sql, "db.", name+".")) }
}

// While clients increment counters, the projector is killed again and again. What ClickHouse shows at the end is what clients were told, each outcome once.
func TestKillProjector(t *testing.T) {
	t.Parallel()
	flags, query := clickhouse(t)
	b, _ := process.EmbeddedBroker(t)
	listen := process.Address(t)
	b.Worker(t)
	b.Gateway(t, listen)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := newLoad(t, 4, listen)
	l.run(ctx, 2)
	args := append(append(append([]string{}, b...), flags...), "--batch-delay", "10ms", "--batch-rows", "50")
	kills := 0
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); kills++ {
		p := process.Start(t, "projector", args...)
		process.Pause(ctx, time.Duration(150+rand.IntN(500))*time.Millisecond)
		p.Kill()
	}
	stop()
	l.wg.Wait()
	metrics := process.Address(t)
	process.Start(t, "projector", append(args, "--ops-listen", metrics)...)

	// The sum of what the gateway says of the counters is what there are rows of.
	want := 0
	for _, c := range append(l.plain, l.keyed...) {
		status, body, err := process.Request(t.Context(), http.MethodPost, "http://"+listen+"/actors/counter/"+c.key+"/actions/get", "", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		n, err := strconv.Atoi(strings.TrimSpace(body))
		require.NoError(t, err, body)
		require.GreaterOrEqual(t, int64(n), c.acknowledged.Load())
		want += n
	}
	require.Eventually(t, func() bool {
		return query("SELECT toString(sum(JSONExtractInt(state, 'count'))) FROM db.actors") == fmt.Sprint(want)
	}, 2*time.Minute, 100*time.Millisecond)
	require.Equal(t, fmt.Sprint(want), query("SELECT toString(count()) FROM db.events WHERE action = 'increment' AND NOT failed AND repeats < 0"))
	require.Equal(t, "0", query("SELECT toString(count() - uniqExact(position)) FROM db.events"))
	t.Logf("%d increments, %d projectors were killed; physical rows beyond those: %s", want, kills,
		query("SELECT toString(count() - uniqExact(shard, offset)) FROM db.events_1"))

	status, body, err := process.Request(t.Context(), http.MethodGet, "http://"+metrics+"/metrics", "", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `actorlog_projection_lag_records{build="1",shard="7"}`)
	require.Contains(t, body, `actorlog_projection_current{build="1"} 1`)
}

// sqlOf is the only text that a query answers; nothing, where there is no such table yet.
func sqlOf(t *testing.T, addr, query string) string {
	t.Helper()
	c, err := ch.Dial(context.Background(), ch.Options{Address: addr})
	require.NoError(t, err)
	defer c.Close()
	var text proto.ColStr
	err = c.Do(context.Background(), ch.Query{Body: query, Result: proto.Results{{Data: &text}}})
	if ch.IsErr(err, proto.ErrUnknownDatabase, proto.ErrUnknownTable) {
		return ""
	}
	require.NoError(t, err, query)
	require.Equal(t, 1, text.Rows(), query)
	return text.Row(0)
}
