package derp

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// udpBuffer is how much may wait in a socket, in bytes: it is what a burst needs
	// while the relay is not scheduled.
	udpBuffer = 7 << 20

	// atOnce is how many datagrams, joined to 64 KiB each by the kernel where it can,
	// are read and written in one call.
	atOnce = 16

	// spare is the message for what has to go one by one.
	spare = atOnce

	// shortCall is how many bytes are copied in a call that Go's scheduler is not told
	// of, which takes some microseconds and never waits. When it is told, on a machine
	// that has been idle, it wakes its monitor up on another core, and that costs each
	// datagram 100 µs.
	shortCall = 16 << 10

	// shortOnce is how many datagrams, joined or not, such a call reads at the most: two
	// copy 128 KiB at the worst, and tell that more are there.
	shortOnce = 2
)

// udpSocket is a socket of a UDP relay. One goroutine may use it at a time.
type udpSocket struct {
	conn *net.UDPConn
	raw  syscall.RawConn

	in       [atOnce]message
	inHeads  [atOnce]mmsghdr
	reading  call
	tryRead  func(fd uintptr) bool
	got      []bundle
	overflow uint32

	out      [atOnce + 1]message
	outHeads [atOnce + 1]mmsghdr
	writing  call
	tryWrite func(fd uintptr) bool

	joins bool // the kernel takes joined datagrams
	v6    bool // its addresses are IPv6's, and IPv4's in those
}

// message is what a header of the kernel's points to.
type message struct {
	name    unix.RawSockaddrInet6
	vec     unix.Iovec
	buf     []byte
	control [64]byte
}

// mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	head unix.Msghdr
	n    uint32
}

// listenUDPRelay opens so many sockets on the port of an address, among which the kernel
// deals out who sends to it. The first takes the port while nobody may share it, so that
// it is no other relay's.
func listenUDPRelay(addr string, n int) ([]*udpSocket, error) {
	port, err := portIn(addr)
	if err != nil {
		return nil, err
	}
	share := func(c syscall.RawConn) error {
		return control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}
	var conf net.ListenConfig
	var all []*udpSocket
	for range n {
		conn, err := conf.ListenPacket(context.Background(), "udp", ":"+strconv.Itoa(int(port)))
		if err == nil {
			var s *udpSocket
			if s, err = newUDPSocket(conn.(*net.UDPConn)); err == nil {
				if all = append(all, s); len(all) == 1 {
					port, err = portOf(s.conn), share(s.raw)
					conf.Control = func(_, _ string, c syscall.RawConn) error { return share(c) }
				}
				if err == nil {
					continue
				}
			} else {
				err = errors.Join(err, conn.Close())
			}
		}
		for _, s := range all {
			err = errors.Join(err, s.conn.Close())
		}
		return nil, err
	}
	return all, nil
}

func control(c syscall.RawConn, do func(fd int) error) error {
	var done error
	if err := c.Control(func(fd uintptr) { done = do(int(fd)) }); err != nil {
		return err
	}
	return done
}

func newUDPSocket(conn *net.UDPConn) (*udpSocket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &udpSocket{conn: conn, raw: raw}
	err = control(raw, func(fd int) error {
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil {
			return err
		}
		s.v6 = domain == unix.AF_INET6
		for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], udpBuffer) != nil {
				_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], udpBuffer) // as much as it may
			}
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) // else nothing is counted
		_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)        // else they come one by one
		_, err = unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
		s.joins = err == nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.reading, s.writing = call{number: unix.SYS_RECVMMSG, heads: s.inHeads[:], short: true}, call{number: unix.SYS_SENDMMSG}
	s.tryRead, s.tryWrite = s.reading.try, s.writing.try
	for i := range s.in {
		m := &s.in[i]
		m.buf = make([]byte, 1<<16)
		s.inHeads[i].point(m, m.buf)
	}
	return s, nil
}

// point has a header point to a message's parts.
func (h *mmsghdr) point(m *message, data []byte) {
	if len(data) > 0 {
		m.vec.Base = &data[0]
	}
	m.vec.SetLen(len(data))
	h.head.Name, h.head.Namelen = (*byte)(unsafe.Pointer(&m.name)), uint32(unsafe.Sizeof(m.name))
	h.head.Iov, h.head.Control = &m.vec, &m.control[0]
	h.head.SetIovlen(1)
	h.head.SetControllen(len(m.control))
}

// call is one of the calls for several messages, which are read or written by it at
// once or not at all. A short one does not tell Go's scheduler.
type call struct {
	number uintptr
	heads  []mmsghdr
	short  bool
	// done is how many messages were read or written, unless err says why none was.
	done int
	err  error
}

// try is for [syscall.RawConn]: it reports whether it need not be tried again when the
// socket is ready.
func (c *call) try(fd uintptr) bool {
	for {
		var n uintptr
		var errno syscall.Errno
		if c.short {
			n, _, errno = unix.RawSyscall6(c.number, fd, uintptr(unsafe.Pointer(&c.heads[0])), uintptr(len(c.heads)), unix.MSG_DONTWAIT, 0, 0)
		} else {
			n, _, errno = unix.Syscall6(c.number, fd, uintptr(unsafe.Pointer(&c.heads[0])), uintptr(len(c.heads)), unix.MSG_DONTWAIT, 0, 0)
		}
		switch errno {
		case 0:
			c.done, c.err = int(n), nil
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			c.done, c.err = 0, errno
			return true
		}
	}
}

