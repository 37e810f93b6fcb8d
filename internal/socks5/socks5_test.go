package socks5

import (
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/proxy"
)

// echo is a connection through a proxy to somebody who says everything twice.
func echo(t *testing.T) (*Proxy, net.Conn, func() net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	p, err := Start()
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Close()
		_ = l.Close()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	u, err := url.Parse(p.URL())
	require.NoError(t, err)
	d, err := proxy.FromURL(u, proxy.Direct)
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	dial := func() net.Conn {
		c, err := d.Dial("tcp", net.JoinHostPort("localhost", port))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return p, dial(), dial
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

func hear(t *testing.T, c net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, text, string(b))
}

func TestProxy(t *testing.T) {
	t.Parallel()
	t.Run("PassesOn", func(t *testing.T) {
		t.Parallel()
		_, c, _ := echo(t)
		say(t, c, "hello")
		hear(t, c, "hello")
	})
	for name, d := range map[string]Direction{"Out": Out, "In": In} {
		t.Run("Hold"+name, func(t *testing.T) {
			t.Parallel()
			p, c, _ := echo(t)
			p.Hold(d)
			say(t, c, "hello")
			require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, c.SetReadDeadline(time.Time{}))
			p.Heal()
			hear(t, c, "hello")
		})
		t.Run("Delay"+name, func(t *testing.T) {
			t.Parallel()
			p, c, _ := echo(t)
			p.Delay(d, 50*time.Millisecond)
			began := time.Now()
			say(t, c, "hello")
			hear(t, c, "hello")
			require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
		})
	}
	t.Run("Reset", func(t *testing.T) {
		t.Parallel()
		p, c, dial := echo(t)
		p.Reset()
		_, err := c.Read(make([]byte, 1))
		require.Error(t, err)
		c = dial()
		say(t, c, "again")
		hear(t, c, "again")
	})
}
