package netlab

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func udpOn(t *testing.T, h *Host) (*net.UDPConn, netip.AddrPort) {
	var c *net.UDPConn
	if err := h.Do(func() (err error) { c, err = net.ListenUDP("udp4", nil); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, netip.AddrPortFrom(h.Addr(), c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
}

func TestALongWayDelaysAndLimits(t *testing.T) {
	const delay, rate, size, count = 40 * time.Millisecond, 8_000_000, 1000, 30
	lab := New(t)
	a, aAddr := udpOn(t, lab.Host("a"))
	b, bAddr := udpOn(t, lab.Host("b"))
	near, far := lab.Host("between").Join(aAddr, bAddr, LongWay{Delay: delay, Rate: rate})
	began := time.Now()
	for range count {
		if _, err := a.WriteToUDPAddrPort(make([]byte, size), near); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 2*size)
	for i := range count {
		n, from, err := b.ReadFromUDPAddrPort(buf)
		if err != nil || n != size || from != far {
			t.Fatalf("datagram %d: %d bytes from %v, %v", i, n, from, err)
		}
		// A millisecond of the line each.
		if took, want := time.Since(began), delay+time.Duration(i+1)*time.Millisecond; took < want {
			t.Errorf("datagram %d arrived after %v, before %v", i, took, want)
		}
	}
	began = time.Now()
	if _, err := b.WriteToUDPAddrPort(buf[:1], far); err != nil {
		t.Fatal(err)
	}
	if _, from, err := a.ReadFromUDPAddrPort(buf); err != nil || from != near || time.Since(began) < delay {
		t.Errorf("back: from %v after %v, %v", from, time.Since(began), err)
	}
}
