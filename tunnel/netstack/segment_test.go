package netstack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const testMSS = 1208

// timestamps is a TCP option as connections carry it in each segment.
var timestamps = []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}

// headersOf returns the headers of a segment from left to right, without a
// checksum.
func headersOf(payload int, seq uint32, flags byte) []byte {
	h := make([]byte, ipv6Len+tcpMinLen+len(timestamps))
	header.IPv6(h).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(h) - ipv6Len + payload), TransportProtocol: header.TCPProtocolNumber,
		HopLimit: 64, SrcAddr: toTCPIP(left), DstAddr: toTCPIP(right),
	})
	tcp := header.TCP(h[ipv6Len:])
	tcp.Encode(&header.TCPFields{
		SrcPort: 1000, DstPort: 22, SeqNum: seq, AckNum: 77, WindowSize: 500,
		DataOffset: uint8(tcpMinLen + len(timestamps)), Flags: header.TCPFlags(flags),
	})
	copy(tcp[tcpMinLen:], timestamps)
	return h
}

// segment is a whole packet with a checksum.
func segment(payload []byte, seq uint32, flags byte) []byte {
	p := append(headersOf(len(payload), seq, flags), payload...)
	binary.BigEndian.PutUint16(p[ipv6Len+checksumAt:], ^sumOf(p))
	return p
}

// sumOf is the checksum over a TCP packet: zero's complement when it is right.
func sumOf(p []byte) uint16 {
	tcp := p[ipv6Len:]
	pseudo := header.PseudoHeaderChecksum(header.TCPProtocolNumber, toTCPIP(left), toTCPIP(right), uint16(len(tcp)))
	return checksum.Checksum(tcp, pseudo)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// superSegment is what TCP hands to the link: headers with a sum of addresses
// for a checksum, and the payload in several pieces.
func superSegment(payload []byte, seq uint32, flags byte, mss int) *stack.PacketBuffer {
	var data buffer.Buffer
	for rest := payload; len(rest) > 0; {
		n := min(len(rest), 10000)
		data.Append(buffer.NewViewWithData(rest[:n]))
		rest = rest[n:]
	}
	h := headersOf(len(payload), seq, flags)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: len(h), Payload: data})
	copy(pkt.TransportHeader().Push(len(h)-ipv6Len), h[ipv6Len:])
	copy(pkt.NetworkHeader().Push(ipv6Len), h)
	pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv6, NeedsCsum: true, MSS: uint16(mss)}
	return pkt
}

// What leaves is what TCP would have sent packet by packet.
func TestLargeSegmentsLeaveAsPackets(t *testing.T) {
	for _, size := range []int{0, 1, testMSS - 1, testMSS, testMSS + 1, 2 * testMSS, 10*testMSS + 5, 65000} {
		payload := randomBytes(size)
		var s splitter
		s.begin([]*stack.PacketBuffer{superSegment(payload, 1<<32-3000, flagACK|flagPSH|flagFIN|flagCWR, testMSS)})
		var want [][]byte
		for seq, rest := uint32(1<<32-3000), payload; ; {
			n := min(testMSS, len(rest))
			flags := byte(flagACK)
			if seq == 1<<32-3000 {
				flags |= flagCWR
			}
			if n == len(rest) {
				flags |= flagPSH | flagFIN
			}
			want = append(want, segment(rest[:n], seq, flags))
			seq, rest = seq+uint32(n), rest[n:]
			if len(rest) == 0 {
				break
			}
		}
		for i, w := range want {
			if s.pkt == nil {
				t.Fatalf("%d bytes: %d packets, want %d", size, i, len(want))
			}
			buf := make([]byte, 2048)
			got := buf[:s.next(buf)]
			if !bytes.Equal(got, w) {
				t.Fatalf("%d bytes, packet %d:\n% x\nwant\n% x", size, i, got[:min(len(got), 80)], w[:min(len(w), 80)])
			}
		}
		if s.pkt != nil {
			t.Errorf("%d bytes: more than %d packets", size, len(want))
		}
	}
}

