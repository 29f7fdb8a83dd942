package netstack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// AbortTCP ends the TCP connections with any of the addresses, as a reset would: what
// is read from them or written to them fails at once.
func (s *Stack) AbortTCP(with ...netip.Addr) {
	for _, ep := range s.stack.RegisteredEndpoints() {
		conn, ok := ep.(*tcp.Endpoint)
		if !ok {
			continue
		}
		far, err := conn.GetRemoteAddress()
		if err != nil {
			continue // it listens
		}
		for _, addr := range with {
			if far.Addr == toTCPIP(addr) {
				conn.Abort()
			}
		}
	}
}
