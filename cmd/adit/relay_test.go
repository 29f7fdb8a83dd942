package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// relay makes a relay, runs it on a host, and waits until it has joined.
func (d *deployment) relay(h *netlab.Host, name, region string) *program {
	d.t.Helper()
	var made sdk.CreatedRelay
	d.json(&made, "relays", "create", name, "--region", region, "-o", "json")
	return d.runRelay(h, name, made.Token)
}

func (d *deployment) runRelay(h *netlab.Host, name, token string) *program {
	d.t.Helper()
	p := d.start(h, name+".log", "relay", "-v", "--url", d.urlFor(h), "--token", token, "--data-dir", filepath.Join(d.dir, name))
	p.waitFor("ready in region")
	return p
}

// relays returns the names of the relays that the coordinator has in its map.
func (d *deployment) relays() []string {
	d.t.Helper()
	var list []sdk.Relay
	d.json(&list, "relays", "list", "-o", "json")
	var names []string
	for _, r := range list {
		if r.Connected {
			names = append(names, r.Name)
		}
	}
	return names
}

// A relay whose process stands still keeps its connections and says nothing. Within
// 10 s it is out of the map, and the deployment's health says what is the matter; when
// it goes on, all is well again.
func TestARelayThatStandsStillIsAFinding(t *testing.T) {
	d := newDeployment(t)
	d.laptop = d.lab.Host("laptop")
	frankfurt := d.lab.Host("frankfurt")
	d.startServer()
	d.login()
	fra := d.relay(frankfurt, "fra", "eu")
	const within = 10 * time.Second
	health := func() (about []string) {
		t.Helper()
		var h sdk.Health
		out, _ := d.adit("health", "-o", "json") // that something is wrong makes it fail, too
		if err := json.Unmarshal([]byte(out), &h); err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		for _, f := range h.Findings {
			if strings.HasPrefix(f.Code, "relay-") {
				about = append(about, f.Code)
			}
		}
		return about
	}
	inMap := func() bool { return slices.Contains(d.relays(), "fra") }
	if got := health(); len(got) != 0 || !inMap() {
		t.Fatalf("before: %v, in the map: %v", got, inMap())
	}
	stood := time.Now()
	if err := fra.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var found, out time.Duration
	for found == 0 || out == 0 {
		if found == 0 && len(health()) > 0 {
			found = time.Since(stood)
		}
		if out == 0 && !inMap() {
			out = time.Since(stood)
		}
		if time.Since(stood) > within {
			t.Fatalf("not within %v: a finding after %v, out of the map after %v", within, found, out)
		}
	}
	t.Logf("a finding after %v, out of the map after %v", found.Round(100*time.Millisecond), out.Round(100*time.Millisecond))
	if err := fra.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d.eventually("all is well again", func() bool { return inMap() && len(health()) == 0 })
}

