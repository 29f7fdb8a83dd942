package path

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"tailscale.com/disco"
)

// port is a UDP socket towards one peer alone: one of many tries to be met
// through a hard NAT. The winner carries the tunnel.
type port struct {
	id   uint16
	conn *net.UDPConn
}

func (p *port) write(b []byte, to netip.AddrPort) error {
	_, err := p.conn.WriteToUDPAddrPort(b, to)
	return err
}

func (p *port) writeBatch(bufs [][]byte, to netip.AddrPort) error {
	for _, b := range bufs {
		if err := p.write(b, to); err != nil {
			return err
		}
	}
	return nil
}

// portSet is a peer's ports; Peer.mu guards it.
type portSet struct {
	open   map[uint16]*port // by id
	until  time.Time        // when those that nobody met are closed
	closed bool             // no more may be opened
	lastID uint16
	done   chan struct{} // closed when the attempt is over; nil while there is none
}

// openPorts opens hardPorts sockets, pings targets from each and has the peer
// spray. If those of an earlier round are still open, it is they that ping again.
// It returns when one was met or the last round is over. Attempts towards several
// peers follow each other, which bounds the sockets of a node.
func (b *Bind) openPorts(p *Peer, targets []netip.AddrPort) {
	if b.reusePorts(p, targets) {
		return
	}
	select {
	case b.portTurn <- struct{}{}:
		defer func() { <-b.portTurn }()
	case <-b.ctx.Done():
		return
	}
	done := make(chan struct{})
	p.mu.Lock()
	if !p.machine.seeking() || p.ports.closed {
		p.mu.Unlock()
		return
	}
	p.ports.done, p.ports.until = done, time.Now().Add(hardFor)
	p.mu.Unlock()

	var opened []way
	var err error
	for i := range hardPorts {
		var extra *port
		if extra, err = b.openPort(p); err != nil {
			break // as many as the system gives
		}
		opened = append(opened, way{addr: targets[i%len(targets)], sock: extra.id})
	}
	b.log.Debug("opened ports for a hard NAT", "peer", p.key.ShortString(), "ports", len(opened), "err", err)
	b.announcePorts(p, opened)
	for wait := hardFor; wait > 0; {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-done:
			timer.Stop()
			return
		case <-b.ctx.Done():
			timer.Stop()
			return
		}
		p.mu.Lock()
		wait = time.Until(p.ports.until) // a later round may have put it off
		p.trimPortsLocked(time.Now())
		p.mu.Unlock()
	}
}

// reusePorts begins a round with the ports that are open towards p. It reports
// false if there are none.
func (b *Bind) reusePorts(p *Peer, targets []netip.AddrPort) bool {
	p.mu.Lock()
	if p.ports.done == nil {
		p.mu.Unlock()
		return false
	}
	p.ports.until = time.Now().Add(hardFor)
	var open []way
	for id := range p.ports.open {
		open = append(open, way{addr: targets[len(open)%len(targets)], sock: id})
	}
	p.mu.Unlock()
	b.announcePorts(p, open)
	return true
}

// announcePorts pings from each port, and then asks the peer to call at any port
// of this node's outer addresses: that is what port 0 means.
func (b *Bind) announcePorts(p *Peer, ports []way) {
	ping := sealDisco(b.discoPub, p.shared, &disco.Ping{TxID: newTxID(), NodeKey: b.pub})
	for _, w := range ports {
		_ = b.writeFrom(p, w, ping) // its way out is what counts
	}
	at := b.probe.endpoints()
	for _, ip := range outsideOf(at) {
		at = append(at, netip.AddrPortFrom(ip, 0))
	}
	b.sendRelayedDisco(p, &disco.CallMeMaybe{MyNumber: at})
}

// outsideOf returns the addresses, each once, that a NAT may have.
func outsideOf(at []netip.AddrPort) []netip.Addr {
	var ips []netip.Addr
	for _, a := range at {
		if ip := a.Addr(); outside(ip) && !slices.Contains(ips, ip) {
			ips = append(ips, ip)
		}
	}
	return ips
}

// anyPort returns the addresses to be called at any port.
func anyPort(at []netip.AddrPort) []netip.Addr {
	var ips []netip.Addr
	for _, a := range at {
		if a.Port() == 0 {
			ips = append(ips, a.Addr().Unmap())
		}
	}
	return ips
}

