package actor

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/actorlog/actorlog/schemas"
)

// Ctx is an action's view of the world: who it is for, what time it is, and what shall
// leave with its outcome. It is a context.Context that ends at the action's timeout
// and when the worker gives the actor away; pass it to whatever waits.
//
// A Ctx belongs to the goroutine that runs the action and ends with it: what is
// broadcast through it afterwards is dropped.
type Ctx struct {
	context.Context
	run    Run
	rand   Rand
	events []Broadcast
	err    error
	doomed bool
}

// Run is what a host tells a [Ctx] about the action that it runs.
type Run struct {
	Namespace, Kind string
	Key             schemas.Key
	ID              schemas.ActorID
	Now             time.Time
	// Ref is the offset of the action; with the id it seeds Rand.
	Ref int64
	// ConnectionID is empty for a stateless call.
	ConnectionID string
	// RequestID of the caller.
	RequestID string
}

// NewCtx makes the Ctx of one run. For hosts and test harnesses.
func NewCtx(ctx context.Context, run Run) *Ctx {
	c := &Ctx{Context: ctx, run: run}
	for i, b := range run.ID.Hash {
		c.rand.state ^= uint64(b) << (i % 8 * 8)
	}
	c.rand.state ^= uint64(run.ID.Generation)<<32 ^ uint64(run.Ref)*0x9e3779b97f4a7c15
	return c
}

// Now is the time of the action: when it was asked, and never before the actor's previous
// action. It does not pass while the action runs, and is the same in every replay. UTC.
func (c *Ctx) Now() time.Time { return c.run.Now }

// Rand is this action's dice.
func (c *Ctx) Rand() *Rand { return &c.rand }

// NewID returns a new id in the form of a UUID, the same in every replay.
func (c *Ctx) NewID() string { return newID(&c.rand) }

// Namespace of the actor.
func (c *Ctx) Namespace() string { return c.run.Namespace }

// Kind is the wire name of the actor's kind.
func (c *Ctx) Kind() string { return c.run.Kind }

// Key of the actor. The caller owns the slice.
func (c *Ctx) Key() []string { return slices.Clone(c.run.Key) }

// ActorID is the id of this life of the actor.
func (c *Ctx) ActorID() string { return c.run.ID.String() }

// RequestID is the id of the request that asked for this action, as the log has it.
func (c *Ctx) RequestID() string { return c.run.RequestID }

// Broadcast sends an event to everybody who is subscribed to it, once the action's
// outcome is committed, in the order of the calls. Nothing is sent if the action fails.
func (c *Ctx) Broadcast(m Message) {
	if m.err != nil && c.err == nil {
		c.err = m.err
	}
	c.events = append(c.events, Broadcast{Name: m.name, Args: m.args})
}

// Destroy ends this life of the actor with this action: its state is dropped, its
// connections are closed, and later calls find no actor. The action's result still
// reaches the caller. The same key can live again, under a new id.
func (c *Ctx) Destroy() { c.doomed = true }

// Broadcast is a message as a host records it.
type Broadcast struct {
	Name string
	// Args is a JSON array.
	Args json.RawMessage
}

// Effects is what an action asked of the world through its Ctx. For hosts.
type Effects struct {
	Broadcasts []Broadcast
	Destroyed  bool
}

// Effects returns what has been asked so far, or the first error in asking.
func (c *Ctx) Effects() (Effects, error) {
	return Effects{Broadcasts: c.events, Destroyed: c.doomed}, c.err
}
