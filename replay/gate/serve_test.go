package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/schemas"
)

// served is a server that verifies two counters on these kinds, and the history of counter a as a file.
func served(t *testing.T, kinds func(*actor.Registry)) (url string, exported []byte) {
	t.Helper()
	w := actortest.New(t, counter.Register)
	for _, key := range []string{"a", "b/c"} {
		for range 2 {
			_, err := counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(w.Client, key), 5)
			require.NoError(t, err)
		}
	}
	log := w.Cluster.Client()
	t.Cleanup(log.Close)
	var b bytes.Buffer
	_, err := file.Export(t.Context(), &b, replay.NewReader(log, replay.Options{}), schemas.HashOf("default", "counter", []string{"a"}), file.Options{})
	require.NoError(t, err)
	registry := actor.NewRegistry()
	kinds(registry)
	server := httptest.NewServer(Handler(registry, log))
	t.Cleanup(server.Close)
	return server.URL + "/admin/verify", b.Bytes()
}

func ask(t *testing.T, method, url string, body []byte) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// It answers what the command prints with -json.
func TestHandler(t *testing.T) {
	t.Parallel()
	same, exported := served(t, counter.Register)
	differs, _ := served(t, wrong)
	for name, tt := range map[string]struct {
		url     string
		body    []byte
		lines   int
		summary string
	}{
		"one":                 {same + "/counter/a", nil, 1, `"clean":true,"actors":1,"actorsDiffering":0,"outcomes":2,"same":2`},
		"one, with a slash":   {same + "/counter/b%2Fc?namespace=default", nil, 1, `"clean":true,"actors":1,"actorsDiffering":0,"outcomes":2,"same":2`},
		"all":                 {same + "?all=true", nil, 1, `"clean":true,"actors":2,"actorsDiffering":0,"outcomes":4,"same":4`},
		"all of a kind":       {same + "/counter?all=true", nil, 1, `"clean":true,"actors":2`},
		"a sample":            {same + "?sample=1&seed=7", nil, 1, `"clean":true,"actors":1`},
		"a file":              {same, exported, 1, `"clean":true,"actors":1`},
		"nothing since then":  {same + "?all=true&since=2200-01-01", nil, 1, `"clean":true,"actors":0`},
		"one that differs":    {differs + "/counter/a", nil, 2, `"clean":false,"actors":1,"actorsDiffering":1,"outcomes":2,"same":0,"differing":2`},
		"every difference":    {differs + "/counter/a?every=true&vars=true", nil, 3, `"clean":false,"actors":1`},
		"all that differ":     {differs + "?all=true", nil, 3, `"clean":false,"actors":2`},
		"a file that differs": {differs + "/counter/a", exported, 2, `"clean":false,"actors":1`},
	} {
		t.Run(name, func(t *testing.T) {
			// One after the other: a server verifies one at a time.
			status, text := ask(t, http.MethodPost, tt.url, tt.body)
			require.Equal(t, http.StatusOK, status, text)
			lines := strings.Split(strings.TrimSpace(text), "\n")
			require.Len(t, lines, tt.lines)
			for _, l := range lines[:len(lines)-1] {
				var d line
				require.NoError(t, json.Unmarshal([]byte(l), &d))
				require.Equal(t, "difference", d.Type)
				require.NotEmpty(t, d.Fields)
			}
			require.Contains(t, lines[len(lines)-1], `{"type":"summary",`+tt.summary)
		})
	}
}

func TestHandler_BadInput(t *testing.T) {
	t.Parallel()
	url, exported := served(t, counter.Register)
	nothing, _ := served(t, func(*actor.Registry) {})
	for _, tt := range []struct {
		method, url string
		body        []byte
		status      int
		says        string
	}{
		{"GET", url, nil, 405, "POST only"},
		{"POST", url, nil, 400, "say what to verify"},
		{"POST", url + "?all=true&sample=1", nil, 400, "not two of them"},
		{"POST", url + "/counter/a?all=true", nil, 400, "not two of them"},
		{"POST", url + "?all=maybe", nil, 400, "all is true or false"},
		{"POST", url + "?every=maybe&all=true", nil, 400, "every is true or false"},
		{"POST", url + "?sample=0", nil, 400, "sample is a number of actors"},
		{"POST", url + "?sample=1&seed=-1", nil, 400, "seed is a number"},
		{"POST", url + "?all=true&since=yesterdayish", nil, 400, "yesterdayish"},
		{"POST", url + "?al=true", nil, 400, "there is no parameter al"},
		{"POST", url + "//a", nil, 400, "names no kind"},
		{"POST", url + "?all=true", []byte(`{"sample": 3}`), 400, "what is wanted goes into the query"},
		{"POST", url, exported[:len(exported)/2], 400, "damaged"},
		{"POST", url + "/counter/b%2Fc", exported, 400, "of another actor: counter a"},
		{"POST", url + "/counter/nobody", nil, 404, "nothing is known"},
		{"POST", url + "/nobody?all=true", nil, 404, "no actor of kind nobody"},
		{"POST", nothing + "/counter/a", nil, 404, "is registered in this program"},
	} {
		status, text := ask(t, tt.method, tt.url, tt.body)
		require.Equal(t, tt.status, status, tt.url+text)
		var e struct{ Group, Code, Message string }
		require.NoError(t, json.Unmarshal([]byte(text), &e), tt.url)
		require.NotEmpty(t, e.Code)
		require.Contains(t, e.Message, tt.says, tt.url)
	}
}

// Only one verifies at a time, until its client has enough.
func TestHandler_OneAtATimeUntilTheClientGoes(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 2)
	url, _ := served(t, func(r *actor.Registry) {
		actor.On(r, counter.Increment, func(_ *counter.Counter, c *actor.Ctx, _ int64) (int64, error) {
			running <- struct{}{}
			<-c.Done()
			return 0, c.Err()
		})
	})
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/counter/a", nil)
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		gone <- err
	}()
	<-running
	status, text := ask(t, http.MethodPost, url+"/counter/nobody", nil)
	require.Equal(t, http.StatusTooManyRequests, status, text)
	require.Contains(t, text, "under_way")
	leave()
	require.ErrorIs(t, <-gone, context.Canceled)
	require.Eventually(t, func() bool {
		status, _ := ask(t, http.MethodPost, url+"/counter/nobody", nil)
		return status == http.StatusNotFound
	}, time.Minute, 10*time.Millisecond)
}
