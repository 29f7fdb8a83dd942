package path

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv6"
	"tailscale.com/control/controlknobs"
	"tailscale.com/net/batching"
	"tailscale.com/net/packet"
	"tailscale.com/types/nettype"
)

// socketBuffer is the size asked for each UDP socket's buffers. With the usual
// 208 KiB a sender that bursts loses most of what it sends; 7 MiB holds 50 ms
// of a gigabit.
const socketBuffer = 7 << 20

// batchSize is how many packets one system call may move. The kernel coalesces
// up to 64 datagrams into one (UDP_GRO_CNT_MAX), and a read takes two of them
// apart, so less would overflow.
const batchSize = batching.IdealBatchSize

// joinedMost is how many bytes are joined at most: with headers of Ethernet and a VLAN,
// IPv6 and UDP they stay below the 64 KiB that an interface takes by default (gso_max_size),
// of which the kernel counts the first two as well. One byte more, and the kernel takes the
// datagrams apart before the interface sees them; 46 of our full packets were 10 bytes more.
const joinedMost = 1<<16 - 1 - (14 + 4 + 40 + 8)

// socket is one UDP socket. Reads belong to one goroutine; writes may come
// from many.
type socket struct {
	conn nettype.PacketConn
	// joined moves datagrams that the kernel joins and splits, single many in one
	// system call but each by itself; nil where the platform has none.
	joined, single batching.Conn
	apart          atomic.Bool // single is in use

	msgs []ipv6.Message // scratch of the reader
}

// listen opens a UDP socket of network "udp4" or "udp6". Port 0 picks one. Joins
// says whether the kernel may join and split datagrams.
func listen(network string, port uint16, joins bool) (*socket, error) {
	uc, err := net.ListenUDP(network, &net.UDPAddr{Port: int(port)})
	if err != nil {
		return nil, fmt.Errorf("path: listen on %s port %d: %w", network, port, err)
	}
	growBuffers(uc)
	dontFragment(uc)
	return newSocket(uc, network, joins), nil
}

func newSocket(uc *net.UDPConn, network string, joins bool) *socket {
	var never controlknobs.Knobs
	never.DisableUDPGSO.Store(true)
	never.DisableUDPGRO.Store(true)
	s := &socket{conn: uc}
	s.single, _ = batching.TryUpgradeToConn(uc, network, batchSize, "", &never).(batching.Conn)
	s.joined, _ = batching.TryUpgradeToConn(uc, network, batchSize, "", nil).(batching.Conn)
	s.setOffload(joins)
	s.msgs = make([]ipv6.Message, batchSize)
	for i := range s.msgs {
		s.msgs[i].Buffers = make([][]byte, 1)
		s.msgs[i].OOB = make([]byte, batching.MinControlMessageSize())
	}
	return s
}

// setOffload has the kernel join and split datagrams or not. What a reader waits
// for meanwhile may be lost.
func (s *socket) setOffload(on bool) {
	s.apart.Store(!on)
	if s.joined != nil {
		receiveJoined(s.conn, on)
	}
}

// joins reports whether the kernel joins and splits datagrams.
func (s *socket) joins() bool { return s.joined != nil && !s.apart.Load() }

// batch is what moves many datagrams at once; nil where the platform has none.
func (s *socket) batch() batching.Conn {
	if s.joins() {
		return s.joined
	}
	return s.single
}

func (s *socket) port() uint16 {
	return s.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// read reads at least one packet into bufs and calls each for every one with
// its index in bufs. It returns how many of bufs it looked at.
func (s *socket) read(bufs [][]byte, each func(i, n int, from netip.AddrPort)) (int, error) {
	batch := s.batch()
	if batch == nil {
		n, from, err := s.conn.ReadFromUDPAddrPort(bufs[0])
		if err != nil {
			return 0, err
		}
		each(0, n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		return 1, nil
	}
	msgs := s.msgs[:len(bufs)]
	for i := range msgs {
		msgs[i].Buffers[0] = bufs[i]
		msgs[i].OOB = msgs[i].OOB[:cap(msgs[i].OOB)]
		msgs[i].N = 0
	}
	count, err := batch.ReadBatch(msgs, 0)
	if err != nil {
		return 0, err
	}
	for i := range msgs[:count] {
		if msgs[i].N == 0 {
			each(i, 0, netip.AddrPort{})
			continue
		}
		from := msgs[i].Addr.(*net.UDPAddr).AddrPort()
		each(i, msgs[i].N, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	}
	return count, nil
}

// writeBatch sends bufs to addr, in as few system calls as it can.
func (s *socket) writeBatch(bufs [][]byte, addr netip.AddrPort) error {
	var errs error
	for len(bufs) > 0 {
		n := s.together(bufs)
		if err := s.writeTogether(bufs[:n], addr); err != nil {
			errs = errors.Join(errs, err)
		}
		bufs = bufs[n:]
	}
	return errs
}

// together returns how many of bufs one system call is to send.
func (s *socket) together(bufs [][]byte) int {
	if s.batch() == nil {
		return 1
	}
	if !s.joins() {
		return len(bufs)
	}
	n, bytes := 1, len(bufs[0])
	for n < len(bufs) && bytes+len(bufs[n]) <= joinedMost {
		bytes += len(bufs[n])
		n++
	}
	return n
}

func (s *socket) writeTogether(bufs [][]byte, addr netip.AddrPort) error {
	if len(bufs) == 1 { // as most are on an idle link, where the rest would be cold
		return s.write(bufs[0], addr)
	}
	refused, err := offloadRefused(s.batch().WriteBatchTo(bufs, addr, packet.GeneveHeader{}, 0))
	if err != nil && s.joins() && !errors.Is(err, syscall.ENOBUFS) {
		// A firewall of this machine's may look at the size.
		err = s.single.WriteBatchTo(bufs, addr, packet.GeneveHeader{}, 0)
		refused = err == nil
	}
	if refused {
		s.setOffload(false)
	}
	return err
}

func (s *socket) write(b []byte, addr netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, addr)
	return err
}

func (s *socket) close() error { return s.conn.Close() }
