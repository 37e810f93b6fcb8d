package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/gateway"
)

// drainTimeout bounds how long a gateway waits for open requests when it stops.
const drainTimeout = 10 * time.Second

// Gateway flags.
type Gateway struct {
	Listen  string `help:"Where to serve HTTP and WebSocket, host:port." default:"127.0.0.1:6420" env:"ACTORLOG_LISTEN"`
	TLSCert string `help:"Certificate file, PEM: serve HTTPS with HTTP/2." name:"tls-cert" type:"existingfile" env:"ACTORLOG_TLS_CERT"`
	TLSKey  string `help:"Private key file, PEM." name:"tls-key" type:"existingfile" env:"ACTORLOG_TLS_KEY"`
}

// Validate checks the flags; kong calls it.
func (g Gateway) Validate() error {
	if (g.TLSCert == "") != (g.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if _, _, err := net.SplitHostPort(g.Listen); err != nil {
		return fmt.Errorf("--listen: %w (want host:port, such as 127.0.0.1:6420)", err)
	}
	return nil
}

// Bind opens the port, so that a port that is taken is known before anything else starts.
func (g Gateway) Bind() (net.Listener, error) {
	l, err := net.Listen("tcp", g.Listen)
	if err != nil {
		return nil, fmt.Errorf("opening %s (is another gateway running? choose another --listen): %w", g.Listen, err)
	}
	return l, nil
}

// Run serves on l until ctx ends, then lets open requests finish.
func (g Gateway) Run(ctx context.Context, brokers eventlog.Log, l net.Listener, log *zap.Logger) error {
	log = log.Named("gateway")
	client, err := remote.Open(brokers, remote.Config{Logger: log})
	if err != nil {
		return err
	}
	defer client.Close()
	gw, err := gateway.New(client, gateway.Config{Version: Version(), Logger: log})
	if err != nil {
		return err
	}
	server := &http.Server{Handler: gw.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { // ends with Shutdown below
		if g.TLSCert != "" {
			failed <- server.ServeTLS(l, g.TLSCert, g.TLSKey)
			return
		}
		failed <- server.Serve(l)
	}()
	scheme := "http"
	if g.TLSCert != "" {
		scheme = "https"
	}
	log.Info("gateway listening", zap.String("url", scheme+"://"+l.Addr().String()))
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err = errors.Join(gw.Shutdown(drain), server.Shutdown(drain))
	log.Info("gateway stopped", zap.Error(err))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // requests that take longer were cut off, as announced
	}
	return err
}
