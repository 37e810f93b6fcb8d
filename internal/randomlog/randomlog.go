// Package randomlog writes logs as workers might have left them, at random: for tests of what reads the log. Actors are created, change, fail, schedule, connect, are
// destroyed or erased and live again; owners follow each other, and zombies, lost records, copies and rubbish stand between what counts.
package randomlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/jsonpatch"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Writer writes the events of several shards. It is for one goroutine.
type Writer struct {
	// Counted is how many outcomes count, of those that were written.
	Counted int
	// Readable says that no record is written that cannot be decoded.
	Readable bool
	// Lasting says that no actor is erased.
	Lasting bool
	// Large is how many bytes of text are in each action's arguments besides. Default: none.
	Large int

	rng    *rand.Rand
	append func(shard int32, r eventlog.Record) int64
	shards []shard
	actors []*subject
	now    int64
}

type shard struct {
	epoch, place, ref int64
	// lost says that the term has lost a record: what its owner writes now is void.
	lost   bool
	zombie int64
}

// subject is an actor, as it is.
type subject struct {
	machine.Actor
	shard int32
}

// Actors of the writer. Few, so that each has a history.
const actorCount = 24

// Names that take some care.
var (
	kinds      = []string{"counter", "room", "account"}
	principals = []string{"", "", "ann", "bob", `o'neil\`, "\u00e9\t\"x\""}
	gateways   = []string{"gw-1", "gw-2"}
	versions   = []string{"v1", "v2", ""}
	texts      = []string{"", "a", "ab", "b", `it's`, `back\slash`, "tab\there", "line\nbreak", "\u00fcmlaut", "\U0001f600", "100%", "null", "7"}
	codes      = [][2]string{{"user", "bad_step"}, {"actor", "overloaded"}, {"internal", "internal_error"}}
)

// New makes a Writer for so many shards. appendTo appends a record to a shard of events, and returns its offset.
func New(seed uint64, shards int32, appendTo func(shard int32, r eventlog.Record) int64) *Writer {
	w := &Writer{rng: rand.New(rand.NewPCG(seed, 0)), append: appendTo, shards: make([]shard, shards), now: 1_750_000_000_000}
	for i := range actorCount {
		namespace, kind, key := "default", kinds[i%len(kinds)], schemas.Key{"k" + strconv.Itoa(i/len(kinds))}
		if i%5 == 0 {
			namespace, key = "other", schemas.Key{"or'g", "a/b\\", strconv.Itoa(i)}
		}
		hash := schemas.HashOf(namespace, kind, key)
		a := &subject{Actor: machine.NewActor(hash), shard: hash.Shard(shards)}
		a.Namespace, a.Kind, a.Key = namespace, kind, key
		w.actors = append(w.actors, a)
	}
	for i := range w.shards {
		w.shards[i].zombie = -1
		w.claim(int32(i))
	}
	return w
}

// pick takes one of a list.
func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func (w *Writer) chance(percent int) bool { return w.rng.IntN(100) < percent }

// Write writes about n records.
func (w *Writer) Write(n int) {
	for range n {
		a := pick(w.rng, w.actors)
		s := &w.shards[a.shard]
		switch w.rng.IntN(40) {
		case 0:
			w.claim(a.shard)
		case 1:
			w.record(a.shard, schemas.TypeClaim, []byte(schemas.ClaimKey), &actorlogv1.Claim{RenewsEpoch: &s.epoch, Place: proto.Int64(s.place + 1), Confirmed: proto.Int64(s.place)}, schemas.NoPlace)
			s.place++
		case 2: // a zombie
			if s.zombie >= 0 {
				o := w.outcome(a)
				o.Epoch = s.zombie
				w.record(a.shard, schemas.TypeOutcome, a.Hash[:], o, s.place+1)
			}
		case 3: // lost, and what comes after it until the owner knows
			s.place++
			s.lost = true
			for range w.rng.IntN(3) {
				s.place++
				w.record(a.shard, schemas.TypeOutcome, a.Hash[:], w.outcome(a), s.place)
			}
			w.claim(a.shard)
		case 4: // a copy of what is answered
			if a.LastRef >= 0 {
				o := w.outcome(a)
				o.Ref = a.LastRef
				s.place++
				w.record(a.shard, schemas.TypeOutcome, a.Hash[:], o, s.place)
			}
		case 5:
			s.place++
			step := &actorlogv1.Step{Ref: s.ref, Epoch: s.epoch, Actor: w.name(a), Name: "pay", ResultJson: []byte("1"), TimeUnixMs: w.now}
			w.record(a.shard, schemas.TypeStep, a.Hash[:], step, s.place)
		case 6:
			if w.chance(20) && !w.Lasting {
				w.erase(a)
				break
			}
			w.append(a.shard, eventlog.Record{Key: []byte("rubbish"), Value: []byte("rubbish")})
		case 7:
			w.rare(a)
		default:
			w.count(a)
		}
	}
}

// rare writes what hardly ever happens.
func (w *Writer) rare(a *subject) {
	s := &w.shards[a.shard]
	o := w.outcome(a)
	switch w.rng.IntN(5) {
	case 0: // a change that does not fit takes the actor out of service
		o.Error, o.StateJson, o.Lifecycle, o.Actor = nil, nil, actorlogv1.Lifecycle_LIFECYCLE_UNSPECIFIED, w.name(a)
		o.PatchJson = []byte(`[{"op":"add","path":"/count","value":1},{"op":"replace","path":"/no/such/place","value":1}]`)
	case 1: // one that nobody can read, too
		if w.Readable {
			break
		}
		s.place++
		value, err := schemas.Encode(&actorlogv1.Outcome{Epoch: s.epoch, Ref: o.Ref})
		if err != nil {
			panic(err)
		}
		value = schemas.AppendPlace(protowire.AppendBytes(protowire.AppendTag(value, 4, protowire.BytesType), []byte("rubbish")), s.place)
		offset := w.append(a.shard, eventlog.Record{Key: a.Hash[:], Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeOutcome)}}})
		a.Broken, a.LastOffset = "unreadable", offset
		return
	case 2: // the mailbox is full
		o = &actorlogv1.Outcome{
			Ref: o.Ref, Epoch: s.epoch, Actor: w.name(a), Action: o.Action, RefusedSince: proto.Int64(o.Ref), TimeUnixMs: o.TimeUnixMs,
			Error: &actorlogv1.Error{Group: "actor", Code: "overloaded", Message: "busy"},
		}
	case 3: // a request that was answered
		o = &actorlogv1.Outcome{Ref: o.Ref, Epoch: s.epoch, Actor: w.name(a), Action: o.Action, Repeats: proto.Int64(max(a.LastOffset, 0)), TimeUnixMs: o.TimeUnixMs}
	case 4: // an undo
		o.Action.Body = &actorlogv1.Action_Restore{Restore: &actorlogv1.Restore{Reason: pick(w.rng, texts)}}
	}
	w.write(a, o)
	for _, a := range w.actors {
		if a.Broken != "" && w.chance(40) {
			w.repair(a)
		}
	}
}

