package kafkalog

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// A key that was destroyed disappears from the brokers when they compact its topic, which they do when something is written there after the segment has grown old; the tombstone stays for
// those who read later. With the settings of the topic that takes an hour, and here seconds.
func TestKeys_RealKafka(t *testing.T) {
	t.Parallel()
	l := open(t, realKafka(t), Config{Prefix: prefix(), Partitions: 1, Keys: true})
	configure(t, l, eventlog.Keys, map[string]string{"segment.ms": "1000", "max.compaction.lag.ms": "1000", "min.cleanable.dirty.ratio": "0.001"})
	masters, err := sealed.ParseMasters(strings.Repeat("a1", 32))
	require.NoError(t, err)
	s, err := sealed.Open(t.Context(), l, masters, "user")
	require.NoError(t, err)
	t.Cleanup(s.Close)
	hashOf := func(key string) schemas.Hash { return schemas.HashOf("default", "user", schemas.Key{key}) }
	write := func(key string) {
		value, err := schemas.Encode(&actorlogv1.Action{
			Actor: &actorlogv1.Actor{Namespace: "default", Kind: "user", Key: []string{key}},
			Body:  &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "rename", ArgsJson: []byte(`["x"]`)}},
		})
		require.NoError(t, err)
		hash, done := hashOf(key), make(chan error, 1)
		r := eventlog.Record{Key: hash[:], Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeAction)}}}
		s.Append(context.Background(), eventlog.Actions, r, func(_ int64, err error) { done <- err })
		require.NoError(t, <-done)
	}
	keys := func(key string) sealed.Place {
		places, err := s.Survey(t.Context(), hashOf(key), "")
		require.NoError(t, err)
		return places[len(places)-1]
	}
	write("ann")
	_, err = s.Retire(t.Context(), hashOf("ann"))
	require.NoError(t, err)
	n, err := s.Destroy(t.Context(), hashOf("ann"))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, 2, keys("ann").Awaiting, "the key as it was made, and as it was retired")
	others := 0
	require.Eventually(t, func() bool {
		write("other-" + strconv.Itoa(others))
		others++
		at := keys("ann")
		return at.Awaiting == 0 && at.Records == 0
	}, 4*time.Minute, 2*time.Second)
	for i := range others {
		require.Equal(t, 1, keys("other-"+strconv.Itoa(i)).Plain, "keys that live stay")
	}
}

// configure sets configurations of a topic.
func configure(t *testing.T, l *Log, topic eventlog.Topic, configs map[string]string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, l.topics[topic].name
	for name, value := range configs {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = name, kmsg.IncrementalAlterConfigOpSet, &value
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(context.Background(), l.cl)
	require.NoError(t, err)
	require.Zero(t, resp.Resources[0].ErrorCode, resp.Resources[0].ErrorMessage)
}
