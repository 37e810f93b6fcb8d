// Package memlog is an [eventlog.Log] in memory, with faults on demand, for tests
// and simulation.
//
// It owns a [Cluster], the stand-in for the brokers, and any number of clients of
// it, so that a test can run several workers and gateways against one log. It
// persists nothing and it refuses to be fast or to be used in production.
//
// Only mutexes, channels and package time are used, and no goroutine outlives the
// call that it serves; so a Cluster made inside a [testing/synctest] bubble works in
// virtual time, and a test that forgets to close a client leaks nothing.
//
//	Client.Append --Faults--> partition --> Tail.Poll of every client
//	Client.Join ---> group: target per member --Released/Assigned--> member
//
// It fails the way Kafka does where that matters to the callers: transactions leave
// marks and aborted ones leave holes, compaction leaves holes, an error may hide a
// write, a member that was taken for dead may not know it.
package memlog
