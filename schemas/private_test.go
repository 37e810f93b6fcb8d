package schemas_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/actorlog/actorlog/schemas"
)

// readable is the texts that stay readable in records that are sealed. Whoever adds a field decides: here, or in private.go.
var readable = []protoreflect.FullName{
	"actorlog.v1.Action.idempotency_key", "actorlog.v1.Action.request_id",
	"actorlog.v1.Actor.key", "actorlog.v1.Actor.kind", "actorlog.v1.Actor.namespace",
	"actorlog.v1.Broadcast.except", "actorlog.v1.Broadcast.name", "actorlog.v1.Broadcast.to",
	"actorlog.v1.Caller.connection_id", "actorlog.v1.Caller.gateway", "actorlog.v1.Caller.principal",
	"actorlog.v1.Connection.gateway", "actorlog.v1.Connection.id", "actorlog.v1.Connection.principal",
	"actorlog.v1.Disconnect.connection_id", "actorlog.v1.Disconnected.gateway", "actorlog.v1.Disconnected.id",
	"actorlog.v1.Enqueue.queue", "actorlog.v1.Error.code", "actorlog.v1.Error.group", "actorlog.v1.Fire.schedule_id",
	"actorlog.v1.Frame.connection_id", "actorlog.v1.Handshake.connection_id", "actorlog.v1.Header.name", "actorlog.v1.Invoke.name",
	"actorlog.v1.Origin.actor", "actorlog.v1.Outcome.code_version", "actorlog.v1.Outcome.guarded_events", "actorlog.v1.Outcome.unscheduled",
	"actorlog.v1.QueuedMessage.queue", "actorlog.v1.Recent.key", "actorlog.v1.Request.method",
	"actorlog.v1.Schedule.action", "actorlog.v1.Schedule.cron", "actorlog.v1.Schedule.id", "actorlog.v1.Schedule.time_zone",
	"actorlog.v1.Send.to", "actorlog.v1.Source.log", "actorlog.v1.Step.code_version", "actorlog.v1.Step.name", "actorlog.v1.Subscribe.events",
}

// Every text of a record about an actor is either the user's, and sealed, or a name that is known to stay readable.
func TestSplit_EveryTextIsDecidedAbout(t *testing.T) {
	t.Parallel()
	decided := make(map[protoreflect.FullName]bool)
	for _, name := range readable {
		decided[name] = true
	}
	var undecided []string
	seen := make(map[protoreflect.FullName]bool)
	var walk func(d protoreflect.MessageDescriptor)
	walk = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] || d.Name() == "Sealed" {
			return
		}
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			text := f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind
			if f.Message() != nil {
				walk(f.Message())
			} else if text && decided[f.FullName()] == isPrivate(f) {
				undecided = append(undecided, string(f.FullName()))
			}
		}
	}
	for _, typ := range []schemas.Type{schemas.TypeAction, schemas.TypeOutcome, schemas.TypeStep, schemas.TypeSnapshot} {
		walk(types[typ].ProtoReflect().Descriptor())
	}
	slices.Sort(undecided)
	require.Empty(t, undecided)
}

// isPrivate asks Split.
func isPrivate(f protoreflect.FieldDescriptor) bool {
	for _, m := range fixtures() {
		found := false
		var look func(m protoreflect.Message)
		look = func(m protoreflect.Message) {
			m.Range(func(g protoreflect.FieldDescriptor, v protoreflect.Value) bool {
				switch {
				case g.FullName() == f.FullName():
					found = true
				case g.Message() != nil && g.IsList():
					for i := range v.List().Len() {
						look(v.List().Get(i).Message())
					}
				case g.Message() != nil:
					look(v.Message())
				}
				return true
			})
		}
		if taken := schemas.Split(proto.Clone(m)); taken != nil {
			look(taken.ProtoReflect())
		}
		if found {
			return true
		}
	}
	return false
}

// What was taken out is not there any more, and is there again when it was put back.
func TestSplit(t *testing.T) {
	t.Parallel()
	secrets := 0
	for name, m := range fixtures() {
		left := proto.Clone(m)
		taken := schemas.Split(left)
		if taken == nil {
			requireProto(t, m, left)
			continue
		}
		text, err := proto.Marshal(left)
		require.NoError(t, err)
		for _, secret := range []string{`"count":3`, "stack", "step must be", "ch_1", "ann\"}", "example.com", "a?b=c", "OnSleep", "text/plain"} {
			if whole, err := proto.Marshal(m); err == nil && bytes.Contains(whole, []byte(secret)) {
				secrets++
				require.NotContains(t, string(text), secret, name)
			}
		}
		// What is taken crosses the log as bytes.
		crossed, err := proto.Marshal(taken)
		require.NoError(t, err)
		back := taken.ProtoReflect().New().Interface()
		require.NoError(t, proto.Unmarshal(crossed, back))
		require.NoError(t, schemas.Join(left, back))
		requireProto(t, m, left)
	}
	require.Greater(t, secrets, 15)
}
