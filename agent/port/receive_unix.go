//go:build unix

package port

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// receive waits for a datagram and calls take with it. A socket that waits holds no
// buffer: there may be a thousand.
func receive(conn *net.UDPConn, take func([]byte)) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buf := datagrams.Get().(*[maxDatagram]byte)
		defer datagrams.Put(buf)
		n, err := unix.Read(int(fd), buf[:])
		if err == unix.EAGAIN || err == unix.EINTR {
			return false
		}
		if err != nil {
			failed = syscall.Errno(err.(unix.Errno))
			return true
		}
		take(buf[:n])
		return true
	})
	if err == nil {
		err = failed
	}
	return err
}
