package peeruser

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Of returns the user's number, as it was when the program connected.
func Of(c net.Conn) (uid int, err error) {
	err = control(c, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err == nil {
			uid = int(cred.Uid)
		}
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("user at the other end: %w", err)
	}
	return uid, nil
}
