// Command bench measures actorlog against the limit of its design, in one run on one embedded
// broker: see README.md for what each figure means and for the figures of the last run.
//
//	go run ./bench                      everything, about ten minutes
//	go run ./bench -short               a look at everything, within 40 seconds
//	go run ./bench -run 'in-process/256$' -cpuprofile cpu.out
//
// The limit is the two-hop: produce a record of 300 bytes, have a consumer produce one to a second
// topic, see it with a third client. It is written with franz-go itself, as a competent user of
// Kafka would, which is why this is the one package besides eventlog/kafkalog that imports
// franz-go. Everything else goes through the packages that users use.
//
// Broker, clients, worker, gateway and load generators share one process, for the two-hop as
// well as for what is compared to it, so that all of them share the same processors alike. The worker
// whose memory is measured is a process of its own, this program again; so are the subscribers of the storm, and the workers that leave, join and are killed.
//
// Progress goes to stderr, figures to stdout. It asserts nothing: a ratio that misses its target is
// printed as such.
package main
