package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Node is a machine of the lab: a host or a router.
type Node struct {
	lab  *Lab
	name string
	ns   netns.NsHandle
	net  *netlink.Handle

	v4, v6      netip.Addr
	only        int // AF_INET or AF_INET6 if it speaks only one; else 0
	uplink      *segment
	uplinkIndex int    // the near end of its cable
	port        string // the far end of its cable, in uplink's gateway

	mu     sync.Mutex
	faults []*Fault // guarded by mu
}

// Host is a machine that programs run on.
type Host struct{ *Node }

// node makes a namespace with loopback up.
func (l *Lab) node(name string) *Node {
	l.t.Helper()
	full := l.prefix + name
	n := &Node{lab: l, name: name}
	l.must(onThread(func() error {
		// NewNamed enters the namespace; onThread throws the thread away.
		ns, err := netns.NewNamed(full)
		n.ns = ns
		return err
	}), "make namespace %s", full)
	var err error
	n.net, err = netlink.NewHandleAt(n.ns)
	l.must(err, "enter namespace %s", full)
	l.t.Cleanup(func() {
		killInside(filepath.Join(namespaceDir, full))
		n.net.Close()
		if err := errors.Join(n.ns.Close(), netns.DeleteNamed(full)); err != nil {
			l.t.Errorf("netlab: remove namespace %s: %v", full, err)
		}
	})
	// Nobody else is there to ask whether an address is taken, and asking would
	// take seconds.
	l.must(n.sysctl("0", "ipv6/conf/all/accept_dad", "ipv6/conf/default/accept_dad", "ipv6/conf/default/dad_transmits"),
		"IPv6 on %s", name)
	lo, err := n.net.LinkByName("lo")
	l.must(err, "loopback of %s", name)
	l.must(n.net.LinkSetUp(lo), "loopback of %s", name)
	return n
}

// onThread runs f on a thread of its own, which ends with it: whatever
// namespace f leaves the thread in is nobody's trouble.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		defer close(done)
		done <- f()
	}()
	err, ok := <-done
	if !ok {
		return errors.New("netlab: the function left by Goexit, as t.Fatal does")
	}
	return err
}

// Do runs f with the node's network. Sockets that f opens stay on it; goroutines
// that f starts do not.
func (n *Node) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.ns); err != nil {
			return fmt.Errorf("netlab: enter %s: %w", n.name, err)
		}
		return f()
	})
}

// Name returns what the node was called.
func (n *Node) Name() string { return n.name }

// Addr returns the node's IPv4 address, towards the internet if it is a
// router.
func (n *Node) Addr() netip.Addr { return n.v4 }

// Addr6 returns the node's IPv6 address.
func (n *Node) Addr6() netip.Addr { return n.v6 }

// Command prepares a program to run on the host. Start it with [Node.Start],
// or all at once with Output.
func (h *Host) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	// What the program started ends with it; nobody waits for what holds on to
	// its output.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// Start starts cmd on the node. It is killed with the lab at the latest.
func (n *Node) Start(cmd *exec.Cmd) error {
	return n.Do(cmd.Start)
}

// Output runs a program on the host and returns what it printed. Its error
// carries what it printed to standard error.
func (h *Host) Output(ctx context.Context, program string, args ...string) (string, error) {
	cmd := h.Command(ctx, program, args...)
	var out []byte
	err := h.Do(func() (err error) {
		out, err = cmd.Output()
		return err
	})
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s on %s: %w: %s", filepath.Base(program), h.name, err, exit.Stderr)
	}
	return string(out), err
}

// IPv4Only takes the node's IPv6 away.
func (n *Node) IPv4Only() {
	n.lab.t.Helper()
	n.lab.must(n.sysctl("1", "ipv6/conf/all/disable_ipv6"), "IPv6 of %s", n.name)
	n.v6, n.only = netip.Addr{}, unix.AF_INET
}

// IPv6Only takes the node's IPv4 away.
func (n *Node) IPv6Only() {
	n.lab.t.Helper()
	links, err := n.net.LinkList()
	n.lab.must(err, "interfaces of %s", n.name)
	for _, link := range links {
		if link.Attrs().Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := n.net.AddrList(link, netlink.FAMILY_V4)
		n.lab.must(err, "addresses of %s", n.name)
		for _, a := range addrs {
			n.lab.must(n.net.AddrDel(link, &a), "IPv4 of %s", n.name)
		}
	}
	n.v4, n.only = netip.Addr{}, unix.AF_INET6
}

// Unplug pulls the node's cable; Plug puts it back. Addresses stay.
func (n *Node) Unplug() { n.lab.t.Helper(); n.setPort((*netlink.Handle).LinkSetDown) }

// Plug puts the node's cable back.
func (n *Node) Plug() {
	n.lab.t.Helper()
	n.setPort((*netlink.Handle).LinkSetUp)
	link, err := n.net.LinkByIndex(n.uplinkIndex)
	n.lab.must(err, "interface of %s", n.name)
	n.lab.must(errors.Join(waitUp(n.uplink.gateway.net, n.port), waitUp(n.net, link.Attrs().Name)), "cable of %s", n.name)
}

func (n *Node) setPort(set func(*netlink.Handle, netlink.Link) error) {
	n.lab.t.Helper()
	gw := n.uplink.gateway
	link, err := gw.net.LinkByName(n.port)
	n.lab.must(err, "cable of %s", n.name)
	n.lab.must(set(gw.net, link), "cable of %s", n.name)
}

func (n *Node) addAddr(link netlink.Link, p netip.Prefix) {
	n.lab.t.Helper()
	parsed, err := netlink.ParseAddr(p.String())
	n.lab.must(err, "address %v of %s", p, n.name)
	parsed.Flags = unix.IFA_F_NODAD // usable at once
	n.lab.must(n.net.AddrAdd(link, parsed), "address %v of %s", p, n.name)
}

// forward makes the node pass packets on.
func (n *Node) forward() {
	n.lab.t.Helper()
	n.lab.must(n.sysctl("1", "ipv4/ip_forward", "ipv6/conf/all/forwarding"), "make a router of %s", n.name)
}

// sysctl sets parameters of the node's network.
func (n *Node) sysctl(value string, names ...string) error {
	return n.Do(func() error {
		var errs error
		for _, name := range names {
			errs = errors.Join(errs, os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0))
		}
		return errs
	})
}
