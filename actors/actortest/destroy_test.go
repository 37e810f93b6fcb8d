package actortest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// An actor is destroyed by one of its actions, or from outside: OnDestroy runs, then its connections end, all in one outcome. The old id stays
// dead, the key can live again, and the old life can still be read in the history.
func TestDestroy(t *testing.T) {
	t.Parallel()
	for how, destroy := range map[string]func(t *testing.T, w *actortest.World) error{
		"by an action": func(t *testing.T, w *actortest.World) error {
			_, err := do.Call(t.Context(), stageOf(w, "a"), "end")
			return err
		},
		"from outside": func(t *testing.T, w *actortest.World) error { return stageOf(w, "a").Destroy(t.Context()) },
	} {
		t.Run(how, func(t *testing.T) {
			perform(t, func(t *testing.T, w *actortest.World, p *play) {
				p.script("end", func(c *actor.Ctx) error { c.Destroy(); return nil })
				var left []string
				p.script("OnDestroy", func(c *actor.Ctx) error {
					left = namesOf(c)
					c.Conns()[0].Disconnect("the house burns")
					c.Broadcast(shout.With("adieu"))
					return nil
				})
				ann, bob := connect(t, w, "ann"), connect(t, w, "bob")
				events := w.Watch("stage", "a")
				h := stageOf(w, "a")
				id, err := h.Resolve(t.Context())
				require.NoError(t, err)
				p.script("set", func(c *actor.Ctx) error { c.After(time.Hour, do.With("tick")); return nil })
				call(t, h, "set")
				p.take()
				require.NoError(t, destroy(t, w))
				require.Equal(t, 1, p.count("OnDestroy"))
				require.Equal(t, []string{"ann", "bob"}, left)
				require.Equal(t, 2, p.count("OnDisconnect"), "of both, also of the one that OnDestroy ended")
				for want, c := range map[string]*actortest.Client{"the house burns": ann, "": bob} {
					reason, err := c.Closed()
					require.NoError(t, err)
					require.Equal(t, want, reason)
					_, err = c.Call(t.Context(), "do", "one")
					require.ErrorIs(t, err, actor.ErrNotFound)
				}
				for e := events.Next(t); e.Name != "shout"; e = events.Next(t) {
					require.Equal(t, "changed", e.Name)
				}
				_, err = lines.Call(t.Context(), stages.Get(w.Client, "a"), actor.None{})
				require.ErrorIs(t, err, actor.ErrNotFound)
				require.ErrorIs(t, stages.Get(w.Client, "a").Destroy(t.Context()), actor.ErrNotFound)

				outcomes, a := history(t, w, "stage", "a")
				require.False(t, a.Alive)
				last := outcomes[len(outcomes)-1]
				for last.Lifecycle != actorlogv1.Lifecycle_LIFECYCLE_DESTROYED {
					outcomes = outcomes[:len(outcomes)-1]
					last = outcomes[len(outcomes)-1]
				}
				require.Len(t, last.Disconnected, 2)
				require.Contains(t, string(last.PatchJson)+string(last.StateJson), "OnDisconnect bob")

				p.take()
				time.Sleep(asleep)
				call(t, h, "one")
				again, err := h.Resolve(t.Context())
				require.NoError(t, err)
				require.NotEqual(t, id, again)
				require.Equal(t, []string{"CreateState in", "OnCreate", "OnWake", "one"}, linesOf(t, h))
				w.Crash()
				_, err = lines.Call(t.Context(), stages.GetForID(w.Client, id), actor.None{})
				require.ErrorIs(t, err, actor.ErrNotFound)
				_, err = lines.Call(t.Context(), stages.GetForID(w.Client, again), actor.None{})
				require.NoError(t, err)
				time.Sleep(2 * time.Hour)
				require.Zero(t, p.count("tick"), "the schedules of the old life are gone")
				require.Zero(t, p.count("OnDisconnect"))
				outcomes, _ = history(t, w, "stage", "a")
				require.Equal(t, uint32(1), outcomes[0].Actor.Generation, "the old life is still in the log")
			})
		})
	}
}

