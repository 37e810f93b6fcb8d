// Package sim runs the whole system, but for sockets, in virtual time over a log in memory, hurts it as a seed
// says, and checks that the promises hold: workers crash, stop, start and come back as zombies, appends are slow, fail, are
// written and reported as failed, records arrive twice, callers lose the brokers.
//
// A seed decides the settings, what callers do, and every fault. The goroutines of the system still interleave
// freely, so a seed is not one execution, but it fails again nearly always.
//
// # What is checked
//
// Every request has a token, and everything that it causes has one that is derived from it. Actors keep the tokens that
// reached them, in order, as their state and broadcast them. Then, when the faults have ended and all is quiet:
//
//   - what was acknowledged is there once, what was refused is not there, and what was left open is there once or not at all;
//   - so is what follows from it: calls and messages to other actors, schedules that fired, steps, ends of connections;
//   - a subscriber that followed, and resumed where it was cut off, got every token once and in order;
//   - the log read from scratch gives the states that the workers serve, and each action has one outcome that counts;
//   - the log agrees with the heads of its hash chains;
//   - no schedule fired before its time, and what an action returned is what its recorded step said;
//   - everything that was asked has been answered.
//
// # The same with other settings
//
// TestMetamorphic plays scripts without faults of the log, with other numbers of shards and snapshots, without the local store, asleep between any two operations, with a
// crash after every append, and compares all that can be observed.
//
// Package bite breaks the rules that these rest on, one after the other, and shows which seed notices.
package sim
