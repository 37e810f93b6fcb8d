package wire

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// CBOR tags that clients send (IANA registry).
const (
	cborTagDate   = 1
	cborTagBigPos = 2
	cborTagBigNeg = 3
	cborTagSet    = 258
	cborTagMap    = 259
)

// appendCBORHead writes the shortest head of an item.
func appendCBORHead(dst []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= math.MaxUint8:
		return append(dst, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

// fixCBORHead puts the head into the one byte that was left for it at position at,
// and moves what follows when the head is longer.
func fixCBORHead(dst []byte, at int, major byte, n uint64) []byte {
	if n < 24 {
		dst[at] = major<<5 | byte(n)
		return dst
	}
	var buf [9]byte
	head := appendCBORHead(buf[:0], major, n)
	extra := len(head) - 1
	dst = append(dst, head[1:]...) // room
	copy(dst[at+1+extra:], dst[at+1:len(dst)-extra])
	copy(dst[at:], head)
	return dst
}

// appendCBORUint64 writes an 8-byte integer: a BigInt to the client, however small.
func appendCBORUint64(dst []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0x1b), n)
}

func appendCBORFloat(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0xfb), math.Float64bits(f))
}

// appendCBORText writes a text string. Invalid UTF-8 becomes U+FFFD.
func appendCBORText(dst []byte, s string) []byte {
	if utf8.ValidString(s) {
		return append(appendCBORHead(dst, 3, uint64(len(s))), s...)
	}
	valid := strings.ToValidUTF8(s, "\ufffd")
	return append(appendCBORHead(dst, 3, uint64(len(valid))), valid...)
}

// appendCBORBigInt writes the decimal text of an integer so that clients read a BigInt.
func appendCBORBigInt(dst, text []byte) []byte {
	n, ok := new(big.Int).SetString(string(text), 10)
	if !ok {
		return append(dst, 0xf6) // cannot be: the text was checked
	}
	major, tag := byte(0), byte(cborTagBigPos)
	if n.Sign() < 0 {
		major, tag = 1, cborTagBigNeg
		n.Not(n) // -1-n
	}
	if n.IsUint64() {
		return binary.BigEndian.AppendUint64(append(dst, major<<5|27), n.Uint64())
	}
	b := n.Bytes()
	return append(appendCBORHead(append(dst, 0xc0|tag), 2, uint64(len(b))), b...)
}

// cborReader reads CBOR and writes compat JSON text to dst.
type cborReader struct {
	src   []byte
	pos   int
	dst   []byte
	depth int
	// tags: the other side has put compat tags into its arrays itself. Otherwise arrays
	// that look like tags are escaped.
	tags bool
	keys [][]byte
}

func (r *cborReader) fail(what string) error {
	return Errorf("actor", "invalid_request", "invalid CBOR: %s at byte %d", what, r.pos)
}

func (r *cborReader) enter() error {
	if r.depth++; r.depth > MaxDepth {
		return Errorf("actor", "invalid_request", "value nested deeper than %d", MaxDepth)
	}
	return nil
}

// whole reads src as exactly one item.
func (r *cborReader) whole() error {
	if err := r.item(); err != nil {
		return err
	}
	if r.pos != len(r.src) {
		return r.fail("bytes after the value")
	}
	return nil
}

// indefinite is the additional information of items whose end is marked by a break.
const indefinite = 31

// head reads the head of an item. info is the additional information, n what it means.
func (r *cborReader) head() (major, info byte, n uint64, err error) {
	if r.pos >= len(r.src) {
		return 0, 0, 0, r.fail("unexpected end")
	}
	c := r.src[r.pos]
	major, info = c>>5, c&31
	if info < 24 {
		r.pos++
		return major, info, uint64(info), nil
	}
	if info == indefinite {
		switch major {
		case 2, 3, 4, 5, 7:
			r.pos++
			return major, info, 0, nil
		}
		return 0, 0, 0, r.fail("indefinite length where there is none")
	}
	if info > 27 {
		return 0, 0, 0, r.fail("reserved additional information")
	}
	size := 1 << (info - 24)
	if len(r.src)-r.pos-1 < size {
		return 0, 0, 0, r.fail("unexpected end")
	}
	for _, b := range r.src[r.pos+1 : r.pos+1+size] {
		n = n<<8 | uint64(b)
	}
	r.pos += 1 + size
	return major, info, n, nil
}

