package actortest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

func connect(t *testing.T, w *actortest.World, name string) *actortest.Client {
	t.Helper()
	c, err := w.Connect(t.Context(), ticket{name}, "stage", "a")
	require.NoError(t, err)
	return c
}

// A client connects, acts and leaves: the hooks run in order, and the connection is visible from OnConnect until before OnDisconnect.
func TestConnection_Order(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		seen := make(map[string][]string)
		for _, hook := range []string{"OnBeforeConnect", "CreateConnState", "OnConnect", "one", "OnDisconnect"} {
			p.script(hook, func(c *actor.Ctx) error { seen[hook] = namesOf(c); return nil })
		}
		ann := connect(t, w, "ann")
		require.Equal(t, []string{
			"CreateState", "OnCreate", "CreateVars", "OnWake", "OnBeforeConnect", "CreateConnState", "OnConnect", "OnStateChange",
		}, p.take())
		require.Equal(t, map[string][]string{"OnBeforeConnect": {}, "CreateConnState": {}, "OnConnect": {"ann"}}, seen)
		bob := connect(t, w, "bob")
		require.Equal(t, []string{"ann"}, seen["CreateConnState"])
		require.Equal(t, []string{"ann", "bob"}, seen["OnConnect"], "although the others were looked at before it began")
		_, err := bob.Call(t.Context(), "do", "one")
		require.NoError(t, err)
		require.Equal(t, []string{"ann", "bob"}, seen["one"])
		p.take()
		require.NoError(t, ann.Close(t.Context(), "bye"))
		require.Equal(t, []string{"OnDisconnect", "OnStateChange"}, p.take())
		require.Equal(t, []string{"bob"}, seen["OnDisconnect"])
		_, err = ann.Call(t.Context(), "do", "one")
		require.ErrorIs(t, err, actor.ErrConnectionClosed)
		require.NoError(t, ann.Close(t.Context(), "bye"), "to end what has ended is nothing")
		require.Empty(t, p.take())
	})
}

// A stateless call of a client has a connection while it runs: all hooks, the action and the end are one outcome.
func TestConnection_Stateless(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		h := stageOf(w, "a").WithParams(ticket{"eve"})
		p.script("one", func(c *actor.Ctx) error {
			require.True(t, c.Conn().Ephemeral())
			require.Equal(t, []string{"eve"}, namesOf(c))
			require.Equal(t, "eve", actor.ConnState[seat](c.Conn()).Name)
			var got ticket
			require.NoError(t, c.Conn().Params(&got))
			require.Equal(t, ticket{"eve"}, got)
			return nil
		})
		call(t, h, "one")
		require.Equal(t, []string{
			"CreateState", "OnCreate", "CreateVars", "OnWake", "OnBeforeConnect", "CreateConnState", "OnConnect", "one", "OnDisconnect",
			"OnStateChange", "OnBeforeActionResponse",
		}, p.take())
		outcomes, a := history(t, w, "stage", "a")
		require.Len(t, outcomes, 1)
		require.Empty(t, outcomes[0].Connected)
		require.Empty(t, outcomes[0].Disconnected)
		require.Empty(t, a.Connections)

		p.script("OnBeforeConnect", func(*actor.Ctx) error { return actor.UserError("go_away", "no") })
		_, err := do.Call(t.Context(), h, "one")
		require.ErrorIs(t, err, actor.UserError("go_away", ""))
		p.take()
		p.script("one", func(c *actor.Ctx) error { require.Nil(t, c.Conn()); return nil })
		call(t, stageOf(w, "a"), "one")
		require.Equal(t, []string{"one", "OnStateChange", "OnBeforeActionResponse"}, p.take(), "a backend passes no connection hook")

		p.script("OnBeforeConnect", nil)
		p.script("one", func(c *actor.Ctx) error { c.Conn().Disconnect("enough"); return nil })
		p.take()
		call(t, h, "one")
		require.Equal(t, 1, p.count("OnDisconnect"))
	})
}

