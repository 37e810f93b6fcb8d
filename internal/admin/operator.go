package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Refusal is why a request is not an operator's. Its errors have the group auth.
type Refusal struct {
	// Status is 401 or 403; with the first goes the header WWW-Authenticate, as [Challenge] has it.
	Status        int
	Code, Message string
}

// Challenge is WWW-Authenticate of an answer that asks for a token.
const Challenge = `Bearer realm="actorlog admin"`

// Unauthorized is what whoever has no token is told.
var Unauthorized = &Refusal{http.StatusUnauthorized, "unauthorized",
	"This needs Authorization: Bearer and the token that this program was started with (--admin-token, --admin-token-file)."}

// Check says whether a request comes from an operator: nil if it does. With tokens, that is whoever presents one of them; without (nil), whoever sits at this
// machine, if the server listens on loopback alone.
func Check(r *http.Request, tokens func() Tokens, loopback bool) *Refusal {
	switch {
	case tokens == nil:
		return localOnly(r, loopback)
	case !tokens().Allow(r):
		return Unauthorized
	}
	return nil
}

// localOnly returns why a request does not come from an operator at this machine; nil if it does.
// A server that listens on loopback alone may still be reached by others: through a proxy (which says so in
// a header), and through the browser of who sits here (a page of another origin; or one whose name
// was made to point to this machine, which shows in Host).
func localOnly(r *http.Request, loopback bool) *Refusal {
	refuse := func(why string) *Refusal {
		return &Refusal{http.StatusForbidden, "forbidden", why + " Start it with --admin-token or --admin-token-file, and send the token as Authorization: Bearer."}
	}
	if !loopback {
		return refuse("Without a token, admin routes are served only by a program that listens on loopback alone.")
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return refuse("Without a token, admin routes are served only to this machine.")
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return refuse("Without a token, admin routes are not served through a proxy.")
		}
	}
	if host, _ := SplitHost(r.Host); !LoopbackName(host) {
		return refuse("Without a token, admin routes are served only at localhost.")
	}
	// Images and links of foreign pages have no Origin.
	if foreign(r.Header.Values("Origin")) || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return refuse("Without a token, admin routes are not served to pages of other origins.")
	}
	return nil
}

// foreign says whether an Origin header is that of a page from elsewhere.
func foreign(origins []string) bool {
	if len(origins) != 1 {
		return len(origins) > 0
	}
	u, err := url.Parse(strings.ToLower(origins[0]))
	return err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" || !LoopbackName(u.Hostname())
}

// SplitHost splits a Host header. The port is empty if there is none.
func SplitHost(hostport string) (host, port string) {
	hostport = strings.ToLower(hostport)
	if host, port, err := net.SplitHostPort(hostport); err == nil {
		return host, port
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]"), ""
}

// LoopbackName says whether a name or address in a URL is this machine's for every browser.
func LoopbackName(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
