package derp

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenLoopback opens a socket as the UDP relay has it, and one that it sends to.
func listenLoopback(t testing.TB, address string) (s *udpSocket, peer *net.UDPConn, at, to netip.AddrPort) {
	t.Helper()
	all, err := listenUDPRelay(":0", 1)
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

// A call that Go's scheduler is not told of copies little, however much waits; the next,
// which is told, takes the rest.
func TestAShortCallCopiesLittle(t *testing.T) {
	s, peer, at, _ := listenLoopback(t, "127.0.0.1")
	const datagrams, size = 5, shortCall + 1
	for range datagrams {
		if _, err := peer.WriteToUDPAddrPort(make([]byte, size), at); err != nil {
			t.Fatal(err)
		}
	}
	for got := 0; got < datagrams; {
		short := s.reading.short
		in, lost, err := s.read()
		if err != nil || lost != 0 {
			t.Fatalf("%d lost: %v", lost, err)
		}
		if short && len(in) > 2 {
			t.Errorf("a short call read %d datagrams of %d bytes", len(in), size)
		}
		if short != (got == 0) {
			t.Errorf("behind %d datagrams, the call is short: %v", got, short)
		}
		got += len(in)
	}
}

// Two that want the same port do not share it, whoever is first, and one gets it.
func TestAUDPRelaysPortIsItsOwn(t *testing.T) {
	probe, _, at, _ := listenLoopback(t, "127.0.0.1")
	probe.conn.Close()
	for range 50 {
		var got [2][]*udpSocket
		var failed [2]error
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i], failed[i] = listenUDPRelay(at.String(), 4) })
		}
		wg.Wait()
		if len(got[0])+len(got[1]) != 4 || !errors.Is(errors.Join(failed[:]...), unix.EADDRINUSE) {
			t.Fatalf("%d and %d sockets: %v", len(got[0]), len(got[1]), failed)
		}
		for _, s := range append(got[0], got[1]...) {
			s.conn.Close()
		}
	}
}

// Each of a relay's sockets gets its share of who sends.
func TestSendersAreDealtOutAmongSockets(t *testing.T) {
	all, err := listenUDPRelay("127.0.0.1:0", 4)
	if err != nil {
		t.Fatal(err)
	}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), portOf(all[0].conn)))
	for range 200 {
		conn, err := net.DialUDP("udp", nil, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	for i, s := range all {
		if err := s.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if in, _, err := s.read(); err != nil || len(in) == 0 {
			t.Errorf("socket %d: %v", i, err)
		}
		s.conn.Close()
	}
}

// An error that passes ends no socket: who is dealt to it is answered after it, too.
func TestAnErrorEndsNoSocket(t *testing.T) {
	var log spoken
	u, err := newUDPRelay("127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	gone, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.LocalAddr().(*net.UDPAddr).AddrPort()
	gone.Close()
	for _, s := range u.sockets { // each is told that nobody is there
		if err := control(s.raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1) }); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		for _, s := range u.sockets {
			for sent := false; !sent; { // a send takes an error of before away, and does not send
				_, err := s.conn.WriteToUDPAddrPort([]byte("hello"), nobody)
				if sent = err == nil; !sent && !errors.Is(err, unix.ECONNREFUSED) {
					t.Fatal(err)
				}
			}
		}
	}
	p := &passing{u.passages, t, u.counts, time.Now()}
	a, _, number := p.pair()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), u.port)
	buf := make([]byte, 2000)
	for i := range 32 { // every socket has some of them
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(p.say(a, number, uint32(i+1), [32]byte{})); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			t.Fatalf("end %d is not answered: %v", i, err)
		}
		conn.Close()
	}
	if u.counts.failed.Load() == 0 || log.times("\n") != 1 {
		t.Errorf("%d errors are counted, and the log has %d lines", u.counts.failed.Load(), log.times("\n"))
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
