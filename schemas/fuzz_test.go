package schemas_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Whatever the bytes:
//
//   - Decode returns a message or ErrMalformed, for a known type; ErrUnknownType for others;
//   - a message that was decoded encodes, and decodes to the same message again;
//   - encoding is a fixed point: encode(decode(encode(m))) == encode(m).
func FuzzDecode(f *testing.F) {
	names := []schemas.Type{
		schemas.TypeAction, schemas.TypeOutcome, schemas.TypeClaim, schemas.TypeSnapshot,
		schemas.TypeCheckpoint, schemas.TypeLease, "outcome/2",
	}
	for _, m := range fixtures() {
		b, err := schemas.Encode(m)
		require.NoError(f, err)
		for i, typ := range names {
			if typ == schemas.TypeOf(m) {
				f.Add(uint8(i), b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		typ := names[int(which)%len(names)]
		m, err := schemas.Decode(typ, b)
		if typ == "outcome/2" {
			require.ErrorIs(t, err, schemas.ErrUnknownType)
			return
		}
		if err != nil {
			require.ErrorIs(t, err, schemas.ErrMalformed)
			require.Nil(t, m)
			return
		}
		require.Equal(t, typ, schemas.TypeOf(m))
		encoded, err := schemas.Encode(m)
		require.NoError(t, err)
		again, err := schemas.Decode(typ, encoded)
		require.NoError(t, err)
		require.True(t, proto.Equal(m, again))
		encodedAgain, err := schemas.Encode(again)
		require.NoError(t, err)
		require.Equal(t, encoded, encodedAgain)

		_, err = schemas.DecodeAs[*actorlogv1.Lease](typ, b)
		require.Equal(t, typ == schemas.TypeLease, err == nil)
	})
}

// Whatever the text:
//
//   - ParseKey returns a key, never an empty non-nil one;
//   - its canonical text parses to the same key: one text for one key;
//   - it has no more bytes than the text, but for one "\0" per empty part;
//   - valid UTF-8 stays valid.
func FuzzParseKey(f *testing.F) {
	for _, tc := range canonicalKeys {
		f.Add(tc.text)
	}
	for _, text := range []string{"", `\`, `a\`, "//", `\0\0`, `a\0b`, "a/\xffb", `\/\/`, "\\\u00e9"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key := schemas.ParseKey(text)
		require.True(t, key == nil || len(key) > 0)
		canonical := key.String()
		require.Equal(t, key, schemas.ParseKey(canonical))
		require.Equal(t, canonical, schemas.ParseKey(canonical).String())
		n := 0
		for _, part := range key {
			n += len(part)
			require.False(t, utf8.ValidString(text) && !utf8.ValidString(part))
		}
		require.LessOrEqual(t, n, len(text))
		if err := key.Validate(); err == nil {
			require.LessOrEqual(t, len(canonical), schemas.MaxKeyLen)
		}
	})
}

// Whatever the text: ParseActorID refuses it with ErrActorID, or it is the id's only spelling.
func FuzzParseActorID(f *testing.F) {
	h := schemas.HashOf("default", "counter", schemas.Key{"org", "42"})
	for _, g := range []uint32{1, 31, 32, 1 << 20, 1<<32 - 1} {
		f.Add(schemas.ActorID{Hash: h, Generation: g}.String())
	}
	f.Add("")
	f.Add(h.String()[:20] + "\r\n\r\n\r\n0001")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := schemas.ParseActorID(text)
		if err != nil {
			require.ErrorIs(t, err, schemas.ErrActorID)
			require.Zero(t, id)
			return
		}
		require.Equal(t, text, id.String())
		require.NotZero(t, id.Generation)
	})
}

// Whatever the text: ParsePosition refuses it, or it is the position's only spelling.
func FuzzParsePosition(f *testing.F) {
	for _, text := range []string{"0:0", "7:42", "2147483647:9223372036854775807", "07:1", "-1:0", "1:", "::"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := schemas.ParsePosition(text)
		if err != nil {
			require.Zero(t, p)
			return
		}
		require.Equal(t, text, p.String())
		require.GreaterOrEqual(t, p.Partition, int32(0))
		require.GreaterOrEqual(t, p.Offset, int64(0))
	})
}
