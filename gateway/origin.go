package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/internal/admin"
	"github.com/actorlog/actorlog/schemas"
)

// Origins says which web pages may use a gateway, by the Origin header that browsers send and
// pages cannot forge. It is no authentication: whoever is no browser sends what it likes, and requests without
// the header are always served.
//
// The zero value allows pages of the gateway's own origin and of loopback origins. Origins are values
// that do not change: they may be shared and used by many goroutines.
type Origins struct {
	rules []originRule            // for all kinds without rules of their own; defaultRules if empty
	kinds map[string][]originRule // for one kind, in place of rules
}

// originRule is one rule: one of the words, or a scheme and a host.
type originRule struct {
	text     string
	any      bool
	same     bool
	loopback bool
	origin   origin
	below    bool // origin.host is ".example.com": every name below it
}

// Words that are rules.
const (
	wordAny      = "*"
	wordSame     = "same-origin"
	wordLoopback = "loopback"
)

var defaultRules = []originRule{{text: wordSame, same: true}, {text: wordLoopback, loopback: true}}

// ParseOrigins makes Origins of rules. None is the default. A rule is one of
//
//	https://app.example.com       one origin; the port, unless it is the scheme's, belongs to it
//	https://*.example.com         all names below example.com, but not example.com itself
//	same-origin                   pages that the gateway's own host and port serve
//	loopback                      pages of this machine: localhost, *.localhost, 127.0.0.0/8, [::1], any port
//	*                             all pages, also those without an origin (files, sandboxed frames)
//	chatRoom=https://a.example    any of the above, for one kind
//
// Rules replace the default (same-origin and loopback), and rules of a kind replace, for that
// kind, those that name none. The error says what to write instead.
func ParseOrigins(rules ...string) (Origins, error) {
	var o Origins
	for _, text := range rules {
		text = strings.TrimSpace(text)
		kind, rule := "", text
		if i := strings.LastIndexByte(text, '='); i >= 0 { // a kind may hold one, an origin may not
			kind, rule = text[:i], text[i+1:]
			if err := schemas.ValidateKind(kind); err != nil {
				return Origins{}, fmt.Errorf("origin rule %q: %w", text, err)
			}
		}
		r, err := parseOriginRule(rule)
		if err != nil {
			return Origins{}, fmt.Errorf("origin rule %q: %w", text, err)
		}
		if kind == "" {
			o.rules = append(o.rules, r)
			continue
		}
		if o.kinds == nil {
			o.kinds = make(map[string][]originRule)
		}
		o.kinds[kind] = append(o.kinds[kind], r)
	}
	return o, nil
}

func parseOriginRule(text string) (originRule, error) {
	r := originRule{text: text}
	switch text {
	case "":
		return r, errors.New("it is empty (want https://app.example.com, https://*.example.com, same-origin, loopback or *)")
	case wordAny:
		r.any = true
		return r, nil
	case wordSame:
		r.same = true
		return r, nil
	case wordLoopback:
		r.loopback = true
		return r, nil
	}
	scheme, host, ok := strings.Cut(text, "://")
	if !ok {
		return r, errors.New("it has no scheme (want https://app.example.com)")
	}
	if rest, below := strings.CutPrefix(host, "*."); below {
		r.below, host = true, rest
	}
	if strings.Contains(host, "*") {
		return r, errors.New("a * may only stand for the first part of the name (want https://*.example.com)")
	}
	if r.origin, ok = parseOrigin(scheme + "://" + host); !ok {
		return r, errors.New("it is not scheme, host and port alone, in ASCII (want https://app.example.com, without a path)")
	}
	if r.below {
		if _, err := netip.ParseAddr(r.origin.host); err == nil || !strings.Contains(r.origin.host, ".") && r.origin.host != "localhost" {
			return r, errors.New("the name after *. is too short (want https://*.example.com)")
		}
		r.origin.host = "." + r.origin.host
	}
	return r, nil
}

