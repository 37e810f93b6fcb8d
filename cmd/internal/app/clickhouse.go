package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/projection/chsink"
)

// ClickHouse flags: how to reach the projection's database.
type ClickHouse struct {
	ClickHouse             string `name:"clickhouse" help:"ClickHouse with the projection of the log, host:port of its native protocol." placeholder:"HOST:PORT" env:"ACTORLOG_CLICKHOUSE"`
	ClickHouseDatabase     string `name:"clickhouse-database" help:"Database that is the projection's own. It is created." default:"actorlog" env:"ACTORLOG_CLICKHOUSE_DATABASE"`
	ClickHouseUser         string `name:"clickhouse-user" help:"User." default:"default" env:"ACTORLOG_CLICKHOUSE_USER"`
	ClickHousePassword     string `name:"clickhouse-password" help:"Password. Better given in the environment." env:"ACTORLOG_CLICKHOUSE_PASSWORD"`
	ClickHousePasswordFile string `name:"clickhouse-password-file" help:"File with the password, read when the program starts." type:"existingfile" env:"ACTORLOG_CLICKHOUSE_PASSWORD_FILE"`
	ClickHouseTLS          bool   `name:"clickhouse-tls" help:"Connect over TLS." env:"ACTORLOG_CLICKHOUSE_TLS"`
	ClickHouseCA           string `name:"clickhouse-ca" help:"File with the certificate authority of ClickHouse, PEM. Default: the system's." type:"existingfile" env:"ACTORLOG_CLICKHOUSE_CA"`
}

// Given says whether there is a ClickHouse.
func (c ClickHouse) Given() bool { return c.ClickHouse != "" }

// Open checks the settings. It does not connect. Without a policy, rows are kept as long as they are.
func (c ClickHouse) Open(policy *chsink.Policy, log *zap.Logger) (*chsink.DB, error) {
	if !c.Given() {
		return nil, errors.New("--clickhouse is missing: host:port of the native protocol of the ClickHouse that has the projection")
	}
	cfg := chsink.Config{
		Addr: c.ClickHouse, Database: c.ClickHouseDatabase, User: c.ClickHouseUser, Password: c.ClickHousePassword, Policy: policy, Logger: log.Named("clickhouse"),
	}
	if c.ClickHousePasswordFile != "" {
		if c.ClickHousePassword != "" {
			return nil, errors.New("--clickhouse-password and --clickhouse-password-file exclude each other")
		}
		password, err := watchPassword(log, c.ClickHousePasswordFile, "--clickhouse-password-file")
		if err != nil {
			return nil, err
		}
		cfg.Password = password.get()
	}
	if c.ClickHouseCA != "" && !c.ClickHouseTLS {
		return nil, errors.New("--clickhouse-ca is given without --clickhouse-tls")
	}
	if c.ClickHouseTLS {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if c.ClickHouseCA != "" {
			pem, err := os.ReadFile(c.ClickHouseCA)
			if err != nil {
				return nil, fmt.Errorf("reading --clickhouse-ca: %w", err)
			}
			cfg.TLS.RootCAs = x509.NewCertPool()
			if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("reading --clickhouse-ca: %s holds no certificate", c.ClickHouseCA)
			}
		}
	}
	db, err := chsink.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("--clickhouse: %w", err)
	}
	return db, nil
}

// Projector flags: how the projection is filled.
type Projector struct {
	KeepEvents    time.Duration `help:"How long events stay in ClickHouse, by the actor's time, such as 2160h. 0 is for ever." default:"0" env:"ACTORLOG_KEEP_EVENTS"`
	KeepDestroyed time.Duration `help:"How long an actor that was destroyed stays in ClickHouse. 0 is for ever." default:"0" env:"ACTORLOG_KEEP_DESTROYED"`
	BatchRows     int           `help:"Events of one batch, at most." default:"65536" env:"ACTORLOG_BATCH_ROWS"`
	BatchBytes    int           `help:"Bytes of one batch, about. Two are in memory." default:"33554432" env:"ACTORLOG_BATCH_BYTES"`
	BatchDelay    time.Duration `help:"How long a batch may take to fill." default:"1s" env:"ACTORLOG_BATCH_DELAY"`
	CacheBytes    int           `help:"Memory for actors that are likely to be met again." default:"67108864" env:"ACTORLOG_CACHE_BYTES"`
}

// Validate checks the flags; kong calls it.
func (p Projector) Validate() error {
	if p.BatchRows < 1 || p.BatchBytes < 1 || p.BatchDelay <= 0 || p.CacheBytes < 1 {
		return errors.New("--batch-rows, --batch-bytes, --batch-delay and --cache-bytes: want more than nothing")
	}
	for name, d := range map[string]time.Duration{"keep-events": p.KeepEvents, "keep-destroyed": p.KeepDestroyed} {
		if d < 0 || d%time.Second != 0 {
			return fmt.Errorf("--%s: want whole seconds, or 0 for ever", name)
		}
	}
	return nil
}

// Policy that the flags mean.
func (p Projector) Policy() *chsink.Policy {
	return &chsink.Policy{Events: p.KeepEvents, Destroyed: p.KeepDestroyed}
}
