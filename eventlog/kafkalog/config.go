package kafkalog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kprom"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/net/proxy"

	"github.com/actorlog/actorlog/eventlog"
)

// Defaults of a Config.
const (
	DefaultBroker           = "127.0.0.1:9092"
	DefaultPrefix           = "actorlog"
	DefaultPartitions       = 32
	DefaultActionsRetention = 7 * 24 * time.Hour
	DefaultMaxRecordBytes   = 8 << 20
	DefaultBufferBytes      = 64 << 20
	DefaultAppendTimeout    = 30 * time.Second
	DefaultOpenTimeout      = 30 * time.Second
	DefaultSessionTimeout   = 6 * time.Second
	DefaultRebalanceTimeout = 60 * time.Second
)

// KeysCompactionLag is the time after which a key that was destroyed is up for compaction, when something is written to its partition: Apache Kafka closes segments at writes alone. Brokers take their time to do
// it, some minutes at most if they are not overloaded.
const KeysCompactionLag = time.Hour

// Group protocols: how members of a group agree on who has which partition.
const (
	// GroupProtocolClassic has one of the members decide. All brokers speak it.
	GroupProtocolClassic = "classic"
	// GroupProtocolConsumer has the brokers decide (KIP-848), one partition at a time.
	// Needs Apache Kafka 4.0 or later, better 4.3: Redpanda does not speak it.
	GroupProtocolConsumer = "consumer"
)

// Config says which brokers and topics, and how. The zero value works against a broker
// on this machine.
type Config struct {
	// Brokers to ask first, as host:port. Default 127.0.0.1:9092.
	Brokers []string
	// Prefix of the topics' names and of transactional ids, so that several
	// applications can share a cluster. Default "actorlog".
	Prefix string
	// Partitions of actions, events and snapshots. 0: as many as the topics have,
	// and 32 if they are to be created. It cannot be changed afterwards.
	Partitions int32
	// ReplicationFactor of topics that are created. 0: the brokers' default.
	ReplicationFactor int16
	// ActionsRetention is how long actions are kept. Default 7 days; negative: for
	// ever. Applied when the topic is created.
	ActionsRetention time.Duration
	// EventsRetention is how long events are kept. Default 0: for ever. Applied when
	// the topic is created. History that is deleted cannot be replayed.
	EventsRetention time.Duration
	// MaxRecordBytes is the largest record, with all its framing, and the
	// max.message.bytes of topics that are created. Default 8 MiB. A topic that
	// exists keeps its own limit, and that limit then holds.
	MaxRecordBytes int
	// BufferBytes bounds the appends that are not acknowledged yet; beyond it Append
	// blocks. Default 64 MiB.
	BufferBytes int
	// Compression of appended records: "none", "snappy", "lz4" or "zstd". Default none:
	// batches are small where latency matters.
	Compression string
	// AppendTimeout is how long an append waits for its acknowledgement before it
	// ends with an error. Default 30 s.
	AppendTimeout time.Duration
	// OpenTimeout bounds Open, in which brokers that do not answer yet are waited
	// for. Default 30 s.
	OpenTimeout time.Duration
	// SessionTimeout is how long a silent member of a group keeps its partitions,
	// and so how long a shard stands still after its worker was killed. Default 6 s,
	// the least that Kafka allows by default (group.min.session.timeout.ms): a
	// shard that moves without need costs a recovery of milliseconds, a shard
	// without an owner costs its callers the whole timeout. With GroupProtocolConsumer
	// brokers decide instead (group.consumer.session.timeout.ms).
	SessionTimeout time.Duration
	// GroupProtocol is GroupProtocolClassic or GroupProtocolConsumer. Default classic.
	GroupProtocol string
	// RebalanceTimeout is how long the group waits for a member's Released to
	// return. Default 60 s.
	RebalanceTimeout time.Duration
	// Keys makes, or expects, the topic of the keys with which records are sealed. Default false.
	Keys bool
	// ReadOnly never creates topics. Default false.
	ReadOnly bool

	// ClientID as the brokers see it, in logs and quotas. Default "actorlog".
	ClientID string
	// TLS encrypts connections. Default nil: plain text.
	TLS *tls.Config
	// SASL authenticates. Default none.
	SASL SASL
	// Proxy is the SOCKS5 proxy through which all brokers are reached, as
	// socks5://host:port or socks5://user:password@host:port; port 1080 if it names none. The
	// proxy resolves the brokers' names. TLS is between us and the broker. Default none.
	Proxy string

	// Logger for warnings of the client. Default none.
	Logger *zap.Logger
	// Listener is told of what happens. Default none.
	Listener EventListener
	// Registerer gets the metrics of connections, requests and records: actorlog_kafka_... One Log may use it at a time. Default none.
	Registerer prometheus.Registerer
	// Tracing makes a span of every append that is part of a sampled trace; it changes no record. Default none.
	Tracing trace.TracerProvider

	// dial replaces the network in tests.
	dial dialFunc
	// metrics of all our clients; nil without a Registerer.
	metrics *kprom.Metrics
}

