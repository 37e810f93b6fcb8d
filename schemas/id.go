package schemas

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// Hash names an actor in all its lives: the first 128 bits of SHA-256 over namespace,
// kind and key, each preceded by its length. It is the key of every record about the actor.
type Hash [16]byte

// HashOf hashes an actor's identity. No two identities have the same input to the
// hash: lengths are part of it.
func HashOf(namespace, kind string, key Key) Hash {
	n := 2*binary.MaxVarintLen32 + len(namespace) + len(kind)
	for _, part := range key {
		n += binary.MaxVarintLen32 + len(part)
	}
	buf := make([]byte, 0, n)
	buf = appendString(buf, namespace)
	buf = appendString(buf, kind)
	for _, part := range key {
		buf = appendString(buf, part)
	}
	sum := sha256.Sum256(buf)
	return Hash(sum[:16])
}

func appendString(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// ParseHash reads the key of a record.
func ParseHash(recordKey []byte) (Hash, bool) {
	if len(recordKey) != len(Hash{}) {
		return Hash{}, false
	}
	return Hash(recordKey), true
}

// Shard is the partition that the actor lives in, of n.
func (h Hash) Shard(n int32) int32 {
	return int32(binary.BigEndian.Uint64(h[:8]) % uint64(n))
}

// String is the first part of an actor id.
func (h Hash) String() string { return idEncoding.EncodeToString(h[:]) }

// ActorID names one life of one actor, and is enough to route to it without any look-up.
type ActorID struct {
	Hash       Hash
	Generation uint32
}

var (
	idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

	// ErrActorID says that a text is not an actor id.
	ErrActorID = errors.New("not an actor id")
)

const hashTextLen = 26

// String is 26 characters of hash and at least 4 of generation, all of [0-9a-v].
func (id ActorID) String() string {
	return fmt.Sprintf("%s%04s", id.Hash, strconv.FormatUint(uint64(id.Generation), 32))
}

// ParseActorID is the inverse of [ActorID.String]; it accepts no second spelling of an id.
func ParseActorID(text string) (ActorID, error) {
	if len(text) < hashTextLen+4 || len(text) > hashTextLen+7 {
		return ActorID{}, fmt.Errorf("%w: %q has %d characters", ErrActorID, text, len(text))
	}
	var id ActorID
	if n, err := idEncoding.Decode(id.Hash[:], []byte(text[:hashTextLen])); err != nil || n != len(id.Hash) {
		return ActorID{}, fmt.Errorf("%w: %q", ErrActorID, text)
	}
	generation, err := strconv.ParseUint(text[hashTextLen:], 32, 32)
	if err != nil || generation == 0 {
		return ActorID{}, fmt.Errorf("%w: %q has no generation", ErrActorID, text)
	}
	id.Generation = uint32(generation)
	if id.String() != text {
		return ActorID{}, fmt.Errorf("%w: %q", ErrActorID, text)
	}
	return id, nil
}

// Position is a place in a topic: partition and offset. Its text is "partition:offset".
type Position struct {
	Partition int32
	Offset    int64
}

// String is "partition:offset", both decimal.
func (p Position) String() string {
	return strconv.FormatInt(int64(p.Partition), 10) + ":" + strconv.FormatInt(p.Offset, 10)
}

// ParsePosition is the inverse of [Position.String].
func ParsePosition(text string) (Position, error) {
	for i := range len(text) {
		if text[i] != ':' {
			continue
		}
		partition, err1 := strconv.ParseUint(text[:i], 10, 31)
		offset, err2 := strconv.ParseUint(text[i+1:], 10, 63)
		p := Position{Partition: int32(partition), Offset: int64(offset)}
		if err1 == nil && err2 == nil && p.String() == text {
			return p, nil
		}
		break
	}
	return Position{}, fmt.Errorf("not a position: %q is not of the form partition:offset", text)
}
