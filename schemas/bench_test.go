package schemas_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// typical is the outcome of an increment.
func typical() *actorlogv1.Outcome {
	return &actorlogv1.Outcome{
		Ref: 123456, Epoch: 1234, CodeVersion: "v1.2.3", TimeUnixMs: 1795391102265, DurationUs: 12, Prev: proto.Int64(123450),
		Actor: &actorlogv1.Actor{Namespace: "default", Kind: "counter", Key: []string{"org", "42"}, Generation: 1, CreatedUnixMs: 1795391102265},
		Action: &actorlogv1.Action{
			RequestId: "abcdefghij-4f2", TimeUnixMs: 1795391102265, Sequence: 123456,
			Caller:   &actorlogv1.Caller{Gateway: "abcdefghij"},
			Creation: &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT},
			Body:     &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "increment", ArgsJson: []byte("[1]")}},
		},
		ResultJson: []byte("43"), PatchJson: []byte(`[{"op":"replace","path":"/count","value":43}]`),
		Broadcasts: []*actorlogv1.Broadcast{{Name: "count", ArgsJson: []byte("[43]")}},
	}
}

func BenchmarkEncode(b *testing.B) {
	o := typical()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = schemas.Encode(o)
	}
}

func BenchmarkDecode(b *testing.B) {
	value, _ := schemas.Encode(typical())
	b.ReportAllocs()
	for b.Loop() {
		_, _ = schemas.Decode(schemas.TypeOutcome, value)
	}
}
