package kafkalog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/socks5"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	broker := startEmbedded(t, "")
	openErr := func(t *testing.T, cfg Config) error {
		t.Helper()
		if cfg.Brokers == nil {
			cfg.Brokers = []string{broker.Addr()}
		}
		l, err := Open(t.Context(), cfg)
		if err == nil {
			l.Close()
		}
		return err
	}

	t.Run("TopicsHaveTheirPolicies", func(t *testing.T) {
		t.Parallel()
		requirePolicies(t, broker.Addr())
	})

	t.Run("EventsAreKeptForEverByDefault", func(t *testing.T) {
		t.Parallel()
		l := open(t, broker.Addr(), Config{})
		require.Equal(t, "-1", topicConfigs(t, l, eventlog.Events)["retention.ms"])
	})

	t.Run("ManyAtOnceAgree", func(t *testing.T) {
		t.Parallel()
		name := prefix()
		identities := make([]string, 8)
		var wg sync.WaitGroup
		for i := range identities {
			wg.Go(func() { identities[i] = open(t, broker.Addr(), Config{Prefix: name}).Identity() })
		}
		wg.Wait()
		for _, id := range identities {
			require.Equal(t, identities[0], id)
		}
	})

	t.Run("ExistingPartitionsAreAdopted", func(t *testing.T) {
		t.Parallel()
		name := prefix()
		open(t, broker.Addr(), Config{Prefix: name, Partitions: 5})
		l, err := Open(t.Context(), Config{Brokers: []string{broker.Addr()}, Prefix: name})
		require.NoError(t, err)
		defer l.Close()
		require.EqualValues(t, 5, l.Partitions())
	})

	t.Run("IdentityChangesWhenATopicIsMadeAnew", func(t *testing.T) {
		t.Parallel()
		name := prefix()
		before := open(t, broker.Addr(), Config{Prefix: name})
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 5000
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = kmsg.StringPtr(name + ".events")
		req.Topics = append(req.Topics, rt)
		req.TopicNames = []string{name + ".events"}
		resp, err := req.RequestWith(t.Context(), before.cl)
		require.NoError(t, err)
		require.Zero(t, resp.Topics[0].ErrorCode)
		after := open(t, broker.Addr(), Config{Prefix: name})
		require.NotEqual(t, before.Identity(), after.Identity())

		// The old client's reader is told rather than left waiting.
		tail, err := before.Tail(eventlog.Events)
		require.NoError(t, err)
		defer tail.Close()
		tail.Add(0, 0)
		_, err = tail.Poll(t.Context())
		require.ErrorContains(t, err, "deleted and made anew")
	})

	t.Run("ErrPartitionCount", func(t *testing.T) {
		t.Parallel()
		name := prefix()
		open(t, broker.Addr(), Config{Prefix: name, Partitions: 16})
		err := openErr(t, Config{Prefix: name, Partitions: 32})
		require.EqualError(t, err, fmt.Sprintf("topic %s.actions has 16 partitions, this application was configured with 32: the number cannot be changed, because it decides which partition an actor lives in; start with --partitions 16, or use another --prefix (now %q)", name, name))
	})

	t.Run("ErrReadOnlyCreatesNothing", func(t *testing.T) {
		t.Parallel()
		name := prefix()
		require.ErrorContains(t, openErr(t, Config{Prefix: name, ReadOnly: true}), name+".actions does not exist")
		open(t, broker.Addr(), Config{Prefix: name})
		require.NoError(t, openErr(t, Config{Prefix: name, ReadOnly: true}))
	})

	t.Run("ErrUnreachable", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		err := openErr(t, Config{Brokers: []string{"127.0.0.1:1"}, OpenTimeout: time.Second})
		require.ErrorContains(t, err, "no broker of 127.0.0.1:1 answers")
		require.ErrorContains(t, err, "connection refused")
		require.Less(t, time.Since(began), 10*time.Second)
	})

	t.Run("BrokerThatComesLateIsWaitedFor", func(t *testing.T) {
		t.Parallel()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := ln.Addr().String()
		require.NoError(t, ln.Close())
		opened := make(chan error, 1)
		go func() { opened <- openErr(t, Config{Brokers: []string{addr}}) }()
		late, err := StartEmbedded(EmbeddedConfig{Listen: addr})
		require.NoError(t, err)
		defer late.Close()
		require.NoError(t, <-opened)
	})

	t.Run("ErrEventsMustNotBeCompacted", func(t *testing.T) {
		t.Parallel()
		name := prefix()
		l := open(t, broker.Addr(), Config{Prefix: name})
		alterConfigs(t, l, kmsg.ConfigResourceTypeTopic, name+".events", map[string]string{"cleanup.policy": "compact"})
		require.ErrorContains(t, openErr(t, Config{Prefix: name}), "cleanup.policy=compact")
	})

	t.Run("ErrInvalidConfig", func(t *testing.T) {
		t.Parallel()
		err := openErr(t, Config{Prefix: "a b", Partitions: -1, Compression: "rar", SASL: SASL{Mechanism: "X"}, MaxRecordBytes: 1, GroupProtocol: "new"})
		for _, part := range []string{"prefix", "partitions", "compression", "SASL", "max record bytes", "group protocol"} {
			require.ErrorContains(t, err, part)
		}
		var zero Config
		require.NoError(t, zero.Validate())
	})
}

