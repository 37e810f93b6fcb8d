package wire

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
)

// Invariants of every decoder, for all input:
//
//   - It does not panic, and its errors are *Error.
//   - What it returns is valid JSON in valid UTF-8, at most maxGrowth times as long as
//     the input (plus a constant).
//   - What it returns, written for the same client and read again, is the same.
const maxGrowth = 20

func checkDecoded(t *testing.T, in []byte, out json.RawMessage, err error) bool {
	t.Helper()
	if err != nil {
		var e *Error
		require.ErrorAs(t, err, &e)
		require.NotEmpty(t, e.Group)
		require.NotEmpty(t, e.Code)
		require.True(t, utf8.ValidString(e.Message), "%q", e.Message)
		return false
	}
	require.True(t, json.Valid(out), "%s", out)
	require.True(t, utf8.Valid(out), "%q", out)
	require.LessOrEqual(t, len(out), maxGrowth*len(in)+32)
	return true
}

// settle writes and reads text until it no longer changes: at the latest after the first
// time, which turns 1e3 into 1000, infinite numbers into null and so on.
func settle(t *testing.T, f Format, text []byte) json.RawMessage {
	t.Helper()
	first := rewrite(t, f, text)
	second := rewrite(t, f, first)
	require.Equal(t, string(first), string(second), "of %s", text)
	return first
}

func rewrite(t *testing.T, f Format, text []byte) json.RawMessage {
	t.Helper()
	item, err := AppendValue(nil, f, text)
	require.NoError(t, err, "%s", text)
	if f.Encoding != JSON {
		require.NoError(t, cbor.Wellformed(item), "%x of %s", item, text)
	}
	back, err := DecodeValue(f, item)
	// Native typed arrays, dates and so on have become JSON: nothing is left that could fail, but for
	// keys that differ only in surrogates that UTF-8 cannot carry.
	if lower := bytes.ToLower(text); err != nil && bytes.Contains(lower, []byte(`\ud`)) {
		t.Skip("lone surrogates")
	}
	require.NoError(t, err, "%s of %s", item, text)
	return back
}

func FuzzDecodeValue(f *testing.F) {
	for _, fr := range transcript(f) {
		if fr.f.Encoding == CBOR {
			f.Add(fr.data)
		} else if fr.f.Encoding == BARE && len(fr.data) > 3 {
			f.Add(fr.data[3:])
		}
	}
	for _, seed := range []string{"\xf7", "\xd9\x01\x02\x81\x01", "\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\xd8\x45\x44\x01\x00\x00\x01", "\x9f\x7f\x61$\xff\x01\xff", "\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []Format{bare4, cbor4, bare2} {
			out, err := DecodeValue(format, data)
			if !checkDecoded(t, data, out, err) {
				continue
			}
			// Another library agrees that this is CBOR.
			require.NoError(t, cbor.Wellformed(data), "%x", data)
			if format != cbor4 { // which is written with tags and read without
				settle(t, format, out)
			}
			// Older clients have no way to tell -0 from 0 in keys, but every value comes back.
			if format == bare2 {
				again := rewrite(t, format, out)
				require.Equal(t, string(out), string(again))
			}
		}
	})
}

