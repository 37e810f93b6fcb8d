package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/internal/admin"
	"github.com/actorlog/actorlog/schemas"
)

// Config of a Gateway. The zero value works.
type Config struct {
	// Version of the program, shown by /metadata and /health. Default "dev".
	Version string

	// MaxIncomingMessageBytes bounds the body of an action, a message for a queue, and a message on a connection.
	// Default 65,536.
	MaxIncomingMessageBytes int
	// MaxOutgoingMessageBytes bounds an action's answer and an event. Default 1 MiB.
	MaxOutgoingMessageBytes int
	// MaxSocketMessageBytes bounds a message on a raw socket. Default 1 MiB.
	MaxSocketMessageBytes int
	// MaxRequestBytes bounds the body of a raw request. It is recorded in one outcome with the response, which the workers limit to
	// 8,000,000 bytes unless host.Config.RawRecordBytes says otherwise. Default 3 MiB.
	MaxRequestBytes int
	// MaxParamsBytes bounds the parameters of a connection, as JSON: each is part of its actor's state. Default 4,096.
	MaxParamsBytes int
	// MaxInputBytes bounds the input of a creation, as JSON. Default, and most, 4 MiB.
	MaxInputBytes int

	// SessionBuffer is how many messages may wait for one socket, or outcomes for one event
	// stream, before it is closed as too slow. Default 256.
	SessionBuffer int
	// SessionBufferBytes bounds the same in bytes, sockets only. It counts shared memory: an
	// event that waits for many sockets exists once. Default 8 MiB.
	SessionBufferBytes int
	// MaxInFlight is how many actions of one session may be under way; beyond it the session is
	// not read. Default 32.
	MaxInFlight int
	// MaxSubscriptions is how many event names one session may subscribe to. Default 1,024.
	MaxSubscriptions int

	// MaxSubscribing is how many event streams may be asking their actors at once, and MaxRecoveries how many passes over the log may be
	// under way to read back what they missed, each for all who wait for its shard. Others wait: so do not all calls, when all
	// subscribers of a gateway that died come to this one. Default 16 and 2.
	MaxSubscribing, MaxRecoveries int

	// ResolveTimeout bounds looking up or creating an actor, and opening a connection to it. Default 15 s.
	ResolveTimeout time.Duration
	// WriteTimeout bounds one write to a socket, and the taking of each 64 KiB of an answer or event stream. Default 10 s.
	WriteTimeout time.Duration
	// CloseTimeout bounds closing a socket: flushing what waits, and the peer's answer. Default 3 s.
	CloseTimeout time.Duration
	// PingInterval is the pause between pings on a socket; a peer that leaves two unanswered is
	// taken for dead. Default 25 s.
	PingInterval time.Duration
	// HeartbeatInterval is the pause between comments on an event stream. Default 15 s.
	HeartbeatInterval time.Duration
	// RejectDelay is the least time between the upgrade of a session and its end for an
	// error after which its client is not meant to reconnect; up to as much again is added at random.
	// Some clients reconnect at once all the same, for ever. Default 500 ms; -1 is none.
	RejectDelay time.Duration

	// BodyTimeout bounds the arrival of a request's body, from the end of its headers. Default 30 s.
	BodyTimeout time.Duration

	// MaxRejections is how many sockets of one client address may be rejected per minute, for errors after which
	// their client is not meant to reconnect, before further upgrades of that address are
	// put off: the more rejections, the longer. Default 60; -1 is no bound.
	MaxRejections int
	// MaxRejectDelay bounds for how long an upgrade is put off. Default 10 s.
	MaxRejectDelay time.Duration
	// MaxDelayed is how many sockets of one client address may be put off at once. Further upgrades
	// are answered 429 if they were to be put off, and further rejections are not delayed. Default 64.
	MaxDelayed int

	// MaxRequests is how many HTTP requests for actors may be under way; further ones are answered 503 with Retry-After before they are
	// read. Default 16,384.
	MaxRequests int
	// MaxBodyBytes bounds the bodies of all requests under way, likewise; one body may be larger. Default 128 MiB.
	MaxBodyBytes int
	// MaxSessions is how many sockets and event streams may be open. Further ones are refused with guard.service_unavailable, by close
	// reason; beyond an eighth more, 503. Default 32,768.
	MaxSessions int

	// RateLimit is how many requests a minute one client may make to one actor of this gateway: a principal, if its actor has
	// authenticated the client before, else an address. A minute's worth may come at once. Requests are calls of actions, messages for queues, raw requests, connections and streams that begin, and what
	// clients send over connections; beyond it they are answered 429 guard.rate_limit, and messages of raw sockets wait. It is counted
	// by each gateway for itself. Default, and below 0: no bound. That of cmd/gateway is 1,200.
	RateLimit int
	// MaxUnderWay is how many requests of one client to one actor may be under way, likewise. An open connection is none.
	// Default, and below 0: no bound. That of cmd/gateway is 32.
	MaxUnderWay int
	// CallerRateLimit is RateLimit for one client to all actors. Default, and below 0: no bound.
	CallerRateLimit int
	// ActorRateLimit is RateLimit for all clients to one actor. Default, and below 0: no bound.
	ActorRateLimit int
	// MaxActorUnderWay is how many requests of all clients to one actor may be under way; further ones are answered with
	// actor.overloaded, as its worker would, but without a record of it in the log. Default 1,000; -1 is no bound.
	MaxActorUnderWay int

	// Origins are the web pages that may use the gateway. Others are refused before anything happens:
	// 403 auth.forbidden, or a socket that is closed for it. Default: pages of the gateway's own origin and
	// of loopback origins.
	Origins Origins
	// TrustedProxies may say in X-Forwarded-For for whom they ask. Default: nobody may.
	TrustedProxies []netip.Prefix

	// AdminTokens returns the tokens that admin routes ask for; any of them will do. It is called for every request to them,
	// by many goroutines, so that they can change; one of less than [MinAdminToken] bytes
	// is nobody's. Default: none; then admin routes are served to this machine alone, if Loopback is set.
	AdminTokens func() AdminTokens
	// Metrics serves GET /metrics, as an admin route. Default: there is no such route.
	Metrics http.Handler
	// Operate makes what serves the admin routes that write: /admin/fork/*, /admin/undo/*, /admin/export/*, /admin/import/* and /admin/erase/*. replay/operate.Handler is one.
	// Default: there are no such routes.
	Operate func(*remote.Client) http.Handler
	// Verify serves /admin/verify: runs recorded actions again. replay/gate.Handler makes one, of the kinds that it is given. Default: it is answered 501, for a gateway has no
	// code of actors.
	Verify http.Handler
	// Archive serves /admin/archive: fills the archive that stands before the log of the client. eventlog/archive.Handler makes one. Default: it is answered 501.
	Archive http.Handler
	// Projection serves /admin/projection: the builds of the projection in ClickHouse. projection/chsink.Handler makes one. Default: it is answered 501.
	Projection http.Handler
	// Audit answers the questions of /admin/audit. Default: nobody does, and there are no such routes.
	Audit audit.Store
	// Loopback says that the gateway can be reached by this machine alone.
	Loopback bool

	// Logger for what an operator should know. Default: none.
	Logger *zap.Logger
	// Listener is told what happens. Default: nobody.
	Listener EventListener
	// Tracing makes a span of every request, and of every outcome that is passed on to sockets and streams as part of a trace. Default
	// none: then what clients send as traceparent is in the records all the same.
	Tracing trace.TracerProvider
}

