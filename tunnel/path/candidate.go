package path

import (
	"net/netip"
	"slices"
	"time"
)

// way is one way to send to a peer over UDP: to an address, from a socket, and by a
// relay or not. The zero way is none.
type way struct {
	addr netip.AddrPort
	// sock is zero for the sockets that all peers share, else one of those
	// opened towards this peer alone (see ports.go).
	sock uint16
	// vni is zero for the peer's own addresses, else addr is a relay's and vni
	// the session that leads on to the peer (see udprelay.go).
	vni uint32
}

func (w way) valid() bool { return w.addr.IsValid() }

// relayed reports whether a relay is on the way.
func (w way) relayed() bool { return w.vni != 0 }

// burst is when a candidate is pinged within a probing round. The first pings
// open holes in NATs on the way and may be dropped by the far one; those that
// follow go through as soon as the far side has opened its own.
var burst = [...]time.Duration{
	0, 50 * time.Millisecond, 150 * time.Millisecond, 350 * time.Millisecond,
	750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second,
}

// maxCandidates bounds what a peer can make us ping.
const maxCandidates = 64

// answerFor is how long an address keeps its place while its answer is awaited: a
// round trip by satellite.
const answerFor = time.Second

// txID identifies a ping and its pong.
type txID [12]byte

// ping is an action: ping over way with tx, in a datagram of size bytes.
type ping struct {
	way
	tx   txID
	size int // bytes of UDP payload; zero is as small as it gets
	// bind says that the relay on the way is to be told first, or again, where
	// this node is.
	bind bool
}

// sentPing is a ping that waits for its pong.
type sentPing struct {
	tx   txID
	at   time.Time
	size int
	// out is what had been sent over the path in use when the ping left.
	out counters
}

// maxWaiting bounds the unanswered pings remembered for a candidate.
const maxWaiting = 8

// maxPrompt is how many pings of a burst may follow the one before within
// pingGap, because of something the peer did meanwhile. As it learns of this end
// it is ready, pings two addresses, and calls each time it knows more of itself.
const maxPrompt = 6

// candidate is a way that may reach the peer.
type candidate struct {
	way
	// told is set while the peer itself, through the coordinator or a
	// call-me-maybe, names the address. Others were merely seen.
	told bool

	answered time.Time     // last pong; zero if never
	heard    time.Time     // last ping of the peer's that came by it; zero if none
	proved   time.Time     // when the last small ping that was answered was sent
	rtt      time.Duration // of the last pong to a small ping

	// waiting holds small pings without an answer, oldest first.
	waiting []sentPing
	// burstStart and burstNext are the present burst: when it began and the
	// index of its next ping; past the end when it is over.
	burstStart time.Time
	burstNext  int
	prompted   int // pings of the burst that maxPrompt counts

	mtu mtuSearch

	// A way that answered pings but carried no data is not used until
	// shunUntil; shunned counts how often that happened.
	shunUntil time.Time
	shunned   int
}

func newCandidate(w way) *candidate {
	return &candidate{way: w, burstNext: len(burst), mtu: newMTUSearch(w)}
}

// usable reports whether packets may travel over c: it answered, carries
// packets of a useful size, and did not swallow data of late.
func (c *candidate) usable(now time.Time) bool {
	return !c.answered.IsZero() && !c.mtu.narrow() && !now.Before(c.shunUntil)
}

// shun keeps packets away from c, longer each time.
func (c *candidate) shun(now time.Time) {
	c.shunUntil = now.Add(min(shunFirst<<min(c.shunned, 8), shunMost))
	c.shunned++
}

// restartBurst starts a burst. It reports false when one has only just begun.
func (c *candidate) restartBurst(now time.Time) bool {
	if c.burstNext < len(burst) && !c.burstStart.IsZero() && now.Sub(c.burstStart) < burst[2] {
		return false
	}
	c.burstStart, c.burstNext, c.prompted = now, 0, 0
	return true
}

// prompt reports whether what the peer did just now is to be answered with a
// ping. The last one may have been lost a moment ago, because the peer did not
// know of this end or had not opened its NAT; so a ping may follow soon, but not
// every time, or two ends would make a loop of it.
func (c *candidate) prompt(now time.Time) bool {
	if n := len(c.waiting); n > 0 && now.Sub(c.waiting[n-1].at) < pingGap {
		c.prompted++
		return c.prompted <= maxPrompt
	}
	return true
}

// expectant reports whether an answer may still be on its way.
func (c *candidate) expectant(now time.Time) bool {
	n := len(c.waiting)
	return n > 0 && now.Sub(c.waiting[n-1].at) < answerFor
}

// burstDue reports whether a ping of the burst is due, and takes it off.
func (c *candidate) burstDue(now time.Time) bool {
	due := false
	for c.burstNext < len(burst) && now.Sub(c.burstStart) >= burst[c.burstNext] {
		c.burstNext++
		due = true
	}
	return due
}

// noteSent remembers a small ping.
func (c *candidate) noteSent(s sentPing) {
	if len(c.waiting) == maxWaiting {
		c.waiting = slices.Delete(c.waiting, 1, 2) // keep the oldest: it times the silence
	}
	c.waiting = append(c.waiting, s)
}

// answeredBy takes the pong to ping tx. It reports false when no such ping is
// waiting.
func (c *candidate) answeredBy(now time.Time, tx txID) (sentPing, bool) {
	if i := slices.IndexFunc(c.waiting, func(s sentPing) bool { return s.tx == tx }); i >= 0 {
		s := c.waiting[i]
		c.rtt = now.Sub(s.at)
		if c.answered.IsZero() {
			c.mtu.nextAt = now.Add(mtuAfter)
		}
		// Older pings will not be answered any more, or it no longer matters.
		c.waiting = slices.Delete(c.waiting, 0, i+1)
		c.answered, c.burstNext = now, len(burst)
		return s, true
	}
	if s, ok := c.mtu.answeredBy(tx); ok {
		if c.answered.IsZero() {
			c.rtt = now.Sub(s.at)
		}
		c.answered = now
		return s, true
	}
	return sentPing{}, false
}

// patience is how long a ping may stay unanswered.
func (c *candidate) patience() time.Duration { return max(silenceFor, 3*c.rtt) }

// betters reports whether c is enough better than the path in use, best, to
// move to it: a switch may reorder packets, so a few per cent are not enough,
// and a way that carries less must not take over.
func (c *candidate) betters(best *candidate) bool {
	if c.relayed() != best.relayed() {
		return best.relayed() && c.mtu.size >= min(best.mtu.size, c.mtu.ordinary())
	}
	return c.mtu.size >= min(best.mtu.size, c.mtu.ordinary()) && c.cost() < best.cost()-best.cost()/5
}

// before reports whether c stands in before d. Those that cost the same have an order,
// too, or the route would change for nothing.
func (c *candidate) before(d *candidate) bool {
	if c.relayed() != d.relayed() {
		return d.relayed()
	}
	if c.cost() != d.cost() {
		return c.cost() < d.cost()
	}
	if at := c.addr.Compare(d.addr); at != 0 {
		return at < 0
	}
	if c.sock != d.sock {
		return c.sock < d.sock
	}
	return c.vni < d.vni
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
