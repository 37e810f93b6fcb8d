// Package chsink is ClickHouse for the projection and the audit: tables, migrations, the [projection.Sink] that fills them, and the audit.Store that
// answers from them. It is the only package that knows ch-go.
//
// A database holds one or more builds of the projection: the tables events_N, actors_N and places_N, all filled from the log by whichever projectors
// run. Views without a number (events, actors, broadcasts, schedules, connections, parked) show the current build; [DB.Switch] has them show another.
//
// # Exactly once
//
// There are no transactions over tables, and none are needed. A row is a function of its position, and its position (or actor) is the key of a
// ReplacingMergeTree: what is written twice is one row, at the latest when parts are merged, and in the views, which read with FINAL, at every moment. So a batch that may or may not
// have been written is written again. Its three inserts go one after the other: events, actors, places. A projector that starts goes
// on from places; an actor that it finds ahead of its place tells that its events up to there are written.
//
// Deduplication of inserted blocks by token was the alternative. It takes batches that are cut alike after a crash, so by count alone and not by time, and the server forgets
// tokens. Asking events for the highest offset was another: it takes every insert to become one part, whatever its size and times.
//
// A connection of ch-go is not safe for concurrent use, and does not come back by itself: all go through a pool, which drops those that failed.
package chsink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/chpool"
	"github.com/ClickHouse/ch-go/proto"
	"go.uber.org/zap"
)

// Config of a DB.
type Config struct {
	// Addr of the server's native protocol, host:port. Port 9000 if there is none.
	Addr string
	// Database that is all the projection's own. It is created. Default "actorlog"; letters, digits and _.
	Database string
	// User and Password; default "default" without one.
	User, Password string
	// TLS, when not nil, is spoken.
	TLS *tls.Config
	// Policy says how long rows are kept. Default: as the tables have it, which is for ever in new ones.
	Policy *Policy
	// MaxConns is how many connections are held at most. Default 8.
	MaxConns int
	// Plain sends blocks as they are. By default they are compressed with LZ4.
	Plain bool
	// Logger for what an operator should know. Default: none.
	Logger *zap.Logger
}

// Policy says how long rows are kept, by the actor's time. Zero is for ever.
type Policy struct {
	// Events, and with them broadcasts.
	Events time.Duration
	// Destroyed is for how long an actor that was destroyed stays in actors.
	Destroyed time.Duration
}

// Validate checks the settings.
func (c *Config) Validate() error {
	if c.Addr == "" {
		return errors.New("the address of ClickHouse is missing: give host:port of its native protocol")
	}
	if !identifier.MatchString(c.Database) {
		return fmt.Errorf("the database name %q: want letters, digits and _, not beginning with a digit", c.Database)
	}
	if c.Policy == nil {
		return nil
	}
	if c.Policy.Events < 0 || c.Policy.Destroyed < 0 {
		return errors.New("rows cannot be kept for less than no time")
	}
	if c.Policy.Events%time.Second != 0 || c.Policy.Destroyed%time.Second != 0 {
		return errors.New("rows are kept for whole seconds")
	}
	return nil
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *Config) setDefaults() {
	if c.Database == "" {
		c.Database = "actorlog"
	}
	if c.MaxConns == 0 {
		c.MaxConns = 8
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil && c.Addr != "" {
		c.Addr = net.JoinHostPort(c.Addr, strconv.Itoa(ch.DefaultPort))
	}
}

// ErrUnavailable says that ClickHouse did not answer: it may later. Errors of queries that it has refused are none of it.
var ErrUnavailable = errors.New("ClickHouse does not answer")

// DB is a database of a ClickHouse. It is safe for concurrent use, connects when it has to, and holds nothing but idle connections.
type DB struct {
	cfg  Config
	pool *chpool.Pool
	// files are migrations and views.
	files fs.FS
}

// Open checks the settings. It does not connect.
func Open(cfg Config) (*DB, error) {
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	options := ch.Options{
		Address: cfg.Addr, User: cfg.User, Password: cfg.Password, TLS: cfg.TLS, ClientName: "actorlog",
		DialTimeout: dialTimeout, HandshakeTimeout: dialTimeout, ReadTimeout: readTimeout,
		Compression: ch.CompressionLZ4,
	}
	if cfg.Plain {
		options.Compression = ch.CompressionDisabled
	}
	pool, err := chpool.New(context.Background(), chpool.Options{ClientOptions: options, MaxConns: int32(cfg.MaxConns)})
	if err != nil {
		return nil, fmt.Errorf("making a pool of connections to ClickHouse: %w", err)
	}
	return &DB{cfg: cfg, pool: pool, files: migrations}, nil
}

// Bounds of what ClickHouse may take its time for. A context may bound it further.
const (
	dialTimeout = 5 * time.Second
	readTimeout = 2 * time.Minute
)

// Close ends all connections, when what is under way has ended.
func (db *DB) Close() { db.pool.Close() }

// do runs a query. What fails for want of a connection that holds is ErrUnavailable.
func (db *DB) do(ctx context.Context, q ch.Query) error {
	err := db.pool.Do(ctx, q)
	if err == nil || ch.IsException(err) {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnavailable, db.cfg.Addr, err)
}

// ask is do for a query that may be run again: a connection may have ended while it was idle.
func (db *DB) ask(ctx context.Context, q ch.Query, reset func()) error {
	err := db.do(ctx, q)
	if !errors.Is(err, ErrUnavailable) {
		return err
	}
	reset()
	return db.do(ctx, q)
}

// exec runs a statement without parameters.
func (db *DB) exec(ctx context.Context, statement string) error {
	if err := db.ask(ctx, ch.Query{Body: statement}, func() {}); err != nil {
		return fmt.Errorf("%s: %w", firstLine(statement), err)
	}
	return nil
}

func firstLine(statement string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(statement), "\n")
	return line
}

// escaper writes a text as a server reads the value of a parameter: escaped once as a value of its own format, and quoted as a field.
var escaper = strings.NewReplacer(`\`, `\\\\`, `'`, `\'`, "\t", `\\t`, "\n", `\\n`, "\r", `\\r`, "\x00", `\\0`, "\b", `\\b`, "\f", `\\f`)

// params is parameters of a query: user input goes there and nowhere else.
type params []proto.Parameter

func (p *params) text(name, value string) {
	*p = append(*p, proto.Parameter{Key: name, Value: "'" + escaper.Replace(value) + "'"})
}

func (p *params) number(name string, value int64) { p.text(name, strconv.FormatInt(value, 10)) }

func (p *params) float(name string, value float64) {
	p.text(name, strconv.FormatFloat(value, 'g', -1, 64))
}

// quoter writes a text as an element of an array.
var quoter = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

func (p *params) list(name string, values []string) {
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("'" + quoter.Replace(v) + "'")
	}
	b.WriteByte(']')
	// The array's text is a field, and no escaped value: it is quoted once.
	*p = append(*p, proto.Parameter{Key: name, Value: "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(b.String()) + "'"})
}