// requirePolicies makes topics and looks what they have become.
func requirePolicies(t *testing.T, addr string) {
	t.Helper()
	name := prefix()
	unsealed := open(t, addr, Config{Prefix: name, Partitions: 3, MaxRecordBytes: 2 << 20, EventsRetention: time.Hour})
	l := open(t, addr, Config{Prefix: name, Partitions: 3, Keys: true, MaxRecordBytes: 2 << 20, EventsRetention: time.Hour})
	require.Equal(t, unsealed.Identity(), l.Identity(), "a topic for keys does not make local stores void")
	want := map[eventlog.Topic]map[string]string{
		eventlog.Actions:   {"cleanup.policy": "delete", "retention.ms": "604800000", "max.message.bytes": "2097152"},
		eventlog.Events:    {"cleanup.policy": "delete", "retention.ms": "3600000", "retention.bytes": "-1"},
		eventlog.Snapshots: {"cleanup.policy": "compact", "retention.ms": "-1"},
		eventlog.Gateways:  {"cleanup.policy": "compact", "retention.ms": "-1"},
		eventlog.Keys:      {"cleanup.policy": "compact", "retention.ms": "-1", "max.compaction.lag.ms": "3600000", "segment.ms": "3600000"},
	}
	for topic, configs := range want {
		got := topicConfigs(t, l, topic)
		for k, v := range configs {
			require.Equal(t, v, got[k], "%s of %s", k, topic)
		}
	}
	require.EqualValues(t, 3, l.Partitions())
}

func TestOpen_RealKafka(t *testing.T) {
	t.Parallel()
	addr := realKafka(t)
	requirePolicies(t, addr)

	// The brokers hear of a change one after the other.
	name := prefix()
	l := open(t, addr, Config{Prefix: name})
	alterConfigs(t, l, kmsg.ConfigResourceTypeTopic, name+".events", map[string]string{"cleanup.policy": "compact"})
	require.Eventually(t, func() bool {
		l, err := Open(t.Context(), Config{Brokers: strings.Split(addr, ","), Prefix: name})
		if err == nil {
			l.Close()
			return false
		}
		return strings.Contains(err.Error(), "cleanup.policy=compact")
	}, time.Minute, 50*time.Millisecond, "a compacted events topic is accepted")
}

func TestOpen_WarnsOfSettingsThatLoseAcknowledgedRecords(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(3))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	warnings := func(cfg Config) []string {
		core, logs := observer.New(zap.WarnLevel)
		cfg.Brokers, cfg.Logger = c.ListenAddrs(), zap.New(core)
		l, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		defer l.Close()
		var out []string
		for _, e := range logs.All() {
			setting, _, _ := strings.Cut(e.Message, ":")
			out = append(out, setting)
		}
		return out
	}
	name := prefix()
	require.Equal(t, []string{"min.insync.replicas is 1"}, warnings(Config{Prefix: name, ReplicationFactor: 3}))
	alterConfigs(t, open(t, c.ListenAddrs()[0], Config{}), kmsg.ConfigResourceTypeTopic, name+".events", map[string]string{"min.insync.replicas": "2"})
	require.Empty(t, warnings(Config{Prefix: name}))
	require.Empty(t, warnings(Config{Prefix: prefix(), ReplicationFactor: 1}))
	// Retention is what the topic was made with; whoever wants another one is told.
	require.Equal(t, []string{"the topic was made with another retention, which stays"}, warnings(Config{Prefix: name, EventsRetention: time.Hour}))
}

