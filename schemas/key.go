package schemas

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of names and keys, in bytes. They are those of Rivet Actors.
const (
	MaxKindLen      = 64
	MaxNamespaceLen = 64
	MaxKeyPartLen   = 128
	MaxKeyLen       = 1024
	// MaxInputLen bounds the JSON text of a creation input.
	MaxInputLen = 4 << 20
)

// Key names an actor within its kind: zero or more strings, never joined, so that no
// part can pretend to be two. The nil Key and the empty Key are the same.
type Key []string

// String is the canonical text of a key, as Rivet writes it: parts joined by "/", with
// "\" and "/" inside a part escaped by "\", an empty part written `\0`, and the empty key "/".
// Two keys are equal exactly if their texts are.
// Source: the RivetKit client's key serialization, versions 2.0 to 2.3.
func (k Key) String() string {
	if len(k) == 0 {
		return "/"
	}
	var b strings.Builder
	for i, part := range k {
		if i > 0 {
			b.WriteByte('/')
		}
		if part == "" {
			b.WriteString(`\0`)
			continue
		}
		for j := range len(part) {
			if part[j] == '\\' || part[j] == '/' {
				b.WriteByte('\\')
			}
			b.WriteByte(part[j])
		}
	}
	return b.String()
}

// ParseKey is the inverse of [Key.String]. It accepts any text: a trailing lone
// backslash is literal, "" and "/" are the empty key.
func ParseKey(text string) Key {
	if text == "" || text == "/" {
		return nil
	}
	var key Key
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '/':
			key = append(key, part.String())
			part.Reset()
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] != '0' {
				part.WriteByte(text[i])
			}
		default:
			part.WriteByte(c)
		}
	}
	return append(key, part.String())
}

// Validate checks the limits. The error text is for the client.
func (k Key) Validate() error {
	for i, part := range k {
		if len(part) > MaxKeyPartLen {
			return fmt.Errorf("part %d of the key has %d bytes, more than %d", i, len(part), MaxKeyPartLen)
		}
		if !utf8.ValidString(part) {
			return fmt.Errorf("part %d of the key is not valid UTF-8", i)
		}
	}
	if n := len(k.String()); n > MaxKeyLen {
		return fmt.Errorf("the key has %d bytes, more than %d", n, MaxKeyLen)
	}
	return nil
}

// ValidateKind checks the wire name of a kind: 1 to 64 bytes of UTF-8 without control
// characters, "/" or "@", which addresses need for themselves. The error text is for the client.
func ValidateKind(kind string) error { return validateName("kind", kind, MaxKindLen) }

// ValidateNamespace checks a namespace by the same rule as [ValidateKind].
func ValidateNamespace(ns string) error { return validateName("namespace", ns, MaxNamespaceLen) }

func validateName(what, name string, limit int) error {
	if name == "" {
		return fmt.Errorf("the %s is empty", what)
	}
	if len(name) > limit {
		return fmt.Errorf("the %s has %d bytes, more than %d", what, len(name), limit)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("the %s is not valid UTF-8", what)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == '/' || r == '@' {
			return fmt.Errorf("the %s contains %q", what, r)
		}
	}
	return nil
}
