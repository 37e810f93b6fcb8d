// Package fanout is one actor that asks many: by calls, for whose results it waits, and by messages, to which they reply.
package fanout

import (
	"strconv"

	"github.com/actorlog/actorlog/actors/actor"
)

// Total adds up what its parts say.
type Total struct {
	// Calls is how often all parts were called, and Sum what they said.
	Calls int64 `json:"calls"`
	Sum   int64 `json:"sum"`
	// Replies is how many messages came back, by part.
	Replies map[string]int64 `json:"replies"`
}

// Part counts how often it was asked.
type Part struct {
	// Called and Messaged, by the total that asked.
	Called   map[string]int64 `json:"called"`
	Messaged map[string]int64 `json:"messaged"`
}

// Reply of a part to a message.
type Reply struct {
	actor.Positional
	Part string
}

// The contract.
var (
	TotalKind = actor.New[Total]("total")
	// Call calls so many parts, one after the other, and returns how many of them answered.
	Call = actor.Action[int64, int64](TotalKind, "call")
	// Message sends a message to so many parts.
	Message = actor.Action[int64, actor.None](TotalKind, "message")
	// Get returns all.
	Get = actor.Action[actor.None, Total](TotalKind, "get")

	replied = actor.Action[Reply, actor.None](TotalKind, "replied")

	PartKind = actor.New[Part]("part")
	// GetPart returns all.
	GetPart = actor.Action[actor.None, Part](PartKind, "get")

	ask     = actor.Action[string, int64](PartKind, "ask")
	message = actor.Action[string, actor.None](PartKind, "message")
)

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.On(r, Call, (*Total).call)
	actor.On(r, Message, (*Total).message)
	actor.On(r, replied, (*Total).replied)
	actor.On(r, Get, func(s *Total, _ *actor.Ctx, _ actor.None) (Total, error) { return *s, nil })

	actor.On(r, ask, (*Part).ask)
	actor.On(r, message, (*Part).message)
	actor.On(r, GetPart, func(s *Part, _ *actor.Ctx, _ actor.None) (Part, error) { return *s, nil })
}

// part finds a total's part by its number: totals share them.
func part(c *actor.Ctx, i int64) actor.Handle[Part] {
	return PartKind.GetOrCreate(c.Client(), strconv.FormatInt(i, 10))
}

func (s *Total) call(c *actor.Ctx, parts int64) (int64, error) {
	var answered int64
	for i := range parts {
		n, err := ask.Call(c, part(c, i), c.Key()[0])
		if err != nil {
			return 0, err
		}
		s.Sum += n
		answered++
	}
	s.Calls++
	return answered, nil
}

func (s *Total) message(c *actor.Ctx, parts int64) (none actor.None, err error) {
	for i := range parts {
		message.Send(c, part(c, i), c.Key()[0])
	}
	return none, nil
}

func (s *Total) replied(_ *actor.Ctx, r Reply) (none actor.None, err error) {
	if s.Replies == nil {
		s.Replies = make(map[string]int64)
	}
	s.Replies[r.Part]++
	return none, nil
}

// ask counts, and returns how often this total has asked.
func (s *Part) ask(_ *actor.Ctx, by string) (int64, error) {
	if s.Called == nil {
		s.Called = make(map[string]int64)
	}
	s.Called[by]++
	return s.Called[by], nil
}

func (s *Part) message(c *actor.Ctx, by string) (none actor.None, err error) {
	if s.Messaged == nil {
		s.Messaged = make(map[string]int64)
	}
	s.Messaged[by]++
	replied.Send(c, TotalKind.Get(c.Client(), by), Reply{Part: c.Key()[0]})
	return none, nil
}
