package wire

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The tags of compat text.
const (
	tagBigInt      = "$BigInt"
	tagUint8Array  = "$Uint8Array"
	tagArrayBuffer = "$ArrayBuffer"
	tagUndefined   = "$Undefined"
	tagSet         = "$Set"
)

// tagMode says what a transcoder of JSON text does with two-element arrays that begin
// with a "$" name.
type tagMode uint8

const (
	// tagsStore: compat text from a client, stored as it is.
	tagsStore tagMode = iota
	// tagsEscape: JSON from somebody who knows no tags; every such array gets a "$" more.
	tagsEscape
	// tagsKeep: for clients since 2.3. Valid tags and escaped arrays stay; what looks like a
	// tag but is none gets a "$" more, because the client would throw on it.
	tagsKeep
	// tagsOld: for JSON clients before 2.3, which know only BigInt and bytes.
	tagsOld
	// tagsNative: for CBOR clients before 2.3, which know no tags.
	tagsNative
	// tagsBoth: for CBOR clients of any version. Native, but arrays stay escaped.
	tagsBoth
)

// jsonReader reads JSON text strictly (RFC 8259, UTF-8) and writes what it read to
// dst, as JSON text without insignificant space or as CBOR.
type jsonReader struct {
	src   []byte
	pos   int
	dst   []byte
	depth int
	cbor  bool
	// discard writes nothing: the text is only checked and skipped.
	discard bool
	// unique refuses objects that have a key twice.
	unique bool
	tags   tagMode
	keys   [][]byte
}

func (r *jsonReader) fail(what string) error {
	return Errorf("actor", "invalid_request", "invalid JSON: %s at byte %d", what, r.pos)
}

