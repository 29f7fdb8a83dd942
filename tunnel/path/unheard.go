package path

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// What is sent while no way carries anything is lost. TCP sends it again by a timer that
// doubles with each try, so that a stream stands for as long after a gap as that was: 2 s
// from our own stack, two minutes from others. So the last packets are kept while nothing
// comes from the peer, and go once more by each new way until something does. WireGuard drops
// those that come twice.

const (
	// unheardAfter is how long nothing must have come, beyond two round trips, for packets
	// to be kept: longer than TCP puts an acknowledgement off. unheardFar is that where
	// the round trip is not known.
	unheardAfter = 250 * time.Millisecond
	unheardFar   = time.Second

	// keptSmall is how many small packets are kept: a keystroke, or what TCP tries again,
	// of each of some connections. Of larger ones it is the last: from copies of more, the
	// other end would see garbled packets where there are none (see integrity).
	keptSmall = 15
)

// unheard is what a peer has not answered. Its methods may be called concurrently.
type unheard struct {
	// since is when the first packet went that nothing from the peer has followed, by any
	// way: nanoseconds since Bind.epoch, 0 for none.
	since atomic.Int64
	// kept is when the first of the packets that are kept went, 0 for none.
	kept atomic.Int64

	mu    sync.Mutex // guards what follows
	small [][]byte   // the newest ones, as a ring
	next  int        // which of them is replaced
	large []byte
}

// patienceFor is how long nothing may come while all is well.
func patienceFor(rtt time.Duration) int64 {
	if rtt == 0 {
		return int64(unheardFar)
	}
	return int64(unheardAfter + 2*rtt)
}

// sent notes packets that leave, and keeps them if nothing has come for too long. rtt is the
// round trip of their way, 0 if it is not known.
func (u *unheard) sent(now int64, rtt time.Duration, packets [][]byte) {
	since := u.since.Load()
	if since == 0 {
		u.since.CompareAndSwap(0, now)
		return
	}
	if now-since >= patienceFor(rtt) {
		u.keep(now, packets)
	}
}

// heard notes that something came, and reports whether what is kept may be lost. What went
// only just before it need not be: the last packet of any exchange wants no answer, so that
// the first of the next is kept.
func (u *unheard) heard(now int64, rtt time.Duration) (lost bool) {
	if u.since.Load() != 0 {
		u.since.Store(0)
	}
	kept := u.kept.Load()
	if kept == 0 {
		return false
	}
	if now-kept < patienceFor(rtt) {
		u.take()
		return false
	}
	return true
}

// keep keeps copies of packets.
func (u *unheard) keep(now int64, packets [][]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var large []byte // copied once: a stream that wants no answer comes by here in full
	for _, packet := range packets {
		switch {
		case isHandshake(packet): // which handshakes repeats
			continue
		case len(packet) > smallPacket:
			large = packet
		case len(u.small) < keptSmall:
			u.small = append(u.small, bytes.Clone(packet))
		default:
			u.small[u.next] = append(u.small[u.next][:0], packet...)
			u.next = (u.next + 1) % keptSmall
		}
		u.kept.CompareAndSwap(0, now)
	}
	if large != nil {
		u.large = append(u.large[:0], large...)
	}
}

// take returns what is kept, and keeps it no more.
func (u *unheard) take() [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	packets := u.small
	if u.large != nil {
		packets = append(packets, u.large)
	}
	u.small, u.large, u.next = nil, nil, 0
	u.kept.Store(0)
	return packets
}

// repeat sends what p has not answered once more.
func (b *Bind) repeat(p *Peer) {
	if packets := p.unheard.take(); len(packets) > 0 {
		b.send(packets, p)
	}
}
