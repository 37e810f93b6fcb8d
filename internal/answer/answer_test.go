package answer_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/internal/answer"
)

func TestLines(t *testing.T) {
	t.Parallel()
	t.Run("ErrorBeforeTheFirst", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		l := answer.NewLines(w)
		l.Fail(http.StatusTooManyRequests, "g", "c", "m")
		require.Error(t, l.Encode(1), "nothing follows")
		l.Close()
		require.Equal(t, 429, w.Code)
		require.NotEmpty(t, w.Header().Get("Retry-After"))
		require.Equal(t, `{"group":"g","code":"c","message":"m"}`+"\n", w.Body.String())
	})
	t.Run("ErrorAfterIt", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		l := answer.NewLines(w)
		require.NoError(t, l.Encode(map[string]int{"n": 1}))
		require.True(t, w.Flushed)
		l.Fail(http.StatusTooManyRequests, "g", "c", "m")
		l.Close()
		require.Equal(t, 200, w.Code)
		require.Equal(t, "{\"n\":1}\n"+`{"type":"error","group":"g","code":"c","message":"m"}`+"\n", w.Body.String())
	})
	t.Run("SilenceIsToldFromTheEnd", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := httptest.NewRecorder()
			l := answer.NewLines(w)
			time.Sleep(time.Minute)
			require.NoError(t, l.Encode(1))
			l.Close()
			lines := strings.Split(w.Body.String(), "\n")
			require.GreaterOrEqual(t, len(lines), 4)
			require.Equal(t, "1", strings.Join(lines, ""))
		})
	})
}

func TestOne(t *testing.T) {
	t.Parallel()
	var one answer.One
	leave, ok := one.Enter()
	require.True(t, ok)
	_, ok = one.Enter()
	require.False(t, ok)
	leave()
	leave, ok = one.Enter()
	require.True(t, ok)
	leave()
}
