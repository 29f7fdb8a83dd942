package path

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
)

// hardEnd returns a machine whose NATs are as given, that knows one public
// address of its peer and has had the time to try it.
func hardEnd(self, peer NAT) (*machine, time.Time) {
	w := newWorld(testing.TB(nil))
	m, now := w.ends[0].m, w.now
	m.birthday.self, m.birthday.peer = self, peer
	m.setTold(now, []netip.AddrPort{addrB, netip.MustParseAddrPort("192.168.1.7:7")})
	return m, now.Add(hardAfter)
}

func TestTheHardEndOpensPortsTowardsPublicAddresses(t *testing.T) {
	m, now := hardEnd(NATHard, NATEasy)
	// New addresses of the peer begin probing rounds, and the pause between those
	// grows. Ports are opened in time all the same.
	m.setTold(now.Add(-time.Millisecond), []netip.AddrPort{addrB, netip.MustParseAddrPort("192.168.1.8:8")})
	if acts, next := m.tick(now.Add(-time.Millisecond), traffic{}); len(acts.openPorts) > 0 {
		t.Error("ports opened before the plain way was tried")
	} else if next.After(now) {
		t.Errorf("to be woken %v late", next.Sub(now))
	}
	rounds := 0
	for end := now.Add(time.Minute); now.Before(end); now = now.Add(tickEvery) {
		acts, _ := m.tick(now, traffic{})
		if len(acts.openPorts) == 0 {
			continue
		}
		rounds++
		if !slices.Equal(acts.openPorts, []netip.AddrPort{addrB}) {
			t.Errorf("ports opened towards %v, want the public address alone", acts.openPorts)
		}
		if at := now.Sub(end.Add(-time.Minute)); at > time.Duration(rounds-1)*hardEvery+tickEvery {
			t.Errorf("round %d after %v", rounds, at)
		}
	}
	if rounds != HardRounds {
		t.Errorf("%d rounds in a minute, want %d", rounds, HardRounds)
	}
}

func TestTheEasyEndSpraysWhenPortsAreOpen(t *testing.T) {
	m, now := hardEnd(NATEasy, NATHard)
	ticked, _ := m.tick(now, traffic{})
	asked := m.callMeMaybe(now, []netip.AddrPort{addrB})
	if len(ticked.spray)+len(ticked.openPorts)+len(asked.spray) > 0 {
		t.Error("guessed ports though none were open")
	}
	rounds := 0
	at := []netip.Addr{netip.MustParseAddr("192.168.1.7"), addrB.Addr(), netip.IPv6Loopback()}
	for range 60 {
		now = now.Add(hardEvery)
		if acts := m.portsOpen(now, at); len(acts.spray) > 0 {
			rounds++
			if !slices.Equal(acts.spray, []netip.Addr{addrB.Addr()}) {
				t.Errorf("sprayed %v, want %v", acts.spray, addrB.Addr())
			}
		}
	}
	if rounds != HardRounds {
		t.Errorf("%d rounds in a minute, want %d", rounds, HardRounds)
	}
}

func TestAPongToASprayIsADirectPath(t *testing.T) {
	m, now := hardEnd(NATEasy, NATHard)
	acts := m.portsOpen(now, []netip.Addr{addrB.Addr()})
	from := netip.AddrPortFrom(addrB.Addr(), 40000)
	if _, ok := m.ponged(now, way{addr: netip.AddrPortFrom(addrA.Addr(), 40000)}, pong{tx: acts.sprayTx}); ok {
		t.Error("took a pong from an address that was not sprayed")
	}
	if _, ok := m.ponged(now.Add(hardFor), way{addr: from}, pong{tx: acts.sprayTx}); ok {
		t.Error("took a pong after the round")
	}
	if _, ok := m.ponged(now.Add(time.Millisecond), way{addr: from}, pong{tx: acts.sprayTx}); !ok || m.mode != modeDirect || m.best.addr != from {
		t.Errorf("mode %v by %v, want direct by %v", m.mode, m.best.addr, from)
	}
}

