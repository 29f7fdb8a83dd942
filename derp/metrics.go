package derp

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics returns what Prometheus may know of the relay.
func (r *Relay) Metrics() prometheus.Collector {
	c := r.board.counts
	all := several{r.udp.requests, r.udp.open, r.refused, c.byDrop, c.byEnd, c.queued}
	for _, g := range []struct {
		name, help string
		value      func() int64
	}{
		{"adit_relay_clients", "Clients connected to the relay.", r.clients},
		{"adit_relay_home_clients", "Clients whose home the relay is.", c.home.Load},
	} {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, func() float64 { return float64(g.value()) }))
	}
	for _, n := range []struct {
		name, help string
		value      *atomic.Int64
	}{
		{"adit_relay_accepts_total", "Connections that the relay took.", &c.accepts},
		{"adit_relay_received_bytes_total", "Bytes of packets from clients.", &c.receivedBytes},
		{"adit_relay_sent_bytes_total", "Bytes of packets to clients.", &c.sentBytes},
		{"adit_relay_received_packets_total", "Packets from clients.", &c.receivedPackets},
		{"adit_relay_sent_packets_total", "Packets to clients; those between received and sent were dropped.", &c.sentPackets},
		{"adit_relay_unknown_frames_total", "Frames of a kind that the relay does not know.", &c.unknownFrames},
	} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: n.name, Help: n.help}, func() float64 { return float64(n.value.Load()) }))
	}
	if r.passes != nil {
		all = append(all, r.passes.metrics()...)
	}
	return all
}

// metrics is those of the UDP relay.
func (u *udpRelay) metrics() several {
	all := several{u.counts.byRefusal, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "adit_relay_udp_sessions", Help: "Pairs of nodes that are relayed over UDP.",
	}, func() float64 { return float64(u.open()) })}
	for _, n := range []struct {
		name, help string
		value      *atomic.Int64
	}{
		{"adit_relay_udp_packets_total", "Packets that were relayed over UDP.", &u.counts.packets},
		{"adit_relay_udp_bytes_total", "Bytes of packets that were relayed over UDP.", &u.counts.bytes},
		{"adit_relay_udp_dropped_packets_total", "Packets over UDP that came faster than the relay took them; the kernel counts those that it has joined as one.", &u.counts.dropped},
		{"adit_relay_udp_errors_total", "Errors of the UDP relay's sockets.", &u.counts.failed},
	} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: n.name, Help: n.help}, func() float64 { return float64(n.value.Load()) }))
	}
	return all
}

// several is collectors as one.
type several []prometheus.Collector

// Describe implements prometheus.Collector.
func (all several) Describe(to chan<- *prometheus.Desc) {
	for _, c := range all {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (all several) Collect(to chan<- prometheus.Metric) {
	for _, c := range all {
		c.Collect(to)
	}
}
