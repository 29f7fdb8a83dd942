package netlab

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NAT says how a router translates IPv4. IPv6 is routed and never translated;
// all kinds but NoNAT let no flow of it in that was not begun inside.
type NAT uint8

const (
	// NoNAT routes, and lets everything in.
	NoNAT NAT = iota
	// FullCone maps each inner address and port to one outer port and lets
	// everybody in through it. It serves the first host behind it.
	FullCone
	// PortRestricted maps as FullCone does, and lets in only who was sent to
	// before, by address and port: what most home routers do.
	PortRestricted
	// Hard maps each destination to another, random port, and filters as
	// PortRestricted does: what many companies and carriers do.
	Hard
)

func (n NAT) String() string {
	return [...]string{"none", "full-cone", "port-restricted", "hard"}[n]
}

// Router joins a network of its own to another. Its Node is the machine
// itself, with its address on the outer network.
type Router struct {
	*Node
	lan *segment
	nat NAT
}

// router adds a router to the segment.
func (s *segment) router(name string, nat NAT) *Router {
	lab := s.gateway.lab
	lab.t.Helper()
	lab.lans++
	n := lab.node(name)
	n.forward()
	s.attach(n, "wan")
	v4 := netip.MustParsePrefix(fmt.Sprintf("192.168.%d.0/24", lab.lans))
	v6 := netip.MustParsePrefix(fmt.Sprintf("2001:db8:1:%x::/64", lab.lans))
	r := &Router{Node: n, lan: n.segment(v4, v6), nat: nat}
	// IPv6 is routed for all kinds, and on every network on the way.
	for at, via := s, n; at != nil; at, via = at.gateway.uplink, at.gateway {
		at.gateway.route(v6, via.v6)
		if nat == NoNAT {
			at.gateway.route(v4, via.v4)
		}
	}
	lab.must(n.Do(r.translate), "rules of %s", name)
	return r
}

func (n *Node) route(dst netip.Prefix, via netip.Addr) {
	n.lab.t.Helper()
	d, err := netlink.ParseIPNet(dst.String())
	n.lab.must(err, "route to %v on %s", dst, n.name)
	n.lab.must(n.net.RouteAdd(&netlink.Route{Dst: d, Gw: via.AsSlice()}), "route to %v on %s", dst, n.name)
}

// Host adds a host behind the router.
func (r *Router) Host(name string) *Host {
	r.lab.t.Helper()
	return r.lan.host(name)
}

// Router adds a router behind the router.
func (r *Router) Router(name string, nat NAT) *Router {
	r.lab.t.Helper()
	return r.lan.router(name, nat)
}

// ForgetFlows drops the router's connection table: mappings are made anew, as
// after a restart.
func (r *Router) ForgetFlows() {
	r.lab.t.Helper()
	r.lab.must(r.net.ConntrackTableFlush(netlink.ConntrackTable), "flows of %s", r.name)
}

// Hijack has the router take packets to an address for its own until giveUp is called:
// programs on it answer in the place of whoever has it, as captive portals do.
func (r *Router) Hijack(addr netip.Addr) (giveUp func()) {
	r.lab.t.Helper()
	lo, err := r.net.LinkByName("lo")
	r.lab.must(err, "loopback of %s", r.name)
	whole := netip.PrefixFrom(addr, addr.BitLen())
	r.addAddr(lo, whole)
	return func() {
		r.lab.t.Helper()
		a, err := netlink.ParseAddr(whole.String())
		r.lab.must(err, "address %v of %s", whole, r.name)
		r.lab.must(r.net.AddrDel(lo, a), "address %v of %s", whole, r.name)
	}
}

// translate sets the rules of the router's kind. It runs on the router.
func (r *Router) translate() error {
	if r.nat == NoNAT {
		return nil
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	nat := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "nat"})
	post := c.AddChain(&nftables.Chain{
		Name: "post", Table: nat, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	c.AddRule(&nftables.Rule{Table: nat, Chain: post, Exprs: append(ifname(expr.MetaKeyOIFNAME, "wan"),
		&expr.Masq{FullyRandom: r.nat == Hard})})

	filter := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"})
	input := addChain(c, filter, "input", nftables.ChainHookInput)
	forward := addChain(c, filter, "forward", nftables.ChainHookForward)
	c.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: acceptMapped()})
	if r.nat == FullCone {
		r.openCone(c, nat)
		c.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: append(isIPv6(), dropNewFromOutside()...)})
	} else {
		c.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: dropNewFromOutside()})
	}
	// A packet that is for nobody inside must not make a flow on the router
	// itself: it would take the port that a mapping is about to need.
	c.AddRule(&nftables.Rule{Table: filter, Chain: input, Exprs: dropNewFromOutside()})
	return c.Flush()
}

// openCone sends whatever comes in over UDP to the first host.
func (r *Router) openCone(c *nftables.Conn, nat *nftables.Table) {
	pre := c.AddChain(&nftables.Chain{
		Name: "pre", Table: nat, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	first := withHost(r.lan.v4, firstHost).Addr().As4()
	exprs := append(ifname(expr.MetaKeyIIFNAME, "wan"), isProtocol(unix.IPPROTO_UDP)...)
	exprs = append(exprs,
		&expr.Immediate{Register: 1, Data: first[:]},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1})
	c.AddRule(&nftables.Rule{Table: nat, Chain: pre, Exprs: exprs})
}

// addChain adds a filter chain that accepts what no rule takes.
func addChain(c *nftables.Conn, t *nftables.Table, name string, hook *nftables.ChainHook) *nftables.Chain {
	return c.AddChain(&nftables.Chain{
		Name: name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter,
	})
}

// ifname matches the interface that a packet comes in or goes out by.
func ifname(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded},
	}
}

// isIPv6 matches all IPv6.
func isIPv6() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV6}},
	}
}

// isProtocol matches the protocol inside IP.
func isProtocol(proto byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
	}
}

// acceptMapped accepts what came to an outer port that is mapped to a host.
func acceptMapped() []expr.Any {
	const mapped = 1 << 5 // IPS_DST_NAT
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(mapped), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// dropNewFromOutside drops what belongs to no flow that began inside.
func dropNewFromOutside() []expr.Any {
	states := expr.CtStateBitNEW | expr.CtStateBitINVALID
	return append(ifname(expr.MetaKeyIIFNAME, "wan"),
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(uint32(states)), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
		&expr.Verdict{Kind: expr.VerdictDrop})
}
