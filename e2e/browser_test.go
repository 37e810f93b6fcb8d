package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// browserTimeout bounds one run of a script in the browser. The longest takes half a minute.
const browserTimeout = 4 * time.Minute

// browser says which node runs scripts that drive Chromium, and skips the test if there is none.
func browser(t *testing.T) (node string) {
	t.Helper()
	node = os.Getenv("ACTORLOG_TEST_NODE")
	if node == "" || os.Getenv("ACTORLOG_TEST_CHROMIUM") == "" {
		t.Skip("ACTORLOG_TEST_NODE and ACTORLOG_TEST_CHROMIUM do not name a node binary (20 or later) and a Chromium: pages are not tested")
	}
	for _, pkg := range []string{"@rivetkit/react", "rivetkit-newest", "esbuild", "playwright-core"} {
		_, err := os.Stat(filepath.Join("browser", "node_modules", pkg, "package.json"))
		require.NoError(t, err, "e2e/browser/node_modules is missing or incomplete: run `npm ci` in e2e/browser")
	}
	return node
}

// @rivetkit/react and the plain client against a broker, a worker and a gateway that is ended under
// the page. There is no balancer before it: while it is away, connections are refused. What is
// expected stands in browser/*.test.mjs.
func TestBrowser(t *testing.T) {
	t.Parallel()
	node := browser(t)
	b, _ := process.EmbeddedBroker(t)
	w := newNodeWorld(t, node, b, 1)
	pages := servePages(t)
	for name, file := range map[string]string{"react": "react.test.mjs", "client": "client.test.mjs"} {
		// Not in parallel: one of them ends the gateway.
		t.Run(name, func(t *testing.T) {
			script{
				dir: "browser", file: file, timeout: browserTimeout, carryOut: w.carryOut,
				env: []string{"ACTORLOG_ENDPOINT=http://" + w.gateways[0].listen, "ACTORLOG_PAGES=" + pages},
			}.run(t, node)
		})
	}
}

// The plain client over TLS and HTTP/2, without which its newest versions cannot make a call
// from Chromium that has no connection.
func TestBrowser_TLS(t *testing.T) {
	t.Parallel()
	node := browser(t)
	certificate, key := selfSigned(t)
	listen := process.Address(t)
	p := process.Start(t, "actorlog", "dev", "--data", t.TempDir(), "--listen", listen, "--kafka-listen", process.Address(t),
		"--tls-cert", certificate, "--tls-key", key)
	process.Ready(t, "https://"+listen, p)
	script{
		dir: "browser", file: "client.test.mjs", timeout: browserTimeout,
		env: []string{"ACTORLOG_ENDPOINT=https://" + listen, "ACTORLOG_PAGES=" + servePages(t)},
	}.run(t, node)
}

// selfSigned makes a certificate for loopback, and returns the files of it and of its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "actorlog test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	return write("cert.pem", "CERTIFICATE", public), write("key.pem", "PRIVATE KEY", pkcs8)
}

// servePages bundles browser/app and serves it on loopback.
func servePages(t *testing.T) string {
	dir := t.TempDir()
	esbuild := exec.Command(filepath.Join("node_modules", ".bin", "esbuild"),
		"--bundle", "--format=esm", "--jsx=automatic", "--loader:.html=copy", "--log-level=warning", "--outdir="+dir,
		"app/react.html", "app/react.jsx", "app/newest.html", "app/newest.js")
	esbuild.Dir = "browser"
	out, err := esbuild.CombinedOutput()
	require.NoError(t, err, "bundling e2e/browser/app:\n%s", out)
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s.URL
}
