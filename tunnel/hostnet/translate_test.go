package hostnet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

var (
	here4 = netip.MustParseAddr("100.112.0.1")
	cold4 = netip.MustParseAddr("100.112.7.9")
)

// ipv4 makes a packet with good checksums, by gVisor.
func ipv4(proto byte, src, dst netip.Addr, body []byte) []byte {
	p := make([]byte, ipv4HeaderLen+len(body))
	header.IPv4(p).Encode(&header.IPv4Fields{
		TotalLength: uint16(len(p)), TTL: 64, Protocol: proto, TOS: 0x2e << 2,
		SrcAddr: tcpip.AddrFrom4(src.As4()), DstAddr: tcpip.AddrFrom4(dst.As4()),
	})
	header.IPv4(p).SetChecksum(^header.IPv4(p).CalculateChecksum())
	copy(p[ipv4HeaderLen:], body)
	sum(p[ipv4HeaderLen:], proto, p[12:20])
	return p
}

// sum sets the checksum of what is behind the header of IP.
func sum(body []byte, proto byte, addrs []byte) {
	at := checksumAt(proto)
	body[at], body[at+1] = 0, 0
	binary.BigEndian.PutUint16(body[at:], ^bodySum(body, proto, addrs))
}

// bodySum is 0xffff for a body whose checksum is good.
func bodySum(body []byte, proto byte, addrs []byte) uint16 {
	if proto == nextICMP {
		return checksum.Checksum(body, 0)
	}
	pseudo := checksum.Combine(checksum.Checksum(addrs, 0), uint16(len(body)))
	return checksum.Checksum(body, checksum.Combine(pseudo, uint16(proto)))
}

func bodyOf(proto byte) []byte {
	body := make([]byte, 33)
	for i := range body {
		body[i] = byte(i * 7)
	}
	switch proto {
	case nextUDP:
		binary.BigEndian.PutUint16(body[4:], uint16(len(body)))
	case nextTCP:
		body[12] = 5 << 4
	case nextICMP:
		body[0], body[1] = 8, 0
	}
	return body
}

// Whatever leaves as IPv4 is good IPv6, and its answer is good IPv4 again.
func TestIPv4ThereAndBack(t *testing.T) {
	for name, proto := range map[string]byte{"TCP": nextTCP, "UDP": nextUDP, "echo": nextICMP} {
		t.Run(name, func(t *testing.T) {
			g := NewGate(newPipeDevice(t), func(netip.Addr) {})
			g.SetIPv4(here, here4, map[netip.Addr]netip.Addr{cold: cold4})
			p := ipv4(proto, here4, cold4, bodyOf(proto))
			buf := make([]byte, 200)
			copy(buf, p)
			size := g.ipv4.outward(buf, len(p))
			out := buf[:size]
			if size != len(p)+ipv6HeaderLen-ipv4HeaderLen || out[1]>>4|out[0]<<4 != 0x2e<<2 {
				t.Fatalf("%x", out)
			}
			next := proto
			if proto == nextICMP {
				next = nextICMPv6
			}
			if out[6] != next || netip.AddrFrom16([16]byte(out[8:])) != here || netip.AddrFrom16([16]byte(out[24:])) != cold ||
				bodySum(out[ipv6HeaderLen:], next, out[8:40]) != 0xffff {
				t.Errorf("as IPv6: %x", out)
			}

			answer := bytes.Clone(out)
			copy(answer[8:], out[24:40])
			copy(answer[24:], out[8:24])
			body := answer[ipv6HeaderLen:]
			if next == nextICMPv6 {
				body[0] = typeEchoReply
			} else {
				copy(body, []byte{out[42], out[43], out[40], out[41]}) // ports
			}
			sum(body, next, answer[8:40])
			foreign := bytes.Clone(answer)
			size = g.ipv4.inward(answer)
			back := answer[:size]
			if size != len(p) || back[9] != proto || !header.IPv4(back).IsChecksumValid() || bodySum(back[ipv4HeaderLen:], proto, back[12:20]) != 0xffff ||
				netip.AddrFrom4([4]byte(back[12:])) != cold4 || netip.AddrFrom4([4]byte(back[16:])) != here4 {
				t.Errorf("back as IPv4: %x", back)
			}
			foreign[ipv6HeaderLen+2]++ // another port of ours
			foreign[ipv6HeaderLen+4]++ // another echo of ours
			if g.ipv4.inward(foreign) != 0 {
				t.Error("what nobody sent as IPv4 became that")
			}
		})
	}
}

