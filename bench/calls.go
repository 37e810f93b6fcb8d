package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/examples/counter"
)

// calls measures the two-hop and counter.increment by three ways, for every number of callers.
// They take turns, in rounds of which the median counts, because a machine that is shared, and a
// broker that has written more, are other ones a minute later.
func (b *bench) calls(ctx context.Context) error {
	var hop lazy[*twoHop]
	var actors lazy[*world]
	defer func() {
		if hop.value != nil {
			hop.value.close()
		}
		if actors.value != nil {
			if err := actors.value.close(); err != nil {
				b.report.note("closing the world of the calls: %v", err)
			}
		}
	}()
	startWorld := func() (*world, error) { return b.startWorld(ctx) }
	ways := []struct {
		name string
		// callers returns n callers and what to do when they are done.
		callers func(n int) ([]call, func(), error)
	}{
		{"two-hop", func(n int) ([]call, func(), error) {
			h, err := hop.get(func() (*twoHop, error) { return b.startTwoHop(ctx) })
			if err != nil {
				return nil, nil, err
			}
			return h.callers(n), func() {}, nil
		}},
		{"in-process", func(n int) ([]call, func(), error) {
			w, err := actors.get(startWorld)
			if err != nil {
				return nil, nil, err
			}
			return w.inProcess(n), func() {}, nil
		}},
		{"http", func(n int) ([]call, func(), error) {
			w, err := actors.get(startWorld)
			if err != nil {
				return nil, nil, err
			}
			return w.overHTTP(n)
		}},
		{"http-bare", func(n int) ([]call, func(), error) { return bareHTTP(n) }},
		{"websocket", func(n int) ([]call, func(), error) {
			w, err := actors.get(startWorld)
			if err != nil {
				return nil, nil, err
			}
			return w.overSockets(ctx, n)
		}},
		{"websocket-bare", func(n int) ([]call, func(), error) { return bareSockets(ctx, n) }},
	}
	for _, n := range b.settings.callers {
		taken := make([][]result, len(ways))
		for round := range b.rounds {
			for i, way := range ways {
				name := fmt.Sprintf("%s/%d", way.name, n)
				if !b.wants(name) || b.short && strings.Contains(name, "-bare/") {
					continue
				}
				b.report.progress("%s, round %d of %d", name, round+1, b.rounds)
				callers, done, err := way.callers(n)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				r, err := closedLoop(ctx, callers, b.warmUp, b.duration/time.Duration(b.rounds))
				done()
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				r.Name = way.name
				taken[i] = append(taken[i], r)
			}
		}
		for _, rounds := range taken {
			if len(rounds) > 0 {
				b.report.add(median(rounds, func(r *result) float64 { return r.OpsPerS }))
			}
		}
	}
	return nil
}

// inProcess are callers in Go: client, log, worker, log, client.
func (w *world) inProcess(n int) []call {
	callers := make([]call, n)
	for i := range callers {
		callers[i] = func(ctx context.Context) error {
			k := &keys[rand.IntN(len(keys))]
			_, err := counter.Increment.Call(ctx, counter.Kind.Get(w.client, k.name), 1)
			return err
		}
	}
	return callers
}

// overHTTP are callers with a connection each, kept alive. They write requests that are ready-made
// and look at no more of the answer than is needed to find its end, for what the load
// generator does is taken from the same processors.
func (w *world) overHTTP(n int) ([]call, func(), error) { return httpCallers(w.addr, n) }

func httpCallers(addr string, n int) ([]call, func(), error) {
	var requests [keyCount][]byte
	for i, k := range keys {
		requests[i] = fmt.Appendf(nil, "POST /actors/%s/%s/actions/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1",
			counter.Kind.Name(), k.name, counter.Increment.Name(), addr)
	}
	conns := make([]net.Conn, 0, n)
	done := func() {
		for _, conn := range conns {
			_ = conn.Close() // nothing is under way
		}
	}
	callers := make([]call, n)
	for i := range callers {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			done()
			return nil, nil, err
		}
		conns = append(conns, conn)
		in := bufio.NewReaderSize(conn, 1<<10)
		callers[i] = func(context.Context) error {
			if _, err := conn.Write(requests[rand.IntN(keyCount)]); err != nil {
				return err
			}
			return readAnswer(in)
		}
	}
	return callers, done, nil
}

var (
	protocol      = []byte("HTTP/1.1 ")
	contentLength = []byte("Content-Length: ")
)

// readAnswer reads one HTTP answer that must be 200.
func readAnswer(in *bufio.Reader) error {
	status, err := readStatus(in)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("answered %d", status)
	}
	return err
}

