// Package overlog answers the questions of package audit from the log itself: by reading all events of the shards that they are about, which takes its
// time, and nothing besides the log. Events that have expired, and actors whose beginning has, are not in its answers.
package overlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

// Store answers from a log. It is safe for concurrent use; each question reads for itself, and holds the actors of one shard.
type Store struct {
	reader *replay.Reader
	shards int32
}

var _ audit.Store = (*Store)(nil)

// New makes a Store.
func New(log eventlog.Source) *Store {
	return &Store{reader: replay.NewReader(log, replay.Options{}), shards: log.Partitions()}
}

// each calls fn with the row of everything that the filter asks for, shard by shard. What a later event erases has the form that it has in a projection. That event may not be known yet
// when the row is given: then begin is called once more, and all rows are given anew.
func (s *Store) each(ctx context.Context, f *audit.Filter, begin func(), fn func(*projection.Event)) error {
	erased := make(map[schemas.Hash]int64)
	for {
		begin()
		again, err := s.pass(ctx, f, erased, fn)
		if err != nil || !again {
			return err
		}
	}
}

// pass goes through all once. erased is the last event of each actor that erases what was before it, as far as that is known; again says that rows were given that should have been erased.
func (s *Store) pass(ctx context.Context, f *audit.Filter, erased map[schemas.Hash]int64, fn func(*projection.Event)) (again bool, err error) {
	shards := make([]int32, 0, s.shards)
	for shard := range s.shards {
		shards = append(shards, shard)
	}
	var wanted func(schemas.Hash) bool
	if one, ok := f.One(); ok {
		hash := one.Hash()
		shards, wanted = []int32{hash.Shard(s.shards)}, func(h schemas.Hash) bool { return h == hash }
	}
	for _, shard := range shards {
		plain := make(map[schemas.Hash]bool) // actors of which contents were given
		for m, err := range s.reader.FoldShard(ctx, shard, 0, wanted) {
			if err != nil {
				return false, read(ctx, err)
			}
			if m.Outcome == nil {
				continue
			}
			if projection.Erases(m.Outcome) && m.Position.Offset > erasedAt(erased, m.Hash) {
				erased[m.Hash] = m.Position.Offset
				again = again || plain[m.Hash]
			}
			e := projection.EventOf(m.Position, m.Outcome, &m.Before)
			if row := e; row.Erase() {
				if m.Position.Offset < erasedAt(erased, m.Hash) {
					e = row
				} else {
					plain[m.Hash] = true
				}
			}
			if matches(f, &e) {
				fn(&e)
			}
		}
	}
	return again, nil
}

func erasedAt(erased map[schemas.Hash]int64, hash schemas.Hash) int64 {
	if at, ok := erased[hash]; ok {
		return at
	}
	return -1
}

// read says of an error of reading whether time was up.
func read(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return audit.ErrTimeout
	}
	return fmt.Errorf("reading the log: %w", err)
}

func matches(f *audit.Filter, e *projection.Event) bool {
	t := time.UnixMilli(e.TimeMs)
	switch {
	case f.Namespace != "" && e.Actor.Namespace != f.Namespace, f.Kind != "" && e.Actor.Kind != f.Kind,
		!f.Since.IsZero() && t.Before(f.Since.Truncate(time.Millisecond)), !f.Until.IsZero() && !t.Before(f.Until.Truncate(time.Millisecond)),
		f.Principal != "" && e.Caller.Principal != f.Principal, f.Connection != "" && e.Caller.Connection != f.Connection,
		f.Gateway != "" && e.Caller.Gateway != f.Gateway, f.Action != "" && e.Action != f.Action, f.Failed && !e.Failed,
		f.By != nil && (!e.Caller.ByActor || e.Caller.Actor.Hash != f.By.Hash()):
		return false
	case f.HasPath:
		return slices.ContainsFunc(e.PatchPaths, func(path string) bool { return audit.Touches(path, f.Path) })
	}
	return true
}

func entryOf(f *audit.Filter, e *projection.Event) audit.Entry {
	a := audit.Entry{
		Position: e.Position, Where: e.Position.String(), Time: time.UnixMilli(e.TimeMs).UTC(),
		Namespace: e.Actor.Namespace, Kind: e.Actor.Kind, Key: append(schemas.Key{}, e.Actor.Key...), ActorID: e.Actor.ID(),
		Body: e.Body, Action: e.Action, Args: audit.JSON(e.Args), Gateway: e.Caller.Gateway, Connection: e.Caller.Connection, Principal: e.Caller.Principal,
		Request: e.RequestID, Result: audit.JSON(e.Result), Changes: f.Changes(e.Patch, e.State), Lifecycle: e.Lifecycle, DurationUs: e.DurationUs, Version: e.Version,
	}
	if e.Caller.ByActor {
		by := e.Caller.Actor
		a.By = &audit.Name{Namespace: by.Namespace, Kind: by.Kind, Key: append(schemas.Key{}, by.Key...)}
	}
	if e.Failed {
		a.Error = &audit.Error{Group: e.Error.Group, Code: e.Error.Code, Message: e.Error.Message}
	}
	return a
}

// at is where an entry stands in an order.
type at struct {
	timeMs, durationUs int64
	shard              int32
	offset             int64
}

func compare(o audit.Order, a, b at) int {
	place := cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.offset, b.offset))
	switch o {
	case audit.Newest:
		return cmp.Or(cmp.Compare(b.timeMs, a.timeMs), -place)
	case audit.Slowest:
		return cmp.Or(cmp.Compare(b.durationUs, a.durationUs), place)
	}
	return cmp.Or(cmp.Compare(a.timeMs, b.timeMs), place)
}

