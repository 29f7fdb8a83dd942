package path

import (
	"slices"
	"time"
)

// How large a datagram a way carries is found by pings padded to the sizes
// that links have, sent with the don't-fragment bit: RFC 8899, with all sizes
// at once in place of a search, since a dozen pings cost less than the round
// trips. What is not yet proven goes over the relay meanwhile.

// rungs are the sizes tried, as bytes of an IP packet: the least that IPv6
// allows, tunnels and mobile networks, PPPoE, Ethernet, and the jumbo frames
// of clouds and of Ethernet.
var rungs = [...]int{1280, 1340, 1360, 1380, 1400, 1420, 1440, 1460, 1480, 1492, 1500, 4000, 8896, 9000}

// IP and UDP headers, in bytes.
const (
	overheadV4 = 20 + 8
	overheadV6 = 40 + 8
)

// smallPacket is the size up to which a packet counts as small: a keystroke,
// an acknowledgement, an echo. Such packets are worth sending twice when a
// path is in doubt, and pass everywhere: every host must take 576 bytes
// (RFC 791).
const smallPacket = 512

// mtuTries is when, after the first, the sizes not yet answered are tried
// again, before they count as too large.
var mtuTries = [...]time.Duration{0, 200 * time.Millisecond, 800 * time.Millisecond}

// mtuAfter is how long after a way first answered its sizes are tried. The
// dozens of large packets would be in the way of what the way was looked for, the
// handshake and the first byte, and cost them 8 ms on a machine with two cores.
const mtuAfter = 20 * time.Millisecond

// mtuRaise is how often larger sizes are tried again (PMTU_RAISE_TIMER of
// RFC 8899).
const mtuRaise = 10 * time.Minute

// mtuNarrow is how often they are on a way that carries too little for a tunnel:
// whatever made it so may be mended, and nothing else is lost by asking.
const mtuNarrow = 30 * time.Second

// maxProbes bounds the padded pings remembered for a candidate.
const maxProbes = 2 * len(rungs)

// mtuSearch finds the largest datagram that a way carries.
type mtuSearch struct {
	overhead int // what goes before the payload of a packet
	// size is the largest UDP payload proven to arrive; zero while none is.
	size int
	// refused is the smallest that this machine would not even send.
	refused int

	tries   int // of the present search
	nextAt  time.Time
	settled bool // a search has come to its end
	probes  []sentPing

	// verify is a ping of the proven size that waits; verified is when the
	// last was sent, and misses how many in a row went unanswered.
	verify   *sentPing
	verified time.Time
	misses   int
	// large is how many large packets had been sent by then.
	large uint32

	// suspectedAt is when large packets were last found missing.
	suspectedAt time.Time
}

func newMTUSearch(w way) mtuSearch {
	s := mtuSearch{overhead: overheadV4, refused: 1 << 16}
	if w.addr.Addr().Is6() {
		s.overhead = overheadV6
	}
	if w.relayed() {
		s.overhead += geneveLen
	}
	return s
}

func (s *mtuSearch) payload(packet int) int { return packet - s.overhead }

// ordinary is the payload of the Internet's usual 1500 bytes.
func (s *mtuSearch) ordinary() int { return s.payload(1500) }

// narrow reports whether the way carries less than the smallest packet that
// every link of IPv6 must carry: too little for a tunnel.
func (s *mtuSearch) narrow() bool { return s.settled && s.size < s.payload(rungs[0]) }

// limit is the largest payload to be sent over the way.
func (s *mtuSearch) limit() int { return max(s.size, smallPacket) }

// restart begins a new search from nothing.
func (s *mtuSearch) restart(now time.Time) {
	s.size, s.refused, s.tries, s.nextAt, s.settled = 0, 1<<16, 0, now, false
	s.probes, s.verify, s.misses = nil, nil, 0
}

// due returns the sizes to be pinged now.
func (s *mtuSearch) due(now time.Time) []int {
	if now.Before(s.nextAt) {
		return nil
	}
	if s.tries == len(mtuTries) {
		began := s.settled
		s.settled = true
		s.nextAt = now.Add(mtuRaise)
		if s.narrow() {
			s.nextAt = now.Add(mtuNarrow)
		}
		if !began {
			return nil
		}
		s.refused = 1 << 16 // the interface may have changed
	} else {
		// The last try waits for its answers as long as it was waited for.
		s.nextAt = now.Add(mtuTries[min(s.tries+1, len(mtuTries)-1)])
		s.tries++
	}
	var sizes []int
	for _, rung := range rungs {
		if size := s.payload(rung); size > s.size && size < s.refused {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

// noteSent remembers a padded ping.
func (s *mtuSearch) noteSent(p sentPing) {
	if len(s.probes) == maxProbes {
		s.probes = slices.Delete(s.probes, 0, 1)
	}
	s.probes = append(s.probes, p)
}

// tooBig notes that this machine refused to send size bytes.
func (s *mtuSearch) tooBig(size int) {
	s.refused = min(s.refused, size)
	if s.size >= s.refused {
		s.size = 0 // the link shrank
	}
}

// answeredBy takes the pong to a padded ping.
func (s *mtuSearch) answeredBy(tx txID) (sentPing, bool) {
	if v := s.verify; v != nil && v.tx == tx {
		s.verify, s.misses = nil, 0
		return *v, true
	}
	i := slices.IndexFunc(s.probes, func(p sentPing) bool { return p.tx == tx })
	if i < 0 {
		return sentPing{}, false
	}
	p := s.probes[i]
	s.probes = slices.Delete(s.probes, i, i+1)
	s.size = max(s.size, p.size)
	return p, true
}

// verifyEvery is how often the proven size is tried again while large packets
// flow.
const verifyEvery = time.Second

// verifyMisses is how many of those may go unanswered before the size counts
// as unproven: one may be lost by chance.
const verifyMisses = 2

// verifyDue returns the size of a ping to be sent now to make sure that large
// packets still pass, or zero. It reports gone when they do not: a new search
// has begun. Of large, the number of large packets sent, it matters only whether
// it grew. A ping that is late proves nothing while all are, so it counts as lost
// once a small one that was sent no earlier, by proved, is answered.
func (s *mtuSearch) verifyDue(now time.Time, patience time.Duration, large uint32, proved time.Time) (size int, gone bool) {
	if s.verify != nil {
		if now.Sub(s.verify.at) < patience || proved.Before(s.verify.at) {
			return 0, false
		}
		s.verify = nil
		if s.misses++; s.misses >= verifyMisses {
			s.restart(now)
			return 0, true
		}
		return s.size, false
	}
	if s.size == 0 || large == s.large || now.Sub(s.verified) < verifyEvery {
		return 0, false
	}
	s.large, s.verified = large, now
	return s.size, false
}

// nextVerify is when verifyDue has something to say although no large packet is
// sent; the zero time is not before another ping is answered.
func (s *mtuSearch) nextVerify(patience time.Duration, large uint32, proved time.Time) time.Time {
	switch {
	case s.verify != nil && proved.Before(s.verify.at):
		return time.Time{}
	case s.verify != nil:
		return s.verify.at.Add(patience)
	case s.size == 0 || large == s.large:
		return time.Time{}
	}
	return s.verified.Add(verifyEvery)
}

// suspectAgain is how soon after a search that found nothing large packets must
// be missing again to prove that it is not for their size.
const suspectAgain = 15 * time.Second

// suspected notes that large packets are missing, and reports whether they were
// only just before.
func (s *mtuSearch) suspected(now time.Time) bool {
	before := s.suspectedAt
	s.suspectedAt = now
	return !before.IsZero() && now.Sub(before) < suspectAgain
}
