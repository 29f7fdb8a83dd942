package path

import "time"

// Timing of path choice. That of one part alone stands with it: bursts in
// candidate.go, sizes in mtu.go, lost data in verify.go, hard NATs in
// birthday.go.
const (
	// heartbeat is how often the best direct path is pinged while traffic
	// flows. A second keeps any NAT mapping open and finds a silent path
	// before TCP's first back-off has doubled twice.
	heartbeat = time.Second

	// restAfter is how long after the last packet the best direct path is pinged
	// every restBeat alone, by one end if the other yields. That keeps NAT mappings
	// open, too, and should the path die meanwhile, the next packet finds out by
	// itself, as guardFor says. Ten peers that are watched more closely are most of
	// what an idle laptop computes.
	restAfter = 3 * time.Second
	restBeat  = 10 * time.Second

	// yieldFor is how long after the other end's last ping one that yields pings
	// itself: longer than the next takes to come, and still well within what NATs
	// keep.
	yieldFor = restBeat + restBeat/2

	// together is by how much it is noticed later that the ping of a path that rests is
	// answered, or not: those of all peers, which were sent one after the other, are
	// looked at at once.
	together = 20 * time.Millisecond

	// guardFor is how long packets may go unanswered, beyond two round trips,
	// before small ones take every way: five keystrokes of a fast typist's
	// held key, and half of what the eye forgives an echo. TCP repeats a packet
	// after 200 ms, and the next time after 400 more: a guard that is still up
	// when it does first costs a typist those.
	guardFor = 100 * time.Millisecond

	// copyWithin is by how much the copy of a packet may come later, by another
	// way, than the packet itself.
	copyWithin = 50 * time.Millisecond

	// maxAlarms bounds how many alarms for nothing in a row count. Each but the
	// first doubles guardFor: the last packet of any exchange raises one, as it
	// wants no answer, and a stream of such packets one after the other.
	maxAlarms = 4

	// silenceFor is how long an unanswered ping may last before the path is in
	// doubt: three round trips, but no less than this, so that one scheduling
	// hiccup does not count.
	silenceFor = 200 * time.Millisecond

	// doubtPing is how often a doubtful path is pinged.
	doubtPing = 100 * time.Millisecond

	// bulkAfter is how long a path is in doubt before large packets take the
	// relay, too: carried twice for a mere hiccup, they would slow down what
	// they are to save.
	bulkAfter = 300 * time.Millisecond

	// doubtFor is how long a path may stay in doubt before it is given up.
	// Packets take both paths meanwhile, so that nothing is lost by patience.
	doubtFor = 1500 * time.Millisecond

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

	// secondEvery is how often the other ways that once answered are pinged
	// while traffic flows, and secondFor how long an answer makes one fit to
	// stand in.
	secondEvery = 10 * time.Second
	secondFor   = 30 * time.Second

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

	// tickEvery is the coarsest step at which silence is noticed in time, while
	// packets go or come.
	tickEvery = 50 * time.Millisecond

	// leastQuiet keeps a quiet machine from being called again and again for
	// what is due and can't be done.
	leastQuiet = 5 * time.Millisecond
)
