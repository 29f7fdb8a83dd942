package netstack

import (
	"os"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// batch is how many packets Read returns at most; as many as the WireGuard
// device seals in one go.
const batch = 128

// File returns nil: there is no device file.
func (s *Stack) File() *os.File { return nil }

// Name returns "netstack".
func (s *Stack) Name() (string, error) { return "netstack", nil }

// MTU returns the largest packet in bytes.
func (s *Stack) MTU() (int, error) { return s.mtu, nil }

// Events returns the channel of the device's one event: up.
func (s *Stack) Events() <-chan tun.Event { return s.events }

// BatchSize returns the most packets that one Read or Write moves.
func (s *Stack) BatchSize() int { return batch }

// Read waits for packets that the stack sends and copies as many as there are
// and fit into bufs at offset.
func (s *Stack) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	pkt := s.link.ReadContext(s.ctx)
	if pkt == nil {
		return 0, os.ErrClosed
	}
	for n := 0; ; {
		size := offset
		for _, part := range pkt.AsSlices() {
			size += copy(bufs[n][size:], part)
		}
		pkt.DecRef()
		sizes[n] = size - offset
		n++
		if n == len(bufs) {
			return n, nil
		}
		if pkt = s.link.Read(); pkt == nil {
			return n, nil
		}
	}
}

// Write hands the packets in bufs to the stack. Other than IPv6 is dropped.
func (s *Stack) Write(bufs [][]byte, offset int) (int, error) {
	for _, buf := range bufs {
		packet := buf[offset:]
		if len(packet) == 0 || packet[0]>>4 != 6 {
			continue
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
		s.link.InjectInbound(ipv6.ProtocolNumber, pkt)
		pkt.DecRef()
	}
	return len(bufs), nil
}

// Close ends the stack and every connection through it.
func (s *Stack) Close() error {
	s.closeOnce.Do(func() {
		s.cancel()
		s.stack.RemoveNIC(nicID)
		s.stack.Destroy()
		close(s.events)
	})
	return nil
}
