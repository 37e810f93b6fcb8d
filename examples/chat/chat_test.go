package chat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/chat"
)

// An evening in a chat room.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, chat.Register)
		room := chat.Kind.GetOrCreate(w.Client, "lobby")

		// The room is empty before anybody speaks, which is not the same as null.
		history, err := chat.History.Call(ctx, room, actor.None{})
		require.NoError(t, err)
		require.Equal(t, []chat.Message{}, history)

		// Ann says hello, and everybody who watches sees what the call returned.
		members := w.Watch("chatRoom", "lobby")
		hello, err := chat.Say.Call(ctx, room, chat.Line{Author: "ann", Text: "hello"})
		require.NoError(t, err)
		require.Equal(t, hello, said(t, members.Next(t)))

		// Bob has nothing to say: he is refused, and nobody sees anything.
		_, err = chat.Say.Call(ctx, room, chat.Line{Author: "bob"})
		require.ErrorIs(t, err, actor.UserError("empty_line", ""))

		// The worker dies. An hour later Bob comes back, and the room is as it was.
		w.Crash()
		time.Sleep(time.Hour)
		history, err = chat.History.Call(ctx, room, actor.None{})
		require.NoError(t, err)
		require.Equal(t, []chat.Message{hello}, history)
		answer, err := chat.Say.Call(ctx, room, chat.Line{Author: "bob", Text: "anybody here?"})
		require.NoError(t, err)
		require.Equal(t, answer, said(t, members.Next(t)), "the refused line was broadcast")
		require.GreaterOrEqual(t, answer.At.Sub(hello.At), time.Hour)
		require.NotEqual(t, hello.ID, answer.ID)

		// He goes on for a while. The room remembers a hundred lines.
		for i := range 99 {
			_, err = chat.Say.Call(ctx, room, chat.Line{Author: "bob", Text: fmt.Sprint(i)})
			require.NoError(t, err)
		}
		history, err = chat.History.Call(ctx, room, actor.None{})
		require.NoError(t, err)
		require.Len(t, history, 100)
		require.Equal(t, answer, history[0], "hello has scrolled away")
	})
}

// said reads the message out of a broadcast.
func said(t *testing.T, e actortest.Event) chat.Message {
	t.Helper()
	require.Equal(t, chat.Said.Name(), e.Name)
	var args []chat.Message
	require.NoError(t, json.Unmarshal([]byte(e.Args), &args))
	require.Len(t, args, 1)
	return args[0]
}

func ExampleSay() {
	actortest.Run(func(w *actortest.World) {
		ctx := context.Background()
		room := chat.Kind.GetOrCreate(w.Client, "lobby")

		for _, author := range []string{"ann", "bob", ""} {
			if _, err := chat.Say.Call(ctx, room, chat.Line{Author: author, Text: "hello"}); err != nil {
				fmt.Println(err)
			}
		}

		history, err := chat.History.Call(ctx, room, actor.None{})
		for _, m := range history {
			fmt.Printf("%s: %s\n", m.Author, m.Text)
		}
		fmt.Println(err)
	}, chat.Register)
	// Output:
	// user.empty_line: a message needs an author and a text
	// ann: hello
	// bob: hello
	// <nil>
}
