package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Flow is one direction between two addresses.
type Flow struct {
	// UDP is false for TCP; other protocols are not captured.
	UDP      bool
	Src, Dst netip.AddrPort
}

// Seen is what a capture saw of a flow.
type Seen struct {
	Packets, Bytes int
	// Largest is the largest payload. Nodes hand several packets to the cable in
	// one; see [Node.SinglePackets].
	Largest int
	// Samples are the payloads of its first packets, each cut to 128 bytes.
	Samples [][]byte
}

const (
	maxSamples = 64
	sampleSize = 128
	// captureBuffer is for what arrives while the reader waits for a processor:
	// the usual 208 KiB lost a quarter of a burst of 50,000 packets.
	captureBuffer = 128 << 20
)

// Capture watches all packets on a node's interfaces. A packet that passes
// several, as on a router, counts once on each, and one that a fault drops on its
// way in is seen, too.
type Capture struct {
	file *os.File
	done sync.WaitGroup

	mu    sync.Mutex
	flows map[Flow]*Seen // guarded by mu
}

// Capture starts watching. It ends with Stop, or with the test.
func (n *Node) Capture() *Capture {
	n.lab.t.Helper()
	c := &Capture{flows: make(map[Flow]*Seen)}
	n.lab.must(n.Do(func() error {
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(all))
		if err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer); err != nil {
			return errors.Join(fmt.Errorf("packet socket: %w", err), unix.Close(fd))
		}
		c.file = os.NewFile(uintptr(fd), "capture of "+n.name)
		return nil
	}), "capture on %s", n.name)
	c.done.Go(c.read)
	n.lab.t.Cleanup(func() { c.Stop() })
	return c
}

// drainFor is how long Stop reads on: what was on its way when the test saw its
// effect is in the socket by then.
const drainFor = 20 * time.Millisecond

// Lost returns how many packets came faster than they were read since the last
// call. Call it before Stop.
func (c *Capture) Lost() (int, error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var stats *unix.TpacketStats
	ctlErr := raw.Control(func(fd uintptr) {
		stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	})
	if err := errors.Join(ctlErr, err); err != nil {
		return 0, fmt.Errorf("netlab: capture: %w", err)
	}
	return int(stats.Drops), nil
}

// Stop ends the capture and returns what it saw.
func (c *Capture) Stop() map[Flow]Seen {
	// A second Stop finds the file closed and the reader gone.
	_ = c.file.SetReadDeadline(time.Now().Add(drainFor))
	c.done.Wait()
	_ = c.file.Close()
	return c.Flows()
}

// Flows returns what was seen so far.
func (c *Capture) Flows() map[Flow]Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[Flow]Seen, len(c.flows))
	for f, s := range maps.All(c.flows) {
		out[f] = Seen{s.Packets, s.Bytes, s.Largest, slices.Clone(s.Samples)}
	}
	return out
}

func (c *Capture) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.file.Read(buf)
		if err != nil {
			return
		}
		if flow, payload, ok := parsePacket(buf[:n]); ok {
			c.note(flow, payload)
		}
	}
}

func (c *Capture) note(f Flow, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.flows[f]
	if s == nil {
		s = &Seen{}
		c.flows[f] = s
	}
	s.Packets++
	s.Bytes += len(payload)
	s.Largest = max(s.Largest, len(payload))
	if len(payload) > 0 && len(s.Samples) < maxSamples {
		s.Samples = append(s.Samples, slices.Clone(payload[:min(len(payload), sampleSize)]))
	}
}

// parsePacket reads an IP packet as far as the ports of UDP and TCP.
func parsePacket(b []byte) (f Flow, payload []byte, ok bool) {
	if len(b) < 20 {
		return f, nil, false
	}
	var src, dst netip.Addr
	var proto byte
	var laterFragment bool
	switch b[0] >> 4 {
	case 4:
		laterFragment = binary.BigEndian.Uint16(b[6:])&0x1fff != 0
		src, dst, proto = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9]
		b = b[min(int(b[0]&15)*4, len(b)):]
	case 6:
		if len(b) < 40 {
			return f, nil, false
		}
		src, dst, proto = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6]
		b = b[40:]
	default:
		return f, nil, false
	}
	if laterFragment {
		return f, nil, false // it has no ports
	}
	header := 8
	if proto == unix.IPPROTO_TCP && len(b) >= 20 {
		header = int(b[12]>>4) * 4
	}
	if proto != unix.IPPROTO_UDP && proto != unix.IPPROTO_TCP || len(b) < header || header < 8 {
		return f, nil, false
	}
	f = Flow{
		UDP: proto == unix.IPPROTO_UDP,
		Src: netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)),
		Dst: netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:])),
	}
	return f, b[header:], true
}
