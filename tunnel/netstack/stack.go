// Package netstack is TCP, UDP and ICMP in the process: a gVisor stack behind
// a tun.Device, for nodes that have no interface of their own.
//
// A [Stack] is both ends of that device. The WireGuard device reads and writes
// packets through its tun.Device methods; the program dials, listens and pings
// with the others. Give it an address with SetAddress before either. All
// methods may be called concurrently. Closing it as a tun.Device, which the
// WireGuard device does when it is closed, ends every connection.
package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	nicID = 1

	// Socket buffers: the defaults suit a LAN, the maximum holds a gigabit at
	// 60 ms. gVisor moves between them as the round trip asks. What is to be sent
	// is in memory before it has to be, so that buffer starts smaller: ten
	// connections to peers that are slow would hold 10 MiB.
	bufMin, bufMax           = 4 << 10, 8 << 20
	recvDefault, sendDefault = 1 << 20, 256 << 10

	// againWithin is the longest that TCP waits before it sends again what nobody
	// acknowledges. Doubled each time up to two minutes, a connection stood still for as
	// long after a gap as the gap was. A way of ours takes no second (see path), so that
	// nothing is sent again that is only late.
	againWithin = 2 * time.Second
	// givesUp is for how long it does that, as by default. Whoever closes a laptop for a
	// moment keeps what was open.
	givesUp = 15 * time.Minute

	congestionControl tcpip.CongestionControlOption = "cubic"

	// maxOpening bounds connections that a peer has begun and nobody has
	// accepted yet.
	maxOpening = 1024
)

// Stack is a userspace network stack with one interface.
type Stack struct {
	stack  *stack.Stack
	link   *link
	mtu    int
	events chan tun.Event

	ctx       context.Context // done when closed
	cancel    context.CancelFunc
	closeOnce sync.Once

	// What follows belongs to the one goroutine that reads: packets taken from
	// the link, of which those before outAt are done, and the one in hand.
	out   []*stack.PacketBuffer
	outAt int
	split splitter

	mu   sync.Mutex
	addr netip.Addr // guarded by mu
}

// New makes a stack whose packets are at most mtu bytes.
func New(mtu int) (*Stack, error) {
	s := &Stack{
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol6},
			HandleLocal:        true,
		}),
		link:   newLink(mtu),
		mtu:    mtu,
		events: make(chan tun.Event, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.tune(); err != nil {
		return nil, fmt.Errorf("netstack: %w", err)
	}
	if err := s.stack.CreateNIC(nicID, s.link); err != nil {
		return nil, fmt.Errorf("netstack: create interface: %v", err)
	}
	s.stack.AddRoute(tcpip.Route{Destination: header.IPv6EmptySubnet, NIC: nicID})
	s.events <- tun.EventUp
	return s, nil
}

// tune sets the TCP options that gVisor leaves off or small, and loss recovery by
// RACK, which is on by default, off: what that does to a transfer after a time-out
// is in TestTransfersSurviveALostRepetition. It was so still in gVisor of September 2026.
func (s *Stack) tune() error {
	sack := tcpip.TCPSACKEnabled(true)
	noRACK := tcpip.TCPRecovery(0)
	cubic := congestionControl
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	recv := tcpip.TCPReceiveBufferSizeRangeOption{Min: bufMin, Default: recvDefault, Max: bufMax}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: bufMin, Default: sendDefault, Max: bufMax}
	within, retries := tcpip.TCPMaxRTOOption(againWithin), tcpip.TCPMaxRetriesOption(givesUp/againWithin)
	for _, opt := range []tcpip.SettableTransportProtocolOption{&sack, &noRACK, &cubic, &moderate, &recv, &send, &within, &retries} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, opt); err != nil {
			return fmt.Errorf("set %T: %v", opt, err)
		}
	}
	return nil
}

// SetAddress gives the stack its address, in place of an earlier one.
func (s *Stack) SetAddress(addr netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if addr == s.addr {
		return nil
	}
	if s.addr.IsValid() {
		if err := s.stack.RemoveAddress(nicID, toTCPIP(s.addr)); err != nil {
			return fmt.Errorf("netstack: remove address %v: %v", s.addr, err)
		}
	}
	proto := tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: toTCPIP(addr).WithPrefix()}
	if err := s.stack.AddProtocolAddress(nicID, proto, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("netstack: add address %v: %v", addr, err)
	}
	s.addr = addr
	return nil
}

func toTCPIP(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func (s *Stack) fullAddress(to netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: toTCPIP(to.Addr()), Port: to.Port()}
}

// DialTCP connects to a TCP port. The connection has CloseWrite.
func (s *Stack) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	conn, err := gonet.DialContextTCP(ctx, s.stack, s.fullAddress(to), ipv6.ProtocolNumber)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("netstack: dial TCP %v: %w", to, err)
	}
	return conn, nil
}

// ListenTCP listens on a port of the stack's address; zero picks one.
func (s *Stack) ListenTCP(port uint16) (net.Listener, error) {
	l, err := gonet.ListenTCP(s.stack, tcpip.FullAddress{NIC: nicID, Port: port}, ipv6.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("netstack: listen on TCP port %d: %w", port, err)
	}
	return l, nil
}

// ErrRefused makes an open function of HandleTCP refuse a connection without
// saying why.
var ErrRefused = errors.New("connection refused")

// HandleTCP takes the connections to ports that nobody listens on. For each,
// open is called in a goroutine of its own: an error answers with a reset,
// else the connection is accepted and serve is called with it, to close it.
func (s *Stack) HandleTCP(open func(ctx context.Context, port uint16) (serve func(net.Conn), err error)) {
	fwd := tcp.NewForwarder(s.stack, 0, maxOpening, func(r *tcp.ForwarderRequest) {
		serve, err := open(s.ctx, r.ID().LocalPort)
		if err != nil {
			r.Complete(true)
			return
		}
		var wq waiter.Queue
		ep, tcpErr := r.CreateEndpoint(&wq)
		if tcpErr != nil {
			r.Complete(true)
			return
		}
		r.Complete(false)
		conn := gonet.NewTCPConn(&wq, ep)
		serve(conn)
	})
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, fwd.HandlePacket)
}

var _ tun.Device = (*Stack)(nil)
