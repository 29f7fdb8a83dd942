package derp

import (
	"errors"
	"os"
	"sync"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

const (
	// outboxLimit bounds how many bytes wait for one client: 390 full packets, 40 ms of
	// 100 Mbit/s. As many may be on their way. No sender may have more of them than it
	// leaves room, so that one who floods a client fills half, and those who come then
	// have half of what is left each time.
	outboxLimit = 512 << 10

	// outboxFills is when who reads what is for it should let it be written.
	outboxFills = outboxLimit / 4

	// outboxControl is how many bytes of other frames may wait, beyond which the client
	// is disconnected: what a relay of a region is told of 60,000 nodes at once.
	outboxControl = 4 << 20

	// pongsWait is how many bytes of other frames may wait before pings go without an
	// answer.
	pongsWait = 4 << 10

	// atHand is how many bytes who reads them for an outbox may write: three full packets,
	// which are encrypted in some microseconds.
	atHand = 4 << 10

	// batchKept is the size of buffers that are used again. One that grew further is
	// left to the garbage collector.
	batchKept = 2 * outboxLimit

	// writeSize is how much is written at once: a full record of TLS, and what clients
	// take as one message of a WebSocket.
	writeSize = 16 << 10

	// writeTimeout is how long a client may take for that, and siblingTimeout how long
	// a relay of the region.
	writeTimeout   = 2 * time.Second
	siblingTimeout = 30 * time.Second
)

// outbox is what waits to be written to a client. An idle one holds neither a buffer
// nor a goroutine: a relay has many clients, few of them busy.
type outbox struct {
	line *line

	mu      sync.Mutex // guards what follows
	idle    sync.Cond  // of busy, once closed
	waiting *batch     // not yet taken by drain; nil if nothing is
	busy    bool       // somebody writes
	closed  bool
	taken   chan struct{} // closed when waiting is taken next; nil if nobody waits for that
	from    *line         // between open and end: who sends
	own     int           // and how many bytes of its wait
}

// batch is what is written in one.
type batch struct {
	buf     []byte
	packets int
	control int           // bytes of other frames
	since   time.Time     // when the first of it came
	from    map[*line]int // bytes of each sender's; nil is the sender of no line
}

func (b *batch) reset() {
	b.buf, b.packets, b.control = b.buf[:0], 0, 0
	clear(b.from)
}

// open locks the outbox for packets of one sender, after which end is to be called.
func (o *outbox) open(from *line) {
	o.mu.Lock()
	o.from, o.own = from, 0
	if o.waiting != nil {
		o.own = o.waiting.from[from]
	}
}

// packet adds a packet, or returns why it does not.
func (o *outbox) packet(src, dst key.NodePublic, payload []byte) dropReason {
	if o.closed {
		return droppedGone
	}
	b := o.batchLocked()
	size := o.overhead() + len(payload)
	waits := len(b.buf) - b.control
	if o.own+size > outboxLimit-waits {
		return droppedFull
	}
	if o.line.onward {
		b.buf = dst.AppendTo(src.AppendTo(appendHeader(b.buf, derp.FrameForwardPacket, 2*derp.KeyLen+len(payload))))
	} else {
		b.buf = src.AppendTo(appendHeader(b.buf, derp.FrameRecvPacket, derp.KeyLen+len(payload)))
	}
	b.buf = append(b.buf, payload...)
	b.packets++
	o.own += size
	return delivered
}

// overhead is how many bytes there are around a packet.
func (o *outbox) overhead() int {
	if o.line.onward {
		return derp.FrameHeaderLen + 2*derp.KeyLen
	}
	return derp.FrameHeaderLen + derp.KeyLen
}

// end undoes open. What is at hand then it writes itself, where that does not wait: to start
// a goroutine wakes up another thread, two futex calls for each packet that comes alone. It
// reports whether so much waits that whoever writes it should have its turn.
func (o *outbox) end() (full bool) {
	if b := o.waiting; b != nil {
		b.from[o.from] = o.own
		full = len(b.buf) > outboxFills
		if !o.busy && !o.closed && len(b.buf) <= atHand && o.line.room != nil && o.line.room.Roomy() {
			o.busy = true
			o.nextLocked()
			o.restLocked()
		}
	}
	o.startLocked()
	o.mu.Unlock()
	return full
}

// await waits until what waits is being written, for so long at the most.
func (o *outbox) await(most time.Duration) {
	o.mu.Lock()
	if o.waiting == nil || o.closed {
		o.mu.Unlock()
		return
	}
	if o.taken == nil {
		o.taken = make(chan struct{})
	}
	taken := o.taken
	o.mu.Unlock()
	enough := time.NewTimer(most)
	defer enough.Stop()
	select {
	case <-taken:
	case <-enough.C:
	}
}

// control adds a frame that is no packet, and never dropped.
func (o *outbox) control(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	b := o.batchLocked()
	b.buf = append(b.buf, frame...)
	if b.control += len(frame); b.control > outboxControl {
		cut(o.line.conn) // it takes nothing
	}
	o.startLocked()
}

// pong answers a ping, unless others wait to be answered.
func (o *outbox) pong(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if b := o.batchLocked(); b.control < pongsWait {
		b.buf = append(b.buf, frame...)
		b.control += len(frame)
	}
	o.startLocked()
}

func (o *outbox) batchLocked() *batch {
	if o.waiting == nil {
		o.waiting = o.line.board.batches.Get().(*batch)
		o.waiting.since = time.Now()
	}
	return o.waiting
}

func (o *outbox) startLocked() {
	if o.waiting != nil && !o.busy && !o.closed {
		o.busy = true
		go o.drain() // close waits for it
	}
}

// drain writes what waits until nothing does.
func (o *outbox) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.waiting != nil && !o.closed {
		o.nextLocked()
	}
	o.restLocked()
}