// A connect hook that goes wrong refuses the client, who is told why, and leaves nothing but the actor.
func TestConnection_HookGoesWrong(t *testing.T) {
	t.Parallel()
	for _, hook := range []string{"OnBeforeConnect", "CreateConnState", "OnConnect"} {
		for _, mishap := range mishaps {
			t.Run(hook+"/"+mishap.name, func(t *testing.T) {
				perform(t, func(t *testing.T, w *actortest.World, p *play) {
					ann := connect(t, w, "ann")
					before := linesOf(t, stageOf(w, "a"))
					p.script(hook, mishap.rule)
					began := time.Now()
					_, err := w.Connect(t.Context(), ticket{"bob"}, "stage", "a")
					require.ErrorIs(t, err, mishap.want)
					if mishap.name == "timeout" {
						require.Equal(t, 5, seconds(began))
					}
					_, err = do.Call(t.Context(), stageOf(w, "a").WithParams(ticket{"eve"}), "one")
					require.ErrorIs(t, err, mishap.want, "a stateless call as well")
					if mishap.name == "timeout" {
						before = append(before, "OnWake") // for the first one has cost the activation
					}
					require.Equal(t, before, linesOf(t, stageOf(w, "a")))
					_, a := history(t, w, "stage", "a")
					require.Len(t, a.Connections, 1)
					p.script(hook, nil)
					got, err := ann.Call(t.Context(), "names")
					require.NoError(t, err)
					require.JSONEq(t, `["ann"]`, string(got))
					require.Zero(t, p.count("OnDisconnect"), "what never began does not end")
					time.Sleep(7 * time.Minute)
				})
			})
		}
	}
}

// OnDisconnect that goes wrong is told to the operators and leaves nothing, but the connection has ended. It runs once.
func TestOnDisconnect_GoesWrong(t *testing.T) {
	t.Parallel()
	for _, mishap := range mishaps {
		t.Run(mishap.name, func(t *testing.T) {
			perform(t, func(t *testing.T, w *actortest.World, p *play) {
				ann, bob := connect(t, w, "ann"), connect(t, w, "bob")
				before := linesOf(t, stageOf(w, "a"))
				p.script("OnDisconnect", func(c *actor.Ctx) error {
					for _, n := range c.Conns() {
						actor.ConnState[seat](n).Moved++
						n.Disconnect("all of you")
					}
					c.Broadcast(shout.With("all of you"))
					return mishap.rule(c)
				})
				err := ann.Close(t.Context(), "bye")
				if mishap.name == "timeout" {
					require.ErrorIs(t, err, actor.ErrTimedOut)
				} else {
					require.NoError(t, err)
				}
				require.Len(t, p.failures(), 1)
				require.Contains(t, p.failures()[0].Detail, "OnDisconnect")
				require.Equal(t, 1, p.count("OnDisconnect"), "bob did not leave")
				outcomes, a := history(t, w, "stage", "a")
				require.Len(t, a.Connections, 1)
				last := outcomes[len(outcomes)-1]
				require.Len(t, last.Disconnected, 1)
				require.NotNil(t, last.Disconnected[0].Error)
				require.Empty(t, last.Broadcasts)
				p.script("OnDisconnect", nil)
				if mishap.name != "timeout" {
					require.Equal(t, before, linesOf(t, stageOf(w, "a")))
				}
				require.Contains(t, string(a.Connections[0].StateJson), `"Moved":0`)
				p.take()
				require.NoError(t, bob.Close(t.Context(), "bye"))
				require.Equal(t, 1, p.count("OnDisconnect"))
				time.Sleep(5 * time.Minute)
			})
		})
	}
}

