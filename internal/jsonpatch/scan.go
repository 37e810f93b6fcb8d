package jsonpatch

import (
	"encoding/json"
	"errors"
)

// errSyntax says that a text is not JSON where it was looked at.
var errSyntax = errors.New("not valid JSON")

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// str returns the end of the string that begins at i.
func str(b []byte, i int) (int, error) {
	if i >= len(b) || b[i] != '"' {
		return 0, errSyntax
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1, nil
		case '\\':
			i++
		}
	}
	return 0, errSyntax
}

// value returns the end of the value that begins at i.
func value(b []byte, i int) (int, error) {
	if i >= len(b) {
		return 0, errSyntax
	}
	switch b[i] {
	case '"':
		return str(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				end, err := str(b, i)
				if err != nil {
					return 0, err
				}
				i = end
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1, nil
				}
			}
			i++
		}
		return 0, errSyntax
	}
	start := i
	for i < len(b) {
		switch b[i] {
		case ',', ']', '}', ':', ' ', '\t', '\n', '\r', '"', '{', '[':
			if i == start {
				return 0, errSyntax
			}
			return i, nil
		}
		i++
	}
	return i, nil
}

// item is one element of an array, or one member of an object.
type item struct {
	// name is the member's name with its quotes; nil in an array.
	name []byte
	// value is the text, and begin (of the name, if there is one), at and end its place.
	value          []byte
	begin, at, end int
}

// cursor goes through the items of the array or object that begins at its place.
type cursor struct {
	b      []byte
	i      int
	object bool
	first  bool
	// last is the place of the closing bracket, once next has returned false.
	last int
	err  error
}

func items(b []byte, i int) cursor {
	return cursor{b: b, i: i + 1, object: b[i] == '{', first: true}
}

// next returns the next item, and false at the end or on an error.
func (c *cursor) next() (item, bool) {
	i := space(c.b, c.i)
	if i >= len(c.b) {
		c.err = errSyntax
		return item{}, false
	}
	if c.b[i] == '}' || c.b[i] == ']' {
		c.last = i
		return item{}, false
	}
	if !c.first {
		if c.b[i] != ',' {
			c.err = errSyntax
			return item{}, false
		}
		i = space(c.b, i+1)
	}
	c.first = false
	it := item{begin: i}
	if c.object {
		end, err := str(c.b, i)
		if err != nil {
			c.err = err
			return item{}, false
		}
		it.name = c.b[i:end]
		if i = space(c.b, end); i >= len(c.b) || c.b[i] != ':' {
			c.err = errSyntax
			return item{}, false
		}
		i = space(c.b, i+1)
	}
	end, err := value(c.b, i)
	if err != nil {
		c.err = err
		return item{}, false
	}
	it.at, it.end, it.value = i, end, c.b[i:end]
	c.i = end
	return it, true
}

// text is the content of a JSON string with its quotes.
func text(quoted []byte) (string, error) {
	if end, err := str(quoted, 0); err != nil || end != len(quoted) {
		return "", errSyntax
	}
	inner := quoted[1 : len(quoted)-1]
	for _, b := range inner {
		if b == '\\' || b >= 0x80 {
			var s string
			err := json.Unmarshal(quoted, &s)
			return s, err
		}
	}
	return string(inner), nil
}

func quote(s string) ([]byte, error) { return json.Marshal(s) }
