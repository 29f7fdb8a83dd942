package hostnet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

const (
	ipv6HeaderLen = 40
	icmpHeaderLen = 8
	nextICMPv6    = 58

	// minIPv6MTU bounds an error of ICMPv6 (RFC 4443, section 2.4).
	minIPv6MTU = 1280

	// typeUnreachable is ICMPv6's Destination Unreachable, the others its codes.
	typeUnreachable    = 1
	unreachableRoute   = 0 // there is no such address
	unreachableDenied  = 1 // it may not be spoken to
	unreachableAddress = 3 // there is, and nobody answers
	unreachablePort    = 4 // nobody listens
)

// unreachable returns the ICMPv6 error that packet does not reach where it is to go,
// behind headroom bytes of room; nil for what must not be answered: an error itself,
// or what is for many.
func unreachable(packet []byte, code byte) []byte {
	const firstInformational, multicast = 128, 0xff
	if len(packet) < ipv6HeaderLen || packet[24] == multicast ||
		packet[6] == nextICMPv6 && len(packet) > ipv6HeaderLen && packet[ipv6HeaderLen] < firstInformational {
		return nil
	}
	quoted := packet[:min(len(packet), minIPv6MTU-ipv6HeaderLen-icmpHeaderLen)]
	buf := make([]byte, headroom+ipv6HeaderLen+icmpHeaderLen+len(quoted))
	answer := buf[headroom:]
	answer[0] = 6 << 4
	binary.BigEndian.PutUint16(answer[4:], uint16(icmpHeaderLen+len(quoted)))
	answer[6], answer[7] = nextICMPv6, 64
	copy(answer[8:24], packet[24:40]) // from whom it was for
	copy(answer[24:40], packet[8:24]) // to whom it is from
	icmp := answer[ipv6HeaderLen:]
	icmp[0], icmp[1] = typeUnreachable, code
	copy(icmp[icmpHeaderLen:], quoted)
	pseudo := checksum.Combine(checksum.Checksum(answer[8:40], 0), uint16(len(icmp)+nextICMPv6))
	binary.BigEndian.PutUint16(icmp[2:], ^checksum.Checksum(icmp, pseudo))
	return buf
}
