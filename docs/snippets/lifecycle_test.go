package snippets_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: thermostat

type Thermostat struct {
	Target  float64 `json:"target"`
	Current float64 `json:"current"`
}

// device is not state: it lives as long as the actor is in memory.
type device struct{ address string }

func (d *device) read() (float64, error) { return 19.5, nil }
func (d *device) close()                 {}

var (
	thermostats = actor.New[Thermostat]("thermostat")
	setTarget   = actor.Action[float64, actor.None](thermostats, "setTarget")
	measured    = actor.Action[float64, actor.None](thermostats, "measured")
	heating     = actor.Event[bool](thermostats, "heating")
)

func registerThermostat(r *actor.Registry) {
	actor.InitialState(r, thermostats, Thermostat{Target: 20})
	actor.OnCreate(r, thermostats, func(_ *Thermostat, c *actor.Ctx, _ actor.None) error {
		c.Every(time.Hour, setTarget.With(20)) // once in its life: back to normal every hour
		return nil
	})
	actor.CreateVars(r, thermostats, func(_ *Thermostat, c *actor.Ctx) (*device, error) {
		return &device{address: strings.Join(c.Key(), ".")}, nil
	})
	actor.OnSleep(r, thermostats, func(_ *Thermostat, c *actor.Ctx) error {
		actor.Vars[*device](c).close()
		return nil
	})
	actor.OnStateChange(r, thermostats, func(s *Thermostat, c *actor.Ctx) error {
		c.Broadcast(heating.With(s.Current < s.Target))
		return nil
	})
	actor.OnRun(r, thermostats, readDevice)
	actor.On(r, setTarget, func(s *Thermostat, _ *actor.Ctx, t float64) (n actor.None, err error) {
		s.Target = t
		return n, nil
	})
	actor.On(r, measured, func(s *Thermostat, _ *actor.Ctx, t float64) (n actor.None, err error) {
		s.Current = t
		return n, nil
	})
}

// readDevice runs beside the actions for as long as the actor is in memory. It has no state: it changes the actor through actions.
func readDevice(l *actor.Loop) error {
	every := time.NewTicker(5 * time.Second)
	defer every.Stop()
	for {
		select {
		case <-l.Done():
			return nil // asleep, moved or destroyed
		case <-every.C:
			t, err := actor.Vars[*device](l).read()
			if err != nil {
				return err // logged; the loop starts again with the next activation
			}
			if _, err := measured.Call(l, thermostats.Self(l), t); err != nil && l.Err() == nil {
				return err
			}
		}
	}
}

// end snippet

func TestThermostat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerThermostat)
		events := w.Watch("thermostat", "hall")
		_, err := setTarget.Call(ctx, thermostats.GetOrCreate(w.Client, "hall"), 18)
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "heating", Args: "[true]"}, events.Next(t))
		require.Equal(t, actortest.Event{Name: "heating", Args: "[false]"}, events.Next(t)) // measured 19.5
		time.Sleep(2 * time.Hour)
		s, err := thermostats.Get(w.Client, "hall").Read(ctx)
		require.NoError(t, err)
		require.InDelta(t, 20, s.Target, 0)
	})
}

// trace is what hooks note, across activations and workers.
type trace struct {
	mu    sync.Mutex
	lines []string
}

func (r *trace) note(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *trace) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.lines = nil }()
	return strings.Join(r.lines, " ")
}

type everything struct{ N int }

