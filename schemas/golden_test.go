package schemas_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// testdata/golden holds the bytes of every version of every record, as <type>-v<version>-<what>:
//
//	.hex   the bytes of the value, 32 to the line
//	.json  the same message for people (and for this test)
//
// The bytes of a version are what lies in logs out there. They never change; a field that is
// added gets a new fixture next to the old ones.
var rewrite = flag.Bool("rewrite", false, "write the golden files that are missing; existing ones are never touched")

// fixtures is a message for every golden file, by its name without extension.
func fixtures() map[string]proto.Message {
	actor := func() *actorlogv1.Actor {
		return &actorlogv1.Actor{
			Namespace: "default", Kind: "counter", Key: []string{"org", "42", "", "\u00e9/\\"},
			Generation: 3, CreatedUnixMs: 1_700_000_000_000,
		}
	}
	caller := func() *actorlogv1.Caller {
		return &actorlogv1.Caller{Gateway: "gw1", ConnectionId: "c-1", Principal: "alice"}
	}
	action := func() *actorlogv1.Action {
		return &actorlogv1.Action{
			Actor: actor(), RequestId: "gw1-a", IdempotencyKey: "pay-7", Caller: caller(),
			TimeUnixMs: 1_700_000_001_000, Sequence: 1<<64 - 1,
			Creation: &actorlogv1.Creation{
				Policy: actorlogv1.Creation_POLICY_IF_ABSENT, InputJson: []byte(`{"start":5}`),
			},
		}
	}
	with := func(a *actorlogv1.Action, set func(*actorlogv1.Action)) *actorlogv1.Action {
		set(a)
		return a
	}
	headers := func() []*actorlogv1.Header {
		return []*actorlogv1.Header{{Name: "Content-Type", Value: []byte("text/plain")}, {Name: "X-Latin-1", Value: []byte{0xe9}}}
	}
	handshake := func() *actorlogv1.Handshake {
		return &actorlogv1.Handshake{ConnectionId: "c-1", ParamsJson: []byte(`{"name":"ann"}`), Headers: headers(), Target: "/a?b=c"}
	}
	message := func() *actorlogv1.SocketMessage { return &actorlogv1.SocketMessage{Text: true, Data: []byte("hi")} }
	completions := func() []*actorlogv1.Completion {
		return []*actorlogv1.Completion{{MessageId: 40, ResponseJson: []byte(`"done"`)}}
	}
	origin := func() *actorlogv1.Origin {
		return &actorlogv1.Origin{Partition: 3, Actor: []byte("0123456789abcdef"), Ref: 39, Number: 2, Settled: 38, By: actor()}
	}
	connection := func() *actorlogv1.Connection {
		return &actorlogv1.Connection{
			Id: "c-1", Gateway: "gw1", ParamsJson: []byte(`{"name":"ann"}`), StateJson: []byte(`{"n":1}`), Principal: "ann",
			TimeUnixMs: 1_700_000_000_000, Raw: true, Target: "/a?b=c",
		}
	}
	schedule := func() *actorlogv1.Schedule {
		return &actorlogv1.Schedule{
			Id: "daily", Action: "report", ArgsJson: []byte(`[1]`), DueUnixMs: 1_700_000_002_000, EveryMs: 1000, Cron: "0 9 * * *",
			TimeZone: "Europe/Berlin", Missed: actorlogv1.Schedule_MISSED_FIRE_ALL, MaxAttempts: 3, BackoffMs: 100, MaxBackoffMs: 30_000,
			Failed: 1, OccurrenceUnixMs: 1_700_000_001_900, SetUnixMs: 1_700_000_000_000,
		}
	}
	sealed := func() *actorlogv1.Sealed {
		return &actorlogv1.Sealed{KeyId: []byte("01234567"), KeyOffset: 3, Text: []byte{0, 0xff}, Erased: true}
	}
	head := func() *actorlogv1.Head {
		return &actorlogv1.Head{Since: 3, Hash: []byte("0123456789abcdef0123456789abcdef")}
	}
	return map[string]proto.Message{
		"action-v1-min": &actorlogv1.Action{},
		"action-v1-invoke": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "increment", ArgsJson: []byte(`[3]`)}}
		}),
		"action-v1-invoke-input": with(action(), func(a *actorlogv1.Action) {
			a.Creation.Policy = actorlogv1.Creation_POLICY_MUST_BE_ABSENT
			a.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "move", InputJson: []byte(`{"x":1.50,"y":["$BigInt","9007199254740993"]}`)}}
		}),
		"action-v1-resolve": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Resolve{Resolve: &actorlogv1.Resolve{}}
		}),
		"action-v1-read": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Read{Read: &actorlogv1.Read{}}
		}),
		"action-v1-destroy": with(action(), func(a *actorlogv1.Action) {
			a.Actor, a.Creation = &actorlogv1.Actor{Generation: 3}, nil // addressed by id
			a.Body = &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{}}
		}),
		"action-v1-connect": with(action(), func(a *actorlogv1.Action) {
			a.Caller.ConnectionId, a.Handshake = "c-1", handshake()
			a.Body = &actorlogv1.Action_Connect{Connect: &actorlogv1.Connect{Raw: true}}
		}),
		"action-v1-disconnect": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Disconnect{Disconnect: &actorlogv1.Disconnect{ConnectionId: "c-1", Code: 1006, Reason: "gateway lost"}}
		}),
		"action-v1-subscribe": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Subscribe{Subscribe: &actorlogv1.Subscribe{Events: []string{"count", "done"}}}
		}),
		"action-v1-fire": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Fire{Fire: &actorlogv1.Fire{ScheduleId: "daily", DueUnixMs: 1_700_000_001_000}}
		}),
		"action-v1-enqueue": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Enqueue{Enqueue: &actorlogv1.Enqueue{Queue: "jobs", BodyJson: []byte(`{"n":1}`), Wait: true}}
		}),
		"action-v1-complete": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Complete{Complete: &actorlogv1.Complete{Completions: completions()}}
		}),
		"action-v1-request": with(action(), func(a *actorlogv1.Action) {
			a.Handshake = handshake()
			a.Body = &actorlogv1.Action_Request{Request: &actorlogv1.Request{
				Method: "PUT", Headers: headers(), Body: []byte{0, 0xff}, Url: "https://example.com/a?b",
			}}
		}),
		"action-v1-socket-message": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_SocketMessage{SocketMessage: message()}
		}),
		"action-v1-sleep": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Sleep{Sleep: &actorlogv1.Sleep{}}
		}),
		"action-v1-wake": with(action(), func(a *actorlogv1.Action) {
			a.Body = &actorlogv1.Action_Wake{Wake: &actorlogv1.Wake{}}
		}),
		// One actor asks another.
		"action-v1-call": with(action(), func(a *actorlogv1.Action) {
			a.Origin, a.Chain, a.DeadlineUnixMs = origin(), []*actorlogv1.Actor{actor()}, 1_700_000_061_000
			a.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "increment", ArgsJson: []byte(`[3]`)}}
		}),
		"outcome-v1-min": &actorlogv1.Outcome{},
		// The zero of an optional field is not the same as its absence.
		"outcome-v1-zero": &actorlogv1.Outcome{
			Prev: proto.Int64(0), ResultJson: []byte{}, Repeats: proto.Int64(0), RefusedSince: proto.Int64(0),
		},
		// Every field; no real outcome has them all.
		"outcome-v1-full": &actorlogv1.Outcome{
			Ref: 41, Epoch: 17, Actor: actor(),
			Action: with(action(), func(a *actorlogv1.Action) {
				a.Actor = nil
				a.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "increment", ArgsJson: []byte(`[3]`)}}
			}),
			Prev: proto.Int64(1 << 40), CodeVersion: "v1.2.3", TimeUnixMs: 1_700_000_001_001, DurationUs: 250,
			ResultJson: []byte(`3`),
			Error: &actorlogv1.Error{
				Group: "user", Code: "bad_step", Message: "step must be positive",
				MetadataJson: []byte(`{"step":-1}`), Detail: "stack",
			},
			PatchJson: []byte(`[{"op":"replace","path":"/count","value":3}]`),
			StateJson: []byte(`{"count":3}`),
			Broadcasts: []*actorlogv1.Broadcast{
				{Name: "count", ArgsJson: []byte(`[3]`)}, {Name: "done", ArgsJson: []byte(`[]`)},
			},
			Lifecycle: actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED,
			Repeats:   proto.Int64(12), RefusedSince: proto.Int64(39),
		},
		"outcome-v1-refused": &actorlogv1.Outcome{
			Ref: 42, Epoch: 17, Actor: actor(), Action: &actorlogv1.Action{RequestId: "gw1-b"}, Prev: proto.Int64(43),
			Error:        &actorlogv1.Error{Group: "actor", Code: "overloaded", Message: "Too many actions wait for this actor."},
			RefusedSince: proto.Int64(39),
		},
		// What an outcome does besides changing the state.
		"outcome-v1-parts": &actorlogv1.Outcome{
			Ref: 43, Epoch: 17, Actor: actor(), StateVersion: 2, Woke: true,
			Broadcasts: []*actorlogv1.Broadcast{
				{Name: "count", ArgsJson: []byte(`[3]`), To: "c-1"}, {Name: "count", ArgsJson: []byte(`[3]`), Except: []string{"c-1", "c-2"}},
			},
			Scheduled: []*actorlogv1.Schedule{schedule()}, Unscheduled: []string{"weekly"},
			Sends: []*actorlogv1.Send{{
				Actor: actor(), Creation: &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT},
				Invoke: &actorlogv1.Invoke{Name: "add", ArgsJson: []byte(`[1]`)}, Number: 1 << 31, To: []byte("0123456789abcdef"),
			}},
			Connected:    []*actorlogv1.Connection{connection()},
			Disconnected: []*actorlogv1.Disconnected{{Id: "c-2", Gateway: "gw1", Code: 4001, Reason: "bye", Error: &actorlogv1.Error{Group: "user", Code: "no"}}},
			Frames:       []*actorlogv1.Frame{{ConnectionId: "c-1", Message: message()}},
			Completed:    completions(), Enqueued: true,
			Response:      &actorlogv1.Response{Status: 201, Headers: headers(), Body: []byte{0, 0xff}},
			GuardedEvents: []string{"private"}, Warnings: []string{"OnSleep: no"}, Place: proto.Int64(44), PriorVersion: proto.Uint32(0),
		},
		"step-v1-min": &actorlogv1.Step{},
		"step-v1-full": &actorlogv1.Step{
			Ref: 44, Epoch: 17, Actor: actor(), Number: 1, Name: "charge", ResultJson: []byte(`{"id":"ch_1"}`),
			Error:    &actorlogv1.Error{Group: "user", Code: "declined"},
			Attempts: 3, TimeUnixMs: 1_700_000_001_000, DurationUs: 250_000, Prev: proto.Int64(43), CodeVersion: "v1.2.3",
			Place: proto.Int64(45),
		},
		"claim-v1-min": &actorlogv1.Claim{},
		"claim-v1-version": &actorlogv1.Claim{Worker: "w1", CodeVersion: "v1.2.3", TimeUnixMs: 1_700_000_000_000, Version: 1<<64 - 1,
			RenewsEpoch: proto.Int64(17), Place: proto.Int64(517), Confirmed: proto.Int64(510)},
		"claim-v1-crashes": &actorlogv1.Claim{Worker: "w1", TimeUnixMs: 1_700_000_000_000, RenewsEpoch: proto.Int64(17), Crashes: 3,
			ActionsEnd: 1000, Trying: proto.Int64(0), Released: true},
		"action-v1-unparks": &actorlogv1.Action{Actor: actor(), RequestId: "r1", Unparks: proto.Int64(0),
			Body: &actorlogv1.Action_Dismiss{Dismiss: new(actorlogv1.Dismiss)}},
		"action-v1-restore": &actorlogv1.Action{Actor: actor(), RequestId: "r1", Creation: &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT},
			Body: &actorlogv1.Action_Restore{Restore: &actorlogv1.Restore{
				StateJson: []byte(`{"count":7}`), StateVersion: 2, Schedules: []*actorlogv1.Schedule{schedule()}, KeepSchedules: true, Generation: 4,
				CreatedUnixMs: 1_700_000_000_000, Ended: true, Reason: "fat finger",
				Source: &actorlogv1.Source{Actor: actor(), Partition: 3, Offset: 44, Log: "other"},
			}}},
		"action-v1-restore-replaces": &actorlogv1.Action{Actor: actor(), RequestId: "r1",
			Body: &actorlogv1.Action_Restore{Restore: &actorlogv1.Restore{StateJson: []byte(`{"count":7}`), Replaces: proto.Uint64(1<<64 - 2)}}},
		"action-v1-repair": &actorlogv1.Action{Actor: new(actorlogv1.Actor), RequestId: "r1", Body: &actorlogv1.Action_Repair{Repair: &actorlogv1.Repair{Skip: true}}},
		"outcome-v1-repaired": &actorlogv1.Outcome{Ref: 42, Epoch: 17, Actor: actor(), Action: &actorlogv1.Action{RequestId: "r1"}, ResultJson: []byte{},
			Repaired: &actorlogv1.Snapshot{Actor: actor(), Alive: true, StateJson: []byte(`{"count":3}`), LastRef: 41, LastOffset: 44}},
		"outcome-v1-parked": &actorlogv1.Outcome{Ref: 42, Epoch: 17, Actor: actor(), Parked: 3, Error: &actorlogv1.Error{Group: "actor", Code: "parked"}},
		"checkpoint-v1-parked": &actorlogv1.Checkpoint{Parked: []*actorlogv1.Parked{{Actor: []byte("0123456789abcdef"), Ref: 42, Offset: 44},
			{Actor: []byte("0123456789abcdef"), Offset: 45, Broken: "why"}}},
		"action-v1-erase": &actorlogv1.Action{Actor: actor(), RequestId: "r1", Body: &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{Erase: true}}},
		"action-v1-sealed": &actorlogv1.Action{Actor: actor(), Sealed: sealed(),
			Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "increment", ArgsJson: []byte(`["$Sealed"]`)}}},
		"outcome-v1-sealed":  &actorlogv1.Outcome{Ref: 41, Epoch: 17, Actor: actor(), StateJson: []byte(`["$Sealed"]`), Place: proto.Int64(45), Sealed: sealed()},
		"step-v1-sealed":     &actorlogv1.Step{Ref: 44, Epoch: 17, Actor: actor(), ResultJson: []byte(`["$Sealed"]`), Place: proto.Int64(45), Sealed: sealed()},
		"snapshot-v1-sealed": &actorlogv1.Snapshot{Actor: actor(), Alive: true, StateJson: []byte(`["$Sealed"]`), Sealed: sealed()},
		"datakey-v1-min":     &actorlogv1.DataKey{},
		"datakey-v1-full":    &actorlogv1.DataKey{Master: "0123456789abcdef", Wrapped: []byte{0, 0xff}, TimeUnixMs: 1_700_000_000_000, Retired: true},
		"claim-v1-head":      &actorlogv1.Claim{Worker: "w1", TimeUnixMs: 1_700_000_000_000, RenewsEpoch: proto.Int64(17), Place: proto.Int64(517), Head: head()},
		"checkpoint-v1-head": &actorlogv1.Checkpoint{EventsOffset: 45, Epoch: 17, Head: head()},
		"claim-v1-new":       &actorlogv1.Claim{Worker: "w1", CodeVersion: "v1.2.3", TimeUnixMs: 1_700_000_000_000},
		"claim-v1-full":      &actorlogv1.Claim{Worker: "w1", CodeVersion: "v1.2.3", TimeUnixMs: 1_700_000_000_000, RenewsEpoch: proto.Int64(0)},
		"snapshot-v1-min":    &actorlogv1.Snapshot{},
		"snapshot-v1-full": &actorlogv1.Snapshot{
			Actor: actor(), Alive: true, StateJson: []byte(`{"count":3}`), LastRef: 41, LastOffset: 44,
			TimeUnixMs: 1_700_000_001_001,
			Recent: []*actorlogv1.Recent{
				{Key: "pay-6", Offset: 12, TimeUnixMs: 1_700_000_000_500, Fingerprint: 1<<64 - 1},
				{Key: "pay-7", Offset: 44, TimeUnixMs: 1_700_000_001_001, Fingerprint: 1},
			},
			Refused: []*actorlogv1.RefRange{{First: 45, Last: 47}, {First: 50, Last: 50}},
			Broken:  "history cannot be applied: why",
		},
		"snapshot-v1-parts": &actorlogv1.Snapshot{
			Actor: actor(), Alive: true, StateJson: []byte(`{}`), LastRef: 41, LastOffset: 44, StateVersion: 2,
			Connections: []*actorlogv1.Connection{connection()}, Schedules: []*actorlogv1.Schedule{schedule()},
			Queue: []*actorlogv1.QueuedMessage{
				{Id: 40, Queue: "jobs", BodyJson: []byte(`{"n":1}`), Offset: 43, Size: 7, TimeUnixMs: 1_700_000_001_000},
			},
			Asked:   []*actorlogv1.Asked{{Origin: origin(), Offset: 42}},
			Settled: []*actorlogv1.Settled{{Partition: 3, Ref: 38}},
			Steps:   []*actorlogv1.Step{{Ref: 45, Name: "charge", ResultJson: []byte(`1`)}},
		},
		// An actor that never lived: refs and offsets are -1, its time is before all times.
		"snapshot-v1-never-lived": &actorlogv1.Snapshot{
			Actor: &actorlogv1.Actor{}, LastRef: -1, LastOffset: -1, TimeUnixMs: -1 << 63,
		},
		"checkpoint-v1-min": &actorlogv1.Checkpoint{},
		"checkpoint-v1-full": &actorlogv1.Checkpoint{
			EventsOffset: 45, ActionsOffset: 42, Epoch: 17, Worker: "w1", CodeVersion: "v1.2.3", TimeUnixMs: 1_700_000_002_000,
			Senders: []*actorlogv1.Sender{
				{Gateway: "gw1", Sequence: 7, TimeUnixMs: 1_700_000_001_000},
				{Gateway: "gw2", Sequence: 1<<64 - 1, TimeUnixMs: -1},
			},
		},
		"checkpoint-v1-parts": &actorlogv1.Checkpoint{
			EventsOffset: 45, ActionsOffset: 42, Epoch: 17, Version: 7, Undelivered: []int64{40, 44},
			Kinds: []*actorlogv1.KindCount{{Kind: "counter", StateVersion: 2, Count: 1_000_000}},
		},
		"lease-v1-min":  &actorlogv1.Lease{},
		"lease-v1-full": &actorlogv1.Lease{Gateway: "gw1", TimeUnixMs: 1_700_000_000_000, TtlMs: 15_000},
	}
}

