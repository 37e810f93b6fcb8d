package sealed

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var typeKey = []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeDataKey)}}

// keyID is the second half of a record key of the keys topic; the first is the actor's hash.
type keyID [8]byte

const recordKeyBytes = len(schemas.Hash{}) + len(keyID{})

func recordKey(hash schemas.Hash, id keyID) []byte { return append(hash[:], id[:]...) }

// entry is one living key. It takes some 150 bytes of memory with all around it.
type entry struct {
	id      keyID
	offset  int64 // where it was first read
	master  string
	wrapped []byte
	retired bool
}

// freshFor is how long a process seals with what it knows of a partition of keys before it asks whether there is more. So a key that was retired longer ago
// seals nothing any more, anywhere.
const freshFor = 5 * time.Second

// keyring follows the topic of keys.
type keyring struct {
	log     eventlog.Log
	masters Masters
	cancel  context.CancelFunc
	done    chan struct{}

	mu sync.Mutex
	// moved is closed and replaced whenever next moves.
	moved chan struct{}
	next  []int64     // by partition
	fresh []time.Time // when all that was there had been read, by partition
	keys  map[schemas.Hash][]entry
	// destroyed is the keys whose tombstones were read since the start: a copy that was wrapped anew meanwhile does not bring one back.
	destroyed map[string]bool
	back      [][]byte // record keys of such copies
	// opened is ciphers of keys that were used, some of them.
	opened map[keyID]cipher.AEAD
	making map[schemas.Hash]chan struct{}
	err    error // why it does not follow any more
}

// maxOpened is how many ciphers are kept, at about a kilobyte each.
const maxOpened = 16384

func openKeyring(ctx context.Context, l eventlog.Log, masters Masters) (*keyring, error) {
	k := &keyring{
		log: l, masters: masters, done: make(chan struct{}), moved: make(chan struct{}), next: make([]int64, l.Partitions()), fresh: make([]time.Time, l.Partitions()),
		keys: make(map[schemas.Hash][]entry), destroyed: make(map[string]bool), opened: make(map[keyID]cipher.AEAD), making: make(map[schemas.Hash]chan struct{}),
	}
	tail, err := l.Tail(eventlog.Keys)
	if err != nil {
		return nil, fmt.Errorf("opening the keys: %w", err)
	}
	for p := range l.Partitions() {
		start, _, err := l.Bounds(ctx, eventlog.Keys, p)
		if err != nil {
			tail.Close()
			return nil, fmt.Errorf("opening the keys: %w", err)
		}
		k.next[p] = start
		tail.Add(p, start)
	}
	following, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	go k.follow(following, tail) // ends with close
	// Twice: compaction may have taken a key away before it was read, for one that was wrapped anew meanwhile.
	for range 2 {
		for p := range l.Partitions() {
			if err := k.catchUp(ctx, p); err != nil {
				k.close()
				return nil, fmt.Errorf("reading the keys: %w", err)
			}
		}
	}
	return k, nil
}

func (k *keyring) close() {
	k.cancel()
	<-k.done
}

