package path

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"tailscale.com/types/key"
)

// receiver returns the function that reads sock for the device. What is not
// WireGuard is handled on the way, and its size reported as zero.
func (b *Bind) receiver(sock *socket, closed <-chan struct{}) conn.ReceiveFunc {
	// The sender of the last packet is most often that of the next.
	run := recvRun{bind: b}
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		run.total = 0
		n, err := sock.read(bufs, func(i, n int, from netip.AddrPort) {
			sizes[i] = 0
			if n == 0 {
				return
			}
			switch classify(bufs[i][:n]) {
			case kindWireGuard:
				if run.take(n, way{addr: from}) && !b.dropCopy(run.peer, bufs[i][:n]) {
					if isInitiation(bufs[i]) {
						run.peer.EnsureInDevice(closed)
					}
					sizes[i], eps[i] = n, run.peer
				}
			case kindDisco:
				run.flush() // what came before is to be in the answer
				b.onDisco(bufs[i][:n], discoFrom{way: way{addr: from}})
			case kindGeneve:
				if n = b.unwrap(&run, bufs[i][:n], from); n > 0 {
					if isInitiation(bufs[i]) {
						run.peer.EnsureInDevice(closed)
					}
					sizes[i], eps[i] = n, run.peer
				}
			case kindSTUN:
				b.probe.onSTUN(bufs[i][:n], from)
			case kindGarbage:
				run.takeGarbage(n, from)
			}
		})
		run.flush()
		b.cfg.OnReceived(run.total)
		if err != nil {
			sock, err = b.reopen(sock, closed)
		}
		return n, err
	}
}

// reopenAfter is how long a socket that died is left alone: one that dies again
// at once must not keep a core busy.
const reopenAfter = 100 * time.Millisecond

// reopen replaces a socket that died under its reader, which is what some
// systems do to sockets when the machine sleeps or its network goes. It fails
// with net.ErrClosed when the sockets were closed on purpose.
func (b *Bind) reopen(dead *socket, closed <-chan struct{}) (*socket, error) {
	select {
	case <-closed:
		return dead, net.ErrClosed
	case <-time.After(reopenAfter):
	}
	_ = dead.close() // its port is needed
	fresh, err := relisten(dead, !b.offload.off.Load())
	if err != nil {
		return dead, err
	}
	old := b.socks.Load()
	if old == nil || old.closed != closed {
		return dead, errors.Join(net.ErrClosed, fresh.close())
	}
	next := *old
	if next.v4 == dead {
		next.v4 = fresh
	} else {
		next.v6 = fresh
	}
	if !b.socks.CompareAndSwap(old, &next) {
		fresh.close()
		return dead, nil // try again: the other socket was faster, or Close
	}
	b.log.Info("a UDP socket died and was opened anew", "port", fresh.port())
	b.probe.networkChanged()
	return fresh, nil
}

// relisten opens a socket like dead, on its port if that is free.
func relisten(dead *socket, joins bool) (*socket, error) {
	network := "udp6"
	if at := dead.conn.LocalAddr().(*net.UDPAddr).AddrPort(); at.Addr().Is4() {
		network = "udp4"
	}
	fresh, err := listen(network, dead.port(), joins)
	if err != nil {
		fresh, err = listen(network, 0, joins)
	}
	return fresh, err
}

// recvRun gathers what is to be noted of packets that come in a row.
type recvRun struct {
	bind *Bind
	from way // its socket does not matter
	peer *Peer
	// addrs is which state of Bind.byAddr and byLeg said that from is peer's.
	addrs uint64
	came  counters
	// carried says that one of them was more than a keepalive.
	carried bool
	// total is how many packets of a read were taken.
	total int
}

// take notes a packet of n bytes. It reports false when it is from no peer.
func (r *recvRun) take(n int, from way) bool {
	if addrs := r.bind.addrs.Load(); from != r.from || addrs != r.addrs {
		r.flush()
		r.from, r.addrs, r.peer = from, addrs, r.bind.peerBy(from)
	}
	if r.peer == nil {
		return false
	}
	r.came.packets++
	r.carried = r.carried || n > keepaliveLen
	r.total++
	if n > largePacket {
		r.came.large++
	}
	return true
}

// takeGarbage notes a packet of n bytes that is nothing we know.
func (r *recvRun) takeGarbage(n int, from netip.AddrPort) {
	if n <= largePacket {
		return
	}
	if p := r.bind.peerAt(from); p != nil {
		p.mangled.Add(1)
		r.bind.noteLarge(p)
	}
}

// noteLarge has somebody look whether large packets that came from p open.
func (b *Bind) noteLarge(p *Peer) {
	if p.route.Load().listens {
		b.wakePeer(p)
	}
}

// flush notes what was gathered.
func (r *recvRun) flush() {
	if r.came.packets == 0 {
		return
	}
	r.peer.received.add(r.came)
	r.peer.noteRecv(r.bind.now(), r.from, r.carried)
	if r.came.large > 0 {
		r.bind.noteLarge(r.peer)
	}
	r.came, r.carried = counters{}, false
}

// peerBy returns whose packets come by w.
func (b *Bind) peerBy(w way) *Peer {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if w.relayed() {
		return b.byLeg[w]
	}
	return b.byAddr[w.addr]
}

func (b *Bind) peerAt(addr netip.AddrPort) *Peer {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.byAddr[addr]
}

// inboxReceiver returns the function that hands what is in the inbox to the
// device.
func (b *Bind) inboxReceiver(s *sockets) conn.ReceiveFunc {
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n := 0
		take := func(r inbound) {
			sizes[n], eps[n] = copy(bufs[n], r.frame.data), r.peer
			b.frames.Put(r.frame)
			n++
		}
		select {
		case <-s.closed:
			return 0, net.ErrClosed
		case r := <-b.inbox:
			take(r)
		}
		defer func() { b.cfg.OnReceived(n) }()
		for n < len(bufs) {
			select {
			case r := <-b.inbox:
				take(r)
			default:
				return n, nil
			}
		}
		return n, nil
	}
}

// onRelayed handles a packet that a relay delivered.
func (b *Bind) onRelayed(region uint32, from key.NodePublic, data []byte) {
	b.mu.RLock()
	p := b.byKey[from]
	b.mu.RUnlock()
	if p == nil {
		b.onOffer(region, from, data)
		return
	}
	switch classify(data) {
	case kindWireGuard:
		p.noteRecv(b.now(), way{}, len(data) > keepaliveLen)
		b.deliver(p, data)
	case kindDisco:
		b.onDisco(data, discoFrom{region: region, relayed: p})
	}
}

// deliver puts a tunnel packet, copied, into the inbox.
func (b *Bind) deliver(p *Peer, data []byte) {
	if b.dropCopy(p, data) {
		return
	}
	if isInitiation(data) {
		p.EnsureInDevice(b.ctx.Done())
	}
	f := b.frames.Get().(*frame)
	f.data = append(f.data[:0], data...)
	select {
	case b.inbox <- inbound{p, f}:
	default: // the device is behind; WireGuard and TCP cope with loss
		b.frames.Put(f)
	}
}