func (r *jsonReader) space() {
	for r.pos < len(r.src) {
		switch r.src[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// peek is the next byte that is no space, or 0 at the end.
func (r *jsonReader) peek() byte {
	r.space()
	if r.pos < len(r.src) {
		return r.src[r.pos]
	}
	return 0
}

func (r *jsonReader) enter() error {
	if r.depth++; r.depth > MaxDepth {
		return Errorf("actor", "invalid_request", "value nested deeper than %d", MaxDepth)
	}
	return nil
}

// listKind tells arrays that are lists from arrays that are values: a list is never a tag.
type listKind uint8

const (
	noList listKind = iota
	// argList is a list of arguments. Who reads tags takes it for a value all the same,
	// so it must be escaped for them (rivetkit revives whole messages).
	argList
	// setList is the second element of a $Set. Nobody takes it for a value.
	setList
)

// whole reads src as exactly one value.
func (r *jsonReader) whole(list listKind) error {
	if err := r.value(list); err != nil {
		return err
	}
	if r.space(); r.pos != len(r.src) {
		return r.fail("text after the value")
	}
	return nil
}

// value reads one value.
func (r *jsonReader) value(list listKind) error {
	switch c := r.peek(); c {
	case '{':
		return r.object()
	case '[':
		return r.array(list)
	case '"':
		return r.str()
	case 't':
		return r.literal("true", 0xf5)
	case 'f':
		return r.literal("false", 0xf4)
	case 'n':
		return r.literal("null", 0xf6)
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return r.number()
		}
		if r.pos == len(r.src) {
			return r.fail("unexpected end")
		}
		return r.fail("unexpected character")
	}
}

func (r *jsonReader) literal(word string, code byte) error {
	if len(r.src)-r.pos < len(word) || string(r.src[r.pos:r.pos+len(word)]) != word {
		return r.fail("unexpected character")
	}
	r.pos += len(word)
	switch {
	case r.discard:
	case r.cbor:
		r.dst = append(r.dst, code)
	default:
		r.dst = append(r.dst, word...)
	}
	return nil
}

func (r *jsonReader) digits() bool {
	start := r.pos
	for r.pos < len(r.src) && '0' <= r.src[r.pos] && r.src[r.pos] <= '9' {
		r.pos++
	}
	return r.pos > start
}

func (r *jsonReader) number() error {
	start := r.pos
	if r.src[r.pos] == '-' {
		r.pos++
	}
	if r.pos < len(r.src) && r.src[r.pos] == '0' {
		r.pos++
	} else if !r.digits() {
		return r.fail("number without digits")
	}
	integer := true
	if r.pos < len(r.src) && r.src[r.pos] == '.' {
		integer = false
		if r.pos++; !r.digits() {
			return r.fail("number without digits after the point")
		}
	}
	if r.pos < len(r.src) && r.src[r.pos]|0x20 == 'e' {
		integer = false
		if r.pos++; r.pos < len(r.src) && (r.src[r.pos] == '+' || r.src[r.pos] == '-') {
			r.pos++
		}
		if !r.digits() {
			return r.fail("number without digits in the exponent")
		}
	}
	switch {
	case r.discard:
	case r.cbor:
		r.dst = appendCBORNumber(r.dst, r.src[start:r.pos], integer)
	default:
		r.dst = append(r.dst, r.src[start:r.pos]...)
	}
	return nil
}

// appendCBORNumber writes a number as cbor-x does: integers that fit into four bytes as
// such, everything else as float64. Text beyond the range of float64 becomes an infinity,
// as JSON.parse makes it.
func appendCBORNumber(dst, text []byte, integer bool) []byte {
	if integer && len(text) <= 10 && text[0] != '-' {
		var n uint64
		for _, c := range text {
			n = n*10 + uint64(c-'0')
		}
		if n <= math.MaxUint32 {
			return appendCBORHead(dst, 0, n)
		}
	}
	f, _ := strconv.ParseFloat(string(text), 64) // the syntax is known to be right: the error can only be ErrRange, and f is then infinite
	if f == math.Trunc(f) && !(f == 0 && math.Signbit(f)) {
		if f >= 0 && f <= math.MaxUint32 {
			return appendCBORHead(dst, 0, uint64(f))
		}
		if f < 0 && f >= -(math.MaxUint32+1) {
			return appendCBORHead(dst, 1, uint64(-1-f))
		}
	}
	return appendCBORFloat(dst, f)
}

// str reads a string and writes it.
func (r *jsonReader) str() error {
	start := r.pos
	plain, err := r.skipString()
	if err != nil || r.discard {
		return err
	}
	raw := r.src[start:r.pos]
	switch {
	case !r.cbor:
		r.dst = append(r.dst, raw...)
	case plain:
		r.dst = append(appendCBORHead(r.dst, 3, uint64(len(raw)-2)), raw[1:len(raw)-1]...)
	default:
		at := len(r.dst)
		r.dst = unquote(append(r.dst, 0), raw[1:len(raw)-1])
		r.dst = fixCBORHead(r.dst, at, 3, uint64(len(r.dst)-at-1))
	}
	return nil
}

// skipString checks a string and moves behind it. plain: it has no escapes.
func (r *jsonReader) skipString() (plain bool, err error) {
	plain = true
	r.pos++
	for r.pos < len(r.src) {
		c := r.src[r.pos]
		switch {
		case c == '"':
			r.pos++
			return plain, nil
		case c == '\\':
			plain = false
			if r.pos++; r.pos >= len(r.src) {
				return false, r.fail("unexpected end")
			}
			switch r.src[r.pos] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				r.pos++
			case 'u':
				if hex4(r.src[r.pos+1:]) < 0 {
					return false, r.fail("invalid escape")
				}
				r.pos += 5
			default:
				return false, r.fail("invalid escape")
			}
		case c < ' ':
			return false, r.fail("control character in a string")
		case c < utf8.RuneSelf:
			r.pos++
		default:
			ch, n := utf8.DecodeRune(r.src[r.pos:])
			if ch == utf8.RuneError && n == 1 {
				return false, r.fail("invalid UTF-8")
			}
			r.pos += n
		}
	}
	return false, r.fail("unexpected end")
}

// hex4 is the number that the first four characters of s write, or -1.
func hex4(s []byte) rune {
	if len(s) < 4 {
		return -1
	}
	var n rune
	for _, c := range s[:4] {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			n = n<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return n
}

// unquote appends what the inside of a checked string means. A surrogate without its
// partner becomes U+FFFD: UTF-8 cannot carry it.
func unquote(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			ch := hex4(s)
			s = s[4:]
			if ch >= 0xd800 && ch < 0xe000 {
				low := rune(-1)
				if ch < 0xdc00 && len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
					low = hex4(s[2:])
				}
				if low >= 0xdc00 && low < 0xe000 {
					ch = 0x10000 + (ch-0xd800)<<10 + (low - 0xdc00)
					s = s[6:]
				} else {
					ch = utf8.RuneError
				}
			}
			dst = utf8.AppendRune(dst, ch)
		default:
			dst = append(dst, c)
		}
	}
}

