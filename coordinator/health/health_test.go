package health

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// database answers as the test says.
type database struct {
	err    error
	skew   time.Duration
	slow   time.Duration
	pool   store.PoolStats
	queued []store.QueuedJobs
	pools  []store.Pool
	agents map[store.AgentState]int64
	relays []store.Relay
	asked  int
}

func (d *database) Ping(context.Context) error { time.Sleep(d.slow); return d.err }
func (d *database) Now(context.Context) (time.Time, error) {
	d.asked++
	time.Sleep(d.slow)
	return time.Now().Add(d.skew), d.err
}
func (d *database) PoolStats() store.PoolStats {
	if d.pool.Max == 0 {
		return store.PoolStats{Max: 16}
	}
	return d.pool
}
func (d *database) QueuedByTags(context.Context) ([]store.QueuedJobs, error) { return d.queued, d.err }
func (d *database) FailingPools(context.Context) ([]store.Pool, error)       { return d.pools, d.err }
func (d *database) AgentCounts(context.Context) (map[store.AgentState]int64, error) {
	return d.agents, d.err
}
func (d *database) LostAgents(context.Context) ([]store.LostAgent, error) {
	return []store.LostAgent{{Owner: "alice", Workspace: "dev", Agent: "main"}}, d.err
}

func (d *database) LiveRelays(context.Context) ([]store.Relay, error) { return d.relays, d.err }

func codes(list []sdk.Finding) []string {
	var all []string
	for _, f := range list {
		all = append(all, f.Severity+" "+f.Code)
	}
	return all
}

// says compares findings with "severity code" of each, and asks that each says
// what shows it and what to do.
func says(t *testing.T, name string, list []sdk.Finding, want ...string) {
	t.Helper()
	if got := codes(list); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q: %+v", name, got, want, list)
	}
	for _, f := range list {
		if f.Evidence == "" || f.Fix == "" || strings.Contains(f.Evidence, "%!") || strings.Contains(f.Evidence, "hunter2") {
			t.Errorf("%s: evidence %q, fix %q", name, f.Evidence, f.Fix)
		}
	}
}

func TestFindingsOfDatabaseJobsAndAgents(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for name, c := range map[string]struct {
		database
		want []string
	}{
		"all well":               {database{}, nil},
		"away":                   {database{err: errors.New("no route")}, []string{"error " + DatabaseUnreachable}},
		"slow":                   {database{slow: 2 * slowDatabase}, []string{"warning " + DatabaseSlow}},
		"busy":                   {database{pool: store.PoolStats{Max: 4, Busy: 4}}, []string{"warning " + DatabaseBusy}},
		"skew":                   {database{skew: -10 * time.Second}, []string{"warning " + ClockSkew}},
		"an hour":                {database{skew: time.Hour}, []string{"error " + ClockSkew}},
		"nobody has the tags":    {database{queued: []store.QueuedJobs{{Tags: map[string]string{"gpu": "yes"}, Jobs: 2, Oldest: ago(time.Minute)}}}, []string{"error " + NoProvisioner}},
		"nobody yet":             {database{queued: []store.QueuedJobs{{Jobs: 2, Oldest: ago(time.Second)}}}, nil},
		"one cannot be prepared": {database{pools: []store.Pool{{Template: "t", Failures: 1, Problem: "its build failed"}}}, []string{"warning " + PreparedFail}},
		"none can be, for long":  {database{pools: []store.Pool{{Template: "t", Failures: 5, Problem: "its build failed"}}}, []string{"error " + PreparedFail}},
		"all are at work":        {database{queued: []store.QueuedJobs{{Jobs: 2, Oldest: ago(5 * time.Minute), Served: true}}}, []string{"warning " + JobsWaiting}},
		"soon":                   {database{queued: []store.QueuedJobs{{Jobs: 2, Oldest: ago(time.Minute), Served: true}}}, nil},
		"a relay went":           {database{relays: []store.Relay{{Name: "fra", LastSeenAt: new(ago(time.Hour))}}}, []string{"warning " + RelayGone}},
		"a relay is here":        {database{relays: []store.Relay{{Name: "one", Region: store.RelayRegion{Code: "default"}, LastSeenAt: new(ago(time.Hour))}}}, nil},
		"a relay left the map, and the database has yet to be told": {database{relays: []store.Relay{{Name: "fra", Connected: true, LastSeenAt: new(ago(time.Hour))}}}, []string{"warning " + RelayGone}},
		"a relay never came": {database{relays: []store.Relay{{Name: "fra"}}}, nil},
		"some lost":          {database{agents: map[store.AgentState]int64{store.AgentTimeout: 2, store.AgentConnected: 3}}, []string{"warning " + AgentsLost}},
		"most lost":          {database{agents: map[store.AgentState]int64{store.AgentTimeout: 20, store.AgentConnected: 3}}, []string{"error " + AgentsLost}},
	} {
		h := New(Config{Store: &c.database, Breakers: breaker.NewRegistry(nil), Relays: relayMap("http://192.0.2.1", true)}).Check(t.Context())
		h.Findings = slices.DeleteFunc(h.Findings, func(f sdk.Finding) bool { return f.Code == RelayUnreachable })
		says(t, name, h.Findings, c.want...)
	}
}

