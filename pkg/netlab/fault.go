package netlab

import (
	"math"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Fault is something that a node does to the packets that pass it, begin on it
// or end on it.
type Fault struct {
	rules [][]expr.Any
}

// BlockUDP drops all UDP.
func BlockUDP() Fault {
	return Fault{[][]expr.Any{append(isProtocol(unix.IPPROTO_UDP), &expr.Verdict{Kind: expr.VerdictDrop})}}
}

// BlockUDPWith drops UDP to and from one address.
func BlockUDPWith(addr netip.Addr) Fault {
	version, sourceOffset := byte(unix.NFPROTO_IPV4), 12
	if addr.Is6() {
		version, sourceOffset = unix.NFPROTO_IPV6, 8
	}
	size := addr.BitLen() / 8
	var f Fault
	for _, offset := range []int{sourceOffset, sourceOffset + size} {
		f.rules = append(f.rules, append(isProtocol(unix.IPPROTO_UDP),
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{version}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: uint32(offset), Len: uint32(size)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addr.AsSlice()},
			&expr.Verdict{Kind: expr.VerdictDrop}))
	}
	return f
}

// ResetOn resets TCP connections over which one end says text at the beginning of a
// packet, as some proxies do that do not know what they carry.
func ResetOn(text string) Fault {
	const headerLen = 32 // with the timestamps that every kernel sends
	return Fault{[][]expr.Any{append(isProtocol(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: headerLen, Len: uint32(len(text))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(text)},
		&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})}}
}

// DropLargeUDP drops UDP datagrams whose payload is larger than size bytes,
// without a word, as some middleboxes do.
func DropLargeUDP(size uint16) Fault {
	const lengthOffset, headerLen = 4, 8
	return Fault{[][]expr.Any{append(isProtocol(unix.IPPROTO_UDP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: lengthOffset, Len: 2},
		&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: binaryutil.BigEndian.PutUint16(size + headerLen)},
		&expr.Verdict{Kind: expr.VerdictDrop})}}
}

// DropWireGuard drops UDP datagrams that begin as WireGuard's messages do, of any
// size, as firewalls that know it do. Other UDP passes.
func DropWireGuard() Fault {
	const headerLen = 8
	var f Fault
	for kind := byte(1); kind <= 4; kind++ { // and three bytes of zero
		f.rules = append(f.rules, append(isProtocol(unix.IPPROTO_UDP),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: headerLen, Len: 4},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{kind, 0, 0, 0}},
			&expr.Verdict{Kind: expr.VerdictDrop}))
	}
	return f
}

// LoseHandshakes loses the first initiations of WireGuard, and the first responses, of each way:
// into the node, out of it, and through.
func LoseHandshakes(initiations, responses uint32) Fault {
	const headerLen = 8
	var f Fault
	for kind, n := range map[byte]uint32{1: initiations, 2: responses} {
		f.rules = append(f.rules, append(isProtocol(unix.IPPROTO_UDP),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: headerLen, Len: 4},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{kind, 0, 0, 0}},
			&expr.Numgen{Register: 1, Modulus: math.MaxInt32, Type: unix.NFT_NG_INCREMENTAL},
			&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint32(n)},
			&expr.Verdict{Kind: expr.VerdictDrop}))
	}
	return f
}

// SwallowTooBig drops the ICMP messages that tell a sender that its packets are
// too large for mtu, and has TCP connections keep to that size by their MSS
// option, as routers do that leave everything else in such a black hole. It is
// for the routers at both ends of the link.
func SwallowTooBig(mtu uint16) Fault {
	var f Fault
	for proto, message := range map[byte][]byte{unix.IPPROTO_ICMP: {3, 4}, unix.IPPROTO_ICMPV6: {2, 0}} {
		f.rules = append(f.rules, append(isProtocol(proto),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: message},
			&expr.Verdict{Kind: expr.VerdictDrop}))
	}
	const (
		flagsOffset, syn = 13, 2
		mssOption        = 2
		headers          = 40 + 20 // of IPv6 and TCP
	)
	f.rules = append(f.rules, append(isProtocol(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flagsOffset, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{syn}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}},
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(mtu - headers)},
		// It is lowered, never raised.
		&expr.Exthdr{SourceRegister: 1, Op: expr.ExthdrOpTcpopt, Type: mssOption, Offset: 2, Len: 2}))
	return f
}

// OnlyTCP drops everything but TCP to or from the given ports, as strict
// company networks do. ICMP stays.
func OnlyTCP(ports ...uint16) Fault {
	var f Fault
	const sourceOffset, destOffset = 0, 2
	for _, port := range ports {
		for _, offset := range []uint32{sourceOffset, destOffset} {
			f.rules = append(f.rules, append(isProtocol(unix.IPPROTO_TCP),
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
				&expr.Verdict{Kind: expr.VerdictAccept}))
		}
	}
	for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		f.rules = append(f.rules, append(isProtocol(proto), &expr.Verdict{Kind: expr.VerdictDrop}))
	}
	return f
}

// Fault makes the node have a fault until heal is called. Healing twice does
// nothing more.
func (n *Node) Fault(f Fault) (heal func()) {
	n.lab.t.Helper()
	n.setFaults(func(all []*Fault) []*Fault { return append(all, &f) })
	return func() {
		n.lab.t.Helper()
		n.setFaults(func(all []*Fault) []*Fault {
			return slices.DeleteFunc(all, func(g *Fault) bool { return g == &f })
		})
	}
}

// setFaults changes the node's faults and brings its rules in line, in one
// step.
func (n *Node) setFaults(change func([]*Fault) []*Fault) {
	n.lab.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = change(n.faults)
	n.lab.must(n.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "faults"}
		c.AddTable(table) // so that there is one to delete
		c.DelTable(table)
		table = c.AddTable(table)
		for name, hook := range map[string]*nftables.ChainHook{
			"input": nftables.ChainHookInput, "output": nftables.ChainHookOutput, "forward": nftables.ChainHookForward,
		} {
			chain := addChain(c, table, name, hook)
			for _, f := range n.faults {
				for _, rule := range f.rules {
					c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule})
				}
			}
		}
		return c.Flush()
	}), "faults of %s", n.name)
}
