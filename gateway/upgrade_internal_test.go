package gateway

import (
	"context"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/memlog"
)

// However many sockets come at once, few are made at a time; who goes away while it waits leaves nothing behind.
func TestUpgradesTakeTurns(t *testing.T) {
	t.Parallel()
	const patience = 10 * time.Second
	log := memlog.NewCluster(1).Client()
	client, err := remote.Open(log, remote.Config{})
	require.NoError(t, err)
	g, err := New(client, Config{RejectDelay: -1, CloseTimeout: time.Second})
	require.NoError(t, err)
	server := httptest.NewServer(g.Handler())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, g.Shutdown(ctx))
		server.Close()
		client.Close()
		log.Close()
	})
	const target = "/actors/counter/x/events?event=a"
	dial := func() error {
		// Nobody serves the actor: the subscription goes on waiting, and the socket stays.
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+target, nil)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
		return err
	}
	for range cap(g.upgrading) {
		g.upgrading <- struct{}{}
	}
	const many = 20
	made := make(chan error, many)
	for range many {
		go func() { made <- dial() }()
	}
	impatient, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(impatient, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	require.NoError(t, err)
	sockets := func() int { n, _ := g.sessions.counts(); return n }
	require.Eventually(t, func() bool { return sockets() == many+1 }, patience, time.Millisecond, "all wait")
	require.Empty(t, made)
	require.NoError(t, impatient.Close())
	require.Eventually(t, func() bool { return sockets() == many }, patience, time.Millisecond)
	<-g.upgrading
	for range many { // by the one turn that there is, one after the other
		require.NoError(t, <-made)
	}
	for range cap(g.upgrading) - 1 {
		<-g.upgrading
	}
	require.Eventually(t, func() bool { return len(g.upgrading) == 0 }, patience, time.Millisecond)
}
