package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// store is the worker's local cache of the log: snapshots of actors that sleep, and how far each
// shard's cache goes. It holds durable outcomes only, so that whatever is left of it after
// a crash is a true prefix of history:
//
//	Invariant: every outcome below place(p).EventsOffset is in a snapshot of the store, or in one that stands in snapshots[p] from
//	place(p).snapshotsNext on.
//
// Writes are not synced. Pebble's log keeps their order, so a lost tail loses the
// place along with the snapshots it speaks for.
//
// Keys: "i" identity of the log; "p" partition: place; "a" partition hash: snapshot; "t" partition hash: what is to be
// known of the actor while it sleeps, if anything.
//
// Snapshots are kept as the log keeps them: what is sealed there is sealed here, and cannot be read once its key is destroyed.
type store struct {
	log   eventlog.Log
	db    *pebble.DB
	cache *pebble.Cache
}

// place is how far the store's cache of a shard goes.
type place struct {
	checkpoint *actorlogv1.Checkpoint
	// snapshotsNext is the first offset of the shard's snapshots topic that the store has not seen.
	snapshotsNext int64
}

var identityKey = []byte("i")

// openStore opens the store and empties it if it is of another log.
func openStore(dir string, log eventlog.Log) (*store, error) {
	identity := log.Identity()
	// Most keys that are asked for are there, and cells are the first cache: a small
	// block cache is enough.
	cache := pebble.NewCache(32 << 20)
	opts := &pebble.Options{Cache: cache, MemTableSize: 16 << 20, Logger: quiet{}}
	if dir == "" {
		opts.FS = vfs.NewMem()
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		cache.Unref()
		return nil, fmt.Errorf("opening the local store in %s (another worker may be using it; it is a cache and may be deleted while none runs): %w", dir, err)
	}
	s := &store{log: log, db: db, cache: cache}
	found, err := s.get(identityKey)
	if err == nil && string(found) != identity {
		err = errors.Join(db.DeleteRange([]byte{0}, []byte{0xff}, pebble.NoSync), db.Set(identityKey, []byte(identity), pebble.NoSync))
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("reading the local store in %s: %w", dir, err)
	}
	return s, nil
}

func (s *store) close() error {
	err := s.db.Close()
	s.cache.Unref()
	return err
}

// get returns a copy of the value, nil when there is none.
func (s *store) get(key []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if pebble.IsCorruptionError(err) {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, value...), nil
}

func actorKey(p int32, hash schemas.Hash) []byte { return keyOf('a', p, hash) }
func indexKey(p int32, hash schemas.Hash) []byte { return keyOf('t', p, hash) }

func keyOf(prefix byte, p int32, hash schemas.Hash) []byte {
	key := make([]byte, 0, 21)
	key = binary.BigEndian.AppendUint32(append(key, prefix), uint32(p))
	return append(key, hash[:]...)
}

func placeKey(p int32) []byte { return binary.BigEndian.AppendUint32([]byte{'p'}, uint32(p)) }

