package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// asJSON shows a part of a record: what is JSON text in it as that, and only what is set.
func asJSON(m proto.Message) []byte {
	if m == nil || !m.ProtoReflect().IsValid() {
		return nil
	}
	b, err := json.Marshal(shown(m.ProtoReflect()))
	if err != nil { // JSON text that is none
		return []byte(strconv.Quote(err.Error()))
	}
	return b
}

func shown(m protoreflect.Message) map[string]any {
	fields := make(map[string]any)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := strings.TrimSuffix(string(f.Name()), "_json")
		if !f.IsList() {
			fields[name] = shownValue(f, v)
			return true
		}
		list := make([]any, v.List().Len())
		for i := range list {
			list[i] = shownValue(f, v.List().Get(i))
		}
		fields[name] = list
		return true
	})
	return fields
}

func shownValue(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return shown(v.Message())
	case protoreflect.EnumKind:
		return string(f.Enum().Values().ByNumber(v.Enum()).Name())
	case protoreflect.BytesKind:
		switch b := v.Bytes(); {
		case strings.HasSuffix(string(f.Name()), "_json") && json.Valid(b):
			return json.RawMessage(b)
		case utf8.Valid(b):
			return string(b)
		default:
			return base64.StdEncoding.EncodeToString(b)
		}
	}
	return v.Interface()
}

// firstDifference is where two documents differ, and what each has there; empty where there is nothing.
func firstDifference(a, b []byte) (path, va, vb string) {
	x, okA := parse(a)
	y, okB := parse(b)
	if !okA || !okB {
		return "", string(a), string(b)
	}
	path, x, y = differ("", x, y)
	return path, text(x), text(y)
}

// absent is nothing, where null is something.
type absent struct{}

func parse(b []byte) (any, bool) {
	if len(b) == 0 {
		return absent{}, true
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	return v, d.Decode(&v) == nil
}

func text(v any) string {
	if _, none := v.(absent); none {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// differ goes to the first place at which two values differ.
func differ(path string, a, b any) (string, any, any) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return path, a, b
		}
		names := maps.Clone(x)
		maps.Copy(names, y)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			va, vb := member(x, name), member(y, name)
			if text(va) != text(vb) {
				return differ(path+"/"+escape(name), va, vb)
			}
		}
	case []any:
		y, ok := b.([]any)
		if !ok {
			return path, a, b
		}
		for i := range max(len(x), len(y)) {
			va, vb := element(x, i), element(y, i)
			if text(va) != text(vb) {
				return differ(path+"/"+strconv.Itoa(i), va, vb)
			}
		}
	}
	return path, a, b
}

func member(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	return absent{}
}

func element(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return absent{}
}

func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// firstLost is where one document has something that another has not; empty if nowhere.
func firstLost(a, b []byte) string {
	x, okA := parse(a)
	y, okB := parse(b)
	if !okA || !okB {
		return ""
	}
	return lost("", x, y)
}

func lost(path string, a, b any) string {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return ""
		}
		for _, name := range slices.Sorted(maps.Keys(x)) {
			v, there := y[name]
			if !there {
				return path + "/" + escape(name)
			}
			if p := lost(path+"/"+escape(name), x[name], v); p != "" {
				return p
			}
		}
	case []any:
		y, ok := b.([]any)
		if !ok || len(y) < len(x) {
			return ""
		}
		for i := range x {
			if p := lost(path+"/"+strconv.Itoa(i), x[i], y[i]); p != "" {
				return p
			}
		}
	}
	return ""
}

// at is what a document has at a pointer.
func at(doc []byte, pointer string) string {
	v, ok := parse(doc)
	for _, name := range strings.Split(pointer, "/")[1:] {
		name = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
		switch x := v.(type) {
		case map[string]any:
			v = member(x, name)
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil {
				return ""
			}
			v = element(x, i)
		}
	}
	if !ok {
		return ""
	}
	return text(v)
}
