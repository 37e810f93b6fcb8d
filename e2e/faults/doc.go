// Package faults runs broker, workers and gateways as processes, hurts them while clients are at work, and then compares what the
// clients were told with what the actors know. It is the fault matrix: each scenario is one fault, against the embedded broker, against
// Apache Kafka, and against nodes of Apache Kafka that die themselves.
//
// What is checked after each of them stands in the load that has it:
//
//	counters    every acknowledged increment counts once, in the order in which each client asked; the event stream has all of them, without a gap
//	            or a repeat, at the positions that the callers were told, through gateways that die
//	registers   reads, writes and compare-and-sets are linearizable (porcupine)
//	totals      calls and messages between actors are neither lost nor doubled
//	accounts    no money is made or lost
//	metronomes  no beat is missing, early or there twice
//
// A call without an answer may have happened, may still happen, or not: unless it is repeated with an idempotency key, it is checked as
// one that may take effect at any time later.
//
// It runs when ACTORLOG_TEST_FAULTS is set, as make faults does. Without flags each scenario takes some ten seconds; -faults.duration has it
// go on for so long, and -short leaves all but the most telling ones out, as CI does. docs/guarantees.md has the last result.
package faults
