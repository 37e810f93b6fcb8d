// Package replay reads history from the log: what actors did, what they were at any event or time, and why.
//
// It owns the way from records of the events topic to events that count, in either direction, and to the actor that they make.
// It refuses to write anything, to ask a worker, and to run user code: history is in the log, and the log is readable without the code.
//
//	Shard, History   oldest first, by a scan of the partition
//	Back             newest first, by the chain of previous events, without a scan
//	Fold, FoldShard  the actor before and after each event
//	Head, At         the actor now, and at an offset
//
// # Which records count
//
// The same rule as for every reader (machine.Fence, machine.Answers). A scan that starts in the middle first reads back until a claim
// says which records count from there on. The chain needs that once, for its newest event: an event that counts was written by an owner who knew which one
// was before it. Where the offset that it names was foretold and did not come true, the place in the record tells, and the partition is searched.
//
// # How it fails
//
// Events that are not kept any more are [ErrGone]. An event that counts but cannot be read has Err set, and breaks its actor and no other, as it does at a
// worker. A record of a type that this build does not know ends the reading: a newer build reads it.
package replay
