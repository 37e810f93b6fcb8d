package wire

import (
	"bytes"
	"encoding/json"
	"strings"
)

// native says that the client puts BigInts, bytes and so on into BARE as such: it is
// older than the tags. Requests in BARE always tell their version.
func (f Format) native() bool { return f.Version != 0 && f.Version < 4 }

// AppendValue appends one value, JSON text as the log stores it, in the client's form
// (for CBOR and BARE: one CBOR item).
func AppendValue(dst []byte, f Format, text []byte) ([]byte, error) {
	return appendValue(dst, f, text, noList)
}

// DecodeValue reads one value in the client's form and returns the JSON text to
// store. Errors are [*Error].
func DecodeValue(f Format, data []byte) (json.RawMessage, error) {
	if f.Encoding == JSON {
		return normalize(data, tagsStore)
	}
	return decodeCBOR(f, data)
}

// NormalizeJSON checks JSON text whose tags and escaped arrays are meant as such, and
// returns it without insignificant space. Errors are [*Error].
func NormalizeJSON(text []byte) (json.RawMessage, error) { return normalize(text, tagsStore) }

// EscapeJSON is NormalizeJSON for text from somebody who knows no tags: arrays that look
// like tags are escaped, so that they stay the arrays that they are.
func EscapeJSON(text []byte) (json.RawMessage, error) { return normalize(text, tagsEscape) }

func normalize(text []byte, tags tagMode) (json.RawMessage, error) {
	r := jsonReader{src: text, dst: make([]byte, 0, len(text)), unique: true, tags: tags}
	if err := r.whole(noList); err != nil {
		return nil, err
	}
	return r.dst, nil
}

func decodeCBOR(f Format, data []byte) (json.RawMessage, error) {
	r := cborReader{
		src: data, dst: make([]byte, 0, len(data)+len(data)/2+16),
		tags: f.Encoding == BARE && !f.native(),
	}
	if err := r.whole(); err != nil {
		return nil, err
	}
	return r.dst, nil
}

// appendValue writes stored text for the client.
func appendValue(dst []byte, f Format, text []byte, list listKind) ([]byte, error) {
	r := jsonReader{src: text, dst: dst, cbor: f.Encoding != JSON, tags: tagsKeep}
	switch {
	case f.Version >= 4:
	case f.Encoding == JSON:
		r.tags = tagsOld
	case f.Version == 0:
		r.tags = tagsBoth
	default:
		r.tags = tagsNative
	}
	if err := r.whole(list); err != nil {
		return dst, err
	}
	return r.dst, nil
}

// appendOutput writes the result of an action; empty is undefined.
func appendOutput(dst []byte, f Format, output []byte) ([]byte, error) {
	if len(output) > 0 {
		return appendValue(dst, f, output, noList)
	}
	switch {
	case f.Encoding != JSON:
		return append(dst, 0xf7), nil
	case f.Version >= 4:
		return append(dst, `["$Undefined",0]`...), nil
	}
	return append(dst, "null"...), nil
}

// appendArgs writes a list of arguments; empty is none.
func appendArgs(dst []byte, f Format, args []byte) ([]byte, error) {
	args = bytes.TrimLeft(args, " \t\r\n")
	if len(args) == 0 {
		args = []byte("[]")
	}
	if args[0] != '[' {
		return dst, Errorf("actor", "invalid_request", "the arguments are no array")
	}
	return appendValue(dst, f, args, argList)
}

// argsList makes a list of arguments out of a value as it was received (normalized):
// clients escape the list as if it were a value.
func argsList(text json.RawMessage) json.RawMessage {
	switch {
	case len(text) == 0 || string(text) == "null":
		return json.RawMessage("[]")
	case text[0] != '[':
		return wrap(text)
	}
	if !bytes.HasPrefix(text, []byte(`["$`)) && !bytes.HasPrefix(text, []byte(`["\u0024`)) {
		return text
	}
	r := jsonReader{src: text, pos: 1, discard: true}
	first := span{src: 1}
	if r.value(noList) != nil || r.peek() != ',' {
		return text
	}
	first.srcEnd = r.pos
	r.pos++
	snd := span{src: r.pos}
	if r.value(noList) != nil || r.peek() != ']' {
		return text
	}
	snd.srcEnd = r.pos
	name := r.dollars(first)
	switch r.tagKind(name, snd) {
	case "":
		return text
	case "$$":
		out := appendJSONString(append(make([]byte, 0, len(text)), '['), string(name[1:]))
		return append(out, text[first.srcEnd:]...)
	case tagUndefined:
		return json.RawMessage("[]")
	}
	return wrap(text)
}

func wrap(text json.RawMessage) json.RawMessage {
	out := make(json.RawMessage, 0, len(text)+2)
	return append(append(append(out, '['), text...), ']')
}

func parseEncoding(name string) (Encoding, bool) {
	switch name {
	case "", "json":
		return JSON, true
	case "cbor":
		return CBOR, true
	case "bare":
		return BARE, true
	}
	return JSON, false
}

func userAgentVersion(ua string) uint16 {
	const name = "RivetKit/"
	version, ok := strings.CutPrefix(ua, name)
	if !ok {
		return 0
	}
	version, _, _ = strings.Cut(version, " ")
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	switch major {
	case "2":
		switch minor {
		case "0":
			return 2
		case "1", "2":
			return 3
		case "":
			return 0
		}
		return 4
	case "", "0", "1":
		return 0
	}
	return 4
}
