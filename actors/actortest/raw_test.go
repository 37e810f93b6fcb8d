package actortest_test

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// A rawMill grinds raw requests and raw sockets.
type rawMill struct{ Lines []string }

var rawMills = actor.New[rawMill]("rawMill")

func registerMill(r *actor.Registry) {
	actor.OnRequest(r, rawMills, func(s *rawMill, c *actor.Ctx, q *actor.Request) (*actor.Response, error) {
		s.Lines = append(s.Lines, q.Method+" "+q.Target)
		switch q.Target {
		case "/nothing":
			return nil, nil //nolint:nilnil // which is an empty 200
		case "/refused":
			return nil, actor.UserError("no_grain", "none left")
		case "/bad":
			return &actor.Response{Status: 99}, nil
		case "/big":
			return &actor.Response{Body: make([]byte, 9_000_000)}, nil
		case "/panic":
			panic("the wheel is off")
		}
		return &actor.Response{
			Status: 201, Body: bytes.ToUpper(q.Body), Headers: []actor.Header{{Name: "X-Mill", Value: q.Header("X-Grain")}},
		}, nil
	})
	actor.OnDisconnect(r, rawMills, func(s *rawMill, _ *actor.Ctx, n *actor.Conn) error {
		s.Lines = append(s.Lines, "disconnect")
		return nil
	})
	actor.OnWebSocket(r, rawMills, actor.SocketHandler[rawMill]{
		Open: func(s *rawMill, c *actor.Ctx, socket *actor.Socket) error {
			if socket.Target() == "/closed" {
				return actor.UserError("closed", "come back tomorrow")
			}
			s.Lines = append(s.Lines, "open "+socket.Target())
			socket.Write("welcome")
			return nil
		},
		Message: func(s *rawMill, c *actor.Ctx, socket *actor.Socket, m actor.SocketMessage) error {
			switch text := string(m.Data); {
			case text == "quit":
				socket.Close(4001, "as you wish")
			case text == "bad code":
				socket.Close(1005, "not for applications")
			case text == "not text":
				socket.Write("\xff")
			case text == "fail":
				socket.Write("lost")
				return errStage
			default:
				for _, other := range c.Sockets() {
					other.WriteBinary(append([]byte("ground "), m.Data...))
				}
			}
			return nil
		},
		Close: func(s *rawMill, c *actor.Ctx, socket *actor.Socket, code int, reason string) error {
			s.Lines = append(s.Lines, strings.TrimSpace("close "+strconv.Itoa(code)+" "+reason))
			return nil
		},
	})
}

func request(t *testing.T, w *actortest.World, method, target string, body []byte) (*actorlogv1.Outcome, error) {
	t.Helper()
	hash := schemas.HashOf(actor.DefaultNamespace, "rawMill", schemas.Key{"a"})
	d, _, err := w.Client.Do(t.Context(), remote.Request{Hash: hash, Action: &actorlogv1.Action{
		Actor:     &actorlogv1.Actor{Namespace: actor.DefaultNamespace, Kind: "rawMill", Key: []string{"a"}},
		Creation:  &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT},
		Handshake: &actorlogv1.Handshake{Target: target},
		Body: &actorlogv1.Action_Request{Request: &actorlogv1.Request{Method: method, Body: body, Headers: []*actorlogv1.Header{
			{Name: "Authorization", Value: []byte("Bearer swordfish")}, {Name: "X-Grain", Value: []byte("rye")},
			{Name: "Content-Type", Value: []byte("text/grain")},
		}}},
	}})
	if err != nil {
		return nil, err
	}
	return d.Outcome, actor.OutcomeError(d.Outcome)
}

func millLines(t *testing.T, w *actortest.World) []string {
	t.Helper()
	s, err := rawMills.GetOrCreate(w.Client, "a").Read(t.Context())
	require.NoError(t, err)
	return s.Lines
}

