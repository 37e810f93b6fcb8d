package wire

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bytesOf reads the notation of RIVET-PROTOCOL.md section 6: hex digits, "quoted text",
// and "|" and spaces for the eye.
func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(text, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "", "\n", "", "\t", "").Replace(part))
		require.NoError(t, err, text)
		out = append(out, b...)
	}
	return out
}

var (
	bare2 = Format{Encoding: BARE, Version: 2}
	bare4 = Format{Encoding: BARE, Version: 4}
	cbor4 = Format{Encoding: CBOR, Version: 4}
	json4 = Format{Encoding: JSON, Version: 4}
)

// errorOf requires a typed error and returns its "group.code".
func errorOf(t testing.TB, err error) string {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	return e.Group + "." + e.Code
}

// The worked examples of RIVET-PROTOCOL.md section 6, byte for byte.
func TestExamples(t *testing.T) {
	t.Parallel()
	const (
		id   = "t1ckwfoppg4ot8put955xvsds4cl00"
		conn = "cdec7630-848f-4432-87e7-db7c33ad1e1a"
	)
	actor := &ActorRef{ID: id, Generation: 1, Key: "c/mwrj6c53"}
	notAllowed := &Error{Group: "user", Code: "not_allowed", Message: "You shall not pass", Metadata: json.RawMessage(`{"level":3,"why":"because"}`)}

	t.Run("action requests", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct {
			name   string
			f      Format
			body   []byte
			args   string
			answer Format
		}{
			{"6.1 one argument", Format{Encoding: BARE}, bytesOf(t, `04 00 | 02 | 81 05`), `[5]`, bare4},
			{"6.1 no arguments", Format{Encoding: BARE}, bytesOf(t, `04 00 01 80`), `[]`, bare4},
			{"6.1 version 2", Format{Encoding: BARE}, bytesOf(t, `02 00 | 02 | 81 05`), `[5]`, bare2},
			{"6.2 json", Format{}, []byte(`{"args":[5]}`), `[5]`, Format{}},
			{"6.2 json, none", json4, []byte(`{"args":[]}`), `[]`, json4},
			{"6.2 cbor", cbor4, bytesOf(t, `b9 00 01 64 61726773 81 05`), `[5]`, cbor4},
		} {
			req, answer, err := DecodeActionRequest(tt.f, tt.body)
			require.NoError(t, err, tt.name)
			require.Equal(t, tt.args, string(req.Args), tt.name)
			require.Equal(t, tt.answer, answer, tt.name)
		}
	})

	t.Run("action responses", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct {
			name   string
			f      Format
			output string
			want   []byte
		}{
			{"6.1 number", bare4, `5`, bytesOf(t, `04 00 | 01 | 05`)},
			{"6.1 void, portable", bare4, ``, bytesOf(t, `04 00 01 f7`)},
			{"6.1 void, as the real server", bare4, `["$Undefined",0]`, bytesOf(t, `04 00 0d 82 6a 24 55 6e 64 65 66 69 6e 65 64 00`)},
			{"6.1 null", bare4, `null`, bytesOf(t, `04 00 01 f6`)},
			{"6.1 bytes", bare4, `["$Uint8Array","AQID"]`, bytesOf(t, `04 00 12 82 6b "$Uint8Array" 64 "AQID"`)},
			{"6.1 large integers", bare4, `[4294967296,9007199254740991]`, bytesOf(t, `04 00 13 82 fb 41f0000000000000 fb 433fffffffffffff`)},
			{"6.2 json", json4, `5`, []byte(`{"output":5}`)},
			{"6.2 json void", json4, ``, []byte(`{"output":["$Undefined",0]}`)},
			{"6.2 json void, client before 2.3", Format{Encoding: JSON, Version: 3}, ``, []byte(`{"output":null}`)},
			{"6.2 json void, client not known", Format{}, ``, []byte(`{"output":null}`)},
			{"6.2 cbor", cbor4, `5`, bytesOf(t, `a1 66 6f7574707574 05`)},
			{"6.2 cbor void", cbor4, ``, bytesOf(t, `a1 66 6f7574707574 f7`)},
		} {
			got, err := AppendActionResponse(nil, tt.f, []byte(tt.output))
			require.NoError(t, err, tt.name)
			require.Equal(t, tt.want, got, tt.name)
		}
	})

	t.Run("values of 6.1 from the client", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct{ cbor, json string }{
			{`b9 00 01 65 73 74 61 72 74 18 29`, `{"start":41}`},
			{`c1 1a 00000000`, `"1970-01-01T00:00:00.000Z"`},
			{`d9 0103 a1 61 6b 01`, `{"k":1}`},
			{`82 fb 41f0000000000000 fb 433fffffffffffff`, `[4294967296,9007199254740991]`},
			{`82 6a "$Undefined" 00`, `["$Undefined",0]`},
		} {
			got, err := DecodeValue(bare4, bytesOf(t, tt.cbor))
			require.NoError(t, err)
			require.Equal(t, tt.json, string(got))
		}
	})

	t.Run("6.3 error bodies", func(t *testing.T) {
		t.Parallel()
		require.Equal(t,
			`{"actor":{"actorId":"`+id+`","generation":1,"key":"c/mwrj6c53"},"code":"not_allowed","group":"user","message":"You shall not pass","metadata":{"level":3,"why":"because"}}`,
			string(AppendErrorBody(nil, json4, notAllowed, actor)))
		fields := `04 75736572 | 0b 6e6f745f616c6c6f776564 | 12 596f75207368616c6c206e6f742070617373 | 01 14 a2656c6576656c03637768796762656361757365`
		require.Equal(t,
			bytesOf(t, `04 00 | `+fields+` | 01 1e "`+id+`" 01 01 0a 632f6d77726a36633533`),
			AppendErrorBody(nil, bare4, notAllowed, actor))
		require.Equal(t, bytesOf(t, `02 00 | `+fields), AppendErrorBody(nil, bare2, notAllowed, actor),
			"before version 4 there is no actor")
	})

	t.Run("6.4 gateway error", func(t *testing.T) {
		t.Parallel()
		e := &Error{Group: "actor", Code: "not_found", Message: "The actor does not exist or was destroyed."}
		require.JSONEq(t, `{"group":"actor","code":"not_found","message":"The actor does not exist or was destroyed."}`,
			string(AppendErrorBody(nil, Format{}, e, nil)))
		require.Equal(t, 404, Status(e.Group, e.Code))
	})

	t.Run("6.5 queue", func(t *testing.T) {
		t.Parallel()
		req, answer, err := DecodeQueueRequest(Format{Encoding: BARE},
			bytesOf(t, `04 00 | 06 b9000161 6e 02 | 01 05 7461736b73 | 01 01 | 01 a00f000000000000`))
		require.NoError(t, err)
		require.Equal(t, QueueRequest{Body: json.RawMessage(`{"n":2}`), Name: "tasks", Wait: true, TimeoutMS: 4000, HasTimeout: true}, req)

		got, err := AppendQueueResponse(nil, answer, "completed", []byte(`{"ok":"yes"}`))
		require.NoError(t, err)
		// cbor-x writes a map head of 16 bits, b90001; we write the shortest.
		require.Equal(t, bytesOf(t, `04 00 | 09 636f6d706c65746564 | 01 08 a1626f6b63796573`), got)

		req, _, err = DecodeQueueRequest(Format{Encoding: BARE}, bytesOf(t, `04 00 | 06 b9000161 6e 02 | 01 04 66697265 | 01 00 | 00`))
		require.NoError(t, err)
		require.Equal(t, QueueRequest{Body: json.RawMessage(`{"n":2}`), Name: "fire"}, req)

		got, err = AppendQueueResponse(nil, bare4, "completed", nil)
		require.NoError(t, err)
		require.Equal(t, bytesOf(t, `04 00 09 "completed" 00`), got)
		got, err = AppendQueueResponse(nil, bare4, "timedOut", nil)
		require.NoError(t, err)
		require.Equal(t, bytesOf(t, `04 00 | 08 74696d65644f7574 | 00`), got)
	})

	t.Run("6.6 and 6.7 connection", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, `{"body":{"tag":"Init","val":{"actorId":"`+id+`","connectionId":"`+conn+`"}}}`, string(AppendInit(nil, json4, id, conn)))
		require.Equal(t, bytesOf(t, `04 00 | 00 | 1e "`+id+`" | 24 "`+conn+`"`), AppendInit(nil, bare4, id, conn))
		require.Equal(t, bytesOf(t, `02 00 | 00 | 1e "`+id+`" | 24 "`+conn+`"`), AppendInit(nil, Format{Encoding: BARE}, id, conn))

		for _, tt := range []struct {
			f    Format
			data []byte
			want ClientMessage
		}{
			{json4, []byte(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"newCount","subscribe":true}}}`),
				ClientMessage{Kind: MessageSubscription, Name: "newCount", Subscribe: true}},
			{json4, []byte(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","0"],"name":"increment","args":[10]}}}`),
				ClientMessage{Kind: MessageAction, Name: "increment", Args: json.RawMessage(`[10]`)}},
			{bare4, bytesOf(t, `04 00 | 01 | 08 6e6577436f756e74 | 01`),
				ClientMessage{Kind: MessageSubscription, Name: "newCount", Subscribe: true}},
			{bare4, bytesOf(t, `04 00 | 01 | 05 6f74686572 | 00`),
				ClientMessage{Kind: MessageSubscription, Name: "other"}},
			{bare4, bytesOf(t, `04 00 | 00 | 00 | 09 696e6372656d656e74 | 02 81 0a`),
				ClientMessage{Kind: MessageAction, Name: "increment", Args: json.RawMessage(`[10]`)}},
			{bare4, bytesOf(t, `04 00 | 00 | 02 | 04 626f6f6d | 01 80`),
				ClientMessage{Kind: MessageAction, ID: 2, Name: "boom", Args: json.RawMessage(`[]`)}},
			{cbor4, bytesOf(t, `b90001 64"body" b90002 63"tag" 6d"ActionRequest" 63"val" b90003 62"id" 1b0000000000000000 64"name" 69"increment" 64"args" 81 0a`),
				ClientMessage{Kind: MessageAction, Name: "increment", Args: json.RawMessage(`[10]`)}},
		} {
			msg, next, err := DecodeClientMessage(tt.f, tt.data)
			require.NoError(t, err)
			require.Equal(t, tt.want, msg)
			require.Equal(t, tt.f, next)
		}

		got, err := AppendEvent(nil, json4, "newCount", []byte(`[17]`))
		require.NoError(t, err)
		require.Equal(t, `{"body":{"tag":"Event","val":{"args":[17],"name":"newCount"}}}`, string(got))
		got, err = AppendEvent(nil, bare4, "newCount", []byte(`[17]`))
		require.NoError(t, err)
		require.Equal(t, bytesOf(t, `04 00 | 03 | 08 6e6577436f756e74 | 02 81 11`), got)

		got, err = AppendActionResult(nil, json4, 0, []byte(`17`))
		require.NoError(t, err)
		require.Equal(t, `{"body":{"tag":"ActionResponse","val":{"id":["$BigInt","0"],"output":17}}}`, string(got))
		got, err = AppendActionResult(nil, bare4, 0, []byte(`17`))
		require.NoError(t, err)
		require.Equal(t, bytesOf(t, `04 00 | 02 | 00 | 01 11`), got)

		one, two, eight := uint64(1), uint64(2), uint64(8)
		require.Equal(t,
			`{"body":{"tag":"Error","val":{"actionId":["$BigInt","1"],"actor":{"actorId":"`+id+`","generation":1,"key":"c/mwrj6c53"},"code":"not_allowed","group":"user","message":"You shall not pass","metadata":{"level":3,"why":"because"}}}}`,
			string(AppendErrorFrame(nil, json4, notAllowed, &one, actor)))
		internal := &Error{Group: "rivetkit", Code: "internal_error", Message: "An internal error occurred"}
		require.Equal(t,
			bytesOf(t, `04 00 | 01 | 08 "rivetkit" | 0e "internal_error" | 1a "An internal error occurred" | 00 | 01 02 | 01 1e "`+id+`" 01 01 0a "c/mwrj6c53"`),
			AppendErrorFrame(nil, bare4, internal, &two, actor))
		tooLong := &Error{Group: "message", Code: "outgoing_too_long", Message: "Outgoing message too long"}
		require.Equal(t,
			bytesOf(t, `04 00 | 01 | 07 "message" | 11 "outgoing_too_long" | 19 "Outgoing message too long" | 00 | 01 08 | 00`),
			AppendErrorFrame(nil, bare4, tooLong, &eight, nil))
	})

	t.Run("6.8 rejected connection", func(t *testing.T) {
		t.Parallel()
		e := &Error{Group: "user", Code: "rejected", Message: "go away", Metadata: json.RawMessage(`{"a":1}`)}
		require.Equal(t, `{"body":{"tag":"Error","val":{"actionId":null,"code":"rejected","group":"user","message":"go away","metadata":{"a":1}}}}`,
			string(AppendErrorFrame(nil, json4, e, nil, nil)))
		require.Equal(t, bytesOf(t, `04 00 01 04 "user" 08 "rejected" 07 "go away" 01 04 a1616101 00 00`), AppendErrorFrame(nil, bare4, e, nil, nil))
		require.Equal(t, "user.rejected", CloseReason(e.Group, e.Code, ""))
	})

	t.Run("6.9 refused by the gateway", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "actor.not_found#piq76092el11ewohydot9or6elcl00", CloseReason("actor", "not_found", "piq76092el11ewohydot9or6elcl00"))
	})

	t.Run("6.10 create and resolve", func(t *testing.T) {
		t.Parallel()
		req, err := DecodeActorsRequest(Format{}, []byte(`{"name":"counter","runner_name_selector":"default","key":"created/mwrj4b7d","input":"uQABZXN0YXJ0GCk=","crash_policy":"sleep"}`))
		require.NoError(t, err)
		require.Equal(t, ActorsRequest{Name: "counter", Key: []string{"created", "mwrj4b7d"}, Input: json.RawMessage(`{"start":41}`), Pool: "default", CrashPolicy: "sleep"}, req)
		require.Equal(t,
			`{"actor":{"actor_id":"d9fj","name":"counter","key":"created/mwrj4b7d","namespace_id":"1s9a","datacenter":"default","runner_name_selector":"default","crash_policy":"sleep","create_ts":1795333348443,"start_ts":null,"pending_allocation_ts":null,"connectable_ts":null,"sleep_ts":null,"reschedule_ts":null,"destroy_ts":null}}`,
			string(AppendActor(nil, &Actor{ID: "d9fj", Name: "counter", Key: req.Key, Namespace: "1s9a", CreateTS: 1795333348443})))
		require.Equal(t, `{"actors":[],"pagination":{"cursor":null}}`, string(AppendActorList(nil, nil)))

		q, err := ParseActorsQuery("name=counter&key=missing%2Fmwrj4b7d&namespace=default")
		require.NoError(t, err)
		require.Equal(t, ActorsQuery{Namespace: "default", Name: "counter", HasName: true, Key: []string{"missing", "mwrj4b7d"}}, q)

		r, err := ParseGatewayPath("/gateway/counter/action/getCount", "rvt-namespace=default&rvt-method=getOrCreate&rvt-input=uQACZXN0YXJ0B2N3aG9ibWU&rvt-token=tok%2F1")
		require.NoError(t, err)
		require.Equal(t, `{"start":7,"who":"me"}`, string(r.Input))
		require.Equal(t, "tok/1", r.Token)
		r, err = ParseGatewayPath("/gateway/xocb@tok%2F1/action/getCount", "")
		require.NoError(t, err)
		require.Equal(t, "xocb", r.ActorID)
		require.Equal(t, "tok/1", r.Token)
	})

	t.Run("6.11 raw", func(t *testing.T) {
		t.Parallel()
		r, err := ParseGatewayPath("/gateway/raw/request/echo", "x=1&y=a%20b&rvt-namespace=default&rvt-method=getOrCreate&rvt-key=r%2Cmwrj78zv")
		require.NoError(t, err)
		require.Equal(t, TailRequest, r.Tail)
		require.Equal(t, "/echo", r.UserPath())
		require.Equal(t, "x=1&y=a%20b", r.Query)

		p, err := ParseSubprotocols([]string{"rivet,rivet_encoding.bare,rivet_conn_params.%7B%22tok%22%3A%22a%20b%22%7D"})
		require.NoError(t, err)
		require.Equal(t, Subprotocols{Rivet: true, Encoding: BARE, EncodingKnown: true, ConnParams: json.RawMessage(`{"tok":"a b"}`)}, p)
	})
}

