package path

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// A handshake message takes every way at once, so its copies arrive within
// microseconds of each other. WireGuard's device takes handshakes up on as many
// goroutines as there are cores, and checks for a replay in one step and notes the
// message in another: both copies may pass, and each is answered with keys of its
// own. The ends then keep different ones, and nothing gets through until one of
// them gives the session up, 15 s later. The copy of a response would even begin a
// second count of nonces under the same key. So the device sees a message once.
//
// As a copy does no harm, what may have been lost is sent again long before the
// device would begin anew: an initiation until something answers it, and a response
// when the initiation comes again.

const (
	// handshakesKept is how many messages of a peer are remembered. A copy is late by
	// no more than the detour over a relay, and WireGuard sends a message every 5 s
	// (its paper, section 6.4).
	handshakesKept = 8

	// handshakeAgain is when an initiation is sent again that nothing has answered: after
	// the round trip to nearly everywhere. Each pause after that is twice as long.
	handshakeAgain = 250 * time.Millisecond

	// handshakeFor is how long a message is sent again: then the device makes another.
	handshakeFor = 5 * time.Second

	// answerAgain is by how much a copy of an initiation has to come later for its response to
	// have been lost: those that took several ways come within this.
	answerAgain = 100 * time.Millisecond
)

// handshakes are a peer's: its latest messages, and this node's own that may have to be sent
// again. Its methods may be called concurrently.
type handshakes struct {
	mu   sync.Mutex             // guards what follows
	seen [handshakesKept]uint64 // hashes
	next int                    // the one to be forgotten

	asks    sentHandshake // the last initiation, while nothing has answered it
	pause   time.Duration // since it was sent last, until it is again
	asked   uint64        // hash of the peer's last initiation
	answers sentHandshake // the response to that
}

// sentHandshake is a message of this node's.
type sentHandshake struct {
	message     []byte    // empty is none
	first, last time.Time // when it was sent
}

// set has it be another message, or none.
func (s *sentHandshake) set(message []byte, now time.Time) {
	s.message, s.first, s.last = append(s.message[:0], message...), now, now
}

// live reports whether it may still be sent again.
func (s *sentHandshake) live(now time.Time) bool {
	return len(s.message) > 0 && now.Sub(s.first) < handshakeFor
}

// dropCopy reports whether a packet of a peer is a handshake message that came before. The
// response to it may have been lost then, and is sent again.
func (b *Bind) dropCopy(p *Peer, packet []byte) bool {
	if !isHandshake(packet) {
		return false
	}
	copied, answer := p.handshakes.receive(b.seed, packet, time.Now())
	if answer != nil {
		b.send([][]byte{answer}, p)
	}
	return copied
}

// sendAgain sends the initiation again that nothing has answered, if it is due, and returns
// when it is next; the zero time is never.
func (b *Bind) sendAgain(p *Peer, now time.Time) time.Time {
	message, next := p.handshakes.due(now)
	if message != nil {
		b.send([][]byte{message}, p)
	}
	return next
}

// send notes a message that is sent, and returns when it is due again; the zero time is never.
func (h *handshakes) send(message []byte, now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !isInitiation(message) {
		h.answers.set(message, now)
		return time.Time{}
	}
	h.asks.set(message, now)
	h.pause = handshakeAgain
	return now.Add(h.pause)
}

// due returns a copy of the initiation that is to be sent again, nil for none yet, and when the
// next is due.
func (h *handshakes) due(now time.Time) (message []byte, next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asks.live(now) {
		return nil, time.Time{}
	}
	if !now.Before(h.asks.last.Add(h.pause)) {
		message = bytes.Clone(h.asks.message)
		h.asks.last = now
		h.pause *= 2
	}
	if next = h.asks.last.Add(h.pause); next.Sub(h.asks.first) >= handshakeFor {
		next = time.Time{}
	}
	return message, next
}

// receive reports whether a handshake message came before, and remembers it. answer is a copy of
// the response that is to be sent again; nil is none.
func (h *handshakes) receive(seed maphash.Seed, message []byte, now time.Time) (copied bool, answer []byte) {
	sum := maphash.Bytes(seed, message)
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.Contains(h.seen[:], sum) {
		if sum == h.asked && h.answers.live(now) && now.Sub(h.answers.last) >= answerAgain {
			h.answers.last = now
			answer = bytes.Clone(h.answers.message)
		}
		return true, answer
	}
	h.seen[h.next] = sum
	h.next = (h.next + 1) % len(h.seen)
	// Of two that ask at once, the one that answers has given its own question up.
	h.asks.set(nil, now)
	if isInitiation(message) {
		h.asked = sum
		h.answers.set(nil, now)
	}
	return false, nil
}
