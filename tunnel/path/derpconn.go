package path

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"

	"github.com/aditmesh/adit/pkg/certpin"
)

const (
	// relayDialTimeout bounds TCP, TLS, the HTTP upgrade and the DERP
	// handshake together.
	relayDialTimeout = 10 * time.Second

	// relayWriteTimeout is how long a relay may leave our bytes unread before
	// the connection counts as dead.
	relayWriteTimeout = 10 * time.Second

	// relayFlushAt is when buffered frames are written without waiting for
	// more: four TLS records' worth.
	relayFlushAt = 64 << 10

	// relayReadSize is as much, the other way.
	relayReadSize = 64 << 10
)

// derpConn is one DERP connection whose writes are gathered: nothing goes out
// until flush, or until relayFlushAt bytes wait. One TLS record and one system
// call for many frames is worth a factor of five to a sender.
type derpConn struct {
	client *derp.Client
	opened

	mu  sync.Mutex // guards buf and writes to conn
	buf []byte
}

// dialDERP connects to the relay at u, whose certificate must match pin
// ("sha256-raw:<hex>") or, with an empty pin, the system's roots.
func dialDERP(ctx context.Context, u *url.URL, pin string, priv key.NodePrivate, roots *x509.CertPool, logf logger.Logf) (_ *derpConn, err error) {
	ctx, cancel := context.WithTimeout(ctx, relayDialTimeout)
	defer cancel()
	o, err := openRelay(ctx, u, pin, roots)
	if err != nil {
		return nil, fmt.Errorf("path: dial relay %s: %w", u.Redacted(), err)
	}
	defer func() {
		if err != nil {
			o.conn.Close()
			err = fmt.Errorf("path: relay %s: %w", u.Redacted(), err)
		}
	}()
	stop := context.AfterFunc(ctx, func() { o.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	d := &derpConn{opened: o}
	// Tiny: it is flushed into d.buf after each frame.
	bw := bufio.NewWriterSize(d, 2<<10)
	d.client, err = derp.NewClient(priv, o.conn, bufio.NewReadWriter(o.br, bw), logf, derp.CanAckPings(true), derp.AppName("adit"))
	if err != nil {
		return nil, err
	}
	if err := d.flush(); err != nil {
		return nil, err
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return d, nil
}

// dialHTTP opens the TCP or TLS connection that u asks for.
func dialHTTP(ctx context.Context, u *url.URL, pin string, roots *x509.CertPool) (net.Conn, error) {
	dialer := &net.Dialer{
		// A relay that vanished without a word is noticed within 25 s.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	port := u.Port()
	if u.Scheme == "http" {
		if port == "" {
			port = "80"
		}
		return dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	}
	if port == "" {
		port = "443"
	}
	cfg := &tls.Config{ServerName: u.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if pin != "" {
		if err := pinCertificate(cfg, pin); err != nil {
			return nil, err
		}
	}
	td := tls.Dialer{NetDialer: dialer, Config: cfg}
	return td.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
}

// pinCertificate makes cfg accept the pinned certificate and no other.
func pinCertificate(cfg *tls.Config, pin string) error {
	want, err := certpin.Parse(pin)
	if err != nil {
		return err
	}
	// The pin takes the place of the chain: a self-signed relay has none.
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if got := sha256.Sum256(cs.PeerCertificates[0].Raw); want != got {
			return fmt.Errorf("certificate %x is not the pinned one", got)
		}
		return nil
	}
	return nil
}

// upgradeDERP turns an HTTP/1.1 connection into a DERP one and returns the
// reader that holds whatever came right behind the answer.
func upgradeDERP(conn net.Conn, u *url.URL) (*bufio.Reader, error) {
	req := &http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Path: strings.TrimSuffix(u.Path, "/") + "/derp"},
		Host:   u.Host,
		Header: http.Header{"Upgrade": {"DERP"}, "Connection": {"Upgrade"}},
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	br := bufio.NewReaderSize(conn, relayReadSize)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("%w: HTTP status %s", errNotDERP, resp.Status)
	}
	return br, nil
}

// errNotDERP is what a web server that is no relay answers.
var errNotDERP = errors.New("not a DERP relay")

// Write gathers b; derp.Client calls it through its own small buffer.
func (d *derpConn) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.buf = append(d.buf, b...)
	if len(d.buf) < relayFlushAt {
		return len(b), nil
	}
	return len(b), d.flushLocked()
}

// flush writes what is gathered.
func (d *derpConn) flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flushLocked()
}

func (d *derpConn) flushLocked() error {
	if len(d.buf) == 0 {
		return nil
	}
	if err := d.conn.SetWriteDeadline(time.Now().Add(relayWriteTimeout)); err != nil {
		return err
	}
	_, err := d.conn.Write(d.buf)
	d.buf = d.buf[:0]
	return err
}

// localAddr is the address of this machine that the connection goes out from.
func (d *derpConn) localAddr() netip.Addr {
	at, _ := d.local.(*net.TCPAddr)
	if at == nil {
		return netip.Addr{}
	}
	return at.AddrPort().Addr().Unmap().WithZone("")
}

// expect has Recv fail unless something comes in time. Recv sets a deadline of
// its own with the message after that.
func (d *derpConn) expect(within time.Duration) {
	_ = d.conn.SetReadDeadline(time.Now().Add(within)) // fails on a closed one only
}

// ping asks the relay for a sign of life.
func (d *derpConn) ping() error {
	if err := d.client.SendPing([8]byte{}); err != nil {
		return err
	}
	return d.flush()
}

func (d *derpConn) close() error { return d.conn.Close() }
