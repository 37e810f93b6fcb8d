package schemas

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Type is what a record is, with the version of its layout: the value of its `type`
// header, so that a reader can skip it without decoding it.
type Type string

// The types that are written today.
const (
	TypeAction     Type = "action/1"
	TypeOutcome    Type = "outcome/1"
	TypeClaim      Type = "claim/1"
	TypeSnapshot   Type = "snapshot/1"
	TypeCheckpoint Type = "checkpoint/1"
	TypeLease      Type = "lease/1"
	TypeStep       Type = "step/1"
	TypeDataKey    Type = "datakey/1"
)

// Header keys.
const (
	// HeaderType holds the record's Type.
	HeaderType = "type"
	// HeaderTo holds, on outcomes, the gateway that waits for it.
	HeaderTo = "to"
	// HeaderSealed is on records that are sealed, so that a reader need not look.
	HeaderSealed = "sealed"
	// HeaderTraceparent holds the W3C trace context.
	HeaderTraceparent = "traceparent"
)

// CheckpointKey is the record key of a shard's checkpoint in its partition of the
// snapshots topic. Actors' keys are 16 bytes long, so it is nobody's.
const CheckpointKey = "checkpoint"

// ClaimKey is the record key of claims.
const ClaimKey = "claim"

var (
	// ErrUnknownType says that a record is of a type that this build does not know: it was
	// written by a newer version. Nothing is lost; a newer build reads it.
	ErrUnknownType = errors.New("unknown record type")
	// ErrMalformed says that a record's bytes are not what its type says.
	ErrMalformed = errors.New("malformed record")
	// ErrSealed says that a record is sealed, and was read without the keys. Nothing is lost; with the master key it can be read.
	ErrSealed = errors.New("the record is sealed: give the master key (--seal-key-file)")
)

// TypeOf says of which type a message is written.
func TypeOf(m proto.Message) Type {
	switch m.(type) {
	case *actorlogv1.Action:
		return TypeAction
	case *actorlogv1.Outcome:
		return TypeOutcome
	case *actorlogv1.Claim:
		return TypeClaim
	case *actorlogv1.Snapshot:
		return TypeSnapshot
	case *actorlogv1.Checkpoint:
		return TypeCheckpoint
	case *actorlogv1.Lease:
		return TypeLease
	case *actorlogv1.Step:
		return TypeStep
	case *actorlogv1.DataKey:
		return TypeDataKey
	}
	panic(fmt.Sprintf("schemas: %T is no record", m))
}

// Encode returns the bytes of a record's value. Fields unknown to this build that the
// message came with are kept. The only error is a text field that is not valid UTF-8.
func Encode(m proto.Message) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: encoding a record of type %s: %w", ErrMalformed, TypeOf(m), err)
	}
	return b, nil
}

// EncodeWithRoom is Encode into memory that has room for more bytes to be appended.
func EncodeWithRoom(m proto.Message, more int) ([]byte, error) {
	size := proto.Size(m)
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, 0, size+more), m)
	if err != nil {
		return nil, fmt.Errorf("%w: encoding a record of type %s: %w", ErrMalformed, TypeOf(m), err)
	}
	return b, nil
}

// AppendPlace adds its place to the value of an outcome or step: it is known only when the rest is encoded. It keeps and extends value.
func AppendPlace(value []byte, place int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(value, placeField, protowire.VarintType), uint64(place))
}

// PlaceField is the number of the field that is the place of an outcome or step.
const PlaceField = 30

// Numbers of fields that Outcome and Step have in common.
const (
	epochField = 2
	placeField = PlaceField
)

// NoPlace is the place of a record that has none: it was written before there were places.
const NoPlace int64 = -1

// PlaceOf reads the epoch and the place of an outcome or step without decoding it. A value that is malformed has the epoch -1.
func PlaceOf(value []byte) (epoch, place int64) {
	place = NoPlace
	for len(value) > 0 {
		number, t, n := protowire.ConsumeTag(value)
		if n < 0 {
			return -1, NoPlace
		}
		value = value[n:]
		if t == protowire.VarintType && (number == epochField || number == placeField) {
			v, n := protowire.ConsumeVarint(value)
			if n < 0 {
				return -1, NoPlace
			}
			if value = value[n:]; number == epochField {
				epoch = int64(v)
			} else {
				place = int64(v)
			}
			continue
		}
		if n = protowire.ConsumeFieldValue(number, t, value); n < 0 {
			return -1, NoPlace
		}
		value = value[n:]
	}
	return epoch, place
}

// Decode reads a record's value into the newest layout of its type. The errors are
// ErrUnknownType, ErrMalformed and ErrSealed, wrapped.
func Decode(t Type, value []byte) (proto.Message, error) {
	m, err := DecodeStored(t, value)
	if err != nil {
		return nil, err
	}
	if r, ok := m.(interface{ GetSealed() *actorlogv1.Sealed }); ok && r.GetSealed() != nil && !r.GetSealed().Erased {
		return nil, fmt.Errorf("a record of type %s: %w", t, ErrSealed)
	}
	return m, nil
}

// DecodeStored is Decode for whoever keeps the keys: what is sealed stays so.
func DecodeStored(t Type, value []byte) (proto.Message, error) {
	var m proto.Message
	switch t {
	case TypeAction:
		m = new(actorlogv1.Action)
	case TypeOutcome:
		m = new(actorlogv1.Outcome)
	case TypeClaim:
		m = new(actorlogv1.Claim)
	case TypeSnapshot:
		m = new(actorlogv1.Snapshot)
	case TypeCheckpoint:
		m = new(actorlogv1.Checkpoint)
	case TypeLease:
		m = new(actorlogv1.Lease)
	case TypeStep:
		m = new(actorlogv1.Step)
	case TypeDataKey:
		m = new(actorlogv1.DataKey)
	default:
		return nil, fmt.Errorf("%w %q: written by a newer version of actorlog, which can read it", ErrUnknownType, t)
	}
	if err := proto.Unmarshal(value, m); err != nil {
		return nil, fmt.Errorf("%w: decoding a record of type %s: %w", ErrMalformed, t, err)
	}
	return m, nil
}

// DecodeAs decodes a value whose type must be M's.
func DecodeAs[M proto.Message](t Type, value []byte) (M, error) {
	var zero M
	m, err := Decode(t, value)
	if err != nil {
		return zero, err
	}
	typed, ok := m.(M)
	if !ok {
		return zero, fmt.Errorf("%w: a %s where a %s belongs", ErrMalformed, t, TypeOf(zero))
	}
	return typed, nil
}

var actionBody = (*actorlogv1.Action)(nil).ProtoReflect().Descriptor().Oneofs().ByName("body")

// BodyName is what sort of action it is, as records.proto calls the field of its body: invoke, fire, connect, ... Empty if there is none that this version knows.
func BodyName(a *actorlogv1.Action) string {
	if f := a.ProtoReflect().WhichOneof(actionBody); f != nil {
		return string(f.Name())
	}
	return ""
}
