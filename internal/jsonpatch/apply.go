package jsonpatch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	library "github.com/evanphx/json-patch/v5"
)

// ErrNoTarget says that an op points to something that the document does not have.
var ErrNoTarget = errors.New("no such place in the document")

// Apply returns the document that a patch makes of another. Neither is changed.
func Apply(document, patch []byte) ([]byte, error) {
	doc := trim(document)
	i := space(patch, 0)
	if i >= len(patch) || patch[i] != '[' {
		return nil, fmt.Errorf("the patch is no array: %w", errSyntax)
	}
	ops := items(patch, i)
	for it, ok := ops.next(); ok; it, ok = ops.next() {
		o, err := parseOp(it.value)
		if err != nil {
			return nil, err
		}
		switch o.op {
		case "add", "replace", "remove":
		default:
			return applyByLibrary(document, patch)
		}
		if doc, err = o.apply(doc); err != nil {
			return nil, fmt.Errorf("op %q at %q: %w", o.op, o.path, err)
		}
	}
	if ops.err != nil {
		return nil, ops.err
	}
	if space(patch, ops.last+1) != len(patch) {
		return nil, fmt.Errorf("something follows the patch: %w", errSyntax)
	}
	return doc, nil
}

func applyByLibrary(document, patch []byte) ([]byte, error) {
	p, err := library.DecodePatch(patch)
	if err != nil {
		return nil, fmt.Errorf("decoding the patch: %w", err)
	}
	return p.Apply(document)
}

type op struct {
	op, path string
	value    []byte
}

func parseOp(b []byte) (op, error) {
	var o op
	if b[0] != '{' {
		return o, fmt.Errorf("an op is no object: %w", errSyntax)
	}
	pathSet := false
	c := items(b, 0)
	for it, ok := c.next(); ok; it, ok = c.next() {
		name := string(it.name)
		if name != `"op"` && name != `"path"` {
			if name == `"value"` {
				o.value = it.value
			}
			continue
		}
		if it.value[0] != '"' {
			return o, fmt.Errorf("%s of an op is no string: %w", name, errSyntax)
		}
		s, err := text(it.value)
		if err != nil {
			return o, err
		}
		if name == `"op"` {
			o.op = s
		} else {
			o.path, pathSet = s, true
		}
	}
	switch {
	case c.err != nil:
		return o, c.err
	case !pathSet || o.path != "" && o.path[0] != '/':
		return o, fmt.Errorf("an op has no path: %w", errSyntax)
	case o.value == nil && (o.op == "add" || o.op == "replace"):
		return o, fmt.Errorf("an op %q has no value: %w", o.op, errSyntax)
	}
	return o, nil
}

func (o *op) apply(doc []byte) ([]byte, error) {
	if o.path == "" {
		if o.op == "remove" {
			return nil, ErrNoTarget
		}
		return o.value, nil
	}
	// Go down to the container of the place.
	at, rest := 0, o.path[1:]
	for {
		token, more, deeper := strings.Cut(rest, "/")
		if !deeper {
			return o.splice(doc, at, token)
		}
		it, _, err := child(doc, at, token)
		if err != nil {
			return nil, err
		}
		at, rest = it.at, more
	}
}

// place is what child found besides the item: the comma before it, or -1, and the end of the
// container when the item is not there.
type place struct {
	comma, last, n int
}

// child finds an item of the container that begins at i.
func child(doc []byte, i int, token string) (item, place, error) {
	p := place{comma: -1, last: -1}
	if i >= len(doc) || doc[i] != '{' && doc[i] != '[' {
		return item{}, p, ErrNoTarget
	}
	c := items(doc, i)
	index := -1
	if !c.object {
		if index = arrayIndex(token); index < 0 && token != "-" {
			return item{}, p, ErrNoTarget
		}
	} else if strings.IndexByte(token, '~') >= 0 {
		token = unescaper.Replace(token)
	}
	before := -1
	for it, ok := c.next(); ok; it, ok = c.next() {
		if c.object {
			name := it.name[1 : len(it.name)-1]
			same := string(name) == token
			if !same && (strings.IndexByte(string(name), '\\') >= 0) {
				s, err := text(it.name)
				if err != nil {
					return item{}, p, err
				}
				same = s == token
			}
			if same {
				p.comma = before
				return it, p, nil
			}
		} else if p.n == index {
			p.comma = before
			return it, p, nil
		}
		p.n++
		before = it.end
	}
	if c.err != nil {
		return item{}, p, c.err
	}
	p.last = c.last
	return item{}, p, ErrNoTarget
}

func arrayIndex(token string) int {
	if token == "" || len(token) > 1 && token[0] == '0' {
		return -1
	}
	n, err := strconv.ParseUint(token, 10, 31)
	if err != nil {
		return -1
	}
	return int(n)
}

// splice carries out the op on an item of the container that begins at i.
func (o *op) splice(doc []byte, i int, token string) ([]byte, error) {
	it, p, err := child(doc, i, token)
	missing := errors.Is(err, ErrNoTarget)
	if err != nil && (!missing || p.last < 0 || o.op != "add") {
		return nil, err
	}
	switch object := doc[i] == '{'; {
	case o.op == "remove":
		// The comma that goes with it is the one before, or for the first item the one after.
		from, to := it.begin, it.end
		if p.comma >= 0 {
			from = p.comma
		} else if next := space(doc, to); next < len(doc) && doc[next] == ',' {
			to = space(doc, next+1)
		}
		return join(doc[:from], nil, doc[to:]), nil
	case !missing && (object || o.op == "replace"):
		return join(doc[:it.at], o.value, doc[it.end:]), nil
	case !missing: // add before an element
		return join(doc[:it.begin], append(o.value[:len(o.value):len(o.value)], ','), doc[it.begin:]), nil
	case !object && token != "-" && arrayIndex(token) != p.n:
		return nil, ErrNoTarget
	}
	// Add at the end.
	var add []byte
	if p.n > 0 {
		add = append(add, ',')
	}
	if doc[i] == '{' {
		name, err := quote(unescaper.Replace(token))
		if err != nil {
			return nil, err
		}
		add = append(append(add, name...), ':')
	}
	return join(doc[:p.last], append(add, o.value...), doc[p.last:]), nil
}

func join(a, b, c []byte) []byte {
	out := make([]byte, 0, len(a)+len(b)+len(c))
	return append(append(append(out, a...), b...), c...)
}
