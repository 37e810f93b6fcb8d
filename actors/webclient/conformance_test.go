package webclient_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/webclient"
	"github.com/actorlog/actorlog/examples/chat"
	"github.com/actorlog/actorlog/examples/counter"
)

// The same stories over the log and over a gateway: who calls through handles cannot tell the two apart.
func TestConformance(t *testing.T) {
	t.Parallel()
	stories := []struct {
		name string
		tell func(t *testing.T, c actor.Subscriber)
	}{
		{"Counter", counterStory}, {"Chat", chatStory}, {"Lives", livesStory}, {"Keys", keysStory}, {"Values", valuesStory}, {"Desk", deskStory},
	}
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			t.Run("Remote", func(t *testing.T) {
				t.Parallel()
				story.tell(t, newWorld(t).Client)
			})
			t.Run("Web", func(t *testing.T) {
				t.Parallel()
				story.tell(t, newWorld(t).client(webclient.Config{}))
			})
		})
	}
}

func counterStory(t *testing.T, c actor.Subscriber) {
	ctx := t.Context()
	visits := counter.Kind.GetOrCreate(c, "org", "42").WithInput(counter.Input{Start: 10})
	seen := make(chan int64, 1000)
	lost := func(err error) { t.Errorf("events were lost: %v", err) }
	require.NoError(t, counter.Changed.Subscribe(ctx, visits, func(n int64) { seen <- n }, lost))

	n, err := counter.Increment.Call(ctx, visits, 5)
	require.NoError(t, err)
	require.EqualValues(t, 15, n)
	require.EqualValues(t, 15, next(t, seen))

	// A refusal is what the actor said.
	_, err = counter.Increment.Call(ctx, visits, -1)
	var refusal *actor.Error
	require.ErrorAs(t, err, &refusal)
	require.ErrorIs(t, err, actor.UserError("bad_step", ""))
	require.Equal(t, "step must be positive", refusal.Message)
	require.JSONEq(t, `{"step": -1}`, string(refusal.Metadata))
	require.Equal(t, "user.bad_step: step must be positive", err.Error())

	// Many at once, and events in order.
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			_, err := counter.Increment.Call(ctx, visits, 1)
			require.NoError(t, err)
		})
	}
	callers.Wait()
	for i := range 50 {
		require.EqualValues(t, 16+i, next(t, seen))
	}

	// An idempotency key is one request's, and no other's.
	for range 3 {
		n, err = counter.Increment.Call(ctx, visits.Idempotent("order-1"), 1)
		require.NoError(t, err)
		require.EqualValues(t, 66, n)
	}
	_, err = counter.Increment.Call(ctx, visits.Idempotent("order-1"), 2)
	require.ErrorIs(t, err, actor.ErrKeyReused)

	_, err = counter.Reset.Call(ctx, visits, actor.None{})
	require.NoError(t, err)
	state, err := visits.Read(ctx)
	require.NoError(t, err)
	require.Equal(t, counter.Counter{Count: 0}, state)
	require.EqualValues(t, 66, next(t, seen))
	require.EqualValues(t, 0, next(t, seen))
}

func chatStory(t *testing.T, c actor.Subscriber) {
	ctx := t.Context()
	room := chat.Kind.GetOrCreate(c, "lobby")
	seen := make(chan chat.Message, 10)
	require.NoError(t, chat.Said.Subscribe(ctx, room, func(m chat.Message) { seen <- m }, nil))

	history, err := chat.History.Call(ctx, room, actor.None{})
	require.NoError(t, err)
	require.Equal(t, []chat.Message{}, history)
	var said []chat.Message
	for _, text := range []string{"hello", "line\nbreak", "\u00fcml\u00e4ut \U0001F600 \u2028", `"quoted" \ $`} {
		m, err := chat.Say.Call(ctx, room, chat.Line{Author: "ann", Text: text})
		require.NoError(t, err)
		require.Equal(t, text, m.Text)
		require.Equal(t, m, next(t, seen))
		said = append(said, m)
	}
	_, err = chat.Say.Call(ctx, room, chat.Line{Author: "bob"})
	require.ErrorIs(t, err, actor.UserError("empty_line", ""))
	history, err = chat.History.Call(ctx, room, actor.None{})
	require.NoError(t, err)
	require.Equal(t, said, history)
}

