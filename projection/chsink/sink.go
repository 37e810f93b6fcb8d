package chsink

import (
	"context"
	"fmt"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/schemas"
)

// hashLen is the length of the text of an actor's hash, with which its id begins.
var hashLen = len(schemas.Hash{}.String())

// Sink fills the tables of one build. It is used by one goroutine at a time.
type Sink struct {
	db     *DB
	build  uint32
	events *eventColumns
	actors *actorColumns
	// into are the three INSERT statements.
	intoEvents, intoActors, intoPlaces string
}

var _ projection.Sink = (*Sink)(nil)

// Sink returns the one for a build, which it binds to the log of that identity.
func (db *DB) Sink(ctx context.Context, build uint32, log string) (*Sink, error) {
	if err := db.adopt(ctx, build, log); err != nil {
		return nil, err
	}
	s := &Sink{db: db, build: build, events: newEventColumns(), actors: newActorColumns()}
	s.intoEvents = db.fill("INSERT INTO {db}.events_{build} ", build) + s.events.input.Columns() + " VALUES"
	s.intoActors = db.fill("INSERT INTO {db}.actors_{build} ", build) + s.actors.input.Columns() + " VALUES"
	s.intoPlaces = db.fill("INSERT INTO {db}.places_{build} (shard, next, epoch, claim_version, last) VALUES", build)
	return s, nil
}

// Places implements [projection.Sink].
func (s *Sink) Places(ctx context.Context) ([]projection.Place, error) {
	return s.db.Places(ctx, s.build)
}

// Places returns how far the shards of a build have come.
func (db *DB) Places(ctx context.Context, build uint32) ([]projection.Place, error) {
	var (
		shard             proto.ColInt32
		next, epoch, last proto.ColInt64
		version           proto.ColUInt64
		places            []projection.Place
	)
	err := db.ask(ctx, ch.Query{
		Body: db.fill("SELECT shard, next, epoch, claim_version, last FROM {db}.places_{build} FINAL ORDER BY shard", build),
		Result: proto.Results{
			{Name: "shard", Data: &shard}, {Name: "next", Data: &next}, {Name: "epoch", Data: &epoch}, {Name: "claim_version", Data: &version}, {Name: "last", Data: &last},
		},
		OnResult: func(context.Context, proto.Block) error {
			for i := range shard.Rows() {
				places = append(places, projection.Place{Shard: shard.Row(i), Next: next.Row(i), Epoch: epoch.Row(i), Version: version.Row(i), Last: last.Row(i)})
			}
			return nil
		},
	}, func() { places = nil })
	if err != nil {
		return nil, fmt.Errorf("asking how far build %d is: %w", build, err)
	}
	return places, nil
}

// maxLoad is how many actors one query asks for.
const maxLoad = 2000

// Load implements [projection.Sink].
func (s *Sink) Load(ctx context.Context, actors []schemas.Hash) ([]projection.Actor, error) {
	var all []projection.Actor
	for len(actors) > 0 {
		n := min(len(actors), maxLoad)
		some, err := s.load(ctx, actors[:n])
		if err != nil {
			return nil, fmt.Errorf("loading %d actors of build %d: %w", n, s.build, err)
		}
		all, actors = append(all, some...), actors[n:]
	}
	return all, nil
}