// repair brings an actor back into service, as it was.
func (w *Writer) repair(a *subject) {
	s := &w.shards[a.shard]
	s.ref++
	as := a.Actor
	as.Broken = ""
	w.write(a, &actorlogv1.Outcome{
		Ref: s.ref, Epoch: s.epoch, Actor: w.name(a), TimeUnixMs: max(w.now, a.TimeMs), Repaired: as.Snapshot(),
		Action: &actorlogv1.Action{TimeUnixMs: w.now, Body: &actorlogv1.Action_Repair{Repair: &actorlogv1.Repair{Skip: true}}},
	})
}

// Actors are as the log leaves them, those that never lived included.
func (w *Writer) Actors() []machine.Actor {
	var all []machine.Actor
	for _, a := range w.actors {
		all = append(all, a.Actor)
	}
	return all
}

func (w *Writer) record(p int32, t schemas.Type, key []byte, m proto.Message, place int64) int64 {
	value, err := schemas.Encode(m)
	if err != nil {
		panic(err)
	}
	if place != schemas.NoPlace {
		value = schemas.AppendPlace(value, place)
	}
	return w.append(p, eventlog.Record{Key: key, Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(t)}}})
}

func (w *Writer) claim(p int32) {
	s := &w.shards[p]
	if s.epoch > 0 {
		s.zombie = s.epoch
	}
	s.epoch = w.record(p, schemas.TypeClaim, []byte(schemas.ClaimKey), &actorlogv1.Claim{Worker: "w", TimeUnixMs: w.now}, schemas.NoPlace)
	s.place, s.lost = s.epoch, false
}

// count writes an outcome that counts.
func (w *Writer) count(a *subject) { w.write(a, w.outcome(a)) }

// Erase has an actor that has outcomes be erased, and returns which.
func (w *Writer) Erase() schemas.Hash {
	for {
		if a := pick(w.rng, w.actors); a.LastRef >= 0 {
			w.erase(a)
			return a.Hash
		}
	}
}

