package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A relay whose certificate has ended would be in every map and serve nobody.
func TestARelayWithAnEndedCertificateDoesNotStart(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ends time.Time
		want string
	}{
		{time.Now().Add(time.Hour), ""},
		{time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC), "it ended on 2024-02-01, and nobody trusts it; give it"},
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: c.ends}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "relay.pem")
		text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		f := relayFlags{listen: "127.0.0.1:0", udpRelayPort: -1, tlsCert: file, tlsKey: file}
		_, err = f.config(t.Context(), &app{url: "http://127.0.0.1:1", token: "any"}, slog.New(slog.DiscardHandler))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("ends %v: %v, want %q", c.ends, err, c.want)
		}
	}
}
