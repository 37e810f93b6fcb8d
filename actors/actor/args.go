package actor

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// shape is how a type's value becomes positional arguments and back; worked out once per
// descriptor at registration, so that calls use encoding/json alone.
type shape struct {
	none bool
	// fields are the arguments of a Positional struct; nil for a single value.
	fields []field
	// optional: a single value that may be left out (a pointer).
	optional bool
}

type field struct {
	name     string // JSON name
	optional bool
	nullable bool
}

func shapeOf(t reflect.Type) (shape, error) {
	if t == reflect.TypeFor[None]() {
		return shape{none: true}, nil
	}
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return shape{optional: true}, nil
	}
	if t.Kind() != reflect.Struct {
		return shape{}, nil
	}
	if f, ok := t.FieldByName("Positional"); !ok || f.Type != reflect.TypeFor[Positional]() || !f.Anonymous {
		return shape{}, nil
	}
	var s shape
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == reflect.TypeFor[Positional]() {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "-" {
			return shape{}, fmt.Errorf("field %s of positional struct %s is not a plain exported field", f.Name, t)
		}
		if name == "" {
			name = f.Name
		}
		s.fields = append(s.fields, field{
			name:     name,
			optional: f.Type.Kind() == reflect.Pointer || strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero"),
			nullable: nullable(f.Type),
		})
	}
	return s, nil
}

// decode fills in from either one input as a whole or positional arguments (a JSON array,
// empty for none). Errors are ErrInvalidRequest with a message for the client.
func (s *shape) decode(in any, args, input json.RawMessage) error {
	if len(input) > 0 {
		switch {
		case s.none:
			if !isNull(input) && !isUndefined(input) && !isEmptyArray(input) {
				return ErrInvalidRequest.Messagef("the action takes no argument")
			}
			return nil
		case s.fields == nil:
			return unmarshalArg(input, in, "the argument")
		case !startsArray(input):
			return s.decodeNamed(in, input)
		}
		args = input
	}
	if !s.none && s.fields == nil && decodeOne(args, in) {
		return nil
	}
	var list []json.RawMessage
	if len(args) > 0 {
		if err := json.Unmarshal(args, &list); err != nil {
			return ErrInvalidRequest.Messagef("the arguments are not an array")
		}
	}
	// JavaScript callers that pass undefined send it along: it is no argument.
	for len(list) > 0 && isUndefined(list[len(list)-1]) {
		list = list[:len(list)-1]
	}
	switch {
	case s.none:
		for _, a := range list {
			if !isNull(a) && !isUndefined(a) {
				return ErrInvalidRequest.Messagef("the action takes no argument, got %d", len(list))
			}
		}
		return nil
	case s.fields == nil:
		if len(list) == 0 && s.optional {
			return nil
		}
		if len(list) != 1 {
			return ErrInvalidRequest.Messagef("the action takes 1 argument, got %d", len(list))
		}
		return unmarshalArg(list[0], in, "argument 1")
	}
	if len(list) > len(s.fields) {
		return ErrInvalidRequest.Messagef("the action takes %s, got %d", count(len(s.fields)), len(list))
	}
	list = append(list, make([]json.RawMessage, len(s.fields)-len(list))...)
	return s.decodeFields(in, list, func(i int) string { return fmt.Sprintf("argument %d (%s)", i+1, s.fields[i].name) })
}

// decodeNamed takes the fields from an object. Names that the action does not know are passed
// over, as encoding/json does.
func (s *shape) decodeNamed(in any, input json.RawMessage) error {
	var byName map[string]json.RawMessage
	if err := unmarshalArg(input, &byName, "the argument"); err != nil {
		return err
	}
	if byName == nil {
		return ErrInvalidRequest.Messagef("the argument is null")
	}
	list := make([]json.RawMessage, len(s.fields))
	for i, f := range s.fields {
		list[i] = lookUp(byName, f.name)
	}
	return s.decodeFields(in, list, func(i int) string { return s.fields[i].name })
}

// lookUp finds a member as encoding/json does: by its name or else, whatever the case, by the first.
func lookUp(byName map[string]json.RawMessage, name string) json.RawMessage {
	if value, ok := byName[name]; ok {
		return value
	}
	for _, other := range slices.Sorted(maps.Keys(byName)) {
		if strings.EqualFold(other, name) {
			return byName[other]
		}
	}
	return nil
}

// decodeFields fills in from the values of the fields, nil where there is none.
func (s *shape) decodeFields(in any, values []json.RawMessage, label func(i int) string) error {
	object := []byte{'{'}
	for i, f := range s.fields {
		value := values[i]
		switch {
		case len(value) == 0 || isUndefined(value):
			if !f.optional {
				return ErrInvalidRequest.Messagef("%s is missing", label(i))
			}
			continue
		case isNull(value) && !f.nullable:
			// JSON has no NaN and no undefined inside an array: JavaScript writes null for both.
			if !f.optional {
				return ErrInvalidRequest.Messagef("%s is null", label(i))
			}
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = appendJSONString(object, f.name)
		object = append(append(object, ':'), value...)
	}
	err := json.Unmarshal(append(object, '}'), in)
	if err == nil {
		return nil
	}
	what, why := "the arguments", explain(err)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		for i, f := range s.fields {
			if rest, ok := strings.CutPrefix(wrong.Field, f.name); ok && (rest == "" || rest[0] == '.') {
				what = place(label(i), strings.TrimPrefix(rest, "."))
			}
		}
	}
	return ErrInvalidRequest.Messagef("%s: %s", what, why)
}

