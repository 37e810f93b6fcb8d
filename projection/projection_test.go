package projection_test

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// TestRows plays the scripts in testdata/rows. Each is the events of one shard, and shows the rows that come of them. The input is written by hand, the output by
//
//	go test ./projection -run TestRows -args -rewrite
//
// and then read. The commands:
//
//	claim                   the next record is a claim of a new owner
//	outcome [key=ann]       the next record is an outcome of its owner, as text of records.proto; of the actor account [ann] in its first life, if it names none
//	zombie [key=ann]        the same, of the owner before
//	record [type=outcome/1] the next record is that text; of an outcome, its action is
//	actor [key=ann]         the row of the actor as it is now
//	place                   how far the shard has come
//
// Fields that are empty are left out, so what is not said of a row is "", 0, false, or an empty list.
//
// Behind every command stand two checks: who goes on from what a sink has kept comes to the same, and so does who is given all records twice.
func TestRows(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/rows", func(t *testing.T, path string) {
		t.Parallel()
		s := &story{shard: projection.NewShard(projection.Start(shard)), actors: make(map[schemas.Hash]*projection.Actor), rows: make(map[int64]string)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := s.do(t, d)
			s.check(t)
			return out
		})
	})
}

const shard = 3

// story is one shard of events, and what was made of it.
type story struct {
	records []eventlog.Record
	shard   projection.Shard
	actors  map[schemas.Hash]*projection.Actor
	// rows as they were shown, by offset.
	rows map[int64]string
	// epoch of the owner, and of the one before; place of the last record of it.
	epoch, before, place int64
}

func (s *story) do(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "claim":
		s.before, s.epoch, s.place = s.epoch, int64(len(s.records)), int64(len(s.records))
		return s.take(t, schemas.TypeClaim, []byte(schemas.ClaimKey), encode(t, &actorlogv1.Claim{Worker: "w1"}))
	case "outcome", "zombie":
		o := new(actorlogv1.Outcome)
		require.NoError(t, prototext.Unmarshal([]byte(d.Input), o), d.Pos)
		key := keyOf(t, d)
		if o.Actor == nil {
			o.Actor = &actorlogv1.Actor{Namespace: "default", Kind: "account", Key: key, Generation: 1}
		}
		s.place++
		o.Epoch = s.epoch
		if d.Cmd == "zombie" {
			o.Epoch = s.before
			s.place--
		}
		hash := hashOf(key)
		return s.take(t, schemas.TypeOutcome, hash[:], schemas.AppendPlace(encode(t, o), s.place))
	case "record":
		typ := ""
		d.MaybeScanArgs(t, "type", &typ)
		hash := hashOf(keyOf(t, d))
		value := []byte(d.Input)
		if schemas.Type(typ) == schemas.TypeOutcome { // whose epoch and place can be read, and whose action, the text, cannot
			s.place++
			value = encode(t, &actorlogv1.Outcome{Epoch: s.epoch})
			if d.Input != "" {
				value = protowire.AppendBytes(protowire.AppendTag(value, 4, protowire.BytesType), []byte(d.Input))
			}
			value = schemas.AppendPlace(value, s.place)
		}
		return s.take(t, schemas.Type(typ), hash[:], value)
	case "actor":
		a := s.actors[hashOf(keyOf(t, d))]
		if a == nil {
			return "none\n"
		}
		return show(projection.Actor{Actor: a.Actor, Shard: a.Shard, Parked: a.Parked})
	case "place":
		return show(s.shard.Place())
	}
	d.Fatalf(t, "no such command")
	return ""
}

func keyOf(t *testing.T, d *datadriven.TestData) schemas.Key {
	t.Helper()
	key := "ann"
	d.MaybeScanArgs(t, "key", &key)
	return schemas.Key{key}
}

func hashOf(key schemas.Key) schemas.Hash { return schemas.HashOf("default", "account", key) }

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := schemas.Encode(m)
	require.NoError(t, err)
	return b
}

// take folds the next record, and says what came of it.
func (s *story) take(t *testing.T, typ schemas.Type, key, value []byte) string {
	t.Helper()
	r := eventlog.Record{Partition: shard, Offset: int64(len(s.records)), Key: key, Value: value}
	if typ != "" {
		r.Headers = []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(typ)}}
	}
	out, ok := fold(&s.shard, s.actors, &r)
	if ok {
		s.records = append(s.records, r)
		s.rows[r.Offset] = out
	}
	return out
}

