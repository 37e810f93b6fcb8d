package wire

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/actorlog/actorlog/schemas"
)

var errEscape = errors.New("invalid percent-encoding")

// unescape decodes percent-encoding, and "+" if plus is set. The result is valid UTF-8.
func unescape(s string, plus bool) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		if !utf8.ValidString(s) {
			return "", errEscape
		}
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return "", errEscape
			}
			n := hex4([]byte{'0', '0', s[i+1], s[i+2]})
			if n < 0 {
				return "", errEscape
			}
			out = append(out, byte(n))
			i += 2
		case c == '+' && plus:
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	if !utf8.Valid(out) {
		return "", errEscape
	}
	return string(out), nil
}

// checkIdentity applies the limits of schemas; namespace and name count if not empty.
func checkIdentity(namespace, name string, key schemas.Key) error {
	if namespace != "" {
		if err := schemas.ValidateNamespace(namespace); err != nil {
			return invalid("%v", err)
		}
	}
	if name != "" {
		if err := schemas.ValidateKind(name); err != nil {
			return invalid("%v", err)
		}
	}
	if err := key.Validate(); err != nil {
		return Errorf("actor", "key_too_large", "%v", err)
	}
	return nil
}

const gatewayPrefix = "/gateway/"

func isGatewayPath(path string) bool {
	return len(path) > len(gatewayPrefix) && strings.HasPrefix(path, gatewayPrefix) && !strings.Contains(path, "//")
}

func badPath(format string, args ...any) error {
	return Errorf("guard", "invalid_path", format, args...)
}

func parseGatewayPath(path, rawQuery string) (GatewayRequest, error) {
	if !isGatewayPath(path) {
		return GatewayRequest{}, badPath("not a gateway path")
	}
	segment, tail := path[len(gatewayPrefix):], ""
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment, tail = segment[:i], segment[i:]
	}
	params, query, found := splitQuery(rawQuery)
	req := GatewayRequest{Query: query}
	if err := req.parseTail(tail); err != nil {
		return GatewayRequest{}, err
	}
	var err error
	if found {
		err = req.parseQueryForm(segment, params)
	} else {
		req.ByID = true
		id, token, _ := strings.Cut(segment, "@")
		if req.ActorID, err = unescape(id, false); err == nil {
			req.Token, err = unescape(token, false)
		}
		if err != nil || req.ActorID == "" {
			err = badPath("invalid actor id in the path")
		}
	}
	if err != nil {
		return GatewayRequest{}, err
	}
	return req, nil
}

// splitQuery takes the parameters of the protocol out of a raw query. The rest is as it
// was, byte for byte.
func splitQuery(raw string) (params []string, rest string, found bool) {
	if !strings.Contains(raw, "rvt") && !strings.Contains(raw, "%") {
		return nil, raw, false
	}
	var keep strings.Builder
	kept := 0
	for part := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(part, "=")
		if decoded, err := unescape(name, true); err == nil {
			name = decoded
		}
		if strings.HasPrefix(name, "rvt-") {
			params = append(params, part)
			continue
		}
		if kept > 0 {
			keep.WriteByte('&')
		}
		kept++
		keep.WriteString(part)
	}
	if len(params) == 0 {
		return nil, raw, false
	}
	return params, keep.String(), true
}

func badParam(format string, args ...any) error {
	return Errorf("guard", "query_invalid_params", format, args...)
}

func (r *GatewayRequest) parseQueryForm(segment string, params []string) error {
	if strings.Contains(segment, "@") {
		return Errorf("guard", "query_path_token_syntax", "a token in the path needs an actor id there; use rvt-token")
	}
	var err error
	if r.Name, err = unescape(segment, false); err != nil {
		return badParam("the actor name in the path: %v", err)
	}
	var have struct{ namespace, method, runner, key, input, region, crash, token, skip bool }
	var method, input string
	for _, part := range params {
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, err := unescape(rawName, true)
		if err != nil {
			return badParam("a parameter's name: %v", err)
		}
		value, err := unescape(rawValue, true)
		if err != nil {
			return badParam("%s: %v", name, err)
		}
		var seen *bool
		switch name {
		case "rvt-namespace":
			seen, r.Namespace = &have.namespace, value
		case "rvt-method":
			seen, method = &have.method, value
		case "rvt-runner", "rvt-pool":
			seen, r.Pool = &have.runner, value
		case "rvt-key":
			seen = &have.key
			// "" is the empty key: the client joins with commas and escapes nothing.
			r.Key = nil
			if value != "" {
				r.Key = strings.Split(value, ",")
			}
		case "rvt-input":
			seen, input = &have.input, value
		case "rvt-region":
			seen, r.Region = &have.region, value
		case "rvt-crash-policy":
			seen, r.CrashPolicy = &have.crash, value
		case "rvt-token":
			seen, r.Token = &have.token, value
		case "rvt-skip-ready-wait":
			seen = &have.skip
			switch value {
			case "true", "1":
				r.SkipReadyWait = true
			case "false", "0":
			default:
				return badParam("rvt-skip-ready-wait is neither true nor false")
			}
		default:
			return badParam("unknown parameter %s", clip(name))
		}
		if *seen {
			return Errorf("guard", "query_duplicate_param", "duplicate parameter %s", name)
		}
		*seen = true
	}
	switch method {
	case "getOrCreate":
		r.Create = true
	case "get":
		if have.input || have.region || have.crash || have.runner {
			return Errorf("guard", "query_get_disallowed_params",
				"rvt-method=get allows no rvt-input, rvt-region, rvt-crash-policy, rvt-runner")
		}
	default:
		return badParam("rvt-method is neither get nor getOrCreate")
	}
	switch r.CrashPolicy {
	case "sleep", "restart", "destroy", "":
	default:
		return badParam("unknown rvt-crash-policy")
	}
	if r.Namespace == "" {
		return badParam("rvt-namespace is missing")
	}
	if r.Name == "" {
		return badParam("the path has no actor name")
	}
	if err := checkIdentity(r.Namespace, r.Name, r.Key); err != nil {
		return err
	}
	if have.input {
		return r.parseInput(input)
	}
	return nil
}

