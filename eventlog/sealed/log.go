package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var (
	_ eventlog.Log    = (*Log)(nil)
	_ eventlog.Sealer = (*Log)(nil)
)

// AllKinds, as a kind, has the records of all actors sealed.
const AllKinds = "*"

// Log seals what is appended to another log, and unseals what is read from it. It is safe for concurrent use.
type Log struct {
	eventlog.Log
	kinds map[string]bool
	ring  *keyring
}

// Open reads all keys and goes on to follow them. Records of actors of these kinds are sealed from now on, and those of any actor that has a key, so kinds may be empty to
// read alone. ctx bounds the opening only.
func Open(ctx context.Context, l eventlog.Log, masters Masters, kinds ...string) (*Log, error) {
	if len(masters.keys) == 0 {
		return nil, errors.New("there is no master key to seal records with")
	}
	ring, err := openKeyring(ctx, l, masters)
	if err != nil {
		return nil, err
	}
	s := &Log{Log: l, kinds: make(map[string]bool), ring: ring}
	for _, kind := range kinds {
		s.kinds[kind] = true
	}
	return s, nil
}

// Close ends the following of the keys. The other log stays open.
func (l *Log) Close() { l.ring.close() }

// record is what records that may be sealed have in common.
type record interface {
	proto.Message
	GetActor() *actorlogv1.Actor
	GetSealed() *actorlogv1.Sealed
}

// decode returns a record that may be sealed, nil for any other.
func decode(t eventlog.Topic, r *eventlog.Record) (record, schemas.Type, error) {
	typ := schemas.Type(r.Header(schemas.HeaderType))
	switch typ {
	case schemas.TypeAction, schemas.TypeOutcome, schemas.TypeStep, schemas.TypeSnapshot:
	default:
		return nil, typ, nil
	}
	if r.Value == nil || t == eventlog.Gateways || t == eventlog.Keys {
		return nil, typ, nil
	}
	m, err := schemas.DecodeStored(typ, r.Value)
	if err != nil {
		return nil, typ, err
	}
	return m.(record), typ, nil
}

// bound is what is authenticated along with what is sealed.
func bound(t schemas.Type, hash schemas.Hash) []byte { return append([]byte(t), hash[:]...) }

// Seal implements [eventlog.Sealer].
func (l *Log) Seal(ctx context.Context, t eventlog.Topic, r *eventlog.Record) error {
	if r.Stored != nil {
		return nil
	}
	m, typ, err := decode(t, r)
	hash, ok := schemas.ParseHash(r.Key)
	if err != nil || m == nil || !ok || m.GetSealed() != nil {
		return err
	}
	if !l.wants(hash, m.GetActor().GetKind()) {
		return nil
	}
	taken := schemas.Split(m)
	if taken == nil {
		return nil // nothing in it belongs to users
	}
	key, ok, err := l.keyFor(ctx, hash, m.GetActor().GetKind())
	if err != nil || !ok {
		return err
	}
	text, err := proto.Marshal(taken)
	if err != nil {
		return fmt.Errorf("%w: %w", schemas.ErrMalformed, err)
	}
	aead, err := l.ring.cipher(hash, key)
	if err != nil {
		return err
	}
	setSealed(m, &actorlogv1.Sealed{KeyId: key.id[:], KeyOffset: key.offset, Text: encrypt(aead, text, bound(typ, hash))})
	if r.Stored, err = schemas.Encode(m); err != nil {
		return err
	}
	r.Headers = append(slices.Clone(r.Headers), eventlog.Header{Key: schemas.HeaderSealed})
	return nil
}

// wants says whether a record may have to be sealed.
func (l *Log) wants(hash schemas.Hash, kind string) bool {
	return l.ring.known(hash) || l.kinds[AllKinds] || l.kinds[kind] || (kind == "" && len(l.kinds) > 0)
}

