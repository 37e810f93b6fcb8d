package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/schemas"
)

func TestParseGatewayPath(t *testing.T) {
	t.Parallel()
	const create = "rvt-namespace=default&rvt-method=getOrCreate"
	for _, tt := range []struct {
		name, path, query string
		want              GatewayRequest
	}{
		{"example 6.1", "/gateway/counter/action/increment", "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=c%2Cmwrj6c53&rvt-crash-policy=sleep",
			GatewayRequest{Namespace: "default", Name: "counter", Key: schemas.Key{"c", "mwrj6c53"}, Create: true, Pool: "default", CrashPolicy: "sleep",
				Tail: TailAction, TailName: "increment", TailPath: "/action/increment"}},
		{"get", "/gateway/counter/action/a", "rvt-namespace=n&rvt-method=get",
			GatewayRequest{Namespace: "n", Name: "counter", Tail: TailAction, TailName: "a", TailPath: "/action/a"}},
		{"empty key", "/gateway/counter/connect", create + "&rvt-key=",
			GatewayRequest{Namespace: "default", Name: "counter", Create: true, Tail: TailConnect, TailPath: "/connect"}},
		{"key with empty parts", "/gateway/counter/connect", create + "&rvt-key=a%2C%2C",
			GatewayRequest{Namespace: "default", Name: "counter", Key: schemas.Key{"a", "", ""}, Create: true, Tail: TailConnect, TailPath: "/connect"}},
		{"hostile key", "/gateway/counter/connect", create + "&rvt-key=%2F%22%5C+%C3%A9%F0%9F%98%80%26",
			GatewayRequest{Namespace: "default", Name: "counter", Key: schemas.Key{"/\"\\ \u00e9\U0001f600&"}, Create: true, Tail: TailConnect, TailPath: "/connect"}},
		{"everything", "/gateway/a%20b/queue/q%2F1", create + "&rvt-pool=p&rvt-region=eu&rvt-crash-policy=restart&rvt-token=t%2F1&rvt-skip-ready-wait=true&rvt-input=GCk",
			GatewayRequest{Namespace: "default", Name: "a b", Create: true, Pool: "p", Region: "eu", CrashPolicy: "restart", Token: "t/1", SkipReadyWait: true,
				Input: json.RawMessage(`41`), Tail: TailQueue, TailName: "q/1", TailPath: "/queue/q%2F1"}},
		{"input undefined", "/gateway/a/connect", create + "&rvt-input=9w",
			GatewayRequest{Namespace: "default", Name: "a", Create: true, Tail: TailConnect, TailPath: "/connect"}},
		{"input with tags", "/gateway/a/connect", create + "&rvt-input=gmQkU2V0gQE",
			GatewayRequest{Namespace: "default", Name: "a", Create: true, Input: json.RawMessage(`["$Set",[1]]`), Tail: TailConnect, TailPath: "/connect"}},
		{"user query is kept byte for byte", "/gateway/a/request/x%2f/y", "a=%41&&b&" + create + "&c=+%zz",
			GatewayRequest{Namespace: "default", Name: "a", Create: true, Tail: TailRequest, TailPath: "/request/x%2f/y", Query: "a=%41&&b&c=+%zz"}},
		{"escaped parameter name", "/gateway/a/connect", "rvt%2Dnamespace=n&rvt-method=getOrCreate",
			GatewayRequest{Namespace: "n", Name: "a", Create: true, Tail: TailConnect, TailPath: "/connect"}},
		{"id", "/gateway/abc/action/x", "a=b",
			GatewayRequest{ByID: true, ActorID: "abc", Tail: TailAction, TailName: "x", TailPath: "/action/x", Query: "a=b"}},
		{"id and token", "/gateway/a%40c@t%2F1/websocket", "",
			GatewayRequest{ByID: true, ActorID: "a@c", Token: "t/1", Tail: TailWebSocket, TailPath: "/websocket"}},
		{"nested action name", "/gateway/abc/action/ns.sub", "",
			GatewayRequest{ByID: true, ActorID: "abc", Tail: TailAction, TailName: "ns.sub", TailPath: "/action/ns.sub"}},
		{"no tail", "/gateway/abc", "", GatewayRequest{ByID: true, ActorID: "abc"}},
		{"unknown tail", "/gateway/abc/inspector/state", "", GatewayRequest{ByID: true, ActorID: "abc", TailPath: "/inspector/state"}},
		{"action of two segments", "/gateway/abc/action/a/b", "", GatewayRequest{ByID: true, ActorID: "abc", TailPath: "/action/a/b"}},
		{"action without a name", "/gateway/abc/action/", "", GatewayRequest{ByID: true, ActorID: "abc", TailPath: "/action/"}},
		{"connect with a path", "/gateway/abc/connect/x", "", GatewayRequest{ByID: true, ActorID: "abc", TailPath: "/connect/x"}},
		{"requests is not request", "/gateway/abc/requests", "", GatewayRequest{ByID: true, ActorID: "abc", TailPath: "/requests"}},
	} {
		got, err := ParseGatewayPath(tt.path, tt.query)
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, got, tt.name)
	}
}

