package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/internal/jsonpatch"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// View is what an actor was after one of its events, for people and programs outside.
type View struct {
	ActorID    string   `json:"actorId,omitempty"`
	Namespace  string   `json:"namespace"`
	Kind       string   `json:"kind"`
	Key        []string `json:"key"`
	Generation uint32   `json:"generation"`
	Alive      bool     `json:"alive"`
	// Position and Time of the event.
	Position string    `json:"position,omitempty"`
	Time     time.Time `json:"time,omitzero"`
	Created  time.Time `json:"created,omitzero"`
	// State is null while the actor does not live.
	State        json.RawMessage  `json:"state"`
	StateVersion uint32           `json:"stateVersion,omitempty"`
	Connections  []ViewConnection `json:"connections,omitempty"`
	Schedules    []EntrySchedule  `json:"schedules,omitempty"`
	Queue        []ViewMessage    `json:"queue,omitempty"`
	// Broken is why the actor is out of service.
	Broken string `json:"broken,omitempty"`
}

// ViewConnection is a connection of an actor.
type ViewConnection struct {
	ID        string          `json:"id"`
	Gateway   string          `json:"gateway"`
	Principal string          `json:"principal,omitempty"`
	Since     time.Time       `json:"since"`
	State     json.RawMessage `json:"state,omitempty"`
}

// ViewMessage is a message that waits in a queue.
type ViewMessage struct {
	ID    int64     `json:"id"`
	Queue string    `json:"queue"`
	Time  time.Time `json:"time"`
	// Body; absent where it stands in an event only.
	Body json.RawMessage `json:"body,omitempty"`
}

// ViewOf shows an actor.
func ViewOf(a *machine.Actor, partition int32) *View {
	v := &View{
		Namespace: a.Namespace, Kind: a.Kind, Key: a.Key, Generation: a.Generation, Alive: a.Alive, Broken: a.Broken,
		StateVersion: a.StateVersion, State: stateOf(a),
	}
	if v.Key == nil {
		v.Key = []string{}
	}
	if a.Generation > 0 {
		v.ActorID, v.Created = a.ID().String(), time.UnixMilli(a.CreatedMs).UTC()
	}
	if a.LastOffset >= 0 {
		v.Position = schemas.Position{Partition: partition, Offset: a.LastOffset}.String()
		v.Time = time.UnixMilli(a.TimeMs).UTC()
	}
	for _, c := range a.Connections {
		v.Connections = append(v.Connections, ViewConnection{
			ID: c.Id, Gateway: c.Gateway, Principal: c.Principal, Since: time.UnixMilli(c.TimeUnixMs).UTC(), State: raw(c.StateJson),
		})
	}
	for _, s := range a.Schedules {
		v.Schedules = append(v.Schedules, scheduleOf(s))
	}
	for _, m := range a.Queue {
		v.Queue = append(v.Queue, ViewMessage{ID: m.Id, Queue: m.Queue, Time: time.UnixMilli(m.TimeUnixMs).UTC(), Body: raw(m.BodyJson)})
	}
	return v
}

func stateOf(a *machine.Actor) json.RawMessage {
	if s := raw(a.State); s != nil {
		return s
	}
	return json.RawMessage("null")
}

// State is the actor at a point. ErrPoint when there is none.
func (r *Reader) State(ctx context.Context, hash schemas.Hash, p Point) (machine.Actor, error) {
	switch {
	case p.IsNow():
		return r.Head(ctx, hash)
	case p.Number > 0: // counted and folded in one pass
		n := int64(0)
		for m, err := range r.Fold(ctx, hash, 0) {
			if err == nil && n == 0 {
				err = uncounted(m.Event)
			}
			if err != nil {
				return machine.Actor{}, err
			}
			if n++; n == p.Number {
				return m.After, nil
			}
		}
		return machine.Actor{}, noNumber(p.Number, n)
	}
	e, err := r.Find(ctx, hash, p)
	if err != nil {
		return machine.Actor{}, err
	}
	if e == nil {
		return machine.NewActor(hash), nil
	}
	return r.At(ctx, hash, e.Position.Offset)
}

// Between is the actor at two points. A from that is the zero Point is just before the last event at or before to.
func (r *Reader) Between(ctx context.Context, hash schemas.Hash, from, to Point) (before, after machine.Actor, err error) {
	if after, err = r.State(ctx, hash, to); err != nil {
		return before, after, err
	}
	if from.IsNow() {
		before, err = r.At(ctx, hash, after.LastOffset-1)
	} else {
		before, err = r.State(ctx, hash, from)
	}
	return before, after, err
}

// Difference is what changed of an actor between two moments.
type Difference struct {
	// Patch turns the one state into the other, RFC 6902; empty when they are the same.
	Patch json.RawMessage `json:"patch"`
	// Changes are the operations of the patch, with what was there.
	Changes []Change `json:"changes"`
	// Parts are what came, went and changed besides the state: schedules, connections, messages in queues, the life itself.
	Parts []Change `json:"parts,omitempty"`
}

