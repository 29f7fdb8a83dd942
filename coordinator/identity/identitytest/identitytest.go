// Package identitytest signs as the clouds do, with keys and certificates of a
// test's own.
package identitytest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

// Signer is a key with a certificate of the test's own.
type Signer struct {
	Key  *rsa.PrivateKey
	Cert *x509.Certificate
}

// Certify makes a signer; one without a parent certifies itself.
func Certify(t *testing.T, name string, parent *Signer, hosts ...string) *Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: len(hosts) == 0, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	s := &Signer{Key: key}
	by := parent
	if by == nil {
		by = &Signer{key, tmpl}
	}
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, by.Cert, &key.PublicKey, by.Key)
	if err != nil {
		t.Fatal(err)
	}
	if s.Cert, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	return s
}

// Sign signs as the metadata services of AWS (detached) and Azure do.
func (s *Signer) Sign(t *testing.T, content string, detached bool) string {
	t.Helper()
	data, err := pkcs7.NewSignedData([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	data.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := data.AddSigner(s.Cert, s.Key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	if detached {
		data.Detach()
	}
	raw, err := data.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// KeyServer serves keys as Google does, until it is told not to.
type KeyServer struct {
	*httptest.Server
	Asked atomic.Int32
	Down  atomic.Bool
}

// ServeKeys serves keys by their ids until the test ends.
func ServeKeys(t *testing.T, keys map[string]*rsa.PrivateKey) *KeyServer {
	t.Helper()
	s := new(KeyServer)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.Asked.Add(1)
		if s.Down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		var list []map[string]string
		for id, k := range keys {
			list = append(list, map[string]string{
				"kid": id, "kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(k.N.Bytes()),
				"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes()),
			})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": list})
	}))
	t.Cleanup(s.Close)
	return s
}

// Token signs a token of Google's.
func Token(t *testing.T, key *rsa.PrivateKey, head, claims map[string]any) string {
	t.Helper()
	part := func(v map[string]any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}
