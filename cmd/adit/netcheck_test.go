package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/captive"
	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/tunnel"
)

func TestNetcheckReportsTheNetwork(t *testing.T) {
	d := deploy(t, netlab.Hard, netlab.PortRestricted)
	check := func(args ...string) (r tunnel.Network) {
		t.Helper()
		d.json(&r, append([]string{"netcheck", "-o", "json"}, args...)...)
		return r
	}
	varies := func(r tunnel.Network) string {
		switch {
		case r.MappingVaries == nil:
			return "unknown"
		case *r.MappingVaries:
			return "yes"
		default:
			return "no"
		}
	}

	r := check()
	if !r.UDP.IPv4 || r.UDP.IPv6 || r.NAT != "hard" || varies(r) != "yes" {
		t.Errorf("behind a hard NAT: UDP %+v, NAT %s, mapping varies: %s", r.UDP, r.NAT, varies(r))
	}
	if r.PortMapping == nil || *r.PortMapping != (tunnel.PortMapping{}) {
		t.Errorf("port mapping %+v, want none", r.PortMapping)
	}
	if len(r.Relays) != 1 || !r.Relays[0].Home || r.Relays[0].RTTMs <= 0 || r.Relays[0].Error != "" || r.HomeRelay != r.Relays[0].Region || r.HomeWhy != "the only region" {
		t.Errorf("home %q, %q, relays %+v", r.HomeRelay, r.HomeWhy, r.Relays)
	}
	if len(r.Endpoints) < 3 || !strings.HasPrefix(r.Endpoints[0], d.laptop.Addr().String()+":") ||
		!strings.HasPrefix(r.Endpoints[1], d.home.Addr().String()+":") {
		t.Errorf("endpoints %v, want the laptop's own, then two of its router", r.Endpoints)
	}
	if r := check("--no-port-mapping"); r.PortMapping != nil {
		t.Errorf("port mapping %+v though it is off", r.PortMapping)
	}

	public, stop := d.home.MapPorts(netlab.UPnP | netlab.NATPMP)
	d.eventually("all services are found", func() bool { // the answer of one may be late
		m := check().PortMapping
		return m.UPnP && m.NATPMP && m.PCP
	})
	r = check()
	if m := r.PortMapping; !strings.HasPrefix(m.External, public.String()+":") || r.Endpoints[1] != m.External {
		t.Errorf("port mapping %+v, endpoints %v", m, r.Endpoints)
	}
	out, err := d.adit("netcheck")
	t.Logf("\n%s", out)
	if err != nil || !strings.Contains(out, "; "+public.String()) || !strings.Contains(out, "each destination sees another port") {
		t.Errorf("the table: %v", err)
	}
	stop()

	d.laptop.MoveTo(d.office)
	if r := check(); r.NAT != "easy" || varies(r) != "no" {
		t.Errorf("behind an easy NAT: %s, mapping varies: %s", r.NAT, varies(r))
	}
	d.laptop.Fault(netlab.BlockUDP())
	if r := check(); r.UDP.IPv4 || r.NAT != "udp-blocked" || varies(r) != "unknown" {
		t.Errorf("without UDP: %+v, NAT %s, mapping varies: %s", r.UDP, r.NAT, varies(r))
	}
}

// A router that answers for the coordinator until one has signed in is told from one
// that does not, and where to sign in.
func TestNetcheckFindsACaptivePortal(t *testing.T) {
	d := newDeployment(t)
	d.home = d.lab.Router("hotel", netlab.Hard)
	d.laptop = d.home.Host("laptop")
	d.laptop.IPv4Only()
	d.startServer()
	d.login()
	var r networkReport
	d.json(&r, "netcheck", "-o", "json")
	if p := r.CaptivePortal; p == nil || *p != (captive.Portal{}) {
		t.Errorf("without a portal: %+v", p)
	}

	const signIn = "http://hotel.example/welcome"
	var l net.Listener
	if err := d.home.Do(func() (err error) {
		l, err = net.Listen("tcp4", ":7080")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	portal := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.RedirectHandler(signIn, http.StatusFound)}}
	portal.Start()
	defer portal.Close()
	leave := d.home.Hijack(d.server.Addr())
	out, err := d.adit("netcheck", "-o", "json")
	if err == nil || !strings.Contains(err.Error(), "open "+signIn+" in a browser") {
		t.Errorf("behind a portal: %v", err)
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if want := (captive.Portal{Found: true, For: d.url() + captive.Path, SignIn: signIn}); r.CaptivePortal == nil || *r.CaptivePortal != want {
		t.Errorf("behind a portal: %s", out)
	}
	if out, err := d.adit("netcheck"); err == nil || out != "" {
		t.Errorf("behind a portal, for people: %v %s", err, out)
	}

	leave() // who has signed in
	out, err = d.adit("netcheck")
	if err != nil || !regexp.MustCompile(`Captive portal +no\n`).MatchString(out) {
		t.Errorf("after the sign-in: %v\n%s", err, out)
	}
}

func TestNetcheckNeedsASession(t *testing.T) {
	var out, errOut strings.Builder
	t.Setenv("ADIT_URL", "")
	t.Setenv("ADIT_TOKEN", "")
	code := run(t.Context(), streams{in: strings.NewReader(""), out: &out, err: &errOut}, []string{"--config-dir", t.TempDir(), "netcheck"})
	if code != exitFailed || !strings.Contains(errOut.String(), "adit login") {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
}
