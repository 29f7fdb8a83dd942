package derp

import (
	"expvar"

	"github.com/prometheus/client_golang/prometheus"
)

// relayed are the library's counts that say something to an operator, and our
// names for them.
var relayed = []struct {
	theirs, ours, help string
	kind               prometheus.ValueType
}{
	{"gauge_current_connections", "adit_relay_clients", "Clients connected to the relay.", prometheus.GaugeValue},
	{"gauge_current_home_connections", "adit_relay_home_clients", "Clients whose home the relay is.", prometheus.GaugeValue},
	{"accepts", "adit_relay_accepts_total", "Connections that the relay took.", prometheus.CounterValue},
	{"bytes_received", "adit_relay_received_bytes_total", "Bytes of packets from clients.", prometheus.CounterValue},
	{"bytes_sent", "adit_relay_sent_bytes_total", "Bytes of packets to clients.", prometheus.CounterValue},
	{"packets_received", "adit_relay_received_packets_total", "Packets from clients.", prometheus.CounterValue},
	{"packets_sent", "adit_relay_sent_packets_total", "Packets to clients; those between received and sent were dropped.", prometheus.CounterValue},
	{"unknown_frames", "adit_relay_unknown_frames_total", "Frames of a kind that the relay does not know.", prometheus.CounterValue},
	{"sclient_write_timeouts", "adit_relay_write_timeouts_total", "Clients that did not take what was sent to them.", prometheus.CounterValue},
}

// Metrics returns what Prometheus may know of the relay.
func (r *Relay) Metrics() prometheus.Collector {
	c := relayCollector{relay: r, own: []prometheus.Collector{r.udp.requests, r.udp.open, r.refused, newDropped()}}
	for _, v := range relayed {
		c.descs = append(c.descs, prometheus.NewDesc(v.ours, v.help, nil, nil))
	}
	return c
}

type relayCollector struct {
	relay *Relay
	descs []*prometheus.Desc // in the order of relayed
	own   []prometheus.Collector
}

func (c relayCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
	for _, o := range c.own {
		o.Describe(to)
	}
}

func (c relayCollector) Collect(to chan<- prometheus.Metric) {
	for _, o := range c.own {
		o.Collect(to)
	}
	all := c.relay.vars()
	for i, v := range relayed {
		if value, ok := number(all.Get(v.theirs)); ok {
			if v.ours == "adit_relay_clients" {
				value -= float64(c.relay.own())
			}
			to <- prometheus.MustNewConstMetric(c.descs[i], v.kind, value)
		}
	}
}

// number reads one of the library's variables.
func number(v expvar.Var) (float64, bool) {
	switch v := v.(type) {
	case nil:
		return 0, false
	case *expvar.Int:
		return float64(v.Value()), true
	case expvar.Func:
		switch n := v.Value().(type) {
		case int:
			return float64(n), true
		case int64:
			return float64(n), true
		}
	}
	return 0, false
}
