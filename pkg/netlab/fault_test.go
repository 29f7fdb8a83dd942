package netlab

import (
	"strings"
	"testing"
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