func TestDurabilityWarnings(t *testing.T) {
	t.Parallel()
	configs := func(of ...string) (out []kmsg.DescribeConfigsResponseResourceConfig) {
		for i := 0; i < len(of); i += 2 {
			out = append(out, kmsg.DescribeConfigsResponseResourceConfig{Name: of[i], Value: &of[i+1]})
		}
		return out
	}
	kafka := durabilityWarnings(&topicInfo{replicas: 3}, configs(minInsyncReplicas, "2", uncleanElection, "true"))
	require.Len(t, kafka, 1)
	require.Contains(t, kafka[0], uncleanElection)
	redpanda := durabilityWarnings(&topicInfo{replicas: 3}, configs(minInsyncReplicas, "1", writeCaching, "true"))
	require.Len(t, redpanda, 1)
	require.Contains(t, redpanda[0], writeCaching)
	require.Empty(t, durabilityWarnings(&topicInfo{replicas: 3}, configs(minInsyncReplicas, "1", writeCaching, "false")))
}

func topicConfigs(t *testing.T, l *Log, topic eventlog.Topic) map[string]string {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, l.topics[topic].name
	req.Resources = append(req.Resources, rr)
	resp, err := req.RequestWith(t.Context(), l.cl)
	require.NoError(t, err)
	out := make(map[string]string)
	for _, rc := range resp.Resources[0].Configs {
		if rc.Value != nil {
			out[rc.Name] = *rc.Value
		}
	}
	return out
}

func TestOpen_SASL(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "ada", "secret"), kfake.Superuser("SCRAM-SHA-256", "bob", "secret"), kfake.Superuser("SCRAM-SHA-512", "eve", "secret"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addr := c.ListenAddrs()[0]
	for mechanism, user := range map[string]string{"PLAIN": "ada", "SCRAM-SHA-256": "bob", "SCRAM-SHA-512": "eve"} {
		open(t, addr, Config{SASL: SASL{Mechanism: mechanism, User: user, Password: "secret"}})
	}
	_, err = Open(t.Context(), Config{Brokers: []string{addr}, OpenTimeout: time.Second, SASL: SASL{Mechanism: "PLAIN", User: "ada", Password: "wrong"}})
	require.ErrorContains(t, err, `user "ada"`) // this broker hangs up; Kafka says why
}

func TestOpen_Rights(t *testing.T) {
	t.Parallel()
	acl := func(resource kmsg.ACLResourceType, name string, ops ...kmsg.ACLOperation) (out []kfake.ACL) {
		for _, op := range ops {
			out = append(out, kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: op, Allow: true})
		}
		return out
	}
	name := prefix()
	reader := acl(kmsg.ACLResourceTypeTopic, name, kmsg.ACLOperationRead, kmsg.ACLOperationDescribe)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "admin", "secret"),
		kfake.User("PLAIN", "nobody", "secret"),
		kfake.User("PLAIN", "reader", "secret", reader...))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addr := c.ListenAddrs()[0]
	as := func(user string) Config {
		return Config{Brokers: []string{addr}, Prefix: name, Partitions: 2, SASL: SASL{Mechanism: "PLAIN", User: user, Password: "secret"}}
	}

	_, err = Open(t.Context(), as("reader"))
	require.ErrorContains(t, err, "grant Create")
	open(t, addr, as("admin"))
	_, err = Open(t.Context(), as("nobody"))
	require.ErrorContains(t, err, name+".actions")
	require.ErrorContains(t, err, "grant Describe")

	l := open(t, addr, as("reader"))
	failed := make(chan error, 1)
	l.Append(t.Context(), eventlog.Events, record(0, "forged"), func(_ int64, err error) { failed <- err })
	require.ErrorContains(t, <-failed, "Write")
	_, err = l.Snapshots(t.Context(), 0)
	require.ErrorContains(t, err, "transactional ids")
	err = l.Join(t.Context(), eventlog.Member{Group: "workers"})
	require.ErrorContains(t, err, "grant Read on group "+name+".workers")
}

