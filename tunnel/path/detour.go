package path

import (
	"net"
	"net/netip"
)

// Detour names the interface of another tunnel, such as a VPN's, by which packets
// to the peer leave this machine; empty if there is none. Of the addresses that the
// peer names, those count that the whole world can reach, if there are any.
func (p *Peer) Detour() string {
	p.mu.Lock()
	var public, private []netip.AddrPort
	for _, c := range p.machine.candidates {
		switch ip := c.addr.Addr(); {
		case !c.told:
		case ip.IsPrivate(), ip.IsLoopback():
			private = append(private, c.addr)
		default:
			public = append(public, c.addr)
		}
	}
	p.mu.Unlock()
	if len(public) == 0 {
		public = private
	}
	own, err := localAddrs(p.bind.cfg.Exclude)
	if err != nil {
		return "" // no worse than not knowing
	}
	for _, to := range public {
		from := sourceTowards(to)
		for _, a := range own {
			if a.ip == from && isTunnel(a.ifc) {
				return a.ifc.Name
			}
		}
	}
	return ""
}

// sourceTowards returns the address that packets to an address leave from; invalid
// if there is no way there. It sends nothing.
func sourceTowards(to netip.AddrPort) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
}