// An action ends connections, its own among them: OnDisconnect runs with that action, and the hook sees only who is still there.
func TestConn_Disconnect(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		ann, bob, cat := connect(t, w, "ann"), connect(t, w, "bob"), connect(t, w, "cat")
		var left [][]string
		p.script("OnDisconnect", func(c *actor.Ctx) error { left = append(left, namesOf(c)); return nil })
		p.script("purge", func(c *actor.Ctx) error {
			for _, n := range c.Conns() {
				if actor.ConnState[seat](n).Name != "bob" {
					n.Disconnect("the show is over")
					n.Disconnect("twice")
				}
			}
			require.Equal(t, []string{"bob"}, namesOf(c))
			return nil
		})
		p.take()
		_, err := cat.Call(t.Context(), "do", "purge")
		require.NoError(t, err)
		require.Equal(t, []string{"purge", "OnDisconnect", "OnDisconnect", "OnStateChange", "OnBeforeActionResponse"}, p.take())
		require.Equal(t, [][]string{{"bob"}, {"bob"}}, left)
		for _, c := range []*actortest.Client{ann, cat} {
			reason, err := c.Closed()
			require.NoError(t, err)
			require.Equal(t, "the show is over", reason)
			_, err = c.Call(t.Context(), "do", "one")
			require.ErrorIs(t, err, actor.ErrConnectionClosed)
		}
		_, err = bob.Call(t.Context(), "do", "one")
		require.NoError(t, err)

		p.script("fail", func(c *actor.Ctx) error { c.Conns()[0].Disconnect("no"); return errStage })
		p.take()
		_, err = bob.Call(t.Context(), "do", "fail")
		require.ErrorIs(t, err, actor.ErrInternal)
		require.Equal(t, []string{"fail"}, p.take(), "an action that fails ends nothing")
		_, err = bob.Call(t.Context(), "do", "one")
		require.NoError(t, err)
	})
}

// What wakes an actor may find connections that are not wanted any more: they end with OnDisconnect, even if the action fails.
func TestConn_DisconnectInOnWake(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		ann, bob := connect(t, w, "ann"), connect(t, w, "bob")
		time.Sleep(asleep)
		p.script("OnWake", func(c *actor.Ctx) error {
			actor.ConnState[seat](c.Conns()[1]).Moved = 7
			c.Conns()[0].Disconnect("you slept in")
			return nil
		})
		p.script("one", func(*actor.Ctx) error { return errStage })
		p.take()
		_, err := bob.Call(t.Context(), "do", "one")
		require.ErrorIs(t, err, actor.ErrInternal)
		require.Equal(t, []string{"CreateVars", "OnWake", "OnDisconnect", "one"}, p.take())
		_, err = ann.Closed()
		require.NoError(t, err)
		_, a := history(t, w, "stage", "a")
		require.Len(t, a.Connections, 1)
		require.JSONEq(t, `{"Name":"bob","Moved":7}`, string(a.Connections[0].StateJson))
	})
}

// One client ends another's connection through its own: both are of one action.
func TestConn_LookedAtBeforeTheOthers(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		ann, bob := connect(t, w, "ann"), connect(t, w, "bob")
		p.script("OnDisconnect", func(c *actor.Ctx) error { require.Equal(t, []string{"ann"}, namesOf(c)); return nil })
		hash := schemas.HashOf(actor.DefaultNamespace, "stage", schemas.Key{"a"})
		d, _, err := w.Client.Do(t.Context(), remote.Request{Hash: hash, Action: &actorlogv1.Action{
			Actor: &actorlogv1.Actor{Generation: 1}, Caller: &actorlogv1.Caller{ConnectionId: ann.ID},
			Body: &actorlogv1.Action_Disconnect{Disconnect: &actorlogv1.Disconnect{ConnectionId: bob.ID}},
		}})
		require.NoError(t, err)
		require.Nil(t, d.Outcome.Error)
		require.Equal(t, 1, p.count("OnDisconnect"))
	})
}

// Events go to one, to all, to all but some; and to those only who asked for them, if they may have them.
func TestConnection_Events(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		ann, bob, cat := connect(t, w, "ann"), connect(t, w, "bob"), connect(t, w, "cat")
		require.NoError(t, ann.Subscribe(t.Context(), "shout", "secret"))
		require.NoError(t, bob.Subscribe(t.Context(), "shout"))
		require.ErrorIs(t, bob.Subscribe(t.Context(), "secret"), actor.ErrForbidden)
		p.script("CanSubscribe", func(*actor.Ctx) error { return errStage })
		require.ErrorIs(t, ann.Subscribe(t.Context(), "secret"), actor.ErrInternal)
		p.script("CanSubscribe", nil)

		p.script("one", func(c *actor.Ctx) error {
			all := c.Conns()
			c.Broadcast(shout.With("all"))
			c.BroadcastExcept(shout.With("not ann"), all[0], nil)
			all[2].Send(shout.With("only cat"))
			c.Broadcast(secret.With("psst"))
			return nil
		})
		call(t, stageOf(w, "a"), "one")
		require.Equal(t, actortest.Event{Name: "shout", Args: `["all"]`}, ann.Next(t))
		require.Equal(t, actortest.Event{Name: "secret", Args: `["psst"]`}, ann.Next(t))
		require.Equal(t, actortest.Event{Name: "shout", Args: `["all"]`}, bob.Next(t))
		require.Equal(t, actortest.Event{Name: "shout", Args: `["not ann"]`}, bob.Next(t))
		require.Equal(t, actortest.Event{Name: "shout", Args: `["only cat"]`}, cat.Next(t))

		p.script("two", func(c *actor.Ctx) error { c.Broadcast(shout.With("lost")); return errStage })
		_, err := do.Call(t.Context(), stageOf(w, "a"), "two")
		require.ErrorIs(t, err, actor.ErrInternal)
		p.script("two", func(c *actor.Ctx) error { c.Broadcast(shout.With("last")); return nil })
		call(t, stageOf(w, "a"), "two")
		require.Equal(t, actortest.Event{Name: "shout", Args: `["last"]`}, ann.Next(t), "what failed has sent nothing")
	})
}

