package schemas

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// private is the fields that belong to users. All other texts are names and ids, and stay readable: kinds and keys of actors, names of actions, events and
// queues, ids of connections, schedules, requests and gateways, principals, and codes of errors.
var private = map[protoreflect.FullName]bool{
	"actorlog.v1.Creation.input_json":      true,
	"actorlog.v1.Invoke.args_json":         true,
	"actorlog.v1.Invoke.input_json":        true,
	"actorlog.v1.Header.value":             true,
	"actorlog.v1.Handshake.params_json":    true,
	"actorlog.v1.Handshake.target":         true,
	"actorlog.v1.Disconnect.reason":        true,
	"actorlog.v1.Enqueue.body_json":        true,
	"actorlog.v1.Completion.response_json": true,
	"actorlog.v1.Request.body":             true,
	"actorlog.v1.Request.url":              true,
	"actorlog.v1.Response.body":            true,
	"actorlog.v1.SocketMessage.data":       true,
	"actorlog.v1.Connection.params_json":   true,
	"actorlog.v1.Connection.state_json":    true,
	"actorlog.v1.Connection.target":        true,
	"actorlog.v1.Disconnected.reason":      true,
	"actorlog.v1.Schedule.args_json":       true,
	"actorlog.v1.Error.message":            true,
	"actorlog.v1.Error.metadata_json":      true,
	"actorlog.v1.Error.detail":             true,
	"actorlog.v1.Broadcast.args_json":      true,
	"actorlog.v1.Outcome.result_json":      true,
	"actorlog.v1.Outcome.patch_json":       true,
	"actorlog.v1.Outcome.state_json":       true,
	"actorlog.v1.Outcome.warnings":         true,
	"actorlog.v1.Step.result_json":         true,
	"actorlog.v1.Restore.state_json":       true,
	"actorlog.v1.Restore.reason":           true,
	"actorlog.v1.Snapshot.state_json":      true,
	"actorlog.v1.Snapshot.broken":          true,
	"actorlog.v1.QueuedMessage.body_json":  true,
}

// What stands in a record in place of what is private. A history of it can be folded: the state is then erased as well.
const (
	Erased      = `["$Erased"]`
	ErasedPatch = `[{"op":"replace","path":"","value":["$Erased"]}]`
	ErasedText  = "erased"
)

// sealedField of a record holds what was taken out of it.
const sealedField = "sealed"

// Split takes what belongs to users out of a record, and returns it as a message of the same type, nil if there is none.
func Split(m proto.Message) proto.Message {
	taken := m.ProtoReflect().New()
	if !split(m.ProtoReflect(), taken) {
		return nil
	}
	return taken.Interface()
}

func split(from, to protoreflect.Message) (some bool) {
	fields := from.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case !from.Has(f) || f.Name() == sealedField || private[f.FullName()] && emptyBytes(from, f):
		case private[f.FullName()]:
			some = true
			to.Set(f, from.Get(f))
			from.Set(f, inPlaceOf(from, f))
		case f.Message() != nil && f.IsList():
			list, taken := from.Mutable(f).List(), to.NewField(f)
			found := false
			for n := range list.Len() {
				found = split(list.Get(n).Message(), taken.List().AppendMutable().Message()) || found
			}
			if found {
				some = true
				to.Set(f, taken)
			}
		case f.Message() != nil:
			if taken := to.NewField(f); split(from.Mutable(f).Message(), taken.Message()) {
				some = true
				to.Set(f, taken)
			}
		}
	}
	return some
}

// emptyBytes says whether a field is there, and nothing in it.
func emptyBytes(m protoreflect.Message, f protoreflect.FieldDescriptor) bool {
	return f.Kind() == protoreflect.BytesKind && !f.IsList() && len(m.Get(f).Bytes()) == 0
}

// inPlaceOf is what stands in a field in place of what was there.
func inPlaceOf(m protoreflect.Message, f protoreflect.FieldDescriptor) protoreflect.Value {
	switch {
	case f.IsList():
		list := m.NewField(f)
		list.List().Append(protoreflect.ValueOfString(ErasedText))
		return list
	case f.Kind() == protoreflect.StringKind:
		return protoreflect.ValueOfString(ErasedText)
	case f.Name() == "patch_json":
		return protoreflect.ValueOfBytes([]byte(ErasedPatch))
	case len(f.Name()) > len("_json") && f.Name()[len(f.Name())-len("_json"):] == "_json":
		return protoreflect.ValueOfBytes([]byte(Erased))
	}
	return protoreflect.ValueOfBytes([]byte(ErasedText))
}

// Join is the inverse of Split: it puts back what was taken. What does not fit is ErrMalformed.
func Join(m, taken proto.Message) error {
	if m.ProtoReflect().Descriptor() != taken.ProtoReflect().Descriptor() {
		return fmt.Errorf("%w: a %T was taken out of a %T", ErrMalformed, taken, m)
	}
	return join(m.ProtoReflect(), taken.ProtoReflect())
}

func join(to, from protoreflect.Message) error {
	fields := from.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case !from.Has(f):
		case private[f.FullName()]:
			to.Set(f, from.Get(f))
		case f.Message() != nil && f.IsList():
			list, taken := to.Mutable(f).List(), from.Get(f).List()
			if list.Len() != taken.Len() {
				return fmt.Errorf("%w: %s has %d elements, and %d were taken out", ErrMalformed, f.FullName(), list.Len(), taken.Len())
			}
			for n := range list.Len() {
				if err := join(list.Get(n).Message(), taken.Get(n).Message()); err != nil {
					return err
				}
			}
		case f.Message() != nil:
			if err := join(to.Mutable(f).Message(), from.Get(f).Message()); err != nil {
				return err
			}
		}
	}
	return nil
}
