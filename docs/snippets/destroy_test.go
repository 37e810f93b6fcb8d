package snippets_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: user

type User struct {
	Name string `json:"name"`
}

var (
	users      = actor.New[User]("user")
	erase      = actor.Action[actor.None, string](users, "erase")
	directory  = actor.New[Directory]("directory")
	userErased = actor.Action[string, actor.None](directory, "userErased")
)

func registerUser(r *actor.Registry) {
	actor.On(r, erase, func(s *User, c *actor.Ctx, _ actor.None) (string, error) {
		c.Destroy()
		return "goodbye, " + s.Name, nil // still reaches the caller
	})
	actor.OnDestroy(r, users, func(s *User, c *actor.Ctx) error {
		userErased.Send(c, directory.GetOrCreate(c.Client()), c.Key()[0])
		return nil
	})
}

// end snippet

type Directory struct {
	Erased []string `json:"erased"`
}

func TestUser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerUser, func(r *actor.Registry) {
			actor.CreateState(r, users, func(_ *actor.Ctx, name string) (User, error) { return User{Name: name}, nil })
			actor.On(r, userErased, func(s *Directory, _ *actor.Ctx, key string) (n actor.None, err error) {
				s.Erased = append(s.Erased, key)
				return n, nil
			})
		})
		ann, err := users.Create(ctx, w.Client, "Ann", "7")
		require.NoError(t, err)
		bob, err := users.Create(ctx, w.Client, "Bob", "8")
		require.NoError(t, err)
		conn, err := w.Connect(ctx, nil, "user", "7")
		require.NoError(t, err)

		goodbye, err := erase.Call(ctx, ann, actor.None{})
		require.NoError(t, err)
		require.Equal(t, "goodbye, Ann", goodbye)
		_, err = conn.Closed()
		require.NoError(t, err)
		_, err = erase.Call(ctx, ann, actor.None{})
		require.ErrorIs(t, err, actor.ErrNotFound)

		require.NoError(t, bob.Destroy(ctx)) // from outside, with the same hook
		time.Sleep(time.Second)              // messages arrive by themselves
		s, err := directory.Get(w.Client).Read(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"7", "8"}, s.Erased)

		// The key can live again, as another life.
		again, err := users.Create(ctx, w.Client, "Ann", "7")
		require.NoError(t, err)
		before, err := ann.Resolve(ctx)
		require.ErrorIs(t, err, actor.ErrNotFound)
		after, err := again.Resolve(ctx)
		require.NoError(t, err)
		require.NotEqual(t, before, after)
	})
}