// Lives begin, end and begin again.
func livesStory(t *testing.T, c actor.Subscriber) {
	ctx := t.Context()
	get := counter.Kind.Get(c, "a")
	_, err := counter.Get.Call(ctx, get, actor.None{})
	require.ErrorIs(t, err, actor.ErrNotFound)
	_, err = get.Read(ctx)
	require.ErrorIs(t, err, actor.ErrNotFound)
	_, err = get.Resolve(ctx)
	require.ErrorIs(t, err, actor.ErrNotFound)
	require.ErrorIs(t, get.Destroy(ctx), actor.ErrNotFound)
	_, err = actor.New[counter.Counter]("nobody").GetOrCreate(c, "a").Resolve(ctx)
	require.ErrorIs(t, err, actor.ErrKindNotFound)

	first, err := counter.Kind.Create(ctx, c, counter.Input{Start: 7}, "a")
	require.NoError(t, err)
	_, err = counter.Kind.Create(ctx, c, nil, "a")
	require.ErrorIs(t, err, actor.ErrDuplicateKey)
	id, err := get.Resolve(ctx)
	require.NoError(t, err)
	n, err := counter.Increment.Call(ctx, counter.Kind.GetForID(c, id), 1)
	require.NoError(t, err)
	require.EqualValues(t, 8, n)
	state, err := first.Read(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 8, state.Count)
	seen := make(chan int64, 10)
	require.NoError(t, counter.Changed.Subscribe(ctx, get, func(n int64) { seen <- n }, nil))
	require.NoError(t, first.Destroy(ctx))

	// The handle is of that life, not of the next.
	again := counter.Kind.GetOrCreate(c, "a")
	_, created, err := c.Resolve(ctx, actor.Target{Namespace: "default", Kind: "counter", Key: []string{"a"}, Presence: actor.CreateIfAbsent})
	require.NoError(t, err)
	require.True(t, created)
	second, err := again.Resolve(ctx)
	require.NoError(t, err)
	require.NotEqual(t, id, second)
	for _, call := range []func() error{
		func() error { _, err := counter.Get.Call(ctx, first, actor.None{}); return err },
		func() error { _, err := first.Read(ctx); return err },
		func() error { _, err := first.Resolve(ctx); return err },
		func() error { return first.Destroy(ctx) },
		func() error { _, err := counter.Kind.GetForID(c, "no id").Read(ctx); return err },
	} {
		require.ErrorIs(t, call(), actor.ErrNotFound)
	}
	// Who follows the key follows all lives.
	_, err = counter.Increment.Call(ctx, again, 1)
	require.NoError(t, err)
	require.EqualValues(t, 1, next(t, seen))

	// Namespaces do not mix.
	_, err = counter.Get.Call(ctx, get.InNamespace("other"), actor.None{})
	require.ErrorIs(t, err, actor.ErrNotFound)
	other := again.InNamespace("other & more")
	n, err = counter.Increment.Call(ctx, other, 40)
	require.NoError(t, err)
	require.EqualValues(t, 40, n)
	state, err = other.Read(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 40, state.Count)
	require.NoError(t, other.Destroy(ctx))
	state, err = again.Read(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, state.Count)

	// Reading through a handle that creates does so.
	state, err = counter.Kind.GetOrCreate(c, "read").WithInput(counter.Input{Start: 3}).Read(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 3, state.Count)
	_, err = counter.Kind.GetOrCreate(c, string(make([]byte, 200))).Read(ctx)
	require.ErrorIs(t, err, actor.ErrInvalidRequest)
}

