package tunnel

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"
	"tailscale.com/net/packet"
	"tailscale.com/types/ipproto"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// filteredDevice is a tun.Device that drops what the coordinator's policy does
// not let a peer send. It starts out with a policy that admits nothing but
// answers to what this node sent itself.
//
// Each packet is judged by the rules that hold now, unless this node began its flow:
// what a peer began ends with the rule that let it in.
//
// WireGuard vouches for the source address of each packet: a peer may only
// use its own. So a rule about an address is a rule about a peer, and the rules
// are kept by address: a packet costs the same however many peers there are.
type filteredDevice struct {
	tun.Device
	parsed sync.Pool // of *packet.Parsed

	// opened is called with what came out of the WireGuard device: packets of one
	// peer.
	opened func(bufs [][]byte, offset int)

	// refused answers what is not admitted; nil does not. denied is what peers have not.
	refused *refuser
	denied  denials

	// out and in meter the packets between this device and the sockets.
	out, in *meter

	// settling says that there may be connections that were not told yet.
	settling atomic.Bool

	self  atomic.Pointer[netip.Addr] // packets are let in to this address alone
	allow addressed[*admission]

	// connections are those of TCP that this node opened, exchanges the flows of UDP and
	// the pings of this node and of peers.
	connections, exchanges *flows
}

func newFilteredDevice(dev tun.Device) *filteredDevice {
	f := &filteredDevice{
		Device: dev,
		parsed: sync.Pool{New: func() any { return new(packet.Parsed) }},
		opened: func([][]byte, int) {},
		out:    newMeter(maxOutbound), in: newMeter(maxInbound),
		connections: newFlows(maxConnections), exchanges: newFlows(maxExchanges),
	}
	f.self.Store(new(netip.Addr))
	return f
}

// setSelf says which address packets are let in to.
func (f *filteredDevice) setSelf(self netip.Addr) { f.self.Store(&self) }

// setAllowed replaces what the peer with the given address may send; nothing,
// when there are no rules.
func (f *filteredDevice) setAllowed(peer netip.Addr, rules []*meshv1.Allow) {
	if len(rules) == 0 {
		f.allow.remove(peer)
		return
	}
	f.allow.set(peer, newAdmission(rules))
}

// admits reports whether a packet may come in. before is the flow of the last one of its
// batch that might: packets come in runs of one flow's.
func (f *filteredDevice) admits(p *packet.Parsed, before *flow) bool {
	if p.IPVersion != 6 || p.Dst.Addr() != *f.self.Load() {
		return false
	}
	switch p.IPProto {
	case ipproto.TCP:
		if p.IsTCPSyn() || ending(p, finIn) != 0 {
			return f.admitsOne(p)
		}
	case ipproto.UDP:
	default:
		return f.admitsOne(p)
	}
	is := incoming(p)
	if is != *before {
		if !f.admitsOne(p) {
			return false
		}
		*before = is
	}
	return true
}

// admitsOne is admits for a packet of which nothing is known but that it is to this node.
func (f *filteredDevice) admitsOne(p *packet.Parsed) bool {
	rules := f.allow.get(p.Src.Addr().As16())
	switch p.IPProto {
	case ipproto.TCP:
		return rules.admit(meshv1.Allow_TCP, p.Dst.Port()) || f.answers(p)
	case ipproto.UDP:
		if !rules.admit(meshv1.Allow_UDP, p.Dst.Port()) {
			return f.exchanges.ours(incoming(p))
		}
		f.exchanges.joinOrBegin(incoming(p), theirs)
		return true
	case ipproto.ICMPv6:
		return p.IsEchoRequest() && rules.admit(meshv1.Allow_ICMP, 0) || f.answers(p)
	case ipproto.Fragment: // is of use with the first alone, which is judged
		return true
	default:
		return false
	}
}

