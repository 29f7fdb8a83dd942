package port

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/stats"
)

const (
	// maxFlows bounds the flows of a session; the one that was silent longest gives
	// way.
	maxFlows = 1024

	// flowIdle is how long a flow may be silent: as a NAT keeps one (RFC 4787 asks
	// for two minutes at least).
	flowIdle = 2 * time.Minute

	// sweepEvery is how often silent flows are looked for.
	sweepEvery = 10 * time.Second

	// maxPartial bounds datagrams of which not all pieces have come; the oldest
	// gives way.
	maxPartial = 16

	// maxFailures is how often in a row a socket may fail to receive.
	maxFailures = 100
)

// carrier carries datagrams of a session over packets of the mesh. Its methods but
// came may be called concurrently.
type carrier struct {
	session uint32
	use     stats.Use
	// send sends a packet. It may wait for the tunnel, and nobody else.
	send func(packet []byte) error

	mu     sync.Mutex // guards number
	number uint16

	partial []*partial // of came, which is called from one goroutine
}

// partial is a datagram of which pieces are missing.
type partial struct {
	flow   uint32
	number uint16
	count  uint8
	has    [256 / 64]uint64
	got    int
	size   int
	data   []byte
}

// packets have room for one.
var packets = sync.Pool{New: func() any { return new([headerLen + pieceLen]byte) }}

// datagrams have room for the largest.
var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// put sends a datagram of a flow. One whose packet is lost is lost.
func (c *carrier) put(flow uint32, datagram []byte) error {
	if len(datagram) > maxDatagram {
		return syscall.EMSGSIZE
	}
	c.use.Out(len(datagram))
	c.mu.Lock()
	c.number++
	h := header{session: c.session, flow: flow, number: c.number, count: uint8(max(1, (len(datagram)+pieceLen-1)/pieceLen))}
	c.mu.Unlock()
	packet := packets.Get().(*[headerLen + pieceLen]byte)
	defer packets.Put(packet)
	for ; h.index < h.count; h.index++ {
		piece := datagram[:min(len(datagram), pieceLen)]
		datagram = datagram[len(piece):]
		h.put(packet[:])
		n := copy(packet[headerLen:], piece)
		if err := c.send(packet[:headerLen+n]); err != nil {
			return err
		}
	}
	return nil
}

// came takes a piece and returns the datagram that it completes; nil if it does
// not. It is good until the next call.
func (c *carrier) came(h header, data []byte) []byte {
	c.use.In(len(data))
	if h.count == 1 {
		return data
	}
	p := c.find(h)
	word, bit := h.index/64, uint64(1)<<(h.index%64)
	if p.has[word]&bit != 0 {
		return nil
	}
	p.has[word] |= bit
	p.got++
	copy(p.data[int(h.index)*pieceLen:], data)
	if h.index+1 == h.count {
		p.size = int(h.index)*pieceLen + len(data)
	}
	if p.got < int(p.count) {
		return nil
	}
	for i := range c.partial {
		if c.partial[i] == p {
			c.partial = append(c.partial[:i], c.partial[i+1:]...)
			break
		}
	}
	return p.data[:p.size]
}

// find returns the datagram that a piece belongs to, which may be a new one.
func (c *carrier) find(h header) *partial {
	for _, p := range c.partial {
		if p.flow == h.flow && p.number == h.number && p.count == h.count {
			return p
		}
	}
	if len(c.partial) == maxPartial {
		c.partial = append(c.partial[:0], c.partial[1:]...)
	}
	p := &partial{flow: h.flow, number: h.number, count: h.count, data: make([]byte, int(h.count)*pieceLen)}
	c.partial = append(c.partial, p)
	return p
}

// flowEnd is one end of a session's flows: the one where they begin, or the one
// where they lead to.
type flowEnd interface {
	// deliver gives a datagram of a flow to whom it is for.
	deliver(flow uint32, datagram []byte)
	close()
}

// beginning is the end where flows begin: with whoever sends to a socket.
type beginning struct {
	socket net.PacketConn
	via    atomic.Pointer[carrier] // nil while there is none: what comes is lost
	wg     sync.WaitGroup

	mu    sync.Mutex // guards what follows
	last  uint32
	peers map[string]*origin
	flows map[uint32]*origin
}

// origin is where a flow begins.
type origin struct {
	flow uint32
	addr net.Addr
	used time.Time
}

// begin carries what comes to a socket, and closes the socket at its end.
func begin(socket net.PacketConn) *beginning {
	b := &beginning{socket: socket, peers: make(map[string]*origin), flows: make(map[uint32]*origin)}
	b.wg.Go(b.run)
	return b
}

