package lobby_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/lobby"
)

// An evening in the lobby.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, lobby.Register)
		room := lobby.Kind.GetOrCreate(w.Client, "eu")

		// Ann comes in and is greeted. Mallory is not let in, and nobody notices.
		ann, err := w.Connect(ctx, lobby.Params{Name: "ann"}, "lobby", "eu")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "welcome", Args: `["hello ann"]`}, ann.Next(t))
		require.NoError(t, ann.Subscribe(ctx, "arrived", "shouted"))
		_, err = w.Connect(ctx, lobby.Params{Name: "mallory"}, "lobby", "eu")
		require.ErrorIs(t, err, actor.UserError("banned", ""))

		// Sue is staff: she may hear of alerts. Ann may not.
		sue, err := w.Connect(ctx, lobby.Params{Name: "sue", Staff: true}, "lobby", "eu")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "arrived", Args: `["sue"]`}, ann.Next(t))
		sue.Next(t)
		require.NoError(t, sue.Subscribe(ctx, "alert"))
		require.ErrorIs(t, ann.Subscribe(ctx, "alert"), actor.ErrForbidden)

		// What sue shouts the others hear; what she whispers, one.
		_, err = sue.Call(ctx, "shout", "we open soon")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "shouted", Args: `["we open soon"]`}, ann.Next(t))
		_, err = sue.Call(ctx, "whisper", "ann", "you first")
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "whisper", Args: `["you first"]`}, ann.Next(t))

		// The worker dies. Who is there stays there, as who they are.
		w.Crash()
		who, err := ann.Call(ctx, "whoAmI")
		require.NoError(t, err)
		require.JSONEq(t, `{"name":"ann","staff":false,"lines":0}`, string(who))

		// Orders get one ticket each, in turn.
		for n := range int64(3) {
			ticket, err := lobby.Orders.SendAndWait(ctx, room, lobby.Order{Game: "go"})
			require.NoError(t, err)
			require.Equal(t, lobby.Ticket{Number: n + 1, Game: "go"}, ticket)
		}

		// Ann is shown the door. It says so in the book, once.
		_, err = sue.Call(ctx, "kick", "ann")
		require.NoError(t, err)
		reason, err := ann.Closed()
		require.NoError(t, err)
		require.Equal(t, "kicked", reason)
		require.Equal(t, actortest.Event{Name: "alert", Args: `["ann has left"]`}, sue.Next(t))
		_, err = ann.Call(ctx, "shout", "let me in")
		require.ErrorIs(t, err, actor.ErrConnectionClosed)
		require.NoError(t, ann.Close(ctx, "gone"))
		log, err := lobby.Log.Call(ctx, room, actor.None{})
		require.NoError(t, err)
		require.Equal(t, []string{"came ann", "came sue", "left ann"}, log)

		// A raw socket speaks in capitals until it is told goodbye.
		raw, err := w.ConnectRaw(ctx, lobby.Params{Name: "box"}, "/websocket/box", "lobby", "eu")
		require.NoError(t, err)
		for _, text := range []string{"hello", "bye"} {
			require.NoError(t, raw.Write(ctx, text))
		}
		reason, err = raw.Closed()
		require.NoError(t, err)
		require.Equal(t, "bye.now", reason)
		frames := raw.Frames()
		require.Len(t, frames, 2)
		require.Equal(t, "HELLO", string(frames[0].Data))
		require.Equal(t, "BYE", string(frames[1].Data))
	})
}
