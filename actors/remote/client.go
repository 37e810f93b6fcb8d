package remote

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// sweepEvery is how often requests are checked for having waited too long.
const sweepEvery = time.Second

// lagEvery is how often it is looked how far the tail is behind, and how long a request must have waited for that.
const lagEvery = time.Second

// Client is one reader of events with many callers. It is safe for concurrent use.
type Client struct {
	log    eventlog.Log
	cfg    Config
	tail   eventlog.Tail
	ctx    context.Context // ends with Close; owned by the client's goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup
	seq    atomic.Uint64
	sender *Sender
	leased sync.Once
	// unacknowledged is the bytes of actions on their way to the brokers; behind is how far the tail lags, see watchLag.
	unacknowledged, behind atomic.Int64

	started  chan struct{} // closed when every shard knows from where it delivers
	up       atomic.Bool   // the same, for the hot path
	caughtUp chan struct{} // closed when every shard has found its epoch
	shards   []shard       // owned by the tail goroutine, but for position

	mu      sync.Mutex
	closed  bool
	pending map[string]*pending
	watches map[schemas.Hash]*watched
}

// shard is one partition of events as far as it was read.
type shard struct {
	fence machine.Fence
	// from is the first offset whose outcomes are delivered: what comes before, from begin on,
	// is read for its claims. first is the first offset that was kept.
	first, begin, from int64
	// ready: all that comes before from was read.
	ready bool
	// moved: what is left of this poll comes from where the shard was read before.
	moved bool
	// position is the last offset read.
	position atomic.Int64
}

// watched is one actor that somebody watches.
type watched struct {
	watches []*Watch
	lastRef int64
}

// pending is a request under way. It does not hold the action, which may be large.
type pending struct {
	partition int32
	watch     *Watch
	done      func(*Delivery, bool, error)
	begun     time.Time
	deadline  time.Time
	detach    func() bool // from the caller's context; nil when it is not attached
}

func (p *pending) answer(d *Delivery, replayed bool, err error) {
	if p.detach != nil {
		p.detach()
	}
	p.done(d, replayed, err)
}

func (c *Config) setDefaults() {
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 75 * time.Second
	}
	if c.MaxPending == 0 {
		c.MaxPending = 16384
	}
	if c.MaxUnacknowledgedBytes == 0 {
		c.MaxUnacknowledgedBytes = 64 << 20
	}
	if c.MaxBehind == 0 {
		c.MaxBehind = 20_000
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
}

// Open starts a client on the log. It returns at once; until the tail has found the
// epochs of all shards, requests wait. Close ends it.
func Open(log eventlog.Log, cfg Config) (*Client, error) {
	cfg.setDefaults()
	cfg.Events.setDefaults()
	// Outcomes of the old requests of a client that was started again under its name may still come.
	var first uint64
	if cfg.ID != "" {
		first = uint64(time.Now().UnixMicro())
	}
	sender := NewSender(log, cfg.ID)
	cfg.ID = sender.id
	tail, err := log.Tail(eventlog.Events)
	if err != nil {
		return nil, fmt.Errorf("opening the tail of events: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		log: log, cfg: cfg, tail: tail, ctx: ctx, cancel: cancel,
		started: make(chan struct{}), caughtUp: make(chan struct{}),
		shards: make([]shard, log.Partitions()), sender: sender,
		pending: make(map[string]*pending), watches: make(map[schemas.Hash]*watched),
	}
	c.seq.Store(first)
	for i := range c.shards {
		c.shards[i].position.Store(-1)
	}
	c.wg.Go(c.follow)
	c.wg.Go(c.sweep)
	c.wg.Go(c.watchLag)
	return c, nil
}

// Close ends the client: requests under way are answered ErrUnknownOutcome.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	waiting := c.pending
	c.pending = make(map[string]*pending)
	c.mu.Unlock()
	c.cancel()
	c.tail.Close()
	for _, p := range waiting {
		p.answer(nil, false, fmt.Errorf("%w: the client was closed", ErrUnknownOutcome))
	}
	c.wg.Wait()
}

// Ask appends the request's action and returns. done is called exactly once, unless Ask
// returns an error: with the outcome, or with an error (ErrUnknownOutcome, ErrNotAppended
// or ctx's cause joined to one of them). It is called from a goroutine of the client's
// and must not block. An outcome that carries an Error is an outcome, not an error. For a
// repeat of an idempotency key, Delivery is the first outcome, and replayed is true.
func (c *Client) Ask(ctx context.Context, req Request, done func(d *Delivery, replayed bool, err error)) error {
	_, err := c.send(ctx, req, done, func(id string) func() bool {
		return context.AfterFunc(ctx, func() { c.giveUp(ctx, id) })
	})
	return err
}

// Do is Ask that waits.
func (c *Client) Do(ctx context.Context, req Request) (*Delivery, bool, error) {
	type answer struct {
		d        *Delivery
		replayed bool
		err      error
	}
	answered := make(chan answer, 1)
	id, err := c.send(ctx, req, func(d *Delivery, replayed bool, err error) {
		answered <- answer{d, replayed, err}
	}, func(string) func() bool { return nil })
	if err != nil {
		return nil, false, err
	}
	var a answer
	select {
	case a = <-answered:
	case <-ctx.Done():
		c.giveUp(ctx, id)
		a = <-answered
	}
	return a.d, a.replayed, a.err
}

