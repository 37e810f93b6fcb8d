package actortest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// An actor is made, works, sleeps, wakes, is carried over in peace, and dies with its worker: the hooks run in Rivet's order, and
// each as often as it should.
func TestLifecycle(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		h := stageOf(w, "a")
		call(t, h, "one")
		require.Equal(t, []string{"CreateState", "OnCreate", "CreateVars", "OnWake", "one", "OnStateChange", "OnBeforeActionResponse"}, p.take())
		outcomes, _ := history(t, w, "stage", "a")
		require.Len(t, outcomes, 1, "all of that is one outcome")
		require.Equal(t, actorlogv1.Lifecycle_LIFECYCLE_CREATED, outcomes[0].Lifecycle)

		call(t, h, "two")
		require.Equal(t, []string{"two", "OnStateChange", "OnBeforeActionResponse"}, p.take(), "it is awake")

		time.Sleep(asleep)
		require.Equal(t, []string{"OnSleep", "OnStateChange"}, p.take())
		call(t, h, "three")
		require.Equal(t, []string{"CreateVars", "OnWake", "three", "OnStateChange", "OnBeforeActionResponse"}, p.take())
		require.Equal(t, []string{"CreateState in", "OnCreate", "OnWake", "one", "two", "OnSleep", "OnWake", "three"}, linesOf(t, h))
		require.Empty(t, p.take(), "reading a state wakes nobody")

		w.Stop(w.StartWorker()) // the newcomer gets shards, and gives them back
		time.Sleep(time.Second)
		p.take()
		call(t, h, "four")
		require.Contains(t, p.take(), "four")

		w.Crash()
		p.take()
		before := linesOf(t, h)
		call(t, h, "five")
		require.Equal(t, []string{"CreateVars", "OnWake", "five", "OnStateChange", "OnBeforeActionResponse"}, p.take(), "a crash runs no OnSleep")
		require.Equal(t, append(before, "OnWake", "five"), linesOf(t, h))
		require.Empty(t, p.failures())
	})
}

// A worker that is stopped in peace runs OnSleep of the actors that are awake, and what OnSleep does is recorded.
func TestLifecycle_GracefulStop(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		h := stageOf(w, "a")
		only := w.Crash()
		call(t, h, "one")
		p.take()
		w.Stop(only)
		require.Equal(t, []string{"OnSleep", "OnStateChange"}, p.take())
		_, a := history(t, w, "stage", "a")
		require.Contains(t, string(a.State), `"one","OnSleep"]`)
	})
}

// Vars live as long as an activation and are in no record.
func TestLifecycle_Vars(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		var seen []int
		p.script("look", func(c *actor.Ctx) error {
			v := actor.Vars[*vars](c)
			seen = append(seen, v.Activation)
			v.Activation += 770_000 // they may change: nobody but this activation sees it
			return nil
		})
		h := stageOf(w, "a")
		call(t, h, "look")
		call(t, h, "look")
		time.Sleep(asleep)
		call(t, h, "look")
		w.Crash()
		call(t, h, "look")
		require.Equal(t, []int{1, 770_001, 2, 3}, seen)
		time.Sleep(asleep) // with snapshots
		require.Empty(t, holds(w, "77000"))
		require.Empty(t, holds(w, "Activation"))
	})
}

// A hook that goes wrong fails what it belongs to. What stands then is what its comment says, and the next time all is well.
func TestHook_GoesWrong(t *testing.T) {
	type outcome struct {
		lines []string // of the actor; nil: there is none
		after []string // when the same is done again
		limit int      // seconds
	}
	created := []string{"CreateState in", "OnCreate"}
	woken := append(created, "OnWake", "zero")
	for hook, want := range map[string]outcome{
		"CreateState":            {nil, []string{"CreateState in", "OnCreate", "OnWake", "one"}, 60},
		"OnCreate":               {nil, []string{"CreateState in", "OnCreate", "OnWake", "one"}, 60},
		"CreateVars":             {created, append(created, "OnWake", "one"), 5},
		"OnWake":                 {created, append(created, "OnWake", "one"), 5},
		"one":                    {woken, append(woken, "one"), 60},
		"OnStateChange":          {woken, append(woken, "one"), 5},
		"OnBeforeActionResponse": {woken, append(woken, "one"), 5},
	} {
		for _, mishap := range mishaps {
			t.Run(hook+"/"+mishap.name, func(t *testing.T) {
				perform(t, func(t *testing.T, w *actortest.World, p *play) {
					h := stageOf(w, "a")
					if len(want.lines) > 2 {
						call(t, h, "zero")
					}
					p.script(hook, mishap.rule)
					began := time.Now()
					_, err := do.Call(t.Context(), h, "one")
					require.ErrorIs(t, err, mishap.want)
					if mishap.name == "timeout" {
						require.Equal(t, want.limit, seconds(began))
					}
					p.script(hook, nil)

					s, err := stages.Get(w.Client, "a").Read(t.Context())
					if want.lines == nil {
						require.ErrorIs(t, err, actor.ErrNotFound)
					} else {
						require.NoError(t, err)
						require.Equal(t, want.lines, s.Lines)
					}
					again := want.after
					if mishap.name == "timeout" && len(want.lines) > 2 {
						// The activation is gone with the goroutine that is stuck in it.
						again = append(append(want.lines[:len(want.lines):len(want.lines)], "OnWake"), "one")
					}
					call(t, h, "one")
					require.Equal(t, again, linesOf(t, h))

					time.Sleep(5 * time.Minute) // what hung comes back
					call(t, h, "end")
					w.Crash()
					all := linesOf(t, h)
					require.Equal(t, again, all[:len(again)], "and changes nothing")
					require.NotContains(t, all, "never")
				})
			})
		}
	}
}

