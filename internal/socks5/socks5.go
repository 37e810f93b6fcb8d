// Package socks5 is a SOCKS5 proxy for tests: a network that can be hurt. What goes through it can be
// held or delayed, each direction for itself, and reset. It has no authentication, and does
// nothing but CONNECT.
package socks5

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// Direction of bytes, as the proxy's client sees it.
type Direction int

// The directions.
const (
	Out Direction = iota // from the client to who it called
	In                   // back
)

// Proxy passes connections on. Its methods may be called at once, except for Close, which is last.
type Proxy struct {
	listener net.Listener
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu     sync.Mutex
	ways   [2]way
	conns  map[net.Conn]struct{}
	closed bool
}

// way is one direction.
type way struct {
	delay time.Duration
	held  chan struct{} // closed when nothing is held any more; nil if nothing is
}

// Start starts a proxy on a free port of loopback.
func Start() (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{listener: l, cancel: cancel, conns: make(map[net.Conn]struct{})}
	p.wg.Go(func() { p.accept(ctx) })
	return p, nil
}

// URL of the proxy: socks5://host:port.
func (p *Proxy) URL() string { return "socks5://" + p.listener.Addr().String() }

// Hold lets nothing more through in a direction, as a cable that is cut would: no error, no end, bytes that wait. New
// connections hang in the same way.
func (p *Proxy) Hold(d Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ways[d].held == nil {
		p.ways[d].held = make(chan struct{})
	}
}

// Delay has every byte of a direction wait for so long before it is passed on, at most twice that.
func (p *Proxy) Delay(d Direction, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ways[d].delay = delay
}

// Reset breaks all connections. New ones are made as always.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // RST instead of FIN
		}
		_ = c.Close()
	}
}

// Heal ends all holds and delays. What was held is passed on, late.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.ways {
		if held := p.ways[i].held; held != nil {
			close(held)
		}
		p.ways[i] = way{}
	}
}

// Close ends the proxy and all its connections.
func (p *Proxy) Close() {
	p.cancel()
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Reset()
	p.wg.Wait()
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.serve(ctx, client) })
	}
}

// enter makes a connection one that Reset breaks.
func (p *Proxy) enter(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	if p.closed {
		_ = c.Close() // Close has broken the others
	}
}

func (p *Proxy) leave(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	p.enter(client)
	defer p.leave(client)
	address, err := greet(client)
	if err != nil || !p.pass(ctx, Out) {
		return
	}
	var d net.Dialer
	server, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		_, _ = client.Write([]byte{5, 4, 0, 1, 0, 0, 0, 0, 0, 0}) // host unreachable
		return
	}
	p.enter(server)
	defer p.leave(server)
	if !p.pass(ctx, In) {
		return
	}
	if _, err := client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(ctx, server, client, Out) })
	both.Go(func() { p.copy(ctx, client, server, In) })
	both.Wait()
}

// greet speaks the protocol (RFC 1928) until it is known where the client wants to go.
func greet(c net.Conn) (address string, err error) {
	var b [256]byte
	if _, err := io.ReadFull(c, b[:2]); err != nil { // version, number of methods
		return "", err
	}
	if _, err := io.ReadFull(c, b[:b[1]]); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte{5, 0}); err != nil { // no authentication
		return "", err
	}
	if _, err := io.ReadFull(c, b[:4]); err != nil { // version, command, reserved, type of address
		return "", err
	}
	if b[1] != 1 {
		return "", errors.New("not a CONNECT")
	}
	size := map[byte]int{1: net.IPv4len, 4: net.IPv6len}[b[3]]
	named := b[3] == 3
	if named {
		if _, err := io.ReadFull(c, b[:1]); err != nil {
			return "", err
		}
		size = int(b[0])
	}
	host := make([]byte, size+2)
	if _, err := io.ReadFull(c, host); err != nil {
		return "", err
	}
	port := strconv.Itoa(int(binary.BigEndian.Uint16(host[size:])))
	if named {
		return net.JoinHostPort(string(host[:size]), port), nil
	}
	return net.JoinHostPort(net.IP(host[:size]).String(), port), nil
}

// copy passes bytes on in one direction. When one direction has ended, so has the other.
func (p *Proxy) copy(ctx context.Context, to, from net.Conn, d Direction) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !p.pass(ctx, d) {
			return
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			// The end of a connection is not seen through a cut, either.
			p.pass(ctx, d)
			return
		}
	}
}

// pass waits until something may go through. It is false when the proxy has ended.
func (p *Proxy) pass(ctx context.Context, d Direction) bool {
	p.mu.Lock()
	delay := p.ways[d].delay
	p.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return false
		}
	}
	p.mu.Lock()
	held := p.ways[d].held
	p.mu.Unlock()
	if held == nil {
		return ctx.Err() == nil
	}
	select {
	case <-held:
		return true
	case <-ctx.Done():
		return false
	}
}
