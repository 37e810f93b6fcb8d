package actor_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
)

type (
	point struct {
		X float64 `json:"x"`
		Y float64 `json:"y"`
	}
	// move takes two arguments, and two more that may be left out.
	move struct {
		actor.Positional
		X    float64  `json:"x"`
		Y    float64  `json:"y"`
		Fast *bool    `json:"fast"`
		Note string   `json:"note,omitempty"`
		Tags []string `json:"tags,omitzero"`
	}
	// untagged has the names that encoding/json gives it.
	untagged struct {
		actor.Positional
		From, To int8
	}
	one struct {
		actor.Positional
		At point `json:"at"`
	}
	nullables struct {
		actor.Positional
		P *int           `json:"p"`
		L []int          `json:"l"`
		M map[string]int `json:"m"`
		A any            `json:"a"`
	}
	color struct{ name string }
)

func (c *color) UnmarshalJSON(b []byte) error {
	if string(b) == `"red"` || string(b) == "null" {
		c.name = string(b)
		return nil
	}
	return errors.New("no such color")
}

func ptr[T any](v T) *T { return &v }

// decode is what an action that takes In gets, or what its caller is told.
func decode[In any](t *testing.T, args, input string) (In, error) {
	t.Helper()
	r, kind := actor.NewRegistry(), actor.New[struct{}]("probe")
	var got In
	actor.On(r, actor.Action[In, actor.None](kind, "try"), func(_ *struct{}, _ *actor.Ctx, in In) (n actor.None, err error) {
		got = in
		return n, nil
	})
	result, err := r.Kind("probe").Invoke(newCtx(t), &struct{}{}, "try", json.RawMessage(args), json.RawMessage(input))
	require.Nil(t, result)
	return got, err
}

func newCtx(t testing.TB) *actor.Ctx {
	return actor.NewCtx(t.Context(), &actor.Job{
		Namespace: "default", Kind: "probe", Key: schemas.Key{"a"}, ID: schemas.ActorID{Hash: schemas.HashOf("default", "probe", schemas.Key{"a"}), Generation: 1},
		TimeMs: 1_700_000_000_000, Ref: 7,
	})
}

type argsCase struct {
	name, args, input string
	check             func(t *testing.T, args, input string)
}

func takes[In any](name, args, input string, want In) argsCase {
	return argsCase{name, args, input, func(t *testing.T, args, input string) {
		t.Helper()
		got, err := decode[In](t, args, input)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}}
}

func refuses[In any](name, args, input, want string) argsCase {
	return argsCase{name, args, input, func(t *testing.T, args, input string) {
		t.Helper()
		_, err := decode[In](t, args, input)
		require.ErrorIs(t, err, actor.ErrInvalidRequest)
		var e *actor.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, want, e.Message)
	}}
}

const undefined = `["$Undefined",0]`

