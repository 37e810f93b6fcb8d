package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// ClickHouse is away while clients work and a projector is killed; then it is back. Nobody else notices, the lag tells, and at the end everything is there once.
func TestClickHouseAway(t *testing.T) {
	t.Parallel()
	flags, query := clickhouse(t)
	line := newLine(t, flags[1])
	flags[1] = line.addr
	b, _ := process.EmbeddedBroker(t)
	listen, metrics := process.Address(t), process.Address(t)
	b.Worker(t)
	b.Gateway(t, listen)
	args := slices.Concat(b, flags, []string{"--batch-delay", "20ms", "--ops-listen", metrics})
	projector := process.Start(t, "projector", args...)
	lag := func() (records int, known bool) {
		_, body, err := process.Request(t.Context(), http.MethodGet, "http://"+metrics+"/metrics", "", "")
		if err != nil {
			return 0, false
		}
		for _, m := range regexp.MustCompile(`actorlog_projection_lag_records\{[^}]*\} (\S+)`).FindAllStringSubmatch(body, -1) {
			n, err := strconv.ParseFloat(m[1], 64)
			require.NoError(t, err)
			records, known = records+int(n), true
		}
		return records, known
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := newLoad(t, 4, listen)
	l.run(ctx, 1)
	acknowledged := func() (n int64) {
		for _, c := range append(l.plain, l.keyed...) {
			n += c.acknowledged.Load()
		}
		return n
	}
	require.Eventually(t, func() bool {
		_, known := lag()
		return known && acknowledged() > 200
	}, 2*time.Minute, 50*time.Millisecond)

	line.set(false)
	before := acknowledged()
	require.Eventually(t, func() bool {
		n, known := lag()
		return known && n > 500
	}, 2*time.Minute, 100*time.Millisecond, "the lag tells that ClickHouse is away")
	require.Eventually(t, func() bool { return acknowledged() > before+500 }, 2*time.Minute, 50*time.Millisecond, "clients do not notice")
	projector.Kill()
	projector = process.Start(t, "projector", args...) // while it is away
	status, body, err := process.Request(t.Context(), http.MethodGet, "http://"+listen+"/readyz", "", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	require.Eventually(t, func() bool {
		n, known := lag()
		return known && n > 500
	}, 2*time.Minute, 100*time.Millisecond, "and so does that of who starts meanwhile")
	before = acknowledged()
	require.Eventually(t, func() bool { return acknowledged() > before+500 }, 2*time.Minute, 50*time.Millisecond)
	require.False(t, projector.Ended())
	line.set(true)

	require.Eventually(t, func() bool {
		n, known := lag()
		return known && n < 100
	}, 2*time.Minute, 100*time.Millisecond, "it catches up while clients go on")
	stop()
	l.wg.Wait()
	want := 0
	for _, c := range append(l.plain, l.keyed...) {
		status, body, err := process.Request(t.Context(), http.MethodPost, "http://"+listen+"/actors/counter/"+c.key+"/actions/get", "", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		n, err := strconv.Atoi(strings.TrimSpace(body))
		require.NoError(t, err, body)
		want += n
	}
	require.Eventually(t, func() bool {
		return query("SELECT toString(sum(JSONExtractInt(state, 'count'))) FROM db.actors") == fmt.Sprint(want) // which are written after events
	}, 2*time.Minute, 100*time.Millisecond)
	require.Equal(t, fmt.Sprint(want), query("SELECT toString(count()) FROM db.events WHERE action = 'increment' AND NOT failed AND repeats < 0"))
	require.Equal(t, "0", query("SELECT toString(count() - uniqExact(position)) FROM db.events"))
}

// line passes connections on to an address while it is up.
type line struct {
	addr  string
	mu    sync.Mutex
	up    bool
	conns map[net.Conn]bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	k := &line{addr: l.Addr().String(), up: true, conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); k.set(false); wg.Wait() })
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
			if !k.up {
				from.Close()
				server.Close()
			}
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

// set lets connections pass or not; those that there are end.
func (k *line) set(up bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.up = up
	for c := range k.conns {
		c.Close()
	}
	clear(k.conns)
}

// The questions of auditors have the same answers, byte for byte, from ClickHouse and from the log, on the command line and over HTTP: page after page, with keys and
// texts that take care, and when they are wrong.
func TestAudit(t *testing.T) {
	t.Parallel()
	flags, query := clickhouse(t)
	b, _ := process.EmbeddedBroker(t)
	b.Worker(t, "--sleep-after", "1h") // nothing happens by itself
	fromLog, fromTables := process.Address(t), process.Address(t)
	b.Gateway(t, fromLog)
	process.Ready(t, fromTables, process.Start(t, "gateway", slices.Concat(b, process.Unlimited, flags, []string{"--listen", fromTables})...))
	process.Start(t, "projector", slices.Concat(b, flags, []string{"--batch-delay", "20ms"})...)

	events := 0
	ask := func(want int, path, body string) {
		t.Helper()
		status, answer, err := process.Request(t.Context(), http.MethodPost, "http://"+fromLog+"/actors/"+path, body, "")
		require.NoError(t, err)
		require.Equal(t, want, status, "%s: %s", path, answer)
		events++
	}
	keys := []string{"k", "org/42", "%C3%BC", "it's", "a%20b", "%22q%22", "a%5Cb", "%F0%9F%98%80"}
	for i, key := range keys {
		for range i + 1 {
			ask(http.StatusOK, "counter/"+key+"/actions/increment", strconv.Itoa(i+1))
		}
		ask(http.StatusBadRequest, "counter/"+key+"/actions/increment", "-1")
	}
	ask(http.StatusNoContent, "counter/k/actions/reset", "")
	note := strings.Repeat("\u00fc\"\\", 8000)
	large, err := json.Marshal(map[string]any{"to": "bob", "cents": 5, "note": note})
	require.NoError(t, err)
	ask(http.StatusOK, "account/ann/actions/deposit", "100")
	ask(http.StatusOK, "account/ann/actions/transfer", string(large))
	require.Eventually(t, func() bool { // with what they send each other
		n, err := strconv.Atoi(query("SELECT toString(count()) FROM db.events WHERE body = 'invoke'"))
		return err == nil && n == events+2 // bob's, and ann's settlement
	}, 2*time.Minute, 100*time.Millisecond)

	audit := func(engine []string, args ...string) (string, int) {
		t.Helper()
		return cli(t, slices.Concat([]string{"audit"}, args, b[:6], engine)...)
	}
	type asked struct {
		status int
		says   string
		args   []string
	}
	for _, q := range []asked{
		{0, "CHANGES", []string{"changes", "account", "nobody"}},
		{0, `{"op":"write","path":"/count","value":1}`, []string{"changes", "counter", "k", "--path", "/count", "--json"}},
		{0, "org", []string{"changes", "counter", "org", "42"}},
		{0, "\u00fc", []string{"changes", "counter", "\u00fc"}},
		{0, "it's", []string{"changes", "counter", "it's"}},
		{0, strings.Repeat("\u00fc\\\"\\\\", 1000), []string{"changes", "account", "ann", "--json"}},
		{0, `"by":{"namespace":"default","kind":"account","key":["ann"]}`, []string{"caller", "--by-kind", "account", "--by-key", "ann", "--json"}},
		{0, "user.bad_step", []string{"errors", "counter", "--by", "code"}},
		{0, "CALLER", []string{"talkers", "--by", "caller"}},
		{0, "CALLS", []string{"talkers", "--by", "actor", "--failed"}},
		{0, `"count":64`, []string{"actors", "counter", "--where", "count > 10 and count != 49", "--json"}},
		{0, "STATE", []string{"actors", "counter", "--where", `count = "64"`}},
		{1, "want a number", []string{"actors", "counter", "--where", "count > "}},
		{1, "is no JSON pointer", []string{"changes", "counter", "k", "--path", "count"}},
		{1, "the cursor is not one", []string{"slowest", "--cursor", "nonsense"}},
		{1, "the limit is not", []string{"slowest", "--limit", "1001"}},
		{1, "cannot group by", []string{"errors", "--by", "colour"}},
		{1, "not enough time", []string{"slowest", "--timeout", "1ns"}},
	} {
		want, code := audit(nil, q.args...)
		require.Equal(t, q.status, code, "%q: %s", q.args, want)
		got, code := audit(flags, q.args...)
		require.Equal(t, want, got, "%q", q.args)
		require.Equal(t, q.status, code)
		require.Contains(t, want, q.says, "%q", q.args)
	}

	// Page after page comes to the same as all at once, on both.
	for _, args := range [][]string{{"slowest", "counter", "--json"}, {"talkers", "--by", "actor", "--json"}, {"actors", "counter", "--json"}, {"changes", "counter", "org", "42", "--json"}} {
		all, code := audit(nil, append(args, "--limit", "1000")...)
		require.Zero(t, code, all)
		for _, engine := range [][]string{nil, flags} {
			var pages strings.Builder
			for cursor := ""; ; {
				out, code := audit(engine, append(args, "--limit", "5", "--cursor", cursor)...)
				require.Zero(t, code, out)
				i := strings.Index(out, `{"next":"`)
				if i < 0 {
					pages.WriteString(out)
					break
				}
				pages.WriteString(out[:i])
				cursor = strings.TrimSuffix(strings.TrimSpace(out[i+len(`{"next":"`):]), `"}`)
			}
			require.Equal(t, all, pages.String(), "%q", args)
		}
	}

	// The same over HTTP.
	for _, q := range []struct {
		status int
		path   string
		values url.Values
	}{
		{http.StatusOK, "changes", url.Values{"kind": {"counter"}, "key": {"org", "42"}, "path": {"/count"}}},
		{http.StatusOK, "changes", url.Values{"kind": {"account"}, "key": {"ann"}}},
		{http.StatusOK, "slowest", url.Values{"limit": {"3"}}},
		{http.StatusOK, "errors", nil},
		{http.StatusOK, "talkers", url.Values{"by": {"actor"}}},
		{http.StatusOK, "actors", url.Values{"kind": {"counter"}, "where": {"count > 10"}}},
		{http.StatusOK, "events", url.Values{"kind": {"counter"}, "order": {"newest"}, "limit": {"4"}}},
		{http.StatusBadRequest, "slowest", url.Values{"cursor": {"x"}}},
		{http.StatusBadRequest, "actors", url.Values{"kind": {"counter"}, "where": {"count ="}}},
		{http.StatusBadRequest, "slowest", url.Values{"limit": {"1001"}}},
		{http.StatusGatewayTimeout, "slowest", url.Values{"timeout": {"1ns"}}},
	} {
		ask := func(gateway string) string {
			status, body, err := process.Request(t.Context(), http.MethodGet, "http://"+gateway+"/admin/audit/"+q.path+"?"+q.values.Encode(), "", "")
			require.NoError(t, err)
			require.Equal(t, q.status, status, "%s %v: %s", q.path, q.values, body)
			return body
		}
		require.Equal(t, ask(fromLog), ask(fromTables), "%s %v", q.path, q.values)
	}
}
