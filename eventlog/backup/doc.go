// Package backup copies the topics of a log into files, and makes a log of them again.
//
// A backup is one file for each topic and partition, and a manifest that is written last: without it there is no backup. Restored, every
// record of actions and events stands at the offset where it stood, so positions, epochs and refs mean what they meant; workers recover from the latest
// checkpoint as after any other loss of all workers.
//
// It can be taken while everything runs. Snapshots are copied first, then events, then actions, so that a checkpoint never refers to an event, nor an
// event to an action, which is not there. What was asked and not answered is answered after the restore. One thing is only certain of a backup at
// rest: what one actor has told another is one instant in a shard, but not the same instant in all of them, so an action that sent a message may be carried out
// again, from what its actor was, after the addressee has had the message. The addressee does not take it twice.
//
// Sealed records are copied as they are, and the keys of actors after them, wrapped by the master key, which is in no backup: so every record has its key, and a key that was destroyed before is not among
// them. One that is destroyed afterwards is: whoever has the backup and the master key can read what was erased since, and a log that is restored has not heard of it.
//
// Leases of gateways are not copied: a gateway that is gone renews none, and workers end its connections.
//
// Where the beginning of actions has expired, a restored log has empty records in its place, which no reader heeds. Events must be there from the
// beginning: read them through an archive if the brokers have forgotten some.
package backup