func FuzzAppendValue(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0,1.5e300,"\ud83d\ude00\n"],"b":{"c":null}}`, `["$BigInt","5"]`, `["$Set",["$a",1]]`, `["$$x",["$Undefined",0]]`, `["\u0024a",1]`,
		`["$Uint8Array","AQI="]`, `["$Set",[["$Set",[1,2]],3]]`, ` [ 1 , { } ] `, `1e999`, `9007199254740993`,
	} {
		f.Add([]byte(seed))
	}
	for _, fr := range transcript(f) {
		if fr.f.Encoding == JSON {
			f.Add(fr.data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		normal, err := NormalizeJSON(text)
		checkDecoded(t, text, normal, err)
		if err == nil {
			require.True(t, json.Valid(text))
			require.LessOrEqual(t, len(normal), len(text))
		} else if json.Valid(text) && utf8.Valid(text) && !strings.Contains(err.Error(), "nested deeper") {
			require.ErrorContains(t, err, "duplicate key", "the standard library finds nothing else wrong")
		}
		escaped, err2 := EscapeJSON(text)
		require.Equal(t, err == nil, err2 == nil)
		for _, format := range []Format{bare4, bare2, cbor4, json4, {Version: 3}, {}, {Encoding: CBOR}} {
			item, err3 := AppendValue(nil, format, text)
			if err == nil {
				require.NoError(t, err3)
				require.LessOrEqual(t, len(item), 3*len(text)+16)
			}
			if err3 != nil {
				require.Empty(t, item)
			}
		}
		if err != nil {
			return
		}
		plain := !bytes.ContainsAny(text, `$\`)
		for _, format := range []Format{bare4, bare2} {
			back := settle(t, format, normal)
			if !plain {
				continue
			}
			var want, got any
			if json.Unmarshal(text, &want) == nil { // fails for 1e999
				require.NoError(t, json.Unmarshal(back, &got))
				require.True(t, reflect.DeepEqual(want, got), "%s\n%s", text, back)
			}
		}
		// Escaped text says to every client exactly what the text says to who knows no tags.
		if !bytes.ContainsAny(text, `\`) {
			item, err := AppendValue(nil, bare2, escaped)
			require.NoError(t, err)
			raw := cborReader{src: item, tags: true}
			require.NoError(t, raw.whole())
			require.Equal(t, string(rewriteNumbers(t, normal)), string(raw.dst))
		}
	})
}

// rewriteNumbers writes numbers as a round trip through CBOR does, and nothing else.
func rewriteNumbers(t *testing.T, text []byte) []byte {
	r := jsonReader{src: text, cbor: true, tags: tagsStore}
	require.NoError(t, r.whole(noList))
	back := cborReader{src: r.dst, tags: true}
	require.NoError(t, back.whole())
	return back.dst
}

func FuzzDecodeActionRequest(f *testing.F) {
	for _, fr := range transcript(f) {
		if fr.kind == "action>" {
			f.Add(uint8(fr.f.Encoding), fr.data)
		}
	}
	f.Add(uint8(JSON), []byte(`{"args":["$$a",5]}`))
	f.Add(uint8(JSON), []byte(`{"args":null}`))
	f.Fuzz(func(t *testing.T, enc uint8, data []byte) {
		req, answer, err := DecodeActionRequest(Format{Encoding: Encoding(enc % 3)}, data)
		if !checkDecoded(t, data, append(json.RawMessage("[]"), req.Args...)[min(2, 2*len(req.Args)):], err) {
			require.Zero(t, req)
			return
		}
		checkArgs(t, answer, req.Args)
	})
}

// checkArgs: a list of arguments survives its way to a client as an event's.
func checkArgs(t *testing.T, f Format, args json.RawMessage) {
	t.Helper()
	require.Equal(t, byte('['), args[0])
	for _, format := range []Format{f, bare4, cbor4, json4, bare2} {
		_, err := AppendEvent(nil, format, "e", args)
		require.NoError(t, err, "%s", args)
	}
	if bytes.ContainsRune(args, '\\') {
		return // lone surrogates
	}
	item, err := appendArgs(nil, bare4, args)
	require.NoError(t, err)
	text, err := DecodeValue(bare4, item)
	require.NoError(t, err)
	item, err = appendArgs(nil, bare4, argsList(text))
	require.NoError(t, err)
	again, err := DecodeValue(bare4, item)
	require.NoError(t, err)
	require.Equal(t, string(text), string(again))
}

func FuzzDecodeQueueRequest(f *testing.F) {
	for _, fr := range transcript(f) {
		if fr.kind == "queue>" {
			f.Add(uint8(fr.f.Encoding), fr.data)
		}
	}
	f.Fuzz(func(t *testing.T, enc uint8, data []byte) {
		req, _, err := DecodeQueueRequest(Format{Encoding: Encoding(enc % 3)}, data)
		body := req.Body
		if len(body) == 0 {
			body = json.RawMessage("null")
		}
		if !checkDecoded(t, data, body, err) {
			require.Zero(t, req)
			return
		}
		require.True(t, utf8.ValidString(req.Name))
	})
}

func FuzzDecodeClientMessage(f *testing.F) {
	for _, fr := range transcript(f) {
		if fr.kind == "ws>" {
			f.Add(uint8(fr.f.Encoding), fr.data)
		}
	}
	f.Add(uint8(JSON), []byte(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","1"],"name":"x","args":[],"idempotencyKey":"k"}}}`))
	f.Fuzz(func(t *testing.T, enc uint8, data []byte) {
		format := Format{Encoding: Encoding(enc % 3)}
		msg, next, err := DecodeClientMessage(format, data)
		args := msg.Args
		if len(args) == 0 {
			args = json.RawMessage("[]")
		}
		if !checkDecoded(t, data, args, err) {
			require.Zero(t, msg)
			return
		}
		require.True(t, utf8.ValidString(msg.Name))
		require.True(t, utf8.ValidString(msg.IdempotencyKey))
		require.Equal(t, format.Encoding, next.Encoding)
		require.LessOrEqual(t, next.Version, uint16(4))
		if msg.Kind == MessageAction {
			checkArgs(t, next, args)
		}
		// The answers that echo parts of it are read back as what was written.
		id := msg.ID
		e := &Error{Group: "g", Code: msg.Name, Message: msg.Name, Metadata: args}
		frame := AppendErrorFrame(nil, json4, e, &id, &ActorRef{ID: msg.Name, Generation: id, Key: msg.Name})
		require.True(t, json.Valid(frame), "%s", frame)
		require.NoError(t, cbor.Wellformed(AppendErrorFrame(nil, cbor4, e, &id, &ActorRef{ID: msg.Name})))
		bare := AppendErrorFrame(nil, bare4, e, &id, nil)
		r := bareReader{src: bare, pos: 3}
		require.Equal(t, "g", r.str())
		require.Equal(t, msg.Name, r.str())
		require.Equal(t, msg.Name, r.str())
		if r.boolean() {
			require.NoError(t, cbor.Wellformed(r.data()))
		}
		require.True(t, r.boolean())
		require.Equal(t, id, r.uint())
		require.False(t, r.boolean())
		require.NoError(t, r.end())
	})
}