// keyFor returns the key to seal a record with; false if it is not to be sealed.
func (l *Log) keyFor(ctx context.Context, hash schemas.Hash, kind string) (entry, bool, error) {
	if err := l.ring.refresh(ctx, hash.Shard(l.Partitions())); err != nil {
		return entry{}, false, err
	}
	if key, ok := l.ring.current(hash); ok {
		return key, true, nil
	}
	if l.kinds[AllKinds] || l.kinds[kind] || l.ring.known(hash) {
		key, err := l.ring.make(ctx, hash)
		return key, true, err
	}
	// An action that is addressed by id: if its actor is of a kind that is sealed, it has a key, for somebody has written of it before.
	if err := l.ring.catchUp(ctx, hash.Shard(l.Partitions())); err != nil {
		return entry{}, false, err
	}
	key, ok := l.ring.current(hash)
	return key, ok, nil
}

// Unseal implements [eventlog.Sealer].
func (l *Log) Unseal(ctx context.Context, t eventlog.Topic, r *eventlog.Record) error {
	m, typ, err := decode(t, r)
	hash, ok := schemas.ParseHash(r.Key)
	if err != nil || m == nil || !ok || m.GetSealed() == nil {
		return nil //nolint:nilerr // what cannot be decoded is the reader's to judge
	}
	s := m.GetSealed()
	s.Erased = false // for us to say
	if len(s.KeyId) != len(keyID{}) {
		r.Stored, r.Value = r.Value, spoilt(typ, r.Value)
		return nil
	}
	key, ok, err := l.ring.find(ctx, hash, keyID(s.KeyId), s.KeyOffset)
	if err != nil {
		return err
	}
	if ok {
		aead, err := l.ring.cipher(hash, key)
		if err != nil {
			return err
		}
		text, err := decrypt(aead, s.Text, bound(typ, hash))
		if err != nil {
			r.Stored, r.Value = r.Value, spoilt(typ, r.Value)
			return nil //nolint:nilerr // a record that was changed is the reader's to judge, too
		}
		taken := m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(text, taken); err != nil {
			return fmt.Errorf("%w: %w", schemas.ErrMalformed, err)
		}
		if err := schemas.Join(m, taken); err != nil {
			return err
		}
		setSealed(m, nil)
	} else {
		setSealed(m, &actorlogv1.Sealed{KeyId: s.KeyId, KeyOffset: s.KeyOffset, Erased: true})
	}
	value, err := schemas.Encode(m)
	if err != nil {
		return err
	}
	r.Stored, r.Value = r.Value, value
	return nil
}

// spoilt is a record that was tampered with, as one that cannot be decoded: that stops its actor, as any such record does, and no other. What readers take from it without
// decoding it, its epoch and its place, stays, or all that follows would be void.
func spoilt(t schemas.Type, value []byte) []byte {
	text := map[schemas.Type]protowire.Number{schemas.TypeAction: 2, schemas.TypeOutcome: 6, schemas.TypeStep: 5, schemas.TypeSnapshot: 9}[t]
	const notUTF8 = "\xff"
	return protowire.AppendString(protowire.AppendTag(bytes.Clone(value), text, protowire.BytesType), notUTF8)
}

func setSealed(m record, s *actorlogv1.Sealed) {
	switch m := m.(type) {
	case *actorlogv1.Action:
		m.Sealed = s
	case *actorlogv1.Outcome:
		m.Sealed = s
	case *actorlogv1.Step:
		m.Sealed = s
	case *actorlogv1.Snapshot:
		m.Sealed = s
	}
}

// Append implements [eventlog.Log].
func (l *Log) Append(ctx context.Context, t eventlog.Topic, r eventlog.Record, done func(offset int64, err error)) {
	if err := l.Seal(ctx, t, &r); err != nil {
		go done(0, fmt.Errorf("sealing a record of %s[%d]: %w", t, r.Partition, err)) // callers may hold what done needs
		return
	}
	r.Value, r.Stored = r.Bytes(), nil
	l.Log.Append(ctx, t, r, done)
}

// Snapshots implements [eventlog.Log].
func (l *Log) Snapshots(ctx context.Context, partition int32) (eventlog.SnapshotWriter, error) {
	w, err := l.Log.Snapshots(ctx, partition)
	if err != nil {
		return nil, err
	}
	return &writer{SnapshotWriter: w, log: l}, nil
}

