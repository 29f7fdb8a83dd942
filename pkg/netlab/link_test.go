package netlab

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAHostMoves(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	home, office := lab.Router("home", PortRestricted), lab.Router("office", Hard)
	laptop := home.Host("laptop")
	cs := udp(t, server.Node, server.Addr())
	c := udp(t, laptop.Node, netip.IPv4Unspecified())
	for _, step := range []struct {
		to   Network
		seen netip.Addr
	}{{office, office.Addr()}, {home, home.Addr()}, {lab, netip.Addr{}}} {
		old := laptop.Addr()
		laptop.MoveTo(step.to)
		if laptop.Addr() == old {
			t.Errorf("still %v", old)
		}
		want := step.seen
		if !want.IsValid() {
			want = laptop.Addr()
		}
		send(t, c, addrOf(cs), "from here")
		seen := receive(t, cs, "from here")
		if seen.Addr() != want {
			t.Errorf("server saw %v, want %v", seen, want)
		}
		send(t, cs, seen, "back")
		receive(t, c, "back")
	}
}

func TestAMovedHostKeepsItsFamily(t *testing.T) {
	lab := New(t)
	home := lab.Router("home", PortRestricted)
	four, six := lab.Host("four"), lab.Host("six")
	four.IPv4Only()
	six.IPv6Only()
	four.MoveTo(home)
	six.MoveTo(home)
	if four.Addr6().IsValid() || !four.Addr().IsValid() || six.Addr().IsValid() || !six.Addr6().IsValid() {
		t.Errorf("four has %v and %v, six %v and %v", four.Addr(), four.Addr6(), six.Addr(), six.Addr6())
	}
}

// dontFragment makes a socket send whole packets or fail.
func dontFragment(t *testing.T, c *net.UDPConn, level, option int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), level, option, unix.IP_PMTUDISC_DO)
	}); errors.Join(ctlErr, err) != nil {
		t.Fatal(ctlErr, err)
	}
}

// The narrow network is in the middle: neither end is on it.
func TestRoutersSayPacketTooBig(t *testing.T) {
	lab := New(t)
	server := lab.Host("server")
	carrier := lab.Router("carrier", PortRestricted)
	laptop := carrier.Router("home", PortRestricted).Host("laptop")
	carrier.SetMTU(1300)
	for _, tt := range []struct {
		name           string
		server, laptop netip.Addr
		level, option  int
		headers        int
	}{
		{"IPv4", server.Addr(), laptop.Addr(), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, 28},
		{"IPv6", server.Addr6(), laptop.Addr6(), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, 48},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cs, c := udp(t, server.Node, tt.server), udp(t, laptop.Node, tt.laptop)
			dontFragment(t, cs, tt.level, tt.option)
			dontFragment(t, c, tt.level, tt.option)
			fits := strings.Repeat("f", 1300-tt.headers)
			send(t, c, addrOf(cs), fits)
			seen := receive(t, cs, fits)
			for from, to := range map[*net.UDPConn]netip.AddrPort{c: addrOf(cs), cs: seen} {
				learned := false
				for deadline := time.Now().Add(patience); !learned && time.Now().Before(deadline); {
					_, err := from.WriteToUDPAddrPort([]byte(fits+"x"), to)
					if learned = errors.Is(err, syscall.EMSGSIZE); err != nil && !learned {
						t.Fatal(err)
					}
				}
				if !learned {
					t.Errorf("%v was never told", from.LocalAddr())
				}
			}
			send(t, cs, seen, fits)
			receive(t, c, fits)
		})
	}
}

func TestLimitRate(t *testing.T) {
	lab := New(t)
	server, laptop := lab.Host("server"), lab.Host("laptop")
	client, accepted := connectTCP(t, laptop.Node, listenTCP(t, server.Node, server.Addr()))
	// The first burst goes at once, so count what comes after it.
	const rate, size = 8_000_000, 300 << 10
	const least = (size - rateBurst) * 8 * time.Second / rate
	took := func() time.Duration {
		begin := time.Now()
		sent := make(chan error, 1)
		go func() {
			_, err := client.Write(make([]byte, size))
			sent <- err
		}()
		accepted.SetReadDeadline(time.Now().Add(5 * patience))
		_, err := io.CopyN(io.Discard, accepted, size)
		if err := errors.Join(err, <-sent); err != nil {
			t.Fatal(err)
		}
		return time.Since(begin)
	}
	heal := laptop.LimitRate(rate)
	if d := took(); d < least {
		t.Errorf("limited, it took %v, want at least %v", d, least)
	}
	heal()
	heal()
	if d := took(); d > least {
		t.Errorf("without a limit, it took %v", d)
	}
}