// Connections and their states survive sleep, a crash of the worker and a new one.
func TestConnection_Survives(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		move := func(c *actor.Ctx) error { actor.ConnState[seat](c.Conn()).Moved++; return nil }
		p.script("move", move)
		p.script("fail", func(c *actor.Ctx) error { _ = move(c); return errStage })
		ann := connect(t, w, "ann")
		for i, disaster := range []func(){func() {}, func() { time.Sleep(asleep) }, func() { w.Crash() }, func() { time.Sleep(3 * time.Hour) }, func() { w.Crash() }} {
			disaster()
			_, err := ann.Call(t.Context(), "do", "move")
			require.NoError(t, err)
			_, err = ann.Call(t.Context(), "do", "fail")
			require.ErrorIs(t, err, actor.ErrInternal)
			_, a := history(t, w, "stage", "a")
			require.JSONEq(t, fmt.Sprintf(`{"Name":"ann","Moved":%d}`, i+1), string(a.Connections[0].StateJson))
		}
		require.Zero(t, p.count("OnDisconnect"), "its gateway lives")
		require.Equal(t, 1, p.count("OnConnect"))
	})
}

// A thousand clients are connected to one actor, are heard, survive a crash, and leave.
func TestConnection_Thousand(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		const n = 1000
		clients := make([]*actortest.Client, n)
		for i := range clients {
			clients[i] = connect(t, w, fmt.Sprintf("guest-%d", i))
		}
		w.Crash()
		all, err := names.Call(t.Context(), stageOf(w, "a"), actor.None{})
		require.NoError(t, err)
		require.Len(t, all, n)
		require.Equal(t, "guest-999", all[n-1])
		p.script("wave", func(c *actor.Ctx) error {
			for _, guest := range c.Conns() {
				actor.ConnState[seat](guest).Moved++
				guest.Send(shout.With(actor.ConnState[seat](guest).Name))
			}
			return nil
		})
		call(t, stageOf(w, "a"), "wave")
		for i, c := range clients {
			require.Equal(t, fmt.Sprintf(`["guest-%d"]`, i), c.Next(t).Args)
		}
		p.take()
		require.NoError(t, stageOf(w, "a").Destroy(t.Context()))
		require.Equal(t, n, p.count("OnDisconnect"))
		for _, c := range clients {
			_, err := c.Closed()
			require.NoError(t, err)
		}
	})
}

// Connections cannot fill an actor up: there is an end to what they may hold, and room for its state beyond it.
func TestConnection_Limit(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		name := strings.Repeat("x", 64<<10)
		var clients []*actortest.Client
		for {
			c, err := w.Connect(t.Context(), ticket{name}, "stage", "a")
			if err != nil {
				require.ErrorIs(t, err, actor.ErrConnLimit)
				break
			}
			clients = append(clients, c)
			require.LessOrEqual(t, len(clients)*len(name), actor.MaxConnsBytes)
		}
		require.Greater(t, 4*len(clients)*len(name), actor.MaxConnsBytes)
		w.Crash()
		_, err := w.Connect(t.Context(), ticket{"ann"}, "stage", "a")
		require.ErrorIs(t, err, actor.ErrConnLimit, "however small")
		require.NoError(t, clients[0].Close(t.Context(), ""))
		connect(t, w, "ann")
	})
}