// readStatus reads one HTTP answer with a known length.
func readStatus(in *bufio.Reader) (status int, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	rest, ok := bytes.CutPrefix(line, protocol)
	if !ok || len(rest) < 4 {
		return 0, fmt.Errorf("answered %q", line)
	}
	if status, err = strconv.Atoi(string(rest[:3])); err != nil {
		return 0, fmt.Errorf("answered %q", line)
	}
	length := 0
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		if rest, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(rest))); err != nil {
				return 0, err
			}
		}
	}
	if length == 0 && status == http.StatusOK {
		return 0, errors.New("an answer without a result")
	}
	_, err = in.Discard(length)
	return status, err
}

// overSockets are callers with a socket each, connected to one counter, in the encoding that the
// published clients use by default: BARE, version 4.
func (w *world) overSockets(ctx context.Context, n int) ([]call, func(), error) {
	sockets, done, err := w.connect(ctx, n, func(i int) string { return keys[i%keyCount].name })
	if err != nil {
		return nil, nil, err
	}
	return socketCallers(sockets), done, nil
}

func socketCallers(sockets []*socket) []call {
	callers := make([]call, len(sockets))
	for i, s := range sockets {
		callers[i] = func(context.Context) error {
			if err := s.request(counter.Increment.Name(), "\x81\x01"); err != nil {
				return err
			}
			return s.awaitAnswer()
		}
	}
	return callers
}

// Messages of the protocol in BARE: the version, the kind of message, its fields.
const (
	bareVersion       = "\x04\x00"
	toServerAction    = "\x00"
	toServerSubscribe = "\x01"
	toClientInit      = 0
	toClientAnswer    = 2
	toClientEvent     = 3
)

// socket is a client's end of a connection to one actor.
type socket struct {
	conn *websocket.Conn
	id   uint64
	out  []byte
}

// connect opens sockets, some at a time, and returns when all are admitted.
func (w *world) connect(ctx context.Context, n int, name func(int) string) ([]*socket, func(), error) {
	sockets, done, err := dial(ctx, n, func(i int) string {
		return fmt.Sprintf("ws://%s/gateway/%s/connect?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-crash-policy=sleep&rvt-key=%s",
			w.addr, counter.Kind.Name(), name(i))
	})
	if err != nil {
		return nil, nil, err
	}
	for _, s := range sockets {
		if err := s.await(toClientInit); err != nil {
			done()
			return nil, nil, err
		}
	}
	return sockets, done, nil
}

// dial opens n sockets, some at a time.
func dial(ctx context.Context, n int, url func(int) string) ([]*socket, func(), error) {
	dialer := websocket.Dialer{
		Subprotocols: []string{"rivet", "rivet_encoding.bare"}, HandshakeTimeout: 30 * time.Second,
		ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10,
	}
	sockets := make([]*socket, n)
	done := func() {
		for _, s := range sockets {
			if s != nil {
				_ = s.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
				_ = s.conn.Close() // nothing is under way
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for i := range n {
		group.Go(func() error {
			conn, resp, err := dialer.DialContext(ctx, url(i), http.Header{})
			if err != nil {
				return fmt.Errorf("connecting a socket: %w", err)
			}
			_ = resp.Body.Close() // of an upgrade: there is none
			sockets[i] = &socket{conn: conn}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		done()
		return nil, nil, err
	}
	return sockets, done, nil
}

// request asks for an action; args is a CBOR array.
func (s *socket) request(action, args string) error {
	s.id++
	s.out = append(append(s.out[:0], bareVersion...), toServerAction...)
	s.out = binary.AppendUvarint(s.out, s.id)
	s.out = append(binary.AppendUvarint(s.out, uint64(len(action))), action...)
	s.out = append(binary.AppendUvarint(s.out, uint64(len(args))), args...)
	return s.conn.WriteMessage(websocket.BinaryMessage, s.out)
}

// subscribe to an event.
func (s *socket) subscribe(event string) error {
	s.out = append(append(s.out[:0], bareVersion...), toServerSubscribe...)
	s.out = append(binary.AppendUvarint(s.out, uint64(len(event))), event...)
	return s.conn.WriteMessage(websocket.BinaryMessage, append(s.out, 1))
}

// awaitAnswer reads the answer to the last request.
func (s *socket) awaitAnswer() error { return s.await(toClientAnswer) }

// await reads messages until one is of a kind; events are passed over.
func (s *socket) await(kind byte) error {
	for {
		_, message, err := s.conn.ReadMessage()
		if err != nil {
			return err
		}
		switch {
		case len(message) < 4:
			return fmt.Errorf("a message of %d bytes", len(message))
		case message[2] == kind:
			if id, _ := binary.Uvarint(message[3:]); kind == toClientAnswer && id != s.id {
				return fmt.Errorf("an answer to request %d instead of %d", id, s.id)
			}
			return nil
		case message[2] != toClientEvent:
			return fmt.Errorf("a message of kind %d: %q", message[2], message)
		}
	}
}
