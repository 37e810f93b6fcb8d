package sealed

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
)

// Place is what one topic has of an actor.
type Place struct {
	Topic eventlog.Topic
	// Records of the actor that are there, and those of them that
	Records int
	// have nothing that belongs to users,
	Empty int
	// are sealed with a key that was destroyed,
	Erased int
	// are sealed with a key that lives,
	Sealed int
	// and are not sealed, but have something that belongs to users. Of Keys: those that live, sealed or not.
	Plain int
	// Canary is how many of them have the text that was looked for, as they are kept.
	Canary int
	// Awaiting is, of Keys, those that were destroyed, and of Snapshots, those that were replaced, which the brokers have not deleted yet.
	Awaiting int
}

// Survey reads all that the topics have of an actor, as it is kept, and tries to unseal it. canary, if not empty, is a text to look for in it. An archive before the
// log is read as part of events.
func (l *Log) Survey(ctx context.Context, hash schemas.Hash, canary string) ([]Place, error) {
	partition := hash.Shard(l.Partitions())
	if err := l.ring.catchUp(ctx, partition); err != nil {
		return nil, fmt.Errorf("looking for records of actor %s: %w", hash, err)
	}
	var places []Place
	for _, t := range []eventlog.Topic{eventlog.Actions, eventlog.Events, eventlog.Snapshots, eventlog.Keys} {
		place := Place{Topic: t}
		start, end, err := l.Log.Bounds(ctx, t, partition)
		if err == nil {
			latest := make(map[string]int64)
			err = eventlog.Scan(ctx, l.Log, t, partition, start, end, func(r *eventlog.Record) error {
				if !bytes.HasPrefix(r.Key, hash[:]) {
					return nil
				}
				_, before := latest[string(r.Key)]
				if before && (t == eventlog.Snapshots || t == eventlog.Keys) {
					place.Awaiting++
				}
				latest[string(r.Key)] = r.Offset
				if t != eventlog.Snapshots && t != eventlog.Keys {
					delete(latest, string(r.Key))
				}
				if r.Value == nil {
					delete(latest, string(r.Key))
					return nil
				}
				return l.Look(ctx, &place, r, canary)
			})
			if t == eventlog.Keys {
				place.Plain = len(latest)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("looking for records of actor %s: %w", hash, err)
		}
		places = append(places, place)
	}
	return places, nil
}

// Look adds one record of an actor, as it is kept, to what a place has: of a topic, or of wherever else records are kept as in it.
func (l *Log) Look(ctx context.Context, place *Place, r *eventlog.Record, canary string) error {
	place.Records++
	if canary != "" && (bytes.Contains(r.Value, []byte(canary)) || bytes.Contains(r.Key, []byte(canary))) {
		place.Canary++
	}
	if place.Topic == eventlog.Keys {
		return nil
	}
	m, _, err := decode(place.Topic, r)
	switch {
	case err != nil || m == nil:
		place.Plain++ // nobody knows what is in it
		return nil    //nolint:nilerr // it is counted
	case m.GetSealed() == nil:
		if taken := schemas.Split(m); taken == nil || onlyPlaceholders(m, taken) {
			place.Empty++
		} else {
			place.Plain++
		}
		return nil
	}
	read := *r
	if err := l.Unseal(ctx, place.Topic, &read); err != nil {
		return err
	}
	if m, _, err = decode(place.Topic, &read); err == nil && m.GetSealed().GetErased() {
		place.Erased++
		return nil
	}
	place.Sealed++
	return nil
}

// onlyPlaceholders says whether what was taken out of a record is what stands in place of what was taken before: an outcome repeats its action.
func onlyPlaceholders(left, taken proto.Message) bool {
	again := proto.Clone(left)
	if err := schemas.Join(again, taken); err != nil {
		return false
	}
	return proto.Equal(again, left)
}