// fold takes one record in, and returns false if the shard cannot go on.
func fold(shard *projection.Shard, actors map[schemas.Hash]*projection.Actor, r *eventlog.Record) (string, bool) {
	admitted, ok, err := shard.Admit(r)
	switch {
	case err != nil:
		return "error: " + err.Error() + "\n", false
	case !ok:
		return "no row\n", true
	}
	a := actors[admitted.Hash]
	if a == nil {
		first := projection.NewActor(r.Partition, admitted.Hash)
		a = &first
		actors[admitted.Hash] = a
	}
	if admitted.Err != nil {
		a.Break(admitted.Offset, admitted.Err)
		return "no row; the actor is broken: " + blanks.ReplaceAllString(a.Broken, " ") + "\n", true
	}
	row, counts := a.Take(admitted.Offset, admitted.Outcome)
	if !counts {
		return "no row\n", true
	}
	return show(row), true
}

// check folds all again: from actors that were kept and read again after each record, and with each record twice, as after a crash before the place was written.
func (s *story) check(t *testing.T) {
	t.Helper()
	place, actors := projection.Start(shard), make(map[schemas.Hash]*projection.Actor)
	for i := range s.records {
		for again := range 2 {
			next := projection.NewShard(place)
			out, ok := fold(&next, actors, &s.records[i])
			require.True(t, ok)
			if again == 0 {
				require.Equal(t, s.rows[int64(i)], out, "who goes on from what was kept")
				continue
			}
			if strings.HasPrefix(out, "position:") {
				require.Fail(t, "the same record has two rows", out)
			}
			place = next.Place()
		}
		for hash, a := range actors {
			kept, err := projection.Restore(shard, hash, a.Rest(), append([]byte{}, a.State...), a.Parked)
			require.NoError(t, err)
			actors[hash] = &kept
		}
	}
	require.Equal(t, s.shard.Place(), place)
	for hash, a := range s.actors {
		require.Equal(t, show(projection.Actor{Actor: a.Actor, Parked: a.Parked}), show(projection.Actor{Actor: actors[hash].Actor, Parked: actors[hash].Parked}))
		require.Equal(t, string(a.Rest()), string(actors[hash].Rest()))
	}
}

// blanks are not the same in every build of what protobuf writes for people.
var blanks = regexp.MustCompile("\u00a0|  +")

// show writes the fields of a struct that are not empty, one a line.
func show(v any) string {
	var b strings.Builder
	showStruct(&b, "", reflect.ValueOf(v))
	return b.String()
}

func showStruct(b *strings.Builder, indent string, v reflect.Value) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() || f.IsZero() || name == "Bulk" { // which only a worker needs
			continue
		}
		if v.Type().Field(i).Anonymous {
			showStruct(b, indent, f)
			continue
		}
		name = indent + strings.ToLower(name[:1]) + name[1:]
		switch x := f.Interface().(type) {
		case fmt.Stringer:
			fmt.Fprintf(b, "%s: %s\n", name, x)
		case []byte:
			fmt.Fprintf(b, "%s: %s\n", name, x)
		case string:
			fmt.Fprintf(b, "%s: %q\n", name, blanks.ReplaceAllString(x, " "))
		case []string:
			fmt.Fprintf(b, "%s: %q\n", name, x)
		default:
			showOther(b, name, indent, f)
		}
	}
}

func showOther(b *strings.Builder, name, indent string, f reflect.Value) {
	switch f.Kind() {
	case reflect.Struct:
		fmt.Fprintf(b, "%s:\n", name)
		showStruct(b, indent+"  ", f)
	case reflect.Slice:
		for i := range f.Len() {
			if m, ok := f.Index(i).Interface().(proto.Message); ok {
				text, _ := prototext.MarshalOptions{}.Marshal(m) // one that was read can be written
				fmt.Fprintf(b, "%s[%d]: %s\n", name, i, blanks.ReplaceAllString(string(text), " "))
				continue
			}
			fmt.Fprintf(b, "%s[%d]:\n", name, i)
			showStruct(b, indent+"  ", f.Index(i))
		}
	default:
		fmt.Fprintf(b, "%s: %v\n", name, f.Interface())
	}
}

// Whatever sort of action there is has a name in its row: one that is added to records.proto, too.
func TestEventOf_EveryBody(t *testing.T) {
	t.Parallel()
	bodies := (*actorlogv1.Action)(nil).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	require.Greater(t, bodies.Len(), 15)
	for i := range bodies.Len() {
		action := new(actorlogv1.Action)
		action.ProtoReflect().Set(bodies.Get(i), protoreflect.ValueOfMessage(action.ProtoReflect().NewField(bodies.Get(i)).Message()))
		a := projection.NewActor(0, schemas.Hash{1})
		e, counts := a.Take(0, &actorlogv1.Outcome{Actor: new(actorlogv1.Actor), Action: action})
		require.True(t, counts)
		require.Equal(t, string(bodies.Get(i).Name()), e.Body)
	}
	a := projection.NewActor(0, schemas.Hash{1})
	e, counts := a.Take(0, &actorlogv1.Outcome{Actor: new(actorlogv1.Actor), Action: new(actorlogv1.Action)})
	require.True(t, counts)
	require.Empty(t, e.Body, "of a newer version")
}
