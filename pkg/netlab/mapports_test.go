package netlab

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// askForPort asks a router by NAT-PMP (RFC 6886) to map a port of the socket's
// host, and returns the outer port.
func askForPort(t *testing.T, h *Host, router netip.Addr, port uint16) uint16 {
	t.Helper()
	const mapUDP, lifetime = 1, 600
	ask := binary.BigEndian.AppendUint16([]byte{0, mapUDP, 0, 0}, port)
	ask = binary.BigEndian.AppendUint32(append(ask, 0, 0), lifetime)
	c := udp(t, h.Node, netip.IPv4Unspecified())
	if _, err := c.WriteToUDPAddrPort(ask, netip.AddrPortFrom(router, 5351)); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	answer := make([]byte, 100)
	n, err := c.Read(answer)
	if err != nil || n != 16 || answer[2] != 0 || answer[3] != 0 {
		t.Fatalf("the router answers %x (%v)", answer[:n], err)
	}
	return binary.BigEndian.Uint16(answer[10:])
}

func TestAMappedPortLetsEverybodyIn(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", Hard)
	laptop := home.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	public, stop := home.MapPorts(UPnP | NATPMP)
	port := askForPort(t, laptop, netip.MustParseAddr("192.168.1.1"), addrOf(c).Port())
	mapped := netip.AddrPortFrom(public, port)

	send(t, cs, mapped, "unasked")
	if from := receive(t, c, "unasked"); from != addrOf(cs) {
		t.Errorf("came from %v, want the server itself", from)
	}
	send(t, c, addrOf(cs), "answer")
	if from := receive(t, cs, "answer"); from != mapped {
		t.Errorf("the answer came from %v, want the mapped port %v", from, mapped)
	}
	send(t, cs, netip.AddrPortFrom(public, port+1), "not mapped")
	silent(t, c)

	stop()
	other := udp(t, server.Node, server.Addr()) // of no flow that is known
	send(t, other, mapped, "too late")
	silent(t, c)
}
