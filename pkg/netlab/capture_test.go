package netlab

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

// packet4 builds an IPv4 packet with the given words of options.
func packet4(proto byte, options int, body []byte) []byte {
	b := make([]byte, 20+4*options)
	b[0], b[9] = byte(0x40|(5+options)), proto
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(body)))
	copy(b[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	return append(b, body...)
}

// packet6 builds an IPv6 packet.
func packet6(proto byte, body []byte) []byte {
	b := make([]byte, 40)
	b[0], b[6] = 0x60, proto
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b[8], b[23], b[24], b[39] = 0xfd, 1, 0xfd, 2
	return append(b, body...)
}

// transport builds a transport header of the given length with a payload.
func transport(header int, payload string) []byte {
	b := make([]byte, header)
	binary.BigEndian.PutUint16(b, 1000)
	binary.BigEndian.PutUint16(b[2:], 2000)
	if header >= 20 {
		b[12] = byte(header/4) << 4
	}
	return append(b, payload...)
}

func TestParsePacket(t *testing.T) {
	const tcp, udp, icmp = 6, 17, 1
	ends := func(src, dst string) (s, d netip.AddrPort) {
		return netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	}
	fragment := packet4(udp, 0, transport(8, "payload"))
	fragment[7] = 100
	src4, dst4 := ends("10.0.0.1:1000", "10.0.0.2:2000")
	src6, dst6 := ends("[fd00::1]:1000", "[fd00::2]:2000")
	for name, tt := range map[string]struct {
		packet []byte
		want   Flow
		ok     bool
	}{
		"UDP over IPv4":          {packet4(udp, 0, transport(8, "payload")), Flow{true, src4, dst4}, true},
		"UDP over IPv4, options": {packet4(udp, 3, transport(8, "payload")), Flow{true, src4, dst4}, true},
		"UDP over IPv6":          {packet6(udp, transport(8, "payload")), Flow{true, src6, dst6}, true},
		"TCP over IPv4":          {packet4(tcp, 0, transport(20, "payload")), Flow{false, src4, dst4}, true},
		"TCP over IPv4, options": {packet4(tcp, 0, transport(32, "payload")), Flow{false, src4, dst4}, true},
		"TCP over IPv6":          {packet6(tcp, transport(20, "payload")), Flow{false, src6, dst6}, true},
		"ICMP":                   {packet: packet4(icmp, 0, transport(8, "payload"))},
		"UDP header cut":         {packet: packet4(udp, 0, transport(8, "")[:7])},
		"TCP options cut":        {packet: packet4(tcp, 0, transport(32, "")[:24])},
		"IPv4 options cut":       {packet: packet4(udp, 10, nil)[:30]},
		"IPv6 header cut":        {packet: packet6(udp, nil)[:39]},
		"neither IPv4 nor IPv6":  {packet: make([]byte, 60)},
		"a later fragment":       {packet: fragment},
		"nothing":                {},
	} {
		flow, payload, ok := parsePacket(tt.packet)
		if ok != tt.ok || flow != tt.want || ok && string(payload) != "payload" {
			t.Errorf("%s: %+v %q %v", name, flow, payload, ok)
		}
	}
}

func TestCaptureSeesBothFamiliesAndProtocolsBothWays(t *testing.T) {
	lab := New(t)
	server, client := lab.Host("server"), lab.Host("client")
	capture := server.Capture()
	cs, cc := udp(t, server.Node, server.Addr6()), udp(t, client.Node, client.Addr6())
	send(t, cc, addrOf(cs), "there")
	receive(t, cs, "there")
	send(t, cs, addrOf(cc), "and back")
	receive(t, cc, "and back")
	dialed, accepted := connectTCP(t, client.Node, listenTCP(t, server.Node, server.Addr()))
	carry(t, dialed, accepted, "over TCP", patience)

	flows := capture.Stop()
	for flow, want := range map[Flow]string{
		{true, addrOf(cc), addrOf(cs)}: "there",
		{true, addrOf(cs), addrOf(cc)}: "and back",
		{false, netip.MustParseAddrPort(dialed.LocalAddr().String()),
			netip.MustParseAddrPort(accepted.LocalAddr().String())}: "over TCP",
	} {
		seen := flows[flow]
		if seen.Bytes != len(want) || len(seen.Samples) != 1 || string(seen.Samples[0]) != want {
			t.Errorf("%+v: %+v, want %q", flow, seen, want)
		}
	}
}

func TestCaptureCutsSamplesAndCountsAll(t *testing.T) {
	lab := New(t)
	server, client := lab.Host("server"), lab.Host("client")
	capture := server.Capture()
	cs, cc := udp(t, server.Node, server.Addr()), udp(t, client.Node, client.Addr())
	const packets = maxSamples + 10
	text := strings.Repeat("x", sampleSize+1)
	for range packets {
		send(t, cc, addrOf(cs), text)
		receive(t, cs, text)
	}
	seen := capture.Stop()[Flow{true, addrOf(cc), addrOf(cs)}]
	if seen.Packets != packets || seen.Bytes != packets*len(text) {
		t.Errorf("%d packets, %d bytes; want %d, %d", seen.Packets, seen.Bytes, packets, packets*len(text))
	}
	if len(seen.Samples) != maxSamples || len(seen.Samples[0]) != sampleSize {
		t.Errorf("%d samples, the first of %d bytes", len(seen.Samples), len(seen.Samples[0]))
	}
}

func TestAStoppedCaptureKeepsWhatItSaw(t *testing.T) {
	lab := New(t)
	server, client := lab.Host("server"), lab.Host("client")
	capture := server.Capture()
	cs, cc := udp(t, server.Node, server.Addr()), udp(t, client.Node, client.Addr())
	send(t, cc, addrOf(cs), "before")
	receive(t, cs, "before")
	first := capture.Stop()
	send(t, cc, addrOf(cs), "after")
	receive(t, cs, "after")
	again := capture.Stop()
	flow := Flow{true, addrOf(cc), addrOf(cs)}
	if first[flow].Packets != 1 || again[flow].Packets != 1 {
		t.Errorf("first %+v, then %+v", first[flow], again[flow])
	}
}

func TestCaptureLosesNothingOfABurst(t *testing.T) {
	lab := New(t)
	server, client := lab.Host("server"), lab.Host("client")
	capture := server.Capture()
	cs, cc := udp(t, server.Node, server.Addr()), udp(t, client.Node, client.Addr())
	const packets = 20_000
	for range packets {
		send(t, cc, addrOf(cs), strings.Repeat("x", 1200))
	}
	lost, err := capture.Lost()
	if err != nil || lost != 0 {
		t.Errorf("lost %d (%v)", lost, err)
	}
	if seen := capture.Stop()[Flow{true, addrOf(cc), addrOf(cs)}]; seen.Packets != packets {
		t.Errorf("saw %d packets of %d", seen.Packets, packets)
	}
}

func TestSinglePacketsShowTheirSizes(t *testing.T) {
	lab := New(t)
	server, client := lab.Host("server"), lab.Host("client")
	client.SinglePackets()
	capture := server.Capture()
	c, accepted := connectTCP(t, client.Node, listenTCP(t, server.Node, server.Addr()))
	carry(t, c, accepted, strings.Repeat("x", 100<<10), patience)
	seen := 0
	for f, s := range capture.Stop() {
		if f.Src.Addr() == client.Addr() {
			seen = max(seen, s.Largest)
		}
	}
	if seen < 1400 || seen > 1500 {
		t.Errorf("the largest of 100 KiB of packets was of %d bytes, over Ethernet", seen)
	}
}
