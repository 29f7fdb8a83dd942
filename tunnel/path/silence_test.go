package path

import (
	"net/netip"
	"testing"
	"time"
)

func TestSilenceBringsBothPathsAndThenTheRelay(t *testing.T) {
	w := newWorld(t)
	w.meet()
	w.untilDirect(time.Second)
	w.ends[0].talking, w.ends[1].talking = true, true
	w.run(5 * time.Second)
	w.carries = nothing

	w.run(500 * time.Millisecond)
	if m := w.ends[0].m.mode; m != modeDoubt {
		t.Fatalf("500 ms after the path fell silent: %v, want doubt", m)
	}
	got := w.ends[1].relayed
	w.run(time.Second)
	if carried := w.ends[1].relayed - got; carried < 45 {
		t.Errorf("relay carried %d packets in the second of doubt, want all 50", carried)
	}
	w.run(2 * time.Second)
	if m := w.ends[0].m.mode; m != modeRelay {
		t.Errorf("3.5 s after the path fell silent: %v, want relay", m)
	}
}

func TestDirectReturnsWhenTheNetworkDoes(t *testing.T) {
	w := newWorld(t)
	w.meet()
	w.untilDirect(time.Second)
	w.ends[0].talking, w.ends[1].talking = true, true
	w.carries = nothing
	w.run(20 * time.Second)
	w.carries = portRestricted()
	if took := w.untilDirect(time.Minute); took > reprobeRelayed+time.Second {
		t.Errorf("direct again after %v, want within one probing round", took)
	}
}

func TestShortHiccupStaysDirect(t *testing.T) {
	w := newWorld(t)
	w.meet()
	w.untilDirect(time.Second)
	w.ends[0].talking, w.ends[1].talking = true, true
	w.run(2 * time.Second)
	w.carries = nothing
	w.run(700 * time.Millisecond)
	w.carries = nil
	w.run(500 * time.Millisecond)
	if m := w.ends[0].m.mode; m != modeDirect {
		t.Errorf("after a hiccup of 700 ms: %v, want direct", m)
	}
}

func TestIdlePeersArePingedNoMoreAndTheFirstPacketTakesBothPaths(t *testing.T) {
	w := newWorld(t)
	w.meet()
	w.untilDirect(time.Second)
	w.run(idleAfter + time.Second)
	before := w.sends
	w.run(10 * time.Minute)
	if w.sends != before {
		t.Errorf("%d pings in ten idle minutes, want none", w.sends-before)
	}
	r := w.ends[0].m.route()
	if r.relay != relayAll || !r.direct.valid() || !r.listens {
		t.Fatalf("route of an idle peer: %+v, want both ways and a wake-up", r)
	}
	w.sendData(0)
	w.run(time.Second)
	if m := w.ends[0].m.mode; m != modeDirect {
		t.Errorf("a second after the first packet: %v, want direct", m)
	}
}

// While nothing goes or comes, a machine is called when something is due and else
// sleeps, and still finds out when the path falls silent.
func TestAQuietPathSleepsAndIsWatched(t *testing.T) {
	w := newWorld(t)
	w.meet()
	w.untilDirect(time.Second)
	w.run(5 * time.Second) // sizes are found, and bursts over
	const quiet = 30 * time.Second
	began := w.ends[0].ticks
	w.run(quiet)
	// A slow heartbeat and its answer, the other end's, which comes with it, and the other
	// ways now and then.
	if ticks, most := w.ends[0].ticks-began, 5*int(quiet/restBeat); ticks > most {
		t.Errorf("%d ticks in %v without a packet, want at most %d", ticks, quiet, most)
	}
	w.carries = nothing
	for end := w.now.Add(restBeat + silenceFor + tickEvery); w.ends[0].m.mode == modeDirect && w.now.Before(end); {
		w.run(time.Millisecond)
	}
	if m := w.ends[0].m.mode; m != modeDoubt {
		t.Errorf("%v after a heartbeat went unanswered, want doubt", m)
	}
}

