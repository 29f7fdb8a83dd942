package derp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// probe probes what answers at a server, for some seconds.
func probe(t *testing.T, p *Prober, web *httptest.Server, stun ...uint16) (Probed, error) {
	t.Helper()
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	target := Target{URL: u, STUNPorts: stun}
	if web.Certificate() != nil {
		sum := sha256.Sum256(web.Certificate().Raw)
		target.CertName = "sha256-raw:" + hex.EncodeToString(sum[:])
	}
	return p.Probe(ctx, target)
}

func TestAProbeSaysWhatARelayDoes(t *testing.T) {
	p := NewProber()
	r, err := Start(Config{
		Admit: func(_ context.Context, key [32]byte) (bool, error) { return key == p.Key(), nil },
		STUN:  []string{"127.0.0.1:0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(r.Handler())
	t.Cleanup(func() { r.Close(); web.Close() })
	deaf, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	silent := deaf.LocalAddr().(*net.UDPAddr).AddrPort().Port()

	got, err := probe(t, p, web, r.STUNPorts()[0], silent)
	if err != nil {
		t.Fatal(err)
	}
	if got.Carried <= 0 || !got.CertificateEnds.Equal(web.Certificate().NotAfter) || !slices.Equal(got.Silent, []uint16{silent}) {
		t.Errorf("probed %+v", got)
	}
	if _, err := probe(t, NewProber(), web); err == nil {
		t.Error("a prober that is not admitted found all well")
	}
}

// A UDP relay carries a datagram between two ends, and counts it. One that UDP does not
// reach is found out while the rest is well.
func TestAProbeSaysWhetherTheUDPRelayCarries(t *testing.T) {
	p := NewProber()
	r, at := start(t, Config{Admit: admitAll, UDPRelay: "127.0.0.1:0"})
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	deaf, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	for deadline := time.Now().Add(10 * time.Second); r.board.counts.clients.Load() == 0; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the UDP relay does not join DERP")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	target := Target{URL: u, UDP: r.UDPRelay()}
	if got, err := p.Probe(ctx, target); err != nil || got.UDP != nil || got.Carried <= 0 {
		t.Errorf("probed %+v: %v", got, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) { // a socket may be heard later than another
		if packets, bytes := r.passes.counts.packets.Load(), r.passes.counts.bytes.Load(); packets == 1 && bytes > 0 && r.passes.open() == 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("it counts %d packets, %d bytes and %d sessions", packets, bytes, r.passes.open())
		}
	}
	target.UDP.Port = deaf.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	if got, err := p.Probe(ctx, target); err != nil || !errors.Is(got.UDP, errSilentUDP) {
		t.Errorf("where UDP does not arrive: %+v: %v", got, err)
	}
}

// A relay may let clients in and carry nothing: it hangs, or its clients do.
func TestAProbeNoticesARelayThatCarriesNothing(t *testing.T) {
	p := NewProber()
	r, err := Start(Config{Admit: admitAll})
	if err != nil {
		t.Fatal(err)
	}
	hung := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/derp") {
			select {
			case <-hung:
			case <-req.Context().Done():
			}
			return
		}
		r.Handler().ServeHTTP(w, req)
	}))
	t.Cleanup(func() { close(hung); r.Close(); web.Close() })
	began := time.Now()
	_, err = probe(t, p, web)
	if err == nil {
		t.Error("all is well")
	}
	if errors.Is(err, ErrNotCarried) {
		t.Errorf("it was let in: %v", err)
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Of a certificate that nodes do not trust it is told why, and when it ends or ended.
func TestAProbeSaysThatACertificateIsNotTrusted(t *testing.T) {
	for name, c := range map[string]struct {
		ends time.Time
		want string
	}{
		"ended":     {time.Now().Add(-time.Hour), "expired"},
		"by nobody": {time.Now().Add(time.Hour), "unknown authority"},
	} {
		r, err := Start(Config{Admit: admitAll})
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewUnstartedServer(r.Handler())
		web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // that it is not trusted
		pair, _ := certificateUntil(t, "localhost", c.ends)
		web.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		web.StartTLS()
		u := &url.URL{Scheme: "https", Host: net.JoinHostPort("localhost", strconv.Itoa(web.Listener.Addr().(*net.TCPAddr).Port))}
		got, err := NewProber().Probe(t.Context(), Target{URL: u})
		if err == nil || got.Untrusted == nil || !strings.Contains(got.Untrusted.Error(), c.want) || got.CertificateEnds.Sub(c.ends).Abs() > time.Second {
			t.Errorf("%s: probed %+v: %v", name, got, err)
		}
		r.Close()
		web.Close()
	}
}
