package path

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
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
	pings   int  // put on the network
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
		w.ends[i].pings++
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

// keepaliveAfter is how long after a packet that it had nothing to say to an end's WireGuard
// says that it came.
const keepaliveAfter = 10 * time.Second

// sendKeepalive sends a packet of WireGuard's own that carries nothing.
func (w *world) sendKeepalive(i int) {
	e := w.ends[i]
	e.sent.packets++
	w.send(i, simPacket{kind: "keepalive", overUDP: true, destAddr: e.m.route().direct.addr, size: keepaliveLen})
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
	case "keepalive":
		e.traffic.unanswered = time.Time{}
		e.received.packets++
		return
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