func (c *Config) setDefaults() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	defTime := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	def(&c.MaxIncomingMessageBytes, 64<<10)
	def(&c.MaxOutgoingMessageBytes, 1<<20)
	def(&c.MaxSocketMessageBytes, 1<<20)
	def(&c.MaxRequestBytes, 3<<20)
	def(&c.MaxParamsBytes, 4<<10)
	def(&c.MaxInputBytes, schemas.MaxInputLen)
	def(&c.SessionBuffer, 256)
	def(&c.SessionBufferBytes, 8<<20)
	def(&c.MaxInFlight, 32)
	def(&c.MaxSubscriptions, 1024)
	def(&c.MaxSubscribing, 16)
	def(&c.MaxRecoveries, 2)
	defTime(&c.ResolveTimeout, 15*time.Second)
	defTime(&c.WriteTimeout, 10*time.Second)
	defTime(&c.CloseTimeout, 3*time.Second)
	defTime(&c.PingInterval, 25*time.Second)
	defTime(&c.HeartbeatInterval, 15*time.Second)
	defTime(&c.RejectDelay, 500*time.Millisecond)
	defTime(&c.BodyTimeout, 30*time.Second)
	def(&c.MaxRejections, 60)
	defTime(&c.MaxRejectDelay, 10*time.Second)
	def(&c.MaxDelayed, 64)
	def(&c.MaxRequests, 16384)
	def(&c.MaxBodyBytes, 128<<20)
	def(&c.MaxSessions, 32768)
	def(&c.MaxActorUnderWay, 1000)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
}