func TestParseGatewayPathErrors(t *testing.T) {
	t.Parallel()
	const create = "rvt-namespace=default&rvt-method=getOrCreate"
	for _, tt := range []struct{ name, path, query, want string }{
		{"not below gateway", "/actors", "", "guard.invalid_path"},
		{"nothing below", "/gateway/", "", "guard.invalid_path"},
		{"doubled slash", "/gateway/a//action/x", create, "guard.invalid_path"},
		{"id badly escaped", "/gateway/%zz/connect", "", "guard.invalid_path"},
		{"id not UTF-8", "/gateway/%ff/connect", "", "guard.invalid_path"},
		{"no id before the token", "/gateway/@t/connect", "", "guard.invalid_path"},
		{"action badly escaped", "/gateway/a/action/%4", "", "guard.invalid_path"},
		{"duplicate", "/gateway/a/connect", create + "&rvt-key=a&rvt-key=b", "guard.query_duplicate_param"},
		{"duplicate, runner and pool", "/gateway/a/connect", create + "&rvt-runner=a&rvt-pool=b", "guard.query_duplicate_param"},
		{"unknown", "/gateway/a/connect", create + "&rvt-nope=1", "guard.query_invalid_params"},
		{"token in the path", "/gateway/a@t/connect", create, "guard.query_path_token_syntax"},
		{"get with input", "/gateway/a/connect", "rvt-namespace=n&rvt-method=get&rvt-input=GCk", "guard.query_get_disallowed_params"},
		{"get with region", "/gateway/a/connect", "rvt-namespace=n&rvt-method=get&rvt-region=x", "guard.query_get_disallowed_params"},
		{"get with crash policy", "/gateway/a/connect", "rvt-namespace=n&rvt-method=get&rvt-crash-policy=sleep", "guard.query_get_disallowed_params"},
		{"get with runner", "/gateway/a/connect", "rvt-namespace=n&rvt-method=get&rvt-runner=x", "guard.query_get_disallowed_params"},
		{"input is no base64", "/gateway/a/connect", create + "&rvt-input=%21", "guard.query_invalid_base64_input"},
		{"input is no CBOR", "/gateway/a/connect", create + "&rvt-input=GA", "guard.query_invalid_cbor_input"},
		{"input is empty", "/gateway/a/connect", create + "&rvt-input=", "guard.query_invalid_cbor_input"},
		{"no namespace", "/gateway/a/connect", "rvt-method=get", "guard.query_invalid_params"},
		{"no method", "/gateway/a/connect", "rvt-namespace=n", "guard.query_invalid_params"},
		{"other method", "/gateway/a/connect", "rvt-namespace=n&rvt-method=create", "guard.query_invalid_params"},
		{"other crash policy", "/gateway/a/connect", create + "&rvt-crash-policy=burn", "guard.query_invalid_params"},
		{"other skip", "/gateway/a/connect", create + "&rvt-skip-ready-wait=maybe", "guard.query_invalid_params"},
		{"badly escaped value", "/gateway/a/connect", create + "&rvt-key=%", "guard.query_invalid_params"},
		{"badly escaped name of a parameter", "/gateway/a/connect", create + "&rvt-%", "guard.query_invalid_params"},
		{"value not UTF-8", "/gateway/a/connect", create + "&rvt-key=%ff", "guard.query_invalid_params"},
		{"name badly escaped", "/gateway/%/connect", create, "guard.query_invalid_params"},
		{"name with a slash", "/gateway/a%2Fb/connect", create, "actor.invalid_request"},
		{"key too large", "/gateway/a/connect", create + "&rvt-key=" + strings.Repeat("a", 200), "actor.key_too_large"},
	} {
		got, err := ParseGatewayPath(tt.path, tt.query)
		require.Error(t, err, tt.name)
		require.Equal(t, tt.want, errorOf(t, err), tt.name)
		require.Zero(t, got, tt.name)
	}
}

func TestUserPath(t *testing.T) {
	t.Parallel()
	for tail, want := range map[string]string{
		"/request": "/", "/request/": "/", "/request/a%20b/c": "/a%20b/c", "/websocket": "/", "/websocket/": "/", "/websocket/sub/path": "/sub/path",
	} {
		r, err := ParseGatewayPath("/gateway/id"+tail, "")
		require.NoError(t, err)
		require.Equal(t, want, r.UserPath(), tail)
	}
}

func TestParseHeaderRoute(t *testing.T) {
	t.Parallel()
	r, err := ParseHeaderRoute(false, "/request/echo", "a=1", "actor", "id", "tok")
	require.NoError(t, err)
	require.Equal(t, GatewayRequest{ByID: true, ActorID: "id", Token: "tok", Tail: TailRequest, TailPath: "/request/echo", Query: "a=1"}, r)
	for _, path := range []string{"/connect", "/websocket", "/websocket/a"} {
		_, err = ParseHeaderRoute(true, path, "", "actor", "id", "")
		require.NoError(t, err)
		_, err = ParseHeaderRoute(false, path, "", "actor", "id", "")
		require.Equal(t, "guard.invalid_path", errorOf(t, err), path)
	}
	for _, path := range []string{"/action/x", "/queue/x", "/", "/gateway/id/request", "/request"} {
		_, err = ParseHeaderRoute(true, path, "", "actor", "id", "")
		require.Equal(t, "guard.invalid_path", errorOf(t, err), path)
	}
	_, err = ParseHeaderRoute(false, "/request", "", "runner", "id", "")
	require.Equal(t, "guard.invalid_path", errorOf(t, err))
	_, err = ParseHeaderRoute(false, "/request", "", "actor", "", "")
	require.Equal(t, "guard.invalid_path", errorOf(t, err))
}

