package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
)

func TestDecodeValue(t *testing.T) {
	t.Parallel()
	cborNative, bareTags := cbor4, bare4
	for _, tt := range []struct {
		name string
		f    Format
		cbor string
		json string
	}{
		{"small integer", bareTags, `05`, `5`},
		{"negative", bareTags, `20`, `-1`},
		{"uint32", bareTags, `1a ffffffff`, `4294967295`},
		{"negative 32 bits", bareTags, `3a ffffffff`, `-4294967296`},
		{"8 bytes are a BigInt", bareTags, `1b 0000000000000005`, `["$BigInt","5"]`},
		{"negative 8 bytes", bareTags, `3b 0000000000000000`, `["$BigInt","-1"]`},
		{"largest", bareTags, `1b ffffffffffffffff`, `["$BigInt","18446744073709551615"]`},
		{"smallest", bareTags, `3b ffffffffffffffff`, `["$BigInt","-18446744073709551616"]`},
		{"bignum", bareTags, `c2 49 010000000000000000`, `["$BigInt","18446744073709551616"]`},
		{"negative bignum", bareTags, `c3 49 010000000000000000`, `["$BigInt","-18446744073709551617"]`},
		{"empty bignum", bareTags, `c2 40`, `["$BigInt","0"]`},
		{"half", bareTags, `f9 3e00`, `1.5`},
		{"smallest half", bareTags, `f9 0001`, `5.960464477539063e-8`},
		{"negative zero", bareTags, `f9 8000`, `-0`},
		{"half infinity", bareTags, `f9 7c00`, `null`},
		{"half NaN", bareTags, `f9 7e00`, `null`},
		{"single", bareTags, `fa 3fc00000`, `1.5`},
		{"double", bareTags, `fb 3fb999999999999a`, `0.1`},
		{"double integer", bareTags, `fb 41f0000000000000`, `4294967296`},
		{"1e21", bareTags, `fb 444b1ae4d6e2ef50`, `1e+21`},
		{"1e-7", bareTags, `fb 3e7ad7f29abcaf48`, `1e-7`},
		{"NaN", bareTags, `fb 7ff8000000000000`, `null`},
		{"-Infinity", bareTags, `fb fff0000000000000`, `null`},
		{"false true null", bareTags, `83 f4 f5 f6`, `[false,true,null]`},
		{"undefined", bareTags, `f7`, `["$Undefined",0]`},
		{"text", bareTags, `67 "a" 0a 22 5c 01 c3a9`, `"a\n\"\\\u0001` + "\u00e9" + `"`},
		{"text in chunks", bareTags, `7f 61 "a" 62 "bc" ff`, `"abc"`},
		{"bytes", bareTags, `43 010203`, `["$Uint8Array","AQID"]`},
		{"bytes in chunks", bareTags, `5f 41 01 42 0203 ff`, `["$Uint8Array","AQID"]`},
		{"tag 64", cborNative, `d840 42 ff00`, `["$Uint8Array","/wA="]`},
		{"clamped bytes", cborNative, `d844 41 ff`, `["$Uint8Array","/w=="]`},
		{"uint16 little", cborNative, `d845 44 01000001`, `[1,256]`},
		{"uint16 little, marked twice", cborNative, `d845 d840 42 0100`, `[1]`},
		{"uint32 big", cborNative, `d842 44 00000001`, `[1]`},
		{"int8", cborNative, `d848 42 ff01`, `[-1,1]`},
		{"int16 little", cborNative, `d84d 42 feff`, `[-2]`},
		{"int32 little", cborNative, `d84e 44 00000080`, `[-2147483648]`},
		{"bigint64 little", cborNative, `d84f 48 ffffffffffffffff`, `[["$BigInt","-1"]]`},
		{"biguint64 little", cborNative, `d847 48 ffffffffffffffff`, `[["$BigInt","18446744073709551615"]]`},
		{"float32 little", cborNative, `d855 48 0000c03f 0000807f`, `[1.5,null]`},
		{"float64 little", cborNative, `d856 48 000000000000f83f`, `[1.5]`},
		{"array", bareTags, `83 01 81 02 80`, `[1,[2],[]]`},
		{"indefinite", bareTags, `9f 01 bf 61"a" 02 ff ff`, `[1,{"a":2}]`},
		{"object", bareTags, `b9 0002 61"b" 01 61"a" 02`, `{"b":1,"a":2}`},
		{"integer keys", bareTags, `a2 01 02 20 03`, `{"1":2,"-1":3}`},
		{"Map", cborNative, `d9 0103 a1 61"k" d9 0103 a0`, `{"k":{}}`},
		{"Set", cborNative, `d9 0102 82 01 61"a"`, `["$Set",[1,"a"]]`},
		{"Set of two that looks like a tag", cborNative, `d9 0102 82 62"$a" 01`, `["$Set",["$a",1]]`},
		{"Date", cborNative, `c1 fb 41d954fc401a3d71`, `"2023-11-14T22:13:20.410Z"`},
		{"Date before 1970", cborNative, `c1 fb bff0000000000000`, `"1969-12-31T23:59:59.000Z"`},
		{"Date NaN", cborNative, `c1 fb 7ff8000000000000`, `null`},
		{"Date too late", cborNative, `c1 fb 7e37e43c8800759c`, `null`},
		{"Date after 9999", cborNative, `c1 fb 424d7ffa20c00000`, `"+010000-01-01T00:00:00.000Z"`},
		{"Error", cborNative, `d81b 82 65"Error" 61"m"`, `["Error","m"]`},
		{"CBOR itself", cborNative, `d9d9f7 01`, `1`},
		{"dollar array, native", cborNative, `82 64"$foo" 01`, `["$$foo",1]`},
		{"escaped dollar array, native", cborNative, `82 65"$$foo" 01`, `["$$$foo",1]`},
		{"what looks like a tag, native", cborNative, `82 67"$BigInt" 61"5"`, `["$$BigInt","5"]`},
		{"dollar array of three, native", cborNative, `83 64"$foo" 01 02`, `["$foo",1,2]`},
		{"dollar array in chunks, native", cborNative, `9f 7f 61"$" 61"a" ff 01 ff`, `["$$a",1]`},
		{"dollar array, version 2", bare2, `82 64"$foo" 01`, `["$$foo",1]`},
		{"escaped by the client", bareTags, `82 65"$$foo" 01`, `["$$foo",1]`},
		{"tag by the client", bareTags, `82 67"$BigInt" 61"5"`, `["$BigInt","5"]`},
	} {
		got, err := DecodeValue(tt.f, bytesOf(t, tt.cbor))
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.json, string(got), tt.name)
		require.True(t, json.Valid(got), tt.name)
	}
}

func TestDecodeValueErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, cbor string }{
		{"nothing", ``},
		{"two items", `01 02`},
		{"duplicate key", `a2 61"a" 01 61"a" 02`},
		{"duplicate key, as text and integer", `a2 61"1" 01 01 02`},
		{"invalid UTF-8", `61 ff`},
		{"half a character per chunk", `7f 61 c3 61 a9 ff`},
		{"chunk of bytes in a text", `7f 41 00 ff`},
		{"indefinite chunk", `7f 7f 61"a" ff ff`},
		{"break alone", `ff`},
		{"truncated head", `1a 00`},
		{"truncated text", `62 "a"`},
		{"reserved", `1c`},
		{"indefinite integer", `1f`},
		{"simple value", `e0`},
		{"simple value in two bytes", `f8 20`},
		{"false in two bytes", `f8 14`},
		{"a billion elements", `9a 3b9aca00`},
		{"a billion entries", `ba 3b9aca00`},
		{"a terabyte", `5b 000000e8d4a51000`},
		{"more than there can be", `5b ffffffffffffffff`},
		{"key is an array", `a1 80 01`},
		{"key is bytes", `a1 40 01`},
		{"odd indefinite map", `bf 61"a" ff`},
		{"unknown tag", `d8ff 01`},
		{"record of cbor-x", `d9e000 81 61"a"`},
		{"decimal fraction", `c4 82 01 02`},
		{"date is text", `c1 61"a"`},
		{"bignum is text", `c2 61"a"`},
		{"Set is a map", `d90102 a0`},
		{"Map is an array", `d90103 80`},
		{"typed array of a wrong length", `d845 41 00`},
		{"float128", `d857 50 00000000000000000000000000000000`},
		{"typed array tag that is reserved", `d84c 40`},
		{"tag without content", `c1`},
		{"lone surrogate as bytes", `63 eda080`},
	} {
		for _, f := range []Format{cbor4, bare4, bare2} {
			got, err := DecodeValue(f, bytesOf(t, tt.cbor))
			require.Error(t, err, tt.name)
			require.Equal(t, "actor.invalid_request", errorOf(t, err), tt.name)
			require.Nil(t, got, tt.name)
		}
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	nest := func(open, inner, end string, n int) []byte {
		return []byte(strings.Repeat(open, n) + inner + strings.Repeat(end, n))
	}
	// The limit is the same in both directions, in JSON terms: what came in goes out.
	for _, f := range []Format{bare4, bare2, cbor4, json4} {
		text := nest("[", "", "]", MaxDepth)
		out, err := AppendValue(nil, f, text)
		require.NoError(t, err)
		back, err := DecodeValue(f, out)
		require.NoError(t, err)
		require.Equal(t, string(text), string(back))
		_, err = AppendValue(nil, f, nest("[", "", "]", MaxDepth+1))
		require.Equal(t, "actor.invalid_request", errorOf(t, err))
	}
	for _, tt := range []struct {
		name      string
		open, end string
		inner     string
		max       int
	}{
		{"arrays", "\x81", "", "\x01", MaxDepth},
		{"maps", "\xa1\x61a", "", "\x01", MaxDepth},
		{"indefinite arrays", "\x9f", "\xff", "", MaxDepth},
		{"sets", "\xd9\x01\x02\x81", "", "\x01", MaxDepth / 2},
		{"transparent tags", "\xd9\xd9\xf7", "", "\x01", MaxDepth},
		{"undefined in arrays", "\x81", "", "\xf7", MaxDepth - 1},
		{"Maps", "\xd9\x01\x03\xa1\x61a", "", "\x01", MaxDepth},
		{"BigInt64Array in arrays", "\x81", "", "\xd8\x4f\x48\x00\x00\x00\x00\x00\x00\x00\x00", MaxDepth - 2},
	} {
		got, err := DecodeValue(cbor4, nest(tt.open, tt.inner, tt.end, tt.max))
		require.NoError(t, err, tt.name)
		_, err = AppendValue(nil, cbor4, got)
		require.NoError(t, err, tt.name)
		_, err = DecodeValue(cbor4, nest(tt.open, tt.inner, tt.end, tt.max+1))
		require.Equal(t, "actor.invalid_request", errorOf(t, err), tt.name)
		_, err = DecodeValue(cbor4, nest(tt.open, tt.inner, tt.end, 60000))
		require.Error(t, err, tt.name)
	}
}