// Segments that wait together leave as if TCP had made one of them.
func TestSegmentsThatContinueEachOtherLeaveAsOne(t *testing.T) {
	const first = 1<<32 - 3000
	sizes := []int{2 * testMSS, 5, testMSS + 7, 3 * testMSS}
	payload := randomBytes(6*testMSS + 12)
	segments := func() (pkts []*stack.PacketBuffer) {
		seq, rest := uint32(first), payload
		for i, n := range sizes {
			pkt := superSegment(rest[:n], seq, flagACK|flagPSH, testMSS)
			binary.BigEndian.PutUint32(pkt.TransportHeader().Slice()[ackAt:], uint32(70+i))
			pkts, seq, rest = append(pkts, pkt), seq+uint32(n), rest[n:]
		}
		return pkts
	}
	var s splitter
	if n := s.begin(segments()); n != len(sizes) {
		t.Fatalf("took over %d of %d", n, len(sizes))
	}
	for at := 0; at < len(payload); at += testMSS {
		flags, end := byte(flagACK), at+testMSS
		if end > len(payload) {
			flags, end = flagACK|flagPSH, len(payload)
		}
		want := segment(payload[at:end], uint32(first+at), flags)
		binary.BigEndian.PutUint32(want[ipv6Len+ackAt:], 73) // the newest
		copy(want[ipv6Len+checksumAt:], []byte{0, 0})
		binary.BigEndian.PutUint16(want[ipv6Len+checksumAt:], ^sumOf(want))
		buf := make([]byte, 2048)
		if s.pkt == nil {
			t.Fatalf("nothing is left at %d of %d bytes", at, len(payload))
		}
		if got := buf[:s.next(buf)]; !bytes.Equal(got, want) {
			t.Fatalf("at %d:\n% x\nwant\n% x", at, got[:min(len(got), 80)], want[:min(len(want), 80)])
		}
	}
	if s.pkt != nil {
		t.Error("something is left")
	}

	for name, spoil := range map[string]func(pkt *stack.PacketBuffer){
		"a gap":            func(pkt *stack.PacketBuffer) { pkt.TransportHeader().Slice()[seqAt+3]++ },
		"another port":     func(pkt *stack.PacketBuffer) { pkt.TransportHeader().Slice()[3]++ },
		"another peer":     func(pkt *stack.PacketBuffer) { pkt.NetworkHeader().Slice()[ipDstAt+15]++ },
		"the last segment": func(pkt *stack.PacketBuffer) { pkt.TransportHeader().Slice()[flagsAt] |= flagFIN },
		"another size":     func(pkt *stack.PacketBuffer) { pkt.GSOOptions.MSS-- },
		"no segment":       func(pkt *stack.PacketBuffer) { pkt.GSOOptions = stack.GSO{} },
	} {
		pkts := segments()
		spoil(pkts[2])
		var s splitter
		if n := s.begin(pkts); n != 2 {
			t.Errorf("%s: %d segments leave as one, want 2", name, n)
		}
	}
}

// bytesOf is all of a packet.
func bytesOf(pkt *stack.PacketBuffer) []byte { return bytes.Join(pkt.AsSlices(), nil) }

func TestPacketsThatContinueEachOtherAreJoined(t *testing.T) {
	payload := randomBytes(5*testMSS + 100)
	packets := func() (p [][]byte) {
		for at := 0; at < len(payload); at += testMSS {
			flags := byte(flagACK)
			if at+testMSS > len(payload) {
				flags |= flagPSH
			}
			p = append(p, segment(payload[at:min(at+testMSS, len(payload))], uint32(1<<32-2000+at), flags))
		}
		return p
	}
	bufs := packets()
	n, size := run(bufs, 0)
	if n != len(bufs) || size != len(payload) {
		t.Fatalf("a run of %d packets and %d bytes, want %d and %d", n, size, len(bufs), len(payload))
	}
	pkt := join(bufs, 0, size)
	defer pkt.DecRef()
	want := append(headersOf(len(payload), 1<<32-2000, flagACK|flagPSH), payload...)
	got := bytesOf(pkt)
	copy(got[ipv6Len+checksumAt:], []byte{0, 0}) // nobody looks at it
	if !bytes.Equal(got, want) {
		t.Errorf("joined to\n% x\nwant\n% x", got[:80], want[:80])
	}

	for name, spoil := range map[string]func(p []byte){
		"a gap":             func(p []byte) { p[ipv6Len+seqAt+3]++ },
		"another port":      func(p []byte) { p[ipv6Len]++ },
		"another peer":      func(p []byte) { p[ipSrcAt+15]++ },
		"another ack":       func(p []byte) { p[ipv6Len+ackAt]++ },
		"another window":    func(p []byte) { p[ipv6Len+windowAt]++ },
		"another option":    func(p []byte) { p[ipv6Len+tcpMinLen+6]++ },
		"FIN":               func(p []byte) { p[ipv6Len+flagsAt] |= flagFIN },
		"RST":               func(p []byte) { p[ipv6Len+flagsAt] |= 4 },
		"URG":               func(p []byte) { p[ipv6Len+flagsAt] |= 0x20 },
		"CWR":               func(p []byte) { p[ipv6Len+flagsAt] |= flagCWR },
		"congestion marked": func(p []byte) { p[1] |= 0x30 },
		"other headers":     func(p []byte) { p[ipv6Len+dataAt] = 6 << 4 },
		"UDP":               func(p []byte) { p[ipNextAt] = 17 },
		"a wrong length":    func(p []byte) { p[ipLengthAt+1]++ },
	} {
		bufs := packets()
		spoil(bufs[2])
		if n, _ := run(bufs, 0); n != 2 {
			t.Errorf("%s in the third packet: a run of %d, want 2", name, n)
		}
	}
	bufs = packets()
	bufs[1][ipv6Len+flagsAt] |= flagPSH
	if n, _ := run(bufs, 0); n != 2 {
		t.Errorf("a push ends a run after itself; it was of %d packets", n)
	}
	bufs = packets()
	bufs[1] = segment(nil, 1<<32-2000+testMSS, flagACK)
	if n, _ := run(bufs, 0); n != 1 {
		t.Errorf("an acknowledgement was joined to a run of %d", n)
	}
	var many [][]byte
	for i := range 128 {
		many = append(many, segment(payload[:testMSS], uint32(i*testMSS), flagACK))
	}
	if n, size := run(many, 0); size > superSize-ipv6Len || size < superSize-2*testMSS || n*testMSS != size {
		t.Errorf("a run of %d packets and %d bytes", n, size)
	}
}