func FuzzParseGatewayPath(f *testing.F) {
	f.Add("/gateway/counter/action/increment", "rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=c%2Cmwrj6c53&rvt-crash-policy=sleep")
	f.Add("/gateway/a@t/request/x", "a=1&rvt-method=get")
	f.Add("/gateway/a%20b/websocket/", "x&&rvt-namespace=n&rvt-method=getOrCreate&rvt-input=uQACZXN0YXJ0B2N3aG9ibWU&y")
	f.Fuzz(func(t *testing.T, path, query string) {
		r, err := ParseGatewayPath(path, query)
		if err != nil {
			checkDecoded(t, nil, nil, err)
			require.Zero(t, r)
			return
		}
		require.True(t, IsGatewayPath(path))
		require.True(t, strings.HasSuffix(path, r.TailPath))
		require.LessOrEqual(t, len(r.Query), len(query))
		require.True(t, strings.HasPrefix(r.UserPath(), "/") || r.Tail == TailNone)
		if r.ByID {
			require.NotEmpty(t, r.ActorID)
			require.Equal(t, query, r.Query)
		} else {
			require.NotEmpty(t, r.Name)
			require.NoError(t, r.Key.Validate())
			for part := range strings.SplitSeq(r.Query, "&") {
				require.False(t, strings.HasPrefix(part, "rvt-"), "%q", r.Query)
			}
		}
		if len(r.Input) > 0 {
			checkDecoded(t, []byte(query), r.Input, nil)
		}
	})
}

func FuzzParseSubprotocols(f *testing.F) {
	f.Add("rivet,rivet_encoding.bare,rivet_conn_params.%7B%22tok%22%3A%22a%20b%22%7D")
	f.Add("rivet, rivet_encoding.json, rivet_target.actor, actorlog_idempotency_key.%41")
	f.Fuzz(func(t *testing.T, header string) {
		p, err := ParseSubprotocols([]string{header})
		if err != nil {
			checkDecoded(t, nil, nil, err)
		}
		if len(p.ConnParams) > 0 {
			checkDecoded(t, []byte(header), p.ConnParams, nil)
		}
		params, err := DecodeConnParams(header)
		if err != nil || len(params) > 0 {
			checkDecoded(t, []byte(header), params, err)
		}
	})
}

func FuzzDecodeActorsRequest(f *testing.F) {
	f.Add([]byte(`{"name":"counter","runner_name_selector":"default","key":"created/mwrj4b7d","input":"uQABZXN0YXJ0GCk=","crash_policy":"sleep"}`), "name=counter&key=missing%2Fmwrj4b7d&namespace=default")
	f.Add([]byte(`{"name":"a","key":"\\0/\\\\"}`), "actor_ids=a,b")
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		req, err := DecodeActorsRequest(Format{}, body)
		if err != nil {
			checkDecoded(t, body, nil, err)
			require.Zero(t, req)
		} else {
			require.NotEmpty(t, req.Name)
			if len(req.Input) > 0 {
				checkDecoded(t, body, req.Input, nil)
			}
			require.True(t, json.Valid(AppendActor(nil, &Actor{ID: req.Name, Name: req.Name, Key: req.Key})))
		}
		if _, err := ParseActorsQuery(query); err != nil {
			checkDecoded(t, nil, nil, err)
		}
	})
}
