package netstack

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// DialUDP returns a UDP socket connected to a port.
func (s *Stack) DialUDP(to netip.AddrPort) (net.Conn, error) {
	conn, err := s.newUDP(0)
	if err == nil {
		err = tcpipError(conn.ep.Connect(s.fullAddress(to)))
	}
	if err != nil {
		return nil, fmt.Errorf("netstack: dial UDP %v: %w", to, err)
	}
	return conn, nil
}

// ListenUDP listens on a UDP port of the stack's address; zero picks one.
func (s *Stack) ListenUDP(port uint16) (net.PacketConn, error) {
	conn, err := s.newUDP(port)
	if err != nil {
		return nil, fmt.Errorf("netstack: listen on UDP port %d: %w", port, err)
	}
	return conn, nil
}

// udpConn is a UDP socket whose writers are always woken. Those of gonet.UDPConn
// begin to listen only after they were told to wait: what was sent meanwhile may
// have been the last that could wake them.
type udpConn struct {
	*gonet.UDPConn
	ep       tcpip.Endpoint
	writable chan struct{}
	writeBy  atomic.Pointer[time.Time]
}

func (s *Stack) newUDP(port uint16) (*udpConn, error) {
	var queue waiter.Queue
	ep, tcpErr := s.stack.NewEndpoint(udp.ProtocolNumber, ipv6.ProtocolNumber, &queue)
	if tcpErr != nil {
		return nil, tcpipError(tcpErr)
	}
	entry, writable := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp)
	queue.EventRegister(&entry) // as long as there is a queue
	if tcpErr := ep.Bind(tcpip.FullAddress{NIC: nicID, Port: port}); tcpErr != nil {
		ep.Close()
		return nil, tcpipError(tcpErr)
	}
	return &udpConn{UDPConn: gonet.NewUDPConn(&queue, ep), ep: ep, writable: writable}, nil
}

// Write sends a datagram to where the socket is connected to.
func (c *udpConn) Write(b []byte) (int, error) { return c.write(b, tcpip.WriteOptions{}) }

// WriteTo sends a datagram.
func (c *udpConn) WriteTo(b []byte, to net.Addr) (int, error) {
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: net.InvalidAddrError("no UDP address")}
	}
	return c.write(b, tcpip.WriteOptions{To: &tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFromSlice(addr.IP.To16()), Port: uint16(addr.Port)}})
}

func (c *udpConn) write(b []byte, opts tcpip.WriteOptions) (int, error) {
	var payload bytes.Reader
	for {
		payload.Reset(b)
		n, tcpErr := c.ep.Write(&payload, opts)
		if _, full := tcpErr.(*tcpip.ErrWouldBlock); !full {
			c.wakeWriter() // what woke this one may be enough for the next
			if tcpErr != nil {
				return 0, &net.OpError{Op: "write", Net: "udp", Source: c.LocalAddr(), Err: tcpipError(tcpErr)}
			}
			return int(n), nil
		}
		if err := c.awaitRoom(); err != nil {
			return 0, &net.OpError{Op: "write", Net: "udp", Source: c.LocalAddr(), Err: err}
		}
	}
}

// awaitRoom waits until there may be room for a datagram, or the deadline.
func (c *udpConn) awaitRoom() error {
	by := c.writeBy.Load()
	if by == nil || by.IsZero() {
		<-c.writable
		return nil
	}
	timer := time.NewTimer(time.Until(*by))
	defer timer.Stop()
	select {
	case <-c.writable:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

func (c *udpConn) wakeWriter() {
	select {
	case c.writable <- struct{}{}:
	default:
	}
}

// SetWriteDeadline bounds how long writers wait for room.
func (c *udpConn) SetWriteDeadline(t time.Time) error {
	c.writeBy.Store(&t)
	c.wakeWriter() // to see it
	return nil
}

// SetDeadline sets both deadlines.
func (c *udpConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func tcpipError(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.String())
}