// The first packet after a pause finds the path dead: its guard begins then.
func TestTheFirstPacketAfterAPauseIsGuarded(t *testing.T) {
	w := newWorld(t)
	w.meet()
	w.untilDirect(time.Second)
	w.run(5 * time.Second)
	for len(w.ends[0].m.candidates[way{addr: addrB}].waiting) > 0 {
		w.run(time.Millisecond)
	}
	w.carries = nothing
	began := w.sends
	w.sendData(0)
	w.run(guardFor + 2*w.latency + w.latency + tickEvery + leastQuiet)
	if w.sends == began {
		t.Error("no ping although the packet went unanswered for longer than its guard")
	}
}

// Whoever types on after a pause finds out at once that the path has died meanwhile. The last
// packet before it wanted no answer, as an acknowledgement does, and after 10 s the other
// end's WireGuard says that it came.
func TestAPathThatDiedInAPauseIsFoundByTheFirstPacket(t *testing.T) {
	const keystroke = 20 * time.Millisecond
	for _, pause := range []time.Duration{300 * time.Millisecond, 2 * time.Second, 5 * time.Second, 15 * time.Second, 40 * time.Second, 110 * time.Second, 10 * time.Minute} {
		w := newWorld(t)
		w.meet()
		w.untilDirect(time.Second)
		w.run(5 * time.Second)
		for range 50 {
			w.sendData(0)
			w.run(w.latency + time.Millisecond)
			w.sendData(1)
			w.run(keystroke)
		}
		w.sendData(0)
		w.run(min(pause, keepaliveAfter))
		if pause > keepaliveAfter {
			w.sendKeepalive(1)
			w.run(pause - keepaliveAfter)
		}

		w.carries = nothing
		began, before := w.now, w.ends[1].relayed
		for w.ends[1].relayed == before && w.now.Sub(began) < time.Second {
			w.sendData(0)
			w.run(keystroke)
		}
		took, most := w.now.Sub(began), guardFor+4*w.latency+w.latency+2*keystroke
		if took > most {
			t.Errorf("after a pause of %v the relay carried a packet after %v, want %v at most", pause, took, most)
		}
	}
}

// A stream that nobody answers raises an alarm now and then alone.
func TestAStreamWithoutAnswersIsPingedSeldom(t *testing.T) {
	w := newWorld(t)
	w.meet()
	w.untilDirect(time.Second)
	w.run(5 * time.Second)
	w.ends[0].talking = true
	w.run(5 * time.Second)
	before, relayed := w.sends, w.ends[1].relayed
	const while = 20 * time.Second
	w.run(while)
	// One an alarm, and the heartbeats of the end that has nothing to say.
	if pings, most := w.sends-before, int(while/(guardFor<<(maxAlarms-1))+while/heartbeat); pings > most {
		t.Errorf("%d pings in %v, want %d at most", pings, while, most)
	}
	if copies := w.ends[1].relayed - relayed; copies > 100 {
		t.Errorf("the relay carried %d of 1000 packets, want a tenth at most", copies)
	}
}

