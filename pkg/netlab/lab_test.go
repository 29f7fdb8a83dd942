package netlab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// patience is how long a packet that should arrive may take, and silence how
// long one that should not is waited for. There is no distance in the lab.
const (
	patience = 2 * time.Second
	silence  = 150 * time.Millisecond
)

// udp opens a UDP socket on a node.
func udp(t *testing.T, n *Node, addr netip.Addr) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	if err := n.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func send(t *testing.T, from *net.UDPConn, to netip.AddrPort, text string) {
	t.Helper()
	// A fault on the sender shows as EPERM; it is as good as a drop.
	if _, err := from.WriteToUDPAddrPort([]byte(text), to); err != nil && !errors.Is(err, os.ErrPermission) {
		t.Fatal(err)
	}
}

// receive returns who the next packet came from.
func receive(t *testing.T, c *net.UDPConn, want string) netip.AddrPort {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 2000)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatalf("%q did not arrive: %v", want, err)
	}
	if got := string(buf[:n]); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	return from
}

// eventually sends a packet again and again until it arrives.
func eventually(t *testing.T, from, to *net.UDPConn, text string) {
	t.Helper()
	buf := make([]byte, 2000)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		send(t, from, addrOf(to), text)
		to.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, _, err := to.ReadFromUDPAddrPort(buf); err == nil && string(buf[:n]) == text {
			return
		}
	}
	t.Fatalf("%q did not arrive within %v", text, patience)
}

func silent(t *testing.T, c *net.UDPConn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(silence))
	buf := make([]byte, 2000)
	if n, from, err := c.ReadFromUDPAddrPort(buf); err == nil {
		t.Fatalf("%q arrived from %v, want nothing", buf[:n], from)
	}
}

func TestNATKinds(t *testing.T) {
	for _, tt := range []struct {
		nat NAT
		// sameMapping: two servers see one address.
		sameMapping bool
		// stranger: somebody never sent to gets in through the mapping.
		stranger bool
		// translated: servers do not see the inner address.
		translated bool
	}{
		{NoNAT, true, true, false},
		{FullCone, true, true, true},
		{PortRestricted, true, false, true},
		{Hard, false, false, true},
	} {
		t.Run(tt.nat.String(), func(t *testing.T) {
			lab := New(t)
			s1, s2, eve := lab.Host("s1"), lab.Host("s2"), lab.Host("eve")
			home := lab.Router("home", tt.nat)
			laptop := home.Host("laptop")
			c1, c2, c3 := udp(t, s1.Node, s1.Addr()), udp(t, s2.Node, s2.Addr()), udp(t, eve.Node, eve.Addr())
			c := udp(t, laptop.Node, laptop.Addr())

			send(t, c, addrOf(c1), "one")
			seen1 := receive(t, c1, "one")
			send(t, c, addrOf(c2), "two")
			seen2 := receive(t, c2, "two")
			if (seen1 == seen2) != tt.sameMapping {
				t.Errorf("servers saw %v and %v", seen1, seen2)
			}
			wantIP := laptop.Addr()
			if tt.translated {
				wantIP = home.Addr()
			}
			if seen1.Addr() != wantIP {
				t.Errorf("server saw %v, want %v", seen1.Addr(), wantIP)
			}
			send(t, c1, seen1, "answer")
			if from := receive(t, c, "answer"); from != addrOf(c1) {
				t.Errorf("answer came from %v", from)
			}
			send(t, c3, seen1, "stranger")
			if tt.stranger {
				receive(t, c, "stranger")
			} else {
				silent(t, c)
			}
		})
	}
}

func TestTwoHostsBehindOneRouterMeetAndReachOut(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	a, b := home.Host("a"), home.Host("b")
	ca, cb, cs := udp(t, a.Node, a.Addr()), udp(t, b.Node, b.Addr()), udp(t, server.Node, server.Addr())
	send(t, ca, addrOf(cb), "hello")
	if from := receive(t, cb, "hello"); from != addrOf(ca) {
		t.Errorf("b saw %v, want %v", from, addrOf(ca))
	}
	send(t, cb, addrOf(cs), "out")
	receive(t, cs, "out")
}

func TestDoubleNAT(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	carrier := lab.Router("carrier", PortRestricted)
	laptop := carrier.Router("home", PortRestricted).Host("laptop")
	cs, cl := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	send(t, cl, addrOf(cs), "out")
	seen := receive(t, cs, "out")
	if seen.Addr() != carrier.Addr() {
		t.Errorf("server saw %v, want the carrier's %v", seen, carrier.Addr())
	}
	send(t, cs, seen, "back")
	receive(t, cl, "back")
}

