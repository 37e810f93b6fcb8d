package projector

import (
	"container/list"

	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/schemas"
)

// cache is the actors that were used last. Those that changed in a batch that is not acknowledged stay: the sink does not have them yet.
type cache struct {
	max, bytes int
	entries    map[schemas.Hash]*entry
	// used is entries, those that were used last in front.
	used *list.List
	// evicted is told when an actor of a shard leaves.
	evicted func(shard int32)
}

type entry struct {
	actor projection.Actor
	bytes int
	// batch is the number of the last one in which it changed, 0 for none.
	batch uint64
	place *list.Element
}

func newCache(maxBytes int, evicted func(int32)) *cache {
	return &cache{max: maxBytes, entries: make(map[schemas.Hash]*entry), used: list.New(), evicted: evicted}
}

func (c *cache) has(hash schemas.Hash) bool { return c.entries[hash] != nil }

// put adds an actor.
func (c *cache) put(a projection.Actor) *entry {
	e := &entry{actor: a}
	e.place = c.used.PushFront(e)
	c.entries[a.Hash] = e
	c.changed(e)
	return e
}

// get returns an actor, a new one if it is not there.
func (c *cache) get(shard int32, hash schemas.Hash) *entry {
	if e := c.entries[hash]; e != nil {
		c.used.MoveToFront(e.place)
		return e
	}
	return c.put(projection.NewActor(shard, hash))
}

// changed measures an actor anew.
func (c *cache) changed(e *entry) {
	n := e.actor.Bytes()
	c.bytes += n - e.bytes
	e.bytes = n
}

// evict makes room. What changed after a batch stays, and so does all that was used since.
func (c *cache) evict(acknowledged uint64) {
	for c.bytes > c.max {
		last := c.used.Back()
		if last == nil || last.Value.(*entry).batch > acknowledged {
			return
		}
		e := last.Value.(*entry)
		c.used.Remove(last)
		delete(c.entries, e.actor.Hash)
		c.bytes -= e.bytes
		c.evicted(e.actor.Shard)
	}
}
