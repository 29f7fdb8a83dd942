package path

import (
	"bytes"
	"net/netip"
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
	for deadline := time.After(patience); !a.peer.unheard.keeps.Load() || a.peer.route.Load().mode != modeDoubt; {
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
	if a.peer.unheard.keeps.Load() {
		t.Error("the peer was heard, and packets are kept for another time")
	}
}

func TestWhatIsKeptIsLittleAndOfLate(t *testing.T) {
	var u unheard
	const rtt = 10 * time.Millisecond
	at := func(d time.Duration) int64 { return int64(time.Second + d) }
	if u.sent(at(0), rtt) || u.sent(at(unheardAfter), rtt) {
		t.Error("packets are kept before an answer can have come")
	}
	if !u.sent(at(unheardAfter+2*rtt), rtt) {
		t.Error("no packets are kept though there is no answer")
	}
	if u.sent(at(unheardFar-1), 0) || !u.sent(at(unheardFar), 0) {
		t.Error("over DERP, whose round trip is not known, it is a second")
	}
	var packets [][]byte
	for i := range 2 * keptSmall {
		packets = append(packets, data(i))
	}
	for i := range 3 {
		large := wireGuard(wgTransport, 1000)
		large[16] = byte(i)
		packets = append(packets, large)
	}
	u.keep(append(packets, wireGuard(wgInitiation, wgInitiationLen)))
	if !u.heard() {
		t.Error("nothing is kept")
	}
	got := u.take()
	if len(got) != keptSmall+1 {
		t.Errorf("%d packets are kept, want %d", len(got), keptSmall+1)
	}
	for _, want := range append(packets[keptSmall:2*keptSmall], packets[2*keptSmall+2]) {
		found := false
		for _, p := range got {
			found = found || bytes.Equal(p, want)
		}
		if !found {
			t.Errorf("%q of %d bytes is not kept", want[16:30], len(want))
		}
	}
	if u.heard() || u.take() != nil {
		t.Error("what was taken is kept still")
	}
	if u.sent(at(time.Hour), rtt) {
		t.Error("the peer was heard, and is taken for silent")
	}
}
