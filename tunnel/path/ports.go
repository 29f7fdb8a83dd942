package path

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
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
	done   chan struct{} // closed when a round is over; nil between rounds
}

// openPorts opens hardPorts sockets, pings targets from each and has the peer
// spray. It returns when one was met or the round is over. Rounds towards
// several peers follow each other, which bounds the sockets of a node.
func (b *Bind) openPorts(p *Peer, targets []netip.AddrPort) {
	select {
	case b.portTurn <- struct{}{}:
		defer func() { <-b.portTurn }()
	case <-b.ctx.Done():
		return
	}
	done := make(chan struct{})
	p.mu.Lock()
	if p.machine.mode != modeRelay || p.ports.closed || p.ports.done != nil {
		p.mu.Unlock()
		return
	}
	p.ports.done, p.ports.until = done, time.Now().Add(hardFor)
	p.mu.Unlock()

	var opened []*port
	var err error
	for range hardPorts {
		var extra *port
		if extra, err = b.openPort(p); err != nil {
			break // as many as the system gives
		}
		opened = append(opened, extra)
	}
	b.log.Debug("opened ports for a hard NAT", "peer", p.key.ShortString(), "ports", len(opened), "err", err)
	for i, extra := range opened {
		to := targets[i%len(targets)]
		_ = b.sendDisco(p, way{to, extra.id}, &disco.Ping{TxID: newTxID(), NodeKey: b.pub})
	}
	b.callMeMaybe(p)
	timer := time.NewTimer(hardFor)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		p.mu.Lock()
		p.trimPortsLocked(time.Now())
		p.mu.Unlock()
	case <-b.ctx.Done():
	}
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
			if run.take(n, from) && run.peer == p {
				run.flush()
				b.deliver(p, buf[:n])
			}
		case kindDisco:
			b.onDisco(buf[:n], discoFrom{way: way{from, extra.id}})
		}
	}
}

// trimPortsLocked closes the ports that are of no use any more: all but those in
// use once a direct path is found, and all when their time is over.
func (p *Peer) trimPortsLocked(now time.Time) {
	if len(p.ports.open) == 0 {
		return
	}
	m := p.machine
	if m.mode == modeRelay && now.Before(p.ports.until) {
		return
	}
	for id := range p.ports.open {
		if m.mode == modeRelay || id != m.best.sock {
			p.closePortLocked(id)
		}
	}
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
	frame := sealDisco(b.disco.Public(), p.shared, &disco.Ping{TxID: tx, NodeKey: b.pub})
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
		met := p.machine.mode == modeDirect
		p.mu.Unlock()
		if met {
			return
		}
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
	}
}
