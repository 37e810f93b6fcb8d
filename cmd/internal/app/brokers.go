package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
)

// Topics flags: which of the brokers' topics are this application's.
type Topics struct {
	Prefix         string        `help:"Prefix of topic names, so that several applications can share a cluster." default:"actorlog" env:"ACTORLOG_PREFIX"`
	Partitions     int32         `help:"Number of shards. Fixed when the topics are created; 0 takes what is there, and 32 for new topics." default:"0" env:"ACTORLOG_PARTITIONS"`
	SessionTimeout time.Duration `help:"After how long without a heartbeat a worker is taken for dead and its shards are given to others. With --group-protocol consumer the brokers say it." default:"6s" env:"ACTORLOG_SESSION_TIMEOUT"`
	MaxRecordBytes int           `help:"Largest record, for topics that are created, of at most 64 MiB; others say it themselves. A raw request is one record with its response: its body may have three eighths of that, and at most 20 MiB. 0 is 8 MiB, the most that some hosted brokers take, and 56 MiB with the broker of actorlog dev." default:"0" env:"ACTORLOG_MAX_RECORD_BYTES"`
	GroupProtocol  string        `help:"How workers share the shards: classic, which all brokers speak, or consumer (KIP-848), where the brokers assign them; Apache Kafka 4.0 or later, better 4.3." enum:"classic,consumer" default:"classic" env:"ACTORLOG_GROUP_PROTOCOL"`
	Storage
}

// Brokers flags: how to reach the brokers.
type Brokers struct {
	Brokers           []string `help:"Kafka-compatible brokers, host:port, comma-separated." default:"127.0.0.1:9092" env:"ACTORLOG_BROKERS"`
	ReplicationFactor int16    `help:"Replication factor of topics that are created; 0 is the brokers' default." default:"0" env:"ACTORLOG_REPLICATION_FACTOR"`
	KafkaTLS          bool     `help:"Connect to the brokers over TLS." env:"ACTORLOG_KAFKA_TLS"`
	KafkaCA           string   `help:"File with the certificate authority of the brokers, PEM. Default: the system's." type:"existingfile" env:"ACTORLOG_KAFKA_CA"`
	KafkaCert         string   `help:"Certificate file, PEM, with which this program proves to the brokers who it is (mTLS). Read anew when it changes." type:"existingfile" env:"ACTORLOG_KAFKA_CERT"`
	KafkaKey          string   `help:"Private key file of --kafka-cert, PEM. Read anew when it changes." type:"existingfile" env:"ACTORLOG_KAFKA_KEY"`
	BrokerProxy       string   `help:"SOCKS5 proxy through which the brokers are reached: socks5://host:port, or with user:password@ before the host; better given in the environment then." placeholder:"URL" env:"ACTORLOG_BROKER_PROXY"`
	SASLMechanism     string   `help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty for none." name:"sasl-mechanism" env:"ACTORLOG_SASL_MECHANISM"`
	SASLUser          string   `help:"SASL user." name:"sasl-user" env:"ACTORLOG_SASL_USER"`
	SASLPassword      string   `help:"SASL password. Not on the command line, which everybody on the machine sees: in the environment, or better in a file." name:"sasl-password" env:"ACTORLOG_SASL_PASSWORD"`
	SASLPasswordFile  string   `help:"File with the SASL password. Read anew when it changes." name:"sasl-password-file" type:"existingfile" env:"ACTORLOG_SASL_PASSWORD_FILE"`
}

// Validate checks the flags; kong calls it.
func (b Brokers) Validate() error {
	switch {
	case (b.KafkaCert == "") != (b.KafkaKey == ""):
		return errors.New("--kafka-cert and --kafka-key go together")
	case b.KafkaCert != "" && !b.KafkaTLS:
		return errors.New("--kafka-cert is given without --kafka-tls")
	case b.SASLPassword != "" && b.SASLPasswordFile != "":
		return errors.New("--sasl-password and --sasl-password-file exclude each other")
	case b.SASLMechanism == "" && (b.SASLUser != "" || b.SASLPassword != "" || b.SASLPasswordFile != ""):
		return errors.New("a SASL user or password is given without --sasl-mechanism")
	}
	return nil
}

// Open connects to the brokers and makes or checks the topics.
func (b Brokers) Open(ctx context.Context, t Topics, role string, log *zap.Logger) (EventLog, error) {
	cfg, err := b.config(t, role, log)
	if err != nil {
		return nil, err
	}
	return t.open(ctx, cfg, false)
}

// existingTimeout is how long somebody who types a command waits for brokers that do not answer.
const existingTimeout = 10 * time.Second