// What callers send, as positional arguments or as one input, and what the action gets of it.
func TestArguments(t *testing.T) {
	t.Parallel()
	var noPoint *point
	for _, tc := range []argsCase{
		// One argument.
		takes("one/number", `[3]`, ``, int64(3)),
		takes("one/with space", " [ 3 ] ", ``, int64(3)),
		takes("one/text", `["a"]`, ``, "a"),
		takes("one/object", `[{"x":1,"y":2}]`, ``, point{1, 2}),
		takes("one/array", `[[1,2]]`, ``, []int{1, 2}),
		takes("one/array that begins with undefined", `[[`+undefined+`,1]]`, ``, []any{[]any{"$Undefined", 0.0}, 1.0}),
		takes("one/array of one undefined", `[[`+undefined+`]]`, ``, []any{[]any{"$Undefined", 0.0}}),
		takes("one/text array that looks like undefined", `[["$Undefined","x","y"]]`, ``, []string{"$Undefined", "x", "y"}),
		takes("one/escaped array", `[["$$Undefined",0]]`, ``, []any{"$$Undefined", 0.0}),
		takes("one/anything", `[{"a":null}]`, ``, any(map[string]any{"a": nil})),
		takes("one/as it is", `[ {"a": 1} ]`, ``, json.RawMessage(`{"a": 1}`)),
		takes("one/null for a pointer", `[null]`, ``, noPoint),
		takes("one/undefined for a pointer", `[`+undefined+`]`, ``, noPoint),
		takes("one/left out for a pointer", `[]`, ``, noPoint),
		takes("one/no arguments at all for a pointer", ``, ``, noPoint),
		takes("one/a pointer", `[{"x":1,"y":2}]`, ``, &point{1, 2}),
		takes("one/null for a list", `[null]`, ``, []int(nil)),
		takes("one/null for a map", `[null]`, ``, map[string]int(nil)),
		takes("one/null for anything", `[null]`, ``, any(nil)),
		takes("one/null for a type that knows it", `[null]`, ``, color{"null"}),
		takes("one/undefined behind it", `[3,`+undefined+`,`+undefined+`]`, ``, int64(3)),
		takes("one/the last digit", `[9007199254740993]`, ``, int64(9007199254740993)),
		takes("one/input", ``, `3`, int64(3)),
		takes("one/input object", ``, `{"x":1,"y":2}`, point{1, 2}),
		takes("one/input array is the argument", ``, `[1,2]`, []int{1, 2}),
		takes("one/input null for a pointer", ``, `null`, noPoint),
		takes("one/members may be missing", `[{"y":2}]`, ``, point{0, 2}),
		takes("one/members that are unknown", `[{"x":1,"y":2,"z":3}]`, ``, point{1, 2}),
		refuses[int64]("one/none", `[]`, ``, "the action takes 1 argument, got 0"),
		refuses[int64]("one/no arguments at all", ``, ``, "the action takes 1 argument, got 0"),
		refuses[int64]("one/two", `[1,2]`, ``, "the action takes 1 argument, got 2"),
		refuses[int64]("one/undefined", `[`+undefined+`]`, ``, "the action takes 1 argument, got 0"),
		refuses[int64]("one/null", `[null]`, ``, "argument 1 is null"),
		refuses[string]("one/null text", `[null]`, ``, "argument 1 is null"),
		refuses[point]("one/null object", `[null]`, ``, "argument 1 is null"),
		refuses[int64]("one/input null", ``, `null`, "the argument is null"),
		refuses[int64]("one/input undefined", ``, undefined, "the argument is null"),
		refuses[int64]("arguments that are no array", `{"0":3}`, ``, "the arguments are not an array"),
		refuses[int64]("arguments that are no JSON", `[3`, ``, "the arguments are not an array"),
		refuses[int64]("one/input that is no JSON", ``, `{"x":`, "the argument: not valid JSON"),

		// No argument.
		takes("none/empty", `[]`, ``, actor.None{}),
		takes("none/no arguments at all", ``, ``, actor.None{}),
		takes("none/undefined", `[`+undefined+`]`, ``, actor.None{}),
		takes("none/null", `[null,`+undefined+`,null]`, ``, actor.None{}),
		takes("none/input null", ``, `null`, actor.None{}),
		takes("none/input undefined", ``, undefined, actor.None{}),
		takes("none/input of no arguments", ``, ` [ ] `, actor.None{}),
		refuses[actor.None]("none/one", `[0]`, ``, "the action takes no argument, got 1"),
		refuses[actor.None]("none/two", `[null,false]`, ``, "the action takes no argument, got 2"),
		refuses[actor.None]("none/input", ``, `{}`, "the action takes no argument"),
		refuses[actor.None]("none/input array", ``, `[1]`, "the action takes no argument"),

		// Positional arguments.
		takes("positional/all", `[1,2,true,"n",["t"]]`, ``, move{X: 1, Y: 2, Fast: ptr(true), Note: "n", Tags: []string{"t"}}),
		takes("positional/those that must be there", `[1,2]`, ``, move{X: 1, Y: 2}),
		takes("positional/undefined for those that may be left out", `[1,2,`+undefined+`,`+undefined+`,["t"]]`, ``, move{X: 1, Y: 2, Tags: []string{"t"}}),
		takes("positional/null for those that may be left out", `[1,2,null,null,null]`, ``, move{X: 1, Y: 2}),
		takes("positional/undefined behind the last", `[1,2,true,"n",["t"],`+undefined+`]`, ``, move{X: 1, Y: 2, Fast: ptr(true), Note: "n", Tags: []string{"t"}}),
		takes("positional/input array", ``, ` [1,2] `, move{X: 1, Y: 2}),
		takes("positional/named", ``, `{"y":2,"x":1,"note":"n"}`, move{X: 1, Y: 2, Note: "n"}),
		takes("positional/named, undefined", ``, `{"y":2,"x":1,"note":`+undefined+`}`, move{X: 1, Y: 2}),
		takes("positional/named, null", ``, `{"y":2,"x":1,"fast":null,"note":null}`, move{X: 1, Y: 2}),
		takes("positional/named, unknown names", ``, `{"y":2,"x":1,"z":3}`, move{X: 1, Y: 2}),
		takes("positional/named, in another case", ``, `{"from":1,"TO":2}`, untagged{From: 1, To: 2}),
		takes("positional/named, the exact name first", ``, `{"X":7,"x":1,"y":2}`, move{X: 1, Y: 2}),
		takes("positional/without tags", `[1,-2]`, ``, untagged{From: 1, To: -2}),
		takes("positional/one", `[{"x":1,"y":2}]`, ``, one{At: point{1, 2}}),
		takes("positional/null for what can be null", `[null,null,null,null]`, ``, nullables{}),
		refuses[move]("positional/one too few", `[1]`, ``, "argument 2 (y) is missing"),
		refuses[move]("positional/none", ``, ``, "argument 1 (x) is missing"),
		refuses[move]("positional/undefined first", `[`+undefined+`,2]`, ``, "argument 1 (x) is missing"),
		refuses[move]("positional/null, which is what JSON makes of NaN", `[1,null]`, ``, "argument 2 (y) is null"),
		refuses[move]("positional/too many", `[1,2,true,"n",[],6]`, ``, "the action takes 5 arguments, got 6"),
		refuses[one]("positional/too many for one", `[1,2]`, ``, "the action takes 1 argument, got 2"),
		refuses[move]("positional/arguments that are no array", `3`, ``, "the arguments are not an array"),
		refuses[move]("positional/input of another type", ``, `3`, "the argument: a number where an object belongs"),
		refuses[move]("positional/input null", ``, `null`, "the argument is null"),
		refuses[move]("positional/named, one missing", ``, `{"x":1}`, "y is missing"),
		refuses[move]("positional/named, one null", ``, `{"x":1,"y":null}`, "y is null"),
		refuses[move]("positional/named, of another type", ``, `{"x":1,"y":"2"}`, "y: a string where a number belongs"),
		refuses[move]("positional/of another type", `[1,"2"]`, ``, "argument 2 (y): a string where a number belongs"),
		refuses[move]("positional/of another type inside", `[1,2,true,"",[1]]`, ``, "argument 5 (tags): a number where a string belongs"),
		refuses[one]("positional/of another type in a field", `[{"x":1,"y":"2"}]`, ``, "argument 1 (at), field y: a string where a number belongs"),
		refuses[untagged]("positional/out of range", `[1,200]`, ``, "argument 2 (To): the number 200 where a whole number from -128 to 127 belongs"),

		// What people are told about types: in words of JSON.
		refuses[int64]("words/string for number", `["3"]`, ``, "argument 1: a string where a whole number belongs"),
		refuses[int64]("words/fraction", `[1.5]`, ``, "argument 1: the number 1.5 where a whole number from -9223372036854775808 to 9223372036854775807 belongs"),
		refuses[int64]("words/too large", `[9223372036854775808]`, ``, "argument 1: the number 9223372036854775808 where a whole number from -9223372036854775808 to 9223372036854775807 belongs"),
		refuses[uint8]("words/negative", `[-1]`, ``, "argument 1: the number -1 where a whole number from 0 to 255 belongs"),
		refuses[uint64]("words/object for number", `[{}]`, ``, "argument 1: an object where a whole number belongs"),
		refuses[float32]("words/beyond floating point", `[1e300]`, ``, "argument 1: the number 1e300 where a smaller number belongs"),
		refuses[bool]("words/number for truth", `[1]`, ``, "argument 1: a number where true or false belongs"),
		refuses[string]("words/truth for text", `[true]`, ``, "argument 1: true or false where a string belongs"),
		refuses[[]int]("words/object for list", `[{}]`, ``, "argument 1: an object where an array belongs"),
		refuses[[2]int]("words/text for array", `["a"]`, ``, "argument 1: a string where an array belongs"),
		refuses[[]byte]("words/number for bytes", `[1]`, ``, "argument 1: a number where a string of base64 belongs"),
		refuses[[]byte]("words/text that is not base64", `["*"]`, ``, "argument 1: illegal base64 data at input byte 0"),
		refuses[map[string]int]("words/array for map", `[[]]`, ``, "argument 1: an array where an object belongs"),
		refuses[point]("words/number for object", `[1]`, ``, "argument 1: a number where an object belongs"),
		refuses[point]("words/field", `[{"x":"1"}]`, ``, "argument 1, field x: a string where a number belongs"),
		refuses[struct{ A point }]("words/field of a field", `[{"A":{"y":[]}}]`, ``, "argument 1, field A.y: an array where a number belongs"),
		refuses[point]("words/field of the input", ``, `{"x":"1"}`, "the argument, field x: a string where a number belongs"),
		refuses[time.Time]("words/time", `["yesterday"]`, ``, "argument 1: not a time as in 2006-01-02T15:04:05Z"),
		refuses[time.Time]("words/number for time", `[1]`, ``, "argument 1: not what the action takes"),
		refuses[netip.Addr]("words/number for a type with a text", `[1]`, ``, "argument 1: a number where a string belongs"),
		refuses[json.Number]("words/text for any number", `["x"]`, ``, "argument 1: not what the action takes"),
		refuses[json.Number]("words/truth for any number", `[true]`, ``, "argument 1: true or false where a number belongs"),
		refuses[chan int]("words/what no JSON is", `[1]`, ``, "argument 1: a number where something else belongs"),
		refuses[color]("words/of the type's own", `["blue"]`, ``, "argument 1: no such color"),
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.check(t, tc.args, tc.input)
		})
	}
}

