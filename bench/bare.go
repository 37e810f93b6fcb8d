package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"
)

// The bare servers answer at once what the gateway would answer, with the same libraries and to the
// same load generators: nobody behind an HTTP server or a socket can be faster than they are on this machine.

// serveBare serves until it is stopped.
func serveBare(handler http.Handler) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("opening a port: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	served := make(chan struct{})
	go func() { // ends with Close
		defer close(served)
		_ = server.Serve(l)
	}()
	return l.Addr().String(), func() {
		_ = server.Close() // its connections are nobody's any more
		<-served
	}, nil
}

// bareHTTP are callers of a server that is nothing but net/http.
func bareHTTP(n int) ([]call, func(), error) {
	addr, stop, err := serveBare(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // one byte
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("123456")) // the caller notices
	}))
	if err != nil {
		return nil, nil, err
	}
	callers, done, err := httpCallers(addr, n)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return callers, func() { done(); stop() }, nil
}

// bareMelody is melody, set up as the gateway does it.
func bareMelody() (m *melody.Melody, addr string, stop func(), err error) {
	m = melody.New()
	m.Config.MessageBufferSize = 256
	m.Upgrader = &websocket.Upgrader{
		ReadBufferSize: 1 << 10, WriteBufferSize: 4 << 10, WriteBufferPool: new(sync.Pool), Subprotocols: []string{"rivet"},
	}
	addr, stopServer, err := serveBare(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = m.HandleRequest(w, r) // ends with the socket
	}))
	return m, addr, func() {
		_ = m.Close() // its sockets are closed
		stopServer()
	}, err
}

// bareSockets are callers of a server that is nothing but melody.
func bareSockets(ctx context.Context, n int) ([]call, func(), error) {
	m, addr, stop, err := bareMelody()
	if err != nil {
		return nil, nil, err
	}
	m.HandleMessageBinary(func(s *melody.Session, request []byte) {
		id, size := binary.Uvarint(request[3:])
		if size <= 0 {
			return // the caller notices
		}
		answer := append([]byte(bareVersion), toClientAnswer)
		answer = append(binary.AppendUvarint(answer, id), "\x05\x1a\x00\x01\xe2\x40"...)
		_ = s.WriteBinary(answer) // fails when the socket is closed
	})
	sockets, done, err := dial(ctx, n, func(int) string { return "ws://" + addr })
	if err != nil {
		stop()
		return nil, nil, err
	}
	return socketCallers(sockets), func() { done(); stop() }, nil
}