// openPort opens one socket towards p and starts reading it.
func (b *Bind) openPort(p *Peer) (*port, error) {
	uc, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		return nil, fmt.Errorf("path: open a port: %w", err)
	}
	dontFragment(uc)
	extra := &port{conn: uc}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ports.closed {
		uc.Close()
		return nil, fmt.Errorf("path: open a port: %w", net.ErrClosed)
	}
	p.ports.lastID++
	for p.ports.lastID == 0 || p.ports.open[p.ports.lastID] != nil {
		p.ports.lastID++
	}
	extra.id = p.ports.lastID
	if p.ports.open == nil {
		p.ports.open = make(map[uint16]*port)
	}
	p.ports.open[extra.id] = extra
	b.wg.Go(func() { b.readPort(p, extra) })
	return extra, nil
}

// portBuffer holds the largest datagram that is ever read from a port.
const portBuffer = 9 << 10

// readPort reads a port until it is closed.
func (b *Bind) readPort(p *Peer, extra *port) {
	buf := make([]byte, portBuffer)
	run := recvRun{bind: b}
	for {
		n, from, err := extra.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		switch classify(buf[:n]) {
		case kindWireGuard:
			if run.take(n, way{addr: from}) && run.peer == p {
				run.flush()
				b.deliver(p, buf[:n])
			}
		case kindDisco:
			b.onDisco(buf[:n], discoFrom{way: way{addr: from, sock: extra.id}})
		}
	}
}

// maxMet bounds the ports that stay open once a direct path is found. More than
// one may have been met, and the other end may use another of them than this one;
// if it used one that is closed, it would lose what it sends until it noticed.
const maxMet = 4

// trimPortsLocked closes the ports that are of no use any more: those that nobody
// met once a direct path is found, and all when their time is over.
func (p *Peer) trimPortsLocked(now time.Time) {
	if len(p.ports.open) == 0 {
		return
	}
	m := p.machine
	if m.seeking() && now.Before(p.ports.until) {
		return
	}
	keep := make(map[uint16]bool)
	if !m.seeking() {
		keep[m.best.sock] = true
		for w := range m.candidates {
			if w.sock != 0 && len(keep) < maxMet {
				keep[w.sock] = true
			}
		}
	}
	for id := range p.ports.open {
		if !keep[id] {
			p.closePortLocked(id)
		}
	}
	p.endAttemptLocked()
}

// hasLocked reports whether the socket or the session of w is still there. What was read from
// it before it was closed must not bring its ways back.
func (p *Peer) hasLocked(w way) bool {
	if w.relayed() {
		return p.legs[w] != nil
	}
	return w.sock == 0 || p.ports.open[w.sock] != nil
}

// endAttemptLocked lets openPorts return.
func (p *Peer) endAttemptLocked() {
	if p.ports.done != nil {
		close(p.ports.done)
		p.ports.done = nil
	}
}

func (p *Peer) closePortLocked(id uint16) {
	p.ports.open[id].conn.Close() // ends its reader
	delete(p.ports.open, id)
	p.machine.closed(id)
}

// closePorts closes all ports for good.
func (p *Peer) closePorts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ports.closed = true
	p.endAttemptLocked()
	for id := range p.ports.open {
		p.ports.open[id].conn.Close()
		delete(p.ports.open, id)
	}
}

const (
	// sprayBatch and sprayPause pace a spray: 2,500 small packets a second is
	// less than a video call's, and the round is over in half a second.
	sprayBatch = 128
	sprayPause = 50 * time.Millisecond
)

// spray pings random ports of the targets until the peer is met or the round's
// probes are spent.
func (b *Bind) spray(p *Peer, targets []netip.Addr, tx txID) {
	frame := sealDisco(b.discoPub, p.shared, &disco.Ping{TxID: tx, NodeKey: b.pub})
	ports := rand.Perm(1<<16 - firstSprayed)[:sprayProbes]
	tick := time.NewTicker(sprayPause)
	defer tick.Stop()
	for i, at := range ports {
		to := netip.AddrPortFrom(targets[i%len(targets)], uint16(firstSprayed+at))
		if s := b.socketFor(to.Addr()); s != nil {
			_ = s.write(frame, to) // one in a thousand is to arrive
		}
		if i%sprayBatch != sprayBatch-1 {
			continue
		}
		p.mu.Lock()
		met := p.machine.direct()
		p.mu.Unlock()
		if met || i == len(ports)-1 {
			b.log.Debug("guessed ports of a hard NAT", "peer", p.key.ShortString(), "probes", i+1, "met", met)
			return
		}
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
	}
}
