package actortest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

type till struct {
	Coins int `json:"coins"`
}

var (
	tills  = actor.New[till]("till")
	insert = actor.Action[int, int](tills, "insert")
	passOn = actor.Action[int, actor.None](tills, "passOn")
	looped = actor.Queue[int, actor.None](tills, "looped")
)

// What the actors of a namespace ask others stays in that namespace, unless they name another one.
func TestHandlesOfActorsAreInTheirNamespace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, insert, func(s *till, _ *actor.Ctx, n int) (int, error) { s.Coins += n; return s.Coins, nil })
			actor.On(r, passOn, func(_ *till, c *actor.Ctx, n int) (none actor.None, err error) {
				_, err = insert.Call(c, tills.GetOrCreate(c.Client(), "called"), n)
				insert.Send(c, tills.GetOrCreate(c.Client(), "sent"), n)
				return none, err
			})
			actor.Accept(r, looped)
			actor.OnRun(r, tills, func(l *actor.Loop) error {
				m, err := looped.Next(l)
				if err != nil {
					return err
				}
				if _, err := insert.Call(l, tills.GetOrCreate(l.Client(), "looped"), m.Body); err != nil {
					return err
				}
				return m.Complete(actor.None{})
			})
		})

		first := tills.GetOrCreate(w.Client, "first").InNamespace("tenant")
		_, err := passOn.Call(ctx, first, 5)
		require.NoError(t, err)
		_, err = looped.SendAndWait(ctx, first, 5)
		require.NoError(t, err)
		time.Sleep(time.Second)

		for _, key := range []string{"called", "sent", "looped"} {
			n, err := insert.Call(ctx, tills.Get(w.Client, key).InNamespace("tenant"), 1)
			require.NoError(t, err, key)
			require.Equal(t, 6, n, key)
			_, err = insert.Call(ctx, tills.Get(w.Client, key), 1)
			require.ErrorIs(t, err, actor.ErrNotFound, key)
		}
	})
}