// SASL says who we are. The zero value: nobody.
type SASL struct {
	// Mechanism is "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"; empty: no SASL.
	Mechanism string
	User      string
	Password  string
	// Credential, if set, is asked for the password at every connection instead, so that it can change. It must be safe for concurrent use.
	Credential func() (password string, err error)
}

// EventListener is told of what happens in a Log. Its functions may be nil, must not
// block, and may be called from several goroutines at once.
type EventListener struct {
	// AppendFailed: an append ended with err.
	AppendFailed func(t eventlog.Topic, partition int32, err error)
	// BrokerConnected: a connection was made, or was tried when err is not nil.
	BrokerConnected func(addr string, took time.Duration, err error)
	// BrokerDisconnected: a connection ended.
	BrokerDisconnected func(addr string)
	// Rebalanced: what is "assigned", "released" or "lost".
	Rebalanced func(what string, partitions []int32)
}

func (l EventListener) rebalanced(what string, partitions []int32) {
	if l.Rebalanced != nil {
		l.Rebalanced(what, partitions)
	}
}

func (c *Config) setDefaults() {
	if len(c.Brokers) == 0 {
		c.Brokers = []string{DefaultBroker}
	}
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.ActionsRetention == 0 {
		c.ActionsRetention = DefaultActionsRetention
	}
	if c.MaxRecordBytes == 0 {
		c.MaxRecordBytes = DefaultMaxRecordBytes
	}
	if c.BufferBytes == 0 {
		c.BufferBytes = DefaultBufferBytes
	}
	if c.AppendTimeout == 0 {
		c.AppendTimeout = DefaultAppendTimeout
	}
	if c.OpenTimeout == 0 {
		c.OpenTimeout = DefaultOpenTimeout
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = DefaultSessionTimeout
	}
	if c.RebalanceTimeout == 0 {
		c.RebalanceTimeout = DefaultRebalanceTimeout
	}
	if c.GroupProtocol == "" {
		c.GroupProtocol = GroupProtocolClassic
	}
	if c.ClientID == "" {
		c.ClientID = DefaultPrefix
	}
}

// Validate reports everything that is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(validName(c.Prefix), "prefix %q: use letters, digits, '.', '_' and '-', at most 200", c.Prefix)
	check(c.Partitions >= 0, "partitions %d: must not be negative", c.Partitions)
	check(c.ReplicationFactor >= 0, "replication factor %d: must not be negative", c.ReplicationFactor)
	check(c.MaxRecordBytes >= 0 && c.MaxRecordBytes <= 64<<20, "max record bytes %d: must be at most 64 MiB", c.MaxRecordBytes)
	check(c.MaxRecordBytes == 0 || c.MaxRecordBytes >= 1024, "max record bytes %d: must be at least 1024", c.MaxRecordBytes)
	check(c.BufferBytes >= 0, "buffer bytes %d: must not be negative", c.BufferBytes)
	check(c.EventsRetention >= 0, "events retention %s: must not be negative", c.EventsRetention)
	check(c.AppendTimeout == 0 || c.AppendTimeout >= 100*time.Millisecond, "append timeout %s: must be at least 100 ms", c.AppendTimeout)
	check(c.OpenTimeout >= 0, "open timeout %s: must not be negative", c.OpenTimeout)
	check(c.SessionTimeout >= 0, "session timeout %s: must not be negative", c.SessionTimeout)
	check(c.RebalanceTimeout >= 0, "rebalance timeout %s: must not be negative", c.RebalanceTimeout)
	switch c.GroupProtocol {
	case "", GroupProtocolClassic, GroupProtocolConsumer:
	default:
		check(false, "group protocol %q: use %s or %s", c.GroupProtocol, GroupProtocolClassic, GroupProtocolConsumer)
	}
	_, err := c.codec()
	check(err == nil, "%v", err)
	_, err = c.SASL.mechanism()
	check(err == nil, "%v", err)
	_, err = c.proxied()
	check(err == nil, "%v", err)
	return errors.Join(errs...)
}