func relayMap(u string, embedded bool) func() *meshv1.Relays {
	if embedded {
		u = ""
	}
	m := &meshv1.Relays{Regions: []*meshv1.Region{{Code: "default", Relays: []*meshv1.Relay{{Name: "one", Url: u}}}}}
	return func() *meshv1.Relays { return m }
}

// A relay that serves HTTP may carry nothing all the same.
func TestFindingsOfProbedRelays(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"/generate_204": http.StatusNoContent, "/derp": http.StatusSwitchingProtocols}[r.URL.Path])
	}))
	t.Cleanup(web.Close)
	days := func(n int) time.Time { return time.Now().Add(time.Duration(n)*24*time.Hour + time.Hour) }
	for name, c := range map[string]struct {
		probe RelayProbe
		want  []string
	}{
		"all well":            {RelayProbe{CertificateEnds: days(60)}, nil},
		"no certificate":      {RelayProbe{}, nil},
		"carries nothing":     {RelayProbe{Err: errors.New("nothing came")}, []string{"error " + RelayCarriesNothing}},
		"no UDP relay":        {RelayProbe{UDP: errors.New("no answer")}, []string{"warning " + RelayUDPSilent}},
		"a firewall":          {RelayProbe{Silent: []uint16{3478, 3479}}, []string{"warning " + RelaySTUNSilent}},
		"not renewed":         {RelayProbe{CertificateEnds: days(3)}, []string{"warning " + CertificateExpiring}},
		"ended":               {RelayProbe{Err: errors.New("x"), Untrusted: errors.New("expired"), CertificateEnds: days(-2)}, []string{"error " + CertificateExpired}},
		"another's":           {RelayProbe{Err: errors.New("x"), Untrusted: errors.New("another name"), CertificateEnds: days(60)}, []string{"error " + CertificateMismatch}},
		"all of it, at worst": {RelayProbe{errors.New("x"), []uint16{1}, errors.New("y"), days(1), nil}, []string{"error " + RelayCarriesNothing, "warning " + CertificateExpiring, "warning " + RelaySTUNSilent, "warning " + RelayUDPSilent}},
	} {
		h := New(Config{
			Store: &database{}, Breakers: breaker.NewRegistry(nil), Relays: relayMap(web.URL, false),
			ProbeRelay: func(context.Context, *url.URL, *meshv1.Relay) RelayProbe { return c.probe },
		}).Check(t.Context())
		says(t, name, h.Findings, c.want...)
	}
}

func TestAThousandWhoAskCostOneCheck(t *testing.T) {
	db := &database{}
	c := New(Config{Store: db, Breakers: breaker.NewRegistry(nil), Relays: func() *meshv1.Relays { return nil }})
	for range 1000 {
		if h := c.Check(t.Context()); h.Status != sdk.HealthWarning || h.CheckedAt.IsZero() {
			t.Fatalf("%+v, want a warning that there is no relay", h)
		}
	}
	if db.asked != 1 {
		t.Errorf("the database was asked %d times", db.asked)
	}
}

