package path

import (
	"net/netip"
	"slices"
	"time"
)

// Timing of path choice.
const (
	// heartbeat is how often the best direct path is pinged while traffic
	// flows. A second keeps any NAT mapping open and finds a silent path
	// before TCP's first back-off has doubled twice.
	heartbeat = time.Second

	// silenceFor is how long an unanswered ping, or data sent with nothing
	// back, may last before the path is in doubt: three round trips, but no
	// less than this, so that one scheduling hiccup does not count.
	silenceFor = 200 * time.Millisecond

	// doubtPing is how often a doubtful path is pinged.
	doubtPing = 200 * time.Millisecond

	// doubtFor is how long a path may stay in doubt before it is given up.
	// Packets take both paths meanwhile, so that nothing is lost by patience.
	doubtFor = 2 * time.Second

	// idleAfter is how long after the last packet a peer is left alone.
	// NAT mappings of UDP live 30 s or longer (RFC 4787, REQ-5, asks for two
	// minutes), so what was learned before is doubtful by then.
	idleAfter = 2 * time.Minute

	// reprobeRelayed is how often a peer that is relayed while traffic flows
	// is probed anew. The first rounds follow each other faster, from
	// reprobeFirst on: the peer may not have been on its relay yet to hear
	// the call-me-maybe of the one before.
	reprobeRelayed = 5 * time.Second
	reprobeFirst   = 300 * time.Millisecond

	// reprobeDirect is how often a peer is probed anew whose direct path could
	// still be bettered.
	reprobeDirect = time.Minute

	// goodEnough is a round trip that no other path is likely to beat by
	// anything a person would notice.
	goodEnough = 5 * time.Millisecond

	// pingGap keeps two ends that answer each other's pings with pings from
	// making a loop of it.
	pingGap = 20 * time.Millisecond

	// hintFor is how long a ping that came in is taken for a way out. The other
	// end may have a direct path already, and no relay connection yet: without
	// the hint, the answer to its handshake would be lost, and WireGuard would
	// wait 5 s before the next.
	hintFor = 5 * time.Second

	// seenFor is how long an address that only its packets told us of is kept
	// after it last answered.
	seenFor = 2 * time.Minute
)

// burst is when a candidate is pinged within a probing round. The first pings
// open holes in NATs on the way and may be dropped by the far one; those that
// follow go through as soon as the far side has opened its own.
var burst = [...]time.Duration{
	0, 50 * time.Millisecond, 150 * time.Millisecond, 350 * time.Millisecond,
	750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second,
}

// maxCandidates bounds what a peer can make us ping.
const maxCandidates = 64

// mode is how a peer's packets travel.
//
//	relay ───pong──▶ direct ──silence──▶ doubt
//	  ▲                 ▲──────pong────────┘ │
//	  └───────────── doubtFor passed ────────┘
type mode uint8

const (
	modeRelay  mode = iota // over the relay, and on a hint also directly
	modeDirect             // over best
	modeDoubt              // over best and the relay at once
)

func (m mode) String() string {
	return [...]string{"relay", "direct", "doubt"}[m]
}

// txID identifies a ping and its pong.
type txID [12]byte

// ping is an action: ping addr with tx.
type ping struct {
	addr netip.AddrPort
	tx   txID
}

// actions is what the machine wants done.
type actions struct {
	pings []ping
	// callMeMaybe asks the peer, over the relay, to ping us.
	callMeMaybe bool
}

// route is where packets to a peer go. The zero route is relay only.
type route struct {
	// direct is the UDP address; invalid when there is none.
	direct netip.AddrPort
	// relay says that packets go over the relay, too.
	relay bool
	// asleep says that the machine wants to hear of the next packet sent.
	asleep bool
}

// candidate is an address that may reach the peer.
type candidate struct {
	addr netip.AddrPort
	// told is set while the peer itself, through the coordinator or a
	// call-me-maybe, names the address. Others were merely seen.
	told bool

	answered time.Time     // last pong; zero if never
	rtt      time.Duration // of the last pong

	// waiting holds pings without an answer, oldest first.
	waiting []sentPing
	// burstStart and burstNext are the present burst: when it began and the
	// index of its next ping; past the end when it is over.
	burstStart time.Time
	burstNext  int
}

