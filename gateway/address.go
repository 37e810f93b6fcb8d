package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// clientAddress is who sent a request: the peer of the connection, or, if that is a trusted
// proxy, whom it names in X-Forwarded-For. The header is read from its end, where the proxies nearest
// to us have written, up to the first address that is not a trusted proxy's: what stands before that, the
// client may have made up. The zero address if there is none, as with a Unix socket.
func (g *Gateway) clientAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap().WithZone("")
	forwarded := r.Header.Values("X-Forwarded-For")
	if len(forwarded) == 0 {
		return client
	}
	if !g.trusted(client) {
		g.forwarded.Do(func() {
			g.cfg.Logger.Warn("a proxy that is not trusted sends X-Forwarded-For: limits count all its clients as one; if it is yours, start the gateway with --trust-proxy",
				zap.Stringer(keyAddress, client))
		})
		return client
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		if client = next; !g.trusted(client) {
			break
		}
	}
	return client
}

func (g *Gateway) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(g.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parseHop reads an element of X-Forwarded-For: an address, with a port by some proxies.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// limitedBy is what limits count for an address: with IPv6, a client has at least a /64 to itself.
func limitedBy(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