func TestAppendValue(t *testing.T) {
	t.Parallel()
	bareAny := Format{Encoding: BARE}
	for _, tt := range []struct {
		name string
		f    Format
		json string
		cbor string
	}{
		{"zero", bare4, `0`, `00`},
		{"24", bare4, `24`, `18 18`},
		{"2^32-1", bare4, `4294967295`, `1a ffffffff`},
		{"2^32", bare4, `4294967296`, `fb 41f0000000000000`},
		{"-2^32", bare4, `-4294967296`, `3a ffffffff`},
		{"-2^32-1", bare4, `-4294967297`, `fb c1f0000000100000`},
		{"-0", bare4, `-0`, `fb 8000000000000000`},
		{"-0.0", bare4, `-0.0`, `fb 8000000000000000`},
		{"1e3 is an integer", bare4, `1e3`, `19 03e8`},
		{"5.0 is an integer", bare4, `5.0`, `05`},
		{"0.1", bare4, `0.1`, `fb 3fb999999999999a`},
		{"1e21", bare4, `1e21`, `fb 444b1ae4d6e2ef50`},
		{"2^53+1 is rounded as JSON.parse does", bare4, `9007199254740993`, `fb 4340000000000000`},
		{"too large is infinite, as in JSON.parse", bare4, `1e999`, `fb 7ff0000000000000`},
		{"large and negative", bare4, `-1e999`, `fb fff0000000000000`},
		{"literals", bare4, `[true,false,null]`, `83 f5 f4 f6`},
		{"order of keys", bare4, `{"b":1,"a":2}`, `a2 61"b" 01 61"a" 02`},
		{"escapes", bare4, `"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"`, `6e 22 5c 2f 08 0c 0a 0d 09 c3a9 f09f9880`},
		{"lone surrogates", bare4, `"\ud83d\ud83dx\ude00"`, `6a efbfbd efbfbd "x" efbfbd`},
		{"tags are kept", bare4, `[["$BigInt","5"],["$Undefined",0],["$Set",[1]],["$$a",1]]`,
			`84 82 67"$BigInt" 61"5" 82 6a"$Undefined" 00 82 64"$Set" 81 01 82 63"$$a" 01`},
		{"what is no tag is escaped", bare4, `[["$a",1],["$",2],["$BigInt",5],["$BigInt","x"],["$Uint8Array","?"]]`,
			`85 82 63"$$a" 01 82 62"$$" 02 82 68"$$BigInt" 05 82 68"$$BigInt" 61"x" 82 6c"$$Uint8Array" 61"?"`},
		{"the list of a set is no tag", bare4, `["$Set",["$a",1]]`, `82 64"$Set" 82 62"$a" 01`},
		{"no set after all", bare4, `["$Set",["$a",1],2]`, `83 64"$Set" 82 63"$$a" 01 02`},
		{"three are no tag", bare4, `["$a",1,2]`, `83 62"$a" 01 02`},
		{"hidden dollar", bare4, `["\u0024a",1]`, `82 63"$$a" 01`},
		{"native BigInt", bare2, `["$BigInt","5"]`, `1b 0000000000000005`},
		{"native negative BigInt", bare2, `["$BigInt","-5"]`, `3b 0000000000000004`},
		{"native large BigInt", bare2, `["$BigInt","18446744073709551616"]`, `c2 49 010000000000000000`},
		{"native small BigInt", bare2, `["$BigInt","-18446744073709551617"]`, `c3 49 010000000000000000`},
		{"native bytes", bare2, `["$Uint8Array","AQI="]`, `42 0102`},
		{"native buffer", bare2, `["$ArrayBuffer",""]`, `40`},
		{"native undefined", bare2, `[["$Undefined",0]]`, `81 f7`},
		{"native set", bare2, `["$Set",["$a",["$BigInt","1"]]]`, `d90102 82 62"$a" 1b 0000000000000001`},
		{"native set of sets", bare2, `["$Set",[["$Set",[]],["$$x",1]]]`, `d90102 82 d90102 80 82 62"$x" 01`},
		{"native escaped array", bare2, `["$$BigInt","5"]`, `82 67"$BigInt" 61"5"`},
		{"any version, values", bareAny, `[["$BigInt","5"],["$Undefined",0],["$Uint8Array",""],["$Set",["$a",1]]]`,
			`84 1b 0000000000000005 f7 40 d90102 82 62"$a" 01`},
		{"any version, arrays", bareAny, `[["$$a",1],["$b",1]]`, `82 82 63"$$a" 01 82 63"$$b" 01`},
		{"native array that is no tag", bare2, `["$a",1]`, `82 62"$a" 01`},
	} {
		got, err := AppendValue([]byte("x"), tt.f, []byte(tt.json))
		require.NoError(t, err, tt.name)
		require.Equal(t, append([]byte("x"), bytesOf(t, tt.cbor)...), got, tt.name)
		require.NoError(t, cbor.Wellformed(got[1:]), tt.name)
	}
	for _, tt := range []struct {
		name string
		f    Format
		json string
		want string
	}{
		{"space", json4, " { \"a\" : [ 1 , 2 ] } ", `{"a":[1,2]}`},
		{"numbers stay", json4, `[1.50,1E3,9007199254740993]`, `[1.50,1E3,9007199254740993]`},
		{"tags stay", json4, `[["$Undefined",0],["$Set",["$a",1]],["$$a",1]]`, `[["$Undefined",0],["$Set",["$a",1]],["$$a",1]]`},
		{"what is no tag is escaped", json4, `[["$a", {"x":["$b","c"]}]]`, `[["$$a",{"x":["$$b","c"]}]]`},
		{"client not known", Format{}, `[["$Undefined",0],["$Set",["$a",1]],["$$a",1]]`, `[null,["$$a",1],["$$a",1]]`},
		{"old client", Format{Version: 3}, `[["$Undefined",0],["$BigInt","5"],["$Set",[1]],["$Set",["$a",1]],["$$a",1],["$a",1]]`,
			`[null,["$BigInt","5"],[1],["$$a",1],["$$a",1],["$$a",1]]`},
	} {
		got, err := AppendValue(nil, tt.f, []byte(tt.json))
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, string(got), tt.name)
	}
}