func TestEmbedded(t *testing.T) {
	t.Parallel()

	t.Run("ErrPortInUse", func(t *testing.T) {
		t.Parallel()
		first := startEmbedded(t, "")
		_, err := StartEmbedded(EmbeddedConfig{Listen: first.Addr()})
		require.ErrorContains(t, err, "another broker runs on "+first.Addr())
	})

	t.Run("ErrDirectoryInUse", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		first := startEmbedded(t, dir)
		_, err := StartEmbedded(EmbeddedConfig{DataDir: dir, Listen: "127.0.0.1:0"})
		require.ErrorContains(t, err, dir+" is in use by another process")
		first.Close()
		first.Close() // once is enough
		startEmbedded(t, dir)
	})

	t.Run("DataAndIdentitySurviveARestart", func(t *testing.T) {
		t.Parallel()
		dir, name := t.TempDir(), prefix()
		identity := ""
		for round := range 3 {
			e, err := StartEmbedded(EmbeddedConfig{DataDir: dir, Listen: "127.0.0.1:0", SyncWrites: round == 1})
			require.NoError(t, err)
			l, err := Open(t.Context(), Config{Brokers: []string{e.Addr()}, Prefix: name, Partitions: 2})
			require.NoError(t, err)
			if identity == "" {
				identity = l.Identity()
			}
			require.Equal(t, identity, l.Identity())
			_, end, err := l.Bounds(t.Context(), eventlog.Events, 1)
			require.NoError(t, err)
			require.EqualValues(t, round*10, end)
			w, err := l.Snapshots(t.Context(), 1)
			require.NoError(t, err)
			for i := range 10 {
				done := make(chan error, 1)
				l.Append(t.Context(), eventlog.Events, record(1, fmt.Sprint(i)), func(_ int64, err error) { done <- err })
				require.NoError(t, <-done)
				_, err = w.Write(t.Context(), []eventlog.Record{record(1, "s")})
				require.NoError(t, err)
			}
			w.Close()
			_, end, err = l.Bounds(t.Context(), eventlog.Snapshots, 1)
			require.NoError(t, err)
			n := 0
			require.NoError(t, eventlog.Scan(t.Context(), l, eventlog.Snapshots, 1, 0, end, func(*eventlog.Record) error { n++; return nil }))
			require.Equal(t, 10*(round+1), n)
			l.Close()
			e.Close()
		}
	})

	t.Run("NothingIsCompactedOrExpires", func(t *testing.T) {
		t.Parallel()
		broker := startEmbedded(t, "")
		l := open(t, broker.Addr(), Config{ActionsRetention: time.Millisecond})
		for range 3 {
			done := make(chan error, 1)
			l.Append(t.Context(), eventlog.Actions, record(0, "x"), func(_ int64, err error) { done <- err })
			require.NoError(t, <-done)
		}
		start, end, err := l.Bounds(t.Context(), eventlog.Actions, 0)
		require.NoError(t, err)
		require.Equal(t, [2]int64{0, 3}, [2]int64{start, end})
	})
}

