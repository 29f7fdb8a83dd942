package path

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// localAddr is an address of this machine.
type localAddr struct {
	ip  netip.Addr
	ifc net.Interface
	// leaving says that it is not to be used for anything new, or not yet.
	leaving bool
}

// localAddrs lists the addresses of the interfaces that are up, but for those
// that exclude names.
func localAddrs(exclude func(netip.Addr) bool) ([]localAddr, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("path: list network interfaces: %w", err)
	}
	leaving := leavingAddrs()
	var all []localAddr
	for _, ifc := range ifaces {
		if ifc.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := ifc.Addrs()
		if err != nil {
			continue // it went away
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			if ip := prefix.Addr().Unmap(); !exclude(ip) {
				all = append(all, localAddr{ip, ifc, leaving[ip]})
			}
		}
	}
	return all, nil
}

// tunnelNames begin the names of interfaces of other tunnels, as far as they do
// not give themselves away as point-to-point.
var tunnelNames = [...]string{"tailscale", "wg", "tun", "tap", "utun", "zt", "nebula", "netbird", "wt", "ipsec", "vpn"}

// isTunnel reports whether an interface is another tunnel's. A mesh over another
// mesh's interface would be carried twice.
func isTunnel(ifc net.Interface) bool {
	return ifc.Flags&net.FlagPointToPoint != 0 || slices.ContainsFunc(tunnelNames[:], func(prefix string) bool {
		rest, ok := strings.CutPrefix(strings.ToLower(ifc.Name), prefix)
		return ok && (rest == "" || rest[0] < 'a' || rest[0] > 'z' || prefix == "zt")
	})
}

// sharedSpace is what carriers number their customers with (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// reachable returns the addresses at which a peer might reach this machine, the
// nearest networks first. Loopback counts only where there is nothing else, so
// that two nodes on one machine that has no network still meet.
func reachable(addrs []localAddr) []netip.Addr {
	var private, shared, public, loopback []netip.Addr
	for _, a := range addrs {
		switch {
		case a.leaving || a.ip.IsLinkLocalUnicast() || a.ifc.Flags&net.FlagRunning == 0 || isTunnel(a.ifc):
		case a.ip.IsLoopback():
			loopback = append(loopback, a.ip)
		case a.ip.IsPrivate():
			private = append(private, a.ip)
		case sharedSpace.Contains(a.ip):
			shared = append(shared, a.ip)
		default:
			public = append(public, a.ip)
		}
	}
	all := slices.Concat(private, public, shared)
	if len(all) == 0 {
		return loopback
	}
	return all
}

// IsLocal reports whether this machine has the address ip. What it cannot tell
// counts as yes.
func IsLocal(ip netip.Addr) bool {
	addrs, err := localAddrs(func(a netip.Addr) bool { return a != ip })
	return err != nil || len(addrs) > 0
}
