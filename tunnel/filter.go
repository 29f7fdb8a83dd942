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
// use its own. So a rule about an address is a rule about a peer.
type filteredDevice struct {
	tun.Device
	rules  atomic.Pointer[filter.Filter]
	parsed sync.Pool // of *packet.Parsed

	// out and in meter the packets between this device and the sockets.
	out, in *meter
}

func newFilteredDevice(dev tun.Device) *filteredDevice {
	f := &filteredDevice{Device: dev, parsed: sync.Pool{New: func() any { return new(packet.Parsed) }}, out: newMeter(maxOutbound), in: newMeter(maxInbound)}
	f.rules.Store(filter.NewAllowNone(logger.Discard, new(netipx.IPSet)))
	return f
}

// setRules replaces the policy: what each peer, by its address, may send to
// self. Flows that this node began go on.
func (f *filteredDevice) setRules(self netip.Addr, allow map[netip.Addr][]*meshv1.Allow) {
	var matches []filter.Match
	for peer, rules := range allow {
		for _, rule := range rules {
			matches = append(matches, match(peer, self, rule))
		}
	}
	var local netipx.IPSetBuilder
	local.Add(self)
	localSet, err := local.IPSet()
	if err != nil {
		localSet = new(netipx.IPSet) // an invalid address admits nothing
	}
	f.rules.Store(filter.New(matches, nil, localSet, new(netipx.IPSet), f.rules.Load(), logger.Discard))
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
		rules := f.rules.Load()
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
	rules := f.rules.Load()
	p := f.parsed.Get().(*packet.Parsed)
	kept := bufs[:0]
	for _, buf := range bufs {
		p.Decode(buf[offset:])
		if rules.RunIn(p, 0) == filter.Accept {
			kept = append(kept, buf)
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
