package webclient

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway/wire"
)

// What the gateway does to a result, the client undoes, unless the text is one that the protocol itself cannot tell apart.
func FuzzUnescape(f *testing.F) {
	for _, text := range []string{
		`1`, `"$$"`, `["$Foo",1]`, `["$Undefined",0]`, `["$Set",[["$a","$b"]]]`, `["$BigInt","1"]`, `["$BigInt","x"]`, `[["$a",["$b",{"$c":["$d",0]}]],"]"]`,
		`["$\"",2]`, `{"a":["$","\\"],"b":[1,["$x",[]]]}`, ` [ "$a" , {} ] `,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		stored, err := wire.NormalizeJSON([]byte(text))
		if err != nil || !holdable(stored) || strings.Contains(string(stored), `$$`) || strings.Contains(string(stored), `\u0024`) {
			t.Skip()
		}
		sent, err := wire.AppendValue(nil, wire.Format{Version: 4}, stored)
		require.NoError(t, err)
		got := unescape(sent)
		if string(stored) == undefined {
			require.Nil(t, got)
			return
		}
		require.JSONEq(t, string(stored), string(got))
	})
}

// holdable says whether text has no number that Go cannot hold.
func holdable(text []byte) bool {
	var v any
	return json.Unmarshal(text, &v) == nil
}

// Whatever a list of arguments looks like, the gateway takes it for that list.
func FuzzEscapeArgs(f *testing.F) {
	for _, text := range []string{`[]`, `[1]`, `["$Undefined",0]`, `["$$",1]`, `["$Set",[1]]`, `["\u0024x",1]`, `["$a",["$b",1]]`, `["$a",1,2]`, `["$\u2028<",""]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args, err := wire.NormalizeJSON([]byte(text))
		if err != nil || !holdable(args) || args[0] != '[' {
			t.Skip()
		}
		escaped, err := escapeArgs(args)
		require.NoError(t, err)
		got, _, err := wire.DecodeActionRequest(wire.Format{}, append(append([]byte(`{"args":`), escaped...), '}'))
		require.NoError(t, err)
		require.JSONEq(t, string(args), string(got.Args))
	})
}

func TestEscapeArgs(t *testing.T) {
	t.Parallel()
	none, err := escapeArgs(nil)
	require.NoError(t, err)
	require.Equal(t, json.RawMessage("[]"), none)
	same := json.RawMessage(`[ 1.0, {"b":1,"a":2} ]`)
	got, err := escapeArgs(same)
	require.NoError(t, err)
	require.Equal(t, same, got, "what needs no escape is sent as it is")
}