// frame is one message of testdata/transcript.txt: conversations of rivetkit 2.3.19
// with the real engine, one message a line: encoding, kind and direction, bytes.
type frame struct {
	f    Format
	kind string
	data []byte
}

func transcript(t testing.TB) []frame {
	t.Helper()
	text, err := os.ReadFile("testdata/transcript.txt")
	require.NoError(t, err)
	var frames []frame
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		enc, known := ParseEncoding(parts[0])
		require.True(t, known, line)
		data := []byte(parts[2])
		if enc != JSON || data[0] != '{' {
			data, err = hex.DecodeString(parts[2])
			require.NoError(t, err, line)
		}
		if len(data) > 1 && data[0] == 4 && data[1] == 0 {
			enc = BARE // some calls were made with a second client, of the default encoding
		}
		frames = append(frames, frame{Format{Encoding: enc, Version: 4}, parts[1], data})
	}
	return frames
}

// Everything that the published client ever said is understood.
func TestTranscript(t *testing.T) {
	t.Parallel()
	n := map[string]int{}
	for _, fr := range transcript(t) {
		n[fr.kind]++
		switch fr.kind {
		case "action>":
			req, answer, err := DecodeActionRequest(fr.f, fr.data)
			require.NoError(t, err, "%x", fr.data)
			require.Equal(t, fr.f, answer)
			require.True(t, json.Valid(req.Args), "%s", req.Args)
		case "queue>":
			_, _, err := DecodeQueueRequest(fr.f, fr.data)
			require.NoError(t, err, "%x", fr.data)
		case "ws>":
			msg, _, err := DecodeClientMessage(fr.f, fr.data)
			require.NoError(t, err, "%x", fr.data)
			require.NotEmpty(t, msg.Name)
		}
	}
	require.Greater(t, n["action>"], 20)
	require.Greater(t, n["ws>"], 30)
}

