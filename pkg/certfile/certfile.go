// Package certfile serves a certificate from files, and the next one when that is
// there: certbot, cert-manager and others renew in place.
//
// A [Pair] is opened once, with a certificate that is good. What comes later and is
// not, such as half of a renewal, is said in the log, and the last good one is served
// on, even past its end: its clients tell better than nobody. It has nothing to close.
package certfile

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the files are read: with a handshake, and two small files
	// cost less than that.
	lookEvery = 10 * time.Second

	// sayEvery is how often the log says what it has said before.
	sayEvery = time.Hour
)

// Pair is a certificate and its key. Its methods may be called concurrently.
type Pair struct {
	certFile, keyFile, host string
	log                     *slog.Logger
	served                  atomic.Pointer[tls.Certificate]

	mu        sync.Mutex // guards what follows; nobody waits for it in a handshake
	looked    time.Time
	cert, key []byte // that are served
	said      string // of what is wrong
	saidAt    time.Time
}

// Open reads a pair. host is the name that the certificate has to be for; empty is any.
func Open(certFile, keyFile, host string, log *slog.Logger) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, host: host, log: log}
	now := time.Now()
	cert, key, err := p.read()
	if err != nil {
		return nil, err
	}
	pair, err := p.check(cert, key, now)
	if err != nil {
		return nil, err
	}
	p.looked, p.cert, p.key = now, cert, key
	p.served.Store(pair)
	return p, nil
}

// OpenEnded reads a pair, and takes one that has ended already: for who serves more
// than those that verify it, and says elsewhere that it has ended. Later ones have to be
// good.
func OpenEnded(certFile, keyFile string, log *slog.Logger) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, log: log}
	cert, key, err := p.read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", certFile, keyFile, err)
	}
	p.looked, p.cert, p.key = time.Now(), cert, key
	p.served.Store(&pair)
	return p, nil
}

// Leaf returns the certificate that is served now.
func (p *Pair) Leaf() *x509.Certificate {
	cert, _ := p.GetCertificate(nil) // which never fails
	return cert.Leaf
}

// GetCertificate is for [tls.Config].
func (p *Pair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if p.mu.TryLock() {
		if now := time.Now(); now.Sub(p.looked) >= lookEvery {
			p.looked = now
			p.look(now)
		}
		p.mu.Unlock()
	}
	return p.served.Load(), nil
}

// look takes the files' certificate if it is another, and good. mu is held.
func (p *Pair) look(now time.Time) {
	cert, key, err := p.read()
	if err == nil && (!bytes.Equal(cert, p.cert) || !bytes.Equal(key, p.key)) {
		var pair *tls.Certificate
		if pair, err = p.check(cert, key, now); err == nil {
			p.served.Store(pair)
			p.cert, p.key, p.said = cert, key, ""
			p.log.Info("another certificate is served from now on", "file", p.certFile, "ends", pair.Leaf.NotAfter)
			return
		}
	}
	ends := p.served.Load().Leaf.NotAfter
	if err == nil && now.After(ends) {
		err = fmt.Errorf("%s: it ended on %s, and nobody trusts it", p.certFile, ends.Format(time.DateOnly))
	}
	if err == nil {
		p.said = ""
		return
	}
	if err.Error() != p.said || now.Sub(p.saidAt) >= sayEvery {
		p.said, p.saidAt = err.Error(), now
		p.log.Warn("the certificate's files have none that can be served; the last one is served on, and they are read again", "err", err, "ends", ends)
	}
}

func (p *Pair) read() (cert, key []byte, err error) {
	if cert, err = os.ReadFile(p.certFile); err != nil {
		return nil, nil, err
	}
	key, err = os.ReadFile(p.keyFile)
	return cert, key, err
}

// check returns the pair of two texts if clients will trust it, as far as that can be
// told here.
func (p *Pair) check(cert, key []byte, now time.Time) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", p.certFile, p.keyFile, err)
	}
	if ends := pair.Leaf.NotAfter; now.After(ends) {
		return nil, fmt.Errorf("%s: it ended on %s, and nobody trusts it", p.certFile, ends.Format(time.DateOnly))
	}
	if p.host != "" {
		if err := pair.Leaf.VerifyHostname(p.host); err != nil {
			return nil, fmt.Errorf("%s: %w", p.certFile, err)
		}
	}
	return &pair, nil
}