// Keys that no two of may be taken for one another, and each for nothing else.
var keys = [][]string{
	{}, {""}, {"", ""}, {"a", "b"}, {"a,b"}, {",", "a"}, {"a/b"}, {"/"}, {`a\b`}, {`\0`}, {"a", "", "b"}, {"a", ""}, {"", "a"},
	{"state"}, {"events"}, {"actions", "x"}, {"queues", "x"}, {"actions"}, {"queues"}, {"org", "state"}, {"a", "actions"}, {"."}, {".."}, {"a", "..", "b"},
	{"%2F"}, {"%"}, {"a b"}, {"a+b"}, {"a?b"}, {"a#b"}, {"a&b=c"}, {"a;b"}, {"a@b"}, {"\u00fc"}, {"u\u0308"}, {"\u65e5\u672c", "\U0001F600"}, {"\x00\x1f\x7f"}, {"\n"},
}

func keysStory(t *testing.T, c actor.Subscriber) {
	ctx := t.Context()
	ids := make(map[string]bool)
	for i, key := range keys {
		name := fmt.Sprintf("key %q", key)
		h := counter.Kind.GetOrCreate(c, key...)
		seen := make(chan int64, 1)
		following, stop := context.WithCancel(ctx)
		require.NoError(t, counter.Changed.Subscribe(following, h, func(n int64) { seen <- n }, nil), name)
		n, err := counter.Increment.Call(ctx, h, int64(i+1))
		require.NoError(t, err, name)
		require.EqualValues(t, i+1, n, "%s is another one's", name)
		require.EqualValues(t, i+1, next(t, seen), name)
		stop()
		n, err = counter.Get.Call(ctx, counter.Kind.Get(c, key...), actor.None{})
		require.NoError(t, err, name)
		require.EqualValues(t, i+1, n, name)
		id, err := counter.Kind.Get(c, key...).Resolve(ctx)
		require.NoError(t, err, name)
		require.False(t, ids[id], name)
		ids[id] = true
		state, err := counter.Kind.GetForID(c, id).Read(ctx)
		require.NoError(t, err, name)
		require.EqualValues(t, i+1, state.Count, name)
		// A request is one request, however often it is made.
		for range 2 {
			n, err = counter.Increment.Call(ctx, h.Idempotent("once"), 1000)
			require.NoError(t, err, name)
			require.EqualValues(t, i+1001, n, name)
		}
	}
	for i, key := range keys {
		h := counter.Kind.Get(c, key...)
		state, err := h.Read(ctx)
		require.NoError(t, err, "key %q", key)
		require.EqualValues(t, i+1001, state.Count, "key %q", key)
		require.NoError(t, h.Destroy(ctx), "key %q", key)
		// An input reaches the creation, whatever the key.
		n, err := counter.Increment.Call(ctx, counter.Kind.GetOrCreate(c, key...).WithInput(counter.Input{Start: 5}), 1)
		require.NoError(t, err, "key %q", key)
		require.EqualValues(t, 6, n, "key %q", key)
	}
}

// Values come back as they were given, whatever they look like.
func valuesStory(t *testing.T, c actor.Subscriber) {
	ctx := t.Context()
	h := echoKind.GetOrCreate(c, "e")
	for _, text := range []string{
		`1`, `-0.5`, `"x"`, `true`, `null`, `[]`, `{}`, `[1]`, `[[1]]`, `[null]`, `{"a":[1,{"b":null}]}`, `"<&>\u2028"`, `"$"`,
		`["$Foo",1]`, `["$",1]`, `["$x","$y"]`, `[["$Foo",1],["$a",["$b",2]]]`, `{"k":["$Foo","$$"]}`, `["$a"]`, `["$a",1,2]`, `["a","$$"]`,
		`["\"$$",1]`, `{"$$a":["$$",1,2]}`,
	} {
		var v any
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		got, err := one.Call(ctx, h, v)
		require.NoError(t, err, text)
		require.Equal(t, v, got, text)
		got, err = single.Call(ctx, h, solo{A: v})
		require.NoError(t, err, text)
		require.Equal(t, v, got, text)
		both, err := two.Call(ctx, h, pair{A: v, B: "b"})
		require.NoError(t, err, text)
		require.Equal(t, []any{v, "b"}, both, text)
		if l, ok := v.([]any); ok {
			l2, err := list.Call(ctx, h, l)
			require.NoError(t, err, text)
			require.Equal(t, l, l2, text)
		}
	}
	// A list of arguments is no tag.
	for _, first := range []string{"$", "$Undefined", "$$", "$BigInt", "$Set"} {
		both, err := two.Call(ctx, h, pair{A: first, B: "0"})
		require.NoError(t, err, first)
		require.Equal(t, "0", both[1])
	}
	result, err := c.Invoke(ctx, actor.Target{Namespace: "default", Kind: echoKind.Name(), Key: []string{"e"}}, none.Name(), nil)
	require.NoError(t, err)
	require.Empty(t, result)
	_, err = c.Invoke(ctx, actor.Target{Namespace: "default", Kind: echoKind.Name(), Key: []string{"e"}}, two.Name(), json.RawMessage(`1`))
	require.ErrorIs(t, err, actor.ErrInvalidRequest)
	_, err = c.Invoke(ctx, actor.Target{Namespace: "default", Kind: echoKind.Name(), Key: []string{"e"}}, "no such", nil)
	require.ErrorIs(t, err, actor.ErrActionNotFound)
}

