package jsonpatch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/internal/jsonpatch"
	"github.com/actorlog/actorlog/internal/seed"
)

// Patch(before, Diff(before, after)) is after, for all documents: any types at the root, numbers
// of any size, keys that need escaping in pointers, empty keys, nulls.
func TestDiff_PatchUndoesIt(t *testing.T) {
	t.Parallel()
	seed := seed.New(t)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		docs := docMaker{r}
		before := docs.value(3)
		after := docs.mutate(before, 3)
		requirePatchable(t, marshal(before), marshal(after))
	}
}

func requirePatchable(t *testing.T, before, after []byte) {
	t.Helper()
	patch, err := jsonpatch.Diff(before, after)
	require.NoError(t, err, "Diff(%s, %s)", before, after)
	if patch == nil {
		require.True(t, sameJSON(before, after), "Diff(%s, %s) sees no difference", before, after)
		return
	}
	require.True(t, json.Valid(patch))
	got, err := jsonpatch.Apply(before, patch)
	require.NoError(t, err, "Patch(%s, %s)\nto get %s", before, patch, after)
	require.True(t, sameJSON(after, got), "Patch(%s, %s)\n is %s\nnot %s", before, patch, got, after)
}

// docMaker makes random JSON documents. Objects are []member so that their order is random too.
type docMaker struct{ r *rand.Rand }

type object []member

type member struct {
	key   string
	value any
}

func (m docMaker) value(depth int) any {
	n := 7
	if depth == 0 {
		n = 5
	}
	switch m.r.IntN(n) {
	case 0:
		return nil
	case 1:
		return m.r.IntN(2) == 0
	case 2, 3:
		return m.pick(numbers)
	case 4:
		return m.pick(texts)
	case 5:
		list := make([]any, m.r.IntN(5))
		for i := range list {
			list[i] = m.value(depth - 1)
		}
		return list
	default:
		var o object
		for range m.r.IntN(5) {
			o = o.set(m.pick(keys).(string), m.value(depth-1))
		}
		return o
	}
}

// mutate changes little, mostly.
func (m docMaker) mutate(v any, depth int) any {
	if m.r.IntN(8) == 0 {
		return m.value(depth)
	}
	switch v := v.(type) {
	case []any:
		out := append([]any{}, v...)
		for range m.r.IntN(3) {
			i := m.r.IntN(len(out) + 1)
			switch m.r.IntN(4) {
			case 0:
				out = append(out[:i], append([]any{m.value(depth - 1)}, out[i:]...)...)
			case 1:
				if i < len(out) {
					out = append(out[:i], out[i+1:]...)
				}
			case 2:
				m.r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
			default:
				if i < len(out) {
					out[i] = m.mutate(out[i], depth-1)
				}
			}
		}
		return out
	case object:
		out := append(object{}, v...)
		for range m.r.IntN(3) {
			switch {
			case len(out) > 0 && m.r.IntN(3) == 0:
				i := m.r.IntN(len(out))
				out = append(out[:i], out[i+1:]...)
			case len(out) > 0 && m.r.IntN(2) == 0:
				i := m.r.IntN(len(out))
				out[i].value = m.mutate(out[i].value, depth-1)
			default:
				out = out.set(m.pick(keys).(string), m.value(depth-1))
			}
		}
		m.r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		return out
	case json.Number, string:
		if m.r.IntN(2) == 0 {
			return m.value(0)
		}
	}
	return v
}

func (m docMaker) pick(from []any) any { return from[m.r.IntN(len(from))] }

func (o object) set(key string, value any) object {
	for i := range o {
		if o[i].key == key {
			o[i].value = value
			return o
		}
	}
	return append(o, member{key, value})
}

var (
	numbers = []any{
		json.Number("0"), json.Number("-0"), json.Number("1"), json.Number("1.0"), json.Number("1e0"), json.Number("-1"), json.Number("7"),
		json.Number("9007199254740992"), json.Number("9007199254740993"), json.Number("9223372036854775807"),
		json.Number("9223372036854775808"), json.Number("123456789012345678901234567890123456789"),
		json.Number("1e400"), json.Number("0.1"), json.Number("0.10000000000000001"), json.Number("-1.5E-7"),
	}
	texts = []any{"", "a", "b", "null", "0", "\u00e9", "\U0001F389", "\x00\n\"\\", "<&>", "\u2028", "/~", "\ufffd"}
	keys  = []any{"", "a", "b", "c", "0", "1", "-", "-1", "01", "/", "~", "~0", "~1", "a/b", "m~n", "~01", "\u00e9", "\"", "\\", "\n", "<", " ", "op", "A"}
)

func marshal(v any) []byte {
	switch v := v.(type) {
	case []any:
		parts := make([][]byte, len(v))
		for i := range v {
			parts[i] = marshal(v[i])
		}
		return append(append([]byte("["), bytes.Join(parts, []byte(","))...), ']')
	case object:
		parts := make([][]byte, len(v))
		for i := range v {
			parts[i] = append(append(marshal(v[i].key), ':'), marshal(v[i].value)...)
		}
		return append(append([]byte("{"), bytes.Join(parts, []byte(","))...), '}')
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// sameJSON compares two documents; numbers as they are written.
func sameJSON(a, b []byte) bool {
	va, err := exact(a)
	if err != nil {
		return false
	}
	vb, err := exact(b)
	return err == nil && reflect.DeepEqual(va, vb)
}

func exact(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(b[d.InputOffset():])) != "" {
		return nil, fmt.Errorf("more after the document: %q", b)
	}
	return v, nil
}
