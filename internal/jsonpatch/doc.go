// Package jsonpatch compares and changes JSON documents as text: the state of an actor before
// and after an action, and an RFC 6902 JSON Patch between them.
//
// It exists because every action that changes its actor pays for one Diff, and every event of
// a replay for one Apply. Both work on the bytes, without building a tree: numbers keep the
// digits that they are written with, members keep their order, and what a patch does not touch
// is copied as it is. Ops that Diff never writes (move, copy, test) are left to a
// library.
//
// Documents must be valid JSON without duplicate member names, as encoding/json writes them. Given
// anything else the functions return an error or another text that is not valid, and never panic.
// The package is pure.
package jsonpatch
