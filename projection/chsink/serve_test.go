package chsink_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/projection/chsink"
	"github.com/actorlog/actorlog/projection/projector"
)

// An operator sees that a projection is behind, builds another one beside it, switches and drops the first.
func TestHandler(t *testing.T) {
	t.Parallel()
	db, _ := database(t, nil)
	cluster, w := world(t, seed.New(t), 300)
	l := cluster.Client()
	t.Cleanup(l.Close)
	h := chsink.Handler(db, l)
	do := func(h http.Handler, method, path string) (int, string) {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		return r.Code, r.Body.String()
	}
	builds := func(h http.Handler) []chsink.Status {
		status, body := do(h, "GET", "/admin/projection")
		require.Equal(t, 200, status, body)
		var answer struct{ Builds []chsink.Status }
		require.NoError(t, json.Unmarshal([]byte(body), &answer))
		return answer.Builds
	}
	all := builds(h)
	require.Len(t, all, 1)
	require.Equal(t, chsink.NotBegun, all[0].Log)
	require.Positive(t, all[0].Behind)
	fill(t, db, 1, cluster, projector.Config{})
	all = builds(h)
	require.Equal(t, chsink.Status{Build: 1, Shown: true, Schema: all[0].Schema, Projected: all[0].Projected, Log: chsink.ThisLog}, all[0])
	w.Write(100)
	behind := builds(h)[0].Behind
	require.Positive(t, behind)

	status, body := do(h, "POST", "/admin/projection/rebuild")
	require.Equal(t, 200, status, body)
	require.JSONEq(t, `{"build":2}`, body)
	fill(t, db, 2, cluster, projector.Config{})
	status, body = do(h, "POST", "/admin/projection/1/drop")
	require.Equal(t, 409, status, body)
	require.Contains(t, body, `"code":"shown"`)
	status, body = do(h, "POST", "/admin/projection/2/switch")
	require.Equal(t, 200, status, body)
	all = builds(h)
	require.False(t, all[0].Shown)
	require.True(t, all[1].Shown)
	require.Zero(t, all[1].Behind)
	status, body = do(h, "POST", "/admin/projection/1/drop")
	require.Equal(t, 200, status, body)
	require.Len(t, builds(h), 1)

	// A build that would show something else is refused, unless it is forced.
	next, err := db.Rebuild(t.Context())
	require.NoError(t, err)
	long := memlog.NewCluster(1)
	records := make([]eventlog.Record, 10_001)
	long.Inject(eventlog.Events, 0, records...)
	other := long.Client()
	t.Cleanup(other.Close)
	elsewhere := chsink.Handler(db, other)
	require.Equal(t, chsink.OtherLog, builds(elsewhere)[0].Log)
	toNext := fmt.Sprintf("/admin/projection/%d/switch", next)
	for _, wrong := range []struct {
		h            http.Handler
		method, path string
		status       int
		code         string
	}{
		{elsewhere, "POST", "/admin/projection/2/switch", 409, "other_log"},
		{elsewhere, "POST", toNext, 409, "behind"},
		{elsewhere, "POST", toNext + "?force=perhaps", 400, "invalid_request"},
		{h, "POST", "/admin/projection/99/switch", 404, "no_such_build"},
		{h, "POST", "/admin/projection/1/drop", 404, "no_such_build"},
		{h, "POST", "/admin/projection/two/drop", 400, "invalid_request"},
		{h, "POST", "/admin/projection/2/erase", 404, "not_found"},
		{h, "GET", "/admin/projection/2", 404, "not_found"},
		{h, "DELETE", "/admin/projection", 404, "not_found"},
	} {
		status, body := do(wrong.h, wrong.method, wrong.path)
		require.Equal(t, wrong.status, status, wrong.path+body)
		require.Contains(t, body, `"code":"`+wrong.code+`"`, wrong.path)
	}
	status, body = do(elsewhere, "POST", toNext+"?force=true")
	require.Equal(t, 200, status, body)
}

// That ClickHouse is away is said, and passes.
func TestHandler_Away(t *testing.T) {
	t.Parallel()
	db, err := chsink.Open(chsink.Config{Addr: "127.0.0.1:1", Database: "actorlog"})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	l := memlog.NewCluster(1).Client()
	t.Cleanup(l.Close)
	r := httptest.NewRecorder()
	chsink.Handler(db, l).ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), "GET", "/admin/projection", nil))
	require.Equal(t, 503, r.Code, r.Body.String())
	require.NotEmpty(t, r.Header().Get("Retry-After"))
}
