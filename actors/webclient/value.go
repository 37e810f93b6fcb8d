package webclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/actorlog/actorlog/actors/actor"
)

// The RivetKit protocol has tags in JSON: an array of two that begins with "$Name" is what JSON has no word for, and an array that only looks
// like one begins with one "$" more. Values inside of arguments are recorded as they are sent. The list of arguments
// itself is not, and neither is a result: escapeArgs and unescape see to those.

// escapeArgs makes a list of arguments one that is not taken for a tag.
func escapeArgs(args json.RawMessage) (json.RawMessage, error) {
	if len(args) == 0 {
		return json.RawMessage("[]"), nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(args, &list); err != nil {
		return nil, actor.ErrInvalidRequest.Messagef("the arguments are not an array")
	}
	if len(list) != 2 || list[0][0] != '"' {
		return args, nil
	}
	var first string
	if err := json.Unmarshal(list[0], &first); err != nil {
		return nil, fmt.Errorf("the first argument: %w", err)
	}
	if !strings.HasPrefix(first, "$") {
		return args, nil
	}
	return json.Marshal([]any{"$" + first, list[1]})
}

// undefined is the tag of no value.
const undefined = `["$Undefined",0]`

// unescape undoes what the gateway did to arrays of a result that look like tags. text must be JSON.
func unescape(text json.RawMessage) json.RawMessage {
	if string(text) == undefined {
		return nil
	}
	if !bytes.Contains(text, []byte(`"$$`)) {
		return text
	}
	type list struct {
		commas int
		first  int // where the text of its first element begins, if that is a string with two dollars
	}
	var open []list
	var cuts []int
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '[', '{':
			open = append(open, list{first: -1})
		case ',':
			open[len(open)-1].commas++
		case ']', '}':
			last := open[len(open)-1]
			open = open[:len(open)-1]
			if c == ']' && last.commas == 1 && last.first >= 0 {
				cuts = append(cuts, last.first)
			}
		case '"':
			if len(open) > 0 && open[len(open)-1].commas == 0 && bytes.HasPrefix(text[i:], []byte(`"$$`)) {
				open[len(open)-1].first = i + 1
			}
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	slices.Sort(cuts) // an outer array ends after its inner ones
	out, from := make(json.RawMessage, 0, len(text)), 0
	for _, cut := range cuts {
		out = append(out, text[from:cut]...)
		from = cut + 1
	}
	return append(out, text[from:]...)
}

// asciiJSON is JSON text fit for a header: on one line, and everything beyond ASCII escaped.
func asciiJSON(text []byte) (string, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return "", fmt.Errorf("not JSON: %w", err)
	}
	if !utf8.Valid(compact.Bytes()) {
		return "", fmt.Errorf("not UTF-8: %q", text)
	}
	var b strings.Builder
	for _, r := range compact.String() {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String(), nil
}
