package netlab

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// udpAt opens a UDP socket on a node, on a port of the test's choice.
func udpAt(t *testing.T, n *Node, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	if err := n.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// listenTCP opens a listener on a node, on a port of the system's choice.
func listenTCP(t *testing.T, n *Node, addr netip.Addr) net.Listener {
	t.Helper()
	var l net.Listener
	if err := n.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connectTCP connects a node with a listener and returns both ends.
func connectTCP(t *testing.T, from *Node, l net.Listener) (client, server net.Conn) {
	t.Helper()
	if err := from.Do(func() (err error) {
		client, err = net.DialTimeout("tcp", l.Addr().String(), patience)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// carry sends text over a connection and wants it at the other end in time.
func carry(t *testing.T, from, to net.Conn, text string, within time.Duration) {
	t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		t.Fatal(err)
	}
	to.SetReadDeadline(time.Now().Add(within))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Fatalf("got %q (%v), want %q", got, err, text)
	}
}

func TestFilteringLooksAtThePortToo(t *testing.T) {
	for _, nat := range []NAT{PortRestricted, Hard} {
		t.Run(nat.String(), func(t *testing.T) {
			lab := New(t)
			server := lab.Host("server")
			laptop := lab.Router("home", nat).Host("laptop")
			known, other := udp(t, server.Node, server.Addr()), udp(t, server.Node, server.Addr())
			c := udp(t, laptop.Node, laptop.Addr())
			send(t, c, addrOf(known), "out")
			seen := receive(t, known, "out")
			send(t, other, seen, "from a port never sent to")
			silent(t, c)
		})
	}
}

func TestAFlowKeepsItsMapping(t *testing.T) {
	for _, nat := range []NAT{FullCone, PortRestricted, Hard} {
		t.Run(nat.String(), func(t *testing.T) {
			lab := New(t)
			server := lab.Host("server")
			laptop := lab.Router("home", nat).Host("laptop")
			cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
			send(t, c, addrOf(cs), "first")
			first := receive(t, cs, "first")
			send(t, c, addrOf(cs), "second")
			if second := receive(t, cs, "second"); second != first {
				t.Errorf("server saw %v, then %v", first, second)
			}
		})
	}
}

// What knocks before the mapping exists must not cost it its port: that is how
// two peers who probe each other at the same moment meet.
func TestUninvitedPacketsDoNotSpoilTheMapping(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	mapped := netip.AddrPortFrom(home.Addr(), addrOf(c).Port())
	send(t, cs, mapped, "too early")
	silent(t, c)
	send(t, c, addrOf(cs), "out")
	if seen := receive(t, cs, "out"); seen != mapped {
		t.Errorf("server saw %v, want %v", seen, mapped)
	}
}

// Two hosts behind NATs learn their mappings from a server and send to each
// other at once. Whether they meet is what the kinds are about.
func TestHolePunching(t *testing.T) {
	for _, tt := range []struct {
		a, b NAT
		meet bool
	}{
		{PortRestricted, PortRestricted, true},
		{FullCone, Hard, true},
		{PortRestricted, Hard, false},
		{Hard, Hard, false},
	} {
		t.Run(tt.a.String()+" and "+tt.b.String(), func(t *testing.T) {
			lab := New(t)
			server := lab.Host("server")
			home, office := lab.Router("home", tt.a), lab.Router("office", tt.b)
			laptop, devbox := home.Host("laptop"), office.Host("devbox")
			stun := udp(t, server.Node, server.Addr())
			ca, cb := udp(t, laptop.Node, laptop.Addr()), udp(t, devbox.Node, devbox.Addr())
			send(t, ca, addrOf(stun), "who is the laptop?")
			a := receive(t, stun, "who is the laptop?")
			send(t, cb, addrOf(stun), "who is the devbox?")
			b := receive(t, stun, "who is the devbox?")

			send(t, ca, b, "opens the hole")
			send(t, cb, a, "ping")
			if !tt.meet {
				silent(t, ca)
				return
			}
			from := receive(t, ca, "ping")
			send(t, ca, from, "pong")
			// The opening packet went through if b's mapping let it.
			cb.SetReadDeadline(time.Now().Add(patience))
			buf := make([]byte, 100)
			for {
				n, _, err := cb.ReadFromUDPAddrPort(buf)
				if err != nil {
					t.Fatalf("pong did not arrive: %v", err)
				}
				if string(buf[:n]) == "pong" {
					return
				}
			}
		})
	}
}

// Two hosts with one source port and one destination cannot share the outer
// port: the second gets another, and each gets its own answers.
func TestOnePortWantedByTwoHosts(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	a, b := home.Host("a"), home.Host("b")
	const port = 41641
	cs := udp(t, server.Node, server.Addr())
	ca := udpAt(t, a.Node, netip.AddrPortFrom(a.Addr(), port))
	cb := udpAt(t, b.Node, netip.AddrPortFrom(b.Addr(), port))
	send(t, ca, addrOf(cs), "a")
	seenA := receive(t, cs, "a")
	send(t, cb, addrOf(cs), "b")
	seenB := receive(t, cs, "b")
	if seenA.Port() != port || seenB.Port() == port {
		t.Errorf("server saw %v and %v", seenA, seenB)
	}
	send(t, cs, seenB, "to b")
	receive(t, cb, "to b")
	send(t, cs, seenA, "to a")
	receive(t, ca, "to a")
}

func TestForgetFlowsShutsTheMapping(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	send(t, c, addrOf(cs), "out")
	seen := receive(t, cs, "out")
	send(t, cs, seen, "known")
	receive(t, c, "known")
	home.ForgetFlows()
	send(t, cs, seen, "forgotten")
	silent(t, c)
}

func TestForgetFlowsMovesAHardMapping(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", Hard)
	laptop := home.Host("laptop")
	cs, c := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	send(t, c, addrOf(cs), "before")
	before := receive(t, cs, "before")
	home.ForgetFlows()
	send(t, c, addrOf(cs), "after")
	if after := receive(t, cs, "after"); after == before {
		t.Errorf("server saw %v before and after", before)
	}
}

func TestTCPGoesOutThroughEveryKindAndInThroughNone(t *testing.T) {
	for _, nat := range []NAT{FullCone, PortRestricted, Hard} {
		t.Run(nat.String(), func(t *testing.T) {
			lab := New(t)
			server := lab.Host("server")
			home := lab.Router("home", nat)
			laptop := home.Host("laptop")
			client, accepted := connectTCP(t, laptop.Node, listenTCP(t, server.Node, server.Addr()))
			carry(t, client, accepted, "out", patience)
			carry(t, accepted, client, "back", patience)

			inside := listenTCP(t, laptop.Node, laptop.Addr())
			mapped := netip.AddrPortFrom(home.Addr(), inside.Addr().(*net.TCPAddr).AddrPort().Port())
			if err := server.Do(func() error {
				conn, err := net.DialTimeout("tcp", mapped.String(), silence)
				if err == nil {
					conn.Close()
				}
				return err
			}); err == nil {
				t.Errorf("%v let TCP in", mapped)
			}
		})
	}
}

// The harder of two NATs in a row is what the internet sees.
func TestDoubleNATIsAsHardAsItsHarder(t *testing.T) {
	for _, tt := range []struct{ carrier, home NAT }{{Hard, PortRestricted}, {PortRestricted, Hard}} {
		t.Run(tt.carrier.String()+" over "+tt.home.String(), func(t *testing.T) {
			lab := New(t)
			s1, s2 := lab.Host("s1"), lab.Host("s2")
			laptop := lab.Router("carrier", tt.carrier).Router("home", tt.home).Host("laptop")
			c1, c2 := udp(t, s1.Node, s1.Addr()), udp(t, s2.Node, s2.Addr())
			c := udp(t, laptop.Node, laptop.Addr())
			send(t, c, addrOf(c1), "one")
			seen1 := receive(t, c1, "one")
			send(t, c, addrOf(c2), "two")
			if seen2 := receive(t, c2, "two"); seen1 == seen2 {
				t.Errorf("both servers saw %v", seen1)
			}
		})
	}
}

func TestFullConeLetsNoIPv6In(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	laptop := lab.Router("home", FullCone).Host("laptop")
	cs, c := udp(t, server.Node, server.Addr6()), udp(t, laptop.Node, laptop.Addr6())
	send(t, cs, addrOf(c), "uninvited")
	silent(t, c)
}