func validName(s string) bool {
	if len(s) > 200 {
		return false
	}
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
		default:
			return false
		}
	}
	return true
}

func (c *Config) codec() (kgo.CompressionCodec, error) {
	switch c.Compression {
	case "", "none":
		return kgo.NoCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.NoCompression(), fmt.Errorf("compression %q: use none, snappy, lz4 or zstd", c.Compression)
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password()
			return plain.Auth{User: s.User, Pass: password}, err
		}), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(s.scram), nil
	case "SCRAM-SHA-512":
		return scram.Sha512(s.scram), nil
	}
	return nil, fmt.Errorf("SASL mechanism %q: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
}

func (s SASL) scram(context.Context) (scram.Auth, error) {
	password, err := s.password()
	return scram.Auth{User: s.User, Pass: password}, err
}

func (s SASL) password() (string, error) {
	if s.Credential == nil {
		return s.Password, nil
	}
	return s.Credential()
}

// dialTimeout bounds how long a connection may take to make, proxy and TLS included.
const dialTimeout = 5 * time.Second

type dialFunc func(ctx context.Context, network, host string) (net.Conn, error)

// proxied dials through the proxy; nil without one. The client does TLS only for connections that it
// dials itself, so it is done here.
func (c *Config) proxied() (dialFunc, error) {
	if c.Proxy == "" {
		return nil, nil
	}
	u, err := url.Parse(c.Proxy)
	if err != nil || u.Scheme != "socks5" || u.Hostname() == "" || u.Path != "" {
		return nil, errors.New("proxy: want socks5://host:port") // not what was given: it may hold a password
	}
	d, err := proxy.FromURL(u, new(net.Dialer))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	dial, ok := d.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("proxy: it cannot be dialled with a context")
	}
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := dial.DialContext(ctx, network, host)
		if err != nil || c.TLS == nil {
			return conn, err
		}
		cfg := c.TLS.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(host) // an address that could be dialled
		}
		encrypted := tls.Client(conn, cfg)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("TLS with %s through the proxy: %w", host, err)
		}
		return encrypted, nil
	}, nil
}

// clientOptions are what all our clients have in common.
func (c *Config) clientOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.DisableClientMetrics(),
		// Requests that change hands between brokers are retried for as long as an
		// append would wait; waiting longer is the caller's decision.
		kgo.RetryTimeout(c.AppendTimeout),
		kgo.DialTimeout(dialTimeout),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(backoff),
		kgo.MaxDecompressBatchBytes(maxInflated), // see inflater
	}
	proxied, _ := c.proxied() // checked by Validate
	switch {
	case c.dial != nil:
		opts = append(opts, kgo.Dialer(c.dial))
	case proxied != nil:
		opts = append(opts, kgo.Dialer(proxied))
	case c.TLS != nil:
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	if m, _ := c.SASL.mechanism(); m != nil { // checked by Validate
		opts = append(opts, kgo.SASL(m))
	}
	if c.Logger != nil {
		opts = append(opts, kgo.WithLogger(kzap.New(c.Logger, kzap.Level(kgo.LogLevelWarn))))
	}
	if l := c.Listener; l.BrokerConnected != nil || l.BrokerDisconnected != nil {
		opts = append(opts, kgo.WithHooks(connectionHooks{l}))
	}
	if c.metrics != nil {
		opts = append(opts, kgo.WithHooks(clientMetrics{c.metrics}))
	}
	return opts
}

// backoff between tries: short, for the common case is a broker that restarts or a
// leader that moves, and callers are waiting.
func backoff(tries int) time.Duration {
	d := 20 * time.Millisecond << min(tries, 6)
	return min(d, time.Second)
}
