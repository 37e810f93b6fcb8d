// Package archive keeps events in files beyond the time for which the brokers keep them, and reads both as one log.
//
//	Copy    appends what is new in events to a directory
//	Dir     a directory of archived events
//	Log     an [eventlog.Log] whose events begin in a directory and go on in another log
//
// A directory has one subdirectory for each shard, and in it files that follow on each other without a gap, named by their first offset. A file is written under
// another name, and given its own when it is complete and on the disk, so that what is there is whole; it never changes afterwards. Copy goes on where the
// last file ends, so it may be interrupted at any time, and run as often as one likes.
//
//	<dir>/shard-0003/00000000000000080211.events.zst
//
// A file is what zstd makes of records, each a length and an ArchivedRecord of schemas/actorlog/v1/archive.proto, in blocks of about a
// megabyte, each a frame of its own; `zstd -dc` unpacks it. At its end an ArchiveIndex says where the blocks are, in a frame that decoders of zstd skip.
//
// Records are kept as the log stores them: the hash chain goes on through the files into the log, and what is sealed stays sealed.
//
// It refuses to delete anything, from the log or from a directory, and to be written to: Append and all topics but events are the log's.
package archive