func TestIPv6IsRoutedAndFiltered(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	laptop := lab.Router("carrier", PortRestricted).Router("home", PortRestricted).Host("laptop")
	cs, cl := udp(t, server.Node, server.Addr6()), udp(t, laptop.Node, laptop.Addr6())
	send(t, cs, addrOf(cl), "uninvited")
	silent(t, cl)
	send(t, cl, addrOf(cs), "out")
	if from := receive(t, cs, "out"); from != addrOf(cl) {
		t.Errorf("server saw %v, want %v untranslated", from, addrOf(cl))
	}
	send(t, cs, addrOf(cl), "back")
	receive(t, cl, "back")
}

func TestOneFamilyOnly(t *testing.T) {
	lab := New(t)
	server, four, six := lab.Host("server"), lab.Host("four"), lab.Host("six")
	four.IPv4Only()
	six.IPv6Only()
	reach := func(h *Host, to netip.Addr) error {
		return h.Do(func() error {
			conn, err := net.Dial("udp", netip.AddrPortFrom(to, 9).String())
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
	for name, ok := range map[string]bool{
		"four by IPv4": reach(four, server.Addr()) == nil,
		"four by IPv6": reach(four, server.Addr6()) != nil,
		"six by IPv4":  reach(six, server.Addr()) != nil,
		"six by IPv6":  reach(six, server.Addr6()) == nil,
	} {
		if !ok {
			t.Errorf("%s is not as it should be", name)
		}
	}
}

func TestFaultsComeAndGo(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	cs, cl := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	works := func(when string) {
		t.Helper()
		send(t, cl, addrOf(cs), when)
		receive(t, cs, when)
	}
	works("before")
	for _, n := range []*Node{home.Node, laptop.Node, server.Node} {
		heal := n.Fault(BlockUDP())
		send(t, cl, addrOf(cs), "blocked")
		silent(t, cs)
		heal()
		works("healed")
	}

	heal := home.Fault(DropLargeUDP(100))
	works(strings.Repeat("s", 100))
	send(t, cl, addrOf(cs), strings.Repeat("l", 101))
	silent(t, cs)
	heal()

	laptop.Unplug()
	send(t, cl, addrOf(cs), "unplugged")
	silent(t, cs)
	laptop.Plug()
	eventually(t, cl, cs, "plugged in")

	home.ForgetFlows()
	eventually(t, cl, cs, "after the router forgot")
}

func TestOnlyTCP443(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	office := lab.Router("office", PortRestricted)
	laptop := office.Host("laptop")
	office.Fault(OnlyTCP(443))
	dial := func(port uint16) error {
		var l net.Listener
		if err := server.Do(func() (err error) {
			l, err = net.Listen("tcp", netip.AddrPortFrom(server.Addr(), port).String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return laptop.Do(func() error {
			conn, err := net.DialTimeout("tcp", l.Addr().String(), 300*time.Millisecond)
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
	if err := dial(443); err != nil {
		t.Errorf("port 443: %v", err)
	}
	if err := dial(80); err == nil {
		t.Error("port 80 got through")
	}
	cs, cl := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	send(t, cl, addrOf(cs), "UDP")
	silent(t, cs)
}

func TestCaptureTellsFlowsApart(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home := lab.Router("home", PortRestricted)
	laptop := home.Host("laptop")
	capture := server.Capture()
	cs, cl := udp(t, server.Node, server.Addr()), udp(t, laptop.Node, laptop.Addr())
	send(t, cl, addrOf(cs), "payload")
	seen := receive(t, cs, "payload")
	flow, ok := capture.Stop()[Flow{UDP: true, Src: seen, Dst: addrOf(cs)}]
	if !ok || flow.Packets != 1 || string(flow.Samples[0]) != "payload" {
		t.Errorf("capture saw %+v", flow)
	}
}

func TestProgramsRunOnTheirHost(t *testing.T) {
	lab := New(t)
	host := lab.Host("host")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := host.Output(ctx, "cat", "/proc/net/fib_trie")
	if err != nil || !strings.Contains(out, host.Addr().String()) {
		t.Errorf("the program does not see %v (%v)", host.Addr(), err)
	}
	if _, err := host.Output(ctx, "sh", "-c", "echo why >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("a failing program: %v", err)
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 8, 0, 0})
	// Whatever comes, the payload is a part of the packet.
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, payload, ok := parsePacket(b); ok && len(payload) > len(b) {
			t.Errorf("payload of %d bytes in %d", len(payload), len(b))
		}
	})
}
