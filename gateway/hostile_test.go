package gateway_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway"
)

// peer is a client without manners: it writes what it wants, and reads when it wants.
func (w *world) peer() *net.TCPConn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(w.t, conn.SetDeadline(time.Now().Add(patience)))
	return conn.(*net.TCPConn)
}

// A body that is announced and never comes holds nothing for longer than it may take, whether anybody wants it or not.
func TestBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.BodyTimeout = 200 * time.Millisecond }))
	for request, want := range map[string]int{
		"POST /actors/counter/x/actions/increment":                   400,
		"POST /gateway/counter/action/increment" + getOrCreate + "x": 400,
		"POST /gateway/counter/queue/q" + getOrCreate + "x":          400,
		"PATCH /gateway/counter/request/a" + getOrCreate + "x":       400,
		"PUT /actors":                   400,
		"POST /nothing":                 404,
		"GET /metadata":                 200,
		"DELETE /actors/counter/x":      404,
		"OPTIONS /actors/counter/x":     204,
		"POST /gateway/counter/nowhere": 404,
	} {
		for _, length := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
			t.Run(request+"/"+length, func(t *testing.T) {
				t.Parallel()
				conn := w.peer()
				_, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", request, length)
				require.NoError(t, err)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				defer resp.Body.Close()
				require.Equal(t, want, resp.StatusCode)
				_, err = io.Copy(io.Discard, resp.Body)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, conn)
				require.NoError(t, err, "the connection is closed")
			})
		}
	}
	t.Run("AClientThatWaitsToBeAskedForItIsAnsweredAtOnce", func(t *testing.T) {
		t.Parallel()
		conn := w.peer()
		_, err := io.WriteString(conn, "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, 404, resp.StatusCode)
	})
}

// narrow serves the world's gateway through sockets that hold little, and tells of those that it has closed.
func (w *world) narrow() (*httptest.Server, <-chan struct{}) {
	w.t.Helper()
	closed := make(chan struct{}, 16)
	server := httptest.NewUnstartedServer(w.gateway.Handler())
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			_ = conn.(*net.TCPConn).SetWriteBuffer(8 << 10)
		case http.StateClosed:
			closed <- struct{}{}
		}
	}
	server.Start()
	w.t.Cleanup(server.Close)
	return server, closed
}

// dialNarrow opens a connection that holds so much.
func dialNarrow(t *testing.T, server *httptest.Server, buffer int) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	tcp := conn.(*net.TCPConn)
	require.NoError(t, tcp.SetReadBuffer(buffer))
	require.NoError(t, tcp.SetDeadline(time.Now().Add(patience)))
	return tcp
}

// An answer that nobody takes is given up, however it is made.
func TestAnswerThatIsNeverTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.WriteTimeout, c.HeartbeatInterval = 200*time.Millisecond, time.Millisecond }))
	server, closed := w.narrow()
	require.Equal(t, 200, w.do("POST", "/actors/counter/x/actions/increment", "1").status)
	const body = "POST /actors/counter/x/actions/big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n500000"
	for name, requests := range map[string]string{
		"OneAfterTheOther": strings.Repeat(body, 40),
		"HeadersAlone":     strings.Repeat("DELETE /actors/counter/nobody HTTP/1.1\r\nHost: localhost\r\n\r\n", 40_000),
		"Stream":           "GET /actors/counter/x/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := dialNarrow(t, server, 4<<10)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(conn, requests) // is cut off
			}()
			select {
			case <-closed:
			case <-time.After(patience):
				require.FailNow(t, "the gateway still waits for somebody to read")
			}
			require.NoError(t, conn.Close())
			<-sent
		})
	}
}

// A slow line may have a long answer: the time is for each part of it.
func TestAnswerThatIsTakenSlowly(t *testing.T) {
	t.Parallel()
	const timeout, size = 300 * time.Millisecond, 4_000_000
	w := newWorld(t, config(func(c *gateway.Config) { c.WriteTimeout, c.MaxOutgoingMessageBytes = timeout, size }))
	server, _ := w.narrow()
	conn := dialNarrow(t, server, 128<<10)
	_, err := fmt.Fprintf(conn, "POST /actors/counter/x/actions/big HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%d", len(fmt.Sprint(size)), size)
	require.NoError(t, err)
	// More than a timeout's worth of pauses, none of them longer than one.
	began := time.Now()
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 4<<10), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	total := int64(0)
	for time.Since(began) < 3*timeout {
		pause := time.NewTimer(timeout / 20)
		n, err := io.CopyN(io.Discard, resp.Body, 32<<10)
		total += n
		require.NoError(t, err)
		<-pause.C
	}
	require.Less(t, total, int64(size))
	n, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.EqualValues(t, size, total+n)
}