func TestDecodeActorsRequest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		f          Format
		want       ActorsRequest
	}{
		{"minimal", `{"name":"a"}`, Format{}, ActorsRequest{Name: "a"}},
		{"empty key", `{"name":"a","key":"/","input":null,"datacenter":null}`, Format{}, ActorsRequest{Name: "a"}},
		{"hostile key", `{"name":"a","key":"a\\/b/c\\\\/\\0"}`, Format{}, ActorsRequest{Name: "a", Key: schemas.Key{"a/b", `c\`, ""}}},
		{"unknown fields", `{"name":"a","future":[1],"runner_name_selector":"p","crash_policy":"destroy","datacenter":"d"}`, Format{},
			ActorsRequest{Name: "a", Pool: "p", CrashPolicy: "destroy", Datacenter: "d"}},
		{"tags since 2.3", `{"name":"a","input":"gmckQmlnSW50YTU="}`, Format{Version: 4}, ActorsRequest{Name: "a", Input: json.RawMessage(`["$BigInt","5"]`)}},
		{"no tags before 2.3", `{"name":"a","input":"gmckQmlnSW50YTU="}`, Format{Version: 2}, ActorsRequest{Name: "a", Input: json.RawMessage(`["$$BigInt","5"]`)}},
		{"input undefined", `{"name":"a","input":"9w=="}`, Format{}, ActorsRequest{Name: "a"}},
	} {
		got, err := DecodeActorsRequest(tt.f, []byte(tt.body))
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, got, tt.name)
	}
	for _, tt := range []struct{ body, want string }{
		{``, "actor.invalid_request"},
		{`[]`, "actor.invalid_request"},
		{`{}`, "actor.invalid_request"},
		{`{"name":5}`, "actor.invalid_request"},
		{`{"name":"a/b"}`, "actor.invalid_request"},
		{`{"name":"a","input":"?"}`, "actor.invalid_request"},
		{`{"name":"a","input":"GA=="}`, "actor.invalid_request"},
		{`{"name":"a","input":{}}`, "actor.invalid_request"},
		{`{"name":"a","name":"b"}`, "actor.invalid_request"},
		{`{"name":"a","key":"` + strings.Repeat("k", 129) + `"}`, "actor.key_too_large"},
	} {
		_, err := DecodeActorsRequest(Format{}, []byte(tt.body))
		require.Equal(t, tt.want, errorOf(t, err), tt.body)
	}
}

func TestParseActorsQuery(t *testing.T) {
	t.Parallel()
	q, err := ParseActorsQuery("actor_ids=a%2Cb,c&namespace=n+1&x=%zz")
	require.NoError(t, err)
	require.Equal(t, ActorsQuery{Namespace: "n 1", IDs: []string{"a", "b", "c"}}, q)
	q, err = ParseActorsQuery("")
	require.NoError(t, err)
	require.Zero(t, q)
	q, err = ParseActorsQuery("name=c&key=%5C0")
	require.NoError(t, err)
	require.Equal(t, ActorsQuery{Name: "c", HasName: true, Key: schemas.Key{""}}, q)
	_, err = ParseActorsQuery("key=%")
	require.Equal(t, "actor.invalid_request", errorOf(t, err))
	_, err = ParseActorsQuery("key=" + strings.Repeat("k", 200))
	require.Equal(t, "actor.key_too_large", errorOf(t, err))
}

func TestActors(t *testing.T) {
	t.Parallel()
	a := Actor{ID: "1", Name: "n", Namespace: "s", Pool: "p", CrashPolicy: "restart", CreateTS: 1, StartTS: 2, ConnectableTS: 3, SleepTS: 4, DestroyTS: 5, Error: json.RawMessage(`{"a":1}`)}
	const text = `{"actor_id":"1","name":"n","key":"/","namespace_id":"s","datacenter":"default","runner_name_selector":"p","crash_policy":"restart","create_ts":1,"start_ts":2,"pending_allocation_ts":null,"connectable_ts":3,"sleep_ts":4,"reschedule_ts":null,"destroy_ts":5,"error":{"a":1}}`
	require.Equal(t, `{"actor":`+text+`,"created":true}`, string(AppendActorEnsured(nil, &a, true)))
	require.Equal(t, `{"actors":[`+text+`,`+text+`],"pagination":{"cursor":null}}`, string(AppendActorList(nil, []Actor{a, a})))
	a.Error = json.RawMessage(`{`)
	require.True(t, json.Valid(AppendActor(nil, &a)), "an error that is no JSON is left out")
}
