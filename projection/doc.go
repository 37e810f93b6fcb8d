// Package projection makes rows of the log, for a database that answers questions about all actors: one [Event] for each outcome that counts, and one
// [Actor] for each actor as it is after its last one.
//
// It owns what the rows say, the fold that makes them, and the port to where they go ([Sink]). It refuses to know a database, which is
// projection/chsink's, and to read a log, which is projection/projector's.
//
//	records of a shard --Shard.Admit--> outcomes that count --Actor.Take--> Event, and the Actor after it
//
// A row is a function of its position alone: whoever folds the same log makes the same row, whatever it cut into batches and however often it began
// anew. So rows are keyed by position (events) and by actor with the highest offset (actors), and to write one twice changes nothing.
package projection