// Request headers carry secrets: hooks see them, history and snapshots never have them.
func TestConnection_HeadersAreNotKept(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		var seen []string
		p.script("OnBeforeConnect", func(c *actor.Ctx) error {
			seen = append(seen, c.Request().Header("Authorization"))
			c.Authenticate("user-" + c.Request().Header("X-User"))
			return nil
		})
		var callers []string
		p.script("one", func(c *actor.Ctx) error {
			callers = append(callers, c.Caller().Principal, c.Conn().Principal())
			return nil
		})
		p.script("OnConnect", func(c *actor.Ctx) error {
			callers = append(callers, c.Conn().Principal())
			return nil
		})
		headers := []*actorlogv1.Header{{Name: "Authorization", Value: []byte("Bearer swordfish")}, {Name: "X-User", Value: []byte("7")}}
		hash := schemas.HashOf(actor.DefaultNamespace, "stage", schemas.Key{"a"})
		ask := func(a *actorlogv1.Action) *actorlogv1.Outcome {
			a.Actor = &actorlogv1.Actor{Namespace: actor.DefaultNamespace, Kind: "stage", Key: []string{"a"}}
			a.Creation = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT}
			d, _, err := w.Client.Do(t.Context(), remote.Request{Hash: hash, Action: a})
			require.NoError(t, err)
			require.Nil(t, d.Outcome.Error)
			return d.Outcome
		}
		one := &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "do", ArgsJson: []byte(`["one"]`)}}
		ask(&actorlogv1.Action{
			Handshake: &actorlogv1.Handshake{ConnectionId: "c1", Headers: headers}, Body: &actorlogv1.Action_Connect{Connect: new(actorlogv1.Connect)},
		})
		o := ask(&actorlogv1.Action{Caller: &actorlogv1.Caller{ConnectionId: "c1"}, Body: one})
		require.Equal(t, "user-7", o.Action.Caller.Principal, "history says who it was, through a connection")
		o = ask(&actorlogv1.Action{Handshake: &actorlogv1.Handshake{Headers: headers}, Body: one})
		require.Equal(t, "user-7", o.Action.Caller.Principal, "and without one")
		require.Equal(t, []string{"Bearer swordfish", "Bearer swordfish"}, seen)
		for _, caller := range callers {
			require.Equal(t, "user-7", caller)
		}
		require.Len(t, callers, 6)
		time.Sleep(asleep) // with a checkpoint
		require.Equal(t, []eventlog.Topic{eventlog.Actions}, holds(w, "swordfish"))
		require.Contains(t, holds(w, "user-7"), eventlog.Snapshots)
	})
}

// The end of a connection is not refused by an actor that has too much to do: nobody would ask again.
func TestConnection_EndsInAFullMailbox(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		ann := connect(t, w, "ann")
		p.script("slow", func(*actor.Ctx) error { time.Sleep(10 * time.Second); return nil })
		go do.Call(t.Context(), stageOf(w, "a"), "slow") //nolint:errcheck // asked below what became of it
		time.Sleep(time.Second)
		refused := make(chan bool, 1100)
		for range 1100 {
			go func() {
				_, err := lines.Call(t.Context(), stageOf(w, "a"), actor.None{})
				refused <- err != nil
			}()
		}
		time.Sleep(time.Second)
		require.Len(t, refused, 100)
		require.NoError(t, ann.Close(t.Context(), "bye"))
		require.Equal(t, 1, p.count("OnDisconnect"))
		_, a := history(t, w, "stage", "a")
		require.Empty(t, a.Connections)
	})
}

// What OnDisconnect makes does not fit into a record: the connection ends without it.
func TestConnection_EndsWhenTheOutcomeDoesNotFit(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		ann := connect(t, w, "ann")
		p.script("OnDisconnect", func(c *actor.Ctx) error { c.Broadcast(shout.With(string(make([]byte, 3_000_000)))); return nil })
		require.ErrorIs(t, ann.Close(t.Context(), "bye"), actor.ErrTooLarge)
		_, a := history(t, w, "stage", "a")
		require.Empty(t, a.Connections)
		require.Equal(t, 1, p.count("OnDisconnect"))
		p.script("OnDisconnect", nil)
		call(t, stageOf(w, "a"), "one")
		connect(t, w, "bob")
	})
}
