package path

import (
	"net/netip"
	"time"
)

// mode is how a peer's packets travel.
//
//	relay ───pong──▶ direct ──silence──▶ doubt
//	  ▲                │ ▲──────pong───────┘ │
//	  │◀─data swallowed┘                     │
//	  └───────────── doubtFor passed ────────┘
//
// The way in use may be one over a UDP relay; then better ones are looked for as if
// there were none.
type mode uint8

const (
	modeRelay  mode = iota // over the relay, and on a hint also directly
	modeDirect             // over best
	modeDoubt              // over best and the relay at once
)

func (m mode) String() string {
	return [...]string{"relay", "direct", "doubt"}[m]
}

// actions is what the machine wants done.
type actions struct {
	pings []ping
	// openPorts are addresses of the peer to ping from many new sockets, of
	// which the peer is to be told.
	openPorts []netip.AddrPort
	// spray are addresses of the peer whose ports are to be pinged at random,
	// with sprayTx.
	spray   []netip.Addr
	sprayTx txID
	// callMeMaybe asks the peer, over the relay, to ping us: after the pings
	// above.
	callMeMaybe bool
	// askRelays asks relays to carry packets to the peer over UDP, for the n-th time;
	// zero asks none.
	askRelays int
	// suspectOffload says that large packets are lost on the way out, maybe
	// for what the network card makes of them.
	suspectOffload bool
}

// machine decides which path packets to one peer take. It does no I/O, reads
// no clock and takes no locks: each method is told the time, and leaves what
// is to be done in its return value. route tells where packets go now.
type machine struct {
	newTx func() txID

	mode       mode
	best       way
	candidates map[way]*candidate

	// hint is where the peer's last ping came from, at hintAt: most likely the
	// way to it, though no pong has proven that yet.
	hint   way
	hintAt time.Time

	now         time.Time // of the last event, for route
	doubtSince  time.Time
	roundAt     time.Time // when the last probing round began
	rounds      int       // how many there were since the direct path was lost
	tryingSince time.Time // when the first of them began
	secondAt    time.Time // when the other ways were last pinged
	beats       time.Time // from which the moments of pings are counted; zero does not
	yields      bool      // the other end pings while nothing goes or comes
	asleep      bool
	quiet       bool // no packet went or came since the last tick but one

	birthday birthday
	delivery delivery

	// alarms counts unanswered packets in a row that turned out to want no answer,
	// as the answer to a ping shows while alarmed. The last alarm was at alarmAt.
	alarms  int
	alarmed bool
	alarmAt time.Time

	// Traffic as last told to tick.
	seen    traffic
	created time.Time
}

func newMachine(now time.Time, newTx func() txID) *machine {
	return &machine{
		newTx:      newTx,
		candidates: make(map[way]*candidate),
		created:    now, now: now, tryingSince: now,
	}
}

// setTold replaces the addresses that the peer names and probes them at once, for
// whatever news of the peer there is shows that it is there by now.
func (m *machine) setTold(now time.Time, addrs []netip.AddrPort) actions {
	m.now = now
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
	for w, c := range m.candidates {
		if !c.told && !w.relayed() && w != m.best && now.Sub(c.answered) > seenFor && !c.expectant(now) {
			delete(m.candidates, w)
		}
	}
	switch {
	case m.roundAt.IsZero() || fresh && !m.direct():
		m.startRound(now, &acts)
	case !m.direct():
		for _, c := range m.candidates {
			m.probe(now, c, &acts)
		}
	}
	m.runBursts(now, &acts)
	return acts
}

// direct reports whether packets go to the peer itself, and that is beyond doubt.
func (m *machine) direct() bool { return m.mode == modeDirect && !m.best.relayed() }

// seeking reports whether there is no way to the peer itself.
func (m *machine) seeking() bool { return m.mode == modeRelay || m.best.relayed() }

// tell notes a candidate that the peer names; true if it is new.
func (m *machine) tell(a netip.AddrPort) bool {
	w := way{addr: a}
	if c := m.candidates[w]; c != nil {
		c.told = true
		return false
	}
	c := m.add(w)
	if c == nil {
		return false
	}
	c.told = true
	return true
}

