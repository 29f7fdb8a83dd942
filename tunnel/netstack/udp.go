package netstack

import (
	"fmt"
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// ListenUDP listens on a UDP port of the stack's address; zero picks one.
func (s *Stack) ListenUDP(port uint16) (net.PacketConn, error) {
	conn, err := gonet.DialUDP(s.stack, &tcpip.FullAddress{NIC: nicID, Port: port}, nil, ipv6.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("netstack: listen on UDP port %d: %w", port, err)
	}
	return conn, nil
}