// read waits for datagrams, which are good until it is called again. It tells how many
// were lost before them for want of room.
func (s *udpSocket) read() (in []bundle, lost int, err error) {
	for i := range s.inHeads {
		h := &s.inHeads[i].head
		h.Namelen = uint32(unsafe.Sizeof(s.in[i].name))
		h.SetControllen(len(s.in[i].control))
	}
	s.reading.heads = s.inHeads[:]
	if s.reading.short {
		s.reading.heads = s.inHeads[:shortOnce]
	}
	if err := s.raw.Read(s.tryRead); err != nil {
		return nil, 0, err
	}
	if s.reading.err != nil {
		return nil, 0, s.reading.err
	}
	s.got = s.got[:0]
	bytes := 0
	for i := range s.reading.done {
		m, h := &s.in[i], &s.inHeads[i]
		size := int(h.n)
		if size == 0 {
			continue
		}
		bytes += size
		each, overflow := asides(m.control[:h.head.Controllen])
		if each == 0 {
			each = size
		}
		if overflow != 0 {
			lost += int(overflow - s.overflow)
			s.overflow = overflow
		}
		s.got = append(s.got, bundle{addrPort(&m.name), m.buf[:size], each})
	}
	s.reading.short = bytes <= shortCall && s.reading.done < shortOnce // as the next is, most likely
	return s.got, lost, nil
}

// asides reads what the kernel says beside a datagram: how long each of those is that
// it has joined, and how many the socket has lost.
func asides(b []byte) (size int, overflow uint32) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		length := int(h.Len)
		if length < unix.SizeofCmsghdr || length > len(b) {
			return size, overflow
		}
		data := b[unix.CmsgLen(0):length]
		switch {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			size = int(binary.NativeEndian.Uint32(data))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			overflow = binary.NativeEndian.Uint32(data)
		}
		b = b[min(unix.CmsgSpace(length-unix.CmsgLen(0)), len(b)):]
	}
	return size, overflow
}

// write sends datagrams. Those that cannot be are lost.
func (s *udpSocket) write(out []bundle) error {
	for len(out) > 0 {
		now := out[:min(len(out), atOnce)]
		out = out[len(now):]
		bytes := 0
		for i, b := range now {
			s.prepare(i, b)
			bytes += len(b.data)
		}
		for from := 0; from < len(now); {
			var n int
			var err error
			if s.joins || now[from].count() == 1 {
				n, err = s.send(s.outHeads[from:len(now)], bytes <= shortCall)
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			if n == 0 {
				if errors.Is(err, unix.EIO) { // as with devices that do no checksums
					s.joins = false
				}
				s.split(now[from])
				n = 1
			}
			from += n
		}
	}
	return nil
}

// split sends datagrams one by one, if they are several.
func (s *udpSocket) split(b bundle) {
	if b.count() == 1 {
		return
	}
	for rest := b.data; len(rest) > 0; rest = rest[min(b.size, len(rest)):] {
		s.prepare(spare, bundle{b.at, rest[:min(b.size, len(rest))], b.size})
		_, _ = s.send(s.outHeads[spare:], true) // lost
	}
}

// prepare makes a message of datagrams; where there is only one head for them, of the
// first.
func (s *udpSocket) prepare(i int, b bundle) {
	m, h := &s.out[i], &s.outHeads[i]
	h.point(m, b.data)
	h.head.Namelen = s.name(&m.name, b.at)
	if len(b.data) <= b.size {
		h.head.Control = nil
		h.head.SetControllen(0)
		return
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&m.control[0]))
	c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(m.control[unix.CmsgLen(0):], uint16(b.size))
	h.head.SetControllen(unix.CmsgSpace(2))
}

// send sends messages, and waits while the socket is full.
func (s *udpSocket) send(heads []mmsghdr, short bool) (int, error) {
	s.writing.heads, s.writing.short = heads, short
	if err := s.raw.Write(s.tryWrite); err != nil {
		return 0, err
	}
	return s.writing.done, s.writing.err
}

// name writes an address as the kernel has it, and returns how long that is.
func (s *udpSocket) name(to *unix.RawSockaddrInet6, at netip.AddrPort) uint32 {
	if !s.v6 {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(to))
		*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: at.Addr().As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&v4.Port))[:], at.Port())
		return uint32(unsafe.Sizeof(*v4))
	}
	*to = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: at.Addr().As16()}
	if zone := at.Addr().Zone(); zone != "" {
		n, _ := strconv.ParseUint(zone, 10, 32) // as addrPort wrote it
		to.Scope_id = uint32(n)
	}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&to.Port))[:], at.Port())
	return uint32(unsafe.Sizeof(*to))
}

// addrPort reads an address as the kernel wrote it.
func addrPort(from *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&from.Port))[:])
	if from.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(from)).Addr), port)
	}
	ip := netip.AddrFrom16(from.Addr).Unmap()
	if from.Scope_id != 0 && ip.Is6() {
		ip = ip.WithZone(strconv.FormatUint(uint64(from.Scope_id), 10))
	}
	return netip.AddrPortFrom(ip, port)
}
