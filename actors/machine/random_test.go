package machine_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
)

// stateMaker makes random states, and others that differ from them a little. What JSON can be
// is the matter of internal/jsonpatch; here it is enough that states change.
type stateMaker struct{ *rand.Rand }

func (m stateMaker) state() []byte {
	s := make(map[string]any)
	for range m.IntN(4) {
		s[m.name()] = m.value(2)
	}
	return encode(s)
}

func (m stateMaker) change(state []byte) []byte {
	v := decode(state)
	s, ok := v.(map[string]any)
	if !ok || m.IntN(10) == 0 {
		return encode(m.value(2))
	}
	for range m.IntN(3) {
		if m.IntN(3) == 0 {
			delete(s, m.name())
		} else {
			s[m.name()] = m.value(2)
		}
	}
	return encode(s)
}

func (m stateMaker) name() string {
	return []string{"", "a", "b", "c/d", "e~f", "0", "\u00e9"}[m.IntN(7)]
}

func (m stateMaker) value(depth int) any {
	switch n := m.IntN(6); {
	case n == 0:
		return nil
	case n == 1:
		return json.Number([]string{"0", "1", "9007199254740993", "1e400", "-0.10"}[m.IntN(5)])
	case n <= 3 || depth == 0:
		return m.name()
	case n == 4:
		list := make([]any, m.IntN(4))
		for i := range list {
			list[i] = m.value(depth - 1)
		}
		return list
	}
	object := make(map[string]any)
	for range m.IntN(3) {
		object[m.name()] = m.value(depth - 1)
	}
	return object
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// decode keeps numbers as they are written.
func decode(b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

func sameJSON(a, b []byte) bool { return reflect.DeepEqual(decode(a), decode(b)) }

// requireSameActor compares two views of one actor. States are compared as JSON.
func requireSameActor(t *testing.T, want, got machine.Actor, msg ...any) {
	t.Helper()
	require.Equal(t, want.State == nil, got.State == nil, msg...)
	if want.State != nil && !sameJSON(want.State, got.State) {
		require.Equal(t, string(want.State), string(got.State), msg...)
	}
	for _, a := range []*machine.Actor{&want, &got} {
		// Nothing and none are the same.
		a.State = nil
		a.Key = append(schemas.Key{}, a.Key...)
		a.Recent = append([]machine.Recent{}, a.Recent...)
		a.Refused = append([]machine.RefRange{}, a.Refused...)
		a.Asked, a.Settled, a.Steps = cloned(a.Asked), cloned(a.Settled), cloned(a.Steps)
		a.Connections, a.Schedules, a.Queue = cloned(a.Connections), cloned(a.Schedules), cloned(a.Queue)
	}
	require.Equal(t, want, got, msg...)
}

// cloned copies messages without what encoding them leaves in them.
func cloned[M proto.Message](list []M) []M {
	copies := make([]M, len(list))
	for i, m := range list {
		copies[i] = proto.CloneOf(m)
	}
	return copies
}