// String lists the rules, for operators.
func (o Origins) String() string {
	var all []string
	for _, r := range o.global() {
		all = append(all, r.text)
	}
	for kind, rules := range o.kinds {
		for _, r := range rules {
			all = append(all, kind+"="+r.text)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (o Origins) global() []originRule {
	if len(o.rules) == 0 {
		return defaultRules
	}
	return o.rules
}

// of returns the rules for a kind.
func (o Origins) of(kind string) []originRule {
	if rules, ok := o.kinds[kind]; ok {
		return rules
	}
	return o.global()
}

// allow says whether rules allow the origin of a request that has one.
func allow(rules []originRule, r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) != 1 {
		return false
	}
	from, ok := parseOrigin(values[0])
	return slices.ContainsFunc(rules, func(rule originRule) bool {
		switch {
		case rule.any:
			return true
		case !ok:
			return false
		case rule.same:
			return from.same(r)
		case rule.loopback:
			return from.web() && admin.LoopbackName(from.host)
		case rule.below:
			return from.scheme == rule.origin.scheme && from.port == rule.origin.port && strings.HasSuffix(from.host, rule.origin.host)
		}
		return from == rule.origin
	})
}

// all says whether pages of the request's origin may use every kind.
func (o Origins) all(r *http.Request) bool {
	for _, rules := range o.kinds {
		if !allow(rules, r) {
			return false
		}
	}
	return allow(o.global(), r)
}

// some says whether pages of the request's origin may use any kind.
func (o Origins) some(r *http.Request) bool {
	for _, rules := range o.kinds {
		if allow(rules, r) {
			return true
		}
	}
	return allow(o.global(), r)
}

// origin is a parsed Origin header. The port is that of the scheme if none was given.
type origin struct{ scheme, host, port string }

func parseOrigin(text string) (origin, bool) {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return origin{}, false
		}
	}
	u, err := url.Parse(strings.ToLower(text))
	if err != nil || u.Scheme == "" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" ||
		u.ForceQuery || strings.HasSuffix(text, "#") || strings.HasSuffix(u.Host, ":") {
		return origin{}, false
	}
	o := origin{u.Scheme, u.Hostname(), u.Port()}
	if o.port == "" {
		o.port = defaultPort(o.scheme)
	}
	return o, true
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

func (o origin) web() bool { return o.scheme == "http" || o.scheme == "https" }

// same says that the page comes from the host and port that the request was sent to. A proxy
// that ends TLS hides which scheme that was; where there is none, a page of plain HTTP, which anybody on its
// way may have written, is not of the same origin as HTTPS.
func (o origin) same(r *http.Request) bool {
	if !o.web() || r.TLS != nil && o.scheme != "https" {
		return false
	}
	host, port := admin.SplitHost(r.Host)
	if port == "" {
		port = defaultPort(o.scheme)
	}
	return host == o.host && port == o.port
}

// scope is what the origin of a request is held against.
type scope struct {
	// admin routes are nobody's kind.
	admin bool
	// hasKind: the URL names the kind.
	hasKind bool
	kind    string
	// id of an actor that the URL names; its kind is to be looked up.
	id string
	// Otherwise: no actor at all, or one that the handler names later by checkKind.
}

// scopeOf reads the URL of a request. A URL that cannot be read touches no actor.
func scopeOf(r *http.Request) scope {
	path := r.URL.EscapedPath()
	byRoute := func(route wire.GatewayRequest, err error) scope {
		switch {
		case err != nil:
			return scope{}
		case route.ByID:
			return scope{id: route.ActorID}
		}
		return scope{hasKind: true, kind: route.Name}
	}
	switch {
	case strings.HasPrefix(path, "/gateway/"):
		return byRoute(wire.ParseGatewayPath(path, r.URL.RawQuery))
	case strings.HasPrefix(path, "/actors/"):
		target, err := parsePlainPath(strings.TrimPrefix(path, "/actors/"))
		return scope{hasKind: err == nil, kind: target.kind}
	case path == "/actors" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		q, err := wire.ParseActorsQuery(r.URL.RawQuery)
		return scope{hasKind: err == nil && q.HasName, kind: q.Name}
	case strings.HasPrefix(path, "/admin/"), strings.HasPrefix(path, "/debug/"):
		return scope{admin: true}
	case path == "/actors":
		return scope{}
	}
	// What rivetByHeader serves; on every other path these headers mean nothing.
	head, _, _ := strings.Cut(path[min(1, len(path)):], "/")
	if head != "connect" && head != "websocket" && head != "request" {
		return scope{}
	}
	id := r.Header.Get("X-Rivet-Actor")
	if websocket.IsWebSocketUpgrade(r) {
		p, _ := wire.ParseSubprotocols(r.Header.Values("Sec-Websocket-Protocol"))
		id = p.Actor
	}
	return scope{id: id}
}

// allowsScope says whether the request's origin may go on, as far as the scope tells. If it tells
// no kind, it is enough that some kind may be used; checkID or checkKind has the last word.
func (o Origins) allowsScope(s scope, r *http.Request) bool {
	switch {
	case s.admin:
		return allow(o.global(), r)
	case s.hasKind:
		return allow(o.of(s.kind), r)
	}
	return o.some(r)
}

// crossOrigin lets pages of allowed origins in, answers their preflights, and refuses all other
// pages before anything happens. Credentials are part of the protocol (/metadata and /actors are
// fetched with them), so "*" is not an option as an answer.
func (g *Gateway) crossOrigin(c *gin.Context) {
	r, h := c.Request, c.Writer.Header()
	h.Add("Vary", "Origin")
	hasOrigin := len(r.Header.Values("Origin")) > 0
	var s scope
	allowed := false
	if hasOrigin {
		s = scopeOf(r)
		allowed = g.cfg.Origins.allowsScope(s, r)
	}
	if allowed {
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", exposed)
	}
	if r.Method == http.MethodOptions {
		g.preflight(c, allowed)
		return
	}
	if hasOrigin {
		err := error(nil)
		if !allowed {
			err = forbidOrigin(c, g.cfg.Origins, s.kind)
		} else if s.id != "" {
			err = g.checkID(c, s.id)
		}
		if err != nil {
			c.Abort()
			g.refuse(c, err)
			return
		}
	}
	c.Next()
}

// preflight answers OPTIONS on any path, without touching actors.
func (g *Gateway) preflight(c *gin.Context, allowed bool) {
	named(c, "preflight")
	h := c.Writer.Header()
	h.Add("Vary", "Access-Control-Request-Headers")
	if allowed {
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS, PATCH")
		if headers := c.Request.Header.Values("Access-Control-Request-Headers"); len(headers) > 0 {
			h.Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
		}
		h.Set("Access-Control-Max-Age", "86400")
	}
	c.AbortWithStatus(http.StatusNoContent)
}

// mayUse says whether a request, by its origin, may use actors of a kind.
func (g *Gateway) mayUse(c *gin.Context, kind string) bool {
	return len(c.Request.Header.Values("Origin")) == 0 || allow(g.cfg.Origins.of(kind), c.Request)
}

// checkKind refuses a request that may not use actors of a kind, where the URL did not tell it.
func (g *Gateway) checkKind(c *gin.Context, kind string) error {
	if g.mayUse(c, kind) {
		return nil
	}
	return forbidOrigin(c, g.cfg.Origins, kind)
}

// checkID refuses a request for an actor by its id, whose kind the origin may not use. An id does
// not tell its kind, so the actor is looked up, but only if that makes a difference; the kind is
// remembered. Without an actor there is nothing that the request could do.
func (g *Gateway) checkID(c *gin.Context, id string) error {
	if g.cfg.Origins.all(c.Request) {
		return nil
	}
	to, err := addressOfID(id)
	if err != nil {
		return err
	}
	kind, err := g.kindOf(c.Request.Context(), to)
	if err != nil {
		return err
	}
	return g.checkKind(c, kind)
}

// rememberedKinds bounds the memory of kindOf.
const rememberedKinds = 4096

func newKinds() *lru.Cache[schemas.Hash, string] {
	kinds, err := lru.New[schemas.Hash, string](rememberedKinds)
	if err != nil {
		panic(err) // a size that is not positive
	}
	return kinds
}

// kindOf looks up the kind of an actor that is addressed by id. It is part of the hash, and so
// never changes.
func (g *Gateway) kindOf(ctx context.Context, to address) (string, error) {
	if kind, ok := g.kinds.Get(to.hash); ok {
		return kind, nil
	}
	a, err := g.ask(ctx, to, to.resolve(nil, ""))
	if err != nil {
		return "", err
	}
	kind := a.Outcome.GetActor().GetKind()
	g.kinds.Add(to.hash, kind)
	return kind, nil
}

// forbidOrigin is the refusal of a page. Its answer must not be readable for that page.
func forbidOrigin(c *gin.Context, origins Origins, kind string) error {
	h := c.Writer.Header()
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"} {
		h.Del(name)
	}
	from := c.GetHeader("Origin")
	rule := from
	if _, ok := parseOrigin(from); !ok || len(from) > 255 || len(c.Request.Header.Values("Origin")) != 1 {
		return wire.Errorf("auth", "forbidden", "This page has no origin that could be allowed; only a gateway that was started with --allow-origin '*' serves it.")
	}
	if _, ok := origins.kinds[kind]; ok {
		rule = kind + "=" + from
	}
	return wire.Errorf("auth", "forbidden", "Pages of %s may not use this. Start the gateway with --allow-origin %s to let them.", from, rule)
}
