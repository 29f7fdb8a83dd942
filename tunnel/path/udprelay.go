package path

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"tailscale.com/disco"
	"tailscale.com/net/packet"
	"tailscale.com/types/key"
)

// Where UDP reaches relays but not the peer, a relay may pass datagrams on. Both
// ends ask the same relays, those of both homes, for the session of their two disco
// keys, by messages over DERP; a relay gives both the same number. Each end then
// tells the relay by UDP where it is, in three messages that prove that it is there.
// From then on the session is a way to the peer like any other, pinged, measured and
// left like any other. What takes it has the number before it, in a Geneve header
// (RFC 8926). All of this is as tailscale's peer relays do it.

// geneveLen is the length of that header, in bytes.
const geneveLen = packet.GeneveFixedHeaderLength

// maxLegs bounds the sessions with relays towards one peer: two homes of its, two of
// this node, as both change.
const maxLegs = 4

// leg is this node's end of a session with a UDP relay.
type leg struct {
	region uint32
	server key.DiscoPublic // the relay's
	shared key.DiscoShared // with it
	// generation numbers the attempts to tell the relay where this node is.
	generation uint32
}

// isGeneve reports whether b has a header as UDP relays use it, and something
// behind.
func isGeneve(b []byte) bool {
	if len(b) <= geneveLen || b[0] != 0 || b[1]&^0x80 != 0 || b[7] != 0 {
		return false
	}
	protocol := binary.BigEndian.Uint16(b[2:])
	return protocol == packet.GeneveProtocolDisco || protocol == packet.GeneveProtocolWireGuard
}

// appendGeneve appends a header.
func appendGeneve(b []byte, vni uint32, control bool, protocol uint16) []byte {
	flags := byte(0)
	if control {
		flags = 0x80
	}
	b = append(b, 0, flags)
	b = binary.BigEndian.AppendUint16(b, protocol)
	return binary.BigEndian.AppendUint32(b, vni<<8)
}

// wrapDisco puts a frame behind a header; control is for what the relay itself is to
// read.
func wrapDisco(vni uint32, control bool, frame []byte) []byte {
	return append(appendGeneve(make([]byte, 0, geneveLen+len(frame)), vni, control, packet.GeneveProtocolDisco), frame...)
}

// wrapping is where a batch of packets is put behind headers.
type wrapping struct {
	slabs [][]byte
	bufs  [][]byte
}

// slabSize is the most that the kernel takes as one joined datagram.
const slabSize = 1 << 16

// wrap returns copies of bufs behind headers, valid until the next call. They lie one
// behind the other with room after each: who joins them copies each to where it is.
func (w *wrapping) wrap(vni uint32, bufs [][]byte) [][]byte {
	w.bufs = w.bufs[:0]
	slab, free := -1, []byte(nil)
	for _, buf := range bufs {
		if n := geneveLen + len(buf); n > cap(free) {
			if slab++; slab == len(w.slabs) {
				w.slabs = append(w.slabs, make([]byte, 0, slabSize))
			}
			free = w.slabs[slab]
		}
		at := append(appendGeneve(free[:0], vni, false, packet.GeneveProtocolWireGuard), buf...)
		w.bufs = append(w.bufs, at)
		free = at[len(at):]
	}
	return w.bufs
}

// unwrap takes a packet that came by a UDP relay: it returns the length of one for
// the device, now at the start of b, or zero where there is none.
func (b *Bind) unwrap(run *recvRun, data []byte, from netip.AddrPort) int {
	w := way{addr: from, vni: binary.BigEndian.Uint32(data[4:]) >> 8}
	inner := data[geneveLen:]
	switch control := data[1]&0x80 != 0; classify(inner) {
	case kindWireGuard:
		if control || !run.take(len(inner), w) || b.dropCopy(run.peer, inner) {
			return 0
		}
		return copy(data, inner)
	case kindDisco:
		if control {
			b.onChallenge(inner, w)
			return 0
		}
		run.flush() // what came before is to be in the answer
		b.onDisco(inner, discoFrom{way: w})
	}
	return 0
}

// askRelays asks the relays of both homes for a session with p, of several in a region
// another each turn. The offers come while nobody waits for them.
func (b *Bind) askRelays(p *Peer, turn int) {
	p.mu.Lock()
	relayed := p.relayed
	p.mu.Unlock()
	if relayed || b.cfg.RelayOnly || b.probe.current().NAT == NATBlocked {
		return
	}
	regions := []uint32{p.relayRegion(), b.home.Load()}
	for _, region := range slices.Compact(regions) {
		r, ok := b.Region(region)
		if !ok {
			continue
		}
		relay, ok := r.udpRelay(b.discoPub, p.disco, turn)
		l := b.link(region)
		if !ok || l == nil {
			continue
		}
		ask := &disco.AllocateUDPRelayEndpointRequest{ClientDisco: [2]key.DiscoPublic{b.discoPub, p.disco}, Generation: rand.Uint32()}
		shared := b.disco.Shared(discoPublic(relay.UDP.DiscoKey))
		l.send(nodePublic(relay.UDP.Key), sealDisco(b.discoPub, shared, ask))
	}
}

// udpRelay returns the relay of r to be asked to carry packets of two nodes: the same
// for both of them at first, and others for others.
func (r Region) udpRelay(a, b key.DiscoPublic, turn int) (Relay, bool) {
	able := slices.DeleteFunc(slices.Clone(r.Relays), func(r Relay) bool { return r.UDP.Port == 0 })
	if len(able) == 0 {
		return Relay{}, false
	}
	pair := key.NewSortedPairOfDiscoPublic(a, b).Get()
	raw := pair[1].AppendTo(pair[0].AppendTo(nil))
	return able[(binary.BigEndian.Uint32(raw)%uint32(len(able))+uint32(turn))%uint32(len(able))], true
}

