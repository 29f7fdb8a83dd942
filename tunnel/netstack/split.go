package netstack

import (
	"bytes"
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	ipv6Len   = header.IPv6MinimumSize
	tcpMinLen = header.TCPMinimumSize

	// Fields of the IPv6 and the TCP header, by their first byte.
	ipLengthAt, ipNextAt, ipSrcAt, ipDstAt = 4, 6, 8, 24
	seqAt, ackAt, dataAt, flagsAt          = 4, 8, 12, 13
	windowAt, checksumAt                   = 14, 16

	flagFIN, flagSYN, flagRST, flagPSH, flagACK, flagCWR = 0x01, 0x02, 0x04, 0x08, 0x10, 0x80
)

// splitter takes what the stack sends apart into the packets that leave. TCP's
// segments of up to superSize bytes become packets of the connection's size,
// each with the header it would have had if TCP had sent it alone.
//
// Segments that wait and continue each other leave as one. The stack makes one of
// every write and of what each acknowledgement lets through, pushed each: often two
// packets, or one that is not full. A receiver that joins packets stops at either,
// acknowledges every such segment by itself, and so keeps them small.
type splitter struct {
	pkt  *stack.PacketBuffer   // nil when there is nothing left of it
	more []*stack.PacketBuffer // that continue it
	view *buffer.View          // where in pkt the next byte is
	at   int                   // and where in view

	// Of TCP segments: the headers before their payload, those of the last one, how
	// much payload a packet takes, and where in the stream it is.
	headers  [ipv6Len + header.TCPHeaderMaximumSize]byte
	hdrLen   int
	mss      int
	left     int // payload yet to come
	seq      uint32
	pseudo   uint16 // sum of addresses and protocol
	isStream bool
}

// begin takes over the first of pkts and those that continue it. It returns how many.
func (s *splitter) begin(pkts []*stack.PacketBuffer) int {
	pkt, n := pkts[0], 1
	views, offset := pkt.AsViewList()
	s.pkt, s.view, s.at = pkt, views.Front(), offset
	s.skipEmpty()
	s.isStream = isStream(pkt)
	if !s.isStream {
		return n
	}
	s.hdrLen = pkt.HeaderSize()
	s.mss, s.left = int(pkt.GSOOptions.MSS), pkt.Size()-s.hdrLen
	if s.mss == 0 {
		s.mss = s.left
	}
	s.copyOut(s.headers[:s.hdrLen])
	s.seq = binary.BigEndian.Uint32(s.headers[ipv6Len+seqAt:])
	s.pseudo = checksum.Checksum(s.headers[ipSrcAt:ipv6Len], uint16(header.TCPProtocolNumber))
	for n < len(pkts) && follows(pkts[n-1], pkts[n]) {
		s.left += pkts[n].Size() - s.hdrLen
		n++
	}
	if s.more = pkts[1:n]; n > 1 {
		last := pkts[n-1] // what it acknowledges is the newest
		copy(s.headers[ipv6Len:], last.TransportHeader().Slice())
	}
	return n
}

// isStream reports whether a packet is a segment of TCP that is to be split.
func isStream(pkt *stack.PacketBuffer) bool {
	return pkt.GSOOptions.Type == stack.GSOTCPv6 && pkt.GSOOptions.NeedsCsum
}

// follows reports whether a segment of TCP continues the one before it, so that both can
// leave with the headers of the second.
func follows(before, pkt *stack.PacketBuffer) bool {
	if !isStream(pkt) || pkt.GSOOptions.MSS != before.GSOOptions.MSS || pkt.HeaderSize() != before.HeaderSize() {
		return false
	}
	ip1, ip := before.NetworkHeader().Slice(), pkt.NetworkHeader().Slice()
	tcp1, tcp := before.TransportHeader().Slice(), pkt.TransportHeader().Slice()
	if len(ip1) != ipv6Len || len(ip) != ipv6Len || len(tcp1) < tcpMinLen || len(tcp) < tcpMinLen {
		return false
	}
	size1, size := before.Size()-before.HeaderSize(), pkt.Size()-pkt.HeaderSize()
	return size1 > 0 && size > 0 &&
		bytes.Equal(ip1[:ipLengthAt], ip[:ipLengthAt]) && bytes.Equal(ip1[ipNextAt:], ip[ipNextAt:]) &&
		bytes.Equal(tcp1[:seqAt], tcp[:seqAt]) && // ports
		binary.BigEndian.Uint32(tcp1[seqAt:])+uint32(size1) == binary.BigEndian.Uint32(tcp[seqAt:]) &&
		tcp1[flagsAt]&^flagPSH == flagACK && tcp[flagsAt]&^flagPSH == flagACK
}

// next writes the next packet to buf and returns its size. The packet that was
// begun is released with its last one; s.pkt is nil then.
func (s *splitter) next(buf []byte) int {
	if !s.isStream {
		n := s.copyOut(buf)
		s.end()
		return n
	}
	n := copy(buf, s.headers[:s.hdrLen])
	payload := min(s.mss, s.left)
	n += s.copyOut(buf[n:min(n+payload, len(buf))])
	s.left -= payload

	binary.BigEndian.PutUint16(buf[ipLengthAt:], uint16(n-ipv6Len))
	tcp := buf[ipv6Len:n]
	binary.BigEndian.PutUint32(tcp[seqAt:], s.seq)
	s.seq += uint32(payload)
	if s.left > 0 {
		tcp[flagsAt] &^= flagFIN | flagPSH // of the last alone
	}
	s.headers[ipv6Len+flagsAt] &^= flagCWR // of the first alone
	tcp[checksumAt], tcp[checksumAt+1] = 0, 0
	sum := checksum.Combine(s.pseudo, uint16(len(tcp)))
	binary.BigEndian.PutUint16(tcp[checksumAt:], ^checksum.Checksum(tcp, sum))
	if s.left == 0 {
		s.end()
	}
	return n
}

// copyOut moves bytes of the packet to b, as many as there are or fit.
func (s *splitter) copyOut(b []byte) int {
	n := 0
	for n < len(b) && s.view != nil {
		c := copy(b[n:], s.view.AsSlice()[s.at:])
		n += c
		s.at += c
		s.skipEmpty()
	}
	return n
}

// skipEmpty moves on to where there is a byte.
func (s *splitter) skipEmpty() {
	for s.view != nil && s.at >= s.view.Size() {
		s.at -= s.view.Size()
		if s.view = s.view.Next(); s.view == nil && len(s.more) > 0 {
			s.pkt.DecRef()
			s.pkt, s.more = s.more[0], s.more[1:]
			views, offset := s.pkt.AsViewList()
			s.view, s.at = views.Front(), offset+s.hdrLen
		}
	}
}

func (s *splitter) end() {
	s.pkt.DecRef()
	s.pkt, s.more, s.view = nil, nil, nil
}
