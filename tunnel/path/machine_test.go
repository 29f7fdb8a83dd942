package path

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is two machines and a network between them, in virtual time. The
// network is a function that says what becomes of a packet.
type world struct {
	t    testing.TB
	now  time.Time
	ends [2]*simEnd
	// carries decides whether a direct packet arrives; nil carries all.
	carries func(w *world, from, to netip.AddrPort) bool
	// mtu is the largest datagram that arrives; zero is any.
	mtu int
	// dropPongs says that pongs vanish.
	dropPongs bool
	// swallow says that direct data packets of at least so many bytes vanish,
	// whatever becomes of pings; zero swallows none.
	swallow int
	latency time.Duration
	queue   []simPacket
	sends   int // pings put on the network
	// suspected counts how often an end suspected its offload.
	suspected int
}

// simEnd is one node: its machine and the single address it sends from.
type simEnd struct {
	m       *machine
	addr    netip.AddrPort
	next    time.Time
	traffic traffic
	ticks   int
	talking bool // sends a packet every 20 ms
	direct  int  // data packets that came over UDP
	relayed int
	bulk    bool // its packets are large
	// received is what it reports to the other end; sent is what it sent.
	received, sent counters
	// heardAt is when data last came, gap the longest time without.
	heardAt time.Time
	gap     time.Duration
}

type simPacket struct {
	at       time.Time
	to       int
	from     netip.AddrPort
	kind     string // "ping", "pong", "cmm", "data"
	tx       txID
	overUDP  bool
	destAddr netip.AddrPort
	size     int
	report   counters
}

var (
	addrA = netip.MustParseAddrPort("198.51.100.1:1111")
	addrB = netip.MustParseAddrPort("203.0.113.2:2222")
)

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: time.Unix(1_000_000, 0), latency: 10 * time.Millisecond}
	n := uint64(0)
	newTx := func() (tx txID) {
		n++
		binary.BigEndian.PutUint64(tx[:], n)
		return tx
	}
	w.ends[0] = &simEnd{m: newMachine(w.now, newTx), addr: addrA}
	w.ends[1] = &simEnd{m: newMachine(w.now, newTx), addr: addrB}
	return w
}

// meet tells each end the other's address, as the coordinator does.
func (w *world) meet() {
	for i, e := range w.ends {
		w.do(i, e.m.setTold(w.now, []netip.AddrPort{w.ends[1-i].addr}))
		e.next = w.now
	}
}

func (w *world) do(i int, acts actions) {
	if acts.suspectOffload {
		w.suspected++
	}
	for _, p := range acts.pings {
		w.sends++
		w.send(i, simPacket{kind: "ping", tx: p.tx, overUDP: true, destAddr: p.addr, size: max(p.size, pingLen)})
	}
	if acts.callMeMaybe {
		w.send(i, simPacket{kind: "cmm"})
	}
}

func (w *world) send(from int, p simPacket) {
	p.from, p.to, p.at = w.ends[from].addr, 1-from, w.now.Add(w.latency)
	if p.overUDP {
		if p.destAddr != w.ends[p.to].addr {
			return
		}
		if w.carries != nil && !w.carries(w, p.from, p.destAddr) {
			return
		}
		if w.mtu > 0 && p.size > w.mtu || p.kind == "data" && w.swallow > 0 && p.size >= w.swallow {
			return
		}
	}
	w.queue = append(w.queue, p)
}

// run lets d pass, a millisecond at a time.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(time.Millisecond) {
		var due []simPacket
		rest := w.queue[:0]
		for _, p := range w.queue {
			if p.at.After(w.now) {
				rest = append(rest, p)
			} else {
				due = append(due, p)
			}
		}
		w.queue = rest
		for _, p := range due {
			w.receive(p)
		}
		for i, e := range w.ends {
			if e.talking && w.now.UnixMilli()%20 == 0 {
				w.sendData(i)
			}
			if !e.next.IsZero() && !w.now.Before(e.next) {
				var acts actions
				e.ticks++
				e.traffic.out = e.sent
				acts, e.next = e.m.tick(w.now, e.traffic)
				w.do(i, acts)
			}
		}
	}
}

