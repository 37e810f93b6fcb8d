package actortest_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
)

type bomb struct {
	Notes []string `json:"notes"`
}

var (
	bombKind = actor.New[bomb]("bomb")
	note     = actor.Action[string, int](bombKind, "note")
	// explode ends its worker, unless it was defused.
	explode = actor.Action[string, int](bombKind, "explode")
	// handGrenade has another one explode, and says what it heard.
	handGrenade = actor.Action[string, string](bombKind, "pass")
	// slow takes a second.
	slow = actor.Action[string, int](bombKind, "slow")
)

// mine is a world in which explode kills all workers, and a new one starts.
type mine struct {
	*actortest.World
	exploded atomic.Int32
	defused  atomic.Bool
	// turn is had by whoever starts and ends workers.
	turn chan struct{}
}

// alone has f start and end workers while no explosion does.
func (m *mine) alone(f func()) {
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	f()
}

// restart ends the worker in peace, and starts another one.
func (m *mine) restart() {
	m.alone(func() {
		m.Stop(m.Worker())
		m.StartWorker()
	})
}

func layMine(t *testing.T, cfg host.Config) *mine {
	m := &mine{turn: make(chan struct{}, 1)}
	bang := make(chan struct{})
	m.World = actortest.NewWith(t, cfg, func(r *actor.Registry) {
		add := func(s *bomb, text string) (int, error) {
			s.Notes = append(s.Notes, text)
			return len(s.Notes), nil
		}
		actor.On(r, note, func(s *bomb, _ *actor.Ctx, text string) (int, error) { return add(s, text) })
		actor.On(r, explode, func(s *bomb, c *actor.Ctx, text string) (int, error) {
			if m.defused.Load() {
				return add(s, text)
			}
			m.exploded.Add(1)
			bang <- struct{}{}
			<-c.Done() // the process is gone
			return 0, c.Err()
		})
		actor.On(r, handGrenade, func(s *bomb, c *actor.Ctx, to string) (string, error) {
			_, err := explode.Call(c, bombKind.GetOrCreate(c.Client(), to), "passed")
			s.Notes = append(s.Notes, "passed")
			var e *actor.Error
			if errors.As(err, &e) {
				return e.Code, nil
			}
			return "", err
		})
		actor.On(r, slow, func(s *bomb, c *actor.Ctx, text string) (int, error) {
			select {
			case <-time.After(time.Second):
			case <-c.Done():
				return 0, c.Err()
			}
			return add(s, text)
		})
	})
	t.Cleanup(func() { m.alone(func() {}) })
	go func() {
		for {
			select {
			case <-bang:
				m.alone(func() { m.Crash() })
			case <-t.Context().Done():
				return
			}
		}
	}()
	return m
}

