package cursors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/cursors"
)

// Two visitors point at things on a board.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, cursors.Register)
		ann := visit(ctx, t, w, "ann", "#ff0000")
		bob := visit(ctx, t, w, "bob", "#0000ff")

		// Ann moves. Bob sees it; she does not, she knows. Who has not moved has no pointer.
		_, err := ann.Call(ctx, "move", 0.25, 0.5)
		require.NoError(t, err)
		require.Equal(t, moved(ann, "ann", "#ff0000", 0.25, 0.5), bob.Next(t))
		require.Equal(t, []cursors.Pointer{{ID: ann.ID, Name: "ann", Color: "#ff0000", X: 0.25, Y: 0.5}}, others(ctx, t, bob))
		require.Empty(t, others(ctx, t, ann))
		_, err = bob.Call(ctx, "move", 1, 0)
		require.NoError(t, err)
		require.Equal(t, moved(bob, "bob", "#0000ff", 1, 0), ann.Next(t), "her own move came back")

		// Nobody points beside the board, or without being there.
		_, err = ann.Call(ctx, "move", 1.5, 0)
		require.ErrorIs(t, err, actor.UserError("off_the_board", ""))
		_, err = cursors.Move.Call(ctx, cursors.Kind.GetOrCreate(w.Client, "board"), cursors.Position{})
		require.ErrorIs(t, err, actor.UserError("no_connection", ""))

		// The worker dies. The visitors are still there, and their pointers where they were.
		w.Crash()
		time.Sleep(time.Hour)
		require.Equal(t, []cursors.Pointer{{ID: bob.ID, Name: "bob", Color: "#0000ff", X: 1, Y: 0}}, others(ctx, t, ann))

		// Joe only looks: that he leaves is no news. When bob leaves, so does his pointer.
		joe := visit(ctx, t, w, "joe", "#00ff00")
		require.NoError(t, joe.Close(ctx, "bye"))
		require.NoError(t, bob.Close(ctx, "bye"))
		require.Equal(t, actortest.Event{Name: "left", Args: fmt.Sprintf(`[{"id":%q}]`, bob.ID)}, ann.Next(t))
		require.Empty(t, others(ctx, t, ann))
	})
}

// What a visitor looks like is checked before he is let in.
func TestConnect(t *testing.T) {
	t.Parallel()
	for code, params := range map[string][]cursors.Params{
		"bad_name":  {{}, {Color: "#ff0000"}, {Name: strings.Repeat("x", 41), Color: "#ff0000"}},
		"bad_color": {{Name: "ann"}, {Name: "ann", Color: "red"}, {Name: "ann", Color: "#ff0000;}"}},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := actortest.New(t, cursors.Register)
				for _, p := range params {
					_, err := w.Connect(t.Context(), p, "cursors", "board")
					require.ErrorIs(t, err, actor.UserError(code, ""), p)
				}
				_, err := w.Connect(t.Context(), nil, "cursors", "board")
				require.ErrorIs(t, err, actor.UserError("bad_name", ""))
			})
		})
	}
}

func visit(ctx context.Context, t *testing.T, w *actortest.World, name, color string) *actortest.Client {
	t.Helper()
	c, err := w.Connect(ctx, cursors.Params{Name: name, Color: color}, "cursors", "board")
	require.NoError(t, err)
	require.NoError(t, c.Subscribe(ctx, "moved", "left"))
	return c
}

func others(ctx context.Context, t *testing.T, c *actortest.Client) []cursors.Pointer {
	t.Helper()
	b, err := c.Call(ctx, "cursors")
	require.NoError(t, err)
	var pointers []cursors.Pointer
	require.NoError(t, json.Unmarshal(b, &pointers))
	return pointers
}

func moved(c *actortest.Client, name, color string, x, y float64) actortest.Event {
	return actortest.Event{Name: "moved", Args: fmt.Sprintf(`[{"id":%q,"name":%q,"color":%q,"x":%v,"y":%v}]`, c.ID, name, color, x, y)}
}
