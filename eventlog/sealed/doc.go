// Package sealed keeps what belongs to users in records of actors encrypted, with a key for each actor, so that an actor can be erased from a log
// that nobody can change: its key is destroyed.
//
//	Log       an [eventlog.Log] before another one: seals what is appended, unseals what is read
//	keyring   the keys, from the topic of keys; made when an actor is first written of
//	Masters   the keys that wrap them, given to processes
//
// # What is sealed
//
// The fields that schemas.Split takes out of actions, outcomes, steps and snapshots, of kinds for which that is asked, and of any actor that has a
// key. Who an actor is, what was asked of it, when, by whom and where it stands stays readable; so do names and ids. AES-256-GCM authenticates the
// record's type and actor along with it.
//
// # Where the keys are
//
// In a topic of their own, wrapped by a master key, which no broker has. It is compacted, so that a tombstone makes the brokers delete a key. That needs
// nothing that is not there anyway, keys are as durable as what they seal, and all processes hear of them in one order. In a table of some other store, the two could lose
// each other.
//
// The record key is the actor's hash and an id of the key, drawn at random. So if two processes make a key for a new actor at the same time, compaction
// keeps both, and either opens what it sealed: a record names its key. All use the one that stands first, once they have read their own.
//
// # Erasing an actor
//
// A process that has not heard of the tombstone yet would go on to seal with the key, and what it seals would be lost. So a key is retired first: what is written from then on
// gets another one. Processes ask for news of the keys before they seal if the last ones are older than five seconds; after that time nobody seals with it, and it can be destroyed.
//
//	destroy the actor -> retire its keys -> wait -> destroy what has come to life meanwhile -> destroy the keys
//
// # Absent, or not there yet
//
// The topics are independent of each other: a record may be read before its key. So a record tells where its key stands, too. Who has read
// the keys up to there and does not have it knows that it was destroyed; who has not, reads on first. The record is given out with what schemas.Split leaves in place of
// what was taken, and marked as erased.
//
// # How it fails
//
// A key that cannot be made, read or unwrapped fails the append or the partition, as brokers that are away do: nothing is taken for erased that is not, and nothing is
// written in the clear. A process without master keys reads sealed records as they are, and schemas.Decode tells it that they are sealed.
package sealed