// nextLocked writes what waits. The lock is open meanwhile, and busy has to be set.
func (o *outbox) nextLocked() {
	b := o.waiting
	o.waiting = nil
	if o.taken != nil {
		close(o.taken)
		o.taken = nil
	}
	o.mu.Unlock()
	err := o.write(b)
	o.mu.Lock()
	if err != nil {
		o.closed = true
		cut(o.line.conn) // its line ends
	}
}

func (o *outbox) restLocked() {
	o.busy = false
	o.idle.Broadcast()
}

func (o *outbox) write(b *batch) error {
	counts, bytes := o.line.board.counts, len(b.buf)-b.control
	counts.queued.Observe(time.Since(b.since).Seconds())
	timeout := writeTimeout
	if o.line.sibling {
		timeout = siblingTimeout
	}
	var err error
	for left := b.buf; len(left) > 0 && err == nil; left = left[min(len(left), writeSize):] {
		_ = o.line.conn.SetWriteDeadline(time.Now().Add(timeout)) // fails on a closed one only
		_, err = o.line.conn.Write(left[:min(len(left), writeSize)])
	}
	switch {
	case err == nil:
		counts.sentPackets.Add(int64(b.packets))
		counts.sentBytes.Add(int64(bytes - b.packets*o.overhead()))
	case errors.Is(err, os.ErrDeadlineExceeded):
		o.line.board.note(endedWrite, o.line.from.String(), err)
		counts.dropped[droppedWrite].Add(float64(b.packets))
	default:
		counts.dropped[droppedGone].Add(float64(b.packets))
	}
	o.release(b)
	return err
}

func (o *outbox) release(b *batch) {
	if cap(b.buf) <= batchKept {
		b.reset()
		o.line.board.batches.Put(b)
	}
}

// close drops what waits, and waits for what is being written, which the connection's
// end ends.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for o.busy {
		o.idle.Wait()
	}
	if b := o.waiting; b != nil {
		o.line.board.counts.dropped[droppedGone].Add(float64(b.packets))
		o.waiting = nil
		o.release(b)
	}
}
