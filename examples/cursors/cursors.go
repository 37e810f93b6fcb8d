// Package cursors is a board on which every visitor sees where the pointers of the others are.
//
// It has no state to keep: a pointer is gone with its visitor, so it is the state of a connection.
package cursors

import (
	"regexp"
	"unicode/utf8"

	"github.com/actorlog/actorlog/actors/actor"
)

// Board is what survives: nothing.
type Board struct{}

// Params of a connection: how the visitor's pointer looks.
type Params struct {
	Name  string `json:"name"`
	Color string `json:"color"` // #rrggbb
}

// Position on the board, from 0 to 1 in each direction, so that windows of all sizes agree:
// board.move(0.5, 0.5) from JavaScript.
type Position struct {
	actor.Positional
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Pointer is where a visitor is.
type Pointer struct {
	ID    string  `json:"id"` // of the connection
	Name  string  `json:"name"`
	Color string  `json:"color"`
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
}

// Gone says whose pointer there is no more.
type Gone struct {
	ID string `json:"id"`
}

// The contract.
var (
	Kind    = actor.New[Board]("cursors")
	Move    = actor.Action[Position, actor.None](Kind, "move")
	Cursors = actor.Action[actor.None, []Pointer](Kind, "cursors") // the others'
	Moved   = actor.Event[Pointer](Kind, "moved")
	Left    = actor.Event[Gone](Kind, "left")
)

const maxNameLen = 40 // characters

var color = regexp.MustCompile(`^#[0-9a-f]{6}$`)

// visitor is what the board knows of a connection for as long as it lasts.
type visitor struct {
	Name   string  `json:"name"`
	Color  string  `json:"color"`
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Placed bool    `json:"placed"` // it has moved, so there is a pointer
}

func (v *visitor) pointer(id string) Pointer {
	return Pointer{ID: id, Name: v.Name, Color: v.Color, X: v.X, Y: v.Y}
}

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.InitialState(r, Kind, Board{})
	actor.On(r, Move, (*Board).move)
	actor.On(r, Cursors, (*Board).cursors)

	actor.OnBeforeConnect(r, Kind, func(_ *Board, _ *actor.Ctx, p Params) error {
		if p.Name == "" || utf8.RuneCountInString(p.Name) > maxNameLen {
			return actor.UserError("bad_name", "a name has 1 to 40 characters")
		}
		if !color.MatchString(p.Color) {
			return actor.UserError("bad_color", "a color looks like #1d4ed8")
		}
		return nil
	})
	actor.CreateConnState(r, Kind, func(_ *Board, _ *actor.Ctx, p Params) (visitor, error) {
		return visitor{Name: p.Name, Color: p.Color}, nil
	})
	actor.OnDisconnect(r, Kind, func(_ *Board, c *actor.Ctx, conn *actor.Conn) error {
		if actor.ConnState[visitor](conn).Placed {
			c.Broadcast(Left.With(Gone{ID: conn.ID()}))
		}
		return nil
	})
}

func (*Board) move(c *actor.Ctx, to Position) (none actor.None, err error) {
	conn := c.Conn()
	if conn == nil || conn.Ephemeral() {
		return none, actor.UserError("no_connection", "only a visitor with a connection has a pointer")
	}
	if to.X < 0 || to.X > 1 || to.Y < 0 || to.Y > 1 {
		return none, actor.UserError("off_the_board", "a position is from 0 to 1 in each direction")
	}
	v := actor.ConnState[visitor](conn)
	v.X, v.Y, v.Placed = to.X, to.Y, true
	c.BroadcastExcept(Moved.With(v.pointer(conn.ID())), conn)
	return none, nil
}

func (*Board) cursors(c *actor.Ctx, _ actor.None) ([]Pointer, error) {
	pointers := []Pointer{}
	for _, conn := range c.Conns() {
		v := actor.ConnState[visitor](conn)
		if own := c.Conn(); v.Placed && (own == nil || conn.ID() != own.ID()) {
			pointers = append(pointers, v.pointer(conn.ID()))
		}
	}
	return pointers, nil
}
