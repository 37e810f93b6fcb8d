package operate_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/replay/operate"
	"github.com/actorlog/actorlog/schemas"
)

// An operator copies a counter, takes back what it did, and takes it elsewhere as a file.
func TestHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, counter.Register)
		for i := range int64(3) {
			_, err := counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(w.Client, "a", "1"), i+1)
			require.NoError(t, err)
		}
		h := operate.Handler(w.Client, operate.Config{Version: "v7"})
		do := func(method, path, body string) (int, string) {
			r := httptest.NewRecorder()
			h.ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
			return r.Code, r.Body.String()
		}
		count := func(key ...string) int64 {
			n, err := counter.Get.Call(t.Context(), counter.Kind.Get(w.Client, key...), actor.None{})
			require.NoError(t, err)
			return n
		}

		status, body := do("POST", "/admin/fork/counter/a/1", `{"at": "2", "to": {"key": ["copy"]}, "reason": "what if"}`)
		require.Equal(t, 200, status, body)
		require.EqualValues(t, 3, count("copy"))
		require.EqualValues(t, 6, count("a", "1"))

		status, body = do("POST", "/admin/undo/counter/a/1", ``)
		require.Equal(t, 200, status, body)
		var undone struct {
			Position, From string
			Undone         []struct{ Action string }
		}
		require.NoError(t, json.Unmarshal([]byte(body), &undone))
		require.Len(t, undone.Undone, 1)
		require.NotEmpty(t, undone.Position+undone.From)
		require.EqualValues(t, 3, count("a", "1"))

		status, exported := do("GET", "/admin/export/counter/a/1?at=3&withoutAnswers=true", "")
		require.Equal(t, 200, status)
		written, err := file.Read(strings.NewReader(exported))
		require.NoError(t, err)
		require.Equal(t, "v7", written.Header().GetCodeVersion())
		require.False(t, written.Header().GetAnswers())
		status, body = do("POST", "/admin/import/counter/there?reason=moved&by=ann&schedules=true", exported)
		require.Equal(t, 200, status, body)
		require.EqualValues(t, 6, count("there"))

		// Who did it, and why, is in the history. An actor may be named by its id.
		by := func(body string) (who, what string) {
			var done struct{ Position, ActorID string }
			require.NoError(t, json.Unmarshal([]byte(body), &done))
			at, err := schemas.ParsePosition(done.Position)
			require.NoError(t, err)
			e, err := replay.NewReader(w.Client.Log(), replay.Options{}).Event(t.Context(), at)
			require.NoError(t, err)
			return e.Entry().Caller.Principal, string(e.Entry().Body)
		}
		who, what := by(body)
		require.Equal(t, "ann", who)
		require.Contains(t, what, "moved")
		var there struct{ ActorID string }
		require.NoError(t, json.Unmarshal([]byte(body), &there))
		status, body = do("POST", "/admin/fork/"+there.ActorID, `{"to": {"key": ["again"]}, "by": "bob"}`)
		require.Equal(t, 200, status, body)
		require.EqualValues(t, 6, count("again"))
		who, _ = by(body)
		require.Equal(t, "bob", who)
		status, body = do("POST", "/admin/undo/counter/a/1", `{"reason": "again"}`)
		require.Equal(t, 200, status, body)
		who, _ = by(body)
		require.Equal(t, "operator", who)

		for _, wrong := range []struct {
			method, path, body string
			status             int
			code               string
		}{
			{"POST", "/admin/fork/counter/a/1", `{"to": {"key": ["copy"]}}`, 409, "duplicate_key"},
			{"POST", "/admin/fork/counter/a/1", `{}`, 400, "invalid_request"},
			{"POST", "/admin/fork/counter/a/1", `{"too": 1}`, 400, "invalid_request"},
			{"POST", "/admin/fork/counter/nobody", `{"to": {"key": ["x"]}}`, 409, "nothing_to_restore"},
			{"POST", "/admin/undo/counter/a/1", `{"to": "99"}`, 400, "no_such_point"},
			{"POST", "/admin/undo/counter/nobody", ``, 409, "nothing_to_restore"},
			{"GET", "/admin/export/counter/nobody", ``, 404, "not_found"},
			{"POST", "/admin/import/counter/x", `no file`, 400, "invalid_request"},
			{"POST", "/admin/import/counter/x?schedules=perhaps", exported, 400, "invalid_request"},
			{"GET", "/admin/export/counter/a/1?withoutAnswers=perhaps", ``, 400, "invalid_request"},
			{"POST", "/admin/import/other/x", exported, 400, "invalid_request"},
			{"GET", "/admin/erase/counter/a/1", ``, 409, "no_master_key"},
			{"POST", "/admin/fork", ``, 400, "invalid_request"},
		} {
			status, body := do(wrong.method, wrong.path, wrong.body)
			require.Equal(t, wrong.status, status, wrong.path+body)
			require.Contains(t, body, `"code":"`+wrong.code+`"`, wrong.path)
		}
		w.Kill()
		status, body = do("POST", "/admin/undo/counter/a/1", ``)
		require.Equal(t, 504, status, body)
		require.Contains(t, body, `"code":"outcome_unknown"`)
	})
}