// Whatever the caller sends:
//
//   - the action runs, or the caller is told why not by an ErrInvalidRequest, without words of Go;
//   - arguments that are accepted mean the same when they are sent on by a Go caller.
func FuzzArguments(f *testing.F) {
	for _, text := range []string{``, `[]`, `[1,2]`, `[1,2,true,"n",["t"]]`, `[1,null]`, `{"x":1,"y":2}`, undefined, `[` + undefined + `]`, `["$Undefined"`, `[{"x":[]}]`, `null`, ` `, `[1e999,2]`, `[1,2,"x"]`} {
		f.Add([]byte(text), []byte(``))
		f.Add([]byte(``), []byte(text))
	}
	f.Fuzz(func(t *testing.T, args, input []byte) {
		try := func(err error) {
			if err != nil {
				require.ErrorIs(t, err, actor.ErrInvalidRequest)
				for _, word := range []string{"Go ", "json", "int64", "float64", "struct", "actor_test", "interface"} {
					require.NotContains(t, err.Error(), word)
				}
			}
		}
		got, err := decode[move](t, string(args), string(input))
		try(err)
		if err == nil {
			again, err := decode[move](t, string(sent(t, got)), "")
			require.NoError(t, err)
			if len(got.Tags) == 0 {
				got.Tags, again.Tags = nil, nil // what may be left out is left out
			}
			require.Equal(t, got, again)
		}
		_, err = decode[actor.None](t, string(args), string(input))
		try(err)
		_, err = decode[*point](t, string(args), string(input))
		try(err)
		number, err := decode[int64](t, string(args), string(input))
		try(err)
		if err == nil {
			again, err := decode[int64](t, string(sent(t, number)), "")
			require.NoError(t, err)
			require.Equal(t, number, again)
		}
	})
}