// OnDestroy and OnDisconnect that go wrong do not save the actor: it is gone, with all its connections.
func TestDestroy_HookGoesWrong(t *testing.T) {
	t.Parallel()
	for _, hook := range []string{"OnDestroy", "OnDisconnect"} {
		for _, mishap := range mishaps {
			t.Run(hook+"/"+mishap.name, func(t *testing.T) {
				perform(t, func(t *testing.T, w *actortest.World, p *play) {
					ann, bob := connect(t, w, "ann"), connect(t, w, "bob")
					p.script(hook, mishap.rule)
					err := stageOf(w, "a").Destroy(t.Context())
					if mishap.name == "timeout" {
						require.ErrorIs(t, err, actor.ErrTimedOut)
					} else {
						require.NoError(t, err)
					}
					require.NotEmpty(t, p.failures())
					require.Contains(t, p.failures()[0].Detail, hook)
					for _, c := range []*actortest.Client{ann, bob} {
						_, err := c.Closed()
						require.NoError(t, err)
					}
					_, err = lines.Call(t.Context(), stages.Get(w.Client, "a"), actor.None{})
					require.ErrorIs(t, err, actor.ErrNotFound)
					time.Sleep(4 * time.Minute)
				})
			})
		}
	}
}

// Hooks that end each other's connections, and the actor, end everything once.
func TestDestroy_HooksThatEndMore(t *testing.T) {
	t.Parallel()
	endAll := func(c *actor.Ctx) error {
		for _, n := range c.Conns() {
			n.Disconnect("you too")
		}
		c.Destroy()
		return nil
	}
	for how, end := range map[string]func(t *testing.T, w *actortest.World, c *actortest.Client) error{
		"a client leaves": func(t *testing.T, _ *actortest.World, c *actortest.Client) error { return c.Close(t.Context(), "bye") },
		"destroyed": func(t *testing.T, w *actortest.World, _ *actortest.Client) error {
			return stageOf(w, "a").Destroy(t.Context())
		},
		"a stateless call ends": func(t *testing.T, w *actortest.World, _ *actortest.Client) error {
			_, err := do.Call(t.Context(), stageOf(w, "a").WithParams(ticket{"eve"}), "one")
			return err
		},
	} {
		t.Run(how, func(t *testing.T) {
			perform(t, func(t *testing.T, w *actortest.World, p *play) {
				ann := connect(t, w, "ann")
				connect(t, w, "bob")
				connect(t, w, "cat")
				p.script("OnDisconnect", endAll)
				require.NoError(t, end(t, w, ann))
				outcomes, a := history(t, w, "stage", "a")
				last := outcomes[len(outcomes)-1]
				require.Len(t, last.Disconnected, 3)
				require.False(t, a.Alive)
				require.Equal(t, 1, p.count("OnDestroy"))
				want := 3
				if how == "a stateless call ends" {
					want = 4
				}
				require.Equal(t, want, p.count("OnDisconnect"))
			})
		})
	}
}

// An actor that is made and destroyed by one action never was there for others, and its hooks ran.
func TestDestroy_InTheFirstAction(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		p.script("end", func(c *actor.Ctx) error { c.Destroy(); return nil })
		call(t, stageOf(w, "a"), "end")
		require.Equal(t, []string{"CreateState", "OnCreate", "CreateVars", "OnWake", "end", "OnDestroy", "OnStateChange", "OnBeforeActionResponse"}, p.take())
		_, err := lines.Call(t.Context(), stages.Get(w.Client, "a"), actor.None{})
		require.ErrorIs(t, err, actor.ErrNotFound)
		time.Sleep(asleep)
		require.Empty(t, p.take(), "the dead do not sleep")
	})
}
