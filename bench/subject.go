package bench

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
)

// lab is the network that everything is measured on:
//
//	left ── router ── internet ── right
//	                     └── server
type lab struct {
	*netlab.Lab
	left, right *netlab.Host
	serverHost  *netlab.Host
	server      *aditServer
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{Lab: netlab.New(t)}
	l.serverHost, l.right = l.Host("server"), l.Host("right")
	l.left = l.Router("router", netlab.NoNAT).Host("left")
	for _, h := range []*netlab.Host{l.left, l.right, l.serverHost} {
		h.IPv4Only() // the same headers for everybody
	}
	l.server = startServer(t, l.serverHost, buildAdit(t))
	return l
}

// near are the two hosts with nothing but a router between them.
func (l *lab) near() [2]*netlab.Host { return [2]*netlab.Host{l.left, l.right} }

// buildAdit builds the binary under test, in its own module.
func buildAdit(t testing.TB) string {
	t.Helper()
	return build(t, "..", "./cmd/adit")
}

// build builds a program in the module at dir.
func build(t testing.TB, dir, pkg string) string {
	t.Helper()
	out, err := os.MkdirTemp("", "adit-bench-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(out) })
	cmd := exec.Command("go", "build", "-o", out+"/", pkg)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v: %s", pkg, err, said)
	}
	return filepath.Join(out, path.Base(pkg))
}

// subject is something to compare.
type subject struct {
	name string
	// what it is, for the report.
	what string
	// start brings both ends up, on two hosts of the lab, and waits until they
	// have settled on a path. What it starts ends with the test.
	start func(t testing.TB, l *lab) *pair
	// skip names measurements that say nothing about the subject.
	skip []metric
}

// pair is the two ends of a tunnel. The first sends.
type pair struct {
	ends [2]*end
	addr string // of the second, in the tunnel
	// assertPath fails the test unless packets take the path that is measured;
	// nil where there is only one.
	assertPath func(testing.TB)
	trials     uint64 // of UDP, so far
}

// end is one end of a tunnel.
type end struct {
	host    *netlab.Host
	pids    []int  // of the tunnel
	traffic *child // what runs on its network stack
	// kernel says that that is the host's own, so that any program will do.
	kernel bool
}

func kernelEnd(t testing.TB, h *netlab.Host, pids ...int) *end {
	t.Helper()
	c := startChild(t, h, "kernel", struct{}{})
	c.read(new(ready))
	return &end{host: h, pids: pids, traffic: c, kernel: true}
}

func startRaw(t testing.TB, l *lab) *pair {
	p := &pair{addr: l.right.Addr().String()}
	for i, h := range l.near() {
		p.ends[i] = kernelEnd(t, h)
	}
	return p
}

// subjects are all, in the order of the report.
func subjects() []subject {
	return []subject{
		{name: "raw", what: "the cable, no tunnel", start: startRaw},
		{name: "wireguard-go", what: "upstream, StdNetBind, TUN", start: startWireGuard},
		{name: "adit-tun", what: "ours, TUN", start: aditPair{tun: true}.start},
		{name: "adit-netstack", what: "ours, stack in the process", start: aditPair{}.start},
		{name: "adit-relay", what: "ours, TUN, over the embedded relay only", start: aditPair{tun: true, relayOnly: true}.start},
	}
}
