package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// verdictsAtOnce is how many networks are looked at together: each has a ping and a
// status of its own.
const verdictsAtOnce = 4

// Each reason for which a path may not be direct, brought about, and told by ping, by
// status and by the API.
func TestEveryVerdictIsReachedAndTold(t *testing.T) {
	d := newDeployment(t, "--listen", "[::]:7080")
	d.office = d.lab.Router("office", netlab.PortRestricted)
	d.laptop = d.lab.Host("laptop")
	d.startServer()
	d.login()
	strict := d.lab.Router("strict", netlab.Hard)
	modern := d.lab.Router("modern", netlab.PortRestricted).Host("modern-box")
	modern.IPv6Only()
	boxes := map[string]*netlab.Host{
		"dev": d.office.Host("devbox"), "hard": strict.Host("strict-box"), "six": modern, "dead": d.office.Host("deadbox"),
	}
	agents := map[string]*program{}

	type network struct {
		home   *netlab.Router
		laptop *netlab.Host
	}
	networks := map[string]network{}
	cases := []struct {
		code, workspace string
		nat             netlab.NAT
		// ails makes the network bad, before anything runs there.
		ails  func(t *testing.T, home *netlab.Router, laptop *netlab.Host)
		flags []string
		// then happens once the link is there.
		then func()
		// fleeting says that status, which waits for what stays, does not tell.
		fleeting bool
	}{
		{code: "connecting", workspace: "dev", nat: netlab.PortRestricted, fleeting: true, ails: faulty(netlab.BlockUDPWith(d.office.Addr()))},
		{code: "relay-forced", workspace: "dev", nat: netlab.PortRestricted, flags: []string{"--relay-only"}},
		{code: "udp-blocked", workspace: "dev", nat: netlab.PortRestricted, ails: faulty(netlab.BlockUDP())},
		{code: "ip-versions", workspace: "six", nat: netlab.PortRestricted},
		{code: "mtu", workspace: "dev", nat: netlab.PortRestricted, ails: faulty(netlab.DropLargeUDP(600))},
		{code: "data-blocked", workspace: "dev", nat: netlab.PortRestricted, ails: faulty(netlab.DropWireGuard())},
		{code: "hard-nat-both", workspace: "hard", nat: netlab.Hard},
		{code: "hard-nat", workspace: "dev", nat: netlab.Hard, flags: []string{"--no-port-guessing"}},
		{code: "peer-firewall", workspace: "dev", nat: netlab.PortRestricted, ails: faulty(netlab.BlockUDPWith(d.office.Addr()))},
		{code: "no-relay", workspace: "hard", nat: netlab.Hard, ails: faulty(netlab.ResetOn("GET /derp"))},
		{
			code: "vpn-in-the-way", workspace: "dev", nat: netlab.PortRestricted,
			ails: func(t *testing.T, _ *netlab.Router, laptop *netlab.Host) { swallowingVPN(t, laptop, d.office) },
		},
		{code: "peer-offline", workspace: "dead", nat: netlab.PortRestricted, then: func() { agents["dead"].kill() }},
	}
	// The internet is complete before anybody is on it.
	for _, tt := range cases {
		home := d.lab.Router(tt.code+"-r", tt.nat)
		laptop := home.Host(tt.code + "-h")
		laptop.IPv4Only()
		networks[tt.code] = network{home, laptop}
	}
	for name, h := range boxes {
		agents[name] = d.start(h, name+".log", "agent", "--url", d.urlFor(h), "--token", d.create(name), "-v")
	}
	for name, a := range agents {
		a.waitFor("agent ready")
		d.eventually("the agent of "+name+" counts as connected", func() bool {
			var w sdk.Workspace
			d.json(&w, "show", name, "-o", "json")
			return w.Agents[0].State == "connected"
		})
	}

	turns := make(chan struct{}, verdictsAtOnce)
	for _, tt := range cases {
		home, laptop := networks[tt.code].home, networks[tt.code].laptop
		t.Run(tt.code, func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			d := d.in(t)
			if tt.ails != nil {
				tt.ails(t, home, laptop)
			}
			ping := d.start(laptop, "ping.log", append([]string{"ping", tt.workspace, "-i", "50ms", "-o", "json"}, tt.flags...)...)
			if tt.then != nil {
				ping.pingedVia("direct")
				tt.then()
			}
			var line pingLine
			ping.waitLine(tt.code, func(text string) bool {
				line = pingLine{}
				return json.Unmarshal([]byte(text), &line) == nil && line.Verdict != nil && line.Verdict.Code == tt.code
			})
			t.Logf("%s: %s. To fix: %s.", line.Path.Kind, line.Verdict.Evidence, line.Verdict.Fix)
			d.linked(tt.workspace, tt.code+" in the API", func(c sdk.Connection) bool {
				return c.ByClient.Verdict != nil && c.ByClient.Verdict.Code == tt.code && c.ByClient.Verdict.Evidence != "" && c.ByClient.Verdict.Fix != ""
			})
			ping.stop()
			if tt.fleeting {
				return
			}
			out, err := d.output(laptop, d.command(laptop, append([]string{"status", "-o", "json"}, tt.flags...)...))
			var s statusReport
			if err == nil {
				err = json.Unmarshal([]byte(out), &s)
			}
			if err != nil {
				t.Fatalf("status: %v: %s", err, out)
			}
			for _, p := range s.Peers {
				if strings.Contains(p.Name, "."+tt.workspace+".") && (p.Verdict == nil || p.Verdict.Code != tt.code) {
					t.Errorf("status tells of a path %+v with verdict %+v", p.Path, p.Verdict)
				}
			}
		})
	}
}

// faulty gives the network's router a fault.
func faulty(f netlab.Fault) func(*testing.T, *netlab.Router, *netlab.Host) {
	return func(_ *testing.T, home *netlab.Router, _ *netlab.Host) { home.Fault(f) }
}

// swallowingVPN sets up an interface of a tunnel on a host, by which packets to
// another network leave, for nowhere.
func swallowingVPN(t *testing.T, h *netlab.Host, to *netlab.Router) {
	var dev tun.Device
	if err := h.Do(func() (err error) {
		dev, err = tun.CreateTUN("work0", 1420)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		bufs, sizes := make([][]byte, dev.BatchSize()), make([]int, dev.BatchSize())
		for i := range bufs {
			bufs[i] = make([]byte, 64<<10)
		}
		for {
			if _, err := dev.Read(bufs, sizes, 16); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		dev.Close()
		reader.Wait()
	})
	for _, args := range [][]string{
		{"addr", "add", "10.200.0.2/24", "dev", "work0"},
		{"link", "set", "work0", "up"},
		{"route", "add", fmt.Sprintf("%v/32", to.Addr()), "dev", "work0"},
	} {
		if _, err := h.Output(t.Context(), "ip", args...); err != nil {
			t.Fatal(err)
		}
	}
}
