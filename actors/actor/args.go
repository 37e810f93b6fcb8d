package actor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
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
		})
	}
	return s, nil
}

// decode fills in from either one input as a whole or positional arguments (a JSON array,
// empty for none). Errors are ErrInvalidRequest with a message for the client.
func (s shape) decode(in any, args, input json.RawMessage) error {
	if len(input) > 0 && (s.fields == nil || !startsArray(input)) {
		if s.none && !isNull(input) && !isEmptyArray(input) {
			return ErrInvalidRequest.Messagef("the action takes no argument")
		}
		return unmarshalArg(input, in, "the argument")
	}
	if len(input) > 0 {
		args = input
	}
	if !s.none && s.fields == nil && decodeOne(args, in) {
		return nil
	}
	var list []json.RawMessage
	if len(args) > 0 {
		if err := json.Unmarshal(args, &list); err != nil {
			return ErrInvalidRequest.Messagef("the arguments are not an array: %v", err)
		}
	}
	switch {
	case s.none:
		// JavaScript callers that pass undefined send it along: it is no argument.
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
		return ErrInvalidRequest.Messagef("the action takes %d arguments, got %d", len(s.fields), len(list))
	}
	object := []byte{'{'}
	for i, f := range s.fields {
		if i >= len(list) || isUndefined(list[i]) {
			if !f.optional {
				return ErrInvalidRequest.Messagef("argument %d (%s) is missing", i+1, f.name)
			}
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = appendJSONString(object, f.name)
		object = append(append(object, ':'), list[i]...)
	}
	return unmarshalArg(append(object, '}'), in, "the arguments")
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

func unmarshalArg(b []byte, in any, what string) error {
	if isUndefined(b) {
		b = []byte("null")
	}
	if isNull(b) && !nullable(in) {
		return ErrInvalidRequest.Messagef("%s is null", what)
	}
	if err := json.Unmarshal(b, in); err != nil {
		return ErrInvalidRequest.Messagef("%s: %s", what, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// nullable says whether null means something to the type that in points to; for others,
// encoding/json would silently leave the zero value.
func nullable(in any) bool {
	if _, ok := in.(json.Unmarshaler); ok {
		return true
	}
	switch reflect.TypeOf(in).Elem().Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	}
	return in == nil || reflect.TypeOf(in) == reflect.TypeFor[*None]()
}

// marshalArgs is the positional form of v: a JSON array.
func marshalArgs(v any) (json.RawMessage, error) {
	t := reflect.TypeOf(v)
	if t == nil {
		return json.RawMessage("[null]"), nil
	}
	s, err := shapeOf(t)
	if err != nil {
		return nil, err
	}
	if s.none {
		return json.RawMessage("[]"), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if s.fields == nil {
		return bytes.Join([][]byte{[]byte("["), b, []byte("]")}, nil), nil
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

// isUndefined recognises JavaScript's undefined in its JSON form.
func isUndefined(b []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n["), []byte(`"$Undefined"`)) && startsArray(b)
}
