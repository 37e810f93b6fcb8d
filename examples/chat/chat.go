// Package chat is a room whose members see each message at once, and the last hundred
// whenever they come.
package chat

import (
	"time"

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

// The contract.
var (
	Kind    = actor.New[Room]("chatRoom")
	Say     = actor.Action[Line, Message](Kind, "say")
	History = actor.Action[actor.None, []Message](Kind, "history")
	Said    = actor.Event[Message](Kind, "message")
)

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.InitialState(r, Kind, Room{Messages: []Message{}})
	actor.On(r, Say, (*Room).say)
	actor.On(r, History, func(s *Room, _ *actor.Ctx, _ actor.None) ([]Message, error) { return s.Messages, nil })
}

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
