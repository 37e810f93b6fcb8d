// Package move takes all actors of a log into another one: to another number of partitions, which is fixed once topics are made, to another
// prefix, or to another cluster.
//
// It is done at rest. Nothing may be under way in the old log ([Quiet]): workers were stopped in peace, every action is answered, no connection is open.
// The new topics must be empty. For every actor they get one event, a Restore that names the actor's last event in the old log: state and its version,
// schedules, and generation, so that ids stay what they were and those of the dead stay dead. Messages that wait in queues follow in their order.
// [Compare] proves it: it folds both logs, and finds the same actors in them.
//
// What stays behind is history: it can be read where it is. So does what actors remember of requests: who repeats one with its Idempotency-Key
// after the move, or through another gateway than before, is not known.
//
// It claims the shards of the new log as a worker would, but of version 0, and gives them away when it is done. Two at a time on one log find out, as two
// workers would, by their offsets. One that fails leaves topics that are no longer empty: delete them, or take another prefix.
package move