// Change is one change: Op is add, remove or replace.
type Change struct {
	Op   string `json:"op"`
	Path string `json:"path"`
	// Before is absent of what was added, and where there are very many changes; After of what was removed.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// maxWithBefore is up to how many changes are shown with what was there.
const maxWithBefore = 200

// Diff compares two moments of an actor, or two actors, such as a copy and its original. Of two actors, how many lives they had is no difference.
func Diff(before, after *machine.Actor) (*Difference, error) {
	d := &Difference{Patch: json.RawMessage("[]"), Changes: []Change{}}
	a, b := stateOf(before), stateOf(after)
	patch, err := jsonpatch.Diff(a, b)
	if err != nil {
		return nil, fmt.Errorf("comparing states: %w", err)
	}
	if patch != nil {
		d.Patch = patch
		if d.Changes, err = changes(a, patch); err != nil {
			return nil, err
		}
	}
	d.parts(before, after)
	return d, nil
}

// changes takes a patch apart.
func changes(state, patch json.RawMessage) ([]Change, error) {
	var ops []json.RawMessage
	if err := json.Unmarshal(patch, &ops); err != nil {
		return nil, fmt.Errorf("reading a patch: %w", err)
	}
	all := make([]Change, 0, len(ops))
	for _, text := range ops {
		var op struct {
			Op    string          `json:"op"`
			Path  string          `json:"path"`
			Value json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(text, &op); err != nil {
			return nil, fmt.Errorf("reading a patch: %w", err)
		}
		c := Change{Op: op.Op, Path: op.Path, After: op.Value}
		if len(ops) <= maxWithBefore {
			if op.Op != "add" {
				c.Before = lookUp(state, op.Path)
			}
			next, err := jsonpatch.Apply(state, append(append([]byte("["), text...), ']'))
			if err != nil {
				return nil, fmt.Errorf("applying a patch: %w", err)
			}
			state = next
		}
		all = append(all, c)
	}
	return all, nil
}

// lookUp finds a value by its JSON pointer; nil when there is none.
func lookUp(document json.RawMessage, pointer string) json.RawMessage {
	if pointer == "" {
		return document
	}
	for _, name := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		if bytes.HasPrefix(bytes.TrimSpace(document), []byte("[")) {
			var list []json.RawMessage
			i, err := strconv.Atoi(name)
			if json.Unmarshal(document, &list) != nil || err != nil || i < 0 || i >= len(list) {
				return nil
			}
			document = list[i]
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(document, &object) != nil {
			return nil
		}
		var ok bool
		if document, ok = object[name]; !ok {
			return nil
		}
	}
	return document
}

func (d *Difference) parts(before, after *machine.Actor) {
	one := before.Hash == after.Hash
	life := func(a *machine.Actor) json.RawMessage {
		v := map[string]any{"alive": a.Alive}
		if one {
			v["generation"] = a.Generation
		}
		text, _ := json.Marshal(v) // numbers can be
		return text
	}
	if before.Alive != after.Alive || (one && before.Generation != after.Generation) {
		d.Parts = append(d.Parts, Change{Op: "replace", Path: "life", Before: life(before), After: life(after)})
	}
	d.part("schedules", byID(before.Schedules, func(s *actorlogv1.Schedule) (string, any) { return s.Id, scheduleOf(s) }),
		byID(after.Schedules, func(s *actorlogv1.Schedule) (string, any) { return s.Id, scheduleOf(s) }))
	a, b := ViewOf(before, 0), ViewOf(after, 0)
	d.part("connections", byID(a.Connections, func(c ViewConnection) (string, any) { return c.ID, c }),
		byID(b.Connections, func(c ViewConnection) (string, any) { return c.ID, c }))
	d.part("queue", byID(a.Queue, func(m ViewMessage) (string, any) { return strconv.FormatInt(m.ID, 10), m }),
		byID(b.Queue, func(m ViewMessage) (string, any) { return strconv.FormatInt(m.ID, 10), m }))
}

func (d *Difference) part(name string, before, after map[string]json.RawMessage) {
	ids := slices.Sorted(maps.Keys(before))
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[id]; !ok {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		was, had := before[id]
		is, has := after[id]
		c := Change{Path: name + "/" + id, Before: was, After: is}
		switch {
		case !had:
			c.Op = "add"
		case !has:
			c.Op = "remove"
		case !bytes.Equal(was, is):
			c.Op = "replace"
		default:
			continue
		}
		d.Parts = append(d.Parts, c)
	}
}

func byID[T any](list []T, show func(T) (string, any)) map[string]json.RawMessage {
	all := make(map[string]json.RawMessage, len(list))
	for _, item := range list {
		id, v := show(item)
		all[id], _ = json.Marshal(v) // texts, numbers, times
	}
	return all
}
