package netlab

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Network is what a host can be on: the internet of a [Lab], or the network
// behind a [Router].
type Network interface{ network() *segment }

func (l *Lab) network() *segment    { return l.internet }
func (r *Router) network() *segment { return r.lan }

// MoveTo takes the host to another network, as a laptop is carried from one
// Wi-Fi to another: its old addresses are gone and it has new ones. Faults of the
// host itself stay.
func (h *Host) MoveTo(to Network) {
	h.lab.t.Helper()
	gw := h.uplink.gateway
	link, err := gw.net.LinkByName(h.port)
	h.lab.must(err, "cable of %s", h.name)
	h.lab.must(gw.net.LinkDel(link), "cable of %s", h.name) // and its other end
	h.v4, h.v6 = netip.Addr{}, netip.Addr{}
	to.network().attach(h.Node, "eth0")
}

// JoinNetwork puts the host on a second network by an interface of the given name, as a laptop is
// that has a cable and Wi-Fi. It leads to that network alone: the default route stays, and
// gateway is where another would go by IPv4.
func (h *Host) JoinNetwork(to Network, name string) (gateway netip.Addr) {
	h.lab.t.Helper()
	s := to.network()
	s.plug(h.Node, name)
	return withHost(s.v4, 1).Addr()
}

// SetMTU sets how many bytes a packet of IP may have on the network behind the
// router, for who is on it now. Those know it; to everybody farther away, the
// routers at its edges say what does not fit. A path with a narrow middle is a
// router with a small MTU and another router behind it.
func (r *Router) SetMTU(bytes int) {
	r.lab.t.Helper()
	for _, member := range r.lan.members {
		link, err := member.net.LinkByIndex(member.uplinkIndex)
		r.lab.must(err, "interface of %s", member.name)
		r.lab.must(member.net.LinkSetMTU(link, bytes), "MTU of %s", member.name)
		port, err := r.net.LinkByName(member.port)
		r.lab.must(err, "cable of %s", member.name)
		r.lab.must(r.net.LinkSetMTU(port, bytes), "MTU of the cable of %s", member.name)
	}
	lan, err := r.net.LinkByName("lan")
	r.lab.must(err, "network of %s", r.name)
	r.lab.must(r.net.LinkSetMTU(lan, bytes), "MTU behind %s", r.name)
}

// SinglePackets has the node's interface put its packets on the cable one by one,
// as they would travel on a real one. Without, virtual cables carry up to 64 KiB of
// them in one piece, and captures see that.
func (n *Node) SinglePackets() {
	n.lab.t.Helper()
	link, err := n.net.LinkByIndex(n.uplinkIndex)
	n.lab.must(err, "interface of %s", n.name)
	n.lab.must(n.net.LinkSetGSOMaxSegs(link, 1), "offload of %s", n.name)
}

// rateBurst is how many bytes pass a limited cable at once: enough for one
// packet of the largest offload.
const rateBurst = 64 << 10

// queueFor is how long a packet waits at most for its turn on a limited cable.
const queueFor = 0.05 // seconds

// LimitRate lets no more than so many bits a second through the node's cable,
// each way, until heal is called.
func (n *Node) LimitRate(bitsPerSecond uint64) (heal func()) {
	n.lab.t.Helper()
	bytes := bitsPerSecond / 8
	type end struct {
		net *netlink.Handle
		tbf *netlink.Tbf
	}
	port, err := n.uplink.gateway.net.LinkByName(n.port)
	n.lab.must(err, "cable of %s", n.name)
	var ends []end
	for h, index := range map[*netlink.Handle]int{n.uplink.gateway.net: port.Attrs().Index, n.net: n.uplinkIndex} {
		tbf := &netlink.Tbf{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
			Rate:       bytes, Limit: rateBurst + uint32(float64(bytes)*queueFor),
			Buffer: netlink.Xmittime(bytes, rateBurst),
		}
		n.lab.must(h.QdiscReplace(tbf), "rate of %s", n.name)
		ends = append(ends, end{h, tbf})
	}
	return func() {
		n.lab.t.Helper()
		for _, e := range ends {
			n.lab.must(e.net.QdiscDel(e.tbf), "rate of %s", n.name)
		}
		ends = nil
	}
}

// hasFamily reports whether the node still speaks the family of p.
func (n *Node) hasFamily(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return n.only != unix.AF_INET6
	}
	return n.only != unix.AF_INET
}
