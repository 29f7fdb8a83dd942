package path

import (
	"bytes"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// Both ways are open, and the sender uses both.
func TestTheDeviceSeesAHandshakeMessageOnce(t *testing.T) {
	relay := relayServer(t)
	a, b := newEnd(t, relay, 0), newEnd(t, relay, 0)
	introduce(a, b, a.loopback(), b.loopback())
	waitPath(t, a.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	came := map[string]int{}
	// receive waits for a packet, and counts what comes meanwhile.
	receive := func(want []byte, patience time.Duration) bool {
		timeout := time.After(patience)
		for came[string(want)] == 0 {
			select {
			case r := <-b.got:
				came[string(r.packet)]++
			case <-timeout:
				return false
			}
		}
		return true
	}
	behind := 0
	// relayed sends a packet over the relay, where none overtakes another.
	relayed := func(patience time.Duration) bool {
		behind++
		a.link(900).send(a.peer.key, data(behind))
		return receive(data(behind), patience)
	}
	for !relayed(20 * time.Millisecond) { // the relay knows b from some moment on
	}
	var messages [][]byte
	for kind, size := range map[uint32]int{wgInitiation: wgInitiationLen, wgResponse: wgResponseLen} {
		for i := range handshakesKept / 2 { // a late copy is remembered, too
			message := wireGuard(kind, size)
			message[size-1] = byte(i)
			messages = append(messages, message)
			if err := a.Send([][]byte{message}, a.peer); err != nil {
				t.Fatal(err)
			}
			if !relayed(patience) || !receive(message, patience) {
				t.Fatalf("message %d of kind %d did not arrive", i, kind)
			}
		}
	}
	relayed(patience)
	for _, m := range messages {
		if n := came[string(m)]; n != 1 {
			t.Errorf("message %d of kind %d reached the device %d times", m[len(m)-1], m[0], n)
		}
	}
}

// lossy is a network between two ends that loses what drop says. It returns where each end
// is to be found by the other.
func lossy(t *testing.T, a, b *end, drop func(packet []byte) bool) (atA, atB netip.AddrPort) {
	t.Helper()
	loopback := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	var socks [2]*net.UDPConn
	for i := range socks {
		s, err := net.ListenUDP("udp4", loopback)
		if err != nil {
			t.Fatal(err)
		}
		socks[i] = s
	}
	done := make(chan struct{}, len(socks))
	for i, to := range []netip.AddrPort{b.loopback()[0], a.loopback()[0]} {
		go func() {
			defer func() { done <- struct{}{} }()
			buf := make([]byte, 65535)
			for {
				n, _, err := socks[i].ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				if !drop(buf[:n]) {
					_, _ = socks[1-i].WriteToUDPAddrPort(buf[:n], to) // it may be closed
				}
			}
		}()
	}
	t.Cleanup(func() {
		for _, s := range socks {
			s.Close()
		}
		for range socks {
			<-done
		}
	})
	at := func(s *net.UDPConn) netip.AddrPort { return s.LocalAddr().(*net.UDPAddr).AddrPort() }
	return at(socks[1]), at(socks[0])
}

// The device would begin anew after 5 s.
func TestLostHandshakeMessagesAreSentAgain(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	var initiations, responses atomic.Int32
	atA, atB := lossy(t, a, b, func(packet []byte) bool {
		switch {
		case classify(packet) != kindWireGuard:
			return false
		case isInitiation(packet):
			return initiations.Add(1) <= 2
		}
		return isHandshake(packet) && responses.Add(1) <= 1
	})
	introduce(a, b, []netip.AddrPort{atA}, []netip.AddrPort{atB})
	direct := func(p Path) bool { return p.Direct.IsValid() }
	waitPath(t, a.peer, "direct", direct)
	waitPath(t, b.peer, "direct", direct)
	for _, c := range []struct {
		from, to *end
		message  []byte
	}{
		{a, b, wireGuard(wgInitiation, wgInitiationLen)},
		{b, a, wireGuard(wgResponse, wgResponseLen)},
	} {
		began := time.Now()
		if err := c.from.Send([][]byte{c.message}, c.from.peer); err != nil {
			t.Fatal(err)
		}
		c.to.expect(t, c.message)
		if took := time.Since(began); took >= handshakeFor {
			t.Errorf("message of kind %d arrived after %v", c.message[0], took)
		}
	}
	if err := b.Send([][]byte{data(1)}, b.peer); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-a.got:
		if !bytes.Equal(r.packet, data(1)) {
			t.Errorf("the device saw a message of kind %d again", r.packet[0])
		}
	case <-time.After(patience):
		t.Error("nothing arrives any more")
	}
}

// Nothing is sent for ever, nor answered as often as somebody likes.
func TestHandshakeMessagesAreSentAgainOnlyWhileThatMayHelp(t *testing.T) {
	seed, began := maphash.MakeSeed(), time.Unix(1_000_000, 0)
	initiation, response := wireGuard(wgInitiation, wgInitiationLen), wireGuard(wgResponse, wgResponseLen)

	var h handshakes
	var times []time.Duration
	for next := h.send(initiation, began); !next.IsZero(); {
		message, then := h.due(next)
		if message != nil {
			times = append(times, next.Sub(began))
		}
		if !then.IsZero() && !then.After(next) {
			t.Fatalf("at %v it is due at %v", next.Sub(began), then.Sub(began))
		}
		next = then
	}
	if want := []time.Duration{handshakeAgain, 3 * handshakeAgain, 7 * handshakeAgain, 15 * handshakeAgain}; !slices.Equal(times, want) {
		t.Errorf("sent again after %v, want %v", times, want)
	}
	for name, answer := range map[string][]byte{"a response": response, "an initiation": wireGuard(wgInitiation, wgInitiationLen)} {
		h = handshakes{}
		h.send(initiation, began)
		h.receive(seed, answer, began)
		if message, next := h.due(began.Add(handshakeAgain)); message != nil || !next.IsZero() {
			t.Errorf("sent again after %s", name)
		}
	}

	h = handshakes{}
	h.receive(seed, initiation, began)
	if _, answer := h.receive(seed, initiation, began.Add(time.Second)); answer != nil {
		t.Error("there is an answer before the device has given one")
	}
	h.send(response, began)
	for _, c := range []struct {
		after time.Duration
		again bool
	}{
		{time.Millisecond, false}, // by another way
		{answerAgain, true},
		{answerAgain + time.Millisecond, false},
		{2 * answerAgain, true},
		{handshakeFor, false},
	} {
		copied, answer := h.receive(seed, initiation, began.Add(c.after))
		if again := answer != nil; !copied || again != c.again {
			t.Errorf("a copy after %v: known %v, answered %v, want %v", c.after, copied, again, c.again)
		}
	}
	h.receive(seed, wireGuard(wgInitiation, wgInitiationLen+1), began) // another
	if _, answer := h.receive(seed, initiation, began.Add(time.Second)); answer != nil {
		t.Error("the initiation before the last is answered")
	}
}