func (w *Writer) erase(a *subject) {
	s := &w.shards[a.shard]
	s.ref++
	o := &actorlogv1.Outcome{
		Ref: s.ref, Epoch: s.epoch, Actor: w.name(a), TimeUnixMs: max(w.now, a.TimeMs), Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_DESTROYED,
		Action: &actorlogv1.Action{TimeUnixMs: w.now, Body: &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{Erase: true}}},
	}
	if !a.Alive {
		o.Lifecycle, o.Error = actorlogv1.Lifecycle_LIFECYCLE_UNSPECIFIED, &actorlogv1.Error{Group: "actor", Code: "not_found", Message: "The actor does not exist or was destroyed."}
	}
	w.write(a, o)
}

func (w *Writer) write(a *subject, o *actorlogv1.Outcome) {
	s := &w.shards[a.shard]
	s.place++
	offset := w.record(a.shard, schemas.TypeOutcome, a.Hash[:], o, s.place)
	if applied, err := a.Apply(offset, o); err != nil && a.Broken == "" || !applied {
		panic(fmt.Sprintf("randomlog: an outcome that was to count does not: %v", err))
	}
	w.Counted++
}

func (w *Writer) name(a *subject) *actorlogv1.Actor {
	return &actorlogv1.Actor{Namespace: a.Namespace, Kind: a.Kind, Key: a.Key, Generation: a.Generation, CreatedUnixMs: a.CreatedMs}
}

// outcome makes up what an action of the actor comes to.
func (w *Writer) outcome(a *subject) *actorlogv1.Outcome {
	r, s := w.rng, &w.shards[a.shard]
	w.now += int64(r.IntN(3)) // times are equal now and then
	s.ref++
	action := &actorlogv1.Action{
		RequestId: "r" + strconv.FormatInt(s.ref, 10), TimeUnixMs: w.now - int64(r.IntN(5)), Caller: &actorlogv1.Caller{Gateway: pick(r, gateways), Principal: pick(r, principals)},
	}
	if w.chance(30) {
		action.Caller.ConnectionId = "c" + strconv.Itoa(r.IntN(4))
	}
	if w.chance(20) {
		by := pick(r, w.actors)
		action.Origin = &actorlogv1.Origin{Partition: by.shard, Actor: by.Hash[:], Ref: int64(r.IntN(100)), Number: uint32(r.IntN(3)), By: w.name(by)}
	}
	o := &actorlogv1.Outcome{
		Ref: s.ref, Epoch: s.epoch, Actor: w.name(a), Action: action, CodeVersion: pick(r, versions), TimeUnixMs: max(w.now, a.TimeMs), DurationUs: int64(r.IntN(8)) * 100,
	}
	w.body(a, o)
	if w.chance(15) {
		code := pick(r, codes)
		o.Warnings = []string{"a result was dropped", pick(r, texts)}
		o.Error = &actorlogv1.Error{Group: code[0], Code: code[1], Message: pick(r, texts), MetadataJson: []byte(`{"n":1}`), Detail: "stack\n1"}
		return o
	}
	o.ResultJson = []byte(strconv.Itoa(r.IntN(9)))
	if !a.Alive {
		if w.chance(40) {
			return o // asked of nobody
		}
		action.Creation = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT}
		o.Lifecycle, o.StateJson, o.StateVersion = actorlogv1.Lifecycle_LIFECYCLE_CREATED, w.state(nil), 1
		o.Actor.Generation, o.Actor.CreatedUnixMs = a.Generation+1, o.TimeUnixMs
		return o
	}
	w.change(a, o)
	return o
}

func (w *Writer) body(a *subject, o *actorlogv1.Outcome) {
	r, action := w.rng, o.Action
	switch r.IntN(8) {
	case 0:
		action.Body = &actorlogv1.Action_Enqueue{Enqueue: &actorlogv1.Enqueue{Queue: "mail", BodyJson: []byte(`"hi"`)}}
		o.Enqueued = a.Alive
	case 1:
		if len(a.Schedules) > 0 {
			action.Body = &actorlogv1.Action_Fire{Fire: &actorlogv1.Fire{ScheduleId: pick(r, a.Schedules).Id}}
			break
		}
		action.Body = &actorlogv1.Action_Read{Read: new(actorlogv1.Read)}
	case 2:
		action.Handshake = &actorlogv1.Handshake{Target: "/path?x=1"}
		action.Body = &actorlogv1.Action_Request{Request: &actorlogv1.Request{Method: "GET"}}
		o.Response = &actorlogv1.Response{Status: 200}
	default:
		action.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: pick(r, []string{"increment", "reset", "say"}), ArgsJson: []byte(`[` + quote(pick(r, texts)+strings.Repeat("x", w.Large)) + `]`)}}
	}
}