func TestAppend(t *testing.T) {
	t.Parallel()

	t.Run("ErrAfterAppendTimeoutAndNotBefore", func(t *testing.T) {
		t.Parallel()
		n := &network{}
		l := open(t, startEmbedded(t, "").Addr(), Config{AppendTimeout: time.Second, dial: n.dial})
		done := make(chan error, 3)
		appendOne := func(ctx context.Context) {
			l.Append(ctx, eventlog.Events, record(0, "x"), func(_ int64, err error) { done <- err })
		}
		appendOne(t.Context())
		require.NoError(t, <-done)
		n.crash()
		began := time.Now()
		appendOne(t.Context())
		require.ErrorIs(t, <-done, errAppendTimeout)
		require.Greater(t, time.Since(began), 700*time.Millisecond)
		require.Less(t, time.Since(began), 10*time.Second)

		// A context ends the wait sooner.
		ctx, cancel := context.WithCancel(t.Context())
		appendOne(ctx)
		cancel()
		began = time.Now()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Less(t, time.Since(began), 500*time.Millisecond)
	})

	t.Run("BlocksWhileTheBufferIsFull", func(t *testing.T) {
		t.Parallel()
		n := &network{}
		l := open(t, startEmbedded(t, "").Addr(), Config{AppendTimeout: time.Second, BufferBytes: 1000, dial: n.dial})
		n.crash()
		errs := make(chan error, 100)
		began := time.Now()
		for range 5 {
			l.Append(t.Context(), eventlog.Events, record(0, strings.Repeat("x", 600)), func(_ int64, err error) { errs <- err })
		}
		require.Greater(t, time.Since(began), 500*time.Millisecond)
		for range 5 {
			require.ErrorIs(t, <-errs, errAppendTimeout)
		}
	})

	for _, codec := range []string{"none", "snappy", "lz4", "zstd"} {
		t.Run("Compression_"+codec, func(t *testing.T) {
			t.Parallel()
			l := open(t, startEmbedded(t, "").Addr(), Config{Compression: codec})
			const n = 500
			var wg sync.WaitGroup
			for i := range n {
				wg.Add(1)
				r := record(0, strings.Repeat(fmt.Sprint(i, " "), 100))
				r.Headers = []eventlog.Header{{Key: "n", Value: []byte(fmt.Sprint(i))}}
				l.Append(t.Context(), eventlog.Events, r, func(_ int64, err error) {
					defer wg.Done()
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			i := 0
			require.NoError(t, eventlog.Scan(t.Context(), l, eventlog.Events, 0, 0, n, func(r *eventlog.Record) error {
				require.Equal(t, strings.Repeat(fmt.Sprint(i, " "), 100), string(r.Value))
				require.Equal(t, fmt.Sprint(i), string(r.Header("n")))
				i++
				return nil
			}))
			require.Equal(t, n, i)
		})
	}
}

func TestEventListener(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]int)
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		seen[what]++
	}
	broker := startEmbedded(t, "")
	l := open(t, broker.Addr(), Config{Listener: EventListener{
		AppendFailed:       func(eventlog.Topic, int32, error) { note("append failed") },
		BrokerConnected:    func(string, time.Duration, error) { note("connected") },
		BrokerDisconnected: func(string) { note("disconnected") },
		Rebalanced:         func(what string, _ []int32) { note(what) },
	}})
	failed := make(chan error, 1)
	l.Append(t.Context(), eventlog.Snapshots, record(0, "x"), func(_ int64, err error) { failed <- err })
	require.Error(t, <-failed)
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, l.Join(ctx, eventlog.Member{Group: "g", Assigned: func(context.Context, []int32) { cancel() }}))
	l.Close()
	mu.Lock()
	defer mu.Unlock()
	for _, what := range []string{"append failed", "connected", "disconnected", "assigned", "released"} {
		require.Positive(t, seen[what], what)
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) *socks5.Proxy {
		p, err := socks5.Start()
		require.NoError(t, err)
		t.Cleanup(p.Close)
		return p
	}

	t.Run("AllConnectionsGoThroughIt", func(t *testing.T) {
		t.Parallel()
		p := start(t)
		l := open(t, startEmbedded(t, "").Addr(), Config{Proxy: p.URL(), AppendTimeout: 2 * time.Second})
		appendOne := func() error {
			done := make(chan error, 1)
			l.Append(t.Context(), eventlog.Events, record(0, "x"), func(_ int64, err error) { done <- err })
			return <-done
		}
		require.NoError(t, appendOne())
		p.Reset()
		require.NoError(t, appendOne())
		p.Hold(socks5.In)
		require.ErrorIs(t, appendOne(), errAppendTimeout)
	})

	t.Run("WithTLS", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewTLSServer(http.NotFoundHandler())
		t.Cleanup(server.Close)
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		dial := func(roots *x509.CertPool) (net.Conn, error) {
			cfg := Config{Proxy: start(t).URL(), TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}}
			dial, err := cfg.proxied()
			require.NoError(t, err)
			return dial(t.Context(), "tcp", server.Listener.Addr().String())
		}
		conn, err := dial(roots)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		_, err = dial(x509.NewCertPool())
		require.ErrorAs(t, err, new(x509.UnknownAuthorityError), "who is behind the proxy is checked")
	})

	t.Run("ErrAddress", func(t *testing.T) {
		t.Parallel()
		for _, address := range []string{"127.0.0.1:1080", "http://127.0.0.1:1080", "socks5://", "socks5:/x", "socks5://h/path"} {
			_, err := Open(t.Context(), Config{Proxy: address})
			require.ErrorContains(t, err, "proxy: want socks5://host:port", address)
		}
	})
}
