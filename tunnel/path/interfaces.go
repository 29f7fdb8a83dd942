package path

import (
	"fmt"
	"net"
	"net/netip"
)

// localAddr is an address of this machine.
type localAddr struct {
	ip  netip.Addr
	ifc net.Interface
}

// localAddrs lists the addresses of the interfaces that are up, but for those
// that exclude names.
func localAddrs(exclude func(netip.Addr) bool) ([]localAddr, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("path: list network interfaces: %w", err)
	}
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
				all = append(all, localAddr{ip, ifc})
			}
		}
	}
	return all, nil
}

// IsLocal reports whether this machine has the address ip. What it cannot tell
// counts as yes.
func IsLocal(ip netip.Addr) bool {
	addrs, err := localAddrs(func(a netip.Addr) bool { return a != ip })
	return err != nil || len(addrs) > 0
}
