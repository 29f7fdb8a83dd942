package tunnel

import (
	"net/netip"
	"testing"

	"github.com/aditmesh/adit/tunnel/path"
)

func TestOnlyWhatPeersNeedIsSaidAnew(t *testing.T) {
	at := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}
	self := path.Self{HomeRelay: 1, Endpoints: at, NAT: path.NATEasy, Latencies: map[uint32]uint32{1: 1}}
	for name, tt := range map[string]struct {
		change func(*path.Self)
		same   bool
	}{
		"latency":    {func(s *path.Self) { s.Latencies = map[uint32]uint32{1: 2} }, true},
		"home":       {func(s *path.Self) { s.HomeRelay = 2 }, false},
		"NAT":        {func(s *path.Self) { s.NAT = path.NATHard }, false},
		"relay only": {func(s *path.Self) { s.RelayOnly = true }, false},
		"endpoints":  {func(s *path.Self) { s.Endpoints = nil }, false},
		"an endpoint": {func(s *path.Self) {
			s.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:2")}
		}, false},
	} {
		changed := self
		tt.change(&changed)
		if got := sameSelf(selfToProto(&self), selfToProto(&changed)); got != tt.same {
			t.Errorf("another %s: same is %v", name, got)
		}
	}
}
