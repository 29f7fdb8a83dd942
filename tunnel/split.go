package tunnel

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// splitTCP splits a TCP segment over IPv6 into segments of at most mtu bytes, as
// a network card does for its host. What is no whole segment, or opens or resets a
// connection, is left to the caller, with nil.
func splitTCP(packet []byte, mtu int) [][]byte {
	const (
		seqAt, flagsAt, sumAt     = 4, 13, 16
		fin, syn, rst, push, urg  = 1, 2, 4, 8, 32
		onlyOnLast, neverSplit    = fin | push, syn | rst | urg
		lengthAt, addressesAt, v6 = 4, 8, ipv6HeaderLen
	)
	if len(packet) < v6+tcpHeaderLen || packet[6] != nextTCP {
		return nil
	}
	header := v6 + int(packet[v6+12]>>4)*4
	flags := packet[v6+flagsAt]
	if header < v6+tcpHeaderLen || header >= len(packet) || header >= mtu || flags&neverSplit != 0 {
		return nil
	}
	seq := binary.BigEndian.Uint32(packet[v6+seqAt:])
	var out [][]byte
	for payload := packet[header:]; len(payload) > 0; {
		part := payload[:min(mtu-header, len(payload))]
		payload = payload[len(part):]
		p := append(append(make([]byte, 0, header+len(part)), packet[:header]...), part...)
		tcp := p[v6:]
		binary.BigEndian.PutUint16(p[lengthAt:], uint16(len(tcp)))
		binary.BigEndian.PutUint32(tcp[seqAt:], seq)
		if len(payload) > 0 {
			tcp[flagsAt] = flags &^ onlyOnLast
		}
		seq += uint32(len(part))
		binary.BigEndian.PutUint16(tcp[sumAt:], 0)
		pseudo := checksum.Checksum(p[addressesAt:v6], uint16(nextTCP))
		pseudo = checksum.Combine(pseudo, uint16(len(tcp)))
		binary.BigEndian.PutUint16(tcp[sumAt:], ^checksum.Checksum(tcp, pseudo))
		out = append(out, p)
	}
	return out
}