// OpenExisting is Open for a command that looks at what is there, or asks workers for something: it makes no topics, so that a prefix which is mistyped is an error. What the client warns of
// while it tries is in its error, or for doctor to tell.
func (b Brokers) OpenExisting(ctx context.Context, t Topics, log *zap.Logger) (EventLog, error) {
	cfg, err := b.config(t, "cli", log)
	if err != nil {
		return nil, err
	}
	cfg.ReadOnly, cfg.OpenTimeout = true, existingTimeout
	if !log.Core().Enabled(zap.DebugLevel) {
		cfg.Logger = cfg.Logger.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))
	}
	return t.open(ctx, cfg, false)
}

// OpenFor is Open for a process, which counts and traces what happens. It is for the one log of a process.
func (b Brokers) OpenFor(ctx context.Context, t Topics, p *Process) (EventLog, error) {
	cfg, err := b.config(t, p.Program, p.Log)
	if err != nil {
		return nil, err
	}
	events := p.Metrics.Log()
	cfg.Registerer, cfg.Tracing = p.Metrics.Registerer(), p.Tracing
	cfg.Listener.AppendFailed, cfg.Listener.Rebalanced = events.AppendFailed, events.Rebalanced
	l, err := t.open(ctx, cfg, true)
	if err != nil {
		return nil, err
	}
	p.Metrics.Partitions(l.Partitions())
	return l, nil
}

func (t Topics) open(ctx context.Context, cfg kafkalog.Config, process bool) (EventLog, error) {
	l, err := kafkalog.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return t.over(ctx, l, process)
}

func (b Brokers) config(t Topics, role string, log *zap.Logger) (kafkalog.Config, error) {
	cfg := kafkalog.Config{
		Brokers: b.Brokers, Prefix: t.Prefix, Partitions: t.Partitions, ReplicationFactor: b.ReplicationFactor,
		MaxRecordBytes: t.MaxRecordBytes, SessionTimeout: t.SessionTimeout, GroupProtocol: t.GroupProtocol, ClientID: "actorlog-" + role, Logger: log.Named("kafka"),
		Proxy: b.BrokerProxy,
		SASL:  kafkalog.SASL{Mechanism: b.SASLMechanism, User: b.SASLUser, Password: b.SASLPassword},
	}
	if b.SASLPasswordFile != "" {
		password, err := watchPassword(log, b.SASLPasswordFile, "--sasl-password-file")
		if err != nil {
			return cfg, err
		}
		cfg.SASL.Credential = func() (string, error) { return password.get(), nil }
	}
	if b.KafkaCA != "" && !b.KafkaTLS {
		return cfg, errors.New("--kafka-ca is given without --kafka-tls")
	}
	if b.KafkaTLS {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if b.KafkaCA != "" {
			pem, err := os.ReadFile(b.KafkaCA)
			if err != nil {
				return cfg, fmt.Errorf("reading --kafka-ca: %w", err)
			}
			cfg.TLS.RootCAs = x509.NewCertPool()
			if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
				return cfg, fmt.Errorf("reading --kafka-ca: %s holds no certificate", b.KafkaCA)
			}
		}
		if b.KafkaCert != "" {
			pair, err := watchCertificate(log, b.KafkaCert, b.KafkaKey, "--kafka-cert and --kafka-key")
			if err != nil {
				return cfg, err
			}
			cfg.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get(), nil }
		}
	}
	t.configure(&cfg)
	return cfg, nil
}

// DevRecordBytes is what a topic takes where nothing else bounds it: then a raw request may have as large a body as in Rivet, and its response too.
const DevRecordBytes = 56 << 20

// maxRawBody is the largest body of a raw request in Rivet.
const maxRawBody = 20 << 20

// maxRecordBytes is the largest record that a log takes; 0 if it does not say.
func maxRecordBytes(log eventlog.Log) int {
	if l, ok := log.(interface{ MaxRecordBytes() int }); ok {
		return l.MaxRecordBytes()
	}
	return 0
}

// rawRecordBytes is the largest outcome of a raw request: what the topic takes, without the framing. 0 is the worker's default.
func rawRecordBytes(log eventlog.Log) int {
	if most := maxRecordBytes(log); most > kafkalog.DefaultMaxRecordBytes {
		return most - most/32
	}
	return 0
}

// rawBodyBytes is the largest body of a raw request, so that there is as much room for the response. 0 is the gateway's default.
func rawBodyBytes(log eventlog.Log) int {
	if most := maxRecordBytes(log); most > kafkalog.DefaultMaxRecordBytes {
		return min(most/8*3, maxRawBody)
	}
	return 0
}
