package actorhttp_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actorhttp"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

type page struct {
	Views int `json:"views"`
}

var kind = actor.New[page]("page")

type rule func(s *page, c *actor.Ctx, w http.ResponseWriter, r *http.Request) error

// do runs a request on a new actor whose rule is fn.
func do(t *testing.T, fn rule, req *actor.Request) actor.Done {
	t.Helper()
	r := actor.NewRegistry()
	actorhttp.Handle(r, kind, fn)
	action := &actorlogv1.Action{
		Body: &actorlogv1.Action_Request{Request: &actorlogv1.Request{
			Method: req.Method, Url: req.URL, Body: req.Body,
		}},
		Handshake: &actorlogv1.Handshake{ConnectionId: "c", Target: req.Target},
		Caller:    &actorlogv1.Caller{ConnectionId: "c"},
	}
	for _, h := range req.Headers {
		action.GetRequest().Headers = append(action.GetRequest().Headers, &actorlogv1.Header{Name: h.Name, Value: []byte(h.Value)})
	}
	return r.Kind("page").Do(t.Context(), &actor.Job{
		Namespace: "default", Kind: "page", State: json.RawMessage(`{"views":7}`), Action: action,
	})
}

// answer is a response, from wherever it came.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

func answered(t *testing.T, done actor.Done) answer {
	t.Helper()
	require.NoError(t, done.Err)
	a := answer{int(done.Response.Status), make(http.Header), string(done.Response.Body)}
	for _, h := range done.Response.Headers {
		a.Header.Add(h.Name, string(h.Value))
	}
	return a
}