// WireGuard's keepalive tells the peer that its packets came. It is no reason to watch the
// path for as long as after a packet that somebody waits for.
func TestAKeepaliveKeepsNobodyActive(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	introduce(a, b, a.loopback(), b.loopback())
	for _, e := range []*end{a, b} {
		waitPath(t, e.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	}
	keepalive := wireGuard(wgTransport, wgTransportMinLen)
	if err := a.Send([][]byte{keepalive}, a.peer); err != nil {
		t.Fatal(err)
	}
	b.expect(t, keepalive)
	for name, p := range map[string]*Peer{"sender": a.peer, "receiver": b.peer} {
		if at := p.LastActive(); !at.IsZero() {
			t.Errorf("%s: active at %v", name, at)
		}
	}
	if err := a.Send([][]byte{data(1)}, a.peer); err != nil {
		t.Fatal(err)
	}
	b.expect(t, data(1))
	for name, p := range map[string]*Peer{"sender": a.peer, "receiver": b.peer} {
		if p.LastActive().IsZero() {
			t.Errorf("%s: not active after a packet", name)
		}
	}
}

// While nothing goes or comes one end's pings are enough, if the other yields: it sends none
// for as long as they come, and does soon after they end. Both still find out from a packet
// that the path has died.
func TestAnEndThatYieldsLeavesThePingsToTheOther(t *testing.T) {
	w := newWorld(t)
	w.ends[1].m.yields = true
	w.meet()
	w.untilDirect(time.Second)
	w.run(restAfter + 2*restBeat)
	for _, e := range w.ends {
		e.pings = 0
	}
	const quiet = time.Minute
	w.run(quiet)
	if mine, yielding := w.ends[0].pings, w.ends[1].pings; mine < int(quiet/restBeat)-1 || mine > int(quiet/restBeat)+1 || yielding != 0 {
		t.Errorf("%d pings of one end and %d of the one that yields in %v, want one every %v and none", mine, yielding, quiet, restBeat)
	}
	for i, e := range w.ends {
		if m := e.m.mode; m != modeDirect {
			t.Errorf("end %d: %v after %v, want direct", i, m, quiet)
		}
	}

	// What the yielding end sends finds a dead path as fast as that of the other.
	w.carries = nothing
	began, before := w.now, w.ends[0].relayed
	for w.ends[0].relayed == before && w.now.Sub(began) < time.Second {
		w.sendData(1)
		w.run(20 * time.Millisecond)
	}
	if took, most := w.now.Sub(began), guardFor+5*w.latency+40*time.Millisecond; took > most {
		t.Errorf("the relay carried a packet of the yielding end's after %v, want %v at most", took, most)
	}
}

// Two ends that both yield, as two agents, agree on who pings, whatever moments they ping at.
func TestTwoEndsThatYieldAgree(t *testing.T) {
	for _, apart := range []time.Duration{0, 10 * time.Millisecond, 2 * time.Second, 5 * time.Second, 9 * time.Second} {
		w := newWorld(t)
		for i, e := range w.ends {
			e.m.yields, e.m.beats = true, w.now.Add(time.Duration(i)*apart-time.Hour)
		}
		w.meet()
		w.untilDirect(time.Second)
		w.run(restAfter + 3*restBeat)
		w.sends = 0
		const quiet = 100 * time.Second // less than idleAfter together with what was before
		w.run(quiet - 4*restBeat)
		if most := int((quiet-4*restBeat)/restBeat) + 1; w.sends > 2*most || w.sends == 0 {
			t.Errorf("%v apart: %d pings", apart, w.sends)
		} else if w.sends > most && apart > w.latency {
			t.Errorf("%v apart: both ping, %d times in %v", apart, w.sends, quiet-4*restBeat)
		}
		for i, e := range w.ends {
			if m := e.m.mode; m != modeDirect {
				t.Errorf("%v apart: end %d is %v", apart, i, m)
			}
		}
	}
}

// An end that yields pings by itself when the other does no more, and answers one that has
// doubts with pings of its own.
func TestAnEndThatYieldsDoesNotWaitForEver(t *testing.T) {
	w := newWorld(t)
	w.ends[1].m.yields = true
	w.meet()
	w.untilDirect(time.Second)
	w.run(restAfter + 3*restBeat)
	w.ends[1].pings = 0
	w.carries = nothing
	for began := w.now; w.ends[1].pings == 0; w.run(time.Millisecond) {
		if w.now.Sub(began) > yieldFor+time.Second {
			t.Fatalf("no ping %v after the other end's last", w.now.Sub(began))
		}
	}

	w = newWorld(t)
	w.ends[1].m.yields = true
	w.meet()
	w.untilDirect(time.Second)
	w.run(restAfter + 3*restBeat)
	w.ends[1].pings = 0
	w.carries = func(_ *world, from, _ netip.AddrPort) bool { return from == addrA } // nothing comes back
	for began := w.now; w.ends[1].m.mode == modeDirect; w.run(time.Millisecond) {
		if w.now.Sub(began) > restBeat+2*silenceFor+2*doubtPing+tickEvery {
			t.Fatalf("still direct %v after its packets arrive no more", w.now.Sub(began))
		}
	}
}