func (s *Sink) load(ctx context.Context, actors []schemas.Hash) (all []projection.Actor, err error) {
	names := make([]string, len(actors))
	for i, hash := range actors {
		names[i] = hash.String()
	}
	var p params
	p.list("actors", names)
	var (
		actor, state, rest    proto.ColStr
		shard                 proto.ColInt32
		ref, offset           = new(proto.ColInt64).Array(), new(proto.ColInt64).Array()
		at                    = newTimeList()
		body, action, request = newTexts(), newTexts(), newTexts()
		workers               = new(proto.ColUInt32).Array()
	)
	err = s.db.ask(ctx, ch.Query{
		Body: s.db.fill("SELECT actor, shard, state, rest, `parked.ref`, `parked.offset`, `parked.time`, `parked.body`, `parked.action`, `parked.request_id`, `parked.workers` "+
			"FROM {db}.actors_{build} FINAL WHERE actor IN {actors:Array(String)}", s.build),
		Parameters: p,
		Result: proto.Results{
			{Name: "actor", Data: &actor}, {Name: "shard", Data: &shard}, {Name: "state", Data: &state}, {Name: "rest", Data: &rest},
			{Name: "parked.ref", Data: ref}, {Name: "parked.offset", Data: offset}, {Name: "parked.time", Data: at}, {Name: "parked.body", Data: body},
			{Name: "parked.action", Data: action}, {Name: "parked.request_id", Data: request}, {Name: "parked.workers", Data: workers},
		},
		OnResult: func(context.Context, proto.Block) error {
			for i := range actor.Rows() {
				id, err := schemas.ParseActorID(actor.Row(i) + "0001")
				if err != nil {
					return fmt.Errorf("reading a row of actors: %w", err)
				}
				var parked []projection.Parked
				offsets, times, bodies, names := offset.Row(i), at.Row(i), body.Row(i), action.Row(i)
				requests, counts := request.Row(i), workers.Row(i)
				for j, r := range ref.Row(i) {
					parked = append(parked, projection.Parked{
						Ref: r, Offset: offsets[j], TimeMs: times[j].UnixMilli(), Body: bodies[j], Action: names[j], RequestID: requests[j], Workers: counts[j],
					})
				}
				// A block's memory is used again.
				a, err := projection.Restore(shard.Row(i), id.Hash, rest.RowBytes(i), []byte(state.Row(i)), parked)
				if err != nil {
					return err
				}
				all = append(all, a)
			}
			return nil
		},
	}, func() { all = nil })
	return all, err
}

// Write implements [projection.Sink].
func (s *Sink) Write(ctx context.Context, b *projection.Batch) error {
	s.events.input.Reset()
	for i := range b.Events {
		s.events.append(&b.Events[i])
	}
	s.actors.input.Reset()
	for i := range b.Actors {
		s.actors.append(&b.Actors[i])
	}
	if err := s.insert(ctx, "events", s.intoEvents, s.events.input); err != nil {
		return err
	}
	if err := s.insert(ctx, "actors", s.intoActors, s.actors.input); err != nil {
		return err
	}
	for _, e := range b.Erasures {
		if err := s.erase(ctx, e); err != nil {
			return err
		}
	}
	return s.insert(ctx, "places", s.intoPlaces, placeColumns(b.Places))
}

func (s *Sink) erase(ctx context.Context, e projection.Erasure) error {
	var p params
	p.number("shard", int64(e.Position.Partition))
	p.number("offset", e.Position.Offset)
	n, err := s.db.count(ctx, s.db.fill("SELECT count() AS n FROM {db}.events_{build} WHERE shard = {shard:Int32} AND offset = {offset:Int64}", s.build), p)
	if err != nil || n == 0 {
		return err
	}
	return s.db.erase(ctx, s.build, e.Actor, e.Position)
}

// Prepared is a plain insert of events, whose blocks are made: for measuring what a projection takes besides.
func (s *Sink) Prepared(events []projection.Event) func(context.Context) error {
	c := newEventColumns()
	for i := range events {
		c.append(&events[i])
	}
	return func(ctx context.Context) error { return s.insert(ctx, "events", s.intoEvents, c.input) }
}

func placeColumns(places []projection.Place) proto.Input {
	var (
		shard             proto.ColInt32
		next, epoch, last proto.ColInt64
		version           proto.ColUInt64
	)
	for _, p := range places {
		shard.Append(p.Shard)
		next.Append(p.Next)
		epoch.Append(p.Epoch)
		version.Append(p.Version)
		last.Append(p.Last)
	}
	return proto.Input{
		{Name: "shard", Data: &shard}, {Name: "next", Data: &next}, {Name: "epoch", Data: &epoch}, {Name: "claim_version", Data: &version}, {Name: "last", Data: &last},
	}
}

func (s *Sink) insert(ctx context.Context, table, into string, rows proto.Input) error {
	n := rows[0].Data.Rows()
	if n == 0 {
		return nil
	}
	if err := s.db.do(ctx, ch.Query{Body: into, Input: rows}); err != nil {
		return fmt.Errorf("inserting %d rows into %s of build %d: %w", n, table, s.build, err)
	}
	return nil
}