// FuzzRun checks that whatever comes is taken as it is or joined to what says
// the same.
func FuzzRun(f *testing.F) {
	p := segment(make([]byte, 10), 1, flagACK)
	f.Add(p, segment(make([]byte, 10), 11, flagACK))
	f.Add(p, p[:30])
	f.Add([]byte{}, []byte{0x60})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s, err := New(1280)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.SetAddress(right)
		if _, err := s.Write([][]byte{bytes.Clone(a), bytes.Clone(b)}, 0); err != nil {
			t.Fatal(err)
		}
		if len(a) < ipv6Len {
			return
		}
		n, size := run([][]byte{a, b}, 0)
		if n != 2 {
			return
		}
		pkt := join([][]byte{a, b}, 0, size)
		defer pkt.DecRef()
		h := ipv6Len + int(a[ipv6Len+dataAt]>>4)*4
		if got := bytesOf(pkt); !bytes.Equal(got[h:], append(bytes.Clone(a[h:]), b[h:]...)) || header.IPv6(got).PayloadLength() != uint16(len(got)-ipv6Len) {
			t.Errorf("% x and % x joined to % x", a, b, got)
		}
	})
}

func TestNoAllocationPerPacket(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations cannot be counted under the race detector")
	}
	a := unwired(t)
	pkt := superSegment(randomBytes(40*testMSS), 1, flagACK, testMSS)
	defer pkt.DecRef()
	bufs, sizes := make([][]byte, batch), make([]int, batch)
	for i := range bufs {
		bufs[i] = make([]byte, 2048)
	}
	var list stack.PacketBufferList
	list.PushBack(pkt)
	if n := testing.AllocsPerRun(100, func() {
		a.link.WritePackets(list)
		if n, err := a.Read(bufs, sizes, 16); n != 40 || err != nil {
			t.Fatalf("read %d packets, %v", n, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations to send a segment of 40 packets", n)
	}
	in := make([][]byte, 40)
	for i := range in {
		in[i] = bytes.Clone(bufs[i][:16+sizes[i]])
	}
	if n := testing.AllocsPerRun(100, func() {
		n, size := run(in, 16)
		join(in[:n], 16, size).DecRef()
	}); n > 0 {
		t.Errorf("%v allocations to join 40 packets", n)
	}
	if n := testing.AllocsPerRun(100, func() { join(in[:1], 16, 0).DecRef() }); n > 0 {
		t.Errorf("%v allocations to take a packet", n)
	}
}

// unwired is a stack of which the test is the device.
func unwired(t testing.TB) *Stack {
	s, err := New(1280)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetAddress(right); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func BenchmarkSplit(b *testing.B) {
	for _, packets := range []int{1, 45} {
		b.Run(fmt.Sprintf("%d packets", packets), func(b *testing.B) {
			pkt := superSegment(randomBytes(packets*testMSS), 1, flagACK, testMSS)
			buf := make([]byte, 2048)
			var s splitter
			b.SetBytes(int64(packets * testMSS))
			b.ReportAllocs()
			for b.Loop() {
				for s.begin([]*stack.PacketBuffer{pkt.IncRef()}); s.pkt != nil; {
					s.next(buf)
				}
			}
		})
	}
}

func BenchmarkJoin(b *testing.B) {
	for _, packets := range []int{1, 45} {
		b.Run(fmt.Sprintf("%d packets", packets), func(b *testing.B) {
			var bufs [][]byte
			for i := range packets {
				bufs = append(bufs, segment(randomBytes(testMSS), uint32(i*testMSS), flagACK))
			}
			b.SetBytes(int64(packets * testMSS))
			b.ReportAllocs()
			for b.Loop() {
				n, size := run(bufs, 0)
				join(bufs[:n], 0, size).DecRef()
			}
		})
	}
}