// onOffer handles what may be a relay's answer to askRelays.
func (b *Bind) onOffer(region uint32, from key.NodePublic, data []byte) {
	if classify(data) != kindDisco {
		return
	}
	r, _ := b.Region(region)
	i := slices.IndexFunc(r.Relays, func(relay Relay) bool { return relay.UDP.Port != 0 && nodePublic(relay.UDP.Key) == from })
	if i < 0 {
		return
	}
	msg, _, err := openDisco(b.disco.Shared(discoPublic(r.Relays[i].UDP.DiscoKey)), data)
	offer, ok := msg.(*disco.AllocateUDPRelayEndpointResponse)
	if err != nil || !ok || offer.VNI == 0 || offer.VNI>>24 != 0 {
		return
	}
	other := offer.ClientDisco[0]
	if other == b.discoPub {
		other = offer.ClientDisco[1]
	}
	b.mu.RLock()
	p := b.byDisco[other]
	b.mu.RUnlock()
	if p != nil && b.ctx.Err() == nil {
		b.wg.Go(func() { b.take(p, r.Relays[i], leg{region: region, server: offer.ServerDisco}, offer.VNI) })
	}
}

// take begins to use what a relay offers. Nobody but a relay of the map is sent to,
// at the address that the map has.
func (b *Bind) take(p *Peer, relay Relay, l leg, vni uint32) {
	socks := b.socks.Load()
	u, err := url.Parse(relay.URL)
	if socks == nil || err != nil {
		return
	}
	addrs := resolve(b.ctx, u.Hostname(), socks)
	if self := b.probe.current(); len(addrs) > 1 && !self.UDP4 && self.UDP6 {
		slices.Reverse(addrs)
	}
	if len(addrs) == 0 {
		return
	}
	w := way{addr: netip.AddrPortFrom(addrs[0], relay.UDP.Port), vni: vni}
	l.shared = b.disco.Shared(l.server)
	p.mu.Lock()
	if old := p.legs[w]; old == nil || old.server != l.server {
		p.addLegLocked(w, &l)
	}
	p.mu.Unlock()
	if !b.enterLeg(p, w) {
		return
	}
	p.mu.Lock()
	acts := p.machine.offered(time.Now(), w)
	p.mu.Unlock()
	b.perform(p, acts)
	b.wakePeer(p)
}

// addLegLocked notes a session, if need be in place of one that is not in use.
func (p *Peer) addLegLocked(w way, l *leg) {
	if p.legs == nil {
		p.legs = make(map[way]*leg)
	}
	for old, held := range p.legs {
		gone := held.region == l.region && old.addr == w.addr // the relay has another for this pair
		if old != p.machine.best && (gone || len(p.legs) >= maxLegs) {
			delete(p.legs, old)
			p.machine.forget(old)
		}
	}
	p.legs[w] = l
}

// enterLeg has packets that come by w be p's, and those by sessions that p has no
// more be nobody's. It reports false when p was removed meanwhile.
func (b *Bind) enterLeg(p *Peer, w way) bool {
	p.mu.Lock()
	held := make(map[way]bool, len(p.legs))
	for w := range p.legs {
		held[w] = true
	}
	p.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byKey[p.key] != p {
		return false
	}
	for old, q := range b.byLeg {
		if q == p && !held[old] {
			delete(b.byLeg, old)
		}
	}
	b.byLeg[w] = p
	b.addrs.Add(1)
	return true
}

// sendBind tells the relay on w where this node is, in the first of three messages.
func (b *Bind) sendBind(p *Peer, w way) {
	p.mu.Lock()
	l := p.legs[w]
	if l == nil {
		p.mu.Unlock()
		return
	}
	l.generation = max(1, l.generation+1)
	msg := &disco.BindUDPRelayEndpoint{BindUDPRelayEndpointCommon: disco.BindUDPRelayEndpointCommon{VNI: w.vni, Generation: l.generation, RemoteKey: p.disco}}
	shared := l.shared
	p.mu.Unlock()
	b.sendToRelay(w, shared, msg)
}

func (b *Bind) sendToRelay(w way, shared key.DiscoShared, msg disco.Message) {
	if s := b.socketFor(w.addr.Addr()); s != nil {
		_ = s.write(wrapDisco(w.vni, true, sealDisco(b.discoPub, shared, msg)), w.addr) // silence is the answer
	}
}

// onChallenge handles a relay's question whether this node is where it seems to be.
func (b *Bind) onChallenge(data []byte, w way) {
	p := b.peerBy(w)
	sender, ok := discoSender(data)
	if p == nil || !ok {
		return
	}
	p.mu.Lock()
	l := p.legs[w]
	if l == nil || l.server != sender {
		p.mu.Unlock()
		return
	}
	shared, generation := l.shared, l.generation
	p.mu.Unlock()
	msg, _, err := openDisco(shared, data)
	challenge, ok := msg.(*disco.BindUDPRelayEndpointChallenge)
	if err != nil || !ok || challenge.VNI != w.vni || challenge.Generation != generation || challenge.RemoteKey != p.disco {
		return
	}
	b.sendToRelay(w, shared, &disco.BindUDPRelayEndpointAnswer{BindUDPRelayEndpointCommon: challenge.BindUDPRelayEndpointCommon})
	p.mu.Lock()
	acts := p.machine.bound(time.Now(), w)
	p.mu.Unlock()
	b.perform(p, acts)
}
