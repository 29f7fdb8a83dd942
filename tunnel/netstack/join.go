package netstack

import (
	"bytes"
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A stack that looks up the connection, takes its lock and answers once for
// each packet spends most of its time on that. Packets that continue each other
// therefore reach it as one segment, the way a network card would deliver them.

// run returns how many packets at the start of bufs can be told to TCP as one
// segment, and how much payload they have: those of one connection that
// continue each other and differ in nothing else. It is 1, 0 for what can't be
// joined.
func run(bufs [][]byte, offset int) (n, payload int) {
	first := bufs[0][offset:]
	hdrLen, ok := joinable(first)
	if !ok {
		return 1, 0
	}
	payload = len(first) - hdrLen
	seq := binary.BigEndian.Uint32(first[ipv6Len+seqAt:]) + uint32(payload)
	last := first
	for n = 1; n < len(bufs); n++ {
		packet := bufs[n][offset:]
		if last[ipv6Len+flagsAt]&flagPSH != 0 || hdrLen+payload+len(packet) > superSize {
			break
		}
		if len(packet) <= hdrLen || !continues(first[:hdrLen], packet) {
			break
		}
		if binary.BigEndian.Uint32(packet[ipv6Len+seqAt:]) != seq {
			break
		}
		size := len(packet) - hdrLen
		seq += uint32(size)
		payload += size
		last = packet
	}
	if n == 1 {
		return 1, 0
	}
	return n, payload
}

// joinable reports whether a packet is a TCP segment with payload and nothing
// unusual about it, and how long its headers are.
func joinable(p []byte) (hdrLen int, ok bool) {
	if len(p) < ipv6Len+tcpMinLen || p[ipNextAt] != uint8(header.TCPProtocolNumber) {
		return 0, false
	}
	if int(binary.BigEndian.Uint16(p[ipLengthAt:])) != len(p)-ipv6Len {
		return 0, false
	}
	tcp := p[ipv6Len:]
	hdrLen = ipv6Len + int(tcp[dataAt]>>4)*4
	return hdrLen, hdrLen >= ipv6Len+tcpMinLen && hdrLen < len(p) && tcp[flagsAt]&^flagPSH == flagACK
}

// continues reports whether packet, apart from its length and its place in the
// stream, has the headers first. Their next header is TCP.
func continues(first, packet []byte) bool {
	if int(binary.BigEndian.Uint16(packet[ipLengthAt:])) != len(packet)-ipv6Len {
		return false
	}
	tcp1, tcp := first[ipv6Len:], packet[ipv6Len:len(first)]
	return bytes.Equal(first[:ipLengthAt], packet[:ipLengthAt]) && // version, traffic class, flow
		bytes.Equal(first[ipNextAt:ipv6Len], packet[ipNextAt:ipv6Len]) &&
		bytes.Equal(tcp1[:seqAt], tcp[:seqAt]) && // ports
		bytes.Equal(tcp1[ackAt:flagsAt], tcp[ackAt:flagsAt]) &&
		tcp[flagsAt]&^flagPSH == flagACK &&
		bytes.Equal(tcp1[windowAt:checksumAt], tcp[windowAt:checksumAt]) &&
		bytes.Equal(tcp1[checksumAt+2:], tcp[checksumAt+2:]) // urgent pointer, options
}

// join makes one packet of the stack of packets that are a run, or of a single
// one.
func join(bufs [][]byte, offset, payload int) *stack.PacketBuffer {
	first := bufs[0][offset:]
	if len(bufs) == 1 {
		view := buffer.NewView(len(first))
		_, _ = view.Write(first) // into memory
		return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(view)})
	}
	hdrLen, _ := joinable(first)
	// The headers have memory of their own: the stack copies that which it has
	// them in when it looks at them in a packet that it shares.
	head, body := buffer.NewView(hdrLen), buffer.NewView(payload)
	_, _ = head.Write(first[:hdrLen])
	for _, buf := range bufs {
		_, _ = body.Write(buf[offset+hdrLen:])
	}
	h := head.AsSlice()
	binary.BigEndian.PutUint16(h[ipLengthAt:], uint16(hdrLen+payload-ipv6Len))
	last := bufs[len(bufs)-1][offset:]
	h[ipv6Len+flagsAt] |= last[ipv6Len+flagsAt] & flagPSH
	data := buffer.MakeWithView(head)
	_ = data.Append(body) // fails for views of no size alone
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: data})
}