type sentPing struct {
	tx txID
	at time.Time
}

// maxWaiting bounds the unanswered pings remembered for a candidate.
const maxWaiting = 8

// machine decides which path packets to one peer take. It does no I/O, reads
// no clock and takes no locks: each method is told the time, and leaves what
// is to be done in its return value. route tells where packets go now.
type machine struct {
	newTx func() txID

	mode       mode
	best       netip.AddrPort
	candidates map[netip.AddrPort]*candidate

	// hint is where the peer's last ping came from, at hintAt: most likely the
	// way to it, though no pong has proven that yet.
	hint   netip.AddrPort
	hintAt time.Time

	doubtSince time.Time
	roundAt    time.Time // when the last probing round began
	rounds     int       // how many there were since the direct path was lost
	asleep     bool

	// Traffic as last told to tick.
	lastSend, lastRecv, lastRecvDirect time.Time
	created                            time.Time
}

func newMachine(now time.Time, newTx func() txID) *machine {
	return &machine{
		newTx:      newTx,
		candidates: make(map[netip.AddrPort]*candidate),
		created:    now,
	}
}

// route returns where packets go now.
func (m *machine) route() route {
	switch m.mode {
	case modeDirect:
		return route{direct: m.best, asleep: m.asleep, relay: m.asleep}
	case modeDoubt:
		return route{direct: m.best, relay: true, asleep: m.asleep}
	default:
		return route{direct: m.hint, relay: true, asleep: m.asleep}
	}
}

// setTold replaces the addresses that the peer names and probes the new ones
// at once, all of them when everything is to be tried anew.
func (m *machine) setTold(now time.Time, addrs []netip.AddrPort) actions {
	var acts actions
	for _, c := range m.candidates {
		c.told = false
	}
	fresh := false
	for _, a := range addrs {
		if m.tell(a) {
			fresh = true
		}
	}
	for a, c := range m.candidates {
		if !c.told && a != m.best && now.Sub(c.answered) > seenFor {
			delete(m.candidates, a)
		}
	}
	if m.roundAt.IsZero() || fresh && m.mode != modeDirect {
		m.startRound(now, &acts)
	}
	m.runBursts(now, &acts)
	return acts
}

// tell notes a candidate that the peer names; true if it is new.
func (m *machine) tell(a netip.AddrPort) bool {
	if c := m.candidates[a]; c != nil {
		c.told = true
		return false
	}
	if !m.room() {
		return false
	}
	m.candidates[a] = &candidate{addr: a, told: true}
	return true
}

// room makes sure of a place for one more candidate, at the cost of one that
// was merely seen and never answered. It reports false when there is none.
func (m *machine) room() bool {
	if len(m.candidates) < maxCandidates {
		return true
	}
	for a, c := range m.candidates {
		if !c.told && c.answered.IsZero() {
			delete(m.candidates, a)
			return true
		}
	}
	return false
}

// callMeMaybe handles the peer's request to be pinged at addrs: its own NAT
// is open towards us right now, so the pings go out at once.
func (m *machine) callMeMaybe(now time.Time, addrs []netip.AddrPort) actions {
	var acts actions
	m.lastRecv = now
	if m.asleep {
		m.wake(now, &acts)
	}
	for _, a := range addrs {
		m.tell(a)
		if c := m.candidates[a]; c != nil && m.mode != modeDirect {
			c.restartBurst(now)
		}
	}
	if m.mode == modeDirect {
		m.ping(now, m.candidates[m.best], &acts)
	}
	m.runBursts(now, &acts)
	return acts
}

