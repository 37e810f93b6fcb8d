// Package webclient calls actors through a gateway, over HTTP: for Go programs that cannot reach the brokers. The typed handles of
// package actor work with it as they do with actors/remote:
//
//	client, err := webclient.New("https://actors.example", webclient.Config{})
//	n, err := counter.Increment.Call(ctx, counter.Kind.GetOrCreate(client, "org", "42"), 1)
//
// # Retries
//
// Every request that may have an effect carries an idempotency key: that of the handle, or one made for the call. So the client can
// repeat what it does not know the answer to: when a gateway is away, restarts, says 503, or a connection breaks after the request was sent.
// It does so, with pauses that grow and vary, until it has an answer, ctx ends, or Config.RequestTimeout is over.
// A refusal of the actor or the runtime is an answer, and an actor.ErrOverloaded is one too: it is not
// repeated, so that who calls too fast hears of it.
//
// An actor remembers its last 1,000 keys. A repeat that reaches it after 1,000 other requests with keys, those of
// other webclients included, is a new request.
//
// # What it does differently from actors/remote
//
//   - To an actor, this client is one like any other: its calls pass the actor's connection hooks, with or without Handle.WithParams.
//   - A call to an actor whose key the RivetKit protocol cannot express (a part with a comma, or the key [""]), or that is to be created with an input
//     above 2 KiB, takes two requests: one that resolves the actor, and one to the life that was found. If
//     that life ends between the two, the call is an actor.ErrNotFound.
//   - Reading and destroying by id are two requests as well: the gateway has no such address. A read never returns the state of another life; a
//     Destroy ends the next life if the one that was meant ends, and the key is taken again, between the two.
//   - In results, an array of two whose first element is a string that begins with "$$" loses one "$": so the protocol escapes its own
//     tags.
package webclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
)

// Errors of calls, beside *actor.Error.
var (
	// ErrUnavailable: no gateway took the request, and certainly nothing was done. Trying again is safe.
	ErrUnavailable = errors.New("no gateway is available")
	// ErrUnknownOutcome: the request may have been taken in and may take effect, now or later. Trying again is safe only
	// with the same idempotency key, which the handle must have given (actor.Handle.Idempotent).
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrGone: events that a subscription has not seen yet are no longer kept.
	ErrGone = errors.New("events no longer kept")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("client closed")
)

// Config of a Client. The zero value works.
type Config struct {
	// Namespace of handles that name none, or "default". Default "default".
	Namespace string
	// Token is sent as "Authorization: Bearer" with every request. Default: none.
	Token string
	// RequestTimeout bounds one call with all its repeats, when ctx has no earlier deadline. It does not bound the wait for a queue's reply,
	// which only ctx does. Default 75 s: the longest action and a failover.
	RequestTimeout time.Duration
	// StreamTimeout is for how long an event stream may be silent before it is taken for dead. Gateways send something every
	// 15 s. Default 45 s.
	StreamTimeout time.Duration
	// TLS of connections to the gateway. Not used with HTTPClient. Default: that of Go.
	TLS *tls.Config
	// HTTPClient makes the requests. One with a Timeout cuts event streams off, which then resume. Default: one of its own, with HTTP/2
	// where the gateway has it.
	HTTPClient *http.Client
}

func (c *Config) setDefaults() {
	if c.Namespace == "" {
		c.Namespace = actor.DefaultNamespace
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 75 * time.Second
	}
	if c.StreamTimeout == 0 {
		c.StreamTimeout = 45 * time.Second
	}
}

// Validate returns what is wrong with the configuration, nil if nothing is.
func (c Config) Validate() error {
	var errs []error
	if c.Namespace != "" {
		errs = append(errs, schemas.ValidateNamespace(c.Namespace))
	}
	if c.RequestTimeout < 0 {
		errs = append(errs, errors.New("RequestTimeout is negative"))
	}
	if c.StreamTimeout < 0 {
		errs = append(errs, errors.New("StreamTimeout is negative"))
	}
	if c.HTTPClient != nil && c.TLS != nil {
		errs = append(errs, errors.New("TLS is set, and so is HTTPClient, which has its own"))
	}
	return errors.Join(errs...)
}

// Client is an actor.Caller and actor.Subscriber over a gateway. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base string // without a slash at its end
	http *http.Client

	ctx  context.Context // ends with the client
	stop context.CancelFunc
	mu   sync.Mutex // makes wg.Go and Close exclude each other
	wg   sync.WaitGroup
}

var _ actor.Subscriber = (*Client)(nil)

// New makes a client of the gateway at endpoint, an http or https URL that may have a path. It connects to nobody yet. Close
// the client when it is not needed any more.
func New(endpoint string, cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuring the client: %w", err)
	}
	cfg.setDefaults()
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the endpoint: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("the endpoint %q is not of the form http://host/path", endpoint)
	}
	c := &Client{cfg: cfg, base: strings.TrimRight(endpoint, "/"), http: cfg.HTTPClient}
	if c.http == nil {
		c.http = &http.Client{Transport: newTransport(cfg.TLS)}
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c, nil
}

func newTransport(tls *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		TLSClientConfig:     tls.Clone(),
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     90 * time.Second,
		// A gateway whose machine is gone says nothing: find out before the caller has lost its patience.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// Close ends the subscriptions, whose lost is told ErrClosed, and waits for them: it must not be called from a callback. Calls under way end with
// ErrClosed, and so do later ones.
func (c *Client) Close() {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.wg.Wait()
	if c.cfg.HTTPClient == nil {
		c.http.CloseIdleConnections()
	}
}

// start runs fn in a goroutine that Close waits for; false if the client is closed.
func (c *Client) start(fn func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.wg.Go(fn)
	return true
}

// bound returns a context that ends with ctx, with the client, and after a time unless it is 0.
func (c *Client) bound(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	untie := context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })
	expire := func() {}
	if timeout > 0 {
		ctx, expire = context.WithTimeout(ctx, timeout)
	}
	return ctx, func() {
		untie()
		expire()
		cancel(nil)
	}
}
