package snippets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: login

type Login struct {
	Failures int `json:"failures"`
}

var (
	logins = actor.New[Login]("login")
	enter  = actor.Action[string, bool](logins, "enter")
)

// errLocked is a refusal that callers can tell from others.
var errLocked = actor.UserError("locked", "too many attempts")

func (s *Login) enter(_ *actor.Ctx, password string) (bool, error) {
	switch {
	case s.Failures == 3:
		return false, errLocked.With(map[string]int{"attempts": s.Failures})
	case password == "":
		return false, errors.New("no password in this request") // for operators: callers see actor.ErrInternal
	case password != "sesame":
		s.Failures++
		return false, nil // no error, for an error would undo the count
	}
	s.Failures = 0
	return true, nil
}

// end snippet

func callLogin(ctx context.Context, client actor.Caller, password string) string {
	// snippet: errors-at-the-caller
	ok, err := enter.Call(ctx, logins.GetOrCreate(client, "ann"), password)
	var refused *actor.Error
	switch {
	case errors.Is(err, errLocked): // the same group and code
		return "come back tomorrow"
	case errors.As(err, &refused): // any other refusal: it had no effect
		return fmt.Sprintf("%s.%s: %s", refused.Group, refused.Code, refused.Message)
	case err != nil: // no answer: it is not known whether it took effect
		return "ask again with the same idempotency key"
	}
	// end snippet
	if ok {
		return "welcome"
	}
	return "try again"
}

func TestLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		panics := actor.Action[actor.None, actor.None](logins, "panics")
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, enter, (*Login).enter)
			actor.On(r, panics, func(s *Login, _ *actor.Ctx, _ actor.None) (actor.None, error) {
				s.Failures = 3
				panic("oh no")
			})
		})
		call := func(password string) string { return callLogin(t.Context(), w.Client, password) }
		require.Equal(t, "welcome", call("sesame"))
		require.Equal(t, "rivetkit.internal_error: An internal error occurred", call(""))

		// A panic is an internal error, and leaves nothing behind.
		_, err := panics.Call(t.Context(), logins.Get(w.Client, "ann"), actor.None{})
		require.ErrorIs(t, err, actor.ErrInternal)
		var internal *actor.Error
		require.ErrorAs(t, err, &internal)
		require.Regexp(t, `^{"reference":".+"}$`, string(internal.Metadata))

		for range 3 {
			require.Equal(t, "try again", call("12345"))
		}
		require.Equal(t, "come back tomorrow", call("sesame"))
		_, err = enter.Call(t.Context(), logins.Get(w.Client, "ann"), "sesame")
		var locked *actor.Error
		require.ErrorAs(t, err, &locked)
		require.Equal(t, json.RawMessage(`{"attempts":3}`), locked.Metadata)
	})
}