// served is what net/http makes of a handler.
func served(t *testing.T, server *httptest.Server, req *actor.Request) answer {
	t.Helper()
	// By hand: a client would clean the path, and ask for gzip.
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: actors.example\r\n", req.Method, req.Target)
	for _, h := range req.Headers {
		fmt.Fprintf(conn, "%s: %s\r\n", h.Name, h.Value)
	}
	fmt.Fprintf(conn, "Content-Length: %d\r\n\r\n%s", len(req.Body), req.Body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: req.Method})
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Header.Del("Date")
	resp.Header.Del("Connection")
	if len(resp.TransferEncoding) > 0 { // a body that left in parts has no length
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// Whatever a handler does, the answer is the one that net/http's own server gives.
func TestHandle_AsNetHTTP(t *testing.T) {
	t.Parallel()
	modified := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	files := fstest.MapFS{
		"index.html":    {Data: []byte("<!doctype html><title>home</title>"), ModTime: modified},
		"docs/a.txt":    {Data: []byte("0123456789"), ModTime: modified},
		"docs/list/b":   {Data: []byte("\x00\x01\x02 no text"), ModTime: modified},
		"with space.md": {Data: []byte("# title"), ModTime: modified},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "note ", r.PathValue("id")) })
	mux.HandleFunc("POST /notes", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "/notes/"+r.PostForm.Get("id"), http.StatusSeeOther)
	})
	mux.HandleFunc("/tree/{rest...}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.PathValue("rest")) })
	mux.HandleFunc("/dir/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "dir") })
	write := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	form := actor.Header{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}

	for _, tt := range []struct {
		name    string
		handler http.Handler
		request actor.Request
	}{
		{"Nothing", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), actor.Request{}},
		{"Text", write("hello"), actor.Request{}},
		{"HTML", write("<html><body>"), actor.Request{}},
		{"JSONIsText", write(`{"a":1}`), actor.Request{}},
		{"Binary", write("\x89PNG\x0d\x0a\x1a\x0a"), actor.Request{}},
		{"Head", write("hello"), actor.Request{Method: "HEAD"}},
		{"HeadOfNothing", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), actor.Request{Method: "HEAD"}},
		{"TypeGiven", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"a":1}`)
		}), actor.Request{Method: "PUT"}},
		{"NoTypeWanted", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, "<html>")
		}), actor.Request{}},
		{"EncodedIsNotSniffed", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "<html>")
		}), actor.Request{}},
		{"HeaderAfterStatus", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Before", "1")
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("X-After", "1")
			w.Header().Set("X-Before", "2")
		}), actor.Request{}},
		{"SecondStatus", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "so")
			w.WriteHeader(http.StatusInternalServerError)
		}), actor.Request{}},
		{"ManyValues", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
		}), actor.Request{}},
		{"NoContent", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := fmt.Fprint(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}), actor.Request{Method: "DELETE"}},
		{"LengthGiven", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			fmt.Fprint(w, "ab")
			if _, err := fmt.Fprint(w, "c"); !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
		}), actor.Request{}},
		{"LengthIsNone", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "much")
			fmt.Fprint(w, "ab")
		}), actor.Request{}},
		{"Flush", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 3 {
				fmt.Fprint(w, "data: 1\n\n")
				if err := http.NewResponseController(w).Flush(); err != nil {
					panic(err)
				}
				w.(http.Flusher).Flush()
			}
		}), actor.Request{}},
		{"FlushFirst", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("X-Late", "1")
		}), actor.Request{}},
		{"Error", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			http.Error(w, "no <b>", http.StatusForbidden)
		}), actor.Request{}},
		{"NotFound", http.NotFoundHandler(), actor.Request{}},
		{"ReadAll", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			fmt.Fprint(w, string(b), err, r.ContentLength, r.Method, r.RequestURI, r.URL.Path, r.URL.RawQuery, r.Host, r.Proto, r.URL.Host,
				r.TLS, r.Header["Accept"], r.Header.Get("Host"), r.URL.EscapedPath())
		}), actor.Request{Method: "PATCH", Target: "/a%2Fb//c?x=%20&y", Body: []byte("body"), Headers: []actor.Header{{Name: "Accept", Value: "a"}, {Name: "Accept", Value: "b"}}}},
		{"TwoSlashes", write("x"), actor.Request{Target: "//host/path"}},

		{"FileIndex", http.FileServerFS(files), actor.Request{}},
		{"FileText", http.FileServerFS(files), actor.Request{Target: "/docs/a.txt"}},
		{"FileSniffed", http.FileServerFS(files), actor.Request{Target: "/docs/list/b"}},
		{"FileEscaped", http.FileServerFS(files), actor.Request{Target: "/with%20space.md"}},
		{"FileHead", http.FileServerFS(files), actor.Request{Method: "HEAD", Target: "/docs/a.txt"}},
		{"FileMissing", http.FileServerFS(files), actor.Request{Target: "/none"}},
		{"FileOutside", http.FileServerFS(files), actor.Request{Target: "/../../etc/passwd"}},
		{"FileListing", http.FileServerFS(files), actor.Request{Target: "/docs/list/"}},
		{"FileRedirect", http.FileServerFS(files), actor.Request{Target: "/docs?q=1"}},
		{"FileRange", http.FileServerFS(files), actor.Request{Target: "/docs/a.txt", Headers: []actor.Header{{Name: "Range", Value: "bytes=2-4"}}}},
		{"FileRangeBeyond", http.FileServerFS(files), actor.Request{Target: "/docs/a.txt", Headers: []actor.Header{{Name: "Range", Value: "bytes=20-"}}}},
		{"FileNotModified", http.FileServerFS(files), actor.Request{Target: "/docs/a.txt", Headers: []actor.Header{
			{Name: "If-Modified-Since", Value: modified.Format(http.TimeFormat)},
		}}},
		{"ServeContent", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"v1"`)
			http.ServeContent(w, r, "x.css", modified, strings.NewReader("body{}"))
		}), actor.Request{Headers: []actor.Header{{Name: "If-None-Match", Value: `"v1"`}}}},

		{"MuxValue", mux, actor.Request{Target: "/notes/a%2Fb"}},
		{"MuxHead", mux, actor.Request{Method: "HEAD", Target: "/notes/7"}},
		{"MuxMethod", mux, actor.Request{Method: "DELETE", Target: "/notes/7"}},
		{"MuxForm", mux, actor.Request{Method: "POST", Target: "/notes", Headers: []actor.Header{form}, Body: []byte("id=8")}},
		{"MuxRest", mux, actor.Request{Target: "/tree/a/b%20c"}},
		{"MuxClean", mux, actor.Request{Target: "/tree/a/../b"}},
		{"MuxSlash", mux, actor.Request{Target: "/dir?x=1"}},
		{"MuxNone", mux, actor.Request{Target: "/none"}},
		{"StripPrefix", http.StripPrefix("/static", http.FileServerFS(files)), actor.Request{Target: "/static/docs/a.txt"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			req := tt.request
			if req.Method == "" {
				req.Method = "GET"
			}
			if req.Target == "" {
				req.Target = "/"
			}
			want := served(t, server, &req)
			req.Headers = append(req.Headers, actor.Header{Name: "Host", Value: "actors.example"})
			got := answered(t, do(t, func(_ *page, _ *actor.Ctx, w http.ResponseWriter, r *http.Request) error {
				tt.handler.ServeHTTP(w, r)
				return nil
			}, &req))
			require.Equal(t, want, got)
		})
	}
}