type desk struct{ Seen []string }

var (
	deskKind = actor.New[desk]("desk")
	inbox    = actor.Queue[string, string](deskKind, "in/box")
	silent   = actor.Queue[string, string](deskKind, "silent")
	whoami   = actor.Action[actor.None, string](deskKind, "whoami")
)

func registerDesk(r *actor.Registry) {
	actor.Accept(r, inbox)
	actor.Accept(r, silent)
	actor.OnBeforeConnect(r, deskKind, func(_ *desk, _ *actor.Ctx, p struct{ Name string }) error {
		if p.Name == "mallory" {
			return actor.ErrForbidden
		}
		return nil
	})
	actor.On(r, whoami, func(_ *desk, c *actor.Ctx, _ actor.None) (string, error) {
		if c.Conn() == nil {
			return "nobody", nil
		}
		var p struct{ Name string }
		err := c.Conn().Params(&p)
		return p.Name, err
	})
	actor.OnRun(r, deskKind, func(l *actor.Loop) error {
		for {
			m, err := inbox.Next(l)
			if err != nil {
				return err
			}
			if err := m.Complete("re: " + m.Body); err != nil {
				return err
			}
		}
	})
}

// Messages are taken, answered, and waited for; parameters reach the connection hooks.
func deskStory(t *testing.T, c actor.Subscriber) {
	ctx := t.Context()
	for _, key := range [][]string{{"a"}, {"a,b"}, {"queues", "in"}} {
		h := deskKind.GetOrCreate(c, key...)
		require.NoError(t, inbox.Send(ctx, h, "first"))
		for range 2 {
			reply, err := inbox.SendAndWait(ctx, h.Idempotent("one"), "hello \u00fc")
			require.NoError(t, err)
			require.Equal(t, "re: hello \u00fc", reply)
		}
		id, err := h.Resolve(ctx)
		require.NoError(t, err)
		reply, err := inbox.SendAndWait(ctx, deskKind.GetForID(c, id), "$")
		require.NoError(t, err)
		require.Equal(t, "re: $", reply)
		reply, err = inbox.SendAndWait(ctx, h.WithInput(nil), "x")
		require.NoError(t, err)
		require.Equal(t, "re: x", reply)

		waiting, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_, err = silent.SendAndWait(waiting, h, "x")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()

		name, err := whoami.Call(ctx, h.WithParams(map[string]string{"name": "\u00e4nn \U0001F600"}), actor.None{})
		require.NoError(t, err)
		require.Equal(t, "\u00e4nn \U0001F600", name)
		_, err = whoami.Call(ctx, h.WithParams(map[string]string{"name": "mallory"}), actor.None{})
		require.ErrorIs(t, err, actor.ErrForbidden)
	}
	_, err := inbox.SendAndWait(ctx, deskKind.Get(c, "none"), "x")
	require.ErrorIs(t, err, actor.ErrNotFound)
	none, err := actor.Queue[string, string](deskKind, "unknown").SendAndWait(ctx, deskKind.GetOrCreate(c, "a"), "x")
	require.NoError(t, err)
	require.Empty(t, none)
}
