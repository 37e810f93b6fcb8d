// Package actorhttp lets actors answer raw HTTP requests with the handlers of net/http: http.ServeMux, http.FileServerFS,
// http.ServeContent and most of what is written against http.ResponseWriter.
//
//	actorhttp.Handle(r, Kind, func(s *Page, c *actor.Ctx, w http.ResponseWriter, r *http.Request) error {
//		s.Views++
//		fmt.Fprintf(w, "seen %d times", s.Views)
//		return nil
//	})
//
// It owns the translation between [actor.Request], [actor.Response] and net/http, and nothing else: a request is an action like any
// other, and its response is part of the outcome. That is why a response leaves as a whole, when the outcome is committed, and
// why these do not work:
//
//   - Streaming. A handler that flushes works, but its client sees nothing before the end.
//   - Connections: hijacking, upgrades, deadlines, full duplex, pushes. Raw sockets are [actor.OnWebSocket].
//   - Trailers and informational responses (1xx) are dropped.
//   - http.TimeoutHandler, and every other handler that goes on in a second goroutine: state and [actor.Ctx] belong to the one
//     that runs the action. The action's own timeout is what bounds a handler.
package actorhttp

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"github.com/actorlog/actorlog/actors/actor"
)

// MaxBodyBytes is how long the body of a response may be. The outcome, which holds it, may have a lower limit of its own.
const MaxBodyBytes = 8 << 20

// Handle sets the rule for raw HTTP requests of a kind, as [actor.OnRequest] does, with a handler in the shape of net/http.
//
// If fn returns nil, what it wrote is the response; it need not have written anything, which is a 200 without a body. If it returns an
// error, nothing of what it wrote is kept and nothing that it did to the actor has happened: an *actor.Error is answered
// as the JSON that every refusal is, any other error is an internal one. A response with an error status is still a
// response: what the action did stays done. A panic fails the action as well, whatever it is; http.ErrAbortHandler is no exception.
//
// The request is what a server would hand to a handler: URL has path and query, as the actor sees them ("/" and on), and
// RequestURI the same as it was sent; Host and RemoteAddr are not more than what the headers tell: RemoteAddr is empty. The
// whole body is there, and its length known. r.Context() is c itself, so that it ends at the action's timeout.
//
// The response is what a server would have sent: an implicit status 200, Content-Type sniffed from the first 512 bytes if the handler sets
// none, Content-Length, no body to HEAD, 204 and 304, and headers as they were at WriteHeader. A body above [MaxBodyBytes] is an
// actor.ErrTooLarge, and one that is not as long as the Content-Length that the handler set fails the action.
//
// http.ServeMux works inside, patterns and PathValue included. Its handlers need the state, so make it in fn: it costs
// microseconds.
func Handle[S any](r *actor.Registry, k actor.KindOf[S], fn func(s *S, c *actor.Ctx, w http.ResponseWriter, r *http.Request) error) {
	actor.OnRequest(r, k, func(s *S, c *actor.Ctx, request *actor.Request) (*actor.Response, error) {
		in, err := newRequest(c, request)
		if err != nil {
			return nil, err
		}
		w := &writer{method: in.Method, header: make(http.Header)}
		if err := fn(s, c, w, in); err != nil {
			return nil, err
		}
		return w.response()
	})
}

// newRequest is the request as a server would hand it to a handler.
func newRequest(c *actor.Ctx, request *actor.Request) (*http.Request, error) {
	target := request.Target
	if target == "" {
		target = "/"
	}
	// Not http.NewRequest: it takes "//x" for a host.
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, actor.ErrInvalidRequest.Messagef("The path is not valid.")
	}
	in := &http.Request{
		Method: request.Method, URL: u, RequestURI: target,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(request.Headers)),
		Body:   http.NoBody, ContentLength: int64(len(request.Body)),
	}
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	if len(request.Body) > 0 {
		in.Body = io.NopCloser(bytes.NewReader(request.Body))
	}
	for _, h := range request.Headers {
		in.Header.Add(h.Name, h.Value)
	}
	// A server takes the host out of the headers.
	if in.Host = in.Header.Get("Host"); in.Host == "" {
		if asked, err := url.Parse(request.URL); err == nil {
			in.Host = asked.Host
		}
	}
	in.Header.Del("Host")
	return in.WithContext(c), nil
}