// A raw request is an action: what it changes and what it answers are one outcome.
func TestRawRequest(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := actortest.New(t, registerMill)
		o, err := request(t, w, "PUT", "/grain?n=1", []byte("barley"))
		require.NoError(t, err)
		require.Equal(t, uint32(201), o.Response.Status)
		require.Equal(t, "BARLEY", string(o.Response.Body))
		require.Equal(t, "rye", string(o.Response.Headers[0].Value))
		require.Equal(t, []string{"PUT /grain?n=1", "disconnect"}, millLines(t, w))

		o, err = request(t, w, "GET", "/nothing", nil)
		require.NoError(t, err)
		require.Equal(t, uint32(200), o.Response.Status)

		for target, want := range map[string]error{
			"/refused": actor.UserError("no_grain", ""), "/bad": actor.ErrInternal, "/panic": actor.ErrInternal, "/big": actor.ErrTooLarge,
		} {
			_, err = request(t, w, "GET", target, nil)
			require.ErrorIs(t, err, want, target)
		}
		grain := bytes.Repeat([]byte("rye "), 600_000)
		o, err = request(t, w, "POST", "/grain", grain)
		require.NoError(t, err)
		require.Equal(t, bytes.ToUpper(grain), o.Response.Body)
		grain = bytes.Repeat(grain, 3) // fits into an action, but not with its answer into an outcome
		_, err = request(t, w, "POST", "/grain", grain)
		require.ErrorIs(t, err, actor.ErrTooLarge)
		require.Equal(t, []string{"PUT /grain?n=1", "disconnect", "GET /nothing", "disconnect", "POST /grain", "disconnect"}, millLines(t, w))

		time.Sleep(asleep)
		require.Equal(t, []eventlog.Topic{eventlog.Actions}, holds(w, "swordfish"), "headers are not kept")
		require.Contains(t, holds(w, "text/grain"), eventlog.Events, "but for the type of the body")
	})
}

// Where the topic takes it, a raw request may have a large body, and a large answer, though all other outcomes are bounded as ever.
func TestRawRequest_Large(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := actortest.NewWith(t, host.Config{RawRecordBytes: 25_000_000}, registerMill)
		w.Cluster.SetMaxRecordBytes(25_500_000)
		grain := bytes.Repeat([]byte("rye "), 2_500_000)
		o, err := request(t, w, "POST", "/grain", grain)
		require.NoError(t, err)
		require.Equal(t, bytes.ToUpper(grain), o.Response.Body)
		w.Crash()
		_, err = request(t, w, "GET", "/nothing", nil)
		require.NoError(t, err, "after a recovery that reads it")
		_, err = request(t, w, "POST", "/grain", bytes.Repeat(grain, 2)) // fits into an action, but not with its answer into an outcome
		require.ErrorIs(t, err, actor.ErrTooLarge)
	})
}

// A kind without handlers says so.
func TestRaw_NoHandlers(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		_, err := w.ConnectRaw(t.Context(), nil, "/", "stage", "a")
		require.ErrorIs(t, err, actor.ErrNoSocketHandler)
		require.Zero(t, p.count("OnBeforeConnect"))
		hash := schemas.HashOf(actor.DefaultNamespace, "stage", schemas.Key{"a"})
		d, _, err := w.Client.Do(t.Context(), remote.Request{Hash: hash, Action: &actorlogv1.Action{
			Actor: &actorlogv1.Actor{Generation: 1}, Body: &actorlogv1.Action_Request{Request: &actorlogv1.Request{Method: "GET"}},
		}})
		require.NoError(t, err)
		require.ErrorIs(t, actor.OutcomeError(d.Outcome), actor.ErrNoRequestHandler)
	})
}

// Raw sockets open, speak to all, and close: Close and OnDisconnect run once, whoever ended it.
func TestRawSocket(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := actortest.New(t, registerMill)
		raw := func(target string) *actortest.Client {
			c, err := w.ConnectRaw(t.Context(), nil, target, "rawMill", "a")
			require.NoError(t, err)
			return c
		}
		frames := func(c *actortest.Client) (all []string) {
			for _, f := range c.Frames() {
				all = append(all, string(f.Data))
			}
			return all
		}
		_, err := w.ConnectRaw(t.Context(), nil, "/closed", "rawMill", "a")
		require.ErrorIs(t, err, actor.UserError("closed", ""))
		ann, bob, cat := raw("/ann"), raw("/bob"), raw("/cat")
		_, err = w.Connect(t.Context(), nil, "rawMill", "a") // is no socket
		require.NoError(t, err)
		w.Crash()
		require.NoError(t, bob.Write(t.Context(), "oats"))
		require.Equal(t, []string{"welcome", "ground oats"}, frames(ann))
		require.Equal(t, []string{"welcome", "ground oats"}, frames(bob))
		require.False(t, bob.Frames()[1].Text)
		for _, bad := range []string{"fail", "bad code", "not text"} {
			require.ErrorIs(t, bob.Write(t.Context(), bad), actor.ErrInternal)
		}
		require.Len(t, frames(bob), 2)

		require.NoError(t, bob.Write(t.Context(), "quit"))
		reason, err := bob.Closed()
		require.NoError(t, err)
		require.Equal(t, "as you wish", reason)
		require.ErrorIs(t, bob.Write(t.Context(), "oats"), actor.ErrConnectionClosed)
		require.NoError(t, ann.Close(t.Context(), "going"))
		require.Equal(t, []string{
			"open /ann", "open /bob", "open /cat", "close 4001 as you wish", "disconnect", "close 1000 going", "disconnect",
		}, millLines(t, w))
		require.NoError(t, rawMills.Get(w.Client, "a").Destroy(t.Context()))
		_, err = cat.Closed()
		require.NoError(t, err)
		outcomes, _ := history(t, w, "rawMill", "a")
		last := outcomes[len(outcomes)-1]
		require.Contains(t, string(last.PatchJson)+string(last.StateJson), "close 1000", "destroying closes sockets too")
	})
}

