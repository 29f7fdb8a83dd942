package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where named namespaces are mounted; iproute2 looks there,
// too.
const namespaceDir = "/var/run/netns"

// prefix begins the names of the lab's namespaces.
const prefix = "adit-"

// labs numbers the labs of this process.
var labs atomic.Int32

// Lab is an internet and what is attached to it. It is for one test's
// goroutine; its hosts may be used from several.
type Lab struct {
	t        testing.TB
	prefix   string
	internet *segment
	lans     int
}

// New makes a lab that ends with the test.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("netlab: needs root for network namespaces")
	}
	if err := onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) }); err != nil {
		t.Skipf("netlab: no network namespaces here: %v", err)
	}
	sweep(t)
	began, err := began(os.Getpid())
	if err != nil {
		t.Fatalf("netlab: %v", err)
	}
	l := &Lab{t: t, prefix: fmt.Sprintf("%s%d-%s-%d-", prefix, os.Getpid(), began, labs.Add(1))}
	node := l.node("internet")
	node.forward()
	l.internet = node.segment(netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:0:1::/64"))
	return l
}

// must ends the test if the lab itself could not do something.
func (l *Lab) must(err error, format string, args ...any) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("netlab: %s: %v", fmt.Sprintf(format, args...), err)
	}
}

// Host attaches a host to the internet.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	return l.internet.host(name)
}

// Router attaches a router to the internet, and a network of its own behind
// it.
func (l *Lab) Router(name string, nat NAT) *Router {
	l.t.Helper()
	return l.internet.router(name, nat)
}

// segment is an Ethernet: a bridge in a node's namespace, with that node as
// the gateway.
type segment struct {
	gateway *Node
	v4, v6  netip.Prefix
	next    byte // last byte of the next host's address
	members []*Node
}

// firstHost is the last byte of the first host's address.
const firstHost = 10

// segment makes a bridge in the node's namespace, with the node as its
// gateway.
func (n *Node) segment(v4, v6 netip.Prefix) *segment {
	n.lab.t.Helper()
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "lan"}}
	n.lab.must(n.net.LinkAdd(bridge), "add bridge on %s", n.name)
	s := &segment{gateway: n, v4: v4, v6: v6, next: firstHost}
	for _, p := range []netip.Prefix{v4, v6} {
		n.addAddr(bridge, withHost(p, 1))
	}
	n.lab.must(n.net.LinkSetUp(bridge), "bridge of %s", n.name)
	return s
}

// withHost returns the address of p whose last byte is host, with p's length.
func withHost(p netip.Prefix, host byte) netip.Prefix {
	raw := p.Addr().AsSlice()
	raw[len(raw)-1] = host
	addr, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(addr, p.Bits())
}

// attach plugs a node into the segment and gives it addresses and a route.
func (s *segment) attach(n *Node, name string) {
	lab := s.gateway.lab
	lab.t.Helper()
	link, port, addrs := s.plug(n, name)
	for _, addr := range addrs {
		gw := withHost(s.v6, 1).Addr()
		if addr.Is4() {
			n.v4, gw = addr, withHost(s.v4, 1).Addr()
		} else {
			n.v6 = addr
		}
		lab.must(n.net.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw.AsSlice()}), "default route of %s", n.name)
	}
	if old := n.uplink; old != nil {
		old.members = slices.DeleteFunc(old.members, func(m *Node) bool { return m == n })
	}
	n.uplink, n.port, n.uplinkIndex = s, port, link.Attrs().Index
	s.members = append(s.members, n)
}

// plug lays a cable from a node to the segment, and gives its near end addresses.
func (s *segment) plug(n *Node, name string) (link netlink.Link, port string, addrs []netip.Addr) {
	lab := s.gateway.lab
	lab.t.Helper()
	port = "p" + strconv.Itoa(int(s.next))
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: port}, PeerName: name, PeerNamespace: netlink.NsFd(n.ns),
	}
	lab.must(s.gateway.net.LinkAdd(veth), "cable from %s to %s", n.name, s.gateway.name)
	bridge, err := s.gateway.net.LinkByName("lan")
	lab.must(err, "bridge of %s", s.gateway.name)
	lab.must(s.gateway.net.LinkSetMaster(veth, bridge), "plug %s in", n.name)
	lab.must(s.gateway.net.LinkSetUp(veth), "plug %s in", n.name)

	link, err = n.net.LinkByName(name)
	lab.must(err, "interface of %s", n.name)
	for _, p := range []netip.Prefix{s.v4, s.v6} {
		if n.hasFamily(p) {
			addr := withHost(p, s.next)
			n.addAddr(link, addr)
			addrs = append(addrs, addr.Addr())
		}
	}
	s.next++
	lab.must(n.net.LinkSetUp(link), "interface of %s", n.name)
	lab.must(errors.Join(waitUp(s.gateway.net, port), waitUp(n.net, name)), "cable of %s", n.name)
	return link, port, addrs
}

// waitUp waits until the kernel has noticed that both ends of a cable are up.
// Until then it drops packets, and the next ARP request is a second away.
func waitUp(h *netlink.Handle, name string) error {
	const patience, step = 5 * time.Second, time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(step) {
		link, err := h.LinkByName(name)
		if err != nil || link.Attrs().OperState == netlink.OperUp {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is %v after %v", name, link.Attrs().OperState, patience)
		}
	}
}

// host adds a host to the segment.
func (s *segment) host(name string) *Host {
	n := s.gateway.lab.node(name)
	s.attach(n, "eth0")
	return &Host{Node: n}
}

// sweep removes the namespaces of processes that are gone, and what still runs
// in them.
func sweep(t testing.TB) {
	names, err := filepath.Glob(filepath.Join(namespaceDir, prefix+"*"))
	if err != nil {
		t.Fatalf("netlab: %v", err)
	}
	for _, path := range names {
		name := filepath.Base(path)
		owner := strings.SplitN(strings.TrimPrefix(name, prefix), "-", 3)
		pid, err := strconv.Atoi(owner[0])
		if err != nil || len(owner) < 3 {
			continue
		}
		if start, err := began(pid); err == nil && start == owner[1] {
			continue
		}
		killInside(path)
		err = netns.DeleteNamed(name)
		if errors.Is(err, syscall.EINVAL) { // no namespace any more, only its file
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Logf("netlab: remove stale namespace %s: %v", name, err)
		}
	}
}

// began says when a process began, in the kernel's ticks: a process id alone
// may be that of a process long gone.
func began(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The name, in brackets, may contain anything; the start is the 20th field
	// after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	return fields[19], nil
}

// killInside ends the processes whose network namespace is mounted at path.
func killInside(path string) {
	want, err := os.Stat(path)
	if err != nil {
		return
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/ns/net") // the pattern is good
	for _, p := range procs {
		info, err := os.Stat(p)
		if err != nil || !os.SameFile(info, want) {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(p, "/")[2]); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone by now
		}
	}
}
