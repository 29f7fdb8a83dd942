package path

import (
	"net"

	"golang.org/x/sys/unix"
)

// dontFragment sets the don't-fragment bit on what uc sends and has the kernel
// ignore the path MTU it learned: sizes are probed here. Where that fails,
// routers fragment, and sizes beyond the path's seem to pass.
func dontFragment(uc *net.UDPConn) {
	raw, err := uc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	})
}
