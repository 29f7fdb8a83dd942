package hostnet

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// Programs that know IPv4 alone speak to peers at addresses that stand for them on
// this machine. Their packets are translated here: what leaves for a peer is IPv6.
// It is RFC 7915's translation for whole packets of TCP, UDP and echoes, and for the
// errors that the mesh answers with.

const (
	ipv4HeaderLen = 20

	nextICMP = 1
	nextTCP  = 6
	nextUDP  = 17

	// mtu4 is the size of the largest IPv4 packet, in bytes: as IPv6, it is still of
	// a size that every path carries.
	mtu4 = minIPv6MTU - ipv6HeaderLen + ipv4HeaderLen
)

// flow is one conversation, as seen from here. Echoes have their identifier for a
// port.
type flow struct {
	proto          byte
	local, distant uint16
	peer           netip.Addr // its IPv6 address
}

// Offsets of checksums behind the header of IP.
func checksumAt(proto byte) int {
	switch proto {
	case nextTCP:
		return 16
	case nextUDP:
		return 6
	}
	return 2 // of ICMP
}

// minHeader is the least that a packet of a protocol needs behind the header of IP;
// zero for protocols that are not translated.
func minHeader(proto byte) int {
	switch proto {
	case nextTCP:
		return 20
	case nextUDP, nextICMP, nextICMPv6:
		return icmpHeaderLen
	}
	return 0
}

// parse4 returns what matters of an IPv4 packet; false if it cannot be translated.
func parse4(p []byte) (header int, f flow, dst netip.Addr, ok bool) {
	if len(p) < ipv4HeaderLen || p[0]>>4 != 4 {
		return 0, f, dst, false
	}
	header = int(p[0]&15) * 4
	total := int(binary.BigEndian.Uint16(p[2:]))
	fragment := binary.BigEndian.Uint16(p[6:]) & 0x3fff // more, or not the first
	f.proto = p[9]
	least := minHeader(f.proto)
	if f.proto == nextICMPv6 || least == 0 || header < ipv4HeaderLen || total != len(p) || total < header+least || fragment != 0 {
		return 0, f, dst, false
	}
	body := p[header:]
	if f.proto == nextICMP {
		const request, reply = 8, 0
		if body[0] != request && body[0] != reply {
			return 0, f, dst, false
		}
		f.local = binary.BigEndian.Uint16(body[4:])
	} else {
		f.local, f.distant = binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
	}
	return header, f, netip.AddrFrom4([4]byte(p[16:20])), true
}

// to6 makes IPv6 of the IPv4 packet in buf[:size], whose header is of the given
// length. It returns the new size; buf has the room.
func to6(buf []byte, size, header int, src, dst netip.Addr) int {
	var old [12]byte
	copy(old[:], buf[8:20]) // time to live, protocol, checksum, addresses
	class := buf[1]
	body := buf[ipv6HeaderLen : ipv6HeaderLen+copy(buf[ipv6HeaderLen:], buf[header:size])]
	from, to := src.As16(), dst.As16()
	binary.BigEndian.PutUint32(buf, 6<<28|uint32(class)<<20)
	binary.BigEndian.PutUint16(buf[4:], uint16(len(body)))
	proto := old[1]
	buf[7] = old[0]
	copy(buf[8:], from[:])
	copy(buf[24:], to[:])
	if proto == nextICMP {
		proto = nextICMPv6
		if body[0] == 8 {
			body[0] = typeEchoRequest
		} else {
			body[0] = typeEchoReply
		}
	}
	buf[6] = proto
	if proto == nextICMPv6 || proto == nextUDP && binary.BigEndian.Uint16(body[6:]) == 0 { // UDP of IPv4 may have none
		sumWhole(buf[:ipv6HeaderLen+len(body)])
	} else {
		resum(body[checksumAt(proto):], old[4:], buf[8:40])
	}
	return ipv6HeaderLen + len(body)
}

