package path

import (
	"bytes"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// Nothing sends it again from above, as TCP's timers do in time.
func TestWhatWasSentInAGapArrivesAfterIt(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	var gap atomic.Bool
	atA, atB := lossy(t, a, b, func([]byte) bool { return gap.Load() })
	introduce(a, b, []netip.AddrPort{atA}, []netip.AddrPort{atB})
	direct := func(p Path) bool { return p.Direct.IsValid() }
	waitPath(t, a.peer, "direct", direct)
	waitPath(t, b.peer, "direct", direct)
	waitPath(t, a.peer, "carries what is large", func(Path) bool { return a.peer.MTU() > relayMTU })
	send := func(packet []byte) {
		t.Helper()
		if err := a.Send([][]byte{packet}, a.peer); err != nil {
			t.Fatal(err)
		}
	}
	send(data(0))
	b.expect(t, data(0))

	gap.Store(true)
	step := time.NewTicker(10 * time.Millisecond)
	defer step.Stop()
	last := 0
	for deadline := time.After(patience); a.peer.unheard.kept.Load() == 0 || a.peer.route.Load().mode != modeDoubt; {
		select {
		case <-step.C:
		case <-deadline:
			t.Fatal("nothing is kept, or the path not in doubt")
		}
		last++
		send(data(last))
	}
	large := wireGuard(wgTransport, smallPacket+1)
	send(large)
	send(data(last + 1))
	gap.Store(false)
	b.expect(t, large)
	if err := b.Send([][]byte{data(0)}, b.peer); err != nil {
		t.Fatal(err)
	}
	a.expect(t, data(0))
	if a.peer.unheard.kept.Load() != 0 {
		t.Error("the peer was heard, and packets are kept for another time")
	}
}

func TestPacketsAreKeptWhileNothingComes(t *testing.T) {
	const rtt, far = 10 * time.Millisecond, 0
	at := func(d time.Duration) int64 { return int64(time.Second + d) }
	packet := [][]byte{data(1)}
	for _, c := range []struct {
		name string
		rtt  time.Duration
		sent []time.Duration // after the first
		kept bool
		came time.Duration
		lost bool
	}{
		{"an answer may be under way", rtt, []time.Duration{unheardAfter}, false, unheardAfter + rtt, false},
		{"there is none", rtt, []time.Duration{unheardAfter + 2*rtt}, true, time.Minute, true},
		{"there is none by DERP, whose round trip is not known", far, []time.Duration{unheardFar}, true, time.Minute, true},
		{"it may be under way by DERP", far, []time.Duration{unheardFar - 1}, false, unheardFar, false},
		{"after a pause, an answer at once", rtt, []time.Duration{time.Minute}, true, time.Minute + rtt, false},
		{"after a pause, sent again before there is one", rtt, []time.Duration{time.Minute, time.Minute + unheardAfter}, true, time.Minute + unheardAfter + 2*rtt, true},
	} {
		var u unheard
		u.sent(at(0), c.rtt, packet)
		for _, after := range c.sent {
			u.sent(at(after), c.rtt, packet)
		}
		if kept := u.kept.Load() != 0; kept != c.kept {
			t.Errorf("%s: kept is %v", c.name, kept)
		}
		if lost := u.heard(at(c.came), c.rtt); lost != c.lost {
			t.Errorf("%s: lost is %v", c.name, lost)
		}
		if left := u.take(); !c.lost && len(left) > 0 {
			t.Errorf("%s: it is kept still", c.name)
		}
		u.sent(at(time.Hour), c.rtt, packet)
		if u.kept.Load() != 0 {
			t.Errorf("%s: the peer was heard, and is taken for silent", c.name)
		}
	}
}

func TestWhatIsKeptIsLittleAndOfLate(t *testing.T) {
	var u unheard
	var packets [][]byte
	for i := range 2 * keptSmall {
		packets = append(packets, data(i))
	}
	for i := range 3 {
		large := wireGuard(wgTransport, 1000)
		large[16] = byte(i)
		packets = append(packets, large)
	}
	u.keep(1, append(packets, wireGuard(wgInitiation, wgInitiationLen)))
	got := u.take()
	if len(got) != keptSmall+1 {
		t.Errorf("%d packets are kept, want %d", len(got), keptSmall+1)
	}
	for _, want := range append(packets[keptSmall:2*keptSmall], packets[2*keptSmall+2]) {
		if !slices.ContainsFunc(got, func(p []byte) bool { return bytes.Equal(p, want) }) {
			t.Errorf("%q of %d bytes is not kept", want[16:30], len(want))
		}
	}
	if u.take() != nil || u.kept.Load() != 0 {
		t.Error("what was taken is kept still")
	}
}