// A peer that vanishes, so that neither data nor the end of it comes, is found out by its silence.
func TestSocketOfAPeerThatVanished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config(func(c *gateway.Config) { c.PingInterval, c.WriteTimeout = 50*time.Millisecond, 100*time.Millisecond }))
	for _, path := range []string{"connect", "websocket/x"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			key := path[:1]
			s := w.dial("/gateway/counter/"+path+getOrCreate+key, nil, "rivet", "rivet_encoding.json")
			// From here on nobody reads, and so nobody answers pings: as after a cable was pulled.
			w.eventually(func() bool {
				id := ""
				for _, a := range w.worker.actions() {
					if a.GetConnect() != nil && slices.Equal(a.Actor.Key, []string{key}) {
						id = a.Handshake.ConnectionId
					}
					if id != "" && a.GetDisconnect().GetConnectionId() == id {
						return true // the actor knows
					}
				}
				return false
			})
			require.NoError(t, s.conn.Close())
		})
	}
}

// Compression is not agreed to, so a message that claims to be compressed is an error, and never grows.
func TestSocketsAreNotCompressed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := websocket.Dialer{Subprotocols: []string{"rivet", "rivet_encoding.json"}, EnableCompression: true, HandshakeTimeout: patience}
	conn, resp, err := d.Dial("ws"+strings.TrimPrefix(w.server.URL, "http")+"/gateway/counter/connect"+getOrCreate+"x", nil)
	require.NoError(t, err)
	defer conn.Close()
	require.Empty(t, resp.Header.Values("Sec-Websocket-Extensions"))
	s := &socket{w, conn, resp}
	s.init()
	// A final text frame with RSV1, masked with zeros, of four bytes.
	_, err = conn.NetConn().Write([]byte{0x80 | 0x40 | 1, 0x80 | 4, 0, 0, 0, 0, 1, 2, 3, 4})
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseProtocolError), "%v", err)
}

// gzipped is n zeros in a thousandth of their length.
func gzipped(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(make([]byte, n))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

// Bodies are read as they are: nothing here inflates.
func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bomb := gzipped(t, 32<<20)
	require.Less(t, len(bomb), 64<<10)
	for _, coding := range []string{"gzip", "br", "zstd", "identity, gzip"} {
		for _, request := range []string{
			"POST /actors/counter/x/actions/echo", "POST /actors/counter/x/queues/q", "PUT /actors/counter/x", "POST /actors/counter/x",
			"PUT /actors", "POST /gateway/counter/action/echo" + getOrCreate + "x", "POST /gateway/counter/queue/q" + getOrCreate + "x",
		} {
			method, target, _ := strings.Cut(request, " ")
			r := w.do(method, target, bomb, header{"Content-Encoding": coding})
			require.Equal(t, "415 message.encoded", r.failure(), "%s, %s", request, coding)
		}
	}
	require.Empty(t, w.worker.actions())
	require.Equal(t, `"a"`, w.do("POST", "/actors/counter/x/actions/echo", `"a"`, header{"Content-Encoding": "Identity"}).body)
	// A raw request is the actor's own business, and reaches it as it was sent.
	w.do("POST", "/gateway/counter/request/x"+getOrCreate+"x", bomb, header{"Content-Encoding": "gzip"})
	w.eventually(func() bool {
		for _, a := range w.worker.actions() {
			if r := a.GetRequest(); r != nil {
				return string(r.Body) == bomb
			}
		}
		return false
	})
}

