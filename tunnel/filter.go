package tunnel

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"go4.org/netipx"
	"golang.zx2c4.com/wireguard/tun"
	"tailscale.com/net/packet"
	"tailscale.com/types/ipproto"
	"tailscale.com/types/logger"
	"tailscale.com/types/views"
	"tailscale.com/wgengine/filter"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// filteredDevice is a tun.Device that drops what the coordinator's policy does
// not let a peer send. It starts out with a policy that admits nothing but
// answers to what this node sent itself.
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

	// answers admits answers alone. All filters share the flows it knows.
	answers atomic.Pointer[filter.Filter]
	allow   addressed[*admission]

	mu   sync.Mutex // held by who changes the rules; guards what follows
	self netip.Addr
}

// admission is what one peer may send.
type admission struct {
	rules  []*meshv1.Allow
	filter *filter.Filter
}

func newFilteredDevice(dev tun.Device) *filteredDevice {
	f := &filteredDevice{
		Device: dev,
		parsed: sync.Pool{New: func() any { return new(packet.Parsed) }},
		opened: func([][]byte, int) {},
		out:    newMeter(maxOutbound), in: newMeter(maxInbound),
	}
	f.answers.Store(filter.NewAllowNone(logger.Discard, new(netipx.IPSet)))
	return f
}

// setSelf says which address packets are let in to. Flows that this node began
// go on.
func (f *filteredDevice) setSelf(self netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if self == f.self {
		return
	}
	f.self = self
	f.answers.Store(f.newFilterLocked(nil))
	for peer, a := range f.allow.each() {
		f.allowLocked(peer, a.rules)
	}
}

// setAllowed replaces what the peer with the given address may send; nothing,
// when there are no rules.
func (f *filteredDevice) setAllowed(peer netip.Addr, rules []*meshv1.Allow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(rules) == 0 {
		f.allow.remove(peer)
		return
	}
	f.allowLocked(peer, rules)
}

func (f *filteredDevice) allowLocked(peer netip.Addr, rules []*meshv1.Allow) {
	var matches []filter.Match
	for _, rule := range rules {
		matches = append(matches, match(peer, f.self, rule))
	}
	f.allow.set(peer, &admission{rules, f.newFilterLocked(matches)})
}

func (f *filteredDevice) newFilterLocked(matches []filter.Match) *filter.Filter {
	var local netipx.IPSetBuilder
	local.Add(f.self)
	localSet, err := local.IPSet()
	if err != nil {
		localSet = new(netipx.IPSet) // an invalid address admits nothing
	}
	return filter.New(matches, nil, localSet, new(netipx.IPSet), f.answers.Load(), logger.Discard)
}

// admits reports whether a packet may come in.
func (f *filteredDevice) admits(p *packet.Parsed) bool {
	rules := f.answers.Load()
	if a := f.allow.get(p.Src.Addr().As16()); a != nil {
		rules = a.filter
	}
	return rules.RunIn(p, 0) == filter.Accept
}

// refuse answers a packet to this node that is not admitted.
func (f *filteredDevice) refuse(p *packet.Parsed, raw []byte) {
	if f.refused == nil || p.IPVersion != 6 || len(raw) < ipv6HeaderLen {
		return
	}
	f.mu.Lock()
	self := f.self
	f.mu.Unlock()
	if p.Dst.Addr() == self {
		f.refused.refuse(raw)
	}
}

func match(peer, self netip.Addr, rule *meshv1.Allow) filter.Match {
	src := netip.PrefixFrom(peer, peer.BitLen())
	ports := filter.PortRange{First: uint16(min(rule.GetFirstPort(), 65535)), Last: uint16(min(rule.GetLastPort(), 65535))}
	if ports.First == 0 && ports.Last == 0 {
		ports.Last = 65535
	}
	return filter.Match{
		IPProto:      views.SliceOf(protocols(rule.GetProtocol())),
		Srcs:         []netip.Prefix{src},
		SrcsContains: src.Contains,
		Dsts:         []filter.NetPortRange{{Net: netip.PrefixFrom(self, self.BitLen()), Ports: ports}},
	}
}

func protocols(p meshv1.Allow_Protocol) []ipproto.Proto {
	switch p {
	case meshv1.Allow_ANY:
		return []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv6}
	case meshv1.Allow_TCP:
		return []ipproto.Proto{ipproto.TCP}
	case meshv1.Allow_UDP:
		return []ipproto.Proto{ipproto.UDP}
	case meshv1.Allow_ICMP:
		return []ipproto.Proto{ipproto.ICMPv6}
	default:
		return nil // a protocol of a later version: nothing matches
	}
}

// Read notes what leaves, so that the answers are let in.
func (f *filteredDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := f.Device.Read(bufs, sizes, offset)
	if n > 0 {
		f.out.enter(n)
		rules := f.answers.Load()
		p := f.parsed.Get().(*packet.Parsed)
		for i := range n {
			p.Decode(bufs[i][offset : offset+sizes[i]])
			rules.RunOut(p, 0)
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
	for _, buf := range bufs {
		p.Decode(buf[offset:])
		if !f.admits(p) {
			f.refuse(p, buf[offset:])
			continue
		}
		f.denied.note(p)
		kept = append(kept, buf)
	}
	f.parsed.Put(p)
	if len(kept) > 0 {
		if _, err := f.Device.Write(kept, offset); err != nil {
			return 0, err
		}
	}
	return len(bufs), nil
}
