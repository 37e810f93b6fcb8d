package kafkalog

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
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
	if err == nil {
		n.mu.Lock()
		n.conns = append(n.conns, conn)
		n.mu.Unlock()
	}
	return conn, err
}

func (n *network) crash() {
	n.cut.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
}

func exercise(t *testing.T, addr string, session time.Duration) {
	var networks sync.Map // by *Log
	logtest.Exercise(t, func(t *testing.T) logtest.Factory {
		name := prefix()
		return logtest.Factory{
			Open: func(t *testing.T) eventlog.Log {
				n := &network{}
				l := open(t, addr, Config{Prefix: name, SessionTimeout: session, dial: n.dial})
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
	exercise(t, broker.Addr(), time.Second)
}

func TestLog_RealKafka(t *testing.T) {
	t.Parallel()
	addr := os.Getenv("ACTORLOG_TEST_KAFKA")
	if addr == "" {
		t.Skip("ACTORLOG_TEST_KAFKA is not set: give it the bootstrap addresses of a Kafka cluster that may be filled with test topics")
	}
	exercise(t, addr, 6*time.Second)
}
