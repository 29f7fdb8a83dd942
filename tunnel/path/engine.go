package path

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"tailscale.com/disco"
)

// SetPeer adds a peer or brings what is known of it up to date, and probes new
// addresses at once: the path should be direct before the first byte asks
// for it.
func (b *Bind) SetPeer(info PeerInfo) *Peer {
	pub, dk := nodePublic(info.PublicKey), discoPublic(info.DiscoKey)
	now := time.Now()

	b.mu.Lock()
	p := b.byKey[pub]
	if p != nil && p.disco != dk {
		b.forgetLocked(p)
		p = nil
	}
	fresh := p == nil
	if fresh {
		p = &Peer{bind: b, key: pub, disco: dk, shared: b.disco.Shared(dk), machine: newMachine(now, newTxID), heard: make(chan struct{})}
		p.machine.beats, p.machine.yields = b.epoch, b.cfg.Yields
		p.route.Store(&liveRoute{})
		b.byKey[pub] = p
		b.agenda.enter(p)
		if b.byDisco[dk] == nil { // the first holder keeps it
			b.byDisco[dk] = p
		}
	}
	b.mu.Unlock()
	if fresh {
		b.log.Debug("peer known", "peer", pub.ShortString(), "nat", info.NAT, "endpoints", info.Endpoints)
	}

	b.log.Debug("coordinator names addresses", "peer", pub.ShortString(), "addrs", info.Endpoints)
	p.home.Store(info.HomeRelay)
	p.mu.Lock()
	p.nat, p.relayed = info.NAT, info.RelayOnly
	b.tellNATs(p)
	acts := p.machine.setTold(now, b.pingable(info.Endpoints))
	p.mu.Unlock()
	b.perform(p, acts)
	b.wakePeer(p)
	return p
}

// RemovePeer forgets a peer. Packets from it are dropped from now on.
func (b *Bind) RemovePeer(publicKey [32]byte) {
	b.mu.Lock()
	p := b.byKey[nodePublic(publicKey)]
	if p != nil {
		b.forgetLocked(p)
	}
	b.mu.Unlock()
	if p != nil {
		p.closePorts()
	}
}

// tellNATs tells p's machine what NATs there are. p.mu is held.
func (b *Bind) tellNATs(p *Peer) {
	self := b.probe.current()
	p.machine.birthday.self, p.machine.birthday.peer = self.NAT, p.nat
	// A mapped port is there to be met by everybody.
	p.machine.birthday.off = b.cfg.NoPortGuessing || self.PortMapping.External.IsValid()
}

func (b *Bind) forgetLocked(p *Peer) {
	delete(b.byKey, p.key)
	b.agenda.remove(p)
	if b.byDisco[p.disco] == p {
		delete(b.byDisco, p.disco)
	}
	for addr, q := range b.byAddr {
		if q == p {
			delete(b.byAddr, addr)
		}
	}
	for w, q := range b.byLeg {
		if q == p {
			delete(b.byLeg, w)
		}
	}
	b.addrs.Add(1)
}

// pingable keeps what we are willing to ping of a peer's addresses.
func (b *Bind) pingable(addrs []netip.AddrPort) []netip.AddrPort {
	kept := make([]netip.AddrPort, 0, min(len(addrs), maxCandidates))
	for _, a := range addrs {
		a = netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
		ip := a.Addr()
		if a.Port() == 0 || !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() ||
			ip.IsLinkLocalUnicast() || b.cfg.Exclude(ip) {
			continue
		}
		if len(kept) == maxCandidates {
			break
		}
		kept = append(kept, a)
	}
	return kept
}

// wakePeer has the engine look at p as soon as it can.
func (b *Bind) wakePeer(p *Peer) { b.agenda.add(p, time.Now()) }

// networkChanged has every link and every peer's path tried anew.
func (b *Bind) networkChanged() {
	b.checkLinks()
	b.cfg.OnNetworkChange()
	if b.mapper != nil {
		signal(b.mapper.again)
	}
	for _, p := range b.peers() {
		p.mu.Lock()
		acts := p.machine.networkChanged(time.Now())
		p.mu.Unlock()
		b.perform(p, acts)
		b.wakePeer(p)
	}
}