// Everything that the real server ever said in BARE is what we would say, but for map
// heads (its were made by cbor-x or by Rust, ours are the shortest): so values are read and
// written once before the comparison.
func TestTranscriptOfServer(t *testing.T) {
	t.Parallel()
	n := 0
	for _, fr := range transcript(t) {
		if fr.f.Encoding != BARE {
			continue
		}
		switch fr.kind {
		case "action<", "error<", "ws<":
			want, got := rewriteBARE(t, fr)
			require.Equal(t, want, got, "%s %x", fr.kind, fr.data)
			n++
		}
	}
	require.Greater(t, n, 50)
}

// rewriteBARE reads a message of the real server with a reader of its own and writes it again.
func rewriteBARE(t *testing.T, fr frame) (want, got []byte) {
	r := bareReader{src: fr.data, pos: 2}
	// value reads a CBOR value; want gets it in the shortest form.
	want = append(want, fr.data[:2]...)
	copied := 2
	value := func() json.RawMessage {
		start := r.pos
		text, err := DecodeValue(fr.f, r.data())
		require.NoError(t, err)
		if string(text) == `["$Undefined",0]` {
			text = nil
		}
		item, err := appendOutput(nil, fr.f, text)
		require.NoError(t, err)
		want = append(want, fr.data[copied:start]...)
		want = append(binary.AppendUvarint(want, uint64(len(item))), item...)
		copied = r.pos
		return text
	}
	optActor := func() *ActorRef {
		if !r.boolean() {
			return nil
		}
		a := &ActorRef{ID: r.str(), Generation: r.uint()}
		if r.boolean() {
			a.Key = r.str()
		}
		return a
	}
	readError := func() *Error {
		e := &Error{Group: r.str(), Code: r.str(), Message: r.str()}
		if r.boolean() {
			e.Metadata = value()
		}
		return e
	}
	var err error
	switch fr.kind {
	case "action<":
		got, err = AppendActionResponse(nil, fr.f, value())
	case "error<":
		e := readError()
		got = AppendErrorBody(nil, fr.f, e, optActor())
	case "ws<":
		switch r.uint() {
		case toClientInit:
			got = AppendInit(nil, fr.f, r.str(), r.str())
		case toClientError:
			e := readError()
			var id *uint64
			if r.boolean() {
				n := r.uint()
				id = &n
			}
			got = AppendErrorFrame(nil, fr.f, e, id, optActor())
		case toClientResult:
			id := r.uint()
			got, err = AppendActionResult(nil, fr.f, id, value())
		case toClientEvent:
			name := r.str()
			got, err = AppendEvent(nil, fr.f, name, argsList(value()))
		}
	}
	require.NoError(t, err)
	require.NoError(t, r.end())
	return append(want, fr.data[copied:]...), got
}

