package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/schemas"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	t.Run("ActionCreatesAndAnswersBareResult", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/actors/counter/org/1/actions/increment", "5")
		require.Equal(t, 200, r.status)
		require.Equal(t, "5", r.body)
		require.Equal(t, "application/json", r.header.Get("Content-Type"))
		id := schemas.ActorID{Hash: schemas.HashOf("default", "counter", schemas.Key{"org", "1"}), Generation: 1}
		require.Equal(t, id.String(), r.header.Get("Actorlog-Actor"))
		p, err := schemas.ParsePosition(r.header.Get("Actorlog-Position"))
		require.NoError(t, err)
		require.Equal(t, id.Hash.Shard(partitions), p.Partition)
		require.Empty(t, r.header.Get("Idempotent-Replayed"))
		require.Len(t, r.header.Get("X-Rivet-Ray-Id"), 32)
	})
	t.Run("VoidIs204", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/actors/counter/void/actions/touch", "")
		require.Equal(t, 204, r.status)
		require.Empty(t, r.body)
	})
	t.Run("InputIsCompactedJSON", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/actors/counter/echo/actions/echo", " {\n \"a\" : [ 1 , null ] }\n")
		require.Equal(t, `{"a":[1,null]}`, r.body)
		deep := strings.Repeat("[", 256) + `"[[\"[["` + strings.Repeat("]", 256)
		require.Equal(t, deep, w.do("POST", "/actors/counter/echo/actions/echo", deep).body)
	})
	t.Run("CreateFalseDoesNotCreate", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "404 actor.not_found", w.do("POST", "/actors/counter/absent/actions/increment?create=false", "1").failure())
		require.Equal(t, "404 actor.not_found", w.do("GET", "/actors/counter/absent/state", "").failure())
		require.Equal(t, "400 actor.invalid_request", w.do("POST", "/actors/counter/absent/actions/increment?create=maybe", "1").failure())
	})
	t.Run("Life", func(t *testing.T) {
		t.Parallel()
		const path = "/actors/counter/life"
		require.Equal(t, "404 actor.not_found", w.do("GET", path, "").failure())
		require.Equal(t, "404 actor.not_found", w.do("DELETE", path, "").failure())

		r := w.do("PUT", path, "41")
		require.Equal(t, 201, r.status)
		id := schemas.ActorID{Hash: schemas.HashOf("default", "counter", schemas.Key{"life"}), Generation: 1}
		require.JSONEq(t, fmt.Sprintf(`{"actorId":%q,"kind":"counter","key":["life"],"namespace":"default","generation":1,"createdAt":"2023-11-14T22:13:20.123Z"}`, id), r.body)
		again := w.do("PUT", path, "7")
		require.Equal(t, 200, again.status)
		require.Equal(t, r.body, again.body)
		require.JSONEq(t, r.body, w.do("GET", path, "").body)

		r = w.do("POST", path, "1")
		require.Equal(t, "409 actor.duplicate_key", r.failure())
		require.Contains(t, r.body, fmt.Sprintf(`"existing_actor_id":%q`, id))

		r = w.do("GET", path+"/state", "")
		require.Equal(t, `{"count":41}`, r.body)
		r = w.do("HEAD", path+"/state", "")
		require.Equal(t, 200, r.status)
		require.Empty(t, r.body)

		require.Equal(t, 204, w.do("DELETE", path, "").status)
		require.Equal(t, "404 actor.not_found", w.do("GET", path+"/state", "").failure())
		r = w.do("POST", path, "")
		require.Equal(t, 201, r.status)
		require.Contains(t, r.body, `"generation":2`)
	})
	t.Run("KeysAreSplitBeforeTheyAreDecoded", func(t *testing.T) {
		t.Parallel()
		for path, key := range map[string]schemas.Key{
			"":                       nil,
			"/":                      {""},
			"//":                     {"", ""},
			"/a/":                    {"a", ""},
			"/a%2Fb/c":               {"a/b", "c"},
			"/a/b/c":                 {"a", "b", "c"},
			"/%73tate":               {"state"},
			"/x/%65vents":            {"x", "events"},
			"/%61ctions/go":          {"actions", "go"},
			"/%C3%A9%20%F0%9F%98%80": {"é 😀"},
			"/a+b":                   {"a+b"},
			"/%25%5C%22":             {`%\"`},
			"/actions":               {"actions"},
		} {
			r := w.do("PUT", "/actors/counter"+path+"?namespace=keys", "")
			require.Equal(t, 201, r.status, "%q: %s", path, r.body)
			id := schemas.ActorID{Hash: schemas.HashOf("keys", "counter", key), Generation: 1}
			require.Equal(t, id.String(), r.header.Get("Actorlog-Actor"), "%q", path)
			require.Equal(t, "7", w.do("POST", "/actors/counter"+path+"/actions/increment?namespace=keys", "7").body, "%q", path)
		}
	})
	t.Run("NamespacesAreApart", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "1", w.do("POST", "/actors/counter/ns/actions/increment", "1").body)
		require.Equal(t, "2", w.do("POST", "/actors/counter/ns/actions/increment?namespace=never-seen", "2").body)
		require.Equal(t, "4", w.do("POST", "/actors/counter/ns/actions/increment?namespace=default", "3").body)
	})
	t.Run("Errors", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct{ method, path, body, want string }{
			{"POST", "/actors/counter/e/actions/increment", "{", "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/increment", "1 2", "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/increment", "\"\xff\"", "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/echo", strings.Repeat("[", 257) + strings.Repeat("]", 257), "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/increment", `"five"`, "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/increment", "", "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/increment", `"` + strings.Repeat("x", 65536) + `"`, "413 message.incoming_too_long"},
			{"POST", "/actors/counter/e/actions/nothing", "", "404 actor.action_not_found"},
			{"POST", "/actors/nothing/e/actions/increment", "1", "404 actor.kind_not_found"},
			{"GET", "/actors/nothing/e/state", "", "404 actor.kind_not_found"},
			{"POST", "/actors/counter/e/actions/", "", "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/%ff", "", "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/" + strings.Repeat("n", 257), "", "400 actor.invalid_request"},
			{"POST", "/actors/counter/e/actions/fail", "", "400 user.not_allowed"},
			{"POST", "/actors/counter/e/actions/boom", "", "500 rivetkit.internal_error"},
			{"POST", "/actors/counter/e/actions/overload", "", "503 actor.overloaded"},
			{"POST", "/actors/counter/e/actions/big", "1048577", "500 message.outgoing_too_long"},
			{"PUT", "/actors/counter/e2", `"text"`, "400 actor.invalid_request"},
			{"PUT", "/actors/counter/e2", `"` + strings.Repeat("x", 4<<20) + `"`, "413 message.incoming_too_long"},
			{"GET", "/actors/", "", "400 actor.invalid_request"},
			{"GET", "/actors/" + strings.Repeat("k", 65), "", "400 actor.invalid_request"},
			{"GET", "/actors/a%40b", "", "400 actor.invalid_request"},
			{"GET", "/actors/a%00b", "", "400 actor.invalid_request"},
			{"GET", "/actors/%ff", "", "400 actor.invalid_request"},
			{"GET", "/actors/counter/%ff", "", "400 actor.key_too_large"},
			{"GET", "/actors/counter/" + strings.Repeat("k", 129), "", "400 actor.key_too_large"},
			{"GET", "/actors/counter" + strings.Repeat("/"+strings.Repeat("k", 120), 9), "", "400 actor.key_too_large"},
			{"GET", "/actors/counter/e?namespace=", "", "400 actor.invalid_request"},
			{"GET", "/actors/counter/e?namespace=a/b", "", "400 actor.invalid_request"},
			{"GET", "/actors/counter/e?a=%zz", "", "400 actor.invalid_request"},
			{"GET", "/actors/counter/e/actions/get", "", "405 actor.method_not_allowed"},
			{"POST", "/actors/counter/e/state", "", "405 actor.method_not_allowed"},
			{"PUT", "/actors/counter/e/events", "", "405 actor.method_not_allowed"},
			{"PATCH", "/actors/counter/e", "", "405 actor.method_not_allowed"},
			{"PROPFIND", "/actors/counter/e", "", "405 actor.method_not_allowed"},
			{"GET", "/nothing", "", "404 api.not_found"},
			{"POST", "/healthz", "", "405 actor.method_not_allowed"},
			{"GET", "/devtools/mod.js", "", "404 api.not_found"},
		} {
			r := w.do(c.method, c.path, c.body)
			require.Equal(t, c.want, r.failure(), "%s %.80s", c.method, c.path)
			require.NotEmpty(t, r.header.Get("X-Rivet-Ray-Id"))
			require.Equal(t, "application/json", r.header.Get("Content-Type"))
			require.NotContains(t, r.body, "secret")
			if r.status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, r.header.Get("Allow"))
			}
			if r.status == http.StatusServiceUnavailable {
				require.Equal(t, "1", r.header.Get("Retry-After"))
			}
		}
		r := w.do("POST", "/actors/counter/e/actions/fail", "")
		require.Contains(t, r.body, `"metadata":{"level":3}`)
		require.Contains(t, r.body, `"message":"You shall not pass"`)
		require.Equal(t, "POST", w.do("GET", "/actors/counter/e/actions/get", "").header.Get("Allow"))
	})
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := header{"Idempotency-Key": `"once-1"`}

	first := w.do("POST", "/actors/counter/i/actions/increment", "5", key)
	require.Equal(t, "5", first.body)
	require.Empty(t, first.header.Get("Idempotent-Replayed"))
	second := w.do("POST", "/actors/counter/i/actions/increment", "5", key)
	require.Equal(t, "5", second.body)
	require.Equal(t, "true", second.header.Get("Idempotent-Replayed"))
	require.Equal(t, first.header.Get("Actorlog-Position"), second.header.Get("Actorlog-Position"))
	third := w.do("POST", "/gateway/counter/action/increment?rvt-namespace=default&rvt-method=get&rvt-key=i", `{"args":[5]}`, key)
	require.JSONEq(t, `{"output":5}`, third.body)
	require.Equal(t, "true", third.header.Get("Idempotent-Replayed"))
	require.Equal(t, "10", w.do("POST", "/actors/counter/i/actions/increment", "5").body)

	// A creation is as much a request as an action.
	key = header{"Idempotency-Key": "create-1"}
	require.Equal(t, 201, w.do("POST", "/actors/counter/c", "", key).status)
	again := w.do("POST", "/actors/counter/c", "", key)
	require.Equal(t, 201, again.status)
	require.Equal(t, "true", again.header.Get("Idempotent-Replayed"))

	for _, bad := range []string{"", "two words", strings.Repeat("k", 256), "é"} {
		r := w.do("POST", "/actors/counter/i/actions/increment", "5", header{"Idempotency-Key": bad})
		require.Equal(t, "400 actor.invalid_request", r.failure(), "%q", bad)
		r = w.do("POST", "/gateway/counter/action/increment?rvt-namespace=default&rvt-method=get&rvt-key=i", `{"args":[5]}`, header{"Idempotency-Key": bad})
		require.Equal(t, "400 actor.invalid_request", r.failure(), "%q", bad)
	}
	require.Equal(t, `{"count":10}`, w.do("GET", "/actors/counter/i/state", "").body)
}

