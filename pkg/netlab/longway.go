package netlab

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// LongWay is what a long line does to datagrams.
type LongWay struct {
	// Delay is how long a datagram is on its way. Zero is no time.
	Delay time.Duration
	// Rate is how many bits a second the line carries; zero is any.
	Rate int64
	// Queue is for how long datagrams may wait for the line; those that would wait
	// longer are dropped. Zero means 50 ms.
	Queue time.Duration
}

// Join joins two UDP addresses by a line through the host, the same in both
// directions. What a sends to near comes to b from far, and the other way round.
// It ends with the test.
func (h *Host) Join(a, b netip.AddrPort, line LongWay) (near, far netip.AddrPort) {
	h.lab.t.Helper()
	if line.Queue == 0 {
		line.Queue = 50 * time.Millisecond
	}
	var socks [2]*net.UDPConn
	for i := range socks {
		h.lab.must(h.Do(func() (err error) {
			socks[i], err = net.ListenUDP("udp4", nil)
			return err
		}), "line through %s", h.name)
		h.lab.must(forceBuffers(socks[i]), "line through %s", h.name)
	}
	var done sync.WaitGroup
	done.Go(func() { line.carry(socks[0], socks[1], b) })
	done.Go(func() { line.carry(socks[1], socks[0], a) })
	h.lab.t.Cleanup(func() {
		socks[0].Close()
		socks[1].Close()
		done.Wait()
	})
	at := func(c *net.UDPConn) netip.AddrPort {
		return netip.AddrPortFrom(h.v4, c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	}
	return at(socks[0]), at(socks[1])
}

// datagram is one on its way.
type datagram struct {
	due  time.Time
	data []byte
}

// carry moves datagrams from one socket to an address until the socket is closed.
func (l LongWay) carry(from, by *net.UDPConn, to netip.AddrPort) {
	const most = 1 << 16 // on the way: more than any test's line holds
	way := make(chan datagram, most)
	var sender sync.WaitGroup
	defer sender.Wait()
	defer close(way)
	sender.Go(func() {
		for d := range way {
			time.Sleep(time.Until(d.due))
			_, _ = by.WriteToUDPAddrPort(d.data, to) // lost, as on any line
		}
	})
	buf := make([]byte, most)
	var free time.Time // when the line is
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if free.Sub(now) > l.Queue {
			continue
		}
		if l.Rate > 0 {
			const bits = 8
			free = free.Add(time.Duration(int64(n) * bits * int64(time.Second) / l.Rate))
		}
		select {
		case way <- datagram{free.Add(l.Delay), append([]byte(nil), buf[:n]...)}:
		default:
		}
	}
}

// lineBuffer is the size of a line's socket buffers in bytes: what waits there
// counts as part of nothing.
const lineBuffer = 8 << 20

func forceBuffers(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		for _, opt := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
			set = errors.Join(set, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, opt, lineBuffer))
		}
	}); err != nil {
		return err
	}
	return set
}
