package derp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// listenLoopback opens a socket as the UDP relay has it, and one that it sends to.
func listenLoopback(t testing.TB, address string) (s *udpSocket, peer *net.UDPConn, at, to netip.AddrPort) {
	t.Helper()
	all, err := listenUDPRelay(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all[0].conn.Close() })
	ip := netip.MustParseAddr(address)
	peer, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { peer.Close() })
	at = netip.AddrPortFrom(ip, all[0].conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	return all[0], peer, at, peer.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Joined datagrams arrive one by one and whole, also where the kernel takes none that
// are joined; and what comes is told with where it is from.
func TestTheUDPRelaysSocketCarriesBundles(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		for _, joins := range []bool{true, false} {
			s, peer, at, to := listenLoopback(t, address)
			s.joins = joins
			var all []byte
			for i := range 20 {
				all = append(all, bytes.Repeat([]byte{byte(i)}, 100)...)
			}
			all = all[:len(all)-30] // the last is shorter
			out := []bundle{{to, all, 100}, {to, []byte("alone"), 5}}
			for range 9 { // more than go at once
				out = append(out, out[:2]...)
			}
			done := make(chan error, 1)
			go func() { done <- s.write(out) }()
			buf := make([]byte, 2000)
			for i := range 10 * 21 {
				if err := peer.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				n, err := peer.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				want := []byte("alone")
				if k := i % 21; k < 20 {
					want = all[k*100 : min(k*100+100, len(all))]
				}
				if !bytes.Equal(buf[:n], want) {
					t.Fatalf("%s, joined %v: datagram %d is %q", address, joins, i, buf[:n])
				}
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if _, err := peer.WriteToUDPAddrPort([]byte("back"), at); err != nil {
				t.Fatal(err)
			}
			in, lost, err := s.read()
			if err != nil || lost != 0 || len(in) != 1 || in[0].at != to || string(in[0].data) != "back" || in[0].count() != 1 {
				t.Errorf("%s: read %v, %d lost: %v; want it from %v", address, in, lost, err, to)
			}
		}
	}
}

// Who waits for a socket is told when it is closed.
func TestTheUDPRelaysSocketEnds(t *testing.T) {
	s, _, _, to := listenLoopback(t, "127.0.0.1")
	done := make(chan error, 1)
	go func() {
		_, _, err := s.read()
		done <- err
	}()
	s.conn.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if err := s.write([]bundle{{to, []byte("x"), 1}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
}

// What a datagram costs is not garbage.
func TestTheUDPRelayPassesOnWithoutAllocating(t *testing.T) {
	s, peer, at, to := listenLoopback(t, "127.0.0.1")
	p := startPassing(t)
	a, b, number := p.pair()
	p.bind(a, to.String(), number, 1)
	p.bind(b, "127.0.0.1:9", number, 1) // where nobody is
	packet, out := data(number, "hello"), make([]bundle, 0, 4)
	if got := testing.AllocsPerRun(200, func() {
		if _, err := peer.WriteToUDPAddrPort(packet, at); err != nil {
			t.Fatal(err)
		}
		in, _, err := s.read()
		if err != nil {
			t.Fatal(err)
		}
		out = p.pass(in[0], p.now, out[:0], p.counts)
		if len(out) != 1 || s.write(out) != nil {
			t.Fatalf("passed on %v", out)
		}
	}); got > 0 {
		t.Errorf("%v allocations a datagram", got)
	}
}

// A few bytes are moved without a word to Go's scheduler, as the idle relay's round trip
// wants; many are not, for others may want to run meanwhile.
func TestOnlyShortCallsAreKeptFromTheScheduler(t *testing.T) {
	s, peer, at, _ := listenLoopback(t, "127.0.0.1")
	for i, size := range []int{10, shortCall + 1, 10, 10} {
		if _, err := peer.WriteToUDPAddrPort(make([]byte, size), at); err != nil {
			t.Fatal(err)
		}
		in, _, err := s.read()
		if err != nil || len(in) != 1 || len(in[0].data) != size {
			t.Fatalf("read %v: %v", in, err)
		}
		if s.reading.short != (size <= shortCall) {
			t.Errorf("behind read %d, of %d bytes: the next is short: %v", i, size, s.reading.short)
		}
	}
}
