package schemas_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/schemas"
)

// canonicalKeys is the table of the canonical key string as RivetKit clients write it
// (versions 2.0 to 2.3), and what it leaves open.
var canonicalKeys = []struct {
	name string
	key  schemas.Key
	text string
}{
	{"empty key", nil, `/`},
	{"two parts", schemas.Key{"a", "b"}, `a/b`},
	{"slash inside a part", schemas.Key{"a/b", "c"}, `a\/b/c`},
	{"backslash inside a part", schemas.Key{`a\b`}, `a\\b`},
	{"one empty part", schemas.Key{""}, `\0`},
	{"empty last part", schemas.Key{"a", ""}, `a/\0`},
	{"a part that is a slash", schemas.Key{"/"}, `\/`},
	{"not ASCII", schemas.Key{"\u00e9 \u00fc"}, "\u00e9 \u00fc"},

	{"empty first part", schemas.Key{"", "a"}, `\0/a`},
	{"only empty parts", schemas.Key{"", "", ""}, `\0/\0/\0`},
	{"a part that looks like an empty one", schemas.Key{`\0`}, `\\0`},
	{"a part that is a backslash", schemas.Key{`\`}, `\\`},
	{"a backslash before the separator", schemas.Key{`a\`, "b"}, `a\\/b`},
	{"the digit zero", schemas.Key{"0", "a0"}, `0/a0`},
	{"separators of others", schemas.Key{"a,b", "c:d", "e@f?g#h%2F"}, `a,b/c:d/e@f?g#h%2F`},
	{"control characters", schemas.Key{"\x00\n\t\x7f"}, "\x00\n\t\x7f"},
	{"outside the basic plane", schemas.Key{"\U0001F389"}, "\U0001F389"},
}

func TestKey(t *testing.T) {
	t.Parallel()
	for _, tc := range canonicalKeys {
		t.Run("String/"+tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.text, tc.key.String())
		})
		t.Run("ParseKey/"+tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.key, schemas.ParseKey(tc.text))
		})
	}
	t.Run("String/nil and empty are one key", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, schemas.Key(nil).String(), schemas.Key{}.String())
		require.Equal(t, schemas.HashOf("n", "k", nil), schemas.HashOf("n", "k", schemas.Key{}))
	})

	// Texts that no key has, but that a client may send.
	for text, want := range map[string]schemas.Key{
		"":        nil,
		`\`:       {`\`},
		`a\`:      {`a\`},
		`a\/b\`:   {`a/b\`},
		`a/`:      {"a", ""},
		`//`:      {"", "", ""},
		`/a`:      {"", "a"},
		`\a\b`:    {"ab"},
		`a\0b`:    {"ab"},
		"a/\xffb": {"a", "\xffb"},
	} {
		t.Run("ParseKey/foreign "+text, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, want, schemas.ParseKey(text))
		})
	}
}

// Two keys have the same text exactly if they are the same, whatever is in them.
func TestKey_TextIsInjective(t *testing.T) {
	t.Parallel()
	seed := seed.New(t)
	r := rand.New(rand.NewPCG(seed, 0))
	byText := make(map[string]schemas.Key)
	byHash := make(map[schemas.Hash]schemas.Key)
	for range 20_000 {
		k := make(schemas.Key, r.IntN(4))
		for i := range k {
			part := make([]byte, r.IntN(4))
			for j := range part {
				part[j] = `\/0a`[r.IntN(4)]
			}
			k[i] = string(part)
		}
		if len(k) == 0 {
			k = nil
		}
		if other, ok := byText[k.String()]; ok {
			require.Equal(t, other, k, "two keys with the text %q", k.String())
		}
		byText[k.String()] = k
		h := schemas.HashOf("ns", "kind", k)
		if other, ok := byHash[h]; ok {
			require.Equal(t, other, k, "two keys with one hash")
		}
		byHash[h] = k
		require.Equal(t, k, schemas.ParseKey(k.String()))
	}
}

func TestKey_Validate(t *testing.T) {
	t.Parallel()
	part := strings.Repeat("a", schemas.MaxKeyPartLen)
	for _, tc := range []struct {
		name string
		key  schemas.Key
		want string // empty: valid
	}{
		{"no parts", nil, ""},
		{"an empty part", schemas.Key{""}, ""},
		{"the longest part", schemas.Key{part}, ""},
		{"a part one byte longer", schemas.Key{"ok", part + "a"}, "part 1 of the key has 129 bytes, more than 128"},
		{"the limit is in bytes, not in characters", schemas.Key{strings.Repeat("\u00e9", 65)}, "part 0 of the key has 130 bytes, more than 128"},
		// 7 parts of 128 bytes, 7 separators and 121 bytes are 1024.
		{"the longest key", schemas.Key{part, part, part, part, part, part, part, part[:121]}, ""},
		{"a key one byte longer", schemas.Key{part, part, part, part, part, part, part, part[:122]}, "the key has 1025 bytes, more than 1024"},
		{"escapes count", schemas.Key{strings.Repeat("/", 128), strings.Repeat("/", 128), strings.Repeat("/", 128), strings.Repeat("/", 128)}, "the key has 1027 bytes, more than 1024"},
		{"not UTF-8", schemas.Key{"a", "\xff"}, "part 1 of the key is not valid UTF-8"},
		{"control characters", schemas.Key{"\x00"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.want == "" {
				require.NoError(t, tc.key.Validate())
			} else {
				require.EqualError(t, tc.key.Validate(), tc.want)
			}
		})
	}
}

func TestValidateNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text, want string
	}{
		{"one character", "a", ""},
		{"case, digits, dots and blanks", "Chat Room.v2-x_y", ""},
		{"not ASCII", "z\u00e4hler", ""},
		{"the longest", strings.Repeat("a", 64), ""},
		{"empty", "", "the %s is empty"},
		{"one byte longer", strings.Repeat("a", 65), "the %s has 65 bytes, more than 64"},
		{"slash", "a/b", "the %s contains '/'"},
		{"at", "a@b", "the %s contains '@'"},
		{"newline", "a\nb", `the %s contains '\n'`},
		{"NUL", "\x00", `the %s contains '\x00'`},
		{"DEL", "a\x7f", `the %s contains '\x7f'`},
		{"not UTF-8", "a\xff", "the %s is not valid UTF-8"},
	} {
		for what, validate := range map[string]func(string) error{
			"kind": schemas.ValidateKind, "namespace": schemas.ValidateNamespace,
		} {
			t.Run(what+"/"+tc.name, func(t *testing.T) {
				t.Parallel()
				if tc.want == "" {
					require.NoError(t, validate(tc.text))
				} else {
					require.EqualError(t, validate(tc.text), strings.Replace(tc.want, "%s", what, 1))
				}
			})
		}
	}
}
