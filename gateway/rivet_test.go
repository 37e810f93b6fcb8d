package gateway_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/schemas"
)

// unhex turns "04 00 | 01 05 'text'" into bytes.
func unhex(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	for word := range strings.FieldsSeq(text) {
		if literal, ok := strings.CutPrefix(word, "'"); ok {
			b.WriteString(strings.TrimSuffix(literal, "'"))
		} else if word != "|" {
			raw, err := hex.DecodeString(word)
			require.NoError(t, err)
			b.Write(raw)
		}
	}
	return b.String()
}

const getOrCreate = "?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-crash-policy=sleep&rvt-key="

func idOf(generation uint32, key ...string) string {
	return schemas.ActorID{Hash: schemas.HashOf("default", "counter", key), Generation: generation}.String()
}

func TestRivetAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bare := header{"X-Rivet-Encoding": "bare", "Content-Type": "application/octet-stream", "User-Agent": "RivetKit/2.3.19"}
	cbor := header{"X-Rivet-Encoding": "cbor", "Content-Type": "application/octet-stream", "User-Agent": "RivetKit/2.3.19"}
	json := header{"X-Rivet-Encoding": "json", "Content-Type": "application/json", "User-Agent": "RivetKit/2.3.19"}

	t.Run("BARE", func(t *testing.T) {
		t.Parallel()
		const path = "/gateway/counter/action/increment" + getOrCreate + "c%2Cbare"
		r := w.do("POST", path, unhex(t, "04 00 | 02 81 05"), bare)
		require.Equal(t, unhex(t, "04 00 | 01 05"), r.body)
		require.Equal(t, 200, r.status)
		require.Equal(t, "application/octet-stream", r.header.Get("Content-Type"))
		require.Equal(t, idOf(1, "c", "bare"), r.header.Get("X-Rivet-Actor"))
		require.Equal(t, "1", r.header.Get("X-Rivet-Actor-Generation"))
		require.Equal(t, "c/bare", r.header.Get("X-Rivet-Actor-Key"))
		require.NotEmpty(t, r.header.Get("X-Rivet-Ray-Id"))
		// Older clients are answered in their version.
		for _, version := range []string{"01", "02", "03"} {
			require.Equal(t, unhex(t, version+" 00 | 01 05"), w.do("POST", path, unhex(t, version+" 00 | 02 81 00"), bare).body)
		}
		// By id.
		r = w.do("POST", "/gateway/"+idOf(1, "c", "bare")+"/action/get", unhex(t, "04 00 01 80"), bare)
		require.Equal(t, unhex(t, "04 00 01 05"), r.body)
		r = w.do("POST", "/gateway/"+idOf(1, "c", "bare")+"@tok%2F1/action/get", unhex(t, "04 00 01 80"), bare)
		require.Equal(t, unhex(t, "04 00 01 05"), r.body)
		// An action that returns nothing returns undefined.
		r = w.do("POST", "/gateway/counter/action/touch"+getOrCreate+"void", unhex(t, "04 00 01 80"), bare)
		require.Equal(t, unhex(t, "04 00 01 f7"), r.body)
		// An actor's error comes in the request's encoding and names the actor.
		r = w.do("POST", "/gateway/counter/action/fail"+getOrCreate+"void", unhex(t, "04 00 01 80"), bare)
		require.Equal(t, 500, r.status)
		require.Equal(t, unhex(t, "04 00 | 04 'user' 0b 'not_allowed' 12")+"You shall not pass"+
			unhex(t, "01 08 a1 65 'level' 03 | 01 1e '"+idOf(1, "void")+"' 01 01 04 'void'"), r.body)
	})
	t.Run("CBOR", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/gateway/counter/action/increment"+getOrCreate+"cbor", unhex(t, "b9 00 01 64 'args' 81 05"), cbor)
		require.Equal(t, unhex(t, "a1 66 'output' 05"), r.body)
		require.Equal(t, "application/octet-stream", r.header.Get("Content-Type"))
		r = w.do("POST", "/gateway/counter/action/increment"+getOrCreate+"cbor", unhex(t, "b9 00 01 64 'args' 80"), cbor)
		require.Equal(t, 400, r.status)
		require.Contains(t, r.body, "invalid_request")
	})
	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/gateway/counter/action/increment"+getOrCreate+"json", `{"args":[5]}`, json)
		require.JSONEq(t, `{"output":5}`, r.body)
		require.Equal(t, "application/json", r.header.Get("Content-Type"))
		r = w.do("POST", "/gateway/counter/action/touch"+getOrCreate+"json", `{"args":[]}`, json)
		require.JSONEq(t, `{"output":["$Undefined",0]}`, r.body)
		r = w.do("POST", "/gateway/counter/action/fail"+getOrCreate+"json", `{"args":[]}`, json)
		require.Equal(t, 500, r.status)
		require.JSONEq(t, fmt.Sprintf(`{"actor":{"actorId":%q,"generation":1,"key":"json"},"code":"not_allowed","group":"user","message":"You shall not pass","metadata":{"level":3}}`, idOf(1, "json")), r.body)
		// Names with escapes.
		require.Equal(t, "404 actor.action_not_found", w.do("POST", "/gateway/counter/action/a%2Fb%20c"+getOrCreate+"json", `{"args":[]}`).failure())
		require.True(t, w.worker.ran("a/b c"))
	})
	t.Run("InputForTheCreation", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/gateway/counter/action/get"+getOrCreate+"input&rvt-input="+base64.RawURLEncoding.EncodeToString([]byte{0x18, 41}), `{"args":[]}`)
		require.JSONEq(t, `{"output":41}`, r.body)
	})
	t.Run("GetDoesNotCreate", func(t *testing.T) {
		t.Parallel()
		r := w.do("POST", "/gateway/counter/action/get?rvt-namespace=default&rvt-method=get&rvt-key=missing", unhex(t, "04 00 01 80"), bare)
		require.Equal(t, 404, r.status)
		r = w.do("POST", "/gateway/"+idOf(1, "missing")+"/action/get", `{"args":[]}`)
		require.Equal(t, "404 actor.not_found", r.failure())
		r = w.do("POST", "/gateway/some-foreign-id/action/get", `{"args":[]}`)
		require.Equal(t, "404 actor.not_found", r.failure())
		require.Equal(t, "actor.not_found", r.header.Get("X-Rivet-Error"))
	})
	t.Run("AnyNamespace", func(t *testing.T) {
		t.Parallel()
		require.JSONEq(t, `{"output":3}`, w.do("POST", "/gateway/counter/action/increment?rvt-namespace=n-42&rvt-method=getOrCreate&rvt-key=k", `{"args":[3]}`).body)
		require.JSONEq(t, `{"output":4}`, w.do("POST", "/gateway/counter/action/increment?rvt-namespace=n-43&rvt-method=getOrCreate&rvt-key=k", `{"args":[4]}`).body)
	})
	t.Run("Errors", func(t *testing.T) {
		t.Parallel()
		q := getOrCreate + "e"
		for _, c := range []struct {
			method, path, body string
			header             header
			want               string
		}{
			{"POST", "/gateway/counter/action/increment" + q, "", bare, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, "", cbor, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, "", json, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, "{", json, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, "\x04\x00\x02\x81", bare, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, "\x04\x00\x02\x81\x05\x05", bare, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, "\x05\x00\x02\x81\x05", bare, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, "\x04\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", bare, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, "\xa1\x64args\x9b\xff\xff\xff\xff\xff\xff\xff\xff", cbor, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/increment" + q, strings.Repeat("x", 65537), bare, "400 message.incoming_too_long"},
			{"POST", "/gateway/counter/action/increment" + q, `{"args":["five"]}`, json, "400 actor.invalid_request"},
			{"POST", "/gateway/counter/action/nothing" + q, `{"args":[]}`, json, "404 actor.action_not_found"},
			{"POST", "/gateway/nothing/action/get" + q, `{"args":[]}`, json, "404 actor.kind_not_found"},
			{"POST", "/gateway/counter/action/boom" + q, `{"args":[]}`, json, "500 rivetkit.internal_error"},
			{"POST", "/gateway/counter/action/big" + q, `{"args":[1048577]}`, json, "400 message.outgoing_too_long"},
			{"GET", "/gateway/counter/action/get" + q, "", json, "405 actor.method_not_allowed"},
			{"POST", "/gateway/counter/action/" + q, `{"args":[]}`, json, "404 api.not_found"},
			{"POST", "/gateway/counter/action/get" + q + "&rvt-key=f", `{"args":[]}`, json, "400 guard.query_duplicate_param"},
			{"POST", "/gateway/counter/action/get" + q + "&rvt-nothing=f", `{"args":[]}`, json, "400 guard.query_invalid_params"},
			{"POST", "/gateway/counter@t/action/get" + q, `{"args":[]}`, json, "400 guard.query_path_token_syntax"},
			{"POST", "/gateway/counter/action/get?rvt-namespace=default&rvt-method=get&rvt-input=AA", `{"args":[]}`, json, "400 guard.query_get_disallowed_params"},
			{"POST", "/gateway/counter/action/get" + q + "&rvt-input=%21", `{"args":[]}`, json, "400 guard.query_invalid_base64_input"},
			{"POST", "/gateway/counter/action/get" + q + "&rvt-input=gg", `{"args":[]}`, json, "400 guard.query_invalid_cbor_input"},
			{"POST", "/gateway/counter/action/get" + getOrCreate + strings.Repeat("k", 129), `{"args":[]}`, json, "400 actor.key_too_large"},
			{"POST", "/gateway/counter/queue/q" + q, "x", bare, "400 actor.invalid_request"},
			{"GET", "/gateway/counter/queue/q" + q, "", bare, "405 actor.method_not_allowed"},
			{"GET", "/gateway/counter/nothing" + q, "", nil, "404 api.not_found"},
			{"GET", "/gateway/counter/connect" + q, "", nil, "426 actor.invalid_request"},
			{"GET", "/gateway/", "", nil, "404 guard.invalid_path"},
			{"GET", "/gateway", "", nil, "404 api.not_found"},
			{"GET", "/request/x", "", header{"X-Rivet-Target": "actor", "X-Rivet-Actor": "x"}, "404 actor.not_found"},
			{"GET", "/request/x", "", nil, "404 api.not_found"},
		} {
			h := header{}
			for k, v := range c.header {
				h[k] = v
			}
			r := w.do(c.method, c.path, c.body, h)
			require.Equal(t, c.want, r.failure(), "%s %s %.40q", c.method, c.path, c.body)
			require.NotContains(t, r.body, "secret")
		}
	})
}

