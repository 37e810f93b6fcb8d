package kafkalog

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
)

// EmbeddedConfig says where the embedded broker listens and keeps its data. The zero
// value listens on 127.0.0.1:9092 and keeps nothing.
type EmbeddedConfig struct {
	// DataDir holds the data; it is made if need be. One broker at a time may use
	// it. Empty: the data is gone with the broker.
	DataDir string
	// Listen is where to listen, as host:port; port 0 takes any free one. Clients are
	// told to come to this address, so the host must be one that they can reach.
	// Default 127.0.0.1:9092.
	Listen string
	// SyncWrites waits for the disk (fsync) before it acknowledges. Off by default, as
	// in Kafka: what is acknowledged survives the death of the process, but not that
	// of the machine. Kafka has replicas for that; this broker has none.
	SyncWrites bool
	// Logger for warnings of the broker. Default none.
	Logger *zap.Logger
}

// Embedded is a broker in this process, for development and tests: franz-go's kfake,
// which speaks the Kafka protocol, keeps its data in files and has no replicas. Never
// use it in production.
//
// What it does and does not do:
//
//   - Acknowledged records survive kill -9 of the process (see SyncWrites for the
//     machine). A write that was torn is cut off at the next start.
//   - Transactions, fencing, groups and static members work; the sessions of members are
//     kept here, not by kfake (see sessions). After a kill -9, groups start empty and their
//     members join anew.
//   - After a kill -9 it no longer knows what it had acknowledged to whom: a client in
//     another process that repeats an append whose acknowledgement was lost writes it
//     twice. Readers of actions and events are prepared for that (a request has an
//     id, an outcome has its ref).
//   - Nothing is ever deleted: neither retention nor compaction is enforced. kfake
//     could do both, but a kill -9 in the middle of its compaction loses the partition,
//     and a partition of which all has expired starts again at offset 0 with the next
//     start. To get the space back, delete the directory.
//   - A snapshot write that was under way at a kill -9 may turn up after all, and if it
//     was larger than one batch (Config.MaxRecordBytes) in part: the first records
//     without the last. Kafka shows all or nothing.
//   - One goroutine does all the work, and its start reads all data after a kill -9.
type Embedded struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File // nil without DataDir
	once    sync.Once
	// stopSessions ends the goroutine that expels members.
	stopSessions func()
}

// What members may ask for. The longest is Kafka's.
const minSessionTimeout, maxSessionTimeout = 100 * time.Millisecond, 30 * time.Minute

// StartEmbedded starts the broker and returns when it can be connected to.
func StartEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultBroker
	}
	e := &Embedded{}

	if cfg.DataDir != "" {
		if err := os.MkdirAll(cfg.DataDir, 0o755); err != nil {
			return nil, fmt.Errorf("making the embedded broker's data directory: %w", err)
		}
		lock, err := lockDir(cfg.DataDir)
		if err != nil {
			return nil, err
		}
		e.lock = lock
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		e.unlock()
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("starting the embedded broker: %w: another broker runs on %s: stop it, use it (--brokers), or choose another --kafka-listen", err, cfg.Listen)
		}
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	e.addr = ln.Addr().String()

	sessions := newSessions()
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("embedded-" + randomHex(8)), // of a new directory; an old one has its own
		kfake.ListenFn(func(string, string) (net.Listener, error) { return sessions.listener(ln), nil }),
		kfake.GroupMinSessionTimeout(minSessionTimeout),
		kfake.GroupMaxSessionTimeout(maxSessionTimeout),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes": strconv.Itoa(64 << 20),
			// Kafka's own 45 s is long for a worker that is restarted all the time.
			"group.consumer.session.timeout.ms":    strconv.FormatInt(DefaultSessionTimeout.Milliseconds(), 10),
			"group.consumer.heartbeat.interval.ms": strconv.FormatInt(DefaultSessionTimeout.Milliseconds()/4, 10),
			// Never; see Embedded.
			"log.cleaner.backoff.ms": strconv.FormatInt((10 * 365 * 24 * time.Hour).Milliseconds(), 10),
		}),
	}
	if cfg.DataDir != "" {
		opts = append(opts, kfake.DataDir(cfg.DataDir))
	}
	if cfg.SyncWrites {
		opts = append(opts, kfake.SyncWrites())
	}
	if cfg.Logger != nil {
		opts = append(opts, kfake.WithLogger(kfakeLogger{cfg.Logger.Sugar()}))
	}
	if e.cluster, err = kfake.NewCluster(opts...); err != nil {
		_ = ln.Close() // it may be closed already
		e.unlock()
		return nil, fmt.Errorf("starting the embedded broker on %s: %w", cfg.DataDir, err)
	}
	e.stopSessions = sessions.keep(e.cluster, e.addr)
	return e, nil
}

// Addr is the address to connect to, as host:port.
func (e *Embedded) Addr() string { return e.addr }

// Close stops the broker and saves its state. Clients should be closed first.
func (e *Embedded) Close() {
	e.once.Do(func() {
		e.stopSessions()
		e.cluster.Close()
		e.unlock()
	})
}

func (e *Embedded) unlock() {
	if e.lock != nil {
		_ = e.lock.Close() // which unlocks
	}
}

// kfakeLogger passes kfake's warnings on.
type kfakeLogger struct{ l *zap.SugaredLogger }

// Logf implements [kfake.Logger].
func (k kfakeLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		k.l.Errorf(format, args...)
	case kfake.LogLevelWarn:
		k.l.Warnf(format, args...)
	}
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