// While a hook of one actor hangs, other actors of the same shard are not disturbed.
func TestHook_HangsAlone(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		p.script("OnWake", func(c *actor.Ctx) error {
			if c.Key()[0] == "stuck" {
				return hang(c)
			}
			return nil
		})
		go do.Call(t.Context(), stageOf(w, "stuck"), "one") //nolint:errcheck // it times out
		time.Sleep(time.Second)
		began := time.Now()
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			call(t, stageOf(w, key), "one")
		}
		require.Zero(t, seconds(began))
		time.Sleep(10 * time.Second)
		require.Len(t, p.failures(), 1, "operators are told of a hook that times out")
		require.Contains(t, p.failures()[0].Detail, "OnWake timed out")
		time.Sleep(4 * time.Minute)
	})
}

// What OnWake did stands even if the action that woke the actor fails, and it is not done again by the next one.
func TestOnWake_StandsWhenTheActionFails(t *testing.T) {
	for _, mishap := range mishaps[:3] {
		t.Run(mishap.name, func(t *testing.T) {
			perform(t, func(t *testing.T, w *actortest.World, p *play) {
				h := stageOf(w, "a")
				events := w.Watch("stage", "a")
				p.script("OnWake", func(c *actor.Ctx) error {
					c.Broadcast(shout.With("good morning"))
					c.After(time.Hour, do.With("tea"))
					return nil
				})
				p.script("one", mishap.rule)
				_, err := do.Call(t.Context(), h, "one")
				require.ErrorIs(t, err, mishap.want)
				require.Equal(t, []string{"CreateState in", "OnCreate", "OnWake"}, linesOf(t, h))
				require.Equal(t, actortest.Event{Name: "shout", Args: `["good morning"]`}, events.Next(t))
				p.script("one", nil)
				call(t, h, "one")
				require.Equal(t, []string{"CreateState in", "OnCreate", "OnWake", "one"}, linesOf(t, h))
				time.Sleep(time.Hour + time.Minute)
				require.Equal(t, 1, p.count("tea"))
			})
		})
	}
}

// When the outcome of the action that woke the actor does not fit into a record, nothing of waking stands: it wakes again.
func TestOnWake_AgainWhenTheOutcomeDoesNotFit(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		big := make([]byte, 9_000_000)
		for i := range big {
			big[i] = 'x'
		}
		p.script("big", func(c *actor.Ctx) error { c.Broadcast(shout.With(string(big))); return nil })
		h := stageOf(w, "a")
		_, err := do.Call(t.Context(), h, "big")
		require.ErrorIs(t, err, actor.ErrTooLarge)
		_, err = stages.Get(w.Client, "a").Read(t.Context())
		require.ErrorIs(t, err, actor.ErrNotFound, "it had no effect")
		call(t, h, "one")
		time.Sleep(asleep)
		_, err = do.Call(t.Context(), h, "big")
		require.ErrorIs(t, err, actor.ErrTooLarge)
		call(t, h, "two")
		require.Equal(t, []string{"CreateState in", "OnCreate", "OnWake", "one", "OnSleep", "OnWake", "two"}, linesOf(t, h))
	})
}

// OnSleep that goes wrong leaves nothing but a word to the operators, and the actor sleeps.
func TestOnSleep_GoesWrong(t *testing.T) {
	for _, mishap := range mishaps {
		t.Run(mishap.name, func(t *testing.T) {
			perform(t, func(t *testing.T, w *actortest.World, p *play) {
				h := stageOf(w, "a")
				p.script("OnSleep", mishap.rule)
				call(t, h, "one")
				time.Sleep(asleep)
				require.Equal(t, 1, p.count("OnSleep"))
				require.Len(t, p.failures(), 1)
				require.Contains(t, p.failures()[0].Detail, "OnSleep")
				p.script("OnSleep", nil)
				call(t, h, "two")
				require.Equal(t, []string{"CreateState in", "OnCreate", "OnWake", "one", "OnWake", "two"}, linesOf(t, h), "it slept")
				time.Sleep(5 * time.Minute)
			})
		})
	}
}

