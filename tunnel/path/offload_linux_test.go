package path

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// A batch of full packets is as much as two joined datagrams and a half. The kernel takes
// apart what is larger than an interface's gso_max_size, and loopback has the default.
func TestNoJoinedDatagramIsTooLargeForAnInterface(t *testing.T) {
	for network, loopback := range map[string]netip.Addr{"udp4": netip.MustParseAddr("127.0.0.1"), "udp6": netip.IPv6Loopback()} {
		from, err := listen(network, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		defer from.close()
		if !from.joins() {
			t.Skip("no offload on this system")
		}
		to, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		receiveJoined(to, true)
		growBuffers(to)
		for size := 1000; size <= 1452; size += 4 {
			bufs := make([][]byte, batchSize)
			for i := range bufs {
				bufs[i] = make([]byte, size)
			}
			if err := from.writeBatch(bufs, to.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
				t.Fatal(err)
			}
			if err := to.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			reads, buf := 0, make([]byte, 1<<16)
			for left := batchSize * size; left > 0; reads++ {
				n, err := to.Read(buf)
				if err != nil {
					t.Fatalf("%s, %d datagrams of %d bytes: %v with %d bytes to come", network, batchSize, size, err, left)
				}
				left -= n
			}
			if reads > 4 {
				t.Errorf("%s: %d datagrams of %d bytes arrive as %d", network, batchSize, size, reads)
			}
		}
	}
}