// sent is the arguments that a Go caller sends.
func sent[In any](t *testing.T, in In) json.RawMessage {
	t.Helper()
	c := &recorder{}
	kind := actor.New[struct{}]("probe")
	_, err := actor.Action[In, actor.None](kind, "try").Call(t.Context(), kind.Get(c), in)
	require.NoError(t, err)
	return c.args
}

// What a Go caller sends is what JavaScript's positional arguments would be.
func TestArguments_AsGoSendsThem(t *testing.T) {
	t.Parallel()
	require.Equal(t, `[3]`, string(sent(t, int64(3))))
	require.Equal(t, `[]`, string(sent(t, actor.None{})))
	require.Equal(t, `[null]`, string(sent[*point](t, nil)))
	require.Equal(t, `[null]`, string(sent[any](t, nil)))
	require.Equal(t, `[{"x":1,"y":2}]`, string(sent(t, point{1, 2})))
	require.Equal(t, `[[1,2]]`, string(sent(t, []int{1, 2})))
	require.Equal(t, `[null]`, string(sent(t, []int(nil))))
	require.Equal(t, `[1,2,true,"n",["t"]]`, string(sent(t, move{X: 1, Y: 2, Fast: ptr(true), Note: "n", Tags: []string{"t"}})))
	require.Equal(t, `[1,2,null,null,null]`, string(sent(t, move{X: 1, Y: 2})))
	require.Equal(t, `[1,2]`, string(sent(t, untagged{From: 1, To: 2})))
	require.Equal(t, `[{"x":1,"y":2}]`, string(sent(t, one{At: point{1, 2}})))
}