// Nobody is told for seconds that all is well because it was, when a relay has left.
func TestAReportIsNotFromBeforeARelayLeft(t *testing.T) {
	relay := store.Relay{Name: "one", Region: store.RelayRegion{Code: "default"}, Connected: true, LastSeenAt: new(time.Now())}
	now := relayMap("", true)()
	c := New(Config{Store: &database{relays: []store.Relay{relay}}, Breakers: breaker.NewRegistry(nil), Relays: func() *meshv1.Relays { return now }})
	says(t, "here", c.Check(t.Context()).Findings)
	now = &meshv1.Relays{}
	says(t, "gone", c.Check(t.Context()).Findings, "warning "+NoRelay, "warning "+RelayGone)
}

// Three relays that take connections and say nothing cost as much time as one.
func TestRelaysThatHangAreProbedAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for probes that hang")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	region := &meshv1.Region{Code: "eu"}
	for _, name := range []string{"a", "b", "c"} {
		region.Relays = append(region.Relays, &meshv1.Relay{Name: name, Url: "http://" + l.Addr().String()})
	}
	c := New(Config{Store: &database{}, Breakers: breaker.NewRegistry(nil), Relays: func() *meshv1.Relays { return &meshv1.Relays{Regions: []*meshv1.Region{region}} }})
	began := time.Now()
	says(t, "three that hang", c.Check(t.Context()).Findings, "error "+RelayUnreachable, "error "+RelayUnreachable, "error "+RelayUnreachable)
	if took := time.Since(began); took > probeTimeout+time.Second {
		t.Errorf("took %v", took)
	}
}

// coordinator answers what the probes ask of a coordinator with a relay.
func coordinator() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/buildinfo", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"version":"1","has_users":true}`))
	})
	mux.Handle(EchoPath, Echo())
	mux.HandleFunc("/generate_204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/derp", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "DERP" {
			http.Error(w, "DERP requires an upgrade", http.StatusUpgradeRequired)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
		_ = rw.Flush()
	})
	return mux
}

func serve(t *testing.T, h http.Handler) *url.URL {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// names has the transport find every host at one address, so that a URL of a
// test need not be a loopback's.
func names(addr string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
}

func TestFindingsOfTheAccessURLAndItsRelay(t *testing.T) {
	real := serve(t, coordinator())
	bare := httputil.NewSingleHostReverseProxy(real)
	bare.ModifyResponse = func(r *http.Response) error {
		if r.StatusCode == http.StatusSwitchingProtocols {
			return errors.New("what is an upgrade?")
		}
		return nil
	}
	bare.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	stripping := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(real)
		r.Out.Header.Del("Upgrade")
		r.Out.Header.Del("Connection")
	}}
	tls := httptest.NewTLSServer(coordinator())
	t.Cleanup(tls.Close)
	redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://u:hunter2@elsewhere.example/", http.StatusFound)
	})
	away := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	noUpgrade := []string{"error " + WebSocketBroken, "warning " + RelayUpgradeBroken}
	noRelay := "error " + RelayUnreachable
	for name, c := range map[string]struct {
		addr, scheme string
		want         []string
	}{
		"itself":                   {real.Host, "http", nil},
		"proxy that passes all":    {serve(t, httputil.NewSingleHostReverseProxy(real)).Host, "http", nil},
		"proxy that breaks it":     {serve(t, bare).Host, "http", noUpgrade},
		"proxy that strips it":     {serve(t, stripping).Host, "http", noUpgrade},
		"something else":           {serve(t, http.NotFoundHandler()).Host, "http", []string{"error " + AccessURLWrong, noRelay}},
		"a redirect":               {serve(t, redirect).Host, "http", []string{"error " + AccessURLWrong, noRelay}},
		"its database is away":     {serve(t, away).Host, "http", []string{noRelay}},
		"nobody":                   {nobody(t), "http", []string{"error " + AccessURLUnreachable, noRelay}},
		"a certificate of no name": {tls.Listener.Addr().String(), "https", []string{"error " + AccessURLUntrusted, noRelay}},
	} {
		transport := names(c.addr)
		h := New(Config{
			Store: &database{}, Breakers: breaker.NewRegistry(nil), Relays: relayMap("", true), Transport: transport,
			AccessURL: &url.URL{Scheme: c.scheme, Host: "adit.example.com:8443", User: url.UserPassword("u", "hunter2")},
		}).Check(t.Context())
		says(t, name, h.Findings, c.want...)
		transport.CloseIdleConnections()
	}
	// Only this machine gets to a loopback.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	says(t, "loopback", Prober{transport, breaker.NewRegistry(nil)}.Reach(t.Context(), real), "warning "+AccessURLLocal)
}

