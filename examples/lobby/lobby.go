// Package lobby is a room in which players wait for a game: who they are is decided when they connect, and what each may hear and do
// follows from that. It shows connections, guarded events, a queue, raw requests and raw sockets.
package lobby

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/actorlog/actorlog/actors/actor"
)

// Lobby is everything that survives.
type Lobby struct {
	// Log is what happened, a line each.
	Log []string `json:"log"`
	// Tickets is how many were given out.
	Tickets int64 `json:"tickets"`
}

// Params is what a player presents.
type Params struct {
	Name  string `json:"name"`
	Staff bool   `json:"staff"` // a real one would show a token
}

// Seat is the state of a connection.
type Seat struct {
	Name  string `json:"name"`
	Staff bool   `json:"staff"`
	Lines int    `json:"lines"`
}

// Player is a seat as others see it.
type Player struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Line is what a player tells another one: lobby.whisper("bob", "hello") from JavaScript.
type Line struct {
	actor.Positional
	To   string `json:"to"`
	Text string `json:"text"`
}

// Order is what a ticket is wanted for.
type Order struct {
	Game string `json:"game"`
}

// Ticket is the answer to an order.
type Ticket struct {
	Number int64  `json:"number"`
	Game   string `json:"game"`
}

// issue says which message a ticket answers.
type issue struct {
	Message int64  `json:"message"`
	Game    string `json:"game"`
}

// The contract.
var (
	Kind    = actor.New[Lobby]("lobby")
	WhoAmI  = actor.Action[actor.None, Seat](Kind, "whoAmI")
	Players = actor.Action[actor.None, []Player](Kind, "players")
	Rename  = actor.Action[string, Seat](Kind, "rename")
	Shout   = actor.Action[string, actor.None](Kind, "shout")
	Whisper = actor.Action[Line, bool](Kind, "whisper")
	Kick    = actor.Action[string, int](Kind, "kick")
	Log     = actor.Action[actor.None, []string](Kind, "log")
	Crash   = actor.Action[actor.None, actor.None](Kind, "crash")
	Close   = actor.Action[actor.None, actor.None](Kind, "destroy")
	issued  = actor.Action[issue, int64](Kind, "issue")

	Welcome  = actor.Event[string](Kind, "welcome") // to a player that has come
	Arrived  = actor.Event[string](Kind, "arrived") // to the others
	Shouted  = actor.Event[string](Kind, "shouted") // to the others
	Whispers = actor.Event[string](Kind, "whisper") // to the addressee
	Alert    = actor.Event[string](Kind, "alert")   // to staff
	Orders   = actor.Queue[Order, Ticket](Kind, "orders")
	Parked   = actor.Queue[Order, actor.None](Kind, "parked") // nobody takes from it
	Staff    = actor.Queue[Order, actor.None](Kind, "staff")  // of staff only
)

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.InitialState(r, Kind, Lobby{Log: []string{}})
	actor.OnBeforeConnect(r, Kind, admit)
	actor.CreateConnState(r, Kind, func(_ *Lobby, _ *actor.Ctx, p Params) (Seat, error) { return Seat{Name: p.Name, Staff: p.Staff}, nil })
	actor.OnConnect(r, Kind, (*Lobby).arrived)
	actor.OnDisconnect(r, Kind, (*Lobby).left)
	actor.CanSubscribe(r, Kind, Alert, isStaff)
	actor.CanPublish(r, Staff, isStaff)
	actor.Accept(r, Orders)
	actor.Accept(r, Parked)
	actor.OnRun(r, Kind, serve)
	actor.OnRequest(r, Kind, (*Lobby).request)
	actor.OnWebSocket(r, Kind, actor.SocketHandler[Lobby]{Message: (*Lobby).message, Close: (*Lobby).closed})

	actor.On(r, WhoAmI, func(_ *Lobby, c *actor.Ctx, _ actor.None) (Seat, error) { return *seat(c.Conn()), nil })
	actor.On(r, Players, players)
	actor.On(r, Rename, func(_ *Lobby, c *actor.Ctx, name string) (Seat, error) {
		seat(c.Conn()).Name = name
		return *seat(c.Conn()), nil
	})
	actor.On(r, Shout, shout)
	actor.On(r, Whisper, whisper)
	actor.On(r, Kick, kick)
	actor.On(r, Log, func(s *Lobby, _ *actor.Ctx, _ actor.None) ([]string, error) { return s.Log, nil })
	actor.On(r, Crash, func(*Lobby, *actor.Ctx, actor.None) (n actor.None, err error) {
		return n, fmt.Errorf("the lobby is on fire")
	})
	actor.On(r, Close, func(_ *Lobby, c *actor.Ctx, _ actor.None) (n actor.None, err error) {
		c.Destroy()
		return n, nil
	})
	actor.On(r, issued, (*Lobby).issue)
}

func admit(_ *Lobby, c *actor.Ctx, p Params) error {
	if p.Name == "mallory" {
		return actor.UserError("banned", "mallory is not welcome").With(map[string]string{"name": p.Name})
	}
	c.Authenticate(p.Name)
	return nil
}

