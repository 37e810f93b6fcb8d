package actortest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

type ledger struct {
	Sum int `json:"sum"`
}

var (
	ledgers = actor.New[ledger]("ledger")
	book    = actor.Action[int, int](ledgers, "book")
	wakes   = actor.Action[actor.None, int](ledgers, "wakes")
	later   = actor.Action[int, actor.None](ledgers, "later")
	intake  = actor.Queue[int, actor.None](ledgers, "in")
)

// registerLedger counts in vars how often ledgers woke; what is sent to their queue is booked by their loop.
func registerLedger(woken *int) func(*actor.Registry) {
	return func(r *actor.Registry) {
		actor.On(r, book, func(s *ledger, _ *actor.Ctx, by int) (int, error) { s.Sum += by; return s.Sum, nil })
		actor.On(r, wakes, func(*ledger, *actor.Ctx, actor.None) (int, error) { return *woken, nil })
		actor.On(r, later, func(_ *ledger, c *actor.Ctx, by int) (actor.None, error) {
			c.After(time.Hour, book.With(by))
			return actor.None{}, nil
		})
		actor.OnWake(r, ledgers, func(*ledger, *actor.Ctx) error { *woken++; return nil })
		actor.Accept(r, intake)
		actor.OnRun(r, ledgers, func(l *actor.Loop) error {
			for {
				m, err := intake.Next(l)
				if err != nil {
					return err
				}
				if _, err := book.Call(l, ledgers.Self(l), m.Body); err != nil {
					return err
				}
				if err := m.Complete(actor.None{}); err != nil {
					return err
				}
			}
		})
	}
}

func restore(t *testing.T, w *actortest.World, key string, r *actorlogv1.Restore, c *actorlogv1.Creation) *actorlogv1.Outcome {
	t.Helper()
	to := &actorlogv1.Actor{Namespace: actor.DefaultNamespace, Kind: ledgers.Name(), Key: []string{key}}
	d, _, err := w.Client.Do(t.Context(), remote.Request{
		Hash:   schemas.HashOf(to.Namespace, to.Kind, to.Key),
		Action: &actorlogv1.Action{Actor: to, Creation: c, Body: &actorlogv1.Action_Restore{Restore: r}},
	})
	require.NoError(t, err)
	return d.Outcome
}

// An actor that is awake, with a loop that waits and vars of its own, is given an earlier state: it wakes from it, its loop goes on, and a
// crash changes nothing. A copy of it is another actor.
func TestRestore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		woken := 0
		w := actortest.New(t, registerLedger(&woken))
		a := ledgers.GetOrCreate(w.Client, "a")
		do := func(h actor.Handle[ledger], by, want int) {
			t.Helper()
			got, err := book.Call(t.Context(), h, by)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		do(a, 10, 10)
		do(a, 5, 15)
		_, err := later.Call(t.Context(), a, 100)
		require.NoError(t, err)
		require.Equal(t, 1, woken)

		undone := restore(t, w, "a", &actorlogv1.Restore{StateJson: []byte(`{"sum":10}`), KeepSchedules: true}, nil)
		require.Nil(t, undone.Error)
		require.JSONEq(t, `[{"op":"replace","path":"/sum","value":10}]`, string(undone.PatchJson))
		// By the loop that runs since: nobody asked the actor for anything.
		require.NoError(t, intake.Send(t.Context(), a, 1))
		synctest.Wait()
		n, err := wakes.Call(t.Context(), a, actor.None{})
		require.NoError(t, err)
		require.Equal(t, 2, n)
		do(a, 1, 12)

		fork := restore(t, w, "b", &actorlogv1.Restore{StateJson: []byte(`{"sum":7}`)},
			&actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT})
		require.Equal(t, actorlogv1.Lifecycle_LIFECYCLE_CREATED, fork.Lifecycle)
		b := ledgers.Get(w.Client, "b")
		do(b, 1, 8)
		w.Crash()
		do(a, 0, 12)
		do(b, 0, 8)

		time.Sleep(2 * time.Hour) // a's schedule was kept; b never had one
		do(a, 0, 112)
		do(b, 0, 8)
		bad := restore(t, w, "a", &actorlogv1.Restore{StateJson: []byte(`{"sum":"much"}`)}, nil)
		require.Equal(t, actor.ErrInvalidRequest.Code, bad.Error.GetCode())
		do(a, 1, 113)
	})
}
