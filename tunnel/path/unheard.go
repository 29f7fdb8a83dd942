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
	// keeps says that there are packets.
	keeps atomic.Bool

	mu    sync.Mutex // guards what follows
	small [][]byte   // the newest ones, as a ring
	next  int        // which of them is replaced
	large []byte
}

// sent notes that packets leave, and reports whether they are to be kept.
func (u *unheard) sent(now int64, rtt time.Duration) bool {
	since := u.since.Load()
	if since == 0 {
		u.since.CompareAndSwap(0, now)
		return false
	}
	patience := unheardFar
	if rtt > 0 {
		patience = unheardAfter + 2*rtt
	}
	return now-since >= int64(patience)
}

// heard notes that something came, and reports whether packets are kept.
func (u *unheard) heard() bool {
	if u.since.Load() != 0 {
		u.since.Store(0)
	}
	return u.keeps.Load()
}

// keep keeps copies of packets.
func (u *unheard) keep(packets [][]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, packet := range packets {
		switch {
		case isHandshake(packet): // which handshakes repeats
			continue
		case len(packet) > smallPacket:
			u.large = append(u.large[:0], packet...)
		case len(u.small) < keptSmall:
			u.small = append(u.small, bytes.Clone(packet))
		default:
			u.small[u.next] = append(u.small[u.next][:0], packet...)
			u.next = (u.next + 1) % keptSmall
		}
		u.keeps.Store(true)
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
	u.keeps.Store(false)
	return packets
}

// repeat sends what p has not answered once more.
func (b *Bind) repeat(p *Peer) {
	if packets := p.unheard.take(); len(packets) > 0 {
		b.send(packets, p)
	}
}