func TestRivetActors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type actor struct {
		ID       string `json:"actor_id"`
		Name     string `json:"name"`
		Key      string `json:"key"`
		CreateTS *int64 `json:"create_ts"`
		SleepTS  *int64 `json:"sleep_ts"`
	}
	type answer struct {
		Actor   actor   `json:"actor"`
		Actors  []actor `json:"actors"`
		Created bool    `json:"created"`
	}
	read := func(r reply) (a answer) {
		require.Equal(t, 200, r.status, r.body)
		require.NoError(t, json.Unmarshal([]byte(r.body), &a))
		return a
	}

	require.Empty(t, read(w.do("GET", "/actors?name=counter&key=a%5C%2Fb%2Fc&namespace=default", "")).Actors)
	got := read(w.do("PUT", "/actors?namespace=default", `{"name":"counter","key":"a\\/b/c","runner_name_selector":"default","crash_policy":"sleep","input":"GCk="}`))
	require.True(t, got.Created)
	require.Equal(t, idOf(1, "a/b", "c"), got.Actor.ID)
	require.Equal(t, "counter", got.Actor.Name)
	require.Equal(t, `a\/b/c`, got.Actor.Key)
	require.Equal(t, int64(1_700_000_000_123), *got.Actor.CreateTS)
	require.Nil(t, got.Actor.SleepTS)
	require.False(t, read(w.do("PUT", "/actors?namespace=default", `{"name":"counter","key":"a\\/b/c"}`)).Created)
	require.Equal(t, got.Actor, read(w.do("GET", "/actors?name=counter&key=a%5C%2Fb%2Fc&namespace=default", "")).Actors[0])
	require.Equal(t, got.Actor, read(w.do("GET", "/actors?actor_ids="+got.Actor.ID+"&namespace=default", "")).Actors[0])
	require.Empty(t, read(w.do("GET", "/actors?name=counter&key=a%5C%2Fb%2Fc&namespace=other", "")).Actors)
	require.JSONEq(t, `{"output":41}`, w.do("POST", "/gateway/"+got.Actor.ID+"/action/get", `{"args":[]}`).body)

	r := w.do("POST", "/actors?namespace=default", `{"name":"counter","key":"a\\/b/c"}`)
	require.Equal(t, "400 actor.duplicate_key", r.failure())
	require.Contains(t, r.body, `"existing_actor_id":"`+got.Actor.ID+`"`)
	require.Equal(t, idOf(1), read(w.do("POST", "/actors?namespace=default", `{"name":"counter","key":"/"}`)).Actor.ID)

	require.JSONEq(t, `{"output":["$Undefined",0]}`, w.do("POST", "/gateway/"+got.Actor.ID+"/action/destroy", `{"args":[]}`, header{"User-Agent": "RivetKit/2.3.19"}).body)
	require.Empty(t, read(w.do("GET", "/actors?actor_ids="+got.Actor.ID+",x&namespace=default", "")).Actors)
	require.Equal(t, idOf(2, "a/b", "c"), read(w.do("PUT", "/actors", `{"name":"counter","key":"a\\/b/c"}`)).Actor.ID)
	require.Equal(t, "404 actor.not_found", w.do("POST", "/gateway/"+got.Actor.ID+"/action/get", `{"args":[]}`).failure())

	for _, c := range []struct{ method, path, body, want string }{
		{"PUT", "/actors", "{", "400 actor.invalid_request"},
		{"PUT", "/actors", "", "400 actor.invalid_request"},
		{"PUT", "/actors", `{"name":"counter","key":"x","input":"!"}`, "400 actor.invalid_request"},
		{"PUT", "/actors", `{"name":"counter","key":"x","input":"gg=="}`, "400 actor.invalid_request"},
		{"PUT", "/actors", `{"name":"","key":"x"}`, "400 actor.invalid_request"},
		{"PUT", "/actors", `{"name":"nothing","key":"x"}`, "404 actor.kind_not_found"},
		{"POST", "/actors", `{"name":"nothing","key":"x"}`, "404 actor.kind_not_found"},
		{"PUT", "/actors", `{"name":"counter","key":"` + strings.Repeat("k", 200) + `"}`, "400 actor.key_too_large"},
		{"PUT", "/actors?namespace=" + strings.Repeat("n", 65), `{"name":"counter","key":"x"}`, "400 actor.invalid_request"},
		{"PUT", "/actors", strings.Repeat(" ", 6<<20), "400 message.incoming_too_long"},
		{"GET", "/actors", "", "400 actor.invalid_request"},
		{"GET", "/actors?actor_ids=" + strings.Repeat("x,", 40), "", "400 actor.invalid_request"},
		{"DELETE", "/actors", "", "405 actor.method_not_allowed"},
	} {
		r := w.do(c.method, c.path, c.body)
		require.Equal(t, c.want, r.failure(), "%s %s %.40q", c.method, c.path, c.body)
	}
}