func TestPoison(t *testing.T) {
	t.Parallel()
	t.Run("IsSetAsideAfterThreeAttempts", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := layMine(t, host.Config{})
			bad, good := bombKind.GetOrCreate(m.Client, "bad"), bombKind.GetOrCreate(m.Client, "good")
			for _, h := range []actor.Handle[bomb]{bad, good} {
				_, err := note.Call(t.Context(), h, "before")
				require.NoError(t, err)
			}
			answers := make(chan error, 3)
			go func() {
				_, err := explode.Call(t.Context(), bad, "x")
				answers <- err
			}()
			synctest.Wait()
			go func() { // behind it, in the same actor
				_, err := note.Call(t.Context(), bad, "behind")
				answers <- err
			}()
			for range 3 { // beside it: slow enough to be under way when it explodes
				_, err := slow.Call(t.Context(), good, "beside")
				require.NoError(t, err)
			}
			one, other := <-answers, <-answers
			if one == nil {
				one, other = other, one
			}
			require.ErrorIs(t, one, actor.ErrParked)
			require.NoError(t, other)
			require.EqualValues(t, 3, m.exploded.Load())
			state, err := bad.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"before", "behind"}, state.Notes)
			state, err = good.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"before", "beside", "beside", "beside"}, state.Notes)

			items, err := m.Client.Parked(t.Context())
			require.NoError(t, err)
			require.Len(t, items, 1)
			require.Equal(t, `action explode("x")`, items[0].Describe())
			require.EqualValues(t, 3, items[0].Outcome.Parked)

			// It is known after a peaceful restart, which writes a checkpoint, and another death.
			m.restart()
			_, err = note.Call(t.Context(), bad, "later")
			require.NoError(t, err)
			m.alone(func() { m.Crash() })
			again, err := m.Client.Parked(t.Context())
			require.NoError(t, err)
			require.Len(t, again, 1)
			require.Equal(t, items[0].Position, again[0].Position)

			m.defused.Store(true)
			d, err := m.Client.Unpark(t.Context(), items[0].Position, false)
			require.NoError(t, err)
			require.NoError(t, actor.OutcomeError(d.Outcome))
			state, err = bad.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"before", "behind", "later", "x"}, state.Notes)
			items, err = m.Client.Parked(t.Context())
			require.NoError(t, err)
			require.Empty(t, items)
			_, err = m.Client.Unpark(t.Context(), again[0].Position, false)
			require.ErrorIs(t, err, remote.ErrNotParked)
		})
	})

	t.Run("CanBeDismissed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := layMine(t, host.Config{ID: "always-the-same"})
			_, err := explode.Call(t.Context(), bombKind.GetOrCreate(m.Client, "bad"), "x") // which does not exist, and is not made
			require.ErrorIs(t, err, actor.ErrParked)
			items, err := m.Client.Parked(t.Context())
			require.NoError(t, err)
			require.Len(t, items, 1)
			_, err = m.Client.Unpark(t.Context(), items[0].Position, true)
			require.NoError(t, err)
			m.restart()
			items, err = m.Client.Parked(t.Context())
			require.NoError(t, err)
			require.Empty(t, items)
			require.EqualValues(t, 3, m.exploded.Load())
		})
	})

	t.Run("TwoAreFoundOneAfterTheOther", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := layMine(t, host.Config{ActionTimeout: 5 * time.Minute})
			client, err := remote.Open(m.Cluster.Client(), remote.Config{RequestTimeout: 10 * time.Minute})
			require.NoError(t, err)
			defer client.Close()
			answers := make(chan error, 10)
			for _, key := range []string{"a", "b", "c", "d"} {
				go func() {
					h := bombKind.GetOrCreate(client, key)
					if key == "b" || key == "d" {
						_, err := explode.Call(t.Context(), h, "x")
						answers <- err
						return
					}
					_, err := slow.Call(t.Context(), h, "x")
					answers <- err
				}()
			}
			parked := 0
			for range 4 {
				if err := <-answers; err != nil {
					require.ErrorIs(t, err, actor.ErrParked)
					parked++
				}
			}
			require.Equal(t, 2, parked)
		})
	})

	t.Run("WhoCallsItIsTold", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := layMine(t, host.Config{})
			code, err := handGrenade.Call(t.Context(), bombKind.GetOrCreate(m.Client, "caller"), "bad")
			require.NoError(t, err)
			require.Equal(t, actor.ErrParked.Code, code)
			items, err := m.Client.Parked(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, items)
			for _, item := range items {
				require.Equal(t, "explode", item.Outcome.GetAction().GetInvoke().GetName(), "the caller is not to blame")
			}
		})
	})

	t.Run("DeathsOfOtherReasonsParkNothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := layMine(t, host.Config{})
			h := bombKind.GetOrCreate(m.Client, "a")
			for range 10 {
				_, err := note.Call(t.Context(), h, "x")
				require.NoError(t, err)
				time.Sleep(3 * time.Second) // all is answered: whatever kills the worker, it was not that
				m.alone(func() { m.Crash() })
			}
			done := make(chan error, 1)
			go func() {
				_, err := slow.Call(t.Context(), h, "slow")
				done <- err
			}()
			for range 2 { // a worker may die twice in an action's time
				time.Sleep(500 * time.Millisecond)
				m.alone(func() { m.Crash() })
				time.Sleep(6 * time.Second)
			}
			require.NoError(t, <-done)
			items, err := m.Client.Parked(t.Context())
			require.NoError(t, err)
			require.Empty(t, items)
		})
	})
}
