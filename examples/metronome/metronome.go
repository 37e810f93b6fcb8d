// Package metronome is an actor that beats by itself: a schedule that repeats, and ends itself.
package metronome

import (
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// Metronome remembers its beats.
type Metronome struct {
	// Left is how many beats there will be.
	Left int64 `json:"left"`
	// Beats is the times that they stand for, Unix milliseconds.
	Beats []int64 `json:"beats"`
	// Early counts those that came before their time.
	Early int64 `json:"early"`
}

// Piece is what is played.
type Piece struct {
	actor.Positional
	// EveryMs is the time between two beats, and Beats how many there are.
	EveryMs, Beats int64
}

// The contract.
var (
	Kind  = actor.New[Metronome]("metronome")
	Start = actor.Action[Piece, actor.None](Kind, "start")
	Stop  = actor.Action[actor.None, actor.None](Kind, "stop")
	Get   = actor.Action[actor.None, Metronome](Kind, "get")

	beat = actor.Action[actor.None, actor.None](Kind, "beat")
)

// scheduled is the id of the only schedule: to start again is to start anew.
const scheduled = "beat"

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.On(r, Start, (*Metronome).start)
	actor.On(r, Stop, func(s *Metronome, c *actor.Ctx, _ actor.None) (none actor.None, err error) {
		s.Left = 0
		c.Cancel(scheduled)
		return none, nil
	})
	actor.On(r, Get, func(s *Metronome, _ *actor.Ctx, _ actor.None) (Metronome, error) { return *s, nil })
	actor.On(r, beat, (*Metronome).beat)
}

func (s *Metronome) start(c *actor.Ctx, p Piece) (none actor.None, err error) {
	if p.EveryMs < actor.MinEvery.Milliseconds() || p.Beats < 1 {
		return none, actor.UserError("bad_piece", "a piece has at least one beat, and 10 ms between two")
	}
	*s = Metronome{Left: p.Beats}
	// A beat that was missed is made up for.
	c.Every(time.Duration(p.EveryMs)*time.Millisecond, beat.With(actor.None{}), actor.ScheduleID(scheduled), actor.OnMissed(actor.FireAll))
	return none, nil
}

func (s *Metronome) beat(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	s.Beats = append(s.Beats, c.ScheduledTime().UnixMilli())
	if c.Now().Before(c.ScheduledTime()) {
		s.Early++
	}
	if s.Left--; s.Left <= 0 {
		c.Cancel(scheduled)
	}
	return none, nil
}
