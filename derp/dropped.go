package derp

import (
	"bytes"
	"expvar"
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// droppedVar is where the library counts, for all servers of the process, the packets
// that it did not deliver.
const droppedVar = "derp_packets_dropped"

// dropped tells why packets were not delivered: nobody has the key (unknown_dest),
// they left (gone_disconnected), their queue was full (queue_head, queue_tail), or they
// took nothing (write_error).
type dropped struct{ desc *prometheus.Desc }

func newDropped() dropped {
	return dropped{prometheus.NewDesc("adit_relay_dropped_packets_total", "Packets over DERP that were not delivered, by reason.", []string{"reason"}, nil)}
}

// Describe implements prometheus.Collector.
func (d dropped) Describe(to chan<- *prometheus.Desc) { to <- d.desc }

// Collect implements prometheus.Collector.
func (d dropped) Collect(to chan<- prometheus.Metric) {
	for reason, n := range droppedByReason() {
		to <- prometheus.MustNewConstMetric(d.desc, prometheus.CounterValue, n, reason)
	}
}

// droppedByReason reads the library's counts, which it only ever writes out.
func droppedByReason() map[string]float64 {
	counts := make(map[string]float64)
	v, ok := expvar.Get(droppedVar).(interface{ WritePrometheus(io.Writer, string) })
	if !ok {
		return counts
	}
	var text bytes.Buffer
	v.WritePrometheus(&text, droppedVar)
	for line := range strings.Lines(text.String()) {
		var reason, kind string
		var n float64
		if _, err := fmt.Sscanf(line, droppedVar+"{reason=%q,kind=%q} %g", &reason, &kind, &n); err == nil {
			counts[reason] += n
		}
	}
	return counts
}
