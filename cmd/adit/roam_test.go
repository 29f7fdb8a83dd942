package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// reaches is how long a change of a node's network may take to be known to its
// peers.
const reaches = 200 * time.Millisecond

// median returns the middle one of the measurements and logs them all.
func median(t *testing.T, what string, took []time.Duration) time.Duration {
	t.Helper()
	slices.Sort(took)
	m := took[len(took)/2]
	t.Logf("%s: median %v of %v", what, m.Round(time.Millisecond/10), took)
	return m
}

// named waits until the agent has been told an address, by whomever.
func (d *deployment) named(addr string) {
	d.t.Helper()
	d.agentProc.waitLine("addresses with "+addr, func(line string) bool {
		return strings.Contains(line, "names addresses") && strings.Contains(line, addr)
	})
}

func TestChangesOfTheNetworkReachThePeer(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json", "-v")
	ping.pingedVia("direct")

	t.Run("a new address", func(t *testing.T) {
		var took []time.Duration
		for _, addr := range []string{"192.168.1.71", "192.168.1.72", "192.168.1.73", "192.168.1.74", "192.168.1.75"} {
			start := time.Now()
			if _, err := d.laptop.Output(t.Context(), "ip", "addr", "add", addr+"/24", "dev", "eth0"); err != nil {
				t.Fatal(err)
			}
			d.named(addr)
			took = append(took, time.Since(start))
		}
		if m := median(t, "a new address", took); m > reaches {
			t.Errorf("the peer knew after %v", m)
		}
	})
	t.Run("another network", func(t *testing.T) {
		var took []time.Duration
		hotel := d.lab.Router("hotel", netlab.PortRestricted)
		for _, to := range []*netlab.Router{hotel, d.home, hotel, d.home, hotel} {
			d.laptop.MoveTo(to)
			start := time.Now()
			d.named(to.Addr().String())
			took = append(took, time.Since(start))
			ping.pingedVia("direct")
		}
		if m := median(t, "another network", took); m > reaches {
			t.Errorf("the peer knew after %v", m)
		}
	})
}

// A laptop's lid is closed and opened again.
func TestWakingIsNoticedAtOnce(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json", "-v")
	ping.pingedVia("direct")
	if err := ping.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(5 * time.Second) // the length of the sleep is what is tested
	start := time.Now()
	if err := ping.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	ping.waitFor("slept for")
	noticed := time.Since(start)
	ping.pingedVia("direct")
	t.Logf("noticed after %v, direct after %v", noticed, time.Since(start))
	if noticed > reaches {
		t.Errorf("noticed after %v", noticed)
	}
}

// The address stays and the way is another, as when a VPN comes up: connections
// that do not survive that are dialled anew at once, not when they time out.
func TestConnectionsThatDoNotSurviveAChangeAreDialledAnew(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	heal := d.office.Fault(netlab.OnlyTCP(1)) // nothing gets through
	start := time.Now()
	if _, err := d.devbox.Output(t.Context(), "ip", "route", "add", "203.0.113.0/24", "via", "192.168.2.1"); err != nil {
		t.Fatal(err)
	}
	ended := map[string]time.Duration{"control session ended": 0, "relay connection ended": 0}
	for range ended {
		line := d.agentProc.waitLine("connections ended", func(line string) bool {
			return strings.Contains(line, "control session ended") || strings.Contains(line, "relay connection ended")
		})
		for what := range ended {
			if strings.Contains(line, what) && ended[what] == 0 {
				ended[what] = time.Since(start)
			}
		}
	}
	heal()
	d.agentProc.waitFor("joined the mesh")
	t.Logf("%v; joined again %v after the start", ended, time.Since(start))
	for what, took := range ended {
		if took == 0 || took > 2*time.Second {
			t.Errorf("%s after %v", what, took)
		}
	}
}