// sendData sends one data packet over the route in force, as Bind.Send does.
func (w *world) sendData(i int) {
	e := w.ends[i]
	size := 150
	if e.bulk {
		size = 1400
	}
	e.traffic.sent = w.now
	r := e.m.route()
	if r.listens {
		e.next = w.now
	}
	use := r.relay
	if r.guard > 0 {
		if e.traffic.unanswered.IsZero() {
			e.traffic.unanswered = w.now
		} else if use == relayLast && w.now.Sub(e.traffic.unanswered) >= r.guard {
			use = relaySmall
		}
	}
	if r.direct.valid() && size <= r.limit {
		e.sent.packets++
		if size > largePacket {
			e.sent.large++
		}
		w.send(i, simPacket{kind: "data", overUDP: true, destAddr: r.direct.addr, size: size})
	}
	if use == relayAll || use == relaySmall && size <= smallPacket || size > r.limit {
		w.send(i, simPacket{kind: "data", size: size})
	}
}

func (w *world) receive(p simPacket) {
	e := w.ends[p.to]
	switch p.kind {
	case "ping":
		w.send(p.to, simPacket{kind: "pong", tx: p.tx, overUDP: true, destAddr: p.from, size: 150, report: e.received})
		acts := e.m.pinged(w.now, way{addr: p.from})
		w.do(p.to, acts)
		if len(acts.pings) == 0 {
			return
		}
	case "pong":
		if w.dropPongs {
			return
		}
		e.traffic.unanswered = time.Time{}
		acts, _ := e.m.ponged(w.now, way{addr: p.from}, pong{p.tx, &p.report, e.sent})
		w.do(p.to, acts)
	case "cmm":
		w.do(p.to, e.m.callMeMaybe(w.now, []netip.AddrPort{p.from}))
	case "data":
		e.traffic.received = w.now
		if !e.heardAt.IsZero() {
			e.gap = max(e.gap, w.now.Sub(e.heardAt))
		}
		e.heardAt = w.now
		if p.overUDP {
			e.traffic.unanswered = time.Time{}
			e.direct++
			e.received.packets++
			if p.size > largePacket {
				e.received.large++
			}
		} else {
			e.relayed++
		}
		if p.size <= largePacket || !e.m.route().listens {
			return
		}
	}
	e.next = w.now
}

// untilDirect runs until both ends are direct and returns how long that took.
func (w *world) untilDirect(limit time.Duration) time.Duration {
	w.t.Helper()
	start := w.now
	for w.now.Sub(start) < limit {
		w.run(time.Millisecond)
		if w.ends[0].m.mode == modeDirect && w.ends[1].m.mode == modeDirect {
			return w.now.Sub(start)
		}
	}
	w.t.Fatalf("not direct after %v: %v, %v", limit, w.ends[0].m.mode, w.ends[1].m.mode)
	return 0
}

// portRestricted is a NAT in front of both ends: a packet passes only if the
// receiver has sent one to exactly that address before.
func portRestricted() func(*world, netip.AddrPort, netip.AddrPort) bool {
	type hole struct{ inside, outside netip.AddrPort }
	open := map[hole]bool{}
	return func(_ *world, from, to netip.AddrPort) bool {
		open[hole{from, to}] = true
		return open[hole{to, from}]
	}
}

func nothing(*world, netip.AddrPort, netip.AddrPort) bool { return false }

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
	// A heartbeat and its answer each second, and the other ways now and then.
	if ticks, most := w.ends[0].ticks-began, int(quiet*5/2/heartbeat); ticks > most {
		t.Errorf("%d ticks in %v without a packet, want at most %d", ticks, quiet, most)
	}
	w.carries = nothing
	w.run(heartbeat + silenceFor + tickEvery)
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