func (b *beginning) run() {
	buf := make([]byte, maxDatagram)
	for failures := 0; failures < maxFailures; {
		n, from, err := b.socket.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if failures++; err != nil {
			continue // a peer's port was unreachable
		}
		failures = 0
		if via := b.via.Load(); via != nil {
			_ = via.put(b.flowOf(from, time.Now()), buf[:n]) // what cannot be sent is lost
		}
	}
}

// flowOf returns the flow of a peer, in place of the most silent one if there are
// too many.
func (b *beginning) flowOf(from net.Addr, now time.Time) uint32 {
	key := from.String()
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.peers[key]; o != nil {
		if now.Sub(o.used) < flowIdle {
			o.used = now
			return o.flow
		}
		b.forget(o) // the other end has
	}
	if len(b.peers) >= maxFlows {
		var silent *origin
		for _, o := range b.peers {
			if silent == nil || o.used.Before(silent.used) {
				silent = o
			}
		}
		b.forget(silent)
	}
	if b.last++; b.last == helloFlow {
		b.last++
	}
	o := &origin{flow: b.last, addr: from, used: now}
	b.peers[key], b.flows[o.flow] = o, o
	return o.flow
}

// forget ends a flow. b.mu is held.
func (b *beginning) forget(o *origin) {
	delete(b.peers, o.addr.String())
	delete(b.flows, o.flow)
}

func (b *beginning) deliver(flow uint32, datagram []byte) {
	b.mu.Lock()
	o := b.flows[flow]
	if o != nil {
		o.used = time.Now()
	}
	b.mu.Unlock()
	if o != nil {
		_, _ = b.socket.WriteTo(datagram, o.addr) // what cannot be delivered is lost
	}
}

func (b *beginning) close() {
	b.socket.Close()
	b.wg.Wait()
}

// leading is the end where flows lead to: each has a socket of its own, so that
// whoever answers knows whom.
type leading struct {
	dial func() (*net.UDPConn, error)
	via  *carrier
	// refused is called when nobody listens where a flow leads to.
	refused func()
	done    chan struct{}
	wg      sync.WaitGroup

	mu     sync.Mutex // guards what follows
	closed bool
	flows  map[uint32]*target
}

type target struct {
	conn *net.UDPConn
	used time.Time // guarded by leading.mu
}

func lead(dial func() (*net.UDPConn, error), via *carrier, refused func()) *leading {
	l := &leading{dial: dial, via: via, refused: refused, done: make(chan struct{}), flows: make(map[uint32]*target)}
	l.wg.Go(l.sweep)
	return l
}

// sweep closes flows that are silent.
func (l *leading) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case now := <-tick.C:
			l.mu.Lock()
			for id, t := range l.flows {
				if now.Sub(t.used) >= flowIdle {
					l.forget(id, t)
				}
			}
			l.mu.Unlock()
		}
	}
}

// forget ends a flow. l.mu is held.
func (l *leading) forget(id uint32, t *target) {
	t.conn.Close()
	delete(l.flows, id)
}

func (l *leading) deliver(flow uint32, datagram []byte) {
	t, err := l.target(flow)
	if errors.Is(err, net.ErrClosed) {
		return
	}
	if err != nil {
		l.refused()
		return
	}
	if _, err := t.conn.Write(datagram); errors.Is(err, syscall.ECONNREFUSED) {
		// That was about the one before; this one has not been sent.
		_, _ = t.conn.Write(datagram)
	}
}

func (l *leading) target(flow uint32) (*target, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	if t := l.flows[flow]; t != nil {
		t.used = time.Now()
		return t, nil
	}
	if len(l.flows) >= maxFlows {
		var id uint32
		var silent *target
		for i, t := range l.flows {
			if silent == nil || t.used.Before(silent.used) {
				id, silent = i, t
			}
		}
		l.forget(id, silent)
	}
	conn, err := l.dial() // to this machine: it does not wait
	if err != nil {
		return nil, err
	}
	t := &target{conn: conn, used: time.Now()}
	l.flows[flow] = t
	l.wg.Go(func() { l.answer(flow, t) })
	return t, nil
}

// answer carries what comes back, until the flow's socket is closed.
func (l *leading) answer(flow uint32, t *target) {
	take := func(datagram []byte) {
		l.mu.Lock()
		t.used = time.Now()
		l.mu.Unlock()
		_ = l.via.put(flow, datagram) // what cannot be sent is lost
	}
	for {
		err := receive(t.conn, take)
		if errors.Is(err, syscall.ECONNREFUSED) {
			l.refused()
			continue
		}
		if err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.flows[flow] == t {
				l.forget(flow, t)
			}
			return
		}
	}
}

func (l *leading) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.done)
	}
	for id, t := range l.flows {
		l.forget(id, t)
	}
	l.mu.Unlock()
	l.wg.Wait()
}