// Events implements [audit.Store].
func (s *Store) Events(ctx context.Context, q audit.Events) (audit.Page[audit.Entry], error) {
	after, err := q.Prepare()
	if err != nil {
		return audit.Page[audit.Entry]{}, err
	}
	type found struct {
		at
		entry audit.Entry
	}
	var best []found // the first ones of the order, up to twice as many as are wanted
	trim := func() {
		slices.SortFunc(best, func(a, b found) int { return compare(q.Order, a.at, b.at) })
		if len(best) > q.Limit+1 {
			clear(best[q.Limit+1:])
			best = best[:q.Limit+1]
		}
	}
	err = s.each(ctx, &q.Filter, func() { best = nil }, func(e *projection.Event) {
		place := at{e.TimeMs, e.DurationUs, e.Position.Partition, e.Position.Offset}
		if after != nil && compare(q.Order, place, at{after.TimeMs, after.DurationUs, after.Shard, after.Offset}) <= 0 {
			return
		}
		if best = append(best, found{place, entryOf(&q.Filter, e)}); len(best) >= 2*(q.Limit+1) {
			trim()
		}
	})
	if err != nil {
		return audit.Page[audit.Entry]{}, err
	}
	trim()
	var entries []audit.Entry
	for _, f := range best {
		entries = append(entries, f.entry)
	}
	return q.Page(entries), nil
}

// Tally implements [audit.Store].
func (s *Store) Tally(ctx context.Context, q audit.Tally) (audit.Page[audit.Group], error) {
	after, err := q.Prepare()
	if err != nil {
		return audit.Page[audit.Group]{}, err
	}
	groups := make(map[string]*audit.Group)
	err = s.each(ctx, &q.Filter, func() { clear(groups) }, func(e *projection.Event) {
		of := make([]string, len(q.By))
		for i, d := range q.By {
			of[i] = valueOf(d, e)
		}
		name := schemas.Key(of).String()
		g := groups[name]
		if g == nil {
			g = &audit.Group{Of: of}
			groups[name] = g
		}
		g.Calls++
		if e.Failed {
			g.Errors++
		}
		g.TotalUs += e.DurationUs
		g.MaxUs = max(g.MaxUs, e.DurationUs)
	})
	if err != nil {
		return audit.Page[audit.Group]{}, err
	}
	order := func(value float64, of []string, b *audit.Group) int {
		return cmp.Or(cmp.Compare(b.Measured(q.Order), value), slices.Compare(of, b.Of))
	}
	var all []audit.Group
	for _, g := range groups {
		g.Rate = float64(g.Errors) / float64(g.Calls)
		if after == nil || order(after.Value, after.Of, g) < 0 {
			all = append(all, *g)
		}
	}
	slices.SortFunc(all, func(a, b audit.Group) int { return order(a.Measured(q.Order), a.Of, &b) })
	return q.Page(all[:min(len(all), q.Limit+1)]), nil
}

func valueOf(d audit.Dimension, e *projection.Event) string {
	switch d {
	case audit.ByKind:
		return e.Actor.Kind
	case audit.ByBody:
		return e.Body
	case audit.ByAction:
		return e.Action
	case audit.ByVersion:
		return e.Version
	case audit.ByCode:
		if e.Failed {
			return e.Error.Group + "." + e.Error.Code
		}
	case audit.ByPrincipal:
		return e.Caller.Principal
	case audit.ByConnection:
		return e.Caller.Connection
	case audit.ByGateway:
		return e.Caller.Gateway
	case audit.ByCaller:
		if e.Caller.ByActor {
			return e.Caller.Actor.Hash.String()
		}
	case audit.ByActor:
		return e.Actor.Hash.String()
	}
	return ""
}

// Actors implements [audit.Store].
func (s *Store) Actors(ctx context.Context, q audit.Actors) (audit.Page[audit.Actor], error) {
	after, err := q.Prepare()
	if err != nil {
		return audit.Page[audit.Actor]{}, err
	}
	var all []audit.Actor
	for shard := range s.shards {
		last := make(map[schemas.Hash]machine.Actor)
		for m, err := range s.reader.FoldShard(ctx, shard, 0, nil) {
			if err != nil {
				return audit.Page[audit.Actor]{}, read(ctx, err)
			}
			if m.Step == nil { // which changes nothing that is asked for
				last[m.Hash] = m.After
			}
		}
		for hash, a := range last {
			if !a.Alive || a.Kind != q.Kind || q.Namespace != "" && a.Namespace != q.Namespace || after != nil && hash.String() <= after.Hash || !q.Where.Matches(a.State) {
				continue
			}
			all = append(all, audit.Actor{
				ActorID: a.ID().String(), Namespace: a.Namespace, Kind: a.Kind, Key: append(schemas.Key{}, a.Key...),
				Created: time.UnixMilli(projection.ClampMs(a.CreatedMs)).UTC(), Time: time.UnixMilli(projection.ClampMs(a.TimeMs)).UTC(),
				Where: schemas.Position{Partition: shard, Offset: a.LastOffset}.String(), State: audit.JSON(a.State),
			})
		}
	}
	slices.SortFunc(all, func(a, b audit.Actor) int { return strings.Compare(a.ActorID, b.ActorID) })
	return q.Page(all[:min(len(all), q.Limit+1)]), nil
}