func (r *cborReader) item() error {
	major, info, n, err := r.head()
	if err != nil {
		return err
	}
	switch major {
	case 0, 1:
		return r.integer(major, info, n)
	case 2:
		b, err := r.chunks(2, info, n)
		if err != nil {
			return err
		}
		return r.blob(b)
	case 3:
		return r.text(info, n)
	case 4:
		return r.array(info, n, false)
	case 5:
		return r.object(info, n)
	case 6:
		return r.tagged(n)
	}
	return r.simple(info, n)
}

// leafTag begins a tag that stands for something without children.
func (r *cborReader) leafTag(name string) error {
	if r.depth >= MaxDepth {
		return Errorf("actor", "invalid_request", "value nested deeper than %d", MaxDepth)
	}
	r.dst = append(r.dst, '[', '"')
	r.dst = append(r.dst, name...)
	r.dst = append(r.dst, '"', ',')
	return nil
}

func (r *cborReader) integer(major, info byte, n uint64) error {
	if info < 27 {
		if major == 1 {
			r.dst = strconv.AppendInt(r.dst, -1-int64(n), 10)
		} else {
			r.dst = strconv.AppendUint(r.dst, n, 10)
		}
		return nil
	}
	// Eight bytes: a BigInt, whatever its size.
	if err := r.leafTag(tagBigInt); err != nil {
		return err
	}
	r.dst = append(r.dst, '"')
	switch {
	case major == 0:
		r.dst = strconv.AppendUint(r.dst, n, 10)
	case n == math.MaxUint64:
		r.dst = append(r.dst, "-18446744073709551616"...)
	default:
		r.dst = strconv.AppendUint(append(r.dst, '-'), n+1, 10)
	}
	r.dst = append(r.dst, '"', ']')
	return nil
}