// nobody is an address where nobody listens, and nobody else will while the test runs.
func nobody(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(at.(*unix.SockaddrInet4).Addr), uint16(at.(*unix.SockaddrInet4).Port)).String()
}

// A neighbour that takes the connection and says nothing costs no more than a
// probe, and after some times not even that.
func TestANeighbourThatHangsIsAFindingAndThenLeftAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for probes that hang")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	breakers := breaker.NewRegistry(nil)
	p := Prober{names(l.Addr().String()), breakers}
	u := &url.URL{Scheme: "http", Host: "adit.example.com"}
	began := time.Now()
	says(t, "hangs", p.Reach(t.Context(), u), "error "+AccessURLUnreachable)
	if took := time.Since(began); took > probeTimeout+2*time.Second {
		t.Errorf("took %v", took)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for range 10 {
		p.Reach(short, u)
	}
	began = time.Now()
	list := p.Reach(t.Context(), u)
	says(t, "left alone", list, "error "+AccessURLUnreachable)
	if took := time.Since(began); took > time.Second || !strings.Contains(list[0].Evidence, "left alone") {
		t.Errorf("took %v: %s", took, list[0].Evidence)
	}
}

func TestFindingsOfACertificate(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		from, to time.Duration
		access   string
		want     []string
	}{
		"good":           {-time.Hour, 90 * 24 * time.Hour, "https://adit.example.com", nil},
		"no access URL":  {-time.Hour, 90 * 24 * time.Hour, "", nil},
		"plain HTTP":     {-time.Hour, 90 * 24 * time.Hour, "http://other.example.com", nil},
		"another name":   {-time.Hour, 90 * 24 * time.Hour, "https://other.example.com", []string{"error " + CertificateMismatch}},
		"ends in a week": {-time.Hour, 7 * 24 * time.Hour, "", []string{"warning " + CertificateExpiring}},
		"ended":          {-2 * time.Hour, -time.Hour, "", []string{"error " + CertificateExpired}},
		"not yet":        {time.Hour, 90 * 24 * time.Hour, "", []string{"error " + CertificateExpired}},
	} {
		var access *url.URL
		if c.access != "" {
			access, _ = url.Parse(c.access)
		}
		says(t, name, Certificate(certificate(t, now.Add(c.from), now.Add(c.to)), access, now), c.want...)
	}
	says(t, "none", Certificate(nil, nil, now))
}

func certificate(t *testing.T, from, to time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: from, NotAfter: to, DNSNames: []string{"adit.example.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestFindingsOfADisk(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		free, total uint64
		want        []string
	}{
		"half empty":           {50 * gib, 100 * gib, nil},
		"little of a huge one": {100 * gib, 10000 * gib, nil},
		"half of a small one":  {2 * gib, 4 * gib, nil},
		"nearly full":          {3 * gib, 100 * gib, []string{"warning " + DiskNearlyFull}},
		"full":                 {gib / 8, 100 * gib, []string{"error " + DiskNearlyFull}},
	} {
		says(t, name, fullness("/data", c.free, c.total), c.want...)
	}
	if free, total, err := room(t.TempDir()); err == nil && (free == 0 || total < free) {
		t.Errorf("%d of %d", free, total)
	}
}

func TestEchoIsBounded(t *testing.T) {
	u := serve(t, coordinator())
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	p := Prober{transport, breaker.NewRegistry(nil)}
	if err := p.echo(t.Context(), serve(t, coordinator())); err != nil { // one whose slots are its own
		t.Fatal(err)
	}
	for n := range maxEchoes + 1 {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("GET " + EchoPath + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
		status := make([]byte, 12)
		if _, err := conn.Read(status); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "HTTP/1.1 503", false: "HTTP/1.1 101"}[n == maxEchoes]; string(status) != want {
			t.Errorf("visitor %d: %s, want %s", n, status, want)
		}
	}
}
