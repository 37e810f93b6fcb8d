package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/actorlog/actorlog/eventlog"
)

func TestRightsAsCommands(t *testing.T) {
	t.Parallel()
	var kafka, redpanda []string
	for _, r := range Rights("app", "actorlog") {
		kafka = append(kafka, r.KafkaCommand([]string{"a:9092", "b:9092"}, "app-"+string(r.Role)))
		redpanda = append(redpanda, r.RedpandaCommand("app-"+string(r.Role)))
	}
	require.Contains(t, kafka, "kafka-acls.sh --bootstrap-server a:9092,b:9092 --command-config admin.properties --add --allow-principal User:app-gateway"+
		" --operation Describe --operation DescribeConfigs --operation Write --topic app.actions")
	require.Contains(t, redpanda, "rpk security acl create --allow-principal User:app-worker --operation describe,write --transactional-id app.snapshots. --resource-pattern-type prefixed")
	for _, command := range kafka {
		mayWrite := strings.Contains(command, "--operation Write")
		outcomes := strings.HasSuffix(command, "--topic app.events") || strings.HasSuffix(command, "--topic app.snapshots")
		require.False(t, mayWrite && outcomes && !strings.Contains(command, "User:app-worker"), "only workers write outcomes: %s", command)
	}
}

// Brokers that let nobody do anything but what Rights says: every program works, and does no more. Each user comes by another mechanism.
func TestKafkaSecure_EachRoleMayWhatItNeedsAndNoMore(t *testing.T) {
	t.Parallel()
	addresses := os.Getenv("ACTORLOG_TEST_KAFKA_SECURE")
	if addresses == "" {
		t.Skip("ACTORLOG_TEST_KAFKA_SECURE is not set: give it the addresses that `ops/kafka start --secure` prints")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	prefix := "rights-" + randomHex(6)
	as := func(user, mechanism string) Config {
		return Config{
			Brokers: strings.Split(addresses, ","), Prefix: prefix, Partitions: 2, OpenTimeout: 30 * time.Second, AppendTimeout: 5 * time.Second,
			SASL: SASL{Mechanism: mechanism, User: user, Credential: func() (string, error) { return user + "-secret", nil }},
		}
	}
	open := func(user, mechanism string) *Log {
		l, err := Open(ctx, as(user, mechanism))
		require.NoError(t, err, user)
		t.Cleanup(l.Close)
		return l
	}
	_, err := Open(ctx, as("gateway", "PLAIN"))
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed, "nobody has been granted anything yet")
	wrong := as("gateway", "SCRAM-SHA-512")
	wrong.SASL.Credential = func() (string, error) { return "not-the-password", nil }
	_, err = Open(ctx, wrong)
	require.ErrorContains(t, err, "check SASL mechanism, user and password")
	require.NotContains(t, err.Error(), "not-the-password")

	require.NoError(t, Grant(ctx, as("admin", "PLAIN"), Rights(prefix, "workers"), func(r Role) string { return string(r) }))
	operator := open("operator", "SCRAM-SHA-256") // makes the topics
	gateway, worker, projector := open("gateway", "PLAIN"), open("worker", "SCRAM-SHA-512"), open("projector", "SCRAM-SHA-256")
	_, err = Open(ctx, as("stranger", "PLAIN"))
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)

	// The rights that brokers tell of are those that were given.
	for user, role := range map[string]Role{"gateway": RoleGateway, "worker": RoleWorker, "projector": RoleProjector, "operator": RoleOperator} {
		cluster, err := Inspect(ctx, as(user, "PLAIN"))
		require.NoError(t, err)
		require.Empty(t, cluster.MissingRights(as(user, "PLAIN"), role), user)
		require.Len(t, cluster.Brokers, 1)
		require.NoError(t, cluster.Brokers[0].Err)
		require.Equal(t, 2, cluster.Topics[eventlog.Events].Partitions)
	}
	cluster, err := Inspect(ctx, as("gateway", "PLAIN"))
	require.NoError(t, err)
	missing := cluster.MissingRights(as("gateway", "PLAIN"), RoleWorker)
	require.Contains(t, fmt.Sprint(missing), "Write on "+prefix+".events")

	append1 := func(l *Log, topic eventlog.Topic) error {
		done := make(chan error, 1)
		l.Append(ctx, topic, eventlog.Record{Key: []byte("k"), Value: []byte("v")}, func(_ int64, err error) { done <- err })
		return <-done
	}
	read := func(l *Log, topic eventlog.Topic) error {
		_, end, err := l.Bounds(ctx, topic, 0)
		if err != nil {
			return err
		}
		within, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		return eventlog.Scan(within, l, topic, 0, 0, end, func(*eventlog.Record) error { return nil })
	}
	// The worker's work, all of it.
	for _, topic := range []eventlog.Topic{eventlog.Actions, eventlog.Events} {
		require.NoError(t, append1(worker, topic), topic)
		require.NoError(t, read(worker, topic), topic)
	}
	snapshots, err := worker.Snapshots(ctx, 0)
	require.NoError(t, err)
	_, err = snapshots.Write(ctx, []eventlog.Record{{Key: []byte("k"), Value: []byte("v")}})
	require.NoError(t, err)
	snapshots.Close()
	joined := make(chan struct{})
	joining, leave := context.WithCancel(ctx)
	left := make(chan error, 1)
	go func() {
		left <- worker.Join(joining, eventlog.Member{
			Group: "workers", Assigned: func(context.Context, []int32) { close(joined) },
			Released: func(context.Context, []int32) {}, Lost: func([]int32) {},
		})
	}()
	select {
	case <-joined:
	case err := <-left:
		t.Fatal(err)
	}
	leave()
	require.NoError(t, <-left)

	// The gateway's.
	require.NoError(t, append1(gateway, eventlog.Actions))
	require.NoError(t, append1(gateway, eventlog.Gateways))
	require.NoError(t, read(gateway, eventlog.Events))
	require.NoError(t, read(worker, eventlog.Gateways))
	require.NoError(t, read(projector, eventlog.Events))
	require.NoError(t, read(operator, eventlog.Events))

	// And what they may not.
	for what, err := range map[string]error{
		"a gateway writes an outcome":   append1(gateway, eventlog.Events),
		"a worker writes a lease":       append1(worker, eventlog.Gateways),
		"a projector writes an action":  append1(projector, eventlog.Actions),
		"a projector writes an outcome": append1(projector, eventlog.Events),
		"an operator writes an outcome": append1(operator, eventlog.Events),
	} {
		// Who may write to no topic at all is refused before its first record.
		refused := errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
		require.True(t, refused, "%s: %v", what, err)
	}
	_, err = gateway.Snapshots(ctx, 1)
	require.ErrorIs(t, err, kerr.TransactionalIDAuthorizationFailed, "a gateway cannot fence a worker")
	require.Error(t, gateway.Join(ctx, eventlog.Member{
		Group: "workers", Assigned: func(context.Context, []int32) {}, Released: func(context.Context, []int32) {}, Lost: func([]int32) {},
	}), "nor take its shards")
}