type writer struct {
	eventlog.SnapshotWriter
	log *Log
}

// Write implements [eventlog.SnapshotWriter].
func (w *writer) Write(ctx context.Context, records []eventlog.Record) (int64, error) {
	kept := slices.Clone(records)
	for i := range kept {
		r := &kept[i]
		if err := w.log.Seal(ctx, eventlog.Snapshots, r); err != nil {
			return 0, fmt.Errorf("sealing a snapshot: %w", err)
		}
		r.Value, r.Stored = r.Bytes(), nil
	}
	return w.SnapshotWriter.Write(ctx, kept)
}

// Tail implements [eventlog.Log].
func (l *Log) Tail(t eventlog.Topic) (eventlog.Tail, error) {
	inner, err := l.Log.Tail(t)
	if err != nil || t == eventlog.Gateways || t == eventlog.Keys {
		return inner, err
	}
	return &tail{Tail: inner, log: l, topic: t}, nil
}

type tail struct {
	eventlog.Tail
	log   *Log
	topic eventlog.Topic
	// failed is what is to be said of a partition, after the records before it.
	failed *eventlog.PartitionError
}

// Poll implements [eventlog.Tail].
func (t *tail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	if f := t.failed; f != nil {
		t.failed = nil
		return nil, f
	}
	records, err := t.Tail.Poll(ctx)
	good := records[:0]
	for i := range records {
		r := records[i]
		if t.failed != nil && t.failed.Partition == r.Partition {
			continue
		}
		if sealedRecord(&r) {
			if err := t.log.Unseal(ctx, t.topic, &r); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				t.Remove(r.Partition)
				t.failed = &eventlog.PartitionError{Topic: t.topic, Partition: r.Partition, Err: fmt.Errorf("unsealing the record at %d: %w", r.Offset, err)}
				continue
			}
		}
		good = append(good, r)
	}
	if len(good) == 0 && t.failed != nil && err == nil {
		f := t.failed
		t.failed = nil
		return nil, f
	}
	return good, err
}

// sealedRecord says whether a record is marked as sealed.
func sealedRecord(r *eventlog.Record) bool {
	return slices.ContainsFunc(r.Headers, func(h eventlog.Header) bool { return h.Key == schemas.HeaderSealed })
}

// Keys returns how many living keys an actor has.
func (l *Log) Keys(ctx context.Context, hash schemas.Hash) (int, error) {
	if err := l.ring.catchUp(ctx, hash.Shard(l.Partitions())); err != nil {
		return 0, err
	}
	l.ring.mu.Lock()
	defer l.ring.mu.Unlock()
	return len(l.ring.keys[hash]), nil
}

// RetireFor is how long after Retire some process may still seal with what was retired.
const RetireFor = freshFor + time.Second

// Retire has an actor's keys seal nothing more after RetireFor: what is written of it gets another key. It returns how many keys are retired.
func (l *Log) Retire(ctx context.Context, hash schemas.Hash) (int, error) {
	n, err := l.ring.retire(ctx, hash)
	if err != nil {
		return n, fmt.Errorf("retiring the keys of actor %s: %w", hash, err)
	}
	return n, nil
}

// Destroy destroys the keys of an actor that were retired, and returns how many there were. What was sealed with them cannot be read any more by anybody who has heard of
// it; the brokers delete the keys themselves when they compact the topic. What some process seals with them still, because they were not retired for long enough, is lost.
func (l *Log) Destroy(ctx context.Context, hash schemas.Hash) (int, error) {
	n, err := l.ring.destroy(ctx, hash)
	if err != nil {
		return n, fmt.Errorf("destroying the keys of actor %s: %w", hash, err)
	}
	return n, nil
}

// Rewrap wraps all keys by the first master key that are wrapped by another one, and returns how many. When every process has that master key and this returns
// 0, the others are not needed any more.
func (l *Log) Rewrap(ctx context.Context) (int, error) {
	n, err := l.ring.rewrap(ctx)
	if err != nil {
		return n, fmt.Errorf("wrapping keys anew: %w", err)
	}
	return n, nil
}
