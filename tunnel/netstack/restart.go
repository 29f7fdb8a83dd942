package netstack

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// leastThreshold is the least threshold of slow start, in packets (RFC 5681, section 4).
const leastThreshold = 2

// restart has a connection find anew what the way carries, if it has come out of time-outs
// with nothing left. packet is what acknowledges what went again, before TCP has it.
//
// Each time-out lowers the threshold of slow start, in gVisor also those for what went
// again: RFC 5681 has that stay. After two, a connection goes on with two packets a round
// trip, and one more each: what was 50 Mbit/s came back eight seconds after a gap of 0.8 s.
// So it begins as a new connection does, within what the way was seen to hold.
func (s *Stack) restart(packet []byte) {
	ports := packet[ipv6Len:]
	found := s.stack.FindTransportEndpoint(ipv6.ProtocolNumber, tcp.ProtocolNumber, stack.TransportEndpointID{
		LocalAddress:  tcpip.AddrFromSlice(packet[ipDstAt : ipDstAt+header.IPv6AddressSize]),
		LocalPort:     binary.BigEndian.Uint16(ports[2:]),
		RemoteAddress: tcpip.AddrFromSlice(packet[ipSrcAt : ipSrcAt+header.IPv6AddressSize]),
		RemotePort:    binary.BigEndian.Uint16(ports),
	}, nicID)
	conn, ok := found.(tcpip.Endpoint)
	if !ok {
		return // it was closed
	}
	var info tcpip.TCPInfoOption
	if conn.GetSockOpt(&info) != nil || info.CcState != tcpip.RTORecovery || info.SndSsthresh > leastThreshold {
		return
	}
	control := congestionControl
	_ = conn.SetSockOpt(&control) // which sets it up; without, it is as it was
}
