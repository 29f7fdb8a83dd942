package tunnel

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

const (
	flagSYN, flagRST, flagACK = 0x02, 0x04, 0x10

	resetLen = ipv6HeaderLen + tcpHeaderLen
)

// isOfConnection reports whether an IPv6 packet is a segment of a connection of TCP that
// was opened before, and does not end it.
func isOfConnection(packet []byte) bool {
	return len(packet) >= resetLen && packet[6] == nextTCP && packet[ipv6HeaderLen+13]&(flagSYN|flagRST) == 0
}

// becomeReset makes of a segment one that resets the connection at its receiver, for which
// it is the next in the order of the bytes (RFC 5961, section 3.2). It is nil, and the
// packet as it was, if that is no such segment.
func becomeReset(packet []byte) []byte {
	if !isOfConnection(packet) {
		return nil
	}
	packet = packet[:resetLen]
	finishReset(packet, flagRST|packet[ipv6HeaderLen+13]&flagACK)
	return packet
}

// resetOf returns what resets the connection of a segment at its sender, also one that it
// would open; nil if it cannot be.
func resetOf(packet []byte) []byte {
	if len(packet) < resetLen || packet[6] != nextTCP {
		return nil
	}
	sent := packet[ipv6HeaderLen+13] & (flagSYN | flagRST | flagACK)
	if sent != flagSYN && sent != flagACK {
		return nil
	}
	reset := make([]byte, resetLen)
	reset[0], reset[6], reset[7] = 6<<4, nextTCP, 64
	copy(reset[8:24], packet[24:40])
	copy(reset[24:40], packet[8:24])
	tcp, of := reset[ipv6HeaderLen:], packet[ipv6HeaderLen:]
	copy(tcp[0:2], of[2:4])
	copy(tcp[2:4], of[0:2])
	// RFC 9293, section 3.5.2: what the sender awaits or, before that is anything, that its
	// SYN was heard.
	if sent == flagACK {
		copy(tcp[4:8], of[8:12])
		finishReset(reset, flagRST)
		return reset
	}
	binary.BigEndian.PutUint32(tcp[8:], binary.BigEndian.Uint32(of[4:])+1)
	finishReset(reset, flagRST|flagACK)
	return reset
}

// finishReset fills in what is the same in all segments that reset.
func finishReset(packet []byte, flags byte) {
	binary.BigEndian.PutUint16(packet[4:], tcpHeaderLen)
	tcp := packet[ipv6HeaderLen:]
	tcp[12], tcp[13] = tcpHeaderLen/4<<4, flags
	clear(tcp[14:tcpHeaderLen]) // window, checksum, urgent pointer
	pseudo := checksum.Combine(checksum.Checksum(packet[8:40], 0), uint16(tcpHeaderLen+nextTCP))
	binary.BigEndian.PutUint16(tcp[16:], ^checksum.Checksum(tcp, pseudo))
}
