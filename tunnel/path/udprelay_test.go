package path

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"tailscale.com/disco"
	"tailscale.com/net/packet"
	"tailscale.com/net/udprelay"
	"tailscale.com/types/key"
	"tailscale.com/types/views"
	"tailscale.com/util/usermetric"
)

// stockRelay is tailscale's own server of UDP relays.
type stockRelay struct {
	*udprelay.Server
	port uint16
}

func newStockRelay(t *testing.T, port uint16) *stockRelay {
	t.Helper()
	if port == 0 {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		c.Close()
	}
	s, err := udprelay.NewServer(func(string, ...any) {}, port, true, new(usermetric.Registry), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.SetStaticAddrPorts(views.SliceOf([]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}))
	return &stockRelay{s, port}
}

// offer gives both ends a session.
func (s *stockRelay) offer(t *testing.T, a, b *end) {
	t.Helper()
	got, err := s.AllocateEndpoint(a.disco.Public(), b.disco.Public())
	if err != nil {
		t.Fatal(err)
	}
	relay := Relay{URL: "http://127.0.0.1", UDP: UDPRelay{Port: s.port}}
	for _, e := range []*end{a, b} {
		e.take(e.peer, relay, leg{region: 900, server: got.ServerDisco}, got.VNI)
	}
}

func overUDPRelay(p Path) bool { return p.UDPRelay.IsValid() }