func (r *jsonReader) object() error {
	if err := r.enter(); err != nil {
		return err
	}
	r.pos++
	at, keys := len(r.dst), keySet{at: len(r.keys)}
	r.put('{')
	n := uint64(0)
	for r.peek() != '}' {
		if n > 0 {
			if r.peek() != ',' {
				return r.fail("missing comma")
			}
			r.pos++
			r.comma()
		}
		if r.peek() != '"' {
			return r.fail("missing key")
		}
		if err := r.key(&keys); err != nil {
			return err
		}
		if r.peek() != ':' {
			return r.fail("missing colon")
		}
		r.pos++
		if !r.cbor && !r.discard {
			r.dst = append(r.dst, ':')
		}
		if err := r.value(noList); err != nil {
			return err
		}
		n++
	}
	r.pos++
	r.end(at, 5, n, '}')
	r.keys = r.keys[:keys.at]
	r.depth--
	return nil
}

// key reads a key and, if asked to, refuses one that the object already has.
func (r *jsonReader) key(keys *keySet) error {
	start := r.pos
	if !r.unique {
		return r.str()
	}
	if err := r.str(); err != nil {
		return err
	}
	key := r.src[start+1 : r.pos-1]
	if bytes.IndexByte(key, '\\') >= 0 {
		key = unquote(nil, key)
	}
	if !keys.add(&r.keys, key) {
		return r.fail("duplicate key")
	}
	return nil
}

// keySet finds keys that an object has twice. Few keys, as nearly always, are compared
// one by one; many through an index.
type keySet struct {
	at    int // where the object's keys begin in the reader's list
	index map[string]struct{}
}

// add returns false if the key is there already.
func (s *keySet) add(keys *[][]byte, key []byte) bool {
	have := (*keys)[s.at:]
	if len(have) < 32 {
		for _, k := range have {
			if bytes.Equal(k, key) {
				return false
			}
		}
		*keys = append(*keys, key)
		return true
	}
	if s.index == nil {
		s.index = make(map[string]struct{}, 2*len(have))
		for _, k := range have {
			s.index[string(k)] = struct{}{}
		}
	}
	if _, there := s.index[string(key)]; there {
		return false
	}
	s.index[string(key)] = struct{}{}
	return true
}

func (r *jsonReader) put(c byte) {
	switch {
	case r.discard:
	case r.cbor:
		r.dst = append(r.dst, 0) // the head, as soon as the number of elements is known
	default:
		r.dst = append(r.dst, c)
	}
}

func (r *jsonReader) comma() {
	if !r.cbor && !r.discard {
		r.dst = append(r.dst, ',')
	}
}

func (r *jsonReader) end(at int, major byte, n uint64, c byte) {
	switch {
	case r.discard:
	case r.cbor:
		r.dst = fixCBORHead(r.dst, at, major, n)
	default:
		r.dst = append(r.dst, c)
	}
}

func (r *jsonReader) array(list listKind) error {
	if err := r.enter(); err != nil {
		return err
	}
	r.pos++
	at := len(r.dst)
	r.put('[')
	var (
		n          uint64
		first, snd span
	)
	for r.peek() != ']' {
		if n > 0 {
			if r.peek() != ',' {
				return r.fail("missing comma")
			}
			r.pos++
			r.comma()
		}
		r.space()
		s := span{src: r.pos, dst: len(r.dst)}
		kind := noList
		if n == 1 && r.setAhead(first) {
			kind = setList
		}
		if err := r.value(kind); err != nil {
			return err
		}
		s.srcEnd = r.pos
		switch n {
		case 0:
			first = s
		case 1:
			snd = s
		}
		n++
	}
	r.pos++
	r.depth--
	if n == 2 && !r.discard && r.tags != tagsStore && r.src[first.src] == '"' {
		if done := r.tagged(at, first, snd, list); done {
			return nil
		}
	}
	r.end(at, 4, n, ']')
	return nil
}

// setAhead says whether what begins here is the second and last element of a $Set.
func (r *jsonReader) setAhead(first span) bool {
	switch r.tags {
	case tagsStore, tagsEscape:
		return false
	}
	if r.discard || r.pos == len(r.src) || r.src[r.pos] != '[' || r.src[first.src] != '"' || string(r.dollars(first)) != tagSet {
		return false
	}
	ahead := jsonReader{src: r.src, pos: r.pos, depth: r.depth, discard: true}
	return ahead.value(noList) == nil && ahead.peek() == ']'
}

// span is where an element stands: in the source, and from where in the output.
type span struct{ src, srcEnd, dst int }

// dollars is the inside of the string at s, decoded, if it begins with "$", else nil.
func (r *jsonReader) dollars(s span) []byte {
	in := r.src[s.src+1 : s.srcEnd-1]
	if len(in) > 0 && in[0] == '\\' {
		in = unquote(nil, in) // "\u0024" is a dollar too
	}
	if len(in) == 0 || in[0] != '$' {
		return nil
	}
	if bytes.IndexByte(in, '\\') >= 0 {
		in = unquote(nil, in)
	}
	return in
}