// parse6 returns whose an IPv6 packet from a peer is; false if it cannot be
// translated.
func parse6(p []byte) (f flow, ok bool) {
	if len(p) < ipv6HeaderLen || p[0]>>4 != 6 {
		return f, false
	}
	f.proto, f.peer = p[6], netip.AddrFrom16([16]byte(p[8:24]))
	body := p[ipv6HeaderLen:]
	if least := minHeader(f.proto); f.proto == nextICMP || least == 0 || len(body) < least || int(binary.BigEndian.Uint16(p[4:])) != len(body) {
		return f, false
	}
	if f.proto != nextICMPv6 {
		f.distant, f.local = binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
		return f, true
	}
	switch body[0] {
	case typeEchoRequest, typeEchoReply:
		f.proto, f.local = nextICMP, binary.BigEndian.Uint16(body[4:])
		return f, true
	case typeUnreachable:
		// It is about a packet of ours, whose beginning it quotes.
		quoted := body[icmpHeaderLen:]
		if len(quoted) < ipv6HeaderLen+icmpHeaderLen {
			return f, false
		}
		f = flow{proto: quoted[6], peer: netip.AddrFrom16([16]byte(quoted[24:40]))}
		switch ports := quoted[ipv6HeaderLen:]; f.proto {
		case nextTCP, nextUDP:
			f.local, f.distant = binary.BigEndian.Uint16(ports), binary.BigEndian.Uint16(ports[2:])
			return f, true
		case nextICMPv6:
			f.proto, f.local = nextICMP, binary.BigEndian.Uint16(ports[4:])
			return f, ports[0] == typeEchoRequest
		}
	}
	return f, false
}

// to4 makes IPv4 of the IPv6 packet p, in its place, and returns its new size.
func to4(p []byte, src, dst netip.Addr) int {
	var old [32]byte
	copy(old[:], p[8:40])
	class, hops, proto := byte(binary.BigEndian.Uint32(p)>>20), p[7], p[6]
	body := p[ipv6HeaderLen:]
	if proto == nextICMPv6 {
		proto = nextICMP
		if body[0] == typeUnreachable {
			body = body[:unreachable4(body, src, dst)]
		} else if body[0] == typeEchoRequest {
			body[0] = 8
		} else {
			body[0] = 0
		}
	}
	size := ipv4HeaderLen + copy(p[ipv4HeaderLen:], body)
	header4(p, class, hops, proto, size, src, dst)
	body = p[ipv4HeaderLen:size]
	if proto == nextICMP {
		body[2], body[3] = 0, 0
		binary.BigEndian.PutUint16(body[2:], ^checksum.Checksum(body, 0))
	} else {
		resum(body[checksumAt(proto):], old[:], p[12:20])
	}
	return size
}

func header4(p []byte, class, hops, proto byte, size int, src, dst netip.Addr) {
	const dontFragment = 1 << 14
	from, to := src.As4(), dst.As4()
	p[0], p[1] = 4<<4|ipv4HeaderLen/4, class
	binary.BigEndian.PutUint16(p[2:], uint16(size))
	binary.BigEndian.PutUint32(p[4:], dontFragment)
	p[8], p[9], p[10], p[11] = hops, proto, 0, 0
	copy(p[12:], from[:])
	copy(p[16:], to[:])
	binary.BigEndian.PutUint16(p[10:], ^checksum.Checksum(p[:ipv4HeaderLen], 0))
}

// unreachable4 makes of an error of ICMPv6 about a packet of ours, from src for dst,
// one of ICMP, in its place, and returns its new size.
func unreachable4(icmp []byte, peer, self netip.Addr) int {
	const typeUnreachable4, network, host, port, prohibited = 3, 0, 1, 3, 13
	codes := map[byte]byte{unreachableRoute: network, unreachableDenied: prohibited, unreachableAddress: host, unreachablePort: port}
	icmp[0], icmp[1] = typeUnreachable4, codes[icmp[1]]
	quoted := icmp[icmpHeaderLen:]
	proto, hops := quoted[6], quoted[7]
	length := int(binary.BigEndian.Uint16(quoted[4:]))
	body := quoted[ipv6HeaderLen:]
	if proto == nextICMPv6 {
		proto, body[0] = nextICMP, 8
	}
	// What is quoted need not have a good checksum: nobody looks.
	n := copy(quoted[ipv4HeaderLen:], body)
	header4(quoted, 0, hops, proto, ipv4HeaderLen+length, self, peer)
	return icmpHeaderLen + ipv4HeaderLen + n
}

// sumWhole sums an IPv6 packet of UDP or ICMPv6 anew.
func sumWhole(p []byte) {
	body := p[ipv6HeaderLen:]
	at := body[checksumAt(p[6]):]
	at[0], at[1] = 0, 0
	pseudo := checksum.Combine(checksum.Checksum(p[8:40], 0), uint16(len(body)))
	pseudo = checksum.Combine(pseudo, uint16(p[6]))
	sum := ^checksum.Checksum(body, pseudo)
	if sum == 0 {
		sum = 0xffff // zero is none
	}
	binary.BigEndian.PutUint16(at, sum)
}

// resum makes a checksum right that was over the addresses old and is over now others
// (RFC 1624).
func resum(at, old, now []byte) {
	sum := ^binary.BigEndian.Uint16(at)
	sum = checksum.Combine(sum, ^checksum.Checksum(old, 0))
	sum = checksum.Combine(sum, checksum.Checksum(now, 0))
	binary.BigEndian.PutUint16(at, ^sum)
}
