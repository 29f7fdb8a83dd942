package bench

import (
	"testing"
	"time"

	"github.com/aditmesh/adit/bench/role"
	"github.com/aditmesh/adit/pkg/netlab"
)

// subject is something to compare.
type subject struct {
	name string
	what string // for the report
	// start brings both ends up, and waits until they have settled on a path.
	// What it starts ends with the test.
	start func(t testing.TB, l *lab) *pair
	// meet has two ends meet once; nil where there is nothing to measure.
	meet func(testing.TB, *lab, [2]*netlab.Host) meeting
}

// subjects are all, in the order of the report.
func subjects() []subject {
	return []subject{
		{"raw", "TCP over the cable, no tunnel", startRaw, nil},
		{"wireguard-go", "upstream, StdNetBind, TUN", startWireGuard, nil},
		{"tailscaled", "TUN", tailPair{}.start, meetTailscale},
		{"adit-tun", "ours, TUN", aditPair{tun: true}.start, nil},
		{"tsnet", "stack in the process", startTSNet, nil},
		{"adit-netstack", "ours, stack in the process", aditPair{}.start, meetAdit},
		{"tailscaled-derp", "TUN, UDP blocked, over derper", tailPair{blocked: true}.start, nil},
		{"adit-udp-relay", "ours, TUN, UDP to the embedded relay alone", aditPair{tun: true, apart: true}.start, nil},
		{"adit-derp", "ours, TUN, UDP blocked, over the embedded relay", aditPair{tun: true, relayOnly: true}.start, nil},
	}
}

// pair is the two ends of a tunnel. The first sends.
type pair struct {
	ends [2]*end
	addr string // of the second, in the tunnel
	// path says how packets travel, as each end sees it; nil where there is only
	// one way. want is what it must say for the measurement to count.
	path   func() [2]string
	want   string
	trials uint64 // of UDP, so far
}

// end is one end of a tunnel.
type end struct {
	host    *netlab.Host
	pids    []int  // of the tunnel
	traffic *child // what runs on its network stack
	// kernel says that that is the host's own, so that any program will do.
	kernel bool
}

// kernelEnd is the end of a tunnel that is an interface of the host.
func kernelEnd(t testing.TB, l *lab, h *netlab.Host, pids ...int) *end {
	t.Helper()
	c := startChild(t, h, l.ends, "kernel", role.Config{})
	c.ready()
	return &end{host: h, pids: pids, traffic: c, kernel: true}
}

func startRaw(t testing.TB, l *lab) *pair {
	p := &pair{addr: l.right.Addr().String()}
	for i, h := range l.near() {
		p.ends[i] = kernelEnd(t, l, h)
	}
	return p
}

// onPath reports whether both ends use the path that is to be measured.
func (p *pair) onPath() bool {
	if p.path == nil {
		return true
	}
	got := p.path()
	return got[0] == p.want && got[1] == p.want
}

// check ends the test if the path is not the one that is measured.
func (p *pair) check(t testing.TB) {
	t.Helper()
	if !p.onPath() {
		t.Fatalf("measured by %v, want %s", p.path(), p.want)
	}
}

// settle polls other processes until something is so.
func settle(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}