// tagged rewrites an array of two whose elements have just been written, if it begins
// with a "$" name and the other side wants it in another form. It returns true if the
// array is then complete.
func (r *jsonReader) tagged(at int, first, snd span, list listKind) bool {
	name := r.dollars(first)
	if name == nil {
		return false
	}
	if list != noList {
		// No tag, whatever it looks like. The list of a $Set becomes a value of its own
		// for JSON clients before 2.3.
		if r.tags != tagsNative && (list == argList || r.tags == tagsOld) {
			r.rename(first, snd, append([]byte{'$'}, name...))
		}
		return false
	}
	kind := r.tagKind(name, snd)
	switch r.tags {
	case tagsEscape:
		r.rename(first, snd, append([]byte{'$'}, name...))
		return false
	case tagsKeep:
		if kind == "" {
			r.rename(first, snd, append([]byte{'$'}, name...))
		}
		return false
	case tagsOld:
		switch kind {
		case "":
			r.rename(first, snd, append([]byte{'$'}, name...))
		case tagUndefined:
			r.dst = append(r.dst[:at], "null"...)
			return true
		case tagSet:
			r.dst = append(r.dst[:at], r.dst[snd.dst:]...)
			return true
		}
		return false
	}
	switch kind {
	case "$$":
		if r.tags == tagsNative {
			r.rename(first, snd, name[1:])
		}
		return false
	case "":
		if r.tags == tagsBoth {
			r.rename(first, snd, append([]byte{'$'}, name...))
		}
		return false
	case tagUndefined:
		r.dst = append(r.dst[:at], 0xf7)
	case tagSet:
		r.dst = append(appendCBORHead(r.dst[:at], 6, cborTagSet), r.dst[snd.dst:]...)
	case tagBigInt:
		r.dst = appendCBORBigInt(r.dst[:at], r.inside(snd))
	default:
		in := r.inside(snd)
		r.dst = appendCBORHead(r.dst[:at], 2, uint64(decodedLen(in)))
		r.dst, _ = base64.StdEncoding.AppendDecode(r.dst, in) // checked by tagKind
	}
	return true
}

// inside of a string without escapes.
func (r *jsonReader) inside(s span) []byte { return r.src[s.src+1 : s.srcEnd-1] }

// tagKind is which tag an array [name, second] is, "$$" if it is an escaped array, or
// empty if it is neither.
func (r *jsonReader) tagKind(name []byte, second span) string {
	text := r.src[second.src:second.srcEnd]
	switch string(name) {
	case tagUndefined:
		return tagUndefined
	case tagSet:
		if text[0] == '[' {
			return tagSet
		}
	case tagBigInt:
		if text[0] == '"' && isInteger(r.inside(second)) {
			return tagBigInt
		}
	case tagUint8Array, tagArrayBuffer:
		if text[0] == '"' && isBase64(r.inside(second)) {
			return tagUint8Array
		}
	}
	if len(name) > 1 && name[1] == '$' {
		return "$$"
	}
	return ""
}

// rename writes another first string into an array of two.
func (r *jsonReader) rename(first, snd span, name []byte) {
	tail := append([]byte(nil), r.dst[snd.dst:]...)
	r.dst = r.dst[:first.dst]
	if r.cbor {
		r.dst = append(appendCBORHead(r.dst, 3, uint64(len(name))), name...)
	} else {
		r.dst = append(appendJSONString(r.dst, string(name)), ',')
	}
	r.dst = append(r.dst, tail...)
}

// isInteger says whether s is what BigInt.toString writes, but for its length.
func isInteger(s []byte) bool {
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	if len(s) == 0 {
		return false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isBase64 says whether s is standard base64 with its padding.
func isBase64(s []byte) bool {
	if len(s)%4 != 0 {
		return false
	}
	for i, c := range s {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '/':
		case c == '=' && (i == len(s)-1 || i == len(s)-2 && s[i+1] == '='):
		default:
			return false
		}
	}
	return true
}

// decodedLen of checked base64.
func decodedLen(s []byte) int {
	n := len(s) / 4 * 3
	for i := len(s) - 1; i >= 0 && s[i] == '='; i-- {
		n--
	}
	return n
}

const hexDigits = "0123456789abcdef"

// appendJSONString writes s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return appendQuoted(dst, s)
}

// appendQuoted writes valid UTF-8 as a JSON string, escaping as JSON.stringify does.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}
