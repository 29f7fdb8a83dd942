package derp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
	"github.com/aditmesh/adit/pkg/quickconn"
)

const (
	// headerTimeout bounds how long a client may take to say what it wants, and
	// maxHeader how much that is.
	headerTimeout = 10 * time.Second
	maxHeader     = 16 << 10

	// idleTimeout ends connections that ask for nothing more.
	idleTimeout = 30 * time.Second

	// httpsPort is what a URL need not say.
	httpsPort = 443
)

// ServeConfig configures a relay that runs apart from the coordinator.
type ServeConfig struct {
	// URL is the coordinator's, and Token what it knows the relay by.
	URL   *url.URL
	Token string
	// HTTPClient reaches the coordinator; nil is the default one.
	HTTPClient *http.Client
	// Listen is the TCP address to serve on.
	Listen string
	// Address is where nodes reach the relay; nil is by the address from which it
	// reaches the coordinator, on the port of Listen.
	Address *url.URL
	// STUN lists the UDP addresses to answer STUN on: two, for nodes to see whether
	// their mapping varies.
	STUN []string
	// UDPRelay is the UDP address to pass nodes' datagrams on at; empty is nowhere.
	UDPRelay string
	// ClientRate is how many bytes a second the relay takes from one client. Zero is no
	// limit.
	ClientRate uint64
	// TURN relays browsers on the first STUN port. TURNAddress is the address at which
	// this host's UDP ports are reached; the zero address is the one from which it
	// reaches the coordinator.
	TURN        bool
	TURNAddress netip.Addr
	// Certificate returns what HTTPS is served with: one that nodes trust. Nil is a
	// self-signed one, which they are told to trust. PlainHTTP is neither, for a
	// relay behind a proxy that ends TLS; Address must be set then. ACME, if it is not
	// nil, gets and renews one that nodes trust.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	ACME        *ACME
	PlainHTTP   bool
	// DataDir is where the relay's keys are kept.
	DataDir string
	// DrainFor is how long nodes have to move elsewhere once the relay has left
	// the map.
	DrainFor time.Duration
	// MetricsListen is where /metrics is served, apart from the relay; empty is
	// nowhere.
	MetricsListen string
	// Joined is called with each session that the coordinator accepts; nil is not.
	Joined  func(name, region string)
	Version string
	Logger  *slog.Logger
}

// Serve runs a relay until ctx is done, and then for as long as its nodes need to
// move. Errors that match [ErrRevoked], [ErrInUse] and [ErrRefused] are the
// coordinator's last word.
func Serve(ctx context.Context, cfg ServeConfig) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	secure, pin, err := cfg.tls()
	if err != nil {
		return fmt.Errorf("derp: %w", err)
	}
	m := &membership{url: cfg.URL, token: cfg.Token, client: cfg.HTTPClient, log: cfg.Logger}
	conf := Config{KeyFile: filepath.Join(cfg.DataDir, "relay.key"), Admit: newVouches(m.ask).admit, STUN: cfg.STUN, UDPRelay: cfg.UDPRelay, ClientRate: cfg.ClientRate, Logger: cfg.Logger}
	var known addressOf
	if cfg.TURN {
		known.learn(cfg.TURNAddress)
		conf.TURN = &TURN{Secret: rand.Text(), Address: known.get}
	}
	relay, err := Start(conf)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("derp: listen on %s: %w", cfg.Listen, err), relay.Close())
	}
	port := l.Addr().(*net.TCPAddr).Port
	l = quickconn.Listener(l)
	if !cfg.PlainHTTP { // else all come from the proxy
		l = newCrowd(l, connectionsEach, relay.refused, relay.board.note, cfg.Logger)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	var here atomic.Bool
	web := newWeb(relay.front(&here), cfg.Logger)
	served := make(chan error, 2)
	go func() { served <- web.Serve(l) }()
	if cfg.ACME != nil { // nodes are told of the relay when it has what they trust
		if err := cfg.ACME.obtain(ctx, secure); err != nil {
			return errors.Join(fmt.Errorf("derp: %w", err), web.Close(), ignoreClosed(<-served), relay.Close())
		}
	}
	watched, err := cfg.serveMetrics(ctx, relay, served)
	if err != nil {
		return errors.Join(err, web.Close(), ignoreClosed(<-served), relay.Close())
	}

	m.load = relay.load
	m.hello = func(local netip.Addr) *relayv1.Hello {
		if !known.get().IsValid() {
			known.learn(local)
		}
		return relay.hello(cfg, cfg.address(local, port, secure != nil), pin)
	}
	others := newMesh(relay, cfg.Logger)
	defer others.keep(nil)
	m.siblings = func(s *relayv1.Siblings) {
		if err := others.set(s); err != nil {
			cfg.Logger.Warn("the relay does not reach the others of its region", "err", err)
		}
	}
	m.joined = func(w *relayv1.Welcome) {
		here.Store(true)
		cfg.Logger.Info("relay joined", "relay", w.GetName(), "region", w.GetRegion())
		if cfg.Joined != nil {
			cfg.Joined(w.GetName(), w.GetRegion())
		}
	}
	member, leave := context.WithCancel(ctx)
	kept := make(chan error, 1)
	go func() { kept <- m.keep(member) }()
	running := 1
	if watched != nil {
		running++
	}
	select {
	case err = <-served:
		running--
		leave()
		<-kept
	case err = <-kept: // left, or thrown out
		leave()
		if err == nil && here.Load() {
			cfg.Logger.Info("left the map; nodes move elsewhere", "for", cfg.DrainFor)
			select {
			case <-time.After(cfg.DrainFor):
			case err = <-served:
				running--
			}
		}
	}
	err = errors.Join(err, relay.Close(), web.Close())
	if watched != nil {
		err = errors.Join(err, watched.Close())
	}
	for range running {
		err = errors.Join(err, ignoreClosed(<-served))
	}
	return err
}