// The order of hooks, as the page has it.
func TestOrderOfHooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tr trace
		k := actor.New[everything]("everything")
		bump := actor.Action[actor.None, int](k, "bump")
		end := actor.Action[actor.None, actor.None](k, "end")
		w := actortest.New(t, func(r *actor.Registry) {
			actor.CreateState(r, k, func(*actor.Ctx, actor.None) (everything, error) { tr.note("CreateState"); return everything{}, nil })
			actor.OnCreate(r, k, func(*everything, *actor.Ctx, actor.None) error { tr.note("OnCreate"); return nil })
			actor.CreateVars(r, k, func(*everything, *actor.Ctx) (int, error) { tr.note("CreateVars"); return 1, nil })
			actor.OnWake(r, k, func(*everything, *actor.Ctx) error { tr.note("OnWake"); return nil })
			actor.OnSleep(r, k, func(*everything, *actor.Ctx) error { tr.note("OnSleep"); return nil })
			actor.OnDestroy(r, k, func(*everything, *actor.Ctx) error { tr.note("OnDestroy"); return nil })
			actor.OnStateChange(r, k, func(*everything, *actor.Ctx) error { tr.note("OnStateChange"); return nil })
			actor.OnBeforeActionResponse(r, k, func(_ *everything, _ *actor.Ctx, a *actor.ActionResponse) error {
				tr.note("OnBeforeActionResponse")
				if a.Action == "bump" {
					a.Result = []byte("42")
				}
				return nil
			})
			actor.OnBeforeConnect(r, k, func(_ *everything, _ *actor.Ctx, _ actor.None) error { tr.note("OnBeforeConnect"); return nil })
			actor.CreateConnState(r, k, func(_ *everything, _ *actor.Ctx, _ actor.None) (int, error) {
				tr.note("CreateConnState")
				return 0, nil
			})
			actor.OnConnect(r, k, func(_ *everything, c *actor.Ctx, n *actor.Conn) error {
				tr.note(fmt.Sprint("OnConnect", len(c.Conns())))
				return nil
			})
			actor.OnDisconnect(r, k, func(_ *everything, c *actor.Ctx, n *actor.Conn) error {
				tr.note(fmt.Sprint("OnDisconnect", len(c.Conns())))
				return nil
			})
			actor.OnRun(r, k, func(l *actor.Loop) error {
				tr.note("OnRun")
				<-l.Done()
				tr.note("OnRun-ends")
				return nil
			})
			actor.On(r, bump, func(s *everything, _ *actor.Ctx, _ actor.None) (int, error) { tr.note("bump"); s.N++; return s.N, nil })
			actor.On(r, end, func(_ *everything, c *actor.Ctx, _ actor.None) (n actor.None, err error) {
				tr.note("end")
				c.Destroy()
				return n, nil
			})
		})
		ctx := t.Context()
		h := k.GetOrCreate(w.Client)

		n, err := bump.Call(ctx, h, actor.None{})
		require.NoError(t, err)
		require.Equal(t, 42, n)
		synctest.Wait()
		require.Equal(t, "CreateState OnCreate CreateVars OnWake bump OnStateChange OnBeforeActionResponse OnRun", tr.take())

		conn, err := w.Connect(ctx, nil, "everything")
		require.NoError(t, err)
		require.Equal(t, "OnBeforeConnect CreateConnState OnConnect1", tr.take())
		_, err = conn.Call(ctx, "bump")
		require.NoError(t, err)
		require.Equal(t, "bump OnStateChange OnBeforeActionResponse", tr.take())
		require.NoError(t, conn.Close(ctx, ""))
		require.Equal(t, "OnDisconnect0", tr.take())

		time.Sleep(time.Hour)
		require.Equal(t, "OnSleep OnRun-ends", tr.take())
		_, err = bump.Call(ctx, h.WithParams(nil), actor.None{})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, "CreateVars OnWake OnBeforeConnect CreateConnState OnConnect1 bump OnDisconnect0 OnStateChange OnBeforeActionResponse OnRun", tr.take())

		_, err = w.Connect(ctx, nil, "everything")
		require.NoError(t, err)
		tr.take()
		_, err = end.Call(ctx, h, actor.None{})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, "end OnDestroy OnDisconnect0 OnBeforeActionResponse OnRun-ends", tr.take())
	})
}

// What an error of each hook does, as the table of the page says.
func TestErrorsOfHooks(t *testing.T) {
	t.Parallel()
	refuse := actor.UserError("no", "no")
	k := actor.New[everything]("everything")
	bump := actor.Action[actor.None, int](k, "bump")
	for name, c := range map[string]struct {
		set func(r *actor.Registry)
		// what of the first call, of an actor that is absent
		fails, exists bool
		n             int // state afterwards
	}{
		"CreateState": {func(r *actor.Registry) {
			actor.CreateState(r, k, func(*actor.Ctx, actor.None) (everything, error) { return everything{}, refuse })
		}, true, false, 0},
		"OnCreate": {func(r *actor.Registry) {
			actor.OnCreate(r, k, func(*everything, *actor.Ctx, actor.None) error { return refuse })
		}, true, false, 0},
		"CreateVars": {func(r *actor.Registry) {
			actor.CreateVars(r, k, func(*everything, *actor.Ctx) (int, error) { return 0, refuse })
		}, true, true, 0},
		"OnWake": {func(r *actor.Registry) {
			actor.OnWake(r, k, func(*everything, *actor.Ctx) error { return refuse })
		}, true, true, 0},
		"OnStateChange": {func(r *actor.Registry) {
			actor.OnStateChange(r, k, func(*everything, *actor.Ctx) error { return refuse })
		}, true, true, 0},
		"OnStateChange of a copy": {func(r *actor.Registry) {
			actor.OnStateChange(r, k, func(s *everything, _ *actor.Ctx) error { s.N = 7; return nil })
		}, false, true, 1},
		"OnBeforeActionResponse": {func(r *actor.Registry) {
			actor.OnBeforeActionResponse(r, k, func(*everything, *actor.Ctx, *actor.ActionResponse) error { return refuse })
		}, true, true, 0},
		"OnBeforeConnect": {func(r *actor.Registry) {
			actor.OnBeforeConnect(r, k, func(*everything, *actor.Ctx, actor.None) error { return refuse })
		}, true, true, 0},
		"CreateConnState": {func(r *actor.Registry) {
			actor.CreateConnState(r, k, func(*everything, *actor.Ctx, actor.None) (int, error) { return 0, refuse })
		}, true, true, 0},
		"OnConnect": {func(r *actor.Registry) {
			actor.OnConnect(r, k, func(*everything, *actor.Ctx, *actor.Conn) error { return refuse })
		}, true, true, 0},
		"OnDisconnect": {func(r *actor.Registry) {
			actor.OnDisconnect(r, k, func(s *everything, _ *actor.Ctx, _ *actor.Conn) error { s.N = 7; return refuse })
		}, false, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := actortest.New(t, c.set, func(r *actor.Registry) {
					actor.On(r, bump, func(s *everything, _ *actor.Ctx, _ actor.None) (int, error) { s.N++; return s.N, nil })
				})
				_, err := bump.Call(t.Context(), k.GetOrCreate(w.Client).WithParams(nil), actor.None{})
				require.Equal(t, c.fails, errors.Is(err, refuse), "%v", err)
				s, err := k.Get(w.Client).Read(t.Context())
				if !c.exists {
					require.ErrorIs(t, err, actor.ErrNotFound)
					return
				}
				require.NoError(t, err)
				require.Equal(t, c.n, s.N)
			})
		})
	}
}
