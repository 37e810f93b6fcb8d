package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/admin"
	"github.com/actorlog/actorlog/internal/obs"
	"github.com/actorlog/actorlog/internal/respond"
	"github.com/actorlog/actorlog/replay/gate"
)

// Ops flags: what operators see of a program.
type Ops struct {
	OpsListen     string  `help:"Where to serve /healthz, /readyz, /metrics and, to whoever has an admin token, /debug/pprof and what the program has below /admin: host:port, for the network of operators. Default: nowhere." env:"ACTORLOG_OPS_LISTEN"`
	TraceEndpoint string  `help:"Collector of traces that speaks OTLP over HTTP. Default: no traces are kept." placeholder:"http://HOST:4318" env:"ACTORLOG_TRACE_ENDPOINT"`
	TraceRatio    float64 `help:"Part of the requests that are traced, 0 to 1." default:"0.01" env:"ACTORLOG_TRACE_RATIO"`
}

// Validate checks the flags; kong calls it.
func (o Ops) Validate() error {
	if o.TraceRatio < 0 || o.TraceRatio > 1 {
		return errors.New("--trace-ratio: want a number from 0 to 1")
	}
	if o.OpsListen != "" {
		if _, _, err := net.SplitHostPort(o.OpsListen); err != nil {
			return fmt.Errorf("--ops-listen: %w (want host:port, such as 0.0.0.0:9464)", err)
		}
	}
	return nil
}

// Admin flags: how operators prove who they are.
type Admin struct {
	AdminToken     string `help:"Token that /admin, /metrics of the gateway and /debug/pprof ask for. Better given in a file. Without one they are served to this machine alone, if --listen is loopback." env:"ACTORLOG_ADMIN_TOKEN"`
	AdminTokenFile string `help:"File with admin tokens, one a line; any of them will do. Read anew when it changes." type:"existingfile" env:"ACTORLOG_ADMIN_TOKEN_FILE"`
}

func (a Admin) validate() error {
	if a.AdminToken != "" && a.AdminTokenFile != "" {
		return errors.New("--admin-token and --admin-token-file exclude each other")
	}
	if a.AdminToken != "" {
		if _, err := admin.Parse(a.AdminToken); err != nil {
			return fmt.Errorf("--admin-token: %w", err)
		}
	}
	return nil
}

// tokens returns what the flags say; nil without any.
func (a Admin) tokens(log *zap.Logger) (func() admin.Tokens, error) {
	switch {
	case a.AdminToken != "":
		tokens, err := admin.Parse(a.AdminToken)
		return func() admin.Tokens { return tokens }, err
	case a.AdminTokenFile != "":
		w, err := watchTokens(log, a.AdminTokenFile)
		if err != nil {
			return nil, err
		}
		return w.get, nil
	}
	return nil, nil
}

// Process is what the parts of a program have in common: where they log, count and trace, and who says that they are ready.
type Process struct {
	Program string
	Log     *zap.Logger
	Metrics *obs.Metrics
	// Tracing is nil when nothing is traced.
	Tracing trace.TracerProvider

	mu    sync.Mutex
	ready func(context.Context) error
	// operators is what is served to them below /admin, by the first part of its path.
	operators map[string]http.Handler
	close     []func()
}

// NewProcess is a process that traces nothing and serves no operators.
func NewProcess(program string, log *zap.Logger) *Process {
	return &Process{Program: program, Log: log, Metrics: obs.New(program, Version())}
}

// Start begins a program: its traces, and what it serves to operators. edge says that strangers send it requests. Close ends it.
func (o Ops) Start(ctx context.Context, program string, edge bool, a Admin, log *zap.Logger) (*Process, error) {
	p := NewProcess(program, log)
	if err := a.validate(); err != nil {
		return nil, err
	}
	tracing := obs.Tracing{
		Endpoint: o.TraceEndpoint, Ratio: o.TraceRatio, Program: program, Version: Version(), Instance: instance(), Edge: edge, Log: log.Named("traces"),
	}
	provider, closeTracing, err := tracing.Open(ctx)
	if err != nil {
		return nil, err
	}
	p.Tracing = provider
	p.close = append(p.close, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := closeTracing(ctx); err != nil {
			log.Warn("handing over the last traces", zap.Error(err))
		}
	})
	if err := p.serve(o, a); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close ends what Start began.
