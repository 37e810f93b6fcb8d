// Package schemas is the vocabulary of the log: how an actor is named, what a record
// looks like, and which bytes it becomes.
//
// The records themselves are Protobuf messages in schemas/actorlog/v1, generated from
// records.proto. This package adds actor keys and ids, positions, the record types that
// go into the `type` header, and their decoding with an upcaster for every version that
// was ever written. testdata/golden holds the bytes of every version.
//
// The package is pure: no IO, clock, goroutine or dice.
package schemas
