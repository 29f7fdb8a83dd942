package netlab

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestBlockedUDPLeavesTCPAlone(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	client, accepted := connectTCP(t, laptop.Node, listenTCP(t, server.Node, server.Addr()))
	home.Fault(BlockUDP())
	carry(t, client, accepted, "an old connection", patience)
	client, accepted = connectTCP(t, laptop.Node, listenTCP(t, server.Node, server.Addr()))
	carry(t, client, accepted, "and a new one", patience)
}

func TestBlockedUDPIsBlockedBothWays(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	send(t, c, addrOf(cs), "out")
	seen := receive(t, cs, "out")
	heal := home.Fault(BlockUDP())
	send(t, cs, seen, "through an open mapping")
	silent(t, c)
	heal()
	send(t, cs, seen, "healed")
	receive(t, c, "healed")
}

func TestFaultsHoldForIPv6(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr6()), udp(t, laptop.Node, laptop.Addr6())
	send(t, c, addrOf(cs), "where are you") // or the first that is dropped waits for that and comes late
	receive(t, cs, "where are you")
	for _, f := range []Fault{BlockUDP(), OnlyTCP(443), DropLargeUDP(100)} {
		heal := home.Fault(f)
		send(t, c, addrOf(cs), strings.Repeat("x", 101))
		silent(t, cs)
		heal()
		send(t, c, addrOf(cs), "healed")
		receive(t, cs, "healed")
	}
}

func TestFaultsOfDifferentKindsAddUp(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	healBlock, healLarge := home.Fault(BlockUDP()), home.Fault(DropLargeUDP(10))
	healBlock()
	send(t, c, addrOf(cs), "too large by far")
	silent(t, cs)
	send(t, c, addrOf(cs), "small")
	receive(t, cs, "small")
	healLarge()
	send(t, c, addrOf(cs), "too large by far")
	receive(t, cs, "too large by far")
}

func TestTCPOutlivesAPulledCable(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	client, accepted := connectTCP(t, laptop.Node, listenTCP(t, server.Node, server.Addr()))
	home.Unplug()
	home.Plug()
	// What was sent meanwhile is sent again, in the kernel's own time.
	carry(t, client, accepted, "still here", 5*patience)
}

// Addresses and routes of both families are back with the cable.
func TestBothFamiliesComeBackWithTheCable(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	cs4, cs6 := udp(t, server.Node, server.Addr()), udp(t, server.Node, server.Addr6())
	c4, c6 := udp(t, laptop.Node, laptop.Addr()), udp(t, laptop.Node, laptop.Addr6())
	laptop.Unplug()
	laptop.Plug()
	home.Unplug()
	home.Plug()
	eventually(t, c4, cs4, "by IPv4")
	eventually(t, c6, cs6, "by IPv6")
}

func TestHealTakesOneFaultOnce(t *testing.T) {
	lab := New(t)
	server, laptop := lab.Host("server"), lab.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	laptop.Fault(DropLargeUDP(10))
	heal := laptop.Fault(DropLargeUDP(100))
	heal()
	heal()
	send(t, c, addrOf(cs), "still too large")
	silent(t, cs)
}

func TestDropWireGuardLetsOtherUDPPass(t *testing.T) {
	lab := New(t)
	server, laptop := lab.Host("server"), lab.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	heal := laptop.Fault(DropWireGuard())
	for kind := byte(1); kind <= 4; kind++ {
		send(t, c, addrOf(cs), string([]byte{kind, 0, 0, 0})+"sealed")
		silent(t, cs)
	}
	for _, text := range []string{"\x04\x00\x00", "\x05\x00\x00\x00", "\x01\x01\x00\x00", "TS"} {
		send(t, c, addrOf(cs), text)
		receive(t, cs, text)
	}
	heal()
	send(t, c, addrOf(cs), "\x04\x00\x00\x00sealed")
	receive(t, cs, "\x04\x00\x00\x00sealed")
}

func TestSwallowTooBigMakesABlackHoleForAllButTCP(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	carrier := lab.Router("carrier", NoNAT)
	home := carrier.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	carrier.SetMTU(1300)
	for _, r := range []*Router{carrier, home} {
		r.Fault(SwallowTooBig(1300))
	}
	for _, tt := range []struct {
		name           string
		server, laptop netip.Addr
		level, option  int
	}{
		{"IPv4", server.Addr(), laptop.Addr(), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER},
		{"IPv6", server.Addr6(), laptop.Addr6(), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cs, c := udp(t, server.Node, tt.server), udp(t, laptop.Node, tt.laptop)
			dontFragment(t, c, tt.level, tt.option)
			for range 3 { // the first would bring the news, the next would not be sent
				send(t, c, addrOf(cs), strings.Repeat("x", 1400))
				silent(t, cs)
			}
			text := strings.Repeat("x", 100<<10)
			client, accepted := connectTCP(t, laptop.Node, listenTCP(t, server.Node, tt.server))
			carry(t, client, accepted, text, patience)
			carry(t, accepted, client, text, patience)
		})
	}
}

func TestBlockUDPWithOneAddressAlone(t *testing.T) {
	lab := New(t)
	one, other, laptop := lab.Host("one"), lab.Host("other"), lab.Host("laptop")
	c1, c2, c := udp(t, one.Node, one.Addr()), udp(t, other.Node, other.Addr()), udp(t, laptop.Node, laptop.Addr())
	laptop.Fault(BlockUDPWith(one.Addr()))
	send(t, c, addrOf(c1), "there")
	silent(t, c1)
	send(t, c1, addrOf(c), "and back")
	silent(t, c)
	send(t, c, addrOf(c2), "to others")
	receive(t, c2, "to others")
}

func TestResetOnEndsWhatSaysIt(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	l := listenTCP(t, server.Node, server.Addr())
	client, accepted := connectTCP(t, laptop.Node, l)
	home.Fault(ResetOn("GET /derp"))
	carry(t, client, accepted, "GET /else", patience)
	if _, err := client.Write([]byte("GET /derp HTTP/1.1")); err != nil {
		t.Fatal(err)
	}
	client.SetReadDeadline(time.Now().Add(patience))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}
