// Package operate is what operators do with histories, over HTTP: fork, undo, export, import and erase (packages replay/restore, replay/file and replay/erase). It asks nobody
// who may: a gateway serves it below /admin, to whoever has the token.
package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/internal/respond"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/erase"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/replay/restore"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// MaxFile is how long a file to be imported may be, in bytes.
const MaxFile = 256 << 20

// maxBody is how long any other body may be.
const maxBody = 1 << 20

// operator is the principal that the history names, unless a request says who asks.
const operator = "operator"

// Config of a Handler. The zero value works.
type Config struct {
	// Erase is what erasures follow through besides the topics. Of its fields, requests say the canary, and whom.
	Erase erase.Options
	// Version of the program, for files that are exported. Default: none.
	Version string
}

// Handler serves .../fork/{kind}/{key...}, .../undo/..., .../export/..., .../import/... and .../erase/.... docs/openapi.yaml says what they take and give.
func Handler(c *remote.Client, cfg Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := requestOf(c, r)
		if err == nil {
			switch q.verb {
			case "fork":
				err = q.fork(w)
			case "undo":
				err = q.undo(w)
			case "export":
				err = q.export(w, cfg.Version)
			case "import":
				err = q.take(w)
			case "erase":
				err = q.erase(w, cfg.Erase)
			}
		}
		if err != nil {
			fail(w, err)
		}
	})
}

// request is one of them.
type request struct {
	*http.Request
	client          *remote.Client
	reader          *replay.Reader
	verb            string
	namespace, kind string
	key             schemas.Key
	hash            schemas.Hash
}

// errInvalid is the client's fault.
var errInvalid = errors.New("invalid request")

func requestOf(c *remote.Client, r *http.Request) (*request, error) {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/admin/"), "/")
	for i := range parts {
		part, err := url.PathUnescape(parts[i])
		if err != nil {
			return nil, fmt.Errorf("%w: the path: %w", errInvalid, err)
		}
		parts[i] = part
	}
	q := &request{Request: r, client: c, reader: replay.NewReader(c.Log(), replay.Options{}), verb: parts[0], namespace: r.URL.Query().Get("namespace")}
	if q.namespace == "" {
		q.namespace = actor.DefaultNamespace
	}
	if len(parts) < 2 || parts[1] == "" {
		return nil, fmt.Errorf("%w: the path names no actor: want /admin/%s/{kind}/{key...}", errInvalid, q.verb)
	}
	q.kind, q.key = parts[1], parts[2:]
	if err := q.key.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	q.hash = schemas.HashOf(q.namespace, q.kind, q.key)
	if id, err := schemas.ParseActorID(q.kind); err == nil && len(q.key) == 0 && q.verb != "import" {
		q.hash = id.Hash
	}
	return q, nil
}

// read decodes the body, which may be empty, into v.
func (q *request) read(w http.ResponseWriter, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, q.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the body: %w", errInvalid, err)
	}
	return nil
}

// flag is a parameter that is true or false; nothing is false.
func (q *request) flag(name string) (bool, error) {
	text := q.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%w: %s is true or false, not %q", errInvalid, name, text)
	}
	return v, nil
}

// asked is what whatever restores something may be told.
type asked struct {
	Schedules bool   `json:"schedules"`
	Reason    string `json:"reason"`
	By        string `json:"by"`
}

func (a asked) options() restore.Options {
	return restore.Options{Schedules: a.Schedules, Reason: a.Reason, By: cmp.Or(a.By, operator)}
}

func (q *request) fork(w http.ResponseWriter) error {
	var body struct {
		asked
		At string `json:"at"`
		To struct {
			Namespace string   `json:"namespace"`
			Key       []string `json:"key"`
		} `json:"to"`
	}
	if err := q.read(w, &body); err != nil {
		return err
	}
	if body.To.Key == nil {
		return fmt.Errorf("%w: say where the copy goes: {\"to\": {\"key\": [...]}}", errInvalid)
	}
	at, err := replay.ParsePoint(body.At, time.Now())
	if err != nil {
		return err
	}
	d, err := restore.Fork(q.Context(), q.client, q.reader, q.hash, at, restore.Target{Namespace: body.To.Namespace, Key: body.To.Key},
		body.options())
	return done(w, d, err)
}

func (q *request) undo(w http.ResponseWriter) error {
	var body struct {
		asked
		To    string `json:"to"`
		Force bool   `json:"force"`
	}
	if err := q.read(w, &body); err != nil {
		return err
	}
	to, err := replay.ParsePoint(body.To, time.Now())
	if err != nil {
		return err
	}
	o := body.options()
	o.Force = body.Force
	d, err := restore.Undo(q.Context(), q.client, q.reader, q.hash, to, o)
	return done(w, d, err)
}

// export sends the file. One that breaks off while it is sent is cut off, which whoever reads it finds out.
func (q *request) export(w http.ResponseWriter, version string) error {
	to, err := replay.ParsePoint(q.URL.Query().Get("at"), time.Now())
	if err != nil {
		return err
	}
	o := file.Options{To: to, CodeVersion: version}
	if o.WithoutAnswers, err = q.flag("withoutAnswers"); err != nil {
		return err
	}
	if log, ok := q.client.Log().(interface{ Identity() string }); ok {
		o.Log = log.Identity()
	}
	out := &late{w: w}
	_, err = file.Export(q.Context(), out, q.reader, q.hash, o)
	if err != nil && out.began {
		panic(http.ErrAbortHandler) // the status is sent: all that is left is to cut it off
	}
	return err
}