// chunks returns the bytes of a string whose head has been read, those of an
// indefinite one put together.
func (r *cborReader) chunks(major, info byte, n uint64) ([]byte, error) {
	if info != indefinite {
		if n > uint64(len(r.src)-r.pos) {
			return nil, r.fail("unexpected end")
		}
		b := r.src[r.pos : r.pos+int(n)]
		r.pos += int(n)
		if major == 3 && !utf8.Valid(b) {
			return nil, r.fail("invalid UTF-8")
		}
		return b, nil
	}
	var all []byte
	for {
		if r.broken() {
			return all, nil
		}
		m, i, n, err := r.head()
		if err != nil {
			return nil, err
		}
		if m != major || i == indefinite {
			return nil, r.fail("chunk of another type")
		}
		b, err := r.chunks(major, i, n)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
}

// broken consumes a break, if there is one.
func (r *cborReader) broken() bool {
	if r.pos < len(r.src) && r.src[r.pos] == 0xff {
		r.pos++
		return true
	}
	return false
}

func (r *cborReader) blob(b []byte) error {
	if err := r.leafTag(tagUint8Array); err != nil {
		return err
	}
	r.dst = append(r.dst, '"')
	r.dst = base64.StdEncoding.AppendEncode(r.dst, b)
	r.dst = append(r.dst, '"', ']')
	return nil
}

func (r *cborReader) text(info byte, n uint64) error {
	b, err := r.chunks(3, info, n)
	if err != nil {
		return err
	}
	r.dst = appendQuoted(r.dst, b)
	return nil
}

// more says whether an array or map of n elements, of which i have been read, goes on.
func (r *cborReader) more(info byte, n, i uint64) (bool, error) {
	if info == indefinite {
		if r.pos >= len(r.src) {
			return false, r.fail("unexpected end")
		}
		return !r.broken(), nil
	}
	return i < n, nil
}

// array reads an array. list: it is the list of a set, not a value, and never a tag.
func (r *cborReader) array(info byte, n uint64, list bool) error {
	if err := r.enter(); err != nil {
		return err
	}
	if n > uint64(len(r.src)-r.pos) {
		return r.fail("more elements than bytes")
	}
	r.dst = append(r.dst, '[')
	first := len(r.dst)
	i := uint64(0)
	for ; ; i++ {
		more, err := r.more(info, n, i)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if i > 0 {
			r.dst = append(r.dst, ',')
		}
		if err := r.item(); err != nil {
			return err
		}
	}
	if i == 2 && !list && !r.tags && r.dst[first] == '"' && r.dst[first+1] == '$' {
		r.dst = append(r.dst, 0)
		copy(r.dst[first+2:], r.dst[first+1:])
	}
	r.dst = append(r.dst, ']')
	r.depth--
	return nil
}

func (r *cborReader) object(info byte, n uint64) error {
	if err := r.enter(); err != nil {
		return err
	}
	if n > uint64(len(r.src)-r.pos)/2 {
		return r.fail("more entries than bytes")
	}
	r.dst = append(r.dst, '{')
	keys := keySet{at: len(r.keys)}
	for i := uint64(0); ; i++ {
		more, err := r.more(info, n, i)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if i > 0 {
			r.dst = append(r.dst, ',')
		}
		if err := r.key(&keys); err != nil {
			return err
		}
		r.dst = append(r.dst, ':')
		if err := r.item(); err != nil {
			return err
		}
	}
	r.keys = r.keys[:keys.at]
	r.dst = append(r.dst, '}')
	r.depth--
	return nil
}

// key writes a key of a map: text as it is, integers as JavaScript makes keys of them.
func (r *cborReader) key(keys *keySet) error {
	major, info, n, err := r.head()
	if err != nil {
		return err
	}
	at := len(r.dst)
	switch major {
	case 3:
		if err := r.text(info, n); err != nil {
			return err
		}
	case 0:
		r.dst = append(strconv.AppendUint(append(r.dst, '"'), n, 10), '"')
	case 1:
		if n == math.MaxUint64 {
			return r.fail("key out of range")
		}
		r.dst = append(strconv.AppendUint(append(r.dst, '"', '-'), n+1, 10), '"')
	default:
		return r.fail("key that is neither text nor integer")
	}
	// dst may move later; what the key's bytes were then stays readable here.
	if !keys.add(&r.keys, r.dst[at:len(r.dst):len(r.dst)]) {
		return r.fail("duplicate key")
	}
	return nil
}

func (r *cborReader) simple(info byte, n uint64) error {
	switch info {
	case 20:
		r.dst = append(r.dst, "false"...)
	case 21:
		r.dst = append(r.dst, "true"...)
	case 22:
		r.dst = append(r.dst, "null"...)
	case 23:
		if err := r.leafTag(tagUndefined); err != nil {
			return err
		}
		r.dst = append(r.dst, '0', ']')
	case 25:
		r.float(halfFloat(uint16(n)))
	case 26:
		r.float(float64(math.Float32frombits(uint32(n))))
	case 27:
		r.float(math.Float64frombits(n))
	case indefinite:
		return r.fail("break without a beginning")
	default:
		return r.fail("unassigned simple value")
	}
	return nil
}

func halfFloat(h uint16) float64 {
	exp, frac := int(h>>10&0x1f), float64(h&0x3ff)
	var f float64
	switch exp {
	case 0:
		f = math.Ldexp(frac, -24)
	case 31:
		f = math.Inf(1)
		if frac != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(frac+1024, exp-25)
	}
	if h&0x8000 != 0 {
		f = -f
	}
	return f
}

// float writes a number as JavaScript does, but for -0, which it writes "0".
func (r *cborReader) float(f float64) { r.dst = appendJSONFloat(r.dst, f) }

func appendJSONFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if f == 0 && math.Signbit(f) {
		return append(dst, '-', '0')
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		at := len(dst)
		dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
		// e-09 is e-9 in JavaScript.
		if n := len(dst); n-at >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
			dst[n-2] = dst[n-1]
			dst = dst[:n-1]
		}
		return dst
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// tagged reads the item under tag n.
func (r *cborReader) tagged(n uint64) error {
	switch n {
	case cborTagDate:
		return r.date()
	case cborTagBigPos, cborTagBigNeg:
		return r.bignum(n == cborTagBigNeg)
	case cborTagSet:
		if err := r.enter(); err != nil {
			return err
		}
		major, info, n, err := r.head()
		if err != nil {
			return err
		}
		if major != 4 {
			return r.fail("a set that is no array")
		}
		r.dst = append(r.dst, `["$Set",`...)
		if err := r.array(info, n, true); err != nil {
			return err
		}
		r.dst = append(r.dst, ']')
		r.depth--
		return nil
	case cborTagMap:
		if r.pos >= len(r.src) || r.src[r.pos]>>5 != 5 {
			return r.fail("a Map that is no map")
		}
		return r.item()
	case 0, 27, 32, 55799: // RFC 3339 text, generic object (Error, RegExp), URI, CBOR itself
		// The content says it all. Tags count as nesting: a chain of them recurses.
		if err := r.enter(); err != nil {
			return err
		}
		if err := r.item(); err != nil {
			return err
		}
		r.depth--
		return nil
	}
	if 64 <= n && n <= 87 && n != 76 {
		return r.typedArray(byte(n))
	}
	return r.fail("unsupported tag " + strconv.FormatUint(n, 10))
}

// date writes tag 1 as Date.toJSON does.
func (r *cborReader) date() error {
	major, info, n, err := r.head()
	if err != nil {
		return err
	}
	var sec float64
	switch {
	case major == 0:
		sec = float64(n)
	case major == 1:
		sec = -1 - float64(n)
	case major == 7 && info == 25:
		sec = halfFloat(uint16(n))
	case major == 7 && info == 26:
		sec = float64(math.Float32frombits(uint32(n)))
	case major == 7 && info == 27:
		sec = math.Float64frombits(n)
	default:
		return r.fail("a date that is no number")
	}
	ms := math.Floor(sec*1000 + 0.5) // Math.round
	if math.IsNaN(ms) || math.Abs(ms) > 8.64e15 {
		r.dst = append(r.dst, "null"...)
		return nil
	}
	r.dst = append(r.dst, '"')
	t := time.UnixMilli(int64(ms)).UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		sign := byte('+')
		if y < 0 {
			sign, y = '-', -y
		}
		r.dst = append(r.dst, sign)
		for div := 100000; div > 0; div /= 10 {
			r.dst = append(r.dst, byte('0'+y/div%10))
		}
		r.dst = t.AppendFormat(r.dst, "-01-02T15:04:05.000Z")
	} else {
		r.dst = t.AppendFormat(r.dst, "2006-01-02T15:04:05.000Z")
	}
	r.dst = append(r.dst, '"')
	return nil
}

