//go:build !linux

package path

import (
	"net"

	"tailscale.com/types/nettype"
)

// growBuffers asks for socketBuffer both ways. Smaller buffers cost
// throughput, never correctness, so failing is no error.
func growBuffers(uc *net.UDPConn) {
	_ = uc.SetReadBuffer(socketBuffer)
	_ = uc.SetWriteBuffer(socketBuffer)
}

// receiveJoined does nothing: datagrams are never joined here.
func receiveJoined(nettype.PacketConn, bool) {}
