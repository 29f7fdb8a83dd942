package tunnel

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"
)

// wire is a device that gives out the packets it is loaded with and keeps those
// written to it.
type wire struct {
	tun.Device
	out [][]byte
	in  [][]byte
}

func (w *wire) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n := 0
	for n < len(bufs) && len(w.out) > 0 {
		sizes[n] = copy(bufs[n][offset:], w.out[0])
		w.out = w.out[1:]
		n++
	}
	return n, nil
}

func (*wire) File() *os.File { return nil }

func (w *wire) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		w.in = append(w.in, bytes.Clone(b[offset:]))
	}
	return len(bufs), nil
}

type fixedMTU int

func (m fixedMTU) MTU() int                           { return int(m) }
func (fixedMTU) RTT() time.Duration                   { return time.Millisecond }
func (fixedMTU) EnsureInDevice(until <-chan struct{}) {}
func (fixedMTU) NoteOpened(packets, large int)        {}

// readAll sends packets through a fitting device towards alice, whose path
// carries mtu bytes.
func readAll(w *wire, mtu int, fragments bool) [][]byte {
	f := newFittingDevice(w, fragments)
	f.setPath(alice, fixedMTU(mtu))
	bufs, sizes := make([][]byte, 4), make([]int, 4)
	for i := range bufs {
		bufs[i] = make([]byte, 10000)
	}
	var got [][]byte
	for {
		n, _ := f.Read(bufs, sizes, deviceOffset)
		if n == 0 && len(w.out) == 0 && len(f.waiting) == 0 {
			return got
		}
		for i := range n {
			got = append(got, bytes.Clone(bufs[i][deviceOffset:deviceOffset+sizes[i]]))
		}
	}
}

func sizedPacket(proto byte, size int) []byte {
	p := ipv6Packet(self, alice, proto, 1000, 2000, tcpACK)[:ipv6HeaderLen+20]
	p = append(p, bytes.Repeat([]byte("payload "), size/8+1)...)[:size]
	binary.BigEndian.PutUint16(p[4:], uint16(size-ipv6HeaderLen))
	return p
}

func TestLargeTCPSegmentsAreAnsweredOnceAndSmallOnesPass(t *testing.T) {
	big, small := sizedPacket(protoTCP, 1500), sizedPacket(protoTCP, 1440)
	w := &wire{out: [][]byte{big, small, big}}
	got := readAll(w, 1440, false)
	if len(got) != 1 || !bytes.Equal(got[0], small) {
		t.Errorf("%d packets passed, want the one that fits", len(got))
	}
	if len(w.in) != 1 {
		t.Fatalf("%d answers, want one", len(w.in))
	}
	ip := header.IPv6(w.in[0])
	if !ip.IsValid(len(w.in[0])) || ip.SourceAddress() != tcpip.AddrFrom16(alice.As16()) || ip.DestinationAddress() != tcpip.AddrFrom16(self.As16()) {
		t.Fatalf("the answer is no valid packet from alice to self: %x", w.in[0])
	}
	icmp := header.ICMPv6(ip.Payload())
	if icmp.Type() != header.ICMPv6PacketTooBig || icmp.MTU() != 1440 {
		t.Errorf("ICMPv6 type %d with an MTU of %d, want Packet Too Big with 1440", icmp.Type(), icmp.MTU())
	}
	sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(icmp)))
	if got := checksum.Checksum(icmp, sum); got != 0xffff {
		t.Errorf("checksum of the answer is off: %x", got)
	}
	if !bytes.HasPrefix(big, icmp.Payload()) || len(w.in[0]) > minIPv6MTU {
		t.Errorf("the answer of %d bytes does not quote the packet", len(w.in[0]))
	}
}

// The stack in the process would send again in the old size what is lost.
func TestLargeSegmentsOfTheOwnStackAreSplitInOrder(t *testing.T) {
	w := &wire{out: [][]byte{sizedPacket(protoTCP, 1300), sizedPacket(protoTCP, 1440), sizedPacket(protoTCP, 100)}}
	var sizes []int
	for _, p := range readAll(w, 1400, true) {
		sizes = append(sizes, len(p))
	}
	if want := []int{1300, 1400, 1440 - 1400 + ipv6HeaderLen + tcpHeaderLen, 100}; !slices.Equal(sizes, want) || len(w.in) != 0 {
		t.Errorf("packets of %v bytes and %d answers, want %v and none", sizes, len(w.in), want)
	}
}

func TestErrorsAreNotAnsweredWithErrors(t *testing.T) {
	bad := sizedPacket(protoICMP6, 1500)
	bad[ipv6HeaderLen] = 1 // destination unreachable
	w := &wire{out: [][]byte{bad}}
	if readAll(w, 1440, false); len(w.in) != 0 {
		t.Errorf("an ICMPv6 error was answered with %x", w.in[0])
	}
}

// The WireGuard device seals a packet in the buffer that it gave for it, whatever
// the slices say afterwards.
func TestBuffersStayInTheirPlaces(t *testing.T) {
	w := &wire{out: [][]byte{sizedPacket(protoTCP, 1500), sizedPacket(protoTCP, 100), sizedPacket(protoTCP, 1500), sizedPacket(protoTCP, 200)}}
	f := newFittingDevice(w, false)
	f.setPath(alice, fixedMTU(1400))
	bufs, sizes := make([][]byte, 4), make([]int, 4)
	for i := range bufs {
		bufs[i] = make([]byte, 2000)
	}
	given := slices.Clone(bufs)
	n, err := f.Read(bufs, sizes, deviceOffset)
	if n < 2 || sizes[0] != 100 || sizes[1] != 200 || err != nil {
		t.Fatalf("got %d packets of %v bytes, %v, want those that fit", n, sizes, err)
	}
	for i := range bufs {
		if &bufs[i][0] != &given[i][0] {
			t.Errorf("buffer %d is another one", i)
		}
	}
}

