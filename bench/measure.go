package bench

import (
	"testing"
	"time"
)

// metric is something measured of a pair, in a unit of its own.
type metric string

const (
	tcp1      metric = "TCP, 1 stream, Gbit/s"
	tcp4      metric = "TCP, 4 streams, Gbit/s"
	cpuPerGiB metric = "CPU seconds per GiB, both ends, 1 stream"
	rttMean   metric = "RTT idle, mean, µs"
	rttP50    metric = "RTT idle, p50, µs"
	rttP99    metric = "RTT idle, p99, µs"
	rttLoaded metric = "RTT p50 under one TCP stream, ms"
	udpRate   metric = "64-byte UDP without loss, kpps"
	rssIdle   metric = "RSS idle, larger end, MB"
	rssAfter  metric = "RSS after saturation, larger end, MB"
	rssPeak   metric = "RSS peak, larger end, MB"
)

// sample is what one round measured of a subject.
type sample map[metric]float64

// streamLasts is how long a TCP measurement lasts.
const streamLasts = 4 * time.Second

// measure takes all measurements of a pair, the gentle ones first.
func measure(t testing.TB, p *pair) sample {
	s := sample{}
	p.check(t)
	tunneled := len(p.ends[0].pids) > 0
	if tunneled {
		s[rssIdle] = p.resident(t, "VmRSS")
	}
	idle := roundTrips(t, p, idlePings, idleInterval)
	s[rttMean], s[rttP50], s[rttP99] = mean(idle)*1e6, quantile(idle, 0.5)*1e6, quantile(idle, 0.99)*1e6

	before := p.cpuSeconds(t)
	loaded := make(chan []float64, 1)
	go func() { loaded <- roundTripsUnderLoad(t, p) }()
	one := streams(t, p, 1)
	s[tcp1] = one.gbits()
	if tunneled {
		s[cpuPerGiB] = (p.cpuSeconds(t) - before) / one.gib()
	}
	if got := <-loaded; len(got) > 0 {
		s[rttLoaded] = quantile(got, 0.5) * 1e3
	}
	p.check(t)
	s[tcp4] = streams(t, p, 4).gbits()
	p.check(t)
	if tunneled {
		s[rssAfter], s[rssPeak] = p.resident(t, "VmRSS"), p.resident(t, "VmHWM")
	}
	s[udpRate] = lossless(t, p) / 1e3
	return s
}