// A worker that dies when it has told an actor to sleep leaves that request behind. The next one does not wake the actor in order to
// put it to sleep.
func TestOnSleep_NotOfAnActivationThatIsGone(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		h := stageOf(w, "a")
		call(t, h, "one")
		asked := make(chan struct{})
		p.script("OnSleep", func(*actor.Ctx) error {
			select {
			case asked <- struct{}{}:
				time.Sleep(4 * time.Second)
			default:
			}
			return nil
		})
		<-asked
		w.Crash()
		p.take()
		time.Sleep(asleep)
		require.Empty(t, p.take())
		require.Equal(t, []string{"CreateState in", "OnCreate", "OnWake", "one"}, linesOf(t, h))
	})
}

// OnStateChange runs once per action that changed the state, and not for one that did not: not even after a recovery, when the state has been put
// together from patches.
func TestOnStateChange_OncePerChange(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		h := stageOf(w, "a")
		events := w.Watch("stage", "a")
		call(t, h, "one")
		require.Equal(t, actortest.Event{Name: "changed", Args: `[["CreateState in","OnCreate","OnWake","one"]]`}, events.Next(t))
		p.take()
		_, err := lines.Call(t.Context(), h, actor.None{})
		require.NoError(t, err)
		require.Equal(t, []string{"OnBeforeActionResponse"}, p.take())
	})
}

// shelf is a state whose text depends on the order in which its members came, when it is put together from patches.
type shelf struct{ Books map[string]int }

func TestOnStateChange_NotForAStateThatIsOnlyWrittenOtherwise(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		kind := actor.New[shelf]("shelf")
		put := actor.Action[string, int](kind, "put")
		changes := 0
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, put, func(s *shelf, _ *actor.Ctx, book string) (int, error) {
				if s.Books == nil {
					s.Books = map[string]int{}
				}
				if book != "" {
					s.Books[book] = len(book)
				}
				return len(s.Books), nil
			})
			actor.OnStateChange(r, kind, func(*shelf, *actor.Ctx) error { changes++; return nil })
		})
		h := kind.GetOrCreate(w.Client, "a")
		for _, book := range []string{"zoology, volume one", "mathematics", "algebra", "botany"} {
			_, err := put.Call(t.Context(), h, book)
			require.NoError(t, err)
		}
		require.Equal(t, 4, changes)
		w.Crash()
		n, err := put.Call(t.Context(), h, "")
		require.NoError(t, err)
		require.Equal(t, 4, n)
		require.Equal(t, 4, changes, "nothing changed")
	})
}

// The hooks that come last cannot end what has hooks of its own, for those would not run.
func TestOnStateChange_MustNotEndAnything(t *testing.T) {
	for _, hook := range []string{"OnStateChange", "OnBeforeActionResponse"} {
		t.Run(hook, func(t *testing.T) {
			perform(t, func(t *testing.T, w *actortest.World, p *play) {
				h := stageOf(w, "a")
				ann, err := w.Connect(t.Context(), ticket{"ann"}, "stage", "a")
				require.NoError(t, err)
				for _, end := range []func(c *actor.Ctx) error{
					func(c *actor.Ctx) error { c.Conns()[0].Disconnect("out"); return nil },
					func(c *actor.Ctx) error { c.Destroy(); return nil },
				} {
					p.script(hook, end)
					_, err = ann.Call(t.Context(), "do", "one")
					require.ErrorIs(t, err, actor.ErrInternal)
				}
				p.script(hook, nil)
				require.Equal(t, []string{"CreateState ", "OnCreate", "OnWake", "OnConnect"}, linesOf(t, h))
			})
		})
	}
}

// OnBeforeActionResponse sees the result on its way and may replace it; the history has what the caller got.
func TestOnBeforeActionResponse_Transforms(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		kind := actor.New[stage]("mask")
		say := actor.Action[string, string](kind, "say")
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, say, func(_ *stage, _ *actor.Ctx, text string) (string, error) { return text, nil })
			actor.OnBeforeActionResponse(r, kind, func(s *stage, _ *actor.Ctx, response *actor.ActionResponse) error {
				switch string(response.Args) {
				case `["rude"]`:
					response.Result = []byte(`"***"`)
				case `["broken"]`:
					response.Result = []byte(`{`)
				case `["meddle"]`:
					s.Lines = append(s.Lines, "meddled")
				}
				return nil
			})
		})
		h := kind.GetOrCreate(w.Client, "a")
		for text, want := range map[string]string{"rude": "***", "fine": "fine"} {
			got, err := say.Call(t.Context(), h, text)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		for _, text := range []string{"broken", "meddle"} {
			_, err := say.Call(t.Context(), h, text)
			require.ErrorIs(t, err, actor.ErrInternal)
		}
		outcomes, _ := history(t, w, "mask", "a")
		for _, o := range outcomes {
			require.NotEqual(t, `"rude"`, string(o.ResultJson))
		}
		s, err := h.Read(t.Context())
		require.NoError(t, err)
		require.Empty(t, s.Lines)
		require.Equal(t, []eventlog.Topic{eventlog.Actions, eventlog.Events}, holds(w, "rude"), "as an argument")
	})
}
