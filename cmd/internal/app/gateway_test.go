package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/gateway"
)

// testPatience is how long a test waits for what must happen.
const testPatience = 20 * time.Second

// serve runs a gateway and a worker over a log in memory until the test ends, and returns its address.
func serve(t *testing.T, flags Gateway) string {
	t.Helper()
	flags.Listen = "127.0.0.1:0"
	l, err := flags.Bind()
	require.NoError(t, err)
	cluster := memlog.NewCluster(2)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	workerLog, gatewayLog := cluster.Client(), cluster.Client()
	registry, both := Examples(t.TempDir()), NewProcess("dev", zap.NewNop())
	both.Verify(registry, workerLog)
	go func() { done <- Worker{}.Run(ctx, workerLog, registry, "w", "", NewProcess("worker", zap.NewNop())) }()
	go func() { done <- flags.Run(ctx, gatewayLog, l, both) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		workerLog.Close()
		gatewayLog.Close()
	})
	return l.Addr().String()
}

// parse is what kong makes of a command line.
func parse(args ...string) (Gateway, error) {
	var cli struct {
		Gateway `group:"Gateway"`
		Quotas  `group:"Limits"`
	}
	parser, err := kong.New(&cli, kong.Exit(func(int) {}))
	if err == nil {
		_, err = parser.Parse(args)
	}
	cli.Gateway.Quotas = cli.Quotas
	return cli.Gateway, err
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("a-token-of-the-test\n"), 0o600))
	for _, c := range []struct{ args, want string }{
		{"--listen 6420", "want host:port, such as 127.0.0.1:6420"},
		{"--tls-cert " + file, "--tls-cert and --tls-key go together"},
		{"--allow-origin app.example.com", "want https://app.example.com"},
		{"--allow-origin https://a.example --allow-origin b/c=https://a.example", "the kind contains"},
		{"--trust-proxy 10.0.0.0/99", "want 10.0.0.0/8 or 10.1.2.3"},
		{"--trust-proxy proxy.internal", "want 10.0.0.0/8 or 10.1.2.3"},
		{"--admin-token short", "openssl rand -hex 32"},
		{"--admin-token sixteen-bytes-and-more --admin-token-file " + file, "exclude each other"},
		{"--max-rejections 0", "-1 for no bound"},
		{"--rate-limit 0", "--rate-limit: want a positive number, or -1 for no bound"},
		{"--max-actor-under-way=-2", "--max-actor-under-way: want a positive number"},
	} {
		_, err := parse(strings.Fields(c.args)...)
		require.ErrorContains(t, err, c.want, c.args)
	}
	g, err := parse(strings.Fields("--allow-origin https://a.example,chatRoom=https://b.example --allow-origin * --trust-proxy 10.0.0.0/8,192.0.2.7 --admin-token-file " + file)...)
	require.NoError(t, err)
	cfg, err := g.config(false, zap.NewNop())
	require.NoError(t, err)
	require.Equal(t, "*, chatRoom=https://b.example, https://a.example", cfg.Origins.String())
	require.Equal(t, "[10.0.0.0/8 192.0.2.7/32]", fmt.Sprint(cfg.TrustedProxies))
	require.Equal(t, gateway.AdminTokens{"a-token-of-the-test"}, cfg.AdminTokens())
	require.False(t, cfg.Loopback)
	require.Equal(t, [...]int{1200, 32, -1, -1, 1000}, [...]int{cfg.RateLimit, cfg.MaxUnderWay, cfg.CallerRateLimit, cfg.ActorRateLimit, cfg.MaxActorUnderWay})
}

// dialTLS makes a handshake, and returns the certificate and the protocol that was agreed upon.
func dialTLS(t *testing.T, address string, cfg *tls.Config) (*x509.Certificate, string, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		return nil, "", err
	}
	defer conn.Close()
	state := conn.ConnectionState()
	return state.PeerCertificates[0], state.NegotiatedProtocol, nil
}

// trusting is a client's configuration that trusts the certificate in a file, and nothing else.
func trusting(t *testing.T, cert string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(cert)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

const counterX = "/gateway/counter/action/increment?rvt-namespace=default&rvt-method=getOrCreate&rvt-key=x"

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key, err := SelfSigned(t.TempDir())
	require.NoError(t, err)
	address := serve(t, Gateway{TLSCert: cert, TLSKey: key})
	t.Run("StreamedBodyOverHTTP2", func(t *testing.T) {
		t.Parallel()
		transport := &http.Transport{TLSClientConfig: trusting(t, cert), ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		// As browsers send it: the length is not known, and the end comes after the beginning has arrived.
		body, feed := io.Pipe()
		go func() {
			for _, part := range []string{`{"args`, `":[`, `5]}`} {
				_, _ = io.WriteString(feed, part)
			}
			_ = feed.Close()
		}()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+counterX, body)
		require.NoError(t, err)
		req.Header.Set("Origin", "https://localhost:5173")
		resp, err := transport.RoundTrip(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, "HTTP/2.0", resp.Proto)
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.JSONEq(t, `{"output":5}`, string(answer))
		require.Equal(t, "https://localhost:5173", resp.Header.Get("Access-Control-Allow-Origin"))
	})
	t.Run("WebSocketOnTheSamePort", func(t *testing.T) {
		t.Parallel()
		d := websocket.Dialer{TLSClientConfig: trusting(t, cert), Subprotocols: []string{"rivet", "rivet_encoding.json"}, HandshakeTimeout: testPatience}
		conn, _, err := d.DialContext(t.Context(), "wss://"+address+"/gateway/counter/connect?rvt-namespace=default&rvt-method=getOrCreate&rvt-key=y", nil)
		require.NoError(t, err)
		defer conn.Close()
		_, message, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Contains(t, string(message), `"Init"`)
	})
	t.Run("NothingBelowTLS12", func(t *testing.T) {
		t.Parallel()
		old := trusting(t, cert)
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		_, _, err := dialTLS(t, address, old)
		require.ErrorContains(t, err, "protocol version")
		old.MaxVersion = tls.VersionTLS12
		_, _, err = dialTLS(t, address, old)
		require.NoError(t, err)
	})
}

