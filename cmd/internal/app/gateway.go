package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/audit/overlog"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/archive"
	"github.com/actorlog/actorlog/gateway"
	"github.com/actorlog/actorlog/projection/chsink"
	"github.com/actorlog/actorlog/replay/erase"
	"github.com/actorlog/actorlog/replay/operate"
)

// drainTimeout bounds how long a gateway waits for open requests when it stops.
const drainTimeout = 10 * time.Second

// Gateway flags.
type Gateway struct {
	Listen  string `help:"Where to serve HTTP and WebSocket, host:port." default:"127.0.0.1:6420" env:"ACTORLOG_LISTEN"`
	TLSCert string `help:"Certificate file, PEM: serve HTTPS with HTTP/2. Read anew when it changes." name:"tls-cert" type:"existingfile" env:"ACTORLOG_TLS_CERT"`
	TLSKey  string `help:"Private key file, PEM. Read anew when it changes." name:"tls-key" type:"existingfile" env:"ACTORLOG_TLS_KEY"`

	AllowOrigin   []string `help:"Web pages that may use the gateway: https://app.example.com, https://*.example.com, same-origin, loopback, * (all), or chatRoom=https://chat.example.com for one kind. Repeat it, or separate by commas. Default: same-origin and loopback." placeholder:"ORIGIN" env:"ACTORLOG_ALLOW_ORIGIN"`
	TrustProxy    []string `help:"Addresses of proxies, such as 10.0.0.0/8, whose X-Forwarded-For says who the client is." placeholder:"CIDR" env:"ACTORLOG_TRUST_PROXY"`
	MaxRejections int      `help:"Rejected connections of one client address per minute, before further ones of it are put off. -1 is no bound." default:"60" env:"ACTORLOG_MAX_REJECTIONS"`

	Admin

	// Quotas of clients. Of its own group of flags, for not every program has them.
	Quotas Quotas `kong:"-"`
	// ClickHouse is what questions of auditors are asked of first, and what erasures follow through. Of its own group of flags.
	ClickHouse ClickHouse `kong:"-"`
	// Store is the directory of the local store of a worker on this machine, which erasures follow through too. No flag.
	Store string `kong:"-"`
	// Before, when not nil, returns what stands before the gateway. No flag.
	Before func(gateway http.Handler) http.Handler `kong:"-"`
}

// Quotas flags: what clients may ask of actors through this gateway. The zero value bounds no client.
type Quotas struct {
	RateLimit        int `help:"Requests a minute of one client (whom its actor has authenticated, or else an address) to one actor; a minute's worth may come at once. Each gateway counts for itself. -1 is no bound." default:"1200" env:"ACTORLOG_RATE_LIMIT"`
	MaxUnderWay      int `help:"Requests of one client to one actor that may be under way. -1 is no bound." default:"32" env:"ACTORLOG_MAX_UNDER_WAY"`
	CallerRateLimit  int `help:"Requests a minute of one client to all actors. -1 is no bound." default:"-1" env:"ACTORLOG_CALLER_RATE_LIMIT"`
	ActorRateLimit   int `help:"Requests a minute of all clients to one actor. -1 is no bound." default:"-1" env:"ACTORLOG_ACTOR_RATE_LIMIT"`
	MaxActorUnderWay int `help:"Requests of all clients to one actor that may be under way. -1 is no bound." default:"1000" env:"ACTORLOG_MAX_ACTOR_UNDER_WAY"`
}

// Validate checks the flags; kong calls it.
func (q Quotas) Validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"rate-limit", q.RateLimit}, {"max-under-way", q.MaxUnderWay}, {"caller-rate-limit", q.CallerRateLimit},
		{"actor-rate-limit", q.ActorRateLimit}, {"max-actor-under-way", q.MaxActorUnderWay},
	} {
		if f.value < -1 || f.value == 0 {
			return fmt.Errorf("--%s: want a positive number, or -1 for no bound", f.name)
		}
	}
	return nil
}