// A rule sees its state, and an action's world.
func TestHandle_State(t *testing.T) {
	t.Parallel()
	done := do(t, func(s *page, c *actor.Ctx, w http.ResponseWriter, r *http.Request) error {
		s.Views++
		require.Same(t, c, r.Context())
		require.Equal(t, "https://actors.example/x/request/?a=1", c.Request().URL)
		require.Equal(t, "actors.example", r.Host, "from the URL, when no header says it")
		require.Empty(t, r.RemoteAddr)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s.Views) })
		mux.ServeHTTP(w, r)
		return nil
	}, &actor.Request{Method: "GET", URL: "https://actors.example/x/request/?a=1"})
	require.Equal(t, "8", answered(t, done).Body)
	require.JSONEq(t, `{"views":8}`, string(done.State))
}

// A response may refuse; what the action did stays. An error undoes it, and its response.
func TestHandle_Failures(t *testing.T) {
	t.Parallel()
	get := &actor.Request{Method: "GET", Target: "/"}
	done := do(t, func(s *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
		s.Views = 0
		http.Error(w, "gone", http.StatusGone)
		return nil
	}, get)
	require.Equal(t, http.StatusGone, answered(t, done).Status)
	require.JSONEq(t, `{"views":0}`, string(done.State))

	refusal := actor.UserError("closed", "come back tomorrow")
	for _, tt := range []struct {
		name string
		rule rule
		want string
	}{
		{"ActorError", func(_ *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
			fmt.Fprint(w, "half a page")
			return refusal
		}, refusal.Error()},
		{"ErrAbortHandlerReturned", func(*page, *actor.Ctx, http.ResponseWriter, *http.Request) error { return http.ErrAbortHandler },
			http.ErrAbortHandler.Error()},
		{"TooLarge", func(_ *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.Copy(w, io.LimitReader(zeros{}, actorhttp.MaxBodyBytes+1))
			return nil
		}, "message.outgoing_too_long: The response has more than 8388608 bytes."},
		{"Short", func(_ *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Length", "5")
			fmt.Fprint(w, "abc")
			return nil
		}, "the handler has written 3 bytes of a response whose Content-Length is 5"},
		{"Upgrade", func(_ *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusSwitchingProtocols)
			return nil
		}, "a raw request cannot be upgraded"},
		{"NoStatus", func(_ *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(700)
			return nil
		}, "the status of a response is 700"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			done := do(t, tt.rule, get)
			require.EqualError(t, done.Err, tt.want)
			require.Nil(t, done.Response)
			require.Nil(t, done.State)
		})
	}

	// Panics are the host's, which fails the action.
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() {
		do(t, func(*page, *actor.Ctx, http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }, get)
	})
	require.Panics(t, func() {
		do(t, func(_ *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(0)
			return nil
		}, get)
	})

	done = do(t, func(*page, *actor.Ctx, http.ResponseWriter, *http.Request) error { return nil }, &actor.Request{Method: "GET", Target: "/%zz"})
	require.ErrorIs(t, done.Err, actor.ErrInvalidRequest)
}

// What belongs to a connection does not go out with a response.
func TestHandle_Connection(t *testing.T) {
	t.Parallel()
	got := answered(t, do(t, func(_ *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Connection", "close")
		w.Header().Set("Transfer-Encoding", "chunked")
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "x")
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
		_, hijacks := w.(http.Hijacker)
		require.False(t, hijacks)
		require.ErrorIs(t, http.NewResponseController(w).SetWriteDeadline(time.Now()), http.ErrNotSupported)
		return nil
	}, &actor.Request{Method: "GET", Target: "/"}))
	require.Equal(t, http.StatusAccepted, got.Status)
	require.Equal(t, http.Header{"Link": {"</a.css>"}, "Content-Length": {"1"}, "Content-Type": {"text/plain; charset=utf-8"}}, got.Header)
}

// The same response is the same record: its headers are in order.
func TestHandle_HeaderOrder(t *testing.T) {
	t.Parallel()
	want := url.Values{}
	for i := range 50 {
		want.Add(fmt.Sprintf("X-%02d", i), "v")
	}
	done := do(t, func(_ *page, _ *actor.Ctx, w http.ResponseWriter, _ *http.Request) error {
		maps.Copy(w.Header(), http.Header(want))
		return nil
	}, &actor.Request{Method: "GET", Target: "/"})
	require.NoError(t, done.Err)
	for i, h := range done.Response.Headers[1:] { // after Content-Length
		require.Equal(t, fmt.Sprintf("X-%02d", i), h.Name)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
