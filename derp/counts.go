package derp

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// dropReason is why a packet was not delivered.
type dropReason int

const (
	delivered               dropReason = iota
	droppedUnknown                     // nobody has the key
	droppedUnknownForwarded            // nor here, where another relay took it to be
	droppedGone                        // its receiver left
	droppedFull                        // too much waits for its receiver, or too much of the same sender
	droppedWrite                       // its receiver took nothing
	dropReasons
)

func (r dropReason) String() string {
	return [dropReasons]string{"", "unknown_dest", "unknown_dest_on_fwd", "gone_disconnected", "queue_tail", "write_error"}[r]
}

// endReason is why a client's connection was ended by the relay.
type endReason int

const (
	endedGreeting  endReason = iota // it did not say in time who it is
	endedRefused                    // it may not come in
	endedFrame                      // it broke the protocol
	endedWrite                      // it took nothing
	endedSlow                       // it did not say in time what it wants
	endedNoTLS                      // it speaks no TLS
	endedMalformed                  // what it said is neither a handshake nor a request
	endReasons
)

func (r endReason) String() string {
	return [endReasons]string{"greeting", "refused", "protocol", "not_reading", "slow", "no_tls", "malformed"}[r]
}

// counts is what a switchboard counts.
type counts struct {
	clients, home                  atomic.Int64
	accepts, unknownFrames         atomic.Int64
	receivedPackets, receivedBytes atomic.Int64
	sentPackets, sentBytes         atomic.Int64
	dropped                        [dropReasons]prometheus.Counter
	ended                          [endReasons]prometheus.Counter
	queued                         prometheus.Histogram

	byDrop, byEnd *prometheus.CounterVec
}

// queueBuckets are in seconds: from a batch that found nobody before it to as long as a
// client may take.
func queueBuckets() []float64 { return prometheus.ExponentialBuckets(20e-6, 4, 9) }

func newCounts() *counts {
	c := &counts{
		byDrop: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "adit_relay_dropped_packets_total", Help: "Packets over DERP that were not delivered, by reason.",
		}, []string{"reason"}),
		byEnd: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "adit_relay_ended_connections_total", Help: "Connections that the relay ended, by reason.",
		}, []string{"reason"}),
		queued: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "adit_relay_queue_seconds", Help: "How long the first packet of a batch waited before the batch was written.", Buckets: queueBuckets(),
		}),
	}
	for r := delivered + 1; r < dropReasons; r++ {
		c.dropped[r] = c.byDrop.WithLabelValues(r.String())
	}
	for r := range endReasons {
		c.ended[r] = c.byEnd.WithLabelValues(r.String())
	}
	return c
}