// Who speaks IPv4 to a peer that does not answer is told in IPv4.
func TestErrorsComeBackAsIPv4(t *testing.T) {
	for name, proto := range map[string]byte{"TCP": nextTCP, "UDP": nextUDP, "echo": nextICMP} {
		g := newGated(t)
		g.SetPeers([]netip.Addr{cold})
		g.SetIPv4(here, here4, map[netip.Addr]netip.Addr{cold: cold4})
		p := ipv4(proto, here4, cold4, bodyOf(proto))
		g.dev.send(t, p)
		next(t, "cold is asked for", g.asked)
		g.Failed(cold)
		answer := next(t, "an answer", g.dev.written)
		icmp, quoted := answer[ipv4HeaderLen:], answer[ipv4HeaderLen+icmpHeaderLen:]
		if answer[0]>>4 != 4 || !header.IPv4(answer).IsChecksumValid() || checksum.Checksum(icmp, 0) != 0xffff || icmp[0] != 3 || icmp[1] != 1 ||
			!bytes.Equal(quoted[12:20], p[12:20]) || quoted[9] != proto || !bytes.Equal(quoted[ipv4HeaderLen:ipv4HeaderLen+2], p[ipv4HeaderLen:ipv4HeaderLen+2]) {
			t.Errorf("%s: %x", name, answer)
		}
	}
}

// No packet makes the translation reach outside of it; the oracle is gVisor, which
// takes what comes out for whole.
func FuzzTranslate(f *testing.F) {
	for _, proto := range []byte{nextTCP, nextUDP, nextICMP} {
		f.Add(ipv4(proto, here4, cold4, bodyOf(proto)))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 2000 {
			return
		}
		g := NewGate(newPipeDevice(t), func(netip.Addr) {})
		g.SetIPv4(here, here4, map[netip.Addr]netip.Addr{cold: cold4})
		buf := make([]byte, 2100)
		copy(buf, p)
		if n := g.ipv4.outward(buf, len(p)); n > 0 && !header.IPv6(buf[:n]).IsValid(n) {
			t.Errorf("%x became %x", p, buf[:n])
		}
		q := bytes.Clone(p)
		if n := g.ipv4.inward(q); n > 0 && !header.IPv4(q[:n]).IsValid(n) {
			t.Errorf("%x became %x", p, q[:n])
		}
	})
}

func TestPoolsAvoidWhatIsInUse(t *testing.T) {
	prefix := netip.MustParsePrefix
	usual, err := PickPool(netip.Prefix{}, []netip.Prefix{prefix("0.0.0.0/0"), prefix("10.0.0.0/8")})
	if err != nil || !prefix("100.64.0.0/10").Contains(usual.Addr()) {
		t.Errorf("usually %v (%v)", usual, err)
	}
	if stays, _ := PickPool(usual, []netip.Prefix{prefix("100.64.0.0/16")}); stays != usual {
		t.Errorf("moved to %v without need", stays)
	}
	for _, used := range []string{usual.String(), usual.Addr().Next().String() + "/32", "100.0.0.0/8"} {
		moved, err := PickPool(usual, []netip.Prefix{prefix(used).Masked()})
		if err != nil || moved.Overlaps(prefix(used)) {
			t.Errorf("beside %s it is %v (%v)", used, moved, err)
		}
	}
	if p, err := PickPool(usual, []netip.Prefix{prefix("0.0.0.0/1"), prefix("128.0.0.0/1")}); err == nil {
		t.Errorf("found %v where nothing is free", p)
	}
}

func TestAddressesStayWithTheirPeers(t *testing.T) {
	pool := netip.MustParsePrefix("100.112.0.0/16")
	var addrs []netip.Addr
	for i := range 3000 {
		raw := here.As16()
		binary.BigEndian.PutUint16(raw[14:], uint16(i))
		addrs = append(addrs, netip.AddrFrom16(raw))
	}
	self, all := Assign(pool, nil, addrs)
	seen := map[netip.Addr]bool{self: true}
	for _, a := range addrs {
		if to := all[a]; !pool.Contains(to) || seen[to] {
			t.Fatalf("%v has %v", a, to)
		}
		seen[all[a]] = true
	}
	_, fewer := Assign(pool, all, addrs[1000:])
	for _, a := range addrs[1000:] {
		if fewer[a] != all[a] {
			t.Errorf("%v had %v and has %v", a, all[a], fewer[a])
		}
	}
}
