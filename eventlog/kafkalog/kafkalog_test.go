package kafkalog

import (
	"context"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/logtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(brokerProcessEnv); dir != "" {
		runBrokerProcess(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// startEmbedded starts a broker on a free port, in memory or in dir.
func startEmbedded(t testing.TB, dir string) *Embedded {
	t.Helper()
	e, err := StartEmbedded(EmbeddedConfig{DataDir: dir, Listen: "127.0.0.1:0", Logger: logger(t)})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// logger logs what should not happen; silent in benchmarks.
func logger(t testing.TB) *zap.Logger {
	if os.Getenv("ACTORLOG_TEST_VERBOSE") == "" {
		return nil
	}
	return zaptest.NewLogger(t)
}

func prefix() string { return "test-" + randomHex(6) }

// open opens a Log with a fresh prefix unless cfg has one.
func open(t testing.TB, addr string, cfg Config) *Log {
	t.Helper()
	cfg.Brokers = strings.Split(addr, ",")
	if cfg.Prefix == "" {
		cfg.Prefix = prefix()
	}
	if cfg.Partitions == 0 {
		cfg.Partitions = logtest.Partitions
	}
	cfg.Logger = logger(t)
	l, err := Open(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

// network lets a test cut a client off.
type network struct {
	cut   atomic.Bool
	mu    sync.Mutex
	conns []net.Conn
}

func (n *network) dial(ctx context.Context, network, host string) (net.Conn, error) {
	if n.cut.Load() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut.Load() { // while it was dialled
		_ = conn.Close()
	}
	n.conns = append(n.conns, conn)
	return conn, nil
}

func (n *network) crash() {
	n.cut.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
}

// exercise runs the suite with one group protocol; what has nothing to do with groups, with the
// classic one only.
func exercise(t *testing.T, addr, protocol string, session time.Duration) {
	suite := logtest.Exercise
	if protocol != GroupProtocolClassic {
		suite = logtest.ExerciseJoin
	}
	var networks sync.Map // by *Log
	suite(t, func(t *testing.T) logtest.Factory {
		name := prefix()
		return logtest.Factory{
			Open: func(t *testing.T) eventlog.Log {
				n := &network{}
				l := open(t, addr, Config{Prefix: name, GroupProtocol: protocol, SessionTimeout: session, dial: n.dial})
				networks.Store(l, n)
				return l
			},
			TooLarge: DefaultMaxRecordBytes,
			Truncate: func(t *testing.T, topic eventlog.Topic, partition int32, below int64) {
				truncate(t, open(t, addr, Config{Prefix: name}), topic, partition, below)
			},
			Crash: func(l eventlog.Log) {
				n, _ := networks.Load(l)
				n.(*network).crash()
			},
			SessionTimeout: session,
		}
	})
}

func truncate(t *testing.T, l *Log, topic eventlog.Topic, partition int32, below int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = l.topics[topic].name
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = partition, below
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(context.Background(), l.cl)
	require.NoError(t, err)
	require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode)
}

func TestLog(t *testing.T) {
	t.Parallel()
	broker := startEmbedded(t, t.TempDir())
	t.Run("classic", func(t *testing.T) {
		t.Parallel()
		exercise(t, broker.Addr(), GroupProtocolClassic, time.Second)
	})
	t.Run("consumer", func(t *testing.T) {
		t.Parallel()
		alterConfigs(t, open(t, broker.Addr(), Config{}), kmsg.ConfigResourceTypeBroker, "", map[string]string{
			"group.consumer.session.timeout.ms": "1000", "group.consumer.heartbeat.interval.ms": "250",
		})
		exercise(t, broker.Addr(), GroupProtocolConsumer, time.Second)
	})
}

func TestLog_RealKafka(t *testing.T) {
	t.Parallel()
	addr := realKafka(t)
	for _, protocol := range []string{GroupProtocolClassic, GroupProtocolConsumer} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			exercise(t, addr, protocol, DefaultSessionTimeout)
		})
	}
}

// realKafka returns the addresses of Apache Kafka, and skips the test if there is none.
func realKafka(t *testing.T) string {
	t.Helper()
	addr := os.Getenv("ACTORLOG_TEST_KAFKA")
	if addr == "" {
		t.Skip("ACTORLOG_TEST_KAFKA is not set: give it the bootstrap addresses of a Kafka cluster that may be filled with test topics, such as `ops/kafka start` prints")
	}
	return addr
}

func alterConfigs(t *testing.T, l *Log, kind kmsg.ConfigResourceType, name string, configs map[string]string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kind, name
	for k, v := range configs {
		rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rc.Name, rc.Value = k, kmsg.StringPtr(v)
		rr.Configs = append(rr.Configs, rc)
	}
	req.Resources = append(req.Resources, rr)
	resp, err := req.RequestWith(t.Context(), l.cl)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(resp.Resources[0].ErrorCode))
}

// shares is who has which partition in a test of Join.
type shares struct {
	t     *testing.T
	mu    sync.Mutex
	owner map[int32]string
}

func (s *shares) set(ps []int32, from, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		if s.owner[p] != from {
			s.t.Errorf("partition %d goes from %q to %q while %q has it", p, from, to, s.owner[p])
		}
		s.owner[p] = to
	}
}