// add makes a candidate, if need be at the cost of one that was merely seen
// and never answered in time. It returns nil when there is no room.
func (m *machine) add(w way) *candidate {
	if len(m.candidates) >= maxCandidates {
		for old, c := range m.candidates {
			if !c.told && c.answered.IsZero() && !c.expectant(m.now) {
				delete(m.candidates, old)
				break
			}
		}
	}
	if len(m.candidates) >= maxCandidates {
		return nil
	}
	c := newCandidate(w)
	m.candidates[w] = c
	return c
}

// callMeMaybe handles the peer's request to be pinged at addrs: its own NAT
// is open towards us right now, so the pings go out at once.
func (m *machine) callMeMaybe(now time.Time, addrs []netip.AddrPort) actions {
	m.now = now
	var acts actions
	m.seen.received = now
	if m.asleep {
		m.wake(now, &acts)
	}
	for _, a := range addrs {
		m.tell(a)
		if c := m.candidates[way{addr: a}]; c != nil && !m.direct() {
			m.probe(now, c, &acts)
		}
	}
	if m.mode == modeDirect {
		m.ping(now, m.candidates[m.best], &acts)
	}
	m.runBursts(now, &acts)
	return acts
}

// pinged handles a ping that came in by w. A ping that arrived shows an open
// hole, so unless the way there is known to work it is answered with one of
// ours.
func (m *machine) pinged(now time.Time, w way) actions {
	m.now = now
	var acts actions
	m.hint, m.hintAt = w, now
	c := m.candidates[w]
	if c == nil {
		if c = m.add(w); c == nil {
			return acts
		}
	}
	since := now.Sub(c.heard)
	c.heard = now
	if now.Sub(c.answered) < 2*heartbeat || m.isBeat(w, since) {
		return acts
	}
	if c.prompt(now) {
		m.ping(now, c, &acts)
	}
	return acts
}

// isBeat reports whether a ping that came by w, since the one before, is of those by which the
// peer keeps a path that rests: it has no doubts, or would ask again and again.
func (m *machine) isBeat(w way, since time.Duration) bool {
	return m.mode == modeDirect && w == m.best && m.pause() == restBeat && heartbeat <= since && since < 2*restBeat
}

// pong is an answer to a ping: to which, the peer's report if it sent one, and
// what had been sent over the path in use when it came.
type pong struct {
	tx     txID
	report *counters
	out    counters
}

// ponged handles a pong that came in by w. It reports false when no such ping
// is waiting.
func (m *machine) ponged(now time.Time, w way, p pong) (actions, bool) {
	m.now = now
	var acts actions
	c := m.candidates[w]
	if c == nil && m.birthday.sprayed(now, p.tx, w.addr) {
		if c = m.add(w); c != nil {
			c.noteSent(sentPing{tx: p.tx, at: m.birthday.roundAt})
		}
	}
	if c == nil {
		return acts, false
	}
	sent, ok := c.answeredBy(now, p.tx)
	if !ok {
		return acts, false
	}
	if w == m.best && m.alarmed {
		// Only now: packets take every way for as long as the alarm may be true.
		m.alarms, m.alarmed = min(m.alarms+1, maxAlarms), false
	}
	if p.report != nil && w == m.best && m.mode != modeRelay {
		if m.judge(now, c, sent.out, p, &acts) {
			return acts, true
		}
	}
	switch best := m.candidates[m.best]; {
	case !c.usable(now):
	case m.mode != modeDirect, c != best && c.betters(best):
		m.use(c)
	}
	m.searchMTU(now, c, &acts)
	return acts, true
}

// use makes c the path in use.
func (m *machine) use(c *candidate) {
	if m.best != c.way {
		m.best, m.delivery, m.alarms, m.alarmed = c.way, delivery{}, 0, false
	}
	m.mode = modeDirect
	if !c.relayed() {
		m.birthday.rounds = 0
	}
}

// judge compares what had been sent over c when the peer was asked with what
// the peer has received. It reports whether c was given up.
func (m *machine) judge(now time.Time, c *candidate, asked counters, p pong, acts *actions) bool {
	switch m.delivery.judge(now, asked, p.out, *p.report) {
	case lossMost:
		acts.suspectOffload = true
	case lossLarge:
		m.delivery = delivery{}
		if c.mtu.suspected(now) {
			// The search that the first loss began found nothing wrong.
			c.shun(now)
			m.retire(now, acts)
			return true
		}
		acts.suspectOffload = true
		c.mtu.restart(now)
	case lossAll:
		c.shun(now)
		m.retire(now, acts)
		return true
	}
	return false
}