func TestClientMessageErrors(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	for _, tt := range []struct {
		name string
		f    Format
		data []byte
	}{
		{"empty json", json4, nil},
		{"no object", json4, []byte(`[]`)},
		{"no body", json4, []byte(`{}`)},
		{"no val", json4, []byte(`{"body":{"tag":"ActionRequest"}}`)},
		{"unknown tag", json4, []byte(`{"body":{"tag":"Nope","val":{}}}`)},
		{"no id", json4, []byte(`{"body":{"tag":"ActionRequest","val":{"name":"a","args":[]}}}`)},
		{"id is text", json4, []byte(`{"body":{"tag":"ActionRequest","val":{"id":"1","name":"a","args":[]}}}`)},
		{"id negative", json4, []byte(`{"body":{"tag":"ActionRequest","val":{"id":-1,"name":"a","args":[]}}}`)},
		{"id too big", json4, []byte(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","18446744073709551616"],"name":"a","args":[]}}}`)},
		{"duplicate key", json4, []byte(`{"body":{"tag":"ActionRequest","val":{"id":1,"name":"a","name":"b","args":[]}}}`)},
		{"duplicate key behind an escape", json4, []byte(`{"body":{"tag":"ActionRequest","val":{"id":1,"name":"a","n\u0061me":"b","args":[]}}}`)},
		{"duplicate key in a value", json4, []byte(`{"body":{"tag":"ActionRequest","val":{"id":1,"name":"a","args":[{"x":1,"x":2}]}}}`)},
		{"invalid UTF-8", json4, []byte("{\"body\":{\"tag\":\"ActionRequest\",\"val\":{\"id\":1,\"name\":\"\xff\",\"args\":[]}}}")},
		{"text after the end", json4, []byte(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"a","subscribe":true}}}x`)},
		{"too deep", json4, []byte(`{"body":{"tag":"ActionRequest","val":{"id":1,"name":"a","args":` + deep + `}}}`)},
		{"subscribe is a number", json4, []byte(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"a","subscribe":1}}}`)},
		{"bare without version", bare4, []byte{4}},
		{"bare version 0", bare4, bytesOf(t, `00 00 01 01 "a" 01`)},
		{"bare version 5", bare4, bytesOf(t, `05 00 01 01 "a" 01`)},
		{"bare unknown message", bare4, bytesOf(t, `04 00 02`)},
		{"bare truncated", bare4, bytesOf(t, `04 00 01 05 "a"`)},
		{"bare bool 2", bare4, bytesOf(t, `04 00 01 01 "a" 02`)},
		{"bare trailing", bare4, bytesOf(t, `04 00 01 01 "a" 01 00`)},
		{"bare huge length", bare4, bytesOf(t, `04 00 00 00 ff ff ff ff ff ff ff ff 7f`)},
		{"bare uint overflow", bare4, bytesOf(t, `04 00 00 ff ff ff ff ff ff ff ff ff ff ff`)},
		{"bare invalid UTF-8", bare4, bytesOf(t, `04 00 01 01 ff 01`)},
		{"bare args with bytes after them", bare4, bytesOf(t, `04 00 00 00 01 "a" 02 80 80`)},
		{"json text to a bare client", bare4, []byte(`{"body":{}}`)},
		{"cbor trailing", cbor4, bytesOf(t, `a0 a0`)},
		{"cbor truncated", cbor4, bytesOf(t, `a1 64 "bod"`)},
	} {
		msg, _, err := DecodeClientMessage(tt.f, tt.data)
		require.Error(t, err, tt.name)
		require.Equal(t, "actor.invalid_request", errorOf(t, err), tt.name)
		require.Zero(t, msg, tt.name)
	}
}

