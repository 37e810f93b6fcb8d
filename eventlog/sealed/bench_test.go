package sealed_test

import (
	"strings"
	"testing"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// What sealing and unsealing an outcome of some 300 bytes takes, beside decoding it, which every reader does anyway.
func BenchmarkSealed(b *testing.B) {
	inner := memlog.NewCluster(1).Client()
	defer inner.Close()
	m, err := sealed.ParseMasters(keyA)
	if err != nil {
		b.Fatal(err)
	}
	l, err := sealed.Open(b.Context(), inner, m, sealed.AllKinds)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	hash := userHash("ann")
	value, err := schemas.Encode(&actorlogv1.Outcome{
		Ref: 1, Epoch: 1, Actor: &actorlogv1.Actor{Namespace: "default", Kind: "user", Key: []string{"ann"}}, ResultJson: []byte("3"), PatchJson: []byte(strings.Repeat(" ", 100)),
		Action:     &actorlogv1.Action{RequestId: "r", Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "rename", ArgsJson: []byte(`["ann"]`)}}},
		Broadcasts: []*actorlogv1.Broadcast{{Name: "renamed", ArgsJson: []byte(strings.Repeat("1", 60))}},
	})
	if err != nil {
		b.Fatal(err)
	}
	plain := eventlog.Record{Key: hash[:], Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeOutcome)}}}
	kept := plain
	if err := l.Seal(b.Context(), eventlog.Events, &kept); err != nil {
		b.Fatal(err)
	}
	kept.Value, kept.Stored = kept.Stored, nil
	for _, way := range []struct {
		name string
		do   func() error
	}{
		{"decode", func() error { _, err := schemas.Decode(schemas.TypeOutcome, value); return err }},
		{"seal", func() error { r := plain; return l.Seal(b.Context(), eventlog.Events, &r) }},
		{"unseal", func() error { r := kept; return l.Unseal(b.Context(), eventlog.Events, &r) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := way.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