// Below IPv6's minimum no answer helps.
func TestPathsBelowTheMinimumCarryParts(t *testing.T) {
	w := &wire{out: [][]byte{sizedPacket(protoTCP, 1280)}}
	got := readAll(w, 1216, false)
	if len(got) != 2 || len(w.in) != 0 {
		t.Fatalf("%d packets and %d answers, want two parts", len(got), len(w.in))
	}
	for _, f := range got {
		if len(f) > 1216 {
			t.Errorf("a part of %d bytes", len(f))
		}
	}
}

func TestFragmentsMakeUpThePacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		packet := sizedPacket(protoUDP, rapid.IntRange(61, 9000).Draw(t, "size"))
		mtu := rapid.IntRange(100, 1500).Draw(t, "mtu")
		var all [][]byte
		for _, f := range fragment(packet, rapid.IntRange(mtu, 9000).Draw(t, "first"), 7) {
			all = append(all, fragment(f, mtu, 8)...) // a fragment splits like a packet
		}
		payload := make([]byte, len(packet)-ipv6HeaderLen)
		filled, ended := 0, false
		for _, f := range all {
			ip := header.IPv6(f)
			if len(f) > mtu || !ip.IsValid(len(f)) {
				t.Fatalf("fragment of %d bytes, valid: %v", len(f), ip.IsValid(len(f)))
			}
			h := header.IPv6Fragment(ip.Payload())
			if h.NextHeader() != protoUDP || h.ID() != 7 {
				t.Fatalf("next header %d of packet %d", h.NextHeader(), h.ID())
			}
			at := int(h.FragmentOffset()) * 8
			filled += copy(payload[at:], ip.Payload()[fragHeaderLen:])
			ended = ended || !h.More() && at+len(ip.Payload())-fragHeaderLen == len(payload)
		}
		if filled != len(payload) || !ended || !bytes.Equal(payload, packet[ipv6HeaderLen:]) {
			t.Errorf("%d fragments make up %d of %d bytes, end seen: %v", len(all), filled, len(payload), ended)
		}
	})
}

// The oracle for the options is gVisor's parser, that for the checksum is
// computing it anew.
func FuzzClampMSS(f *testing.F) {
	f.Add([]byte{2, 4, 0x22, 0xe0, 1, 1}, uint16(1440))
	f.Add([]byte{1, 2, 4, 0xff, 0xff, 0, 0, 0}, uint16(1280))
	f.Add([]byte{8, 0}, uint16(1280))
	f.Fuzz(func(t *testing.T, options []byte, mtu uint16) {
		options = append(options[:min(len(options), 40)], make([]byte, 3)...)
		options = options[:len(options)/4*4]
		mtu = max(mtu, 1200)
		p := ipv6Packet(self, alice, protoTCP, 1, 2, tcpSYN)[:ipv6HeaderLen+tcpHeaderLen]
		p = append(p, options...)
		binary.BigEndian.PutUint16(p[4:], uint16(tcpHeaderLen+len(options)))
		tcp := header.TCP(p[ipv6HeaderLen:])
		tcp.SetDataOffset(uint8(tcpHeaderLen + len(options)))
		pseudo := header.PseudoHeaderChecksum(header.TCPProtocolNumber, tcpip.AddrFrom16(self.As16()), tcpip.AddrFrom16(alice.As16()), uint16(len(tcp)))
		tcp.SetChecksum(0)
		tcp.SetChecksum(^checksum.Checksum(tcp, pseudo))
		before := bytes.Clone(p)

		clampMSS(p, int(mtu))
		if got := checksum.Checksum(tcp, pseudo); got != 0xffff {
			t.Errorf("checksum is off: %x", got)
		}
		was, is := header.ParseSynOptions(before[ipv6HeaderLen+tcpHeaderLen:], false), header.ParseSynOptions(p[ipv6HeaderLen+tcpHeaderLen:], false)
		if limit := mtu - ipv6HeaderLen - tcpHeaderLen; was.MSS > limit && is.MSS > limit && countMSS(options) == 1 {
			t.Errorf("MSS %d became %d, want at most %d", was.MSS, is.MSS, limit)
		}
		if changed := differing(before, p); changed > 4 {
			t.Errorf("%d bytes changed", changed)
		}
	})
}

// countMSS counts bytes that may begin an MSS option; with several, parsers
// disagree on which one counts.
func countMSS(options []byte) int { return bytes.Count(options, []byte{2, 4}) }

func differing(a, b []byte) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestFittingDoesNotAllocate(t *testing.T) {
	w := &wire{}
	f := newFittingDevice(w, true)
	f.setPath(alice, fixedMTU(1440))
	bufs, sizes := [][]byte{make([]byte, 2000)}, make([]int, 1)
	packet := [][]byte{sizedPacket(protoTCP, 1440)}
	if n := testing.AllocsPerRun(1000, func() {
		w.out = packet
		if n, _ := f.Read(bufs, sizes, deviceOffset); n != 1 {
			t.Fatal("the packet did not pass")
		}
	}); n > 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