// change makes up what an action does to a living actor.
func (w *Writer) change(a *subject, o *actorlogv1.Outcome) {
	r := w.rng
	switch r.IntN(12) {
	case 0:
		o.StateJson, o.StateVersion = w.state(nil), 2
	case 1, 2, 3, 4, 5, 6:
		patch, err := jsonpatch.Diff(a.State, w.state(a.State))
		if err != nil {
			panic(err)
		}
		o.PatchJson, o.StateVersion = patch, 2
	case 7:
		o.Lifecycle = actorlogv1.Lifecycle_LIFECYCLE_DESTROYED
		return
	case 8:
		o.Parked = uint32(1 + r.IntN(3))
	case 9:
		o.Action.Unparks = proto.Int64(o.Ref - int64(1+r.IntN(20)))
	}
	if w.chance(30) {
		o.Broadcasts = append(o.Broadcasts, &actorlogv1.Broadcast{Name: "changed", ArgsJson: []byte("[1]")}, &actorlogv1.Broadcast{Name: "said", ArgsJson: []byte(`["x"]`), To: "c1", Except: []string{"c2", "c'3"}})
	}
	if w.chance(15) {
		o.Scheduled = append(o.Scheduled, &actorlogv1.Schedule{Id: "s" + strconv.Itoa(r.IntN(3)), Action: "reset", ArgsJson: []byte("[]"), DueUnixMs: o.TimeUnixMs + 1000, Cron: "* * * * *", TimeZone: "UTC"})
	}
	if w.chance(10) {
		o.Unscheduled = append(o.Unscheduled, "s"+strconv.Itoa(r.IntN(3)))
	}
	if w.chance(15) {
		o.Connected = append(o.Connected, &actorlogv1.Connection{Id: "c" + strconv.Itoa(r.IntN(4)), Gateway: "gw-1", ParamsJson: []byte(`{}`), Principal: "ann", TimeUnixMs: o.TimeUnixMs, Target: "/t"})
	}
	if w.chance(10) {
		o.Disconnected = append(o.Disconnected, &actorlogv1.Disconnected{Id: "c" + strconv.Itoa(r.IntN(4))})
	}
	if w.chance(10) {
		to := pick(r, w.actors)
		o.Sends = append(o.Sends, &actorlogv1.Send{Actor: w.name(to), Invoke: &actorlogv1.Invoke{Name: "say", ArgsJson: []byte("[2]")}, Number: 7})
	}
}

// numbers that are hard to keep, as their texts.
var numbers = []string{
	"0", "-0", "1.0", "1e2", "9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
	"0.1", "1e-7", "1.7976931348623157e308", "-1e300", "5e-324", "1e400",
}

// state is a random state, not far from another one.
func (w *Writer) state(of []byte) []byte {
	r := w.rng
	s := map[string]any{}
	if of != nil {
		d := json.NewDecoder(bytes.NewReader(of))
		d.UseNumber()
		if err := d.Decode(&s); err != nil {
			panic(err)
		}
	}
	for range 1 + r.IntN(3) {
		switch r.IntN(9) {
		case 0, 1:
			s["count"] = r.IntN(20) - 5
		case 2:
			s["name"] = pick(r, texts)
		case 3:
			s["on"] = w.chance(50)
		case 4:
			s["list"] = []any{r.IntN(3), pick(r, texts), map[string]any{"deep": 1.5}, nil, []any{}}
		case 5:
			s["nested"] = map[string]any{"a/b~": r.Float64(), "x": map[string]any{"y": r.IntN(3)}, "none": nil, "": "empty", "~1": json.RawMessage(pick(r, numbers))}
		case 6:
			delete(s, pick(r, []string{"count", "name", "nested", "list", "big"}))
			s["count"+strconv.Itoa(r.IntN(2))] = 1 << 53
		case 7:
			if number := pick(r, numbers); number != "1e400" || w.chance(10) {
				s["big"] = json.RawMessage(number)
			}
		case 8:
			s["count"] = pick(r, []any{nil, "5", json.RawMessage("7.0"), json.RawMessage(`"\u0061"`), true, map[string]any{}})
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a text always can be
	return string(b)
}
