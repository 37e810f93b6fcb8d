package replay_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// An actor whose last event cannot be read is out of service, and the list says so, whether or not there was a checkpoint since.
func TestActorsBroken(t *testing.T) {
	t.Parallel()
	a := newAuthor(t, seed.New(t), 3)
	a.history(300)
	r := replay.NewReader(a.log, replay.Options{})
	list := func() map[schemas.Hash]replay.Listed {
		all := make(map[schemas.Hash]replay.Listed)
		for l, err := range r.Actors(t.Context(), 0, func(*actorlogv1.Actor) bool { return true }) {
			require.NoError(t, err)
			all[l.Hash] = l
		}
		return all
	}
	a.claim()
	before := list()
	require.Len(t, before, 3)
	require.Empty(t, before[a.keys[0]].Broken)

	// Of the owner, where the owner would write, but not to be read: who the actor is is no message.
	value := a.encode(&actorlogv1.Outcome{Ref: a.ref, Epoch: a.epoch})
	field := (*actorlogv1.Outcome)(nil).ProtoReflect().Descriptor().Fields().ByName("actor").Number()
	value = protowire.AppendBytes(protowire.AppendTag(value, field, protowire.BytesType), []byte{0xff})
	a.inject(a.keys[0][:], schemas.TypeOutcome, schemas.AppendPlace(value, a.place))
	after := list()
	require.NotEmpty(t, after[a.keys[0]].Broken)
	require.Equal(t, before[a.keys[0]].Actor.Key, after[a.keys[0]].Actor.Key)
	require.Empty(t, after[a.keys[1]].Broken)

	for _, err := range r.Actors(t.Context(), 0, func(*actorlogv1.Actor) bool { return true }) {
		require.NoError(t, err)
		break // ends it
	}
}
