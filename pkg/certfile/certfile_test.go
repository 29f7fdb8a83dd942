package certfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// issued is a certificate as an authority hands it out.
type issued struct{ cert, key []byte }

func issue(t *testing.T, serial int64, host string, ends time.Time) issued {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{host}, NotBefore: time.Unix(0, 0), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return issued{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})}
}

// A certificate is renewed in place, in all the ways that this may go wrong on the way.
func TestARenewedCertificateIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		put := func(file string, text []byte) {
			t.Helper()
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		const host = "fra.example.com"
		first := issue(t, 1, host, time.Now().Add(time.Hour))
		put(certFile, first.cert)
		put(keyFile, first.key)
		var log strings.Builder
		p, err := Open(certFile, keyFile, host, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		served := func() int64 {
			t.Helper()
			cert, err := p.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return cert.Leaf.SerialNumber.Int64()
		}
		second, third := issue(t, 2, host, time.Now().Add(2*time.Hour)), issue(t, 3, host, time.Now().Add(100*time.Hour))
		ended, other := issue(t, 4, host, time.Now().Add(-time.Hour)), issue(t, 5, "nrt.example.com", time.Now().Add(100*time.Hour))
		for _, step := range []struct {
			name  string
			after time.Duration
			does  func()
			want  int64
			says  string // and nothing if it is empty
		}{
			{"as it was", lookEvery, func() {}, 1, ""},
			{"half of a renewal", lookEvery, func() { put(certFile, second.cert) }, 1, "private key does not match"},
			{"it is said once", lookEvery, func() {}, 1, ""},
			{"all of it, at once", 0, func() { put(keyFile, second.key) }, 1, ""},
			{"all of it, a while later", lookEvery, func() {}, 2, "another certificate"},
			{"the file is gone", lookEvery, func() { os.Remove(certFile) }, 2, "no such file"},
			{"an hour later", sayEvery, func() {}, 2, "no such file"},
			{"an empty file", lookEvery, func() { put(certFile, nil) }, 2, "failed to find any PEM data"},
			{"one that has ended", lookEvery, func() { put(certFile, ended.cert); put(keyFile, ended.key) }, 2, "it ended on"},
			{"one for another", lookEvery, func() { put(certFile, other.cert); put(keyFile, other.key) }, 2, "not " + host},
			{"the one there was", lookEvery, func() { put(certFile, second.cert); put(keyFile, second.key) }, 2, ""},
			{"which ends", time.Hour, func() {}, 2, "it ended on"},
			{"a good one", lookEvery, func() { put(certFile, third.cert); put(keyFile, third.key) }, 3, "another certificate"},
		} {
			log.Reset()
			step.does()
			time.Sleep(step.after) // the bubble's
			if got := served(); got != step.want {
				t.Errorf("%s: serves %d, want %d", step.name, got, step.want)
			}
			if got := log.String(); step.says == "" && got != "" || !strings.Contains(got, step.says) || strings.Count(got, "\n") > 1 {
				t.Errorf("%s: says %q, want %q", step.name, got, step.says)
			}
		}
	})
}

// A server that starts with a certificate that has ended serves it, and the next.
func TestOneThatHasEndedIsServedUntilTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		put := func(i issued) {
			t.Helper()
			if err := errors.Join(os.WriteFile(certFile, i.cert, 0o600), os.WriteFile(keyFile, i.key, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		put(issue(t, 1, "adit.example.com", time.Now().Add(-time.Hour)))
		p, err := OpenEnded(certFile, keyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Leaf().SerialNumber.Int64(); got != 1 {
			t.Errorf("serves %d at first", got)
		}
		put(issue(t, 2, "adit.example.com", time.Now().Add(time.Hour)))
		time.Sleep(lookEvery) // the bubble's
		if got := p.Leaf().SerialNumber.Int64(); got != 2 {
			t.Errorf("serves %d once there is a good one", got)
		}
		if _, err := OpenEnded(certFile, certFile, slog.New(slog.DiscardHandler)); err == nil {
			t.Error("a pair without a key is opened")
		}
	})
}

// What is wrong at the start is said at once.
func TestWhatIsNotServed(t *testing.T) {
	const host = "fra.example.com"
	good, other := issue(t, 1, host, time.Now().Add(time.Hour)), issue(t, 2, host, time.Now().Add(time.Hour))
	ended := issue(t, 3, host, time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		name, host string
		of         issued
		want       string
	}{
		{"good", host, good, ""},
		{"for nobody in particular", "", good, ""},
		{"two halves", host, issued{good.cert, other.key}, "does not match"},
		{"ended", host, ended, "it ended on 2024-02-01"},
		{"another's", "nrt.example.com", good, "not nrt.example.com"},
	} {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		for file, text := range map[string][]byte{certFile: c.of.cert, keyFile: c.of.key} {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(certFile, keyFile, c.host, slog.New(slog.DiscardHandler))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := Open("/nowhere/cert.pem", "/nowhere/key.pem", host, nil); !os.IsNotExist(err) {
		t.Errorf("no files: %v", err)
	}
}
