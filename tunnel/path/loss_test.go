package path

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// direct returns a world whose ends are direct and talk, one of them in bulk.
func direct(t *testing.T, mtu int) *world {
	w := newWorld(t)
	w.mtu = mtu
	w.meet()
	w.untilDirect(time.Second)
	w.ends[0].talking, w.ends[1].talking = true, true
	w.ends[0].bulk = true
	return w
}

func (e *simEnd) limit() int { return e.m.route().limit }

// What is found is there for the handshake and the first byte. Large packets that
// try its size do not get in their way.
func TestThePathsSizeIsKnownOneRoundTripAfterItIsTried(t *testing.T) {
	for _, link := range []int{1280, 1400, 1420, 1500, 9000} {
		w := newWorld(t)
		w.mtu = link - overheadV4
		w.meet()
		w.untilDirect(time.Second)
		sends := w.sends
		w.run(mtuAfter / 2)
		if w.sends-sends > 2 {
			t.Errorf("link of %d bytes: %d pings as soon as the path was found", link, w.sends-sends)
		}
		w.run(mtuAfter + 2*w.latency)
		for i, e := range w.ends {
			if got := e.limit(); got != w.mtu {
				t.Errorf("link of %d bytes: end %d sends up to %d bytes of UDP payload, want %d", link, i, got, w.mtu)
			}
		}
	}
}

func TestLargePacketsTakeTheRelayUntilTheirSizeIsProven(t *testing.T) {
	w := newWorld(t)
	w.ends[0].talking, w.ends[0].bulk = true, true
	w.meet()
	w.untilDirect(time.Second)
	if r := w.ends[0].m.route(); r.limit > smallPacket {
		t.Errorf("limit %d before any padded ping was answered", r.limit)
	}
	w.run(3 * time.Second)
	// 50 a second, each over one way, but those of the first round trips.
	if e := w.ends[1]; e.direct < 140 || e.direct+e.relayed < 150 {
		t.Errorf("%d packets came directly and %d over the relay, of some 150", e.direct, e.relayed)
	}
}

func TestPathTooNarrowForATunnelIsLeftToTheRelay(t *testing.T) {
	w := direct(t, 600)
	w.run(3 * time.Second)
	for i, e := range w.ends {
		if e.m.mode != modeRelay {
			t.Errorf("end %d is %v over a path of 600 bytes, want relay", i, e.m.mode)
		}
	}
	before := w.ends[1].relayed
	w.run(time.Second)
	if got := w.ends[1].relayed - before; got < 49 {
		t.Errorf("the relay carried %d packets of 50", got)
	}
}

func TestPathThatWidensIsTakenAgain(t *testing.T) {
	w := direct(t, 600)
	w.run(5 * time.Second)
	w.mtu = 0
	w.run(mtuNarrow + reprobeRelayed)
	for i, e := range w.ends {
		if e.m.mode != modeDirect {
			t.Errorf("end %d is %v, want direct", i, e.m.mode)
		}
	}
}

func TestALinkThatShrinksIsNoticed(t *testing.T) {
	w := direct(t, 1472)
	w.run(5 * time.Second)
	w.mtu = 1372
	w.run(3 * time.Second)
	if got := w.ends[0].limit(); got != 1372 {
		t.Fatalf("3 s after the link shrank: up to %d bytes are sent, want 1372", got)
	}
	if m := w.ends[0].m.mode; m != modeDirect {
		t.Errorf("mode %v, want direct", m)
	}
}

func TestALinkThatGrowsIsUsedInTime(t *testing.T) {
	w := direct(t, 1372)
	w.run(5 * time.Second)
	w.mtu = 0
	w.run(mtuRaise + time.Second)
	if got := w.ends[0].limit(); got != 9000-overheadV4 {
		t.Errorf("up to %d bytes are sent, want those of 9000", got)
	}
}

// A firewall on the way knows WireGuard and drops it, but lets disco pass.
func TestSwallowedDataMovesToTheRelayWithinFiveSeconds(t *testing.T) {
	for _, bulk := range []bool{false, true} {
		w := direct(t, 0)
		w.ends[0].bulk = bulk
		w.run(5 * time.Second)
		w.swallow = 1
		began := w.now
		for w.ends[0].m.mode != modeRelay && w.now.Sub(began) < 5*time.Second {
			w.run(time.Millisecond)
		}
		if m := w.ends[0].m.mode; m != modeRelay {
			t.Fatalf("bulk %v: 5 s after data began to vanish: %v, want relay", bulk, m)
		}
		t.Logf("bulk %v: noticed after %v", bulk, w.now.Sub(began))
		w.run(20 * time.Second)
		if m := w.ends[0].m.mode; m != modeRelay {
			t.Errorf("bulk %v: the path was taken again after less than %v", bulk, shunFirst)
		}
	}
}