const golden = "testdata/golden"

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, m := range fixtures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typ, version, _ := strings.Cut(name, "-v")
			version, _, _ = strings.Cut(version, "-")
			require.Equal(t, schemas.TypeOf(m), schemas.Type(typ+"/"+version))
			encoded, err := schemas.Encode(m)
			require.NoError(t, err)

			hexFile, jsonFile := filepath.Join(golden, name+".hex"), filepath.Join(golden, name+".json")
			if *rewrite {
				writeNew(t, hexFile, dump(encoded))
				writeNew(t, jsonFile, text(m))
			}
			written, err := os.ReadFile(hexFile)
			require.NoError(t, err, "a new fixture? go test ./schemas -run TestGolden -args -rewrite")
			want, err := hex.DecodeString(strings.ReplaceAll(string(written), "\n", ""))
			require.NoError(t, err)
			require.Equal(t, dump(want), dump(encoded), "the bytes of a version must not change: add a fixture, leave this one")

			decoded, err := schemas.Decode(schemas.TypeOf(m), want)
			require.NoError(t, err)
			requireProto(t, m, decoded)

			forPeople, err := os.ReadFile(jsonFile)
			require.NoError(t, err)
			fromText := m.ProtoReflect().New().Interface()
			require.NoError(t, protojson.Unmarshal(forPeople, fromText))
			requireProto(t, m, fromText)
		})
	}
}

