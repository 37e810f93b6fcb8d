package jsonpatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxShift is how many elements may have left the front of an array for Diff to see that
// the rest has only moved up.
const maxShift = 64

// maxDepth is how deep documents are compared; what lies deeper is replaced as a whole. Every level
// reads all below it once more: the bound keeps the time linear in the length of the documents.
const maxDepth = 64

// Diff returns the patch that turns one document into another; nil when they are the same. Two
// numbers are the same when they are written the same.
//
// It compares objects member by member and arrays element by element from both ends; an array
// that lost elements at the front and gained some at the end is recognized. It does not look
// for the shortest patch.
func Diff(before, after []byte) ([]byte, error) {
	if bytes.Equal(before, after) {
		return nil, nil
	}
	d := differ{out: make([]byte, 0, 64)}
	if err := d.values(trim(before), trim(after)); err != nil {
		return nil, fmt.Errorf("comparing documents: %w", err)
	}
	if len(d.out) == 0 {
		return nil, nil
	}
	return append(d.out, ']'), nil
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

type differ struct {
	out []byte
	// path is the JSON text of the pointer to where the differ is, without quotes.
	path  []byte
	depth int
}

func (d *differ) values(a, b []byte) error {
	if bytes.Equal(a, b) {
		return nil
	}
	if len(a) == 0 || len(b) == 0 {
		return errSyntax
	}
	d.depth++
	defer func() { d.depth-- }()
	switch {
	case d.depth > maxDepth:
	case a[0] == '{' && b[0] == '{':
		return d.objects(a, b)
	case a[0] == '[' && b[0] == '[':
		return d.arrays(a, b)
	case a[0] == '"' && b[0] == '"':
		// The same text may be escaped in two ways.
		x, err := text(a)
		if err != nil {
			return err
		}
		y, err := text(b)
		if err != nil || same(x, y) {
			return err
		}
	}
	d.op("replace", b)
	return nil
}

// same compares texts. A text with a replacement character may have been another one before it was
// decoded: half a surrogate pair.
func same(x, y string) bool { return x == y && !strings.ContainsRune(x, utf8.RuneError) }

func list(b []byte) ([]item, error) {
	all := make([]item, 0, 8)
	c := items(b, 0)
	for it, ok := c.next(); ok; it, ok = c.next() {
		all = append(all, it)
	}
	return all, c.err
}

func (d *differ) objects(a, b []byte) error {
	as, err := list(a)
	if err != nil {
		return err
	}
	bs, err := list(b)
	if err != nil {
		return err
	}
	found := make([]bool, len(bs))
	in := members{list: bs}
	for _, m := range as {
		i, err := in.find(m.name)
		if err != nil {
			return err
		}
		at := len(d.path)
		if err := d.descend(m.name); err != nil {
			return err
		}
		if i < 0 {
			d.op("remove", nil)
		} else {
			in.guess, found[i] = i+1, true
			if err := d.values(m.value, bs[i].value); err != nil {
				return err
			}
		}
		d.path = d.path[:at]
	}
	for i, m := range bs {
		if found[i] {
			continue
		}
		at := len(d.path)
		if err := d.descend(m.name); err != nil {
			return err
		}
		d.op("add", m.value)
		d.path = d.path[:at]
	}
	return nil
}

// members finds members of an object by name.
type members struct {
	list []item
	// guess is where to look first: encoders write members in the same order.
	guess int
	// byName is made when a guess was wrong; byText too, if a name was not found as it is written.
	byName, byText map[string]int
}

// find returns the index of a member, -1 when there is none.
func (m *members) find(name []byte) (int, error) {
	if m.guess < len(m.list) && bytes.Equal(m.list[m.guess].name, name) {
		return m.guess, nil
	}
	if m.byName == nil {
		m.byName = make(map[string]int, len(m.list))
		escaped := false
		for i := range m.list {
			m.byName[string(m.list[i].name)] = i
			escaped = escaped || bytes.IndexByte(m.list[i].name, '\\') >= 0
		}
		if escaped {
			m.byText = make(map[string]int)
		}
	}
	if i, ok := m.byName[string(name)]; ok {
		return i, nil
	}
	// The same name may be escaped in two ways.
	if m.byText == nil {
		if bytes.IndexByte(name, '\\') < 0 {
			return -1, nil
		}
		m.byText = make(map[string]int)
	}
	if len(m.byText) == 0 {
		for i := range m.list {
			s, err := text(m.list[i].name)
			if err != nil {
				return 0, err
			}
			m.byText[s] = i
		}
	}
	want, err := text(name)
	if err != nil {
		return 0, err
	}
	if i, ok := m.byText[want]; ok && same(want, want) {
		return i, nil
	}
	return -1, nil
}

func (d *differ) arrays(a, b []byte) error {
	as, err := list(a)
	if err != nil {
		return err
	}
	bs, err := list(b)
	if err != nil {
		return err
	}
	equal := func(i, j int) bool { return bytes.Equal(as[i].value, bs[j].value) }
	if k := shift(as, bs); k > 0 {
		for range k {
			d.element("remove", 0, nil)
		}
		for i := len(as) - k; i < len(bs); i++ {
			d.element("add", i, bs[i].value)
		}
		return nil
	}
	head := 0
	for head < min(len(as), len(bs)) && equal(head, head) {
		head++
	}
	tail := 0
	for tail < min(len(as), len(bs))-head && equal(len(as)-1-tail, len(bs)-1-tail) {
		tail++
	}
	m, n := len(as)-tail, len(bs)-tail
	for i := head; i < min(m, n); i++ {
		at := len(d.path)
		d.index(i)
		if err := d.values(as[i].value, bs[i].value); err != nil {
			return err
		}
		d.path = d.path[:at]
	}
	for i := m - 1; i >= n; i-- {
		d.element("remove", i, nil)
	}
	for i := m; i < n; i++ {
		d.element("add", i, bs[i].value)
	}
	return nil
}

// shift returns k > 0 when a without its first k elements is how b begins.
func shift(a, b []item) int {
	if len(b) == 0 {
		return 0
	}
	for k := 1; k <= min(maxShift, len(a)-1); k++ {
		rest := a[k:]
		if len(rest) > len(b) || !bytes.Equal(rest[0].value, b[0].value) {
			continue
		}
		if slices.EqualFunc(rest, b[:len(rest)], func(x, y item) bool { return bytes.Equal(x.value, y.value) }) {
			return k
		}
	}
	return 0
}

func (d *differ) element(op string, i int, v []byte) {
	at := len(d.path)
	d.index(i)
	d.op(op, v)
	d.path = d.path[:at]
}

func (d *differ) index(i int) { d.path = strconv.AppendInt(append(d.path, '/'), int64(i), 10) }

// descend goes to a member.
func (d *differ) descend(name []byte) error {
	d.path = append(d.path, '/')
	inner := name[1 : len(name)-1]
	if bytes.IndexByte(inner, '~') < 0 && bytes.IndexByte(inner, '/') < 0 && bytes.IndexByte(inner, '\\') < 0 {
		d.path = append(d.path, inner...)
		return nil
	}
	s, err := text(name)
	if err != nil {
		return err
	}
	quoted, err := json.Marshal(escaper.Replace(s))
	if err != nil {
		return err
	}
	d.path = append(d.path, quoted[1:len(quoted)-1]...)
	return nil
}

var (
	escaper   = strings.NewReplacer("~", "~0", "/", "~1")
	unescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

func (d *differ) op(op string, v []byte) {
	if len(d.out) == 0 {
		d.out = append(d.out, '[')
	} else {
		d.out = append(d.out, ',')
	}
	d.out = append(append(append(d.out, `{"op":"`...), op...), `","path":"`...)
	d.out = append(append(d.out, d.path...), '"')
	if v != nil {
		d.out = append(append(d.out, `,"value":`...), v...)
	}
	d.out = append(d.out, '}')
}
