package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/archive"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/gateway"
)

const short = 250 * time.Millisecond

// impatient waits for nobody for long.
var impatient = patience{headers: short, idle: short, silence: short, answer: short, write: short}

// serveHandler runs an impatient server until the test ends, and returns its address.
func serveHandler(t *testing.T, handler http.Handler, overTLS bool) string {
	t.Helper()
	return serveFor(t, handler, overTLS, impatient)
}

func serveFor(t *testing.T, handler http.Handler, overTLS bool, p patience) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := newServer(handler, nil, p)
	run := func() error { return server.Serve(l) }
	if overTLS {
		cert, key, err := SelfSigned(t.TempDir())
		require.NoError(t, err)
		run = func() error { return server.ServeTLS(l, cert, key) }
	}
	done := make(chan error, 1)
	go func() { done <- run() }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return l.Addr().String()
}

// serveGateway is serveHandler of a gateway over a log in memory, without workers.
func serveGateway(t *testing.T, overTLS bool, cfg gateway.Config) string {
	t.Helper()
	return serveHandler(t, newGateway(t, cfg), overTLS)
}

func newGateway(t *testing.T, cfg gateway.Config) http.Handler {
	t.Helper()
	log := memlog.NewCluster(1).Client()
	client, err := remote.Open(log, remote.Config{})
	require.NoError(t, err)
	gw, err := gateway.New(client, cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		require.NoError(t, gw.Shutdown(ctx))
		client.Close()
		log.Close()
	})
	return gw.Handler()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(testPatience)))
	return conn
}

// Whoever says nothing, or says it letter by letter, is cut off.
func TestConnectionsThatStall(t *testing.T) {
	t.Parallel()
	for _, overTLS := range []bool{false, true} {
		address := serveGateway(t, overTLS, gateway.Config{})
		for name, begin := range map[string]string{
			"Silent":     "",
			"HalfALine":  "GET /metada",
			"NoEmptyOne": "GET /metadata HTTP/1.1\r\nHost: localhost\r\n",
			"HalfAHello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		} {
			t.Run(fmt.Sprintf("%s/TLS=%t", name, overTLS), func(t *testing.T) {
				t.Parallel()
				conn := dial(t, address)
				_, err := io.WriteString(conn, begin)
				require.NoError(t, err)
				// One more letter now and then buys no time.
				stop := make(chan struct{})
				defer close(stop)
				go func() {
					tick := time.NewTicker(short / 10)
					defer tick.Stop()
					for {
						select {
						case <-tick.C:
							if begin == "" {
								continue
							}
							if _, err := io.WriteString(conn, "x"); err != nil {
								return
							}
						case <-stop:
							return
						}
					}
				}()
				_, err = io.Copy(io.Discard, conn)
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server still waits")
			})
		}
	}
	t.Run("IdleAfterARequest", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, serveGateway(t, false, gateway.Config{}))
		_, err := io.WriteString(conn, "GET /metadata HTTP/1.1\r\nHost: localhost\r\n\r\n")
		require.NoError(t, err)
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(answer), "200 OK")
	})
}

// There may be as many headers as fit, and no more.
func TestManyHeaders(t *testing.T) {
	t.Parallel()
	// A server whose time ends within a line takes it for a whole one, and says 400.
	address := serveFor(t, newGateway(t, gateway.Config{}), false, defaultPatience)
	for count, want := range map[int]int{2_000: 200, 100_000: 431} {
		conn := dial(t, address)
		go func() {
			_, _ = io.WriteString(conn, "GET /metadata HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
			_, _ = io.WriteString(conn, strings.Repeat("A: \r\n", count)+"\r\n")
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode)
	}
}

// h2 is an HTTP/2 client without manners.
type h2 struct {
	t    *testing.T
	conn net.Conn
	*http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

func dialH2(t *testing.T, address string, settings ...http2.Setting) *h2 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // of the test's own
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(testPatience)))
	require.Equal(t, "h2", conn.ConnectionState().NegotiatedProtocol)
	_, err = io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	c := &h2{t: t, conn: conn, Framer: http2.NewFramer(conn, conn)}
	c.enc = hpack.NewEncoder(&c.block)
	require.NoError(t, c.WriteSettings(settings...))
	return c
}

// begin opens a stream with a request.
func (c *h2) begin(id uint32, method, path string, end bool) error {
	c.block.Reset()
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "localhost"}, {Name: ":path", Value: path}} {
		if err := c.enc.WriteField(f); err != nil {
			return err
		}
	}
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true})
}