func (p *Process) Close() {
	for i := len(p.close) - 1; i >= 0; i-- {
		p.close[i]()
	}
}

// SetReady says who knows whether the program is ready: what it returns is what is missing.
func (p *Process) SetReady(ready func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = ready
}

// Serve has operators served a part of what is below /admin, at --ops-listen.
func (p *Process) Serve(part string, h http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.operators == nil {
		p.operators = make(map[string]http.Handler)
	}
	p.operators[part] = h
}

// Verify has operators served the verification of what is recorded, on the code at hand. A gateway of the same process serves it as well.
func (p *Process) Verify(registry *actor.Registry, source eventlog.Source) {
	p.Serve(verifyPart, gate.Handler(registry, source))
}

const verifyPart = "verify"

// served is what Serve was given for a part, nil for nothing, and which parts there are.
func (p *Process) served(part string) (http.Handler, []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.operators[part], slices.Sorted(maps.Keys(p.operators))
}

// readyTimeout bounds how long /readyz waits.
const readyTimeout = 3 * time.Second

func (p *Process) isReady(ctx context.Context) error {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if ready == nil {
		return errors.New("it is starting")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return ready(ctx)
}

func (p *Process) serve(o Ops, a Admin) error {
	if o.OpsListen == "" {
		return nil
	}
	tokens, err := a.tokens(p.Log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.OpsListen)
	if err != nil {
		return fmt.Errorf("opening --ops-listen %s: %w", o.OpsListen, err)
	}
	errorLog, err := zap.NewStdLogAt(p.Log.Named("ops"), zap.DebugLevel)
	if err != nil {
		return fmt.Errorf("making the log of the server: %w", err)
	}
	tcp, ok := l.Addr().(*net.TCPAddr)
	server := newServer(p.handler(tokens, ok && tcp.IP.IsLoopback()), nil, defaultPatience)
	server.ErrorLog = errorLog
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until it is closed
	}()
	p.close = append(p.close, func() {
		_ = server.Close()
		<-done
	})
	p.Log.Info("serving operators", zap.String("url", "http://"+l.Addr().String()))
	return nil
}

// handler is what operators are served. Profiles are for those that present a token alone: they slow the process down, and show what it holds. What is below /admin is served as
// gateways serve it: to this machine, too, if there is no token and the listener is on loopback.
func (p *Process) handler(tokens func() admin.Tokens, loopback bool) http.Handler {
	mux := http.NewServeMux()
	text := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintln(w, text)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := p.isReady(r.Context()); err != nil {
			text(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		text(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", p.Metrics.Handler())
	mux.HandleFunc("GET /debug/pprof/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case tokens == nil:
			text(w, http.StatusForbidden, "Profiles are served to whoever presents an admin token: start with --admin-token-file.")
		case !tokens().Allow(r):
			w.Header().Set("WWW-Authenticate", admin.Challenge)
			text(w, http.StatusUnauthorized, "This needs Authorization: Bearer and an admin token (--admin-token-file).")
		default:
			admin.Profiles(w, r)
		}
	})
	operators := func(w http.ResponseWriter, r *http.Request) {
		if refused := admin.Check(r, tokens, loopback); refused != nil {
			if refused.Status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", admin.Challenge)
			}
			respond.Fail(w, refused.Status, "auth", refused.Code, refused.Message)
			return
		}
		part, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/admin/"), "/")
		h, parts := p.served(part)
		if h == nil {
			respond.Fail(w, http.StatusNotFound, "api", "not_found", fmt.Sprintf("nothing is served there; below /admin this program has %v", parts))
			return
		}
		h.ServeHTTP(w, r)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if strings.HasPrefix(r.URL.Path, "/admin/") { // keys may have what a ServeMux would clean
			operators(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
