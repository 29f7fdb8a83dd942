package loadtest

import (
	"encoding/binary"
	"net/netip"
)

// stamp names a walker's so-manieth endpoints. It travels as an endpoint that
// nobody has: an address for documentation, with the stamp in its lower half.
type stamp struct {
	walker, n int
}

var stampNet = netip.MustParsePrefix("2001:db8::/64")

// stampPort is as good as any.
const stampPort = 41641

func (s stamp) String() string {
	a := stampNet.Addr().As16()
	binary.BigEndian.PutUint32(a[8:], uint32(s.walker))
	binary.BigEndian.PutUint32(a[12:], uint32(s.n))
	return netip.AddrPortFrom(netip.AddrFrom16(a), stampPort).String()
}

// readStamp finds the stamp among endpoints.
func readStamp(endpoints []string) (stamp, bool) {
	for _, e := range endpoints {
		ap, err := netip.ParseAddrPort(e)
		if err != nil || !stampNet.Contains(ap.Addr()) {
			continue
		}
		a := ap.Addr().As16()
		return stamp{int(binary.BigEndian.Uint32(a[8:])), int(binary.BigEndian.Uint32(a[12:]))}, true
	}
	return stamp{}, false
}
