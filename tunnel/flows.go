package tunnel

import (
	"encoding/binary"
	"sync"

	"tailscale.com/net/packet"
	"tailscale.com/types/ipproto"
)

const (
	// maxConnections bounds the TCP connections that a node is known to have opened, at
	// some 80 bytes each: more than the ports that a machine opens them from. Beyond, the
	// closed ones are forgotten first, and then those silent for longest.
	maxConnections = 32 << 10

	// maxExchanges bounds what is known of UDP and ping: those silent for longest are
	// forgotten, and the next packet begins another.
	maxExchanges = 16 << 10
)

// flow is a conversation with a peer, as this node names it. Of a ping, peerPort is the
// identifier.
type flow struct {
	peer                [16]byte
	peerPort, localPort uint16
	proto               ipproto.Proto
}

// incoming is the flow of a packet from a peer, outgoing that of one to it.

func incoming(p *packet.Parsed) flow {
	return flow{p.Src.Addr().As16(), p.Src.Port(), p.Dst.Port(), p.IPProto}
}

func outgoing(p *packet.Parsed) flow {
	return flow{p.Dst.Addr().As16(), p.Dst.Port(), p.Src.Port(), p.IPProto}
}

// echo is the flow of an echo request or its reply with a peer.
func echo(peer [16]byte, p *packet.Parsed) flow {
	return flow{peer: peer, peerPort: binary.BigEndian.Uint16(p.Transport()[4:]), proto: ipproto.ICMPv6}
}

// flowState is what is known of a flow.
type flowState uint8

const (
	// theirs says that the peer began it.
	theirs flowState = 1 << iota
	// finIn and finOut are the ends of a TCP connection that have sent all.
	finIn
	finOut
	// over is a connection that both ends have closed, or one has reset.
	over
)

// flows remember who began the flows that there are, or were of late. They are bounded,
// and kept in the order of their use. Make them with newFlows; their methods may be called
// concurrently.
type flows struct {
	max int

	mu sync.Mutex // guards what follows
	at map[flow]int32
	// all is a ring, from the one used last to the one that is forgotten next. Its first
	// element is none, but the ring's beginning and end.
	all []known
}

// known is a flow and its neighbours in the ring.
type known struct {
	flow
	state      flowState
	prev, next int32
}

func newFlows(max int) *flows {
	return &flows{max: max, at: make(map[flow]int32), all: make([]known, 1)}
}

// begin notes a flow that one end begins, anew if there was one.
func (f *flows) begin(which flow, state flowState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, _ := f.placeLocked(which)
	f.all[i].state = state
	f.moveLocked(i, 0)
}

// joinOrBegin returns who began a flow: whoever sends this packet, if there is none yet.
func (f *flows) joinOrBegin(which flow, sender flowState) flowState {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, was := f.placeLocked(which)
	if !was {
		f.all[i].state = sender
	}
	f.moveLocked(i, 0)
	return f.all[i].state
}

// placeLocked returns which element is a flow's, and whether it was before.
func (f *flows) placeLocked(which flow) (i int32, was bool) {
	if i, was = f.at[which]; !was {
		i = f.roomLocked()
		f.at[which] = i
		f.all[i].flow = which
	}
	return i, was
}

// ours reports whether this node began a flow.
func (f *flows) ours(which flow) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.at[which]
	if !ok || f.all[i].state&theirs != 0 {
		return false
	}
	if f.all[i].state&over == 0 {
		f.moveLocked(i, 0)
	}
	return true
}

// closing notes a segment that ends a connection, or one half of it: fin is which, or over.
// It is the first to be forgotten then, but not yet: the other end may say the last again.
func (f *flows) closing(which flow, fin flowState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.at[which]
	if !ok {
		return
	}
	k := &f.all[i]
	if k.state |= fin; k.state&(finIn|finOut) == finIn|finOut {
		k.state |= over
	}
	if k.state&over != 0 {
		f.moveLocked(i, f.all[0].prev)
	}
}

// roomLocked returns an element for another flow, and forgets one if there are too many.
func (f *flows) roomLocked() int32 {
	if len(f.all) <= f.max {
		f.all = append(f.all, known{})
		i := int32(len(f.all) - 1)
		f.all[i].prev, f.all[i].next = i, i
		return i
	}
	last := f.all[0].prev
	delete(f.at, f.all[last].flow)
	return last
}

// moveLocked moves an element behind another one of the ring.
func (f *flows) moveLocked(i, behind int32) {
	if i == behind || f.all[behind].next == i {
		return
	}
	k := &f.all[i]
	f.all[k.prev].next, f.all[k.next].prev = k.next, k.prev
	k.prev, k.next = behind, f.all[behind].next
	f.all[k.prev].next, f.all[k.next].prev = i, i
}
