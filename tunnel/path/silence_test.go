package path

import (
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
	// A heartbeat and its answer, soon a slow one, and the other ways now and then.
	if ticks, most := w.ends[0].ticks-began, int(restAfter/heartbeat+quiet/restBeat)*5/2; ticks > most {
		t.Errorf("%d ticks in %v without a packet, want at most %d", ticks, quiet, most)
	}
	w.carries = nothing
	w.run(restBeat + silenceFor + tickEvery)
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