// seat is the state of a connection; calls from backends have none.
func seat(n *actor.Conn) *Seat {
	if n == nil {
		return new(Seat)
	}
	return actor.ConnState[Seat](n)
}

func isStaff(_ *Lobby, c *actor.Ctx) (bool, error) { return seat(c.Conn()).Staff, nil }

// stays says that a connection is that of a player who waits, and not of a single call.
func stays(n *actor.Conn) bool { return n != nil && !n.Ephemeral() }

func (s *Lobby) arrived(c *actor.Ctx, n *actor.Conn) error {
	if !stays(n) {
		return nil
	}
	s.Log = append(s.Log, "came "+seat(n).Name)
	n.Send(Welcome.With("hello " + seat(n).Name))
	c.BroadcastExcept(Arrived.With(seat(n).Name), n)
	return nil
}

func (s *Lobby) left(c *actor.Ctx, n *actor.Conn) error {
	if !stays(n) {
		return nil
	}
	s.Log = append(s.Log, "left "+seat(n).Name)
	c.Broadcast(Alert.With(seat(n).Name + " has left"))
	return nil
}

func players(_ *Lobby, c *actor.Ctx, _ actor.None) ([]Player, error) {
	list := []Player{}
	for _, n := range c.Conns() {
		if stays(n) {
			list = append(list, Player{ID: n.ID(), Name: seat(n).Name})
		}
	}
	return list, nil
}

func shout(_ *Lobby, c *actor.Ctx, text string) (n actor.None, err error) {
	seat(c.Conn()).Lines++
	if stays(c.Conn()) {
		c.BroadcastExcept(Shouted.With(text), c.Conn())
	} else {
		c.Broadcast(Shouted.With(text))
	}
	return n, nil
}

func whisper(_ *Lobby, c *actor.Ctx, line Line) (bool, error) {
	for _, n := range c.Conns() {
		if stays(n) && seat(n).Name == line.To {
			n.Send(Whispers.With(line.Text))
			return true, nil
		}
	}
	return false, nil
}

func kick(_ *Lobby, c *actor.Ctx, name string) (kicked int, err error) {
	for _, n := range c.Conns() {
		if stays(n) && seat(n).Name == name {
			n.Disconnect("kicked")
			kicked++
		}
	}
	return kicked, nil
}

// serve gives out tickets, one for each order.
func serve(l *actor.Loop) error {
	for {
		order, err := Orders.Next(l)
		if err != nil {
			return err // the lobby leaves memory
		}
		if _, err := issued.Call(l, Kind.Self(l), issue{order.ID, order.Body.Game}); err != nil {
			return err
		}
	}
}

// issue counts a ticket and answers the order in one: however often an order is taken, it gets one ticket.
func (s *Lobby) issue(c *actor.Ctx, i issue) (int64, error) {
	s.Tickets++
	Orders.Complete(c, i.Message, Ticket{s.Tickets, i.Game})
	return s.Tickets, nil
}

// echo is what the lobby saw of a raw request.
type echo struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Type   string `json:"type"`
	Hello  string `json:"hello"`
	Name   string `json:"name"`
	Body   string `json:"body"`
}

// request answers raw HTTP: the players at /players, and what it was sent everywhere else.
func (s *Lobby) request(c *actor.Ctx, r *actor.Request) (*actor.Response, error) {
	path, _, _ := strings.Cut(r.Target, "?")
	switch path {
	case "/gone":
		return &actor.Response{Status: 410, Headers: []actor.Header{{Name: "X-Lobby", Value: "closed"}}, Body: []byte("gone")}, nil
	case "/empty":
		return &actor.Response{Status: 204}, nil
	case "/forbidden":
		return nil, actor.ErrForbidden
	case "/bytes":
		return &actor.Response{Headers: []actor.Header{{Name: "Content-Type", Value: "application/octet-stream"}}, Body: r.Body}, nil
	}
	b, err := json.Marshal(echo{r.Method, r.Target, r.Header("Content-Type"), r.Header("X-Hello"), seat(c.Conn()).Name, string(r.Body)})
	if err != nil {
		return nil, err
	}
	return &actor.Response{
		Headers: []actor.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "X-Lobby", Value: "open"}, {Name: "Connection", Value: "X-Hop"}, {Name: "X-Hop", Value: "1"}},
		Body:    b,
	}, nil
}

// message answers raw sockets: text in capitals, bytes as they are.
func (s *Lobby) message(c *actor.Ctx, socket *actor.Socket, m actor.SocketMessage) error {
	switch text := string(m.Data); {
	case !m.Text:
		socket.WriteBinary(m.Data)
	case text == "where":
		socket.Write(socket.Target())
	case text == "bye":
		socket.Write("BYE")
		socket.Close(4001, "bye.now")
	case text == "fail":
		return actor.UserError("no_such_word", "I do not know that word")
	case text == "all":
		for _, other := range c.Sockets() {
			other.Write("to all")
		}
	default:
		socket.Write(strings.ToUpper(text))
	}
	return nil
}

func (s *Lobby) closed(_ *actor.Ctx, _ *actor.Socket, code int, reason string) error {
	s.Log = append(s.Log, strings.TrimSpace(fmt.Sprintf("socket %d %s", code, reason)))
	return nil
}
