package snippets_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: room

type Room struct {
	Topic string `json:"topic"`
}

// Join is what a client gives when it connects: connect({params: {name: "ann"}}).
type Join struct {
	Name string `json:"name"`
}

// Member is the state of one connection.
type Member struct {
	Name  string `json:"name"`
	Lines int    `json:"lines"`
}

var (
	rooms   = actor.New[Room]("room")
	say     = actor.Action[string, actor.None](rooms, "say")
	whisper = actor.Action[Whisper, actor.None](rooms, "whisper")
	members = actor.Action[actor.None, []string](rooms, "members")
	said    = actor.Event[string](rooms, "said")
	joined  = actor.Event[string](rooms, "joined")
	left    = actor.Event[string](rooms, "left")
)

// Whisper is whisper("bob", "psst").
type Whisper struct {
	actor.Positional
	To   string `json:"to"`
	Text string `json:"text"`
}

func registerRoom(r *actor.Registry) {
	actor.OnBeforeConnect(r, rooms, func(_ *Room, _ *actor.Ctx, j Join) error {
		if j.Name == "" {
			return actor.UserError("no_name", "say who you are")
		}
		return nil
	})
	actor.CreateConnState(r, rooms, func(_ *Room, _ *actor.Ctx, j Join) (Member, error) {
		return Member{Name: j.Name}, nil
	})
	actor.OnConnect(r, rooms, func(s *Room, c *actor.Ctx, conn *actor.Conn) error {
		if conn.Ephemeral() {
			return nil // a single call, not somebody who stays
		}
		conn.Send(said.With("the topic is " + s.Topic))
		here.Connected(c, conn)
		return nil
	})
	actor.OnDisconnect(r, rooms, func(_ *Room, c *actor.Ctx, conn *actor.Conn) error {
		here.Disconnected(c, conn)
		return nil
	})
	actor.On(r, say, (*Room).say)
	actor.On(r, whisper, (*Room).whisper)
	actor.On(r, members, (*Room).members)
}

func (s *Room) say(c *actor.Ctx, text string) (n actor.None, err error) {
	if c.Conn() == nil {
		return n, actor.ErrForbidden // a backend, another actor or a schedule: nobody to speak
	}
	m := actor.ConnState[Member](c.Conn())
	if m.Lines++; m.Lines > 100 { // changed in place, and kept
		c.Conn().Disconnect("you talk too much")
		return n, nil
	}
	c.Broadcast(said.With(m.Name + ": " + text))
	return n, nil
}

func (s *Room) whisper(c *actor.Ctx, w Whisper) (n actor.None, err error) {
	for _, conn := range c.Conns() {
		if actor.ConnState[Member](conn).Name == w.To {
			conn.Send(said.With("psst: " + w.Text))
		}
	}
	return n, nil
}

// end snippet

// snippet: presence

var here = actor.RosterOf(joined, left, func(conn *actor.Conn) (string, bool) {
	return actor.ConnState[Member](conn).Name, true // false: nobody who counts
})

func (s *Room) members(c *actor.Ctx, _ actor.None) ([]string, error) {
	return here.List(c), nil
}

// end snippet

func TestRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerRoom)
		lobby := rooms.GetOrCreate(w.Client, "lobby")

		_, err := w.Connect(ctx, nil, "room", "lobby")
		require.ErrorIs(t, err, actor.UserError("no_name", ""))
		ann, err := w.Connect(ctx, Join{"ann"}, "room", "lobby")
		require.NoError(t, err)
		require.NoError(t, ann.Subscribe(ctx, "said", "joined", "left"))
		require.Equal(t, actortest.Event{Name: "said", Args: `["the topic is "]`}, ann.Next(t))
		bob, err := w.Connect(ctx, Join{"bob"}, "room", "lobby")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "joined", Args: `["bob"]`}, ann.Next(t))
		_, err = bob.Call(ctx, "whisper", "ann", "hello")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "said", Args: `["psst: hello"]`}, ann.Next(t))

		// Connections survive what the actor survives: hours of sleep, and its worker's death.
		time.Sleep(time.Hour)
		w.Crash()
		names, err := members.Call(ctx, lobby, actor.None{})
		require.NoError(t, err)
		require.Equal(t, []string{"ann", "bob"}, names)

		// A stateless call of a client passes the same hooks, with a connection that ends with it. Who makes one is not there.
		names, err = members.Call(ctx, lobby.WithParams(Join{"eve"}), actor.None{})
		require.NoError(t, err)
		require.Equal(t, []string{"ann", "bob"}, names)
		_, err = say.Call(ctx, lobby.WithParams(Join{"eve"}), "hi")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "said", Args: `["eve: hi"]`}, ann.Next(t))
		_, err = say.Call(ctx, lobby, "hi")
		require.ErrorIs(t, err, actor.ErrForbidden)

		// The actor ends a connection, and the client is told why.
		for range 101 {
			_, err = bob.Call(ctx, "say", "bla")
			require.NoError(t, err)
		}
		reason, err := bob.Closed()
		require.NoError(t, err)
		require.Equal(t, "you talk too much", reason)
		_, err = bob.Call(ctx, "say", "hello?")
		require.ErrorIs(t, err, actor.ErrConnectionClosed)
		for range 100 {
			require.Equal(t, actortest.Event{Name: "said", Args: `["bob: bla"]`}, ann.Next(t))
		}
		require.Equal(t, actortest.Event{Name: "left", Args: `["bob"]`}, ann.Next(t))
	})
}

// Somebody is there from the first of their connections to the last, whatever dies meanwhile.
func TestPresence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		kick := actor.Action[string, actor.None](rooms, "kick")
		w := actortest.New(t, registerRoom, func(r *actor.Registry) {
			actor.On(r, kick, func(_ *Room, c *actor.Ctx, name string) (n actor.None, err error) {
				for _, conn := range c.Conns() {
					if actor.ConnState[Member](conn).Name == name {
						conn.Disconnect("out")
					}
				}
				return n, nil
			})
		})
		lobby := rooms.GetOrCreate(w.Client, "lobby")
		there := func() []string {
			t.Helper()
			names, err := members.Call(ctx, lobby, actor.None{})
			require.NoError(t, err)
			return names
		}
		events := w.Watch("room", "lobby")
		require.Equal(t, []string{}, there())

		// Bob has two windows open, through two gateways.
		dying := w.StartGateway()
		_, err := dying.Connect(ctx, Join{"bob"}, "room", "lobby")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "joined", Args: `["bob"]`}, events.Next(t))
		second, err := w.Connect(ctx, Join{"bob"}, "room", "lobby")
		require.NoError(t, err)
		_, err = dying.Connect(ctx, Join{"eve"}, "room", "lobby")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "joined", Args: `["eve"]`}, events.Next(t))
		require.Equal(t, []string{"bob", "eve"}, there())

		// A single call is nobody who comes.
		_, err = members.Call(ctx, lobby.WithParams(Join{"joe"}), actor.None{})
		require.NoError(t, err)

		// One of the gateways dies, and the worker with it. Eve has left, once; bob has not.
		dying.Crash()
		w.Crash()
		time.Sleep(time.Minute)
		require.Equal(t, []string{"bob"}, there())
		require.Equal(t, actortest.Event{Name: "left", Args: `["eve"]`}, events.Next(t))
		require.NoError(t, second.Close(ctx, "bye"))
		require.Equal(t, actortest.Event{Name: "left", Args: `["bob"]`}, events.Next(t))
		require.Equal(t, []string{}, there())

		// Whoever ends the connections: one action ends both of Ann's, and later the actor those of Bob. Each of them leaves once.
		for _, name := range []string{"ann", "ann", "bob", "bob"} {
			_, err = w.Connect(ctx, Join{name}, "room", "lobby")
			require.NoError(t, err)
		}
		_, err = kick.Call(ctx, lobby, "ann")
		require.NoError(t, err)
		require.Equal(t, []string{"bob"}, there())
		require.NoError(t, lobby.Destroy(ctx))
		for _, want := range []string{`joined ["ann"]`, `joined ["bob"]`, `left ["ann"]`, `left ["bob"]`} {
			got := events.Next(t)
			require.Equal(t, want, got.Name+" "+got.Args)
		}
		_, err = w.Connect(ctx, Join{"eve"}, "room", "lobby")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "joined", Args: `["eve"]`}, events.Next(t))
	})
}
