package path

import (
	"net/netip"
	"testing"
	"time"
)

func TestDirectWithinOneRoundTripWithoutNAT(t *testing.T) {
	w := newWorld(t)
	w.meet()
	if took := w.untilDirect(time.Second); took > 2*w.latency+5*time.Millisecond {
		t.Errorf("direct after %v, want one round trip of %v", took, 2*w.latency)
	}
}

// Only one end learns of the other. Its first ping dies at the far NAT; the
// call-me-maybe that goes with it makes the far end ping, and that ping must
// be answered with a ping at once for both to be direct.
func TestPortRestrictedBothSidesNeedsThreeRoundTrips(t *testing.T) {
	w := newWorld(t)
	w.carries = portRestricted()
	w.do(0, w.ends[0].m.setTold(w.now, []netip.AddrPort{addrB}))
	w.ends[0].next = w.now
	if took := w.untilDirect(10 * time.Second); took > 6*w.latency+50*time.Millisecond {
		t.Errorf("direct after %v, want at most three round trips and 50 ms", took)
	}
}

// Both ends are told of each other in the same breath, but one hears it some
// milliseconds later, and until then what the other sends it is a stranger's. Its
// own ping then shows that it is there, and must be answered with one at once.
func TestAFirstPingThatCameTooEarlyCostsOneTripAndNoPause(t *testing.T) {
	for name, nat := range map[string]func(*world, netip.AddrPort, netip.AddrPort) bool{
		"no NAT":          func(*world, netip.AddrPort, netip.AddrPort) bool { return true },
		"port-restricted": portRestricted(),
	} {
		w := newWorld(t)
		known := false
		w.carries = func(w *world, from, to netip.AddrPort) bool { return nat(w, from, to) && (known || to != addrB) }
		w.do(0, w.ends[0].m.setTold(w.now, []netip.AddrPort{addrB}))
		w.run(w.latency / 2)
		w.queue = nil // the call-me-maybe of a stranger
		known = true
		w.do(1, w.ends[1].m.setTold(w.now, []netip.AddrPort{addrA}))
		if took, want := w.untilDirect(time.Second), 3*w.latency+2*time.Millisecond; took > want {
			t.Errorf("%s: direct %v after both knew, want %v", name, took, want)
		}
	}
}

// The same where no ping of the other end can get through, as behind a hard NAT:
// then it is the call-me-maybe that shows that the other end is there.
func TestACallMeMaybeIsAnsweredAtOnceThoughAPingHasJustGone(t *testing.T) {
	w := newWorld(t)
	known, open := false, false
	w.carries = func(_ *world, from, _ netip.AddrPort) bool {
		if from == addrA {
			open = open || known
			return known
		}
		return open
	}
	w.do(0, w.ends[0].m.setTold(w.now, []netip.AddrPort{addrB}))
	w.run(w.latency / 2)
	w.queue = nil // the call-me-maybe of a stranger
	known = true
	w.do(1, w.ends[1].m.setTold(w.now, []netip.AddrPort{addrA}))
	if took, want := w.untilDirect(time.Second), 4*w.latency+2*time.Millisecond; took > want {
		t.Errorf("direct %v after both knew, want %v", took, want)
	}
}

// Nor can a call-me-maybe come while this end's relay is not connected. The
// coordinator's word that the other end is ready must do.
func TestNewsOfThePeerIsReasonToPingItAgain(t *testing.T) {
	m := newWorld(t).ends[0].m
	now := time.Unix(1_000_000, 0)
	m.setTold(now, []netip.AddrPort{addrB})
	ready := m.setTold(now.Add(2*time.Millisecond), []netip.AddrPort{addrB})
	if len(ready.pings) != 1 {
		t.Errorf("%d pings, want 1", len(ready.pings))
	}
}

// An address that the peer does not know itself, behind a hard NAT, and that a
// ping just came from, is not forgotten because news comes before its pong.
func TestNewsOfThePeerDoesNotForgetWhereItPingedFrom(t *testing.T) {
	m := newWorld(t).ends[0].m
	now := time.Unix(1_000_000, 0)
	m.setTold(now, []netip.AddrPort{addrB})
	seen := way{addr: netip.AddrPortFrom(addrB.Addr(), 7)}
	acts := m.pinged(now, seen)
	m.setTold(now.Add(time.Millisecond), []netip.AddrPort{addrB})
	if _, ok := m.ponged(now.Add(2*time.Millisecond), seen, pong{tx: acts.pings[0].tx}); !ok || m.mode != modeDirect {
		t.Errorf("mode %v, want direct", m.mode)
	}
}

// A ping is answered with a ping, but two ends do not make a loop of it.
func TestPingsThatAnswerPingsComeToAnEnd(t *testing.T) {
	w := newWorld(t)
	w.latency = 100 * time.Microsecond
	w.meet()
	w.dropPongs = true
	w.run(burst[1])
	if w.sends > 2*(1+maxPrompt+int(burst[1]/pingGap)) {
		t.Errorf("%d pings in %v", w.sends, burst[1])
	}
}

// Pings from more addresses than there is room for do not push out those whose
// answers are on their way, or no way would ever be found.
func TestAFloodOfPingsLeavesRoomForAnswers(t *testing.T) {
	m := newWorld(t).ends[0].m
	now := time.Unix(1_000_000, 0)
	from := func(i int) way { return way{addr: netip.AddrPortFrom(addrB.Addr(), uint16(1000+i))} }
	var pings []ping
	for i := range 4 * maxCandidates {
		pings = append(pings, m.pinged(now, from(i)).pings...)
	}
	if len(pings) != maxCandidates {
		t.Fatalf("%d pings, want %d", len(pings), maxCandidates)
	}
	late := now.Add(answerFor)
	if acts := m.pinged(late, from(9999)); len(acts.pings) != 1 {
		t.Errorf("no room %v later", answerFor)
	}
	answered := 0
	for _, p := range pings {
		if _, ok := m.ponged(late, p.way, pong{tx: p.tx}); ok {
			answered++
		}
	}
	if answered != maxCandidates-1 {
		t.Errorf("%d answers were taken, want all but that of one that made room", answered)
	}
}

func TestRelayCarriesUntilDirect(t *testing.T) {
	w := newWorld(t)
	if r := w.ends[0].m.route(); r.relay != relayAll || r.direct.valid() {
		t.Fatalf("route before anything is known: %+v, want relay only", r)
	}
	w.carries = nothing
	w.meet()
	w.ends[0].talking = true
	w.run(30 * time.Second)
	if got := w.ends[1].relayed; got < 1400 {
		t.Errorf("relay carried %d packets of 1500", got)
	}
}

// The far end may send its handshake directly while this end has no pong yet,
// and before the far end's relay connection is up: the answer must not depend
// on the relay.
func TestAPingThatCameInIsAWayOutBeforeAnyPong(t *testing.T) {
	m := newWorld(t).ends[0].m
	now := time.Unix(1_000_000, 0)
	m.pinged(now, way{addr: addrB})
	if r := m.route(); r.direct.addr != addrB || r.relay != relayAll {
		t.Fatalf("route %+v, want both %v and the relay", r, addrB)
	}
	m.tick(now.Add(hintFor), traffic{})
	if r := m.route(); r.direct.valid() || r.relay != relayAll {
		t.Errorf("route %+v after %v without a pong, want the relay", r, hintFor)
	}
}
