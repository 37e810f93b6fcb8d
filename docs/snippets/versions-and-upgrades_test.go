package snippets_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
)

// PersonV1 is what was recorded before there were versions.
type PersonV1 struct {
	Name string `json:"name"`
}

// snippet: person

// Person has version 2. Version 0 had {"name": "Ann Lee"}, version 1 {"names": ["Ann", "Lee"]}.
type Person struct {
	First string `json:"first"`
	Last  string `json:"last"`
}

var people = actor.New[Person]("person")

func registerPerson(r *actor.Registry) {
	actor.StateVersion(r, people, 2)
	actor.Upcast(r, people, 0, func(old json.RawMessage) (json.RawMessage, error) {
		var s struct{ Name string }
		err := json.Unmarshal(old, &s)
		if err != nil {
			return nil, err
		}
		return json.Marshal(map[string]any{"names": strings.Fields(s.Name)})
	})
	actor.Upcast(r, people, 1, func(old json.RawMessage) (json.RawMessage, error) {
		var s struct{ Names []string }
		err := json.Unmarshal(old, &s)
		if err != nil {
			return nil, err
		}
		p := Person{First: s.Names[0], Last: strings.Join(s.Names[1:], " ")}
		return json.Marshal(p)
	})
}

// end snippet

// A rolling upgrade: a worker of the next version takes over, upcasts what it finds, and nothing goes back.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		old := actor.New[PersonV1]("person")
		registerOld := func(r *actor.Registry) {
			actor.CreateState(r, old, func(_ *actor.Ctx, name string) (PersonV1, error) { return PersonV1{name}, nil })
		}
		fullName := actor.Action[actor.None, string](people, "fullName")
		registerFullName := func(r *actor.Registry) {
			actor.On(r, fullName, func(s *Person, _ *actor.Ctx, _ actor.None) (string, error) { return s.Last + ", " + s.First, nil })
		}
		// snippet: upgrade
		w := actortest.NewWith(t, host.Config{VersionNumber: 1}, registerOld)
		_, err := old.Create(ctx, w.Client, "Ann Lee", "7")
		require.NoError(t, err)

		first := w.Worker()
		w.StartWorkerWith(host.Config{VersionNumber: 2}, registerPerson, registerFullName)
		w.Stop(first) // in peace: it hands its shards over
		name, err := fullName.Call(ctx, people.Get(w.Client, "7"), actor.None{})
		require.NoError(t, err)
		require.Equal(t, "Lee, Ann", name)
		// end snippet
	})
}
