// Package chat is a room whose members see each message at once, and the last hundred
// whenever they come, and who is there with them.
package chat

import (
	"time"
	"unicode/utf8"

	"github.com/actorlog/actorlog/actors/actor"
)

// Room is everything that survives.
type Room struct {
	Messages []Message `json:"messages"`
}

// Message is one line of the conversation.
type Message struct {
	ID     string    `json:"id"`
	Author string    `json:"author"`
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
}

// Line is what a member says: room.say("ann", "hello") from JavaScript.
type Line struct {
	actor.Positional
	Author string `json:"author"`
	Text   string `json:"text"`
}

// Params of a connection. Who gives no name reads along without being a member.
type Params struct {
	Name string `json:"name"`
}

// Member is a connection with a name: who has two windows open is there twice.
type Member struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// The contract.
var (
	Kind    = actor.New[Room]("chatRoom")
	Say     = actor.Action[Line, Message](Kind, "say")
	History = actor.Action[actor.None, []Message](Kind, "history")
	Members = actor.Action[actor.None, []Member](Kind, "members")
	Said    = actor.Event[Message](Kind, "message")
	Joined  = actor.Event[Member](Kind, "joined")
	Left    = actor.Event[Member](Kind, "left")
)

const maxNameLen = 40 // characters

// presence is what the room knows of a connection for as long as it lasts.
type presence struct {
	Name string `json:"name"`
}

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.InitialState(r, Kind, Room{Messages: []Message{}})
	actor.On(r, Say, (*Room).say)
	actor.On(r, History, func(s *Room, _ *actor.Ctx, _ actor.None) ([]Message, error) { return s.Messages, nil })
	actor.On(r, Members, func(_ *Room, c *actor.Ctx, _ actor.None) ([]Member, error) { return here.List(c), nil })

	actor.OnBeforeConnect(r, Kind, func(_ *Room, _ *actor.Ctx, p Params) error {
		if utf8.RuneCountInString(p.Name) > maxNameLen {
			return actor.UserError("bad_name", "a name has at most 40 characters")
		}
		return nil
	})
	actor.CreateConnState(r, Kind, func(_ *Room, _ *actor.Ctx, p Params) (presence, error) { return presence(p), nil })
	actor.OnConnect(r, Kind, func(_ *Room, c *actor.Ctx, conn *actor.Conn) error {
		here.Connected(c, conn)
		return nil
	})
	actor.OnDisconnect(r, Kind, func(_ *Room, c *actor.Ctx, conn *actor.Conn) error {
		here.Disconnected(c, conn)
		return nil
	})
}

// here is who is there: every connection with a name.
var here = actor.RosterOf(Joined, Left, func(conn *actor.Conn) (Member, bool) {
	p := actor.ConnState[presence](conn)
	return Member{ID: conn.ID(), Name: p.Name}, p.Name != ""
})

func (s *Room) say(c *actor.Ctx, line Line) (Message, error) {
	if line.Author == "" || line.Text == "" {
		return Message{}, actor.UserError("empty_line", "a message needs an author and a text")
	}
	m := Message{ID: c.NewID(), Author: line.Author, Text: line.Text, At: c.Now()}
	s.Messages = append(s.Messages, m)
	s.Messages = s.Messages[max(0, len(s.Messages)-100):]
	c.Broadcast(Said.With(m))
	return m, nil
}