func TestNormalizeJSON(t *testing.T) {
	t.Parallel()
	got, err := NormalizeJSON([]byte(` {"a": ["$x", 1 ] , "b":"\u0041\/"} `))
	require.NoError(t, err)
	require.Equal(t, `{"a":["$x",1],"b":"\u0041\/"}`, string(got))
	got, err = EscapeJSON([]byte(`[["$x",1],["$Set",["$y",2]],["$x"]]`))
	require.NoError(t, err)
	require.Equal(t, `[["$$x",1],["$$Set",["$$y",2]],["$x"]]`, string(got))
	var big bytes.Buffer
	big.WriteString(`{`)
	for i := range 200 {
		big.WriteString(`"k` + strings.Repeat("x", i) + `":1,`)
	}
	_, err = NormalizeJSON([]byte(big.String() + `"z":1}`))
	require.NoError(t, err)
	for _, text := range []string{
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, big.String() + `"kxxx":1}`, "\"\xc3\"", "\"\x01\"", `"\x"`, `"\u12"`, `"`, `"\`, `01`, `1.`, `1e`, `-`, `+1`, `.5`,
		`tru`, `nul`, `[1,]`, `[,1]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, `[1 2]`, `[`, `{`, `1 2`, ``, ` `, `'a'`, "\ufeff1",
	} {
		_, err := NormalizeJSON([]byte(text))
		require.Equal(t, "actor.invalid_request", errorOf(t, err), text)
	}
}

func TestJSONFloat(t *testing.T) {
	t.Parallel()
	for _, f := range []float64{0, 1, -1.5, 1e20, 1e21, 123456789.125, 1e-6, 1e-7, 1e-10, -1e-9, 5e-324, math.MaxFloat64, 4294967296.5} {
		var back float64
		text := appendJSONFloat(nil, f)
		require.NoError(t, json.Unmarshal(text, &back), "%s", text)
		require.Equal(t, math.Float64bits(f), math.Float64bits(back), "%s", text)
		std, err := json.Marshal(f) // encoding/json promises to write as ES6 does
		require.NoError(t, err)
		require.Equal(t, string(std), string(text))
	}
}
