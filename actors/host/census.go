package host

import (
	"fmt"
	"slices"
	"strings"

	"github.com/actorlog/actorlog/actors/actor"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// census counts the living actors of a shard by kind and version of their state, so that code which could not read some of
// them is found out when the shard is opened, and not when one of them wakes. Guarded by shard.ackMu.
type census map[species]int64

type species struct {
	kind    string
	version uint32
}

func newCensus(counts []*actorlogv1.KindCount) census {
	c := make(census)
	for _, k := range counts {
		c[species{k.Kind, k.StateVersion}] = k.Count
	}
	return c
}

// take counts what an outcome did.
func (c census) take(o *actorlogv1.Outcome) {
	kind := o.GetActor().GetKind()
	if o.PriorVersion != nil {
		c[species{kind, *o.PriorVersion}]--
	}
	switch {
	case o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED,
		o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_UNSPECIFIED && o.PriorVersion != nil:
		c[species{kind, o.StateVersion}]++
	}
}

func (c census) counts() []*actorlogv1.KindCount {
	var counts []*actorlogv1.KindCount
	for s, n := range c {
		if n > 0 {
			counts = append(counts, &actorlogv1.KindCount{Kind: s.kind, StateVersion: s.version, Count: n})
		}
	}
	slices.SortFunc(counts, func(a, b *actorlogv1.KindCount) int {
		if a.Kind != b.Kind {
			return strings.Compare(a.Kind, b.Kind)
		}
		return int(a.StateVersion) - int(b.StateVersion)
	})
	return counts
}

// unreadableError says that this code cannot read states that are recorded.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// check says whether the registered kinds can read all states that are recorded.
func (c census) check(registry *actor.Registry) error {
	for _, k := range c.counts() {
		def := registry.Kind(k.Kind)
		if def == nil {
			continue
		}
		if err := def.CheckVersion(k.StateVersion); err != nil {
			return &unreadableError{fmt.Errorf("%d actors could not be loaded: %w", k.Count, err)}
		}
	}
	return nil
}
