package chsink_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var rewrite = flag.Bool("rewrite", false, "write what the views show into testdata, to be read")

// What the views show of an event and an actor of which nothing is empty, column by column. The golden file is written by
//
//	go test ./projection/chsink -run TestViews -args -rewrite
//
// and then read: that a value stands under another name than its own is only seen there.
func TestViews(t *testing.T) {
	t.Parallel()
	db, name := database(t, nil)
	sink, err := db.Sink(t.Context(), 1, "log")
	require.NoError(t, err)
	of := projection.Name{Hash: schemas.Hash{1}, Namespace: "namespace", Kind: "kind", Key: schemas.Key{"key", "of/two"}, Generation: 2}
	by := projection.Name{Hash: schemas.Hash{2}, Namespace: "callers namespace", Kind: "callers kind", Key: schemas.Key{"callers", "key"}, Generation: 3}
	e := projection.Event{
		Position: schemas.Position{Partition: 4, Offset: 5}, Ref: 6, Epoch: 7, TimeMs: 1_750_000_000_008, AskedMs: 1_750_000_000_009, Actor: of,
		Body: "body", Action: "action", Args: []byte(`["args"]`), Schedule: "schedule", Connection: "connection", Target: "/target", Creation: true,
		Caller: projection.Caller{
			Gateway: "callers gateway", Connection: "callers connection", Principal: "callers principal \u00fc", ByActor: true, Actor: by, Shard: 10, Ref: 11, Number: 12,
		},
		RequestID: "request", IdempotencyKey: "idempotency", Result: []byte(`"result"`), Failed: true,
		Error: projection.Error{Group: "group", Code: "code", Message: "message", Metadata: []byte(`{"meta":1}`), Detail: "detail"},
		Patch: []byte(`[{"op":"remove","path":"/patched"}]`), PatchPaths: []string{"/patched", "/a~1b"}, State: []byte(`{"state":1}`), StateVersion: 13,
		Broadcasts: []*actorlogv1.Broadcast{
			{Name: "broadcast", ArgsJson: []byte("[14]"), To: "one", Except: []string{"two", "three"}}, {Name: "another", ArgsJson: []byte("[15]"), To: "four", Except: []string{"five"}},
		},
		Scheduled:   []*actorlogv1.Schedule{{Id: "set", Action: "set action", ArgsJson: []byte("[16]"), DueUnixMs: 1_750_000_000_017}},
		Unscheduled: []string{"over"},
		Sends: []*actorlogv1.Send{{
			Actor: &actorlogv1.Actor{Namespace: "sends namespace", Kind: "sends kind", Key: []string{"sends", "key"}}, Invoke: &actorlogv1.Invoke{Name: "sends action", ArgsJson: []byte("[18]")}, Number: 19,
		}},
		Connected: []string{"connected"}, Disconnected: []string{"disconnected"}, Lifecycle: "created", Woke: true, DurationUs: 20, Version: "version", Warnings: []string{"warning"},
		Status: 21, Repeats: 22, Unparks: 23, Parked: 24, Refused: true,
	}
	a := projection.Actor{
		Shard: 4,
		Actor: machine.Actor{
			Hash: of.Hash, Namespace: of.Namespace, Kind: of.Kind, Key: of.Key, Generation: 2, CreatedMs: 1_750_000_000_031, Alive: true, State: []byte(`{"state":32}`), StateVersion: 33,
			LastOffset: 34, TimeMs: 1_750_000_000_035, Broken: "broken",
			Connections: []*actorlogv1.Connection{{
				Id: "connection", Gateway: "its gateway", Principal: "its principal", TimeUnixMs: 1_750_000_000_036, Raw: true, Target: "/its/target", ParamsJson: []byte(`{"params":37}`), StateJson: []byte(`{"conn":38}`),
			}},
			Schedules: []*actorlogv1.Schedule{{
				Id: "schedule", Action: "its action", ArgsJson: []byte("[39]"), DueUnixMs: 1_750_000_000_040, EveryMs: 41, Cron: "* * * * *", TimeZone: "Europe/Berlin", Failed: 42, SetUnixMs: 1_750_000_000_043,
			}},
		},
		Parked: []projection.Parked{{Ref: 44, Offset: 45, TimeMs: 1_750_000_000_046, Body: "parked body", Action: "parked action", RequestID: "parked request", Workers: 47}},
	}
	require.NoError(t, sink.Write(t.Context(), &projection.Batch{Events: []projection.Event{e}, Actors: []projection.Actor{a}}))

	var got bytes.Buffer
	for _, view := range []string{"events", "actors", "broadcasts", "schedules", "connections", "parked"} {
		for _, row := range rows(t, "SELECT formatRowNoNewline('JSONEachRow', *) FROM "+name+"."+view+" ORDER BY ALL") {
			got.WriteString(view + " ")
			require.NoError(t, json.Indent(&got, []byte(row), "", "  "))
			got.WriteString("\n")
			var columns map[string]any
			require.NoError(t, json.Unmarshal([]byte(row), &columns))
			for column, value := range columns {
				if view == "events" || view == "actors" {
					require.NotContains(t, []any{"", 0.0, false, nil}, value, "%s.%s", view, column)
				}
			}
		}
	}
	golden := filepath.Join("testdata", "views")
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, strings.Split(string(want), "\n"), strings.Split(got.String(), "\n"))
}
