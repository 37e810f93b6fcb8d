// Package check holds what is in ops, docker-compose.yml and the Dockerfile to what they are for, without Docker: against the compose specification and
// Kubernetes' own types, and by running every service of ours as the file says, natively. It is a module of its own, so that what it takes to check is
// not what it takes to build actorlog.
//
//	cd ops/check && go test ./...
//
// What needs a Kafka cluster runs when ACTORLOG_TEST_KAFKA names one (ops/kafka start), what needs Prometheus when prometheus and promtool are on
// the PATH, and the projector when ACTORLOG_TEST_CLICKHOUSE names a ClickHouse, host:port.
package check
