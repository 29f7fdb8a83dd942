//go:build linux || darwin

package peeruser

import (
	"errors"
	"net"
)

// errNotUnix is a connection that no program of this machine made.
var errNotUnix = errors.New("not a unix socket")

// control calls f with the file of a unix socket.
func control(c net.Conn, f func(fd int) error) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return errNotUnix
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