func (r *GatewayRequest) parseInput(input string) error {
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(input, "="))
	if err != nil {
		return Errorf("guard", "query_invalid_base64_input", "rvt-input is no base64url")
	}
	// Only clients since 2.3 have this form: they have put tags into their CBOR.
	r.Input, err = decodeInput(Format{Encoding: BARE, Version: maxVersion}, data)
	if err != nil {
		return Errorf("guard", "query_invalid_cbor_input", "rvt-input: %s", messageOf(err))
	}
	return nil
}

// decodeInput reads the input of a creation; undefined is none.
func decodeInput(f Format, data []byte) (json.RawMessage, error) {
	text, err := decodeCBOR(f, data)
	if err != nil || string(text) == `["$Undefined",0]` {
		return nil, err
	}
	return text, nil
}

func messageOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// parseTail sets what the tail asks for. Tails that nobody knows are TailNone.
func (r *GatewayRequest) parseTail(tail string) error {
	r.TailPath = tail
	word, rest := strings.TrimPrefix(tail, "/"), ""
	if i := strings.IndexByte(word, '/'); i >= 0 {
		word, rest = word[:i], word[i:]
	}
	switch word {
	case "request":
		r.Tail = TailRequest
	case "websocket":
		r.Tail = TailWebSocket
	case "connect":
		if rest == "" {
			r.Tail = TailConnect
		}
	case "action", "queue":
		if len(rest) < 2 || strings.Contains(rest[1:], "/") {
			return nil
		}
		name, err := unescape(rest[1:], false)
		if err != nil {
			return badPath("the name of the %s: %v", word, err)
		}
		r.Tail, r.TailName = TailAction, name
		if word == "queue" {
			r.Tail = TailQueue
		}
	}
	return nil
}

func (r *GatewayRequest) userPath() string {
	rest := r.TailPath
	switch r.Tail {
	case TailRequest:
		rest = rest[len("/request"):]
	case TailWebSocket:
		rest = rest[len("/websocket"):]
	}
	if rest == "" {
		return "/"
	}
	return rest
}

func parseHeaderRoute(socket bool, path, rawQuery, target, actor, token string) (GatewayRequest, error) {
	req := GatewayRequest{ByID: true, ActorID: actor, Token: token, Query: rawQuery}
	if target != "actor" || actor == "" {
		return GatewayRequest{}, badPath("the target is no actor")
	}
	if err := req.parseTail(path); err != nil {
		return GatewayRequest{}, err
	}
	switch req.Tail {
	case TailRequest:
		if !socket {
			return req, nil
		}
	case TailConnect, TailWebSocket:
		if socket {
			return req, nil
		}
	}
	return GatewayRequest{}, badPath("this path needs /gateway before it")
}

func parseSubprotocols(headers []string) (p Subprotocols, err error) {
	p.EncodingKnown = true
	var encoding, params bool
	for _, header := range headers {
		for entry := range strings.SplitSeq(header, ",") {
			entry = strings.Trim(entry, " \t")
			name, value, _ := strings.Cut(entry, ".")
			switch name {
			case "rivet":
				p.Rivet = p.Rivet || entry == "rivet"
			case "rivet_encoding":
				if !encoding {
					encoding = true
					p.Encoding, p.EncodingKnown = parseEncoding(value)
				}
			case "rivet_conn_params":
				if !params {
					params = true
					p.ConnParams, err = decodeSubprotocolParams(value)
				}
			case "rivet_skip_ready_wait":
				p.SkipReadyWait = true
			case "rivet_target":
				p.Target = value
			case "rivet_actor":
				p.Actor = value
			case "rivet_token":
				p.Token = value
			case "actorlog_idempotency_key":
				if key, err := unescape(value, false); err == nil {
					p.IdempotencyKey = key
				}
			}
		}
	}
	return p, err
}

func decodeSubprotocolParams(value string) (json.RawMessage, error) {
	text, err := unescape(value, false)
	if err != nil {
		return nil, invalid("connection parameters: %v", err)
	}
	if len(text) > MaxConnParams {
		return nil, invalid("connection parameters: %d bytes, more than %d", len(text), MaxConnParams)
	}
	return decodeParams([]byte(text))
}

func decodeParams(text []byte) (json.RawMessage, error) {
	out, err := EscapeJSON(text)
	if err != nil {
		return nil, invalid("connection parameters: %s", messageOf(err))
	}
	return out, nil
}

func decodeConnParams(header string) (json.RawMessage, error) {
	if header == "" {
		return nil, nil
	}
	if len(header) > MaxConnParams {
		return nil, invalid("connection parameters: %d bytes, more than %d", len(header), MaxConnParams)
	}
	text := make([]byte, 0, len(header)+8)
	for i := range len(header) {
		text = utf8.AppendRune(text, rune(header[i]))
	}
	return decodeParams(text)
}