// join takes part until the function that it returns is called.
func (s *shares) join(l *Log, name string) (leave func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- l.Join(ctx, eventlog.Member{
			Group:    "workers",
			Assigned: func(_ context.Context, ps []int32) { s.set(ps, "", name) },
			Released: func(_ context.Context, ps []int32) { s.set(ps, name, "") },
			Lost:     func(ps []int32) { s.t.Errorf("%s lost %v", name, ps) },
		})
	}()
	return func() {
		cancel()
		require.NoError(s.t, <-done)
	}
}

func (s *shares) eventually(want map[string]int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		got := make(map[string]int)
		for _, name := range s.owner {
			got[name]++
		}
		delete(got, "")
		return maps.Equal(want, got)
	}, time.Minute, 20*time.Millisecond, "never came true: %v", want)
}

// A worker that is killed while it joins is missed after its session, as any other is: the group neither waits for it, nor gives it a share for good.
func TestJoin_MemberVanishesWhileItJoins(t *testing.T) {
	t.Parallel()
	vanish := func(t *testing.T, addr string, session time.Duration) {
		name := prefix()
		cfg := Config{Prefix: name, SessionTimeout: session, RebalanceTimeout: 5 * time.Minute}
		s := &shares{t: t, owner: make(map[int32]string)}
		leave := s.join(open(t, addr, cfg), "steady")
		s.eventually(map[string]int{"steady": 4})
		for range 3 {
			n := &network{}
			cfg.dial = n.dial
			l := open(t, addr, cfg)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- l.Join(ctx, eventlog.Member{Group: "workers"}) }()
			// It has joined by then, and waits for the others, who hear of it with their next heartbeat.
			time.Sleep(session / 10)
			n.crash()
			time.Sleep(session / 2)
			s.eventually(map[string]int{"steady": 4})
			cancel()
			l.Close()
			require.NoError(t, <-done)
		}
		leave()
	}
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		vanish(t, startEmbedded(t, t.TempDir()).Addr(), 4*time.Second)
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		vanish(t, realKafka(t), DefaultSessionTimeout)
	})
}

// Whoever leaves need not wait for a member that takes its time to release.
func TestJoin_LeavesWhileOthersRelease(t *testing.T) {
	t.Parallel()
	cfg := Config{Prefix: prefix(), Partitions: 8, SessionTimeout: 4 * time.Second, RebalanceTimeout: 5 * time.Minute}
	addr := startEmbedded(t, t.TempDir()).Addr()
	s := &shares{t: t, owner: make(map[int32]string)}
	leave := s.join(open(t, addr, cfg), "quick")
	s.eventually(map[string]int{"quick": 8})
	releasing, ctx, done := make(chan struct{}, 1), t.Context(), make(chan error, 1)
	ctx, end := context.WithCancel(ctx)
	defer end()
	slow := open(t, addr, cfg)
	go func() {
		done <- slow.Join(ctx, eventlog.Member{
			Group:    "workers",
			Assigned: func(_ context.Context, ps []int32) { s.set(ps, "", "slow") },
			Released: func(_ context.Context, ps []int32) {
				select {
				case releasing <- struct{}{}:
				default:
				}
				<-ctx.Done()
				s.set(ps, "slow", "")
			},
		})
	}()
	s.eventually(map[string]int{"quick": 4, "slow": 4})
	leaveThird := s.join(open(t, addr, cfg), "third")
	<-releasing
	time.Sleep(2 * time.Second) // the others join again, as their next heartbeat tells them, which ends when the slow one does
	left := make(chan struct{})
	go func() {
		leave()
		leaveThird()
		close(left)
	}()
	select {
	case <-left:
	case <-time.After(30 * time.Second):
		t.Error("they wait")
	}
	end()
	require.NoError(t, <-done)
}

// Workers are restarted one after the other with the other protocol, there and back: the group goes on.
func TestJoin_ProtocolChangesInARunningGroup(t *testing.T) {
	t.Parallel()
	addr, name := realKafka(t), prefix()
	s := &shares{t: t, owner: make(map[int32]string)}
	join := func(member, protocol string) func() {
		return s.join(open(t, addr, Config{Prefix: name, GroupProtocol: protocol}), member)
	}
	leaveOld := join("old", GroupProtocolClassic)
	s.eventually(map[string]int{"old": 4})
	leaveNew := join("new", GroupProtocolConsumer)
	s.eventually(map[string]int{"old": 2, "new": 2})
	leaveOld()
	s.eventually(map[string]int{"new": 4})
	leaveOld = join("old again", GroupProtocolClassic)
	s.eventually(map[string]int{"old again": 2, "new": 2})
	leaveNew()
	s.eventually(map[string]int{"old again": 4})
	leaveOld()
}

func TestJoin_ErrOfBrokersWithoutTheConsumerProtocol(t *testing.T) {
	t.Parallel()
	old, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.MaxVersions(kversion.V3_7_0()))
	require.NoError(t, err)
	t.Cleanup(old.Close)
	l := open(t, old.ListenAddrs()[0], Config{GroupProtocol: GroupProtocolConsumer})
	err = l.Join(t.Context(), eventlog.Member{Group: "workers"})
	require.ErrorContains(t, err, `the brokers do not speak the group protocol "consumer": use "classic"`)
}