func TestBodyMayBeChunked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := &slowReader{parts: []string{`"a`, "", `b"`}}
	r, err := w.try("POST", "/actors/counter/chunked/actions/echo", body)
	require.NoError(t, err)
	require.Equal(t, `"ab"`, r.body)
	body = &slowReader{parts: []string{`"`, strings.Repeat("x", 40000), strings.Repeat("y", 40000), `"`}}
	r, err = w.try("POST", "/actors/counter/chunked/actions/echo", body)
	require.NoError(t, err)
	require.Equal(t, "413 message.incoming_too_long", r.failure())
}

// A request on each of many goroutines gets its own answer.
func TestConcurrentCallersGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range 10 {
				text := fmt.Sprintf(`"%d/%d"`, i, j)
				r, err := w.try("POST", fmt.Sprintf("/actors/counter/%d/actions/echo", i%7), strings.NewReader(text))
				if err != nil || r.body != text {
					t.Errorf("want %s, got %v %v", text, r, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestBusyIs503AndSafeToRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) { s.remote.MaxPending = 1 })
	held := make(chan reply, 1)
	go func() {
		r, _ := w.try("POST", "/actors/counter/busy/actions/hold", strings.NewReader(`"x"`))
		held <- r
	}()
	w.eventually(func() bool { return len(w.worker.actions()) == 1 })
	r := w.do("POST", "/actors/counter/other/actions/increment", "1")
	require.Equal(t, "503 guard.service_unavailable", r.failure())
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Len(t, w.worker.actions(), 1)
	w.worker.release("x")
	require.Equal(t, 204, (<-held).status)
}

func TestListenerHearsOfRequestsAndBadInput(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var requests, bad []string
	w := newWorld(t, config(func(c *gateway.Config) {
		c.Listener.RequestDone = func(i gateway.RequestInfo) {
			mu.Lock()
			defer mu.Unlock()
			requests = append(requests, fmt.Sprintf("%s %s %d", i.Method, i.Route, i.Status))
		}
		c.Listener.BadInput = func(i gateway.BadInputInfo) {
			mu.Lock()
			defer mu.Unlock()
			bad = append(bad, i.Route+" "+i.Group+"."+i.Code)
		}
	}))
	w.do("POST", "/actors/counter/secret/actions/increment", "1")
	w.do("POST", "/actors/counter/secret/actions/increment", "{")
	w.do("GET", "/nothing/secret", "")
	w.eventually(func() bool { mu.Lock(); defer mu.Unlock(); return len(requests) == 3 })
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{
		"POST /actors/:kind/*key/actions/:name 200",
		"POST /actors/:kind/*key/actions/:name 400",
		"GET none 404",
	}, requests)
	require.Equal(t, []string{"/actors/:kind/*key/actions/:name actor.invalid_request"}, bad)
}
