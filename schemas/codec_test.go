package schemas_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// types is every record type that is written today, with an empty message of it.
var types = map[schemas.Type]proto.Message{
	schemas.TypeAction:     new(actorlogv1.Action),
	schemas.TypeOutcome:    new(actorlogv1.Outcome),
	schemas.TypeClaim:      new(actorlogv1.Claim),
	schemas.TypeSnapshot:   new(actorlogv1.Snapshot),
	schemas.TypeCheckpoint: new(actorlogv1.Checkpoint),
	schemas.TypeLease:      new(actorlogv1.Lease),
	schemas.TypeStep:       new(actorlogv1.Step),
	schemas.TypeDataKey:    new(actorlogv1.DataKey),
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	for want, m := range types {
		require.Equal(t, want, schemas.TypeOf(m))
		name, version, ok := strings.Cut(string(want), "/")
		require.True(t, ok)
		require.Equal(t, "1", version)
		require.Equal(t, name, strings.ToLower(string(m.ProtoReflect().Descriptor().Name())))
	}
	require.PanicsWithValue(t, "schemas: *actorlogv1.Caller is no record", func() { schemas.TypeOf(new(actorlogv1.Caller)) })
}

func TestEncode_ErrMalformedForTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	_, err := schemas.Encode(&actorlogv1.Claim{Worker: "w\xff"})
	require.ErrorIs(t, err, schemas.ErrMalformed)
	require.ErrorContains(t, err, "claim/1")
	// User payloads are bytes: what is in them is checked where they come in.
	_, err = schemas.Encode(&actorlogv1.Outcome{PatchJson: []byte("\xff")})
	require.NoError(t, err)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	t.Run("no bytes are the empty message", func(t *testing.T) {
		t.Parallel()
		for typ, empty := range types {
			m, err := schemas.Decode(typ, nil)
			require.NoError(t, err)
			requireProto(t, empty, m)
		}
	})
	t.Run("ErrUnknownType", func(t *testing.T) {
		t.Parallel()
		for _, typ := range []schemas.Type{"", "action", "action/", "action/2", "Action/1", "action/1 ", "outcome/01", "step/2"} {
			m, err := schemas.Decode(typ, []byte{0xff})
			require.ErrorIs(t, err, schemas.ErrUnknownType)
			require.NotErrorIs(t, err, schemas.ErrMalformed)
			require.ErrorContains(t, err, "newer version")
			require.Nil(t, m)
		}
	})
	t.Run("ErrMalformed", func(t *testing.T) {
		t.Parallel()
		for name, b := range map[string][]byte{
			"a cut tag":                {0x80},
			"a cut length":             {0x0a, 0x05, 'a'},
			"field number 0":           {0x00, 0x01},
			"text that is not UTF-8":   protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "\xff"),
			"an end without a start":   protowire.AppendTag(nil, 9, protowire.EndGroupType),
			"a number of eleven bytes": append(protowire.AppendTag(nil, 5, protowire.VarintType), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m, err := schemas.Decode(schemas.TypeAction, b)
				require.ErrorIs(t, err, schemas.ErrMalformed)
				require.NotErrorIs(t, err, schemas.ErrUnknownType)
				require.ErrorContains(t, err, "action/1")
				require.Nil(t, m)
			})
		}
	})
}

func TestDecodeAs(t *testing.T) {
	t.Parallel()
	b, err := schemas.Encode(&actorlogv1.Claim{Worker: "w1"})
	require.NoError(t, err)

	claim, err := schemas.DecodeAs[*actorlogv1.Claim](schemas.TypeClaim, b)
	require.NoError(t, err)
	require.Equal(t, "w1", claim.Worker)

	_, err = schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeClaim, b)
	require.ErrorIs(t, err, schemas.ErrMalformed)
	require.ErrorContains(t, err, "a claim/1 where a outcome/1 belongs")

	_, err = schemas.DecodeAs[*actorlogv1.Claim]("claim/2", b)
	require.ErrorIs(t, err, schemas.ErrUnknownType)
	_, err = schemas.DecodeAs[*actorlogv1.Claim](schemas.TypeClaim, []byte{0x80})
	require.ErrorIs(t, err, schemas.ErrMalformed)
}

// A field that a newer version added passes through an older build: through a whole message
// and through the messages inside it.
func TestDecode_KeepsUnknownFields(t *testing.T) {
	t.Parallel()
	unknown := protowire.AppendTag(nil, 1000, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "from the future")
	unknown = protowire.AppendTag(unknown, 1001, protowire.VarintType)
	unknown = protowire.AppendVarint(unknown, 42)

	for typ := range types {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			for name, full := range fixtures() {
				if schemas.TypeOf(full) != typ {
					continue
				}
				b, err := schemas.Encode(full)
				require.NoError(t, err)
				b = append(b, unknown...)
				decoded, err := schemas.Decode(typ, b)
				require.NoError(t, err)
				require.Equal(t, unknown, []byte(decoded.ProtoReflect().GetUnknown()), name)
				again, err := schemas.Encode(decoded)
				require.NoError(t, err)
				require.Equal(t, b, again, name)
			}
		})
	}
	t.Run("in a message inside the record", func(t *testing.T) {
		t.Parallel()
		inner := append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "gw1"), unknown...)
		b := protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), inner)
		action, err := schemas.DecodeAs[*actorlogv1.Action](schemas.TypeAction, b)
		require.NoError(t, err)
		require.Equal(t, "gw1", action.Caller.Gateway)
		again, err := schemas.Encode(action)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
	t.Run("a body of a newer version", func(t *testing.T) {
		t.Parallel()
		// Body numbers to 39 are kept: an old worker sees an action without a body, and
		// must be able to say so (see actors/machine).
		b := protowire.AppendBytes(protowire.AppendTag(nil, 39, protowire.BytesType), nil)
		action, err := schemas.DecodeAs[*actorlogv1.Action](schemas.TypeAction, b)
		require.NoError(t, err)
		require.Nil(t, action.Body)
		again, err := schemas.Encode(action)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func requireProto(t *testing.T, want, got proto.Message, msg ...any) {
	t.Helper()
	if !proto.Equal(want, got) {
		require.Equal(t, text(want), text(got), msg...)
		require.Fail(t, "the messages differ, but not in their text", msg...)
	}
}