// Every file is of a fixture: nothing in testdata/golden goes unread.
func TestGolden_EveryFileIsRead(t *testing.T) {
	t.Parallel()
	if *rewrite {
		t.Skip("the files are being written")
	}
	files, err := os.ReadDir(golden)
	require.NoError(t, err)
	all := fixtures()
	require.Len(t, files, 2*len(all))
	for _, f := range files {
		require.Contains(t, all, strings.TrimSuffix(f.Name(), filepath.Ext(f.Name())))
	}
}

// Every field of every record is set in some fixture: one that is added without golden
// bytes fails here.
func TestGolden_EveryFieldIsSet(t *testing.T) {
	t.Parallel()
	declared, set := make(map[protoreflect.FullName]bool), make(map[protoreflect.FullName]bool)
	for _, m := range fixtures() {
		declare(m.ProtoReflect().Descriptor(), declared)
		collect(m.ProtoReflect(), set)
	}
	var missing []string
	for name := range declared {
		if !set[name] {
			missing = append(missing, string(name))
		}
	}
	slices.Sort(missing)
	require.Empty(t, missing)
}

func declare(d protoreflect.MessageDescriptor, into map[protoreflect.FullName]bool) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if into[f.FullName()] {
			continue
		}
		into[f.FullName()] = true
		if f.Message() != nil {
			declare(f.Message(), into)
		}
	}
}

