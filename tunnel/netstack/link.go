package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// outBytes bounds what waits for the WireGuard device: 8 ms at 4 Gbit/s.
	// More would be delay that TCP does not need; the packet that does not fit
	// is dropped, as any full router would.
	outBytes = 4 << 20

	// superSize is the largest segment that TCP hands to the link, in bytes:
	// what the length field of an IPv6 header can say. It leaves as many
	// packets of the connection's size.
	superSize = 1<<16 - 1
)

// link is where the stack's packets leave and enter. TCP sees an interface that
// segments and that verifies checksums: outgoing segments are as large as
// superSize, and incoming ones may be.
type link struct {
	mtu     uint32
	flights *flights

	// wake has a signal while there may be something to take. Closed is set by
	// shut alone.
	wake chan struct{}

	mu         sync.Mutex // guards what follows
	dispatcher stack.NetworkDispatcher
	waiting    []*stack.PacketBuffer
	bytes      int // in waiting
	closed     bool
}

func newLink(mtu int) *link {
	return &link{mtu: uint32(mtu), flights: newFlights(), wake: make(chan struct{}, 1)}
}

// WritePackets queues what the stack sends. It never blocks: the stack holds
// locks here that the other direction needs.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return 0, &tcpip.ErrClosedForSend{}
	}
	for _, pkt := range pkts.AsSlice() {
		size := pkt.Size()
		if l.bytes+size > outBytes {
			break
		}
		l.bytes += size
		l.flights.leaving(pkt)
		l.waiting = append(l.waiting, pkt.IncRef())
		n++
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return n, nil
}

// send queues a packet that is not the stack's own.
func (l *link) send(pkt *stack.PacketBuffer) {
	l.mu.Lock()
	if size := pkt.Size(); !l.closed && l.bytes+size <= outBytes {
		l.bytes += size
		l.waiting = append(l.waiting, pkt.IncRef())
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take moves what waits to the end of into.
func (l *link) take(into []*stack.PacketBuffer) []*stack.PacketBuffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	into = append(into, l.waiting...)
	clear(l.waiting)
	l.waiting, l.bytes = l.waiting[:0], 0
	return into
}

// shut drops what waits and takes no more.
func (l *link) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, pkt := range l.waiting {
		pkt.DecRef()
	}
	l.waiting, l.bytes, l.closed = nil, 0, true
}

// deliver hands a packet to the stack.
func (l *link) deliver(pkt *stack.PacketBuffer) {
	l.mu.Lock()
	d := l.dispatcher
	l.mu.Unlock()
	if d != nil {
		d.DeliverNetworkPacket(ipv6.ProtocolNumber, pkt)
	}
}

// Attach gives the link the stack above it.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

// IsAttached reports whether there is a stack above.
func (l *link) IsAttached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dispatcher != nil
}

// Capabilities tells that checksums of what comes need no look: WireGuard has
// proven that it is what the peer sent.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// SupportedGSO tells that the link segments; see split.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// GSOMaxSize is how large a segment may be.
func (l *link) GSOMaxSize() uint32 { return superSize }

// MTU is the size of the largest packet that is not TCP.
func (l *link) MTU() uint32 { return l.mtu }

// What a link without addresses and headers has to say.

func (l *link) SetMTU(uint32)                                {}
func (l *link) MaxHeaderLength() uint16                      { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress               { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)             {}
func (l *link) Wait()                                        {}
func (l *link) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)                {}
func (l *link) ParseHeader(*stack.PacketBuffer) (known bool) { return true }
func (l *link) Close()                                       {}
func (l *link) SetOnCloseAction(func())                      {}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)
