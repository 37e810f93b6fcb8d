package move

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// ErrNotEmpty says that there is something in the new topics.
var ErrNotEmpty = errors.New("the topics to move to are not empty")

// ErrBroken says that an actor of the old log cannot be read.
var ErrBroken = errors.New("an actor cannot be read")

// Config of a move.
type Config struct {
	// From is the old log, at rest. It is only read.
	From eventlog.Log
	// To is the new one.
	To eventlog.Log
	// LeaveBroken leaves actors behind that cannot be read, instead of refusing to move with ErrBroken.
	LeaveBroken bool
	// Progress, if not nil, is called after each shard of the old log.
	Progress func(shard int32, so Moved)
}

// Moved is what was moved.
type Moved struct {
	// Actors that live, and Ended ones whose generations are remembered.
	Actors, Ended int
	// Messages in their queues.
	Messages int
	// Left behind, because they cannot be read.
	Left []string
}

// Run moves all actors. It returns ErrBusy, ErrNotEmpty or ErrBroken before it has written anything.
func Run(ctx context.Context, cfg Config) (Moved, error) {
	var so Moved
	if err := empty(ctx, cfg.To); err != nil {
		return so, err
	}
	reader := replay.NewReader(cfg.From, replay.Options{})
	var busy []error
	for p := range cfg.From.Partitions() {
		heads, err := reader.Heads(ctx, p)
		if err != nil {
			return so, err
		}
		if err := quiet(ctx, cfg.From, p, heads); err != nil {
			busy = append(busy, err)
		}
		for _, a := range heads {
			if a.Broken != "" && !cfg.LeaveBroken {
				busy = append(busy, fmt.Errorf("%w: %s: %s; repair it, or leave it behind", ErrBroken, name(&a), a.Broken))
			}
		}
	}
	if err := errors.Join(busy...); err != nil {
		return so, err
	}
	shards := make([]*shard, cfg.To.Partitions())
	for p := range shards {
		s, err := claim(ctx, cfg.To, int32(p))
		if err != nil {
			return so, err
		}
		shards[p] = s
	}
	// Read a second time, rather than held for all shards at once: nothing is written before it is known that everything can be.
	for p := range cfg.From.Partitions() {
		if err := moveShard(ctx, cfg, reader, p, shards, &so); err != nil {
			return so, fmt.Errorf("moving shard %d: %w; the topics to move to are of no use now: delete them, or take another prefix", p, err)
		}
		if cfg.Progress != nil {
			cfg.Progress(p, so)
		}
	}
	for _, s := range shards {
		if err := s.release(ctx); err != nil {
			return so, err
		}
	}
	return so, nil
}

func empty(ctx context.Context, to eventlog.Log) error {
	for p := range to.Partitions() {
		for _, t := range []eventlog.Topic{eventlog.Actions, eventlog.Events, eventlog.Snapshots} {
			_, end, err := to.Bounds(ctx, t, p)
			if err != nil {
				return fmt.Errorf("asking for the bounds of %s[%d]: %w", t, p, err)
			}
			if end > 0 {
				return fmt.Errorf("%w: %s[%d] has come to %d; take another prefix", ErrNotEmpty, t, p, end)
			}
		}
	}
	return nil
}

// atOnce is how many actors are on their way.
const atOnce = 2000

func moveShard(ctx context.Context, cfg Config, reader *replay.Reader, p int32, shards []*shard, so *Moved) error {
	heads, err := reader.Heads(ctx, p)
	if err != nil {
		return err
	}
	var actors []*machine.Actor
	for _, a := range heads {
		switch {
		case a.Broken != "":
			so.Left = append(so.Left, name(&a))
		case a.Generation > 0: // others never lived
			actors = append(actors, &a)
		}
	}
	slices.SortFunc(actors, func(a, b *machine.Actor) int { return slices.Compare(a.Hash[:], b.Hash[:]) })
	for part := range slices.Chunk(actors, atOnce) {
		var rounds [][]asked // one message of each actor at a time
		for _, a := range part {
			list, err := asks(ctx, cfg.From, p, a)
			if err != nil {
				return err
			}
			for i, action := range list {
				if i == len(rounds) {
					rounds = append(rounds, nil)
				}
				rounds[i] = append(rounds[i], asked{a.Hash, action})
			}
			so.Messages += len(list) - 1
			if a.Alive {
				so.Actors++
			} else {
				so.Ended++
			}
		}
		byShard := make(map[int32]map[schemas.Hash]*machine.Actor)
		for _, round := range rounds {
			lists := make([][]asked, len(shards))
			for _, one := range round {
				q := one.hash.Shard(int32(len(shards)))
				lists[q] = append(lists[q], one)
				if byShard[q] == nil {
					byShard[q] = make(map[schemas.Hash]*machine.Actor)
				}
			}
			for q, list := range lists {
				if err := shards[q].carryOut(ctx, list, byShard[int32(q)]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// asked is an action and whose.
type asked struct {
	hash   schemas.Hash
	action *actorlogv1.Action
}

// asks is what makes the actor in the new log: one Restore, and its messages.
func asks(ctx context.Context, from eventlog.Log, p int32, a *machine.Actor) ([]*actorlogv1.Action, error) {
	to := &actorlogv1.Actor{Namespace: a.Namespace, Kind: a.Kind, Key: a.Key}
	source := &actorlogv1.Actor{Namespace: a.Namespace, Kind: a.Kind, Key: a.Key, Generation: a.Generation, CreatedUnixMs: a.CreatedMs}
	id := fmt.Sprintf("move-%s-%d:%d", a.ID(), p, a.LastOffset)
	restore := &actorlogv1.Restore{
		StateJson: a.State, StateVersion: a.StateVersion, Schedules: a.Schedules, Generation: a.Generation, CreatedUnixMs: a.CreatedMs, Ended: !a.Alive,
		Source: &actorlogv1.Source{Actor: source, Partition: p, Offset: a.LastOffset, Log: from.Identity()}, Reason: "moved",
	}
	list := []*actorlogv1.Action{{
		Actor: to, RequestId: id, TimeUnixMs: a.TimeMs, Body: &actorlogv1.Action_Restore{Restore: restore},
		Creation: &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT},
	}}
	for _, m := range a.Queue {
		body, err := bodyOf(ctx, from, p, m)
		if err != nil {
			return nil, fmt.Errorf("a message of actor %s: %w", name(a), err)
		}
		list = append(list, &actorlogv1.Action{
			Actor: to, RequestId: fmt.Sprintf("%s-%d", id, m.Id), TimeUnixMs: cmp.Or(m.TimeUnixMs, a.TimeMs),
			Body: &actorlogv1.Action_Enqueue{Enqueue: &actorlogv1.Enqueue{Queue: m.Queue, BodyJson: body}},
		})
	}
	return list, nil
}

// bodyOf is a message, which may stand in events only.
func bodyOf(ctx context.Context, from eventlog.Source, p int32, m *actorlogv1.QueuedMessage) (body []byte, err error) {
	if len(m.BodyJson) > 0 || m.Size == 0 {
		return m.BodyJson, nil
	}
	err = eventlog.Scan(ctx, from, eventlog.Events, p, m.Offset, m.Offset+1, func(r *eventlog.Record) error {
		o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
		body = o.GetAction().GetEnqueue().GetBodyJson()
		return err
	})
	if err == nil && int64(len(body)) != m.Size {
		err = fmt.Errorf("it should stand at %d:%d of events, with %d bytes, and there are %d", p, m.Offset, m.Size, len(body))
	}
	return body, err
}