// Validate returns what is wrong with the configuration, nil if nothing is.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxIncomingMessageBytes", int64(c.MaxIncomingMessageBytes)},
		{"MaxOutgoingMessageBytes", int64(c.MaxOutgoingMessageBytes)},
		{"MaxSocketMessageBytes", int64(c.MaxSocketMessageBytes)},
		{"MaxRequestBytes", int64(c.MaxRequestBytes)},
		{"MaxParamsBytes", int64(c.MaxParamsBytes)},
		{"MaxInputBytes", int64(c.MaxInputBytes)},
		{"SessionBuffer", int64(c.SessionBuffer)},
		{"SessionBufferBytes", int64(c.SessionBufferBytes)},
		{"MaxInFlight", int64(c.MaxInFlight)},
		{"MaxSubscriptions", int64(c.MaxSubscriptions)},
		{"MaxSubscribing", int64(c.MaxSubscribing)},
		{"MaxRecoveries", int64(c.MaxRecoveries)},
		{"ResolveTimeout", int64(c.ResolveTimeout)},
		{"WriteTimeout", int64(c.WriteTimeout)},
		{"CloseTimeout", int64(c.CloseTimeout)},
		{"PingInterval", int64(c.PingInterval)},
		{"HeartbeatInterval", int64(c.HeartbeatInterval)},
		{"BodyTimeout", int64(c.BodyTimeout)},
		{"MaxRejectDelay", int64(c.MaxRejectDelay)},
		{"MaxDelayed", int64(c.MaxDelayed)},
		{"MaxRequests", int64(c.MaxRequests)},
		{"MaxBodyBytes", int64(c.MaxBodyBytes)},
		{"MaxSessions", int64(c.MaxSessions)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative", f.name))
		}
	}
	if c.MaxInputBytes > schemas.MaxInputLen {
		errs = append(errs, fmt.Errorf("MaxInputBytes is %d, more than %d", c.MaxInputBytes, schemas.MaxInputLen))
	}
	return errors.Join(errs...)
}

// AdminTokens are what operators may present.
type AdminTokens = admin.Tokens

// MinAdminToken is how many bytes an admin token has at least.
const MinAdminToken = admin.MinToken

// EventListener is told what happens in a Gateway. Every func may be nil. They are called
// from many goroutines, some of which must not wait: they must not block.
type EventListener struct {
	// RequestDone: an HTTP request was answered. Sockets and event streams count when they end.
	RequestDone func(RequestInfo)
	// SessionOpened: a socket was accepted.
	SessionOpened func(SessionInfo)
	// SessionClosed: a socket is gone.
	SessionClosed func(SessionInfo)
	// SlowConsumer: a socket or stream was closed because its buffer was full.
	SlowConsumer func(SessionInfo)
	// BadInput: a request or message was refused for what it contains.
	BadInput func(BadInputInfo)
	// StreamOpened and StreamClosed: an event stream began to be served, and is gone. Those on sockets are told as sessions too.
	StreamOpened func(StreamInfo)
	StreamClosed func(StreamInfo)
	// PassedOn: an outcome's events went to the sockets of its actor, or to one event stream.
	PassedOn func(PassedOn)
}

// What an event stream began with.
const (
	// ResumeFresh: the client has had nothing, and begins with what comes.
	ResumeFresh = "fresh"
	// ResumeRecovered: the client gets exactly what it missed.
	ResumeRecovered = "recovered"
	// ResumeLost: what the client missed is not to be had any more, and it was told.
	ResumeLost = "lost"
)

// StreamInfo is an event stream.
type StreamInfo struct {
	// Resume is ResumeFresh, ResumeRecovered or ResumeLost.
	Resume string
	// Duration since it was asked for: for StreamOpened, the time that reading back took.
	Duration time.Duration
}

// PassedOn is the fan-out of one outcome.
type PassedOn struct {
	// Face is "socket" or "stream".
	Face string
	// Events that the outcome has, and Sent: how many messages were made of them.
	Events, Sent int
}

// RequestInfo is a request that was answered.
type RequestInfo struct {
	// Route is the pattern, not the path: bounded in number.
	Route  string
	Method string
	Status int
	// Duration until the last byte was handed to the connection.
	Duration time.Duration
}

// SessionInfo is a socket or an event stream.
type SessionInfo struct {
	Route string
	// ConnectionID of a socket; empty for streams.
	ConnectionID string
	// Reason why it ended; empty when it has not, or when the peer gave none.
	Reason string
	// Duration since it was accepted.
	Duration time.Duration
}

// BadInputInfo is a refusal.
type BadInputInfo struct {
	Route string
	// Group and Code that the client was told.
	Group, Code string
}

func (l *EventListener) setDefaults() {
	if l.RequestDone == nil {
		l.RequestDone = func(RequestInfo) {}
	}
	if l.SessionOpened == nil {
		l.SessionOpened = func(SessionInfo) {}
	}
	if l.SessionClosed == nil {
		l.SessionClosed = func(SessionInfo) {}
	}
	if l.SlowConsumer == nil {
		l.SlowConsumer = func(SessionInfo) {}
	}
	if l.BadInput == nil {
		l.BadInput = func(BadInputInfo) {}
	}
	if l.StreamOpened == nil {
		l.StreamOpened = func(StreamInfo) {}
	}
	if l.StreamClosed == nil {
		l.StreamClosed = func(StreamInfo) {}
	}
	if l.PassedOn == nil {
		l.PassedOn = func(PassedOn) {}
	}
}
