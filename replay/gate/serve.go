package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/respond"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/schemas"
)

// MaxFile is how long a file that is sent to be verified may be, in bytes.
const MaxFile = 256 << 20

// bodyTimeout bounds how long it may take to arrive.
const bodyTimeout = 2 * time.Minute

// Handler serves verification on the code in registry of what is recorded in a log: POST /admin/verify/{kind}/{key...} of one actor, or of the history in the body, which
// was exported; POST /admin/verify?all=true, or ?sample=N, of many, after a kind of that kind alone. It answers what -json prints, line by line as it is found, the summary last, which says whether all is
// clean; an error after the first line is a line, too, of type error. docs/openapi.yaml has the parameters.
//
// One request is served at a time, others are answered 429. It ends when its client goes away. It asks nobody who may: mount it, at this path, where only operators come, as
// cmd/worker does at its --ops-listen.
func Handler(registry *actor.Registry, source eventlog.Source) http.Handler {
	var one respond.One
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			respond.Fail(w, http.StatusMethodNotAllowed, "history", "method_not_allowed", "verify takes POST only")
			return
		}
		leave, ok := one.Enter()
		if !ok {
			respond.Fail(w, http.StatusTooManyRequests, "history", "under_way", "this process is verifying already: try again when that is over, or end it")
			return
		}
		defer leave()
		lines := respond.NewLines(w)
		defer lines.Close()
		c, err := commandOf(w, r, time.Now())
		if err == nil {
			_, err = c.Run(r.Context(), registry, func(context.Context) (eventlog.Source, error) { return source, nil }, lines)
		}
		var f failure
		switch {
		case err == nil:
		case errors.As(err, &f):
			lines.Fail(f.status, "history", f.code, err.Error())
		case errors.Is(err, replay.ErrGone):
			lines.Fail(http.StatusGone, "history", "gone", err.Error())
		default:
			lines.Fail(http.StatusInternalServerError, "history", "failed", err.Error())
		}
	})
}

// parameters that a query may have.
var parameters = []string{"namespace", "all", "sample", "seed", "since", "vars", "every"}

func commandOf(w http.ResponseWriter, r *http.Request, now time.Time) (*Command, error) {
	bad := func(format string, args ...any) (*Command, error) {
		return nil, failed(http.StatusBadRequest, "invalid_request", format, args...)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return bad("the query: %w", err)
	}
	for name := range query {
		if !slices.Contains(parameters, name) {
			return bad("there is no parameter %s: there are %s", name, strings.Join(parameters, ", "))
		}
	}
	c := &Command{JSON: true, Namespace: query.Get("namespace")}
	flags := params(query)
	if err := errors.Join(flags.flag("all", &c.All), flags.flag("vars", &c.Vars), flags.flag("every", &c.Every)); err != nil {
		return bad("%w", err)
	}
	if text := query.Get("sample"); text != "" {
		if c.Sample, err = strconv.Atoi(text); err != nil || c.Sample < 1 {
			return bad("sample is a number of actors, not %q", text)
		}
	}
	if text := query.Get("seed"); text != "" {
		if c.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return bad("seed is a number, not %q", text)
		}
	}
	if c.Since, err = Since(query.Get("since"), now); err != nil {
		return bad("since: %w", err)
	}
	if c.Kind, c.Key, err = actorOf(r.URL); err != nil {
		return bad("the path: %w", err)
	}
	if r.Body != nil && r.Body != http.NoBody {
		// The server takes it back at the end of the body. Where there are no deadlines, who stalls keeps others from verifying, and nobody from anything else.
		_ = http.NewResponseController(w).SetReadDeadline(now.Add(bodyTimeout))
	}
	body := bufio.NewReader(http.MaxBytesReader(w, r.Body, MaxFile))
	switch _, err := body.Peek(1); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return bad("reading the body: %w", err)
	default:
		if c.History, err = file.Read(body); err != nil {
			return bad("the body is no history that was exported (what is wanted goes into the query): %w", err)
		}
	}
	_, _ = io.Copy(io.Discard, body) // only then does the server notice that the client goes away
	return c, nil
}

// params of a query.
type params url.Values

// flag reads a parameter that is true or false; nothing is false.
func (p params) flag(name string, to *bool) (err error) {
	text := url.Values(p).Get(name)
	if text == "" {
		return nil
	}
	if *to, err = strconv.ParseBool(text); err != nil {
		return fmt.Errorf("%s is true or false, not %q", name, text)
	}
	return nil
}

// actorOf is the actor of a path; empty if it names none.
func actorOf(u *url.URL) (kind string, key schemas.Key, err error) {
	path := strings.TrimPrefix(strings.TrimPrefix(u.EscapedPath(), "/admin/verify"), "/")
	if path == "" {
		return "", nil, nil
	}
	parts := strings.Split(path, "/")
	for i := range parts {
		if parts[i], err = url.PathUnescape(parts[i]); err != nil {
			return "", nil, err
		}
	}
	if parts[0] == "" {
		return "", nil, fmt.Errorf("it names no kind: want /admin/verify/{kind}/{key...}")
	}
	key = parts[1:]
	return parts[0], key, key.Validate()
}