// answers reports whether a packet belongs to something that this node began.
func (f *filteredDevice) answers(p *packet.Parsed) bool {
	switch {
	case p.IPProto == ipproto.ICMPv6 && p.IsEchoResponse():
		return f.exchanges.ours(echo(p.Src.Addr().As16(), p))
	case p.IPProto == ipproto.ICMPv6:
		return p.IsError() && isAboutSent(p)
	case p.IPProto != ipproto.TCP || p.IsTCPSyn():
		return false
	}
	if end := ending(p, finIn); end != 0 {
		f.connections.closing(incoming(p), end)
	}
	return f.connections.ours(incoming(p))
}

// isAboutSent reports whether an error is about a packet from this node to the peer that
// tells of it.
func isAboutSent(p *packet.Parsed) bool {
	const icmpHeaderLen = 8
	sent := p.Transport()[icmpHeaderLen:]
	return len(sent) >= ipv6HeaderLen && netip.AddrFrom16([16]byte(sent[8:24])) == p.Dst.Addr() &&
		netip.AddrFrom16([16]byte(sent[24:40])) == p.Src.Addr()
}

// sends notes what leaves, so that the answers are let in.
func (f *filteredDevice) sends(p *packet.Parsed) {
	if p.IPVersion != 6 {
		return
	}
	switch {
	case p.IPProto == ipproto.TCP && p.IsTCPSyn():
		f.connections.begin(outgoing(p), 0)
	case p.IPProto == ipproto.TCP:
		if end := ending(p, finOut); end != 0 {
			f.connections.closing(outgoing(p), end)
		}
	case p.IPProto == ipproto.UDP:
		f.exchanges.joinOrBegin(outgoing(p), 0)
	case p.IPProto == ipproto.ICMPv6 && p.IsEchoRequest():
		f.exchanges.begin(echo(p.Dst.Addr().As16(), p), 0)
	}
}

// ending is what a segment of TCP ends: a half of the connection, which is fin, all of
// it, or nothing.
func ending(p *packet.Parsed, fin flowState) flowState {
	switch {
	case p.TCPFlags&packet.TCPRst != 0:
		return over
	case p.TCPFlags&packet.TCPFin != 0:
		return fin
	}
	return 0
}

// refuse answers a packet that is not admitted, if it is to this node. It returns what this
// machine is to get in its place, made of the packet's own memory; nil is nothing.
func (f *filteredDevice) refuse(raw []byte) []byte {
	if len(raw) < ipv6HeaderLen || raw[0]>>4 != 6 || netip.AddrFrom16([16]byte(raw[24:40])) != *f.self.Load() {
		return nil
	}
	if f.settling.Load() && isOfConnection(raw) {
		return nil // it is said again
	}
	f.refused.refuse(raw)
	return becomeReset(raw)
}

// Read notes what leaves.
func (f *filteredDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := f.Device.Read(bufs, sizes, offset)
	if n > 0 {
		f.out.enter(n)
		p := f.parsed.Get().(*packet.Parsed)
		for i := range n {
			p.Decode(bufs[i][offset : offset+sizes[i]])
			f.sends(p)
		}
		f.parsed.Put(p)
	}
	return n, err
}

// Write passes on the packets that the policy admits.
func (f *filteredDevice) Write(bufs [][]byte, offset int) (int, error) {
	f.in.leave(len(bufs))
	f.opened(bufs, offset)
	p := f.parsed.Get().(*packet.Parsed)
	kept := bufs[:0]
	var before flow
	for _, buf := range bufs {
		p.Decode(buf[offset:])
		if f.admits(p, &before) {
			f.denied.note(p)
			kept = append(kept, buf)
		} else if reset := f.refuse(buf[offset:]); reset != nil {
			kept = append(kept, buf[:offset+len(reset)])
		}
	}
	f.parsed.Put(p)
	if len(kept) > 0 {
		if _, err := f.Device.Write(kept, offset); err != nil {
			return 0, err
		}
	}
	return len(bufs), nil
}