// Two nodes that know no way to each other speak by a relay of tailscale's, over UDP,
// for as long as there is no better way, and not to strangers.
func TestAUDPRelayCarriesUntilThereIsADirectPath(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	introduce(a, b, nil, nil)
	relay := newStockRelay(t, 0)
	relay.offer(t, a, b)
	for _, e := range []*end{a, b} {
		waitPath(t, e.peer, "by the relay", overUDPRelay)
		if p := e.peer.Path(); p.Direct.IsValid() || p.Region != 900 || p.UDPRelay.Port() != relay.port || p.RTT == 0 || p.Proven {
			t.Errorf("path %+v", p)
		}
	}
	large := make([][]byte, 50)
	for i := range large {
		large[i] = append(data(i), make([]byte, 1300)...)
	}
	// The size that passes is found in steps; what is larger takes DERP, of which there is none.
	waitPath(t, a.peer, "measured", func(Path) bool { return a.peer.MTU()+wgOverhead >= len(large[0]) })
	if err := a.Send(large, a.peer); err != nil {
		t.Fatal(err)
	}
	for _, p := range large {
		if from := b.expect(t, p); from != conn.Endpoint(b.peer) {
			t.Fatalf("came from %v, want the peer", from)
		}
	}
	if at := b.peerAt(a.peer.Path().UDPRelay); at != nil {
		t.Error("the relay's address counts as the peer's")
	}

	introduce(a, b, a.loopback(), b.loopback())
	for _, e := range []*end{a, b} {
		waitPath(t, e.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	}
	a.Send([][]byte{data(7)}, a.peer)
	b.expect(t, data(7))

	b.RemovePeer(a.key)
	b.mu.RLock()
	defer b.mu.RUnlock()
	if len(b.byLeg) != 0 {
		t.Error("sessions outlive their peer")
	}
}

// A relay that started anew knows nothing of the sessions before.
func TestAUDPRelayThatIsGoneIsLeftAndOneThatIsBackIsTaken(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	introduce(a, b, nil, nil)
	relay := newStockRelay(t, 0)
	relay.offer(t, a, b)
	waitPath(t, a.peer, "by the relay", overUDPRelay)
	waitPath(t, b.peer, "by the relay", overUDPRelay)
	relay.Close()
	a.Send([][]byte{data(1)}, a.peer)
	waitPath(t, a.peer, "given up", func(p Path) bool { return !overUDPRelay(p) })
	waitPath(t, b.peer, "given up", func(p Path) bool { return !overUDPRelay(p) })
	newStockRelay(t, relay.port).offer(t, a, b)
	waitPath(t, a.peer, "by the relay again", overUDPRelay)
	waitPath(t, b.peer, "by the relay again", overUDPRelay)
	a.Send([][]byte{data(2)}, a.peer)
	b.expect(t, data(2))
	if n := len(a.peer.legs); n > maxLegs {
		t.Errorf("%d sessions are held", n)
	}
}

// Of what comes by a relay's address only the session's own counts.
func TestForgedSessionsAreDropped(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	introduce(a, b, nil, nil)
	stranger, err := net.Dial("udp", a.loopback()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	w := way{addr: stranger.LocalAddr().(*net.UDPAddr).AddrPort(), vni: 7}
	server := key.NewDisco()
	a.peer.mu.Lock()
	a.peer.addLegLocked(w, &leg{server: server.Public(), shared: a.disco.Shared(server.Public()), generation: 1})
	a.peer.mu.Unlock()
	a.enterLeg(a.peer, w)
	challenge := func(vni, generation uint32, from key.DiscoPrivate) []byte {
		m := &disco.BindUDPRelayEndpointChallenge{BindUDPRelayEndpointCommon: disco.BindUDPRelayEndpointCommon{VNI: vni, Generation: generation, RemoteKey: a.peer.disco}}
		return wrapDisco(vni, true, sealDisco(from.Public(), from.Shared(a.disco.Public()), m))
	}
	for name, forged := range map[string][]byte{
		"another session's number": append(appendGeneve(nil, 8, false, packet.GeneveProtocolWireGuard), data(1)...),
		"data as control":          append(appendGeneve(nil, 7, true, packet.GeneveProtocolWireGuard), data(1)...),
		"another's challenge":      challenge(7, 1, key.NewDisco()),
		"an old challenge":         challenge(7, 9, server),
		"a header alone":           appendGeneve(nil, 7, false, packet.GeneveProtocolWireGuard),
	} {
		if _, err := stranger.Write(forged); err != nil {
			t.Fatal(err)
		}
		t.Log("sent", name)
	}
	// What is right is answered, and after all that came before.
	if _, err := stranger.Write(challenge(7, 1, server)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	n, err := stranger.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	msg, _, err := openDisco(server.Shared(a.disco.Public()), buf[geneveLen:n])
	if answer, ok := msg.(*disco.BindUDPRelayEndpointAnswer); err != nil || !ok || answer.Generation != 1 {
		t.Errorf("the first answer is %T %+v, %v", msg, msg, err)
	}
	select {
	case r := <-a.got:
		t.Errorf("%q reached the device", r.packet)
	default:
	}
}

func TestWrappedBatchesLieWhereTheyAreJoined(t *testing.T) {
	var w wrapping
	for range 2 {
		var bufs [][]byte
		for i := range 100 {
			bufs = append(bufs, append(data(i), make([]byte, 13*i)...))
		}
		for i, got := range w.wrap(0xabcdef, bufs) {
			if !isGeneve(got) || !bytes.Equal(got[geneveLen:], bufs[i]) {
				t.Fatalf("packet %d is %x", i, got[:20])
			}
			if next := i + 1; next < len(w.bufs) && cap(got) > len(got)+cap(w.bufs[next]) {
				t.Fatalf("packet %d does not follow on %d", next, i)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { w.wrap(1, [][]byte{data9[:], data9[:]}) }); n > 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

var data9 = [1400]byte{wgTransport}

// The same relay for both ends, and all of them for many pairs.
func TestPairsAreSpreadOverARegionsRelays(t *testing.T) {
	r := Region{Relays: []Relay{{Name: "old"}, {Name: "x", UDP: UDPRelay{Port: 1}}, {Name: "y", UDP: UDPRelay{Port: 1}}}}
	seen := map[string]int{}
	for range 100 {
		a, b := key.NewDisco().Public(), key.NewDisco().Public()
		one, ok := r.udpRelay(a, b, 0)
		other, _ := r.udpRelay(b, a, 0)
		if next, _ := r.udpRelay(a, b, 1); !ok || one.Name != other.Name || next.Name == one.Name {
			t.Fatalf("%q for one end, %q for the other, and then %q", one.Name, other.Name, next.Name)
		}
		seen[one.Name]++
	}
	if seen["old"] > 0 || seen["x"] < 20 || seen["y"] < 20 {
		t.Errorf("of 100 pairs: %v", seen)
	}
	if _, ok := (Region{Relays: []Relay{{}}}).udpRelay(key.NewDisco().Public(), key.NewDisco().Public(), 0); ok {
		t.Error("a relay without UDP was taken")
	}
}
