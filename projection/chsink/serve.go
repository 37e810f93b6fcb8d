package chsink

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/actorlog/actorlog/internal/respond"
)

// Handler has operators see, rebuild, switch and drop the projection of a log: GET /admin/projection, POST /admin/projection/rebuild, /admin/projection/{build}/switch and
// /admin/projection/{build}/drop, with the checks of the commands. docs/openapi.yaml says what they answer. It asks nobody who may: mount it, at this path, where only
// operators come.
func Handler(db *DB, l Log) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/admin/projection"), "/"), "/")
		var build uint64
		var err error
		if len(parts) == 2 {
			if build, err = strconv.ParseUint(parts[0], 10, 32); err != nil {
				respond.Fail(w, http.StatusBadRequest, "projection", "invalid_request", "the build is its number, as GET /admin/projection tells it, not "+strconv.Quote(parts[0]))
				return
			}
		}
		var answer any = struct {
			Build uint64 `json:"build"`
		}{build}
		switch r.Method + " " + parts[len(parts)-1] {
		case "GET ":
			var all []Status
			all, err = db.Status(ctx, l)
			answer = map[string]any{"builds": all}
		case "POST rebuild":
			var number uint32
			number, err = db.Rebuild(ctx)
			answer = map[string]any{"build": number}
		case "POST switch":
			force := false
			if text := r.URL.Query().Get("force"); text != "" {
				if force, err = strconv.ParseBool(text); err != nil {
					respond.Fail(w, http.StatusBadRequest, "projection", "invalid_request", "force is true or false, not "+strconv.Quote(text))
					return
				}
			}
			if force {
				err = db.Switch(ctx, uint32(build))
			} else {
				err = db.SwitchTo(ctx, l, uint32(build))
			}
		case "POST drop":
			err = db.Drop(ctx, uint32(build))
		default:
			respond.Fail(w, http.StatusNotFound, "api", "not_found", "there are GET /admin/projection, and POST /admin/projection/rebuild, /admin/projection/{build}/switch and /admin/projection/{build}/drop")
			return
		}
		if err != nil {
			fail(w, err)
			return
		}
		respond.JSON(w, http.StatusOK, answer)
	})
}

func fail(w http.ResponseWriter, err error) {
	status, code := http.StatusInternalServerError, "failed"
	switch {
	case errors.Is(err, ErrNoBuild):
		status, code = http.StatusNotFound, "no_such_build"
	case errors.Is(err, ErrNoProjection):
		status, code = http.StatusNotFound, "no_projection"
	case errors.Is(err, ErrCurrent):
		status, code = http.StatusConflict, "shown"
	case errors.Is(err, ErrBehind):
		status, code = http.StatusConflict, "behind"
	case errors.Is(err, ErrOtherLog):
		status, code = http.StatusConflict, "other_log"
	case errors.Is(err, ErrUnavailable):
		status, code = http.StatusServiceUnavailable, "unavailable"
	}
	respond.Fail(w, status, "projection", code, err.Error())
}
