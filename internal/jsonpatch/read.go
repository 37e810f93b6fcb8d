package jsonpatch

import (
	"fmt"
	"strconv"
	"strings"
)

// Op is one operation of a patch, as it is written.
type Op struct {
	// Op is add, replace, remove, or one of those that Diff never writes.
	Op string
	// Path it is about; From is where a move or copy takes it from. JSON pointers.
	Path, From string
	// Text is the whole operation, and shares memory with the patch.
	Text []byte
}

// Each calls fn with each operation of a patch, in order, until fn returns false. What comes before a syntax error is passed on.
func Each(patch []byte, fn func(Op) bool) error {
	i := space(patch, 0)
	if i >= len(patch) || patch[i] != '[' {
		return fmt.Errorf("the patch is no array: %w", errSyntax)
	}
	ops := items(patch, i)
	for it, ok := ops.next(); ok; it, ok = ops.next() {
		o, err := parseOp(it.value)
		if err != nil {
			return err
		}
		found := Op{Op: o.op, Path: o.path, Text: it.value}
		if o.op == "move" || o.op == "copy" {
			if found.From, err = fromOf(it.value); err != nil {
				return err
			}
		}
		if !fn(found) {
			return nil
		}
	}
	return ops.err
}

func fromOf(op []byte) (string, error) {
	c := items(op, 0)
	for it, ok := c.next(); ok; it, ok = c.next() {
		if string(it.name) == `"from"` && it.value[0] == '"' {
			return text(it.value)
		}
	}
	return "", c.err
}

// Member returns the value of that name in an object, and false if the document is no object or has none.
func Member(document []byte, name string) ([]byte, bool) {
	doc := trim(document)
	if len(doc) == 0 || doc[0] != '{' {
		return nil, false
	}
	it, _, err := child(doc, 0, strings.ReplaceAll(name, "~", "~0"))
	return it.value, err == nil
}

// Element returns the value at an index of an array, and false if the document is no array or is shorter.
func Element(document []byte, index int) ([]byte, bool) {
	doc := trim(document)
	if len(doc) == 0 || doc[0] != '[' || index < 0 {
		return nil, false
	}
	it, _, err := child(doc, 0, strconv.Itoa(index))
	return it.value, err == nil
}

// At returns the value that a JSON pointer points to, and false if there is none.
func At(document []byte, pointer string) ([]byte, bool) {
	doc := trim(document)
	if pointer == "" {
		return doc, len(doc) > 0
	}
	if pointer[0] != '/' {
		return nil, false
	}
	for from, rest := 0, pointer[1:]; ; {
		token, more, deeper := strings.Cut(rest, "/")
		it, _, err := child(doc, from, token)
		if err != nil || !deeper {
			return it.value, err == nil
		}
		from, rest = it.at, more
	}
}
