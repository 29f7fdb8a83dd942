package path

import (
	"hash/maphash"
	"slices"
	"sync"
)

// A handshake message takes every way at once, so its copies arrive within
// microseconds of each other. WireGuard's device takes handshakes up on as many
// goroutines as there are cores, and checks for a replay in one step and notes the
// message in another: both copies may pass, and each is answered with keys of its
// own. The ends then keep different ones, and nothing gets through until one of
// them gives the session up, 15 s later. The copy of a response would even begin a
// second count of nonces under the same key. So the device sees a message once.

// handshakesKept is how many messages of a peer are remembered. A copy is late by
// no more than the detour over a relay, and WireGuard sends a message every 5 s
// (its paper, section 6.4).
const handshakesKept = 8

// handshakes remembers a peer's latest handshake messages. Its methods may be
// called concurrently.
type handshakes struct {
	mu   sync.Mutex             // guards what follows
	seen [handshakesKept]uint64 // hashes
	next int                    // the one to be forgotten
}

// isCopy reports whether a packet of a peer is a handshake message that came before.
func (b *Bind) isCopy(p *Peer, packet []byte) bool {
	return isHandshake(packet) && p.handshakes.isCopy(b.seed, packet)
}

// isCopy reports whether a handshake message came before, and remembers it.
func (h *handshakes) isCopy(seed maphash.Seed, message []byte) bool {
	sum := maphash.Bytes(seed, message)
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.Contains(h.seen[:], sum) {
		return true
	}
	h.seen[h.next] = sum
	h.next = (h.next + 1) % len(h.seen)
	return false
}
