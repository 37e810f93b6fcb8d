package respond_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/internal/respond"
)

func TestLines(t *testing.T) {
	t.Parallel()
	t.Run("ErrorBeforeTheFirst", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		l := respond.NewLines(w)
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
		l := respond.NewLines(w)
		require.NoError(t, l.Encode(map[string]int{"n": 1}))
		require.True(t, w.Flushed)
		l.Fail(http.StatusTooManyRequests, "g", "c", "m")
		l.Close()
		require.Equal(t, 200, w.Code)
		require.Equal(t, "{\"n\":1}\n"+`{"type":"error","group":"g","code":"c","message":"m"}`+"\n", w.Body.String())
	})
	t.Run("Events", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		l := respond.Follow(w, true)
		require.NoError(t, l.Send("3:7", map[string]string{"a": "b\nc"}))
		l.Fail(500, "g", "c", "m")
		l.Close()
		require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
		require.Equal(t, "retry: 1000\n\nid: 3:7\ndata: {\"a\":\"b\\nc\"}\n\nevent: error\ndata: {\"type\":\"error\",\"group\":\"g\",\"code\":\"c\",\"message\":\"m\"}\n\n", w.Body.String())
	})
	t.Run("SilenceIsToldFromTheEnd", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := httptest.NewRecorder()
			l := respond.NewLines(w)
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
	var one respond.One
	leave, ok := one.Enter()
	require.True(t, ok)
	_, ok = one.Enter()
	require.False(t, ok)
	leave()
	leave, ok = one.Enter()
	require.True(t, ok)
	leave()
}
