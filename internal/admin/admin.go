// Package admin is how operators are told from others: by tokens, or by sitting at the machine. It reads no files and writes no answers.
package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"
)

// MinToken is how many bytes a token has at least.
const MinToken = 16

// Tokens that operators may present: any of them, so that a new one can be given out before the old one is taken away.
type Tokens []string

// Parse reads tokens, one a line. Empty lines, and lines that begin with #, are none.
func Parse(text string) (Tokens, error) {
	var tokens Tokens
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := check(line); err != nil {
			return nil, err
		}
		tokens = append(tokens, line)
	}
	if len(tokens) == 0 {
		return nil, errors.New("there is no token (openssl rand -hex 32 makes a good one)")
	}
	return tokens, nil
}

// check never names the token.
func check(token string) error {
	if len(token) < MinToken {
		return fmt.Errorf("a token has %d bytes, fewer than %d (openssl rand -hex 32 makes a good one)", len(token), MinToken)
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return errors.New("a token holds something else than visible ASCII characters")
		}
	}
	return nil
}

// Allow says whether a request presents one of the tokens, as Authorization: Bearer. How long it takes tells nothing of them but
// how many there are. A token that is too short to be one is nobody's.
func (t Tokens) Allow(r *http.Request) bool {
	given, ok := bearer(r.Header.Get("Authorization"))
	same := 0
	a := sha256.Sum256([]byte(given))
	for _, want := range t {
		b := sha256.Sum256([]byte(want))
		if len(want) >= MinToken {
			same |= subtle.ConstantTimeCompare(a[:], b[:])
		}
	}
	return ok && same == 1
}

// bearer takes the token out of an Authorization header.
func bearer(header string) (string, bool) {
	scheme, token, ok := strings.Cut(header, " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// Profiles serves what net/http/pprof has, below /debug/pprof/. It lets everybody in: who may is its caller's business.
func Profiles(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimPrefix(r.URL.Path, "/debug/pprof/") {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r) // also every profile by its name
	}
}
