package snippets_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: testing

func TestRoomKeepsItsMembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // in here time is virtual: an hour takes no time
		ctx := t.Context()
		w := actortest.New(t, registerRoom) // a log in memory, a worker, a client
		events := w.Watch("room", "lobby")  // every broadcast of that actor
		ann, err := w.Connect(ctx, Join{"ann"}, "room", "lobby")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "joined", Args: `["ann"]`}, events.Next(t))

		w.Crash() // the worker dies as with SIGKILL, and another one starts
		time.Sleep(time.Hour)

		names, err := members.Call(ctx, rooms.Get(w.Client, "lobby"), actor.None{})
		require.NoError(t, err)
		require.Equal(t, []string{"ann"}, names)
		_, err = ann.Call(ctx, "say", "still here")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "said", Args: `["ann: still here"]`}, events.Next(t))
	})
}

// end snippet

// snippet: testing-a-rule

func TestBidMustBeHigher(t *testing.T) {
	t.Parallel()
	s := &Auction{Best: 500}
	_, err := s.bid(nil, Bid{Bidder: "ann", Cents: 400}) // refused before it needs its Ctx
	require.ErrorIs(t, err, actor.UserError("too_low", ""))
}

// end snippet
