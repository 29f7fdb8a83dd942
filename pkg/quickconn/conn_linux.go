package quickconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a quick connection of TCP or, to one other end, of UDP. Its methods may be called
// concurrently.
type Conn struct {
	net.Conn
	raw     syscall.RawConn
	stream  bool
	in, out transfer
	room    room
}

// New makes a connection quick. One of another kind stays what it was.
func New(conn net.Conn) net.Conn {
	c := &Conn{Conn: conn, in: transfer{number: unix.SYS_RECVFROM}, out: transfer{number: unix.SYS_SENDTO}}
	var err error
	switch socket := conn.(type) {
	case *net.TCPConn:
		c.stream = true
		c.raw, err = socket.SyscallConn()
	case *net.UDPConn:
		c.raw, err = socket.SyscallConn()
	default:
		return conn
	}
	if err != nil {
		return conn // it is closed
	}
	c.in.try, c.out.try, c.room.see = c.in.move, c.out.move, c.room.look
	return c
}

// transfer is one direction of a connection.
type transfer struct {
	number uintptr // of the system call
	try    func(fd uintptr) bool

	mu sync.Mutex // guards what follows
	p  []byte     // to be read into, or written
	// done is how much of it was, unless err says why nothing was.
	done int
	err  syscall.Errno
}

// move is for [syscall.RawConn]: it reports whether it need not be tried again when the
// connection is ready.
func (t *transfer) move(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(t.number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.p))), uintptr(len(t.p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			t.done, t.err = int(n), 0
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			t.done, t.err = 0, errno
			return true
		}
	}
}

// Read reads what has come, 16 KiB of it at the most.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t := &c.in
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p = p[:min(len(p), atOnce)]
	err := c.raw.Read(t.try)
	t.p = nil
	switch {
	case err != nil:
		return 0, err
	case t.err != 0:
		return 0, c.failed("read", "recvfrom", t.err)
	case t.done == 0 && c.stream:
		return 0, io.EOF
	}
	return t.done, nil
}

// Write writes all of it, or says why not.
func (c *Conn) Write(p []byte) (n int, err error) {
	t := &c.out
	t.mu.Lock()
	defer t.mu.Unlock()
	for first := true; first || n < len(p); first = false {
		t.p = p[n:]
		if c.stream {
			t.p = t.p[:min(len(t.p), atOnce)]
		}
		err := c.raw.Write(t.try)
		t.p = nil
		switch {
		case err != nil:
			return n, err
		case t.err != 0:
			return n, c.failed("write", "sendto", t.err)
		}
		n += t.done
	}
	return n, nil
}

// CloseWrite ends what is written to a stream, and leaves the rest open.
func (c *Conn) CloseWrite() error {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("close %s by half: %w", c.LocalAddr().Network(), errors.ErrUnsupported)
	}
	return tcp.CloseWrite()
}

func (c *Conn) failed(op, call string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, errno)}
}

// room is whether there is some to write to.
type room struct {
	see func(fd uintptr)

	mu  sync.Mutex // guards what follows
	fds [1]unix.PollFd
	ok  bool
}

// look is for [syscall.RawConn].
func (r *room) look(fd uintptr) {
	r.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&r.fds)), uintptr(len(r.fds)), uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	r.ok = errno == 0 && n == 1 && r.fds[0].Revents == unix.POLLOUT
}

// Roomy reports whether a write of a few KiB will not wait: the kernel calls a connection
// ready while a third of what it may hold back for it is free.
func (c *Conn) Roomy() bool {
	r := &c.room
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.raw.Control(r.see) == nil && r.ok
}
