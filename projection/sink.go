package projection

import (
	"context"

	"github.com/actorlog/actorlog/schemas"
)

// Sink is where rows go. A Sink is used by one goroutine at a time.
//
// A Sink keeps one row per position and per actor, whatever is written how often. Who reads from it sees no row twice at any moment, also
// between the writing of a batch and the end of that, and after a crash there.
type Sink interface {
	// Places returns how far shards have come. Of those that have not begun there is none.
	Places(ctx context.Context) ([]Place, error)
	// Load returns those of the actors that have a row. Each is at or after the places.
	Load(ctx context.Context, actors []schemas.Hash) ([]Actor, error)
	// Write writes events, then actors, then places, each when the one before is safe: so a place says that all before it is written, and an actor that is
	// ahead of its shard's place tells that its events up to there are. Before the places, it carries out the erasures. Any error may mean that some of it is written; the same batch can be
	// written again.
	Write(ctx context.Context, b *Batch) error
}

// Batch is rows that are written together.
type Batch struct {
	Events []Event
	Actors []Actor
	Places []Place
	// Erasures that are asked for by events of the batch, or of an earlier one that was written up to its actors. One whose event has no row, for it does not count, is none.
	Erasures []Erasure
	// Bytes of events and actors, about.
	Bytes int
}

// Erasure has all rows of an actor before an event of it be as [Event.Erase] leaves them, and nothing be left of what the actor was before it.
type Erasure struct {
	Actor schemas.Hash
	// Position of the event.
	Position schemas.Position
}
