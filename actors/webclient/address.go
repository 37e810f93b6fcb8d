package webclient

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// maxInputParam bounds inputs in URLs: proxies have limits for those.
const maxInputParam = 2 << 10

// target checks a target, and puts it into the client's namespace.
func (c *Client) target(t actor.Target) (actor.Target, error) {
	if t.Namespace == "" || t.Namespace == actor.DefaultNamespace {
		t.Namespace = c.cfg.Namespace
	}
	if _, err := actor.Address(new(actorlogv1.Action), t); err != nil {
		return t, err
	}
	if k := t.IdempotencyKey; len(k) > 255 || strings.IndexFunc(k, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return t, actor.ErrInvalidRequest.Messagef("The idempotency key is not 1 to 255 visible ASCII characters.")
	}
	return t, nil
}

// headers that all requests for a target have.
func (c *Client) headers(t actor.Target) (http.Header, error) {
	h := make(http.Header)
	if c.cfg.Token != "" {
		h.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	if len(t.Params) > 0 {
		params, err := asciiJSON(t.Params)
		if err != nil {
			return nil, actor.ErrInvalidRequest.Messagef("The connection parameters are not JSON.")
		}
		h.Set("X-Rivet-Conn-Params", params)
	}
	return h, nil
}

// verbs is the segments of plain paths that a gateway takes for something else than a part of a key.
var verbs = []string{"actions", "events", "queues", "state"}

// plainPath is a path of the plain face: /actors/{kind}/{key...}{tail}.
func plainPath(t actor.Target, tail string, query url.Values) string {
	var b strings.Builder
	b.WriteString("/actors/")
	b.WriteString(url.PathEscape(t.Kind))
	for _, part := range t.Key {
		b.WriteByte('/')
		switch {
		case slices.Contains(verbs, part), part == ".", part == "..":
			fmt.Fprintf(&b, "%%%02X%s", part[0], part[1:])
		default:
			b.WriteString(url.PathEscape(part))
		}
	}
	b.WriteString(tail)
	if t.Namespace != actor.DefaultNamespace {
		if query == nil {
			query = make(url.Values)
		}
		query.Set("namespace", t.Namespace)
	}
	if len(query) > 0 {
		b.WriteString("?" + query.Encode())
	}
	return b.String()
}

// lifePath is a path of the RivetKit face to one life: /gateway/{id}/{tail}/{name}.
func lifePath(id, tail, name string) string {
	return "/gateway/" + id + "/" + tail + "/" + url.PathEscape(name)
}

// callPath is a path of the RivetKit face by kind and key; false if the protocol cannot express the target.
func callPath(t actor.Target, tail, name string) (string, bool) {
	// Keys are joined with commas, and nothing is escaped; the empty text is the empty key.
	joined := strings.Join(t.Key, ",")
	if strings.Count(joined, ",") != max(len(t.Key)-1, 0) || (joined == "" && len(t.Key) > 0) {
		return "", false
	}
	q := url.Values{"rvt-namespace": {t.Namespace}, "rvt-key": {joined}}
	switch t.Presence {
	case actor.MustExist:
		q.Set("rvt-method", "get")
	case actor.CreateIfAbsent:
		q.Set("rvt-method", "getOrCreate")
		if len(t.Input) > 0 {
			input, ok := inputParam(t.Input)
			if !ok {
				return "", false
			}
			q.Set("rvt-input", input)
		}
	default:
		return "", false
	}
	return "/gateway/" + url.PathEscape(t.Kind) + "/" + tail + "/" + url.PathEscape(name) + "?" + q.Encode(), true
}

// inputParam is an input as CBOR, if it is short, and the same when it is read.
func inputParam(input []byte) (string, bool) {
	if len(input) > maxInputParam {
		return "", false
	}
	format := wire.Format{Encoding: wire.BARE, Version: 4}
	cbor, err := wire.AppendValue(nil, format, input)
	if err != nil {
		return "", false
	}
	back, err := wire.DecodeValue(format, cbor)
	if err != nil || string(back) != string(input) {
		return "", false
	}
	return base64.RawURLEncoding.EncodeToString(cbor), true
}

// found is an actor as GET /actors lists it.
type found struct {
	ID        string `json:"actor_id"`
	Kind      string `json:"name"`
	Key       string `json:"key"`
	Namespace string `json:"namespace_id"`
}

// target by kind and key of the actor.
func (f found) target(t actor.Target) actor.Target {
	t.Namespace, t.Kind, t.Key = f.Namespace, f.Kind, schemas.ParseKey(f.Key)
	return t
}