// Large packets vanish though pings of their size pass: what segments them
// garbles them, or a middlebox drops them. First offload is suspected, then
// the path.
func TestLargePacketsThatVanishCostOffloadAndThenThePath(t *testing.T) {
	w := direct(t, 0)
	w.run(5 * time.Second)
	w.swallow = 1000
	began := w.now
	for w.ends[0].m.mode != modeRelay && w.now.Sub(began) < 10*time.Second {
		w.run(time.Millisecond)
	}
	took := w.now.Sub(began)
	if took > 5*time.Second {
		t.Errorf("noticed after %v, want 5 s at most", took)
	}
	if w.suspected == 0 {
		t.Error("offload was never suspected")
	}
}

func TestAHealthyPathIsNeverSuspected(t *testing.T) {
	w := direct(t, 0)
	for range 60 {
		w.run(time.Second)
		w.ends[0].talking = !w.ends[0].talking // fits and starts
	}
	if w.suspected > 0 || w.ends[0].m.mode != modeDirect || w.ends[1].m.mode != modeDirect {
		t.Errorf("modes %v and %v, offload suspected %d times", w.ends[0].m.mode, w.ends[1].m.mode, w.suspected)
	}
	for _, e := range w.ends {
		for _, c := range e.m.candidates {
			if c.shunned > 0 {
				t.Errorf("%v was shunned", c.addr)
			}
		}
	}
}

func TestEchoHasNoLongGapWhenThePathFallsSilent(t *testing.T) {
	w := direct(t, 0)
	w.ends[0].bulk = false
	w.run(5 * time.Second)
	w.ends[0].gap, w.ends[1].gap = 0, 0
	w.carries = nothing
	w.run(10 * time.Second)
	w.carries = nil
	w.run(10 * time.Second)
	for i, e := range w.ends {
		if e.gap > 200*time.Millisecond {
			t.Errorf("end %d heard nothing for %v", i, e.gap)
		}
	}
	if m := w.ends[0].m.mode; m != modeDirect {
		t.Errorf("10 s after the path came back: %v, want direct", m)
	}
}

// Packets that want no answer, such as those of a video, do not raise the
// alarm for ever.
func TestOneWayTrafficIsNotTakenForSilence(t *testing.T) {
	w := direct(t, 0)
	w.ends[0].bulk, w.ends[1].talking = false, false
	w.run(5 * time.Second)
	before, sends := w.ends[1].relayed, w.sends
	w.run(10 * time.Second)
	if m := w.ends[0].m.mode; m != modeDirect {
		t.Fatalf("mode %v, want direct", m)
	}
	if got := w.ends[1].relayed - before; got > 50 {
		t.Errorf("%d of 500 packets were sent twice", got)
	}
	if got := w.sends - sends; got > 60 {
		t.Errorf("%d pings in 10 s", got)
	}
}

func TestReportRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := counters{rapid.Uint32().Draw(t, "packets"), rapid.Uint32().Draw(t, "large")}
		if got, garbled, ok := parseReport(appendReport(nil, want, true)); !ok || got != want || !garbled {
			t.Errorf("got %v, %v, want %v", got, ok, want)
		}
		junk := rapid.SliceOfN(rapid.Byte(), 0, reportLen-1).Draw(t, "junk")
		if _, _, ok := parseReport(junk); ok {
			t.Errorf("took %x for a report", junk)
		}
	})
}

// A link whose queue fills answers late, now this ping and now that. It says
// nothing about sizes.
func TestALinkOfUnsteadyDelayKeepsItsSize(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := direct(t, 1472)
		w.run(2 * time.Second)
		for range 60 {
			w.latency = time.Duration(rapid.IntRange(1, 200).Draw(rt, "ms")) * time.Millisecond
			w.run(100 * time.Millisecond)
			if got := w.ends[0].m.candidates[way{addr: addrB}].mtu.size; got != 1472 {
				rt.Fatalf("the size went from 1472 to %d", got)
			}
		}
	})
}