func TestClientMessageExtras(t *testing.T) {
	t.Parallel()
	msg, _, err := DecodeClientMessage(json4, []byte(`{"body":{"val":{"args":null,"idempotencyKey":"k1","name":"a","id":7,"future":{}},"tag":"ActionRequest"},"x":1}`))
	require.NoError(t, err)
	require.Equal(t, ClientMessage{Kind: MessageAction, ID: 7, Name: "a", Args: json.RawMessage(`[]`), IdempotencyKey: "k1"}, msg)

	// A client that announces its version gets the layouts of that version from then on.
	_, next, err := DecodeClientMessage(Format{Encoding: BARE}, bytesOf(t, `04 00 01 01 "a" 01`))
	require.NoError(t, err)
	require.Equal(t, bare4, next)
	e := &Error{Group: "user", Code: "no", Message: "no"}
	actor := &ActorRef{ID: "i", Generation: 3}
	require.Equal(t, bytesOf(t, `02 00 01 04 "user" 02 "no" 02 "no" 00 00`), AppendErrorFrame(nil, Format{Encoding: BARE}, e, nil, actor))
	require.Equal(t, bytesOf(t, `04 00 01 04 "user" 02 "no" 02 "no" 00 00 01 01 "i" 03 00`), AppendErrorFrame(nil, next, e, nil, actor))
}