// giveUp answers a request whose caller waits no longer.
func (c *Client) giveUp(ctx context.Context, id string) {
	c.finish(id, nil, false, fmt.Errorf("%w: %w", ErrUnknownOutcome, context.Cause(ctx)))
}

// send appends a request's action. attach ties the request to its caller's context, and returns
// what unties it.
func (c *Client) send(ctx context.Context, req Request, done func(*Delivery, bool, error), attach func(id string) func() bool) (string, error) {
	if !c.up.Load() {
		select {
		case <-c.started:
		case <-ctx.Done():
			return "", fmt.Errorf("%w: waiting for the brokers: %w", ErrNotAppended, context.Cause(ctx))
		case <-c.ctx.Done():
			return "", fmt.Errorf("%w: %w", ErrNotAppended, eventlog.ErrClosed)
		}
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("%w: %w", ErrNotAppended, context.Cause(ctx))
	}
	id := c.cfg.ID + "-" + strconv.FormatUint(c.seq.Add(1), 36)
	a := req.Action
	a.RequestId = id
	if a.Caller == nil {
		a.Caller = new(actorlogv1.Caller)
	}
	if h := a.Handshake; h != nil && h.ConnectionId == "" {
		h.ConnectionId = id
	}
	if h := a.Handshake; h != nil {
		a.Caller.ConnectionId = h.ConnectionId
	}
	now := time.Now()
	a.TimeUnixMs = now.UnixMilli()

	p := &pending{
		partition: req.Hash.Shard(c.log.Partitions()), watch: req.Watch, done: done, begun: now, deadline: now.Add(c.cfg.RequestTimeout),
	}
	size := int64(proto.Size(a))
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return "", fmt.Errorf("%w: %w", ErrNotAppended, eventlog.ErrClosed)
	}
	if err := c.busyLocked(size); err != nil {
		c.mu.Unlock()
		c.cfg.Events.Busy(err)
		return "", err
	}
	c.unacknowledged.Add(size)
	if a.GetConnect() != nil { // here, for Close waits for what was begun before it
		c.leased.Do(func() { c.wg.Go(c.holdLease) })
	}
	p.detach = attach(id)
	c.pending[id] = p
	c.mu.Unlock()

	appended := req.Appended
	err := c.sender.DeliverIn(trace.SpanContextFromContext(ctx), req.Hash, a, func(_ int64, err error) {
		c.unacknowledged.Add(-size)
		c.cfg.Events.Appended(time.Since(now), err)
		switch {
		case err == nil:
			if appended != nil {
				appended()
			}
		case errors.Is(err, eventlog.ErrTooLarge):
			c.finish(id, nil, false, fmt.Errorf("%w: %w", ErrNotAppended, err))
		default:
			c.finish(id, nil, false, fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
		}
	})
	if err != nil {
		c.unacknowledged.Add(-size)
		c.finish(id, nil, false, fmt.Errorf("%w: %w", ErrNotAppended, err))
	}
	return id, nil
}

// Busy returns ErrBusy while a request would be refused with it, else nil: whoever asks before it has done any work
// saves that work.
func (c *Client) Busy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busyLocked(0)
}

// busyLocked says whether there is room for an action of so many bytes. An action that is too large for an empty client's bound is let
// in alone.
func (c *Client) busyLocked(size int64) error {
	waiting := c.unacknowledged.Load()
	switch behind := c.behind.Load(); {
	case len(c.pending) >= c.cfg.MaxPending:
		return fmt.Errorf("%w: %d requests wait for their outcomes", ErrBusy, len(c.pending))
	case waiting > 0 && waiting+size >= c.cfg.MaxUnacknowledgedBytes:
		return fmt.Errorf("%w: %d bytes wait for the brokers", ErrBusy, waiting)
	case behind > c.cfg.MaxBehind:
		return fmt.Errorf("%w: %d events are still to be read", ErrBusy, behind)
	}
	return nil
}

// finish answers a request, once, and registers its watch in the same step: a request that was
// given up in the meantime leaves no watch behind.
func (c *Client) finish(id string, d *Delivery, replayed bool, err error) {
	c.mu.Lock()
	p, ok := c.pending[id]
	delete(c.pending, id)
	if ok && p.watch != nil && err == nil && d.Outcome.Error == nil {
		c.watchLocked(d.Hash, p.watch)
	}
	c.mu.Unlock()
	if ok {
		c.cfg.Events.Answered(time.Since(p.begun), replayed, err)
		p.answer(d, replayed, err)
	}
}

// Watch registers w for the actor and returns the position after which it sees
// everything: the last outcome position that the tail has passed in the actor's shard.
// Unwatch ends it.
func (c *Client) Watch(hash schemas.Hash, w *Watch) schemas.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watchLocked(hash, w)
}

