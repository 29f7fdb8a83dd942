package tunnel

import (
	"math"
	"os"
	"time"
)

// An interface's queue takes in hundreds of segments of 64 KiB and pushes back on
// nobody, so that one TCP stream fills it for as long as it lasts, and whatever
// else is sent waits behind: 8 ms at 2.6 Gbit/s, where 3 do. A queue that never
// empties carries no more than one that sometimes does. So when it has stood for
// longer than TCP needs to react to a loss, one of TCP's segments is dropped, or
// marked if its ends understand that, and further ones ever sooner until the queue
// has emptied: CoDel's law (RFC 8289), for a queue whose length nobody tells.

const (
	// standsFor is how long the queue may stand, at least. A short queue costs
	// throughput, for less is done in one go: beside no bound at all, 15 % with
	// 10 ms, 9 with 20. Pings beside a stream took 2.5 ms with 10 ms, 3.1 with 20,
	// 4.6 with 30, and 6.0 with CoDel's 100, which is made for round trips of the
	// whole Internet. Queues of an interface's own for each flow, or a bound on TCP's
	// windows in place of drops, made it no better: what does not wait here waits in
	// the other end's socket.
	standsFor = 20 * time.Millisecond

	// standsForRTTs is the same in round trips of the path: what TCP does about a
	// loss is seen after one.
	standsForRTTs = 2

	// unknownRTT stands for the round trip of a path through relays.
	unknownRTT = 50 * time.Millisecond

	// bulkSize is the size in bytes from which a segment of TCP may be dropped:
	// one of a stream that fills its packets.
	bulkSize = 1000
)

// standing watches a queue and says which of the packets from it are to go. It
// belongs to the one goroutine that reads. A nil one lets all pass.
type standing struct {
	waits   func() bool // whether there is anything in the queue
	epoch   time.Time
	bulk    bool          // a packet was read that might have to go
	lookAt  time.Duration // when the queue was last looked at, since epoch
	emptyAt time.Duration // when it was last seen empty
	nextAt  time.Duration // when another packet may go
	gone    int           // since then
}

// newStanding watches what waits in a device's file; nil where that can't be told.
func newStanding(f *os.File) *standing {
	if waits := readable(f); waits != nil {
		return &standing{waits: waits, epoch: time.Now()}
	}
	return nil
}

// look is to be called before each read. It takes a system call, which packets
// that never go anyway, and those on an idle link, are spared.
func (s *standing) look() {
	if s == nil || !s.bulk {
		return
	}
	s.bulk, s.lookAt = false, time.Since(s.epoch)
	if !s.waits() {
		s.emptyAt, s.gone = s.lookAt, 0
	}
}

// sheds reports whether an IPv6 packet is to be dropped, for a path of the given
// round trip; zero is unknown. It may mark the packet instead.
func (s *standing) sheds(packet []byte, rtt time.Duration) bool {
	if s == nil || packet[6] != nextTCP || len(packet) < bulkSize {
		return false
	}
	if rtt == 0 {
		rtt = unknownRTT
	}
	s.bulk = true
	now, most := time.Since(s.epoch), max(standsFor, standsForRTTs*rtt)
	if now-s.lookAt >= most { // whatever stood here then is no longer known
		s.lookAt, s.emptyAt, s.gone = now, now, 0
	}
	if now-s.emptyAt < most || s.gone > 0 && now < s.nextAt {
		return false
	}
	s.gone++
	s.nextAt = now + time.Duration(float64(most)/math.Sqrt(float64(s.gone)))
	return !markCongested(packet)
}

// markCongested tells the ends of an IPv6 packet of the queue if they have said
// that they understand that (RFC 3168), and reports whether.
func markCongested(packet []byte) bool {
	const ecn = 3 << 4 // in the second byte: the last bits of the traffic class
	if packet[1]&ecn == 0 {
		return false
	}
	packet[1] |= ecn
	return true
}