func TestActionRequestArgs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ body, args string }{
		{`{"args":null}`, `[]`},
		{`{"args":["$Undefined",0]}`, `[]`},
		{`{"args":5}`, `[5]`},
		{`{"args":{"a":1}}`, `[{"a":1}]`},
		{`{"args":["$BigInt","7"]}`, `[["$BigInt","7"]]`},
		{`{"args":["$Set",[1]]}`, `[["$Set",[1]]]`},
		{` { "args" : [ 1 , 2 ] , "other" : [ ] } `, `[1,2]`},
		// The client escapes its list of arguments as if it were a value.
		{`{"args":["$$hello",5]}`, `["$hello",5]`},
		{`{"args":["$$BigInt","7"]}`, `["$BigInt","7"]`},
		{`{"args":["\u0024$a\n",5]}`, `["$a\n",5]`},
		{`{"args":["$hello",5]}`, `["$hello",5]`},
		{`{"args":["$$a",1,2]}`, `["$$a",1,2]`},
		{`{"args":[["$$a",1]]}`, `[["$$a",1]]`},
	} {
		req, answer, err := DecodeActionRequest(json4, []byte(tt.body))
		require.NoError(t, err, tt.body)
		require.Equal(t, tt.args, string(req.Args), tt.body)
		require.Equal(t, json4, answer)
	}
	for _, body := range []string{``, `{}`, `[]`, `{"args":}`, `{"args":[1,]}`, `{"args":[]`, `{"args":[],"args":[]}`, `{"args":[01]}`} {
		_, _, err := DecodeActionRequest(json4, []byte(body))
		require.Equal(t, "actor.invalid_request", errorOf(t, err), body)
	}
	// rivetkit 2.0 with its native CBOR: nothing is escaped, so nothing is unescaped.
	req, _, err := DecodeActionRequest(Format{Encoding: BARE}, bytesOf(t, `02 00 09 82 66 "$hello" 05`))
	require.NoError(t, err)
	require.Equal(t, `["$hello",5]`, string(req.Args))
	req, _, err = DecodeActionRequest(Format{Encoding: BARE}, bytesOf(t, `02 00 0a 82 67 "$$hello" 05`))
	require.NoError(t, err)
	require.Equal(t, `["$$hello",5]`, string(req.Args))
}

func TestEventArgs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		f          Format
		args, want string
	}{
		{json4, `["$hello",5]`, `{"body":{"tag":"Event","val":{"args":["$$hello",5],"name":"e"}}}`},
		{json4, `["$BigInt","5"]`, `{"body":{"tag":"Event","val":{"args":["$$BigInt","5"],"name":"e"}}}`},
		{json4, `[["$BigInt","5"]]`, `{"body":{"tag":"Event","val":{"args":[["$BigInt","5"]],"name":"e"}}}`},
		{json4, ``, `{"body":{"tag":"Event","val":{"args":[],"name":"e"}}}`},
		{json4, ` [ "a" ] `, `{"body":{"tag":"Event","val":{"args":["a"],"name":"e"}}}`},
	} {
		got, err := AppendEvent(nil, tt.f, "e", []byte(tt.args))
		require.NoError(t, err)
		require.Equal(t, tt.want, string(got))
	}
	got, err := AppendEvent(nil, bare4, "e", []byte(`["$hello",5]`))
	require.NoError(t, err)
	require.Equal(t, bytesOf(t, `04 00 03 01 "e" 0a 82 67 "$$hello" 05`), got)
	got, err = AppendEvent(nil, bare2, "e", []byte(`["$hello",5]`))
	require.NoError(t, err)
	require.Equal(t, bytesOf(t, `02 00 03 01 "e" 09 82 66 "$hello" 05`), got)

	for _, args := range []string{`null`, `{}`, `5`, `[`, `[1`} {
		dst := []byte("kept")
		got, err := AppendEvent(dst, json4, "e", []byte(args))
		require.Error(t, err, args)
		require.Equal(t, "kept", string(got), "nothing is appended")
	}
}

func TestBadOutput(t *testing.T) {
	t.Parallel()
	for _, f := range []Format{json4, cbor4, bare4, bare2} {
		for _, output := range []string{`{`, `nope`, "\"\xff\"", `1 2`, strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)} {
			got, err := AppendActionResponse([]byte("kept"), f, []byte(output))
			require.Error(t, err)
			require.Equal(t, "kept", string(got))
			got, err = AppendActionResult([]byte("kept"), f, 1, []byte(output))
			require.Error(t, err)
			require.Equal(t, "kept", string(got))
			got, err = AppendQueueResponse([]byte("kept"), f, "completed", []byte(output))
			require.Error(t, err)
			require.Equal(t, "kept", string(got))
			// Errors must get through whatever their metadata is.
			e := &Error{Group: "g", Code: "c", Message: "m", Metadata: json.RawMessage(output)}
			plain := &Error{Group: "g", Code: "c", Message: "m"}
			id := uint64(3)
			require.Equal(t, AppendErrorBody(nil, f, plain, nil), AppendErrorBody(nil, f, e, nil))
			require.Equal(t, AppendErrorFrame(nil, f, plain, &id, nil), AppendErrorFrame(nil, f, e, &id, nil))
		}
	}
}

