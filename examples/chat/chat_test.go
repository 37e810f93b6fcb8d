package chat_test

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

// Who is there: people come and go, and so do workers and gateways.
func TestPresence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, chat.Register)
		room := chat.Kind.GetOrCreate(w.Client, "lobby")
		elsewhere := w.StartGateway()

		// Ann is there first, and sees the others come. Somebody without a name reads along, and is no member.
		ann, err := w.Connect(ctx, chat.Params{Name: "ann"}, "chatRoom", "lobby")
		require.NoError(t, err)
		require.NoError(t, ann.Subscribe(ctx, "joined", "left"))
		reader, err := w.Connect(ctx, nil, "chatRoom", "lobby")
		require.NoError(t, err)
		bob, err := elsewhere.Connect(ctx, chat.Params{Name: "bob"}, "chatRoom", "lobby")
		require.NoError(t, err)
		require.Equal(t, memberEvent("joined", bob.ID, "bob"), ann.Next(t))
		eve, err := elsewhere.Connect(ctx, chat.Params{Name: "eve"}, "chatRoom", "lobby")
		require.NoError(t, err)
		require.Equal(t, memberEvent("joined", eve.ID, "eve"), ann.Next(t))
		require.Equal(t, []chat.Member{{ID: ann.ID, Name: "ann"}, {ID: bob.ID, Name: "bob"}, {ID: eve.ID, Name: "eve"}}, members(ctx, t, room))

		// A name that fills the screen is refused, and nobody is told of it.
		_, err = w.Connect(ctx, chat.Params{Name: strings.Repeat("x", 41)}, "chatRoom", "lobby")
		require.ErrorIs(t, err, actor.UserError("bad_name", ""))

		// The worker dies. Nobody has left by that: the sockets are the gateways'.
		w.Crash()
		time.Sleep(time.Hour)
		require.Len(t, members(ctx, t, room), 3)

		// Eve closes her window.
		require.NoError(t, eve.Close(ctx, "bye"))
		require.Equal(t, memberEvent("left", eve.ID, "eve"), ann.Next(t))

		// Bob's gateway dies, and cannot say so. A little later he has left, once, although the worker dies as well and looks for him anew.
		elsewhere.Crash()
		time.Sleep(time.Minute)
		w.Crash()
		time.Sleep(time.Minute)
		require.Equal(t, []chat.Member{{ID: ann.ID, Name: "ann"}}, members(ctx, t, room))
		require.Equal(t, memberEvent("left", bob.ID, "bob"), ann.Next(t))

		// Who reads along goes without a word. He is not announced, and bob is not a second time: the next event is joe's.
		require.NoError(t, reader.Close(ctx, "bye"))
		joe, err := w.Connect(ctx, chat.Params{Name: "joe"}, "chatRoom", "lobby")
		require.NoError(t, err)
		require.Equal(t, memberEvent("joined", joe.ID, "joe"), ann.Next(t))
	})
}

func memberEvent(event, id, name string) actortest.Event {
	return actortest.Event{Name: event, Args: fmt.Sprintf(`[{"id":%q,"name":%q}]`, id, name)}
}

func members(ctx context.Context, t *testing.T, room actor.Handle[chat.Room]) []chat.Member {
	t.Helper()
	all, err := chat.Members.Call(ctx, room, actor.None{})
	require.NoError(t, err)
	return all
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
