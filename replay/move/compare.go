package move

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

// Comparison is what two logs have in common.
type Comparison struct {
	// Same is how many actors are the same in both, dead ones too: identity, generation, time of creation, state and its version, schedules, messages.
	Same int
	// Differ are in both but not the same, OnlyOld and OnlyNew in one of them. Each says which actor it is.
	Differ, OnlyOld, OnlyNew []string
}

// OK says that there is no difference.
func (c *Comparison) OK() bool { return len(c.Differ)+len(c.OnlyOld)+len(c.OnlyNew) == 0 }

// Compare folds two logs that are at rest and compares their actors. It holds 48 bytes for each of the new log in memory, and all of one shard.
func Compare(ctx context.Context, from, to eventlog.Source) (c Comparison, err error) {
	there := make(map[schemas.Hash]sum)
	err = each(ctx, to, func(_ int32, a *machine.Actor, s sum) error {
		there[a.Hash] = s
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("reading the new log: %w", err)
	}
	err = each(ctx, from, func(_ int32, a *machine.Actor, s sum) error {
		other, ok := there[a.Hash]
		delete(there, a.Hash)
		switch {
		case !ok:
			c.OnlyOld = append(c.OnlyOld, name(a))
		case other != s:
			c.Differ = append(c.Differ, name(a))
		default:
			c.Same++
		}
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("reading the old log: %w", err)
	}
	for hash := range there {
		c.OnlyNew = append(c.OnlyNew, hash.String())
	}
	return c, nil
}

// sum of all that is moved of an actor.
type sum [sha256.Size]byte

func each(ctx context.Context, l eventlog.Source, fn func(p int32, a *machine.Actor, s sum) error) error {
	for p := range l.Partitions() {
		heads, err := replay.NewReader(l, replay.Options{}).Heads(ctx, p)
		if err != nil {
			return err
		}
		for _, a := range heads {
			if a.Generation == 0 { // it never lived
				continue
			}
			s, err := sumOf(ctx, l, p, &a)
			if err == nil {
				err = fn(p, &a, s)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func sumOf(ctx context.Context, l eventlog.Source, p int32, a *machine.Actor) (s sum, err error) {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.AppendUvarint(nil, uint64(len(b))))
		h.Write(b)
	}
	part([]byte(a.Namespace))
	part([]byte(a.Kind))
	for _, k := range a.Key {
		part([]byte(k))
	}
	part(fmt.Appendf(nil, "%d %t %d %d %d %d", a.Generation, a.Alive, a.CreatedMs, a.StateVersion, len(a.Schedules), len(a.Queue)))
	part(a.State)
	for _, schedule := range a.Schedules {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(schedule)
		if err != nil {
			return s, err
		}
		part(b)
	}
	for _, m := range a.Queue {
		body, err := bodyOf(ctx, l, p, m)
		if err != nil {
			return s, err
		}
		part([]byte(m.Queue))
		part(body)
	}
	part([]byte(a.Broken))
	h.Sum(s[:0])
	return s, nil
}
