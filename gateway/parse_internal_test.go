package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/internal/admin"
	"github.com/actorlog/actorlog/schemas"
)

// A path of the plain face is refused, or names what it would name if it were written anew with all that can be escaped.
func FuzzParsePlainPath(f *testing.F) {
	for _, seed := range []string{"counter/org/42/actions/increment", "counter//", "counter", "c/%73tate", "c/state", "a%2fb/x/queues/q", "c/actions/actions/events", "%", "c/a%0", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		target, err := parsePlainPath(rest)
		if err != nil {
			require.ErrorAs(t, err, new(*wire.Error))
			return
		}
		require.Contains(t, target.route(), "/actors/:kind/*key")
		segments := []string{url.PathEscape(target.kind)}
		for _, part := range target.key {
			escaped := url.PathEscape(part)
			for _, word := range []string{"state", "events", "actions", "queues"} {
				if part == word {
					escaped = "%" + strings.ToUpper(hexOf(part[0])) + part[1:]
				}
			}
			segments = append(segments, escaped)
		}
		switch target.verb {
		case verbAction:
			segments = append(segments, "actions", url.PathEscape(target.name))
		case verbQueue:
			segments = append(segments, "queues", url.PathEscape(target.name))
		case verbState:
			segments = append(segments, "state")
		case verbEvents:
			segments = append(segments, "events")
		}
		again, err := parsePlainPath(strings.Join(segments, "/"))
		require.NoError(t, err)
		require.Equal(t, target, again)
		if to, err := addressOf("default", target.kind, target.key); err == nil {
			require.True(t, utf8.ValidString(to.actor.Kind))
			text := target.key.String()
			require.True(t, slices.Equal(target.key, schemas.ParseKey(text)), "%q", text)
		}
	})
}

func hexOf(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// What a client presents in headers is refused, or becomes parameters that are JSON and headers that are of the message.
func FuzzHandshake(f *testing.F) {
	f.Add("Actorlog-Params", `{"name":"a"}`, "X-A", "keep-alive, x-a", "https://a.example", "10.0.0.1, 1.2.3.4", "k")
	f.Add("X-Rivet-Conn-Params", "\"caf\xe9\"", "Te", "", "null", "[::1]:80,unknown", "a b")
	f.Add("Authorization", "Bearer x", "Connection", "close", "http://[::1%25x]:1", "", "")
	g := &Gateway{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}
	g.cfg.setDefaults()
	f.Fuzz(func(t *testing.T, name, value, other, connection, origin, forwarded, key string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = http.Header{
			name: {value}, http.CanonicalHeaderKey(other): {"1"}, "Connection": {connection}, "Origin": {origin},
			"X-Forwarded-For": {forwarded}, "Idempotency-Key": {key},
		}
		h, err := g.handshake(r)
		if err != nil {
			require.ErrorAs(t, err, new(*wire.Error))
		} else {
			require.True(t, len(h.ParamsJson) == 0 || json.Valid(h.ParamsJson), "%q", h.ParamsJson)
			require.LessOrEqual(t, len(h.ParamsJson), g.cfg.MaxParamsBytes)
			for _, header := range h.Headers {
				require.False(t, hopByHop[header.Name], header.Name)
			}
		}
		g.clientAddress(r)
		if k, err := idempotencyKey(r.Header); err == nil {
			require.True(t, visible(k))
		}
		if from, ok := parseOrigin(origin); ok && !strings.Contains(origin, "%") {
			again, ok := parseOrigin(from.scheme + "://" + hostport(from))
			require.True(t, ok)
			require.Equal(t, from, again)
		}
		if o, err := ParseOrigins(origin); err == nil {
			again, err := ParseOrigins(o.String())
			require.NoError(t, err, "%q", o.String())
			require.Equal(t, o, again)
			o.allowsScope(scopeOf(r), r)
		}
		admin.Tokens{value}.Allow(&http.Request{Header: http.Header{"Authorization": {value}}})
	})
}

func hostport(o origin) string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.port == "" {
		return host
	}
	return host + ":" + o.port
}
