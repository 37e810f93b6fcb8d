// Package machine is the pure core of actorlog: the rules by which a log of actions
// becomes a log of outcomes, and a log of outcomes becomes actors. It does no IO, has no
// clock, goroutine or dice; the same inputs give the same answers in every process.
//
// It owns four rules:
//
//   - Fence: which outcomes of a partition count ([Fence]).
//   - Fold: what an outcome does to its actor ([Actor.Apply]).
//   - Step: which outcome an action gets ([Actor.Step]). Where user code has to run, Step says
//     so and waits to be told the result.
//   - Window: from where a partition of actions has to be read again ([Window]).
//
// One action's way through Step:
//
//	            +--> Skip               answered before
//	Ask --------+--> Outcome            refused, repeated, looked up, read, destroyed
//	            +--> Run --> Returned --> Outcome
//
// The host appends the outcome and tells the actor with Appended where it will stand. Actor
// values are copied freely: slices in them are only ever appended to, never changed in place,
// so a copy is a snapshot. But of two copies only one may go on: they append to the same memory.
package machine
