package derp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/aditmesh/adit/pkg/certpin"
)

// certificateLasts is for ever: what nodes trust is the pin, which changes with the
// certificate.
const certificateLasts = 100 * 365 * 24 * time.Hour

// selfSigned returns the self-signed certificate that is kept in a directory, made
// if it is missing, and the pin by which nodes know it.
func selfSigned(dir string) (tls.Certificate, string, error) {
	file := filepath.Join(dir, "relay-tls.pem")
	cert, err := tls.LoadX509KeyPair(file, file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeCertificate(file); err != nil {
			return tls.Certificate{}, "", fmt.Errorf("make the relay's certificate: %w", err)
		}
		cert, err = tls.LoadX509KeyPair(file, file)
	}
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("relay's certificate in %s: %w", file, err)
	}
	return cert, certpin.Of(cert.Certificate[0]), nil
}

func makeCertificate(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "adit relay"}, DNSNames: []string{"relay.adit"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(certificateLasts), // a node's clock may be behind
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	// Whole or not at all, as the relay's key.
	part := file + ".part"
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	return os.Rename(part, file)
}
