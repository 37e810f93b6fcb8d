package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// selfSignedFor is how long a certificate of ours is valid: browsers take no longer ones.
const selfSignedFor = 397 * 24 * time.Hour

// SelfSigned returns files with a certificate for localhost that is signed by itself, and its key. It
// makes them in dir, unless they are there and still valid for a month. Browsers trust it when they are
// told to. For development.
func SelfSigned(dir string) (cert, key string, err error) {
	cert, key = filepath.Join(dir, "localhost.pem"), filepath.Join(dir, "localhost-key.pem")
	if pair, err := tls.LoadX509KeyPair(cert, key); err == nil && time.Until(pair.Leaf.NotAfter) > 30*24*time.Hour {
		return cert, key, nil
	}
	certPEM, keyPEM, err := selfSign(time.Now())
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(key, keyPEM, 0o600)
	}
	if err == nil {
		err = os.WriteFile(cert, certPEM, 0o600)
	}
	if err != nil {
		return "", "", fmt.Errorf("making a certificate for localhost: %w", err)
	}
	return cert, key, nil
}

func selfSign(now time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "actorlog development"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedFor),
		DNSNames: []string{"localhost", "*.localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