// late sends headers with the first byte, for until then there may be an error to tell.
type late struct {
	w     http.ResponseWriter
	began bool
}

func (l *late) Write(b []byte) (int, error) {
	if !l.began {
		l.began = true
		l.w.Header().Set("Content-Type", "application/zstd")
		l.w.Header().Set("Content-Disposition", `attachment; filename="actor.history"`)
	}
	return l.w.Write(b)
}

// eraseTimeout bounds an erasure, which goes on when whoever asked for it is gone: half of one helps nobody.
const eraseTimeout = 10 * time.Minute

// erase reports, with GET, what there is of an actor, and does away with it if the body says so.
func (q *request) erase(w http.ResponseWriter, o erase.Options) error {
	var body struct {
		Yes    bool   `json:"yes"`
		Canary string `json:"canary"`
		By     string `json:"by"`
	}
	if q.Method == http.MethodPost {
		if err := q.read(w, &body); err != nil {
			return err
		}
	}
	o.Canary, o.By = body.Canary, cmp.Or(body.By, operator)
	whom := erase.Whom{Hash: q.hash}
	if q.hash == schemas.HashOf(q.namespace, q.kind, q.key) { // or it is named by its id
		whom.Actor = &actorlogv1.Actor{Namespace: q.namespace, Kind: q.kind, Key: q.key}
	}
	var report *erase.Report
	var err error
	if body.Yes {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(q.Context()), eraseTimeout)
		defer cancel()
		report, err = erase.Erase(ctx, q.client, whom, o)
	} else {
		report, err = erase.Look(q.Context(), q.client.Log(), whom, o)
	}
	if err != nil {
		return err
	}
	respond.JSON(w, http.StatusOK, report)
	return nil
}

// take is an import. The actor of the path is the one that is made.
func (q *request) take(w http.ResponseWriter) error {
	at, err := replay.ParsePoint(q.URL.Query().Get("at"), time.Now())
	if err != nil {
		return err
	}
	query := q.URL.Query()
	o := asked{Reason: query.Get("reason"), By: query.Get("by")}
	if o.Schedules, err = q.flag("schedules"); err != nil {
		return err
	}
	h, err := file.Read(http.MaxBytesReader(w, q.Body, MaxFile))
	if err != nil {
		return err
	}
	if kind := h.Header().GetActor().GetKind(); kind != q.kind {
		return fmt.Errorf("%w: the file has an actor of kind %s, and not of kind %s", errInvalid, kind, q.kind)
	}
	options := o.options()
	options.Log = h.Header().Log
	d, err := restore.Fork(q.Context(), q.client, replay.NewReader(h, replay.Options{}), h.Hash(), at, restore.Target{Namespace: q.namespace, Key: q.key}, options)
	return done(w, d, err)
}

func done(w http.ResponseWriter, d *restore.Done, err error) error {
	if err != nil {
		return err
	}
	respond.JSON(w, http.StatusOK, struct {
		Position string `json:"position"`
		From     string `json:"from"`
		*restore.Done
	}{d.Position.String(), d.From.String(), d})
	return nil
}

// fail tells what went wrong.
func fail(w http.ResponseWriter, err error) {
	status, group, code := http.StatusInternalServerError, "history", "failed"
	var refused *actor.Error
	switch {
	case errors.As(err, &refused):
		status, group, code = http.StatusBadRequest, refused.Group, refused.Code
		if errors.Is(err, actor.ErrDuplicateKey) || errors.Is(err, actor.ErrConflict) {
			status = http.StatusConflict
		}
	case errors.Is(err, errInvalid), errors.Is(err, file.ErrDamaged), errors.Is(err, file.ErrNewer):
		status, code = http.StatusBadRequest, "invalid_request"
	case errors.Is(err, replay.ErrPoint):
		status, code = http.StatusBadRequest, "no_such_point"
	case errors.Is(err, erase.ErrUnsealed):
		status, code = http.StatusConflict, "no_master_key"
	case errors.Is(err, erase.ErrNeverSealed):
		status, code = http.StatusConflict, "never_sealed"
	case errors.Is(err, file.ErrUnknown), errors.Is(err, erase.ErrUnknown):
		status, code = http.StatusNotFound, "not_found"
	case errors.Is(err, restore.ErrNothing):
		status, code = http.StatusConflict, "nothing_to_restore"
	case errors.Is(err, replay.ErrGone):
		status, code = http.StatusGone, "gone"
	case errors.Is(err, remote.ErrUnknownOutcome):
		status, group, code = http.StatusGatewayTimeout, "actorlog", "outcome_unknown"
	case errors.Is(err, remote.ErrBusy):
		status, code = http.StatusServiceUnavailable, "busy"
	}
	respond.Fail(w, status, group, code, err.Error())
}