// Validate checks the flags; kong calls it.
func (g Gateway) Validate() error {
	if (g.TLSCert == "") != (g.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if _, _, err := net.SplitHostPort(g.Listen); err != nil {
		return fmt.Errorf("--listen: %w (want host:port, such as 127.0.0.1:6420)", err)
	}
	if _, err := gateway.ParseOrigins(g.AllowOrigin...); err != nil {
		return fmt.Errorf("--allow-origin: %w", err)
	}
	if _, err := parseProxies(g.TrustProxy); err != nil {
		return err
	}
	if err := g.Admin.validate(); err != nil {
		return err
	}
	if g.MaxRejections < -1 || g.MaxRejections == 0 {
		return errors.New("--max-rejections: want a positive number, or -1 for no bound")
	}
	return nil
}

// parseProxies reads networks and single addresses.
func parseProxies(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if a, addrErr := netip.ParseAddr(text); addrErr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("--trust-proxy: %q is no network and no address (want 10.0.0.0/8 or 10.1.2.3)", text)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// config is what the flags mean. loopback says that only this machine reaches the gateway.
func (g Gateway) config(loopback bool, log *zap.Logger) (gateway.Config, error) {
	origins, err := gateway.ParseOrigins(g.AllowOrigin...)
	if err != nil {
		return gateway.Config{}, fmt.Errorf("--allow-origin: %w", err)
	}
	proxies, err := parseProxies(g.TrustProxy)
	if err != nil {
		return gateway.Config{}, err
	}
	cfg := gateway.Config{
		Version: Version(), Logger: log, Origins: origins, TrustedProxies: proxies, MaxRejections: g.MaxRejections, Loopback: loopback,
		RateLimit: g.Quotas.RateLimit, MaxUnderWay: g.Quotas.MaxUnderWay, CallerRateLimit: g.Quotas.CallerRateLimit,
		ActorRateLimit: g.Quotas.ActorRateLimit, MaxActorUnderWay: g.Quotas.MaxActorUnderWay,
	}
	cfg.AdminTokens, err = g.tokens(log)
	return cfg, err
}

// tls is how to serve HTTPS; nil is HTTP.
func (g Gateway) tls(log *zap.Logger) (*tls.Config, error) {
	if g.TLSCert == "" {
		return nil, nil
	}
	certificate, err := watchCertificate(log, g.TLSCert, g.TLSKey, "--tls-cert and --tls-key")
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.get(), nil },
	}, nil
}

// Bind opens the port, so that a port that is taken is known before anything else starts.
func (g Gateway) Bind() (net.Listener, error) {
	l, err := net.Listen("tcp", g.Listen)
	if err != nil {
		return nil, fmt.Errorf("opening %s (is another gateway running? choose another --listen): %w", g.Listen, err)
	}
	return l, nil
}

// Run serves on l until ctx ends, then lets open requests finish.
func (g Gateway) Run(ctx context.Context, brokers eventlog.Log, l net.Listener, p *Process) error {
	log := p.Log.Named("gateway")
	client, err := remote.Open(brokers, remote.Config{Logger: log, Events: p.Metrics.Client()})
	if err != nil {
		return err
	}
	defer client.Close()
	tcp, ok := l.Addr().(*net.TCPAddr)
	cfg, err := g.config(ok && tcp.IP.IsLoopback(), log)
	if err != nil {
		return err
	}
	cfg.Listener, cfg.Tracing, cfg.Metrics = p.Metrics.Gateway(), p.Tracing, p.Metrics.Handler()
	cfg.MaxRequestBytes = rawBodyBytes(brokers)
	var erasing erase.Options
	if cfg.Audit = overlog.New(brokers); g.ClickHouse.Given() {
		db, err := g.ClickHouse.Open(nil, log)
		if err != nil {
			return err
		}
		defer db.Close()
		cfg.Projection = chsink.Handler(db, brokers)
		cfg.Audit, erasing.Projection = overClickHouse(db, brokers, log), db
	}
	if a := archiveOf(brokers); a != nil {
		cfg.Archive = archive.Handler(a)
	}
	cfg.Verify, _ = p.served(verifyPart)
	if g.Store != "" {
		erasing.Stores = []erase.Store{host.StoreDir(g.Store)}
	}
	cfg.Operate = func(c *remote.Client) http.Handler {
		return operate.Handler(c, operate.Config{Erase: erasing, Version: Version()})
	}
	tlsConfig, err := g.tls(log)
	if err != nil {
		return err
	}
	gw, err := gateway.New(client, cfg)
	if err != nil {
		return err
	}
	p.Metrics.FollowClient(client)
	p.Metrics.FollowGateway(gw)
	p.SetReady(func(ctx context.Context) error {
		if gw.Stats().Draining {
			return errors.New("it is shutting down")
		}
		return client.Ready(ctx)
	})
	// Handshakes that fail and the like: clients cause as many as they want.
	errorLog, err := zap.NewStdLogAt(log.Named("http"), zap.DebugLevel)
	if err != nil {
		return fmt.Errorf("making the log of the server: %w", err)
	}
	handler := gw.Handler()
	if g.Before != nil {
		handler = g.Before(handler)
	}
	server := newServer(handler, tlsConfig, defaultPatience)
	server.ErrorLog = errorLog
	scheme, serve := "http", server.Serve
	if tlsConfig != nil {
		scheme, serve = "https", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	failed := make(chan error, 1)
	go func() { failed <- serve(l) }() // ends with Shutdown below
	log.Info("gateway listening", zap.String("url", scheme+"://"+l.Addr().String()), zap.Stringer("origins", cfg.Origins))
	if cfg.AdminTokens != nil && tlsConfig == nil && !cfg.Loopback {
		log.Warn("the admin token crosses the network in the clear: use it behind a proxy that ends TLS, or with --tls-cert")
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err = errors.Join(gw.Shutdown(drain), server.Shutdown(drain))
	log.Info("gateway stopped", zap.Error(err))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // requests that take longer were cut off, as announced
	}
	return err
}
