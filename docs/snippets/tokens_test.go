package snippets_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: board

type Board struct {
	Owner string   `json:"owner"`
	Posts []string `json:"posts"`
}

// Credentials is what a client connects with: connect({params: {token}}).
type Credentials struct {
	Token string `json:"token"`
}

// Visitor is the state of a connection, made from a token that was checked.
type Visitor struct {
	User  string `json:"user"`
	Admin bool   `json:"admin"`
}

var (
	boards  = actor.New[Board]("board")
	post    = actor.Action[string, actor.None](boards, "post")
	posted  = actor.Event[string](boards, "posted")
	audited = actor.Event[string](boards, "audited")
	imports = actor.Queue[string, actor.None](boards, "imports")
)

func registerBoard(r *actor.Registry) {
	actor.CreateConnState(r, boards, func(_ *Board, c *actor.Ctx, in Credentials) (Visitor, error) {
		token := in.Token
		if token == "" { // a backend may send the header instead
			token = strings.TrimPrefix(c.Request().Header("Authorization"), "Bearer ")
		}
		claims, err := verify(token)
		if err != nil {
			return Visitor{}, actor.ErrForbidden.Messagef("the token is not valid")
		}
		c.Authenticate(claims.User) // who it is, in the history of all that comes through this connection
		return Visitor{User: claims.User, Admin: claims.Role == "admin"}, nil
	})
	actor.CanSubscribe(r, boards, audited, func(_ *Board, c *actor.Ctx) (bool, error) {
		return actor.ConnState[Visitor](c.Conn()).Admin, nil
	})
	actor.CanPublish(r, imports, func(s *Board, c *actor.Ctx) (bool, error) {
		return c.Conn() == nil || actor.ConnState[Visitor](c.Conn()).User == s.Owner, nil // backends have no connection
	})
	actor.On(r, post, func(s *Board, c *actor.Ctx, text string) (n actor.None, err error) {
		user := c.Caller().Principal
		if user == "" {
			return n, actor.ErrForbidden
		}
		s.Posts = append(s.Posts, user+": "+text)
		c.Broadcast(posted.With(text))
		c.Broadcast(audited.With(user + " posted"))
		return n, nil
	})
}

// end snippet

type claims struct {
	User string
	Role string
}

// verify stands for a library that checks signatures.
func verify(token string) (claims, error) {
	switch token {
	case "ann's":
		return claims{User: "ann", Role: "admin"}, nil
	case "bob's":
		return claims{User: "bob"}, nil
	}
	return claims{}, actor.ErrForbidden
}

func TestBoard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerBoard, func(r *actor.Registry) { actor.InitialState(r, boards, Board{Owner: "ann"}) })
		for _, token := range []string{"", "stolen"} {
			_, err := w.Connect(ctx, Credentials{token}, "board", "1")
			require.ErrorIs(t, err, actor.ErrForbidden)
		}
		ann, err := w.Connect(ctx, Credentials{"ann's"}, "board", "1")
		require.NoError(t, err)
		bob, err := w.Connect(ctx, Credentials{"bob's"}, "board", "1")
		require.NoError(t, err)
		require.NoError(t, ann.Subscribe(ctx, "posted", "audited"))
		require.NoError(t, bob.Subscribe(ctx, "posted"))
		require.ErrorIs(t, bob.Subscribe(ctx, "audited"), actor.ErrForbidden)
		_, err = bob.Call(ctx, "post", "hi")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "posted", Args: `["hi"]`}, bob.Next(t))
		require.Equal(t, actortest.Event{Name: "posted", Args: `["hi"]`}, ann.Next(t))
		require.Equal(t, actortest.Event{Name: "audited", Args: `["bob posted"]`}, ann.Next(t))

		board := boards.Get(w.Client, "1")
		require.NoError(t, audited.Subscribe(ctx, board, func(string) {}, nil), "who reads the log is not asked")
		_, err = post.Call(ctx, board, "x")
		require.ErrorIs(t, err, actor.ErrForbidden, "a backend is nobody, unless it says who it is")
		_, err = post.Call(ctx, board.WithParams(Credentials{"ann's"}), "x")
		require.NoError(t, err)
		require.NoError(t, imports.Send(ctx, board, "a file"))
		require.NoError(t, imports.Send(ctx, board.WithParams(Credentials{"ann's"}), "a file"))
		require.ErrorIs(t, imports.Send(ctx, board.WithParams(Credentials{"bob's"}), "a file"), actor.ErrForbidden)
	})
}
