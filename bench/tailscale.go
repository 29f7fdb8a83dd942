package bench

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn/ipnstate"

	"github.com/aditmesh/adit/bench/role"
	"github.com/aditmesh/adit/pkg/netlab"
)

const (
	controlPort = 7081
	derperPort  = 8443
)

// tailnet is Tailscale's programs, built from its module, and a control server
// and derper that run.
type tailnet struct {
	tailscaled, tailscale, program string
	controlURL                     string
}

// tailscaleNet starts the control server and derper when they are first needed.
// They belong to the lab's test, t.
func (l *lab) startTailnet(t testing.TB) {
	t.Helper()
	host := l.Host("derper")
	dir := tempDir(t)
	ip := host.Addr()
	selfSigned(t, dir, ip)
	relay := netip.AddrPortFrom(ip, derperPort)
	start(t, host, nil, build(t, ".", module+"derper"), "-a", relay.String(), "-http-port", "-1", "-stun-port", "3478",
		"-certmode", "manual", "-certdir", dir, "-hostname", ip.String(), "-c", filepath.Join(dir, "derper.json"))
	l.startControl(t, host, relay)
}

// module has Tailscale's programs.
const module = "tailscale.com/cmd/"

// startControl starts a control server for nodes that have one relay.
func (l *lab) startControl(t testing.TB, host *netlab.Host, relay netip.AddrPort) {
	t.Helper()
	n := &tailnet{
		tailscaled: build(t, ".", module+"tailscaled"), tailscale: build(t, ".", module+"tailscale"), program: build(t, ".", "./tailnet"),
	}
	control := startChild(t, host, n.program, "control", role.Config{Listen: netip.AddrPortFrom(host.Addr(), controlPort), Relay: relay})
	n.controlURL = control.ready().Addr
	l.tailnet = n
}

// daemon is a running tailscaled.
type daemon struct {
	pid    int
	client *local.Client
	addr   string // its own, in the tailnet
}

// startDaemon starts tailscaled on a host, with an interface, and joins.
func startDaemon(t testing.TB, l *lab, h *netlab.Host) *daemon {
	t.Helper()
	dir := tempDir(t)
	socket := filepath.Join(dir, "socket")
	d := &daemon{client: &local.Client{Socket: socket, UseSocketOnly: true}}
	d.pid = start(t, h, []string{"TS_NO_LOGS_NO_SUPPORT=true"}, l.tailnet.tailscaled,
		"--tun=tailscale0", "--state="+filepath.Join(dir, "state"), "--statedir="+dir, "--socket="+socket, "--port=0", "--no-logs-no-support")
	settle(t, "tailscaled's socket", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := h.Output(ctx, l.tailnet.tailscale, "--socket="+socket, "up", "--login-server="+l.tailnet.controlURL,
		"--netfilter-mode=off", "--accept-dns=false", "--hostname="+h.Name()); err != nil {
		t.Fatal(err, out)
	}
	settle(t, "tailscaled at its relay", func() bool {
		s, err := d.client.Status(ctx)
		if err != nil || s.Self == nil || s.Self.Relay == "" || len(s.TailscaleIPs) == 0 {
			return false
		}
		d.addr = s.TailscaleIPs[0].String()
		return true
	})
	return d
}

// peer returns what the daemon knows of the peer with an address, or nil.
func (d *daemon) peer(addr string) *ipnstate.PeerStatus {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := d.client.Status(ctx)
	if err != nil {
		return nil
	}
	for _, p := range s.Peer {
		for _, ip := range p.TailscaleIPs {
			if ip.String() == addr {
				return p
			}
		}
	}
	return nil
}

// path says how packets to a peer travel.
func (d *daemon) path(addr string) string {
	switch p := d.peer(addr); {
	case p == nil:
		return "none"
	case p.CurAddr != "":
		return "direct"
	case p.Relay != "":
		return "derp"
	}
	return "none"
}

// startDaemons starts two, and waits until they know of each other.
func startDaemons(t testing.TB, l *lab, hosts [2]*netlab.Host) [2]*daemon {
	t.Helper()
	both := [2]*daemon{startDaemon(t, l, hosts[0]), startDaemon(t, l, hosts[1])}
	for i, d := range both {
		far := both[1-i]
		settle(t, "both in each other's map", func() bool { p := d.peer(far.addr); return p != nil && p.Relay != "" })
	}
	return both
}

// tailPair is how two tailscaled are to meet.
type tailPair struct{ blocked bool }

func (a tailPair) start(t testing.TB, l *lab) *pair {
	p := &pair{want: "direct"}
	if a.blocked {
		p.want = "derp"
		t.Cleanup(l.router.Fault(netlab.BlockUDP()))
	}
	hosts := l.near()
	both := startDaemons(t, l, hosts)
	p.addr = both[1].addr
	p.path = func() [2]string {
		return [2]string{both[0].path(both[1].addr), both[1].path(both[0].addr)}
	}
	for i, d := range both {
		p.ends[i] = kernelEnd(t, l, hosts[i], d.pid)
	}
	settle(t, "tailscaled by "+p.want, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := hosts[0].Output(ctx, "ping", "-n", "-c", "1", "-W", "1", p.addr)
		return err == nil && p.onPath()
	})
	return p
}

// startTSNet joins two hosts by tsnet.
func startTSNet(t testing.TB, l *lab) *pair {
	p := &pair{want: "direct"}
	var both [2]*child
	var addrs [2]string
	for i, h := range l.near() {
		both[i] = startChild(t, h, l.tailnet.program, "tsnet", role.Config{URL: l.tailnet.controlURL, Dir: tempDir(t), Name: h.Name()})
		addrs[i] = both[i].ready().Addr
		p.ends[i] = &end{host: h, pids: []int{both[i].pid}, traffic: both[i]}
	}
	p.addr = addrs[1]
	p.path = func() (paths [2]string) {
		for i, c := range both {
			paths[i] = c.ask(role.Request{Do: "path", To: addrs[1-i]}).Path
		}
		return paths
	}
	settle(t, "tsnet by "+p.want, func() bool {
		both[0].ask(role.Request{Do: "echo", To: p.addr, Count: 1, Interval: time.Millisecond})
		return p.onPath()
	})
	return p
}
