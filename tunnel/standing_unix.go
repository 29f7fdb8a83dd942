//go:build unix

package tunnel

import (
	"os"

	"golang.org/x/sys/unix"
)

// readable returns a function that reports whether there is anything to read from
// f, which may be nil. It is for one goroutine.
func readable(f *os.File) func() bool {
	if f == nil {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	var fds [1]unix.PollFd
	poll := func(fd uintptr) {
		fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		_, _ = unix.Poll(fds[:], 0) // what fails has no events
	}
	return func() bool {
		fds[0].Revents = 0
		return conn.Control(poll) == nil && fds[0].Revents&unix.POLLIN != 0
	}
}