// A call that fails is told apart by what the caller may know: its own mistake in full, an internal one as a reference to what operators see.
func TestErrors(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		h := stageOf(w, "a")
		p.script("refuse", func(*actor.Ctx) error {
			return errors.Join(errors.New("deep inside"), actor.UserError("too_loud", "hush").With(map[string]int{"limit": 3}))
		})
		_, err := do.Call(t.Context(), h, "refuse")
		var e *actor.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, []string{"user", "too_loud", "hush"}, []string{e.Group, e.Code, e.Message})
		require.JSONEq(t, `{"limit":3}`, string(e.Metadata))
		require.Empty(t, p.failures(), "operators need not know")

		for _, mishap := range []func(*actor.Ctx) error{func(*actor.Ctx) error { return errStage }, func(*actor.Ctx) error { panic(errStage) }} {
			var id string
			p.script("break", func(c *actor.Ctx) error { id = c.RequestID(); return mishap(c) })
			_, err = do.Call(t.Context(), h, "break")
			require.ErrorAs(t, err, &e)
			require.Equal(t, []string{"rivetkit", "internal_error", "An internal error occurred"}, []string{e.Group, e.Code, e.Message})
			require.JSONEq(t, `{"reference":"`+id+`"}`, string(e.Metadata))
			require.NotContains(t, err.Error(), "trapdoor")
			failed := p.failures()[len(p.failures())-1]
			require.Equal(t, id, failed.RequestID, "the reference finds the log line")
			require.Contains(t, failed.Detail, "trapdoor")
			require.Equal(t, []string{"stage", "do"}, []string{failed.Kind, failed.Action})
		}

		p.script("by hand", func(*actor.Ctx) error { return &actor.Error{Group: "user", Code: "odd", Metadata: []byte("{no json")} })
		_, err = do.Call(t.Context(), h, "by hand")
		require.ErrorAs(t, err, &e)
		require.Equal(t, "odd", e.Code)
		require.Empty(t, e.Metadata, "what is no JSON would break the clients")
	})
}

// An action knows who and where it is, and who asked.
func TestMetadata(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		h := stageOf(w, "a")
		id, err := h.Resolve(t.Context())
		require.NoError(t, err)
		ran := false
		p.script("look", func(c *actor.Ctx) error {
			ran = true
			require.Equal(t, id, c.ActorID())
			require.Equal(t, []string{"default", "stage", "a", "attic"}, []string{c.Namespace(), c.Kind(), c.Key()[0], c.Region()})
			require.NotEmpty(t, c.WorkerID())
			require.Equal(t, actor.CallerInfo{Gateway: w.Client.ID()}, c.Caller())
			return nil
		})
		call(t, h, "look")
		require.True(t, ran)
		p.script("look", func(c *actor.Ctx) error {
			require.NotEmpty(t, c.Caller().ConnectionID)
			require.Equal(t, c.Conn().ID(), c.Caller().ConnectionID)
			require.Equal(t, "queen", c.Caller().Principal)
			return nil
		})
		p.script("OnBeforeConnect", func(c *actor.Ctx) error { c.Authenticate("queen"); return nil })
		call(t, h.WithParams(ticket{"ann"}), "look")
		p.script("look", func(c *actor.Ctx) error { c.Authenticate("king"); return nil })
		_, err = do.Call(t.Context(), h, "look")
		require.ErrorIs(t, err, actor.ErrInternal, "only who connects can be authenticated")
	})
}

// The input of a creation is limited.
func TestInput_TooLarge(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		h := stages.GetOrCreate(w.Client, "a").WithInput(strings.Repeat("x", schemas.MaxInputLen))
		_, err := do.Call(t.Context(), h, "one")
		require.ErrorIs(t, err, actor.ErrInvalidRequest)
		require.Empty(t, p.take())
		call(t, stages.GetOrCreate(w.Client, "a").WithInput("small"), "one")
	})
}
