// Package file writes the history of one actor into a file, and reads such a file as a log: whoever has it can look at the history, go through it and
// verify it without a broker, and copy the actor into another log.
//
//	Export   from a log to a file
//	Open     a file as an eventlog.Source
//
// A file is a zstd stream of a line that says what it is, and of HistoryPart messages (schemas/actorlog/v1/archive.proto), each after its length: a header, the
// records of the actor, those of other actors that answered its calls, and the end, with a checksum of all before. Records have the bytes and the offsets that they had in
// the log. Only what counts is in the file; so a reader sees the claims that made it count where they stood, but not what else was written there.
//
// It has no headers of requests, for outcomes have none. It does have arguments, results, states and connection parameters: whoever gets it can read them.
//
// Open reads the whole file and refuses one that is cut off, changed or of a newer version.
package file