func collect(m protoreflect.Message, into map[protoreflect.FullName]bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		into[f.FullName()] = true
		switch {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				collect(v.List().Get(i).Message(), into)
			}
		case f.Message() != nil:
			collect(v.Message(), into)
		}
		return true
	})
}

// The records have no maps and no floating point: their bytes do not depend on chance.
func TestGolden_NothingIsUnordered(t *testing.T) {
	t.Parallel()
	var walk func(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool)
	walk = func(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			require.False(t, f.IsMap(), f.FullName())
			require.NotContains(t, []protoreflect.Kind{protoreflect.FloatKind, protoreflect.DoubleKind}, f.Kind(), f.FullName())
			if f.Message() != nil {
				walk(f.Message(), seen)
			}
		}
	}
	for _, m := range types {
		walk(m.ProtoReflect().Descriptor(), make(map[protoreflect.FullName]bool))
	}
}

// writeNew writes a golden file unless it exists.
func writeNew(t *testing.T, name, content string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return
	}
	require.NoError(t, err)
	_, err = f.WriteString(content)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// dump is bytes as hexadecimal digits, 32 bytes to the line.
func dump(b []byte) string {
	var s strings.Builder
	for line := range slices.Chunk(b, 32) {
		s.WriteString(hex.EncodeToString(line) + "\n")
	}
	return s.String()
}

// text is a message as indented JSON, in ASCII. protojson varies its white space on purpose; this
// does not.
func text(m proto.Message) string {
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	var s bytes.Buffer
	if err := json.Indent(&s, b, "", "  "); err != nil {
		panic(err)
	}
	s.WriteByte('\n')
	var ascii strings.Builder
	for _, r := range s.String() {
		if r < 0x80 {
			ascii.WriteRune(r)
		} else {
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&ascii, `\u%04x`, unit)
			}
		}
	}
	return ascii.String()
}
