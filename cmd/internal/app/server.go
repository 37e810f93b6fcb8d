package app

import (
	"crypto/tls"
	"net/http"
	"time"
)

// maxHeaderBytes bounds the request line and headers: a URL with an input of 4 KiB and connection
// parameters take a third of it.
const maxHeaderBytes = 64 << 10

// maxStreams bounds the requests, event streams among them, that are under way on one HTTP/2 connection. A client that begins requests
// and takes them back at once is cut off when four times as many wait for their handlers to notice.
const maxStreams = 250

// patience is how long a server waits for its peers.
type patience struct {
	// headers must have arrived by then; of TLS, the handshake is done.
	headers time.Duration
	// idle is how long a connection may have no request.
	idle time.Duration
	// silence is how long nothing may come on an HTTP/2 connection until its peer is asked whether it is there, and
	// then how long it has to answer.
	silence, answer time.Duration
	// write is how long an HTTP/2 connection may take no byte of what there is for it.
	write time.Duration
}

var defaultPatience = patience{
	headers: 10 * time.Second, idle: 2 * time.Minute, silence: 30 * time.Second, answer: 15 * time.Second, write: 10 * time.Second,
}

// newServer serves a gateway. Bodies and answers have no time here, for sockets and event streams have no end; the gateway bounds
// them itself.
func newServer(handler http.Handler, tlsConfig *tls.Config, p patience) *http.Server {
	return &http.Server{
		Handler: handler, TLSConfig: tlsConfig, ReadHeaderTimeout: p.headers, IdleTimeout: p.idle, MaxHeaderBytes: maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, SendPingTimeout: p.silence, PingTimeout: p.answer, WriteByteTimeout: p.write,
		},
	}
}