// runEngine ticks each peer's machine when it is due, and sleeps meanwhile.
func (b *Bind) runEngine() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		p, next := b.agenda.take(now)
		if p != nil {
			if at := b.tick(p, now); !at.IsZero() {
				b.agenda.add(p, at)
			}
			continue
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = next.Sub(now)
		}
		timer.Reset(wait)
		select {
		case <-b.ctx.Done():
			return
		case <-timer.C:
		case <-b.agenda.news:
		}
	}
}

func (b *Bind) peers() []*Peer {
	b.mu.RLock()
	defer b.mu.RUnlock()
	peers := make([]*Peer, 0, len(b.byKey))
	for _, p := range b.byKey {
		peers = append(peers, p)
	}
	return peers
}

// tick has p's machine do what is due, and returns when p is due again.
func (b *Bind) tick(p *Peer, now time.Time) time.Time {
	b.checkIntegrity(p, now)
	b.resumeOffload(now)
	seen := p.traffic()
	p.mu.Lock()
	b.tellNATs(p)
	acts, next := p.machine.tick(now, seen)
	p.trimPortsLocked(now)
	p.mu.Unlock()
	b.perform(p, acts)
	if p.route.Load().listens && p.traffic() != seen {
		return now // what came before the route said so has woken nobody
	}
	if again := b.sendAgain(p, now); next.IsZero() || !again.IsZero() && again.Before(next) {
		return again
	}
	return next
}

// perform does what p's machine asked for and publishes its route.
func (b *Bind) perform(p *Peer, acts actions) {
	if b.publishRoute(p) {
		b.repeat(p)
	}
	for _, ping := range acts.pings {
		if ping.bind {
			b.sendBind(p, ping.way)
		}
		msg := &disco.Ping{TxID: ping.tx, NodeKey: b.pub, Padding: max(0, ping.size-pingLen)}
		if err := b.sendDisco(p, ping.way, msg); errors.Is(err, syscall.EMSGSIZE) {
			p.mu.Lock()
			p.machine.tooBig(ping.way, ping.size)
			p.mu.Unlock()
		}
	}
	if acts.suspectOffload {
		b.suspectOffload(p, "large ones are lost")
	}
	if len(acts.spray) > 0 {
		b.wg.Go(func() { b.spray(p, acts.spray, acts.sprayTx) })
	}
	if len(acts.openPorts) > 0 {
		b.wg.Go(func() { b.openPorts(p, acts.openPorts) })
	}
	if acts.callMeMaybe {
		b.callMeMaybe(p)
	}
	if acts.askRelays > 0 {
		b.askRelays(p, acts.askRelays-1)
	}
}

// callMeMaybe asks the peer, over the relay, to ping this node.
func (b *Bind) callMeMaybe(p *Peer) {
	b.sendRelayedDisco(p, &disco.CallMeMaybe{MyNumber: b.probe.endpoints()})
}

// publishRoute has packets to p go where its machine says, and reports whether that is by
// another way.
func (b *Bind) publishRoute(p *Peer) (another bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, old := p.machine.route(), p.route.Load()
	if old.route == r {
		return false
	}
	mode := p.machine.mode
	if another = old.direct != r.direct || old.mode != mode; another {
		said := mode.String()
		if mode == modeDirect && r.direct.relayed() {
			said = "udp-relay"
		}
		b.log.Debug("path changed", "peer", p.key.ShortString(), "mode", said, "direct", r.direct.addr)
	}
	p.route.Store(&liveRoute{r, p.machine.mode, p.ports.open[r.direct.sock], p.ports.open[r.also.sock]})
	return another && mode != modeDoubt // where small packets take every way
}

// sendDisco sends msg by w. Most failures show as silence, since what can't be
// sent won't be answered.
func (b *Bind) sendDisco(p *Peer, w way, msg disco.Message) error {
	return b.writeFrom(p, w, sealDisco(b.discoPub, p.shared, msg))
}

// writeFrom sends a frame by w.
func (b *Bind) writeFrom(p *Peer, w way, frame []byte) error {
	if w.sock != 0 {
		p.mu.Lock()
		extra := p.ports.open[w.sock]
		p.mu.Unlock()
		if extra == nil {
			return net.ErrClosed
		}
		return extra.write(frame, w.addr)
	}
	if w.relayed() {
		frame = wrapDisco(w.vni, false, frame)
	}
	if s := b.socketFor(w.addr.Addr()); s != nil {
		return s.write(frame, w.addr)
	}
	return net.ErrClosed
}

func (b *Bind) sendRelayedDisco(p *Peer, msg disco.Message) {
	if l := b.link(p.relayRegion()); l != nil {
		l.send(p.key, sealDisco(b.discoPub, p.shared, msg))
	}
}