// Long values need longer length fields, which are put in after the value was written.
func TestLongValues(t *testing.T) {
	t.Parallel()
	for _, n := range []int{22, 23, 24, 25, 120, 127, 128, 255, 256, 16383, 16384, 65535, 65536, 100000} {
		text := `"` + strings.Repeat("x", n) + `"`
		array := "[" + strings.TrimSuffix(strings.Repeat("7,", n), ",") + "]"
		escaped := `"\n` + strings.Repeat("x", n-1) + `"`
		for _, want := range []string{text, array, escaped} {
			for _, f := range []Format{bare4, bare2} {
				body, err := AppendActionResponse(nil, f, []byte(want))
				require.NoError(t, err)
				r := bareReader{src: body, pos: 2}
				data := r.data()
				require.NoError(t, r.end())
				got, err := DecodeValue(f, data)
				require.NoError(t, err)
				require.Equal(t, want, string(got))
			}
		}
	}
}

func TestUserAgentVersion(t *testing.T) {
	t.Parallel()
	for ua, want := range map[string]uint16{
		"RivetKit/2.0.33": 2, "RivetKit/2.1.7": 3, "RivetKit/2.2.1": 3, "RivetKit/2.3.0": 4, "RivetKit/2.3.19": 4,
		"RivetKit/2.10.0": 4, "RivetKit/3.0.0": 4, "RivetKit/2.3.11 Mozilla/5.0 (X11)": 4, "RivetKit/1.0": 0, "RivetKit/": 0, "curl/8": 0, "": 0, "RivetKit/2": 0,
	} {
		require.Equal(t, want, UserAgentVersion(ua), ua)
	}
}

func TestClientVersion(t *testing.T) {
	t.Parallel()
	query, byID := &GatewayRequest{Name: "a"}, &GatewayRequest{ByID: true, ActorID: "a"}
	require.Equal(t, uint16(3), ClientVersion("RivetKit/2.2.1", query))
	require.Equal(t, uint16(4), ClientVersion("Mozilla/5.0", query))
	require.Equal(t, uint16(0), ClientVersion("", byID))
	require.Equal(t, uint16(0), ClientVersion("", nil))
}

func TestParseSubprotocols(t *testing.T) {
	t.Parallel()
	p, err := ParseSubprotocols([]string{"rivet, rivet_encoding.cbor", "rivet_skip_ready_wait , x.y,rivet_target.actor,rivet_actor.abc,rivet_token.t.1%,actorlog_idempotency_key.a%2Cb%20c,rivet_test_ack_hook.1"})
	require.NoError(t, err)
	require.Equal(t, Subprotocols{Rivet: true, Encoding: CBOR, EncodingKnown: true, SkipReadyWait: true, Target: "actor", Actor: "abc", Token: "t.1%", IdempotencyKey: "a,b c"}, p)

	p, err = ParseSubprotocols(nil)
	require.NoError(t, err)
	require.Equal(t, Subprotocols{EncodingKnown: true}, p)

	p, err = ParseSubprotocols([]string{"rivet,rivet_encoding.msgpack"})
	require.NoError(t, err)
	require.False(t, p.EncodingKnown)

	for _, params := range []string{"%7B", "%zz", "nope", ""} {
		p, err = ParseSubprotocols([]string{"rivet,rivet_conn_params." + params + ",rivet_encoding.bare"})
		require.Equal(t, "actor.invalid_request", errorOf(t, err))
		require.True(t, p.Rivet)
		require.Equal(t, BARE, p.Encoding, "what follows is read all the same")
		require.Empty(t, p.ConnParams)
	}
	// JSON.stringify knows no tags: what looks like one is an array.
	p, err = ParseSubprotocols([]string{`rivet_conn_params.%5B%22%24Set%22%2C%5B1%5D%5D`})
	require.NoError(t, err)
	require.Equal(t, `["$$Set",[1]]`, string(p.ConnParams))
}

func TestDecodeConnParams(t *testing.T) {
	t.Parallel()
	got, err := DecodeConnParams("{\"name\": \"caf\xe9\"}")
	require.NoError(t, err)
	require.Equal(t, "{\"name\":\"caf\u00e9\"}", string(got))
	got, err = DecodeConnParams("")
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = DecodeConnParams("{")
	require.Equal(t, "actor.invalid_request", errorOf(t, err))
}

func TestCloseReason(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("r", 200)
	require.Equal(t, "a.b", CloseReason("a", "b", long))
	require.Equal(t, "a.b#r", CloseReason("a", "b", "r"))
	require.Len(t, CloseReason("user", long, "r"), MaxCloseReason)
	reason := CloseReason("user", strings.Repeat("\u20ac", 60), "")
	require.LessOrEqual(t, len(reason), MaxCloseReason)
	require.True(t, strings.HasSuffix(reason, "\u20ac"), "no half a character")
}