func (r *cborReader) bytesItem(what string) ([]byte, error) {
	major, info, n, err := r.head()
	if err != nil {
		return nil, err
	}
	// Browsers may mark the bytes of a typed array as Uint8Array once more.
	if major == 6 && n == 64 {
		if major, info, n, err = r.head(); err != nil {
			return nil, err
		}
	}
	if major != 2 {
		return nil, r.fail(what + " that is no byte string")
	}
	return r.chunks(2, info, n)
}

func (r *cborReader) bignum(negative bool) error {
	b, err := r.bytesItem("a big integer")
	if err != nil {
		return err
	}
	if err := r.leafTag(tagBigInt); err != nil {
		return err
	}
	n := new(big.Int).SetBytes(b)
	if negative {
		n.Not(n)
	}
	r.dst = append(r.dst, '"')
	r.dst = n.Append(r.dst, 10)
	r.dst = append(r.dst, '"', ']')
	return nil
}

// typedArray reads tags 64 to 87 of RFC 8746: bytes as such, everything else as an
// array of its numbers.
func (r *cborReader) typedArray(tag byte) error {
	b, err := r.bytesItem("a typed array")
	if err != nil {
		return err
	}
	if tag == 64 || tag == 68 {
		return r.blob(b)
	}
	float, signed, little := tag&16 != 0, tag&8 != 0, tag&4 != 0
	size := 1 << (tag & 3)
	if float {
		size *= 2
	}
	if size == 16 || len(b)%size != 0 {
		return r.fail("unsupported typed array")
	}
	if r.depth+2 > MaxDepth {
		return Errorf("actor", "invalid_request", "value nested deeper than %d", MaxDepth)
	}
	r.dst = append(r.dst, '[')
	for i := 0; i < len(b); i += size {
		if i > 0 {
			r.dst = append(r.dst, ',')
		}
		var n uint64
		for j := range size {
			at := i + j
			if little {
				at = i + size - 1 - j
			}
			n = n<<8 | uint64(b[at])
		}
		switch {
		case float && size == 2:
			r.float(halfFloat(uint16(n)))
		case float && size == 4:
			r.float(float64(math.Float32frombits(uint32(n))))
		case float:
			r.float(math.Float64frombits(n))
		case size == 8:
			r.dst = append(r.dst, `["$BigInt","`...)
			if signed {
				r.dst = strconv.AppendInt(r.dst, int64(n), 10)
			} else {
				r.dst = strconv.AppendUint(r.dst, n, 10)
			}
			r.dst = append(r.dst, '"', ']')
		case signed:
			shift := 64 - 8*size
			r.dst = strconv.AppendInt(r.dst, int64(n<<shift)>>shift, 10)
		default:
			r.dst = strconv.AppendUint(r.dst, n, 10)
		}
	}
	r.dst = append(r.dst, ']')
	return nil
}