func (c *Client) watchLocked(hash schemas.Hash, w *Watch) schemas.Position {
	w.hash = hash
	e := c.watches[hash]
	if e == nil {
		e = &watched{lastRef: -1}
		c.watches[hash] = e
	}
	// A new slice: the tail may be going through the old one.
	e.watches = append(e.watches[:len(e.watches):len(e.watches)], w)
	partition := hash.Shard(c.log.Partitions())
	return schemas.Position{Partition: partition, Offset: c.shards[partition].position.Load()}
}

// Unwatch ends a watch; unknown ones are ignored. One call of Outcome may be under way when it returns.
func (c *Client) Unwatch(w *Watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.watches[w.hash]
	if e == nil {
		return
	}
	kept := make([]*Watch, 0, len(e.watches))
	for _, other := range e.watches {
		if other != w {
			kept = append(kept, other)
		}
	}
	if e.watches = kept; len(kept) == 0 {
		delete(c.watches, w.hash)
	}
}

// sweep ends requests that have waited too long.
func (c *Client) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case now := <-ticker.C:
			var late []string
			c.mu.Lock()
			for id, p := range c.pending {
				if now.After(p.deadline) {
					late = append(late, id)
				}
			}
			c.mu.Unlock()
			for _, id := range late {
				c.finish(id, nil, false, fmt.Errorf("%w: no outcome within %v", ErrUnknownOutcome, c.cfg.RequestTimeout))
			}
		}
	}
}

// watchLag measures how far the tail is behind, while it may be: when a request waits for longer than it should.
func (c *Client) watchLag() {
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	lagging := make(map[int32]struct{}) // shards that are looked at
	for {
		select {
		case <-c.ctx.Done():
			return
		case now := <-ticker.C:
			c.mu.Lock()
			for _, p := range c.pending {
				if now.Sub(p.begun) >= lagEvery {
					lagging[p.partition] = struct{}{}
				}
			}
			c.mu.Unlock()
			c.behind.Store(c.lag(lagging))
		}
	}
}

// lag is the events of the shard that is furthest behind. It forgets shards that are not behind any more.
func (c *Client) lag(shards map[int32]struct{}) (most int64) {
	ctx, cancel := context.WithTimeout(c.ctx, 5*lagEvery)
	defer cancel()
	for p := range shards {
		_, end, err := c.log.Bounds(ctx, eventlog.Events, p)
		if err != nil {
			return most // not to be known now; unacknowledged and pending requests tell that the brokers are away
		}
		behind := end - 1 - c.shards[p].position.Load()
		most = max(most, behind)
		if behind <= c.cfg.MaxBehind {
			delete(shards, p)
		}
	}
	return most
}

// Log that the client is of, to read from.
func (c *Client) Log() eventlog.Source { return c.log }

// Pending is how many requests are under way, and how many may be.
func (c *Client) Pending() (n, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending), c.cfg.MaxPending
}

// Behind is how many events of the shard that is furthest behind were not read when that was last looked at: every second, while a
// request waits for longer than a second.
func (c *Client) Behind() int64 { return c.behind.Load() }

// Unacknowledged is how many bytes of actions are on their way to the brokers.
func (c *Client) Unacknowledged() int64 { return c.unacknowledged.Load() }

// Ready returns nil when the brokers answer and the tail has caught up with every
// shard, else what is missing. After Close that is [eventlog.ErrClosed].
func (c *Client) Ready(ctx context.Context) error {
	if c.ctx.Err() != nil {
		return eventlog.ErrClosed
	}
	select {
	case <-c.caughtUp:
	default:
		return errors.New("the tail of events has not caught up with every shard yet")
	}
	if _, _, err := c.log.Bounds(ctx, eventlog.Events, 0); err != nil {
		return fmt.Errorf("asking the brokers: %w", err)
	}
	return nil
}

// fetch reads the one outcome that a repeat refers to.
func (c *Client) fetch(ctx context.Context, partition int32, offset int64, hash schemas.Hash) (*Delivery, error) {
	var d *Delivery
	err := eventlog.Scan(ctx, c.log, eventlog.Events, partition, offset, offset+1, func(r *eventlog.Record) error {
		found, ok := schemas.ParseHash(r.Key)
		if !ok || found != hash {
			return fmt.Errorf("the record at %d is of another actor", offset)
		}
		o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
		if err != nil {
			return err
		}
		d = &Delivery{Position: schemas.Position{Partition: partition, Offset: r.Offset}, Hash: hash, Outcome: o}
		return nil
	})
	if errors.Is(err, eventlog.ErrOffsetOutOfRange) {
		err = fmt.Errorf("%w: the outcome of the first request with this idempotency key", ErrGone)
	}
	if err == nil && d == nil {
		err = fmt.Errorf("there is no record at %d", offset)
	}
	return d, err
}

func outcomeOf(r *eventlog.Record) (*actorlogv1.Outcome, error) {
	o := new(actorlogv1.Outcome)
	if err := proto.Unmarshal(r.Value, o); err != nil {
		return nil, fmt.Errorf("%w: the outcome at %d: %w", schemas.ErrMalformed, r.Offset, err)
	}
	return o, nil
}