// until reads frames until one is wanted; nil is the end of the connection.
func (c *h2) until(wanted func(http2.Frame) bool) http2.Frame {
	c.t.Helper()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded, "the server still waits")
			return nil
		}
		if wanted(f) {
			return f
		}
	}
}

// Requests that are begun and taken back as fast as a client can (CVE-2023-44487) end its connection, and do not pile up.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	var running, most, began atomic.Int64
	release := make(chan struct{})
	address := serveHandler(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		began.Add(1)
		for n := running.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer running.Add(-1)
		<-release // as an action that is in the log already, and cannot be taken back
	}), true)
	defer close(release)
	c := dialH2(t, address)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for id := uint32(1); id < 200_000; id += 2 {
			if c.begin(id, "GET", "/", true) != nil || c.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return // cut off
			}
		}
	}()
	f := c.until(func(f http2.Frame) bool { return f.Header().Type == http2.FrameGoAway })
	if f != nil { // it may be lost with the connection
		require.Equal(t, http2.ErrCodeEnhanceYourCalm, f.(*http2.GoAwayFrame).ErrCode)
	}
	_ = c.conn.Close()
	<-sent
	require.LessOrEqual(t, most.Load(), int64(maxStreams))
	require.Positive(t, began.Load())
}

// What HTTP/2 adds to the ways of stalling.
func TestHTTP2ConnectionsThatStall(t *testing.T) {
	t.Parallel()
	address := serveGateway(t, true, gateway.Config{BodyTimeout: short, WriteTimeout: short, HeartbeatInterval: short / 10})
	t.Run("NoRequest", func(t *testing.T) {
		t.Parallel()
		dialH2(t, address).until(func(http2.Frame) bool { return false })
	})
	t.Run("HalfOfTheHeaders", func(t *testing.T) {
		t.Parallel()
		c := dialH2(t, address)
		require.NoError(t, c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}))
		c.until(func(http2.Frame) bool { return false })
	})
	t.Run("HeadersWithoutEnd", func(t *testing.T) {
		t.Parallel()
		c := dialH2(t, address)
		require.NoError(t, c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}))
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { // a flood of continuations, CVE-2023-45288
			defer close(done)
			field := bytes.Repeat([]byte{0, 1, 'a', 1, 'b'}, 3000)
			for {
				select {
				case <-stop:
					return
				default:
					if c.WriteContinuation(1, false, field) != nil {
						return
					}
				}
			}
		}()
		c.until(func(http2.Frame) bool { return false })
		close(stop)
		_ = c.conn.Close()
		<-done
	})
	t.Run("BodyThatNeverComes", func(t *testing.T) {
		t.Parallel()
		c := dialH2(t, address)
		require.NoError(t, c.begin(1, "PUT", "/actors", false))
		require.NotNil(t, c.until(func(f http2.Frame) bool { return f.Header().StreamID == 1 && f.Header().Type == http2.FrameHeaders }))
	})
	t.Run("AnswerThatIsNeverTaken", func(t *testing.T) {
		t.Parallel()
		c := dialH2(t, address, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		require.NoError(t, c.begin(1, "GET", "/metadata", true))
		f := c.until(func(f http2.Frame) bool { return f.Header().Type == http2.FrameRSTStream })
		require.NotNil(t, f)
		require.EqualValues(t, 1, f.Header().StreamID)
	})
	t.Run("PeerThatVanished", func(t *testing.T) {
		t.Parallel()
		// A request is under way, so that the connection is not idle; nobody answers when it is asked.
		release := make(chan struct{})
		c := dialH2(t, serveHandler(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(release)
		}), true))
		require.NoError(t, c.begin(1, "GET", "/", true))
		c.until(func(http2.Frame) bool { return false })
		<-release
	})
}

func TestArchiveOf(t *testing.T) {
	t.Parallel()
	l := memlog.NewCluster(1).Client()
	t.Cleanup(l.Close)
	a, err := archive.Begin(l, t.TempDir())
	require.NoError(t, err)
	require.Same(t, a, archiveOf(before{Log: a}))
	require.Same(t, a, archiveOf(Sealed{Plain: before{Log: a}}))
	require.Nil(t, archiveOf(Sealed{Plain: before{Log: l}}))
	require.Nil(t, archiveOf(l))
}