// discoFrom is where a disco frame came from: over UDP by way or, when relayed
// is set, from the peer whose key the relay vouches for.
type discoFrom struct {
	way
	region  uint32
	relayed *Peer
}

// onDisco handles one disco frame. Frames from strangers, and those that do
// not open, are dropped without an answer.
func (b *Bind) onDisco(data []byte, from discoFrom) {
	sender, ok := discoSender(data)
	if !ok {
		return
	}
	b.mu.RLock()
	p := b.byDisco[sender]
	b.mu.RUnlock()
	if p == nil || from.relayed != nil && from.relayed != p {
		return
	}
	msg, behind, err := openDisco(p.shared, data)
	if err != nil {
		return
	}
	p.heardOnce.Do(func() { close(p.heard) })
	switch m := msg.(type) {
	case *disco.Ping:
		if !m.NodeKey.IsZero() && m.NodeKey != p.key || from.relayed != nil {
			return
		}
		b.onPing(p, m, from.way)
	case *disco.Pong:
		if from.relayed == nil {
			b.onPong(p, m, behind, from.way)
		}
	case *disco.CallMeMaybe:
		if from.relayed != nil {
			b.onCallMeMaybe(p, m)
		}
	}
}

func (b *Bind) onPing(p *Peer, m *disco.Ping, from way) {
	if !from.relayed() && b.cfg.Exclude(from.addr.Addr()) {
		return
	}
	if !from.relayed() {
		b.learnAddr(p, from.addr)
	}
	_ = b.sendDisco(p, from, &pongWith{disco.Pong{TxID: m.TxID, Src: from.addr}, p.received.load(), p.garbled.Load()})
	var acts actions
	p.mu.Lock()
	if p.hasLocked(from) {
		acts = p.machine.pinged(time.Now(), from)
	}
	p.mu.Unlock()
	b.perform(p, acts)
	if len(acts.pings) > 0 {
		b.wakePeer(p)
	}
}

func (b *Bind) onPong(p *Peer, m *disco.Pong, behind []byte, from way) {
	answer := pong{tx: txID(m.TxID), out: p.sent.load()}
	if r, garbled, ok := parseReport(behind); ok {
		answer.report = &r
		if garbled {
			b.suspectOffload(p, "large ones arrive garbled")
		}
	}
	if from == p.route.Load().direct {
		p.noteAnswer()
	}
	var acts actions
	p.mu.Lock()
	ok := p.hasLocked(from)
	if ok {
		acts, ok = p.machine.ponged(time.Now(), from, answer)
	}
	rests := p.machine.rests(from)
	p.mu.Unlock()
	if !ok {
		return
	}
	if !from.relayed() {
		b.learnAddr(p, from.addr)
		if from.sock == 0 {
			b.probe.seenAs(m.Src)
		}
	}
	b.perform(p, acts)
	if !rests || len(acts.pings) > 0 {
		b.wakePeer(p)
	}
}

func (b *Bind) onCallMeMaybe(p *Peer, m *disco.CallMeMaybe) {
	b.log.Debug("peer names addresses", "peer", p.key.ShortString(), "addrs", m.MyNumber)
	p.mu.Lock()
	acts := p.machine.callMeMaybe(time.Now(), b.pingable(m.MyNumber))
	p.mu.Unlock()
	b.perform(p, acts)
	if at := anyPort(m.MyNumber); len(at) > 0 {
		p.mu.Lock()
		b.tellNATs(p)
		acts := p.machine.portsOpen(time.Now(), at)
		p.mu.Unlock()
		b.perform(p, acts)
	}
	b.wakePeer(p)
}

// maxAddrsPerPeer bounds the source addresses remembered for one peer.
const maxAddrsPerPeer = 2 * maxCandidates

// learnAddr notes that packets from addr are p's, as a disco frame proved.
func (b *Bind) learnAddr(p *Peer, addr netip.AddrPort) {
	if b.peerAt(addr) == p {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byKey[p.key] != p {
		return // removed meanwhile
	}
	held := 0
	for _, q := range b.byAddr {
		if q == p {
			held++
		}
	}
	if held >= maxAddrsPerPeer {
		for a, q := range b.byAddr {
			if q == p {
				delete(b.byAddr, a)
				break
			}
		}
	}
	b.byAddr[addr] = p
	b.addrs.Add(1)
}