// ignoreClosed drops what a server ends with that was closed.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// tls returns how to serve HTTPS, nil for not at all, and the pin that nodes need.
func (cfg ServeConfig) tls() (*tls.Config, string, error) {
	if cfg.PlainHTTP {
		return nil, "", nil
	}
	if cfg.ACME != nil {
		return cfg.ACME.tls(cfg.DataDir, cfg.HTTPClient), "", nil
	}
	// The upgrade to DERP is one of HTTP/1.1.
	conf := &tls.Config{GetCertificate: cfg.Certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if cfg.Certificate != nil {
		return conf, "", nil
	}
	own, pin, err := selfSigned(cfg.DataDir)
	if err != nil {
		return nil, "", err
	}
	conf.Certificates = []tls.Certificate{own}
	return conf, pin, nil
}

// address is where nodes reach the relay.
func (cfg ServeConfig) address(local netip.Addr, port int, secure bool) string {
	if cfg.Address != nil {
		return cfg.Address.String()
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(local.Unmap().String(), strconv.Itoa(port))}
	if secure {
		u.Scheme = "https"
		if port == httpsPort {
			u.Host = local.Unmap().String()
			if local.Is6() && !local.Is4In6() {
				u.Host = "[" + u.Host + "]"
			}
		}
	}
	return u.String()
}

func (r *Relay) hello(cfg ServeConfig, address, pin string) *relayv1.Hello {
	h := &relayv1.Hello{Protocol: protocolVersion, Version: cfg.Version, Url: address, CertName: pin, PublicKey: r.publicKey()}
	for _, p := range r.STUNPorts() {
		h.StunPorts = append(h.StunPorts, uint32(p))
	}
	if p := r.UDPRelay(); p.Port != 0 {
		h.Udp = &relayv1.UDPRelay{Port: uint32(p.Port), Key: p.Key[:], DiscoKey: p.DiscoKey[:]}
	}
	if r.udp.turn != nil {
		h.TurnSecret = r.udp.turn.Secret
	}
	return h
}

// load is how much the relay has to do.
func (r *Relay) load() *relayv1.Load {
	c := r.board.counts
	load := &relayv1.Load{Clients: uint32(r.clients()), Bytes: uint64(c.receivedBytes.Load()), DroppedPackets: uint64(max(0, c.receivedPackets.Load()-c.sentPackets.Load()))}
	if r.passes != nil {
		load.Bytes += uint64(r.passes.counts.bytes.Load())
		load.DroppedPackets += uint64(r.passes.counts.dropped.Load())
	}
	return load
}

// clients is how many clients DERP has, but for the relay itself.
func (r *Relay) clients() int64 {
	n := r.board.counts.clients.Load()
	if r.passes != nil {
		n--
	}
	return max(0, n)
}

// front serves the relay, and says whether it is well.
func (r *Relay) front(here *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", r.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !here.Load() {
			http.Error(w, "not joined yet", http.StatusServiceUnavailable)
			return
		}
		// The asker is gone if this fails.
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}

// serveMetrics serves the relay's counts, if they are wanted.
func (cfg ServeConfig) serveMetrics(ctx context.Context, r *Relay, served chan<- error) (*http.Server, error) {
	if cfg.MetricsListen == "" {
		return nil, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.MetricsListen)
	if err != nil {
		return nil, fmt.Errorf("derp: listen for metrics on %s: %w", cfg.MetricsListen, err)
	}
	counts := prometheus.NewRegistry()
	counts.MustRegister(r.Metrics(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(counts, promhttp.HandlerOpts{}))
	web := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader}
	go func() { served <- web.Serve(l) }()
	return web, nil
}
