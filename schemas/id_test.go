package schemas_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/schemas"
)

// An actor's hash is its address for ever: a build that computed another one would lose every
// actor. The values come from a few lines of Python, not from this code.
func TestHashOf_KnownAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		namespace, kind string
		key             schemas.Key
		id              string
		shard           int32 // of 32
	}{
		{"default", "counter", schemas.Key{"org", "42"}, "bgi01o3458snt3n29vrq4lsgls0001", 30},
		{"default", "counter", nil, "cnu349o5vfgh1fuke15n82m1mg0001", 16},
		{"", "", nil, "iqh9dkh4ua2scuveif1gv2hgi40001", 6},
		{"default", "chatRoom", schemas.Key{"\u00e9 \u00fc", ""}, "i2b1mrhrdmr2ujbt73oh2mgo0g0001", 15},
		{strings.Repeat("x", 127), "k", nil, "bq6roski16egd6mcfs2rhf59100001", 6},
	} {
		h := schemas.HashOf(tc.namespace, tc.kind, tc.key)
		require.Equal(t, tc.id, schemas.ActorID{Hash: h, Generation: 1}.String())
		require.Equal(t, tc.shard, h.Shard(32))
	}
}

func TestHashOf(t *testing.T) {
	t.Parallel()
	t.Run("the border between the parts is part of the hash", func(t *testing.T) {
		t.Parallel()
		seen := make(map[schemas.Hash]string)
		for name, h := range map[string]schemas.Hash{
			"a b c":   schemas.HashOf("a", "b", schemas.Key{"c"}),
			"ab - c":  schemas.HashOf("ab", "", schemas.Key{"c"}),
			"- ab c":  schemas.HashOf("", "ab", schemas.Key{"c"}),
			"a bc":    schemas.HashOf("a", "bc", nil),
			"a b - c": schemas.HashOf("a", "b", schemas.Key{"", "c"}),
			"a b c -": schemas.HashOf("a", "b", schemas.Key{"c", ""}),
			"a b":     schemas.HashOf("a", "b", nil),
			"a b -":   schemas.HashOf("a", "b", schemas.Key{""}),
			"b a c":   schemas.HashOf("b", "a", schemas.Key{"c"}),
			"joined":  schemas.HashOf("a", "b", schemas.Key{"c/d"}),
			"apart":   schemas.HashOf("a", "b", schemas.Key{"c", "d"}),
			"swapped": schemas.HashOf("a", "b", schemas.Key{"d", "c"}),
		} {
			require.Empty(t, seen[h], name)
			seen[h] = name
		}
	})
	t.Run("shards are in range and all used", func(t *testing.T) {
		t.Parallel()
		for _, n := range []int32{1, 3, 32, math.MaxInt32} {
			seen := make(map[int32]bool)
			for i := range 2000 {
				s := schemas.HashOf("", "k", schemas.Key{strings.Repeat("x", i)}).Shard(n)
				require.GreaterOrEqual(t, s, int32(0))
				require.Less(t, s, n)
				seen[s] = true
			}
			if n <= 32 {
				require.Len(t, seen, int(n))
			}
		}
	})
	t.Run("record keys", func(t *testing.T) {
		t.Parallel()
		h := schemas.HashOf("n", "k", nil)
		got, ok := schemas.ParseHash(h[:])
		require.True(t, ok)
		require.Equal(t, h, got)
		for _, key := range []string{"", "claim", schemas.CheckpointKey, schemas.ClaimKey, string(h[:15]), string(h[:]) + "x"} {
			_, ok := schemas.ParseHash([]byte(key))
			require.False(t, ok, "%q", key)
		}
	})
}

func TestActorID(t *testing.T) {
	t.Parallel()
	var ff schemas.Hash
	for i := range ff {
		ff[i] = 0xff
	}
	zeros, vs := strings.Repeat("0", 26), strings.Repeat("v", 25)+"s" // 128 bits are 25.6 characters
	for _, tc := range []struct {
		text string
		id   schemas.ActorID
	}{
		{zeros + "0001", schemas.ActorID{Generation: 1}},
		{zeros + "000v", schemas.ActorID{Generation: 31}},
		{zeros + "0010", schemas.ActorID{Generation: 32}},
		{zeros + "vvvv", schemas.ActorID{Generation: 1<<20 - 1}},
		{zeros + "10000", schemas.ActorID{Generation: 1 << 20}},
		{vs + "3vvvvvv", schemas.ActorID{Hash: ff, Generation: math.MaxUint32}},
	} {
		require.Equal(t, tc.text, tc.id.String())
		got, err := schemas.ParseActorID(tc.text)
		require.NoError(t, err)
		require.Equal(t, tc.id, got)
	}
	require.Equal(t, vs, ff.String())
}

func TestParseActorID_Refuses(t *testing.T) {
	t.Parallel()
	h := schemas.HashOf("default", "counter", schemas.Key{"org", "42"}).String()
	for name, text := range map[string]string{
		"empty":                              "",
		"no generation":                      h,
		"a generation that is too short":     h + "001",
		"generation 0, which is no life":     h + "0000",
		"a generation beyond 32 bits":        h + "4000000",
		"more digits than 32 bits have":      h + "00000001",
		"leading zeros beyond four digits":   h + "00001",
		"upper case in the hash":             strings.ToUpper(h) + "0001",
		"upper case in the generation":       h + "000V",
		"a letter that base32 does not have": h + "000w",
		"a sign":                             h + "+001",
		"an underscore":                      h + "0_01",
		"blanks for zeros":                   h + "   1",
		"bits beyond the hash":               strings.Repeat("0", 25) + "1" + "0001",
		"a newline, which base32 skips":      h[:13] + "\n" + h[13:] + "001",
		"a newline for a character":          h[:13] + "\n" + h[14:] + "0001",
		"a carriage return at the end":       h[:25] + "\r" + "0001",
		"a key":                              "org/42",
		"not ASCII":                          strings.Repeat("\u00e9", 15),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := schemas.ParseActorID(text)
			require.ErrorIs(t, err, schemas.ErrActorID)
			require.Zero(t, id)
		})
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	for text, p := range map[string]schemas.Position{
		"0:0":                            {},
		"7:42":                           {Partition: 7, Offset: 42},
		"2147483647:9223372036854775807": {Partition: math.MaxInt32, Offset: math.MaxInt64},
	} {
		require.Equal(t, text, p.String())
		got, err := schemas.ParsePosition(text)
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	for _, text := range []string{
		"", ":", "7", "7:", ":7", "7:8:9", "07:1", "7:01", "+7:1", "7:+1", "-1:0", "0:-1", " 7:1", "7:1 ", "7: 1", "7;1",
		"2147483648:0", "0:9223372036854775808", "0x7:1", "7:1_0", "a:b", "7:1\n", "\u0667:1",
	} {
		t.Run("refused/"+text, func(t *testing.T) {
			t.Parallel()
			p, err := schemas.ParsePosition(text)
			require.ErrorContains(t, err, "is not of the form partition:offset")
			require.Zero(t, p)
		})
	}
}