// traffic is when packets last went and came, and how many went over the path
// in use. The zero time is never.
type traffic struct {
	sent, received time.Time
	// unanswered is when the first packet went by the way in use that nothing has
	// followed from there.
	unanswered time.Time
	out        counters
}

// tick moves the machine to now. It returns what to do and when to call it
// again at the latest; the zero time means not before something happens.
func (m *machine) tick(now time.Time, t traffic) (actions, time.Time) {
	m.now = now
	var acts actions
	t.received = later(m.seen.received, t.received)
	m.quiet = m.mode == modeDirect && t == m.seen
	m.seen = t

	last := later(m.created, later(t.sent, t.received))
	if now.Sub(last) >= idleAfter {
		m.asleep, m.quiet, m.hint = true, false, way{}
		return acts, time.Time{}
	}
	if m.asleep {
		m.wake(now, &acts)
	}
	m.dropOldHint(now)

	switch m.mode {
	case modeDirect:
		m.tickDirect(now, &acts)
	case modeDoubt:
		m.tickDoubt(now, &acts)
	}
	if m.seeking() && m.mode != modeDoubt {
		if !now.Before(m.nextRound()) {
			m.startRound(now, &acts)
		}
		m.startBirthday(now, &acts)
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
	m.now = now
	var acts actions
	m.birthday.rounds, m.birthday.roundAt = 0, time.Time{}
	for _, c := range m.candidates {
		c.shunUntil, c.shunned = time.Time{}, 0
		c.mtu.nextAt, c.mtu.tries = now, 0
	}
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
	patience := c.patience()
	if len(c.waiting) > 0 && !now.Before(m.overdue(c)) {
		m.doubt(now, acts)
		return
	}
	for _, other := range m.candidates {
		if now.Sub(other.answered) < secondFor {
			m.searchMTU(now, other, acts)
		}
	}
	m.verifyMTU(now, c, patience, acts)
	if !c.usable(now) {
		m.retire(now, acts)
		return
	}
	if m.seen.received.After(m.alarmAt) || !now.Before(m.calmAt()) {
		m.alarms = 0
	}
	if len(c.waiting) == 0 {
		silent := !m.seen.unanswered.IsZero() && now.Sub(m.seen.unanswered) >= m.route().guard
		if silent {
			m.alarmed, m.alarmAt = true, now
		}
		if silent || !now.Before(m.nextBeat(c)) {
			m.ping(now, c, acts)
		}
	}
	if now.Sub(m.secondAt) >= secondEvery {
		m.secondAt = m.beatOf(now, secondEvery)
		for _, other := range m.candidates {
			if other != c && !other.answered.IsZero() {
				m.ping(now, other, acts)
			}
		}
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

// calmAt is when the alarms so far were the last of their row. What goes unanswered then
// begins another, and must not wait for what others did not want.
func (m *machine) calmAt() time.Time { return m.alarmAt.Add(2 * m.route().guard) }

// doubt starts sending over both paths and asks every way that ever answered.
func (m *machine) doubt(now time.Time, acts *actions) {
	m.mode = modeDoubt
	m.doubtSince = now
	for _, c := range m.candidates {
		if c.way == m.best || !c.answered.IsZero() {
			m.ping(now, c, acts)
		}
	}
}

func (m *machine) tickDoubt(now time.Time, acts *actions) {
	if now.Sub(m.doubtSince) >= doubtFor {
		m.retire(now, acts)
		return
	}
	for _, c := range m.candidates {
		if c.way != m.best && c.answered.IsZero() {
			continue
		}
		if n := len(c.waiting); n == 0 || now.Sub(c.waiting[n-1].at) >= doubtPing {
			m.ping(now, c, acts)
		}
	}
}

// retire gives the path in use up, for the next best or for the relay.
func (m *machine) retire(now time.Time, acts *actions) {
	if c := m.candidates[m.second()]; c != nil && m.mode == modeDirect {
		m.use(c)
		return
	}
	m.mode = modeRelay
	m.dropOldHint(now)
	m.best, m.delivery = way{}, delivery{}
	m.rounds, m.tryingSince = 0, now
	m.startRound(now, acts)
}

// startRound probes every candidate and asks the peer to do the same.
func (m *machine) startRound(now time.Time, acts *actions) {
	m.roundAt = now
	m.rounds++
	acts.callMeMaybe = true
	// Most peers are direct before the second round: relays are not asked for those.
	if m.rounds > 1 && m.mode == modeRelay {
		acts.askRelays = m.rounds - 1
	}
	for _, c := range m.candidates {
		if c.relayed() && c.usable(now) && m.mode == modeDirect {
			continue
		}
		m.probe(now, c, acts)
	}
	m.runBursts(now, acts)
}

// probe begins a burst of pings to c. In one that has only just begun it adds one:
// what the peer did meanwhile may have opened the way.
func (m *machine) probe(now time.Time, c *candidate, acts *actions) {
	if !c.restartBurst(now) && c.prompt(now) {
		m.ping(now, c, acts)
	}
}

// nextRound is when a relayed peer is to be probed again.
func (m *machine) nextRound() time.Time {
	pause := reprobeRelayed
	if m.rounds < 5 { // 300 ms, 600 ms, 1.2 s, 2.4 s, 4.8 s
		pause = reprobeFirst << max(0, m.rounds-1)
	}
	return m.roundAt.Add(pause)
}

// runBursts sends the burst pings that are due.
func (m *machine) runBursts(now time.Time, acts *actions) {
	for _, c := range m.candidates {
		if c.burstDue(now) {
			m.ping(now, c, acts)
		}
	}
}

// searchMTU sends the padded pings that are due to a way that answers.
func (m *machine) searchMTU(now time.Time, c *candidate, acts *actions) {
	for _, size := range c.mtu.due(now) {
		p := ping{way: c.way, tx: m.newTx(), size: size}
		c.mtu.noteSent(sentPing{p.tx, now, size, m.seen.out})
		acts.pings = append(acts.pings, p)
	}
}

// verifyMTU makes sure, while large packets flow, that they still pass.
func (m *machine) verifyMTU(now time.Time, c *candidate, patience time.Duration, acts *actions) {
	size, gone := c.mtu.verifyDue(now, patience, m.seen.out.large, c.proved)
	if gone {
		m.delivery = delivery{} // what is missing was too large
	}
	if size > 0 {
		p := ping{way: c.way, tx: m.newTx(), size: size}
		c.mtu.verify = &sentPing{p.tx, now, size, m.seen.out}
		acts.pings = append(acts.pings, p)
		if len(c.waiting) == 0 {
			m.ping(now, c, acts) // to compare with
		}
	}
}

func (m *machine) ping(now time.Time, c *candidate, acts *actions) {
	// A relay may have lost sight of this node, or of the session's other end.
	bind := c.relayed() && (c.answered.IsZero() || len(c.waiting) > 0)
	m.pingBound(now, c, bind, acts)
}

func (m *machine) pingBound(now time.Time, c *candidate, bind bool, acts *actions) {
	p := ping{way: c.way, tx: m.newTx(), bind: bind}
	c.noteSent(sentPing{p.tx, now, 0, m.seen.out})
	acts.pings = append(acts.pings, p)
}

// offered handles a session that a relay has for this node and the peer.
func (m *machine) offered(now time.Time, w way) actions {
	m.now = now
	var acts actions
	c := m.candidates[w]
	if c == nil {
		if c = m.add(w); c == nil {
			return acts
		}
	}
	m.probe(now, c, &acts)
	m.runBursts(now, &acts)
	return acts
}

// bound handles a relay's word that it knows where this node is.
func (m *machine) bound(now time.Time, w way) actions {
	m.now = now
	var acts actions
	if c := m.candidates[w]; c != nil {
		m.pingBound(now, c, false, &acts)
	}
	return acts
}

// forget drops a way that leads nowhere any more.
func (m *machine) forget(w way) {
	delete(m.candidates, w)
	if m.hint == w {
		m.hint = way{}
	}
}

// tooBig notes that this machine refused to send a ping of size bytes by w.
func (m *machine) tooBig(w way, size int) {
	if c := m.candidates[w]; c != nil {
		c.mtu.tooBig(size)
	}
}

// closed forgets what went over a socket that is gone.
func (m *machine) closed(sock uint16) {
	for w := range m.candidates {
		if w.sock == sock {
			delete(m.candidates, w)
		}
	}
	if m.hint.sock == sock {
		m.hint = way{}
	}
}
