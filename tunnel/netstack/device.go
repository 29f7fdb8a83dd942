package netstack

import (
	"os"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
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
// and fit into bufs at offset. One goroutine may call it.
func (s *Stack) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		n := 0
		for n < len(bufs) && s.nextOut() {
			sizes[n] = s.split.next(bufs[n][offset:])
			n++
		}
		if n > 0 {
			return n, nil
		}
		select {
		case <-s.link.wake:
		case <-s.ctx.Done():
			return 0, os.ErrClosed
		}
	}
}

// Send has Read return a packet as if the stack had sent it.
func (s *Stack) Send(packet []byte) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	defer pkt.DecRef()
	s.link.send(pkt)
}

// nextOut has the splitter hold a packet. It reports false when none waits.
func (s *Stack) nextOut() bool {
	if s.split.pkt != nil {
		return true
	}
	if s.outAt == len(s.out) {
		clear(s.out)
		s.out, s.outAt = s.link.take(s.out[:0]), 0
		if len(s.out) == 0 {
			return false
		}
	}
	s.outAt += s.split.begin(s.out[s.outAt:])
	return true
}

// Write hands the packets in bufs to the stack. Other than IPv6 is dropped.
func (s *Stack) Write(bufs [][]byte, offset int) (int, error) {
	for at := 0; at < len(bufs); {
		if packet := bufs[at][offset:]; len(packet) < ipv6Len || packet[0]>>4 != 6 {
			at++
			continue
		}
		n, payload := run(bufs[at:], offset)
		if s.link.flights.arriving(bufs[at][offset:]) {
			s.restart(bufs[at][offset:])
		}
		pkt := join(bufs[at:at+n], offset, payload)
		s.link.deliver(pkt)
		pkt.DecRef()
		at += n
	}
	return len(bufs), nil
}

// Close ends the stack and every connection through it.
func (s *Stack) Close() error {
	s.closeOnce.Do(func() {
		s.cancel()
		s.link.shut()
		s.stack.RemoveNIC(nicID)
		s.stack.Destroy()
		close(s.events)
	})
	return nil
}
