package derp

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal is why a datagram to the UDP relay was not passed on.
type refusal int

const (
	refusedForeign  refusal = iota // it is nothing that a UDP relay is sent
	refusedUnknown                 // its session has ended, or never was
	refusedUnbound                 // not both ends of its session have said where they are
	refusedStranger                // it is from neither end
	refusals
	refusedNot = refusals
)

func (r refusal) String() string {
	return [refusals]string{"foreign", "unknown_session", "unbound", "stranger"}[r]
}

// udpCounts is what the UDP relay counts.
type udpCounts struct {
	packets, bytes, dropped atomic.Int64
	failed                  atomic.Int64 // reads
	refused                 [refusals]prometheus.Counter
	byRefusal               *prometheus.CounterVec
	said, saidFailed        *seldom
	log                     *slog.Logger
}

func newUDPCounts(log *slog.Logger) *udpCounts {
	c := &udpCounts{log: log, said: newSeldom(crowdSaidEvery), saidFailed: newSeldom(crowdSaidEvery), byRefusal: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "adit_relay_udp_refused_packets_total", Help: "Packets to the UDP relay that it did not pass on, by reason.",
	}, []string{"reason"})}
	for r := range refusals {
		c.refused[r] = c.byRefusal.WithLabelValues(r.String())
	}
	return c
}

// refuse counts datagrams that are not passed on, and says so now and then.
func (c *udpCounts) refuse(why refusal, from netip.AddrPort, n int) {
	c.refused[why].Add(float64(n))
	// The others happen to ends, too: when a session begins or ends, and when they move.
	if why == refusedForeign && c.said.may(time.Now()) {
		c.log.Warn("the UDP relay drops packets; others like them are only counted for a while", "reason", why.String(), "from", from)
	}
}

// fail counts an error of a socket, and says so now and then.
func (c *udpCounts) fail(err error) {
	c.failed.Add(1)
	if c.saidFailed.may(time.Now()) {
		c.log.Error("a socket of the UDP relay failed, and goes on; others like it are only counted for a while", "err", err)
	}
}
