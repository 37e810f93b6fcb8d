package gateway

import (
	"context"
	"fmt"
	"sync"
)

// sessions counts what Shutdown has to wait for: sockets and event streams.
type sessions struct {
	mu       sync.Mutex
	sockets  map[*session]struct{}
	streams  map[*stream]struct{} // that have begun
	n        int
	draining bool
	closed   bool          // nobody enters any more
	empty    chan struct{} // closed when draining and n has come to 0
}

func (s *sessions) init() {
	s.sockets = make(map[*session]struct{})
	s.streams = make(map[*stream]struct{})
	s.empty = make(chan struct{})
}

// full says whether there are as many sockets and streams as there may be.
func (s *sessions) full(most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n >= most
}

// enter counts a stream. It fails once the gateway drains.
func (s *sessions) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.n++
	return true
}

func (s *sessions) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exit()
}

// show puts a stream that has entered on the list for operators.
func (s *sessions) show(stream *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[stream] = struct{}{}
}

func (s *sessions) hide(stream *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, stream)
}

// enterSocket counts a socket. Sockets enter while the gateway drains, for they are refused by
// a close frame, until the last one is gone.
func (s *sessions) enterSocket(socket *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.n++
	s.sockets[socket] = struct{}{}
	return true
}

func (s *sessions) leaveSocket(socket *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, socket)
	s.exit()
}

func (s *sessions) exit() {
	s.n--
	s.closeIfEmpty()
}

func (s *sessions) closeIfEmpty() {
	if s.draining && s.n == 0 && !s.closed {
		s.closed = true
		close(s.empty)
	}
}

// drain lets no stream in any more and returns the sockets.
func (s *sessions) drain() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	s.closeIfEmpty()
	return s.list()
}

func (s *sessions) list() []*session {
	all := make([]*session, 0, len(s.sockets))
	for socket := range s.sockets {
		all = append(all, socket)
	}
	return all
}

// views is what operators see.
func (s *sessions) views() []sessionView {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]sessionView, 0, len(s.sockets)+len(s.streams))
	for socket := range s.sockets {
		all = append(all, socket.view())
	}
	for stream := range s.streams {
		all = append(all, stream.view())
	}
	return all
}

func (s *sessions) counts() (sockets, streams int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets), len(s.streams)
}

// wait returns when all are gone. When ctx ends before, it cuts the sockets' connections
// first.
func (s *sessions) wait(ctx context.Context) error {
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	n := s.n
	all := s.list()
	s.mu.Unlock()
	for _, socket := range all {
		socket.cut()
	}
	<-s.empty
	return fmt.Errorf("draining the gateway: cutting off %d: %w", n, context.Cause(ctx))
}
