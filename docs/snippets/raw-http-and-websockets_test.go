package snippets_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: webhook

// Hook keeps what was posted to it.
type Hook struct {
	Bodies []json.RawMessage `json:"bodies"`
}

var hooks = actor.New[Hook]("hook")

func (s *Hook) serve(c *actor.Ctx, r *actor.Request) (*actor.Response, error) {
	switch {
	case r.Method == http.MethodPost && r.Target == "/in":
		if r.Header("Content-Type") != "application/json" || !json.Valid(r.Body) {
			return &actor.Response{Status: 415, Body: []byte("JSON, please\n")}, nil
		}
		s.Bodies = append(s.Bodies, r.Body)
		return &actor.Response{Status: 202}, nil
	case r.Method == http.MethodGet:
		body, err := json.Marshal(s.Bodies)
		return &actor.Response{Headers: []actor.Header{{Name: "Content-Type", Value: "application/json"}}, Body: body}, err
	}
	return nil, actor.ErrForbidden // answered as JSON, and nothing has happened
}

func registerHook(r *actor.Registry) {
	actor.OnRequest(r, hooks, (*Hook).serve)
}

// end snippet

func TestHook(t *testing.T) {
	t.Parallel()
	s := new(Hook)
	answer, err := s.serve(nil, &actor.Request{Method: "POST", Target: "/in", Body: []byte("x")})
	require.NoError(t, err)
	require.Equal(t, 415, answer.Status)
	answer, err = s.serve(nil, &actor.Request{
		Method: "POST", Target: "/in", Headers: []actor.Header{{Name: "Content-Type", Value: "application/json"}}, Body: []byte(`{"n":1}`),
	})
	require.NoError(t, err)
	require.Equal(t, 202, answer.Status)
	answer, err = s.serve(nil, &actor.Request{Method: "GET", Target: "/"})
	require.NoError(t, err)
	require.JSONEq(t, `[{"n":1}]`, string(answer.Body))
	_, err = s.serve(nil, &actor.Request{Method: "DELETE"})
	require.ErrorIs(t, err, actor.ErrForbidden)
	registerHook(actor.NewRegistry())
}

// snippet: echo

// Echo writes what it is told to all sockets of the same path.
type Echo struct {
	Messages int `json:"messages"`
}

var echoes = actor.New[Echo]("echo")

func registerEcho(r *actor.Registry) {
	actor.OnWebSocket(r, echoes, actor.SocketHandler[Echo]{
		Open: func(s *Echo, c *actor.Ctx, socket *actor.Socket) error {
			if !strings.HasPrefix(socket.Target(), "/rooms/") {
				return actor.UserError("no_room", "ask for /rooms/ and a name")
			}
			socket.Write("welcome")
			return nil
		},
		Message: func(s *Echo, c *actor.Ctx, socket *actor.Socket, m actor.SocketMessage) error {
			s.Messages++
			for _, other := range c.Sockets() {
				if other.Target() == socket.Target() {
					other.Write(string(m.Data))
				}
			}
			if string(m.Data) == "bye" {
				socket.Close(1000, "bye")
			}
			return nil
		},
	})
}

// end snippet

func TestEcho(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerEcho)
		_, err := w.ConnectRaw(ctx, nil, "/", "echo")
		require.ErrorIs(t, err, actor.UserError("no_room", ""))
		ann, err := w.ConnectRaw(ctx, nil, "/rooms/1", "echo")
		require.NoError(t, err)
		bob, err := w.ConnectRaw(ctx, nil, "/rooms/1", "echo")
		require.NoError(t, err)
		eve, err := w.ConnectRaw(ctx, nil, "/rooms/2", "echo")
		require.NoError(t, err)
		w.Crash()
		require.NoError(t, ann.Write(ctx, "hi"))
		require.NoError(t, ann.Write(ctx, "bye"))
		reason, err := ann.Closed()
		require.NoError(t, err)
		require.Equal(t, "bye", reason)
		require.Equal(t, "welcome hi bye", frames(bob))
		require.Equal(t, "welcome", frames(eve))
	})
}

func frames(c *actortest.Client) string {
	var all []string
	for _, f := range c.Frames() {
		all = append(all, string(f.Data))
	}
	return strings.Join(all, " ")
}
