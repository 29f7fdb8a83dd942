package hostnet

import (
	"net/netip"
	"time"
)

// Connection is one of TCP that a program of this machine has.
type Connection struct{ Local, Remote netip.AddrPort }

// Adopt has translation go on for a connection over IPv4 that there was before the gate,
// with an address that stands for peer.
func (g *Gate) Adopt(c Connection, peer netip.Addr) {
	f := &g.ipv4
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flows != nil && len(f.flows) < maxFlows {
		f.flows[flow{proto: nextTCP, local: c.Local.Port(), distant: c.Remote.Port(), peer: peer}] = time.Now()
		f.any.Store(true)
	}
}