// pinged handles a ping from addr. A ping that arrived shows an open hole, so
// unless the way there is known to work it is answered with one of ours.
func (m *machine) pinged(now time.Time, addr netip.AddrPort) actions {
	var acts actions
	m.hint, m.hintAt = addr, now
	c := m.candidates[addr]
	if c == nil {
		if !m.room() {
			return acts
		}
		c = &candidate{addr: addr, burstNext: len(burst)}
		m.candidates[addr] = c
	}
	if now.Sub(c.answered) < 2*heartbeat {
		return acts
	}
	if n := len(c.waiting); n > 0 && now.Sub(c.waiting[n-1].at) < pingGap {
		return acts
	}
	m.ping(now, c, &acts)
	return acts
}

// ponged handles the answer to ping tx from addr. It reports false when no
// such ping is waiting.
func (m *machine) ponged(now time.Time, addr netip.AddrPort, tx txID) bool {
	c := m.candidates[addr]
	if c == nil {
		return false
	}
	i := slices.IndexFunc(c.waiting, func(s sentPing) bool { return s.tx == tx })
	if i < 0 {
		return false
	}
	c.rtt = now.Sub(c.waiting[i].at)
	c.answered = now
	// Older pings will not be answered any more, or it no longer matters.
	c.waiting = slices.Delete(c.waiting, 0, i+1)
	c.burstNext = len(burst)

	switch {
	case m.mode != modeDirect:
		m.best, m.mode = addr, modeDirect
	case addr != m.best && c.betters(m.candidates[m.best]):
		m.best = addr
	}
	return true
}

// traffic is when packets last went and came. The zero time is never.
type traffic struct {
	sent, received, receivedDirect time.Time
}

// tick moves the machine to now. It returns what to do and when to call it
// again at the latest; the zero time means not before something happens.
func (m *machine) tick(now time.Time, t traffic) (actions, time.Time) {
	var acts actions
	m.lastSend = later(m.lastSend, t.sent)
	m.lastRecv = later(m.lastRecv, t.received)
	m.lastRecvDirect = later(m.lastRecvDirect, t.receivedDirect)

	last := later(m.created, later(m.lastSend, m.lastRecv))
	if now.Sub(last) >= idleAfter {
		m.asleep, m.hint = true, netip.AddrPort{}
		return acts, time.Time{}
	}
	if m.asleep {
		m.wake(now, &acts)
	}
	if now.Sub(m.hintAt) >= hintFor {
		m.hint = netip.AddrPort{}
	}

	switch m.mode {
	case modeDirect:
		m.tickDirect(now, &acts)
	case modeDoubt:
		m.tickDoubt(now, &acts)
	case modeRelay:
		if !now.Before(m.nextRound()) {
			m.startRound(now, &acts)
		}
	}
	m.runBursts(now, &acts)
	return acts, m.next(now)
}

// wake takes the machine up again after a silence in which mappings may have
// expired.
func (m *machine) wake(now time.Time, acts *actions) {
	m.asleep = false
	if m.mode == modeRelay {
		m.rounds = 0
		m.startRound(now, acts)
		return
	}
	m.doubt(now, acts)
}

// networkChanged handles a change of this node's own addresses or routes: what
// was known to work may not any more, and what failed may work now.
func (m *machine) networkChanged(now time.Time) actions {
	var acts actions
	if m.asleep {
		return acts // it will find out when it wakes
	}
	if m.mode == modeDirect {
		m.doubt(now, &acts)
	}
	m.rounds = 0
	m.startRound(now, &acts)
	return acts
}

func (m *machine) tickDirect(now time.Time, acts *actions) {
	c := m.candidates[m.best]
	patience := max(silenceFor, 3*c.rtt)
	if len(c.waiting) > 0 {
		if now.Sub(c.waiting[0].at) >= patience {
			m.doubt(now, acts)
		}
		return
	}
	// Sent something, and neither data nor a pong has come back since.
	heard := later(m.lastRecvDirect, c.answered)
	unanswered := m.lastSend.After(heard) && now.Sub(heard) >= patience
	if unanswered || now.Sub(c.answered) >= heartbeat {
		m.ping(now, c, acts)
	}
	if c.rtt > goodEnough && now.Sub(m.roundAt) >= reprobeDirect {
		m.roundAt = now
		for _, other := range m.candidates {
			if other != c {
				m.ping(now, other, acts)
			}
		}
	}
}

