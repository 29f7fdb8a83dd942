package path

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFasterPathWinsByAMargin(t *testing.T) {
	m := newWorld(t).ends[0].m
	now := time.Unix(1_000_000, 0)
	slow, fast, same := addrA, addrB, netip.MustParseAddrPort("203.0.113.3:3")
	m.setTold(now, []netip.AddrPort{slow, fast, same})
	answer := func(a netip.AddrPort, rtt time.Duration) {
		c := m.candidates[way{addr: a}]
		at := c.waiting[0].at.Add(rtt)
		m.ponged(at, c.way, pong{tx: c.waiting[0].tx})
		for _, p := range slices.Clone(c.mtu.probes) {
			m.ponged(at, c.way, pong{tx: p.tx})
		}
	}
	answer(slow, 40*time.Millisecond)
	answer(same, 38*time.Millisecond)
	if m.best.addr != slow {
		t.Errorf("moved to %v for 2 ms of 40", m.best)
	}
	answer(fast, 10*time.Millisecond)
	if m.best.addr != fast {
		t.Errorf("best is %v, want the path of 10 ms", m.best)
	}
}

func TestForeignPongsAreIgnored(t *testing.T) {
	w := newWorld(t)
	w.carries = nothing
	w.meet()
	m := w.ends[0].m
	tx := m.candidates[way{addr: addrB}].waiting[0].tx
	if _, ok := m.ponged(w.now, way{addr: addrB}, pong{tx: txID{9}}); ok {
		t.Error("took a pong for a ping never sent")
	}
	if _, ok := m.ponged(w.now, way{addr: netip.MustParseAddrPort("192.0.2.9:9")}, pong{tx: tx}); ok {
		t.Error("took a pong from an address never pinged")
	}
	if m.mode != modeRelay {
		t.Errorf("mode %v, want relay", m.mode)
	}
}

// Whatever a peer tells and sends, the machine stays within its bounds and
// its route stays one that can carry a packet.
func TestMachineInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := uint64(0)
		m := newMachine(time.Unix(0, 1), func() (tx txID) {
			n++
			binary.BigEndian.PutUint64(tx[:], n)
			return tx
		})
		now := time.Unix(0, 1)
		if m.yields = rapid.Bool().Draw(t, "yields"); rapid.Bool().Draw(t, "beats") {
			m.beats = now
		}
		var sent []ping
		var tr traffic
		addr := rapid.Custom(func(t *rapid.T) netip.AddrPort {
			i := rapid.IntRange(0, 99).Draw(t, "host")
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1000)
		})
		report := rapid.Custom(func(t *rapid.T) *counters {
			return &counters{rapid.Uint32().Draw(t, "packets"), rapid.Uint32().Draw(t, "large")}
		})
		take := func(a actions) { sent = append(sent, a.pings...) }
		t.Repeat(map[string]func(*rapid.T){
			"told": func(t *rapid.T) {
				take(m.setTold(now, rapid.SliceOfN(addr, 0, 100).Draw(t, "addrs")))
			},
			"cmm":    func(t *rapid.T) { take(m.callMeMaybe(now, rapid.SliceOfN(addr, 0, 100).Draw(t, "addrs"))) },
			"pinged": func(t *rapid.T) { take(m.pinged(now, way{addr: addr.Draw(t, "addr")})) },
			"ponged": func(t *rapid.T) {
				if len(sent) > 0 {
					p := rapid.SampledFrom(sent).Draw(t, "ping")
					acts, _ := m.ponged(now, p.way, pong{tx: p.tx, report: report.Draw(t, "report"), out: tr.out})
					take(acts)
				}
			},
			"tick": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 200_000).Draw(t, "ms")) * time.Millisecond)
				a, next := m.tick(now, tr)
				take(a)
				// A quiet machine names no time later than that at which it has
				// something to do.
				if wait := next.Sub(now); m.quiet && wait > leastQuiet {
					now = now.Add(time.Duration(rapid.Int64Range(1, int64(wait)-1).Draw(t, "early")))
					route := m.route()
					if a, _ := m.tick(now, tr); len(a.pings) > 0 || a.callMeMaybe || m.route() != route {
						t.Fatalf("%+v, route %+v after %+v, %v before its time", a, m.route(), route, next.Sub(now))
					}
				}
			},
			"send": func(t *rapid.T) { tr.sent, tr.out.packets = now, rapid.Uint32().Draw(t, "out") },
			"recv": func(*rapid.T) { tr.received = now },
			"": func(t *rapid.T) {
				if len(m.candidates) > maxCandidates {
					t.Fatalf("%d candidates", len(m.candidates))
				}
				for _, c := range m.candidates {
					if len(c.waiting) > maxWaiting || len(c.mtu.probes) > maxProbes {
						t.Fatalf("%d pings waiting for %v", len(c.waiting), c.addr)
					}
				}
				if m.mode != modeRelay && m.candidates[m.best] == nil {
					t.Fatalf("best %v is no candidate", m.best)
				}
				r := m.route()
				if m.mode == modeRelay && r.relay != relayAll || m.mode != modeRelay && !r.direct.valid() {
					t.Fatalf("mode %v with route %+v", m.mode, r)
				}
			},
		})
	})
}

// That a ping has no answer is noticed when the quiet machine said, and not on the way there.
func TestAQuietMachineDoubtsNothingBeforeItsTime(t *testing.T) {
	now := time.Unix(0, 1)
	m := newMachine(now, func() (tx txID) { return txID{1} })
	first := m.callMeMaybe(now, []netip.AddrPort{addrB}).pings
	m.ponged(now, first[0].way, pong{tx: first[0].tx})
	m.ping(now, m.candidates[m.best], &actions{})
	_, next := m.tick(now.Add(silenceFor/2), traffic{})
	if !m.quiet || next.Before(now.Add(silenceFor)) {
		t.Fatalf("quiet is %v, and the next time is %v after a ping that may take %v", m.quiet, next.Sub(now), silenceFor)
	}
	for _, at := range []struct {
		now  time.Time
		want mode
	}{{next.Add(-1), modeDirect}, {next, modeDoubt}} {
		if m.tick(at.now, traffic{}); m.mode != at.want {
			t.Errorf("mode %v %v before the time that was said, want %v", m.mode, next.Sub(at.now), at.want)
		}
	}
}

// Peers that answered at different times are pinged together next, and none later than it
// would be alone.
func TestPeersArePingedTogether(t *testing.T) {
	beats := time.Unix(1_000_000, 0)
	for _, tt := range []struct{ silent, pause time.Duration }{{0, heartbeat}, {restAfter, restBeat}} {
		next := make(map[time.Time]bool)
		for _, after := range []time.Duration{100 * time.Millisecond, 333 * time.Millisecond, 999 * time.Millisecond} {
			answered := beats.Add(10*tt.pause + after)
			m := &machine{beats: beats, created: answered, now: answered.Add(tt.silent)}
			at := m.nextBeat(&candidate{answered: answered})
			if !at.After(answered) || at.Sub(answered) > tt.pause {
				t.Errorf("answered at %v, pinged again after %v of %v", after, at.Sub(answered), tt.pause)
			}
			next[at] = true
		}
		if len(next) != 1 {
			t.Errorf("every %v: pinged at %v", tt.pause, next)
		}
	}
}
