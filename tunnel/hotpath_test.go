package tunnel

import (
	"bytes"
	"net/netip"
	"os"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// treadmill is a device that gives the same packets again and again, and loses
// what it is given.
type treadmill struct {
	tun.Device
	packets [][]byte
}

func (m *treadmill) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for i, p := range m.packets {
		sizes[i] = copy(bufs[i][offset:], p)
	}
	return len(m.packets), nil
}

func (*treadmill) File() *os.File { return nil }

func (m *treadmill) Write(bufs [][]byte, _ int) (int, error) { return len(bufs), nil }

// bulk is what packets of one TCP transfer look like, with some of UDP.
func bulk(from, to netip.Addr) [][]byte {
	packets := make([][]byte, 45)
	for i := range packets {
		proto := byte(protoTCP)
		if i%4 == 3 {
			proto = protoUDP
		}
		packets[i] = ipv6Packet(from, to, proto, 4096, 22, 0x10)
	}
	return packets
}

func TestFilteringAndFittingDoNotAllocate(t *testing.T) {
	self, peer := netip.MustParseAddr("fdad:17:ad17::1"), netip.MustParseAddr("fdad:17:ad17::2")
	mill := &treadmill{packets: bulk(self, peer)}
	fit := newFittingDevice(mill, true)
	fit.setPath(peer, fixedMTU(1440))
	filtered := newFilteredDevice(fit)
	filtered.opened = fit.noteOpened
	filtered.setSelf(self)
	filtered.setAllowed(peer, []*meshv1.Allow{{Protocol: meshv1.Allow_ANY}})

	bufs, sizes := make([][]byte, 128), make([]int, 128)
	for i := range bufs {
		bufs[i] = make([]byte, 2048)
	}
	if n := testing.AllocsPerRun(1000, func() {
		n, err := filtered.Read(bufs, sizes, deviceOffset)
		filtered.out.leave(n)
		if n != len(mill.packets) || err != nil {
			t.Fatalf("read %d packets, %v", n, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations to read a batch", n)
	}

	var in, batch [][]byte
	for _, p := range bulk(peer, self) {
		in = append(in, append(bytes.Repeat([]byte{0}, deviceOffset), p...))
	}
	if n := testing.AllocsPerRun(1000, func() {
		filtered.in.enter(len(in))
		batch = append(batch[:0], in...)
		if _, err := filtered.Write(batch, deviceOffset); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations to write a batch", n)
	}
}