func count(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// decodeOne decodes the argument of a list of one, without taking the list apart first. It
// returns false, and may have changed in, when that is not what args is: then the long way tells why.
func decodeOne(args json.RawMessage, in any) bool {
	args = bytes.TrimSpace(args)
	if len(args) < 3 || args[0] != '[' || args[len(args)-1] != ']' {
		return false
	}
	one := args[1 : len(args)-1]
	return !isNull(one) && !isUndefined(one) && json.Unmarshal(one, in) == nil
}

// unmarshalArg decodes one value. Errors are ErrInvalidRequest with a message for the client.
func unmarshalArg(b []byte, in any, what string) error {
	if isUndefined(b) {
		b = []byte("null")
	}
	if isNull(b) && !nullable(reflect.TypeOf(in).Elem()) {
		return ErrInvalidRequest.Messagef("%s is null", what)
	}
	err := json.Unmarshal(b, in)
	if err == nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		what = place(what, wrong.Field)
	}
	return ErrInvalidRequest.Messagef("%s: %s", what, explain(err))
}

// place names a field inside a value.
func place(what, path string) string {
	if path == "" {
		return what
	}
	return what + ", field " + path
}

// explain says what is wrong with a value, in words for those who sent it: they know JSON, and
// nothing of Go.
func explain(err error) string {
	var (
		wrong  *json.UnmarshalTypeError
		syntax *json.SyntaxError
		date   *time.ParseError
	)
	switch {
	case errors.As(err, &wrong):
		return wordsFor(wrong)
	case errors.As(err, &syntax):
		return "not valid JSON"
	case errors.As(err, &date):
		return "not a time as in 2006-01-02T15:04:05Z"
	case strings.HasPrefix(err.Error(), "json: "), strings.HasPrefix(err.Error(), "Time."):
		return "not what the action takes"
	}
	return err.Error() // of a type's own UnmarshalJSON or UnmarshalText
}

func wordsFor(wrong *json.UnmarshalTypeError) string {
	got, number, isNumber := strings.Cut(wrong.Value, " ")
	switch {
	case isNumber: // the kind of value is right, but not the number
		return fmt.Sprintf("the number %s where %s belongs", number, words(wrong.Type, true))
	case got == "bool":
		got = "true or false"
	case got == "array" || got == "object":
		got = "an " + got
	default:
		got = "a " + got
	}
	return got + " where " + words(wrong.Type, false) + " belongs"
}

// words is what a type takes.
func words(t reflect.Type, withLimits bool) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[json.Number]():
		return "a number"
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return "a string"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if withLimits {
			return fmt.Sprintf("a whole number from %d to %d", int64(-1)<<(t.Bits()-1), uint64(1)<<(t.Bits()-1)-1)
		}
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if withLimits {
			return fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits()))
		}
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		if withLimits {
			return "a smaller number"
		}
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string of base64"
		}
		return "an array"
	case reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "something else"
}

// nullable says whether null means something to a type; for others, encoding/json would
// silently leave the zero value.
func nullable(t reflect.Type) bool {
	if t == reflect.TypeFor[None]() || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	}
	return false
}

// mustShape is the shape of a descriptor's arguments; it panics if they have none.
func mustShape[T any](what, name, kind string) *shape {
	s, err := shapeOf(reflect.TypeFor[T]())
	if err != nil {
		panic(fmt.Sprintf("actor: %s %q of kind %q: %v", what, name, kind, err))
	}
	return &s
}

// marshal is the positional form of v: a JSON array.
func (s *shape) marshal(v any) (json.RawMessage, error) {
	if s.none {
		return json.RawMessage("[]"), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if s.fields == nil {
		list := make([]byte, 0, len(b)+2)
		return append(append(append(list, '['), b...), ']'), nil
	}
	var byName map[string]json.RawMessage
	if err := json.Unmarshal(b, &byName); err != nil {
		return nil, err
	}
	list := []byte{'['}
	for i, f := range s.fields {
		if i > 0 {
			list = append(list, ',')
		}
		if value, ok := byName[f.name]; ok {
			list = append(list, value...)
		} else {
			list = append(list, "null"...)
		}
	}
	return append(list, ']'), nil
}

func appendJSONString(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return append(dst, b...)
}

func startsArray(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '['
}

func isNull(b []byte) bool { return string(bytes.TrimSpace(b)) == "null" }

func isEmptyArray(b []byte) bool {
	b = bytes.TrimSpace(b)
	return len(b) >= 2 && b[0] == '[' && len(bytes.TrimSpace(b[1:len(b)-1])) == 0
}

// isUndefined recognises JavaScript's undefined in its JSON form: ["$Undefined",0].
func isUndefined(b []byte) bool {
	if !startsArray(b) || !bytes.Contains(b, []byte(`"$Undefined"`)) {
		return false
	}
	var tag []json.RawMessage
	return json.Unmarshal(b, &tag) == nil && len(tag) == 2 && string(tag[0]) == `"$Undefined"`
}
