package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/scanner"

	"github.com/actorlog/actorlog/internal/jsonpatch"
)

// Predicate is what a state must be: comparisons, joined by "and". The empty one is true of every state.
//
//	count > 10
//	owner = "ann" and lines[0].price >= 9.5
//	"a name with blanks".on = true
//
// A comparison is true if there is a value at the path, it is of the literal's type, and compares so. Numbers compare as 64-bit floats, texts by
// their bytes; true, false and null are equal or not.
type Predicate []Comparison

// Comparison is one path, one operator, one literal.
type Comparison struct {
	Path []Part
	// Op is =, !=, <, <=, > or >=.
	Op string
	// Value is a float64, string, bool or nil.
	Value any
}

// Part of a path: the name of a member, or the index of an element.
type Part struct {
	Name    string
	Index   int
	Element bool
}

// maxComparisons bounds a predicate.
const maxComparisons = 16

// ParsePredicate reads a predicate. Errors are [*Invalid].
func ParsePredicate(text string) (Predicate, error) {
	p := &parser{}
	p.s.Init(strings.NewReader(text))
	p.s.Mode = scanner.ScanIdents | scanner.ScanFloats | scanner.ScanStrings
	p.s.Error = func(_ *scanner.Scanner, msg string) { p.err = invalid("the condition: %s", msg) }
	p.next()
	var all Predicate
	for p.token != scanner.EOF && p.err == nil {
		if len(all) > 0 {
			if p.token != scanner.Ident || !strings.EqualFold(p.s.TokenText(), "and") {
				p.fail("and, or the end")
				break
			}
			p.next()
		}
		all = append(all, p.comparison())
	}
	if p.err != nil {
		return nil, p.err
	}
	if len(all) > maxComparisons {
		return nil, invalid("the condition has %d comparisons, more than %d", len(all), maxComparisons)
	}
	return all, nil
}

type parser struct {
	s     scanner.Scanner
	token rune
	err   error
}

func (p *parser) next() { p.token = p.s.Scan() }

func (p *parser) fail(want string) {
	if p.err == nil {
		got := p.s.TokenText()
		if p.token == scanner.EOF {
			got = "the end"
		}
		p.err = invalid("the condition at column %d: want %s, not %s; such as: count > 10 and owner.name = \"ann\"", p.s.Column, want, got)
	}
}

func (p *parser) comparison() Comparison {
	var c Comparison
	c.Path = append(c.Path, p.member())
	for p.err == nil && (p.token == '.' || p.token == '[') {
		element := p.token == '['
		p.next()
		if !element {
			c.Path = append(c.Path, p.member())
			continue
		}
		i, err := strconv.Atoi(p.s.TokenText())
		if p.token != scanner.Int || err != nil || i > 1<<30 {
			p.fail("the index of an element")
			return c
		}
		c.Path = append(c.Path, Part{Index: i, Element: true})
		p.next()
		if p.token != ']' {
			p.fail("]")
			return c
		}
		p.next()
	}
	c.Op = p.operator()
	c.Value = p.literal()
	if _, ordered := c.Value.(float64); !ordered && p.err == nil && c.Op != "=" && c.Op != "!=" {
		if _, isText := c.Value.(string); !isText {
			p.err = invalid("the condition: %s compares numbers and texts; for true, false and null there are = and !=", c.Op)
		}
	}
	return c
}

func (p *parser) member() Part {
	name := p.s.TokenText()
	switch p.token {
	case scanner.Ident:
	case scanner.String:
		var err error
		if name, err = strconv.Unquote(name); err != nil {
			p.fail("a name")
		}
	default:
		p.fail("a name of the state")
	}
	p.next()
	return Part{Name: name}
}

func (p *parser) operator() string {
	first := p.token
	if first != '=' && first != '!' && first != '<' && first != '>' {
		p.fail("one of = != < <= > >=")
		return ""
	}
	op := string(first)
	if p.s.Peek() == '=' && first != '=' {
		p.next()
		op += "="
	}
	if op == "!" {
		p.fail("!=")
	}
	p.next()
	return op
}

func (p *parser) literal() any {
	text, negative := p.s.TokenText(), false
	if p.token == '-' {
		negative = true
		p.next()
		text = p.s.TokenText()
	}
	defer p.next()
	switch {
	case p.token == scanner.Int || p.token == scanner.Float:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			p.fail("a number")
		}
		if negative {
			f = -f
		}
		return f
	case negative:
		p.fail("a number")
	case p.token == scanner.String:
		s, err := strconv.Unquote(text)
		if err != nil {
			p.fail("a text")
		}
		return s
	case text == "true", text == "false":
		return text == "true"
	case text == "null":
		return nil
	default:
		p.fail(`a number, a text in "quotes", true, false or null`)
	}
	return nil
}

// Matches says whether a state is so.
func (p Predicate) Matches(state []byte) bool {
	for i := range p {
		if !p[i].matches(state) {
			return false
		}
	}
	return true
}

func (c *Comparison) matches(state []byte) bool {
	value := bytes.TrimSpace(state)
	for _, part := range c.Path {
		var ok bool
		if part.Element {
			value, ok = jsonpatch.Element(value, part.Index)
		} else {
			value, ok = jsonpatch.Member(value, part.Name)
		}
		if !ok {
			return false
		}
	}
	if len(value) == 0 {
		return false
	}
	switch want := c.Value.(type) {
	case float64:
		if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
			return false
		}
		got, err := strconv.ParseFloat(string(value), 64)
		return err == nil && ordered(c.Op, compare(got, want))
	case string:
		var got string
		if value[0] != '"' || json.Unmarshal(value, &got) != nil {
			return false
		}
		return ordered(c.Op, strings.Compare(got, want))
	case bool:
		if value[0] != 't' && value[0] != 'f' {
			return false
		}
		return (c.Op == "=") == ((value[0] == 't') == want)
	}
	return (c.Op == "=") == (value[0] == 'n')
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func ordered(op string, c int) bool {
	switch op {
	case "=":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// String is the predicate as [ParsePredicate] reads it.
func (p Predicate) String() string {
	var parts []string
	for _, c := range p {
		var b strings.Builder
		for i, part := range c.Path {
			switch {
			case part.Element:
				fmt.Fprintf(&b, "[%d]", part.Index)
			case i > 0:
				b.WriteString("." + strconv.Quote(part.Name))
			default:
				b.WriteString(strconv.Quote(part.Name))
			}
		}
		value := "null"
		switch v := c.Value.(type) {
		case float64:
			value = strconv.FormatFloat(v, 'g', -1, 64)
		case string:
			value = strconv.Quote(v)
		case bool:
			value = strconv.FormatBool(v)
		}
		parts = append(parts, b.String()+" "+c.Op+" "+value)
	}
	return strings.Join(parts, " and ")
}