func TestCertificateIsReadAnewWhenItChanges(t *testing.T) {
	t.Parallel()
	cert, key, err := SelfSigned(t.TempDir())
	require.NoError(t, err)
	newCert, newKey, err := SelfSigned(t.TempDir())
	require.NoError(t, err)
	address := serve(t, Gateway{TLSCert: cert, TLSKey: key})
	before, after := trusting(t, cert), trusting(t, newCert)
	_, _, err = dialTLS(t, address, before)
	require.NoError(t, err)
	_, _, err = dialTLS(t, address, after)
	require.ErrorContains(t, err, "certificate")
	// A renewal that stops halfway leaves a pair that does not fit: the old one stays.
	whole, err := os.ReadFile(newKey)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(key, []byte("half a k"), 0o600))
	require.Never(t, func() bool {
		_, _, err := dialTLS(t, address, before)
		return err != nil
	}, 2*rereadAfter, rereadAfter/4)
	require.NoError(t, os.WriteFile(key, whole, 0o600))
	renewed, err := os.ReadFile(newCert)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, renewed, 0o600))
	require.Eventually(t, func() bool {
		_, _, err := dialTLS(t, address, after)
		return err == nil
	}, testPatience, 50*time.Millisecond)
}

func TestAdminTokenFileIsReadAnew(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) { require.NoError(t, os.WriteFile(file, []byte(token), 0o600)) }
	write("short")
	_, err := Gateway{Admin: Admin{AdminTokenFile: file}}.config(true, zap.NewNop())
	require.ErrorContains(t, err, "reading --admin-token-file: a token has 5 bytes")
	write("the-first-token-of-all\n")
	address := serve(t, Gateway{Admin: Admin{AdminTokenFile: file}})
	status := func(token string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/admin/gateway", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 200, status("the-first-token-of-all"))
	require.Equal(t, 401, status("the-second-token-of-all"))
	write("the-second-token-of-all")
	require.Eventually(t, func() bool { return status("the-second-token-of-all") == 200 }, testPatience, 50*time.Millisecond)
	require.Equal(t, 401, status("the-first-token-of-all"))
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	address := serve(t, Gateway{})
	for size, want := range map[int]int{maxHeaderBytes / 2: 200, maxHeaderBytes * 2: 431} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metadata", nil)
		require.NoError(t, err)
		req.Header.Set("X-Long", strings.Repeat("x", size))
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode)
	}
	// An input of 4 KiB in the URL, and parameters as long as they may be, fit.
	target := "http://" + address + "/gateway/counter/action/get?rvt-namespace=default&rvt-method=getOrCreate&rvt-key=x&rvt-input="
	input := append([]byte{0x79, 0x0f, 0xfd}, bytes.Repeat([]byte("i"), 4093)...) // CBOR: a text of 4,093 bytes
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target+base64.RawURLEncoding.EncodeToString(input), strings.NewReader(`{"args":[]}`))
	require.NoError(t, err)
	req.Header.Set("X-Rivet-Conn-Params", `"`+strings.Repeat("p", 4094)+`"`)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	// It reached the actor, which does not take a text.
	var e struct{ Group, Code string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&e))
	require.Equal(t, "actor.invalid_request", e.Group+"."+e.Code)
}

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	cert, key, err := SelfSigned(dir)
	require.NoError(t, err)
	first, err := os.ReadFile(cert)
	require.NoError(t, err)
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	for _, name := range []string{"localhost", "app.localhost", "127.0.0.1", "::1"} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots})
		require.NoError(t, err, name)
	}
	_, _, err = SelfSigned(dir)
	require.NoError(t, err)
	again, err := os.ReadFile(cert)
	require.NoError(t, err)
	require.Equal(t, first, again, "kept")
	// One that is about to expire is replaced.
	oldCert, oldKey, err := selfSign(time.Now().Add(-selfSignedFor + 24*time.Hour))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, oldCert, 0o600))
	require.NoError(t, os.WriteFile(key, oldKey, 0o600))
	_, _, err = SelfSigned(dir)
	require.NoError(t, err)
	again, err = os.ReadFile(cert)
	require.NoError(t, err)
	require.NotEqual(t, oldCert, again)
}

// A process that has the code of actors verifies for operators, at its gateway, too.
func TestVerifyAtTheGateway(t *testing.T) {
	t.Parallel()
	address := serve(t, Gateway{})
	post := func(path, body string) string {
		resp, err := http.Post("http://"+address+path, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode, string(text))
		return string(text)
	}
	post("/actors/counter/a/b/actions/increment", "2")
	require.Contains(t, post("/admin/verify/counter/a/b", ""), `"type":"summary","clean":true,"actors":1,"actorsDiffering":0,"outcomes":1,"same":1`)
	require.Contains(t, post("/admin/verify?all=true", ""), `"clean":true,"actors":1`)
}