// Two nodes that have no direct path, and a server without a relay of its own: what
// they say to each other goes by a relay that joined, and by another when it ends.
func TestRelaysJoinCarryAndLeave(t *testing.T) {
	d := newDeployment(t, "--relay=false")
	d.home, d.office = d.lab.Router("home", netlab.PortRestricted), d.lab.Router("office", netlab.PortRestricted)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv4Only()
	frankfurt, tokyo := d.lab.Host("frankfurt"), d.lab.Host("tokyo")
	d.startServer()
	d.login()
	fra := d.relay(frankfurt, "fra", "eu")
	d.home.Fault(netlab.BlockUDP())
	d.agentToken = d.create("dev")
	d.startAgent()

	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	session.echo("by Frankfurt")
	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json")
	if line := ping.pingedVia("derp"); line.Path.Region != "eu" {
		t.Errorf("the path is %+v", line.Path)
	}

	// Nodes say how far they have it.
	d.eventually("the relay's latency is known", func() bool {
		var list []sdk.Relay
		d.json(&list, "relays", "list", "-o", "json")
		return len(list) == 1 && list[0].Seen != nil && list[0].Seen.RTTMs > 0 && list[0].Seen.Home > 0
	})

	var asia sdk.CreatedRelay
	d.json(&asia, "relays", "create", "nrt", "--region", "asia", "--region-name", "Asia", "-o", "json")
	nrt := d.runRelay(tokyo, "nrt", asia.Token)
	if got := d.relays(); !slices.Equal(got, []string{"fra", "nrt"}) {
		t.Errorf("there are %v", got)
	}

	// The policy says where the workspace is to be reached, and nodes follow.
	policy := func(text string) {
		t.Helper()
		set := d.command(d.laptop, "policy", "set", "-")
		set.Stdin = strings.NewReader(text)
		if out, err := d.output(d.laptop, set); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, region := range []string{"asia", "eu"} {
		wish := map[string]string{"asia": "asia", "eu": "-asia"}[region]
		began := time.Now()
		policy("relays:\n- {workspaces: [alice/dev], regions: [" + wish + "]}\n")
		ping.waitLine("an echo via "+region, func(line string) bool {
			return strings.Contains(line, `"region":"`+region+`"`) && !strings.Contains(line, `"error"`)
		})
		t.Logf("reached in %s %v after the policy said %s", region, time.Since(began).Round(time.Millisecond), wish)
	}
	policy("links: []\n")

	// A relay that dies takes nothing with it.
	died := time.Now()
	fra.kill()
	ping.waitLine("an echo via asia", func(text string) bool {
		return strings.Contains(text, `"region":"asia"`) && strings.Contains(text, `"rtt_ms"`) && !strings.Contains(text, `"error"`)
	})
	t.Logf("echoes by another relay %v after the death of the first", time.Since(died).Round(time.Millisecond))
	session.echo("by Tokyo")

	// Its token is good for one relay at a time.
	thief := d.start(frankfurt, "thief.log", "relay", "--url", d.urlFor(frankfurt), "--token", asia.Token, "--data-dir", filepath.Join(d.dir, "thief"))
	thief.waitFor("another relay runs with this token")
	if err := thief.wait(); err == nil {
		t.Error("a second relay with the same token ended well")
	}

	// One that is asked to end has its nodes move first.
	fra = d.relay(frankfurt, "fra-2", "eu")
	nrt.stop()
	session.echo("by Frankfurt again")

	if out, err := d.adit("relays", "delete", "fra-2"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fra.waitFor("the relay was deleted")
	if err := fra.wait(); err == nil {
		t.Error("a relay that was deleted ended well")
	}
	if got := d.relays(); len(got) != 0 {
		t.Errorf("there are %v", got)
	}
}

// Nodes that are connected to two relays of a region reach each other, and one of the
// relays may end.
func TestTheRelaysOfARegionAreOne(t *testing.T) {
	d := newDeployment(t, "--relay=false")
	d.home, d.office = d.lab.Router("home", netlab.PortRestricted), d.lab.Router("office", netlab.PortRestricted)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv4Only()
	d.startServer()
	d.login()
	relays := make(map[string]*program)
	for _, name := range []string{"fra-1", "fra-2"} {
		h := d.lab.Host(name)
		relays["https://"+h.Addr().String()] = d.relay(h, name, "eu")
	}
	d.home.Fault(netlab.BlockUDP())
	d.agentToken = d.create("dev")
	d.startAgent()

	// Each ping is a node of its own, and takes one relay or the other.
	seen := make(map[string]bool)
	for range 16 {
		out, err := d.output(d.laptop, d.command(d.laptop, "ping", "dev", "-c", "1", "-o", "json"))
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for at := range relays {
			seen[at] = seen[at] || strings.Contains(out, `"addr":"`+at+`"`)
		}
		if len(seen) == 2 && !slices.Contains(slices.Collect(maps.Values(seen)), false) {
			break
		}
	}
	for at, was := range seen {
		if !was {
			t.Errorf("nobody took %s", at)
		}
	}

	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	session.echo("by one of two")
	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json")
	line := ping.pingedVia("derp")
	died := time.Now()
	relays[line.Path.Addr].kill()
	ping.waitLine("an echo via the other relay", func(text string) bool {
		return !strings.Contains(text, line.Path.Addr) && strings.Contains(text, `"region":"eu"`) && strings.Contains(text, `"rtt_ms"`) && !strings.Contains(text, `"error"`)
	})
	t.Logf("the path was by the other relay of the region %v after the death of one", time.Since(died).Round(time.Millisecond))
	session.echo("by the other")
}

// A map none of whose relays can be reached takes nothing from peers with a direct path.
// Whoever has none is told why, the agent's log says it once, and when a relay can be
// reached all is as it was meant to be.
func TestAMapWithoutAReachableRelay(t *testing.T) {
	d := newDeployment(t, "--relay=false")
	d.laptop, d.devbox = d.lab.Host("laptop"), d.lab.Host("devbox")
	strict := d.lab.Host("strict")
	for _, h := range []*netlab.Host{d.laptop, d.devbox, strict} {
		h.IPv4Only()
	}
	strict.Fault(netlab.BlockUDP())
	frankfurt := d.lab.Host("frankfurt")
	d.startServer()
	d.login()
	d.relay(frankfurt, "fra", "eu")
	reach := frankfurt.Fault(netlab.ResetOn("\x16\x03\x01")) // whatever begins as TLS does
	d.agentToken = d.create("dev")
	d.agentProc = d.start(d.devbox, "agent.log", "agent", "--url", d.url(), "--token", d.agentToken)
	d.agentProc.waitFor("no relay can be reached")
	d.agentProc.waitFor("agent ready")
	d.agentIs("connected")

	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	session.echo("directly")
	if out, err := d.adit("ping", "dev", "--until-direct", "--timeout", "10s"); err != nil {
		t.Errorf("no direct path without a relay: %v\n%s", err, out)
	}
	out, err := d.output(strict, d.command(strict, "ping", "dev", "-c", "1"))
	if err == nil || !strings.Contains(err.Error(), "no-relay (") || !strings.Contains(err.Error(), "nor does any relay answer over UDP") {
		t.Errorf("a ping that has no way: %v\n%s", err, out)
	}
	if out, err = d.output(strict, d.command(strict, "netcheck")); err != nil || !strings.Contains(out, "no relay can be reached in any region") || strings.Contains(out, "UDP is blocked") {
		t.Errorf("netcheck there: %v\n%s", err, out)
	}
	var r networkReport
	d.json(&r, "netcheck", "-o", "json")
	if !strings.HasPrefix(r.NoRelay, "no relay can be reached") || len(r.Relays) != 1 || r.CaptivePortal != nil && r.CaptivePortal.Found {
		t.Errorf("netcheck: %+v", r)
	}
	if out, err := d.adit("netcheck"); err != nil || !strings.Contains(out, "no relay can be reached in any region, of 1: peers without a direct path are out of reach") {
		t.Errorf("netcheck: %v\n%s", err, out)
	}

	ping := d.start(strict, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json")
	reach()
	began := time.Now()
	ping.pingedVia("derp")
	t.Logf("echoes by the relay %v after it could be reached", time.Since(began).Round(time.Millisecond))
	d.agentProc.waitFor("a relay can be reached again")
	session.echo("still directly")
	r = networkReport{}
	d.json(&r, "netcheck", "-o", "json")
	if r.NoRelay != "" || r.HomeRelay != "eu" {
		t.Errorf("netcheck: %+v", r)
	}
}

// Browsers have STUN and TURN of every relay, with credentials of their own.
func TestRelaysServeBrowsers(t *testing.T) {
	d := newDeployment(t)
	d.laptop = d.lab.Host("laptop")
	d.startServer()
	d.login()
	frankfurt := d.lab.Host("frankfurt")
	d.relay(frankfurt, "fra", "eu")
	var ice sdk.ICE
	if err := d.get(&ice, "/api/v1/ice-servers"); err != nil {
		t.Fatal(err)
	}
	relays := make(map[string]bool)
	for _, s := range ice.Servers {
		if len(s.URLs) != 1 || !strings.HasPrefix(s.URLs[0], "turn:") {
			continue
		}
		relays[s.Region] = true
		host, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(s.URLs[0], "turn:"), "?transport=udp"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := d.output(d.laptop, d.program(d.laptop, "turnutils_stunclient", "-p", port, host))
		if err != nil || !strings.Contains(out, "UDP reflexive addr: "+d.laptop.Addr().String()) {
			t.Errorf("STUN of %s: %v: %s", s.Region, err, out)
		}
		out, err = d.output(d.laptop, d.program(d.laptop, "turnutils_uclient", "-u", s.Username, "-w", s.Credential, "-p", port, "-y", "-c", "-n", "20", host))
		if err != nil || !strings.Contains(out, "Total lost packets 0 ") {
			t.Errorf("TURN of %s: %v: %s", s.Region, err, out)
		}
	}
	if !relays["eu"] || !relays["default"] {
		t.Errorf("of TURN there is %v: %+v", relays, ice)
	}
}

// Two networks that no direct path leads between: DERP carries at first, a UDP relay
// from then on, and that of another region when it dies. Neither a shell nor a stream
// notices.
func TestHardNATsMeetOnAUDPRelay(t *testing.T) {
	d := newDeployment(t, "--relay=false")
	d.home, d.office = d.lab.Router("home", netlab.Hard), d.lab.Router("office", netlab.Hard)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv4Only()
	d.devbox.IPv4Only()
	frankfurt, tokyo := d.lab.Host("frankfurt"), d.lab.Host("tokyo")
	d.startServer()
	d.login()
	fra := d.relay(frankfurt, "fra", "eu")
	d.agentToken = d.create("dev")
	d.startAgent()

	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	session.echo("by whatever there is")
	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "20ms", "-o", "json", "-v")
	line := ping.pingedVia("udp-relay")
	if want := netip.AddrPortFrom(frankfurt.Addr(), udpRelayPort).String(); line.Path.Addr != want || line.Path.Region != "eu" ||
		line.Verdict == nil || line.Verdict.Code != "hard-nat-both" {
		t.Errorf("path %+v, verdict %+v; want one by %s", line.Path, line.Verdict, want)
	}
	session.echo("by Frankfurt")
	d.linked("dev", "both ends tell the coordinator of the UDP relay", func(c sdk.Connection) bool {
		return c.ByClient != nil && c.ByAgent != nil && c.ByClient.Path == "udp-relay" && c.ByAgent.Path == "udp-relay"
	})
	nrt := d.relay(tokyo, "nrt", "asia")
	defer nrt.stop()
	streamed := make(chan int, 1)
	go func() {
		out, err := d.adit("ssh", "dev", "--", fmt.Sprintf("for i in $(seq %d); do head -c 1000000 /dev/zero; sleep 0.02; done", megabytes))
		if err != nil {
			t.Error(err)
		}
		streamed <- len(out)
	}()
	for range 20 { // the stream is on its way by then
		ping.pingedVia("udp-relay")
	}

	died := time.Now()
	fra.kill()
	ping.waitLine("an echo by Tokyo", func(text string) bool {
		return strings.Contains(text, `"region":"asia"`) && strings.Contains(text, `"rtt_ms"`)
	})
	t.Logf("echoes by another relay %v after the death of the first", time.Since(died).Round(time.Millisecond))
	session.echo("by Tokyo")
	ping.waitLine("an echo by Tokyo's UDP relay", func(text string) bool {
		return strings.Contains(text, `"region":"asia"`) && strings.Contains(text, `"kind":"udp-relay"`) && strings.Contains(text, `"rtt_ms"`)
	})
	session.echo("by Tokyo over UDP")
	if n := <-streamed; n != megabytes*1_000_000 {
		t.Errorf("%d bytes of the stream came, want %d MB", n, megabytes)
	}
}

// megabytes is how long a stream is whose relay dies on the way: some seconds.
const megabytes = 100