// A mapping that was guessed is lost when it expires. What was found once can
// be found again, but a way that comes and goes is not guessed for ever.
func TestAPathThatWasGuessedAndLostIsGuessedAgain(t *testing.T) {
	m, now := hardEnd(NATEasy, NATHard)
	sprays := 0
	for end := now.Add(hardAgain); now.Before(end); now = now.Add(hardEvery) {
		acts := m.portsOpen(now, []netip.Addr{addrB.Addr()})
		if len(acts.spray) == 0 {
			continue
		}
		sprays++
		m.ponged(now, way{addr: netip.AddrPortFrom(addrB.Addr(), uint16(40000+sprays))}, pong{tx: acts.sprayTx})
		m.retire(now, &acts)
	}
	if most := int(hardAgain/hardRest) + 1; sprays < 2 || sprays > most {
		t.Errorf("%d sprays in %v, want 2 to %d", sprays, hardAgain, most)
	}
}

func TestPortsAreGuessedForOneHardNATAloneAndIfAllowed(t *testing.T) {
	for _, nats := range [][2]NAT{
		{NATEasy, NATEasy}, {NATHard, NATHard}, {NATHard, NATBlocked}, {NATUnknown, NATHard}, {NATHard, NATUnknown},
	} {
		m, now := hardEnd(nats[0], nats[1])
		ticked, _ := m.tick(now, traffic{})
		asked := m.portsOpen(now, []netip.Addr{addrB.Addr()})
		if len(ticked.openPorts)+len(ticked.spray)+len(asked.openPorts)+len(asked.spray) > 0 {
			t.Errorf("%v: ports guessed", nats)
		}
	}
	m, now := hardEnd(NATHard, NATEasy)
	m.birthday.off = true
	if acts, _ := m.tick(now, traffic{}); len(acts.openPorts) > 0 {
		t.Error("ports opened though that is off")
	}
	m, now = hardEnd(NATEasy, NATHard)
	m.birthday.off = true
	if acts := m.portsOpen(now, []netip.Addr{addrB.Addr()}); len(acts.spray) > 0 {
		t.Error("sprayed though that is off")
	}
}

func (p *Peer) openPorts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ports.open)
}

// A few of the ports are met: those stay, the rest goes, and packets take them
// both ways.
func TestAPortThatIsMetCarriesTheTunnel(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	introduce(a, b, nil, nil) // neither knows of another way
	// Most pings go where nobody is, as through a NAT.
	targets := append(b.loopback(), slices.Repeat([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}, hardPorts/maxMet-1)...)
	a.Bind.openPorts(a.peer, targets)
	for _, e := range []*end{a, b} {
		waitPath(t, e.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	}
	for deadline := time.Now().Add(patience); a.peer.openPorts() > maxMet && time.Now().Before(deadline); {
		a.tick(a.peer, time.Now())
	}
	if n := a.peer.openPorts(); n < 1 || n > maxMet {
		t.Fatalf("%d ports are open, want 1 to %d", n, maxMet)
	}
	if r := a.peer.route.Load(); r.directPort == nil {
		t.Fatalf("route %+v, want one by a port", r.route)
	}
	a.Send([][]byte{data(1), data(2)}, a.peer)
	b.expect(t, data(1))
	b.expect(t, data(2))
	b.Send([][]byte{data(3)}, b.peer)
	if from := a.expect(t, data(3)); from != conn.Endpoint(a.peer) {
		t.Errorf("came from %v, want the peer", from)
	}
	a.RemovePeer(b.key)
	if n := a.peer.openPorts(); n != 0 {
		t.Errorf("%d ports are open after the peer is gone", n)
	}
}

func TestPortsThatNobodyMeetsAreClosed(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	a.peer = a.SetPeer(PeerInfo{PublicKey: b.key, DiscoKey: b.DiscoKey()}) // b does not know a
	began := time.Now()
	a.Bind.openPorts(a.peer, b.loopback())
	if took := time.Since(began); took < hardFor || a.peer.openPorts() != 0 {
		t.Errorf("after %v %d ports are open, want none after %v", took, a.peer.openPorts(), hardFor)
	}
}

// Attempts take turns, so that of a peer that went must not go on.
func TestAnAttemptEndsWithItsPeer(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	a.peer = a.SetPeer(PeerInfo{PublicKey: b.key, DiscoKey: b.DiscoKey()})
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.Bind.openPorts(a.peer, b.loopback())
	}()
	for deadline := time.Now().Add(patience); a.peer.openPorts() < hardPorts && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	a.RemovePeer(b.key)
	select {
	case <-over:
	case <-time.After(hardFor / 2):
		t.Error("the attempt went on")
	}
}
