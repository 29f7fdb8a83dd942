package path

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
	"tailscale.com/types/nettype"
)

// growBuffers asks for socketBuffer both ways: with force, which passes
// net.core.*mem_max but needs CAP_NET_ADMIN, else as far as the system allows.
// Smaller buffers cost throughput, never correctness, so failing is no error.
func growBuffers(uc *net.UDPConn) {
	raw, err := uc.SyscallConn()
	if err != nil {
		return
	}
	forced := false
	_ = raw.Control(func(fd uintptr) {
		forced = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) == nil &&
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer) == nil
	})
	if !forced {
		_ = uc.SetReadBuffer(socketBuffer)
		_ = uc.SetWriteBuffer(socketBuffer)
	}
}

// receiveJoined says whether datagrams may be read joined.
func receiveJoined(c nettype.PacketConn, on bool) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	value := 0
	if on {
		value = 1
	}
	// A kernel without it joins nothing.
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, value) })
}