// What is nested without end, and what claims to be longer than it is, is refused for what it is.
func TestBodiesThatAreBombs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rivet = "/gateway/counter/action/echo" + getOrCreate + "x"
	for name, body := range map[string]string{
		"arrays":      strings.Repeat("[", 60_000),
		"objects":     strings.Repeat(`{"a":`, 10_000),
		"closed":      strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000),
		"long number": "1" + strings.Repeat("0", 60_000) + "x",
	} {
		require.Equal(t, "400 actor.invalid_request", w.do("POST", "/actors/counter/x/actions/echo", body).failure(), name)
		require.Equal(t, "400 actor.invalid_request", w.do("POST", rivet, `{"args":[`+body+`]}`).failure(), name)
	}
	for name, body := range map[string]string{
		"array of 2^40":          "\x9b\x00\x00\x01\x00\x00\x00\x00\x00",
		"map of 2^63":            "\xbb\x80\x00\x00\x00\x00\x00\x00\x00",
		"text of 4 GiB":          "\x7a\xff\xff\xff\xff",
		"bytes of 2^64-1":        "\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
		"arrays":                 strings.Repeat("\x81", 60_000),
		"arrays without length":  strings.Repeat("\x9f", 60_000),
		"tags":                   strings.Repeat("\xc1", 60_000),
		"number of 60,000 bytes": "\xc2\x59\xea\x60" + strings.Repeat("\xff", 60_000) + "x",
		"texts without length":   strings.Repeat("\x7f", 60_000),
	} {
		for _, encoding := range []string{"cbor", "bare"} {
			full := "\xa1\x64args" + body
			if encoding == "bare" {
				full = "\x04\x00" + "\xe0\x80\x03" + body // claims 49,248 bytes of arguments
			}
			r := w.do("POST", rivet, full, header{"X-Rivet-Encoding": encoding})
			require.Equal(t, "400 actor.invalid_request", r.failure(), "%s in %s", name, encoding)
		}
	}
	require.Empty(t, w.worker.actions())
}

// A peer cannot make a message of empty fragments, or of none at all, and cannot drown the gateway in pings.
func TestFramesThatAreNoMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		frames string
		want   int
	}{
		"TooLongByItsHeader":    {"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", websocket.CloseInternalServerErr},
		"NegativeLength":        {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", websocket.CloseAbnormalClosure},
		"TooLongByItsFragments": {"\x01\x81\x00\x00\x00\x00x" + strings.Repeat("\x00\xfe\xff\xff\x00\x00\x00\x00"+strings.Repeat("x", 65535), 2), websocket.CloseInternalServerErr},
		"ContinuesNothing":      {"\x80\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"Unmasked":              {"\x81\x01x", websocket.CloseProtocolError},
		"LongPing":              {"\x89\xfe\x00\x7e\x00\x00\x00\x00" + strings.Repeat("x", 126), websocket.CloseProtocolError},
		"FragmentedPing":        {"\x09\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"UnknownOpcode":         {"\x83\x81\x00\x00\x00\x00x", websocket.CloseProtocolError},
		"PingsThenGarbage":      {strings.Repeat("\x89\x80\x00\x00\x00\x00", 5_000) + "\x83\x80\x00\x00\x00\x00", websocket.CloseProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.connect("x")
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(s.conn.NetConn(), c.frames)
			}()
			require.NoError(t, s.conn.SetReadDeadline(time.Now().Add(patience)))
			_, _, err := s.conn.ReadMessage()
			require.True(t, websocket.IsCloseError(err, c.want), "%v", err)
			require.NoError(t, s.conn.Close())
			<-sent
		})
	}
}

// Who goes away in the middle of an upgrade, or sends a frame before it was agreed to, leaves nothing behind.
func TestUpgradesThatStopHalfway(t *testing.T) {
	t.Parallel()
	var opened, closed atomic.Int64
	w := newWorld(t, config(func(c *gateway.Config) {
		c.Listener.SessionOpened = func(gateway.SessionInfo) { opened.Add(1) }
		c.Listener.SessionClosed = func(gateway.SessionInfo) { closed.Add(1) }
	}))
	const upgrade = "GET /gateway/counter/connect" + getOrCreate + "x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: rivet\r\n"
	for name, c := range map[string]string{
		"GoneAtOnce":        upgrade + "\r\n",
		"DataBeforeAnswer":  upgrade + "\r\n\x81\x80\x00\x00\x00\x00",
		"BodyOfTheUpgrade":  upgrade + "Content-Length: 5\r\n\r\nhello",
		"HeadersNotAtAnEnd": upgrade,
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.peer()
			_, err := io.WriteString(conn, c)
			require.NoError(t, err)
			require.NoError(t, conn.SetLinger(0)) // a reset, not a goodbye
			require.NoError(t, conn.Close())
		})
	}
	require.NoError(t, w.connect("y").conn.Close())
	w.eventually(func() bool { return opened.Load() > 0 && opened.Load() == closed.Load() })
}
