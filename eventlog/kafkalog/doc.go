// Package kafkalog is the [eventlog.Log] on brokers that speak the Kafka protocol
// (Apache Kafka 2.4 and later, Redpanda), and the embedded broker for development.
// It is the only package that knows franz-go.
//
// It owns connections, the creation and the checking of the topics, and the
// translation of the brokers' errors. It refuses to interpret records.
//
//	Append    --> one idempotent producer, a queue per topic and partition that calls
//	              done in order
//	Tail      --> one fetch loop per broker; requests are made here, not by kgo's
//	              consumer, for partitions come and go while a fetch waits (see tail.go)
//	Snapshots --> one transactional client per partition
//	Join      --> one group client that never fetches
//
// How it fails. Brokers that are away are waited for: an append ends with an error
// after Config.AppendTimeout, a Poll waits until its context ends, a membership ends
// with Lost and is taken up again. Only what waiting cannot mend is returned as an
// error: a missing right, a deleted topic, a record that is too large, an offset out of
// range, a fenced writer.
package kafkalog