func (k *keyring) follow(ctx context.Context, tail eventlog.Tail) {
	defer close(k.done)
	defer tail.Close()
	for {
		records, err := tail.Poll(ctx)
		k.mu.Lock()
		if err != nil {
			k.err = fmt.Errorf("following the keys: %w", err)
		}
		for i := range records {
			k.take(&records[i])
		}
		close(k.moved)
		k.moved = make(chan struct{})
		k.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take takes in a record. k.mu is held.
func (k *keyring) take(r *eventlog.Record) {
	k.next[r.Partition] = r.Offset + 1
	if r.Mark || len(r.Key) != recordKeyBytes {
		return
	}
	hash, _ := schemas.ParseHash(r.Key[:16])
	id := keyID(r.Key[16:])
	at := -1
	of := k.keys[hash]
	for i := range of {
		if of[i].id == id {
			at = i
		}
	}
	switch {
	case r.Value == nil:
		k.destroyed[string(r.Key)] = true
		delete(k.opened, id)
		if at < 0 {
			return
		}
		if of = append(of[:at:at], of[at+1:]...); len(of) == 0 {
			delete(k.keys, hash)
			return
		}
		k.keys[hash] = of
	case k.destroyed[string(r.Key)]:
		k.back = append(k.back, r.Key)
	default:
		key, err := schemas.DecodeAs[*actorlogv1.DataKey](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
		if err != nil {
			return // nobody of ours wrote it
		}
		if at >= 0 {
			of[at].master, of[at].wrapped, of[at].retired = key.Master, key.Wrapped, key.Retired
			return
		}
		k.keys[hash] = append(of[:len(of):len(of)], entry{id: id, offset: r.Offset, master: key.Master, wrapped: key.Wrapped, retired: key.Retired})
	}
}

// catchUp waits until all keys of a partition that are there now were read.
func (k *keyring) catchUp(ctx context.Context, partition int32) error {
	now := time.Now()
	_, end, err := k.log.Bounds(ctx, eventlog.Keys, partition)
	if err == nil {
		err = k.wait(ctx, partition, end-1)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fresh[partition] = now
	return nil
}

// refresh is catchUp, if that is long ago.
func (k *keyring) refresh(ctx context.Context, partition int32) error {
	k.mu.Lock()
	fresh := time.Since(k.fresh[partition]) < freshFor
	k.mu.Unlock()
	if fresh {
		return nil
	}
	return k.catchUp(ctx, partition)
}

// wait waits until the record at an offset of a partition was read.
func (k *keyring) wait(ctx context.Context, partition int32, offset int64) error {
	for {
		k.mu.Lock()
		next, moved, err := k.next[partition], k.moved, k.err
		k.mu.Unlock()
		switch {
		case next > offset:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// known says whether an actor has a key.
func (k *keyring) known(hash schemas.Hash) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.keys[hash]) > 0
}

// current is the key that records of an actor are sealed with, if it has one.
func (k *keyring) current(hash schemas.Hash) (entry, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return first(k.keys[hash])
}

// first is the one that stands first of those that are in use.
func first(of []entry) (entry, bool) {
	for _, e := range of { // in the order of the log
		if !e.retired {
			return e, true
		}
	}
	return entry{}, false
}

// find is a key of an actor by its id. It returns false when it was destroyed, for certain.
func (k *keyring) find(ctx context.Context, hash schemas.Hash, id keyID, offset int64) (entry, bool, error) {
	look := func() (entry, bool) {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, e := range k.keys[hash] {
			if e.id == id {
				return e, true
			}
		}
		return entry{}, false
	}
	if e, ok := look(); ok {
		return e, true, nil
	}
	if err := k.wait(ctx, hash.Shard(k.log.Partitions()), offset); err != nil {
		return entry{}, false, err
	}
	e, ok := look()
	return e, ok, nil
}

// make makes a key for an actor that has none. If somebody else makes one at the same time, both get the one that stands first.
func (k *keyring) make(ctx context.Context, hash schemas.Hash) (entry, error) {
	for {
		k.mu.Lock()
		if e, ok := first(k.keys[hash]); ok {
			k.mu.Unlock()
			return e, nil
		}
		busy := k.making[hash]
		if busy == nil {
			k.making[hash] = make(chan struct{})
			k.mu.Unlock()
			break
		}
		k.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return entry{}, context.Cause(ctx)
		}
	}
	defer func() {
		k.mu.Lock()
		close(k.making[hash])
		delete(k.making, hash)
		k.mu.Unlock()
	}()
	var id keyID
	key := make([]byte, keyBytes)
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(key)
	offset, err := k.write(ctx, hash, id, key, false)
	if err != nil {
		return entry{}, fmt.Errorf("making a key: %w", err)
	}
	if err := k.wait(ctx, hash.Shard(k.log.Partitions()), offset); err != nil {
		return entry{}, fmt.Errorf("making a key: %w", err)
	}
	e, ok := k.current(hash)
	if !ok {
		return entry{}, errors.New("the key was destroyed as soon as it was made: try again")
	}
	return e, nil
}

// write appends a key, wrapped.
func (k *keyring) write(ctx context.Context, hash schemas.Hash, id keyID, key []byte, retired bool) (int64, error) {
	name := recordKey(hash, id)
	master, wrapped := k.masters.wrap(key, name)
	value, err := schemas.Encode(&actorlogv1.DataKey{Master: master, Wrapped: wrapped, TimeUnixMs: time.Now().UnixMilli(), Retired: retired})
	if err != nil {
		return 0, err
	}
	return k.append(ctx, eventlog.Record{Partition: hash.Shard(k.log.Partitions()), Key: name, Value: value, Headers: typeKey})
}

func (k *keyring) append(ctx context.Context, r eventlog.Record) (int64, error) {
	type ack struct {
		offset int64
		err    error
	}
	acked := make(chan ack, 1)
	k.log.Append(ctx, eventlog.Keys, r, func(offset int64, err error) { acked <- ack{offset, err} })
	select {
	case a := <-acked:
		return a.offset, a.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// unwrap returns the bytes of a key.
func (k *keyring) unwrap(hash schemas.Hash, e entry) ([]byte, error) {
	key, err := k.masters.unwrap(e.master, e.wrapped, recordKey(hash, e.id))
	if err != nil {
		return nil, fmt.Errorf("unwrapping the key of actor %s: %w", hash, err)
	}
	return key, nil
}

// cipher of a key.
func (k *keyring) cipher(hash schemas.Hash, e entry) (cipher.AEAD, error) {
	k.mu.Lock()
	aead := k.opened[e.id]
	k.mu.Unlock()
	if aead != nil {
		return aead, nil
	}
	key, err := k.unwrap(hash, e)
	if err != nil {
		return nil, err
	}
	if aead, err = newAEAD(key); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.opened) >= maxOpened {
		clear(k.opened)
	}
	if !k.destroyed[string(recordKey(hash, e.id))] {
		k.opened[e.id] = aead
	}
	return aead, nil
}

// retire has an actor's keys seal nothing more, and returns how many it has that are retired now.
func (k *keyring) retire(ctx context.Context, hash schemas.Hash) (n int, err error) {
	return k.each(ctx, hash, func(e entry) (int64, error) {
		if e.retired {
			return e.offset, nil
		}
		key, err := k.unwrap(hash, e)
		if err != nil {
			return 0, err
		}
		return k.write(ctx, hash, e.id, key, true)
	})
}

// destroy destroys the keys of an actor that are retired, and returns how many.
func (k *keyring) destroy(ctx context.Context, hash schemas.Hash) (n int, err error) {
	return k.each(ctx, hash, func(e entry) (int64, error) {
		if !e.retired {
			return -1, nil
		}
		return k.append(ctx, eventlog.Record{Partition: hash.Shard(k.log.Partitions()), Key: recordKey(hash, e.id), Headers: typeKey})
	})
}

// each does something to all keys of an actor, and counts those for which that is in the log, at the offset that it returns, if that is not negative.
func (k *keyring) each(ctx context.Context, hash schemas.Hash, do func(entry) (int64, error)) (n int, err error) {
	partition := hash.Shard(k.log.Partitions())
	if err := k.catchUp(ctx, partition); err != nil {
		return 0, err
	}
	k.mu.Lock()
	of := slices.Clone(k.keys[hash])
	k.mu.Unlock()
	for _, e := range of {
		offset, err := do(e)
		if err == nil {
			err = k.wait(ctx, partition, offset)
		}
		if err != nil {
			return n, err
		}
		if offset >= 0 {
			n++
		}
	}
	return n, nil
}

// rewrap wraps all keys by the first master key that are wrapped by another one, and returns how many.
func (k *keyring) rewrap(ctx context.Context) (n int, err error) {
	type old struct {
		hash schemas.Hash
		entry
	}
	var all []old
	first := k.masters.keys[0].id
	k.mu.Lock()
	for hash, of := range k.keys {
		for _, e := range of {
			if e.master != first {
				all = append(all, old{hash, e})
			}
		}
	}
	k.mu.Unlock()
	for _, o := range all {
		now, ok, err := k.find(ctx, o.hash, o.id, o.offset)
		if err != nil {
			return n, err
		}
		if !ok {
			continue // it was destroyed meanwhile
		}
		key, err := k.unwrap(o.hash, o.entry)
		if err != nil {
			return n, err
		}
		if _, err := k.write(ctx, o.hash, o.id, key, now.retired); err != nil {
			return n, err
		}
		n++
	}
	for p := range k.log.Partitions() {
		if err := k.catchUp(ctx, p); err != nil {
			return n, err
		}
	}
	// One that was destroyed while it was wrapped anew must stay so for those who read the keys after compaction.
	k.mu.Lock()
	back := k.back
	k.back = nil
	k.mu.Unlock()
	for _, key := range back {
		hash, _ := schemas.ParseHash(key[:16])
		if _, err := k.append(ctx, eventlog.Record{Partition: hash.Shard(k.log.Partitions()), Key: bytes.Clone(key), Headers: typeKey}); err != nil {
			return n, err
		}
	}
	return n, nil
}