// load returns the actor as the store has it; a new one when it has none.
func (s *store) load(p int32, hash schemas.Hash) (machine.Actor, error) {
	value, err := s.get(actorKey(p, hash))
	if err != nil {
		return machine.Actor{}, fmt.Errorf("reading actor %s from the local store: %w", hash, err)
	}
	if value == nil {
		return machine.NewActor(hash), nil
	}
	r := eventlog.Record{Partition: p, Key: hash[:], Value: value, Headers: []eventlog.Header{typeSnapshot}}
	if err := eventlog.Unseal(context.Background(), s.log, eventlog.Snapshots, &r); err != nil {
		return machine.Actor{}, fmt.Errorf("reading actor %s from the local store: %w", hash, err)
	}
	snapshot, err := schemas.DecodeAs[*actorlogv1.Snapshot](schemas.TypeSnapshot, r.Value)
	switch {
	case errors.Is(err, schemas.ErrSealed):
		return machine.Actor{}, fmt.Errorf("reading actor %s from the local store: %w", hash, err)
	case err != nil:
		return machine.Actor{}, fmt.Errorf("%w: actor %s: %w", errDamaged, hash, err)
	}
	a, err := machine.Restore(hash, snapshot)
	if err != nil {
		return a, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return a, nil
}

// encode returns a snapshot as it is to be put.
func (s *store) encode(p int32, hash schemas.Hash, snapshot *actorlogv1.Snapshot) ([]byte, error) {
	value, err := schemas.Encode(snapshot)
	if err != nil {
		return nil, err
	}
	r := eventlog.Record{Partition: p, Key: hash[:], Value: value, Headers: []eventlog.Header{typeSnapshot}}
	if err := eventlog.Seal(context.Background(), s.log, eventlog.Snapshots, &r); err != nil {
		return nil, fmt.Errorf("sealing actor %s for the local store: %w", hash, err)
	}
	return r.Bytes(), nil
}

// place returns how far the cache of a shard goes; from the beginning when there is none.
func (s *store) place(p int32) (place, error) {
	value, err := s.get(placeKey(p))
	if err != nil || value == nil {
		return place{}, err
	}
	next, n := binary.Varint(value)
	pl := place{checkpoint: new(actorlogv1.Checkpoint), snapshotsNext: next}
	if n <= 0 {
		return place{}, fmt.Errorf("%w: the place of shard %d", errDamaged, p)
	}
	if err := proto.Unmarshal(value[n:], pl.checkpoint); err != nil {
		return place{}, fmt.Errorf("%w: the place of shard %d: %w", errDamaged, p, err)
	}
	return pl, nil
}

// batch collects writes that take effect together.
type batch struct{ *pebble.Batch }

func (s *store) batch() batch { return batch{s.db.NewBatch()} }

// put stores a snapshot, and what the shard's agenda has to know of the actor.
func (b batch) put(p int32, hash schemas.Hash, snapshot []byte, index *actorlogv1.Snapshot) error {
	if err := b.Set(actorKey(p, hash), snapshot, nil); err != nil {
		return err
	}
	if index == nil {
		return b.Delete(indexKey(p, hash), nil)
	}
	value, err := proto.Marshal(index)
	if err != nil {
		return err
	}
	return b.Set(indexKey(p, hash), value, nil)
}

func (b batch) drop(p int32, hash schemas.Hash) error {
	return errors.Join(b.Delete(actorKey(p, hash), nil), b.Delete(indexKey(p, hash), nil))
}

// clear drops all that the store has of a shard.
func (b batch) clear(p int32) error {
	var err error
	for _, prefix := range []byte{'a', 't'} {
		err = errors.Join(err, b.DeleteRange(keyOf(prefix, p, schemas.Hash{})[:5], keyOf(prefix, p+1, schemas.Hash{})[:5], nil))
	}
	return errors.Join(err, b.Delete(placeKey(p), nil))
}

// indexOf is what the agenda has to know of an actor that sleeps: a snapshot of nothing else. nil when there is nothing.
func indexOf(s *actorlogv1.Snapshot) *actorlogv1.Snapshot {
	if len(s.Schedules) == 0 && len(s.Connections) == 0 && len(s.Queue) == 0 {
		return nil
	}
	index := &actorlogv1.Snapshot{
		Actor: &actorlogv1.Actor{Kind: s.GetActor().GetKind(), Generation: s.GetActor().GetGeneration()}, Alive: true,
	}
	for _, sch := range s.Schedules {
		index.Schedules = append(index.Schedules, &actorlogv1.Schedule{Id: sch.Id, DueUnixMs: sch.DueUnixMs})
	}
	for _, n := range s.Connections {
		index.Connections = append(index.Connections, &actorlogv1.Connection{Id: n.Id, Gateway: n.Gateway})
	}
	if len(s.Queue) > 0 {
		index.Queue = []*actorlogv1.QueuedMessage{{Id: s.Queue[0].Id}}
	}
	return index
}

// index calls fn for every actor of a shard of which the agenda has to know something.
func (s *store) index(p int32, fn func(a *machine.Actor)) error {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: keyOf('t', p, schemas.Hash{})[:5], UpperBound: keyOf('t', p+1, schemas.Hash{})[:5]})
	if err != nil {
		return fmt.Errorf("reading the index of shard %d in the local store: %w", p, err)
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		hash, fine := schemas.ParseHash(iter.Key()[5:])
		entry := new(actorlogv1.Snapshot)
		if err := proto.Unmarshal(iter.Value(), entry); err != nil || !fine {
			return errors.Join(fmt.Errorf("%w: an entry of the index of shard %d", errDamaged, p), err, iter.Close())
		}
		a, err := machine.Restore(hash, entry)
		if err != nil {
			return errors.Join(errDamaged, err, iter.Close())
		}
		fn(&a)
	}
	return iter.Close()
}

func (b batch) setPlace(p int32, pl place) error {
	checkpoint, err := proto.Marshal(pl.checkpoint)
	if err != nil {
		return err
	}
	return b.Set(placeKey(p), append(binary.AppendVarint(nil, pl.snapshotsNext), checkpoint...), nil)
}

// put stores one snapshot.
func (s *store) put(p int32, hash schemas.Hash, snapshot []byte, index *actorlogv1.Snapshot) error {
	b := s.batch()
	defer b.Close()
	if err := b.put(p, hash, snapshot, index); err != nil {
		return err
	}
	return b.Commit(noSync)
}

// quiet drops Pebble's chatter; its errors come back from the calls.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("local store: "+format, args...))
}

// errDamaged says that the local store has something that cannot be read. It is a cache: what it has of the shard is dropped.
var errDamaged = errors.New("the local store is damaged")

// mend drops what the store has of a shard if that is why err came about.
func (w *Worker) mend(p int32, err error) {
	if !errors.Is(err, errDamaged) {
		return
	}
	b := w.store.batch()
	defer b.Close()
	if err := errors.Join(b.clear(p), b.Commit(noSync)); err != nil {
		w.cfg.Events.ShardRetry(p, fmt.Errorf("dropping what the local store has of shard %d: %w", p, err))
	}
}