func TestMasked(t *testing.T) {
	t.Parallel()
	user := &Error{Group: "user", Code: "x", Message: "m", Metadata: json.RawMessage(`1`)}
	require.Same(t, user, user.Masked())
	secret := &Error{Group: "rivetkit", Code: "internal_error", Message: "dial tcp 10.0.0.1", Metadata: json.RawMessage(`1`)}
	require.Equal(t, &Error{Group: "rivetkit", Code: "internal_error", Message: "An internal error occurred"}, secret.Masked())
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"user.anything": true, "queue.full": true, "auth.forbidden": true, "auth.secret": false, "actor.not_found": true, "actor.destroying": false,
		"message.incoming_too_long": true, "message.other": false, "guard.service_unavailable": true, "rivetkit.internal_error": false, "core.internal_error": false,
	} {
		group, code, _ := strings.Cut(name, ".")
		require.Equal(t, want, Public(group, code), name)
	}
	require.EqualError(t, Errorf("a", "b", "%d", 5), "a.b: 5")
}

func TestEncoding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, content string
		enc           Encoding
		text          bool
	}{
		{"json", "application/json", JSON, true},
		{"cbor", "application/octet-stream", CBOR, false},
		{"bare", "application/octet-stream", BARE, false},
	} {
		enc, known := ParseEncoding(tt.name)
		require.True(t, known)
		require.Equal(t, tt.enc, enc)
		require.Equal(t, tt.name, enc.String())
		require.Equal(t, tt.content, enc.ContentType())
		require.Equal(t, tt.text, enc.Text())
	}
	enc, known := ParseEncoding("")
	require.True(t, known)
	require.Equal(t, JSON, enc)
	enc, known = ParseEncoding("xml")
	require.False(t, known)
	require.Equal(t, JSON, enc)
}

// Names and messages come from anywhere; what is sent is valid UTF-8 whatever they are.
func TestInvalidUTF8(t *testing.T) {
	t.Parallel()
	const bad = "a\xffb"
	e := &Error{Group: bad, Code: bad, Message: bad}
	require.Equal(t, "{\"code\":\"a\ufffdb\",\"group\":\"a\ufffdb\",\"message\":\"a\ufffdb\"}", string(AppendErrorBody(nil, json4, e, nil)))
	require.Equal(t, bytesOf(t, `a2 67 "actorId" 65 61efbfbd62 6c "connectionId" 61 "c"`), AppendInit(nil, cbor4, bad, "c")[len(cborInit):])
	require.Equal(t, bytesOf(t, `02 00 00 05 61efbfbd62 01 "c"`), AppendInit(nil, bare2, bad, "c"))
	require.Equal(t, bytesOf(t, `01 00 00 01 "a" 01 "c" 00`), AppendInit(nil, Format{Encoding: BARE, Version: 1}, "a", "c"), "version 1 has a third field")
}

func TestRetried(t *testing.T) {
	t.Parallel()
	require.True(t, RetriedCall("actor", "not_found"))
	require.True(t, RetriedCall("actor", "destroyed_while_waiting_for_ready"))
	require.True(t, RetriedCall("guard", "service_unavailable"))
	require.True(t, RetriedCall("guard", "actor_ready_timeout"))
	require.False(t, RetriedCall("user", "not_found"))
	require.False(t, RetriedCall("actor", "action_timed_out"))
	require.False(t, RetriedCall("actor", "destroyed_"))
	require.True(t, RetriedConnect("actor", "not_found", false))
	require.False(t, RetriedConnect("actor", "not_found", true))
	require.True(t, RetriedConnect("ws", "going_away", true))
	require.True(t, RetriedConnect("guard", "service_unavailable", true))
	require.False(t, RetriedConnect("guard", "actor_ready_timeout", false))
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"user.x": 500, "rivetkit.internal_error": 500, "auth.forbidden": 403, "actor.not_found": 404, "actor.action_not_found": 404,
		"actor.method_not_allowed": 405, "actor.action_timed_out": 408, "actor.invalid_request": 400, "actor.duplicate_key": 400,
		"message.incoming_too_long": 400, "queue.full": 400, "guard.query_invalid_params": 400, "guard.service_unavailable": 503,
		"guard.invalid_path": 404, "api.not_found": 404, "namespace.not_found": 400,
	} {
		group, code, _ := strings.Cut(name, ".")
		require.Equal(t, want, Status(group, code), name)
	}
}

func BenchmarkActionRequest(b *testing.B) {
	for _, bb := range []struct {
		f    Format
		body string
	}{
		{Format{Encoding: BARE}, "\x04\x00\x02\x81\x05"},
		{Format{}, `{"args":[5]}`},
	} {
		b.Run(bb.f.Encoding.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := DecodeActionRequest(bb.f, []byte(bb.body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEvent(b *testing.B) {
	args := []byte(`[{"room":"general","from":"ada","text":"hello, \"world\"","at":1795333348443,"tags":["a","b",1.5,true,null]}]`)
	for _, f := range []Format{bare4, cbor4, json4} {
		b.Run(f.Encoding.String()+strconv.Itoa(int(f.Version)), func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = AppendEvent(dst[:0], f, "message", args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