// Positional structs that cannot be are found when the worker starts.
func TestOn_PanicsOnStructsThatAreNotPositional(t *testing.T) {
	t.Parallel()
	type unexported struct {
		actor.Positional
		x int //nolint:unused // the point of the test
	}
	type embedded struct {
		actor.Positional
		point
	}
	type skipped struct {
		actor.Positional
		X int `json:"-"`
	}
	for name, f := range map[string]func(*actor.Registry){
		"x":     register[unexported],
		"point": register[embedded],
		"X":     register[skipped],
	} {
		message := panicOf(func() { f(actor.NewRegistry()) })
		require.Contains(t, message, `action "try" of kind "probe": field `+name+" of positional struct")
		require.Contains(t, message, "is not a plain exported field")
	}
	// A field of that name, or one that is not embedded, makes no positional struct.
	type named struct {
		Positional int
		X          int
	}
	got, err := decode[named](t, `[{"X":1}]`, ``)
	require.NoError(t, err)
	require.True(t, reflect.DeepEqual(named{X: 1}, got))
}

func register[In any](r *actor.Registry) {
	actor.On(r, actor.Action[In, actor.None](actor.New[struct{}]("probe"), "try"), func(*struct{}, *actor.Ctx, In) (n actor.None, err error) { return n, nil })
}

func panicOf(f func()) (message string) {
	defer func() { message, _ = recover().(string) }()
	f()
	return "no panic"
}