// doubt starts sending over both paths and asks every address that ever
// answered.
func (m *machine) doubt(now time.Time, acts *actions) {
	m.mode = modeDoubt
	m.doubtSince = now
	for _, c := range m.candidates {
		if c.addr == m.best || !c.answered.IsZero() {
			m.ping(now, c, acts)
		}
	}
}

func (m *machine) tickDoubt(now time.Time, acts *actions) {
	if now.Sub(m.doubtSince) >= doubtFor {
		m.mode = modeRelay
		m.best = netip.AddrPort{}
		m.rounds = 0
		m.startRound(now, acts)
		return
	}
	for _, c := range m.candidates {
		if c.addr != m.best && c.answered.IsZero() {
			continue
		}
		if n := len(c.waiting); n == 0 || now.Sub(c.waiting[n-1].at) >= doubtPing {
			m.ping(now, c, acts)
		}
	}
}

// startRound probes every candidate and asks the peer to do the same.
func (m *machine) startRound(now time.Time, acts *actions) {
	m.roundAt = now
	m.rounds++
	acts.callMeMaybe = true
	for _, c := range m.candidates {
		c.restartBurst(now)
	}
	m.runBursts(now, acts)
}

// nextRound is when a relayed peer is to be probed again.
func (m *machine) nextRound() time.Time {
	pause := reprobeRelayed
	if m.rounds < 5 { // 300 ms, 600 ms, 1.2 s, 2.4 s, 4.8 s
		pause = reprobeFirst << max(0, m.rounds-1)
	}
	return m.roundAt.Add(pause)
}

// restartBurst starts a burst unless one has only just begun.
func (c *candidate) restartBurst(now time.Time) {
	if c.burstNext < len(burst) && !c.burstStart.IsZero() && now.Sub(c.burstStart) < burst[2] {
		return
	}
	c.burstStart, c.burstNext = now, 0
}

// runBursts sends the burst pings that are due.
func (m *machine) runBursts(now time.Time, acts *actions) {
	for _, c := range m.candidates {
		if c.burstNext >= len(burst) {
			continue
		}
		if c.burstStart.IsZero() {
			c.burstStart = now
		}
		due := false
		for c.burstNext < len(burst) && now.Sub(c.burstStart) >= burst[c.burstNext] {
			c.burstNext++
			due = true
		}
		if due {
			m.ping(now, c, acts)
		}
	}
}

func (m *machine) ping(now time.Time, c *candidate, acts *actions) {
	if len(c.waiting) == maxWaiting {
		c.waiting = slices.Delete(c.waiting, 1, 2) // keep the oldest: it times the silence
	}
	p := ping{c.addr, m.newTx()}
	c.waiting = append(c.waiting, sentPing{p.tx, now})
	acts.pings = append(acts.pings, p)
}

// tickEvery is the coarsest step at which silence is noticed in time.
const tickEvery = 100 * time.Millisecond

// next says when tick has something to do again.
func (m *machine) next(now time.Time) time.Time {
	if m.mode != modeRelay {
		return now.Add(tickEvery)
	}
	at := m.nextRound()
	if m.hint.IsValid() {
		at = earlier(at, m.hintAt.Add(hintFor))
	}
	for _, c := range m.candidates {
		if c.burstNext < len(burst) {
			at = earlier(at, c.burstStart.Add(burst[c.burstNext]))
		}
	}
	return at
}

// betters reports whether c is enough better than the path in use, best, to
// move to it. A switch may reorder packets, so a few per cent are not enough.
func (c *candidate) betters(best *candidate) bool {
	return c.cost() < best.cost()-best.cost()/5
}

// cost weighs a round trip by what the way there is worth otherwise: a local
// network spares the router and whatever the line is metered by, and IPv6
// spares a NAT whose mapping may go.
func (c *candidate) cost() time.Duration {
	cost := c.rtt + 3*time.Millisecond
	ip := c.addr.Addr()
	switch {
	case ip.IsPrivate() || ip.IsLoopback():
		cost -= 2 * time.Millisecond
	case ip.Is6():
		cost -= time.Millisecond
	}
	return cost
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
