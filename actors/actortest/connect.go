package actortest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Client is a connection to an actor, as a gateway holds one for a browser: what it is sent is recorded. Its methods may be used by one goroutine at a
// time.
type Client struct {
	Events
	// ID of the connection.
	ID string

	via    *remote.Client
	hash   schemas.Hash
	life   uint32
	closed chan struct{}

	stateMu sync.Mutex
	names   []string
	reason  string
	frames  []*actorlogv1.SocketMessage
}

// Connect opens a connection with parameters, nil for none, and creates the actor if it is absent. An *actor.Error is a refusal.
func (w *World) Connect(ctx context.Context, params any, kind string, key ...string) (*Client, error) {
	return w.connect(ctx, w.Client, params, &actorlogv1.Connect{}, "", kind, key...)
}

// Gateway is another client of the log, that connections can go through and that can die.
type Gateway struct {
	w      *World
	log    *memlog.Log
	client *remote.Client
}

// StartGateway starts a gateway, which ends with the test.
func (w *World) StartGateway() *Gateway {
	w.t.Helper()
	log := w.Cluster.Client()
	client, err := remote.Open(log, remote.Config{})
	if err != nil {
		w.t.Fatalf("opening a gateway: %v", err)
	}
	w.t.Cleanup(func() {
		client.Close()
		log.Close()
	})
	return &Gateway{w: w, log: log, client: client}
}

// Connect is [World.Connect] through this gateway.
func (g *Gateway) Connect(ctx context.Context, params any, kind string, key ...string) (*Client, error) {
	return g.w.connect(ctx, g.client, params, &actorlogv1.Connect{}, "", kind, key...)
}

// Crash kills the gateway as SIGKILL would. Workers end its connections when its lease has run out (10 s later).
func (g *Gateway) Crash() { g.log.Crash() }

// ConnectRaw opens a raw socket for a path and query.
func (w *World) ConnectRaw(ctx context.Context, params any, target, kind string, key ...string) (*Client, error) {
	return w.connect(ctx, w.Client, params, &actorlogv1.Connect{Raw: true}, target, kind, key...)
}

func (w *World) connect(ctx context.Context, via *remote.Client, params any, connect *actorlogv1.Connect, target, kind string, key ...string) (*Client, error) {
	w.connections++
	c := &Client{
		Events: Events{more: make(chan struct{}, 1)}, ID: via.ID() + "-conn-" + strconv.Itoa(w.connections), via: via,
		hash: schemas.HashOf(actor.DefaultNamespace, kind, key), closed: make(chan struct{}),
	}
	c.watch = &remote.Watch{Outcome: c.outcome}
	via.Watch(c.hash, c.watch)
	handshake := &actorlogv1.Handshake{ConnectionId: c.ID, Target: target}
	if params != nil {
		b, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		handshake.ParamsJson = b
	}
	a := &actorlogv1.Action{Handshake: handshake, Body: &actorlogv1.Action_Connect{Connect: connect}}
	if _, err := actor.Address(a, actor.Target{Namespace: actor.DefaultNamespace, Kind: kind, Key: key, Presence: actor.CreateIfAbsent}); err != nil {
		return nil, err
	}
	a.Handshake = handshake
	d, _, err := via.Do(ctx, remote.Request{Hash: c.hash, Action: a})
	if err == nil {
		err = actor.OutcomeError(d.Outcome)
	}
	if err != nil {
		via.Unwatch(c.watch)
		return nil, err
	}
	c.life = d.Outcome.Actor.Generation
	return c, nil
}

// Call runs an action through the connection; arguments are positional.
func (c *Client) Call(ctx context.Context, action string, args ...any) (json.RawMessage, error) {
	b, err := json.Marshal(append([]any{}, args...))
	if err != nil {
		return nil, err
	}
	return c.do(ctx, &actorlogv1.Action{Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: action, ArgsJson: b}}})
}

// Subscribe asks for events, whose broadcasts are recorded from then on.
func (c *Client) Subscribe(ctx context.Context, events ...string) error {
	_, err := c.do(ctx, &actorlogv1.Action{Body: &actorlogv1.Action_Subscribe{Subscribe: &actorlogv1.Subscribe{Events: events}}})
	if err == nil {
		c.stateMu.Lock()
		defer c.stateMu.Unlock()
		c.names = append(c.names, events...)
	}
	return err
}

// Write sends a text message through a raw socket.
func (c *Client) Write(ctx context.Context, text string) error {
	_, err := c.do(ctx, &actorlogv1.Action{Body: &actorlogv1.Action_SocketMessage{SocketMessage: &actorlogv1.SocketMessage{Text: true, Data: []byte(text)}}})
	return err
}

// Frames is what a raw socket was sent.
func (c *Client) Frames() []*actorlogv1.SocketMessage {
	c.stateMu.Lock()
	defer c.stateMu.Unlock()
	return slices.Clone(c.frames)
}

func (c *Client) do(ctx context.Context, a *actorlogv1.Action) (json.RawMessage, error) {
	a.Actor = &actorlogv1.Actor{Generation: c.life}
	a.Caller = &actorlogv1.Caller{ConnectionId: c.ID}
	d, _, err := c.via.Do(ctx, remote.Request{Hash: c.hash, Action: a})
	if err != nil {
		return nil, err
	}
	return d.Outcome.ResultJson, actor.OutcomeError(d.Outcome)
}

// Close ends the connection as a client does.
func (c *Client) Close(ctx context.Context, reason string) error {
	defer c.via.Unwatch(c.watch)
	a := &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Generation: c.life},
		Body:  &actorlogv1.Action_Disconnect{Disconnect: &actorlogv1.Disconnect{ConnectionId: c.ID, Code: 1000, Reason: reason}},
	}
	d, _, err := c.via.Do(ctx, remote.Request{Hash: c.hash, Action: a})
	if err != nil {
		return err
	}
	return actor.OutcomeError(d.Outcome)
}

// Closed waits until the actor has ended the connection, and returns its reason. The error is a timeout of 60 s.
func (c *Client) Closed() (reason string, err error) {
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case <-c.closed:
		c.stateMu.Lock()
		defer c.stateMu.Unlock()
		return c.reason, nil
	case <-timeout.C:
		return "", errors.New("the connection is still open")
	}
}

func (c *Client) outcome(d *remote.Delivery) {
	c.stateMu.Lock()
	defer c.stateMu.Unlock()
	for _, b := range d.Outcome.Broadcasts {
		if b.To == c.ID || (b.To == "" && slices.Contains(c.names, b.Name) && !slices.Contains(b.Except, c.ID)) {
			c.record(b)
		}
	}
	for _, f := range d.Outcome.Frames {
		if f.ConnectionId == c.ID {
			c.frames = append(c.frames, f.Message)
		}
	}
	for _, gone := range d.Outcome.Disconnected {
		if gone.Id != c.ID {
			continue
		}
		select {
		case <-c.closed:
		default:
			c.reason = gone.Reason
			close(c.closed)
		}
	}
}
