package derp

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/net/stun"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"

	"github.com/aditmesh/adit/pkg/certpin"
)

// Prober asks relays for what nodes ask of them. Its methods may be called
// concurrently.
type Prober struct{ key key.NodePrivate }

// NewProber makes a prober with a key of its own.
func NewProber() *Prober { return &Prober{key.NewNode()} }

// Key is the prober's, for those who admit it.
func (p *Prober) Key() [32]byte { return [32]byte(p.key.Public().AppendTo(nil)) }

// Target is a relay as the map has it.
type Target struct {
	URL *url.URL
	// CertName pins its certificate; empty is the system's roots.
	CertName string
	// STUNPorts answer STUN on the URL's host.
	STUNPorts []uint16
	// UDP is by what its UDP relay is spoken to; a port of zero is that it has none.
	UDP UDPRelayInfo
}

// Probed is what a relay did.
type Probed struct {
	// Carried is how long a packet took to the relay and back.
	Carried time.Duration
	// Silent are the ports that did not answer STUN.
	Silent []uint16
	// UDP is why its UDP relay carried nothing; nil when it did, or there is none.
	UDP error
	// CertificateEnds is when its certificate does, if it has one, and Untrusted why
	// nodes do not trust that; nil when they do.
	CertificateEnds time.Time
	Untrusted       error
}

// ErrNotCarried is that a relay let the prober in, and nothing out.
var ErrNotCarried = errors.New("the relay carries nothing")

// stunTries is how often a port is asked: a datagram may be lost.
const stunTries = 3

// Probe connects to a relay as a node does, has it carry a packet, and asks its
// STUN ports. An error says what of the first two failed; what is known otherwise is
// told all the same.
func (p *Prober) Probe(ctx context.Context, t Target) (Probed, error) {
	var probed Probed
	var silent sync.WaitGroup
	answers := make([]bool, len(t.STUNPorts))
	for i, port := range t.STUNPorts {
		silent.Go(func() { answers[i] = askSTUN(ctx, net.JoinHostPort(t.URL.Hostname(), strconv.Itoa(int(port)))) })
	}
	err := p.carry(ctx, t, &probed)
	silent.Wait()
	for i, port := range t.STUNPorts {
		if !answers[i] {
			probed.Silent = append(probed.Silent, port)
		}
	}
	if err != nil {
		return probed, fmt.Errorf("derp: probe %s: %w", t.URL.Redacted(), err)
	}
	return probed, nil
}

// carry has the relay bring a packet from the prober to itself.
func (p *Prober) carry(ctx context.Context, t Target, probed *Probed) error {
	c, err := t.client(p.key, probed)
	if err != nil {
		return err
	}
	defer c.Close()
	// Recv knows no context.
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := c.Connect(ctx); err != nil {
		return err
	}
	packet := []byte("probe")
	began := time.Now()
	if err := c.Send(p.key.Public(), packet); err != nil {
		return fmt.Errorf("%w: %w", ErrNotCarried, err)
	}
	for {
		m, err := c.Recv()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotCarried, errors.Join(context.Cause(ctx), err))
		}
		if got, ok := m.(derp.ReceivedPacket); ok && got.Source == p.key.Public() && slices.Equal(got.Data, packet) {
			probed.Carried = time.Since(began)
			if t.UDP.Port != 0 {
				probed.UDP = overUDP(ctx, c, t)
			}
			return nil
		}
	}
}

// client is one of the relay that trusts what nodes trust. It connects when it is used,
// and notes in probed when the relay's certificate ends.
func (t Target) client(priv key.NodePrivate, probed *Probed) (*derphttp.Client, error) {
	dial, err := t.dialer(probed)
	if err != nil {
		return nil, err
	}
	// TLS is the dialer's: the library's own takes no pin.
	plain := *t.URL.JoinPath("derp")
	plain.Scheme, plain.Host = "http", net.JoinHostPort(t.URL.Hostname(), t.port())
	c, err := derphttp.NewClient(priv, plain.String(), logger.Discard, netmon.NewStatic())
	if err != nil {
		return nil, err
	}
	c.SetURLDialer(dial)
	return c, nil
}

// dialer connects with TLS, if the URL wants it, and notes in probed when the relay's
// certificate ends, and whether it is trusted.
func (t Target) dialer(probed *Probed) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	if t.URL.Scheme != "https" {
		return new(net.Dialer).DialContext, nil
	}
	secure, err := t.tls(probed)
	if err != nil {
		return nil, err
	}
	dial := (&tls.Dialer{Config: secure}).DialContext
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			probed.Untrusted, probed.CertificateEnds = bad.Err, bad.UnverifiedCertificates[0].NotAfter
		}
		return conn, err
	}, nil
}

// open connects to a relay and has it speak DERP. What came right behind its answer is in
// the reader. The connection has a deadline, for a greeting.
func (t Target) open(ctx context.Context) (net.Conn, *bufio.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	dial, err := t.dialer(new(Probed))
	if err != nil {
		return nil, nil, err
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(t.URL.Hostname(), t.port()))
	if err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, func() { cut(conn) })()
	reader, err := t.upgrade(ctx, conn)
	if err != nil {
		return nil, nil, errors.Join(context.Cause(ctx), err, conn.Close())
	}
	return conn, reader, nil
}

// upgrade asks for DERP on a connection.
func (t Target) upgrade(ctx context.Context, conn net.Conn) (*bufio.Reader, error) {
	if err := conn.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL.JoinPath("derp").String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Upgrade": {"DERP"}, "Connection": {"Upgrade"}}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("it answers %s and does not speak DERP", resp.Status)
	}
	return reader, nil
}

// port is where the relay serves.
func (t Target) port() string {
	switch {
	case t.URL.Port() != "":
		return t.URL.Port()
	case t.URL.Scheme == "https":
		return "443"
	}
	return "80"
}

// tls trusts what nodes trust, and notes when the certificate ends.
func (t Target) tls(probed *Probed) (*tls.Config, error) {
	conf := &tls.Config{ServerName: t.URL.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	var pin *[sha256.Size]byte
	if t.CertName != "" {
		sum, err := certpin.Parse(t.CertName)
		if err != nil {
			return nil, err
		}
		pin, conf.InsecureSkipVerify = &sum, true
	}
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		leaf := cs.PeerCertificates[0]
		if pin != nil && sha256.Sum256(leaf.Raw) != *pin {
			return errors.New("its certificate is not the pinned one")
		}
		probed.CertificateEnds = leaf.NotAfter
		return nil
	}
	return conf, nil
}

// askSTUN reports whether an address answers STUN before ctx is done.
func askSTUN(ctx context.Context, addr string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	tx := stun.NewTxID()
	buf := make([]byte, 1500)
	for try := range stunTries {
		if _, err := conn.Write(stun.Request(tx)); err != nil {
			return false
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second << try / 4)) // fails on a closed one only
		n, err := conn.Read(buf)
		if err != nil {
			if ctx.Err() != nil {
				return false
			}
			continue
		}
		if got, at, err := stun.ParseResponse(buf[:n]); err == nil && got == tx && at != (netip.AddrPort{}) {
			return true
		}
	}
	return false
}
