package gateway

import (
	"net/http"
	"net/textproto"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/actorlog/actorlog/gateway/wire"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Headers of requests.
const (
	headerParams      = "X-Rivet-Conn-Params" // JSON as Latin-1
	headerPlainParams = "Actorlog-Params"     // JSON as UTF-8
	headerOriginalURL = "X-Rivet-Internal-Original-Request-Url"
	// rivetHeaders begins the names of the protocol's own headers.
	rivetHeaders = "X-Rivet-"
)

// handshake is what a client presents with a stateless call: for the actor, a connection that lasts as long as the call.
func (g *Gateway) handshake(r *http.Request) (*actorlogv1.Handshake, error) {
	params, err := g.params(r)
	if err != nil {
		return nil, err
	}
	return &actorlogv1.Handshake{ConnectionId: newUUID(), ParamsJson: params, Headers: passedOn(r.Header, r.Host, "")}, nil
}

// params is the connection parameters in a request's headers, JSON; empty if there are none.
func (g *Gateway) params(r *http.Request) (params []byte, err error) {
	if own := r.Header.Get(headerPlainParams); own != "" {
		if !utf8.ValidString(own) {
			return nil, invalid("%s is not valid UTF-8.", headerPlainParams)
		}
		if params, err = wire.EscapeJSON([]byte(own)); err != nil {
			return nil, invalid("%s: %v.", headerPlainParams, err)
		}
	} else if params, err = wire.DecodeConnParams(r.Header.Get(headerParams)); err != nil {
		return nil, err
	}
	return params, g.checkParams(params)
}

func (g *Gateway) checkParams(params []byte) error {
	if len(params) > g.cfg.MaxParamsBytes {
		return invalid("The connection parameters have %d bytes, more than %d.", len(params), g.cfg.MaxParamsBytes)
	}
	return nil
}

// hopByHop are the headers that belong to one connection between two machines, and not to the message (RFC 9110, 7.6.1).
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// passedOn is a request's headers as actors see them: without those of the connection, and those whose names begin with leave,
// unless it is empty. The host is one of them.
func passedOn(h http.Header, host, leave string) []*actorlogv1.Header {
	out := make([]*actorlogv1.Header, 0, len(h)+1)
	if host != "" {
		out = append(out, &actorlogv1.Header{Name: "Host", Value: []byte(host)})
	}
	for name, values := range h {
		if hopByHop[name] || connectionOption(h["Connection"], name) || leave != "" && strings.HasPrefix(name, leave) {
			continue
		}
		for _, v := range values {
			out = append(out, &actorlogv1.Header{Name: name, Value: []byte(v)})
		}
	}
	return out
}

// connectionOption says whether the Connection header makes a header one of the connection.
func connectionOption(connection []string, name string) bool {
	for _, list := range connection {
		for option := range strings.SplitSeq(list, ",") {
			if textproto.CanonicalMIMEHeaderKey(textproto.TrimString(option)) == name {
				return true
			}
		}
	}
	return false
}

// setResponse puts an actor's headers into an answer, as they are, but for those of the connection and what the gateway answers for itself: who
// may read across origins is its own to say, and the length is that of the body.
func setResponse(h http.Header, headers []*actorlogv1.Header) {
	var connection []string
	for _, o := range headers {
		if textproto.CanonicalMIMEHeaderKey(o.Name) == "Connection" {
			connection = append(connection, string(o.Value))
		}
	}
	ours := h.Get("Access-Control-Allow-Origin") != ""
	fresh := make(map[string]bool)
	for _, o := range headers {
		name, value := textproto.CanonicalMIMEHeaderKey(o.Name), string(o.Value)
		switch {
		case hopByHop[name], name == "Content-Length", connectionOption(connection, name):
			continue
		case ours && strings.HasPrefix(name, "Access-Control-"):
			continue
		case !httpguts.ValidHeaderFieldName(name), !httpguts.ValidHeaderFieldValue(value):
			continue
		case name != "Vary" && !fresh[name]:
			fresh[name] = true
			h.Del(name)
		}
		h.Add(name, value)
	}
	if _, typed := h["Content-Type"]; !typed {
		h["Content-Type"] = nil // net/http would guess
	}
}
