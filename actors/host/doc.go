// Package host runs actors: it owns the goroutines, clocks and disks around the pure
// rules of package machine.
//
//	Worker           one process: membership, the reader of actions, the local store
//	  shard          one partition that this worker owns: claim, recovery, commits, checkpoints
//	    cell         one actor in memory: mailbox, state, at most one running action
//	      execution  one run of user code: its context, calls and recorded steps
//	      activation one stay in memory: vars, and the loop that runs beside the actions
//	    agenda       what is to be done for actors without being asked: schedules, connections of dead gateways
//	    outbox       messages to other actors that are committed and not delivered yet
//	  standbys       shards that others own, followed for the case that one is given to this worker
//	  leases         which gateways live
//
// # The life of a shard
//
//	          assigned
//	             |
//	             v
//	 fence the old owner's snapshots -> claim (its offset = epoch) -> recover up to the claim
//	             |
//	             v
//	 serve: read actions -> mailboxes -> run -> append outcomes -> acknowledged -> checkpoint
//	    |            |                 |
//	released        lost        failed (an append failed, or a record in events is not ours)
//	    |            |                 |
//	finish running   drop all     drop all; stop if a newer claim is there, else claim again
//	actions, final
//	checkpoint
//
// # What is speculative and what is durable
//
// A cell has two views of its actor. head includes outcomes that are appended but not yet
// acknowledged; the next action runs on it, which is safe because nothing leaves but through
// the log. durable includes acknowledged outcomes only, contiguous from the claim on; only
// durable goes into snapshots and the local store. A failure drops both and reads the log.
//
// # Locks
//
// In this order, and the log's Append may be called with the first three held, so the
// acknowledgement, which may be what Append waits for, takes ackMu alone:
//
//	shard.cellsMu -> cell.mu -> shard.appendMu -> shard.ackMu
package host
