package derp

import (
	"strings"

	"tailscale.com/util/clientmetric"
)

// udpCounts is what the UDP relay has carried. The library counts for all that a process
// runs, which is one.
type udpCounts struct {
	open                    int64 // sessions whose two ends have come
	packets, bytes, dropped int64
}

func countUDP() (c udpCounts) {
	for _, m := range clientmetric.Metrics() {
		switch name := m.Name(); {
		case name == "udprelay_endpoints_open":
			c.open += m.Value()
		case name == "udprelay_rxq_overflows":
			c.dropped += m.Value()
		case strings.HasPrefix(name, "udprelay_forwarded_packets_"):
			c.packets += m.Value()
		case strings.HasPrefix(name, "udprelay_forwarded_bytes_"):
			c.bytes += m.Value()
		}
	}
	return c
}
